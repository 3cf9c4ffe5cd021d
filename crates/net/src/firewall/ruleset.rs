//! The rules of a VPC: who reaches its router, and what security groups let through.
//!
//! Between hosts the kernel tracks connections, where a security group is concerned; where none is,
//! nothing is tracked, and its cost on each packet is saved. What comes to the router or from it is
//! never tracked: its own sockets know which connections they have, so it is enough to look at the
//! segments that begin one. Routing drops forged sources of other subnets (strict reverse path);
//! those of the same subnet are told by their Ethernet address, which a bridge port is tied to.

mod resources;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use trellis_model::fabric::{FirewallRule, FirewallTraffic, VpcPlan};
use trellis_model::snapshot::RESOURCE_BLOCK;

use crate::netlink::link::mac_of;
use crate::vpc::network::SERVICE_BLOCK;

/// Matches a segment that asks for a connection.
const BEGINS: &str = "tcp flags & (syn | ack) == syn";

/// The rules of `plan`, whose resolver answers at `resolvers`. The same plan gives the same text.
///
/// nft hands the kernel all of it in one message, which for a user who is not root is limited by net.core.wmem_max: by
/// default a few thousand addresses that are no neighbours. Where it is too long nothing changes and the VPC fails.
pub(crate) fn ruleset(plan: &VpcPlan, resolvers: &[Ipv4Addr]) -> String {
    let resolvers = resolvers.iter().map(Ipv4Addr::to_string).collect::<Vec<_>>().join(", ");
    let mut chains = Chains::default();
    let mut egress = BTreeMap::new();
    let mut ingress = BTreeMap::new();
    for (address, firewall) in &plan.firewalls {
        if let Some(chain) = chains.of(&firewall.egress, Side::Destination) {
            egress.insert(*address, chain);
        }
        if let Some(chain) = chains.of(&firewall.ingress, Side::Source) {
            ingress.insert(*address, chain);
        }
    }
    let clients = plan.service_clients.as_ref().and_then(|rules| chains.of(rules, Side::Source));
    let gateways = resources::gateway_chains(plan, &mut chains);

    // The busiest rule first: requests to services, and what targets answer to the proxy.
    let mut text = String::from("table inet trellis\ndelete table inet trellis\ntable inet trellis {\n");
    chains.write(&mut text);
    resources::write_sets(&mut text, plan);
    if !egress.is_empty() || !ingress.is_empty() {
        write_tracking(&mut text, plan, &egress, &ingress, &resolvers);
    }
    if !egress.is_empty() || clients.is_some() {
        text.push_str("chain to_service {\n");
        text.push_str(&jumps("ip saddr", &egress));
        if let Some(chain) = &clients {
            line(&mut text, format_args!("jump {chain}"));
        }
        text.push_str("}\n");
    }
    resources::write_chains(&mut text, plan, &gateways);
    text.push_str("chain input {\ntype filter hook input priority filter; policy drop;\n");
    if !egress.is_empty() || clients.is_some() {
        let served = format!("{{ {SERVICE_BLOCK}, {RESOURCE_BLOCK} }}");
        line(&mut text, format_args!("ip daddr {served} {BEGINS} jump to_service"));
    }
    line(&mut text, format_args!("ip daddr {SERVICE_BLOCK} meta l4proto tcp accept"));
    resources::write_input(&mut text, plan);
    line(
        &mut text,
        format_args!("ip daddr {{ {resolvers} }} meta l4proto {{ tcp, udp }} th dport 53 accept"),
    );
    text.push_str(
        "iifname \"lo\" accept\n\
         ip protocol icmp accept\n\
         meta l4proto tcp reject with tcp reset\n\
         meta nfproto ipv4 reject with icmpx type admin-prohibited\n\
         }\n}\n",
    );
    text
}

/// Everything there is between hosts once a security group restricts one of them, and the router's own dials to them.
fn write_tracking(
    text: &mut String,
    plan: &VpcPlan,
    egress: &BTreeMap<Ipv4Addr, String>,
    ingress: &BTreeMap<Ipv4Addr, String>,
    resolvers: &str,
) {
    let restricted: BTreeSet<_> = egress.keys().chain(ingress.keys()).collect();
    let present: BTreeSet<_> =
        plan.hosts.values().map(|host| &host.address).chain(plan.firewalls.keys()).collect();
    let restricted: Vec<_> = restricted.into_iter().map(Ipv4Addr::to_string).collect();
    let present: Vec<_> = present
        .into_iter()
        .map(|address| {
            let mac = mac_of(*address).map(|byte| format!("{byte:02x}")).join(":");
            format!("{mac} . {address}")
        })
        .collect();
    let to_gateways = resources::untracked(plan);
    line(
        text,
        format_args!(
            "set restricted {{ type ipv4_addr; elements = {{ {} }} }}\n\
             set present {{ type ether_addr . ipv4_addr; elements = {{ {} }} }}\n\
             chain before {{\n\
             type filter hook prerouting priority raw; policy accept;\n\
             ip daddr {{ {SERVICE_BLOCK}, {RESOURCE_BLOCK}, {resolvers} }} notrack accept\n\
             {to_gateways}\
             iifname \"b-*\" ether saddr . ip saddr != @present drop\n\
             ip saddr @restricted accept\n\
             ip daddr @restricted accept\n\
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
            present.join(", "),
            or_nothing(&jumps("ip daddr", ingress)),
            jumps("ip saddr", egress),
            jumps("ip daddr", ingress),
        ),
    );
}

