//! What resolvers are told: the store's records of zones as [`Names`], only what a change touches made anew.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use trellis_frame::record::read_changed;
use trellis_model::VpcId;
use trellis_model::snapshot::names::{self, Endpoint, Names, Routing, Zone, Zones};

use crate::RECORDS;
use crate::health_check::{self, Board, HealthCheck};
use crate::hosted_zone::HostedZone;
use crate::name::DomainName;
use crate::record_data::{encode, type_number};
use crate::wire::{RRType, ResourceRecordSet, ResourceRecordSetFailover};

/// Follows the records of every account. Synchronous and without I/O: changes of the store go in, [`Names`] come out.
#[derive(Debug, Default)]
pub struct Publication {
    zones: FxHashMap<String, Known>,
    of_vpc: FxHashMap<VpcId, FxHashSet<String>>,
    /// Those without a VPC.
    public: FxHashSet<String>,
    /// What record sets may depend on, by id.
    endpoints: FxHashMap<String, Endpoint>,
    board: Board,
    touched: FxHashSet<VpcId>,
    is_public_touched: bool,
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
    /// What is seen of endpoints is told to `board`.
    pub fn new(board: Board) -> Self {
        Self { board, ..Self::default() }
    }

    /// Everything is told anew: what is not told again is gone.
    pub fn begin_anew(&mut self) {
        self.touched.extend(self.of_vpc.keys().cloned());
        self.is_public_touched |= !self.public.is_empty();
        self.zones.clear();
        self.of_vpc.clear();
        self.public.clear();
        self.endpoints.clear();
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
            (Some(health_check::KIND), Some(id)) => self.endpoint(id, read_changed(key, value)),
            (Some("record-set"), Some(rest)) => self.record_set(rest, key, value),
            (Some("change"), Some(_)) => self.is_awaited = true,
            _ => {}
        }
        true
    }

    fn endpoint(&mut self, id: &str, record: Option<HealthCheck>) {
        match record {
            Some(check) => self.endpoints.insert(id.to_owned(), check.endpoint()),
            None => self.endpoints.remove(id),
        };
        let users = self.zones.values().filter(|known| known.zone.checks().any(|used| used == id));
        self.touched.extend(users.flat_map(|known| known.record.vpcs.iter().map(|vpc| vpc.id.clone())));
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
        self.is_public_touched |= self.public.remove(id);
        let Some(record) = record else { return };
        if !record.is_private {
            self.public.insert(id.to_owned());
            self.is_public_touched = true;
        }
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
        self.is_public_touched |= !known.record.is_private;
    }

    pub fn is_changed(&self) -> bool {
        self.is_awaited || self.is_public_touched || !self.touched.is_empty()
    }

    /// The names there are now: the same `Arc` as before unless they have changed.
    pub fn current(&mut self) -> Arc<Names> {
        self.is_awaited = false;
        let touched = std::mem::take(&mut self.touched);
        let is_public_touched = std::mem::take(&mut self.is_public_touched);
        if touched.is_empty() && !is_public_touched {
            return self.names.clone();
        }
        let public = if is_public_touched { Arc::new(self.served()) } else { self.names.public.clone() };
        let mut vpcs = self.names.vpcs.clone();
        let mut is_check_touched = false;
        for vpc in touched {
            let zones = self.of_vpc.get(&vpc).into_iter().flatten().filter_map(|id| self.zones.get(id));
            let zones: Vec<Arc<Zone>> = zones.map(|known| known.zone.clone()).collect();
            let checks = zones
                .iter()
                .flat_map(|zone| zone.checks())
                .filter_map(|id| Some(self.board.check(id, &vpc, self.endpoints.get(id)?.clone())));
            let checks: Vec<_> = checks.collect();
            is_check_touched |= !checks.is_empty() || vpcs.get(&vpc).is_some_and(|zones| zones.has_checks());
            let zones = Zones::from_iter(zones).with_checks(checks);
            if zones.is_empty() {
                vpcs.remove(&vpc);
            } else {
                vpcs.insert(vpc, Arc::new(zones));
            }
        }
        let mut checks = self.names.checks.clone();
        if is_check_touched {
            self.board.retain(|id, vpc| vpcs.get(vpc).is_some_and(|zones| zones.has_check(id)));
            checks = self.board.all();
        }
        self.names = Arc::new(Names { vpcs, public, checks });
        self.names.clone()
    }

    /// The public zones that are served. AWS tells zones of one name apart by their name servers; here is one, so that
    /// the oldest stands, and nobody takes a name out of another account's older zone.
    fn served(&self) -> Zones {
        let mut all: Vec<&Known> = self.public.iter().filter_map(|id| self.zones.get(id)).collect();
        all.sort_by_key(|known| (known.record.created_at, &known.record.id));
        let mut served: FxHashMap<&str, &Known> = FxHashMap::default();
        for known in all {
            let name = known.record.name.as_str();
            let is_taken = names::upwards(name)
                .filter_map(|name| served.get(name))
                .any(|older| older.record.name == name || older.record.account != known.record.account);
            if !is_taken {
                served.insert(name, known);
            }
        }
        served.into_values().map(|known| known.zone.clone()).collect()
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
        Some(Ok(target)) => names::Data::Alias {
            name: target.as_str().into(),
            evaluates: set.alias_target.as_ref().is_some_and(|target| target.evaluate_target_health),
        },
        Some(Err(_)) | None => names::Data::Records(records.map(Vec::into_boxed_slice).collect()),
    };
    names::RecordSet {
        kind: type_number(set.r#type),
        id: identifier.into(),
        ttl: set.ttl.and_then(|ttl| u32::try_from(ttl).ok()).unwrap_or(ALIAS_TTL),
        routing: routing(set),
        data,
        check: set.health_check_id.as_deref().map(Into::into),
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Tells of a zone that was made at the second `at`.
    fn zone(publication: &mut Publication, account: &str, id: &str, name: &str, at: u8, vpcs: &[&VpcId]) {
        let vpcs: Vec<_> = vpcs.iter().map(|vpc| json!({"id": vpc, "region": "us-east-1"})).collect();
        let record = json!({
            "id": id, "account": account, "name": name, "caller_reference": id, "is_private": !vpcs.is_empty(),
            "vpcs": vpcs, "created_at": format!("2026-01-01T00:00:{at:02}Z"),
        });
        let key = format!("route53/{account}/aws-global/hosted-zone/{id}");
        assert!(publication.apply(&key, Some(record.to_string().as_bytes())));
    }

    #[test]
    fn a_name_is_served_as_the_oldest_zone_says_and_nobody_takes_it_out_of_anothers() {
        let mut publication = Publication::default();
        let (one, other) = ("111122223333", "444455556666");
        zone(&mut publication, other, "ZLATE", "example.com", 9, &[]);
        zone(&mut publication, one, "ZFIRST", "example.com", 1, &[]);
        zone(&mut publication, other, "ZBELOW", "a.example.com", 2, &[]);
        zone(&mut publication, one, "ZOWN", "b.example.com", 3, &[]);
        zone(&mut publication, other, "ZELSE", "example.org", 4, &[]);
        let names = publication.current();
        let of = |name: &str| names.public.of(name).map(|zone| zone.name().to_owned());
        assert_eq!(of("x.a.example.com").as_deref(), Some("example.com"));
        assert_eq!(of("x.b.example.com").as_deref(), Some("b.example.com"));
        assert_eq!(of("example.org").as_deref(), Some("example.org"));
        // With the first gone, what it stood above is there.
        publication.apply("route53/111122223333/aws-global/hosted-zone/ZFIRST", None);
        let names = publication.current();
        assert_eq!(names.public.of("x.a.example.com").map(|zone| zone.name()), Some("a.example.com"));
        assert!(names.vpcs.is_empty() && !publication.is_changed());
    }

    #[test]
    fn an_endpoint_is_looked_at_in_each_vpc_whose_zones_name_its_check_and_nowhere_else() {
        let mut publication = Publication::default();
        let account = "111122223333";
        let [first, second, third] = [1, 2, 3].map(VpcId::from_random);
        zone(&mut publication, account, "ZA", "example.com", 1, &[&first, &second]);
        zone(&mut publication, account, "ZB", "example.org", 1, &[&third]);
        let id = "00000000-0000-4000-8000-000000000000";
        let check = |port: u16| {
            let config = json!({"Type": "TCP", "IPAddress": "10.0.0.1", "Port": port});
            json!({"id": id, "caller_reference": "x", "version": 1, "config": config}).to_string()
        };
        let check_key = format!("route53/{account}/aws-global/health-check/{id}");
        publication.apply(&check_key, Some(check(80).as_bytes()));
        assert!(publication.current().checks.is_empty(), "nobody depends on it");
        let set = json!({
            "Name": "a.example.com.", "Type": "A", "SetIdentifier": "x", "Failover": "PRIMARY", "TTL": 5,
            "ResourceRecords": [{"Value": "10.0.0.1"}], "HealthCheckId": id,
        });
        let set_key = format!("route53/{account}/aws-global/record-set/ZA/com.example.a. A x");
        publication.apply(&set_key, Some(set.to_string().as_bytes()));
        let before = publication.current().checks.clone();
        let vpcs: FxHashSet<_> = before.iter().map(|check| check.vpc.clone()).collect();
        assert_eq!(vpcs, [first, second].into_iter().collect());
        // What is known of it outlives changes around it, and not a change of the endpoint.
        zone(&mut publication, account, "ZC", "a.example.com", 2, &[&third]);
        let same = publication.current().checks.clone();
        assert!(before.iter().zip(&*same).all(|(one, other)| Arc::ptr_eq(one, other)));
        publication.apply(&check_key, Some(check(81).as_bytes()));
        let other = publication.current().checks.clone();
        assert!(other.len() == 2 && other.iter().all(|check| check.endpoint.port == 81));
        publication.apply(&set_key, None);
        assert!(publication.current().checks.is_empty());
        assert!(publication.board.all().is_empty());
    }
}
