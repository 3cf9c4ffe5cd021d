//! The rules of a listener, changed so that no request is answered by half of a change.
//!
//! Rules that stay keep their place. New ones are made first, then others rewritten, all priorities set in one call, and
//! what is left deleted. If Lattice refuses one of them, those that were changed before it are put back, and it is not
//! asked again for the same for a while.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use super::{DeployError, Deployer};
use crate::lattice::{CallError, Called, RuleRecord, Tags};
use crate::plan::{Action, RuleMatch};

/// Priority, match, and the action by ids of target groups.
pub(super) type Wanted = (i32, RuleMatch, Action);

const LAST_PRIORITY: i32 = 100;
/// What was refused is asked for again after this: a quota may have been raised.
const ASKED_AGAIN: Duration = Duration::from_secs(60);

/// The rules of a listener, but the default, and what was refused last.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    pub(crate) found: Vec<RuleRecord>,
    refused: Option<(Vec<Wanted>, CallError, Instant)>,
}

impl Rules {
    pub(super) fn of(found: Vec<RuleRecord>) -> Self {
        Self { found, refused: None }
    }
}

/// What is done to the rules of a listener, in this order.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Changes {
    /// Rule by index of what is there, to index of what is wanted.
    pub(super) rewrite: Vec<(usize, usize)>,
    /// What is wanted by index, with the priority it is made with.
    pub(super) create: Vec<(usize, i32)>,
    /// By index of what is there.
    pub(super) delete: Vec<usize>,
    /// What is wanted by index -> what is there by index, where it is there before and after.
    pub(super) stay: HashMap<usize, usize>,
}

impl Changes {
    pub(super) fn between(found: &[RuleRecord], wanted: &[Wanted]) -> Self {
        let mut changes = Self::default();
        let mut free: Vec<usize> = (0..found.len()).collect();
        let mut missing = Vec::new();
        for (index, (_, matching, action)) in wanted.iter().enumerate() {
            match free.iter().position(|&at| found[at].matching == *matching) {
                Some(position) => {
                    let at = free.remove(position);
                    if found[at].action != *action {
                        changes.rewrite.push((at, index));
                    }
                    changes.stay.insert(index, at);
                }
                None => missing.push(index),
            }
        }
        // A rule that nobody wants becomes one that is missing: no more rules at any time than before or after, and the
        // quota counts them.
        let mut free = free.into_iter();
        let mut taken: BTreeSet<i32> = found.iter().map(|rule| rule.priority).collect();
        for index in missing {
            if let Some(at) = free.next() {
                changes.rewrite.push((at, index));
                changes.stay.insert(index, at);
            } else {
                let wanted = wanted[index].0;
                let is_free = |priority: &i32| !taken.contains(priority);
                let priority = Some(wanted)
                    .filter(is_free)
                    .or_else(|| (1..=LAST_PRIORITY).rev().find(is_free))
                    .unwrap_or(LAST_PRIORITY);
                taken.insert(priority);
                changes.create.push((index, priority));
            }
        }
        changes.delete = free.collect();
        changes
    }
}

/// The priorities to set: those wanted, and others for rules that are about to go and sit on one of them.
fn priorities(found: &[RuleRecord], wanted: &[Wanted], ids: &HashMap<usize, String>) -> Vec<(String, i32)> {
    let stays: HashMap<&String, i32> = ids.iter().map(|(index, id)| (id, wanted[*index].0)).collect();
    let mut taken: BTreeSet<i32> = wanted.iter().map(|(priority, ..)| *priority).collect();
    taken.extend(found.iter().map(|rule| rule.priority));
    let mut changes = Vec::new();
    for rule in found {
        let priority = match stays.get(&rule.id) {
            Some(priority) => *priority,
            None if wanted.iter().any(|(priority, ..)| *priority == rule.priority) => {
                let free = (1..=LAST_PRIORITY).rev().find(|priority| !taken.contains(priority));
                let free = free.unwrap_or(rule.priority);
                taken.insert(free);
                free
            }
            None => rule.priority,
        };
        if priority != rule.priority {
            changes.push((rule.id.clone(), priority));
        }
    }
    changes
}

