//! A worker: one thread, one runtime, its own sockets, pool, counters and log buffer.
//!
//! Nothing here is shared with other workers but the Snapshot, so nothing here is locked. A change
//! is taken over between two polls: requests under way keep the view they began with.

mod listeners;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use trellis_model::VpcId;
use trellis_model::snapshot::{AddressFamily, Snapshot};
use trellis_policy::Caller;

use crate::access_log::{CHUNK, Chunk, Sink};
use crate::budget::Budget;
use crate::buffer::Buffers;
use crate::callers::Callers;
use crate::clock::{Clock, Millis};
use crate::config::Limits;
use crate::metrics::WorkerCells;
use crate::random::Random;
use crate::relay::Pipes;
use crate::resource::{self, Resources};
use crate::ticker::TICK;
use crate::tls::{Tickets, Tls};
use crate::view::{States, View};
use crate::watchdog::{SWEEP, Watchdog, Watched};
use crate::window::LimitWindow;

use listeners::{Door, Listeners};
pub(crate) use listeners::{Entrance, accept};

/// Opens a connection from inside a VPC.
pub(crate) type Dial = Box<dyn Fn(&VpcId, SocketAddr) -> io::Result<std::net::TcpStream>>;
/// Opens a listening socket inside a VPC.
pub(crate) type Listen = Box<dyn Fn(&VpcId, u16, AddressFamily) -> io::Result<std::net::TcpListener>>;

/// How long a listener that cannot be opened keeps a revision from counting as applied.
const PATIENCE: Duration = Duration::from_secs(5);
/// Ticks between two attempts to open what could not be opened, once that has lasted for a while.
const RETRY_LATER: u32 = (500 / TICK.as_millis()) as u32;
/// Ticks between two looks for what is kept and no longer needed.
const TIDY: u32 = (1000 / TICK.as_millis()) as u32;
/// Milliseconds between two warnings of one worker.
const BETWEEN_WARNINGS: Millis = 10_000;
/// After the deadline of a drain: for cut requests to be recorded.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Where the proxy is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Running,
    /// Finish what is under way, at most until then.
    Draining(Instant),
}

/// What a connection needs of its worker.
pub(crate) struct Worker {
    pub(crate) limits: Limits,
    pub(crate) budget: Budget,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) buffers: Buffers,
    pub(crate) watchdog: Watchdog,
    pub(crate) states: States,
    pub(crate) tls: Tls,
    pub(crate) pipes: Pipes,
    pub(crate) cells: Arc<WorkerCells>,
    pub(crate) dial: Dial,
    pub(crate) limit_window: LimitWindow,
    pub(crate) resources: Resources,
    pub(crate) callers: Callers,
    /// Whoever does not sign, as policies know them.
    pub(crate) anonymous: Caller,
    /// Where the ARN of what a caller wants is put together.
    pub(crate) wanted: RefCell<String>,
    pub(crate) draining: Cell<bool>,
    /// When it may next say that something is lacking.
    warns_from: Cell<Millis>,
    /// Client connections open.
    pub(crate) connections: Cell<usize>,
    /// Requests under way over HTTP/2.
    pub(crate) streams: Cell<usize>,
    /// Counts ticks.
    pub(crate) ticks: Cell<u32>,
    /// Told when a connection ends.
    pub(crate) room: Notify,
    /// Told by every tick.
    pub(crate) ticked: Notify,
    view: RefCell<Rc<View>>,
    log: Option<Arc<Sink>>,
    chunk: RefCell<Chunk>,
    /// Client connections live at least so long before they are asked to go.
    lifetime_margin: Millis,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("connections", &self.connections).finish_non_exhaustive()
    }
}

impl Worker {
    /// What to act on now. Held for one request.
    pub(crate) fn view(&self) -> Rc<View> {
        self.view.borrow().clone()
    }

    /// Whether a client connection may serve another request after this one.
    pub(crate) fn may_stay(&self, watched: &Watched) -> bool {
        !self.draining.get() && !watched.should_close() && self.clock.coarse() < self.should_leave_at(watched)
    }

    /// When a client connection is asked to go, a little before it is cut.
    pub(crate) fn should_leave_at(&self, watched: &Watched) -> Millis {
        watched.end_of_life().saturating_sub(self.lifetime_margin)
    }

