//! The organisation of the accounts, as whoever decides who may do what reads it.

use serde_json::{from_slice, to_vec};
use trellis_model::resource::organization::{PREFIX, Record, Tree};
use trellis_store::{Read, Transaction};

use crate::record::scan_all;
use crate::refusal::Refusal;

/// The record at `key`; `None` for a key that is none of the organisation's.
///
/// # Errors
/// It does not read.
pub fn decode(key: &str, value: &[u8]) -> Result<Option<Record>, serde_json::Error> {
    let Some(rest) = key.strip_prefix(PREFIX) else { return Ok(None) };
    Ok(match rest.split('/').next().unwrap_or_default() {
        "self" => Some(Record::Organization(from_slice(value)?)),
        "unit" => Some(Record::Unit(from_slice(value)?)),
        "account" => Some(Record::Member(from_slice(value)?)),
        "policy" => Some(Record::Policy(from_slice(value)?)),
        _ => None,
    })
}

/// The organisation and everything in it; one without anything where there is none.
///
/// # Errors
/// A store that fails; a record that does not read.
pub fn read(state: &mut impl Read) -> Result<Tree, Refusal> {
    let mut tree = Tree::default();
    for entry in scan_all(state, PREFIX)? {
        let record = decode(&entry.key, &entry.value);
        let record = record.map_err(|error| Refusal::Corrupt { key: entry.key.clone(), error })?;
        if let Some(record) = record {
            tree.add(record);
        }
    }
    Ok(tree)
}

/// Writes a record, new or in place of the one there is.
///
/// # Errors
/// It cannot be written.
pub fn put(tx: &mut Transaction<'_>, record: &Record) -> Result<(), Refusal> {
    let key = record.key();
    let value = match record {
        Record::Organization(record) => to_vec(record),
        Record::Unit(record) => to_vec(record),
        Record::Member(record) => to_vec(record),
        Record::Policy(record) => to_vec(record),
    };
    let value = value.map_err(|error| Refusal::Corrupt { key: key.clone(), error })?;
    tx.put(&key, value);
    Ok(())
}
