//! Target groups and who is in them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{DeployError, Deployer, while_under_way};
use crate::lattice::{CallError, Called, Known, unless_gone};
use crate::objects::HealthCheck;
use crate::plan::DesiredTargetGroup;

#[derive(Debug)]
pub(crate) struct ActualGroup {
    pub(crate) known: Known,
    pub(crate) health_check: HealthCheck,
    pub(crate) targets: BTreeSet<(IpAddr, u16)>,
}

impl Deployer {
    /// All of them, and their targets.
    pub(crate) async fn deploy_groups(
        &self,
        desired: &BTreeMap<String, DesiredTargetGroup>,
        groups: &mut BTreeMap<String, ActualGroup>,
    ) -> Result<(), DeployError> {
        for (name, group) in desired {
            self.deploy_group(name, group, groups).await?;
        }
        Ok(())
    }

    async fn deploy_group(
        &self,
        name: &str,
        desired: &DesiredTargetGroup,
        groups: &mut BTreeMap<String, ActualGroup>,
    ) -> Result<(), DeployError> {
        if !groups.contains_key(name) {
            let group = self.find_or_create_group(name, desired).await?;
            groups.insert(name.to_owned(), group);
        }
        let group = groups.get_mut(name).expect("it was put there above");
        let id = group.known.id.clone();
        if desired.health_check != group.health_check {
            while_under_way(|| self.lattice.update_health_check(&id, &desired.health_check)).await?;
            group.health_check = desired.health_check.clone();
        }
        let new: Vec<_> = desired.targets.difference(&group.targets).copied().collect();
        if !new.is_empty() {
            while_under_way(|| self.lattice.register(&id, &new)).await?;
            group.targets.extend(new);
        }
        let old: Vec<_> = group.targets.difference(&desired.targets).copied().collect();
        if !old.is_empty() {
            while_under_way(|| self.lattice.deregister(&id, &old)).await?;
            group.targets.retain(|target| desired.targets.contains(target));
        }
        Ok(())
    }

    async fn find_or_create_group(
        &self,
        name: &str,
        desired: &DesiredTargetGroup,
    ) -> Result<ActualGroup, DeployError> {
        if let Some(known) = self.inventory.group(name) {
            match self.read_group(known).await {
                Err(error) if error.is_not_found() => self.inventory.forget_group(name),
                outcome => return Ok(outcome?),
            }
        }
        match self.lattice.create_target_group(name, &self.cluster.vpc, desired).await {
            Ok(known) => {
                self.inventory.add_group(known.clone());
                let health_check = desired.health_check.clone();
                Ok(ActualGroup { known, health_check, targets: BTreeSet::new() })
            }
            // Made by a call whose answer was lost, or by another that acts for this cluster.
            Err(error) if error.is_conflict() => {
                self.inventory.read(&self.lattice).await?;
                let known = self.inventory.group(name).ok_or(error)?;
                Ok(self.read_group(known).await?)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn read_group(&self, known: Known) -> Called<ActualGroup> {
        let health_check = self.lattice.health_check(&known.id).await?;
        let targets = self.lattice.targets(&known.id).await?.into_iter().collect();
        Ok(ActualGroup { known, health_check, targets })
    }

    /// Takes a target group away. One that rules still lead to is left as it is, and a conflict says so; another conflict
    /// says that targets are still leaving.
    pub(crate) async fn remove_group(&self, known: &Known) -> Called<()> {
        unless_gone(self.try_remove_group(known).await)?;
        self.inventory.forget_group(&known.name);
        Ok(())
    }

    async fn try_remove_group(&self, known: &Known) -> Called<()> {
        if self.lattice.is_used(&known.id).await? {
            let message = "rules lead to it".to_owned();
            return Err(CallError::Conflict { operation: "DeleteTargetGroup", message });
        }
        let targets = self.lattice.targets(&known.id).await?;
        if !targets.is_empty() {
            self.lattice.deregister(&known.id, &targets).await?;
        }
        self.lattice.delete_target_group(&known.id).await
    }
}
