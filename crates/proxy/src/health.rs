//! Health checks: one probe per target and interval, on a fresh connection, from inside the
//! target's VPC, whatever the workers are doing. The endpoints of Route 53's health checks are looked at here as well.

mod endpoint;
mod names;
mod probe;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior};
use trellis_model::health::{HealthCheck, ProbeHistory, TargetHealth, TargetStatus};
use trellis_model::snapshot::Snapshot;
use trellis_model::{TargetGroupId, VpcId};

use crate::metrics::ProbeCells;
use crate::random::Random;
use crate::resource::Resolve;
use crate::restart::whenever_it_panics;
use crate::worker::{Dial, Stage};
use names::Name;
use probe::ProbeTls;

/// Everything the checker is given when it starts.
pub(crate) struct Parts {
    pub(crate) dial: Dial,
    pub(crate) resolve: Resolve,
    pub(crate) concurrent: usize,
    pub(crate) snapshots: watch::Receiver<Arc<Snapshot>>,
    pub(crate) stage: watch::Receiver<Stage>,
    /// Moved whenever a status moves.
    pub(crate) changes: watch::Sender<u64>,
    pub(crate) cells: Arc<ProbeCells>,
}

/// What the probing of one target needs.
struct Checker {
    dial: Dial,
    resolve: Resolve,
    tls: ProbeTls,
    room: Semaphore,
    changes: watch::Sender<u64>,
    cells: Arc<ProbeCells>,
    random: Random,
    began: Instant,
}

/// A target being probed.
struct Probed {
    check: HealthCheck,
    health: Arc<TargetHealth>,
    name: Name,
    task: AbortHandle,
}

impl Drop for Probed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Key = (TargetGroupId, SocketAddr);

/// Runs the health checker on this thread until the proxy drains. `started` is told once.
pub(crate) fn run(parts: Parts, started: impl FnOnce(std::io::Result<()>)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build_local(tokio::runtime::LocalOptions::default());
    match runtime.and_then(|runtime| Ok((runtime, Random::from_os()?, ProbeTls::new()?))) {
        Ok((runtime, random, tls)) => {
            started(Ok(()));
            runtime.block_on(work(parts, random, tls));
        }
        Err(error) => started(Err(error)),
    }
}

async fn work(parts: Parts, random: Random, tls: ProbeTls) {
    let Parts { dial, resolve, concurrent, mut snapshots, mut stage, changes, cells } = parts;
    let room = Semaphore::new(concurrent.max(1));
    let checker =
        Rc::new(Checker { dial, resolve, tls, room, changes, cells, random, began: Instant::now() });
    let mut probed: FxHashMap<Key, Probed> = FxHashMap::default();
    let mut watched = endpoint::Watched::default();
    loop {
        let snapshot = snapshots.borrow_and_update().clone();
        apply(&checker, &mut probed, &snapshot);
        endpoint::apply(&checker, &mut watched, &snapshot);
        drop(snapshot);
        tokio::select! {
            changed = snapshots.changed() => if changed.is_err() {
                // Nobody will change anything any more; go on probing until told to stop.
                let _ = stage.changed().await;
                return;
            },
            // Draining, or nobody owns the proxy any more.
            _ = stage.changed() => return,
        }
    }
}

