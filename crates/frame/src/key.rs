//! Where records are in the store: keys are formatted and parsed here.
//!
//! ```text
//! {service}/{account}/{region}/{kind}/{id}                 a record; `id` may be a path of parents and id
//! index/{service}/{account}/{region}/{kind}/...            the id found, or nothing
//! count/{service}/{account}/{region}/{kind}[/{parent}]     how many there are: crate::record
//! count/index/...                                          how many index entries there are: crate::counted
//! pending/{service}/{account}/{region}/{kind}/{id}         work a workflow has to finish: crate::workflow
//! tags/{account}/{region}/{arn}                            every tag of one resource: crate::tags
//! token/{account}/{region}/{service}/{operation}/{hash}    an answer given before: crate::token
//! reference/{arn} {arn of the holder}                      crate::reference
//! access-key/{access key id}                               crate::access_key
//! account/{account}                                        crate::account
//! ca/authority                                             the private CA, sealed: crate::vault
//! ```
//!
//! A value is JSON unless it is an id alone or sealed. Parts never contain `/` except the last one.

use trellis_model::AccountId;
use trellis_model::resource::lattice::Home;

/// Prefix of every resource's tags.
pub const TAGS: &str = "tags/";

/// The private CA.
pub(crate) const AUTHORITY: &str = "ca/authority";

/// Prefix of unfinished work, the service following.
pub(crate) const PENDING: &str = "pending/";

/// Prefix of idempotency tokens.
pub(crate) const TOKEN: &str = "token/";

/// Keys of one service's resources in one account and region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    service: &'static str,
    place: String,
}

impl Scope {
    pub fn new(service: &'static str, home: &Home) -> Self {
        Self { service, place: format!("{}/{}", home.account, home.region) }
    }

    /// The record of `id`; `id` may be a path of parents and id.
    pub fn record(&self, kind: &str, id: impl std::fmt::Display) -> String {
        format!("{}/{}/{kind}/{id}", self.service, self.place)
    }

    /// What every record of `kind` begins with.
    pub fn records(&self, kind: &str) -> String {
        format!("{}/{}/{kind}/", self.service, self.place)
    }

    /// What every record of `kind` under `parent` begins with.
    pub fn records_of(&self, kind: &str, parent: impl std::fmt::Display) -> String {
        format!("{}/{}/{kind}/{parent}/", self.service, self.place)
    }

    /// An index entry.
    pub fn index(&self, kind: &str, path: impl std::fmt::Display) -> String {
        format!("index/{}/{}/{kind}/{path}", self.service, self.place)
    }

    /// What every index entry of `kind` under `parent` begins with.
    pub fn indexes_of(&self, kind: &str, parent: impl std::fmt::Display) -> String {
        format!("index/{}/{}/{kind}/{parent}/", self.service, self.place)
    }

    /// How many records of `kind` there are, or of those under a parent: `kind/parent`.
    pub(crate) fn count(&self, kind: impl std::fmt::Display) -> String {
        format!("count/{}/{}/{kind}", self.service, self.place)
    }

    /// The mark that a workflow has work to do on `id`; see [`crate::workflow`].
    pub fn pending(&self, kind: &str, id: impl std::fmt::Display) -> String {
        format!("pending/{}/{}/{kind}/{id}", self.service, self.place)
    }
}

/// Where the resources of a service without regions are: `aws-global`.
pub fn global(account: &AccountId) -> Home {
    Home { account: account.clone(), region: "aws-global".parse().expect("a region's name") }
}

/// The tags of the resource `arn` names.
pub(crate) fn tags(home: &Home, arn: &str) -> String {
    format!("{}{arn}", tags_in(home))
}

/// What the tags of every resource in `home` begin with.
pub(crate) fn tags_in(home: &Home) -> String {
    format!("{TAGS}{}/{}/", home.account, home.region)
}

/// What the tags of every resource of `account` begin with.
pub(crate) fn tags_of(account: &AccountId) -> String {
    format!("{TAGS}{account}/")
}

/// The last part of a key: the id, where the key ends in one.
pub fn last_part(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}
