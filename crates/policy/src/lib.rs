//! IAM policies: parsed and compiled once, then asked about one access after another.
//!
//! [`Policy::parse`] refuses what IAM would refuse: unknown elements, repeated members, operators
//! that do not exist, values of the wrong type. A [`Policy`] answers an [`Access`] with a
//! [`Decision`]; [`decide`] puts the layers of a network together, explicit denials first. Asking
//! allocates nothing, unless the variables of one pattern stand for more than 1 KiB. What is unknown
//! or absent never allows.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>

mod caller;
mod condition;
mod decision;
mod document;
mod explain;
mod lint;
mod partial;
mod path;
mod pattern;
mod principal;
mod statement;

pub use caller::{Caller, CallerKind, Organization};
pub use condition::ConditionKey;
pub use decision::{Decision, Guard, Layer, Outcome, decide};
pub use explain::{Explained, Explanation, Obstacle, explain};
pub use lint::{Finding, Problem, lint};
pub use partial::{Partial, Untold, decide_in_part};
pub use path::plain_path;
pub use statement::StatementFault;

use document::Document;
use statement::{Effect, Statement};

/// The longest policy text read, in bytes: the API's cap. Quotas are lower and the caller's.
pub const MAX_POLICY_BYTES: usize = 102_400;

/// Where a policy is attached, which decides what elements it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyKind {
    /// To a user or role: no principal, a resource.
    Identity,
    /// To a service, service network or another resource: a principal and a resource.
    Resource,
    /// To a role, saying who may assume it: a principal and no resource.
    Trust,
}

/// Why a text is not a policy; the fault of whoever wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("a policy has at most {MAX_POLICY_BYTES} bytes, found {bytes}")]
    TooLarge { bytes: usize },
    /// Not JSON, or elements that are unknown, repeated, missing or of the wrong type.
    #[error("not a policy document: {message}")]
    Document { message: String },
    #[error("the policy version must be 2012-10-17 or 2008-10-17, found {found:?}")]
    Version { found: String },
    #[error("a policy must have at least one statement")]
    NoStatement,
    #[error("the statement id {sid:?} is used twice")]
    RepeatedSid { sid: String },
    #[error("statement {number}: {fault}")]
    Statement {
        /// From 1, in the order of the text.
        number: usize,
        fault: StatementFault,
    },
}

/// A compiled policy.
#[derive(Debug, Clone)]
pub struct Policy {
    statements: Box<[Statement]>,
}

/// One question: may this caller do this to that?
#[derive(Clone, Copy)]
pub struct Access<'a> {
    pub caller: &'a Caller,
    /// `service:Operation`, such as `vpc-lattice-svcs:Invoke`.
    pub action: &'a str,
    /// The ARN acted upon, with the request's path where the action has it.
    pub resource: &'a str,
    /// Everything else that conditions may ask about.
    pub context: &'a dyn Context,
}

/// The circumstances of an access, asked for by condition key. What the key says about the caller
/// (`aws:PrincipalArn`, `aws:PrincipalTag/...` and so on) is answered by [`Caller`] and not asked
/// here.
pub trait Context {
    /// Calls `visit` with each value of `key`; not at all when the access has no such key.
    fn values(&self, key: &ConditionKey, visit: &mut dyn FnMut(&str));
}

/// A context that knows nothing.
impl Context for () {
    fn values(&self, _: &ConditionKey, _: &mut dyn FnMut(&str)) {}
}

impl Policy {
    /// Reads and compiles a policy document.
    ///
    /// # Errors
    /// [`PolicyError`] names the statement and what is wrong with it.
    pub fn parse(text: &str, kind: PolicyKind) -> Result<Self, PolicyError> {
        if text.len() > MAX_POLICY_BYTES {
            return Err(PolicyError::TooLarge { bytes: text.len() });
        }
        let document: Document = serde_json::from_str(text)
            .map_err(|error| PolicyError::Document { message: error.to_string() })?;
        let variables = match document.version.as_deref() {
            Some("2012-10-17") => true,
            // In the first version `${...}` is plain text.
            Some("2008-10-17") | None => false,
            Some(found) => return Err(PolicyError::Version { found: found.chars().take(64).collect() }),
        };
        if document.statement.is_empty() {
            return Err(PolicyError::NoStatement);
        }
        let mut sids: Vec<&str> =
            document.statement.iter().filter_map(|statement| statement.sid.as_deref()).collect();
        sids.sort_unstable();
        if let Some(pair) = sids.windows(2).find(|pair| pair[0] == pair[1] && !pair[0].is_empty()) {
            return Err(PolicyError::RepeatedSid { sid: pair[0].chars().take(128).collect() });
        }
        let compile = |(index, statement)| {
            Statement::compile(statement, kind, variables)
                .map_err(|fault| PolicyError::Statement { number: index + 1, fault })
        };
        let statements = document.statement.into_iter().enumerate().map(compile).collect::<Result<_, _>>()?;
        Ok(Self { statements })
    }

    /// What this policy alone says: a statement that denies beats all that allow; without either
    /// it is [`Decision::ImplicitDeny`].
    pub fn decide(&self, access: &Access<'_>) -> Decision {
        let mut decision = Decision::ImplicitDeny;
        for statement in &self.statements {
            if decision == Decision::Allow && statement.effect == Effect::Allow {
                continue;
            }
            if statement.applies(access) {
                match statement.effect {
                    Effect::Deny => return Decision::ExplicitDeny,
                    Effect::Allow => decision = Decision::Allow,
                }
            }
        }
        decision
    }
    /// Whether a statement that allows names the caller itself, and not with all of its account: within an
    /// account this needs no policy of the caller's beside it.
    pub fn allows_by_name(&self, access: &Access<'_>) -> bool {
        self.statements.iter().any(|statement| statement.allows_by_name(access))
    }
}
