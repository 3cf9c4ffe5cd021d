//! The tags of every resource of every service, in one place.
//!
//! Tags are stored by ARN, next to nothing else: a create that brings tags writes them in its own
//! transaction, so a look-up by tag sees what has just been made, and a delete forgets them the same
//! way. What has never been tagged has no entry.

use std::collections::BTreeMap;

use trellis_model::resource::lattice::Home;
use trellis_store::{Read, Transaction};

use crate::key;
use crate::record::{get, put};
use crate::refusal::Refusal;

/// Key to value, in key order.
pub type Tags = BTreeMap<String, String>;

/// "50 enforced, 200 syntactic".
pub const MAX_TAGS: usize = 50;

/// Every tag of the resource.
pub fn read(state: &mut impl Read, home: &Home, arn: &str) -> Result<Tags, Refusal> {
    Ok(get(state, &key::tags(home, arn))?.unwrap_or_default())
}

/// Adds `tags`, replacing the values of keys that are there.
///
/// # Errors
/// [`Refusal::Invalid`] for keys that begin with `aws:`, keys and values out of length, and more
/// than [`MAX_TAGS`] tags in all.
pub fn merge(tx: &mut Transaction<'_>, home: &Home, arn: &str, tags: &Tags) -> Result<(), Refusal> {
    if tags.is_empty() {
        return Ok(());
    }
    for (key, value) in tags {
        if key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
            return Err(Refusal::invalid("tags", "keys that begin with aws: are reserved"));
        }
        if !(1..=128).contains(&key.chars().count()) || value.chars().count() > 256 {
            return Err(Refusal::invalid("tags", "a key has 1 to 128 characters and a value at most 256"));
        }
    }
    let mut all = read(tx, home, arn)?;
    all.extend(tags.iter().map(|(key, value)| (key.clone(), value.clone())));
    if all.len() > MAX_TAGS {
        return Err(Refusal::invalid(
            "tags",
            format_args!("a resource has at most {MAX_TAGS} tags, not {}", all.len()),
        ));
    }
    put(tx, &key::tags(home, arn), &all);
    Ok(())
}

/// Takes `tag_keys` away; keys that are not there do not matter.
pub fn remove<'a>(
    tx: &mut Transaction<'_>,
    home: &Home,
    arn: &str,
    tag_keys: impl IntoIterator<Item = &'a str>,
) -> Result<(), Refusal> {
    let mut all = read(tx, home, arn)?;
    let before = all.len();
    for key in tag_keys {
        all.remove(key);
    }
    if all.is_empty() {
        forget(tx, home, arn);
    } else if all.len() != before {
        put(tx, &key::tags(home, arn), &all);
    }
    Ok(())
}

/// Drops every tag: the resource is gone.
pub fn forget(tx: &mut Transaction<'_>, home: &Home, arn: &str) {
    tx.delete(&key::tags(home, arn));
}

/// Tagged resources in ARN order, those after `after`, at most `limit`.
pub fn list(
    state: &mut impl Read,
    home: &Home,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<(String, Tags)>, Refusal> {
    let prefix = key::tags_in(home);
    let after = after.map(|arn| format!("{prefix}{arn}"));
    state
        .scan(&prefix, after.as_deref(), limit)?
        .into_iter()
        .map(|entry| {
            let tags = crate::record::decode(&entry)?;
            Ok((entry.key[prefix.len()..].to_owned(), tags))
        })
        .collect()
}
