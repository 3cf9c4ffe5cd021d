//! Limits of VPCs, with AWS's codes and defaults.

use trellis_frame::Quota;

/// The one default that is not AWS's, which is 5: a laptop outgrows it in an afternoon.
pub(crate) static VPCS_PER_REGION: Quota = Quota::new("vpc", "L-F678F1CE", 100, "VPCs per region");
pub(crate) static SUBNETS_PER_VPC: Quota = Quota::new("vpc", "L-407747CB", 200, "subnets per VPC");
pub(crate) static SECURITY_GROUPS_PER_REGION: Quota =
    Quota::new("vpc", "L-E79EC296", 2500, "security groups per region");
/// Ingress and egress are counted apart.
pub(crate) static RULES_PER_SECURITY_GROUP: Quota =
    Quota::new("vpc", "L-0EA8095F", 60, "rules per security group and direction");

/// Every one of them.
pub(crate) const ALL: &[&Quota] =
    &[&VPCS_PER_REGION, &SUBNETS_PER_VPC, &SECURITY_GROUPS_PER_REGION, &RULES_PER_SECURITY_GROUP];
