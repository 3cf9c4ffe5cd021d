//! Filters of Describe operations: every filter must be met, by any one of its values.
//!
//! `*` stands for any text and `?` for any one character, `\` takes the meaning away; case counts.

pub(super) mod names;

use trellis_frame::Refusal;
use trellis_frame::tags::Tags;

use super::fault;
use super::input::Filter;

/// "A request can have 200 values" in all of its filters together.
const MAX_VALUES: usize = 200;

/// Checked filters.
#[derive(Debug)]
pub(super) struct Filters(Vec<Filter>);

impl Filters {
    /// `known` are the names this operation has, `tag:KEY` and `tag-key` aside.
    ///
    /// # Errors
    /// `InvalidParameterValue` for a name it does not have, `FilterLimitExceeded` for too many.
    pub(super) fn new(filters: Vec<Filter>, known: &[&str]) -> Result<Self, Refusal> {
        for filter in &filters {
            let name = filter.name.as_str();
            if !known.contains(&name) && name != "tag-key" && !name.starts_with("tag:") {
                let name = fault::quoted(name);
                return Err(fault::invalid_value(format_args!("The filter '{name}' is invalid")));
            }
            if filter.values.is_empty() {
                let name = fault::quoted(name);
                return Err(fault::invalid_value(format_args!("The filter '{name}' has no value")));
            }
        }
        if filters.iter().map(|filter| filter.values.len()).sum::<usize>() > MAX_VALUES {
            let message = format!("A request may have at most {MAX_VALUES} filter values");
            return Err(fault::refuse("FilterLimitExceeded", message));
        }
        Ok(Self(filters))
    }

    /// Whether a resource with these tags passes; `field` gives its values for a known filter name.
    pub(super) fn pass(&self, tags: &Tags, field: impl Fn(&str) -> Vec<String>) -> bool {
        self.0.iter().all(|filter| {
            let any = |text: &str| filter.values.iter().any(|pattern| matches(pattern, text));
            match filter.name.as_str() {
                "tag-key" => tags.keys().any(|key| any(key)),
                name => match name.strip_prefix("tag:") {
                    Some(key) => tags.get(key).is_some_and(|value| any(value)),
                    None => field(name).iter().any(|value| any(value)),
                },
            }
        })
    }

    /// Something that differs between different filters, for page tokens.
    pub(super) fn text(&self) -> String {
        self.0.iter().map(|filter| format!("{}={};", filter.name, filter.values.join(","))).collect()
    }
}

/// Whether `text` is of the form `pattern`. Time is bounded by the product of both lengths.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let pattern = compile(pattern);
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut seen) = (0, 0);
    // Where the last star was, and how much text it has swallowed: the only place to go back to.
    let mut star: Option<(usize, usize)> = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some(Piece::Any) => {
                star = Some((at, seen));
                at += 1;
                continue;
            }
            Some(Piece::One) => {}
            Some(Piece::Char(wanted)) if *wanted == text[seen] => {}
            _ => match star {
                Some((place, swallowed)) => {
                    star = Some((place, swallowed + 1));
                    (at, seen) = (place + 1, swallowed + 1);
                    continue;
                }
                None => return false,
            },
        }
        at += 1;
        seen += 1;
    }
    pattern[at..].iter().all(|piece| matches!(piece, Piece::Any))
}

enum Piece {
    /// `*`
    Any,
    /// `?`
    One,
    Char(char),
}

fn compile(pattern: &str) -> Vec<Piece> {
    let mut pieces = Vec::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        pieces.push(match character {
            '*' => Piece::Any,
            '?' => Piece::One,
            '\\' => Piece::Char(characters.next().unwrap_or('\\')),
            other => Piece::Char(other),
        });
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_stand_for_text_and_a_backslash_takes_that_away() {
        for (pattern, text, expected) in [
            ("web", "web", true),
            ("web", "Web", false),
            ("web", "webs", false),
            ("w*", "w", true),
            ("w*b", "wab cab", true),
            ("w*b", "wab cac", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("10.0.?.0/24", "10.0.1.0/24", true),
            ("10.0.?.0/24", "10.0.11.0/24", false),
            ("?", "é", true),
            ("*", "", true),
            ("?", "", false),
            ("", "", true),
            ("", "x", false),
            (r"a\*", "a*", true),
            (r"a\*", "ab", false),
            (r"a\", r"a\", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
        let stars = "*a".repeat(200);
        assert!(!matches(&stars, &"a".repeat(199)));
    }

    fn filter(name: &str, values: &[&str]) -> Filter {
        Filter { name: name.into(), values: values.iter().map(|&value| value.into()).collect() }
    }

    #[test]
    fn every_filter_must_be_met_by_one_of_its_values() {
        let tags: Tags = [("stage".to_owned(), "prod".to_owned())].into();
        let field = |name: &str| vec![format!("{name}-1"), format!("{name}-2")];
        let known = ["state"];
        for (filters, expected) in [
            (vec![], true),
            (vec![filter("state", &["state-2"])], true),
            (vec![filter("state", &["x", "state-1"]), filter("tag:stage", &["pr*"])], true),
            (vec![filter("state", &["state-1"]), filter("tag:stage", &["dev"])], false),
            (vec![filter("tag-key", &["stage"])], true),
            (vec![filter("tag-key", &["prod"])], false),
            (vec![filter("tag:other", &["*"])], false),
        ] {
            let text = format!("{filters:?}");
            assert_eq!(Filters::new(filters, &known).unwrap().pass(&tags, field), expected, "{text}");
        }
        assert!(Filters::new(vec![filter("colour", &["x"])], &known).is_err());
        assert!(Filters::new(vec![filter("state", &[])], &known).is_err());
        assert!(Filters::new(vec![filter("state", &["x"; 201])], &known).is_err());
    }
}
