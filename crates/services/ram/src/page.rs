//! Paging of lists that are put together in memory: every item has a key, a token is the last one's.

use trellis_frame::Refusal;
use trellis_frame::page::{from_token, to_token};

use super::refuse;

/// Items on a page when `maxResults` is absent; also the most there may be.
const DEFAULT_LIMIT: usize = 500;

/// The page of `items` that is asked for, in the order of their keys, and the next one's token.
///
/// # Errors
/// `InvalidNextTokenException` for a token that was never given.
pub(super) fn page<T>(
    mut items: Vec<(String, T)>,
    max_results: Option<u16>,
    next_token: Option<&str>,
) -> Result<(Vec<T>, Option<String>), Refusal> {
    let after = next_token
        .map(|token| {
            from_token(token)
                .filter(|after| !after.is_empty())
                .ok_or_else(|| refuse("InvalidNextTokenException", "nextToken is not a token of this list"))
        })
        .transpose()?;
    let limit = max_results.map_or(DEFAULT_LIMIT, usize::from).clamp(1, DEFAULT_LIMIT);
    items.sort_by(|(one, _), (other, _)| one.cmp(other));
    if let Some(after) = after {
        items.retain(|(key, _)| *key > after);
    }
    let next = (items.len() > limit).then(|| to_token(&items[limit - 1].0));
    items.truncate(limit);
    Ok((items.into_iter().map(|(_, item)| item).collect(), next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_lead_through_every_item_once_and_end_without_a_token() {
        let items = || ["c", "a", "d", "b"].map(|key| (key.to_owned(), key)).to_vec();
        let (first, token) = page(items(), Some(2), None).unwrap();
        assert_eq!(first, ["a", "b"]);
        let (second, token) = page(items(), Some(2), token.as_deref()).unwrap();
        assert_eq!((second, token), (vec!["c", "d"], None));
        assert!(page(items(), None, Some("%")).is_err() && page(items(), None, Some("")).is_err());
    }
}
