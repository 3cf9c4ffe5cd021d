//! Kinds of VPC Lattice's records, as their keys name them: `lattice/{account}/{region}/{kind}/...`.

pub const NETWORK: &str = "service-network";
pub const SERVICE: &str = "service";
pub const LISTENER: &str = "listener";
pub const RULE: &str = "rule";
pub const TARGET_GROUP: &str = "target-group";
pub const TARGET: &str = "target";
pub const VPC_ASSOCIATION: &str = "vpc-association";
pub const SERVICE_ASSOCIATION: &str = "service-association";
pub const RESOURCE_GATEWAY: &str = "resource-gateway";
pub const RESOURCE_CONFIGURATION: &str = "resource-configuration";
pub const RESOURCE_ASSOCIATION: &str = "resource-association";
pub const DOMAIN_VERIFICATION: &str = "domain-verification";
/// A VPC whose hosts are answered private names: there is one, or none. EC2 writes it, and the next two, where
/// who follows these records is told without being woken by every host.
pub const PRIVATE_NAMES: &str = "private-names";
/// A VPC that has IPv6.
pub const IPV6_VPC: &str = "ipv6-vpc";
/// The host that is the database of an ARN.
pub const DATABASE: &str = "database";
pub const RESOURCE_POLICY: &str = "resource-policy";
pub const AUTH_POLICY: &str = "auth-policy";
pub const ACCESS_LOG: &str = "access-log";
pub const CERTIFICATE: &str = "certificate";
