//! Paging: lists in key order, a bounded piece at a time.
//!
//! "`nextToken` only when more pages exist." The token is the last key of the page, so a list that
//! changes between two pages neither repeats nor skips what stays in it. It is meaningless elsewhere:
//! the prefix of what is listed comes from the caller, never from the token.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Serialize;
use trellis_store::{Entry, Read};

use crate::refusal::{Refusal, invalid};

/// Items on a page when `maxResults` is absent; also the most there may be.
const DEFAULT_LIMIT: usize = 100;

/// Sorts after whatever a key goes on with.
const AFTER_EVERY_KEY: &str = "\u{10ffff}";

/// Which piece of a list is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    after: Option<String>,
    limit: usize,
}

/// One piece of a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listing<T> {
    pub(crate) items: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_token: Option<String>,
}

impl Page {
    /// # Errors
    /// `ValidationException` for a token that was never given.
    pub(crate) fn new(max_results: Option<u16>, next_token: Option<&str>) -> Result<Self, Refusal> {
        let after = next_token
            .map(|token| {
                let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok();
                bytes
                    .and_then(|bytes| String::from_utf8(bytes).ok())
                    .filter(|after| !after.is_empty())
                    .ok_or_else(|| invalid("nextToken", "is not a token of this list"))
            })
            .transpose()?;
        let limit = max_results.map_or(DEFAULT_LIMIT, |limit| usize::from(limit).clamp(1, DEFAULT_LIMIT));
        Ok(Self { after, limit })
    }

    /// As [`Page::list`], with one more item after the last.
    pub(crate) fn list_then<S: Read, T>(
        &self,
        state: &mut S,
        prefix: &str,
        each: impl FnMut(&mut S, &Entry) -> Result<Option<T>, Refusal>,
        last: impl FnOnce() -> T,
    ) -> Result<Listing<T>, Refusal> {
        let mut listing = self.list(state, prefix, each)?;
        if listing.next_token.is_some() {
            return Ok(listing);
        }
        if listing.items.len() < self.limit {
            listing.items.push(last());
        } else {
            // The page is full and what comes after it is the last item alone.
            listing.next_token = Some(BASE64_URL_SAFE_NO_PAD.encode(AFTER_EVERY_KEY));
        }
        Ok(listing)
    }

    /// The piece of what is under `prefix` for which `each` gives an item.
    pub(crate) fn list<S: Read, T>(
        &self,
        state: &mut S,
        prefix: &str,
        mut each: impl FnMut(&mut S, &Entry) -> Result<Option<T>, Refusal>,
    ) -> Result<Listing<T>, Refusal> {
        let mut items = Vec::new();
        let mut last = String::new();
        let mut after = self.after.as_ref().map(|after| format!("{prefix}{after}"));
        loop {
            let batch = self.limit + 1;
            let entries = state.scan(prefix, after.as_deref(), batch)?;
            for entry in &entries {
                let Some(item) = each(state, entry)? else { continue };
                if items.len() == self.limit {
                    let next_token = Some(BASE64_URL_SAFE_NO_PAD.encode(last));
                    return Ok(Listing { items, next_token });
                }
                items.push(item);
                last = entry.key[prefix.len()..].to_owned();
            }
            if entries.len() < batch {
                return Ok(Listing { items, next_token: None });
            }
            after = entries.last().map(|entry| entry.key.clone());
        }
    }
}
