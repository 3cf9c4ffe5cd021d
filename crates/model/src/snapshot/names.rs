//! Hosted zones as resolvers know them: names and their records, without a word of DNS's messages.
//!
//! Names are text as Route 53 writes it: lower case, no dot at the end, every byte of a label that is not a letter, a
//! digit, `-` or `_` as `\ooo`. So a dot always is between two labels, and `\052` is the label of a wildcard.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::health::{TargetHealth, TargetStatus};
use crate::id::VpcId;

/// The label of a wildcard.
pub const WILDCARD: &str = r"\052";

/// Records that a multivalue answer has at most.
pub const MAX_MULTI_VALUE: usize = 8;

/// Everything resolvers answer from hosted zones.
#[derive(Debug, Default)]
pub struct Names {
    /// The private zones of each VPC; one without any is absent.
    pub vpcs: FxHashMap<VpcId, Arc<Zones>>,
    /// The zones that everybody may ask for.
    pub public: Arc<Zones>,
    /// What is to be looked at, so that routing policies know.
    pub checks: Arc<[Arc<Check>]>,
}

/// An endpoint that record sets of a VPC's zones depend on, as it is seen from that VPC.
#[derive(Debug)]
pub struct Check {
    pub id: Box<str>,
    pub vpc: VpcId,
    pub endpoint: Endpoint,
    pub health: EndpointHealth,
}

/// How an endpoint is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Without one, the addresses of [`name`](Self::name).
    pub address: Option<IpAddr>,
    /// What it is called, in the handshake and in `Host`.
    pub name: Option<Box<str>>,
    pub port: u16,
    /// Path with query for HTTP; a connection is enough where there is none.
    pub path: Option<Box<str>>,
    pub tls: bool,
    /// Whether the handshake says the name.
    pub has_sni: bool,
    /// 10 s or 30 s between the starts of two looks.
    pub interval: Duration,
    /// 1 to 10 outcomes in a row that are needed to change what is thought of it.
    pub threshold: u32,
    /// What fails is good.
    pub is_inverted: bool,
    /// Nobody looks: it passes for good, or for bad where it is inverted.
    pub is_disabled: bool,
}

impl Endpoint {
    /// Whether anybody's endpoint can be at `address`: not at what a VPC's router has for itself.
    pub fn may_be_at(address: IpAddr) -> bool {
        let is_special = address.is_loopback() || address.is_multicast() || address.is_unspecified();
        let is_link_local = match address.to_canonical() {
            IpAddr::V4(address) => {
                address.is_link_local()
                    || address.is_broadcast()
                    || address.is_loopback()
                    || address.octets()[0] == 0
            }
            IpAddr::V6(address) => address.is_unicast_link_local(),
        };
        !is_special && !is_link_local
    }
}

/// What is known of an endpoint, written by who looks at it.
#[derive(Debug)]
pub struct EndpointHealth {
    status: TargetHealth,
    /// The last outcome and the last that was bad, each with its Unix time.
    last: Mutex<(Option<Seen>, Option<Seen>)>,
}

/// One look at an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Seconds since 1970.
    pub at: i64,
    /// `Success: HTTP Status Code 200` or `Failure: ...`.
    pub said: String,
}

impl EndpointHealth {
    /// Of an endpoint that nobody has looked at: it passes for good.
    pub fn new(endpoint: &Endpoint) -> Self {
        let is_bad = endpoint.is_disabled && endpoint.is_inverted;
        let status = if is_bad { TargetStatus::Unhealthy } else { TargetStatus::Initial };
        Self { status: TargetHealth::new(status), last: Mutex::default() }
    }

    pub fn status(&self) -> TargetStatus {
        self.status.status()
    }

    /// What the outcomes so far amount to. Returns the status before.
    pub fn set(&self, status: TargetStatus) -> TargetStatus {
        self.status.set(status)
    }

