//! What is attached to a resource: auth policies, resource policies and access log subscriptions.

use serde::{Deserialize, Serialize};

use super::Home;
use crate::AccessLogSubscriptionId;
use crate::moment::Moment;

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

/// Where access logs of a service or a service network go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessLogSubscription {
    pub id: AccessLogSubscriptionId,
    pub home: Home,
    /// `sn-...` or `svc-...`.
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
