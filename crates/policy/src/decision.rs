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
    /// Each group must allow, by any of its policies, and none may deny. One group for an auth
    /// policy; for an identity its policies, and where they exist the permissions boundary and
    /// the session policies. No group, or an empty one, denies.
    Policies(&'a [&'a [Arc<Policy>]]),
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

/// Asks every layer: all must allow. A denial that a statement makes is reported before one for
/// want of permission, and the first layer given before later ones.
pub fn decide(layers: &[(Layer, Guard<'_>)], access: &Access<'_>) -> Outcome {
    let mut missing = None;
    for (layer, guard) in layers {
        match guard.decide(access) {
            Decision::Allow => {}
            Decision::ExplicitDeny => return Outcome::Denied { layer: *layer, explicit: true },
            Decision::ImplicitDeny => {
                missing.get_or_insert(*layer);
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
        let groups = match self {
            Self::Open => return Decision::Allow,
            Self::Policies(groups) => groups,
        };
        let mut every_group_allows = !groups.is_empty();
        for group in *groups {
            let mut allowed = false;
            for policy in *group {
                match policy.decide(access) {
                    Decision::ExplicitDeny => return Decision::ExplicitDeny,
                    Decision::Allow => allowed = true,
                    Decision::ImplicitDeny => {}
                }
            }
            every_group_allows &= allowed;
        }
        if every_group_allows { Decision::Allow } else { Decision::ImplicitDeny }
    }
}