    pub fn note(&self, seen: Seen, is_good: bool) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_good {
            last.1 = Some(seen.clone());
        }
        last.0 = Some(seen);
    }

    /// The last outcome, and the last bad one.
    pub fn last(&self) -> (Option<Seen>, Option<Seen>) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Alias records whose health is that of alias records, at most.
const MAX_DEPTH: usize = 8;

/// Zones by their names.
#[derive(Debug, Default)]
pub struct Zones {
    zones: FxHashMap<Arc<str>, Arc<Zone>>,
    /// By the ids that record sets name.
    checks: FxHashMap<Box<str>, Arc<Check>>,
}

impl FromIterator<Arc<Zone>> for Zones {
    fn from_iter<I: IntoIterator<Item = Arc<Zone>>>(zones: I) -> Self {
        let zones = zones.into_iter().map(|zone| (zone.name.clone(), zone)).collect();
        Self { zones, checks: FxHashMap::default() }
    }
}

impl Zones {
    #[must_use]
    pub fn with_checks(mut self, checks: impl IntoIterator<Item = Arc<Check>>) -> Self {
        self.checks = checks.into_iter().map(|check| (check.id.clone(), check)).collect();
        self
    }

    pub fn has_checks(&self) -> bool {
        !self.checks.is_empty()
    }

    pub fn has_check(&self, id: &str) -> bool {
        self.checks.contains_key(id)
    }

    /// Those of the name's sets that answer for the number drawn: see [`choose`].
    pub fn choose<'s>(&self, sets: &'s [RecordSet], kind: u16, draw: u32) -> Vec<&'s RecordSet> {
        choose(sets, kind, draw, &|set| self.is_healthy(set, 0))
    }

    /// Whether nothing is known that speaks against it.
    fn is_healthy(&self, set: &RecordSet, depth: usize) -> bool {
        let check = set.check.as_ref().and_then(|id| self.checks.get(id));
        if check.is_some_and(|check| check.health.status() == TargetStatus::Unhealthy) {
            return false;
        }
        let Data::Alias { name, evaluates: true } = &set.data else { return true };
        let target = self.of(name).and_then(|zone| zone.look_up(name));
        let mut sets = target.into_iter().flatten().filter(|target| target.kind == set.kind).peekable();
        sets.peek().is_none() || depth >= MAX_DEPTH || sets.any(|target| self.is_healthy(target, depth + 1))
    }

    /// "The most specific match": the zone that shares the most labels with `name`. There is no falling through to
    /// another one where it has no such record.
    pub fn of(&self, name: &str) -> Option<&Arc<Zone>> {
        let mut rest = name;
        loop {
            if let Some(zone) = self.zones.get(rest) {
                return Some(zone);
            }
            rest = parent(rest)?;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.zones.is_empty()
    }
}

/// One hosted zone.
#[derive(Debug, Clone)]
pub struct Zone {
    name: Arc<str>,
    nodes: Nodes,
    /// How many of its record sets name each check.
    checks: FxHashMap<Box<str>, u32>,
}

/// The names of a zone, in parts: a change to one name copies its part, not what may be a hundred thousand names.
#[derive(Debug, Clone)]
struct Nodes(Box<[Arc<Part>]>);

type Part = FxHashMap<Arc<str>, Arc<Node>>;

/// A zone without names costs two kilobytes for them.
const PARTS: usize = 256;

impl Nodes {
    fn new() -> Self {
        Self(vec![Arc::default(); PARTS].into())
    }

    /// Other bits of the hash than those that the maps go by.
    fn part(name: &str) -> usize {
        (FxBuildHasher.hash_one(name) >> 24) as usize % PARTS
    }

    fn get(&self, name: &str) -> Option<&Arc<Node>> {
        self.0[Self::part(name)].get(name)
    }

    fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    fn part_mut(&mut self, name: &str) -> &mut Part {
        Arc::make_mut(&mut self.0[Self::part(name)])
    }

    fn node_mut(&mut self, name: &str) -> &mut Node {
        Arc::make_mut(self.part_mut(name).entry(name.into()).or_default())
    }
}

