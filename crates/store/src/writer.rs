//! The writer thread: takes what has queued up, runs it, and makes it durable with one fsync.
//!
//! Each job runs alone against everything before it, so transactions are serialisable. Nobody is
//! answered before the commit they share has succeeded; when it fails, nobody is told success.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use redb::{Durability, ReadableTable as _, Table};
use tokio::sync::{mpsc, oneshot};

use crate::engine::Engine;
use crate::entry::{decode, encode};
use crate::file::{MAIN, META, REVISION};
use crate::reader::Source;
use crate::transaction::Overlay;
use crate::watch::Commit;
use crate::{Change, Revision, StoreError, TransactError, Transaction};

/// Transactions that may wait; further callers wait for room.
pub(crate) const QUEUE: usize = 1024;
/// Most transactions that share a commit.
const MAX_BATCH: usize = 256;
/// A batch is closed early once it holds this much, so that memory and commit time stay bounded.
const MAX_BATCH_BYTES: usize = 64 * 1024 * 1024;

/// One queued transaction, whatever its types.
pub(crate) trait Job: Send {
    /// True when nobody waits for the answer any more.
    fn abandoned(&self) -> bool;
    /// Runs the closure. `None`: it refused, panicked or broke a limit, and nothing is written.
    fn run(&mut self, base: &dyn Source, revision: Revision) -> Option<Overlay>;
    /// Answers the caller, once the batch is durable or has failed.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

pub(crate) struct Pending<T, E, F> {
    closure: F,
    outcome: Option<Result<T, TransactError<E>>>,
    reply: oneshot::Sender<Result<T, TransactError<E>>>,
}

impl<T, E, F> Pending<T, E, F> {
    pub(crate) fn new(closure: F, reply: oneshot::Sender<Result<T, TransactError<E>>>) -> Self {
        Self { closure, outcome: None, reply }
    }
}

impl<T, E, F> Job for Pending<T, E, F>
where
    F: FnMut(&mut Transaction<'_>) -> Result<T, E> + Send,
    T: Send,
    E: Send,
{
    fn abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn run(&mut self, base: &dyn Source, revision: Revision) -> Option<Overlay> {
        let mut transaction = Transaction::new(base, revision);
        let ran = catch_unwind(AssertUnwindSafe(|| (self.closure)(&mut transaction)));
        let (outcome, overlay) = match (ran, transaction.finish()) {
            (Err(_), _) => (Err(StoreError::Panicked.into()), None),
            (Ok(Err(refusal)), _) => (Err(TransactError::Caller(refusal)), None),
            (Ok(Ok(_)), Err(failure)) => (Err(failure.into()), None),
            (Ok(Ok(value)), Ok(overlay)) => (Ok(value), Some(overlay)),
        };
        self.outcome = Some(outcome);
        overlay
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let outcome = match committed {
            Ok(()) => self.outcome,
            Err(failure) => Some(Err(failure.into())),
        };
        // None: the job was abandoned and never ran. A receiver that is gone wants no answer.
        if let Some(outcome) = outcome {
            let _ = self.reply.send(outcome);
        }
    }
}

/// Runs until every sender is gone and the queue is empty. A panic costs those who wait for the batch an answer, and
/// nobody else: what was committed is found in the file again.
pub(crate) fn run(engine: &Engine, mut queue: mpsc::Receiver<Box<dyn Job>>) {
    while catch_unwind(AssertUnwindSafe(|| take_turns(engine, &mut queue))).is_err() {
        engine.fail();
    }
    engine.close();
}

fn take_turns(engine: &Engine, queue: &mut mpsc::Receiver<Box<dyn Job>>) {
    let mut batch: Vec<Box<dyn Job>> = Vec::with_capacity(MAX_BATCH);
    while queue.blocking_recv_many(&mut batch, MAX_BATCH) > 0 {
        #[cfg(debug_assertions)]
        crate::fault::point();
        while !batch.is_empty() {
            let (ran, committed) = commit(engine, &mut batch);
            let answer = match committed {
                Ok(commits) => {
                    engine.publish(&commits);
                    Ok(())
                }
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "a commit failed");
                    engine.fail();
                    Err(error)
                }
            };
            for job in batch.drain(..ran) {
                job.answer(answer.clone());
            }
        }
    }
}

/// Runs jobs from the front of the batch and commits them; says how many were run.
fn commit(engine: &Engine, batch: &mut [Box<dyn Job>]) -> (usize, Result<Vec<Commit>, StoreError>) {
    let mut ran = 0;
    let attempt = || {
        let database = engine.database()?;
        let mut write = database.begin_write()?;
        write.set_durability(Durability::Immediate).map_err(redb::Error::from)?;
        let mut commits = Vec::new();
        {
            let mut main = write.open_table(MAIN)?;
            let mut meta = write.open_table(META)?;
            let mut revision = meta.get(REVISION)?.map_or(0, |value| value.value());
            let mut bytes = 0;
            for job in batch.iter_mut() {
                ran += 1;
                if job.abandoned() {
                    continue;
                }
                let Some(overlay) = job.run(&main, revision + 1) else { continue };
                let changes = apply(&mut main, overlay, revision + 1, &mut bytes)?;
                if !changes.is_empty() {
                    revision += 1;
                    commits.push(Commit { revision, changes });
                }
                if bytes > MAX_BATCH_BYTES {
                    break;
                }
            }
            meta.insert(REVISION, revision)?;
        }
        match commits.is_empty() {
            true => write.abort()?,
            false => write.commit()?,
        }
        Ok(commits)
    };
    // Closures are caught where they run; this is for the storage engine's own assertions.
    let committed = catch_unwind(AssertUnwindSafe(attempt)).unwrap_or_else(|_| {
        Err(redb::Error::Corrupted("the storage engine met a state it does not expect".into()).into())
    });
    if committed.is_err() {
        // Those that were not run yet would meet the same failure; they are answered with it too.
        ran = batch.len();
    }
    (ran, committed)
}

fn apply(
    table: &mut Table<'_, &'static str, &'static [u8]>,
    overlay: Overlay,
    revision: Revision,
    bytes: &mut usize,
) -> Result<Vec<Change>, StoreError> {
    let mut changes = Vec::with_capacity(overlay.len());
    for (key, value) in overlay {
        *bytes += key.len() + value.as_ref().map_or(0, Vec::len);
        match &value {
            Some(value) => {
                let existing =
                    table.get(key.as_str())?.map(|record| decode(&key, record.value())).transpose()?;
                let created = existing.map_or(revision, |entry| entry.created);
                table.insert(key.as_str(), encode(created, revision, value).as_slice())?;
            }
            None => {
                if table.remove(key.as_str())?.is_none() {
                    continue;
                }
            }
        }
        changes.push(Change { key, value: value.map(Arc::from), revision });
    }
    Ok(changes)
}
