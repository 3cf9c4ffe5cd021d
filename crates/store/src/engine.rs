//! The open database, and what happens to it when the disk fails.
//!
//! After an I/O error the storage engine trusts nothing it has in memory. So the database is
//! dropped, and the next call opens the file again from what is durable; watchers then start over,
//! because whether the failed commit survived is only known from the file.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use redb::{Database, ReadableDatabase as _};

use crate::file::{DirectoryLock, MAIN, META, REVISION};
use crate::reader::Reader;
use crate::watch::{Commit, Subscription};
use crate::{OpenError, StoreError};

type Opener = Box<dyn Fn() -> Result<Database, OpenError> + Send + Sync>;

/// Shared by the handles, the writer and (weakly) the watchers.
pub(crate) struct Engine {
    opener: Opener,
    /// `None` between a storage failure and the next call.
    database: RwLock<Option<Arc<Database>>>,
    subscriptions: Mutex<Vec<Weak<Subscription>>>,
    /// After `database`: the directory is let go only once the file is closed.
    _lock: Option<DirectoryLock>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Engine {
    pub(crate) fn open(
        opener: impl Fn() -> Result<Database, OpenError> + Send + Sync + 'static,
        lock: Option<DirectoryLock>,
    ) -> Result<Self, OpenError> {
        let database = opener()?;
        Ok(Self {
            opener: Box::new(opener),
            database: RwLock::new(Some(Arc::new(database))),
            subscriptions: Mutex::default(),
            _lock: lock,
        })
    }

    /// The database, opened again where it failed before.
    pub(crate) fn database(&self) -> Result<Arc<Database>, StoreError> {
        if let Some(database) = &*self.database.read().unwrap_or_else(PoisonError::into_inner) {
            return Ok(Arc::clone(database));
        }
        let mut slot = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = &*slot {
            return Ok(Arc::clone(database));
        }
        let database = Arc::new((self.opener)().map_err(|error| StoreError::Unavailable(Arc::new(error)))?);
        tracing::info!("state file opened again after a storage failure");
        *slot = Some(Arc::clone(&database));
        drop(slot);
        self.each_subscription(|subscription| subscription.start_over());
        Ok(database)
    }

    /// Called by the writer when a commit did not succeed.
    pub(crate) fn fail(&self) {
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn read(&self) -> Result<Reader, StoreError> {
        let transaction = self.database()?.begin_read()?;
        let revision = transaction.open_table(META)?.get(REVISION)?.map_or(0, |value| value.value());
        Ok(Reader::new(transaction.open_table(MAIN)?, revision))
    }

    pub(crate) fn subscribe(&self, subscription: &Arc<Subscription>) {
        let mut subscriptions = self.subscriptions();
        subscriptions.retain(|other| other.strong_count() > 0);
        subscriptions.push(Arc::downgrade(subscription));
    }

    pub(crate) fn publish(&self, commits: &[Commit]) {
        self.each_subscription(|subscription| subscription.push(commits));
    }

    pub(crate) fn close(&self) {
        self.each_subscription(|subscription| subscription.close());
    }

    fn each_subscription(&self, mut act: impl FnMut(&Subscription)) {
        self.subscriptions().retain(|subscription| {
            subscription.upgrade().inspect(|subscription| act(subscription)).is_some()
        });
    }

    fn subscriptions(&self) -> MutexGuard<'_, Vec<Weak<Subscription>>> {
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