/// A name of a zone.
#[derive(Debug, Clone, Default)]
struct Node {
    sets: Vec<RecordSet>,
    /// How many names right below it are nodes. With any, the name exists without records of its own.
    below: u32,
}

/// Records of one type at one name; several where a routing policy chooses among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordSet {
    /// The number of the type: 1 is A.
    pub kind: u16,
    /// `SetIdentifier`; empty for the one of a simple policy.
    pub id: Box<str>,
    pub ttl: u32,
    pub routing: Routing,
    pub data: Data,
    /// The check by which it is passed over while another is healthy.
    pub check: Option<Box<str>>,
}

/// By what one of several record sets is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routing {
    Simple,
    /// 0 to 255.
    Weighted(u8),
    MultiValue,
    Primary,
    Secondary,
    /// By latency or place, which is the same for every host here.
    Nearest,
    /// The one for wherever no other is for.
    Default,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// What each record holds, as it is on the wire, names uncompressed.
    Records(Box<[Box<[u8]>]>),
    /// The records of that type that another name has.
    Alias {
        name: Box<str>,
        /// It is as healthy as they are.
        evaluates: bool,
    },
}

impl Zone {
    /// A zone without records.
    pub fn new(name: &str) -> Self {
        let name: Arc<str> = name.into();
        let mut nodes = Nodes::new();
        nodes.node_mut(&name);
        Self { nodes, name, checks: FxHashMap::default() }
    }

    /// The checks that its record sets name.
    pub fn checks(&self) -> impl Iterator<Item = &str> {
        self.checks.keys().map(|id| &**id)
    }

