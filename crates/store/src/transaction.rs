//! A transaction in progress: the committed state with this transaction's writes laid over it.

use std::collections::BTreeMap;
use std::collections::btree_map::Range;
use std::iter::Peekable;
use std::ops::Bound;

use crate::entry::{MAX_KEY_BYTES, MAX_TRANSACTION_BYTES, MAX_VALUE_BYTES};
use crate::reader::{Source, first};
use crate::{Entry, Read, Revision, StoreError};

/// The net effect of a transaction: for each key it touched, the value or `None` for deleted.
pub(crate) type Overlay = BTreeMap<String, Option<Vec<u8>>>;

/// What a closure given to [`Store::transact`](crate::Store::transact) works on.
///
/// Reads see earlier transactions and this one's own writes. Only the net effect is kept: a key
/// that is deleted and put again in one transaction was updated.
pub struct Transaction<'a> {
    base: &'a dyn Source,
    overlay: Overlay,
    revision: Revision,
    written: usize,
    /// The first thing that makes this transaction unable to commit.
    failure: Option<StoreError>,
}

impl std::fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction").field("revision", &self.revision).finish_non_exhaustive()
    }
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(base: &'a dyn Source, revision: Revision) -> Self {
        Self { base, overlay: Overlay::new(), revision, written: 0, failure: None }
    }

    pub(crate) fn finish(self) -> Result<Overlay, StoreError> {
        match self.failure {
            Some(failure) => Err(failure),
            None => Ok(self.overlay),
        }
    }

    /// The revision that this transaction's writes get when it commits.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Writes `value` at `key`. A key or value outside the limits of this crate makes the whole
    /// transaction end in that error, whatever the closure answers.
    pub fn put(&mut self, key: &str, value: Vec<u8>) {
        if value.len() > MAX_VALUE_BYTES {
            let key = key.chars().take(128).collect();
            return self.fail(&StoreError::ValueTooLarge { key, bytes: value.len() });
        }
        self.write(key, Some(value));
    }

    /// Removes `key`; nothing happens when it is not there.
    pub fn delete(&mut self, key: &str) {
        self.write(key, None);
    }

    fn write(&mut self, key: &str, value: Option<Vec<u8>>) {
        if key.is_empty() {
            return self.fail(&StoreError::EmptyKey);
        }
        if key.len() > MAX_KEY_BYTES {
            return self.fail(&StoreError::KeyTooLong { bytes: key.len() });
        }
        self.written += key.len() + value.as_ref().map_or(0, Vec::len);
        if self.written > MAX_TRANSACTION_BYTES {
            return self.fail(&StoreError::TransactionTooLarge);
        }
        self.overlay.insert(key.to_owned(), value);
    }

    fn fail(&mut self, failure: &StoreError) {
        self.failure.get_or_insert_with(|| failure.clone());
    }

    /// Remembers a failed look-up: a transaction that did not see the state must not commit, even
    /// when the closure overlooks the error.
    fn seen<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &result {
            self.fail(error);
        }
        result
    }
}

impl Read for Transaction<'_> {
    fn get(&mut self, key: &str) -> Result<Option<Entry>, StoreError> {
        let found = self.base.entry(key);
        let base = self.seen(found)?;
        Ok(match self.overlay.get(key) {
            None => base,
            Some(None) => None,
            Some(Some(value)) => Some(Entry {
                key: key.to_owned(),
                value: value.clone(),
                created: base.map_or(self.revision, |entry| entry.created),
                modified: self.revision,
            }),
        })
    }

    fn scan(&mut self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let found = self.base.entries(prefix, after).and_then(|base| {
            let overlay = self.overlay.range::<str, _>((first(prefix, after), Bound::Unbounded));
            Merged { base: base.peekable(), overlay: overlay.peekable(), prefix, revision: self.revision }
                .take(limit)
                .collect()
        });
        self.seen(found)
    }
}

/// Base and overlay in one ascending walk; the overlay wins where both have a key.
struct Merged<'a, B: Iterator> {
    base: Peekable<B>,
    overlay: Peekable<Range<'a, String, Option<Vec<u8>>>>,
    prefix: &'a str,
    revision: Revision,
}

impl<B: Iterator<Item = Result<Entry, StoreError>>> Iterator for Merged<'_, B> {
    type Item = Result<Entry, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let written = self.overlay.peek().filter(|(key, _)| key.starts_with(self.prefix));
            let Some(&(key, value)) = written else { return self.base.next() };
            let existing = match self.base.peek() {
                Some(Err(_)) => return self.base.next(),
                Some(Ok(entry)) if entry.key < *key => return self.base.next(),
                Some(Ok(entry)) if entry.key == *key => Some(entry.created),
                _ => None,
            };
            if existing.is_some() {
                self.base.next();
            }
            self.overlay.next();
            if let Some(value) = value {
                return Some(Ok(Entry {
                    key: key.clone(),
                    value: value.clone(),
                    created: existing.unwrap_or(self.revision),
                    modified: self.revision,
                }));
            }
        }
    }
}
