//! Reading: one state, seen whole.

use std::ops::Bound;

use redb::{ReadOnlyTable, ReadableTable};

use crate::entry::decode;
use crate::{Entry, Revision, StoreError};

/// Looking things up, the same in a snapshot and inside a transaction.
pub trait Read {
    /// The entry at `key`, if there is one.
    ///
    /// # Errors
    /// [`StoreError::Storage`] when the file cannot be read, [`StoreError::DamagedEntry`] when
    /// what it holds has not the form of an entry.
    fn get(&mut self, key: &str) -> Result<Option<Entry>, StoreError>;

    /// Entries whose keys start with `prefix` and sort after `after`, ascending by the bytes of
    /// the key, at most `limit`. The empty prefix is everything. For the next page pass the last
    /// key seen as `after`.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    fn scan(&mut self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Entry>, StoreError>;
}

impl<R: Read + ?Sized> Read for &mut R {
    fn get(&mut self, key: &str) -> Result<Option<Entry>, StoreError> {
        (**self).get(key)
    }

    fn scan(&mut self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        (**self).scan(prefix, after, limit)
    }
}

/// A consistent snapshot: what is committed later does not show. Drop it soon, it keeps the file
/// from reusing space.
pub struct Reader {
    table: ReadOnlyTable<&'static str, &'static [u8]>,
    revision: Revision,
}

impl Reader {
    pub(crate) fn new(table: ReadOnlyTable<&'static str, &'static [u8]>, revision: Revision) -> Self {
        Self { table, revision }
    }

    /// The newest revision contained; 0 when nothing was ever written.
    pub fn revision(&self) -> Revision {
        self.revision
    }
}

impl Read for Reader {
    fn get(&mut self, key: &str) -> Result<Option<Entry>, StoreError> {
        self.table.entry(key)
    }

    fn scan(&mut self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.table.entries(prefix, after)?.take(limit).collect()
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("revision", &self.revision).finish_non_exhaustive()
    }
}

pub(crate) type Entries<'a> = Box<dyn Iterator<Item = Result<Entry, StoreError>> + 'a>;

/// A table of entries, whichever kind of transaction it was opened in.
pub(crate) trait Source {
    fn entry(&self, key: &str) -> Result<Option<Entry>, StoreError>;
    fn entries<'a>(&'a self, prefix: &'a str, after: Option<&'a str>) -> Result<Entries<'a>, StoreError>;
}

impl<T: ReadableTable<&'static str, &'static [u8]>> Source for T {
    fn entry(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        self.get(key)?.map(|record| decode(key, record.value())).transpose()
    }

    fn entries<'a>(&'a self, prefix: &'a str, after: Option<&'a str>) -> Result<Entries<'a>, StoreError> {
        let range = self.range::<&str>((first(prefix, after), Bound::Unbounded))?;
        let entries = range.map(|item| {
            let (key, record) = item?;
            decode(key.value(), record.value())
        });
        Ok(Box::new(entries.take_while(move |entry| match entry {
            Ok(entry) => entry.key.starts_with(prefix),
            Err(_) => true,
        })))
    }
}

/// Where a scan begins: at the prefix, or behind `after` when that is further on.
pub(crate) fn first<'a>(prefix: &'a str, after: Option<&'a str>) -> Bound<&'a str> {
    match after {
        Some(after) if after >= prefix => Bound::Excluded(after),
        _ => Bound::Included(prefix),
    }
}
