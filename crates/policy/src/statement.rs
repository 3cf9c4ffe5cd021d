//! One statement, compiled: an effect, and what it is about.

use crate::condition::{self, Condition, ConditionKey};
use crate::document::{EffectText, StatementText};
use crate::partial::{Told, Untold};
use crate::pattern::{ArnPattern, Match, Pattern, Syntax};
use crate::principal::Principals;
use crate::{Access, PolicyKind};

/// What is wrong with a statement. Texts quote at most the beginning of what was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementFault {
    #[error("it must have {element}")]
    Missing { element: &'static str },
    #[error("it must not have {element} in a policy of this kind")]
    Misplaced { element: &'static str },
    #[error("it must have only one of {element} and Not{element}")]
    Both { element: &'static str },
    #[error("{element} must not be empty")]
    Empty { element: &'static str },
    #[error("{found:?} is not a principal")]
    Principal { found: String },
    #[error("{found:?} is not a kind of principal, expected AWS, Service or Federated")]
    PrincipalKind { found: String },
    #[error("{found:?} is not an action, expected * or service:Operation")]
    Action { found: String },
    #[error("{found:?} is not a condition operator")]
    Operator { found: String },
    #[error("{found:?} is not a condition key")]
    Key { found: String },
    #[error("{found:?} is not a value for {operator}")]
    Value { operator: String, found: String },
    #[error("{found:?} is not a policy variable")]
    Variable { found: String },
    #[error("a pattern has at most 2048 bytes")]
    PatternTooLong,
    #[error("a pattern has at most 16 variables")]
    TooManyVariables,
}

impl StatementFault {
    pub(crate) fn principal(found: &str) -> Self {
        Self::Principal { found: beginning(found) }
    }

    pub(crate) fn variable(found: &str) -> Self {
        Self::Variable { found: beginning(found) }
    }

    pub(crate) fn value(operator: &str, found: &str) -> Self {
        Self::Value { operator: beginning(operator), found: beginning(found) }
    }
}

fn beginning(text: &str) -> String {
    text.chars().take(128).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Allow,
    Deny,
}

#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) effect: Effect,
    /// `None` in an identity policy: whoever has the policy.
    principals: Option<Principals>,
    actions: Choice<Pattern>,
    /// `None` in a trust policy: the role itself.
    resources: Option<Choice<ArnPattern>>,
    conditions: Box<[Condition]>,
}

/// An element or its Not-form.
#[derive(Debug, Clone)]
struct Choice<T> {
    listed: Box<[T]>,
    others: bool,
}

impl<T> Choice<T> {
    fn compile(
        element: &'static str,
        listed: Option<Vec<String>>,
        not_listed: Option<Vec<String>>,
        compile: impl Fn(&str) -> Result<T, StatementFault>,
    ) -> Result<Option<Self>, StatementFault> {
        let (texts, others) = match (listed, not_listed) {
            (Some(_), Some(_)) => return Err(StatementFault::Both { element }),
            (Some(texts), None) => (texts, false),
            (None, Some(texts)) => (texts, true),
            (None, None) => return Ok(None),
        };
        if texts.is_empty() || texts.iter().any(String::is_empty) {
            return Err(StatementFault::Empty { element });
        }
        let listed = texts.iter().map(|text| compile(text)).collect::<Result<_, _>>()?;
        Ok(Some(Self { listed, others }))
    }

    fn includes(&self, allowing: bool, matches: impl Fn(&T) -> Match) -> bool {
        let mut unresolved = false;
        for pattern in &self.listed {
            match matches(pattern) {
                Match::Yes => return !self.others,
                Match::No => {}
                Match::Unresolved => unresolved = true,
            }
        }
        // "All but what cannot be told" allows nothing.
        self.others && !(unresolved && allowing)
    }
}

impl Statement {
    pub(crate) fn compile(
        text: StatementText,
        kind: PolicyKind,
        variables: bool,
    ) -> Result<Self, StatementFault> {
        let principals = match (text.principal, text.not_principal) {
            (Some(_), Some(_)) => return Err(StatementFault::Both { element: "Principal" }),
            (Some(listed), None) => Some(Principals::compile(listed, false)?),
            (None, Some(others)) => Some(Principals::compile(others, true)?),
            (None, None) => None,
        };
        match (kind, &principals) {
            (PolicyKind::Identity, Some(_)) => {
                return Err(StatementFault::Misplaced { element: "Principal" });
            }
            (PolicyKind::Resource | PolicyKind::Trust, None) => {
                return Err(StatementFault::Missing { element: "Principal" });
            }
            _ => {}
        }
        let actions = Choice::compile("Action", text.action, text.not_action, compile_action)?
            .ok_or(StatementFault::Missing { element: "Action" })?;
        let resources = Choice::compile("Resource", text.resource, text.not_resource, |text| {
            ArnPattern::compile(text, Syntax { wildcards: true, variables })
        })?;
        match (kind, &resources) {
            (PolicyKind::Trust, Some(_)) => return Err(StatementFault::Misplaced { element: "Resource" }),
            (PolicyKind::Identity | PolicyKind::Resource, None) => {
                return Err(StatementFault::Missing { element: "Resource" });
            }
            _ => {}
        }
        let effect = match text.effect {
            EffectText::Allow => Effect::Allow,
            EffectText::Deny => Effect::Deny,
        };
        let conditions = condition::compile(text.condition, variables)?;
        Ok(Self { effect, principals, actions, resources, conditions })
    }

    /// Whether it allows, and names the caller itself.
    pub(crate) fn allows_by_name(&self, access: &Access<'_>) -> bool {
        let names = |principals: &Principals| principals.name(access.caller);
        self.effect == Effect::Allow && self.principals.as_ref().is_some_and(names) && self.applies(access)
    }

    pub(crate) fn applies(&self, access: &Access<'_>) -> bool {
        self.mismatch(access).is_none()
    }

    /// As [`Self::applies`], of an access of which `untold` does not know everything.
    pub(crate) fn told(&self, access: &Access<'_>, untold: Untold<'_>) -> Told {
        let allowing = self.effect == Effect::Allow;
        let missing = |keys: &mut dyn Iterator<Item = &ConditionKey>| -> Vec<String> {
            keys.filter_map(untold).collect()
        };
        // Actions have no variables.
        let action =
            Told::from(self.actions.includes(allowing, |action| action.matches(access.action, true, access)));
        let principal = || match &self.principals {
            Some(principals) => principals.told(access.caller, allowing, untold),
            None => Told::Yes,
        };
        let is_about = |resource: &ArnPattern| match missing(&mut resource.keys()) {
            missing if missing.is_empty() => (resource.matches(access.resource, access) == Match::Yes).into(),
            missing => Told::Untold(missing),
        };
        let resource = || {
            let Some(resources) = &self.resources else { return Told::Yes };
            match Told::any(resources.listed.iter().map(is_about)) {
                Told::Untold(missing) => Told::Untold(missing),
                _ => {
                    resources.includes(allowing, |resource| resource.matches(access.resource, access)).into()
                }
            }
        };
        let conditions = self.conditions.iter().map(|condition| match missing(&mut condition.keys()) {
            missing if missing.is_empty() => Told::from(condition.holds(access, allowing)),
            missing => Told::Untold(missing),
        });
        let parts = [action].into_iter();
        let parts = parts.chain(std::iter::once_with(principal)).chain(std::iter::once_with(resource));
        Told::all(parts.chain(conditions))
    }

    /// The first thing that keeps it from applying.
    pub(crate) fn mismatch(&self, access: &Access<'_>) -> Option<Mismatch> {
        let allowing = self.effect == Effect::Allow;
        if !self.actions.includes(allowing, |action| action.matches(access.action, true, access)) {
            return Some(Mismatch::Action);
        }
        if !self.principals.as_ref().is_none_or(|principals| principals.include(access.caller, allowing)) {
            return Some(Mismatch::Principal);
        }
        let is_about = |resources: &Choice<ArnPattern>| {
            resources.includes(allowing, |resource| resource.matches(access.resource, access))
        };
        if !self.resources.as_ref().is_none_or(is_about) {
            return Some(Mismatch::Resource);
        }
        self.conditions
            .iter()
            .position(|condition| !condition.holds(access, allowing))
            .map(Mismatch::Condition)
    }
}

/// Why a statement does not apply to an access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mismatch {
    Action,
    Principal,
    Resource,
    /// Which, in the order of the text.
    Condition(usize),
}

fn compile_action(text: &str) -> Result<Pattern, StatementFault> {
    let is_action = text == "*"
        || text.split_once(':').is_some_and(|(service, operation)| {
            !service.is_empty()
                && !operation.is_empty()
                && service.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && operation.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"*?-_".contains(&byte))
        });
    if !is_action {
        return Err(StatementFault::Action { found: beginning(text) });
    }
    Pattern::compile(text, Syntax { wildcards: true, variables: false })
}
