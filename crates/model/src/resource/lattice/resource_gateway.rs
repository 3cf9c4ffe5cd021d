//! The resource gateway: where connections to resources enter the VPC the resources are in.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Failure, Home, Status};
use crate::moment::Moment;
use crate::{ResourceGatewayId, SecurityGroupId, SubnetId, VpcId};

/// A point of entry, with an interface in each of its subnets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceGateway {
    pub id: ResourceGatewayId,
    pub home: Home,
    /// Unique within account and region.
    pub name: String,
    pub vpc: VpcId,
    /// At least one, all of them subnets of `vpc`. Resources see connections come from these.
    pub subnets: Vec<SubnetId>,
    /// At least one, all of them groups of `vpc`. Their egress rules filter what goes to resources.
    pub security_groups: Vec<SecurityGroupId>,
    pub ip_address_type: ResourceGatewayIpAddressType,
    /// 1 to 62. Of no meaning where the gateway has IPv6 addresses alone.
    pub ipv4_addresses_per_eni: u8,
    /// By subnet, its addresses there: nobody else's while the gateway lives. As many of IPv4 as
    /// `ipv4_addresses_per_eni`, and [`Self::IPV6_ADDRESSES_PER_ENI`] of IPv6, as far as it has the family.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub addresses: BTreeMap<SubnetId, Vec<IpAddr>>,
    pub dns_resolution: DnsResolution,
    pub status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    pub created_at: Moment,
    pub last_updated_at: Moment,
}

impl ResourceGateway {
    /// `ipv4AddressesPerEni` where it was not given.
    pub const DEFAULT_ADDRESSES_PER_ENI: u8 = 16;

    /// As many connections from each subnet to one destination as there are of IPv4 by default.
    pub const IPV6_ADDRESSES_PER_ENI: usize = 16;

    pub fn arn(&self) -> String {
        self.home.lattice_arn(format_args!("resourcegateway/{}", self.id))
    }
}

/// Which addresses a gateway has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ResourceGatewayIpAddressType {
    #[default]
    Ipv4,
    Ipv6,
    Dualstack,
}

impl ResourceGatewayIpAddressType {
    pub fn has_ipv4(self) -> bool {
        self != Self::Ipv6
    }

    pub fn has_ipv6(self) -> bool {
        self != Self::Ipv4
    }
}

/// Who resolves the names of resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DnsResolution {
    /// The resolver of the gateway's VPC.
    InVpc,
    /// Public DNS. The default.
    #[default]
    Public,
}
