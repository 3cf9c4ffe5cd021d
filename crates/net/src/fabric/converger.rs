//! The thread that compares plans with the VPCs there are: starts, informs and stops their threads.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use trellis_model::fabric::{FabricPlan, VpcPlan};
use trellis_model::id::VpcId;

use super::FabricEvent;
use crate::vpc::mailbox::{Mailbox, Versioned};
use crate::vpc::{self, Shared};

/// The pause before a VPC whose thread could not be started, or broke, gets another.
const PAUSE: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct Contents {
    plan: Option<Arc<FabricPlan>>,
    /// The newest revision each VPC has acted on.
    settled: BTreeMap<VpcId, u64>,
    ended: Vec<VpcId>,
    shutdown: bool,
    finished: bool,
}

/// What the thread is told.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    contents: Mutex<Contents>,
    changed: Condvar,
}

const UNPOISONED: &str = "nothing that can panic is done while the inbox is held";

impl Inbox {
    /// The latest plan wins; one older than it is not taken.
    pub(super) fn apply(&self, plan: Arc<FabricPlan>) {
        let mut contents = self.lock();
        if contents.plan.as_ref().is_none_or(|present| present.revision <= plan.revision) {
            contents.plan = Some(plan);
            self.changed.notify_all();
        }
    }

    /// All of the VPC's plan at `revision` has been acted on.
    pub(crate) fn settled(&self, vpc: VpcId, revision: u64) {
        self.lock().settled.insert(vpc, revision);
        self.changed.notify_all();
    }

    /// The VPC's thread is at its end.
    pub(crate) fn ended(&self, vpc: VpcId) {
        self.lock().ended.push(vpc);
        self.changed.notify_all();
    }

    /// Asks for the end of everything and waits for it; false when it took longer than `patience`.
    pub(super) fn shut_down(&self, patience: Duration) -> bool {
        let mut contents = self.lock();
        contents.shutdown = true;
        self.changed.notify_all();
        contents = self
            .changed
            .wait_timeout_while(contents, patience, |contents| !contents.finished)
            .expect(UNPOISONED)
            .0;
        contents.finished
    }

    fn finish(&self) {
        self.lock().finished = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().expect(UNPOISONED)
    }
}

/// A VPC that has a thread.
struct Running {
    mailbox: Arc<Mailbox>,
    plan: Arc<VpcPlan>,
    /// The revision its plan was sent with.
    sent: u64,
    settled: Option<u64>,
    stopping: bool,
}

/// The state of the thread.
struct Converger {
    shared: Shared,
    plan: Arc<FabricPlan>,
    vpcs: BTreeMap<VpcId, Running>,
    /// VPCs without a thread that should have one, and when to try again.
    broken: BTreeMap<VpcId, Instant>,
    converged: Option<u64>,
}

/// The thread's whole life.
pub(super) fn run(shared: Shared) {
    let inbox = shared.inbox.clone();
    let mut converger = Converger {
        shared,
        plan: Arc::default(),
        vpcs: BTreeMap::new(),
        broken: BTreeMap::new(),
        converged: None,
    };
    let mut known: Option<Arc<FabricPlan>> = None;
    loop {
        let (shutdown, settled, ended) = {
            let mut contents = inbox.lock();
            let pause = converger
                .broken
                .values()
                .min()
                .map_or(Duration::from_secs(60), |at| at.saturating_duration_since(Instant::now()));
            let nothing_new = |contents: &mut Contents| {
                let same = match (&contents.plan, &known) {
                    (Some(new), Some(old)) => Arc::ptr_eq(new, old),
                    (new, _) => new.is_none(),
                };
                same && contents.settled.is_empty() && contents.ended.is_empty() && !contents.shutdown
            };
            let all_told = converger.vpcs.values().all(|running| running.stopping);
            if !contents.shutdown {
                contents =
                    inbox.changed.wait_timeout_while(contents, pause, nothing_new).expect(UNPOISONED).0;
            } else if contents.ended.is_empty() && all_told && !converger.vpcs.is_empty() {
                contents = inbox.changed.wait_timeout(contents, pause).expect(UNPOISONED).0;
            }
            known.clone_from(&contents.plan);
            (contents.shutdown, std::mem::take(&mut contents.settled), std::mem::take(&mut contents.ended))
        };
        for (vpc, revision) in settled {
            if let Some(running) = converger.vpcs.get_mut(&vpc) {
                running.settled = Some(revision);
            }
        }
        for vpc in ended {
            if converger.vpcs.remove(&vpc).is_some_and(|running| !running.stopping) {
                converger.broken.insert(vpc, Instant::now() + PAUSE);
            }
        }
        if shutdown {
            converger.stop(|_| true);
            if converger.vpcs.is_empty() {
                inbox.finish();
                return;
            }
        } else if let Some(plan) = &known {
            converger.plan = plan.clone();
            converger.compare();
            converger.report();
        }
    }
}

impl Converger {
    /// Stops the threads of VPCs that `unwanted` is true for.
    fn stop(&mut self, unwanted: impl Fn(&VpcId) -> bool) {
        for (_, running) in self.vpcs.iter_mut().filter(|(id, running)| !running.stopping && unwanted(id)) {
            running.stopping = true;
            running.mailbox.stop();
        }
    }

    /// Makes the threads agree with the plan.
    fn compare(&mut self) {
        let plan = self.plan.clone();
        self.stop(|id| !plan.vpcs.contains_key(id));
        self.broken.retain(|id, _| plan.vpcs.contains_key(id));
        for (id, wanted) in &plan.vpcs {
            let versioned = || Versioned { revision: plan.revision, plan: wanted.clone() };
            match self.vpcs.get_mut(id) {
                // Comes back once its old thread has ended.
                Some(running) if running.stopping => {}
                Some(running) => {
                    if !Arc::ptr_eq(&running.plan, wanted) && running.plan != *wanted {
                        running.mailbox.put_plan(versioned());
                        running.sent = plan.revision;
                    }
                    running.plan = wanted.clone();
                }
                None if self.broken.get(id).is_some_and(|again| *again > Instant::now()) => {}
                None => match vpc::start(id.clone(), self.shared.clone(), versioned()) {
                    Ok(mailbox) => {
                        self.broken.remove(id);
                        let running = Running {
                            mailbox,
                            plan: wanted.clone(),
                            sent: plan.revision,
                            settled: None,
                            stopping: false,
                        };
                        self.vpcs.insert(id.clone(), running);
                    }
                    Err(error) => {
                        self.broken.insert(id.clone(), Instant::now() + PAUSE);
                        let reason = format!("start its thread: {error}");
                        self.shared.events.push(FabricEvent::VpcFailed { vpc: id.clone(), reason });
                    }
                },
            }
        }
    }

    /// Says so when all of the plan has been acted on.
    fn report(&mut self) {
        let revision = self.plan.revision;
        let settled = |running: &Running| {
            !running.stopping && running.settled.is_some_and(|settled| settled >= running.sent)
        };
        if self.converged != Some(revision) && self.vpcs.values().all(settled) {
            self.converged = Some(revision);
            self.shared.events.push(FabricEvent::Converged { revision });
        }
    }
}
