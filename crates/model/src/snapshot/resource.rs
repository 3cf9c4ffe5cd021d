//! Resources as the hosts of one VPC reach them: TCP to an address that stands for the resource there, carried on
//! from the subnets of its resource gateway.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::ops::RangeInclusive;
use std::sync::Arc;

use ipnet::Ipv4Net;
use rustc_hash::FxHashMap;

use super::AddressFamily;
use crate::id::{AccountId, ResourceAssociationId, ResourceConfigurationId, VpcId};

/// Where clients find resources. AWS's block, routed nowhere.
pub const RESOURCE_BLOCK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(129, 224, 0, 0), 17);

/// Where the firewall of a VPC hands over every connection to a resource, whatever its address and port. No host can
/// reach the address itself.
pub const RESOURCE_ENTRANCE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 15_001);

/// fd00:ec2::/32: services, the resolver, and whatever else AWS has for its instances.
const AWS_IPV6: [u16; 2] = [0xfd00, 0xec2];

/// Whether anybody can be at `address` who is connected to from inside a VPC. A name may say what it likes: the router
/// itself, link-local addresses (services among them), other resources, multicast and what is kept back are nobody's.
pub fn may_be_dialled(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let first = address.octets()[0];
            (1..224).contains(&first)
                && !address.is_loopback()
                && !address.is_link_local()
                && !RESOURCE_BLOCK.contains(&address)
        }
        IpAddr::V6(address) => {
            !address.is_unspecified()
                && !address.is_loopback()
                && !address.is_multicast()
                && !address.is_unicast_link_local()
                && address.to_ipv4_mapped().is_none()
                && address.segments()[..2] != AWS_IPV6
        }
    }
}

/// The address of the resource that `association` brings into a network: a function of its id, so it never changes.
/// Ids are chosen so that no two associations of a network have the same.
pub fn resource_address(association: &ResourceAssociationId) -> Ipv4Addr {
    // FNV-1a, folded.
    let hash = association
        .suffix()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let host = (hash ^ (hash >> 32)) as u32 & RESOURCE_BLOCK.hostmask().to_bits();
    Ipv4Addr::from_bits(RESOURCE_BLOCK.network().to_bits() | host)
}

/// A resource as the hosts of one VPC reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// What brings it into the network of the VPC. Connections end with it.
    pub association: ResourceAssociationId,
    /// Of the resource configuration connections are made to: a SINGLE, or the CHILD of a GROUP.
    pub id: ResourceConfigurationId,
    pub arn: Arc<str>,
    pub owner: AccountId,
    /// What clients connect to, of [`RESOURCE_BLOCK`]; one for each resource in a client's VPC.
    pub address: Ipv4Addr,
    /// Lower-case names that resolve to `address` in the client's VPC: the generated one first, then private DNS names.
    pub names: Box<[Box<str>]>,
    /// Ascending and apart. Connections to other ports are refused. The port stays the same on the way to the resource.
    pub ports: Box<[RangeInclusive<u16>]>,
    pub destination: Destination,
    /// The VPC of the resource gateway; connections to the resource are opened from inside it.
    pub vpc: VpcId,
    /// The gateway's addresses, one or more per subnet, that the resource sees connections come from. Never empty.
    pub sources: Box<[IpAddr]>,
}

impl Resource {
    pub fn has_port(&self, port: u16) -> bool {
        self.ports.iter().any(|range| range.contains(&port))
    }
}

/// Where a resource is, as seen from its gateway's VPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    Ip(IpAddr),
    /// Looked up through the resolver of the gateway's VPC when a connection is made; its addresses of that family.
    Name(Box<str>, AddressFamily),
}

/// The resources of one VPC, found by address and by name.
#[derive(Debug, Default)]
pub struct Resources {
    by_address: Box<[Arc<Resource>]>,
    by_name: FxHashMap<Box<str>, usize>,
}

