//! The service, its listeners and their rules.

use serde::{Deserialize, Serialize};

use super::{AuthType, Failure, Home, RuleAction, RuleMatch, Status};
use crate::moment::Moment;
use crate::{ListenerId, RuleId, ServiceId, name};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    pub id: ServiceId,
    pub home: Home,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_domain_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_arn: Option<String>,
    pub auth_type: AuthType,
    /// 60–600, default 60.
    pub idle_timeout_seconds: u16,
    pub status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    pub created_at: Moment,
    pub last_updated_at: Moment,
}

impl Service {
    pub fn arn(&self) -> String {
        self.home.lattice_arn(format_args!("service/{}", self.id))
    }

    /// The generated domain name, lower case.
    pub fn domain_name(&self) -> String {
        name::service_domain_name(&self.name, &self.id, &self.home.region)
    }
}

/// `protocol` of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ListenerProtocol {
    Http,
    Https,
    TlsPassthrough,
}

impl ListenerProtocol {
    /// 80 for HTTP, 443 for what is TLS on the wire.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https | Self::TlsPassthrough => 443,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    pub id: ListenerId,
    pub home: Home,
    pub service: ServiceId,
    pub name: String,
    pub protocol: ListenerProtocol,
    pub port: u16,
    pub default_action: RuleAction,
    /// The id under which the default action shows up among the rules.
    pub default_rule: RuleId,
    pub created_at: Moment,
    pub last_updated_at: Moment,
}

impl Listener {
    pub fn arn(&self) -> String {
        self.home.lattice_arn(format_args!("service/{}/listener/{}", self.service, self.id))
    }

    pub fn service_arn(&self) -> String {
        self.home.lattice_arn(format_args!("service/{}", self.service))
    }

    /// The ARN of the default rule.
    pub fn default_rule_arn(&self) -> String {
        format!("{}/rule/{}", self.arn(), self.default_rule)
    }
}

/// A rule made by CreateRule. A listener's default rule is part of the [`Listener`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    pub id: RuleId,
    pub home: Home,
    pub service: ServiceId,
    pub listener: ListenerId,
    pub name: String,
    /// 1–2000, unique in the listener; the lowest that matches wins.
    pub priority: u16,
    #[serde(rename = "match")]
    pub matches: RuleMatch,
    pub action: RuleAction,
    pub created_at: Moment,
    pub last_updated_at: Moment,
}

impl Rule {
    pub fn arn(&self) -> String {
        let Self { home, service, listener, id, .. } = self;
        home.lattice_arn(format_args!("service/{service}/listener/{listener}/rule/{id}"))
    }
}
