//! Decisions, and how those of several layers become one.

use std::fmt;
use std::sync::Arc;

use crate::{Access, Policy};

/// What one policy says about an access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    Allow,
    /// A statement denies it: no other policy can change that.
    ExplicitDeny,
    /// Nothing allows it.
    ImplicitDeny,
}

/// Where a policy stands on the way of a request; in the order in which a denial is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layer {
    /// The service network's auth policy.
    Network,
    /// The service's auth policy.
    Service,
    /// The caller's own policies.
    Identity,
}

/// As denials name it: `network-based`.
impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Network => "network-based",
            Self::Service => "service-based",
            Self::Identity => "identity-based",
        })
    }
}

/// What guards a layer.
#[derive(Debug, Clone, Copy)]
pub enum Guard<'a> {
    /// Nothing: authType NONE, or the identity layer of an anonymous caller.
    Open,
    /// Any of these must allow, and none may deny. Without one, nothing is allowed.
    Policies(&'a [Arc<Policy>]),
}

/// The decision of all layers together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    Allowed,
    Denied {
        layer: Layer,
        /// A statement denied it; otherwise nothing in this layer allowed it.
        explicit: bool,
    },
}

/// Asks every guard: each must allow. A layer may have several: an identity has its policies, and
/// where there are such the permissions boundary, the session policies and the service control
/// policies of each level. A denial that a statement makes is reported before one for want of
/// permission, and the first guard given before later ones.
pub fn decide<'a>(guards: impl IntoIterator<Item = (Layer, Guard<'a>)>, access: &Access<'_>) -> Outcome {
    let mut missing = None;
    for (layer, guard) in guards {
        match guard.decide(access) {
            Decision::Allow => {}
            Decision::ExplicitDeny => return Outcome::Denied { layer, explicit: true },
            Decision::ImplicitDeny => {
                missing.get_or_insert(layer);
            }
        }
    }
    match missing {
        None => Outcome::Allowed,
        Some(layer) => Outcome::Denied { layer, explicit: false },
    }
}

impl Guard<'_> {
    fn decide(&self, access: &Access<'_>) -> Decision {
        let policies = match self {
            Self::Open => return Decision::Allow,
            Self::Policies(policies) => policies,
        };
        let mut decision = Decision::ImplicitDeny;
        for policy in *policies {
            match policy.decide(access) {
                Decision::ExplicitDeny => return Decision::ExplicitDeny,
                Decision::Allow => decision = Decision::Allow,
                Decision::ImplicitDeny => {}
            }
        }
        decision
    }
}
