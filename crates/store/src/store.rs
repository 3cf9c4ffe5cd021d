//! The handle: opening, transactions, reads and watches.

use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::sync::{mpsc, oneshot};

use crate::engine::Engine;
use crate::writer::{self, Job, Pending};
use crate::{OpenError, Reader, StoreError, TransactError, Transaction, Watch, file};

/// An open store. Clones share it; dropping the last one closes the file and frees the directory.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// `None` only while dropping.
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    writer: Option<JoinHandle<()>>,
    engine: Arc<Engine>,
}

impl Store {
    /// Opens the state in `dir`, or makes the directory (mode 0700) and an empty state (0600).
    /// Reads the whole file once to check it.
    ///
    /// # Errors
    /// Each [`OpenError`] is a different thing for the operator to do; its text says which.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        // The working directory may change later; the state may have to be opened again.
        let dir = std::path::absolute(dir)
            .map_err(|error| OpenError::Io { path: dir.to_owned(), source: Box::new(error) })?;
        let lock = file::lock(&dir)?;
        Self::start(Engine::open(move || file::open(&dir), Some(lock))?)
    }

    fn start(engine: Engine) -> Result<Self, OpenError> {
        let engine = Arc::new(engine);
        let (queue, jobs) = mpsc::channel(writer::QUEUE);
        let writer = thread::Builder::new()
            .name("store-writer".into())
            .spawn({
                let engine = Arc::clone(&engine);
                move || writer::run(&engine, jobs)
            })
            .map_err(|error| OpenError::Io { path: "store-writer".into(), source: Box::new(error) })?;
        Ok(Self { shared: Arc::new(Shared { queue: Some(queue), writer: Some(writer), engine }) })
    }

    /// Runs `f` against the newest state, alone, and answers once what it wrote is on disk. All
    /// writes of one transaction share one revision; one that changes nothing takes none.
    ///
    /// `f` runs on the writer's thread and holds up everybody else: it should only look things up,
    /// decide and write. It may run more than once, so it must have no other effect. A dropped
    /// future means that `f` may or may not have run, whole.
    ///
    /// # Errors
    /// [`TransactError::Caller`] with what `f` returned; nothing is written. [`TransactError::Store`]
    /// when a limit is broken or `f` panics (nothing is written) or storage fails.
    pub async fn transact<T, E, F>(&self, f: F) -> Result<T, TransactError<E>>
    where
        F: FnMut(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let queue = self.shared.queue.as_ref().ok_or(StoreError::Closed)?;
        queue.send(Box::new(Pending::new(f, reply))).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// A snapshot of the newest committed state.
    ///
    /// # Errors
    /// [`StoreError::Storage`] or [`StoreError::Unavailable`].
    pub fn read(&self) -> Result<Reader, StoreError> {
        self.shared.engine.read()
    }

    /// Watches every key that starts with `prefix` (the empty one: all). Must be polled inside a
    /// tokio runtime.
    ///
    /// # Errors
    /// None with the embedded engine, whose state is always near; others may have to connect.
    pub fn watch(&self, prefix: &str) -> Result<Watch, StoreError> {
        self.watch_each(&[prefix])
    }

    /// One watch of several prefixes, none of which begins with another: a commit that changes keys under more than
    /// one is one event, and a revision stands for everything up to it under all of them. Two watches need not be
    /// equally far.
    ///
    /// # Errors
    /// As [`Self::watch`].
    pub fn watch_each(&self, prefixes: &[&str]) -> Result<Watch, StoreError> {
        Ok(Watch::start(&self.shared.engine, prefixes))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.queue = None;
        let Some(writer) = self.writer.take() else { return };
        // A closure may own the last handle; the writer cannot wait for itself.
        if writer.thread().id() != thread::current().id() && writer.join().is_err() {
            tracing::error!("the store's writer had panicked");
        }
    }
}

#[cfg(test)]
mod tests;
