//! Patterns: `*` for any text, `?` for one character, `${key}` for a value of the access.

use crate::condition::ConditionKey;
use crate::{Access, StatementFault};

/// Longest pattern compiled, in bytes; bounds the work of one match.
const MAX_PATTERN_BYTES: usize = 2048;

/// Most variables of one pattern; more are refused.
const MAX_VARIABLES: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    /// `?`
    One,
    /// `*`
    Many,
    Variable {
        /// How many come before it.
        index: usize,
        key: ConditionKey,
        default: Option<Box<str>>,
    },
}

/// What text a pattern may hold besides itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Syntax {
    pub(crate) wildcards: bool,
    pub(crate) variables: bool,
}

/// A compiled pattern for a whole text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    pieces: Box<[Piece]>,
    has_variables: bool,
}

/// How a text stands to a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Match {
    Yes,
    No,
    /// The pattern has a variable that the access has no single value for.
    Unresolved,
}

impl From<bool> for Match {
    fn from(matches: bool) -> Self {
        if matches { Self::Yes } else { Self::No }
    }
}

impl Pattern {
    pub(crate) fn compile(text: &str, syntax: Syntax) -> Result<Self, StatementFault> {
        if text.len() > MAX_PATTERN_BYTES {
            return Err(StatementFault::PatternTooLong);
        }
        let mut pieces: Vec<Piece> = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        let mut variables = 0;
        let mut flush = |literal: &mut String, piece: Option<Piece>| {
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(literal).into()));
            }
            // Two stars are one.
            if let Some(piece) =
                piece.filter(|piece| *piece != Piece::Many || pieces.last() != Some(&Piece::Many))
            {
                pieces.push(piece);
            }
        };
        while let Some(first) = rest.chars().next() {
            if syntax.variables && rest.starts_with("${") {
                let end = rest.find('}').ok_or_else(|| StatementFault::variable(rest))?;
                match &rest[2..end] {
                    // The three that stand for the character itself.
                    escaped @ ("*" | "?" | "$") => literal.push_str(escaped),
                    variable if variables < MAX_VARIABLES => {
                        flush(&mut literal, Some(parse_variable(variable, variables)?));
                        variables += 1;
                    }
                    _ => return Err(StatementFault::TooManyVariables),
                }
                rest = &rest[end + 1..];
                continue;
            }
            match first {
                '*' if syntax.wildcards => flush(&mut literal, Some(Piece::Many)),
                '?' if syntax.wildcards => flush(&mut literal, Some(Piece::One)),
                other => literal.push(other),
            }
            rest = &rest[first.len_utf8()..];
        }
        flush(&mut literal, None);
        let has_variables = pieces.iter().any(|piece| matches!(piece, Piece::Variable { .. }));
        Ok(Self { pieces: pieces.into(), has_variables })
    }

    /// What its variables stand for.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &ConditionKey> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Variable { key, .. } => Some(key),
            Piece::Text(_) | Piece::One | Piece::Many => None,
        })
    }

    pub(crate) fn matches(&self, text: &str, ignore_case: bool, access: &Access<'_>) -> Match {
        if !self.has_variables {
            return glob(&self.pieces, &NO_VALUES, text, ignore_case).into();
        }
        let mut values = Values::NONE;
        for piece in &self.pieces {
            if let Piece::Variable { key, default, .. } = piece
                && !values.take(key, default.as_deref(), access)
            {
                return Match::Unresolved;
            }
        }
        glob(&self.pieces, &values, text, ignore_case).into()
    }
}

/// For patterns without variables.
static NO_VALUES: Values = Values::NONE;

/// What the variables of one pattern stand for, in their order. Up to a size it is on the stack.
struct Values {
    ends: [usize; MAX_VARIABLES],
    count: usize,
    short: [u8; 1024],
    /// In place of `short`, once that is too small.
    long: Vec<u8>,
}

impl Values {
    const NONE: Self = Self { ends: [0; MAX_VARIABLES], count: 0, short: [0; 1024], long: Vec::new() };

    /// The value of the next variable. A variable stands for one value; with none or several it
    /// stands for its default, and without one for nothing: false.
    fn take(&mut self, key: &ConditionKey, default: Option<&str>, access: &Access<'_>) -> bool {
        let mut seen = 0;
        key.values(access, &mut |value| {
            seen += 1;
            if seen == 1 {
                self.put(value);
            }
        });
        if seen != 1 {
            let Some(default) = default else { return false };
            self.put(default);
        }
        self.count += 1;
        true
    }

