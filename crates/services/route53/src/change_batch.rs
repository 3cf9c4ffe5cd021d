//! ChangeResourceRecordSets: all changes of a batch or none, and every fault told.

use std::collections::BTreeSet;
use std::fmt::Display;

use trellis_api::typed::FromValue;
use trellis_frame::{Context, Refusal};
use trellis_model::snapshot::names;
use trellis_store::Transaction;

use crate::hosted_zone::{self, HostedZone};
use crate::name::DomainName;
use crate::record_set::{self, RECORD_SETS, RECORDS_PER_ZONE};
use crate::wire::{self, ChangeAction, RRType, ResourceRecordSet};
use crate::{change, health_check, publication, record_data, refuse};

/// "A request cannot contain more than 1,000 ResourceRecord elements. When the value of the Action element is UPSERT,
/// each ResourceRecord element is counted twice."
const MAX_RECORDS: usize = 1000;

/// "The sum of the number of characters (including spaces) in all Value elements", those of UPSERT twice.
const MAX_CHARACTERS: usize = 32_000;

/// Sets of one name and type. "100 weighted records that have the same name and type."
const MAX_OF_NAME_AND_TYPE: usize = 100;

pub(crate) fn change(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::ChangeResourceRecordSetsInput,
) -> Result<wire::ChangeResourceRecordSetsOutput, Refusal> {
    let zone = hosted_zone::find(tx, ctx, &input.hosted_zone_id)?;
    let batch = &input.change_batch;
    check_size(&batch.changes)?;
    for change in &batch.changes {
        check_form(change)?;
    }
    for change in &batch.changes {
        let check = change.resource_record_set.health_check_id.as_deref();
        if let Some(id) = check.filter(|_| change.action != ChangeAction::Delete) {
            health_check::find(tx, ctx, id)?;
        }
    }
    let mut faults = Vec::new();
    for change in &batch.changes {
        // The transaction sees its own writes: each change meets what the ones before it leave.
        if let Err(mut of_change) = apply(tx, &zone, change)? {
            faults.append(&mut of_change);
        }
    }
    let limit = ctx.quotas().limit(&RECORDS_PER_ZONE);
    if faults.is_empty() && RECORD_SETS.count_of(tx, &zone.home(), &zone.id)? as u64 > limit {
        faults.push(format!("This request would exceed the limit of {limit} records of the hosted zone."));
    }
    if !faults.is_empty() {
        return Err(invalid_batch(faults));
    }
    let change_info = change::record(tx, ctx, batch.comment.clone())?;
    Ok(wire::ChangeResourceRecordSetsOutput { change_info })
}

/// A batch by itself, in the form that the API decodes to, for a zone called `zone` that is empty: its record sets as
/// resolvers have them, with their names, or every fault. Of changes that meet what is there it knows nothing.
///
/// # Errors
/// What makes it no batch, or no batch for that zone.
pub fn judge(zone: &str, input: serde_json::Value) -> Result<Vec<(String, names::RecordSet)>, Vec<String>> {
    let one = |fault: &dyn Display| vec![fault.to_string()];
    let input = wire::ChangeResourceRecordSetsInput::from_value(input).map_err(|fault| one(&fault))?;
    let apex = DomainName::parse(zone).map_err(|fault| one(&fault))?;
    let changes = &input.change_batch.changes;
    check_size(changes).map_err(|refusal| one(&refusal))?;
    let (mut sets, mut faults) = (Vec::new(), Vec::new());
    for change in changes {
        check_form(change).map_err(|refusal| one(&refusal))?;
        let set = &change.resource_record_set;
        match DomainName::parse(&set.name) {
            Err(fault) => faults.push(fault.to_string()),
            Ok(name) if !name.is_in(&apex) => faults.push(format!("{name} is not in {apex}")),
            Ok(name) => {
                let mut of_set = data_faults(set);
                of_set.extend(place_faults(set, &name, &apex));
                of_set.extend(policy(set).err().map(str::to_owned));
                let identifier = set.set_identifier.as_deref().unwrap_or_default();
                sets.push((name.as_str().to_owned(), publication::compile(set, identifier)));
                faults.append(&mut of_set);
            }
        }
    }
    if faults.is_empty() { Ok(sets) } else { Err(faults) }
}

