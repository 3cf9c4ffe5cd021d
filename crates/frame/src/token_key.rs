//! The keys that session tokens are sealed with: made here, replaced every day, and kept until no
//! token that they sealed can be alive.
//!
//! Each is a record at `token-key/{id}`, sealed like every secret: when it was made, and the key. Proxies
//! get them in the Snapshot, and so open tokens without asking anybody.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use trellis_auth::TokenKeys;
use trellis_ca::SealingKey;
use trellis_model::snapshot::TokenKey;
use trellis_store::Read;
use zeroize::Zeroizing;

use crate::record::scan_all;
use crate::refusal::Refusal;
use crate::surroundings::Surroundings;
use crate::task;
use crate::vault::VaultFault;

/// What every key of these records begins with.
pub const PREFIX: &str = "token-key/";

/// How long a key seals.
const SEALS: SignedDuration = SignedDuration::from_hours(24);

/// After this time every proxy has a new key.
const HEARD_OF: SignedDuration = SignedDuration::from_mins(1);

/// "36 hours": the longest life of a session, GetSessionToken's.
const LONGEST_SESSION: SignedDuration = SignedDuration::from_hours(36);

/// How often the keys are looked at.
const EVERY: Duration = Duration::from_secs(3600);

/// Seconds since 1970 and the key, before they are sealed.
const PLAIN: usize = 8 + 32;

/// A key with its age.
#[derive(Debug, Clone)]
pub struct Dated {
    pub made_at: Timestamp,
    pub key: TokenKey,
}

/// Opens the record at `key`; `None` for one that is no key of this kind.
///
/// # Errors
/// What was sealed with another key or for another record.
pub fn open(sealing_key: &SealingKey, key: &str, sealed: &[u8]) -> Result<Option<Dated>, VaultFault> {
    let Some(id) = key.strip_prefix(PREFIX).and_then(|id| u32::from_str_radix(id, 16).ok()) else {
        return Ok(None);
    };
    let plain = sealing_key
        .open(key, sealed)
        .map_err(|source| VaultFault::Seal { record: key.to_owned(), source })?;
    let Some((seconds, secret)) = plain.split_first_chunk::<8>() else { return Ok(None) };
    let (Ok(made_at), Ok(secret)) =
        (Timestamp::from_second(i64::from_be_bytes(*seconds)), <[u8; 32]>::try_from(secret))
    else {
        return Ok(None);
    };
    Ok(Some(Dated { made_at, key: TokenKey { id: id.to_be_bytes(), key: secret.into() } }))
}

/// Every key there is, the newest first: it seals.
///
/// # Errors
/// A store that fails; a key that does not open.
pub fn all(state: &mut impl Read, sealing_key: &SealingKey) -> Result<Vec<Dated>, Refusal> {
    let mut keys = Vec::new();
    for entry in scan_all(state, PREFIX)? {
        keys.extend(open(sealing_key, &entry.key, &entry.value)?);
    }
    keys.sort_unstable_by_key(|dated: &Dated| (std::cmp::Reverse(dated.made_at), dated.key.id));
    Ok(keys)
}

/// What opens every session token that is good, and seals new ones with the newest key that every proxy has.
///
/// # Errors
/// As [`all`].
pub fn token_keys(
    state: &mut impl Read,
    sealing_key: &SealingKey,
    now: Timestamp,
) -> Result<TokenKeys, Refusal> {
    let mut keys = all(state, sealing_key)?;
    // A proxy that had not heard of a new key yet would refuse what it sealed.
    let settled = keys.iter().position(|dated| now.duration_since(dated.made_at) >= HEARD_OF);
    keys.rotate_left(settled.unwrap_or(0));
    Ok(TokenKeys::new(keys.iter().map(|dated| (dated.key.id, &*dated.key.key))))
}

/// Makes a key when there is none that may seal, and forgets those whose tokens are all over.
///
/// # Errors
/// A store that fails, a system without random numbers, a key that does not open.
pub async fn rotate(surroundings: &Arc<Surroundings>) -> Result<(), Refusal> {
    let now = surroundings.clock.now();
    let sealing_key = surroundings.vault.sealing_key();
    let id = (surroundings.random.draw() >> 32) as u32;
    let record = format!("{PREFIX}{id:08x}");
    let mut plain = Zeroizing::new([0; PLAIN]);
    plain[..8].copy_from_slice(&now.as_second().to_be_bytes());
    getrandom::fill(&mut plain[8..])
        .map_err(|_| VaultFault::Seal { record: record.clone(), source: trellis_ca::SealError::System })?;
    let fault = |source| VaultFault::Seal { record: record.clone(), source };
    let sealed = sealing_key.seal(&record, &*plain).map_err(fault)?;
    surroundings
        .store
        .transact(move |tx| {
            let keys = all(tx, &sealing_key)?;
            let age = |dated: &Dated| now.duration_since(dated.made_at);
            for dated in keys.iter().filter(|dated| age(dated) > SEALS + LONGEST_SESSION) {
                tx.delete(&format!("{PREFIX}{:08x}", u32::from_be_bytes(dated.key.id)));
            }
            if keys.first().is_none_or(|newest| age(newest) >= SEALS) {
                tx.put(&record, sealed.clone());
            }
            Ok::<_, Refusal>(())
        })
        .await?;
    Ok(())
}

/// Looks at the keys for ever. Ends when the store is closed.
pub async fn run(surroundings: Arc<Surroundings>) {
    let what = "the keys of session tokens could not be replaced";
    task::every(EVERY, what, || rotate(&surroundings)).await;
}
