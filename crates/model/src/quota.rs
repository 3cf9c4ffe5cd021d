//! Quotas: AWS's defaults and codes, and what an operator put in their place.
//!
//! "Where AWS has a limit that is only AWS's, it is a quota with AWS's default that an operator may
//! raise." Each [`Quota`] is one row of the table; [`Quotas`] answers what is in force.

use std::collections::BTreeMap;

/// `serviceCode` of every quota here.
pub const SERVICE_CODE: &str = "vpc-lattice";

/// A limit with the code AWS knows it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Quota {
    ServiceNetworksPerRegion,
    ServicesPerRegion,
    TargetGroupsPerRegion,
    TargetsPerTargetGroup,
    TargetGroupsPerService,
    ListenersPerService,
    /// The default rule is not counted.
    RulesPerListener,
    ServiceAssociationsPerServiceNetwork,
    VpcAssociationsPerServiceNetwork,
    EndpointsPerServiceNetwork,
    ResourceConfigurationsPerServiceNetwork,
    ResourceConfigurationsPerRegion,
    ChildrenPerResourceGroup,
    ResourceGatewaysPerVpc,
    DomainVerificationsPerRegion,
    /// The one default that is not AWS's, which is 5: a laptop outgrows it in an afternoon.
    VpcsPerRegion,
    SubnetsPerVpc,
    SecurityGroupsPerRegion,
    /// Ingress and egress are counted apart.
    RulesPerSecurityGroup,
}

impl Quota {
    /// Every row of the table.
    pub const ALL: [Self; 19] = [
        Self::ServiceNetworksPerRegion,
        Self::ServicesPerRegion,
        Self::TargetGroupsPerRegion,
        Self::TargetsPerTargetGroup,
        Self::TargetGroupsPerService,
        Self::ListenersPerService,
        Self::RulesPerListener,
        Self::ServiceAssociationsPerServiceNetwork,
        Self::VpcAssociationsPerServiceNetwork,
        Self::EndpointsPerServiceNetwork,
        Self::ResourceConfigurationsPerServiceNetwork,
        Self::ResourceConfigurationsPerRegion,
        Self::ChildrenPerResourceGroup,
        Self::ResourceGatewaysPerVpc,
        Self::DomainVerificationsPerRegion,
        Self::VpcsPerRegion,
        Self::SubnetsPerVpc,
        Self::SecurityGroupsPerRegion,
        Self::RulesPerSecurityGroup,
    ];

    /// Code, AWS's default, and what is counted.
    const fn row(self) -> (&'static str, u64, &'static str) {
        match self {
            Self::ServiceNetworksPerRegion => ("L-9CAD07FB", 50, "service networks per region"),
            Self::ServicesPerRegion => ("L-620C821E", 2000, "services per region"),
            Self::TargetGroupsPerRegion => ("L-BB11C6B9", 500, "target groups per region"),
            Self::TargetsPerTargetGroup => ("L-D71303F3", 1000, "targets per target group"),
            Self::TargetGroupsPerService => ("L-3DEC3B9F", 10, "target groups per service"),
            Self::ListenersPerService => ("L-D64E952E", 2, "listeners per service"),
            Self::RulesPerListener => ("L-CF78395E", 10, "rules per listener"),
            Self::ServiceAssociationsPerServiceNetwork => {
                ("L-75D4A19E", 500, "service associations per service network")
            }
            Self::VpcAssociationsPerServiceNetwork => {
                ("L-EF6E2D62", 500, "VPC associations per service network")
            }
            Self::EndpointsPerServiceNetwork => ("L-89DEA27F", 200, "endpoints per service network"),
            Self::ResourceConfigurationsPerServiceNetwork => {
                ("L-6095700C", 500, "resource configurations per service network")
            }
            Self::ResourceConfigurationsPerRegion => {
                ("L-5FF8F9B9", 2000, "resource configurations per region")
            }
            Self::ChildrenPerResourceGroup => ("L-9BC96FEF", 60, "child resource configurations per group"),
            Self::ResourceGatewaysPerVpc => ("L-0DCA4434", 500, "resource gateways per VPC"),
            Self::DomainVerificationsPerRegion => ("L-73D0F278", 5, "domain verifications per region"),
            Self::VpcsPerRegion => ("L-F678F1CE", 100, "VPCs per region"),
            Self::SubnetsPerVpc => ("L-407747CB", 200, "subnets per VPC"),
            Self::SecurityGroupsPerRegion => ("L-E79EC296", 2500, "security groups per region"),
            Self::RulesPerSecurityGroup => ("L-0EA8095F", 60, "rules per security group and direction"),
        }
    }

    /// AWS's code, e.g. `L-620C821E`.
    pub const fn code(self) -> &'static str {
        self.row().0
    }

    /// AWS's default.
    pub const fn default_limit(self) -> u64 {
        self.row().1
    }

    /// What is counted, for messages: `services per region`.
    pub const fn counts(self) -> &'static str {
        self.row().2
    }

    /// The quota AWS knows by `code`.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|quota| quota.code() == code)
    }
}

/// The limits in force: AWS's defaults, some of them replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quotas(BTreeMap<Quota, u64>);

/// A replacement for a quota that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no quota has the code {code:?}")]
pub struct UnknownQuota {
    pub code: String,
}

impl Quotas {
    /// Replaces limits by code.
    ///
    /// # Errors
    /// The first code that is no quota's.
    pub fn with_overrides<'a>(
        overrides: impl IntoIterator<Item = (&'a str, u64)>,
    ) -> Result<Self, UnknownQuota> {
        overrides
            .into_iter()
            .map(|(code, limit)| {
                let quota = Quota::from_code(code)
                    .ok_or_else(|| UnknownQuota { code: code.chars().take(64).collect() })?;
                Ok((quota, limit))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The limit in force for `quota`.
    pub fn limit(&self, quota: Quota) -> u64 {
        self.0.get(&quota).copied().unwrap_or_else(|| quota.default_limit())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_quota_is_found_by_its_own_code() {
        let codes: BTreeSet<_> = Quota::ALL.iter().map(|quota| quota.code()).collect();
        assert_eq!(codes.len(), Quota::ALL.len());
        for quota in Quota::ALL {
            assert_eq!(Quota::from_code(quota.code()), Some(quota));
        }
    }

    #[test]
    fn an_operator_replaces_single_limits_and_a_typing_mistake_is_refused() {
        let quotas = Quotas::with_overrides([("L-CF78395E", 100)]).unwrap();
        assert_eq!(quotas.limit(Quota::RulesPerListener), 100);
        assert_eq!(quotas.limit(Quota::ListenersPerService), 2);
        assert!(Quotas::with_overrides([("L-NOPE", 1)]).is_err());
    }
}
