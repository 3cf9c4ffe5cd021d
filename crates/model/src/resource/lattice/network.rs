//! The service network.

use serde::{Deserialize, Serialize};

use super::{AuthType, Home};
use crate::ServiceNetworkId;
use crate::moment::Moment;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceNetwork {
    pub id: ServiceNetworkId,
    pub home: Home,
    pub name: String,
    pub auth_type: AuthType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sharing_config: Option<SharingConfig>,
    pub created_at: Moment,
    pub last_updated_at: Moment,
}

impl ServiceNetwork {
    pub fn arn(&self) -> String {
        self.home.lattice_arn(format_args!("servicenetwork/{}", self.id))
    }
}

/// `sharingConfig`: whether the network may be shared with other accounts. Absent: it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharingConfig {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}
