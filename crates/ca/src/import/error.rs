//! Why a certificate is not taken. The texts are for the person who tried: what was found, what was
//! expected, never a byte of the key.

use std::fmt;

use jiff::Timestamp;

use super::{MAX_CHAIN_CERTIFICATES, MAX_CHAIN_DER};
use crate::facts::{CertificateFault, ExtendedKeyUsageName, KeyUsage};
use crate::key::{KeyAlgorithm, KeyFault};
use crate::pem::PemFault;

/// A member of ImportCertificate's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Certificate,
    PrivateKey,
    CertificateChain,
}

impl Field {
    /// The member's name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Certificate => "Certificate",
            Self::PrivateKey => "PrivateKey",
            Self::CertificateChain => "CertificateChain",
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Certificate | Self::CertificateChain => "CERTIFICATE",
            Self::PrivateKey => "PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which certificate is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Certificate,
    /// In the chain, counted from 1.
    Chain(usize),
}

impl Place {
    pub fn field(self) -> Field {
        match self {
            Self::Certificate => Field::Certificate,
            Self::Chain(_) => Field::CertificateChain,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate => f.write_str("the certificate"),
            Self::Chain(position) => write!(f, "certificate {position} of the chain"),
        }
    }
}

/// Why [`check`](super::check) refused. Always the caller's fault; [`field`](Self::field) says which
/// member of the input is to be corrected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    #[error("{field} is {got} bytes long, expected at most {limit}")]
    TooLarge { field: Field, got: usize, limit: usize },
    #[error("{field} is not PEM: {fault}")]
    Pem { field: Field, fault: PemFault },
    #[error("{field} holds a section {found}, expected {}", field.label())]
    Section { field: Field, found: String },
    #[error("Certificate holds {got} certificates, expected one: the others belong in CertificateChain")]
    SeveralCertificates { got: usize },
    #[error("PrivateKey holds {got} keys, expected one")]
    SeveralKeys { got: usize },
    #[error("the private key is encrypted with a passphrase, expected an unencrypted one")]
    EncryptedKey,
    #[error("the private key cannot be used: {fault}")]
    Key { fault: KeyFault },
    #[error("{place} cannot be used: {fault}")]
    Certificate { place: Place, fault: CertificateFault },
    #[error("{place} expired at {not_after}, and it is {now}")]
    Expired { place: Place, not_after: Timestamp, now: Timestamp },
    #[error("{place} is valid from {not_before} only, and it is {now}")]
    NotYetValid { place: Place, not_before: Timestamp, now: Timestamp },
    #[error("the private key ({key}) is not the one the certificate was made for ({certificate})")]
    KeyMismatch { certificate: KeyAlgorithm, key: KeyAlgorithm },
    #[error("the certificate of {subject:?} is an authority's, expected a server's")]
    Authority { subject: String },
    #[error("the certificate cannot be used by TLS servers: {reason}")]
    Unusable { reason: String },
    #[error("the certificate of {subject:?} has no host name: expected a subject alternative name")]
    NoNames { subject: String },
    #[error("the certificate is for {found:?} only, expected TlsWebServerAuthentication")]
    ExtendedKeyUsage { found: Vec<ExtendedKeyUsageName> },
    #[error("the certificate's key is for {found:?} only, expected DigitalSignature")]
    KeyUsage { found: Vec<KeyUsage> },
    #[error("the signature on {place} does not verify")]
    Signature { place: Place },
    #[error("CertificateChain holds {got} certificates, expected at most {MAX_CHAIN_CERTIFICATES}")]
    ChainLength { got: usize },
    #[error("certificate and chain are {got} bytes of DER, expected at most {MAX_CHAIN_DER}")]
    ChainBytes { got: usize },
    #[error("certificate {position} of the chain is the certificate itself, expected its issuers only")]
    ChainRepeats { position: usize },
    #[error(
        "the chain is out of order: certificate {belongs} should come in place {position}, each \
         certificate certified by the next"
    )]
    ChainOrder { position: usize, belongs: usize },
    #[error("certificate {position} of the chain is of {found:?}, expected the issuer {expected:?}")]
    ChainIssuer { position: usize, found: String, expected: String },
    #[error("certificate {position} of the chain, of {subject:?}, is not an authority's")]
    ChainNotAuthority { position: usize, subject: String },
    #[error("the chain does not verify: {reason}")]
    ChainRefused { reason: String },
}

impl ImportError {
    /// The member of the input that is at fault.
    pub fn field(&self) -> Field {
        match self {
            Self::TooLarge { field, .. } | Self::Pem { field, .. } | Self::Section { field, .. } => *field,
            Self::Certificate { place, .. }
            | Self::Expired { place, .. }
            | Self::NotYetValid { place, .. }
            | Self::Signature { place } => place.field(),
            Self::SeveralKeys { .. } | Self::EncryptedKey | Self::Key { .. } | Self::KeyMismatch { .. } => {
                Field::PrivateKey
            }
            Self::SeveralCertificates { .. }
            | Self::Authority { .. }
            | Self::Unusable { .. }
            | Self::NoNames { .. }
            | Self::ExtendedKeyUsage { .. }
            | Self::KeyUsage { .. } => Field::Certificate,
            Self::ChainLength { .. }
            | Self::ChainBytes { .. }
            | Self::ChainRepeats { .. }
            | Self::ChainOrder { .. }
            | Self::ChainIssuer { .. }
            | Self::ChainNotAuthority { .. }
            | Self::ChainRefused { .. } => Field::CertificateChain,
        }
    }
}
