//! What security groups allow, as chains that return what is allowed and drop all else.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use trellis_model::fabric::{FirewallRule, FirewallTraffic};
use trellis_model::snapshot::AddressFamily;

use super::{Words, line};

/// Which address of a packet is the peer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Source,
    Destination,
}

/// The chain of each address that has one.
pub(super) type ByAddress = BTreeMap<IpAddr, String>;

/// Chains and sets of one family by what they contain: hosts with the same groups share them.
#[derive(Debug)]
pub(super) struct Chains {
    words: Words,
    chains: BTreeMap<String, String>,
    sets: BTreeMap<Vec<IpNet>, String>,
}

impl Chains {
    pub(super) fn new(words: Words) -> Self {
        Self { words, chains: BTreeMap::new(), sets: BTreeMap::new() }
    }

    /// The chain that returns what `rules` allow and drops all else. [`None`] when they allow everything.
    pub(super) fn of(&mut self, rules: &[FirewallRule], side: Side) -> Option<String> {
        let family = self.words.0;
        if rules.iter().any(|rule| rule.allows_everything(family)) {
            return None;
        }
        let field = match side {
            Side::Source => format!("{} saddr", self.words.ip()),
            Side::Destination => format!("{} daddr", self.words.ip()),
        };
        // Rules for the same traffic are one.
        let mut peers: BTreeMap<FirewallTraffic, Vec<IpNet>> = BTreeMap::new();
        for rule in rules {
            let own = rule.peers.iter().filter(|block| AddressFamily::of(block.addr()) == family);
            peers.entry(rule.traffic).or_default().extend(own);
        }
        let mut content = String::new();
        for (traffic, peers) in peers {
            let Some(traffic) = matching(traffic, family) else { continue };
            let mut peers = IpNet::aggregate(&peers);
            peers.sort_unstable();
            let peers = match peers.as_slice() {
                [] => continue,
                [all] if all.prefix_len() == 0 => String::new(),
                [one] => format!("{field} {one} "),
                _ => format!("{field} @{} ", self.set(peers)),
            };
            line(&mut content, format_args!("{peers}{traffic}return"));
        }
        content.push_str("drop\n");
        let next = format!("rules{}", self.chains.len());
        Some(self.chains.entry(content).or_insert(next).clone())
    }

    fn set(&mut self, blocks: Vec<IpNet>) -> String {
        let next = format!("peers{}", self.sets.len());
        self.sets.entry(blocks).or_insert(next).clone()
    }

    /// Before those who name them.
    pub(super) fn write(&self, text: &mut String) {
        let kind = self.words.address_type();
        for (blocks, name) in &self.sets {
            let blocks: Vec<_> = blocks.iter().map(IpNet::to_string).collect();
            let blocks = blocks.join(", ");
            line(
                text,
                format_args!("set {name} {{ type {kind}; flags interval; elements = {{ {blocks} }} }}"),
            );
        }
        for (content, name) in &self.chains {
            line(text, format_args!("chain {name} {{\n{content}}}"));
        }
    }
}

/// How packets of the traffic are told; [`None`] for what the family does not have.
fn matching(traffic: FirewallTraffic, family: AddressFamily) -> Option<String> {
    let ports = |protocol, first, last| match (first, last) {
        (0, u16::MAX) => format!("meta l4proto {protocol} "),
        (first, last) if first == last => format!("{protocol} dport {first} "),
        (first, last) => format!("{protocol} dport {first}-{last} "),
    };
    let messages = |protocol, field, kind, code| match (kind, code) {
        (None, _) => format!("meta l4proto {protocol} "),
        (Some(kind), None) => format!("{field} type {kind} "),
        (Some(kind), Some(code)) => format!("{field} type {kind} {field} code {code} "),
    };
    Some(match (traffic, family) {
        (FirewallTraffic::All, _) => String::new(),
        (FirewallTraffic::Tcp { first, last }, _) => ports("tcp", first, last),
        (FirewallTraffic::Udp { first, last }, _) => ports("udp", first, last),
        (FirewallTraffic::Icmp { kind, code }, AddressFamily::Ipv4) => messages("icmp", "icmp", kind, code),
        (FirewallTraffic::Icmpv6 { kind, code }, AddressFamily::Ipv6) => {
            messages("ipv6-icmp", "icmpv6", kind, code)
        }
        (FirewallTraffic::Icmp { .. } | FirewallTraffic::Icmpv6 { .. }, _) => return None,
        (FirewallTraffic::Protocol(number), _) => format!("meta l4proto {number} "),
    })
}

/// To each address's chain. A chain returns what it allows.
pub(super) fn jumps(field: &str, chains: &ByAddress) -> String {
    if chains.is_empty() {
        return String::new();
    }
    let pairs: Vec<_> = chains.iter().map(|(address, chain)| format!("{address} : jump {chain}")).collect();
    format!("{field} vmap {{ {} }}\n", pairs.join(", "))
}
