//! Paging: lists in key order, a bounded piece at a time.
//!
//! "`nextToken` only when more pages exist." The token is the last key of the page, so a list that
//! changes between two pages neither repeats nor skips what stays in it. It is meaningless elsewhere:
//! the prefix of what is listed comes from the caller, never from the token, and a list that says which it is
//! takes no other's.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use trellis_store::{Entry, Read};

use crate::refusal::Refusal;

/// How many items a service's lists have on a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageSizes {
    /// Where the caller does not say.
    pub default: usize,
    /// Whatever the caller says.
    pub max: usize,
}

/// Of lists that do not say otherwise.
const SIZES: PageSizes = PageSizes { default: 100, max: 100 };

/// Characters of a fingerprint that tell one list from another.
const LIST_LENGTH: usize = 16;

/// The member of tokens whose list does not name it.
const NEXT_TOKEN: &str = "nextToken";

/// Sorts after whatever a key goes on with.
const AFTER_EVERY_KEY: &str = "\u{10ffff}";

/// The token of a place in a list: text, made fit for a URL.
pub fn to_token(position: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(position)
}

/// The place `token` stands for; `None` for one that [`to_token`] never gives.
pub fn from_token(token: &str) -> Option<String> {
    String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(token).ok()?).ok()
}

/// Which piece of a list is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    after: Option<String>,
    limit: usize,
    /// What a token of this list begins with, so that it is good for no other.
    list: String,
    /// The member that tokens come in.
    member: String,
}

/// One piece of a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listing<T> {
    pub items: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

impl<T> Listing<T> {
    /// The answer that `output` makes of the items; the members that lead to the next page are the frame's to fill.
    pub fn into_output<O>(self, output: impl FnOnce(Vec<T>) -> O) -> Paged<O> {
        Paged { output: output(self.items), next_token: self.next_token }
    }
}

/// An answer with one piece of a list.
#[derive(Debug)]
pub struct Paged<O> {
    pub output: O,
    pub next_token: Option<String>,
}

impl Paged<Value> {
    /// With the members by which the description leads to the next page.
    pub(crate) fn finish(self, operation: &trellis_api::Operation) -> Value {
        let Self { mut output, next_token } = self;
        if let (Some(paging), Some(members)) = (&operation.paging, output.as_object_mut()) {
            if let Some(more) = &paging.more {
                members.insert(more.clone(), next_token.is_some().into());
            }
            if let (Some(member), Some(token)) = (paging.output_tokens.first(), next_token) {
                members.insert(member.clone(), token.into());
            }
        }
        output
    }
}

/// The input of an operation that lists all there is of a kind.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListAll {
    max_results: Option<u16>,
    next_token: Option<String>,
}

impl ListAll {
    /// # Errors
    /// As [`Page::new`].
    pub fn page(&self) -> Result<Page, Refusal> {
        Page::new(self.max_results, self.next_token.as_deref())
    }
}

impl Page {
    /// # Errors
    /// [`Refusal::NotAPage`] for a token that was never given.
    pub fn new(max_results: Option<u16>, next_token: Option<&str>) -> Result<Self, Refusal> {
        Self::of(String::new(), NEXT_TOKEN, SIZES, max_results.map(usize::from), next_token)
    }

    /// The page that `input` asks for by the members its description names; the other members say of which list.
    ///
    /// # Errors
    /// [`Refusal::NotAPage`] for a token of another list.
    pub(crate) fn asked(
        operation: &trellis_api::Operation,
        sizes: PageSizes,
        input: &Value,
    ) -> Result<Self, Refusal> {
        let Some(paging) = &operation.paging else { return Self::new(None, None) };
        let member = paging.input_tokens.first().map_or(NEXT_TOKEN, String::as_str);
        // A limit may be text, as in Route 53.
        let limit = paging.limit.as_ref().and_then(|name| input.get(name));
        let limit = limit.and_then(|limit| limit.as_u64().or_else(|| limit.as_str()?.parse().ok()));
        let limit = limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let is_filter = |name: &str| name != member && paging.limit.as_deref() != Some(name);
        let mut list = crate::token::fingerprint(&operation.name, input, is_filter);
        list.truncate(LIST_LENGTH);
        // Some services end their lists with an empty token, which clients send back to start anew.
        let token = input.get(member).and_then(Value::as_str).filter(|token| !token.is_empty());
        Self::of(list, member, sizes, limit, token)
    }

