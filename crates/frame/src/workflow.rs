//! What takes longer than a call: statuses that move once the world has caught up.
//!
//! A piece of work is a mark in the store at `pending/{service}/{account}/{region}/{kind}/{id}`, written in the
//! transaction that makes it necessary ([`Records::put_pending`](crate::record::Records::put_pending)) and removed in
//! the one that does it ([`Work::settle`]), so a restart goes on where the last process stopped. One engine for each
//! service: it follows the marks, tries each piece by itself and again, later each time, after a failure.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{self, JoinError, JoinSet};
use tokio::time::Instant;
use trellis_model::resource::lattice::Home;
use trellis_store::{Event, Read, Revision, Transaction};

use crate::key;
use crate::operation::BoxFuture;
use crate::refusal::Refusal;
use crate::surroundings::Surroundings;
use crate::task::Changes;

/// Pieces of work of one service that are tried at a time.
const AT_ONCE: usize = 64;

/// First and longest wait after a failure.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// How long the engine sleeps when nothing waits for a time.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// How one kind of work is done.
#[derive(Clone, Copy)]
pub struct Workflow {
    /// The kind of record it is about.
    pub kind: &'static str,
    /// Tries to do a piece of work. It may be asked again for what it has done half: after a restart, or when the
    /// record has changed meanwhile.
    pub advance: fn(Arc<Surroundings>, Work) -> BoxFuture<'static, Result<Progress, Refusal>>,
}

/// How far a piece of work has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    Done,
    /// It has to be looked at again after this time.
    Later(Duration),
    /// It has to be looked at again when more is in force: see [`Surroundings::in_force`].
    WhenInForce,
}

/// A piece of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    key: String,
    /// The revision it became necessary at.
    pub since: Revision,
    pub home: Home,
    pub kind: String,
    /// May be a path of parents and id.
    pub id: String,
}

impl Work {
    /// Reads `pending/{service}/{account}/{region}/{kind}/{id}`.
    fn read(key: &str, since: Revision) -> Option<Self> {
        let mut parts = key.strip_prefix(key::PENDING)?.splitn(5, '/').skip(1);
        let home = Home { account: parts.next()?.parse().ok()?, region: parts.next()?.parse().ok()? };
        let (kind, id) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        Some(Self { key: key.to_owned(), since, home, kind, id })
    }

    /// Does the work, as one transaction, unless something has happened to it since it was read: then it is tried
    /// again from the beginning.
    ///
    /// # Errors
    /// What `step` refuses; a store that fails.
    pub async fn settle<F>(&self, surroundings: &Surroundings, mut step: F) -> Result<Progress, Refusal>
    where
        F: FnMut(&mut Transaction<'_>) -> Result<(), Refusal> + Send + 'static,
    {
        let Self { key, since, .. } = self.clone();
        surroundings
            .store
            .transact(move |tx| {
                if tx.get(&key)?.is_some_and(|entry| entry.modified == since) {
                    tx.delete(&key);
                    step(tx)?;
                }
                Ok::<_, Refusal>(())
            })
            .await?;
        Ok(Progress::Done)
    }
}

/// Does everything pending of the service called `service`, for ever. Ends when the store is closed.
pub(crate) async fn run(
    surroundings: Arc<Surroundings>,
    service: &'static str,
    workflows: &'static [Workflow],
) {
    let mut marks = Changes::of(&surroundings.store, format!("{}{service}/", key::PENDING));
    let mut in_force = surroundings.in_force.clone();
    let mut engine = Engine::new(surroundings, workflows);
    loop {
        engine.start_ready();
        let wake = engine.next_wake();
        tokio::select! {
            event = marks.next() => match event {
                Some(event) => engine.take_in(event),
                None => return,
            },
            Some(ended) = engine.running.join_next_with_id(), if !engine.running.is_empty() => engine.take_back(ended),
            Ok(()) = in_force.changed() => engine.wake_what_waits_for_force(),
            () = tokio::time::sleep_until(wake) => {}
        }
    }
}

/// Where a piece of work stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    /// `is_stale`: something has happened since it began, so it has to begin again.
    Running {
        is_stale: bool,
    },
    Until(Instant),
    WhenInForce,
}

struct Piece {
    work: Work,
    state: State,
    /// The wait after the next failure.
    back_off: Duration,
}

/// The pieces of work of one service, by their keys.
struct Engine {
    surroundings: Arc<Surroundings>,
    workflows: &'static [Workflow],
    pieces: HashMap<String, Piece>,
    running: JoinSet<Result<Progress, Refusal>>,
    /// Whose work each running task does.
    keys: HashMap<task::Id, String>,
}

