//! Watching prefixes: the full state once, then every commit in order, from a bounded queue.
//!
//! The subscription starts, and restarts after falling behind, by emptying its queue *before* it
//! reads the state: a commit is published after it is readable, so one that the read does not show
//! is queued afterwards, and one that it does show is known by its revision and skipped.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use crate::engine::Engine;
use crate::{Change, Event, Read as _, Revision, StoreError};

/// Changes that may wait for a watcher. More, and it starts over.
const MAX_CHANGES: usize = 4096;
/// Bytes of keys and values that may wait for a watcher.
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// What one transaction changed, as the writer tells it.
#[derive(Debug)]
pub(crate) struct Commit {
    pub(crate) revision: Revision,
    pub(crate) changes: Vec<Change>,
}

/// The writer's end of a watch.
#[derive(Debug)]
pub(crate) struct Subscription {
    prefixes: Box<[String]>,
    queue: Mutex<Queue>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    commits: VecDeque<Commit>,
    changes: usize,
    bytes: usize,
    /// Commits were left out; only the full state helps.
    behind: bool,
    closed: bool,
}

impl Queue {
    fn empty(&mut self) {
        self.commits.clear();
        (self.changes, self.bytes) = (0, 0);
    }

    fn pop(&mut self) -> Option<Commit> {
        let commit = self.commits.pop_front()?;
        self.changes -= commit.changes.len();
        self.bytes -= commit.changes.iter().map(weight).sum::<usize>();
        Some(commit)
    }
}

fn weight(change: &Change) -> usize {
    change.key.len() + change.value.as_ref().map_or(0, |value| value.len())
}

impl Subscription {
    fn tells_of(&self, key: &str) -> bool {
        self.prefixes.iter().any(|prefix| key.starts_with(prefix))
    }

    pub(crate) fn push(&self, commits: &[Commit]) {
        let mut queue = self.queue();
        for commit in commits {
            if queue.behind {
                break;
            }
            let ours = || commit.changes.iter().filter(|change| self.tells_of(&change.key));
            let (count, bytes) =
                ours().fold((0, 0), |(count, bytes), change| (count + 1, bytes + weight(change)));
            if count == 0 {
                continue;
            }
            queue.changes += count;
            queue.bytes += bytes;
            if queue.changes > MAX_CHANGES || queue.bytes > MAX_BYTES {
                queue.empty();
                queue.behind = true;
                break;
            }
            queue.commits.push_back(Commit { revision: commit.revision, changes: ours().cloned().collect() });
        }
        drop(queue);
        self.news.notify_one();
    }

    pub(crate) fn start_over(&self) {
        let mut queue = self.queue();
        queue.empty();
        queue.behind = true;
        drop(queue);
        self.news.notify_one();
    }

    pub(crate) fn close(&self) {
        self.queue().closed = true;
        self.news.notify_one();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream of [`Event`]s; made by [`Store::watch`](crate::Store::watch).
#[derive(Debug)]
pub struct Watch {
    engine: Weak<Engine>,
    subscription: Arc<Subscription>,
    /// The full state is owed. Kept here so that a cancelled `next` owes it still.
    resync: bool,
    /// The newest revision already reported.
    seen: Revision,
}

enum Step {
    Resync,
    Commit(Commit),
    Closed,
    Wait,
}

impl Watch {
    /// No prefix may begin with another.
    pub(crate) fn start(engine: &Arc<Engine>, prefixes: &[&str]) -> Self {
        let subscription = Arc::new(Subscription {
            prefixes: prefixes.iter().map(|&prefix| prefix.to_owned()).collect(),
            queue: Mutex::default(),
            news: Notify::new(),
        });
        engine.subscribe(&subscription);
        Self { engine: Arc::downgrade(engine), subscription, resync: true, seen: 0 }
    }

    /// The next event. The first is a [`Event::Resync`]; later ones come when this watcher fell
    /// behind by more than 4096 changes or 32 MiB, or the state file had to be opened again.
    /// Cancel-safe: dropping the future loses nothing.
    ///
    /// # Errors
    /// [`StoreError::Closed`] once the store is dropped, for good. Anything else is a failed read
    /// of the full state; calling again tries again.
    pub async fn next(&mut self) -> Result<Event, StoreError> {
        loop {
            match self.step() {
                Step::Resync => return self.full_state().await,
                Step::Commit(commit) if commit.revision <= self.seen => {}
                Step::Commit(Commit { revision, changes }) => {
                    self.seen = revision;
                    return Ok(Event::Changes { revision, changes });
                }
                Step::Closed => return Err(StoreError::Closed),
                // A notification that came after `step` looked is kept for this wait.
                Step::Wait => self.subscription.news.notified().await,
            }
        }
    }

    fn step(&mut self) -> Step {
        let mut queue = self.subscription.queue();
        if queue.closed {
            return Step::Closed;
        }
        if self.resync || queue.behind {
            queue.empty();
            queue.behind = false;
            self.resync = true;
            return Step::Resync;
        }
        queue.pop().map_or(Step::Wait, Step::Commit)
    }

    async fn full_state(&mut self) -> Result<Event, StoreError> {
        let engine = self.engine.upgrade().ok_or(StoreError::Closed)?;
        let subscription = self.subscription.clone();
        let read = tokio::task::spawn_blocking(move || {
            let mut reader = engine.read()?;
            let mut entries = Vec::new();
            for prefix in &subscription.prefixes {
                entries.extend(reader.scan(prefix, None, usize::MAX)?);
            }
            Ok((reader.revision(), entries))
        });
        let (revision, entries) = read.await.unwrap_or(Err(StoreError::Closed))?;
        self.resync = false;
        self.seen = revision;
        Ok(Event::Resync { revision, entries })
    }
}