    fn count_check(&mut self, id: Option<Box<str>>, change: i32) {
        let Some(id) = id else { return };
        let count = self.checks.entry(id.clone()).or_default();
        *count = count.saturating_add_signed(change);
        if *count == 0 {
            self.checks.remove(&id);
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether `name` is the zone's own or below it.
    pub fn contains(&self, name: &str) -> bool {
        name.strip_suffix(&*self.name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }

    /// Puts a record set in, in place of the one of the same type and identifier.
    pub fn put(&mut self, name: &str, set: RecordSet) {
        if !self.contains(name) {
            return;
        }
        if !self.nodes.contains(name) {
            self.count_below(name, 1);
        }
        let node = self.nodes.node_mut(name);
        let check = set.check.clone();
        let before = match node.sets.iter_mut().find(|known| known.kind == set.kind && known.id == set.id) {
            Some(known) => std::mem::replace(known, set).check,
            None => {
                node.sets.push(set);
                None
            }
        };
        self.count_check(check, 1);
        self.count_check(before, -1);
    }

    /// Takes a record set out; nothing happens when it is not there.
    pub fn remove(&mut self, name: &str, kind: u16, id: &str) {
        if !self.nodes.contains(name) {
            return;
        }
        let node = self.nodes.node_mut(name);
        let place = node.sets.iter().position(|set| set.kind == kind && *set.id == *id);
        let removed = place.map(|place| node.sets.remove(place));
        self.count_check(removed.and_then(|set| set.check), -1);
        self.prune(name);
    }

    /// What was put at `name` itself.
    pub fn at(&self, name: &str) -> &[RecordSet] {
        self.nodes.get(name).map_or(&[], |node| &node.sets)
    }

    /// What is at `name`, wildcards among it: no record set where the name only exists. `None`: there is no such name.
    pub fn look_up(&self, name: &str) -> Option<&[RecordSet]> {
        if let Some(node) = self.nodes.get(name) {
            return Some(&node.sets);
        }
        if !self.contains(name) {
            return None;
        }
        // RFC 4592, 3.3.1: the wildcard right below the closest encloser, and no other.
        let mut encloser = parent(name)?;
        while !self.nodes.contains(encloser) {
            encloser = parent(encloser)?;
        }
        self.nodes.get(format!("{WILDCARD}.{encloser}").as_str()).map(|node| &*node.sets)
    }

    /// How many nodes there are right below the parents of `name`, which becomes a node or is none any more.
    fn count_below(&mut self, name: &str, change: i32) {
        if *name == *self.name {
            return;
        }
        let Some(above) = parent(name) else { return };
        if !self.nodes.contains(above) {
            self.count_below(above, 1);
        }
        let node = self.nodes.node_mut(above);
        node.below = node.below.saturating_add_signed(change);
        if change < 0 {
            self.prune(above);
        }
    }

    /// Drops a node that nothing needs.
    fn prune(&mut self, name: &str) {
        let is_needed = |node: &Arc<Node>| !node.sets.is_empty() || node.below > 0;
        if *name != *self.name && self.nodes.get(name).is_some_and(|node| !is_needed(node)) {
            self.nodes.part_mut(name).remove(name);
            self.count_below(name, -1);
        }
    }
}

/// Of `sets`, those of the type that answer for the number drawn: one, or all that take part in a multivalue answer.
///
/// "If all the records are unhealthy, Route 53 considers all of them healthy": somebody always answers.
pub fn choose<'s>(
    sets: &'s [RecordSet],
    kind: u16,
    draw: u32,
    is_healthy: &dyn Fn(&RecordSet) -> bool,
) -> Vec<&'s RecordSet> {
    let of_type = || sets.iter().filter(|set| set.kind == kind);
    let Some(first) = of_type().min_by_key(|set| rank(set.routing)) else { return Vec::new() };
    let healthy_or_all = || {
        let healthy: Vec<_> = of_type().filter(|set| is_healthy(set)).collect();
        if healthy.is_empty() { of_type().collect() } else { healthy }
    };
    match first.routing {
        Routing::Simple => vec![first],
        Routing::MultiValue => {
            let all = healthy_or_all();
            let start = draw as usize % all.len();
            all.iter().cycle().skip(start).take(all.len().min(MAX_MULTI_VALUE)).copied().collect()
        }
        Routing::Weighted(_) => vec![weighted(&healthy_or_all(), draw)],
        Routing::Primary | Routing::Secondary | Routing::Nearest | Routing::Default => {
            let mut ranked: Vec<_> = of_type().collect();
            ranked.sort_by_key(|set| rank(set.routing));
            vec![ranked.into_iter().find(|set| is_healthy(set)).unwrap_or(first)]
        }
    }
}

/// One of `all`, of which there is one at least.
fn weighted<'s>(all: &[&'s RecordSet], draw: u32) -> &'s RecordSet {
    let weight = |set: &RecordSet| match set.routing {
        Routing::Weighted(weight) => u64::from(weight),
        _ => 0,
    };
    let total: u64 = all.iter().map(|set| weight(set)).sum();
    if total == 0 {
        // "If you set Weight to 0 for all of the records, traffic is routed with equal probability."
        return all[draw as usize % all.len()];
    }
    // Maps 0..2^32 onto 0..total without a division.
    let mut point = (u64::from(draw) * total) >> 32;
    let chosen = all.iter().find(|set| match point.checked_sub(weight(set)) {
        Some(rest) => {
            point = rest;
            false
        }
        None => true,
    });
    chosen.unwrap_or(&all[0])
}

/// Which of the policies' choices comes first.
fn rank(routing: Routing) -> u8 {
    match routing {
        Routing::Simple | Routing::Weighted(_) | Routing::MultiValue | Routing::Primary => 0,
        Routing::Default => 1,
        Routing::Nearest | Routing::Secondary => 2,
    }
}

