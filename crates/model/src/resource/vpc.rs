//! Stored records of EC2: VPCs, subnets, instances, security groups.
//!
//! Blocks are canonical (no host bits), ids are ids. ARNs, zone ids and the ids of things that exist
//! exactly once beside another (a VPC's CIDR association, an instance's interface) are not stored but
//! made from what is. Tags are kept with all others, by ARN.

mod instance;
mod prefix_list;
mod sandbox;
mod security_group;
mod tenants;

pub use instance::*;
pub use prefix_list::*;
pub use sandbox::*;
pub use security_group::*;
pub use tenants::*;

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use super::lattice::Home;
use crate::moment::Moment;
use crate::{Arn, SecurityGroupId, SubnetId, VpcId};

/// The shortest and the longest prefix of a VPC's or subnet's block.
pub const BLOCK_PREFIXES: std::ops::RangeInclusive<u8> = 16..=28;

/// Addresses of every subnet that no instance can have: the network, the router, the resolver, one
/// kept back, and the broadcast address.
pub const RESERVED_ADDRESSES: u32 = 5;

/// Kinds of records, as their keys name them: `ec2/{account}/{region}/{kind}/{id}`.
pub mod kind {
    pub const VPC: &str = "vpc";
    pub const SUBNET: &str = "subnet";
    pub const INSTANCE: &str = "instance";
    pub const SECURITY_GROUP: &str = "security-group";
}

/// `arn:aws:ec2:{region}:{account}:{resource}`.
pub fn ec2_arn(home: &Home, resource: impl std::fmt::Display) -> String {
    Arn::new("ec2", &home.region, &home.account, resource).to_string()
}

/// An isolated network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vpc {
    pub id: VpcId,
    pub home: Home,
    /// /16 to /28.
    pub cidr: Ipv4Net,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<VpcIpv6>,
    pub state: VpcState,
    /// `enableDnsSupport`; on unless switched off.
    pub dns_support: bool,
    /// `enableDnsHostnames`; off unless switched on.
    pub dns_hostnames: bool,
    /// `enableNetworkAddressUsageMetrics`; off unless switched on.
    pub address_usage_metrics: bool,
    /// The group named `default`, made and deleted with the VPC.
    pub default_security_group: SecurityGroupId,
    pub created_at: Moment,
}

impl Vpc {
    pub fn arn(&self) -> String {
        ec2_arn(&self.home, format_args!("vpc/{}", self.id))
    }

    /// "The base of the VPC network range plus two."
    pub fn resolver(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.cidr.network().to_bits() + 2)
    }

    /// The id of the association of the VPC with its IPv4 block.
    pub fn cidr_association_id(&self) -> String {
        format!("vpc-cidr-assoc-{}", self.id.suffix())
    }
}

/// The IPv6 block of a VPC. It may be taken away and another given, so the association has an id of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VpcIpv6 {
    /// `vpc-cidr-assoc-` and 17 digits.
    pub association: String,
    /// /44 to /60.
    pub cidr: Ipv6Net,
    /// `Amazon` for a block that was chosen here; else the caller's word, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
}

impl VpcIpv6 {
    /// The pool that blocks chosen here are of.
    pub const AMAZON_POOL: &str = "Amazon";
}

/// The IPv6 block of a subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubnetIpv6 {
    /// `subnet-cidr-assoc-` and 17 digits.
    pub association: String,
    /// Within the VPC's block, apart from every other subnet's. /44 to /64.
    pub cidr: Ipv6Net,
}

impl SubnetIpv6 {
    /// Whether a host or a gateway may have `address`: "the first four and the last are not available".
    pub fn may_assign(&self, address: Ipv6Addr) -> bool {
        self.assignable().contains(&address.to_bits())
    }

    /// The lowest address that `is_taken` does not claim. A block has more than anybody can take.
    pub fn lowest_free(&self, is_taken: impl Fn(Ipv6Addr) -> bool) -> Option<Ipv6Addr> {
        self.assignable().map(Ipv6Addr::from_bits).find(|address| !is_taken(*address))
    }

    /// The addresses that `is_taken` does not claim, the highest first.
    pub fn free_from_the_top(&self, is_taken: impl Fn(Ipv6Addr) -> bool) -> impl Iterator<Item = Ipv6Addr> {
        self.assignable().rev().map(Ipv6Addr::from_bits).filter(move |address| !is_taken(*address))
    }

    fn assignable(&self) -> std::ops::Range<u128> {
        self.cidr.network().to_bits() + 4..self.cidr.broadcast().to_bits()
    }
}

/// Where a VPC stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VpcState {
    /// Recorded; the kernel does not have it yet.
    Pending,
    Available,
}

impl VpcState {
    /// The API's word, e.g. `available`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Available => "available",
        }
    }
}

/// A part of a VPC that hosts are in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    pub id: SubnetId,
    pub home: Home,
    pub vpc: VpcId,
    /// Within the VPC's block, apart from every other subnet's. /16 to /28.
    pub cidr: Ipv4Net,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<SubnetIpv6>,
    /// `assignIpv6AddressOnCreation`: whether a host is given an IPv6 address it did not ask for.
    #[serde(default)]
    pub assign_ipv6: bool,
    /// Its letter: `a`, `b` or `c`.
    pub zone: Zone,
    /// `mapPublicIpOnLaunch`: kept for whoever asks; there are no public addresses.
    pub map_public_ip: bool,
    pub created_at: Moment,
}

