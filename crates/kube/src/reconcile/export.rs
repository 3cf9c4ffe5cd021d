//! Exports: target groups for the routes of other clusters.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use super::finalizer::is_held;
use super::readiness::HEALTH_WAIT;
use super::{Controller, ReconcileError};
use crate::deploy::ActualGroup;
use crate::objects::Name;
use crate::plan;
use crate::queue::Outcome;

const FINALIZER: &str = "serviceexport.k8s.aws/resources";

impl Controller {
    pub(super) async fn export(&self, name: &Name) -> Result<Outcome, ReconcileError> {
        let found = {
            let world = self.world();
            let export = world.exports.get(name).cloned();
            export.map(|export| (plan::export(&world, &self.deployer.cluster, &export), export))
        };
        let generation = self.generation();
        let mut groups = self.exports().remove(name).unwrap_or_default();
        let Some((desired, export)) = found else {
            self.leave_all(groups);
            return Ok(Outcome::Done);
        };
        let is_deleted = export.metadata.deletion_timestamp.is_some();
        let desired = desired.filter(|_| !is_deleted);
        let Some(desired) = desired else {
            if is_held(&export.metadata, FINALIZER) {
                // What an earlier process made is found by the names it must have.
                let world_groups = {
                    let world = self.world();
                    plan::export(&world, &self.deployer.cluster, &export).unwrap_or_default()
                };
                self.leave_all(groups);
                for name in world_groups.keys() {
                    if let Some(known) = self.deployer.inventory.group(name) {
                        self.leave_over(known);
                    }
                }
                self.hold(&*export, FINALIZER, false).await?;
            }
            return Ok(Outcome::Done);
        };
        self.hold(&*export, FINALIZER, true).await?;
        let outcome = self.deployer.deploy_groups(&desired, &mut groups).await;
        self.leave_stale(&desired, &mut groups);
        outcome?;
        let waits = self.open_gates(&desired, &groups).await?;
        let mut exports = self.exports();
        if generation == self.generation() {
            exports.insert(name.clone(), groups);
        }
        drop(exports);
        Ok(if waits { Outcome::After(HEALTH_WAIT) } else { Outcome::Done })
    }

    pub(super) fn exports(&self) -> std::sync::MutexGuard<'_, super::Exports> {
        self.exports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn leave_all(&self, groups: BTreeMap<String, ActualGroup>) {
        for group in groups.into_values() {
            self.leave_over(group.known);
        }
    }

    /// Of the groups that an object has those that it asks for no more.
    pub(super) fn leave_stale(
        &self,
        desired: &BTreeMap<String, plan::DesiredTargetGroup>,
        groups: &mut BTreeMap<String, ActualGroup>,
    ) {
        let stale = groups.extract_if(.., |name, _| !desired.contains_key(name));
        self.leave_all(stale.collect());
    }
}