    fn put(&mut self, value: &str) {
        let start = self.start(self.count);
        let end = start + value.len();
        if self.long.is_empty() && end <= self.short.len() {
            self.short[start..end].copy_from_slice(value.as_bytes());
        } else {
            if self.long.is_empty() {
                self.long.extend_from_slice(&self.short[..start]);
            }
            self.long.truncate(start);
            self.long.extend_from_slice(value.as_bytes());
        }
        self.ends[self.count] = end;
    }

    fn start(&self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |before| self.ends[before])
    }

    fn of(&self, index: usize) -> &[u8] {
        let all = if self.long.is_empty() { &self.short[..] } else { &self.long };
        &all[self.start(index)..self.ends[index]]
    }
}

fn parse_variable(text: &str, index: usize) -> Result<Piece, StatementFault> {
    let (name, default) = match text.split_once(',') {
        None => (text, None),
        Some((name, default)) => {
            let default = default.trim().strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
            (name, Some(default.ok_or_else(|| StatementFault::variable(text))?))
        }
    };
    let key = ConditionKey::parse(name.trim()).ok_or_else(|| StatementFault::variable(text))?;
    Ok(Piece::Variable { index, key, default: default.map(Into::into) })
}

/// Goes back only to the latest star: an earlier one could not do better.
fn glob(pieces: &[Piece], values: &Values, text: &str, ignore_case: bool) -> bool {
    let (mut piece, mut at) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        let advanced = match pieces.get(piece) {
            None if at == text.len() => return true,
            None => None,
            Some(Piece::Many) if piece + 1 == pieces.len() => return true,
            Some(Piece::Many) => {
                star = Some((piece, at));
                Some(at)
            }
            Some(Piece::One) => text[at..].chars().next().map(|character| at + character.len_utf8()),
            Some(Piece::Text(literal)) => literal_at(text, at, literal.as_bytes(), ignore_case),
            // Values stand for themselves: a star in a value is a star.
            Some(Piece::Variable { index, .. }) => literal_at(text, at, values.of(*index), ignore_case),
        };
        if let Some(next) = advanced {
            (piece, at) = (piece + 1, next);
            continue;
        }
        let Some((star_piece, star_at)) = star else { return false };
        let Some(skipped) = text[star_at..].chars().next() else { return false };
        let next = star_at + skipped.len_utf8();
        star = Some((star_piece, next));
        (piece, at) = (star_piece + 1, next);
    }
}

/// Where `text` goes on behind `literal`, if that is what it has at `at`.
fn literal_at(text: &str, at: usize, literal: &[u8], ignore_case: bool) -> Option<usize> {
    let end = at + literal.len();
    let here = text.as_bytes().get(at..end)?;
    let same = if ignore_case { here.eq_ignore_ascii_case(literal) } else { here == literal };
    same.then_some(end)
}

/// A pattern for ARNs: each of the six parts on its own, so that no star reaches over a colon
/// into another part. `arn:aws:*` is every ARN of the partition. What does not begin with `arn:`
/// (`*`, `*/rates`) is a pattern for the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ArnPattern {
    Parts(Box<[Pattern; 6]>),
    Whole(Pattern),
}

impl ArnPattern {
    pub(crate) fn compile(text: &str, syntax: Syntax) -> Result<Self, StatementFault> {
        if !text.starts_with("arn:") {
            return Pattern::compile(text, syntax).map(Self::Whole);
        }
        let [a, b, c, d, e, f] = arn_parts(text).map(|part| Pattern::compile(part, syntax));
        Ok(Self::Parts(Box::new([a?, b?, c?, d?, e?, f?])))
    }

    /// What its variables stand for.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &ConditionKey> {
        let patterns = match self {
            Self::Whole(pattern) => std::slice::from_ref(pattern),
            Self::Parts(patterns) => &patterns[..],
        };
        patterns.iter().flat_map(Pattern::keys)
    }

    pub(crate) fn matches(&self, arn: &str, access: &Access<'_>) -> Match {
        let patterns = match self {
            Self::Whole(pattern) => return pattern.matches(arn, false, access),
            Self::Parts(patterns) => patterns,
        };
        let mut parts = arn.splitn(6, ':');
        let mut result = Match::Yes;
        for pattern in patterns.iter() {
            let Some(part) = parts.next() else { return Match::No };
            match pattern.matches(part, false, access) {
                Match::Yes => {}
                Match::No => return Match::No,
                Match::Unresolved => result = Match::Unresolved,
            }
        }
        result
    }
}

