//! Records in and out of the store: JSON values, typed.

use std::fmt::Display;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;
use trellis_model::resource::lattice::Home;
use trellis_store::{Entry, Read, Transaction};

use crate::key::Scope;
use crate::page::{Listing, Page};
use crate::refusal::Refusal;

/// One kind of record of a service, declared beside its noun:
///
/// ```text
/// const SHELVES: Records<Shelf> = Records::new("toy", "shelf");
/// ```
///
/// Ids may be paths of parents and id: `{shelf}/{book}`. How many there are, in all and under a parent, is kept.
pub struct Records<T> {
    service: &'static str,
    kind: &'static str,
    holds: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> Records<T> {
    pub const fn new(service: &'static str, kind: &'static str) -> Self {
        Self { service, kind, holds: PhantomData }
    }

    fn scope(&self, home: &Home) -> Scope {
        Scope::new(self.service, home)
    }

    /// The key of the record of `id`.
    pub fn key(&self, home: &Home, id: impl Display) -> String {
        self.scope(home).record(self.kind, id)
    }

    pub fn get(&self, state: &mut impl Read, home: &Home, id: impl Display) -> Result<Option<T>, Refusal> {
        get(state, &self.key(home, id))
    }

    /// Writes a record, new or in place of the one there is.
    pub fn put(
        &self,
        tx: &mut Transaction<'_>,
        home: &Home,
        id: impl Display,
        record: &T,
    ) -> Result<(), Refusal> {
        let key = self.key(home, &id);
        if tx.get(&key)?.is_none() {
            self.add_to_counts(tx, home, &id.to_string(), 1)?;
        }
        put(tx, &key, record);
        Ok(())
    }

    /// Writes a record, and that a workflow has to do something about it: see [`crate::workflow`].
    pub fn put_pending(
        &self,
        tx: &mut Transaction<'_>,
        home: &Home,
        id: impl Display,
        record: &T,
    ) -> Result<(), Refusal> {
        tx.put(&self.scope(home).pending(self.kind, &id), Vec::new());
        self.put(tx, home, id, record)
    }

    /// Removes a record; nothing happens when it is not there.
    pub fn delete(&self, tx: &mut Transaction<'_>, home: &Home, id: impl Display) -> Result<(), Refusal> {
        let key = self.key(home, &id);
        if tx.get(&key)?.is_some() {
            self.add_to_counts(tx, home, &id.to_string(), -1)?;
            tx.delete(&key);
        }
        Ok(())
    }

    /// How many there are.
    pub fn count(&self, state: &mut impl Read, home: &Home) -> Result<usize, Refusal> {
        Ok(get(state, &self.scope(home).count(self.kind))?.unwrap_or_default())
    }

    /// How many there are under `parent`.
    pub fn count_of(
        &self,
        state: &mut impl Read,
        home: &Home,
        parent: impl Display,
    ) -> Result<usize, Refusal> {
        let key = self.scope(home).count(format_args!("{}/{parent}", self.kind));
        Ok(get(state, &key)?.unwrap_or_default())
    }

    fn add_to_counts(
        &self,
        tx: &mut Transaction<'_>,
        home: &Home,
        id: &str,
        change: isize,
    ) -> Result<(), Refusal> {
        let scope = self.scope(home);
        let of_parent =
            id.rsplit_once('/').map(|(parent, _)| scope.count(format_args!("{}/{parent}", self.kind)));
        for key in [Some(scope.count(self.kind)), of_parent].into_iter().flatten() {
            let count = get::<usize>(tx, &key)?.unwrap_or_default().saturating_add_signed(change);
            if count == 0 {
                tx.delete(&key);
            } else {
                put(tx, &key, &count);
            }
        }
        Ok(())
    }

    /// A page of them, in the order of their ids; those for which `each` gives nothing are left out.
    pub fn list<S: Read, O>(
        &self,
        state: &mut S,
        home: &Home,
        page: &Page,
        mut each: impl FnMut(&mut S, T) -> Result<Option<O>, Refusal>,
    ) -> Result<Listing<O>, Refusal> {
        page.list(state, &self.scope(home).records(self.kind), |state, entry| each(state, decode(entry)?))
    }

    /// A page of those under `parent`.
    pub fn list_of<S: Read, O>(
        &self,
        state: &mut S,
        home: &Home,
        parent: impl Display,
        page: &Page,
        mut each: impl FnMut(&mut S, T) -> Result<Option<O>, Refusal>,
    ) -> Result<Listing<O>, Refusal> {
        let prefix = self.scope(home).records_of(self.kind, parent);
        page.list(state, &prefix, |state, entry| each(state, decode(entry)?))
    }

    /// Every one of them, in the order of their ids. Not for what may be many.
    pub fn all(&self, state: &mut impl Read, home: &Home) -> Result<Vec<T>, Refusal> {
        all(state, &self.scope(home).records(self.kind))
    }

    /// Every one under `parent`.
    pub fn all_of(
        &self,
        state: &mut impl Read,
        home: &Home,
        parent: impl Display,
    ) -> Result<Vec<T>, Refusal> {
        all(state, &self.scope(home).records_of(self.kind, parent))
    }
}

// === single records, by key ===

/// Entries read at a time by [`scan_all`].
const PAGE: usize = 512;

/// The record at `key`, if any.
pub fn get<T: DeserializeOwned>(state: &mut impl Read, key: &str) -> Result<Option<T>, Refusal> {
    state.get(key)?.map(|entry| decode(&entry)).transpose()
}

/// An index value: the id it holds.
pub fn get_id(state: &mut impl Read, key: &str) -> Result<Option<String>, Refusal> {
    Ok(state.get(key)?.map(|entry| String::from_utf8_lossy(&entry.value).into_owned()))
}

pub fn decode<T: DeserializeOwned>(entry: &Entry) -> Result<T, Refusal> {
    serde_json::from_slice(&entry.value).map_err(|error| Refusal::Corrupt { key: entry.key.clone(), error })
}

/// The record a change of `key` leaves there; `None` where it leaves nothing, or what does not read, which is logged.
pub fn read_changed<T: DeserializeOwned>(key: &str, value: Option<&[u8]>) -> Option<T> {
    match serde_json::from_slice(value?) {
        Ok(record) => Some(record),
        Err(error) => {
            tracing::error!(key, %error, "a stored record does not read and is left out");
            None
        }
    }
}

/// Writes `record` as JSON.
pub fn put<T: Serialize>(tx: &mut Transaction<'_>, key: &str, record: &T) {
    let value = serde_json::to_vec(record).expect("records are plain structs with string keys");
    tx.put(key, value);
}

/// Writes the record of `id`, and that the workflow has to do something about it.
pub fn put_pending<T: Serialize>(
    tx: &mut Transaction<'_>,
    scope: &Scope,
    kind: &str,
    id: impl Display,
    record: &T,
) {
    tx.put(&scope.pending(kind, &id), Vec::new());
    put(tx, &scope.record(kind, &id), record);
}

/// Every entry under `prefix`, in key order.
pub fn scan_all(state: &mut impl Read, prefix: &str) -> Result<Vec<Entry>, Refusal> {
    let mut all = state.scan(prefix, None, PAGE)?;
    let mut full = all.len() == PAGE;
    while full {
        let more = state.scan(prefix, all.last().map(|entry| entry.key.as_str()), PAGE)?;
        full = more.len() == PAGE;
        all.extend(more);
    }
    Ok(all)
}

/// Every record under `prefix`, in key order.
pub fn all<T: DeserializeOwned>(state: &mut impl Read, prefix: &str) -> Result<Vec<T>, Refusal> {
    scan_all(state, prefix)?.iter().map(decode).collect()
}

/// How many entries there are under `prefix`.
pub fn count(state: &mut impl Read, prefix: &str) -> Result<usize, Refusal> {
    Ok(scan_all(state, prefix)?.len())
}

/// Whether there is any entry under `prefix`.
pub fn any(state: &mut impl Read, prefix: &str) -> Result<bool, Refusal> {
    Ok(!state.scan(prefix, None, 1)?.is_empty())
}