impl Engine {
    fn new(surroundings: Arc<Surroundings>, workflows: &'static [Workflow]) -> Self {
        let (pieces, running, keys) = (HashMap::new(), JoinSet::new(), HashMap::new());
        Self { surroundings, workflows, pieces, running, keys }
    }

    /// Takes in what the store reports of marks.
    fn take_in(&mut self, event: Event) {
        match event {
            Event::Resync { entries, .. } => {
                let marked: HashSet<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
                self.pieces.retain(|key, _| marked.contains(key.as_str()));
                for entry in &entries {
                    self.mark(&entry.key, entry.modified);
                }
            }
            Event::Changes { revision, changes } => {
                for change in changes {
                    match change.value {
                        Some(_) => self.mark(&change.key, revision),
                        None => drop(self.pieces.remove(&change.key)),
                    }
                }
            }
        }
    }

    fn mark(&mut self, key: &str, since: Revision) {
        let read = || Work::read(key, since).filter(|work| self.workflow(&work.kind).is_some());
        let Some(work) = read() else {
            tracing::error!(key, "pending work does not read and is left alone");
            return;
        };
        match self.pieces.get_mut(key) {
            Some(piece) if piece.work.since == since => {}
            Some(piece) => {
                piece.work = work;
                piece.state = match piece.state {
                    State::Running { .. } => State::Running { is_stale: true },
                    _ => State::Ready,
                };
            }
            None => {
                let piece = Piece { work, state: State::Ready, back_off: BACK_OFF.0 };
                self.pieces.insert(key.to_owned(), piece);
            }
        }
    }

    fn workflow(&self, kind: &str) -> Option<&'static Workflow> {
        self.workflows.iter().find(|workflow| workflow.kind == kind)
    }

    /// Starts what is ready, as much as may run at a time.
    fn start_ready(&mut self) {
        let now = Instant::now();
        let mut free = AT_ONCE.saturating_sub(self.running.len());
        for (key, piece) in &mut self.pieces {
            if free == 0 {
                return;
            }
            let is_ready = match piece.state {
                State::Ready => true,
                State::Until(wake) => wake <= now,
                State::Running { .. } | State::WhenInForce => false,
            };
            let Some(workflow) = self.workflows.iter().find(|workflow| workflow.kind == piece.work.kind)
            else {
                continue;
            };
            if is_ready {
                free -= 1;
                piece.state = State::Running { is_stale: false };
                let advancing = (workflow.advance)(self.surroundings.clone(), piece.work.clone());
                let task = self.running.spawn(advancing);
                self.keys.insert(task.id(), key.clone());
            }
        }
    }

    /// When something becomes ready by itself.
    fn next_wake(&self) -> Instant {
        let wakes = self.pieces.values().filter_map(|piece| match piece.state {
            State::Until(wake) => Some(wake),
            _ => None,
        });
        wakes.min().unwrap_or_else(|| Instant::now() + LONGEST_SLEEP)
    }

    fn take_back(&mut self, ended: Result<(task::Id, Result<Progress, Refusal>), JoinError>) {
        let (task, progress) = match ended {
            Ok((task, progress)) => (task, progress),
            Err(error) => {
                tracing::error!(%error, "pending work ended in a panic");
                (error.id(), Ok(Progress::Later(BACK_OFF.1)))
            }
        };
        let Some(key) = self.keys.remove(&task) else { return };
        let Some(piece) = self.pieces.get_mut(&key) else { return };
        let is_stale = piece.state == (State::Running { is_stale: true });
        piece.state = match progress {
            Err(refusal) => {
                tracing::error!(?refusal, key, "pending work could not be done; it is tried again");
                let wait = piece.back_off;
                piece.back_off = (wait * 2).min(BACK_OFF.1);
                State::Until(Instant::now() + wait)
            }
            Ok(_) if is_stale => State::Ready,
            // The mark's end is on its way here; if it was not removed, the work is not done.
            Ok(Progress::Done) => State::Until(Instant::now() + BACK_OFF.1),
            Ok(Progress::Later(wait)) => State::Until(Instant::now() + wait),
            Ok(Progress::WhenInForce) => State::WhenInForce,
        };
    }

    fn wake_what_waits_for_force(&mut self) {
        let waits = |piece: &&mut Piece| piece.state == State::WhenInForce;
        self.pieces.values_mut().filter(waits).for_each(|piece| piece.state = State::Ready);
    }
}
