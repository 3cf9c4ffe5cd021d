//! Resource record sets: where they are kept, and their list.
//!
//! They are stored as the API tells them, at keys that sort as it lists them: labels last to first, then the type,
//! then the set identifier.

use trellis_frame::{Context, Quota, Records, Refusal, key, record};
use trellis_store::{Read, Reader, Transaction};

use crate::hosted_zone::{self, HostedZone, NAME_SERVERS};
use crate::name::DomainName;
use crate::wire::{self, RRType, ResourceRecordSet};

pub(crate) static RECORDS_PER_ZONE: Quota =
    Quota::new("route53", "L-E209CC9F", 10_000, "records per hosted zone");

pub(crate) const RECORD_SETS: Records<ResourceRecordSet> = Records::new("route53", KIND);

/// The kind of record, as it is in keys.
const KIND: &str = "record-set";

trellis_api::by_serde!(ResourceRecordSet, ResourceRecordSet);

/// "The maximum is 300", which is what a list without a limit has too.
const MAX_ITEMS: usize = 300;

/// Seconds, as AWS gives them to the records that a zone is made with.
const NS_TTL: i64 = 172_800;
const SOA_TTL: i64 = 900;

/// The name of a record set that is kept.
pub(crate) fn owner(set: &ResourceRecordSet) -> DomainName {
    DomainName::kept(&set.name)
}

/// Where a set is under its zone. Sorts before everything that goes on after the name or the type.
fn position(name: &DomainName, kind: RRType, identifier: &str) -> String {
    format!("{} {kind} {}", name.reversed(), key_text(identifier))
}

/// An identifier as part of a key, which has no slash but between its parts.
fn key_text(identifier: &str) -> String {
    identifier.replace('\\', r"\134").replace('/', r"\057")
}

