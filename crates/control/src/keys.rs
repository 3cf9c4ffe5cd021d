//! Where everything is in the store.
//!
//! Records live under the service that owns them, by account and region, so that the Snapshot
//! builder watches `lattice/` and the fabric builder `ec2/` and neither is woken by indexes:
//!
//! ```text
//! lattice/{account}/{region}/service-network/{sn}          -> model::resource::lattice::ServiceNetwork
//! lattice/{account}/{region}/service/{svc}                 -> Service
//! lattice/{account}/{region}/listener/{svc}/{listener}     -> Listener
//! lattice/{account}/{region}/rule/{listener}/{rule}        -> Rule
//! lattice/{account}/{region}/target-group/{tg}             -> TargetGroup
//! lattice/{account}/{region}/target/{tg}/{id}|{port}       -> Target
//! lattice/{account}/{region}/vpc-association/{snva}        -> VpcAssociation
//! lattice/{account}/{region}/service-association/{snsa}    -> ServiceAssociation
//! lattice/{account}/{region}/resource-gateway/{rgw}        -> ResourceGateway
//! lattice/{account}/{region}/resource-configuration/{rcfg} -> ResourceConfiguration
//! lattice/{account}/{region}/resource-association/{snra}   -> ResourceAssociation
//! lattice/{account}/{region}/domain-verification/{dv}      -> DomainVerification
//! lattice/{account}/{region}/private-names/{vpc}           -> true: both DNS attributes of the VPC are on
//! lattice/{account}/{region}/database/{arn}                -> Database: the host that is it
//! lattice/{account}/{region}/auth-policy/{sn or svc}       -> AuthPolicy
//! lattice/{account}/{region}/resource-policy/{sn, svc or rcfg} -> ResourcePolicy
//! lattice/{account}/{region}/access-log/{als}              -> AccessLogSubscription
//! lattice/{account}/{region}/certificate/{svc}/{host name} -> sealed chain and key: crate::lattice::certificate
//! ec2/{account}/{region}/{kind}/{id}                       -> model::resource::vpc
//!
//! index/{service}/{account}/{region}/{kind}/...            -> the id found, or nothing: see [`Scope`]
//! tags/{account}/{region}/{arn}                            -> every tag of one resource: crate::tag_set
//! token/{account}/{region}/{service}/{operation}/{hash}    -> an answer given before: crate::token
//! pending/{service}/{account}/{region}/{kind}/{...}        -> work a workflow has to finish
//! pending/domain/{account}/{region}/{dv}                  -> a TXT record to look for: crate::domain_proof
//! access-key/{access key id}                               -> crate::access_key
//! account/{account}                                        -> crate::account
//! ram/{account}/{region}/share/{uuid}                      -> crate::ram::share::Share
//! invitation/{receiver}/{region}/{uuid}                    -> crate::ram::invitation::Invitation
//! member/{receiver}/{region}/{share}                       -> account of a share that was accepted
//! grant/{receiver or *}/{region}/{kind}/{id}               -> crate::sharing::grant::Grant
//! shared/{owner}/{region}/{id}/{share}                     a share has the resource
//! ca/authority                                             -> the private CA, sealed: crate::vault
//! ```
//!
//! A value is JSON unless it is an id alone or sealed. Parts never contain `/` except the last one.

use trellis_model::AccountId;
use trellis_model::resource::lattice::Home;

/// Prefix of every VPC Lattice record.
pub(crate) const LATTICE: &str = "lattice/";

/// Prefix of every EC2 record.
pub(crate) const EC2: &str = "ec2/";

/// Prefix of every RAM record.
pub(crate) const RAM: &str = "ram/";

/// Prefix of every ACM record.
pub(crate) const ACM: &str = "acm/";

/// Prefixes of what an account can own, the account following.
pub(crate) const RESOURCES: &[&str] = &[LATTICE, EC2, RAM, ACM];

/// Prefix of unfinished VPC Lattice work.
pub(crate) const LATTICE_PENDING: &str = "pending/lattice/";

/// Prefix of domain verifications whose record has not been found.
pub(crate) const UNPROVEN: &str = "pending/domain/";

/// The private CA.
pub(crate) const AUTHORITY: &str = "ca/authority";

/// Prefix of idempotency tokens.
pub(crate) const TOKEN: &str = "token/";

/// Keys of one service's resources in one account and region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope {
    service: &'static str,
    place: String,
}

impl Scope {
    pub(crate) fn new(service: &'static str, home: &Home) -> Self {
        Self { service, place: format!("{}/{}", home.account, home.region) }
    }

    /// Keys of VPC Lattice in `home`.
    pub(crate) fn lattice(home: &Home) -> Self {
        Self::new("lattice", home)
    }

    /// Keys of EC2 in `home`.
    pub(crate) fn ec2(home: &Home) -> Self {
        Self::new("ec2", home)
    }

    /// The record of `id`; `id` may be a path of parents and id.
    pub(crate) fn record(&self, kind: &str, id: impl std::fmt::Display) -> String {
        format!("{}/{}/{kind}/{id}", self.service, self.place)
    }

    /// What every record of `kind` begins with.
    pub(crate) fn records(&self, kind: &str) -> String {
        format!("{}/{}/{kind}/", self.service, self.place)
    }

    /// What every record of `kind` under `parent` begins with.
    pub(crate) fn records_of(&self, kind: &str, parent: impl std::fmt::Display) -> String {
        format!("{}/{}/{kind}/{parent}/", self.service, self.place)
    }

    /// An index entry.
    pub(crate) fn index(&self, kind: &str, path: impl std::fmt::Display) -> String {
        format!("index/{}/{}/{kind}/{path}", self.service, self.place)
    }

    /// What every index entry of `kind` under `parent` begins with.
    pub(crate) fn indexes_of(&self, kind: &str, parent: impl std::fmt::Display) -> String {
        format!("index/{}/{}/{kind}/{parent}/", self.service, self.place)
    }

    /// The mark that a workflow has work to do on `id`.
    pub(crate) fn pending(&self, kind: &str, id: impl std::fmt::Display) -> String {
        format!("pending/{}/{}/{kind}/{id}", self.service, self.place)
    }
}

/// The mark that the record of a domain verification is looked for.
pub(crate) fn unproven(home: &Home, id: &str) -> String {
    format!("{UNPROVEN}{}/{}/{id}", home.account, home.region)
}

/// Prefix of every resource's tags.
pub(crate) const TAGS: &str = "tags/";

/// The tags of the resource `arn` names.
pub(crate) fn tags(home: &Home, arn: &str) -> String {
    format!("{}{arn}", tags_in(home))
}

/// What the tags of every resource in `home` begin with.
pub(crate) fn tags_in(home: &Home) -> String {
    format!("tags/{}/{}/", home.account, home.region)
}

/// What the tags of every resource of `account` begin with.
pub(crate) fn tags_of(account: &AccountId) -> String {
    format!("tags/{account}/")
}

/// The last part of a key: the id, where the key ends in one.
pub(crate) fn last_part(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}