impl Subnet {
    pub fn arn(&self) -> String {
        ec2_arn(&self.home, format_args!("subnet/{}", self.id))
    }

    /// How many addresses instances can have.
    pub fn capacity(&self) -> u32 {
        (1u32 << (32 - self.cidr.prefix_len())) - RESERVED_ADDRESSES
    }

    /// Whether an instance may have `address`.
    pub fn may_assign(&self, address: Ipv4Addr) -> bool {
        self.assignable().contains(&address.to_bits())
    }

    /// The lowest address that `is_taken` does not claim.
    pub fn lowest_free(&self, is_taken: impl Fn(Ipv4Addr) -> bool) -> Option<Ipv4Addr> {
        self.free(is_taken).next()
    }

    /// The addresses that `is_taken` does not claim, the lowest first.
    pub fn free(&self, is_taken: impl Fn(Ipv4Addr) -> bool) -> impl Iterator<Item = Ipv4Addr> {
        self.assignable().map(Ipv4Addr::from_bits).filter(move |address| !is_taken(*address))
    }

    /// The addresses that `is_taken` does not claim, the highest first.
    pub fn free_from_the_top(&self, is_taken: impl Fn(Ipv4Addr) -> bool) -> impl Iterator<Item = Ipv4Addr> {
        self.assignable().rev().map(Ipv4Addr::from_bits).filter(move |address| !is_taken(*address))
    }

    fn assignable(&self) -> std::ops::Range<u32> {
        self.cidr.network().to_bits() + 4..self.cidr.broadcast().to_bits()
    }
}

/// One of a region's availability zones. Every region has the same three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Zone {
    A,
    B,
    C,
}

impl Zone {
    pub const ALL: [Self; 3] = [Self::A, Self::B, Self::C];

    /// The letter at the end of the zone's name.
    pub fn letter(self) -> char {
        match self {
            Self::A => 'a',
            Self::B => 'b',
            Self::C => 'c',
        }
    }

    /// The number at the end of the zone's id.
    pub fn number(self) -> u8 {
        match self {
            Self::A => 1,
            Self::B => 2,
            Self::C => 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(cidr: &str) -> Subnet {
        Subnet {
            id: SubnetId::from_random(1),
            home: Home { account: "111122223333".parse().unwrap(), region: "us-east-1".parse().unwrap() },
            vpc: VpcId::from_random(1),
            cidr: cidr.parse().unwrap(),
            ipv6: None,
            assign_ipv6: false,
            zone: Zone::A,
            map_public_ip: false,
            created_at: jiff::Timestamp::UNIX_EPOCH.into(),
        }
    }

    #[test]
    fn the_first_four_addresses_and_the_last_are_not_for_instances() {
        let subnet = subnet("10.0.1.0/28");
        let may = |last| subnet.may_assign(Ipv4Addr::new(10, 0, 1, last));
        for last in [0, 1, 2, 3, 15, 16] {
            assert!(!may(last), "{last}");
        }
        assert!(may(4) && may(14));
        assert_eq!(subnet.capacity(), 11);
        assert_eq!(subnet.lowest_free(|_| false), Some(Ipv4Addr::new(10, 0, 1, 4)));
        assert_eq!(subnet.lowest_free(|taken| taken.octets()[3] < 14), Some(Ipv4Addr::new(10, 0, 1, 14)));
        assert_eq!(subnet.lowest_free(|_| true), None);
        let top: Vec<u8> = subnet
            .free_from_the_top(|taken| taken.octets()[3] == 13)
            .map(|ip| ip.octets()[3])
            .take(2)
            .collect();
        assert_eq!(top, [14, 12]);
    }

    #[test]
    fn the_first_four_ipv6_addresses_and_the_last_are_not_for_instances() {
        let ipv6 = SubnetIpv6 { association: "a".into(), cidr: "fd12:0:0:1::/64".parse().unwrap() };
        let address = |text: &str| text.parse::<Ipv6Addr>().unwrap();
        for text in ["fd12:0:0:1::", "fd12:0:0:1::3", "fd12:0:0:1:ffff:ffff:ffff:ffff", "fd12:0:0:2::4"] {
            assert!(!ipv6.may_assign(address(text)), "{text}");
        }
        assert!(ipv6.may_assign(address("fd12:0:0:1::4")));
        assert_eq!(
            ipv6.lowest_free(|taken| taken == address("fd12:0:0:1::4")),
            Some(address("fd12:0:0:1::5"))
        );
        let top = ipv6.free_from_the_top(|_| false).next();
        assert_eq!(top, Some(address("fd12:0:0:1:ffff:ffff:ffff:fffe")));
    }

    #[test]
    fn records_read_back_as_they_were_written() {
        let mut subnet = subnet("10.0.1.0/24");
        let before: Subnet = serde_json::from_str(
            &serde_json::to_string(&subnet).unwrap().replace("\"assign_ipv6\":false,", ""),
        )
        .unwrap();
        assert_eq!(before, subnet, "as written before there was IPv6");
        subnet.ipv6 = Some(SubnetIpv6 { association: "a".into(), cidr: "fd12::/64".parse().unwrap() });
        let json = serde_json::to_string(&subnet).unwrap();
        assert!(json.contains("\"zone\":\"a\""), "{json}");
        assert_eq!(serde_json::from_str::<Subnet>(&json).unwrap(), subnet);
        assert_eq!(subnet.arn(), "arn:aws:ec2:us-east-1:111122223333:subnet/subnet-00000000000000001");
    }
}
