//! What needs what: one table for all services. Who uses a resource of another's holds it, by the ARNs of both; its
//! owner asks who does before it lets the resource go, and needs to know nothing else of them.
//!
//! ```text
//! reference/{arn} {arn of the holder}
//! held/{arn of the holder} {arn}          the same from the other end
//! ```

use trellis_model::Arn;
use trellis_store::{Read, Transaction};

use crate::record::{any, scan_all};
use crate::refusal::Refusal;
use crate::service::Services;
use crate::surroundings::Surroundings;

/// No ARN has a space.
fn reference(of: &str, by: &str) -> String {
    format!("reference/{of} {by}")
}

fn held(by: &str, of: &str) -> String {
    format!("held/{by} {of}")
}

/// `by` needs `of` from now on. Twice is once.
pub fn hold(tx: &mut Transaction<'_>, of: &str, by: &str) {
    tx.put(&reference(of, by), Vec::new());
    tx.put(&held(by, of), Vec::new());
}

/// `by` needs `of` no longer; nothing happens when it did not.
pub fn release(tx: &mut Transaction<'_>, of: &str, by: &str) {
    tx.delete(&reference(of, by));
    tx.delete(&held(by, of));
}

/// `by` goes and needs nothing any more.
///
/// # Errors
/// A state that cannot be read.
pub fn release_all(tx: &mut Transaction<'_>, by: &str) -> Result<(), Refusal> {
    let prefix = held(by, "");
    for entry in scan_all(tx, &prefix)? {
        release(tx, &entry.key[prefix.len()..], by);
    }
    Ok(())
}

/// What was called `by` is called `new` from now on and needs the same.
///
/// # Errors
/// A state that cannot be read.
pub fn rename_holder(tx: &mut Transaction<'_>, by: &str, new: &str) -> Result<(), Refusal> {
    let prefix = held(by, "");
    for entry in scan_all(tx, &prefix)? {
        let of = &entry.key[prefix.len()..];
        release(tx, of, by);
        hold(tx, of, new);
    }
    Ok(())
}

/// ARNs of the first `limit` that need `of`, in their order.
///
/// # Errors
/// A state that cannot be read.
pub fn holders(state: &mut impl Read, of: &str, limit: usize) -> Result<Vec<String>, Refusal> {
    let prefix = reference(of, "");
    let entries = state.scan(&prefix, None, limit)?;
    Ok(entries.into_iter().map(|entry| entry.key[prefix.len()..].to_owned()).collect())
}

/// As [`holders`], of those whose ARNs begin with `beginning`: what is of one account.
///
/// # Errors
/// A state that cannot be read.
pub fn holders_in(
    state: &mut impl Read,
    of: &str,
    beginning: &str,
    limit: usize,
) -> Result<Vec<String>, Refusal> {
    let prefix = reference(of, "");
    let entries = state.scan(&format!("{prefix}{beginning}"), None, limit)?;
    Ok(entries.into_iter().map(|entry| entry.key[prefix.len()..].to_owned()).collect())
}

/// ARNs of all that need `of`, in their order.
///
/// # Errors
/// A state that cannot be read.
pub fn all_holders(state: &mut impl Read, of: &str) -> Result<Vec<String>, Refusal> {
    let prefix = reference(of, "");
    Ok(scan_all(state, &prefix)?.into_iter().map(|entry| entry.key[prefix.len()..].to_owned()).collect())
}

/// Every reference to what begins with `beginning`: what is needed, and who needs it.
///
/// # Errors
/// A state that cannot be read.
pub fn all_to(state: &mut impl Read, beginning: &str) -> Result<Vec<(String, String)>, Refusal> {
    let entries = scan_all(state, &format!("reference/{beginning}"))?;
    let read = |key: &str| {
        let (of, by) = key.strip_prefix("reference/")?.split_once(' ')?;
        Some((of.to_owned(), by.to_owned()))
    };
    Ok(entries.iter().filter_map(|entry| read(&entry.key)).collect())
}

/// Who needs `of`, the first one there is, as refusals name it: `a target group (tg-0abc)`.
///
/// # Errors
/// A state that cannot be read.
pub fn holder_named(state: &mut impl Read, services: &Services, of: &str) -> Result<Option<String>, Refusal> {
    let Some(by) = holders(state, of, 1)?.pop() else { return Ok(None) };
    let named = by.parse::<Arn>().ok().and_then(|arn| {
        let noun = (services.holder(&arn.service)?.noun)(&arn)?;
        Some(format!("{noun} ({})", arn.resource_id()))
    });
    Ok(Some(named.unwrap_or(by)))
}

/// `of` is another than it was: whoever needs it is told within the same transaction ([`Holder::told`]) and may refuse.
///
/// [`Holder::told`]: crate::service::Holder::told
///
/// # Errors
/// What a holder refuses; a state that cannot be read.
pub fn changed(tx: &mut Transaction<'_>, surroundings: &Surroundings, of: &str) -> Result<(), Refusal> {
    let Ok(arn) = of.parse::<Arn>() else { return Ok(()) };
    for by in all_holders(tx, of)? {
        let Ok(by) = by.parse::<Arn>() else { continue };
        if let Some(holder) = surroundings.services.holder(&by.service) {
            (holder.told)(tx, surroundings, &Told { of: &arn, by: &by })?;
        }
    }
    Ok(())
}

/// What a holder is told: something it needs is another than it was.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    pub of: &'a Arn,
    pub by: &'a Arn,
}

/// Whether anything needs `of`.
///
/// # Errors
/// A state that cannot be read.
pub fn is_held(state: &mut impl Read, of: &str) -> Result<bool, Refusal> {
    any(state, &reference(of, ""))
}
