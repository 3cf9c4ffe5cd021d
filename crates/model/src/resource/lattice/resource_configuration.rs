//! The resource configuration: what clients connect to behind a resource gateway, and on which ports.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{DatabaseArn, Failure, Home, Status};
use crate::moment::Moment;
use crate::{DomainVerificationId, ResourceConfigurationId, ResourceGatewayId};

/// A resource, a group of them, or one that stands for what another service made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceConfiguration {
    pub id: ResourceConfigurationId,
    pub home: Home,
    /// Unique within account and region.
    pub name: String,
    pub kind: ResourceConfigurationType,
    /// A child's is its group's.
    pub gateway: ResourceGatewayId,
    /// Children only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<ResourceConfigurationId>,
    /// Every kind but groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<ResourceDefinition>,
    /// What clients may connect to, in the order given; empty for `ARN` alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub port_ranges: Vec<PortRange>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<ResourceProtocol>,
    /// A child's is its group's.
    pub allow_association_to_shareable_service_network: bool,
    /// As it was given; compare without regard to case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_domain_name: Option<String>,
    /// Groups only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_domain: Option<String>,
    /// What proved that the domain is the owner's; it may be gone since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain_verification: Option<DomainVerificationId>,
    pub status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    pub created_at: Moment,
    pub last_updated_at: Moment,
}

impl ResourceConfiguration {
    pub fn arn(&self) -> String {
        self.home.lattice_arn(format_args!("resourceconfiguration/{}", self.id))
    }

    /// What one of type ARN stands for.
    pub fn database(&self) -> Option<DatabaseArn> {
        match &self.definition {
            Some(ResourceDefinition::Arn(arn)) => arn.parse().ok(),
            _ => None,
        }
    }
}

/// `type` of a resource configuration. Immutable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ResourceConfigurationType {
    /// A container of children, associated as one.
    Group,
    /// A resource in a group.
    Child,
    /// A resource on its own.
    Single,
    /// What another AWS service made.
    Arn,
    /// Ranges of addresses.
    Cidr,
}

impl ResourceConfigurationType {
    /// The API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Group => "GROUP",
            Self::Child => "CHILD",
            Self::Single => "SINGLE",
            Self::Arn => "ARN",
            Self::Cidr => "CIDR",
        }
    }
}

/// What a resource is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResourceDefinition {
    Ip(IpAddr),
    Dns {
        domain: String,
        ip_address_type: ResourceIpAddressType,
    },
    Arn(String),
    /// 1 to 10.
    Cidr(Vec<IpNet>),
}

/// Which addresses of a name are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ResourceIpAddressType {
    #[default]
    Ipv4,
    Ipv6,
    Dualstack,
}

/// What is carried to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ResourceProtocol {
    #[default]
    Tcp,
    /// Ranges of addresses only.
    TcpUdp,
}

/// `p` or `lo-hi`: ports 1 to 65535. It is written as it was read, so `80-80` is not `80`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PortRange {
    first: u16,
    last: Option<u16>,
}

/// Why a text is not a range of ports.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a port or a range of ports within 1-65535, found {found:?}")]
pub struct PortRangeError {
    pub found: String,
}

impl PortRange {
    /// Every port: what holds where no range was given.
    pub const ALL: Self = Self { first: 1, last: Some(u16::MAX) };

    pub fn first(self) -> u16 {
        self.first
    }

    /// The last port within; that of a single port is the port.
    pub fn last(self) -> u16 {
        self.last.unwrap_or(self.first)
    }

    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last()).contains(&port)
    }
}

impl FromStr for PortRange {
    type Err = PortRangeError;
    fn from_str(text: &str) -> Result<Self, PortRangeError> {
        let malformed = || PortRangeError { found: text.chars().take(16).collect() };
        let port = |text: &str| {
            let is_number = (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
            is_number.then(|| text.parse::<u16>().ok()).flatten().filter(|port| *port > 0)
        };
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (first, Some(port(last).ok_or_else(malformed)?)),
            None => (text, None),
        };
        let first = port(first).ok_or_else(malformed)?;
        if last.is_some_and(|last| last < first) {
            return Err(malformed());
        }
        Ok(Self { first, last })
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.last {
            Some(last) => write!(f, "{}-{last}", self.first),
            None => write!(f, "{}", self.first),
        }
    }
}

impl Serialize for PortRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PortRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_a_port_or_two_in_order_and_is_written_as_it_was_read() {
        for (text, first, last) in
            [("80", 80, 80), ("1-65535", 1, 65535), ("80-80", 80, 80), ("5432-5439", 5432, 5439)]
        {
            let range: PortRange = text.parse().unwrap();
            assert_eq!((range.first(), range.last(), range.to_string()), (first, last, text.to_owned()));
            assert!(range.contains(first) && range.contains(last) && !range.contains(0));
        }
        assert_eq!("00080".parse::<PortRange>().unwrap().to_string(), "80");
        for text in ["", "0", "0-80", "65536", "80-79", "80-", "-80", "1-2-3", "http", "+80", " 80", "100000"]
        {
            assert!(text.parse::<PortRange>().is_err(), "{text}");
        }
    }

    #[test]
    fn definitions_read_back_as_they_were_written() {
        for definition in [
            ResourceDefinition::Ip("10.0.1.10".parse().unwrap()),
            ResourceDefinition::Dns { domain: "db.example.com".into(), ip_address_type: Default::default() },
            ResourceDefinition::Arn("arn:aws:rds:us-east-1:111122223333:db:orders".into()),
            ResourceDefinition::Cidr(vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]),
        ] {
            let json = serde_json::to_string(&definition).unwrap();
            assert_eq!(serde_json::from_str::<ResourceDefinition>(&json).unwrap(), definition);
        }
    }
}
