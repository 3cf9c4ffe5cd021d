//! Sessions that an AWS service makes of a role that trusts it, for whom it serves: EC2 for an instance, EKS for a pod.
//!
//! Nobody calls: the service has found out by itself for whom it asks, and says so in the session's name and tags.

use std::fmt;

use jiff::Timestamp;
use trellis_frame::{Refusal, Surroundings};
use trellis_model::resource::iam::Role;
use trellis_policy::{Caller, ConditionKey, Context};
use trellis_store::Read;

use crate::assume_role::{Answer, Assumed};
use crate::terms::Limits;
use crate::trust::Wanted;

/// What a service asks for.
#[derive(Debug, Clone)]
pub struct ForService<'a> {
    pub role: &'a Role,
    /// The principal that the trust policy has to name: `ec2.amazonaws.com`.
    pub service: &'a str,
    /// 2 to 64 characters of a session's name.
    pub session_name: String,
    /// The resource it is for: `aws:SourceArn` of the trust policy.
    pub source_arn: &'a str,
    /// Whose that is: `aws:SourceAccount`.
    pub source_account: &'a str,
    /// Session tags; where there are any the trust policy has to allow `sts:TagSession` too.
    pub tags: Vec<(String, String)>,
    pub transitive_tag_keys: Vec<String>,
    /// Seconds. The role's maximum does not bound it.
    pub duration: i32,
}

/// The credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: String,
    pub expires_at: Timestamp,
    /// `arn:aws:sts::{account}:assumed-role/{role}/{session}`
    pub assumed_role_arn: String,
    /// `AROA...:{session}`
    pub assumed_role_id: String,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// A session of the role; `None` where its trust policy does not let the service in.
///
/// # Errors
/// Tags that no token has room for; a state that does not read.
pub fn assume_for_service(
    state: &mut impl Read,
    surroundings: &Surroundings,
    asked: ForService<'_>,
) -> Result<Option<Issued>, Refusal> {
    let now = surroundings.clock.now();
    let wanted = Wanted {
        role: asked.role,
        caller: Caller::service(asked.service),
        session_name: &asked.session_name,
        tags: &asked.tags,
        transitive_tag_keys: &asked.transitive_tag_keys,
        now,
        more: &asked,
    };
    if !wanted.is_trusted("sts:AssumeRole") {
        return Ok(None);
    }
    let assumed = Assumed {
        role: asked.role,
        session_name: asked.session_name,
        limits: Limits::default(),
        tags: asked.tags,
        transitive_tag_keys: asked.transitive_tag_keys,
        source_identity: None,
        federated_provider: None,
        duration: asked.duration,
    };
    let Answer { credentials, user, .. } = assumed.seal(state, surroundings, now.into())?;
    Ok(Some(Issued {
        access_key_id: credentials.access_key_id,
        secret_access_key: credentials.secret_access_key.0,
        session_token: credentials.session_token.0,
        expires_at: credentials.expiration.into(),
        assumed_role_arn: user.arn,
        assumed_role_id: user.assumed_role_id,
    }))
}

impl Context for ForService<'_> {
    fn values(&self, key: &ConditionKey, visit: &mut dyn FnMut(&str)) {
        match (key.name(), key.argument()) {
            ("aws:sourcearn", None) => visit(self.source_arn),
            ("aws:sourceaccount", None) => visit(self.source_account),
            _ => {}
        }
    }
}
