//! What should exist in the kernel: VPCs, their subnets and their hosts.
//!
//! The control plane publishes a [`FabricPlan`]; the network layer makes the kernel agree with it
//! and reports, VPC by VPC and host by host, what is in force.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::id::{InstanceId, ResourceGatewayId, SubnetId, VpcId};
use crate::resource::vpc::Sandbox;
use crate::snapshot::AddressFamily;

/// What the router of every VPC serves its hosts with at a link-local address, in plain HTTP on port 80.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkLocal {
    pub ipv4: Ipv4Addr,
    /// There in VPCs that have IPv6.
    pub ipv6: Ipv6Addr,
}

impl LinkLocal {
    pub const PORT: u16 = 80;

    /// The metadata of the instance that asks, where EC2 has it.
    pub const METADATA: Self = Self::ending_in(254, 0x254);

    /// The AWS APIs: a VPC has no way out to where everybody else finds them.
    pub const API: Self = Self::ending_in(252, 0x252);

    pub const ALL: [Self; 2] = [Self::METADATA, Self::API];

    const fn ending_in(ipv4: u8, ipv6: u16) -> Self {
        let ipv6 = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, ipv6);
        Self { ipv4: Ipv4Addr::new(169, 254, 169, ipv4), ipv6 }
    }

    pub fn of(self, family: AddressFamily) -> IpAddr {
        match family {
            AddressFamily::Ipv4 => self.ipv4.into(),
            AddressFamily::Ipv6 => self.ipv6.into(),
        }
    }
}

/// The Ethernet address of whoever holds `address`: locally administered, the same every time, so neighbours
/// need not be asked for it.
pub fn mac_of(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x06, 0x74, a, b, c, d]
}

/// [`mac_of`] as text: `06:74:0a:00:01:04`.
pub fn mac_text(address: Ipv4Addr) -> String {
    mac_of(address).map(|byte| format!("{byte:02x}")).join(":")
}

/// Everything that should exist. What is not in it should not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FabricPlan {
    /// The store revision it was built from; only grows.
    pub revision: u64,
    pub vpcs: BTreeMap<VpcId, Arc<VpcPlan>>,
}

/// One VPC: a namespace that routes between its subnets and nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VpcPlan {
    pub id: VpcId,
    /// The primary block first. /16 to /28, as EC2 has it.
    pub cidrs: Vec<Ipv4Net>,
    /// [`None`]: nothing in the VPC speaks IPv6.
    pub ipv6_cidr: Option<Ipv6Net>,
    /// What private DNS names of its hosts end in: `ec2.internal`. Nobody else is asked for names below it.
    pub private_dns_domain: Box<str>,
    pub subnets: BTreeMap<SubnetId, SubnetPlan>,
    pub hosts: BTreeMap<InstanceId, HostPlan>,
    /// What hosts have beside their own address. Apart from [`HostPlan`], so that they go on when it changes.
    pub secondary_addresses: BTreeMap<InstanceId, BTreeSet<Ipv4Addr>>,
    /// What the security groups of the host at an address let through. A host that is not in it is in no group, and
    /// nothing of it is filtered. Apart from [`HostPlan`], so that a change of rules is no change of the host. A host
    /// with two addresses is there under both.
    pub firewalls: BTreeMap<IpAddr, Arc<Firewall>>,
    /// Which clients may begin a connection to 169.254.171.0/24, fd00:ec2:80::/64 or a resource: the ingress rules of
    /// the VPC association's security groups together. [`None`]: the association has no groups, and all may.
    pub service_clients: Option<Arc<[FirewallRule]>>,
    /// What hosts may connect to in 129.224.0.0/17: by the address of a resource its ports, ascending and apart.
    /// Whatever is not here is refused.
    pub resources: BTreeMap<Ipv4Addr, Box<[RangeInclusive<u16>]>>,
    /// The resource gateways in the VPC.
    pub gateways: BTreeMap<ResourceGatewayId, GatewayPlan>,
}

impl VpcPlan {
    /// The VPC's resolver: "the base of the VPC network range plus two".
    /// It answers on 169.254.169.253 as well.
    pub fn resolver(&self) -> Option<Ipv4Addr> {
        self.cidrs.first().map(|cidr| Ipv4Addr::from_bits(cidr.network().to_bits() + 2))
    }

