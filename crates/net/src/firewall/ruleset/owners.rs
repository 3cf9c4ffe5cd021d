//! Addresses belong to hosts: what comes from one comes from an address it has, and nobody else answers for it.

use std::net::IpAddr;

use trellis_model::fabric::{HostPlan, VpcPlan, mac_text};
use trellis_model::snapshot::AddressFamily;

use super::{Words, line};

/// The addresses of a family that a host has.
fn of_host(plan: &VpcPlan, host: &HostPlan, words: Words) -> Vec<IpAddr> {
    match words.0 {
        AddressFamily::Ipv4 => {
            let all = std::iter::once(host.address).chain(plan.secondary_addresses(&host.id));
            all.map(IpAddr::from).collect()
        }
        AddressFamily::Ipv6 => host.ipv6_address.map(IpAddr::from).into_iter().collect(),
    }
}

/// What hosts have, as pairs of an Ethernet address and one of a family.
fn present(plan: &VpcPlan, words: Words) -> Vec<String> {
    let pairs_of = |host: &HostPlan| {
        let mac = mac_text(host.address);
        of_host(plan, host, words).into_iter().map(move |address| format!("{mac} . {address}"))
    };
    let mut pairs: Vec<_> = plan.hosts.values().flat_map(pairs_of).collect();
    pairs.sort_unstable();
    pairs
}

/// Every IPv4 address that somebody has, the router's among them.
fn taken(plan: &VpcPlan, resolvers: &str) -> String {
    let mut taken: Vec<String> = resolvers.split(", ").map(str::to_owned).collect();
    let of_hosts = plan.hosts.values().flat_map(|host| of_host(plan, host, Words(AddressFamily::Ipv4)));
    taken.extend(of_hosts.map(|address| address.to_string()));
    taken.extend(plan.subnets.values().map(|subnet| subnet.gateway().to_string()));
    let gateways = plan.gateways.values().flat_map(|gateway| &gateway.addresses);
    taken.extend(gateways.filter(|address| address.is_ipv4()).map(IpAddr::to_string));
    taken.sort_unstable();
    taken.dedup();
    taken.join(", ")
}

fn set(text: &mut String, name: &str, kind: &str, elements: &str) {
    let elements = if elements.is_empty() { String::new() } else { format!("; elements = {{ {elements} }}") };
    line(text, format_args!("set {name} {{ type {kind}{elements}; }}"));
}

/// That nothing comes from a host but from an address it has. Of neighbour discovery a host may ask, and look whether
/// its own address is free; it has nothing to answer: the router knows its neighbours.
pub(super) fn write_sources(text: &mut String, plan: &VpcPlan, words: Words) {
    let (ip, kind) = (words.ip(), words.address_type());
    set(text, "present", &format!("ether_addr . {kind}"), &present(plan, words).join(", "));
    let others = words.pick("", "icmpv6 type nd-neighbor-solicit ip6 saddr :: ip6 hoplimit 255 accept\n");
    let answers = words.pick("", "icmpv6 type nd-neighbor-advert drop\n");
    line(
        text,
        format_args!(
            "chain from_hosts {{\n\
             type filter hook prerouting priority -310; policy accept;\n\
             iifname != \"b-*\" accept\n\
             {answers}\
             ether saddr . {ip} saddr @present accept\n\
             {others}\
             drop\n\
             }}"
        ),
    );
}

/// The same of ARP; and that the router, which answers for hosts to their neighbours, answers for those there are.
pub(super) fn write_arp(text: &mut String, plan: &VpcPlan, resolvers: &str) {
    super::begin_table(text, "arp");
    let words = Words(AddressFamily::Ipv4);
    set(text, "present", "ether_addr . ipv4_addr", &present(plan, words).join(", "));
    set(text, "taken", "ipv4_addr", &taken(plan, resolvers));
    // A host that asks whether its address is free does so from none.
    line(
        text,
        format_args!(
            "chain from_hosts {{\n\
             type filter hook input priority filter; policy accept;\n\
             iifname != \"b-*\" accept\n\
             arp saddr ether . arp saddr ip @present accept\n\
             arp operation request arp saddr ip 0.0.0.0 accept\n\
             drop\n\
             }}\n\
             chain to_hosts {{\n\
             type filter hook output priority filter; policy accept;\n\
             arp operation != reply accept\n\
             arp saddr ip @taken accept\n\
             drop\n\
             }}\n}}"
        ),
    );
}
