//! Access keys: who may call, kept in the store at `access-key/{id}`.
//!
//! SigV4 needs the secret itself, so secrets are kept, sealed for the record each is in. They appear in no
//! log, no error and no `Debug` output.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as STANDARD;
use serde::{Deserialize, Serialize};
use trellis_auth::SecretKey;
use trellis_ca::SealingKey;
use trellis_model::AccountId;
use trellis_model::moment::Moment;
use trellis_store::{Read, Transaction};

use crate::record::{decode, get, put, scan_all};
use crate::refusal::Refusal;
use crate::vault::VaultFault;

/// What every key of an access key begins with.
pub const PREFIX: &str = "access-key/";

/// The secret half of an access key: shown by nothing, wiped by nobody until its owner drops it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretAccessKey(String);

impl From<&str> for SecretAccessKey {
    fn from(secret: &str) -> Self {
        Self(secret.to_owned())
    }
}

impl From<String> for SecretAccessKey {
    fn from(secret: String) -> Self {
        Self(secret)
    }
}

impl fmt::Debug for SecretAccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretAccessKey(redacted)")
    }
}

impl SecretAccessKey {
    /// The secret itself, for whoever is to sign with it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub fn to_key(&self) -> Result<SecretKey, trellis_auth::InvalidCredential> {
        SecretKey::new(self.0.clone())
    }
}

/// A secret as it is kept: base64 of what [`SealingKey::seal`] gives for the key's record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SealedSecret(String);

impl SealedSecret {
    /// # Errors
    /// A system without random numbers.
    pub fn seal(
        secret: &SecretAccessKey,
        access_key_id: &str,
        sealing_key: &SealingKey,
    ) -> Result<Self, VaultFault> {
        let record = record(access_key_id);
        match sealing_key.seal(&record, secret.0.as_bytes()) {
            Ok(sealed) => Ok(Self(STANDARD.encode(sealed))),
            Err(source) => Err(VaultFault::Seal { record, source }),
        }
    }

    /// # Errors
    /// What was sealed with another key, for another record, or not at all.
    pub fn open(&self, access_key_id: &str, sealing_key: &SealingKey) -> Result<SecretAccessKey, VaultFault> {
        let record = record(access_key_id);
        let sealed = STANDARD.decode(&self.0).unwrap_or_default();
        match sealing_key.open(&record, &sealed) {
            Ok(secret) => Ok(SecretAccessKey(String::from_utf8_lossy(&secret).into_owned())),
            Err(source) => Err(VaultFault::Seal { record, source }),
        }
    }
}

fn record(access_key_id: &str) -> String {
    format!("{PREFIX}{access_key_id}")
}

/// An access key and whom it speaks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKey {
    pub account: AccountId,
    /// Name of the IAM user.
    pub user: String,
    /// One that an older release kept in another way is empty, and opens as nothing.
    #[serde(default)]
    pub sealed_secret: SealedSecret,
    pub rights: Rights,
    /// An inactive key is nobody's until it is active again.
    #[serde(default)]
    pub status: Status,
    pub created_at: Moment,
}

/// Whether a key is good for anything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    #[default]
    Active,
    Inactive,
}

impl AccessKey {
    /// Whether an operator made it, who keeps it with `trellis key`; the keys of IAM's users are IAM's.
    pub fn is_operators(&self) -> bool {
        self.rights != Rights::Policies
    }

    /// `arn:aws:iam::{account}:user/{name}`, of a user without a path.
    pub fn arn(&self) -> String {
        format!("arn:aws:iam::{}:user/{}", self.account, self.user)
    }
}

/// What a key may do. What does not read is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rights {
    /// Everything in its account: the key `trellis up` was started with. One such key exists at a time.
    Admin,
    /// Everything in its account: a key that an operator made.
    Account,
    /// What the policies of its user say: see [`Hooks::authorise`](crate::Hooks).
    Policies,
    #[serde(other)]
    None,
}

pub fn find(state: &mut impl Read, access_key_id: &str) -> Result<Option<AccessKey>, Refusal> {
    get(state, &record(access_key_id))
}

/// Keys of one account, or of all, with their ids, in the order of their ids.
pub fn list(state: &mut impl Read, account: Option<&AccountId>) -> Result<Vec<(String, AccessKey)>, Refusal> {
    let mut found = Vec::new();
    for entry in scan_all(state, PREFIX)? {
        let key: AccessKey = decode(&entry)?;
        if account.is_none_or(|account| *account == key.account) {
            found.push((entry.key[PREFIX.len()..].to_owned(), key));
        }
    }
    Ok(found)
}

pub fn insert(tx: &mut Transaction<'_>, access_key_id: &str, key: &AccessKey) {
    put(tx, &record(access_key_id), key);
}

pub fn delete(tx: &mut Transaction<'_>, access_key_id: &str) {
    tx.delete(&record(access_key_id));
}

/// Makes `key` the admin key; the one of an earlier start is no longer valid.
pub fn bootstrap(
    tx: &mut Transaction<'_>,
    access_key_id: &str,
    key: &AccessKey,
    secret: &SecretAccessKey,
    sealing_key: &SealingKey,
) -> Result<(), Refusal> {
    for entry in scan_all(tx, PREFIX)? {
        let other: AccessKey = decode(&entry)?;
        let is_same = entry.key.strip_prefix(PREFIX) == Some(access_key_id);
        // Sealed twice, a secret looks different.
        let AccessKey { sealed_secret, created_at, .. } = key.clone();
        if is_same
            && (AccessKey { sealed_secret, created_at, ..other.clone() }) == *key
            && other.sealed_secret.open(access_key_id, sealing_key).is_ok_and(|before| before == *secret)
        {
            return Ok(());
        }
        if !is_same && other.rights == Rights::Admin {
            tx.delete(&entry.key);
        }
    }
    insert(tx, access_key_id, key);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(user: &str) -> AccessKey {
        AccessKey {
            account: "111122223333".parse().unwrap(),
            user: user.into(),
            sealed_secret: SealedSecret::default(),
            rights: Rights::Admin,
            status: Status::Active,
            created_at: jiff::Timestamp::UNIX_EPOCH.into(),
        }
    }

    #[test]
    fn a_secret_shows_in_no_debug_output_and_opens_for_its_own_key_alone() {
        let sealing_key = SealingKey::generate().unwrap();
        let secret = SecretAccessKey::from("hush");
        assert!(!format!("{secret:?}").contains("hush"));
        let sealed = SealedSecret::seal(&secret, "AKIA1", &sealing_key).unwrap();
        assert!(!serde_json::to_string(&sealed).unwrap().contains("hush"));
        assert_eq!(sealed.open("AKIA1", &sealing_key).unwrap(), secret);
        assert!(sealed.open("AKIA2", &sealing_key).is_err());
        assert!(sealed.open("AKIA1", &SealingKey::generate().unwrap()).is_err());
        assert!(SealedSecret::default().open("AKIA1", &sealing_key).is_err());
    }

    #[test]
    fn rights_that_are_not_known_are_none() {
        let json = serde_json::to_string(&key("admin")).unwrap();
        assert_eq!(serde_json::from_str::<AccessKey>(&json).unwrap(), key("admin"));
        let newer: AccessKey =
            serde_json::from_str(&json.replace("\"admin\",\"status", "\"rule-the-world\",\"status")).unwrap();
        assert_eq!(newer.rights, Rights::None);
    }
}
