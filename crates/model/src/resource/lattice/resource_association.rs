//! What ties a service network to a resource configuration.

use serde::{Deserialize, Serialize};

use super::{Failure, Home, ResourceConfigurationType, Status};
use crate::moment::Moment;
use crate::{AccountId, ResourceAssociationId, ResourceConfigurationId, ServiceNetworkId};

/// A resource, or a group of them, that can be reached through a service network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceAssociation {
    pub id: ResourceAssociationId,
    /// The network's.
    pub home: Home,
    /// The owner of the network or of the resource configuration.
    pub created_by: AccountId,
    pub network: ServiceNetworkId,
    pub network_name: String,
    pub network_arn: String,
    pub resource: ResourceConfigurationId,
    pub resource_name: String,
    pub resource_arn: String,
    pub kind: ResourceConfigurationType,
    /// For a child's: the association of its group that it comes and goes with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_by: Option<ResourceAssociationId>,
    pub private_dns_enabled: bool,
    /// The resource's custom domain name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_domain_name: Option<String>,
    pub status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    pub created_at: Moment,
    pub last_updated_at: Moment,
}

impl ResourceAssociation {
    /// The address that clients in the network connect to.
    pub fn address(&self) -> std::net::Ipv4Addr {
        crate::snapshot::resource_address(&self.id)
    }

    /// The name that clients in the network connect to. A group has none: its children do.
    pub fn domain_name(&self) -> Option<String> {
        (self.kind != ResourceConfigurationType::Group)
            .then(|| crate::name::resource_domain_name(&self.id, &self.resource, &self.home.region))
    }
}
