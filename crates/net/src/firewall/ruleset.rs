//! The rules of a VPC: who reaches its router, and what security groups let through.
//!
//! Between hosts the kernel tracks connections, where a security group is concerned; where none is,
//! nothing is tracked, and its cost on each packet is saved. What comes to the router or from it is
//! never tracked: its own sockets know which connections they have, so it is enough to look at the
//! segments that begin one. Nothing leaves a host but from an address it has, told by its Ethernet
//! address, which a bridge port is tied to ([`owners`]).
//!
//! Each family has a table of its own, written by the same words; in a VPC without IPv6 that of IPv6
//! lets nothing in.

mod chains;
mod owners;
mod resources;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use trellis_model::fabric::{LinkLocal, VpcPlan};
use trellis_model::snapshot::{AddressFamily, RESOURCE_BLOCK};

use crate::vpc::network::{RESOLVER_IPV6, SERVICE_BLOCK, SERVICE_BLOCK_IPV6};
use chains::{ByAddress, Chains, Side, jumps};

/// Matches a segment that asks for a connection.
const BEGINS: &str = "tcp flags & (syn | ack) == syn";

/// What of ICMPv6 the router hears: errors, echoes and neighbour discovery, nothing that would configure it.
const HEARD: &str = "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem, \
    echo-request, echo-reply, nd-neighbor-solicit, nd-neighbor-advert } accept\n";

/// What a family is called in rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Words(AddressFamily);

impl Words {
    fn pick<T>(self, ipv4: T, ipv6: T) -> T {
        match self.0 {
            AddressFamily::Ipv4 => ipv4,
            AddressFamily::Ipv6 => ipv6,
        }
    }

    /// The table's family and the header's name.
    fn ip(self) -> &'static str {
        self.pick("ip", "ip6")
    }

    fn address_type(self) -> &'static str {
        self.pick("ipv4_addr", "ipv6_addr")
    }

    fn icmp(self) -> &'static str {
        self.pick("icmp", "ipv6-icmp")
    }

    fn is(self, address: &IpAddr) -> bool {
        AddressFamily::of(*address) == self.0
    }

    /// Where services are, and resources.
    fn served(self) -> String {
        self.pick(format!("{SERVICE_BLOCK}, {RESOURCE_BLOCK}"), SERVICE_BLOCK_IPV6.to_string())
    }

    /// Where the router serves hosts at link-local addresses. "Security groups do not filter traffic to these."
    fn link_local(self) -> String {
        LinkLocal::ALL.map(|service| service.of(self.0).to_string()).join(", ")
    }

    fn services(self) -> String {
        self.pick(SERVICE_BLOCK.to_string(), SERVICE_BLOCK_IPV6.to_string())
    }
}

/// The rules of `plan`, whose resolver answers at `resolvers`, and of IPv6 where it always does. The same plan gives
/// the same text.
///
/// nft hands the kernel all of it in one message, which for a user who is not root is limited by net.core.wmem_max: by
/// default a few thousand addresses that are no neighbours. Where it is too long nothing changes and the VPC fails.
pub(crate) fn ruleset(plan: &VpcPlan, resolvers: &[Ipv4Addr]) -> String {
    let resolvers = resolvers.iter().map(Ipv4Addr::to_string).collect::<Vec<_>>().join(", ");
    let mut text = String::new();
    write_table(&mut text, plan, Words(AddressFamily::Ipv4), &resolvers);
    owners::write_arp(&mut text, plan, &resolvers);
    if plan.ipv6_cidr.is_some() {
        write_table(&mut text, plan, Words(AddressFamily::Ipv6), &RESOLVER_IPV6.to_string());
    } else {
        begin_table(&mut text, "ip6");
        text.push_str(
            "chain input {\ntype filter hook input priority filter; policy drop;\niifname \"lo\" accept\n}\n}\n",
        );
    }
    text
}

/// Anew: what was in it goes in the same step.
fn begin_table(text: &mut String, family: &str) {
    line(
        text,
        format_args!("table {family} trellis\ndelete table {family} trellis\ntable {family} trellis {{"),
    );
}

