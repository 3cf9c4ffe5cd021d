//! Path templates of REST operations, matched against paths as they were received.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// A template such as `/services/{serviceIdentifier}/listeners`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UriTemplate {
    text: String,
    segments: Vec<Segment>,
}

/// One piece between slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    Literal(String),
    /// The member that takes this segment.
    Label(String),
}

impl UriTemplate {
    /// Reads a template; `None` unless it begins with a slash and braces stand around whole segments.
    pub fn parse(text: &str) -> Option<Self> {
        let segments = split(text)?
            .map(|segment| match segment.strip_prefix('{') {
                Some(rest) => rest
                    .strip_suffix('}')
                    .filter(|label| !label.is_empty() && !label.contains(['{', '}', '+']))
                    .map(|label| Segment::Label(label.to_owned())),
                None => (!segment.contains(['{', '}'])).then(|| Segment::Literal(segment.to_owned())),
            })
            .collect::<Option<Vec<_>>>()?;
        Some(Self { text: text.to_owned(), segments })
    }

    /// The text it was read from.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// How many segments are literal: of two templates that match, the one with more is meant.
    pub fn literals(&self) -> usize {
        self.segments.iter().filter(|segment| matches!(segment, Segment::Literal(_))).count()
    }

    /// The labels of `raw_path` (percent-encoded, as received), still encoded, or `None` where the
    /// template does not match. One trailing slash is allowed; an empty label is not.
    ///
    /// Splitting before decoding keeps `arn%3A...%2Fsvc-0` in one label.
    pub fn matches<'p>(&self, raw_path: &'p str) -> Option<Vec<(&str, &'p str)>> {
        let trimmed = match raw_path.strip_suffix('/') {
            Some(rest) if !rest.is_empty() => rest,
            _ => raw_path,
        };
        let mut pieces = split(trimmed)?;
        let mut labels = Vec::new();
        for segment in &self.segments {
            let piece = pieces.next()?;
            match segment {
                Segment::Literal(literal) if literal == piece => {}
                Segment::Literal(_) => return None,
                Segment::Label(_) if piece.is_empty() => return None,
                Segment::Label(name) => labels.push((name.as_str(), piece)),
            }
        }
        pieces.next().is_none().then_some(labels)
    }
}

/// A label decoded, once; `None` where its bytes are no text.
pub(crate) fn decode_label(label: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(label).decode_utf8().ok()
}

/// The segments after the first slash; none for `/` alone.
fn split(path: &str) -> Option<impl Iterator<Item = &str>> {
    let rest = path.strip_prefix('/')?;
    let count = if rest.is_empty() { 0 } else { usize::MAX };
    Some(rest.split('/').take(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels<'p>(template: &UriTemplate, path: &'p str) -> Option<Vec<Cow<'p, str>>> {
        template.matches(path)?.into_iter().map(|(_, label)| decode_label(label)).collect()
    }

    #[test]
    fn an_encoded_arn_is_one_label_and_is_decoded_once() {
        let template = UriTemplate::parse("/services/{id}/listeners").unwrap();
        let path = "/services/arn%3Aaws%3Avpc-lattice%3Aus-east-1%3A111122223333%3Aservice%2Fsvc-0/listeners";
        assert_eq!(
            labels(&template, path).unwrap(),
            ["arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-0"]
        );
        assert_eq!(labels(&template, "/services/a%252Fb/listeners").unwrap(), ["a%2Fb"]);
    }

    #[test]
    fn a_trailing_slash_is_accepted_and_an_empty_label_is_not() {
        let template = UriTemplate::parse("/services/{id}").unwrap();
        assert_eq!(labels(&template, "/services/x/").unwrap(), ["x"]);
        for path in
            ["/services", "/services/", "/services//", "/services/x//", "/services/x/y", "services/x", ""]
        {
            assert_eq!(labels(&template, path), None, "{path}");
        }
        let root = UriTemplate::parse("/").unwrap();
        assert!(root.matches("/").is_some());
        assert!(root.matches("/x").is_none());
    }

    #[test]
    fn bytes_that_are_no_text_are_reported_instead_of_replaced() {
        let template = UriTemplate::parse("/tags/{arn}").unwrap();
        assert!(template.matches("/tags/%ff").is_some());
        assert_eq!(labels(&template, "/tags/%ff"), None);
    }

    #[test]
    fn a_malformed_template_is_refused() {
        for text in ["services", "/a{b}", "/{}", "/{a", "/{a+}"] {
            assert_eq!(UriTemplate::parse(text), None, "{text}");
        }
    }
}
