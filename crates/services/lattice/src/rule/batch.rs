//! BatchUpdateRule: several rules of a listener at once, mostly to swap priorities.
//!
//! "Evaluate uniqueness against the final state of the whole batch, not one by one." What cannot be
//! done is reported and left as it was; the rest happens, in one transaction.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use trellis_api::Exception;
use trellis_frame::record::{put, scan_all};
use trellis_frame::{Context, counted};
use trellis_model::resource::lattice::{Listener, Rule, RuleAction, RuleMatch, Service};
use trellis_model::{ListenerId, RuleId};
use trellis_store::{Read, Transaction};

use super::{Description, find_for_change, find_parents, normalise, priority_taken};
use crate::action;
use crate::place::Place;
use crate::quota;
use crate::refusal::{Kind, Refusal, check_quota, invalid};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct BatchUpdate {
    service_identifier: String,
    listener_identifier: String,
    rules: Vec<Change>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Change {
    rule_identifier: String,
    #[serde(rename = "match")]
    matches: Option<RuleMatch>,
    priority: Option<u16>,
    action: Option<RuleAction>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    successful: Vec<Description>,
    unsuccessful: Vec<Failure>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    rule_identifier: String,
    failure_code: String,
    failure_message: String,
}

impl Failure {
    /// The exception the single operation would have thrown, as data; other failures stay failures.
    fn new(identifier: &str, refusal: Refusal) -> Result<Self, Refusal> {
        if refusal.is_ours() {
            return Err(refusal);
        }
        let Exception { code, message, .. } = trellis_frame::words::rest_json(refusal);
        Ok(Self {
            rule_identifier: identifier.to_owned(),
            failure_code: code.into_owned(),
            failure_message: message,
        })
    }
}

/// A rule before and after its change.
struct Changed<'a> {
    identifier: &'a str,
    before: Rule,
    after: Rule,
}

pub(crate) fn update(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &BatchUpdate,
) -> Result<Outcome, Refusal> {
    let place = Place::new(ctx.home());
    let (service, listener) =
        find_parents(tx, &place, &input.service_identifier, &input.listener_identifier)?;
    let mut unsuccessful = Vec::new();
    let mut changes: Vec<Changed<'_>> = Vec::new();
    let mut groups = action::used_by(tx, &place, &service)?;
    for change in &input.rules {
        match plan(tx, ctx, &place, (&service, &listener), change, &mut groups) {
            Ok(changed) if changes.iter().any(|other| other.before.id == changed.before.id) => {
                let message = format_args!("{} is changed twice", changed.before.id);
                return Err(invalid("rules", message));
            }
            Ok(changed) => changes.push(changed),
            Err(refusal) => unsuccessful.push(Failure::new(&change.rule_identifier, refusal)?),
        }
    }
    let taken = priorities(tx, &place, &listener.id)?;
    for (identifier, refusal) in drop_collisions(&mut changes, &taken, &listener) {
        unsuccessful.push(Failure::new(&identifier, refusal)?);
    }
    for Changed { before, .. } in &changes {
        counted::delete(tx, &place.priority(&listener.id, before.priority))?;
    }
    let mut successful = Vec::with_capacity(changes.len());
    for Changed { before, after, .. } in changes {
        let whose = (&service, &listener, after.id.as_str());
        if before.action != after.action {
            action::link(tx, ctx, &place, whose, Some(&before.action), &after.action)?;
        }
        counted::put(tx, &place.priority(&listener.id, after.priority), after.id.as_str().into())?;
        put(tx, &place.rule(&listener.id, &after.id), &after);
        successful.push(Description::from(after).updated());
    }
    Ok(Outcome { successful, unsuccessful })
}

/// What one entry makes of its rule, looked at alone. `groups` are the target groups the service
/// would use if everything so far were done.
fn plan<'a>(
    state: &mut impl Read,
    ctx: &Context,
    place: &Place,
    (service, listener): (&Service, &Listener),
    change: &'a Change,
    groups: &mut BTreeSet<String>,
) -> Result<Changed<'a>, Refusal> {
    let before = find_for_change(state, place, listener, &change.rule_identifier)?;
    let mut after = Rule { last_updated_at: ctx.now, ..before.clone() };
    if let Some(action) = &change.action {
        after.action = action::normalise(state, place, service, listener.protocol, action)?;
        let mut all = groups.clone();
        all.extend(after.action.target_groups().iter().map(|group| group.target_group_identifier.clone()));
        let parent = Some(service.id.as_str());
        check_quota(
            ctx.quotas(),
            &quota::TARGET_GROUPS_PER_SERVICE,
            all.len(),
            0,
            Kind::TargetGroup,
            parent,
        )?;
        *groups = all;
    }
    if let Some(matches) = &change.matches {
        after.matches = normalise(matches)?;
    }
    after.priority = change.priority.unwrap_or(after.priority);
    Ok(Changed { identifier: &change.rule_identifier, before, after })
}

/// The priorities of the listener's rules now.
fn priorities(
    state: &mut impl Read,
    place: &Place,
    listener: &ListenerId,
) -> Result<BTreeMap<u16, String>, Refusal> {
    let prefix = place.priorities(listener);
    let entries = scan_all(state, &prefix)?;
    Ok(entries
        .iter()
        .filter_map(|entry| {
            let priority = entry.key[prefix.len()..].parse().ok()?;
            Some((priority, String::from_utf8_lossy(&entry.value).into_owned()))
        })
        .collect())
}

/// Takes out the changes that would end at a priority another rule has then. A change taken out
/// leaves its rule where it was, which may be in the way of another: repeated until nothing collides.
fn drop_collisions(
    changes: &mut Vec<Changed<'_>>,
    taken: &BTreeMap<u16, String>,
    listener: &Listener,
) -> Vec<(String, Refusal)> {
    let mut dropped = Vec::new();
    loop {
        let moving: BTreeSet<&str> = changes.iter().map(|changed| changed.before.id.as_str()).collect();
        let staying = taken.iter().filter(|(_, id)| !moving.contains(id.as_str()));
        let mut held: BTreeMap<u16, RuleId> = BTreeMap::new();
        for (priority, id) in staying {
            if let Ok(id) = id.parse() {
                held.insert(*priority, id);
            }
        }
        // Those that keep their priority come first: they were there before the one that wants it.
        for changed in changes.iter().filter(|changed| changed.before.priority == changed.after.priority) {
            held.insert(changed.after.priority, changed.after.id.clone());
        }
        let mut collision = None;
        for (index, changed) in changes.iter().enumerate() {
            match held.get(&changed.after.priority) {
                Some(id) if *id != changed.after.id => {
                    collision = Some((index, id.clone()));
                    break;
                }
                _ => {
                    held.insert(changed.after.priority, changed.after.id.clone());
                }
            }
        }
        let Some((index, holder)) = collision else { return dropped };
        let changed = changes.remove(index);
        dropped.push((
            changed.identifier.to_owned(),
            priority_taken(holder.as_str(), listener, changed.after.priority),
        ));
    }
}