impl Resources {
    /// The first of those that claim an address or a name keeps it.
    pub fn new(resources: impl IntoIterator<Item = Resource>) -> Self {
        let mut all: Vec<_> = resources.into_iter().map(Arc::new).enumerate().collect();
        all.sort_by_key(|(_, resource)| resource.address);
        all.dedup_by_key(|(_, resource)| resource.address);
        let mut names: Vec<(usize, usize, &str)> = Vec::new();
        for (index, (order, resource)) in all.iter().enumerate() {
            names.extend(resource.names.iter().map(|name| (*order, index, &**name)));
        }
        names.sort_unstable();
        let mut by_name = FxHashMap::default();
        for (_, index, name) in names {
            by_name.entry(Box::from(name)).or_insert(index);
        }
        Self { by_address: all.into_iter().map(|(_, resource)| resource).collect(), by_name }
    }

    pub fn at(&self, address: Ipv4Addr) -> Option<&Arc<Resource>> {
        let index = self.by_address.binary_search_by_key(&address, |resource| resource.address).ok()?;
        self.by_address.get(index)
    }

    /// The one that `name`, in lower case, resolves to.
    pub fn named(&self, name: &str) -> Option<&Arc<Resource>> {
        self.by_address.get(*self.by_name.get(name)?)
    }

    /// In the order of their addresses.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.by_address.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.by_address.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(number: u64, last: u8, names: &[&str]) -> Resource {
        Resource {
            association: ResourceAssociationId::from_random(number),
            id: ResourceConfigurationId::from_random(number),
            arn: "arn".into(),
            owner: "111122223333".parse().unwrap(),
            address: Ipv4Addr::new(129, 224, 0, last),
            names: names.iter().map(|name| Box::from(*name)).collect(),
            ports: [5432..=5432].into(),
            destination: Destination::Ip(IpAddr::V4(Ipv4Addr::new(10, 0, 1, 10))),
            vpc: VpcId::from_random(1),
            sources: [IpAddr::V4(Ipv4Addr::new(10, 0, 1, 250))].into(),
        }
    }

    #[test]
    fn addresses_are_within_the_block_and_stand_still() {
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..1000 {
            let id = ResourceAssociationId::from_random(number);
            let address = resource_address(&id);
            assert!(RESOURCE_BLOCK.contains(&address), "{address}");
            assert_eq!(address, resource_address(&id));
            seen.insert(address);
        }
        assert!(seen.len() > 900, "spread over the block: {}", seen.len());
    }

    #[test]
    fn the_first_that_claims_a_name_or_an_address_keeps_it() {
        let resources = Resources::new([
            resource(1, 9, &["one", "db.example.com"]),
            resource(2, 3, &["two", "db.example.com"]),
            resource(3, 9, &["three"]),
        ]);
        let id = |found: Option<&Arc<Resource>>| found.map(|resource| resource.id.clone());
        let number = |number| Some(ResourceConfigurationId::from_random(number));
        assert_eq!(id(resources.named("db.example.com")), number(1));
        assert_eq!(id(resources.named("two")), number(2));
        assert_eq!(id(resources.named("three")), None);
        assert_eq!(id(resources.at([129, 224, 0, 9].into())), number(1));
        assert_eq!(id(resources.at([129, 224, 0, 4].into())), None);
        assert_eq!(resources.iter().count(), 2);
        assert!(resources.at([129, 224, 0, 3].into()).unwrap().has_port(5432));
        assert!(!resources.at([129, 224, 0, 3].into()).unwrap().has_port(5433));
    }

    #[test]
    fn a_name_that_leads_to_ourselves_or_nowhere_leads_to_no_resource() {
        for (address, expected) in [
            ("10.0.1.10", true),
            ("203.0.113.9", true),
            ("127.0.0.1", false),
            ("0.0.0.0", false),
            ("169.254.171.1", false),
            ("169.254.169.253", false),
            ("129.224.3.4", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("fd00::1", true),
            ("2001:db8::1", true),
            ("::1", false),
            ("::", false),
            ("fe80::1", false),
            ("ff02::1", false),
            ("::ffff:10.0.1.10", false),
            ("fd00:ec2:80::a9fe:ab01", false),
            ("fd00:ec2::253", false),
        ] {
            assert_eq!(may_be_dialled(address.parse().unwrap()), expected, "{address}");
        }
    }
}
