//! What policies say of an access that is known in part, as a log tells of it. Nothing is guessed: where the
//! answer hangs on what is not known, that is the answer.

use std::sync::Arc;

use crate::statement::Effect;
use crate::{Access, ConditionKey, Policy};

/// Which keys of the access are not known: the name to tell of such a key, and `None` of all others, which are as
/// caller and context say. `aws:PrincipalArn` stands for the path of a session's role, `aws:userid` and
/// `aws:FederatedProvider` for principals that are named by them.
pub type Untold<'a> = &'a dyn Fn(&ConditionKey) -> Option<String>;

/// What the policies of one guard say together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Partial {
    Allows,
    /// By a statement, or for want of one.
    Denies,
    /// It hangs on these, each named once.
    Untold(Vec<String>),
}

/// Asks `policies`, of which one must allow and none may deny.
pub fn decide_in_part(policies: &[Arc<Policy>], access: &Access<'_>, untold: Untold<'_>) -> Partial {
    let statements = || policies.iter().flat_map(|policy| &policy.statements);
    let of = |effect| statements().filter(move |statement| statement.effect == effect);
    let denied = Told::any(of(Effect::Deny).map(|statement| statement.told(access, untold)));
    if denied == Told::Yes {
        return Partial::Denies;
    }
    let allowed = Told::any(of(Effect::Allow).map(|statement| statement.told(access, untold)));
    let mut missing = match (denied, allowed) {
        (_, Told::No) => return Partial::Denies,
        (Told::Untold(missing), Told::Untold(more)) => [missing, more].concat(),
        (Told::Untold(missing), _) | (_, Told::Untold(missing)) => missing,
        (Told::Yes | Told::No, Told::Yes) => return Partial::Allows,
    };
    missing.sort_unstable();
    missing.dedup();
    Partial::Untold(missing)
}

/// Yes, no, or what would have to be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    Yes,
    No,
    Untold(Vec<String>),
}

impl From<bool> for Told {
    fn from(is: bool) -> Self {
        if is { Self::Yes } else { Self::No }
    }
}

impl Told {
    /// One of them is.
    pub(crate) fn any(parts: impl Iterator<Item = Self>) -> Self {
        let mut all = Vec::new();
        for part in parts {
            match part {
                Self::Yes => return Self::Yes,
                Self::No => {}
                Self::Untold(missing) => all.extend(missing),
            }
        }
        if all.is_empty() { Self::No } else { Self::Untold(all) }
    }

    /// Each of them is.
    pub(crate) fn all(parts: impl Iterator<Item = Self>) -> Self {
        let mut all = Vec::new();
        for part in parts {
            match part {
                Self::No => return Self::No,
                Self::Yes => {}
                Self::Untold(missing) => all.extend(missing),
            }
        }
        if all.is_empty() { Self::Yes } else { Self::Untold(all) }
    }
}
