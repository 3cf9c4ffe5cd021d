//! What callers are asked for: auth policies, compiled once when they are put, and the tags of
//! services that policies ask about.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use trellis_frame::tags::Tags;
use trellis_model::resource::lattice::{AuthPolicy, AuthType};
use trellis_model::snapshot::Auth;
use trellis_policy::{Policy, PolicyKind};

/// Policies by the id of their service or network, tags by the ARN of their service.
#[derive(Debug, Default)]
pub(super) struct Guards {
    policies: FxHashMap<Box<str>, Arc<Policy>>,
    tags: FxHashMap<Box<str>, Tags>,
}

impl Guards {
    /// A policy that does not read, which only an older release can have taken, denies: it is as if
    /// there were none.
    pub(super) fn set_policy(&mut self, id: &str, record: Option<&AuthPolicy>) {
        let compiled = record.and_then(|record| match Policy::parse(&record.policy, PolicyKind::Resource) {
            Ok(policy) => Some(Arc::new(policy)),
            Err(error) => {
                tracing::error!(id, %error, "a stored auth policy does not read; everybody is denied");
                None
            }
        });
        match compiled {
            Some(policy) => drop(self.policies.insert(id.into(), policy)),
            None => drop(self.policies.remove(id)),
        }
    }

    pub(super) fn set_tags(&mut self, arn: &str, tags: Option<Tags>) {
        match tags {
            Some(tags) => drop(self.tags.insert(arn.into(), tags)),
            None => drop(self.tags.remove(arn)),
        }
    }

    /// What guards the service or network.
    pub(super) fn of(&self, auth_type: AuthType, id: &str) -> Auth {
        match (auth_type, self.policies.get(id)) {
            (AuthType::None, _) => Auth::None,
            (AuthType::AwsIam, None) => Auth::DenyAll,
            (AuthType::AwsIam, Some(policy)) => Auth::Policy(policy.clone()),
        }
    }

    pub(super) fn tags(&self, arn: &str) -> Box<[(String, String)]> {
        let tags = self.tags.get(arn).into_iter().flatten();
        tags.map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}
