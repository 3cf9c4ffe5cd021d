//! Pages of Describe operations: in id order, at most a thousand on a page.

use trellis_frame::Refusal;
use trellis_frame::page::{from_token, to_token};
use trellis_model::resource::vpc::stable_suffix;

use super::fault;
use super::filter::Filters;

/// `MaxResults`, where given. EC2 wants no pages smaller than five.
const PAGE_SIZES: std::ops::RangeInclusive<i64> = 5..=1000;

/// Items on a page when `MaxResults` is absent.
const DEFAULT_SIZE: usize = 1000;

/// Which piece of a list is asked for.
#[derive(Debug)]
pub(super) struct Page {
    size: usize,
    after: Option<String>,
    /// What a token of this list begins with.
    list: String,
}

impl Page {
    /// A piece of what `operation` answers for `filters`.
    ///
    /// # Errors
    /// As [`Page::new`].
    pub(super) fn of(
        operation: &str,
        filters: &Filters,
        max_results: Option<i64>,
        next_token: Option<&str>,
    ) -> Result<Self, Refusal> {
        Self::new(&format!("{operation};{}", filters.text()), max_results, next_token)
    }

    /// `list` names the operation and its filters: a token belongs to the list it came from.
    ///
    /// # Errors
    /// `InvalidParameterValue` for a size out of range, `InvalidNextToken` for a token of another list.
    pub(super) fn new(
        list: &str,
        max_results: Option<i64>,
        next_token: Option<&str>,
    ) -> Result<Self, Refusal> {
        let size = match max_results {
            None => DEFAULT_SIZE,
            Some(size) if PAGE_SIZES.contains(&size) => usize::try_from(size).unwrap_or(DEFAULT_SIZE),
            Some(size) => {
                let (low, high) = (PAGE_SIZES.start(), PAGE_SIZES.end());
                return Err(fault::invalid_value(format_args!(
                    "Value ( {size} ) for parameter maxResults is invalid. Expecting a value from {low} to {high}."
                )));
            }
        };
        // A caller who forges one only gets to start elsewhere in a list of their own.
        let list = format!("{:016x}", stable_suffix(list));
        let after = match next_token {
            None | Some("") => None,
            Some(token) => {
                let after = from_token(token).and_then(|text| text.strip_prefix(&list).map(str::to_owned));
                Some(after.ok_or_else(|| {
                    fault::refuse("InvalidNextToken", "The specified NextToken does not belong to this list.")
                })?)
            }
        };
        Ok(Self { size, after, list })
    }

    /// The page of `items`, which are in the order of `key`, and the token of the next one.
    pub(super) fn cut<T>(&self, items: Vec<T>, key: impl Fn(&T) -> &str) -> (Vec<T>, Option<String>) {
        let mut rest = items
            .into_iter()
            .skip_while(|item| self.after.as_deref().is_some_and(|after| key(item) <= after))
            .peekable();
        let page: Vec<T> = rest.by_ref().take(self.size).collect();
        let next = match (page.last(), rest.peek()) {
            (Some(last), Some(_)) => Some(to_token(&format!("{}{}", self.list, key(last)))),
            _ => None,
        };
        (page, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("vpc-{n:04}")).collect()
    }

    #[test]
    fn pages_follow_each_other_without_gap_or_repetition() {
        let mut seen = Vec::new();
        let mut token: Option<String> = None;
        for expected in [5, 5, 2] {
            let page = Page::new("DescribeVpcs", Some(5), token.as_deref()).unwrap();
            let (items, next) = page.cut(all(12), String::as_str);
            assert_eq!(items.len(), expected);
            seen.extend(items);
            token = next;
        }
        assert_eq!((seen, token), (all(12), None));
    }

    #[test]
    fn a_full_last_page_has_no_token() {
        let page = Page::new("DescribeVpcs", Some(5), None).unwrap();
        assert_eq!(page.cut(all(5), String::as_str).1, None);
    }

    #[test]
    fn sizes_out_of_range_and_tokens_of_other_lists_are_refused() {
        for size in [-1, 0, 4, 1001] {
            assert!(Page::new("x", Some(size), None).is_err(), "{size}");
        }
        let token = Page::new("x", Some(5), None).unwrap().cut(all(6), String::as_str).1.unwrap();
        assert!(Page::new("x", None, Some(&token)).is_ok());
        for (list, token) in [("y", token.as_str()), ("x", "garbage"), ("x", "%%%")] {
            assert!(Page::new(list, None, Some(token)).is_err(), "{list} {token}");
        }
    }
}