    /// Whether to say now that something is lacking: what happens with every connection is said once in
    /// [`BETWEEN_WARNINGS`], and counted.
    pub(crate) fn may_warn(&self) -> bool {
        let now = self.clock.coarse();
        let may = now >= self.warns_from.get();
        if may {
            self.warns_from.set(now.saturating_add(BETWEEN_WARNINGS));
        }
        may
    }

    /// Appends a line to the access log, if there is one.
    pub(crate) fn log_line(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(sink) = &self.log else { return };
        let mut chunk = self.chunk.borrow_mut();
        write(&mut chunk.bytes);
        chunk.lines += 1;
        if chunk.bytes.len() >= CHUNK {
            sink.hand_over(&mut chunk);
        }
    }

    fn flush_log(&self) {
        if let Some(sink) = &self.log {
            sink.hand_over(&mut self.chunk.borrow_mut());
        }
    }
}

/// Which revision each worker acts on, and the lowest of them.
#[derive(Debug)]
pub(crate) struct Applied {
    each: Box<[AtomicU64]>,
    lowest: watch::Sender<u64>,
}

impl Applied {
    pub(crate) fn new(workers: usize) -> (Self, watch::Receiver<u64>) {
        let (lowest, receiver) = watch::channel(0);
        (Self { each: (0..workers).map(|_| AtomicU64::new(0)).collect(), lowest }, receiver)
    }

    fn report(&self, worker: usize, revision: u64) {
        self.each[worker].store(revision, Ordering::SeqCst);
        let lowest = self.each.iter().map(|each| each.load(Ordering::SeqCst)).min().unwrap_or(0);
        self.lowest.send_if_modified(|known| {
            let higher = lowest > *known;
            *known = lowest.max(*known);
            higher
        });
    }
}

/// Everything a worker is given when it starts.
pub(crate) struct Parts {
    pub(crate) index: usize,
    /// How many there are.
    pub(crate) workers: usize,
    /// Stay on one core, chosen by `index`.
    pub(crate) pin: bool,
    pub(crate) limits: Limits,
    pub(crate) listen: Listen,
    pub(crate) dial: Dial,
    pub(crate) limit_window: LimitWindow,
    pub(crate) resources: Resources,
    pub(crate) snapshots: watch::Receiver<Arc<Snapshot>>,
    pub(crate) stage: watch::Receiver<Stage>,
    pub(crate) applied: Arc<Applied>,
    pub(crate) cells: Arc<WorkerCells>,
    pub(crate) log: Option<Arc<Sink>>,
    pub(crate) tickets: Arc<Tickets>,
    /// Told every [`TICK`].
    pub(crate) tick: Arc<Notify>,
}

