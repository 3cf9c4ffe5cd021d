//! IAM: who there is in an account, and the policies that say what they may do.
//!
//! Records are at `iam/{account}/aws-global/{kind}/{id}`, the id being the name in small letters, for names that differ
//! in nothing but case are one name to IAM. Tags are where all tags are, by ARN. Access keys are at `access-key/{id}`.

mod managed;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::id::AccountId;
use crate::moment::Moment;

pub use managed::{AWS_MANAGED, AwsManaged, aws_managed};

/// The service part of every key.
pub const SERVICE: &str = "iam";

pub const USER: &str = "user";
pub const GROUP: &str = "group";
pub const ROLE: &str = "role";
pub const POLICY: &str = "policy";
pub const INSTANCE_PROFILE: &str = "instance-profile";
pub const OIDC_PROVIDER: &str = "oidc-provider";

/// The user that the operator's own keys of an account are of; no user made by the API has this name.
pub const OPERATOR: &str = "admin";

/// The id of a record: names are told apart without regard to case.
pub fn id(name: &str) -> String {
    name.to_lowercase()
}

/// `arn:aws:iam::{account}:{kind}{path}{name}`; `path` is `/` or `/team/`.
pub fn arn(account: &AccountId, kind: &str, path: &str, name: &str) -> String {
    format!("arn:aws:iam::{account}:{kind}{path}{name}")
}

/// What says what an identity may do, beside the groups of a user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permissions {
    /// Documents by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inline: BTreeMap<String, String>,
    /// ARNs of managed policies.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub attached: BTreeSet<String>,
    /// ARN of the managed policy that is the permissions boundary; a group has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub account: AccountId,
    pub path: String,
    pub name: String,
    /// `AIDA...`: a user that is deleted and made again has another.
    pub id: String,
    pub created_at: Moment,
    #[serde(flatten)]
    pub permissions: Permissions,
    /// Names.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<String>,
    /// Ids.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub access_keys: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    pub account: AccountId,
    pub path: String,
    pub name: String,
    /// `AGPA...`
    pub id: String,
    pub created_at: Moment,
    #[serde(flatten)]
    pub permissions: Permissions,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    pub account: AccountId,
    pub path: String,
    pub name: String,
    /// `AROA...`
    pub id: String,
    pub created_at: Moment,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Who may assume it.
    pub trust_policy: String,
    /// Seconds, 3600 to 43200.
    pub max_session_duration: i32,
    #[serde(flatten)]
    pub permissions: Permissions,
    /// The principal of the service a service-linked role is of; only that service changes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linked_to: Option<String>,
}

/// A customer managed policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedPolicy {
    pub account: AccountId,
    pub path: String,
    pub name: String,
    /// `ANPA...`
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    pub created_at: Moment,
    pub updated_at: Moment,
    /// By number: `v1` is 1. A number is never used again.
    pub versions: BTreeMap<u32, PolicyVersion>,
    /// The one in force.
    pub default_version: u32,
    pub last_version: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyVersion {
    pub document: String,
    pub created_at: Moment,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceProfile {
    pub account: AccountId,
    pub path: String,
    pub name: String,
    /// `AIPA...`
    pub id: String,
    pub created_at: Moment,
    /// Name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

/// An issuer of JWTs whose word counts in the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OidcProvider {
    pub account: AccountId,
    /// Without `https://`: host and path, which is the record's id and the end of the ARN.
    pub url: String,
    /// Audiences.
    pub client_ids: Vec<String>,
    pub thumbprints: Vec<String>,
    pub created_at: Moment,
}

// === ARNs ===

impl User {
    pub fn arn(&self) -> String {
        arn(&self.account, USER, &self.path, &self.name)
    }
}

impl Group {
    pub fn arn(&self) -> String {
        arn(&self.account, GROUP, &self.path, &self.name)
    }
}

impl Role {
    pub fn arn(&self) -> String {
        arn(&self.account, ROLE, &self.path, &self.name)
    }
}

impl ManagedPolicy {
    pub fn arn(&self) -> String {
        arn(&self.account, POLICY, &self.path, &self.name)
    }

    /// The document in force.
    pub fn document(&self) -> &str {
        self.versions.get(&self.default_version).map_or("", |version| &version.document)
    }
}

impl InstanceProfile {
    pub fn arn(&self) -> String {
        arn(&self.account, INSTANCE_PROFILE, &self.path, &self.name)
    }
}

impl OidcProvider {
    pub fn arn(&self) -> String {
        arn(&self.account, OIDC_PROVIDER, "/", &self.url)
    }
}

/// An ARN of an identity or a policy taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named<'a> {
    /// Twelve digits, or `aws` for what is AWS's own.
    pub account: &'a str,
    /// [`USER`], [`ROLE`], ...
    pub kind: &'a str,
    /// `/` or `/team/`.
    pub path: &'a str,
    pub name: &'a str,
}

impl<'a> Named<'a> {
    /// `None` for what is no ARN of IAM's.
    pub fn parse(arn: &'a str) -> Option<Self> {
        let (account, resource) = arn.strip_prefix("arn:aws:iam::")?.split_once(':')?;
        let (kind, _) = resource.split_once('/')?;
        let rest = &resource[kind.len()..];
        let start = rest.rfind('/')? + 1;
        let (path, name) = rest.split_at(start);
        (!name.is_empty()).then_some(Self { account, kind, path, name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_is_path_and_name_and_reads_back() {
        let account: AccountId = "111122223333".parse().unwrap();
        let text = arn(&account, ROLE, "/team/a/", "deploy");
        assert_eq!(text, "arn:aws:iam::111122223333:role/team/a/deploy");
        assert_eq!(
            Named::parse(&text),
            Some(Named { account: "111122223333", kind: "role", path: "/team/a/", name: "deploy" })
        );
        assert_eq!(Named::parse("arn:aws:iam::111122223333:root"), None);
        assert_eq!(Named::parse("arn:aws:iam::111122223333:role/"), None);
    }

    #[test]
    fn every_aws_managed_policy_is_one_the_engine_takes_and_is_found_by_its_arn() {
        for policy in AWS_MANAGED {
            trellis_policy::Policy::parse(policy.document, trellis_policy::PolicyKind::Identity)
                .unwrap_or_else(|error| panic!("{}: {error}", policy.name));
            assert_eq!(aws_managed(&policy.arn()).map(|found| found.name), Some(policy.name));
        }
        assert!(aws_managed("arn:aws:iam::aws:policy/aws-service-role/ReadOnlyAccess").is_none());
    }
}
