//! Who may call, and what their own policies say: all that is needed to know the signer of a
//! request without asking anybody.

use std::fmt;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use trellis_policy::{Organization, Policy};
use zeroize::Zeroizing;

use crate::id::AccountId;
use crate::resource::organization::Tree;

/// Every identity whose requests may come. Whoever is not here is unknown.
#[derive(Debug, Default)]
pub struct Identities {
    /// Long-lived keys that are active, by id.
    pub access_keys: FxHashMap<Box<str>, Arc<AccessKey>>,
    /// Users, roles and account roots by ARN: whom sessions are of.
    pub principals: FxHashMap<Box<str>, Arc<Principal>>,
    /// Managed policies by ARN, compiled, for sessions that were limited to some by name.
    pub policies: FxHashMap<Box<str>, Arc<Policy>>,
    /// What opens session tokens. The first seals new ones.
    pub token_keys: Arc<[TokenKey]>,
    /// What resources are in the organisation by their accounts.
    pub organizations: Organizations,
}

/// The organisation of every account there may be.
#[derive(Debug, Default)]
pub struct Organizations {
    /// Of accounts that were not moved: the root's.
    everywhere: Option<Organization>,
    moved: FxHashMap<AccountId, Organization>,
}

impl Organizations {
    pub fn new(tree: &Tree) -> Self {
        let everywhere = tree.organization.as_ref().and_then(|organization| {
            Some(Organization { id: organization.id.clone(), paths: vec![tree.path(&organization.root)?] })
        });
        let moved = tree.members.keys();
        let moved = moved.filter_map(|account| Some((account.clone(), tree.membership(account)?))).collect();
        Self { everywhere, moved }
    }

    pub fn of(&self, account: &AccountId) -> Option<&Organization> {
        self.moved.get(account).or(self.everywhere.as_ref())
    }
}

/// A long-lived access key.
pub struct AccessKey {
    pub id: Box<str>,
    pub secret: Zeroizing<String>,
    pub principal: Arc<Principal>,
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Someone whose policies are decided on.
#[derive(Debug)]
pub struct Principal {
    pub kind: PrincipalKind,
    pub account: AccountId,
    /// `/` or `/team/`.
    pub path: Box<str>,
    /// Of the user or role; `root` for the account itself.
    pub name: Box<str>,
    /// `AIDA...` or `AROA...`; the account for the account itself. A session of a role that was
    /// deleted and made again has another, and is nobody's.
    pub id: Box<str>,
    pub tags: Box<[(String, String)]>,
    /// Of the account.
    pub organization: Option<Organization>,
    /// Each of these must allow, by any of its policies, and none may deny: the policies of the
    /// identity; where there is one, the permissions boundary; and for each level of the
    /// organisation above the account, its service control policies. None, or an empty one, denies.
    pub guards: Box<[Box<[Arc<Policy>]>]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PrincipalKind {
    /// The account itself.
    Root,
    User,
    Role,
}

impl Principal {
    /// `arn:aws:iam::{account}:user/team/alice`.
    pub fn arn(&self) -> String {
        let Self { account, path, name, .. } = self;
        match self.kind {
            PrincipalKind::Root => format!("arn:aws:iam::{account}:root"),
            PrincipalKind::User => format!("arn:aws:iam::{account}:user{path}{name}"),
            PrincipalKind::Role => format!("arn:aws:iam::{account}:role{path}{name}"),
        }
    }
}

/// A key that seals and opens session tokens, for some time.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenKey {
    /// Stands in the clear in every token that the key sealed.
    pub id: [u8; 4],
    pub key: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKey({:08x})", u32::from_be_bytes(self.id))
    }
}
