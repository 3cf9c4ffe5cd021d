//! Policies: told whether they count, and those that set something in Lattice brought there.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::attached::{Applied, Attached};
use super::event::{self, InForce};
use super::finalizer::is_held;
use super::{Controller, ReconcileError};
use crate::deploy::DeployError;
use crate::lattice::{CallError, Known};
use crate::objects::Name;
use crate::plan::{self, Finding, PREFIX, Policy};
use crate::queue::Outcome;
use crate::status;
use crate::world::{Key, Reference, annotation};

/// How soon what is on its way is looked at again, and what is missing looked for.
const SOON: Duration = Duration::from_millis(500);
const LATER: Duration = Duration::from_secs(5);
/// How long what is refused for good is left alone.
const LONG: Duration = Duration::from_secs(60);

impl Controller {
    /// What it says takes effect through the routes to its Service.
    pub(super) async fn target_group_policy(&self, name: &Name) -> Result<Outcome, ReconcileError> {
        let found = {
            let world = self.world();
            let policy = world.target_group_policies.get(name).cloned();
            policy.map(|policy| (plan::standing(&world, &*policy), policy))
        };
        let Some((standing, policy)) = found else { return Ok(Outcome::Done) };
        let finding = standing.err().unwrap_or_else(|| Finding::good("Accepted", "Accepted"));
        self.tell_policy(&*policy, finding).await?;
        Ok::<_, ReconcileError>(Outcome::Done)
    }

    pub(super) async fn attached<T: Attached>(&self, name: &Name) -> Result<Outcome, ReconcileError> {
        let found = {
            let world = self.world();
            let policy = T::store(&world).get(name).cloned();
            policy.map(|policy| {
                let target = plan::standing(&world, &*policy).map(|reference| {
                    let known = self.resource(&world, &reference);
                    (reference, known)
                });
                (target, policy)
            })
        };
        let Some((target, policy)) = found else { return Ok(Outcome::Done) };
        let note = annotation(policy.meta(), T::NOTE).map(str::to_owned);
        if policy.meta().deletion_timestamp.is_some() {
            return self.let_policy_go(&*policy, note.as_deref()).await;
        }
        let (finding, wait) = match target {
            Err(finding) => (finding, self.take_back(&*policy, note.as_deref()).await?),
            Ok((reference, None)) => {
                if matches!(reference, Reference::Gateway(_)) {
                    self.deployer
                        .inventory
                        .read_networks(&self.deployer.lattice)
                        .await
                        .map_err(DeployError::from)?;
                }
                let why = "what it hangs on is not in Lattice yet".to_owned();
                (Finding::bad("Accepted", "TargetNotFound", why), Some(LATER))
            }
            Ok((_, Some(known))) => {
                self.hold(&*policy, T::FINALIZER, true).await?;
                if let Some(note) = &note
                    && T::IS_ALONE
                    && !T::shares(&self.deployer, note, &known).await?
                {
                    // Of another resource, which its target was before.
                    self.withdraw(&*policy, note).await?;
                }
                match policy.apply(&self.deployer, &known, note.as_deref()).await {
                    Ok(applied) => {
                        let (notes, wait) = match applied {
                            Applied::Done(notes) => (notes, None),
                            Applied::Soon(notes) => (notes, Some(SOON)),
                        };
                        self.annotate_policy(&*policy, &notes).await?;
                        (Finding::good("Accepted", "Accepted"), wait)
                    }
                    Err(error) => match refusal(&error) {
                        Some(finding) => (finding, Some(LONG)),
                        None => return Err(error.into()),
                    },
                }
            }
        };
        self.tell_policy(&*policy, finding).await?;
        Ok(wait.map_or(Outcome::Done, Outcome::After))
    }

    /// What an object is in Lattice; a route is annotated when it is there.
    fn resource(&self, world: &crate::world::World, reference: &Reference) -> Option<Known> {
        match reference {
            Reference::Gateway(name) => {
                self.deployer.inventory.network(self.deployer.cluster.network_of(&name.name))
            }
            Reference::Route(id) => {
                let route = world.route(id)?;
                let arn = route.annotation("lattice-service-arn")?.to_owned();
                let service = arn.rsplit('/').next()?.to_owned();
                let name = plan::identity(&self.deployer.cluster, &route).0?;
                Some(Known { id: service, arn, name, domain: None })
            }
            _ => None,
        }
    }

