//! A VPC's router in the kernel: plan, difference to what is there, changes, look again.
//!
//! The namespace is ours alone, so what the kernel lists is all there is; nothing is remembered
//! between two rounds but the firewall's text.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use trellis_model::fabric::{LinkLocal, SubnetPlan, VpcPlan};
use trellis_model::id::{InstanceId, SubnetId};
use trellis_model::snapshot::{RESOURCE_BLOCK, SERVICE_VIP_IPV6, SOURCE_IPV6};

use crate::firewall;
use crate::netlink::address::Address;
use crate::netlink::link::{Link, mac_of};
use crate::netlink::route::Route;
use crate::netlink::{Netlink, NetlinkError};

/// Where clients find services and what the proxy's own connections come from. AWS's block for VPC Lattice.
pub(crate) const SERVICE_BLOCK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 171, 0), 24);

/// The same of IPv6, in VPCs that have it.
pub(crate) const SERVICE_BLOCK_IPV6: Ipv6Net =
    Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0xec2, 0x80, 0, 0, 0, 0, 0), 64);

/// Where the resolver answers in every VPC, besides base plus two.
pub(crate) const RESOLVER: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);

/// Where it answers as well in VPCs that have IPv6.
pub(crate) const RESOLVER_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x253);

/// Characters of an id that fit into the kernel's 15 for a link after two of ours: 52 random bits.
const NAME_SUFFIX: usize = 13;

/// How often a listing that changed under our eyes is asked for again.
const ATTEMPTS: usize = 4;

/// Where a kernel with br_netfilter is told, for each namespace, whether what crosses a bridge passes the rules for IP.
const BRIDGE_FILTER: &str = "/proc/sys/net/bridge/bridge-nf-call-iptables";

/// Where a namespace is told to pass IPv6 on from one link to another. Netlink has no word for it.
const IPV6_FORWARDING: &str = "/proc/sys/net/ipv6/conf/all/forwarding";

