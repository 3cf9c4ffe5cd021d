//! How many entries an index has under a prefix, kept beside them, so that a quota costs the same whatever there is.
//!
//! ```text
//! count/{prefix without its last slash}
//! ```
//!
//! What an index belongs to is put and deleted here alone, and its count with it. A count that is not there, as of a state
//! that an older release wrote, is counted once and kept from the first change on.

use serde::Serialize;
use trellis_store::{Read, Transaction};

use crate::record;
use crate::refusal::Refusal;

fn count_key(prefix: &str) -> String {
    format!("count/{}", prefix.trim_end_matches('/'))
}

/// What `key` is counted under: all before its last part.
fn prefix_of(key: &str) -> &str {
    key.rfind('/').map_or("", |slash| &key[..=slash])
}

/// How many entries there are under `prefix`, which ends in a slash.
///
/// # Errors
/// A state that cannot be read.
pub fn count(state: &mut impl Read, prefix: &str) -> Result<usize, Refusal> {
    match record::get(state, &count_key(prefix))? {
        Some(count) => Ok(count),
        None => record::count(state, prefix),
    }
}

/// Writes an entry, new or in place of the one there is.
///
/// # Errors
/// A state that cannot be read.
pub fn put(tx: &mut Transaction<'_>, key: &str, value: Vec<u8>) -> Result<(), Refusal> {
    if tx.get(key)?.is_none() {
        change(tx, prefix_of(key), 1)?;
    }
    tx.put(key, value);
    Ok(())
}

/// Writes a record as JSON, new or in place of the one there is.
///
/// # Errors
/// A state that cannot be read.
pub fn put_record<T: Serialize>(tx: &mut Transaction<'_>, key: &str, record: &T) -> Result<(), Refusal> {
    if tx.get(key)?.is_none() {
        change(tx, prefix_of(key), 1)?;
    }
    record::put(tx, key, record);
    Ok(())
}

/// Removes an entry; nothing happens when it is not there.
///
/// # Errors
/// A state that cannot be read.
pub fn delete(tx: &mut Transaction<'_>, key: &str) -> Result<(), Refusal> {
    if tx.get(key)?.is_some() {
        change(tx, prefix_of(key), -1)?;
        tx.delete(key);
    }
    Ok(())
}

fn change(tx: &mut Transaction<'_>, prefix: &str, by: isize) -> Result<(), Refusal> {
    let count = count(tx, prefix)?.saturating_add_signed(by);
    let key = count_key(prefix);
    // Where there is nothing, there is nothing to scan either.
    if count == 0 {
        tx.delete(&key);
    } else {
        record::put(tx, &key, &count);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use trellis_store::Store;

    use super::*;

    const PREFIX: &str = "index/toy/111122223333/us-east-1/name/shelf/";

    fn key(name: &str) -> String {
        format!("{PREFIX}{name}")
    }

    #[tokio::test]
    async fn what_is_put_and_deleted_is_counted_once_and_what_was_there_before_too() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let counted = || count(&mut store.read().unwrap(), PREFIX).unwrap();
        // An older release kept no counts.
        let old = |tx: &mut Transaction<'_>| {
            ["a", "b"].iter().for_each(|name| tx.put(&key(name), Vec::new()));
            Ok::<_, Refusal>(())
        };
        store.transact(old).await.unwrap();
        assert_eq!(counted(), 2);
        let put_all = |tx: &mut Transaction<'_>| {
            ["b", "c", "c", "d"].iter().try_for_each(|name| put(tx, &key(name), b"x".to_vec()))
        };
        store.transact(put_all).await.unwrap();
        assert_eq!(counted(), 4);
        assert!(store.read().unwrap().get(&count_key(PREFIX)).unwrap().is_some());
        let delete_all = |tx: &mut Transaction<'_>| {
            ["a", "a", "e", "b", "c"].iter().try_for_each(|name| delete(tx, &key(name)))
        };
        store.transact(delete_all).await.unwrap();
        assert_eq!(counted(), 1);
        store.transact(|tx| delete(tx, &key("d"))).await.unwrap();
        assert_eq!(counted(), 0);
        assert!(store.read().unwrap().get(&count_key(PREFIX)).unwrap().is_none());
    }
}
