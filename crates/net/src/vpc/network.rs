//! A VPC's router in the kernel: plan, difference to what is there, changes, look again.
//!
//! The namespace is ours alone, so what the kernel lists is all there is; nothing is remembered
//! between two rounds but the firewall's text.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

use ipnet::Ipv4Net;
use trellis_model::fabric::{SubnetPlan, VpcPlan};
use trellis_model::id::{InstanceId, SubnetId};
use trellis_model::snapshot::RESOURCE_BLOCK;

use crate::firewall;
use crate::netlink::address::Address;
use crate::netlink::link::{Link, mac_of};
use crate::netlink::route::Route;
use crate::netlink::{Netlink, NetlinkError};

/// Where clients find services and what the proxy's own connections come from. AWS's block for VPC Lattice.
pub(crate) const SERVICE_BLOCK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 171, 0), 24);

/// Where the resolver answers in every VPC, besides base plus two.
pub(crate) const RESOLVER: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);

/// Characters of an id that fit into the kernel's 15 for a link after two of ours: 52 random bits.
const NAME_SUFFIX: usize = 13;

/// How often a listing that changed under our eyes is asked for again.
const ATTEMPTS: usize = 4;

/// Where a kernel with br_netfilter is told, for each namespace, whether what crosses a bridge passes the rules for IP.
const BRIDGE_FILTER: &str = "/proc/sys/net/bridge/bridge-nf-call-iptables";

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
    /// Bridges by name, with their gateway.
    bridges: BTreeMap<String, Ipv4Net>,
    /// Addresses on the loopback: the resolver's, and those of resource gateways. The bridges answer ARP for them.
    local: Vec<Ipv4Net>,
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
        let resolvers = [RESOLVER, plan.resolver().ok_or(NetworkError::BlockTooSmall { block: *first })?];
        Ok(Desired {
            bridges: plan.subnets.values().map(|subnet| (bridge_name(&subnet.id), gateway(subnet))).collect(),
            local: resolvers
                .into_iter()
                .chain(plan.gateways.values().flat_map(|gateway| gateway.addresses.iter().copied()))
                .map(Ipv4Net::from)
                .collect(),
            rules: firewall::ruleset(plan, &resolvers),
        })
    }
}

/// The router's address in a subnet, with the subnet's prefix length.
fn gateway(subnet: &SubnetPlan) -> Ipv4Net {
    Ipv4Net::new_assert(subnet.gateway(), subnet.cidr.prefix_len())
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

    /// The link `name` has exactly the address `network`.
    fn has_only(&self, link: u32, network: Ipv4Net) -> bool {
        self.addresses.contains(&Address { link, network })
            && self.addresses.iter().filter(|address| address.link == link).count() == 1
    }
}

/// The router of one VPC, as far as it has been made.
#[derive(Debug, Default)]
pub(crate) struct Network {
    /// The rules in force.
    rules: Option<String>,
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

fn routes(loopback: u32) -> [Route; 3] {
    [
        Route::Local { network: SERVICE_BLOCK, link: loopback },
        Route::Local { network: RESOURCE_BLOCK, link: loopback },
        Route::UnreachableDefault,
    ]
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
        let address = Address { link: loopback, network: *network };
        if !observed.addresses.contains(&address) {
            netlink.add_address(&address)?;
            changed = true;
        }
    }
    for route in routes(loopback) {
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
        if link.up && wanted.is_some_and(|gateway| observed.has_only(link.index, *gateway)) {
            right.insert(&link.name);
        } else {
            netlink.delete_link(&link.name)?;
        }
    }
    for (name, gateway) in desired.bridges.iter().filter(|(name, _)| !right.contains(name)) {
        netlink.add_bridge(name, mac_of(gateway.addr()))?;
        let index = netlink.link_index(name)?;
        netlink.set_no_ipv6_address(index)?;
        netlink.add_address(&Address { link: index, network: *gateway })?;
        netlink.set_routing(index)?;
        netlink.set_prompt_proxy(index)?;
        netlink.set_up(index)?;
        made.insert(name.clone());
    }
    Ok(made)
}

/// Looks again; what the kernel took and does not show is an error.
fn verify(netlink: &mut Netlink, desired: &Desired) -> Result<(), NetworkError> {
    let observed = Observed::look(netlink)?;
    let loopback = observed.index("lo");
    let missing = |missing: String| Err(NetworkError::NotInForce { missing });
    for network in &desired.local {
        if !observed.addresses.contains(&Address { link: loopback, network: *network }) {
            return missing(format!("address {network}"));
        }
    }
    for route in routes(loopback) {
        if !observed.routes.contains(&route) {
            return missing(format!("route {route:?}"));
        }
    }
    for (name, gateway) in &desired.bridges {
        let up = observed.links.get(name).is_some_and(|link| link.up && link.kind == "bridge");
        if !up || !observed.has_only(observed.index(name), *gateway) {
            return missing(format!("bridge {name} with {gateway}"));
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
            subnets: BTreeMap::new(),
            hosts: BTreeMap::new(),
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
