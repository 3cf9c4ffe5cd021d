//! What joins a service to networks.

use std::collections::BTreeMap;

use super::{Actual, DeployError, Deployer, while_under_way};
use crate::lattice::{AssociationState, Called, Known, unless_gone};
use crate::plan::DesiredService;

#[derive(Debug)]
pub(crate) struct ActualAssociation {
    pub(crate) id: String,
    pub(crate) is_failed: bool,
}

impl Deployer {
    pub(super) async fn deploy_associations(
        &self,
        desired: &DesiredService,
        actual: &mut Actual,
    ) -> Result<(), DeployError> {
        let Some(service) = actual.service.as_mut() else { return Ok(()) };
        let mut wanted = BTreeMap::new();
        let mut missing = None;
        for name in &desired.networks {
            match self.network(name).await? {
                Some(network) => {
                    wanted.insert(network.id, name);
                }
                // The others are joined all the same.
                None => missing = Some(DeployError::NoNetwork(name.clone())),
            }
        }
        for network in wanted.keys() {
            if let Some(found) = service.associations.get(network) {
                if !found.is_failed {
                    continue;
                }
                self.lattice.dissociate(&found.id).await?;
                service.associations.remove(network);
            }
            let join = || self.lattice.associate(&service.known.id, network, desired.plain_tags.clone());
            let id = while_under_way(join).await?;
            service.associations.insert(network.clone(), ActualAssociation { id, is_failed: false });
        }
        let unwanted: Vec<String> =
            service.associations.keys().filter(|network| !wanted.contains_key(*network)).cloned().collect();
        for network in unwanted {
            dissociate(self, &service.associations[&network].id).await?;
            service.associations.remove(&network);
        }
        missing.map_or(Ok(()), Err)
    }

    /// The service network of that name or id; one that is not in the books may have come since.
    pub(crate) async fn network(&self, name: &str) -> Called<Option<Known>> {
        let known = self.inventory.network(name);
        if known.is_some() {
            return Ok(known);
        }
        self.inventory.read_networks(&self.lattice).await?;
        Ok(self.inventory.network(name))
    }

    /// Makes a service network where there is none of that name, and joins the cluster's VPC to it.
    pub(crate) async fn default_network(&self, name: &str) -> Result<(), DeployError> {
        let id = match self.network(name).await? {
            Some(known) => known.id,
            None => {
                let known = self.lattice.create_network(name, self.cluster.tags()).await?;
                self.inventory.read_networks(&self.lattice).await?;
                known.id
            }
        };
        let found = self.lattice.vpc_associations(&id, &self.cluster.vpc).await?;
        if found
            .iter()
            .any(|found| matches!(found.state, AssociationState::Active | AssociationState::Moving))
        {
            return Ok(());
        }
        let join = || self.lattice.associate_vpc(&id, &self.cluster.vpc, &[], self.cluster.tags());
        while_under_way(join).await?;
        Ok(())
    }

    /// Shuts every door of a service.
    pub(crate) async fn dissociate_all(&self, service: &str) -> Result<(), DeployError> {
        for association in self.lattice.associations(service).await? {
            if !association.is_being_deleted {
                dissociate(self, &association.id).await?;
            }
        }
        Ok(())
    }
}

async fn dissociate(deployer: &Deployer, id: &str) -> Called<()> {
    unless_gone(while_under_way(|| deployer.lattice.dissociate(id)).await)
}
