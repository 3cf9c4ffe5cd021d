//! Lines of a description, and the words in them.

use super::mistake::Mistake;
use crate::schema::Range;

/// A line without its indentation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'t> {
    pub(super) number: usize,
    pub(super) level: usize,
    pub(super) text: &'t str,
}

impl<'t> Line<'t> {
    pub(super) fn error(&self, problem: impl Into<String>) -> Mistake {
        Mistake { line: self.number, problem: problem.into() }
    }

    pub(super) fn words(&self) -> std::str::SplitAsciiWhitespace<'t> {
        self.text.split_ascii_whitespace()
    }
}

/// Meaningful lines with their levels.
pub(super) fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    text.lines().enumerate().filter_map(|(index, text)| {
        let rest = text.trim_start_matches(' ');
        let meaningful = !rest.trim().is_empty() && !rest.starts_with('#');
        meaningful.then(|| Line {
            number: index + 1,
            level: (text.len() - rest.len()) / 2,
            text: rest.trim_end(),
        })
    })
}

pub(super) fn word<'w>(
    line: Line<'_>,
    words: &mut impl Iterator<Item = &'w str>,
    expected: &str,
) -> Result<&'w str, Mistake> {
    words.next().ok_or_else(|| line.error(format!("expected {expected}")))
}

pub(super) fn end<'w>(line: Line<'_>, words: &mut impl Iterator<Item = &'w str>) -> Result<(), Mistake> {
    words.next().map_or(Ok(()), |word| Err(line.error(format!("did not expect {word:?}"))))
}

/// `[BOUNDS] of`, as lists and maps have it after their name.
pub(super) fn bounds_then_of<'w>(
    line: Line<'_>,
    words: &mut impl Iterator<Item = &'w str>,
) -> Result<Range, Mistake> {
    match word(line, words, "of")? {
        "of" => Ok(Range::default()),
        bounds => match word(line, words, "of")? {
            "of" => range(line, bounds),
            other => Err(line.error(format!("expected of, found {other:?}"))),
        },
    }
}

/// `3..40`, `3..`, `..40` or `21`.
pub(super) fn range(line: Line<'_>, text: &str) -> Result<Range, Mistake> {
    let bound = |text: &str| match text {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| line.error(format!("{text:?} is no bound"))),
    };
    let (min, max) = text.split_once("..").unwrap_or((text, text));
    let range = Range { min: bound(min)?, max: bound(max)? };
    match (range.min, range.max) {
        (Some(min), Some(max)) if min > max => Err(line.error(format!("{text} is empty"))),
        _ => Ok(range),
    }
}

pub(super) fn status(line: Line<'_>, text: &str) -> Result<u16, Mistake> {
    text.parse()
        .ok()
        .filter(|status| (200..600).contains(status))
        .ok_or_else(|| line.error(format!("{text:?} is no status")))
}
