//! Path templates of REST operations, matched against paths as they were received.

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
        let segments = split(without_last_slash(text))?
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
        let mut pieces = split(without_last_slash(raw_path))?;
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

/// Templates and clients both write one at the end, or do not.
fn without_last_slash(path: &str) -> &str {
    path.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(path)
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

    fn labels<'p>(template: &UriTemplate, path: &'p str) -> Option<Vec<&'p str>> {
        Some(template.matches(path)?.into_iter().map(|(_, label)| label).collect())
    }

    #[test]
    fn an_encoded_arn_is_one_label() {
        let template = UriTemplate::parse("/services/{id}/listeners").unwrap();
        let arn = "arn%3Aaws%3Avpc-lattice%3Aus-east-1%3A111122223333%3Aservice%2Fsvc-0";
        assert_eq!(labels(&template, &format!("/services/{arn}/listeners")).unwrap(), [arn]);
    }

    #[test]
    fn a_trailing_slash_is_accepted_and_an_empty_label_is_not() {
        for template in ["/services/{id}", "/services/{id}/"] {
            let template = UriTemplate::parse(template).unwrap();
            assert_eq!(labels(&template, "/services/x").unwrap(), ["x"]);
            assert_eq!(labels(&template, "/services/x/").unwrap(), ["x"]);
            for path in
                ["/services", "/services/", "/services//", "/services/x//", "/services/x/y", "services/x", ""]
            {
                assert_eq!(labels(&template, path), None, "{path}");
            }
        }
        let root = UriTemplate::parse("/").unwrap();
        assert!(root.matches("/").is_some());
        assert!(root.matches("/x").is_none());
    }

    #[test]
    fn a_malformed_template_is_refused() {
        for text in ["services", "/a{b}", "/{}", "/{a", "/{a+}"] {
            assert_eq!(UriTemplate::parse(text), None, "{text}");
        }
    }
}