fn invalid_batch(faults: Vec<String>) -> Refusal {
    let message = format!("[{}]", faults.join(", "));
    refuse(wire::InvalidChangeBatch { messages: Some(faults), message })
}

/// What a batch has of an action that counts twice or once.
fn check_size(changes: &[wire::Change]) -> Result<(), Refusal> {
    let (mut records, mut characters) = (0, 0);
    for change in changes {
        let times = if change.action == ChangeAction::Upsert { 2 } else { 1 };
        let set = &change.resource_record_set;
        let values = set.resource_records.iter().flatten();
        records += times * set.resource_records.as_ref().map_or(1, Vec::len);
        characters += times * values.map(|record| record.value.chars().count()).sum::<usize>();
    }
    if records > MAX_RECORDS {
        return Err(invalid_batch(vec![format!("Number of records limit of {MAX_RECORDS} exceeded.")]));
    }
    if characters > MAX_CHARACTERS {
        return Err(invalid_batch(vec![format!("Number of characters limit of {MAX_CHARACTERS} exceeded.")]));
    }
    Ok(())
}

/// What makes a request no batch of changes at all.
fn check_form(change: &wire::Change) -> Result<(), Refusal> {
    let set = &change.resource_record_set;
    if set.traffic_policy_instance_id.is_some()
        || set.cidr_routing_config.is_some()
        || set.geo_proximity_location.is_some()
    {
        return Err(Refusal::unacceptable(
            "Traffic policies, CIDR routing and geoproximity are not served; use weighted, failover, geolocation, \
             latency or multivalue answer routing",
        ));
    }
    let is_plain = set.ttl.is_some() && set.resource_records.is_some();
    let is_half = set.ttl.is_some() != set.resource_records.is_some();
    let found = match (set.alias_target.is_some(), is_plain, is_half) {
        (true, false, false) | (false, true, false) => return Ok(()),
        (true, true, _) => "more than one",
        _ => "none",
    };
    Err(Refusal::unacceptable(format_args!(
        "Invalid request: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or \
         TrafficPolicyInstanceId], but found {found} in Change with [Action={}, Name={}, Type={}, SetIdentifier={}]",
        change.action,
        set.name,
        set.r#type,
        set.set_identifier.as_deref().unwrap_or("null")
    )))
}

/// Makes one change, or tells its faults.
fn apply(
    tx: &mut Transaction<'_>,
    zone: &HostedZone,
    change: &wire::Change,
) -> Result<Result<(), Vec<String>>, Refusal> {
    let name = match DomainName::parse(&change.resource_record_set.name) {
        Ok(name) => name,
        Err(fault) => {
            return Ok(Err(vec![format!("{fault} encountered with '{}'", change.resource_record_set.name)]));
        }
    };
    let mut set = change.resource_record_set.clone();
    set.name = name.to_string();
    let apex = zone.domain();
    if !name.is_in(&apex) {
        return Ok(Err(vec![format!("RRSet with DNS name {name} is not permitted in zone {apex}")]));
    }
    let siblings = record_set::at(tx, zone, &name)?;
    let known = siblings.iter().find(|known| is_same(known, &set));
    let faults = match change.action {
        ChangeAction::Delete => match known {
            None => vec![format!("Tried to delete resource record set {} but it was not found", shown(&set))],
            Some(known) if !is_equal(known, &set) => vec![format!(
                "Tried to delete resource record set {} but the values provided do not match the current values",
                shown(&set)
            )],
            Some(_) if record_set::is_own(&set, &apex) => vec![match set.r#type {
                RRType::Soa => "A HostedZone must contain exactly one SOA record.".to_owned(),
                _ => "A HostedZone must contain at least one NS record for the zone itself.".to_owned(),
            }],
            Some(_) => {
                record_set::delete(tx, zone, &set)?;
                return Ok(Ok(()));
            }
        },
        ChangeAction::Create if known.is_some() => {
            vec![format!("Tried to create resource record set {} but it already exists", shown(&set))]
        }
        ChangeAction::Create | ChangeAction::Upsert => {
            let mut faults = data_faults(&set);
            faults.extend(place_faults(&set, &name, &apex));
            faults.extend(sibling_faults(&set, &name, &apex, &siblings));
            faults
        }
    };
    if !faults.is_empty() {
        return Ok(Err(faults));
    }
    record_set::put(tx, zone, &set)?;
    Ok(Ok(()))
}