/// How a change is taken back.
enum Undo {
    Delete(String),
    Rewrite(RuleRecord),
}

impl Deployer {
    pub(super) async fn deploy_rules(
        &self,
        place: (&str, &str),
        wanted: &[Wanted],
        rules: &mut Rules,
        tags: &Tags,
    ) -> Result<(), DeployError> {
        let Rules { found, refused } = rules;
        if let Some((same, error, at)) = refused
            && same == wanted
            && at.elapsed() < ASKED_AGAIN
        {
            return Err(error.clone().into());
        }
        *refused = None;
        let mut undo = Vec::new();
        let outcome = self.change_rules(place, wanted, found, tags, &mut undo).await;
        if let Err(error) = &outcome
            && error.is_refusal()
        {
            for step in undo.into_iter().rev() {
                let taken_back = match &step {
                    Undo::Delete(id) => self.lattice.delete_rule(place, id).await,
                    Undo::Rewrite(rule) => {
                        self.lattice.update_rule(place, &rule.id, &rule.matching, &rule.action).await
                    }
                };
                match (taken_back, step) {
                    (Ok(()), Undo::Delete(id)) => found.retain(|rule| rule.id != id),
                    (Ok(()), Undo::Rewrite(old)) => {
                        found.iter_mut().filter(|rule| rule.id == old.id).for_each(|rule| {
                            rule.matching.clone_from(&old.matching);
                            rule.action.clone_from(&old.action);
                        });
                    }
                    (Err(error), _) => tracing::warn!(%error, "a change of rules is not taken back"),
                }
            }
            *refused = Some((wanted.to_vec(), error.clone(), Instant::now()));
        }
        Ok(outcome?)
    }

    async fn change_rules(
        &self,
        place: (&str, &str),
        wanted: &[Wanted],
        found: &mut Vec<RuleRecord>,
        tags: &Tags,
        undo: &mut Vec<Undo>,
    ) -> Called<()> {
        let changes = Changes::between(found, wanted);
        let doomed: Vec<String> = changes.delete.iter().map(|&at| found[at].id.clone()).collect();
        let mut ids: HashMap<usize, String> =
            changes.stay.iter().map(|(&index, &at)| (index, found[at].id.clone())).collect();
        for (index, priority) in changes.create {
            let (_, matching, action) = &wanted[index];
            let name = format!("k8s-{}-rule-{priority}", now());
            let id = self.lattice.create_rule(place, &name, priority, matching, action, tags.clone()).await?;
            undo.push(Undo::Delete(id.clone()));
            ids.insert(index, id.clone());
            found.push(RuleRecord { id, priority, matching: matching.clone(), action: action.clone() });
        }
        for (at, index) in changes.rewrite {
            let (_, matching, action) = &wanted[index];
            self.lattice.update_rule(place, &found[at].id, matching, action).await?;
            undo.push(Undo::Rewrite(found[at].clone()));
            found[at].matching.clone_from(matching);
            found[at].action.clone_from(action);
        }
        let priorities = priorities(found, wanted, &ids);
        if !priorities.is_empty() {
            self.lattice.set_priorities(place, &priorities).await?;
            for (id, priority) in priorities {
                found.iter_mut().filter(|rule| rule.id == id).for_each(|rule| rule.priority = priority);
            }
        }
        // What is wanted is there; nothing is taken back from here on.
        undo.clear();
        for id in doomed {
            self.lattice.delete_rule(place, &id).await?;
            found.retain(|rule| rule.id != id);
        }
        Ok(())
    }
}

/// Milliseconds, so that a name is not one of an earlier pass.
fn now() -> u128 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap_or_default().as_millis()
}

#[cfg(test)]
mod tests;
