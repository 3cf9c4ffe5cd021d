//! The Condition element: operators on the circumstances of an access.
//!
//! Several operators, and several keys of one, must all hold; of several values of a key one must.
//! A key that the access does not have fails a condition, except one that is negated, asks with
//! `IfExists`, or asks about all of no values.

use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::document::{Many, Members, Scalar};
use crate::pattern::{ArnPattern, Match, Pattern, Syntax};
use crate::{Access, StatementFault};

/// The name of a circumstance, such as `aws:SourceVpc` or `aws:PrincipalTag/team`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConditionKey {
    name: Box<str>,
    argument: Option<Box<str>>,
}

impl ConditionKey {
    /// `prefix:Name` or `prefix:Name/argument`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (name, argument) = match text.split_once('/') {
            Some((name, argument)) if name.contains(':') => (name, Some(argument)),
            // An issuer may have a path: `oidc.example.com/id/1:sub`.
            _ => (text, None),
        };
        let (prefix, word) = name.rsplit_once(':')?;
        let is_word = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte))
        };
        let valid = text.len() <= 512 && is_word(prefix) && is_word(word) && argument != Some("");
        valid.then(|| Self { name: name.to_ascii_lowercase().into(), argument: argument.map(Into::into) })
    }

    /// In lower case, as key names have no case: `aws:principaltag`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What follows the first slash, as the policy writes it: `team`.
    pub fn argument(&self) -> Option<&str> {
        self.argument.as_deref()
    }

    pub(crate) fn values(&self, access: &Access<'_>, visit: &mut dyn FnMut(&str)) {
        if !access.caller.values(self, visit) {
            access.context.values(self, visit);
        }
    }
}

/// One operator on one key.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    key: ConditionKey,
    set: SetOperator,
    if_exists: bool,
    negated: bool,
    test: Test,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SetOperator {
    /// None written: holds for a value of the access.
    Plain,
    ForAnyValue,
    ForAllValues,
}

/// What a value is compared with: one of these must hold.
#[derive(Debug, Clone)]
enum Test {
    Text {
        patterns: Box<[Pattern]>,
        ignore_case: bool,
    },
    Arn(Box<[ArnPattern]>),
    Number {
        comparison: Comparison,
        operands: Box<[f64]>,
    },
    Date {
        comparison: Comparison,
        operands: Box<[Timestamp]>,
    },
    Bool(Box<[bool]>),
    Address(Box<[IpNet]>),
    /// True: the key must be absent.
    Null(Box<[bool]>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    fn holds<T: PartialOrd>(self, value: &T, operand: &T) -> bool {
        match self {
            Self::Equal => value == operand,
            Self::Less => value < operand,
            Self::LessOrEqual => value <= operand,
            Self::Greater => value > operand,
            Self::GreaterOrEqual => value >= operand,
        }
    }

    /// From what follows `Numeric` or `Date`, with whether it is negated.
    fn parse(word: &str) -> Option<(Self, bool)> {
        Some(match word {
            "Equals" => (Self::Equal, false),
            "NotEquals" => (Self::Equal, true),
            "LessThan" => (Self::Less, false),
            "LessThanEquals" => (Self::LessOrEqual, false),
            "GreaterThan" => (Self::Greater, false),
            "GreaterThanEquals" => (Self::GreaterOrEqual, false),
            _ => return None,
        })
    }
}

/// Compiles the whole element; the outcome holds when each of its conditions does.
pub(crate) fn compile(
    element: Members<Members<Many<Scalar>>>,
    variables: bool,
) -> Result<Box<[Condition]>, StatementFault> {
    let mut conditions = Vec::new();
    for (operator, keys) in element.0 {
        for (key, values) in keys.0 {
            conditions.push(Condition::compile(&operator, &key, &values.0, variables)?);
        }
    }
    Ok(conditions.into())
}

impl Condition {
    fn compile(
        operator: &str,
        key: &str,
        values: &[Scalar],
        variables: bool,
    ) -> Result<Self, StatementFault> {
        let unknown = || StatementFault::Operator { found: operator.chars().take(128).collect() };
        let (set, rest) = match operator.split_once(':') {
            None => (SetOperator::Plain, operator),
            Some(("ForAnyValue", rest)) => (SetOperator::ForAnyValue, rest),
            Some(("ForAllValues", rest)) => (SetOperator::ForAllValues, rest),
            Some(_) => return Err(unknown()),
        };
        let (word, if_exists) = match rest.strip_suffix("IfExists") {
            Some(word) => (word, true),
            None => (rest, false),
        };
        if word == "Null" && (if_exists || set != SetOperator::Plain) {
            return Err(unknown());
        }
        if values.is_empty() {
            return Err(StatementFault::value(operator, ""));
        }
        let parse = Values { operator, values };
        let text = |wildcards, ignore_case| {
            let patterns = parse.each(|text| Pattern::compile(text, Syntax { wildcards, variables }))?;
            Ok(Test::Text { patterns, ignore_case })
        };
        let arn = || {
            let syntax = Syntax { wildcards: true, variables };
            parse.each(|text| ArnPattern::compile(text, syntax)).map(Test::Arn)
        };
        let (negated, test) = match word {
            "StringEquals" => (false, text(false, false)?),
            "StringNotEquals" => (true, text(false, false)?),
            "StringEqualsIgnoreCase" => (false, text(false, true)?),
            "StringNotEqualsIgnoreCase" => (true, text(false, true)?),
            "StringLike" => (false, text(true, false)?),
            "StringNotLike" => (true, text(true, false)?),
            // AWS: ArnEquals and ArnLike behave identically.
            "ArnEquals" | "ArnLike" => (false, arn()?),
            "ArnNotEquals" | "ArnNotLike" => (true, arn()?),
            "Bool" => (false, Test::Bool(parse.all(parse_bool)?)),
            "Null" => (false, Test::Null(parse.all(parse_bool)?)),
            "IpAddress" => (false, Test::Address(parse.all(parse_network)?)),
            "NotIpAddress" => (true, Test::Address(parse.all(parse_network)?)),
            _ => match (word.strip_prefix("Numeric"), word.strip_prefix("Date")) {
                (Some(rest), _) => {
                    let (comparison, negated) = Comparison::parse(rest).ok_or_else(unknown)?;
                    (negated, Test::Number { comparison, operands: parse.all(parse_number)? })
                }
                (_, Some(rest)) => {
                    let (comparison, negated) = Comparison::parse(rest).ok_or_else(unknown)?;
                    (negated, Test::Date { comparison, operands: parse.all(parse_date)? })
                }
                _ => return Err(unknown()),
            },
        };
        let key = ConditionKey::parse(key)
            .ok_or_else(|| StatementFault::Key { found: key.chars().take(128).collect() })?;
        Ok(Self { key, set, if_exists, negated, test })
    }