fn write_table(text: &mut String, plan: &VpcPlan, words: Words, resolvers: &str) {
    let mut chains = Chains::new(words);
    let mut egress = ByAddress::new();
    let mut ingress = ByAddress::new();
    for (address, firewall) in plan.firewalls.iter().filter(|(address, _)| words.is(address)) {
        if let Some(chain) = chains.of(&firewall.egress, Side::Destination) {
            egress.insert(*address, chain);
        }
        if let Some(chain) = chains.of(&firewall.ingress, Side::Source) {
            ingress.insert(*address, chain);
        }
    }
    let clients = plan.service_clients.as_ref().and_then(|rules| chains.of(rules, Side::Source));
    let gateways = resources::gateway_chains(plan, words, &mut chains);
    let ip = words.ip();

    // The busiest rule first: requests to services, and what targets answer to the proxy.
    begin_table(text, ip);
    chains.write(text);
    resources::write_sets(text, plan, words);
    let is_tracked = !egress.is_empty() || !ingress.is_empty();
    owners::write_sources(text, plan, words);
    if is_tracked {
        write_tracking(text, plan, words, &egress, &ingress, resolvers);
    }
    let is_filtered = !egress.is_empty() || clients.is_some();
    if is_filtered {
        text.push_str("chain to_service {\n");
        text.push_str(&jumps(&format!("{ip} saddr"), &egress));
        if let Some(chain) = &clients {
            line(text, format_args!("jump {chain}"));
        }
        text.push_str("}\n");
    }
    resources::write_chains(text, plan, words, &gateways);
    text.push_str("chain input {\ntype filter hook input priority filter; policy drop;\n");
    if is_filtered {
        line(text, format_args!("{ip} daddr {{ {} }} {BEGINS} jump to_service", words.served()));
    }
    line(text, format_args!("{ip} daddr {} meta l4proto tcp accept", words.services()));
    resources::write_input(text, plan, words);
    line(text, format_args!("{ip} daddr {{ {resolvers} }} meta l4proto {{ tcp, udp }} th dport 53 accept"));
    line(text, format_args!("{ip} daddr {{ {} }} tcp dport {} accept", words.link_local(), LinkLocal::PORT));
    text.push_str("iifname \"lo\" accept\n");
    text.push_str(words.pick("ip protocol icmp accept\n", HEARD));
    text.push_str("meta l4proto tcp reject with tcp reset\n");
    line(text, format_args!("reject with {} type admin-prohibited\n}}\n}}", words.pick("icmp", "icmpv6")));
}

/// Everything there is between hosts once a security group restricts one of them, and the router's own dials to them.
fn write_tracking(
    text: &mut String,
    plan: &VpcPlan,
    words: Words,
    egress: &ByAddress,
    ingress: &ByAddress,
    resolvers: &str,
) {
    let restricted: BTreeSet<_> = egress.keys().chain(ingress.keys()).collect();
    let restricted: Vec<_> = restricted.into_iter().map(IpAddr::to_string).collect();
    let (ip, kind, served) = (words.ip(), words.address_type(), words.served());
    let link_local = words.link_local();
    let to_gateways = resources::untracked(plan, words);
    let (from, to) = (format!("{ip} saddr"), format!("{ip} daddr"));
    line(
        text,
        format_args!(
            "set restricted {{ type {kind}; elements = {{ {} }} }}\n\
             chain before {{\n\
             type filter hook prerouting priority raw; policy accept;\n\
             {to} {{ {served}, {link_local}, {resolvers} }} notrack accept\n\
             {to_gateways}\
             {from} @restricted accept\n\
             {to} @restricted accept\n\
             notrack\n\
             }}\n\
             chain ours {{\n\
             type filter hook output priority raw; policy accept;\n\
             notrack\n\
             {BEGINS} {}\
             }}\n\
             chain forward {{\n\
             type filter hook forward priority filter; policy accept;\n\
             ct state established,related,untracked accept\n\
             ct state invalid drop\n\
             {}{}}}",
            restricted.join(", "),
            or_nothing(&jumps(&to, ingress)),
            jumps(&from, egress),
            jumps(&to, ingress),
        ),
    );
}

