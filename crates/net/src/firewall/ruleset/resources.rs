//! The rules about resources: in the VPC of a client the way from a resource's address to the proxy, in the VPC of a
//! resource gateway what the gateway may begin.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use trellis_model::fabric::VpcPlan;
use trellis_model::snapshot::{RESOURCE_BLOCK, RESOURCE_ENTRANCE};

use super::{BEGINS, Chains, Side, jumps, line};

/// Matches TCP that is no such request.
const GOES_ON: &str = "tcp flags & (syn | ack) != syn";

/// By address of a gateway, the chain of what it may begin. One that may begin everything is not there.
pub(super) fn gateway_chains(plan: &VpcPlan, chains: &mut Chains) -> BTreeMap<Ipv4Addr, String> {
    let mut found = BTreeMap::new();
    for gateway in plan.gateways.values() {
        if let Some(chain) = chains.of(&gateway.egress, Side::Destination) {
            found.extend(gateway.addresses.iter().map(|address| (*address, chain.clone())));
        }
    }
    found
}

fn gateway_addresses(plan: &VpcPlan) -> impl Iterator<Item = &Ipv4Addr> {
    plan.gateways.values().flat_map(|gateway| &gateway.addresses)
}

/// What later rules name: each address of a resource with its ports, and the gateways' addresses.
pub(super) fn write_sets(text: &mut String, plan: &VpcPlan) {
    let ports = plan.resources.iter().flat_map(|(address, ports)| {
        ports.iter().map(move |range| match (range.start(), range.end()) {
            (first, last) if first == last => format!("{address} . {first}"),
            (first, last) => format!("{address} . {first}-{last}"),
        })
    });
    for (name, kind, elements) in [
        ("resources", "ipv4_addr . inet_service; flags interval", ports.collect::<Vec<_>>()),
        ("gateways", "ipv4_addr", gateway_addresses(plan).map(Ipv4Addr::to_string).collect::<Vec<_>>()),
    ] {
        if !elements.is_empty() {
            let elements = elements.join(", ");
            line(text, format_args!("set {name} {{ type {kind}; elements = {{ {elements} }} }}"));
        }
    }
}

/// What happens to packets before they are anybody's.
pub(super) fn write_chains(text: &mut String, plan: &VpcPlan, gateways: &BTreeMap<Ipv4Addr, String>) {
    if !plan.resources.is_empty() {
        // Every packet, not the first alone: one that answers a SYN cookie has to find the listening socket as well.
        line(
            text,
            format_args!(
                "chain to_proxy {{\n\
                 type filter hook prerouting priority mangle; policy accept;\n\
                 meta l4proto tcp ip daddr . tcp dport @resources tproxy ip to {RESOURCE_ENTRANCE} accept\n\
                 }}"
            ),
        );
    }
    if !gateways.is_empty() {
        line(
            text,
            format_args!(
                "chain from_gateways {{\n\
                 type filter hook output priority filter; policy accept;\n\
                 {BEGINS} {}\
                 }}",
                jumps("ip saddr", gateways)
            ),
        );
    }
}

/// What the router takes: connections to resources, those that began being let go on; answers to its gateways.
pub(super) fn write_input(text: &mut String, plan: &VpcPlan) {
    if !plan.resources.is_empty() {
        line(text, format_args!("ip daddr {RESOURCE_BLOCK} {GOES_ON} accept"));
        line(text, format_args!("meta l4proto tcp ip daddr . tcp dport @resources accept"));
    }
    if gateway_addresses(plan).next().is_some() {
        line(text, format_args!("ip daddr @gateways {GOES_ON} accept"));
        line(text, format_args!("ip daddr @gateways ip protocol != icmp drop"));
    }
}

/// What comes to a gateway is the router's own.
pub(super) fn untracked(plan: &VpcPlan) -> &'static str {
    if gateway_addresses(plan).next().is_some() { "ip daddr @gateways notrack accept\n" } else { "" }
}
