//! Where VPC Lattice's records are in the store.
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
//! lattice/{account}/{region}/certificate/{svc}/{host name} -> sealed chain and key: crate::certificate
//! pending/lattice/{account}/{region}/{kind}/{...}          work that [`crate::workflow`] has to finish
//! pending/domain/{account}/{region}/{dv}                  -> a TXT record to look for: crate::domain_proof
//! ```
//!
//! Indexes are [`crate::place`]'s. A value is JSON unless it is an id alone or sealed. Parts never contain `/` except the
//! last one.

use trellis_model::resource::lattice::Home;

pub(crate) use trellis_frame::key::{Scope, last_part};

/// Prefix of every VPC Lattice record.
pub(crate) const LATTICE: &str = "lattice/";

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