    /// Everything it asks about: its key, and what the variables in its values stand for.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &ConditionKey> {
        let (texts, arns): (&[Pattern], &[ArnPattern]) = match &self.test {
            Test::Text { patterns, .. } => (patterns, &[]),
            Test::Arn(patterns) => (&[], patterns),
            _ => (&[], &[]),
        };
        let variables = texts.iter().flat_map(Pattern::keys).chain(arns.iter().flat_map(ArnPattern::keys));
        std::iter::once(&self.key).chain(variables)
    }

    /// `allowing`: the statement allows. Then a variable without a value makes the condition fail
    /// even when it is negated, so that nothing unknown opens a door.
    pub(crate) fn holds(&self, access: &Access<'_>, allowing: bool) -> bool {
        let (mut seen, mut held) = (0u32, 0u32);
        let mut unresolved = false;
        self.key.values(access, &mut |value| {
            seen += 1;
            let matched = match self.test.matches(value, access) {
                Match::Yes => true,
                Match::No => false,
                Match::Unresolved => {
                    unresolved = true;
                    false
                }
            };
            held += u32::from(matched != self.negated);
        });
        if let Test::Null(absent) = &self.test {
            return absent.contains(&(seen == 0));
        }
        if unresolved && allowing {
            return false;
        }
        if seen == 0 {
            return match self.set {
                SetOperator::Plain => self.negated || self.if_exists,
                SetOperator::ForAnyValue => self.if_exists,
                SetOperator::ForAllValues => true,
            };
        }
        match self.set {
            // Of several values a negated operator must find none that it names.
            SetOperator::Plain if self.negated => held == seen,
            SetOperator::Plain | SetOperator::ForAnyValue => held > 0,
            SetOperator::ForAllValues => held == seen,
        }
    }
}

impl Test {
    fn matches(&self, value: &str, access: &Access<'_>) -> Match {
        match self {
            Self::Text { patterns, ignore_case } => {
                any(patterns, |pattern| pattern.matches(value, *ignore_case, access))
            }
            Self::Arn(patterns) => any(patterns, |pattern| pattern.matches(value, access)),
            Self::Number { comparison, operands } => parse_number(value)
                .is_some_and(|value| operands.iter().any(|operand| comparison.holds(&value, operand)))
                .into(),
            Self::Date { comparison, operands } => parse_date(value)
                .is_some_and(|value| operands.iter().any(|operand| comparison.holds(&value, operand)))
                .into(),
            Self::Bool(operands) => parse_bool(value).is_some_and(|value| operands.contains(&value)).into(),
            Self::Address(networks) => value
                .parse::<IpAddr>()
                .is_ok_and(|address| {
                    let address = address.to_canonical();
                    networks.iter().any(|network| network.contains(&address))
                })
                .into(),
            // Decided by presence alone.
            Self::Null(_) => Match::No,
        }
    }
}

fn any<T>(patterns: &[T], mut matches: impl FnMut(&T) -> Match) -> Match {
    let mut result = Match::No;
    for pattern in patterns {
        match matches(pattern) {
            Match::Yes => return Match::Yes,
            Match::No => {}
            Match::Unresolved => result = Match::Unresolved,
        }
    }
    result
}

#[derive(Clone, Copy)]
struct Values<'a> {
    operator: &'a str,
    values: &'a [Scalar],
}

impl Values<'_> {
    fn each<T>(self, parse: impl Fn(&str) -> Result<T, StatementFault>) -> Result<Box<[T]>, StatementFault> {
        self.values.iter().map(|value| parse(&value.0)).collect()
    }

    fn all<T>(self, parse: impl Fn(&str) -> Option<T>) -> Result<Box<[T]>, StatementFault> {
        self.each(|text| parse(text).ok_or_else(|| StatementFault::value(self.operator, text)))
    }
}

fn parse_bool(text: &str) -> Option<bool> {
    match () {
        () if text.eq_ignore_ascii_case("true") => Some(true),
        () if text.eq_ignore_ascii_case("false") => Some(false),
        () => None,
    }
}

fn parse_number(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    text.parse().ok().filter(|number: &f64| plain && number.is_finite())
}

/// An address alone is a network of one.
fn parse_network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// A moment with offset, a day (its beginning in UTC), or seconds since 1970.
fn parse_date(text: &str) -> Option<Timestamp> {
    if let Ok(moment) = text.parse() {
        return Some(moment);
    }
    if let Ok(seconds) = text.parse::<i64>() {
        return Timestamp::from_second(seconds).ok();
    }
    let day = text.parse::<Date>().ok().filter(|_| text.len() == 10)?;
    day.to_zoned(TimeZone::UTC).ok().map(|start| start.timestamp())
}