/// Has packets pass the rules when the router takes them and not also when a bridge does, as a kernel with br_netfilter
/// would by default: the socket that a rule gave a packet would be lost between the two. For the calling thread's
/// namespace. A kernel without br_netfilter needs nothing.
pub(crate) fn pass_rules_once() -> io::Result<()> {
    match fs::write(BRIDGE_FILTER, "0") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// Why a VPC is not as planned.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetworkError {
    #[error("{block} leaves no room for a router and a resolver")]
    BlockTooSmall { block: Ipv4Net },
    #[error("the VPC has no address block")]
    NoBlock,
    #[error("{0}")]
    Netlink(#[from] NetlinkError),
    #[error("let the router pass IPv6 on: write {IPV6_FORWARDING}: {0}")]
    NoForwarding(#[source] io::Error),
    #[error("install firewall rules: {0}")]
    Firewall(#[source] io::Error),
    #[error("the kernel does not show what was made: {missing}")]
    NotInForce { missing: String },
}

/// The bridge of a subnet.
pub(crate) fn bridge_name(subnet: &SubnetId) -> String {
    format!("b-{}", tail(subnet.suffix()))
}

/// The router's end of a host's veth pair.
pub(crate) fn port_name(instance: &InstanceId) -> String {
    format!("h-{}", tail(instance.suffix()))
}

/// The end of an id: its beginning is the same for all.
fn tail(suffix: &str) -> &str {
    suffix.get(suffix.len().saturating_sub(NAME_SUFFIX)..).unwrap_or(suffix)
}

/// Everything of the router that should be there, named rather than numbered.
struct Desired {
    /// Bridges by name, with their gateways.
    bridges: BTreeMap<String, (Ipv4Net, Option<IpNet>)>,
    /// Addresses on the loopback: the resolver's, the metadata's, the API's, and those of resource gateways. The bridges answer ARP for them. Of
    /// IPv6 also those that proxies have, which may bind to no others.
    local: Vec<IpNet>,
    has_ipv6: bool,
    rules: String,
}

impl Desired {
    fn new(plan: &VpcPlan) -> Result<Desired, NetworkError> {
        let first = plan.cidrs.first().ok_or(NetworkError::NoBlock)?;
        for block in plan.cidrs.iter().chain(plan.subnets.values().map(|subnet| &subnet.cidr)) {
            if block.prefix_len() > 29 {
                return Err(NetworkError::BlockTooSmall { block: *block });
            }
        }
        let resolver = plan.resolver().ok_or(NetworkError::BlockTooSmall { block: *first })?;
        let has_ipv6 = plan.ipv6_cidr.is_some();
        let mut local: Vec<IpAddr> = vec![RESOLVER.into(), resolver.into()];
        local.extend(LinkLocal::ALL.map(|service| IpAddr::from(service.ipv4)));
        if has_ipv6 {
            local.extend(LinkLocal::ALL.map(|service| IpAddr::from(service.ipv6)));
            local.extend([RESOLVER_IPV6, SERVICE_VIP_IPV6, SOURCE_IPV6].map(IpAddr::from));
        }
        local.extend(plan.gateways.values().flat_map(|gateway| &gateway.addresses));
        let bridge = |subnet: &SubnetPlan| {
            let ipv6 = ipv6_gateway(subnet).filter(|_| has_ipv6);
            (bridge_name(&subnet.id), (gateway(subnet), ipv6))
        };
        Ok(Desired {
            bridges: plan.subnets.values().map(bridge).collect(),
            local: local.into_iter().map(IpNet::from).collect(),
            has_ipv6,
            rules: firewall::ruleset(plan, &[RESOLVER, resolver]),
        })
    }
}

/// The router's address in a subnet, with the subnet's prefix length.
fn gateway(subnet: &SubnetPlan) -> Ipv4Net {
    Ipv4Net::new_assert(subnet.gateway(), subnet.cidr.prefix_len())
}

/// The same of IPv6, where the subnet has it.
pub(crate) fn ipv6_gateway(subnet: &SubnetPlan) -> Option<IpNet> {
    IpNet::new(subnet.ipv6_gateway()?.into(), subnet.ipv6_cidr?.prefix_len()).ok()
}

/// What the kernel has.
struct Observed {
    links: BTreeMap<String, Link>,
    addresses: BTreeSet<Address>,
    routes: Vec<Route>,
}

impl Observed {
    fn look(netlink: &mut Netlink) -> Result<Observed, NetlinkError> {
        let mut attempts = 1;
        loop {
            match Observed::look_once(netlink) {
                Err(error) if error.source.kind() == io::ErrorKind::Interrupted && attempts < ATTEMPTS => {
                    attempts += 1;
                }
                outcome => return outcome,
            }
        }
    }

    fn look_once(netlink: &mut Netlink) -> Result<Observed, NetlinkError> {
        Ok(Observed {
            links: netlink.links()?.into_iter().map(|link| (link.name.clone(), link)).collect(),
            addresses: netlink.addresses()?.into_iter().collect(),
            routes: netlink.routes()?,
        })
    }

    fn index(&self, name: &str) -> u32 {
        self.links.get(name).map_or(0, |link| link.index)
    }

    fn has(&self, link: u32, network: IpNet) -> bool {
        self.addresses.contains(&Address { link, network })
    }

    /// Addresses of `link` and of a family.
    fn of(&self, link: u32, is_ipv4: bool) -> impl Iterator<Item = &Address> {
        let is_of = move |address: &&Address| {
            address.link == link && matches!(address.network, IpNet::V4(_)) == is_ipv4
        };
        self.addresses.iter().filter(is_of)
    }

    /// The link has exactly the IPv4 address `network`.
    fn has_only(&self, link: u32, network: Ipv4Net) -> bool {
        self.has(link, network.into()) && self.of(link, true).count() == 1
    }
}

/// The router of one VPC, as far as it has been made.
#[derive(Debug, Default)]
pub(crate) struct Network {
    /// The rules in force.
    rules: Option<String>,
    /// IPv6 is passed on.
    forwards_ipv6: bool,
}

impl Network {
    /// Makes the namespace that `netlink` speaks with, which is the calling thread's, agree with `plan`. Hosts' ports
    /// are left alone. Does nothing where nothing differs. Returns the bridges made; what was attached to an older
    /// bridge of that name is not any more.
    pub(crate) fn converge(
        &mut self,
        netlink: &mut Netlink,
        nft: &Path,
        plan: &VpcPlan,
    ) -> Result<BTreeSet<String>, NetworkError> {
        let desired = Desired::new(plan)?;
        // The door is locked before anyone can come to it.
        if self.rules.as_ref() != Some(&desired.rules) {
            firewall::install(nft, &desired.rules).map_err(NetworkError::Firewall)?;
            self.rules = Some(desired.rules.clone());
        }
        if desired.has_ipv6 && !self.forwards_ipv6 {
            fs::write(IPV6_FORWARDING, "1").map_err(NetworkError::NoForwarding)?;
            self.forwards_ipv6 = true;
        }
        let observed = Observed::look(netlink)?;
        let changed = converge_loopback(netlink, &desired, &observed)?;
        let made = converge_bridges(netlink, &desired, &observed)?;
        if changed || !made.is_empty() {
            verify(netlink, &desired)?;
        }
        Ok(made)
    }

    /// Takes every bridge away. The namespace may outlive us a little: a data-plane thread may still be in it.
    pub(crate) fn dismantle(netlink: &mut Netlink) -> Result<(), NetlinkError> {
        let observed = Observed::look(netlink)?;
        for link in observed.links.values().filter(|link| !link.kind.is_empty()) {
            netlink.delete_link(&link.name)?;
        }
        Ok(())
    }
}

fn routes(desired: &Desired, loopback: u32) -> Vec<Route> {
    let mut routes = vec![
        Route::Local { network: SERVICE_BLOCK.into(), link: loopback },
        Route::Local { network: RESOURCE_BLOCK.into(), link: loopback },
        Route::UnreachableDefault,
    ];
    routes.extend(desired.has_ipv6.then(|| ipv6_services(loopback)));
    routes
}

fn ipv6_services(loopback: u32) -> Route {
    Route::Local { network: SERVICE_BLOCK_IPV6.into(), link: loopback }
}

fn converge_loopback(
    netlink: &mut Netlink,
    desired: &Desired,
    observed: &Observed,
) -> Result<bool, NetlinkError> {
    let loopback = observed.index("lo");
    let mut changed = false;
    if !observed.links.get("lo").is_some_and(|link| link.up) {
        netlink.set_up(loopback)?;
        changed = true;
    }
    for address in observed.addresses.iter().filter(|address| address.link == loopback) {
        if !address.network.addr().is_loopback() && !desired.local.contains(&address.network) {
            netlink.delete_address(address)?;
            changed = true;
        }
    }
    for network in &desired.local {
        if !observed.has(loopback, *network) {
            netlink.add_address(&Address { link: loopback, network: *network })?;
            changed = true;
        }
    }
    if !desired.has_ipv6 && observed.routes.contains(&ipv6_services(loopback)) {
        netlink.delete_route(&ipv6_services(loopback))?;
        changed = true;
    }
    for route in routes(desired, loopback) {
        if !observed.routes.contains(&route) {
            netlink.add_route(&route)?;
            changed = true;
        }
    }
    Ok(changed)
}

/// Deletes, then makes; returns the names of those made.
fn converge_bridges(
    netlink: &mut Netlink,
    desired: &Desired,
    observed: &Observed,
) -> Result<BTreeSet<String>, NetlinkError> {
    let mut made = BTreeSet::new();
    // A bridge whose address is wrong is made anew: its Ethernet address follows from it.
    let mut right = BTreeSet::new();
    for link in observed.links.values().filter(|link| link.kind == "bridge") {
        let wanted = desired.bridges.get(&link.name);
        if let Some((gateway, ipv6)) = wanted
            && link.up
            && observed.has_only(link.index, *gateway)
        {
            right.insert(&link.name);
            converge_ipv6(netlink, observed, link.index, *ipv6)?;
        } else {
            netlink.delete_link(&link.name)?;
        }
    }
    for (name, (gateway, ipv6)) in desired.bridges.iter().filter(|(name, _)| !right.contains(name)) {
        netlink.add_bridge(name, mac_of(gateway.addr()))?;
        let index = netlink.link_index(name)?;
        netlink.set_no_ipv6_address(index)?;
        netlink.add_address(&Address { link: index, network: (*gateway).into() })?;
        netlink.set_routing(index)?;
        netlink.set_prompt_proxy(index)?;
        netlink.set_up(index)?;
        if let Some(network) = *ipv6 {
            netlink.add_address(&Address { link: index, network })?;
        }
        made.insert(name.clone());
    }
    Ok(made)
}

/// Gives and takes a bridge's IPv6 address. Its hosts stay attached.
fn converge_ipv6(
    netlink: &mut Netlink,
    observed: &Observed,
    link: u32,
    wanted: Option<IpNet>,
) -> Result<(), NetlinkError> {
    for address in observed.of(link, false).filter(|address| Some(address.network) != wanted) {
        netlink.delete_address(address)?;
    }
    match wanted {
        Some(network) if !observed.has(link, network) => netlink.add_address(&Address { link, network }),
        _ => Ok(()),
    }
}

/// Looks again; what the kernel took and does not show is an error.
fn verify(netlink: &mut Netlink, desired: &Desired) -> Result<(), NetworkError> {
    let observed = Observed::look(netlink)?;
    let loopback = observed.index("lo");
    let missing = |missing: String| Err(NetworkError::NotInForce { missing });
    for network in &desired.local {
        if !observed.has(loopback, *network) {
            return missing(format!("address {network}"));
        }
    }
    for route in routes(desired, loopback) {
        if !observed.routes.contains(&route) {
            return missing(format!("route {route:?}"));
        }
    }
    for (name, (gateway, ipv6)) in &desired.bridges {
        let up = observed.links.get(name).is_some_and(|link| link.up && link.kind == "bridge");
        if !up || !observed.has_only(observed.index(name), *gateway) {
            return missing(format!("bridge {name} with {gateway}"));
        }
        if let Some(network) = ipv6.filter(|network| !observed.has(observed.index(name), *network)) {
            return missing(format!("bridge {name} with {network}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_names_fit_the_kernel_and_differ_by_id() {
        let first = bridge_name(&SubnetId::from_random(1));
        assert_eq!(first.len(), 15);
        assert_ne!(first, bridge_name(&SubnetId::from_random(2)));
        assert_eq!(port_name(&InstanceId::from_random(u64::MAX)), "h-fffffffffffff");
    }

    #[test]
    fn a_block_without_room_for_a_resolver_is_refused() {
        let block: Ipv4Net = "255.255.255.255/32".parse().unwrap();
        let plan = VpcPlan {
            id: trellis_model::id::VpcId::from_random(1),
            cidrs: vec![block],
            ipv6_cidr: None,
            private_dns_domain: "ec2.internal".into(),
            subnets: BTreeMap::new(),
            hosts: BTreeMap::new(),
            secondary_addresses: BTreeMap::new(),
            firewalls: BTreeMap::new(),
            service_clients: None,
            resources: Default::default(),
            gateways: Default::default(),
        };
        assert!(matches!(Desired::new(&plan), Err(NetworkError::BlockTooSmall { .. })));
        let plan = VpcPlan { cidrs: Vec::new(), ..plan };
        assert!(matches!(Desired::new(&plan), Err(NetworkError::NoBlock)));
    }
}
