//! What is counted, and how it is shown.
//!
//! Each worker writes cells of its own, with a load and a store and no locked instruction; a render
//! adds the workers up. Labels come from closed sets: resource ids, status classes, reasons.

mod render;
mod resource;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::sync::watch;
use trellis_model::snapshot::Snapshot;
use trellis_model::{ResourceConfigurationId, ServiceId, TargetGroupId};

use crate::access_log::Sink;
use crate::failure::Failure;
use crate::tls::Outcome;
pub(crate) use resource::ResourceCells;

/// What the proxy has counted; cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    pub(crate) workers: Arc<[Arc<WorkerCells>]>,
    pub(crate) log: Option<Arc<Sink>>,
    pub(crate) snapshots: watch::Receiver<Arc<Snapshot>>,
    pub(crate) applied: watch::Receiver<u64>,
    pub(crate) probes: Arc<ProbeCells>,
    /// Threads that have begun anew after a panic.
    pub(crate) restarts: Arc<AtomicU64>,
}

impl Metrics {
    /// Everything in the Prometheus text format.
    pub fn render(&self) -> String {
        render::render(self)
    }

    /// A number for each worker that grows several times a second for as long as the worker works.
    pub fn beats(&self) -> Vec<u64> {
        self.workers.iter().map(|cells| cells.beats.value()).collect()
    }
}

/// A number one thread writes and any thread reads.
#[derive(Debug, Default)]
pub(crate) struct Cell(AtomicU64);

impl Cell {
    pub(crate) fn add(&self, more: u64) {
        // One writer, so nothing is lost between the load and the store.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    pub(crate) fn subtract(&self, less: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_sub(less), Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upper bounds of the duration histogram, in microseconds.
pub(crate) const BOUNDS: [u64; 14] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];

/// Requests by how long they took.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    pub(crate) buckets: [Cell; BOUNDS.len() + 1],
    pub(crate) micros: Cell,
}

impl Histogram {
    pub(crate) fn record(&self, took: Duration) {
        let micros = took.as_micros() as u64;
        let bucket = BOUNDS.iter().position(|bound| micros <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket].add(1);
        self.micros.add(micros);
    }
}

/// Responses by the first digit of their status. The first is for requests that got none.
#[derive(Debug, Default)]
pub(crate) struct Classes([Cell; 6]);

impl Classes {
    pub(crate) fn record(&self, status: u16) {
        self.0[usize::from(status / 100).min(5)].add(1);
    }

    pub(crate) fn values(&self) -> [u64; 6] {
        std::array::from_fn(|class| self.0[class].value())
    }
}

/// What one worker knows of one service.
#[derive(Debug, Default)]
pub(crate) struct ServiceCells {
    pub(crate) responses: Classes,
    pub(crate) failures: [Cell; Failure::COUNT],
    pub(crate) duration: Histogram,
    pub(crate) received: Cell,
    pub(crate) sent: Cell,
    pub(crate) active: Cell,
}

/// What one worker knows of one target group.
#[derive(Debug, Default)]
pub(crate) struct GroupCells {
    pub(crate) responses: Classes,
    pub(crate) duration: Histogram,
    pub(crate) active: Cell,
    pub(crate) connections: Cell,
    pub(crate) connection_errors: Cell,
    pub(crate) connection_timeouts: Cell,
    pub(crate) connections_open: Cell,
    pub(crate) handshakes: Cell,
    pub(crate) handshake_errors: Cell,
    pub(crate) retries: Cell,
}

/// What one worker knows of itself, and where its other cells are.
#[derive(Debug, Default)]
pub(crate) struct WorkerCells {
    /// Ticks that it has seen.
    pub(crate) beats: Cell,
    pub(crate) connections: Cell,
    pub(crate) connections_open: Cell,
    pub(crate) accept_errors: Cell,
    pub(crate) connections_refused: Cell,
    /// TLS handshakes with clients.
    pub(crate) handshakes: [Cell; Outcome::COUNT],
    /// Requests that no service was found for.
    pub(crate) unrouted: Classes,
    pub(crate) unrouted_failures: [Cell; Failure::COUNT],
    pub(crate) listen_errors: Cell,
    /// Connections that were for no resource.
    pub(crate) resource_refusals: Cell,
    services: Mutex<FxHashMap<ServiceId, Arc<ServiceCells>>>,
    groups: Mutex<FxHashMap<TargetGroupId, Arc<GroupCells>>>,
    resources: Mutex<FxHashMap<ResourceConfigurationId, Arc<ResourceCells>>>,
}

impl WorkerCells {
    /// The cells of a service, made when it is first met.
    pub(crate) fn service(&self, id: &ServiceId) -> Arc<ServiceCells> {
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        services.entry(id.clone()).or_default().clone()
    }

    pub(crate) fn group(&self, id: &TargetGroupId) -> Arc<GroupCells> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.entry(id.clone()).or_default().clone()
    }

    pub(crate) fn resource(&self, id: &ResourceConfigurationId) -> Arc<ResourceCells> {
        let mut resources = self.resources.lock().unwrap_or_else(PoisonError::into_inner);
        resources.entry(id.clone()).or_default().clone()
    }

    /// Forgets resources that are gone and that nobody is connected to.
    pub(crate) fn retain_resources(&self, is_there: impl Fn(&ResourceConfigurationId) -> bool) {
        let mut resources = self.resources.lock().unwrap_or_else(PoisonError::into_inner);
        resources.retain(|id, cells| is_there(id) || cells.open.value() > 0);
    }

    /// Forgets what is gone: a series nobody can add to any more.
    pub(crate) fn retain(
        &self,
        service: impl Fn(&ServiceId) -> bool,
        group: impl Fn(&TargetGroupId) -> bool,
    ) {
        self.services.lock().unwrap_or_else(PoisonError::into_inner).retain(|id, _| service(id));
        self.groups.lock().unwrap_or_else(PoisonError::into_inner).retain(|id, _| group(id));
    }
}

/// What the health checker has done; only its thread writes.
#[derive(Debug, Default)]
pub(crate) struct ProbeCells {
    pub(crate) passed: Cell,
    pub(crate) failed: Cell,
}