/// Makes the set of probed targets that of `snapshot`. A target whose check has changed starts
/// anew: its thresholds count from zero, its status stays until they are reached.
fn apply(checker: &Rc<Checker>, probed: &mut FxHashMap<Key, Probed>, snapshot: &Snapshot) {
    probed.retain(|(group, address), known| {
        snapshot.target_groups.get(group).is_some_and(|group| {
            group.health_check.as_ref() == Some(&known.check)
                && group
                    .targets
                    .iter()
                    .any(|target| target.address == *address && Arc::ptr_eq(&target.health, &known.health))
        })
    });
    let names = names::of_groups(snapshot);
    for group in snapshot.target_groups.values() {
        let name = || names.get(&group.id).map(|name| (*name).into());
        let check = group.health_check.as_ref();
        for target in &group.targets {
            let Some(check) = check else {
                checker.set(&target.health, TargetStatus::Unavailable);
                continue;
            };
            let key = (group.id.clone(), target.address);
            if let Some(known) = probed.get(&key) {
                known.name.replace(name());
                continue;
            }
            // UNUSED until now, or not probed until now: nothing is known of it.
            if !matches!(target.health.status(), TargetStatus::Healthy | TargetStatus::Unhealthy) {
                checker.set(&target.health, TargetStatus::Initial);
            }
            let (health, name) = (target.health.clone(), Name::new(RefCell::new(name())));
            let (checker, vpc, address) = (checker.clone(), group.vpc.clone(), target.address);
            let (called, checked, of) = (name.clone(), check.clone(), health.clone());
            // What a target answers may stop its own probes for as long as one takes, and nobody else's.
            let watch = move || {
                watch_over(checker.clone(), vpc.clone(), address, called.clone(), checked.clone(), of.clone())
            };
            let pause = check.interval.max(SHORTEST);
            let task = whenever_it_panics(watch, move || tokio::time::sleep(pause));
            let task = tokio::task::spawn_local(task).abort_handle();
            probed.insert(key, Probed { check: check.clone(), health, name, task });
        }
    }
}

/// Probes one target for ever: at once, then every interval, counted from somewhere within the
/// first so that targets registered together are not all probed together for ever.
async fn watch_over(
    checker: Rc<Checker>,
    vpc: VpcId,
    address: SocketAddr,
    name: Name,
    check: HealthCheck,
    health: Arc<TargetHealth>,
) {
    let address = SocketAddr::new(address.ip(), check.port.unwrap_or(address.port()));
    let mut history = ProbeHistory::default();
    let period = check.interval.max(SHORTEST);
    let share = (checker.random.next() >> 32) as u32;
    let first = period.mul_f64(0.5 + f64::from(share) / f64::from(u32::MAX) / 2.0);
    let mut interval = tokio::time::interval_at(checker.slot_before(Instant::now() + first), period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let Ok(permit) = checker.room.acquire().await else { return };
        let called = name.borrow().clone();
        let outcome =
            probe::probe(&checker.dial, &checker.tls, &vpc, address, called.as_deref(), &check).await;
        drop(permit);
        let passed = outcome.is_ok();
        let cell = if passed { &checker.cells.passed } else { &checker.cells.failed };
        cell.add(1);
        let before = health.status();
        let after = history.record(&check, before, passed);
        if checker.set(&health, after) {
            let reason = outcome.err().map(|reason| reason.to_string()).unwrap_or_default();
            tracing::info!(%address, %vpc, from = before.as_str(), to = after.as_str(), reason, "target health");
        }
        interval.tick().await;
    }
}

/// No check is made more often than this, whatever it says.
const SHORTEST: Duration = Duration::from_millis(10);

/// Probes begin at multiples of this. A probe made by itself, by a core that was doing something
/// else or nothing, costs several times what it costs among others.
const SLOT: Duration = Duration::from_millis(250);

impl Checker {
    /// The last multiple of [`SLOT`] before `at`; `at` itself if that is past.
    fn slot_before(&self, at: Instant) -> Instant {
        let since = at.saturating_duration_since(self.began).as_millis();
        let slot = self.began + Duration::from_millis((since - since % SLOT.as_millis()) as u64);
        if slot > Instant::now() { slot } else { at }
    }

    /// Sets a status and tells who waits. Whether it moved.
    fn set(&self, health: &TargetHealth, status: TargetStatus) -> bool {
        let moved = health.status() != status && health.set(status) != status;
        if moved {
            self.changes.send_modify(|count| *count += 1);
        }
        moved
    }
}
