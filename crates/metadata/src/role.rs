//! The role of an instance, by its instance profile.

use std::fmt;

use jiff::Timestamp;
use serde_json::json;

/// An instance profile, and what came of its role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    pub profile_arn: String,
    pub profile_id: String,
    /// When it was last looked at.
    pub updated_at: Timestamp,
    /// The role's name and its credentials.
    pub credentials: Result<(String, Credentials), Unusable>,
}

/// What the SDKs sign with.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub token: String,
    pub expires_at: Timestamp,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// Why there are no credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unusable {
    /// The instance profile is gone.
    NoProfile,
    /// It has no role, or one that is gone.
    NoRole,
    /// The role's trust policy does not let EC2 in.
    NotTrusted { role: String },
}

/// Without fractions, as clients know these times.
fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

impl Role {
    /// What is below `meta-data/iam/`.
    pub(crate) fn leaves(&self, put: &mut impl FnMut(String, String)) {
        let updated = seconds(self.updated_at);
        let info = |code: &str, message: Option<String>| {
            let mut info = json!({
                "Code": code,
                "LastUpdated": updated,
                "InstanceProfileArn": self.profile_arn,
                "InstanceProfileId": self.profile_id,
            });
            if let Some(message) = message {
                info["Message"] = message.into();
            }
            pretty(&info)
        };
        match &self.credentials {
            Ok((role, credentials)) => {
                put("iam/info".into(), info("Success", None));
                let shown = json!({
                    "Code": "Success",
                    "LastUpdated": updated,
                    "Type": "AWS-HMAC",
                    "AccessKeyId": credentials.access_key_id,
                    "SecretAccessKey": credentials.secret_access_key,
                    "Token": credentials.token,
                    "Expiration": seconds(credentials.expires_at),
                });
                put(format!("iam/security-credentials/{role}"), pretty(&shown));
            }
            Err(Unusable::NoProfile) => {
                let message = format!("Instance Profile {} cannot be found", self.profile_arn);
                put("iam/info".into(), info("InstanceProfileNotFound", Some(message)));
            }
            Err(Unusable::NoRole) => put("iam/info".into(), info("Success", None)),
            Err(Unusable::NotTrusted { role }) => {
                const CODE: &str = "AssumeRoleUnauthorizedAccess";
                let message = format!("EC2 cannot assume the role {role}.");
                put("iam/info".into(), info(CODE, Some(message.clone())));
                let shown = json!({"Code": CODE, "LastUpdated": updated, "Message": message});
                put(format!("iam/security-credentials/{role}"), pretty(&shown));
            }
        }
    }
}

pub(crate) fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}")
}
