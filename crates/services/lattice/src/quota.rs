//! Limits of VPC Lattice, with AWS's codes and defaults.

use trellis_frame::Quota;

pub(crate) static SERVICE_NETWORKS_PER_REGION: Quota =
    Quota::new("vpc-lattice", "L-9CAD07FB", 50, "service networks per region");
pub(crate) static SERVICES_PER_REGION: Quota =
    Quota::new("vpc-lattice", "L-620C821E", 2000, "services per region");
pub(crate) static TARGET_GROUPS_PER_REGION: Quota =
    Quota::new("vpc-lattice", "L-BB11C6B9", 500, "target groups per region");
pub(crate) static TARGETS_PER_TARGET_GROUP: Quota =
    Quota::new("vpc-lattice", "L-D71303F3", 1000, "targets per target group");
pub(crate) static TARGET_GROUPS_PER_SERVICE: Quota =
    Quota::new("vpc-lattice", "L-3DEC3B9F", 10, "target groups per service");
pub(crate) static LISTENERS_PER_SERVICE: Quota =
    Quota::new("vpc-lattice", "L-D64E952E", 2, "listeners per service");
/// The default rule is not counted.
pub(crate) static RULES_PER_LISTENER: Quota =
    Quota::new("vpc-lattice", "L-CF78395E", 10, "rules per listener");
pub(crate) static SERVICE_ASSOCIATIONS_PER_SERVICE_NETWORK: Quota =
    Quota::new("vpc-lattice", "L-75D4A19E", 500, "service associations per service network");
pub(crate) static VPC_ASSOCIATIONS_PER_SERVICE_NETWORK: Quota =
    Quota::new("vpc-lattice", "L-EF6E2D62", 500, "VPC associations per service network");
pub(crate) static ENDPOINTS_PER_SERVICE_NETWORK: Quota =
    Quota::new("vpc-lattice", "L-89DEA27F", 200, "endpoints per service network");
pub(crate) static RESOURCE_CONFIGURATIONS_PER_SERVICE_NETWORK: Quota =
    Quota::new("vpc-lattice", "L-6095700C", 500, "resource configurations per service network");
pub(crate) static RESOURCE_CONFIGURATIONS_PER_REGION: Quota =
    Quota::new("vpc-lattice", "L-5FF8F9B9", 2000, "resource configurations per region");
pub(crate) static CHILDREN_PER_RESOURCE_GROUP: Quota =
    Quota::new("vpc-lattice", "L-9BC96FEF", 60, "child resource configurations per group");
pub(crate) static RESOURCE_GATEWAYS_PER_VPC: Quota =
    Quota::new("vpc-lattice", "L-0DCA4434", 500, "resource gateways per VPC");
pub(crate) static DOMAIN_VERIFICATIONS_PER_REGION: Quota =
    Quota::new("vpc-lattice", "L-73D0F278", 5, "domain verifications per region");

/// Every one of them.
pub(crate) const ALL: &[&Quota] = &[
    &SERVICE_NETWORKS_PER_REGION,
    &SERVICES_PER_REGION,
    &TARGET_GROUPS_PER_REGION,
    &TARGETS_PER_TARGET_GROUP,
    &TARGET_GROUPS_PER_SERVICE,
    &LISTENERS_PER_SERVICE,
    &RULES_PER_LISTENER,
    &SERVICE_ASSOCIATIONS_PER_SERVICE_NETWORK,
    &VPC_ASSOCIATIONS_PER_SERVICE_NETWORK,
    &ENDPOINTS_PER_SERVICE_NETWORK,
    &RESOURCE_CONFIGURATIONS_PER_SERVICE_NETWORK,
    &RESOURCE_CONFIGURATIONS_PER_REGION,
    &CHILDREN_PER_RESOURCE_GROUP,
    &RESOURCE_GATEWAYS_PER_VPC,
    &DOMAIN_VERIFICATIONS_PER_REGION,
];
