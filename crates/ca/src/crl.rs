//! Certificate revocation lists, RFC 5280 section 5.

use jiff::Timestamp;

use crate::certificate::signed;
use crate::der::write;
use crate::distinguished_name::DistinguishedName;
use crate::extension::{self, Extension, key_identifier};
use crate::key::{PrivateKey, SignFault};
use crate::pem;
use crate::signature::SignatureAlgorithm;

/// A certificate that is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Octets of the serial number.
    pub serial: Vec<u8>,
    pub at: Timestamp,
    /// RFC 5280's number of the reason; 0, unspecified, is left out of lists.
    pub reason: u8,
}

/// A list before it is signed, version 2.
#[derive(Clone, Debug)]
pub struct Crl<'a> {
    pub issuer: &'a DistinguishedName,
    pub this_update: Timestamp,
    pub next_update: Timestamp,
    pub number: u64,
    pub revoked: &'a [Revoked],
}

impl Crl<'_> {
    /// The list in DER, signed with the issuer's key.
    ///
    /// # Errors
    /// A signature algorithm that is not for this key.
    pub fn sign(&self, key: &PrivateKey, algorithm: SignatureAlgorithm) -> Result<Vec<u8>, SignFault> {
        let entries: Vec<Vec<u8>> = self.revoked.iter().map(entry).collect();
        let entries = match entries.is_empty() {
            true => Vec::new(),
            false => write::sequence(&[&entries.concat()]),
        };
        let extensions = [
            Extension::authority_key_identifier(&key_identifier(key.public_key())),
            Extension::crl_number(self.number),
        ];
        let to_be_signed = write::sequence(&[
            &write::unsigned(&[1]),
            &algorithm.identifier(),
            self.issuer.der(),
            &write::time(self.this_update),
            &write::time(self.next_update),
            &entries,
            &write::value(write::constructed(0), &extension::sequence(&extensions)),
        ]);
        signed(&to_be_signed, algorithm, key)
    }
}

/// A list in DER as PEM.
pub fn to_pem(der: &[u8]) -> String {
    let mut out = String::new();
    pem::write(&mut out, pem::CRL, der);
    out
}

fn entry(revoked: &Revoked) -> Vec<u8> {
    let reason = match revoked.reason {
        0 => Vec::new(),
        reason => extension::sequence(&[Extension::crl_reason(reason)]),
    };
    write::sequence(&[&write::unsigned(&revoked.serial), &write::time(revoked.at), &reason])
}
