//! Paging: lists in key order, a bounded piece at a time.
//!
//! "`nextToken` only when more pages exist." The token is the last key of the page, so a list that
//! changes between two pages neither repeats nor skips what stays in it. It is meaningless elsewhere:
//! the prefix of what is listed comes from the caller, never from the token.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use trellis_store::{Entry, Read};

use crate::context::Context;
use crate::lattice::place::Place;
use crate::record::{decode, get};
use crate::refusal::{Refusal, invalid};
use crate::sharing::{self, Shared, Want};

/// Items on a page when `maxResults` is absent; also the most there may be.
const DEFAULT_LIMIT: usize = 100;

/// Sorts after whatever a key goes on with.
const AFTER_EVERY_KEY: &str = "\u{10ffff}";

/// The token of a place in a list: text, made fit for a URL.
pub(crate) fn to_token(position: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(position)
}

/// The place `token` stands for; `None` for one that [`to_token`] never gives.
pub(crate) fn from_token(token: &str) -> Option<String> {
    String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(token).ok()?).ok()
}

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

/// The input of an operation that lists all there is of a kind.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ListAll {
    max_results: Option<u16>,
    next_token: Option<String>,
}

impl ListAll {
    /// # Errors
    /// As [`Page::new`].
    pub(crate) fn page(&self) -> Result<Page, Refusal> {
        Page::new(self.max_results, self.next_token.as_deref())
    }
}

impl Page {
    /// # Errors
    /// `ValidationException` for a token that was never given.
    pub(crate) fn new(max_results: Option<u16>, next_token: Option<&str>) -> Result<Self, Refusal> {
        let after = next_token
            .map(|token| {
                from_token(token)
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
            listing.next_token = Some(to_token(AFTER_EVERY_KEY));
        }
        Ok(listing)
    }

    /// The piece of what the caller owns of a kind, and after it of what others share with it for `want`.
    pub(crate) fn list_owned_and_received<S: Read, R: DeserializeOwned, T>(
        &self,
        state: &mut S,
        ctx: &Context,
        shared: Shared,
        want: Want<'_>,
        mut each: impl FnMut(&mut S, &Place, R) -> Result<Option<T>, Refusal>,
    ) -> Result<Listing<T>, Refusal> {
        let own = Place::new(ctx.home());
        let [named, everybody] = sharing::received_prefixes(&own.home, shared);
        let prefixes = [own.scope.records(shared.record_kind()), named, everybody];
        self.list_all(state, &prefixes, |state, part, entry| {
            if part == 0 {
                return each(state, &own, decode(entry)?);
            }
            let Some((place, id)) = sharing::received(state, ctx, shared, entry, want)? else {
                return Ok(None);
            };
            match get(state, &place.scope.record(shared.record_kind(), id))? {
                Some(record) => each(state, &place, record),
                None => Ok(None),
            }
        })
    }

    /// As [`Page::list`], over several prefixes one after the other; `each` is told which it is in.
    pub(crate) fn list_all<S: Read, T>(
        &self,
        state: &mut S,
        prefixes: &[String],
        mut each: impl FnMut(&mut S, usize, &Entry) -> Result<Option<T>, Refusal>,
    ) -> Result<Listing<T>, Refusal> {
        let position = self.after.as_deref().map(|after| {
            let (part, rest) = after.split_once(':')?;
            Some((part.parse::<usize>().ok()?, rest.to_owned()))
        });
        let (first, mut after) = match position {
            None => (0, None),
            Some(Some((part, rest))) => (part, Some(rest).filter(|rest| !rest.is_empty())),
            Some(None) => return Err(invalid("nextToken", "is not a token of this list")),
        };
        let mut items = Vec::new();
        for (part, prefix) in prefixes.iter().enumerate().skip(first) {
            let rest = Self { after: after.take(), limit: self.limit - items.len() };
            // A full page still has to know whether anything comes after it.
            let (found, last) = rest.piece(state, prefix, |state, entry| each(state, part, entry))?;
            items.extend(found);
            if let Some(last) = last {
                let next_token = Some(to_token(&format!("{part}:{last}")));
                return Ok(Listing { items, next_token });
            }
        }
        Ok(Listing { items, next_token: None })
    }

    /// The piece of what is under `prefix` for which `each` gives an item.
    pub(crate) fn list<S: Read, T>(
        &self,
        state: &mut S,
        prefix: &str,
        each: impl FnMut(&mut S, &Entry) -> Result<Option<T>, Refusal>,
    ) -> Result<Listing<T>, Refusal> {
        let (items, last) = self.piece(state, prefix, each)?;
        Ok(Listing { items, next_token: last.as_deref().map(to_token) })
    }

    /// The items, and the rest of the last one's key when there are more.
    fn piece<S: Read, T>(
        &self,
        state: &mut S,
        prefix: &str,
        mut each: impl FnMut(&mut S, &Entry) -> Result<Option<T>, Refusal>,
    ) -> Result<(Vec<T>, Option<String>), Refusal> {
        let mut items = Vec::new();
        let mut last = String::new();
        let mut after = self.after.as_ref().map(|after| format!("{prefix}{after}"));
        loop {
            let batch = self.limit + 1;
            let entries = state.scan(prefix, after.as_deref(), batch)?;
            for entry in &entries {
                let Some(item) = each(state, entry)? else { continue };
                if items.len() == self.limit {
                    return Ok((items, Some(last)));
                }
                items.push(item);
                last = entry.key[prefix.len()..].to_owned();
            }
            if entries.len() < batch {
                return Ok((items, None));
            }
            after = entries.last().map(|entry| entry.key.clone());
        }
    }
}