/// A rule needs a statement; one that does nothing.
fn or_nothing(jumps: &str) -> &str {
    if jumps.is_empty() { "accept\n" } else { jumps }
}

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{what}");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use trellis_model::fabric::{Firewall, FirewallRule, FirewallTraffic};
    use trellis_model::id::VpcId;

    use super::*;

    const RESOLVERS: [Ipv4Addr; 2] = [Ipv4Addr::new(169, 254, 169, 253), Ipv4Addr::new(10, 0, 0, 2)];

    fn plan() -> VpcPlan {
        VpcPlan {
            id: VpcId::from_random(1),
            cidrs: vec!["10.0.0.0/16".parse().unwrap()],
            ipv6_cidr: None,
            private_dns_domain: "ec2.internal".into(),
            subnets: BTreeMap::new(),
            hosts: BTreeMap::new(),
            secondary_addresses: BTreeMap::new(),
            firewalls: BTreeMap::new(),
            service_clients: None,
            resources: Default::default(),
            gateways: Default::default(),
        }
    }

    fn host(last: u8) -> IpAddr {
        Ipv4Addr::new(10, 0, 1, last).into()
    }

    fn rule(traffic: FirewallTraffic, peers: &[&str]) -> FirewallRule {
        FirewallRule { traffic, peers: peers.iter().map(|peer| peer.parse().unwrap()).collect() }
    }

    #[test]
    fn the_rules_name_both_resolvers_and_end_in_refusal() {
        let rules = ruleset(&plan(), &RESOLVERS);
        assert!(rules.contains("{ 169.254.169.253, 10.0.0.2 }"), "{rules}");
        assert!(rules.contains("policy drop"));
        assert!(rules.contains("ip daddr 169.254.171.0/24"));
        assert!(
            rules.contains("ip daddr { 169.254.169.254, 169.254.169.252 } tcp dport 80 accept"),
            "{rules}"
        );
    }

    #[test]
    fn groups_that_allow_everything_cost_nothing() {
        let everything = [rule(FirewallTraffic::All, &["0.0.0.0/0"])];
        let firewall = Arc::new(Firewall { ingress: everything.to_vec(), egress: everything.to_vec() });
        let mut open = plan();
        open.firewalls.insert(host(10), firewall);
        open.service_clients = Some(everything.into());
        assert_eq!(ruleset(&open, &RESOLVERS), ruleset(&plan(), &RESOLVERS));
    }

    #[test]
    fn hosts_with_the_same_rules_share_them_and_overlapping_peers_are_one() {
        let traffic = FirewallTraffic::Tcp { first: 80, last: 90 };
        let ingress = vec![
            rule(traffic, &["10.0.0.0/8", "192.0.2.0/24"]),
            rule(traffic, &["10.0.1.0/24"]),
            rule(FirewallTraffic::All, &[]),
        ];
        let firewall = Arc::new(Firewall { ingress, egress: Vec::new() });
        let mut plan = plan();
        plan.firewalls.insert(host(10), firewall.clone());
        plan.firewalls.insert(host(11), firewall);
        let rules = ruleset(&plan, &RESOLVERS);
        assert_eq!(rules.matches("chain rules").count(), 2, "{rules}");
        assert!(rules.contains("elements = { 10.0.0.0/8, 192.0.2.0/24 }"), "{rules}");
        assert!(rules.contains("chain rules0 {\ndrop\n}"), "no egress rule, no egress: {rules}");
        assert!(rules.contains("ip saddr @peers0 tcp dport 80-90 return\ndrop\n"), "{rules}");
    }

    #[test]
    fn a_vpc_without_ipv6_lets_none_in_and_one_with_it_has_the_same_rules_of_both() {
        let traffic = FirewallTraffic::Tcp { first: 80, last: 80 };
        let ingress = vec![
            rule(traffic, &["10.0.0.0/8", "fd12::/64"]),
            rule(FirewallTraffic::Icmp { kind: Some(8), code: None }, &["10.0.0.0/8", "fd12::/64"]),
            rule(FirewallTraffic::Icmpv6 { kind: Some(128), code: None }, &["10.0.0.0/8", "fd12::/64"]),
        ];
        let everything = vec![rule(FirewallTraffic::All, &["0.0.0.0/0", "::/0"])];
        let firewall = Arc::new(Firewall { ingress, egress: everything });
        let mut plan = plan();
        plan.firewalls.insert(host(10), firewall.clone());
        let of_ipv6 = |rules: &str| rules.split_once("table ip6 trellis {").unwrap().1.to_owned();
        let without = of_ipv6(&ruleset(&plan, &RESOLVERS));
        assert!(without.contains("policy drop;\niifname \"lo\" accept\n}"), "{without}");
        assert!(!without.contains("fd00:ec2"), "{without}");

        plan.ipv6_cidr = Some("fd12::/56".parse().unwrap());
        plan.firewalls.insert("fd12::4".parse().unwrap(), firewall);
        let rules = ruleset(&plan, &RESOLVERS);
        let with = of_ipv6(&rules);
        assert!(with.contains("ip6 daddr fd00:ec2:80::/64 meta l4proto tcp accept"), "{with}");
        assert!(with.contains("ip6 daddr { fd00:ec2::254, fd00:ec2::252 } tcp dport 80 accept"), "{with}");
        assert!(
            with.contains(
                "ip6 saddr fd12::/64 tcp dport 80 return\nip6 saddr fd12::/64 icmpv6 type 128 return\ndrop"
            ),
            "{with}"
        );
        assert!(with.contains("ip6 daddr vmap { fd12::4 : jump rules0 }"), "{with}");
        assert!(!with.contains("10.0"), "{with}");
        assert!(rules.contains("ip saddr 10.0.0.0/8 icmp type 8 return\ndrop"), "{rules}");
    }
}
