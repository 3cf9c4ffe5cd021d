//! Why a policy says what it says of an access, statement by statement.

use crate::condition::ConditionKey;
use crate::document::{Document, EffectText};
use crate::statement::Mismatch;
use crate::{Access, Decision, Policy, PolicyError, PolicyKind};

/// What a policy says, and each of its statements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    pub decision: Decision,
    pub statements: Vec<Explained>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// From 1, in the order of the text.
    pub number: usize,
    pub sid: Option<String>,
    pub denies: bool,
    /// `None`: it applies.
    pub obstacle: Option<Obstacle>,
}

/// The first thing, in the order the engine looks, that keeps a statement from applying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    Action,
    Principal,
    Resource,
    Condition {
        operator: String,
        key: String,
        wanted: Vec<String>,
        /// What the access has; nothing where it has no such key.
        found: Vec<String>,
    },
}

/// Parses `text` and asks it, with the engine that decides on requests.
///
/// # Errors
/// As [`Policy::parse`].
pub fn explain(text: &str, kind: PolicyKind, access: &Access<'_>) -> Result<Explanation, PolicyError> {
    let policy = Policy::parse(text, kind)?;
    let document: Document =
        serde_json::from_str(text).map_err(|error| PolicyError::Document { message: error.to_string() })?;
    let statements = policy.statements.iter().zip(document.statement).enumerate();
    let explained = statements.map(|(index, (statement, text))| {
        let obstacle = statement.mismatch(access).map(|mismatch| match mismatch {
            Mismatch::Action => Obstacle::Action,
            Mismatch::Principal => Obstacle::Principal,
            Mismatch::Resource => Obstacle::Resource,
            Mismatch::Condition(place) => {
                let mut conditions = text.condition.0.iter().flat_map(|(operator, keys)| {
                    keys.0.iter().map(move |(key, values)| (operator.clone(), key.clone(), values))
                });
                let (operator, key, values) =
                    conditions.nth(place).expect("conditions are compiled in the order of the text");
                let mut found = Vec::new();
                if let Some(key) = ConditionKey::parse(&key) {
                    key.values(access, &mut |value| found.push(value.to_owned()));
                }
                let wanted = values.0.iter().map(|value| value.0.clone()).collect();
                Obstacle::Condition { operator, key, wanted, found }
            }
        });
        let denies = matches!(text.effect, EffectText::Deny);
        Explained { number: index + 1, sid: text.sid, denies, obstacle }
    });
    Ok(Explanation { decision: policy.decide(access), statements: explained.collect() })
}
