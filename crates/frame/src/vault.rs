//! What is secret and has to be kept: the private CA, and the key that everything secret is sealed with.
//!
//! The sealing key comes from outside the store and never goes into it. The authority is made at the first start
//! and kept sealed at `ca/authority`; whatever else is secret is sealed for the record it is kept in.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use trellis_ca::{
    Authority, IssueError, KeyAlgorithm, Leaf, LeafRequest, SealError, SealingKey, StoredFault, SubjectName,
};
use trellis_store::{Read, Store, StoreError};
use zeroize::Zeroizing;

use crate::key;
use crate::random::Random;
use crate::refusal::Refusal;

/// Why a secret cannot be had. Its text holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum VaultFault {
    #[error("{record} cannot be sealed or opened")]
    Seal { record: String, source: SealError },
    #[error("what is sealed in {record} cannot be used")]
    Stored { record: String, source: StoredFault },
    #[error("the private CA could not make a certificate")]
    Issue(#[from] IssueError),
}

/// A certificate of the private CA that is kept nowhere, and its key.
pub struct IssuedCertificate {
    pub certificate_pem: String,
    pub key_pem: Zeroizing<String>,
    /// When it is time for the next.
    pub renew_in: Duration,
}

/// The private CA and the sealing key. `Debug` of neither shows a key.
#[derive(Debug)]
pub struct Vault {
    sealing_key: Arc<SealingKey>,
    authority: Authority,
}

/// "ACM certificates are valid for 13 months (395 days)."
const USERS_VALIDITY: Duration = Duration::from_secs(395 * 24 * 3600);

impl Vault {
    /// Opens the authority of `store`, or makes one.
    ///
    /// # Errors
    /// A store that fails; an authority sealed with another key; a clock no certificate can hold.
    pub async fn open(
        store: &Store,
        sealing_key: Arc<SealingKey>,
        random: &Random,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let record = key::AUTHORITY;
        let found = store.read()?.get(record)?.map(|entry| entry.value);
        let sealed = match found {
            Some(sealed) => sealed,
            None => {
                // Trust stores tell authorities apart by name.
                let name = format!("Trellis CA {:08x}", random.draw() >> 32);
                let made = Authority::create(&name, now).map_err(VaultFault::from)?;
                let sealed = seal(&sealing_key, record, &made.to_stored())?;
                store
                    .transact(move |tx| {
                        if let Some(before) = tx.get(record)? {
                            return Ok(before.value);
                        }
                        tx.put(record, sealed.clone());
                        Ok::<_, Refusal>(sealed.clone())
                    })
                    .await?
            }
        };
        let stored = sealing_key
            .open(record, &sealed)
            .map_err(|source| VaultFault::Seal { record: record.to_owned(), source })?;
        let authority = Authority::from_stored(&stored)
            .map_err(|source| VaultFault::Stored { record: record.to_owned(), source })?;
        Ok(Self { sealing_key, authority })
    }

    /// The root certificate as PEM.
    pub fn ca_pem(&self) -> String {
        self.authority.ca_pem()
    }

    /// The key alone, for who only opens.
    pub fn sealing_key(&self) -> Arc<SealingKey> {
        self.sealing_key.clone()
    }

    /// A certificate of the authority for `host`, 90 days, with a new P-256 key.
    pub fn issue(&self, host: &str, now: Timestamp) -> Result<Leaf, VaultFault> {
        Ok(self.authority.issue(&LeafRequest::for_hosts([host]), now)?)
    }

    /// A certificate of the authority for host names that are somebody's, with a new key of that kind, for 395 days.
    pub fn issue_to(&self, names: &[String], key: KeyAlgorithm, now: Timestamp) -> Result<Leaf, VaultFault> {
        let request = LeafRequest::for_hosts(names.iter().map(String::as_str));
        Ok(self.authority.issue(&LeafRequest { validity: USERS_VALIDITY, key, ..request }, now)?)
    }

    /// A certificate of the authority for names and addresses.
    pub fn issue_for(&self, names: &[String], now: Timestamp) -> Result<IssuedCertificate, IssueError> {
        let name =
            |text: &String| text.parse().map_or_else(|_| SubjectName::Dns(text.clone()), SubjectName::Ip);
        let leaf = self.authority.issue(&LeafRequest::new(names.iter().map(name)), now)?;
        Ok(IssuedCertificate {
            certificate_pem: leaf.certificate_pem(),
            key_pem: leaf.private_key().to_pem(),
            renew_in: Duration::try_from(leaf.renew_at().duration_since(now)).unwrap_or_default(),
        })
    }

    /// Seals `leaf` for `record`.
    pub fn seal(&self, record: &str, leaf: &Leaf) -> Result<Vec<u8>, VaultFault> {
        seal(&self.sealing_key, record, &leaf.to_stored())
    }

    /// Opens what is at `record`.
    pub fn open_leaf(&self, record: &str, sealed: &[u8]) -> Result<Leaf, VaultFault> {
        open(&self.sealing_key, record, sealed)
    }
}

fn seal(key: &SealingKey, record: &str, plaintext: &[u8]) -> Result<Vec<u8>, VaultFault> {
    key.seal(record, plaintext).map_err(|source| VaultFault::Seal { record: record.to_owned(), source })
}

/// The certificate and key sealed at `record`.
pub fn open(key: &SealingKey, record: &str, sealed: &[u8]) -> Result<Leaf, VaultFault> {
    let stored =
        key.open(record, sealed).map_err(|source| VaultFault::Seal { record: record.to_owned(), source })?;
    Leaf::from_stored(&stored).map_err(|source| VaultFault::Stored { record: record.to_owned(), source })
}

/// Whether the state holds secrets, which only the sealing key it was begun with opens.
///
/// # Errors
/// A store that fails.
pub fn is_sealed(store: &Store) -> Result<bool, StoreError> {
    Ok(store.read()?.get(key::AUTHORITY)?.is_some())
}
