//! What resolvers are told: the store's records of zones as [`Names`], only what a change touches made anew.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use trellis_frame::record::read_changed;
use trellis_model::VpcId;
use trellis_model::snapshot::names::{self, Names, Routing, Zone, Zones};

use crate::RECORDS;
use crate::hosted_zone::HostedZone;
use crate::name::DomainName;
use crate::record_data::{encode, type_number};
use crate::wire::{RRType, ResourceRecordSet, ResourceRecordSetFailover};

/// Follows the records of every account. Synchronous and without I/O: changes of the store go in, [`Names`] come out.
#[derive(Debug, Default)]
pub struct Publication {
    zones: FxHashMap<String, Known>,
    of_vpc: FxHashMap<VpcId, FxHashSet<String>>,
    touched: FxHashSet<VpcId>,
    /// Somebody waits for resolvers to act on this revision, whether it changes anything for them or not.
    is_awaited: bool,
    names: Arc<Names>,
}

#[derive(Debug)]
struct Known {
    record: HostedZone,
    zone: Arc<Zone>,
}

impl Publication {
    /// Everything is told anew: what is not told again is gone.
    pub fn begin_anew(&mut self) {
        self.touched.extend(self.of_vpc.keys().cloned());
        self.zones.clear();
        self.of_vpc.clear();
        self.is_awaited = true;
    }

    /// Takes in what the store has at `key` now; whether that is a record of this service.
    pub fn apply(&mut self, key: &str, value: Option<&[u8]>) -> bool {
        let Some(place) = key.strip_prefix(RECORDS) else { return false };
        // {account}/aws-global/{kind}/{rest}
        let mut parts = place.splitn(4, '/').skip(2);
        match (parts.next(), parts.next()) {
            // Sorts before the zone's record sets, so it is there when they come.
            (Some("hosted-zone"), Some(id)) => self.zone(id, read_changed(key, value)),
            (Some("record-set"), Some(rest)) => self.record_set(rest, key, value),
            (Some("change"), Some(_)) => self.is_awaited = true,
            _ => {}
        }
        true
    }

    fn zone(&mut self, id: &str, record: Option<HostedZone>) {
        let vpcs = |record: &HostedZone| record.vpcs.iter().map(|vpc| vpc.id.clone()).collect::<Vec<_>>();
        let before = self.zones.remove(id);
        for vpc in before.iter().flat_map(|known| vpcs(&known.record)) {
            if let Some(zones) = self.of_vpc.get_mut(&vpc) {
                zones.remove(id);
                if zones.is_empty() {
                    self.of_vpc.remove(&vpc);
                }
            }
            self.touched.insert(vpc);
        }
        let Some(record) = record else { return };
        for vpc in vpcs(&record) {
            self.of_vpc.entry(vpc.clone()).or_default().insert(id.to_owned());
            self.touched.insert(vpc);
        }
        let zone = before.map_or_else(|| Arc::new(Zone::new(&record.name)), |known| known.zone);
        self.zones.insert(id.to_owned(), Known { record, zone });
    }

    fn record_set(&mut self, rest: &str, key: &str, value: Option<&[u8]>) {
        // {zone}/{labels reversed} {type} {identifier}
        let Some((zone, place)) = rest.split_once('/') else { return };
        let mut parts = place.splitn(3, ' ');
        let (Some(reversed), Some(kind), Some(identifier)) = (parts.next(), parts.next(), parts.next())
        else {
            return;
        };
        let Ok(kind) = kind.parse::<RRType>() else { return };
        let Some(known) = self.zones.get_mut(zone) else { return };
        let name = in_order(reversed);
        // Copied once between two Snapshots, and changed in place from then on.
        let zone = Arc::make_mut(&mut known.zone);
        match read_changed::<ResourceRecordSet>(key, value) {
            Some(set) => zone.put(&name, compile(&set, identifier)),
            None => zone.remove(&name, type_number(kind), identifier),
        }
        self.touched.extend(known.record.vpcs.iter().map(|vpc| vpc.id.clone()));
    }

    pub fn is_changed(&self) -> bool {
        self.is_awaited || !self.touched.is_empty()
    }

    /// The names there are now: the same `Arc` as before unless they have changed.
    pub fn current(&mut self) -> Arc<Names> {
        self.is_awaited = false;
        let touched = std::mem::take(&mut self.touched);
        if touched.is_empty() {
            return self.names.clone();
        }
        let mut vpcs = self.names.vpcs.clone();
        for vpc in touched {
            let zones = self.of_vpc.get(&vpc).into_iter().flatten().filter_map(|id| self.zones.get(id));
            let zones: Zones = zones.map(|known| known.zone.clone()).collect();
            if zones.is_empty() {
                vpcs.remove(&vpc);
            } else {
                vpcs.insert(vpc, Arc::new(zones));
            }
        }
        self.names = Arc::new(Names { vpcs });
        self.names.clone()
    }
}

/// `com.example.www.` as `www.example.com`.
fn in_order(reversed: &str) -> String {
    let mut labels: Vec<&str> = reversed.trim_end_matches('.').split('.').collect();
    labels.reverse();
    labels.join(".")
}

/// `identifier` as it is in the key, by which the set is found again.
pub(crate) fn compile(set: &ResourceRecordSet, identifier: &str) -> names::RecordSet {
    let records = set.resource_records.iter().flatten();
    // What does not encode is not there: it was looked at when it was put.
    let records = records.filter_map(|record| encode(set.r#type, &record.value).ok());
    let data = match set.alias_target.as_ref().map(|target| DomainName::parse(&target.dns_name)) {
        Some(Ok(target)) => names::Data::Alias(target.as_str().into()),
        Some(Err(_)) | None => names::Data::Records(records.map(Vec::into_boxed_slice).collect()),
    };
    names::RecordSet {
        kind: type_number(set.r#type),
        id: identifier.into(),
        ttl: set.ttl.and_then(|ttl| u32::try_from(ttl).ok()).unwrap_or(ALIAS_TTL),
        routing: routing(set),
        data,
    }
}

/// Seconds; an alias has no TTL of its own and answers with that of its target.
const ALIAS_TTL: u32 = 60;

fn routing(set: &ResourceRecordSet) -> Routing {
    let is_anywhere = |code: &Option<String>| code.as_deref() == Some("*");
    if let Some(weight) = set.weight {
        return Routing::Weighted(u8::try_from(weight).unwrap_or(u8::MAX));
    }
    match (set.failover, &set.geo_location) {
        (Some(ResourceRecordSetFailover::Primary), _) => Routing::Primary,
        (Some(ResourceRecordSetFailover::Secondary), _) => Routing::Secondary,
        (None, Some(place)) if is_anywhere(&place.country_code) => Routing::Default,
        (None, Some(_)) => Routing::Nearest,
        (None, None) if set.region.is_some() => Routing::Nearest,
        (None, None) if set.multi_value_answer == Some(true) => Routing::MultiValue,
        (None, None) => Routing::Simple,
    }
}
