//! Permissions: how requests and answers say what rules allow.
//!
//! A permission is a protocol with ports and any number of peers; a rule is the same with one peer.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use trellis_frame::Refusal;
use trellis_model::resource::vpc::{Direction, IpProtocol, Peer, SecurityGroup, SecurityGroupRule, Traffic};
use trellis_model::{PrefixListId, SecurityGroupId};
use trellis_store::Read;

use super::{MAX_TEXT, is_allowed};
use crate::{fault, place, prefix_list};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct IpPermission {
    pub(super) ip_protocol: Option<String>,
    pub(super) from_port: Option<i64>,
    pub(super) to_port: Option<i64>,
    #[serde(default)]
    user_id_group_pairs: Vec<GroupPair>,
    #[serde(default)]
    ip_ranges: Vec<IpRange>,
    #[serde(default)]
    ipv6_ranges: Vec<Ipv6Range>,
    #[serde(default)]
    prefix_list_ids: Vec<PrefixList>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct GroupPair {
    description: Option<String>,
    user_id: Option<String>,
    group_name: Option<String>,
    group_id: Option<String>,
    /// The group's own VPC; it says nothing that its id does not.
    #[serde(rename = "VpcId")]
    _vpc_id: Option<String>,
    vpc_peering_connection_id: Option<String>,
    #[serde(rename = "PeeringStatus")]
    _peering_status: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct IpRange {
    description: Option<String>,
    #[serde(default)]
    cidr_ip: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Ipv6Range {
    description: Option<String>,
    #[serde(default)]
    cidr_ipv6: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct PrefixList {
    description: Option<String>,
    #[serde(default)]
    prefix_list_id: String,
}

/// A rule to be: everything but its id.
#[derive(Debug, Clone)]
pub(super) struct Allowance {
    pub(super) traffic: Traffic,
    pub(super) peer: Peer,
    pub(super) description: Option<String>,
}

impl IpPermission {
    /// One permission for one block: the older, flat form of requests.
    pub(super) fn flat(
        protocol: Option<String>,
        from_port: Option<i64>,
        to_port: Option<i64>,
        cidr_ip: Option<String>,
    ) -> Self {
        let ip_ranges = cidr_ip.into_iter().map(|cidr_ip| IpRange { description: None, cidr_ip }).collect();
        Self { ip_protocol: protocol, from_port, to_port, ip_ranges, ..Self::default() }
    }

    /// One permission for one peer, whichever of the four is given.
    pub(super) fn single(
        protocol: Option<String>,
        ports: (Option<i64>, Option<i64>),
        peers: [Option<String>; 4],
        description: Option<String>,
    ) -> Self {
        let [cidr, cidr6, prefix_list, group] = peers;
        let words = || description.clone();
        Self {
            ip_protocol: protocol,
            from_port: ports.0,
            to_port: ports.1,
            ip_ranges: cidr.map(|cidr_ip| IpRange { description: words(), cidr_ip }).into_iter().collect(),
            ipv6_ranges: cidr6
                .map(|cidr_ipv6| Ipv6Range { description: words(), cidr_ipv6 })
                .into_iter()
                .collect(),
            prefix_list_ids: prefix_list
                .map(|prefix_list_id| PrefixList { description: words(), prefix_list_id })
                .into_iter()
                .collect(),
            user_id_group_pairs: group
                .map(|id| GroupPair { description: words(), group_id: Some(id), ..GroupPair::default() })
                .into_iter()
                .collect(),
        }
    }

    /// What it allows in `group`, one peer each.
    ///
    /// # Errors
    /// Protocols, ports, blocks, groups and prefix lists that EC2 refuses, with its codes.
    pub(super) fn allowances(
        &self,
        state: &mut impl Read,
        group: &SecurityGroup,
    ) -> Result<Vec<Allowance>, Refusal> {
        let traffic = traffic(self.ip_protocol.as_deref(), self.from_port, self.to_port)?;
        let mut peers = Vec::new();
        for range in &self.ip_ranges {
            let net: ipnet::Ipv4Net = range.cidr_ip.parse().map_err(|_| malformed_block(&range.cidr_ip))?;
            peers.push((Peer::Ipv4(net.trunc()), &range.description));
        }
        for range in &self.ipv6_ranges {
            let net: ipnet::Ipv6Net =
                range.cidr_ipv6.parse().map_err(|_| malformed_block(&range.cidr_ipv6))?;
            peers.push((Peer::Ipv6(net.trunc()), &range.description));
        }
        for list in &self.prefix_list_ids {
            let id = list.prefix_list_id.parse::<PrefixListId>().ok();
            let id = id.filter(|id| prefix_list::exists(&group.home.region, id)).ok_or_else(|| {
                let id = fault::quoted(&list.prefix_list_id);
                let message = format!("The prefix list ID '{id}' does not exist");
                fault::refuse("InvalidPrefixListID.NotFound", message)
            })?;
            peers.push((Peer::PrefixList(id), &list.description));
        }
        for pair in &self.user_id_group_pairs {
            peers.push((pair.peer(state, group)?, &pair.description));
        }
        if peers.is_empty() {
            return Err(fault::missing(
                "The request must contain a peer: cidrIp, ipRanges, ipv6Ranges, prefixListIds or groups",
            ));
        }
        peers
            .into_iter()
            .map(|(peer, description)| {
                check_description(description.as_deref())?;
                let description = description.clone().filter(|text| !text.is_empty());
                Ok(Allowance { traffic, peer, description })
            })
            .collect()
    }
}

pub(super) fn check_description(description: Option<&str>) -> Result<(), Refusal> {
    match description {
        Some(text) if text.len() > MAX_TEXT || !is_allowed(text) => Err(fault::invalid_value(format_args!(
            "Invalid rule description. Valid descriptions are strings less than 256 characters from the \
             following set:  a-zA-Z0-9. _-:/()#,@[]+=&;{{}}!$*"
        ))),
        _ => Ok(()),
    }
}

fn malformed_block(text: &str) -> Refusal {
    let text = fault::quoted(text);
    fault::invalid_value(format_args!("CIDR block {text} is malformed"))
}

impl GroupPair {
    fn peer(&self, state: &mut impl Read, group: &SecurityGroup) -> Result<Peer, Refusal> {
        let home = &group.home;
        if self.vpc_peering_connection_id.as_deref().is_some_and(|id| !id.is_empty()) {
            return Err(fault::unsupported("VPC peering connections are not supported"));
        }
        if self.user_id.as_deref().is_some_and(|user| !user.is_empty() && user != home.account.as_str()) {
            return Err(fault::refuse(
                "InvalidGroup.NotFound",
                "Groups of other accounts cannot be named here",
            ));
        }
        let id = self.group_id.as_deref().filter(|id| !id.is_empty());
        let named = match (id, self.group_name.as_deref()) {
            (Some(id), _) => place::find::<SecurityGroup>(state, home, id)?,
            (None, Some(name)) => {
                let all = place::all::<SecurityGroup>(state, home)?;
                let found = all.into_iter().find(|other| other.vpc == group.vpc && other.name == name);
                found.ok_or_else(|| place::not_found::<SecurityGroup>(name))?
            }
            (None, None) => return Err(fault::missing("A group pair must contain groupId or groupName")),
        };
        if named.vpc != group.vpc {
            let message = "You have specified two resources that belong to different networks.";
            return Err(fault::refuse("InvalidGroup.NotFound", message));
        }
        Ok(Peer::Group { account: home.account.clone(), group: named.id })
    }
}

/// Protocol and ports as a rule keeps them.
fn traffic(protocol: Option<&str>, from: Option<i64>, to: Option<i64>) -> Result<Traffic, Refusal> {
    let text = protocol.ok_or_else(|| fault::missing("The request must contain the parameter ipProtocol"))?;
    let protocol = IpProtocol::parse(text).ok_or_else(|| {
        let text = fault::quoted(text);
        fault::invalid_value(format_args!("Invalid value '{text}' for IP protocol. Unknown protocol."))
    })?;
    let both = |what: &str| match (from, to) {
        (Some(from), Some(to)) => Ok((from, to)),
        _ => Err(fault::invalid_value(format_args!(
            "Invalid value 'Must specify both from and to ports with {what}.' for portRange."
        ))),
    };
    let number = |value: i64| i32::try_from(value).ok();
    let bounds = if protocol.has_ports() {
        let (from, to) = both("TCP/UDP")?;
        if !(0..=65535).contains(&from) || !(0..=65535).contains(&to) || from > to {
            return Err(fault::invalid_value(format_args!("Invalid TCP/UDP port range ({from}:{to})")));
        }
        (number(from), number(to))
    } else if protocol.is_icmp() {
        // "If all ICMP types are specified, all codes must be."
        let (kind, code) = both("ICMP")?;
        if !(-1..=255).contains(&kind) || !(-1..=255).contains(&code) || (kind == -1 && code != -1) {
            return Err(fault::invalid_value(format_args!("Invalid ICMP type and code ({kind}:{code})")));
        }
        (number(kind), number(code))
    } else {
        // "Specifying -1 or another protocol number allows traffic on all ports, regardless of any
        // port range you specify."
        (None, None)
    };
    Ok(Traffic { protocol, from: bounds.0, to: bounds.1 })
}

/// `IpPermissions`: rules of one direction with the same protocol and ports put together.
pub(super) fn describe(rules: &[SecurityGroupRule], direction: Direction) -> Vec<Value> {
    let mut permissions: Vec<(Traffic, Map<String, Value>)> = Vec::new();
    for rule in rules.iter().filter(|rule| rule.direction == direction) {
        let index = match permissions.iter().position(|(traffic, _)| *traffic == rule.traffic) {
            Some(index) => index,
            None => {
                permissions.push((rule.traffic, start(rule.traffic)));
                permissions.len() - 1
            }
        };
        let (list, mut peer) = match &rule.peer {
            Peer::Ipv4(net) => ("IpRanges", json!({"CidrIp": net})),
            Peer::Ipv6(net) => ("Ipv6Ranges", json!({"CidrIpv6": net})),
            Peer::PrefixList(id) => ("PrefixListIds", json!({"PrefixListId": id})),
            Peer::Group { account, group } => {
                ("UserIdGroupPairs", json!({"UserId": account, "GroupId": group}))
            }
        };
        if let Some(description) = &rule.description {
            peer["Description"] = description.as_str().into();
        }
        if let Some(Value::Array(peers)) = permissions[index].1.get_mut(list) {
            peers.push(peer);
        }
    }
    permissions.into_iter().map(|(_, permission)| permission.into()).collect()
}

fn start(traffic: Traffic) -> Map<String, Value> {
    let mut permission = Map::new();
    permission.insert("IpProtocol".into(), traffic.protocol.to_string().into());
    permission.insert("FromPort".into(), traffic.from.into());
    permission.insert("ToPort".into(), traffic.to.into());
    for list in ["IpRanges", "Ipv6Ranges", "PrefixListIds", "UserIdGroupPairs"] {
        permission.insert(list.into(), Value::Array(Vec::new()));
    }
    permission
}

/// Values of the filters `ip-permission.*` and `egress.ip-permission.*`.
pub(super) fn field(
    rules: &[SecurityGroupRule],
    filter: &str,
    name_of: impl Fn(&SecurityGroupId) -> Option<String>,
) -> Vec<String> {
    let (direction, what) = match filter.strip_prefix("egress.") {
        Some(rest) => (Direction::Egress, rest),
        None => (Direction::Ingress, filter),
    };
    let what = what.strip_prefix("ip-permission.").unwrap_or(what);
    let value = |rule: &SecurityGroupRule| match (what, &rule.peer) {
        ("cidr", Peer::Ipv4(net)) => Some(net.to_string()),
        ("ipv6-cidr", Peer::Ipv6(net)) => Some(net.to_string()),
        ("prefix-list-id", Peer::PrefixList(id)) => Some(id.to_string()),
        ("group-id", Peer::Group { group, .. }) => Some(group.to_string()),
        ("group-name", Peer::Group { group, .. }) => name_of(group),
        ("user-id", Peer::Group { account, .. }) => Some(account.to_string()),
        ("protocol", _) => Some(rule.traffic.protocol.to_string()),
        ("from-port", _) => rule.traffic.from.map(|port| port.to_string()),
        ("to-port", _) => rule.traffic.to.map(|port| port.to_string()),
        _ => None,
    };
    rules.iter().filter(|rule| rule.direction == direction).filter_map(value).collect()
}

/// The rule in EC2's words: `peer: 10.0.0.0/8, TCP, from port: 80, to port: 80, ALLOW`.
pub(super) fn in_words(traffic: Traffic, peer: &Peer) -> String {
    let peer = match peer {
        Peer::Ipv4(net) => net.to_string(),
        Peer::Ipv6(net) => net.to_string(),
        Peer::PrefixList(id) => id.to_string(),
        Peer::Group { group, .. } => group.to_string(),
    };
    let protocol = match traffic.protocol {
        IpProtocol::All => "ALL".to_owned(),
        protocol => protocol.to_string().to_ascii_uppercase(),
    };
    match (traffic.from, traffic.to) {
        (Some(from), Some(to)) => {
            format!("peer: {peer}, {protocol}, from port: {from}, to port: {to}, ALLOW")
        }
        _ => format!("peer: {peer}, {protocol}, ALLOW"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_belong_to_tcp_and_udp_types_and_codes_to_icmp_and_nothing_to_the_rest() {
        for (protocol, from, to, expected) in [
            ("tcp", Some(80), Some(443), Some((Some(80), Some(443)))),
            ("17", Some(0), Some(65535), Some((Some(0), Some(65535)))),
            ("icmp", Some(8), Some(-1), Some((Some(8), Some(-1)))),
            ("icmpv6", Some(-1), Some(-1), Some((Some(-1), Some(-1)))),
            ("-1", Some(80), Some(80), Some((None, None))),
            ("50", None, None, Some((None, None))),
            ("tcp", None, Some(80), None),
            ("tcp", Some(443), Some(80), None),
            ("tcp", Some(-1), Some(-1), None),
            ("udp", Some(0), Some(65536), None),
            ("icmp", Some(-1), Some(3), None),
            ("icmp", Some(256), Some(0), None),
            ("icmp", None, None, None),
            ("gre-ish", None, None, None),
        ] {
            let got = traffic(Some(protocol), from, to).ok().map(|traffic| (traffic.from, traffic.to));
            assert_eq!(got, expected, "{protocol} {from:?} {to:?}");
        }
        assert!(traffic(None, None, None).is_err());
    }
}