    /// Whether a host of the VPC has `address`.
    pub fn has_host_at(&self, address: Ipv4Addr) -> bool {
        self.hosts.values().any(|host| host.address == address)
            || self.secondary_addresses.values().any(|of_host| of_host.contains(&address))
    }

    /// The host that has `address`.
    pub fn host_at(&self, address: IpAddr) -> Option<&HostPlan> {
        let address = address.to_canonical();
        self.hosts.values().find(|host| {
            let mut more = self.secondary_addresses(&host.id);
            IpAddr::from(host.address) == address
                || host.ipv6_address.map(IpAddr::from) == Some(address)
                || more.any(|other| IpAddr::from(other) == address)
        })
    }

    /// What a host has beside its own address.
    pub fn secondary_addresses(&self, host: &InstanceId) -> impl Iterator<Item = Ipv4Addr> {
        self.secondary_addresses.get(host).into_iter().flatten().copied()
    }
}

/// A resource gateway: the router has its addresses, and connections to resources come from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayPlan {
    /// In subnets of the VPC; no host has them.
    pub addresses: Vec<IpAddr>,
    /// What its security groups let it begin.
    pub egress: Vec<FirewallRule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubnetPlan {
    pub id: SubnetId,
    pub cidr: Ipv4Net,
    /// Within the VPC's, /44 to /64.
    pub ipv6_cidr: Option<Ipv6Net>,
}

impl SubnetPlan {
    /// The router's address in the subnet: base plus one.
    pub fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.cidr.network().to_bits() + 1)
    }

    /// The router's IPv6 address in the subnet, where it has IPv6: base plus one.
    pub fn ipv6_gateway(&self) -> Option<Ipv6Addr> {
        self.ipv6_cidr.map(|cidr| Ipv6Addr::from_bits(cidr.network().to_bits() + 1))
    }
}

/// One host: a namespace with one interface in a subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPlan {
    pub id: InstanceId,
    /// What `trellis run --name` gave; unique in the installation. The host name inside.
    pub name: String,
    pub subnet: SubnetId,
    pub address: Ipv4Addr,
    /// In the IPv6 block of `subnet`.
    pub ipv6_address: Option<Ipv6Addr>,
    /// What to run inside, started again when it has ended with the process that held it. Empty: nothing.
    pub command: Vec<String>,
    /// What it sees of the machine and may take of it.
    pub sandbox: Sandbox,
}

/// What the security groups of one host say together, every reference resolved to addresses.
///
/// It is about who may begin: what belongs to a connection that was let through passes both ways.
/// What no rule allows is dropped without a word. DNS to the VPC's resolver is not subject to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Firewall {
    /// Who may reach the host.
    pub ingress: Vec<FirewallRule>,
    /// Whom the host may reach.
    pub egress: Vec<FirewallRule>,
}

/// One allowance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirewallRule {
    pub traffic: FirewallTraffic,
    /// The other side: whoever is in one of the blocks. Empty, the rule allows nothing.
    pub peers: Arc<[IpNet]>,
}

impl FirewallRule {
    /// Whether it allows all there is of a family.
    pub fn allows_everything(&self, family: AddressFamily) -> bool {
        let is_all = |block: &IpNet| block.prefix_len() == 0 && AddressFamily::of(block.addr()) == family;
        self.traffic == FirewallTraffic::All && self.peers.iter().any(is_all)
    }
}

/// A protocol and, where it has them, ports or types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FirewallTraffic {
    All,
    /// Destination ports, both ends included.
    Tcp {
        first: u16,
        last: u16,
    },
    /// Destination ports, both ends included.
    Udp {
        first: u16,
        last: u16,
    },
    /// [`None`] is every type, every code.
    Icmp {
        kind: Option<u8>,
        code: Option<u8>,
    },
    /// As `Icmp`, of IPv6. Neighbour discovery passes without it.
    Icmpv6 {
        kind: Option<u8>,
        code: Option<u8>,
    },
    /// Any other protocol, by number.
    Protocol(u8),
}
