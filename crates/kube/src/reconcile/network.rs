//! ServiceNetwork: a service network that lives and dies with an object of the cluster.

use std::time::Duration;

use kube::Resource as _;
use serde_json::json;

use super::event::{self, InForce};
use super::finalizer::is_held;
use super::{Controller, ReconcileError};
use crate::deploy::DeployError;
use crate::lattice::{CallError, Known};
use crate::objects::{Name, ServiceNetwork, ServiceNetworkStatus};
use crate::plan::{self, Finding};
use crate::queue::Outcome;
use crate::status;
use crate::world::Key;

const FINALIZER: &str = "servicenetwork.k8s.aws/resources";
/// How soon a network that is not free to go is looked at again.
const BUSY_WAIT: Duration = Duration::from_secs(5);
const LONG: Duration = Duration::from_secs(60);

impl Controller {
    pub(super) async fn service_network(&self, name: &Name) -> Result<Outcome, ReconcileError> {
        let Some(object) = self.world().networks.get(name).cloned() else { return Ok(Outcome::Done) };
        if object.metadata.deletion_timestamp.is_some() {
            return if is_held(&object.metadata, FINALIZER) {
                self.remove_network(&object, name).await
            } else {
                Ok(Outcome::Done)
            };
        }
        self.hold(&*object, FINALIZER, true).await?;
        match self.keep_network(&object, name).await {
            Ok(known) => {
                self.tell_network(&object, name, Finding::good("Programmed", "Programmed"), Some(&known))
                    .await?;
                Ok(Outcome::Done)
            }
            Err(error) => {
                let finding = Finding::bad("Programmed", "ReconcileError", error.to_string());
                self.tell_network(&object, name, finding, None).await?;
                if error.is_lasting() { Ok(Outcome::After(LONG)) } else { Err(error.into()) }
            }
        }
    }

    /// Makes the network, or takes one that nobody owns.
    async fn keep_network(&self, object: &ServiceNetwork, name: &Name) -> Result<Known, DeployError> {
        let deployer = &self.deployer;
        let tags = deployer.cluster.tags_of(&object.metadata);
        let Some(known) = deployer.network(&name.name).await? else {
            let known = deployer.lattice.create_network(&name.name, tags).await?;
            deployer.inventory.read_networks(&deployer.lattice).await?;
            // Gateways of that name wait for it.
            let waiting: Vec<Key> = {
                let world = self.world();
                let of_name = world.gateways.iter().filter(|(gateway, _)| gateway.name == name.name);
                of_name.map(|(gateway, _)| Key::Gateway(gateway.clone())).collect()
            };
            self.queue.add(waiting);
            return Ok(known);
        };
        let found = deployer.lattice.tags(&known.arn).await?;
        deployer.refuse_foreign("service network", &known.name, &found)?;
        // It may have been there before, with tags of its own.
        deployer.add_tags(&known.arn, &tags, &found).await?;
        Ok(known)
    }

    async fn remove_network(&self, object: &ServiceNetwork, name: &Name) -> Result<Outcome, ReconcileError> {
        let deployer = &self.deployer;
        let gateway = {
            let world = self.world();
            let mut users = world.gateways.iter().filter(|(gateway, object)| {
                gateway.name == name.name
                    && object.metadata.deletion_timestamp.is_none()
                    && plan::is_ours(&world, object)
            });
            users.next().map(|(gateway, _)| gateway.clone())
        };
        if let Some(gateway) = gateway {
            let finding =
                Finding::bad("Programmed", "DeleteBlocked", format!("Gateway {gateway} stands for it"));
            self.tell_network(object, name, finding, None).await?;
            return Ok(Outcome::After(BUSY_WAIT));
        }
        deployer.inventory.read_networks(&deployer.lattice).await.map_err(DeployError::from)?;
        if let Some(known) = deployer.inventory.network(&name.name) {
            let outcome = match deployer.has_made(&known.arn).await {
                // What is another's stays.
                Ok(false) => Ok(()),
                Ok(true) => deployer.lattice.delete_network(&known.id).await,
                Err(error) => Err(error),
            };
            match outcome {
                Ok(()) | Err(CallError::NotFound { .. }) => {}
                Err(error) => {
                    let finding = Finding::bad("Programmed", "DeleteError", error.to_string());
                    self.tell_network(object, name, finding, Some(&known)).await?;
                    return Ok(Outcome::After(BUSY_WAIT));
                }
            }
            deployer.inventory.read_networks(&deployer.lattice).await.map_err(DeployError::from)?;
        }
        self.hold(object, FINALIZER, false).await?;
        Ok(Outcome::Done)
    }

    async fn tell_network(
        &self,
        object: &ServiceNetwork,
        name: &Name,
        programmed: Finding,
        known: Option<&Known>,
    ) -> Result<(), kube::Error> {
        let generation = object.metadata.generation.unwrap_or_default();
        let findings = [Finding::good("Accepted", "Accepted"), programmed];
        let old = &object.status;
        let new = ServiceNetworkStatus {
            conditions: status::conditions(&old.conditions, &findings, generation, &status::now()),
            arn: known.map(|known| known.arn.clone()).or_else(|| old.arn.clone()),
            id: known.map(|known| known.id.clone()).or_else(|| old.id.clone()),
        };
        if new == *old {
            return Ok(());
        }
        self.patch_status::<ServiceNetwork>(name, json!({"status": new})).await?;
        self.publish(&object.object_ref(&()), event::news(&old.conditions, &findings, InForce::Programmed))
            .await;
        Ok(())
    }
}
