//! What is counted for each subscription.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counts of one subscription since the process began. Lines, but for what says otherwise.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// In the spool, or in the local file.
    pub(crate) accepted: Count,
    /// Taken by the destination.
    pub(crate) delivered: Count,
    /// Given up: no room in the spool, a disk that does not write, a subscription that went.
    pub(crate) dropped: Count,
    /// Not wanted by the destination, or damaged on the disk.
    pub(crate) refused: Count,
    /// Attempts to deliver that failed.
    pub(crate) failures: Count,
    /// Bytes in the spool.
    pub(crate) waiting: Count,
    /// The last attempt failed.
    pub(crate) is_failing: AtomicBool,
}

#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn subtract(&self, less: u64) {
        self.0.fetch_sub(less, Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