/// Runs a worker on this thread until it has drained. Its runtime has no timers: a timer would be
/// set and cancelled around every sleep of the thread. `started` is told once.
pub(crate) fn run(parts: Parts, started: impl FnOnce(io::Result<()>)) {
    if parts.pin {
        pin_to(parts.index);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build_local(tokio::runtime::LocalOptions::default());
    let made = runtime.and_then(|runtime| {
        let tls = Tls::new(parts.tickets.clone()).map_err(io::Error::other)?;
        Ok((runtime, Random::from_os()?, tls))
    });
    match made {
        Ok((runtime, random, tls)) => {
            started(Ok(()));
            runtime.block_on(work(parts, random, tls));
        }
        Err(error) => started(Err(error)),
    }
}

/// Keeps this thread on the `index`-th of the cores it may use. Best effort: a worker that may run
/// anywhere works as well.
fn pin_to(index: usize) {
    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    let this = nix::unistd::Pid::from_raw(0);
    let pinned = sched_getaffinity(this).and_then(|allowed| {
        let cores: Vec<usize> =
            (0..CpuSet::count()).filter(|core| allowed.is_set(*core).unwrap_or(false)).collect();
        let mut only = CpuSet::new();
        only.set(cores.get(index % cores.len().max(1)).copied().unwrap_or(0))?;
        sched_setaffinity(this, &only)
    });
    if let Err(error) = pinned {
        tracing::warn!(index, %error, "cannot keep a worker on its core");
    }
}

async fn work(parts: Parts, random: Random, tls: Tls) {
    let Parts {
        index,
        workers,
        limits,
        listen,
        dial,
        limit_window,
        resources,
        mut snapshots,
        mut stage,
        applied,
        cells,
        log,
        tick,
        ..
    } = parts;
    let worker = Rc::new(Worker {
        budget: Budget::new(&limits, workers),
        lifetime_margin: (limits.connection_lifetime / 40).as_millis() as Millis,
        limits,
        clock: Clock::new(),
        random,
        buffers: Buffers::default(),
        watchdog: Watchdog::default(),
        states: States::new(cells.clone()),
        tls,
        pipes: Pipes::default(),
        cells,
        dial,
        limit_window,
        resources,
        callers: Callers::default(),
        anonymous: Caller::anonymous(),
        wanted: RefCell::default(),
        draining: Cell::new(false),
        warns_from: Cell::new(0),
        connections: Cell::new(0),
        streams: Cell::new(0),
        ticks: Cell::new(0),
        room: Notify::new(),
        ticked: Notify::new(),
        view: RefCell::new(Rc::new(View::new(Arc::new(Snapshot::default())))),
        log,
        chunk: RefCell::default(),
    });
    let mut listeners = Listeners::new(listen);
    let mut entrances = resource::Entrances::default();
    let mut since_change = Instant::now();
    let mut unreported = true;
    let mut untidy = true;
    let mut changes = true;
    snapshots.mark_changed();

    let deadline = loop {
        tokio::select! {
            biased;
            changed = snapshots.changed(), if changes => {
                // Without a sender nobody will change anything any more: go on with what there is.
                changes = changed.is_ok();
                let snapshot = snapshots.borrow_and_update().clone();
                *worker.view.borrow_mut() = Rc::new(View::new(snapshot.clone()));
                listeners.apply(&worker, &snapshot);
                entrances.apply(&worker, &snapshot);
                (since_change, unreported, untidy) = (Instant::now(), true, true);
            }
            changed = stage.changed() => match (*stage.borrow_and_update(), changed) {
                (Stage::Draining(deadline), _) => break deadline,
                // Whoever owned the proxy is gone.
                (Stage::Running, Err(_)) => break Instant::now(),
                (Stage::Running, Ok(())) => {}
            },
            () = tick.notified() => {
                worker.on_tick();
                let patient = since_change.elapsed() < PATIENCE;
                if patient || worker.ticks.get().is_multiple_of(RETRY_LATER) {
                    listeners.retry(&worker);
                    entrances.retry(&worker);
                }
                if worker.ticks.get().is_multiple_of(TIDY) {
                    worker.states.expire(worker.clock.coarse());
                    worker.buffers.tidy();
                    if std::mem::take(&mut untidy) {
                        let snapshot = worker.view.borrow().snapshot.clone();
                        worker.states.retain(&snapshot);
                        worker.tls.retain(&snapshot);
                    }
                }
            }
        }
        let all_open = listeners.missing().is_empty() && entrances.missing().is_empty();
        if unreported && (all_open || since_change.elapsed() >= PATIENCE) {
            unreported = false;
            for (vpc, error) in entrances.missing() {
                tracing::warn!(%vpc, %error, "cannot listen for connections to resources, will go on trying");
            }
            for (Door { vpc, port, family }, error) in listeners.missing() {
                tracing::warn!(%vpc, port, ?family, %error, "cannot listen, will go on trying");
            }
            applied.report(index, worker.view.borrow().snapshot.revision);
        }
    };
    entrances.close_all();
    drain(&worker, listeners, &tick, deadline).await;
}

impl Worker {
    fn on_tick(&self) {
        #[cfg(debug_assertions)]
        crate::fault::point();
        self.ticks.set(self.ticks.get().wrapping_add(1));
        self.cells.beats.add(1);
        self.clock.tick();
        self.ticked.notify_waiters();
        if self.ticks.get().is_multiple_of(SWEEP) {
            self.watchdog.sweep(self.clock.coarse());
            self.flush_log();
        }
    }
}

/// Stops accepting, lets requests end until `deadline`, then ends them.
async fn drain(worker: &Rc<Worker>, mut listeners: Listeners, tick: &Notify, deadline: Instant) {
    worker.draining.set(true);
    listeners.close_all();
    worker.watchdog.close(|_| true);
    // Lets the accept loops hand over what the kernel had accepted.
    tokio::task::yield_now().await;
    for end in [deadline, deadline + LAST_WORDS] {
        while worker.watchdog.count() > 0 && Instant::now() < end {
            tokio::select! {
                () = worker.room.notified() => {}
                () = tick.notified() => worker.on_tick(),
            }
        }
        worker.watchdog.cut();
    }
    worker.flush_log();
}
