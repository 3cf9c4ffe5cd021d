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
//! tags/{account}/{region}/{arn}                            -> every tag of one resource: trellis_frame::tags
//! token/{account}/{region}/{service}/{operation}/{hash}    -> an answer given before: trellis_frame::token
//! pending/{service}/{account}/{region}/{kind}/{...}        -> work a workflow has to finish
//! pending/domain/{account}/{region}/{dv}                  -> a TXT record to look for: crate::domain_proof
//! access-key/{access key id}                               -> trellis_frame::access_key
//! token-key/{8 hex digits}                                 -> sealed: trellis_frame::token_key
//! account/{account}                                        -> trellis_frame::account
//! ram/{account}/{region}/share/{uuid}                      -> crate::ram::share::Share
//! invitation/{receiver}/{region}/{uuid}                    -> crate::ram::invitation::Invitation
//! member/{receiver}/{region}/{share}                       -> account of a share that was accepted
//! grant/{receiver or *}/{region}/{kind}/{id}               -> crate::sharing::grant::Grant
//! shared/{owner}/{region}/{id}/{share}                     a share has the resource
//! ca/authority                                             -> the private CA, sealed: trellis_frame::vault
//! ```
//!
//! A value is JSON unless it is an id alone or sealed. Parts never contain `/` except the last one.

use trellis_model::resource::lattice::Home;

pub(crate) use trellis_frame::key::{Scope, TAGS, last_part};

/// Prefix of every VPC Lattice record.
pub(crate) const LATTICE: &str = "lattice/";

/// Prefix of every EC2 record.
pub(crate) const EC2: &str = "ec2/";

/// Prefix of every RAM record.
pub(crate) const RAM: &str = "ram/";

/// Prefix of every ACM record.
pub(crate) const ACM: &str = "acm/";

/// Prefix of unfinished VPC Lattice work.
pub(crate) const LATTICE_PENDING: &str = "pending/lattice/";

/// Prefix of domain verifications whose record has not been found.
pub(crate) const UNPROVEN: &str = "pending/domain/";

/// Keys of VPC Lattice in `home`.
pub(crate) fn lattice(home: &Home) -> Scope {
    Scope::new("lattice", home)
}

/// Keys of EC2 in `home`.
pub(crate) fn ec2(home: &Home) -> Scope {
    Scope::new("ec2", home)
}

/// The mark that the record of a domain verification is looked for.
pub(crate) fn unproven(home: &Home, id: &str) -> String {
    format!("{UNPROVEN}{}/{}/{id}", home.account, home.region)
}
