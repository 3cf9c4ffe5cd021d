//! The tasks that carry words between the parts.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinSet;
use trellis_control::Control;
use trellis_dns as dns;
use trellis_net::{Fabric, FabricEvent};

use crate::hosts::Hosts;
use crate::supervise::supervise;

use super::vpc_doors::VpcDoors;

/// Whoever is told what the kernel has.
pub(super) struct Kernel {
    pub(super) control: Control,
    pub(super) resolver: dns::Server,
    pub(super) hosts: Arc<Hosts>,
    pub(super) doors: Arc<VpcDoors>,
    /// The newest plan that is in force.
    pub(super) converged: watch::Sender<u64>,
}

/// Starts them all; they end when what this returns is dropped.
pub(super) fn start(
    control: &Control,
    fabric: &Fabric,
    events: mpsc::Receiver<FabricEvent>,
    applied: watch::Receiver<u64>,
    kernel: Kernel,
) -> JoinSet<()> {
    let mut carriers = JoinSet::new();
    let (planner, fabric) = (control.clone(), fabric.clone());
    carriers.spawn(supervise("plans", move || carry_plans(planner.clone(), fabric.clone())));
    let control = control.clone();
    carriers.spawn(supervise("applied", move || carry_applied(control.clone(), applied.clone())));
    let (events, kernel) = (Arc::new(Mutex::new(events)), Arc::new(kernel));
    carriers.spawn(supervise("events", move || carry_events(events.clone(), kernel.clone())));
    carriers
}

/// Desired state to the kernel.
async fn carry_plans(control: Control, fabric: Fabric) {
    let mut plans = control.fabric_plans();
    loop {
        let plan = plans.borrow_and_update().clone();
        fabric.apply(plan);
        if plans.changed().await.is_err() {
            return;
        }
    }
}

/// What the data plane acts on, back to the workflows that wait for it.
async fn carry_applied(control: Control, mut applied: watch::Receiver<u64>) {
    loop {
        let revision = *applied.borrow_and_update();
        control.data_plane_applied(revision);
        if applied.changed().await.is_err() {
            return;
        }
    }
}

/// What the kernel has, to the workflows, the resolver and whoever waits for a host.
async fn carry_events(events: Arc<Mutex<mpsc::Receiver<FabricEvent>>>, kernel: Arc<Kernel>) {
    let Kernel { control, resolver, hosts, doors, converged } = &*kernel;
    let mut events = events.lock().await;
    while let Some(event) = events.recv().await {
        match &event {
            FabricEvent::VpcReady { vpc, .. } => {
                let plan = control.fabric_plans().borrow().vpcs.get(vpc).cloned();
                if let Some(plan) = plan {
                    if let Err(error) = resolver.add_vpc(vpc, &dns::resolver_addresses(&plan)) {
                        tracing::error!(%vpc, %error, "a VPC has no resolver");
                    }
                    doors.open(vpc, plan.ipv6_cidr.is_some());
                }
                control.hosts().vpc_ready(vpc).await;
            }
            FabricEvent::VpcFailed { vpc, reason } => {
                tracing::error!(%vpc, %reason, "a VPC could not be made");
            }
            FabricEvent::VpcGone { vpc } => {
                resolver.remove_vpc(vpc).await;
                doors.close(vpc);
            }
            FabricEvent::HostReady { instance, .. } => control.hosts().ready(instance).await,
            FabricEvent::HostFailed { instance, reason } => {
                tracing::error!(%instance, %reason, "a host could not be made");
                control.hosts().failed(instance, reason).await;
            }
            FabricEvent::HostExited { instance, code } => {
                tracing::info!(%instance, code, "the command of a host ended");
            }
            FabricEvent::HostGone { instance } => control.hosts().gone(instance).await,
            FabricEvent::Converged { revision } => {
                converged.send_replace(*revision);
                control.kernel_applied(*revision);
            }
        }
        // Last: whoever waits for a host finds its record moved already.
        hosts.record(&event);
    }
}