/// Splits at the first five colons that are not inside a variable. Parts that are left out are
/// anything after a final star, and otherwise empty, as in no ARN.
fn arn_parts(text: &str) -> [&str; 6] {
    let mut parts = [if text.ends_with('*') { "*" } else { "" }; 6];
    let (mut start, mut index, mut in_variable) = (0, 0, false);
    for (at, character) in text.char_indices() {
        match character {
            '{' if text[..at].ends_with('$') => in_variable = true,
            '}' => in_variable = false,
            ':' if !in_variable && index < 5 => {
                parts[index] = &text[start..at];
                (start, index) = (at + 1, index + 1);
            }
            _ => {}
        }
    }
    parts[index] = &text[start..];
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Caller;

    const WILD: Syntax = Syntax { wildcards: true, variables: true };

    fn matches(pattern: &str, text: &str) -> Match {
        let caller = Caller::user("111122223333", "/", "al*ce", "AIDA1");
        let access = Access { caller: &caller, action: "", resource: "", context: &() };
        Pattern::compile(pattern, WILD).unwrap().matches(text, false, &access)
    }

    #[test]
    fn stars_and_question_marks_stand_for_text() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("**", "anything", true),
            ("a*", "a", true),
            ("a*b", "axxb", true),
            ("a*b", "axxbc", false),
            ("*a*b*", "xaxbx", true),
            ("*ab*ab", "abab", true),
            ("*ab*ab", "ab", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a?c", "aéc", true),
            ("?", "", false),
            ("*?", "a", true),
            ("*aab", "aaab", true),
            ("A*", "abc", false),
            ("é*", "éa", true),
        ] {
            assert_eq!(matches(pattern, text) == Match::Yes, expected, "{pattern} ~ {text}");
        }
    }

    #[test]
    fn variables_stand_for_values_and_their_stars_for_stars() {
        assert_eq!(matches("home/${aws:username}/*", "home/al*ce/x"), Match::Yes);
        assert_eq!(matches("home/${aws:username}/*", "home/alice/x"), Match::No);
        assert_eq!(matches("${aws:UserName}", "al*ce"), Match::Yes);
        assert_eq!(matches("${aws:PrincipalTag/team}", "x"), Match::Unresolved);
        assert_eq!(matches("${aws:PrincipalTag/team, 'none'}-*", "none-1"), Match::Yes);
        assert_eq!(matches("${*}${?}${$}", "*?$"), Match::Yes);
        assert_eq!(matches("${*}", "a"), Match::No);
        for bad in ["${", "${}", "${a b}", "${aws:username, x}", "${username}"] {
            assert!(Pattern::compile(bad, WILD).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_star_in_an_arn_stays_in_its_part() {
        let caller = Caller::anonymous();
        let access = Access { caller: &caller, action: "", resource: "", context: &() };
        let arn = "arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-1/a:b/c";
        for (pattern, expected) in [
            ("*", true),
            ("*/c", true),
            ("arn:*", true),
            ("arn:aws:vpc-lattice:*:*:service/svc-1/*", true),
            ("arn:aws:vpc-lattice:us-east-1:111122223333:service/*/c", true),
            ("arn:aws:*:service/svc-1/a:b/c", false),
            ("arn:aws:*:*:*:*", true),
            ("arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-1", false),
            ("arn:aws:vpc-lattice::111122223333:*", false),
        ] {
            let compiled = ArnPattern::compile(pattern, WILD).unwrap();
            assert_eq!(compiled.matches(arn, &access) == Match::Yes, expected, "{pattern}");
        }
    }

    #[test]
    fn a_hostile_pattern_costs_little() {
        let pattern = "*a".repeat(MAX_PATTERN_BYTES / 2);
        let text = "a".repeat(8000) + "b";
        assert_eq!(matches(&pattern, &text), Match::No);
        assert!(Pattern::compile(&"a".repeat(MAX_PATTERN_BYTES + 1), WILD).is_err());
    }
}
