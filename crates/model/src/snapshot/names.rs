//! Hosted zones as resolvers know them: names and their records, without a word of DNS's messages.
//!
//! Names are text as Route 53 writes it: lower case, no dot at the end, every byte of a label that is not a letter, a
//! digit, `-` or `_` as `\ooo`. So a dot always is between two labels, and `\052` is the label of a wildcard.

use std::sync::Arc;

use rustc_hash::FxHashMap;

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
}

/// Zones by their names.
#[derive(Debug, Default)]
pub struct Zones(FxHashMap<Arc<str>, Arc<Zone>>);

impl FromIterator<Arc<Zone>> for Zones {
    fn from_iter<I: IntoIterator<Item = Arc<Zone>>>(zones: I) -> Self {
        Self(zones.into_iter().map(|zone| (zone.name.clone(), zone)).collect())
    }
}

impl Zones {
    /// "The most specific match": the zone that shares the most labels with `name`. There is no falling through to
    /// another one where it has no such record.
    pub fn of(&self, name: &str) -> Option<&Arc<Zone>> {
        let mut rest = name;
        loop {
            if let Some(zone) = self.0.get(rest) {
                return Some(zone);
            }
            rest = parent(rest)?;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One hosted zone.
#[derive(Debug, Clone)]
pub struct Zone {
    name: Arc<str>,
    nodes: FxHashMap<Arc<str>, Arc<Node>>,
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
    Alias(Box<str>),
}

impl Zone {
    /// A zone without records.
    pub fn new(name: &str) -> Self {
        let name: Arc<str> = name.into();
        Self { nodes: [(name.clone(), Arc::default())].into_iter().collect(), name }
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
        if !self.nodes.contains_key(name) {
            self.count_below(name, 1);
        }
        let node = Arc::make_mut(self.nodes.entry(name.into()).or_default());
        match node.sets.iter_mut().find(|known| known.kind == set.kind && known.id == set.id) {
            Some(known) => *known = set,
            None => node.sets.push(set),
        }
    }

    /// Takes a record set out; nothing happens when it is not there.
    pub fn remove(&mut self, name: &str, kind: u16, id: &str) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        Arc::make_mut(node).sets.retain(|set| set.kind != kind || *set.id != *id);
        self.prune(name);
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
        while !self.nodes.contains_key(encloser) {
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
        if !self.nodes.contains_key(above) {
            self.count_below(above, 1);
        }
        let node = Arc::make_mut(self.nodes.entry(above.into()).or_default());
        node.below = node.below.saturating_add_signed(change);
        if change < 0 {
            self.prune(above);
        }
    }

    /// Drops a node that nothing needs.
    fn prune(&mut self, name: &str) {
        let is_needed = |node: &Arc<Node>| !node.sets.is_empty() || node.below > 0;
        if *name != *self.name && self.nodes.get(name).is_some_and(|node| !is_needed(node)) {
            self.nodes.remove(name);
            self.count_below(name, -1);
        }
    }
}

/// Of `sets`, those of the type that answer for the number drawn: one, or all that take part in a multivalue answer.
pub fn choose(sets: &[RecordSet], kind: u16, draw: u32) -> Vec<&RecordSet> {
    let of_type = || sets.iter().filter(|set| set.kind == kind);
    let Some(first) = of_type().min_by_key(|set| rank(set.routing)) else { return Vec::new() };
    match first.routing {
        Routing::MultiValue => {
            let all: Vec<_> = of_type().collect();
            let start = draw as usize % all.len();
            all.iter().cycle().skip(start).take(all.len().min(MAX_MULTI_VALUE)).copied().collect()
        }
        Routing::Weighted(_) => {
            let weight = |set: &&RecordSet| match set.routing {
                Routing::Weighted(weight) => u64::from(weight),
                _ => 0,
            };
            let total: u64 = of_type().map(|set| weight(&set)).sum();
            if total == 0 {
                // "If you set Weight to 0 for all of the records, traffic is routed with equal probability."
                let all: Vec<_> = of_type().collect();
                return vec![all[draw as usize % all.len()]];
            }
            // Maps 0..2^32 onto 0..total without a division.
            let mut point = (u64::from(draw) * total) >> 32;
            let chosen = of_type().find(|set| match point.checked_sub(weight(set)) {
                Some(rest) => {
                    point = rest;
                    false
                }
                None => true,
            });
            vec![chosen.unwrap_or(first)]
        }
        _ => vec![first],
    }
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
        RecordSet { kind, id: id.into(), ttl: 300, routing, data: Data::Alias("x".into()) }
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
        assert_eq!(zone.nodes.len(), 1);
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
            choose(sets, 1, draw).iter().map(|set| set.id.to_string()).collect::<Vec<_>>()
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
        assert!(choose(&many, 28, 3).is_empty());
    }
}