    fn of(
        list: String,
        member: &str,
        sizes: PageSizes,
        limit: Option<usize>,
        token: Option<&str>,
    ) -> Result<Self, Refusal> {
        let position = |token| from_token(token)?.strip_prefix(&list).map(str::to_owned);
        let after = token
            .map(|token| {
                position(token)
                    .filter(|after| !after.is_empty())
                    .ok_or_else(|| Refusal::NotAPage { member: member.to_owned() })
            })
            .transpose()?;
        let limit = limit.map_or(sizes.default, |limit| limit.clamp(1, sizes.max));
        Ok(Self { after, limit, list, member: member.to_owned() })
    }

    /// The same place in the list with `limit` items on a page, for a list that has a size of its own.
    #[must_use]
    pub fn sized(&self, limit: usize) -> Self {
        Self { limit, ..self.clone() }
    }

    /// The position after which the page begins; `None`: at the beginning.
    pub fn after(&self) -> Option<&str> {
        self.after.as_deref()
    }

    /// How many items it has at most.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The token of the page after the item at `position`.
    pub fn token(&self, position: &str) -> String {
        to_token(&format!("{}{position}", self.list))
    }

    /// The piece of `items` that is asked for, where a list is put together in memory: in the order of their keys.
    pub fn cut<T>(&self, mut items: Vec<T>, key: impl Fn(&T) -> String) -> Listing<T> {
        items.sort_by_cached_key(&key);
        let mut rest = items
            .into_iter()
            .skip_while(|item| self.after.as_deref().is_some_and(|after| key(item).as_str() <= after))
            .peekable();
        let items: Vec<T> = rest.by_ref().take(self.limit).collect();
        let is_more = rest.peek().is_some();
        let next_token = items.last().filter(|_| is_more).map(|last| self.token(&key(last)));
        Listing { items, next_token }
    }

    /// As [`Page::list`], with one more item after the last.
    pub fn list_then<S: Read, T>(
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
            listing.next_token = Some(self.token(AFTER_EVERY_KEY));
        }
        Ok(listing)
    }

    /// As [`Page::list`], over several prefixes one after the other; `each` is told which it is in.
    pub fn list_all<S: Read, T>(
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
            Some(None) => return Err(Refusal::NotAPage { member: self.member.clone() }),
        };
        let mut items = Vec::new();
        for (part, prefix) in prefixes.iter().enumerate().skip(first) {
            let rest = Self { after: after.take(), limit: self.limit - items.len(), ..self.clone() };
            // A full page still has to know whether anything comes after it.
            let (found, last) = rest.piece(state, prefix, |state, entry| each(state, part, entry))?;
            items.extend(found);
            if let Some(last) = last {
                let next_token = Some(self.token(&format!("{part}:{last}")));
                return Ok(Listing { items, next_token });
            }
        }
        Ok(Listing { items, next_token: None })
    }

    /// The piece of what is under `prefix` for which `each` gives an item.
    pub fn list<S: Read, T>(
        &self,
        state: &mut S,
        prefix: &str,
        each: impl FnMut(&mut S, &Entry) -> Result<Option<T>, Refusal>,
    ) -> Result<Listing<T>, Refusal> {
        let (items, last) = self.piece(state, prefix, each)?;
        Ok(Listing { items, next_token: last.map(|last| self.token(&last)) })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn page(list: &str, limit: usize, token: Option<&str>) -> Result<Page, Refusal> {
        Page::of(list.into(), NEXT_TOKEN, SIZES, Some(limit), token)
    }

    #[test]
    fn pages_lead_through_every_item_once_and_end_without_a_token() {
        let items = || ["c", "a", "d", "b"].map(str::to_owned).to_vec();
        let first = page("x", 2, None).unwrap().cut(items(), String::clone);
        assert_eq!(first.items, ["a", "b"]);
        let second = page("x", 2, first.next_token.as_deref()).unwrap().cut(items(), String::clone);
        assert_eq!((second.items, second.next_token), (vec!["c".to_owned(), "d".to_owned()], None));
    }

    #[test]
    fn a_token_is_good_for_its_own_list_alone() {
        let token = page("x", 1, None).unwrap().token("a");
        assert!(page("x", 1, Some(&token)).is_ok());
        for (list, token) in [("y", token.as_str()), ("x", "garbage"), ("x", "%%%"), ("x", "")] {
            assert!(page(list, 1, Some(token)).is_err(), "{list} {token}");
        }
    }
}