fn id(zone: &HostedZone, set: &ResourceRecordSet) -> String {
    let identifier = set.set_identifier.as_deref().unwrap_or_default();
    format!("{}/{}", zone.id, position(&owner(set), set.r#type, identifier))
}

pub(crate) fn put(
    tx: &mut Transaction<'_>,
    zone: &HostedZone,
    set: &ResourceRecordSet,
) -> Result<(), Refusal> {
    RECORD_SETS.put(tx, &zone.home(), id(zone, set), set)
}

pub(crate) fn delete(
    tx: &mut Transaction<'_>,
    zone: &HostedZone,
    set: &ResourceRecordSet,
) -> Result<(), Refusal> {
    RECORD_SETS.delete(tx, &zone.home(), id(zone, set))
}

/// Every set at `name`.
pub(crate) fn at(
    state: &mut impl Read,
    zone: &HostedZone,
    name: &DomainName,
) -> Result<Vec<ResourceRecordSet>, Refusal> {
    record::all(state, &format!("{}{} ", keys(zone), name.reversed()))
}

/// Every set of a zone.
pub(crate) fn all(state: &mut impl Read, zone: &HostedZone) -> Result<Vec<ResourceRecordSet>, Refusal> {
    record::all(state, &keys(zone))
}

/// The first few sets of a zone.
pub(crate) fn first_of(
    state: &mut impl Read,
    zone: &HostedZone,
    limit: usize,
) -> Result<Vec<ResourceRecordSet>, Refusal> {
    state.scan(&keys(zone), None, limit)?.iter().map(record::decode).collect()
}

/// What the keys of all sets of a zone begin with.
fn keys(zone: &HostedZone) -> String {
    key::Scope::new("route53", &zone.home()).records_of(KIND, &zone.id)
}

/// The two sets every zone has as long as it is there.
pub(crate) fn of_new_zone(apex: &DomainName) -> [ResourceRecordSet; 2] {
    let servers = NAME_SERVERS.map(|server| format!("{server}.")).to_vec();
    let authority = format!("{}. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400", NAME_SERVERS[3]);
    [simple(apex, RRType::Ns, NS_TTL, servers), simple(apex, RRType::Soa, SOA_TTL, vec![authority])]
}

/// Whether it is one of [`of_new_zone`], as it was made or changed.
pub(crate) fn is_own(set: &ResourceRecordSet, apex: &DomainName) -> bool {
    matches!(set.r#type, RRType::Ns | RRType::Soa) && owner(set) == *apex
}

fn simple(name: &DomainName, kind: RRType, ttl: i64, values: Vec<String>) -> ResourceRecordSet {
    ResourceRecordSet {
        name: name.to_string(),
        r#type: kind,
        set_identifier: None,
        weight: None,
        region: None,
        geo_location: None,
        failover: None,
        multi_value_answer: None,
        ttl: Some(ttl),
        resource_records: Some(values.into_iter().map(|value| wire::ResourceRecord { value }).collect()),
        alias_target: None,
        health_check_id: None,
        traffic_policy_instance_id: None,
        cidr_routing_config: None,
        geo_proximity_location: None,
    }
}

/// How many items a list may have, from the text of `MaxItems`.
pub(crate) fn max_items(text: Option<&str>, most: usize) -> Result<usize, Refusal> {
    let Some(text) = text else { return Ok(most) };
    let items = text.parse::<usize>().ok().filter(|items| *items > 0);
    items.map(|items| items.min(most)).ok_or_else(|| {
        Refusal::invalid(
            "MaxItems",
            format_args!("{} is not a number of items", trellis_frame::refusal::shown(text)),
        )
    })
}

pub(crate) fn list(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListResourceRecordSetsInput,
) -> Result<wire::ListResourceRecordSetsOutput, Refusal> {
    let zone = hosted_zone::find(state, ctx, &input.hosted_zone_id)?;
    let limit = max_items(input.max_items.as_deref(), MAX_ITEMS)?;
    let start = start(input)?;
    let prefix = keys(&zone);
    // A scan begins after a key, and no key ends with a name or a type.
    let mut after = start.as_ref().map(|(before, _)| format!("{prefix}{before}"));
    let first = start.map_or_else(String::new, |(_, first)| format!("{prefix}{first}"));
    let mut sets: Vec<ResourceRecordSet> = Vec::new();
    while sets.len() <= limit {
        let batch = limit + 1;
        let entries = state.scan(&prefix, after.as_deref(), batch)?;
        for entry in entries.iter().filter(|entry| entry.key >= first) {
            sets.push(record::decode(entry)?);
        }
        if entries.len() < batch {
            break;
        }
        after = entries.last().map(|entry| entry.key.clone());
    }
    let next = sets.get(limit).cloned();
    sets.truncate(limit);
    Ok(wire::ListResourceRecordSetsOutput {
        resource_record_sets: sets,
        is_truncated: next.is_some(),
        next_record_name: next.as_ref().map(|next| next.name.clone()),
        next_record_type: next.as_ref().map(|next| next.r#type),
        next_record_identifier: next.and_then(|next| next.set_identifier),
        max_items: limit.to_string(),
    })
}

/// Where the list begins: a place before all that is asked for, and the first that is.
fn start(input: &wire::ListResourceRecordSetsInput) -> Result<Option<(String, String)>, Refusal> {
    let Some(name) = &input.start_record_name else {
        return match (input.start_record_type, &input.start_record_identifier) {
            (None, None) => Ok(None),
            _ => Err(Refusal::unacceptable(
                "The input is not valid: type and identifier need a name to begin at.",
            )),
        };
    };
    let name =
        DomainName::parse(name).map_err(|fault| Refusal::invalid("StartRecordName", fault))?.reversed();
    Ok(Some(match (input.start_record_type, &input.start_record_identifier) {
        (None, None) => (name.clone(), name),
        (None, Some(_)) => {
            return Err(Refusal::unacceptable("The input is not valid: an identifier needs a type."));
        }
        (Some(kind), None) => (format!("{name} {kind}"), format!("{name} {kind}")),
        (Some(kind), Some(identifier)) => {
            (format!("{name} {kind}"), format!("{name} {kind} {}", key_text(identifier)))
        }
    }))
}