/// `[name='www.example.com.', type='A']`
fn shown(set: &ResourceRecordSet) -> String {
    let identifier = set
        .set_identifier
        .as_ref()
        .map(|identifier| format!(", set identifier='{identifier}'"))
        .unwrap_or_default();
    format!("[name='{}', type='{}'{identifier}]", set.name, set.r#type)
}

/// Whether two sets of one name are one and the same.
fn is_same(one: &ResourceRecordSet, other: &ResourceRecordSet) -> bool {
    one.r#type == other.r#type && one.set_identifier == other.set_identifier
}

/// Whether they say the same, in whatever order and spelling of values.
fn is_equal(one: &ResourceRecordSet, other: &ResourceRecordSet) -> bool {
    let data = |set: &ResourceRecordSet| {
        let values = set.resource_records.iter().flatten();
        values
            .map(|record| {
                record_data::encode(set.r#type, &record.value)
                    .unwrap_or_else(|_| record.value.clone().into_bytes())
            })
            .collect::<BTreeSet<_>>()
    };
    let alias = |set: &ResourceRecordSet| {
        let target = set.alias_target.as_ref()?;
        let name = DomainName::parse(&target.dns_name).ok()?;
        Some((target.hosted_zone_id.clone(), name, target.evaluate_target_health))
    };
    let rest = |set: &ResourceRecordSet| ResourceRecordSet {
        resource_records: None,
        alias_target: None,
        ..set.clone()
    };
    data(one) == data(other) && alias(one) == alias(other) && rest(one) == rest(other)
}

/// Values that are no data of the type, twice there, or too many.
fn data_faults(set: &ResourceRecordSet) -> Vec<String> {
    let mut faults = Vec::new();
    if let Some(target) = &set.alias_target {
        if let Err(fault) = DomainName::parse(&target.dns_name) {
            faults.push(invalid_value(fault, &target.dns_name));
        }
        if matches!(set.r#type, RRType::Ns | RRType::Soa) {
            faults
                .push(format!("RRSet of type {} with DNS name {} cannot be an alias", set.r#type, set.name));
        }
    }
    let mut seen = BTreeSet::new();
    for wire::ResourceRecord { value } in set.resource_records.iter().flatten() {
        match record_data::encode(set.r#type, value) {
            Err(fault) => faults.push(invalid_value(fault, value)),
            Ok(data) => {
                if !seen.insert(data) {
                    faults.push(format!("Duplicate Resource Record: '{value}'"));
                }
            }
        }
    }
    if matches!(set.r#type, RRType::Cname | RRType::Soa) && seen.len() > 1 {
        faults.push(format!(
            "RRSet of type {} with DNS name {} must have exactly one record",
            set.r#type, set.name
        ));
    }
    faults
}

fn invalid_value(fault: impl Display, value: &str) -> String {
    format!("Invalid Resource Record: 'FATAL problem: {fault} encountered with '{value}''")
}

/// What may not be at this name of the zone.
fn place_faults(set: &ResourceRecordSet, name: &DomainName, apex: &DomainName) -> Option<String> {
    let at_apex = name == apex;
    let kind = set.r#type;
    match kind {
        RRType::Cname if at_apex => Some("at apex"),
        RRType::Soa if !at_apex => Some("below the apex"),
        RRType::Soa | RRType::Ns if set.set_identifier.is_some() => Some("with a routing policy"),
        _ => None,
    }
    .map(|place| format!("RRSet of type {kind} with DNS name {name} is not permitted {place} in zone {apex}"))
}

/// What does not go together with the other sets of the name.
fn sibling_faults(
    set: &ResourceRecordSet,
    name: &DomainName,
    apex: &DomainName,
    siblings: &[ResourceRecordSet],
) -> Vec<String> {
    let mut faults = Vec::new();
    let kind = set.r#type;
    let others = || siblings.iter().filter(|other| !is_same(other, set));
    if others().any(|other| (other.r#type == RRType::Cname) != (kind == RRType::Cname)) {
        faults.push(match kind {
            RRType::Cname => format!(
                "RRSet of type CNAME with DNS name {name} is not permitted as it conflicts with other records with \
                 the same DNS name in zone {apex}"
            ),
            _ => format!(
                "RRSet of type {kind} with DNS name {name} is not permitted because a conflicting RRSet of type \
                 CNAME with the same DNS name already exists in zone {apex}"
            ),
        });
    }
    let policy = match policy(set) {
        Ok(policy) => policy,
        Err(message) => {
            faults.push(format!("RRSet with DNS name {name}, type {kind} {message}"));
            return faults;
        }
    };
    let identifier = set.set_identifier.as_deref().unwrap_or_default();
    let mut of_type = others().filter(|other| other.r#type == kind);
    if of_type.clone().count() >= MAX_OF_NAME_AND_TYPE {
        faults.push(format!(
            "There are {MAX_OF_NAME_AND_TYPE} record sets with DNS name {name} and type {kind} already"
        ));
    }
    if let Some(other) = of_type.clone().find(|other| self::policy(other) != Ok(policy)) {
        let known = self::policy(other).unwrap_or(Policy::Simple).word();
        faults.push(format!(
            "RRSet with DNS name {name}, type {kind}, SetIdentifier {identifier} cannot be created because a {known} \
             RRSet with the same name and type already exists"
        ));
    } else if let Some(other) = of_type.find(|other| is_rival(set, other)) {
        faults.push(format!(
            "RRSet with DNS name {name}, type {kind}, SetIdentifier {identifier} cannot be created because the one \
             with SetIdentifier {} is for the same",
            other.set_identifier.as_deref().unwrap_or_default()
        ));
    }
    faults
}

/// How one of the sets of a name and type is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    Simple,
    Weighted,
    Latency,
    Geolocation,
    Failover,
    MultiValue,
}

impl Policy {
    fn word(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Weighted => "weighted",
            Self::Latency => "latency",
            Self::Geolocation => "geolocation",
            Self::Failover => "failover",
            Self::MultiValue => "multivalue answer",
        }
    }
}

fn policy(set: &ResourceRecordSet) -> Result<Policy, &'static str> {
    let given = [
        set.weight.map(|_| Policy::Weighted),
        set.region.map(|_| Policy::Latency),
        set.geo_location.as_ref().map(|_| Policy::Geolocation),
        set.failover.map(|_| Policy::Failover),
        set.multi_value_answer.filter(|is_on| *is_on).map(|_| Policy::MultiValue),
    ];
    let mut given = given.into_iter().flatten();
    match (given.next(), given.next(), &set.set_identifier) {
        (None, _, None) => Ok(Policy::Simple),
        (None, _, Some(_)) => Err("has a SetIdentifier and no routing policy"),
        (Some(_), Some(_), _) => Err("has more than one routing policy"),
        (Some(_), None, None) => Err("has a routing policy and needs a SetIdentifier"),
        (Some(Policy::MultiValue), None, Some(_)) if set.alias_target.is_some() => {
            Err("is a multivalue answer, which cannot be an alias")
        }
        (Some(policy), None, Some(_)) => Ok(policy),
    }
}

/// Whether two sets of one policy would answer the same.
fn is_rival(one: &ResourceRecordSet, other: &ResourceRecordSet) -> bool {
    (one.failover.is_some() && one.failover == other.failover)
        || (one.region.is_some() && one.region == other.region)
        || (one.geo_location.is_some() && one.geo_location == other.geo_location)
}
