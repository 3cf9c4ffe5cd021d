//! One look at one object: what the plan wants, what Lattice is told, what the object is told.

mod attached;
mod event;
mod export;
mod finalizer;
mod gateway;
mod network;
mod policy;
mod readiness;
mod route;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use kube::api::{Patch, PatchParams};
use serde_json::Value;

use crate::deploy::{Actual, ActualGroup, DeployError, Deployer};
use crate::lattice::Known;
use crate::metrics::Metrics;
use crate::objects::{AccessLogPolicy, IamAuthPolicy, Name, VpcAssociationPolicy};
use crate::queue::{Outcome, Queue};
use crate::world::{Key, PolicyKind, RouteId, Watched, World};

/// Target groups by name, of each export.
type Exports = HashMap<Name, BTreeMap<String, ActualGroup>>;

/// What every reconciler has.
#[derive(Debug)]
pub(crate) struct Controller {
    pub(crate) client: KubeClient,
    pub(crate) world: RwLock<World>,
    pub(crate) queue: Queue,
    pub(crate) deployer: Deployer,
    pub(crate) metrics: Metrics,
    /// Whether changes are acted on yet.
    has_begun: AtomicBool,
    /// Counts resyncs: what a worker read before one is not kept after it.
    generation: AtomicU64,
    /// What Lattice holds of each route, while nobody looks at it.
    routes: Mutex<HashMap<RouteId, Actual>>,
    /// Target groups of each export, likewise.
    exports: Mutex<Exports>,
    /// Target groups that nothing should lead to any more, by name.
    leftovers: Mutex<BTreeMap<String, Known>>,
}

/// `kube::Client` prints nothing useful, and may hold what should not be printed.
pub(crate) struct KubeClient(pub(crate) kube::Client);

impl std::fmt::Debug for KubeClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KubeClient")
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    #[error("the API server: {0}")]
    Kubernetes(#[from] kube::Error),
    #[error(transparent)]
    Deploy(#[from] DeployError),
}

impl Controller {
    pub(crate) fn new(client: kube::Client, deployer: Deployer) -> Self {
        Self {
            client: KubeClient(client),
            world: RwLock::default(),
            queue: Queue::default(),
            deployer,
            metrics: Metrics::default(),
            has_begun: AtomicBool::new(false),
            generation: AtomicU64::new(0),
            routes: Mutex::default(),
            exports: Mutex::default(),
            leftovers: Mutex::default(),
        }
    }

    /// A world that panicked half way through an event is relisted by the watch; it is read all the same.
    pub(crate) fn world(&self) -> std::sync::RwLockReadGuard<'_, World> {
        self.world.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on changes are acted on, first of all what there is; how many objects that are.
    pub(crate) fn begin(&self) -> usize {
        // Before the look, so that nothing comes between the two unseen.
        self.has_begun.store(true, Ordering::Release);
        let keys = self.world().all_keys();
        let count = keys.len();
        self.queue.add(keys);
        count
    }

    /// What a change touched; before the beginning everything is looked at anyway.
    pub(crate) fn touch(&self, keys: BTreeSet<Key>) {
        if self.has_begun.load(Ordering::Acquire) {
            self.queue.add(keys);
        }
    }

    /// Works until the process ends.
    pub(crate) async fn work(&self) {
        loop {
            let key = self.queue.next().await;
            let outcome = match self.reconcile(&key).await {
                Ok(outcome) => {
                    self.metrics.count(key.kind(), "ok");
                    outcome
                }
                Err(error) => {
                    self.metrics.count(key.kind(), "error");
                    tracing::warn!(?key, %error, "to be tried again");
                    Outcome::Retry
                }
            };
            self.queue.done(&key, outcome);
        }
    }

    async fn reconcile(&self, key: &Key) -> Result<Outcome, ReconcileError> {
        match key {
            Key::Class(name) => self.class(name).await,
            Key::Gateway(name) => self.gateway(name).await,
            Key::Route(id) => self.route(id).await,
            Key::Network(name) => self.service_network(name).await,
            Key::Export(name) => self.export(name).await,
            Key::Policy(PolicyKind::TargetGroup, name) => self.target_group_policy(name).await,
            Key::Policy(PolicyKind::IamAuth, name) => self.attached::<IamAuthPolicy>(name).await,
            Key::Policy(PolicyKind::VpcAssociation, name) => {
                self.attached::<VpcAssociationPolicy>(name).await
            }
            Key::Policy(PolicyKind::AccessLog, name) => self.attached::<AccessLogPolicy>(name).await,
            Key::Leftovers => self.collect().await,
        }
    }

    /// Forgets what Lattice holds, so that the next look reads it.
    pub(crate) async fn resync(&self) -> Result<(), DeployError> {
        self.deployer.inventory.read(&self.deployer.lattice).await?;
        // Before the maps are cleared: who keeps something looks at it with the map in hand.
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.routes.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.exports().clear();
        let keys = self.world().all_keys();
        self.queue.add(keys);
        Ok(())
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    // === Objects ===

    async fn patch_status<T: Watched>(&self, name: &Name, patch: Value) -> Result<(), kube::Error> {
        let api = T::api(self.client.0.clone(), &name.namespace);
        unless_gone(api.patch_status(&name.name, &PatchParams::default(), &Patch::Merge(patch)).await)
    }

    async fn patch_status_strategically<T: Watched>(
        &self,
        name: &Name,
        patch: Value,
    ) -> Result<(), kube::Error> {
        let api = T::api(self.client.0.clone(), &name.namespace);
        let patch = Patch::Strategic(patch);
        unless_gone(api.patch_status(&name.name, &PatchParams::default(), &patch).await)
    }

    async fn patch<T: Watched>(&self, name: &Name, patch: Value) -> Result<(), kube::Error> {
        let api = T::api(self.client.0.clone(), &name.namespace);
        unless_gone(api.patch(&name.name, &PatchParams::default(), &Patch::Merge(patch)).await)
    }
}

/// An object that went away meanwhile needs no patch; the watch tells of it too.
fn unless_gone<T>(outcome: Result<T, kube::Error>) -> Result<(), kube::Error> {
    match outcome {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        outcome => outcome.map(drop),
    }
}

#[cfg(test)]
mod tests;
