//! What can go wrong, by whose fault; the texts of [`OpenError`] are for the person at the terminal.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::entry::{MAX_KEY_BYTES, MAX_TRANSACTION_BYTES, MAX_VALUE_BYTES};

/// Why a data directory could not be opened. `Display` says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another [`Store`](crate::Store) of this one, has the directory open.
    #[error("{} is in use by {}; stop it, or choose another data directory", dir.display(), owner(*.pid))]
    Locked { dir: PathBuf, pid: Option<u32> },
    /// The file is not a state file, or its checksums do not hold. Nothing was changed in it.
    #[error(
        "{} is damaged ({reason}); restore it from a backup, or move it away to start empty",
        path.display()
    )]
    Damaged { path: PathBuf, reason: String },
    /// The operating system refused access.
    #[error("no permission to read and write {}; make its owner the user that runs this, or choose another data directory", path.display())]
    Permission { path: PathBuf, source: io::Error },
    /// A later release wrote the file.
    #[error("{} has state format {found}, this release knows {supported}; run the release that wrote it", path.display())]
    NewerFormat { path: PathBuf, found: u64, supported: u64 },
    /// Anything else the file system or the storage engine said.
    #[error("cannot open {}; check that its disk is there, healthy and has free space", path.display())]
    Io { path: PathBuf, source: Box<dyn std::error::Error + Send + Sync> },
}

fn owner(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// Why the store could not do what was asked. Cheap to clone: one failure can answer many callers.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The caller's fault: the empty string is not a key.
    #[error("a key must not be empty")]
    EmptyKey,
    /// The caller's fault.
    #[error("a key of {bytes} bytes is longer than {MAX_KEY_BYTES}")]
    KeyTooLong { bytes: usize },
    /// The caller's fault; of a long key, its beginning.
    #[error("the value of {key:?} has {bytes} bytes, more than {MAX_VALUE_BYTES}")]
    ValueTooLarge { key: String, bytes: usize },
    /// The caller's fault: keys and values of one transaction together.
    #[error("a transaction must not write more than {MAX_TRANSACTION_BYTES} bytes")]
    TransactionTooLarge,
    /// The closure panicked; nothing of it was written.
    #[error("the transaction panicked and wrote nothing")]
    Panicked,
    /// A stored record does not have its form.
    #[error("the stored entry {key} is damaged")]
    DamagedEntry { key: String },
    /// The disk or the storage engine failed. A transaction answered so is not acknowledged: it
    /// may or may not be there afterwards, whole.
    #[error("storage failed")]
    Storage(#[source] Arc<redb::Error>),
    /// Storage failed before and could not be opened again yet; each call tries anew.
    #[error("the state file is unavailable after a storage failure")]
    Unavailable(#[source] Arc<OpenError>),
    /// The store was dropped.
    #[error("the store is closed")]
    Closed,
}

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> Self {
        Self::Storage(Arc::new(error.into()))
    }
}

/// How a transaction ended without a commit.
#[derive(Debug, thiserror::Error)]
pub enum TransactError<E> {
    /// The closure's own refusal.
    #[error("the transaction was refused")]
    Caller(E),
    /// The store's.
    #[error(transparent)]
    Store(StoreError),
}

impl<E> From<StoreError> for TransactError<E> {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
