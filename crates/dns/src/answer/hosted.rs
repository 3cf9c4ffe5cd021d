//! Hosted zones: what the records in them say of a name.

use hickory_proto::rr::rdata::{CNAME, NULL};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::BinDecodable;
use trellis_model::snapshot::names::{Data, RecordSet, Zone, Zones, upwards};

use super::{Authority, View, built_in};

/// Alias records that lead to alias records, at most.
const MAX_DEPTH: usize = 8;

/// The numbers of types that are more than data here.
const CNAME_TYPE: u16 = 5;
const SOA_TYPE: u16 = 6;
const NS_TYPE: u16 = 2;
const A_TYPE: u16 = 1;
const AAAA_TYPE: u16 = 28;

/// What is said of a name and a type. Where there is nothing, the SOA of who says so.
#[derive(Debug)]
pub(super) enum Said {
    Records(Vec<Record>),
    /// The name is another one's: the CNAME record, and that name.
    Alias(Record, Name),
    NoData(Option<Record>),
    NoName(Option<Record>),
}

/// The zone a name is in.
pub(super) struct Hosted<'a> {
    zones: &'a Zones,
    zone: &'a Zone,
    /// The name as zones have it.
    name: String,
}

impl<'a> Hosted<'a> {
    /// The most specific of `zones` that has `name`.
    pub(super) fn of(name: &Name, zones: &'a Zones) -> Option<Self> {
        let name = text(name);
        let zone = zones.of(&name)?;
        Some(Self { zones, zone, name })
    }

    /// Those of the zone's own name.
    pub(super) fn labels(&self) -> usize {
        self.zone.name().split('.').count()
    }

    /// Where the name is at or below an NS record within the zone: that one's records, and the addresses of the servers
    /// that the zone has.
    pub(super) fn delegation(&self, kind: RecordType) -> Option<(Vec<Record>, Vec<Record>)> {
        let is_below = |name: &&str| name.len() > self.zone.name().len();
        let is_cut = |cut: &&str| self.zone.at(cut).iter().any(|set| set.kind == NS_TYPE);
        // Of several, the one right below the zone's own name counts.
        let cut = upwards(&self.name).take_while(is_below).filter(is_cut).last()?;
        if kind == RecordType::DS && cut == self.name {
            return None;
        }
        let owner = name(cut)?;
        let sets = self.zone.at(cut).iter().filter(|set| set.kind == NS_TYPE);
        let values = sets.filter_map(|set| match &set.data {
            Data::Records(values) => Some((set.ttl, values)),
            Data::Alias { .. } => None,
        });
        let (mut servers, mut addresses) = (Vec::new(), Vec::new());
        for (ttl, values) in values {
            for value in values {
                servers.push(record(&owner, NS_TYPE, ttl, value));
                let Ok(server) = Name::from_bytes(value) else { continue };
                let sets = self.zone.at(&text(&server)).iter();
                for set in sets.filter(|set| matches!(set.kind, A_TYPE | AAAA_TYPE)) {
                    let Data::Records(values) = &set.data else { continue };
                    addresses.extend(values.iter().map(|value| {
                        let mut server = server.clone();
                        server.set_fqdn(true);
                        record(&server, set.kind, set.ttl, value)
                    }));
                }
            }
        }
        Some((servers, addresses))
    }

    pub(super) fn say(&self, view: View<'a>, owner: &Name, kind: RecordType) -> Said {
        self.say_within(view, owner, kind, 0)
    }

    fn say_within(&self, view: View<'a>, owner: &Name, kind: RecordType, depth: usize) -> Said {
        let Some(sets) = self.zone.look_up(&self.name) else { return Said::NoName(self.authority()) };
        let number = u16::from(kind);
        let draw = if sets.len() > 1 { draw() } else { 0 };
        let chosen = self.zones.choose(sets, number, draw);
        if !chosen.is_empty() {
            let records: Vec<Record> =
                chosen.iter().flat_map(|set| records(set, view, owner, kind, depth)).collect();
            return if records.is_empty() { Said::NoData(self.authority()) } else { Said::Records(records) };
        }
        // RFC 1034, 4.3.2: an alias answers for every type but its own.
        let alias = self.zones.choose(sets, CNAME_TYPE, draw);
        match alias.first().and_then(|set| cname(set, owner)) {
            Some((record, target)) => Said::Alias(record, target),
            None => Said::NoData(self.authority()),
        }
    }

