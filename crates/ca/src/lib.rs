//! Trellis's private certificate authority, and everything else about certificates that needs no I/O.
//!
//! - [`Authority`] issues a certificate per service, for its generated name; its own certificate is
//!   what users add to their trust stores.
//! - [`import::check`] reads a certificate, key and chain that a user brings, and refuses what would
//!   fail a handshake later, saying what was found and what was expected.
//! - [`Leaf`] is what both give: a chain and a private key ready for rustls, and the [`Facts`] that
//!   the certificate states.
//! - [`ToBeSigned`], [`Crl`] and [`ocsp`] are what a certificate authority of an account's own signs, [`Csr`] what it
//!   is asked with; which fields and extensions stand in them is its owner's affair.
//! - [`SealingKey`] encrypts what is kept of all this, bound to the record it is kept in.
//!
//! The clock is an argument and nothing here touches a file or a socket. Secrets are wiped when they
//! are dropped and never appear in `Debug` output or in an error.

pub mod authority;
pub mod authority_certificate;
pub mod certificate;
pub mod crl;
pub mod csr;
pub mod distinguished_name;
pub mod extension;
pub mod facts;
pub mod import;
pub mod key;
pub mod leaf;
pub mod name;
pub mod ocsp;
pub mod seal;
pub mod signature;

mod der;
mod pem;
mod subject;

pub use authority::{Authority, IssueError, LeafRequest, SubjectName};
pub use certificate::ToBeSigned;
pub use crl::Crl;
pub use csr::{Csr, CsrFault};
pub use distinguished_name::DistinguishedName;
pub use extension::{Extension, GeneralName};
pub use facts::{CertificateFault, Facts};
pub use import::{ImportError, Material, Purpose};
pub use key::{KeyAlgorithm, KeyFault, PrivateKey, SignFault};
pub use leaf::{Leaf, StoredFault};
pub use pem::{PemFault, certificates_of_pem, certificates_to_pem};
pub use seal::{SealError, SealingKey};
pub use signature::SignatureAlgorithm;

/// SHA-256 of `text`.
pub fn sha256(text: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}
