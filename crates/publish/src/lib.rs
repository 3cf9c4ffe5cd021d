//! What is stored, as those see it who make it true: [`Snapshot`]s for proxies and resolvers, [`FabricPlan`]s for the
//! kernel, subscriptions for the delivery of access logs.
//!
//! Each follows a watch of the store and publishes what its changes make of it, newest last. Records are read here and
//! never written, and no operation of a service is called.

mod fabric;
mod keys;
mod log_subscriptions;
mod resources;
mod snapshot;

use std::sync::Arc;

use tokio::sync::watch;
use trellis_frame::Frame;
use trellis_model::fabric::FabricPlan;
use trellis_model::health_board::HealthBoard;
use trellis_model::resource::lattice::AccessLogSubscriptions;
use trellis_model::snapshot::Snapshot;
use trellis_store::StoreError;

/// What is published; each has its first value when [`start`] returns.
#[derive(Debug, Clone)]
pub struct Published {
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    pub plans: watch::Receiver<Arc<FabricPlan>>,
    pub log_subscriptions: watch::Receiver<Arc<AccessLogSubscriptions>>,
}

/// Publishes as long as `frame` runs. The cells of `health`, of targets, and of `endpoints`, of names, are in the
/// Snapshots.
///
/// # Errors
/// The state could not be read.
pub async fn start(
    frame: &Frame,
    health: HealthBoard,
    endpoints: trellis_route53::Board,
) -> Result<Published, StoreError> {
    let surroundings = frame.surroundings();
    let store = &surroundings.store;
    let (snapshots, follow_snapshots) =
        snapshot::publish(store, health, endpoints, surroundings.vault.sealing_key()).await?;
    let (plans, follow_plans) = fabric::publish(store.clone()).await?;
    let (log_subscriptions, follow_log_subscriptions) = log_subscriptions::publish(store.clone()).await?;
    frame.spawn(follow_snapshots);
    frame.spawn(follow_plans);
    frame.spawn(follow_log_subscriptions);
    Ok(Published { snapshots, plans, log_subscriptions })
}
