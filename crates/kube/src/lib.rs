//! The Gateway API controller, `trellis kube`: turns objects of a Kubernetes cluster into resources of VPC Lattice.
//!
//! Watches tell [`world`] what the cluster holds; [`plan`] says, purely, what Lattice should hold; [`deploy`] calls what
//! is missing; [`reconcile`] does one after the other for one object at a time and writes down what came of it. It talks
//! the public AWS API and nothing else, so that it works against AWS as against Trellis.

mod admission;
mod aws;
mod deploy;
#[cfg(test)]
mod in_process;
mod lattice;
mod leader;
mod metrics;
mod objects;
mod plan;
mod queue;
mod reconcile;
mod status;
mod watch;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use tokio::sync::watch as watch_channel;
use tokio::task::JoinSet;

pub use aws::{Aws, AwsOptions};
pub use plan::Cluster;

use deploy::{Deployer, Inventory};
use lattice::Lattice;
use leader::Candidate;
use reconcile::Controller;

/// Waits between looks at a Lattice that does not answer at the start.
const START_WAIT: Duration = Duration::from_secs(2);

/// What the controller is to do.
#[derive(Debug)]
pub struct Options {
    pub cluster: Cluster,
    /// A service network to make at the start, and to join the cluster's VPC to.
    pub default_network: Option<String>,
    /// Objects that are looked at at once.
    pub workers: usize,
    /// How often everything is compared with what Lattice holds; only at the start where absent.
    pub resync: Option<Duration>,
    /// Whether one of several replicas is to work: the holder of a Lease in this process's namespace.
    pub leader_elect: bool,
    /// Whether pods are looked at, to tell them what Lattice finds of their targets.
    pub readiness_gates: bool,
}

/// Why the controller cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("no cluster to work for: {0}")]
    Cluster(#[from] kube::config::InferConfigError),
    #[error("the API server cannot be reached: {0}")]
    Client(#[from] kube::Error),
}

/// A controller at work; it stops when it is dropped.
#[derive(Debug)]
pub struct GatewayController {
    controller: Arc<Controller>,
    is_ready: Arc<AtomicBool>,
    stop: watch_channel::Sender<bool>,
    /// Whether the work has stopped.
    stopped: watch_channel::Receiver<bool>,
    candidate: Option<(Candidate, Leases)>,
    _tasks: JoinSet<()>,
}

/// Where the lease is.
#[derive(Clone)]
struct Leases(Api<Lease>);

impl std::fmt::Debug for Leases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Leases")
    }
}

impl GatewayController {
    /// Begins: the cluster is the one of the environment, as kubectl finds it, or the one this runs in.
    ///
    /// # Errors
    /// Where there is no cluster to talk to. A Lattice that does not answer is waited for.
    pub async fn start(aws: &Aws, options: Options) -> Result<Self, StartError> {
        let client = kube::Client::try_from(kube::Config::infer().await?)?;
        let candidate = options.leader_elect.then(|| {
            let leases = Api::namespaced(client.clone(), client.default_namespace());
            (Candidate::new(), Leases(leases))
        });
        let lattice = Lattice::new(aws.lattice());
        let deployer =
            Deployer { lattice, inventory: Inventory::default(), cluster: options.cluster.clone() };
        let controller = Arc::new(Controller::new(client, deployer));
        let is_ready = Arc::new(AtomicBool::new(false));
        let (stop, to_stop) = watch_channel::channel(false);
        let (end, stopped) = watch_channel::channel(false);
        let mut tasks = JoinSet::new();
        let synced = watch::start(&controller, &mut tasks, options.readiness_gates);
        let start = Start { controller: controller.clone(), is_ready: is_ready.clone(), options };
        let to_lead = candidate.clone();
        tasks.spawn(async move {
            start.lead(synced, to_lead, to_stop).await;
            end.send_replace(true);
        });
        Ok(Self { controller, is_ready, stop, stopped, candidate, _tasks: tasks })
    }

    /// Whether all objects are known. A replica that does not lead is ready to.
    pub fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }

    /// Waits until another replica may lead; this one has stopped by then.
    pub async fn lost(&self) {
        let mut stopped = self.stopped.clone();
        if stopped.wait_for(|is_stopped| *is_stopped).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Stops the work, and then lets another replica begin at once.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        self.lost().await;
        if let Some((candidate, leases)) = &self.candidate {
            candidate.release(&leases.0).await;
        }
    }

    /// The answer to an AdmissionReview of a pod that is made; nothing where it is none.
    pub fn review(&self, body: &[u8]) -> Option<Vec<u8>> {
        admission::review(&self.controller.world(), body)
    }

    /// In the text format of Prometheus.
    pub fn metrics(&self) -> String {
        metrics::render(&self.controller)
    }
}

/// What happens from the start on.
struct Start {
    controller: Arc<Controller>,
    is_ready: Arc<AtomicBool>,
    options: Options,
}

impl Start {
    /// Returns when the lease is lost or it is told to stop, with all work stopped.
    async fn lead(
        self,
        synced: watch::Synced,
        candidate: Option<(Candidate, Leases)>,
        mut to_stop: watch_channel::Receiver<bool>,
    ) {
        let mut workers = JoinSet::new();
        let lead = async {
            synced.wait().await;
            self.is_ready.store(true, Ordering::Release);
            let Some((candidate, leases)) = candidate else { return self.work(&mut workers).await };
            let won = candidate.win(&leases.0).await;
            tracing::info!("this replica leads");
            tokio::select! {
                () = self.work(&mut workers) => {}
                () = candidate.hold(&leases.0, won) => tracing::error!("the lease is lost"),
            }
        };
        tokio::select! {
            () = lead => {}
            // Who started this may be gone as well.
            _ = to_stop.wait_for(|is_to_stop| *is_to_stop) => {}
        }
        workers.shutdown().await;
    }

    async fn work(&self, workers: &mut JoinSet<()>) {
        let Self { controller, options, .. } = self;
        let Options { default_network, resync, .. } = options;
        while let Err(error) = controller.deployer.inventory.read(&controller.deployer.lattice).await {
            tracing::warn!(%error, "waiting for Lattice");
            tokio::time::sleep(START_WAIT).await;
        }
        if let Some(name) = default_network
            && let Err(error) = controller.deployer.default_network(name).await
        {
            tracing::warn!(%error, network = %name, "the default service network is not as it should be");
        }
        let objects = controller.begin();
        tracing::info!(objects, "the cluster is known");
        for _ in 0..options.workers.max(1) {
            let controller = controller.clone();
            workers.spawn(async move { controller.work().await });
        }
        loop {
            if let Err(error) = controller.sweep().await {
                tracing::warn!(%error, "target groups that nobody wants may be left");
            }
            let Some(period) = *resync else { return std::future::pending().await };
            tokio::time::sleep(period).await;
            if let Err(error) = controller.resync().await {
                tracing::warn!(%error, "Lattice cannot be compared with the cluster");
            }
        }
    }
}
