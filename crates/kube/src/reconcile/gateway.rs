//! GatewayClass and Gateway: told what they are.

use kube::Resource as _;
use serde_json::json;

use super::event::{self, InForce};
use super::route::NETWORK_WAIT;
use super::{Controller, ReconcileError};
use crate::deploy::DeployError;
use crate::objects::{Gateway, GatewayAddress, GatewayClass, GatewayStatus, ListenerStatus, Name};
use crate::plan::{self, CONTROLLER, Finding};
use crate::queue::Outcome;
use crate::status;

/// AWS's controller's.
const FINALIZER: &str = "gateway.k8s.aws/resources";
/// What the conformance suite may expect of us; sorted.
const FEATURES: [&str; 6] = [
    "GRPCRoute",
    "Gateway",
    "HTTPRoute",
    "HTTPRouteMethodMatching",
    "HTTPRouteParentRefPort",
    "ReferenceGrant",
];

impl Controller {
    pub(super) async fn class(&self, name: &Name) -> Result<Outcome, ReconcileError> {
        let Some(class) = self.world().classes.get(name).cloned() else { return Ok(Outcome::Done) };
        if class.spec.controller_name != CONTROLLER {
            return Ok(Outcome::Done);
        }
        let finding = match class.spec.parameters_ref {
            None => Finding::good("Accepted", "Accepted"),
            Some(_) => {
                let why = "spec.parametersRef: this class has no parameters".to_owned();
                Finding::bad("Accepted", "InvalidParameters", why)
            }
        };
        let generation = class.metadata.generation.unwrap_or_default();
        let old = &class.status.conditions;
        let new = status::conditions(old, &[finding], generation, &status::now());
        if new != *old {
            let features: Vec<_> = FEATURES.iter().map(|name| json!({"name": name})).collect();
            let patch = json!({"status": {"conditions": new, "supportedFeatures": features}});
            self.patch_status::<GatewayClass>(name, patch).await?;
        }
        Ok(Outcome::Done)
    }

    pub(super) async fn gateway(&self, name: &Name) -> Result<Outcome, ReconcileError> {
        let found = {
            let world = self.world();
            world.gateways.get(name).cloned().map(|gateway| {
                let plan = plan::gateway(&world, &self.deployer.cluster, &gateway);
                (gateway, plan)
            })
        };
        let Some((gateway, plan)) = found else { return Ok(Outcome::Done) };
        if gateway.metadata.deletion_timestamp.is_some() {
            // A Gateway has nothing of its own in Lattice, and so needs no finalizer: the one that AWS's controller gave it
            // is taken away, and its routes are told by the watch.
            self.hold(&*gateway, FINALIZER, false).await?;
            return Ok(Outcome::Done);
        }
        let Some(plan) = plan else { return Ok(Outcome::Done) };
        let network = self.deployer.network(&plan.network).await.map_err(DeployError::from)?;
        let programmed = match &network {
            Some(network) => Finding {
                message: format!("aws-service-network-arn: {}", network.arn),
                ..Finding::good("Programmed", "Programmed")
            },
            None => {
                let why = format!("VPC Lattice Service Network not found: {}", plan.network);
                Finding::bad("Programmed", "Pending", why)
            }
        };
        let generation = gateway.metadata.generation.unwrap_or_default();
        let now = status::now();
        let old = &gateway.status;
        let findings = [plan.accepted, programmed];
        let listeners = plan.listeners.iter().map(|listener| {
            let before = old.listeners.iter().find(|before| before.name == listener.name);
            let before = before.map(|before| &*before.conditions).unwrap_or_default();
            ListenerStatus {
                name: listener.name.clone(),
                supported_kinds: listener.supported_kinds.clone(),
                attached_routes: i32::try_from(listener.attached_routes).unwrap_or(i32::MAX),
                conditions: status::conditions(before, &listener.findings, generation, &now),
            }
        });
        let address = plan.address.map(|value| GatewayAddress { kind: "Hostname".to_owned(), value });
        let new = GatewayStatus {
            addresses: address.into_iter().collect(),
            conditions: status::conditions(&old.conditions, &findings, generation, &now),
            listeners: listeners.collect(),
        };
        if new != *old {
            self.patch_status::<Gateway>(name, json!({"status": new})).await?;
            self.publish(
                &gateway.object_ref(&()),
                event::news(&old.conditions, &findings, InForce::Programmed),
            )
            .await;
        }
        Ok(if network.is_none() { Outcome::After(NETWORK_WAIT) } else { Outcome::Done })
    }
}
