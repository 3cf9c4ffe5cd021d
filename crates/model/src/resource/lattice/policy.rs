//! What is attached to a resource: auth policies, resource policies and access log subscriptions.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Home, LogDestination};
use crate::moment::Moment;
use crate::{AccessLogSubscriptionId, ResourceConfigurationId};

/// The auth policy of one service or service network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthPolicy {
    /// The text as it was put, to the letter: clients compare it.
    pub policy: String,
    pub created_at: Moment,
    pub last_updated_at: Moment,
}

/// Which other accounts may use a service network, a service or a resource configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourcePolicy {
    /// The text as it was put, to the letter: clients compare it.
    pub policy: String,
}

/// What whoever delivers access logs acts on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessLogSubscriptions {
    pub by_id: BTreeMap<AccessLogSubscriptionId, Arc<AccessLogSubscription>>,
    /// The GROUP of each CHILD: a connection to a part is one to the whole, too.
    pub groups: BTreeMap<ResourceConfigurationId, ResourceConfigurationId>,
}

/// Where access logs of a service, a service network or a resource configuration go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessLogSubscription {
    pub id: AccessLogSubscriptionId,
    pub home: Home,
    /// `sn-...`, `svc-...` or `rcfg-...`.
    pub resource_id: String,
    pub resource_arn: String,
    pub destination_arn: String,
    /// Service networks only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_type: Option<ServiceNetworkLogType>,
    pub created_at: Moment,
    pub last_updated_at: Moment,
}

impl AccessLogSubscription {
    pub fn arn(&self) -> String {
        self.home.lattice_arn(format_args!("accesslogsubscription/{}", self.id))
    }

    /// Whether its records are of connections to resources; else they are of requests to services.
    pub fn is_of_connections(&self) -> bool {
        match self.log_type {
            Some(log_type) => log_type == ServiceNetworkLogType::Resource,
            None => self.resource_id.starts_with(ResourceConfigurationId::PREFIX),
        }
    }

    /// `None` for an ARN that was accepted once and would not be now.
    pub fn destination(&self) -> Option<LogDestination> {
        self.destination_arn.parse().ok()
    }
}

/// Which traffic of a service network is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ServiceNetworkLogType {
    /// Requests to services. The default.
    #[default]
    Service,
    /// Connections to resources.
    Resource,
}

impl ServiceNetworkLogType {
    /// The API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "SERVICE",
            Self::Resource => "RESOURCE",
        }
    }
}
