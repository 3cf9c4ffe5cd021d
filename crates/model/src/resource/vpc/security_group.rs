//! Security groups and their rules.

use std::fmt;

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ec2_arn;
use crate::moment::Moment;
use crate::resource::lattice::Home;
use crate::{AccountId, PrefixListId, SecurityGroupId, SecurityGroupRuleId, VpcId};

/// Name of the group every VPC is made with.
pub const DEFAULT_GROUP: &str = "default";

/// What may reach the interfaces it is given to, and what they may reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroup {
    pub id: SecurityGroupId,
    pub home: Home,
    pub vpc: VpcId,
    /// Unique within the VPC.
    pub name: String,
    pub description: String,
    /// In the order they were made. What no rule allows is refused.
    pub rules: Vec<SecurityGroupRule>,
    pub created_at: Moment,
}

impl SecurityGroup {
    pub fn arn(&self) -> String {
        ec2_arn(&self.home, format_args!("security-group/{}", self.id))
    }
}

/// One allowance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroupRule {
    pub id: SecurityGroupRuleId,
    pub direction: Direction,
    pub traffic: Traffic,
    pub peer: Peer,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

impl SecurityGroupRule {
    /// Whether it allows exactly what `other` does; id and description are no part of that.
    pub fn allows_the_same(&self, other: &Self) -> bool {
        self.direction == other.direction && self.traffic == other.traffic && self.peer == other.peer
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    Ingress,
    Egress,
}

/// A protocol and, where it has them, ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Traffic {
    pub protocol: IpProtocol,
    /// First port, or ICMP type; -1 is every ICMP type. Absent where the protocol has neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i32>,
    /// Last port, or ICMP code; -1 is every ICMP code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<i32>,
}

/// An IP protocol, written as EC2 does: `-1` for all, `tcp`, `udp`, `icmp`, `icmpv6`, or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IpProtocol {
    All,
    Number(u8),
}

impl IpProtocol {
    pub const ICMP: Self = Self::Number(1);
    pub const TCP: Self = Self::Number(6);
    pub const UDP: Self = Self::Number(17);
    pub const ICMPV6: Self = Self::Number(58);

    const NAMES: [(&'static str, Self); 5] = [
        ("-1", Self::All),
        ("tcp", Self::TCP),
        ("udp", Self::UDP),
        ("icmp", Self::ICMP),
        ("icmpv6", Self::ICMPV6),
    ];

    /// Reads a name in any case, or a number; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let named = Self::NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        match named {
            Some((_, protocol)) => Some(*protocol),
            None => text.parse().ok().map(Self::Number),
        }
    }

    pub fn has_ports(self) -> bool {
        self == Self::TCP || self == Self::UDP
    }

    pub fn is_icmp(self) -> bool {
        self == Self::ICMP || self == Self::ICMPV6
    }
}

impl fmt::Display for IpProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (Self::NAMES.iter().find(|(_, protocol)| protocol == self), self) {
            (Some((name, _)), _) => f.write_str(name),
            (None, Self::Number(number)) => write!(f, "{number}"),
            (None, Self::All) => f.write_str("-1"),
        }
    }
}

impl Serialize for IpProtocol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for IpProtocol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("expected an IP protocol"))
    }
}

/// The other side of the traffic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Peer {
    Ipv4(Ipv4Net),
    Ipv6(Ipv6Net),
    /// Every interface that has the group.
    Group {
        account: AccountId,
        group: SecurityGroupId,
    },
    PrefixList(PrefixListId),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_read_by_name_and_number_and_print_as_ec2_does() {
        for (text, printed) in [
            ("-1", "-1"),
            ("TCP", "tcp"),
            ("6", "tcp"),
            ("udp", "udp"),
            ("1", "icmp"),
            ("icmpv6", "icmpv6"),
            ("50", "50"),
        ] {
            assert_eq!(
                IpProtocol::parse(text).map(|protocol| protocol.to_string()).as_deref(),
                Some(printed)
            );
        }
        for text in ["", "all", "256", "-2", "tcp "] {
            assert_eq!(IpProtocol::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_rule_reads_back_as_it_was_written() {
        let rule = SecurityGroupRule {
            id: SecurityGroupRuleId::from_random(1),
            direction: Direction::Ingress,
            traffic: Traffic { protocol: IpProtocol::TCP, from: Some(80), to: Some(80) },
            peer: Peer::Ipv4("10.0.0.0/8".parse().unwrap()),
            description: None,
        };
        let json = serde_json::to_string(&rule).unwrap();
        assert!(json.contains("\"tcp\"") && json.contains("{\"ipv4\":\"10.0.0.0/8\"}"), "{json}");
        let read: SecurityGroupRule = serde_json::from_str(&json).unwrap();
        assert_eq!(read, rule);
        assert!(read.allows_the_same(&rule));
    }
}
