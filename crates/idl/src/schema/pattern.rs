//! Text patterns of the descriptions: a regular expression over the whole value, or the rule for names.

use std::fmt;
use std::sync::OnceLock;

use regex_lite::Regex;

/// What the characters of a text must look like.
pub enum Pattern {
    /// The whole text matches. Compiled when first used: parsing all descriptions stays cheap.
    Regex { text: String, compiled: OnceLock<Option<Regex>> },
    /// `[a-z0-9-]+` without a leading, trailing or doubled hyphen, not beginning with `forbidden`.
    Name { forbidden: Option<String> },
}

impl Pattern {
    /// A pattern for the whole text. `text` is checked when it is first used; a test uses all.
    pub fn regex(text: String) -> Self {
        Self::Regex { text, compiled: OnceLock::new() }
    }

    /// Whether `value` looks as it must. A pattern that does not compile matches nothing.
    pub fn matches(&self, value: &str) -> bool {
        match self {
            Self::Regex { text, compiled } => compiled
                .get_or_init(|| Regex::new(&format!("^(?:{text})$")).ok())
                .as_ref()
                .is_some_and(|regex| regex.is_match(value)),
            Self::Name { forbidden } => {
                !value.is_empty()
                    && value.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
                    && !value.starts_with('-')
                    && !value.ends_with('-')
                    && !value.contains("--")
                    && !forbidden.as_deref().is_some_and(|prefix| value.starts_with(prefix))
            }
        }
    }

    /// The same rule as one regular expression with look-ahead, for messages and for checks.
    pub fn expression(&self) -> String {
        match self {
            Self::Regex { text, .. } => text.clone(),
            Self::Name { forbidden } => {
                let prefix = forbidden.as_ref().map(|prefix| format!("(?!{prefix})")).unwrap_or_default();
                format!("{prefix}(?!-)(?!.*-$)(?!.*--)[a-z0-9-]+")
            }
        }
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({})", self.expression())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_single_inner_hyphens_and_not_the_prefix_of_an_id() {
        let pattern = Pattern::Name { forbidden: Some("svc-".into()) };
        for good in ["a", "cart", "cart-2", "svc", "svcs-1", "0"] {
            assert!(pattern.matches(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a--b", "svc-a", "Cart", "a_b", "a b", "é"] {
            assert!(!pattern.matches(bad), "{bad}");
        }
    }

    #[test]
    fn a_regex_covers_the_whole_text() {
        let pattern = Pattern::regex("svc-[0-9a-z]{3}|x".into());
        assert!(pattern.matches("svc-0ab"));
        assert!(pattern.matches("x"));
        for bad in ["svc-0ab1", "asvc-0ab", "svc-0ab\n", "xx", ""] {
            assert!(!pattern.matches(bad), "{bad:?}");
        }
    }
}
