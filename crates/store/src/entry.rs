//! What the store holds: entries, their revisions, and how changes are told to watchers.

use std::sync::Arc;

use crate::StoreError;

/// Counts committed transactions that changed something. The first is 1; 0 is the empty store.
pub type Revision = u64;

/// Longest key, in bytes of UTF-8.
pub const MAX_KEY_BYTES: usize = 1024;
/// Longest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 1024 * 1024;
/// Most bytes of keys and values that one transaction may write.
pub const MAX_TRANSACTION_BYTES: usize = 64 * 1024 * 1024;

/// One key and what is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// 1 to [`MAX_KEY_BYTES`] bytes.
    pub key: String,
    /// 0 to [`MAX_VALUE_BYTES`] bytes.
    pub value: Vec<u8>,
    /// The revision that made the key; kept over updates, new after a delete was committed.
    pub created: Revision,
    /// The revision that last wrote the key.
    pub modified: Revision,
}

/// One key that a commit wrote or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub key: String,
    /// The new value; `None` when the key was deleted.
    pub value: Option<Arc<[u8]>>,
    /// The revision of the commit.
    pub revision: Revision,
}

/// What a [`Watch`](crate::Watch) reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Forget everything known: this is the whole state under the prefix, in key order, one prefix after the other.
    Resync {
        /// Every change up to and including this revision is contained.
        revision: Revision,
        entries: Vec<Entry>,
    },
    /// One commit's changes under any of the prefixes, in key order; never empty.
    Changes { revision: Revision, changes: Vec<Change> },
}

const HEADER_BYTES: usize = 16;

/// The stored form of an entry: created and modified as little-endian u64, then the value.
pub(crate) fn encode(created: Revision, modified: Revision, value: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(HEADER_BYTES + value.len());
    record.extend_from_slice(&created.to_le_bytes());
    record.extend_from_slice(&modified.to_le_bytes());
    record.extend_from_slice(value);
    record
}

pub(crate) fn decode(key: &str, record: &[u8]) -> Result<Entry, StoreError> {
    let damaged = || StoreError::DamagedEntry { key: key.to_owned() };
    let (created, rest) = record.split_first_chunk().ok_or_else(damaged)?;
    let (modified, value) = rest.split_first_chunk().ok_or_else(damaged)?;
    Ok(Entry {
        key: key.to_owned(),
        value: value.to_vec(),
        created: u64::from_le_bytes(*created),
        modified: u64::from_le_bytes(*modified),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let entry = decode("k", &encode(3, 9, b"value")).unwrap();
        assert_eq!(entry, Entry { key: "k".into(), value: b"value".to_vec(), created: 3, modified: 9 });
    }

    #[test]
    fn a_record_without_its_header_is_damaged() {
        assert!(matches!(decode("k", &[0; 15]), Err(StoreError::DamagedEntry { key }) if key == "k"));
    }
}