/// A rule needs a statement; one that does nothing.
fn or_nothing(jumps: &str) -> &str {
    if jumps.is_empty() { "accept\n" } else { jumps }
}

/// To each address's chain. A chain returns what it allows.
fn jumps(field: &str, chains: &BTreeMap<Ipv4Addr, String>) -> String {
    if chains.is_empty() {
        return String::new();
    }
    let pairs: Vec<_> = chains.iter().map(|(address, chain)| format!("{address} : jump {chain}")).collect();
    format!("{field} vmap {{ {} }}\n", pairs.join(", "))
}

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{what}");
}

/// Which address of a packet is the peer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Source,
    Destination,
}

/// Chains and sets by what they contain: hosts with the same groups share them.
#[derive(Debug, Default)]
struct Chains {
    chains: BTreeMap<String, String>,
    sets: BTreeMap<Vec<Ipv4Net>, String>,
}

impl Chains {
    /// The chain that returns what `rules` allow and drops all else. [`None`] when they allow everything.
    fn of(&mut self, rules: &[FirewallRule], side: Side) -> Option<String> {
        if rules.iter().any(FirewallRule::allows_everything) {
            return None;
        }
        let field = match side {
            Side::Source => "ip saddr",
            Side::Destination => "ip daddr",
        };
        // Rules for the same traffic are one.
        let mut peers: BTreeMap<FirewallTraffic, Vec<Ipv4Net>> = BTreeMap::new();
        for rule in rules {
            peers.entry(rule.traffic).or_default().extend(rule.peers.iter());
        }
        let mut content = String::new();
        for (traffic, peers) in peers {
            let mut peers = Ipv4Net::aggregate(&peers);
            peers.sort_unstable();
            let peers = match peers.as_slice() {
                [] => continue,
                [all] if all.prefix_len() == 0 => String::new(),
                [one] => format!("{field} {one} "),
                _ => format!("{field} @{} ", self.set(peers)),
            };
            line(&mut content, format_args!("{peers}{}return", matching(traffic)));
        }
        content.push_str("drop\n");
        let next = format!("rules{}", self.chains.len());
        Some(self.chains.entry(content).or_insert(next).clone())
    }

    fn set(&mut self, blocks: Vec<Ipv4Net>) -> String {
        let next = format!("peers{}", self.sets.len());
        self.sets.entry(blocks).or_insert(next).clone()
    }

    /// Before those who name them.
    fn write(&self, text: &mut String) {
        for (blocks, name) in &self.sets {
            let blocks: Vec<_> = blocks.iter().map(Ipv4Net::to_string).collect();
            let blocks = blocks.join(", ");
            line(
                text,
                format_args!("set {name} {{ type ipv4_addr; flags interval; elements = {{ {blocks} }} }}"),
            );
        }
        for (content, name) in &self.chains {
            line(text, format_args!("chain {name} {{\n{content}}}"));
        }
    }
}

fn matching(traffic: FirewallTraffic) -> String {
    let ports = |protocol, first, last| match (first, last) {
        (0, u16::MAX) => format!("meta l4proto {protocol} "),
        (first, last) if first == last => format!("{protocol} dport {first} "),
        (first, last) => format!("{protocol} dport {first}-{last} "),
    };
    match traffic {
        FirewallTraffic::All => String::new(),
        FirewallTraffic::Tcp { first, last } => ports("tcp", first, last),
        FirewallTraffic::Udp { first, last } => ports("udp", first, last),
        FirewallTraffic::Icmp { kind: None, .. } => "meta l4proto icmp ".into(),
        FirewallTraffic::Icmp { kind: Some(kind), code: None } => format!("icmp type {kind} "),
        FirewallTraffic::Icmp { kind: Some(kind), code: Some(code) } => {
            format!("icmp type {kind} icmp code {code} ")
        }
        FirewallTraffic::Protocol(number) => format!("meta l4proto {number} "),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use trellis_model::fabric::Firewall;
    use trellis_model::id::VpcId;

    use super::*;

    const RESOLVERS: [Ipv4Addr; 2] = [Ipv4Addr::new(169, 254, 169, 253), Ipv4Addr::new(10, 0, 0, 2)];

    fn plan() -> VpcPlan {
        VpcPlan {
            id: VpcId::from_random(1),
            cidrs: vec!["10.0.0.0/16".parse().unwrap()],
            subnets: BTreeMap::new(),
            hosts: BTreeMap::new(),
            firewalls: BTreeMap::new(),
            service_clients: None,
            resources: Default::default(),
            gateways: Default::default(),
        }
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
    }

    #[test]
    fn groups_that_allow_everything_cost_nothing() {
        let everything = [rule(FirewallTraffic::All, &["0.0.0.0/0"])];
        let firewall = Arc::new(Firewall { ingress: everything.to_vec(), egress: everything.to_vec() });
        let mut open = plan();
        open.firewalls.insert([10, 0, 1, 10].into(), firewall);
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
        plan.firewalls.insert([10, 0, 1, 10].into(), firewall.clone());
        plan.firewalls.insert([10, 0, 1, 11].into(), firewall);
        let rules = ruleset(&plan, &RESOLVERS);
        assert_eq!(rules.matches("chain rules").count(), 2, "{rules}");
        assert!(rules.contains("elements = { 10.0.0.0/8, 192.0.2.0/24 }"), "{rules}");
        assert!(rules.contains("chain rules0 {\ndrop\n}"), "no egress rule, no egress: {rules}");
        assert!(rules.contains("ip saddr @peers0 tcp dport 80-90 return\ndrop\n"), "{rules}");
    }
}
