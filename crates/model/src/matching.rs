//! Which rule a request takes: path, method and header conditions, all of which must hold.

/// The parts of a request head that rules look at. The proxy's parsed head is one.
pub trait RequestHead {
    /// The method as sent, case kept.
    fn method(&self) -> &[u8];
    /// The raw path without the query: matching neither decodes nor normalises it.
    fn path(&self) -> &[u8];
    /// Calls `each` with every value of the header `name` (ASCII, any case) in order, until it
    /// returns true; returns whether it did.
    fn any_header(&self, name: &str, each: &mut dyn FnMut(&[u8]) -> bool) -> bool;
}

/// How a text is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextMatch {
    Exact(Box<str>),
    Prefix(Box<str>),
    Contains(Box<str>),
}

/// A comparison and whether ASCII case counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    pub how: TextMatch,
    pub case_sensitive: bool,
}

impl Text {
    /// Whether `value` passes. Never allocates.
    pub fn matches(&self, value: &[u8]) -> bool {
        let same = |a: &[u8], b: &[u8]| {
            if self.case_sensitive { a == b } else { a.eq_ignore_ascii_case(b) }
        };
        match &self.how {
            TextMatch::Exact(text) => same(value, text.as_bytes()),
            TextMatch::Prefix(text) => {
                value.get(..text.len()).is_some_and(|start| same(start, text.as_bytes()))
            }
            // windows(0) panics; the API refuses an empty value, and an empty text is in every text.
            TextMatch::Contains(text) => {
                text.is_empty() || value.windows(text.len()).any(|part| same(part, text.as_bytes()))
            }
        }
    }
}

/// A header condition: some value of the header passes. The name's case never counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderMatch {
    pub name: Box<str>,
    pub value: Text,
}

/// The conditions of one rule; what is absent always holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HttpMatch {
    pub method: Option<Box<str>>,
    pub path: Option<Text>,
    pub headers: Box<[HeaderMatch]>,
}

impl HttpMatch {
    /// Whether every condition holds for `head`.
    pub fn matches(&self, head: &impl RequestHead) -> bool {
        self.method.as_ref().is_none_or(|method| head.method() == method.as_bytes())
            && self.path.as_ref().is_none_or(|path| path.matches(head.path()))
            && self
                .headers
                .iter()
                .all(|header| head.any_header(&header.name, &mut |value| header.value.matches(value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Head {
        method: &'static str,
        path: &'static str,
        headers: &'static [(&'static str, &'static str)],
    }

    impl RequestHead for Head {
        fn method(&self) -> &[u8] {
            self.method.as_bytes()
        }
        fn path(&self) -> &[u8] {
            self.path.as_bytes()
        }
        fn any_header(&self, name: &str, each: &mut dyn FnMut(&[u8]) -> bool) -> bool {
            self.headers.iter().any(|(n, v)| n.eq_ignore_ascii_case(name) && each(v.as_bytes()))
        }
    }

    fn text(how: TextMatch, case_sensitive: bool) -> Text {
        Text { how, case_sensitive }
    }

    #[test]
    fn text_is_compared_exactly_by_prefix_and_by_content_with_and_without_case() {
        let exact = |t: &str| TextMatch::Exact(t.into());
        let prefix = |t: &str| TextMatch::Prefix(t.into());
        let contains = |t: &str| TextMatch::Contains(t.into());
        for (how, case, value, expected) in [
            (exact("/two"), true, "/two", true),
            (exact("/two"), true, "/two/", false),
            (exact("/two"), true, "/Two", false),
            (exact("/two"), false, "/TWO", true),
            (prefix("/api"), true, "/apiary", true),
            (prefix("/api"), true, "/ap", false),
            (prefix("/api"), true, "/API/x", false),
            (prefix("/api"), false, "/API/x", true),
            (contains("beta"), true, "x-beta-y", true),
            (contains("beta"), true, "x-BETA-y", false),
            (contains("beta"), false, "x-BETA-y", true),
            (contains("beta"), true, "bet", false),
        ] {
            assert_eq!(text(how.clone(), case).matches(value.as_bytes()), expected, "{how:?} {case} {value}");
        }
    }

    #[test]
    fn every_condition_of_a_rule_must_hold() {
        let head =
            Head { method: "GET", path: "/cart/1", headers: &[("X-Stage", "canary"), ("x-stage", "blue")] };
        let path = Some(text(TextMatch::Prefix("/cart".into()), true));
        let header = |value: &str| HeaderMatch {
            name: "x-stage".into(),
            value: text(TextMatch::Exact(value.into()), false),
        };
        let rule = |method: Option<&str>, headers: Vec<HeaderMatch>| HttpMatch {
            method: method.map(Into::into),
            path: path.clone(),
            headers: headers.into(),
        };
        assert!(HttpMatch::default().matches(&head));
        assert!(rule(Some("GET"), vec![header("blue"), header("CANARY")]).matches(&head));
        assert!(!rule(Some("get"), vec![]).matches(&head));
        assert!(!rule(Some("GET"), vec![header("blue"), header("green")]).matches(&head));
    }
}
