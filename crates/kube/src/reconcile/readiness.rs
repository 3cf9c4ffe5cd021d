//! Readiness gates: pods are told what Lattice finds of their targets.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::{Controller, ReconcileError};
use crate::deploy::{ActualGroup, DeployError};
use crate::lattice::TargetStatus;
use crate::objects::{Name, Pod};
use crate::plan::{DesiredTargetGroup, POD_GATE};
use crate::status;

/// How soon the health of targets that are waited for is looked at again: nobody tells of it.
pub(super) const HEALTH_WAIT: Duration = Duration::from_millis(500);

impl Controller {
    /// Tells pods whose gate is shut; whether some of them are to be looked at again.
    pub(super) async fn open_gates(
        &self,
        desired: &BTreeMap<String, DesiredTargetGroup>,
        groups: &BTreeMap<String, ActualGroup>,
    ) -> Result<bool, ReconcileError> {
        let mut waits = false;
        for (name, group) in desired.iter().filter(|(_, group)| !group.gated.is_empty()) {
            let Some(actual) = groups.get(name) else { continue };
            let health =
                self.deployer.lattice.target_health(&actual.known.id).await.map_err(DeployError::from)?;
            for (address, pod) in &group.gated {
                let mut of_pod = health.iter().filter(|((of, _), _)| of == address).map(|(_, status)| status);
                let (is_open, reason) = of_pod.next().map_or((false, "NotRegistered"), word);
                waits |= !is_open;
                self.tell_pod(pod, is_open, reason).await?;
            }
        }
        Ok(waits)
    }

    async fn tell_pod(&self, name: &Name, is_open: bool, reason: &'static str) -> Result<(), kube::Error> {
        let status = if is_open { "True" } else { "False" };
        let is_told = {
            let world = self.world();
            let pod = world.pods.get(name);
            pod.is_none_or(|pod| pod.condition(POD_GATE) == Some((status, reason)))
        };
        if is_told {
            return Ok(());
        }
        // Conditions of pods merge by type; a JSON merge would replace those that kubelet writes.
        let patch = json!({"status": {"conditions": [{
            "type": POD_GATE, "status": status, "reason": reason, "lastTransitionTime": status::now(),
        }]}});
        self.patch_status_strategically::<Pod>(name, patch).await
    }
}

/// Whether a target's status opens the gate, and the reason that is given. Without a health check nothing can be found.
fn word(status: &TargetStatus) -> (bool, &'static str) {
    match status {
        TargetStatus::Healthy => (true, "Healthy"),
        TargetStatus::Unavailable => (true, "HealthCheckUnavailable"),
        TargetStatus::Unused => (false, "Unused"),
        TargetStatus::Unhealthy => (false, "Unhealthy"),
        _ => (false, "Initial"),
    }
}
