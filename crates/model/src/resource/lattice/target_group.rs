//! Target groups, their health check settings, and targets.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{Failure, Home, Status};
use crate::moment::Moment;
use crate::{TargetGroupId, VpcId};

/// `type` of a target group: what a target's id is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TargetGroupType {
    Ip,
    Lambda,
    Instance,
    Alb,
}

impl TargetGroupType {
    /// Whether targets are probed: Lambda functions and load balancers are not.
    pub fn has_health_check(self) -> bool {
        matches!(self, Self::Ip | Self::Instance)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetGroup {
    pub id: TargetGroupId,
    pub home: Home,
    pub name: String,
    #[serde(rename = "type")]
    pub kind: TargetGroupType,
    /// Absent for a Lambda group that was made without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<TargetGroupConfig>,
    pub status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    pub created_at: Moment,
    pub last_updated_at: Moment,
}

impl TargetGroup {
    pub fn arn(&self) -> String {
        self.home.lattice_arn(format_args!("targetgroup/{}", self.id))
    }

    /// Whether targets are probed when the group is in use.
    pub fn is_health_checked(&self) -> bool {
        let check = self.config.as_ref().and_then(|config| config.health_check.as_ref());
        self.kind.has_health_check() && check.is_some_and(|check| check.enabled == Some(true))
    }
}

/// `config`, read from requests, stored with defaults filled in, and answered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TargetGroupConfig {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<TargetGroupProtocol>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol_version: Option<TargetGroupProtocolVersion>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_address_type: Option<IpAddressType>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc_identifier: Option<VpcId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheckConfig>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lambda_event_structure_version: Option<LambdaEventStructureVersion>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TargetGroupProtocol {
    Http,
    Https,
    Tcp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TargetGroupProtocolVersion {
    Http1,
    Http2,
    Grpc,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum IpAddressType {
    Ipv4,
    Ipv6,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum LambdaEventStructureVersion {
    V1,
    V2,
}

/// `healthCheck`. A stored one has every member but `port`, or is `{enabled: false}` alone for TCP.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HealthCheckConfig {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// HTTP or HTTPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<TargetGroupProtocol>,
    /// HTTP1 or HTTP2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol_version: Option<TargetGroupProtocolVersion>,
    /// Absent: the port of each target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// 5–300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check_interval_seconds: Option<u16>,
    /// 1–120.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check_timeout_seconds: Option<u16>,
    /// 2–10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy_threshold_count: Option<u16>,
    /// 2–10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unhealthy_threshold_count: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matcher: Option<Matcher>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Matcher {
    /// `200`, `200,202`, `200-299`.
    HttpCode(String),
}

/// One registered or draining target. Its key is (id, port).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    pub target_group: TargetGroupId,
    /// An address, an instance id or an ARN, as the group's type has it.
    pub id: String,
    /// Absent for Lambda functions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Where connections go; absent where none can, as once an instance is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
    pub registered_at: Moment,
    /// When it was deregistered; requests in flight may still be finishing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draining_since: Option<Moment>,
}
