//! Hosted zones as resolvers know them: names and their records, without a word of DNS's messages.
//!
//! Names are text as Route 53 writes it: lower case, no dot at the end, every byte of a label that is not a letter, a
//! digit, `-` or `_` as `\ooo`. So a dot always is between two labels, and `\052` is the label of a wildcard.

mod check;
mod choice;

use std::hash::BuildHasher;
use std::sync::Arc;

use rustc_hash::{FxBuildHasher, FxHashMap};

pub use check::{Check, Endpoint, EndpointHealth, Seen};
pub use choice::{MAX_MULTI_VALUE, choose};

use crate::health::TargetStatus;
use crate::id::VpcId;

/// The label of a wildcard.
pub const WILDCARD: &str = r"\052";

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
        upwards(name).find_map(|name| self.zones.get(name))
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
        let encloser = upwards(name).skip(1).find(|name| self.nodes.contains(name))?;
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

/// `name` and what is above it, up to its last label.
pub fn upwards(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| parent(name))
}

/// The name without its first label; `None` for one of a single label.
fn parent(name: &str) -> Option<&str> {
    name.split_once('.').map(|(_, rest)| rest)
}

#[cfg(test)]
mod tests;
