//! What ties a service network to VPCs and to services.

use serde::{Deserialize, Serialize};

use super::{Failure, Home, Status};
use crate::moment::Moment;
use crate::{
    AccountId, SecurityGroupId, ServiceAssociationId, ServiceId, ServiceNetworkId, VpcAssociationId, VpcId,
};

/// A VPC whose hosts are clients of a service network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VpcAssociation {
    pub id: VpcAssociationId,
    /// The network's.
    pub home: Home,
    /// The owner of the VPC, who alone may make such an association.
    pub created_by: AccountId,
    pub network: ServiceNetworkId,
    pub network_name: String,
    pub network_arn: String,
    pub vpc: VpcId,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub security_groups: Vec<SecurityGroupId>,
    #[serde(default)]
    pub private_dns_enabled: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_options: Option<DnsOptions>,
    pub status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    pub created_at: Moment,
    pub last_updated_at: Moment,
}

impl VpcAssociation {
    /// The ARN of the VPC.
    pub fn vpc_arn(&self) -> String {
        crate::Arn::new("ec2", &self.home.region, &self.created_by, format_args!("vpc/{}", self.vpc))
            .to_string()
    }
}

/// Which custom domains of resources get private DNS in the VPC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DnsOptions {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_dns_preference: Option<PrivateDnsPreference>,
    /// 1–10 names or `*.` wildcards, only with the two preferences that speak of specified domains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_dns_specified_domains: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PrivateDnsPreference {
    #[default]
    VerifiedDomainsOnly,
    AllDomains,
    VerifiedDomainsAndSpecifiedDomains,
    SpecifiedDomainsOnly,
}

impl PrivateDnsPreference {
    /// Whether `privateDnsSpecifiedDomains` belongs to it.
    pub fn takes_domains(self) -> bool {
        matches!(self, Self::VerifiedDomainsAndSpecifiedDomains | Self::SpecifiedDomainsOnly)
    }
}

/// A service that can be reached through a service network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceAssociation {
    pub id: ServiceAssociationId,
    /// The network's.
    pub home: Home,
    /// The owner of the network or of the service.
    pub created_by: AccountId,
    pub network: ServiceNetworkId,
    pub network_name: String,
    pub network_arn: String,
    pub service: ServiceId,
    pub service_name: String,
    pub service_arn: String,
    /// The service's generated domain name.
    pub domain_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_domain_name: Option<String>,
    pub status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    pub created_at: Moment,
}