/// The name without its first label; `None` for one of a single label.
fn parent(name: &str) -> Option<&str> {
    name.split_once('.').map(|(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(kind: u16, id: &str, routing: Routing) -> RecordSet {
        let data = Data::Alias { name: "x".into(), evaluates: false };
        RecordSet { kind, id: id.into(), ttl: 300, routing, data, check: None }
    }

    fn simple(kind: u16) -> RecordSet {
        set(kind, "", Routing::Simple)
    }

    #[test]
    fn the_most_specific_zone_answers_and_no_other() {
        let zones: Zones =
            ["example.com", "a.example.com"].map(|name| Arc::new(Zone::new(name))).into_iter().collect();
        for (name, zone) in [
            ("example.com", Some("example.com")),
            ("x.y.a.example.com", Some("a.example.com")),
            ("ba.example.com", Some("example.com")),
            ("notexample.com", None),
            ("com", None),
            ("", None),
        ] {
            assert_eq!(zones.of(name).map(|zone| zone.name()), zone, "{name}");
        }
    }

    #[test]
    fn a_name_exists_as_long_as_it_or_one_below_has_records() {
        let mut zone = Zone::new("example.com");
        zone.put("a.b.c.example.com", simple(1));
        zone.put("b.c.example.com", simple(16));
        assert_eq!(zone.look_up("c.example.com"), Some(&[][..]));
        assert_eq!(zone.look_up("x.c.example.com"), None);
        zone.remove("b.c.example.com", 16, "");
        assert_eq!(zone.look_up("b.c.example.com"), Some(&[][..]));
        zone.remove("a.b.c.example.com", 28, "");
        assert!(zone.look_up("a.b.c.example.com").is_some());
        zone.remove("a.b.c.example.com", 1, "");
        for gone in ["a.b.c.example.com", "b.c.example.com", "c.example.com"] {
            assert_eq!(zone.look_up(gone), None, "{gone}");
        }
        assert_eq!(zone.look_up("example.com"), Some(&[][..]));
        assert_eq!(zone.nodes.0.iter().map(|part| part.len()).sum::<usize>(), 1);
    }

    #[test]
    fn a_change_copies_no_more_than_the_part_of_its_name() {
        let mut zone = Zone::new("example.com");
        for number in 0..2000 {
            zone.put(&format!("h{number}.example.com"), simple(1));
        }
        let before = zone.clone();
        zone.put("h7.example.com", simple(16));
        let copied =
            before.nodes.0.iter().zip(&*zone.nodes.0).filter(|(one, other)| !Arc::ptr_eq(one, other));
        assert_eq!(copied.count(), 1);
        assert!(before.nodes.0.iter().all(|part| part.len() < 40), "names are spread over the parts");
        assert_eq!((before.at("h7.example.com").len(), zone.at("h7.example.com").len()), (1, 2));
    }

    #[test]
    fn a_wildcard_answers_for_what_its_parent_is_the_closest_encloser_of() {
        let mut zone = Zone::new("example.com");
        zone.put(r"\052.example.com", simple(1));
        zone.put("x.sub.example.com", simple(16));
        assert!(zone.look_up("a.example.com").is_some_and(|sets| sets.len() == 1));
        assert!(zone.look_up("a.b.example.com").is_some_and(|sets| sets.len() == 1));
        assert_eq!(zone.look_up("sub.example.com"), Some(&[][..]));
        assert_eq!(zone.look_up("y.sub.example.com"), None);
        assert_eq!(zone.look_up("a.example.org"), None);
    }

    #[test]
    fn policies_choose_among_sets_of_the_type() {
        let ids = |sets: &[RecordSet], draw| {
            choose(sets, 1, draw, &|_| true).iter().map(|set| set.id.to_string()).collect::<Vec<_>>()
        };
        let weighted = [set(1, "a", Routing::Weighted(0)), set(1, "b", Routing::Weighted(9))];
        assert!((0..100).all(|step| ids(&weighted, step * (u32::MAX / 100)) == ["b"]));
        let none = [set(1, "a", Routing::Weighted(0)), set(1, "b", Routing::Weighted(0))];
        assert_eq!((ids(&none, 0), ids(&none, 1)), (vec!["a".into()], vec!["b".into()]));
        let failover = [set(1, "b", Routing::Secondary), set(1, "a", Routing::Primary)];
        assert_eq!(ids(&failover, 7), ["a"]);
        let many: Vec<_> =
            (0..12).map(|number: u8| set(1, &number.to_string(), Routing::MultiValue)).collect();
        assert_eq!(ids(&many, 3).len(), MAX_MULTI_VALUE);
        assert!(choose(&many, 28, 3, &|_| true).is_empty());
    }

    #[test]
    fn what_is_unhealthy_is_passed_over_while_something_else_is_healthy() {
        let ids = |sets: &[RecordSet], ill: &[&str]| {
            let chosen = choose(sets, 1, 7, &|set| !ill.contains(&&*set.id));
            chosen.iter().map(|set| set.id.to_string()).collect::<Vec<_>>()
        };
        let failover = [set(1, "b", Routing::Secondary), set(1, "a", Routing::Primary)];
        for (ill, expected) in [(&[][..], "a"), (&["b"], "a"), (&["a"], "b"), (&["a", "b"], "a")] {
            assert_eq!(ids(&failover, ill), [expected], "{ill:?}");
        }
        // "If the nonzero ones are all unhealthy, the zero-weighted are considered."
        let weighted = [set(1, "a", Routing::Weighted(9)), set(1, "b", Routing::Weighted(0))];
        assert_eq!((ids(&weighted, &[]), ids(&weighted, &["a"])), (vec!["a".into()], vec!["b".into()]));
        let many = [1, 2, 3].map(|number: u8| set(1, &number.to_string(), Routing::MultiValue));
        assert_eq!(ids(&many, &["2"]).len(), 2);
        assert_eq!(ids(&many, &["1", "2", "3"]).len(), 3);
        let nearest = [set(1, "far", Routing::Nearest), set(1, "any", Routing::Default)];
        assert_eq!((ids(&nearest, &[]), ids(&nearest, &["any"])), (vec!["any".into()], vec!["far".into()]));
    }

    #[test]
    fn an_alias_is_as_healthy_as_its_target_where_it_says_so() {
        let mut zone = Zone::new("example.com");
        let checked = |id: &str, check: &str| RecordSet {
            check: Some(check.into()),
            ..set(1, id, Routing::Weighted(1))
        };
        zone.put("b.example.com", checked("1", "one"));
        zone.put("b.example.com", checked("2", "two"));
        zone.put("b.example.com", checked("2", "three"));
        zone.put("gone.example.com", checked("1", "four"));
        zone.remove("gone.example.com", 1, "1");
        let mut known: Vec<_> = zone.checks().map(str::to_owned).collect();
        known.sort();
        assert_eq!(known, ["one", "three"]);
        let endpoint = Endpoint {
            address: None,
            name: None,
            port: 80,
            path: None,
            tls: false,
            has_sni: false,
            interval: Duration::from_secs(30),
            threshold: 3,
            is_inverted: false,
            is_disabled: false,
        };
        let checks = known.iter().map(|id| {
            let health = EndpointHealth::new(&endpoint);
            Arc::new(Check {
                id: id.as_str().into(),
                vpc: VpcId::from_random(1),
                endpoint: endpoint.clone(),
                health,
            })
        });
        let checks: Vec<_> = checks.collect();
        let zones = Zones::from_iter([Arc::new(zone)]).with_checks(checks.clone());
        let alias = |evaluates| RecordSet {
            data: Data::Alias { name: "b.example.com".into(), evaluates },
            ..set(1, "a", Routing::Primary)
        };
        let other = set(1, "z", Routing::Secondary);
        let chosen = |evaluates| zones.choose(&[alias(evaluates), other.clone()], 1, 0)[0].id.to_string();
        assert_eq!(chosen(true), "a");
        checks[0].health.set(TargetStatus::Unhealthy);
        assert_eq!(chosen(true), "a", "one of its records is well");
        checks[1].health.set(TargetStatus::Unhealthy);
        assert_eq!((chosen(true), chosen(false)), ("z".into(), "a".into()));
    }
}
