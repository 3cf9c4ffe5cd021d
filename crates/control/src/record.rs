//! Records in and out of the store: JSON values, typed.

use std::fmt::Display;

use serde::Serialize;
use serde::de::DeserializeOwned;
use trellis_store::{Entry, Read, Transaction};

use crate::keys::Scope;
use crate::refusal::Refusal;

/// Entries read at a time by [`scan_all`].
const PAGE: usize = 512;

/// The record at `key`, if any.
pub(crate) fn get<T: DeserializeOwned>(state: &mut impl Read, key: &str) -> Result<Option<T>, Refusal> {
    state.get(key)?.map(|entry| decode(&entry)).transpose()
}

/// An index value: the id it holds.
pub(crate) fn get_id(state: &mut impl Read, key: &str) -> Result<Option<String>, Refusal> {
    Ok(state.get(key)?.map(|entry| String::from_utf8_lossy(&entry.value).into_owned()))
}

pub(crate) fn decode<T: DeserializeOwned>(entry: &Entry) -> Result<T, Refusal> {
    serde_json::from_slice(&entry.value).map_err(|error| Refusal::Corrupt { key: entry.key.clone(), error })
}

/// The record a change of `key` leaves there; `None` where it leaves nothing, or what does not read, which is logged.
pub(crate) fn read_changed<T: DeserializeOwned>(key: &str, value: Option<&[u8]>) -> Option<T> {
    match serde_json::from_slice(value?) {
        Ok(record) => Some(record),
        Err(error) => {
            tracing::error!(key, %error, "a stored record does not read and is left out");
            None
        }
    }
}

/// Writes `record` as JSON.
pub(crate) fn put<T: Serialize>(tx: &mut Transaction<'_>, key: &str, record: &T) {
    let value = serde_json::to_vec(record).expect("records are plain structs with string keys");
    tx.put(key, value);
}

/// Writes the record of `id`, and that the workflow has to do something about it.
pub(crate) fn put_pending<T: Serialize>(
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
pub(crate) fn scan_all(state: &mut impl Read, prefix: &str) -> Result<Vec<Entry>, Refusal> {
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
pub(crate) fn all<T: DeserializeOwned>(state: &mut impl Read, prefix: &str) -> Result<Vec<T>, Refusal> {
    scan_all(state, prefix)?.iter().map(decode).collect()
}

/// How many entries there are under `prefix`.
pub(crate) fn count(state: &mut impl Read, prefix: &str) -> Result<usize, Refusal> {
    Ok(scan_all(state, prefix)?.len())
}

/// Whether there is any entry under `prefix`.
pub(crate) fn any(state: &mut impl Read, prefix: &str) -> Result<bool, Refusal> {
    Ok(!state.scan(prefix, None, 1)?.is_empty())
}
