//! A server's certificate chain with its private key, whether issued here or brought by a user.

use std::fmt;

use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::facts::{self, CertificateFault, Facts};
use crate::key::{KeyFault, PrivateKey};
use crate::pem::{self, PemFault};

/// A chain, the key of its first certificate, and what that certificate states.
///
/// The key always belongs to the certificate: no constructor makes one where it does not. `Debug`
/// shows the facts, not the key.
#[derive(Clone)]
pub struct Leaf {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKey,
    facts: Facts,
}

/// Why stored text is not a [`Leaf`] or an [`Authority`](crate::Authority). The state is damaged, or
/// written by another version.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoredFault {
    #[error("the stored certificate is not UTF-8")]
    NotText,
    #[error("the stored certificate cannot be read")]
    Pem(#[source] PemFault),
    #[error("the stored certificate has a section {found}, expected CERTIFICATE and PRIVATE KEY")]
    Label { found: String },
    #[error("the stored certificate has {certificates} certificates and {keys} keys")]
    Count { certificates: usize, keys: usize },
    #[error("the stored certificate cannot be used")]
    Certificate(#[source] CertificateFault),
    #[error("the stored private key cannot be used")]
    Key(#[source] KeyFault),
    #[error("the stored private key does not belong to the stored certificate")]
    KeyMismatch,
    #[error("the stored certificate is not an authority's")]
    NotAuthority,
}

/// The most certificates a stored chain has, which is the most that an import accepts.
pub(crate) const MAX_CERTIFICATES: usize = 11;

impl Leaf {
    /// Only for callers that have made sure `key` belongs to `chain[0]`.
    pub(crate) fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKey, facts: Facts) -> Self {
        Self { chain, key, facts }
    }

    /// What to send in a handshake: the certificate first, then its issuers in order. A certificate
    /// issued here stands alone, because whoever trusts it has the root already.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The server's own certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.chain[0]
    }

    pub fn private_key(&self) -> &PrivateKey {
        &self.key
    }

    /// The private key for rustls. `clone_key` makes the owned copy its providers take.
    pub fn key_der(&self) -> PrivateKeyDer<'_> {
        self.key.der()
    }

    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Whether the certificate stands for `host`; see [`Facts::covers`].
    pub fn covers(&self, host: &str) -> bool {
        self.facts.covers(host)
    }

    pub fn not_after(&self) -> Timestamp {
        self.facts.not_after.into()
    }

    /// When to have a successor: after two thirds of the certificate's life.
    pub fn renew_at(&self) -> Timestamp {
        self.facts.renew_at()
    }

    /// The certificate alone: GetCertificate's `Certificate`.
    pub fn certificate_pem(&self) -> String {
        pem::certificates_to_pem(&self.chain[..1])
    }

    /// The rest of the chain: GetCertificate's `CertificateChain`. `None` if there is none.
    pub fn chain_pem(&self) -> Option<String> {
        (self.chain.len() > 1).then(|| pem::certificates_to_pem(&self.chain[1..]))
    }

    /// Chain and private key as PEM, to be sealed and stored.
    pub fn to_stored(&self) -> Zeroizing<Vec<u8>> {
        to_stored(&self.chain, &self.key)
    }

    /// Reads what [`to_stored`](Self::to_stored) gave. Dates are not judged: an expired certificate
    /// is still there to be described and replaced.
    ///
    /// # Errors
    /// Every [`StoredFault`] but `NotAuthority`.
    pub fn from_stored(stored: &[u8]) -> Result<Self, StoredFault> {
        let (chain, key, facts) = from_stored(stored)?;
        Ok(Self { chain, key, facts })
    }
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaf").field("facts", &self.facts).field("key", &self.key).finish_non_exhaustive()
    }
}

pub(crate) fn to_stored(chain: &[CertificateDer<'_>], key: &PrivateKey) -> Zeroizing<Vec<u8>> {
    let certificates: usize =
        chain.iter().map(|certificate| pem::written_length(pem::CERTIFICATE, certificate)).sum();
    let capacity = certificates + pem::written_length(pem::PKCS8, key.pkcs8());
    let mut out = String::with_capacity(capacity);
    for certificate in chain {
        pem::write(&mut out, pem::CERTIFICATE, certificate);
    }
    pem::write(&mut out, pem::PKCS8, key.pkcs8());
    debug_assert_eq!(out.len(), capacity, "growing would leave a copy of the key behind");
    Zeroizing::new(out.into_bytes())
}

type Stored = (Vec<CertificateDer<'static>>, PrivateKey, Facts);

pub(crate) fn from_stored(stored: &[u8]) -> Result<Stored, StoredFault> {
    if std::str::from_utf8(stored).is_err() {
        return Err(StoredFault::NotText);
    }
    let sections = pem::sections(stored, MAX_CERTIFICATES + 1).map_err(StoredFault::Pem)?;
    let (mut chain, mut keys) = (Vec::new(), Vec::new());
    for section in sections {
        match section.label.as_str() {
            pem::CERTIFICATE => chain.push(CertificateDer::from(section.der.to_vec())),
            pem::PKCS8 => keys.push(PrivateKey::from_section(&section).map_err(StoredFault::Key)?),
            _ => return Err(StoredFault::Label { found: section.label }),
        }
    }
    let count = StoredFault::Count { certificates: chain.len(), keys: keys.len() };
    let (Some(certificate), Some(key), true) = (chain.first(), keys.pop(), keys.is_empty()) else {
        return Err(count);
    };
    let facts = {
        let parsed = facts::parse(certificate).map_err(StoredFault::Certificate)?;
        if *parsed.public_key().subject_public_key.data != *key.public_key() {
            return Err(StoredFault::KeyMismatch);
        }
        Facts::of_parsed(&parsed).map_err(StoredFault::Certificate)?
    };
    Ok((chain, key, facts))
}
