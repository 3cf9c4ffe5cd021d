//! The rules about resources: in the VPC of a client the way from a resource's address to the proxy, in the VPC of a
//! resource gateway what the gateway may begin.

use std::net::IpAddr;

use trellis_model::fabric::VpcPlan;
use trellis_model::snapshot::{RESOURCE_BLOCK, RESOURCE_ENTRANCE};

use super::chains::{ByAddress, Chains, Side, jumps};
use super::{BEGINS, Words, line};

/// Matches TCP that is no such request.
const GOES_ON: &str = "tcp flags & (syn | ack) != syn";

/// By address of a gateway, the chain of what it may begin. One that may begin everything is not there.
pub(super) fn gateway_chains(plan: &VpcPlan, words: Words, chains: &mut Chains) -> ByAddress {
    let mut found = ByAddress::new();
    for gateway in plan.gateways.values() {
        let own: Vec<_> = gateway.addresses.iter().filter(|address| words.is(address)).collect();
        if !own.is_empty()
            && let Some(chain) = chains.of(&gateway.egress, Side::Destination)
        {
            found.extend(own.into_iter().map(|address| (*address, chain.clone())));
        }
    }
    found
}

fn gateway_addresses(plan: &VpcPlan, words: Words) -> impl Iterator<Item = &IpAddr> {
    let all = plan.gateways.values().flat_map(|gateway| &gateway.addresses);
    all.filter(move |address| words.is(address))
}

/// Clients find resources at IPv4 addresses alone.
fn has_resources(plan: &VpcPlan, words: Words) -> bool {
    words.pick(!plan.resources.is_empty(), false)
}

/// What later rules name: each address of a resource with its ports, and the gateways' addresses.
pub(super) fn write_sets(text: &mut String, plan: &VpcPlan, words: Words) {
    let kind = words.address_type();
    let ports = plan.resources.iter().filter(|_| has_resources(plan, words)).flat_map(|(address, ports)| {
        ports.iter().map(move |range| match (range.start(), range.end()) {
            (first, last) if first == last => format!("{address} . {first}"),
            (first, last) => format!("{address} . {first}-{last}"),
        })
    });
    for (name, kind, elements) in [
        ("resources", format!("{kind} . inet_service; flags interval"), ports.collect::<Vec<_>>()),
        ("gateways", kind.into(), gateway_addresses(plan, words).map(IpAddr::to_string).collect::<Vec<_>>()),
    ] {
        if !elements.is_empty() {
            let elements = elements.join(", ");
            line(text, format_args!("set {name} {{ type {kind}; elements = {{ {elements} }} }}"));
        }
    }
}

/// What happens to packets before they are anybody's.
pub(super) fn write_chains(text: &mut String, plan: &VpcPlan, words: Words, gateways: &ByAddress) {
    if has_resources(plan, words) {
        // Every packet, not the first alone: one that answers a SYN cookie has to find the listening socket as well.
        line(
            text,
            format_args!(
                "chain to_proxy {{\n\
                 type filter hook prerouting priority mangle; policy accept;\n\
                 meta l4proto tcp ip daddr . tcp dport @resources tproxy to {RESOURCE_ENTRANCE} accept\n\
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
                jumps(&format!("{} saddr", words.ip()), gateways)
            ),
        );
    }
}

/// What the router takes: connections to resources, those that began being let go on; answers to its gateways.
pub(super) fn write_input(text: &mut String, plan: &VpcPlan, words: Words) {
    if has_resources(plan, words) {
        line(text, format_args!("ip daddr {RESOURCE_BLOCK} {GOES_ON} accept"));
        line(text, format_args!("meta l4proto tcp ip daddr . tcp dport @resources accept"));
    }
    if gateway_addresses(plan, words).next().is_some() {
        let (ip, icmp) = (words.ip(), words.icmp());
        line(text, format_args!("{ip} daddr @gateways {GOES_ON} accept"));
        line(text, format_args!("{ip} daddr @gateways meta l4proto != {icmp} drop"));
    }
}

/// What comes to a gateway is the router's own.
pub(super) fn untracked(plan: &VpcPlan, words: Words) -> &'static str {
    match gateway_addresses(plan, words).next() {
        Some(_) => words.pick("ip daddr @gateways notrack accept\n", "ip6 daddr @gateways notrack accept\n"),
        None => "",
    }
}