    async fn let_policy_go<T: Attached>(
        &self,
        policy: &T,
        note: Option<&str>,
    ) -> Result<Outcome, ReconcileError> {
        if !is_held(policy.meta(), T::FINALIZER) {
            return Ok(Outcome::Done);
        }
        if let Some(note) = note
            && let Applied::Soon(_) = self.withdraw(policy, note).await?
        {
            return Ok(Outcome::After(SOON));
        }
        self.hold(policy, T::FINALIZER, false).await?;
        Ok(Outcome::Done)
    }

    /// Undoes what a policy set that counts for nothing now.
    async fn take_back<T: Attached>(
        &self,
        policy: &T,
        note: Option<&str>,
    ) -> Result<Option<Duration>, ReconcileError> {
        let Some(note) = note else { return Ok(None) };
        if let Applied::Soon(_) = self.withdraw(policy, note).await? {
            return Ok(Some(SOON));
        }
        self.annotate_policy(policy, &[]).await?;
        Ok(None)
    }

    /// Takes back what the annotation says was set, unless it is another policy's by now.
    async fn withdraw<T: Attached>(&self, policy: &T, note: &str) -> Result<Applied, DeployError> {
        let is_anothers = !self.heirs(policy, note).await?.is_empty();
        let applied = match is_anothers {
            true => Applied::Done(Vec::new()),
            false => policy.withdraw(&self.deployer, note).await?,
        };
        // One that came while it was taken back has set it in vain, and one that goes on may have been overwritten.
        let heirs = self.heirs(policy, note).await?;
        self.queue.add(heirs);
        Ok(applied)
    }

    /// The other policies that set what the annotation names, and count.
    async fn heirs<T: Attached>(&self, policy: &T, note: &str) -> Result<Vec<Key>, DeployError> {
        if !T::IS_ALONE {
            return Ok(Vec::new());
        }
        let own = Name::of(policy.meta());
        let others: Vec<(Name, Known)> = {
            let world = self.world();
            let others = T::store(&world)
                .iter()
                .filter(|(name, other)| **name != own && other.meta().deletion_timestamp.is_none());
            let standing = others.filter_map(|(name, other)| {
                let reference = plan::standing(&world, &**other).ok()?;
                Some((name.clone(), self.resource(&world, &reference)?))
            });
            standing.collect()
        };
        let mut heirs = Vec::new();
        for (name, target) in others {
            if T::shares(&self.deployer, note, &target).await? {
                heirs.push(Key::Policy(T::KIND, name));
            }
        }
        Ok(heirs)
    }

    async fn annotate_policy<T: Attached>(
        &self,
        policy: &T,
        notes: &[(&'static str, String)],
    ) -> Result<(), kube::Error> {
        let mut changes = Map::new();
        for name in T::NOTES {
            let wanted = notes.iter().find(|(other, _)| other == name).map(|(_, value)| &**value);
            if annotation(policy.meta(), name) != wanted {
                changes.insert(format!("{PREFIX}{name}"), wanted.map_or(Value::Null, Value::from));
            }
        }
        if changes.is_empty() {
            return Ok(());
        }
        self.patch::<T>(&Name::of(policy.meta()), json!({"metadata": {"annotations": changes}})).await
    }

    async fn tell_policy<T: Policy>(&self, policy: &T, finding: Finding) -> Result<(), kube::Error> {
        let generation = policy.meta().generation.unwrap_or_default();
        let old = policy.conditions();
        let findings = [finding];
        let new = status::conditions(old, &findings, generation, &status::now());
        if new == *old {
            return Ok(());
        }
        let patch = json!({"status": {"conditions": new}});
        self.patch_status::<T>(&Name::of(policy.meta()), patch).await?;
        self.publish(&policy.object_ref(&()), event::news(old, &findings, InForce::Accepted)).await;
        Ok(())
    }
}

/// What a policy is told of a refusal that stays; nothing where another try may do.
fn refusal(error: &DeployError) -> Option<Finding> {
    let reason = match error {
        DeployError::Call(CallError::Refused { .. }) => "Invalid",
        DeployError::Call(CallError::NotFound { .. }) => "TargetNotFound",
        DeployError::Call(CallError::Conflict { .. }) | DeployError::Foreign { .. } => "Conflicted",
        _ => return None,
    };
    Some(Finding::bad("Accepted", reason, error.to_string()))
}
