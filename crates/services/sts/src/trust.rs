//! Whether a role's trust policy lets in who has not signed: a service, or whom an identity provider vouches for.

use jiff::Timestamp;
use trellis_model::resource::iam::Role;
use trellis_policy::{Access, Caller, ConditionKey, Context, Decision, Policy, PolicyKind};

use crate::terms::is_same_key;

/// A session that is asked for, and what the trust policy may ask about it.
pub(crate) struct Wanted<'a> {
    pub(crate) role: &'a Role,
    pub(crate) caller: Caller,
    pub(crate) session_name: &'a str,
    pub(crate) tags: &'a [(String, String)],
    pub(crate) transitive_tag_keys: &'a [String],
    pub(crate) now: Timestamp,
    /// What else is known of who asks.
    pub(crate) more: &'a dyn Context,
}

impl Wanted<'_> {
    /// Whether the trust policy allows `action`, and tags where there are any.
    pub(crate) fn is_trusted(&self, action: &str) -> bool {
        self.allows(action) && (self.tags.is_empty() || self.allows("sts:TagSession"))
    }

    pub(crate) fn allows(&self, action: &str) -> bool {
        let arn = self.role.arn();
        let access = Access { caller: &self.caller, action, resource: &arn, context: self };
        match Policy::parse(&self.role.trust_policy, PolicyKind::Trust) {
            Ok(trust) => trust.decide(&access) == Decision::Allow,
            Err(error) => {
                tracing::error!(arn, %error, "a stored trust policy does not read and lets nobody in");
                false
            }
        }
    }
}

impl Context for Wanted<'_> {
    fn values(&self, key: &ConditionKey, visit: &mut dyn FnMut(&str)) {
        match (key.name(), key.argument()) {
            ("sts:rolesessionname", None) => visit(self.session_name),
            ("sts:transitivetagkeys", None) => self.transitive_tag_keys.iter().for_each(|key| visit(key)),
            ("aws:tagkeys", None) => self.tags.iter().for_each(|(key, _)| visit(key)),
            ("aws:requesttag", Some(tag)) => {
                let found = self.tags.iter().find(|(key, _)| is_same_key(key, tag));
                found.into_iter().for_each(|(_, value)| visit(value));
            }
            ("aws:currenttime", None) => visit(&self.now.to_string()),
            ("aws:epochtime", None) => visit(&self.now.as_second().to_string()),
            _ => self.more.values(key, visit),
        }
    }
}
