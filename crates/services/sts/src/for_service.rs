//! Sessions that an AWS service makes of a role that trusts it, for whom it serves: EC2 for an instance, EKS for a pod.
//!
//! Nobody calls: the service has found out by itself for whom it asks, and says so in the session's name and tags.

use std::fmt;

use jiff::Timestamp;
use trellis_frame::{Refusal, Surroundings};
use trellis_model::resource::iam::Role;
use trellis_policy::{Access, Caller, ConditionKey, Context, Decision, Policy, PolicyKind};
use trellis_store::Read;

use crate::assume_role::{Answer, Assumed};
use crate::terms::{Limits, is_same_key};

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
    let is_trusted = asked.is_trusted("sts:AssumeRole", now)
        && (asked.tags.is_empty() || asked.is_trusted("sts:TagSession", now));
    if !is_trusted {
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

impl ForService<'_> {
    fn is_trusted(&self, action: &str, now: Timestamp) -> bool {
        let arn = self.role.arn();
        let caller = Caller::service(self.service);
        let context = Circumstances { asked: self, now };
        let access = Access { caller: &caller, action, resource: &arn, context: &context };
        match Policy::parse(&self.role.trust_policy, PolicyKind::Trust) {
            Ok(trust) => trust.decide(&access) == Decision::Allow,
            Err(error) => {
                tracing::error!(arn, %error, "a stored trust policy does not read and lets nobody in");
                false
            }
        }
    }
}

/// What the trust policy may ask about.
struct Circumstances<'a> {
    asked: &'a ForService<'a>,
    now: Timestamp,
}

impl Context for Circumstances<'_> {
    fn values(&self, key: &ConditionKey, visit: &mut dyn FnMut(&str)) {
        let asked = self.asked;
        match (key.name(), key.argument()) {
            ("aws:sourcearn", None) => visit(asked.source_arn),
            ("aws:sourceaccount", None) => visit(asked.source_account),
            ("sts:rolesessionname", None) => visit(&asked.session_name),
            ("sts:transitivetagkeys", None) => asked.transitive_tag_keys.iter().for_each(|key| visit(key)),
            ("aws:tagkeys", None) => asked.tags.iter().for_each(|(key, _)| visit(key)),
            ("aws:requesttag", Some(tag)) => {
                let found = asked.tags.iter().find(|(key, _)| is_same_key(key, tag));
                found.into_iter().for_each(|(_, value)| visit(value));
            }
            ("aws:currenttime", None) => visit(&self.now.to_string()),
            ("aws:epochtime", None) => visit(&self.now.as_second().to_string()),
            _ => {}
        }
    }
}