    /// The zone's SOA as negative answers have it. RFC 2308, 3: with the lesser of its TTL and its MINIMUM field.
    fn authority(&self) -> Option<Record> {
        let sets = self.zone.look_up(self.zone.name())?;
        let set = sets.iter().find(|set| set.kind == SOA_TYPE)?;
        let Data::Records(values) = &set.data else { return None };
        let value = values.first()?;
        let minimum = u32::from_be_bytes(*value.last_chunk()?);
        Some(record(&name(self.zone.name())?, SOA_TYPE, set.ttl.min(minimum), value))
    }
}

/// The records of one set, with the name that was asked.
fn records(set: &RecordSet, view: View<'_>, owner: &Name, kind: RecordType, depth: usize) -> Vec<Record> {
    match &set.data {
        Data::Records(values) => {
            // A client that takes the first address finds another one each time.
            let start = if values.len() > 1 { draw() as usize % values.len() } else { 0 };
            let values = values.iter().cycle().skip(start).take(values.len());
            values.map(|value| record(owner, set.kind, set.ttl, value)).collect()
        }
        Data::Alias { name: target, .. } => {
            let Some(target) = name(target).filter(|_| depth < MAX_DEPTH) else { return Vec::new() };
            let said = match Authority::of(&target, view) {
                Some(Authority::BuiltIn(zone)) => built_in(&zone, view, &target, kind),
                Some(Authority::Hosted(hosted)) => hosted.say_within(view, &target, kind, depth + 1),
                None => return Vec::new(),
            };
            let Said::Records(mut records) = said else { return Vec::new() };
            for record in &mut records {
                record.name = owner.clone();
            }
            records
        }
    }
}

fn cname(set: &RecordSet, owner: &Name) -> Option<(Record, Name)> {
    let Data::Records(values) = &set.data else { return None };
    let mut target = Name::from_bytes(values.first()?).ok()?;
    target.set_fqdn(true);
    let record = Record::from_rdata(owner.clone(), set.ttl, RData::CNAME(CNAME(target.clone())));
    Some((record, target))
}

/// RFC 3597, 4: names in record data need not be compressed, so data goes out as it is kept.
fn record(owner: &Name, kind: u16, ttl: u32, value: &[u8]) -> Record {
    let data = RData::Unknown { code: RecordType::from(kind), rdata: NULL::with(value.to_vec()) };
    Record::from_rdata(owner.clone(), ttl, data)
}

fn draw() -> u32 {
    // Without randomness the first of all is as good.
    getrandom::u32().unwrap_or_default()
}

/// A name as zones have it: see [`trellis_model::snapshot::names`].
fn text(name: &Name) -> String {
    let mut text = String::with_capacity(64);
    for label in name.iter() {
        if !text.is_empty() {
            text.push('.');
        }
        for byte in label {
            match byte.to_ascii_lowercase() {
                lower @ (b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_') => text.push(char::from(lower)),
                other => text.extend(['\\', digit(other >> 6), digit(other >> 3), digit(other)]),
            }
        }
    }
    text
}

/// The last octal digit of `number`.
fn digit(number: u8) -> char {
    char::from(b'0' + (number & 7))
}

/// The other way round.
fn name(text: &str) -> Option<Name> {
    let label = |text: &str| {
        let mut label = Vec::with_capacity(text.len());
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            if byte != b'\\' {
                label.push(byte);
                continue;
            }
            let mut digit = || bytes.next().map(|digit| digit.wrapping_sub(b'0') & 7);
            label.push(digit()? << 6 | digit()? << 3 | digit()?);
        }
        Some(label)
    };
    let labels: Vec<Vec<u8>> = text.split('.').map(label).collect::<Option<_>>()?;
    let mut name = Name::from_labels(labels.iter().map(Vec::as_slice)).ok()?;
    name.set_fqdn(true);
    Some(name)
}

#[cfg(test)]
mod tests;
