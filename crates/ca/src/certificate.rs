//! Certificates, put together field by field and signed. What stands in them is the caller's choice.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;

use crate::der::write;
use crate::distinguished_name::DistinguishedName;
use crate::extension::{self, Extension};
use crate::key::{PrivateKey, SignFault};
use crate::signature::SignatureAlgorithm;

/// A certificate before it is signed: RFC 5280 section 4.1.2, version 3.
#[derive(Clone, Debug)]
pub struct ToBeSigned<'a> {
    pub serial: [u8; 16],
    pub signature_algorithm: SignatureAlgorithm,
    pub issuer: &'a DistinguishedName,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    pub subject: &'a DistinguishedName,
    /// `SubjectPublicKeyInfo` in DER.
    pub public_key_info: &'a [u8],
    pub extensions: &'a [Extension],
}

impl ToBeSigned<'_> {
    /// The certificate, signed with the issuer's key.
    ///
    /// # Errors
    /// A signature algorithm that is not for this key.
    pub fn sign(&self, key: &PrivateKey) -> Result<CertificateDer<'static>, SignFault> {
        let version = write::value(write::constructed(0), &write::unsigned(&[2]));
        let validity = write::sequence(&[&write::time(self.not_before), &write::time(self.not_after)]);
        let extensions = match self.extensions {
            [] => Vec::new(),
            extensions => write::value(write::constructed(3), &extension::sequence(extensions)),
        };
        let to_be_signed = write::sequence(&[
            &version,
            &write::unsigned(&self.serial),
            &self.signature_algorithm.identifier(),
            self.issuer.der(),
            &validity,
            self.subject.der(),
            self.public_key_info,
            &extensions,
        ]);
        Ok(signed(&to_be_signed, self.signature_algorithm, key)?.into())
    }
}

/// `SEQUENCE { toBeSigned, algorithm, signature }`: certificates, requests, CRLs and OCSP answers all end so.
pub(crate) fn signed(
    to_be_signed: &[u8],
    algorithm: SignatureAlgorithm,
    key: &PrivateKey,
) -> Result<Vec<u8>, SignFault> {
    let signature = key.sign(algorithm, to_be_signed)?;
    Ok(write::sequence(&[to_be_signed, &algorithm.identifier(), &write::bits(&signature)]))
}

/// A new serial number: positive, never zero, always 16 octets (RFC 5280 section 4.1.2.2), 126 bits of it random.
///
/// # Errors
/// A system without random numbers.
pub fn new_serial() -> Result<[u8; 16], SignFault> {
    let mut serial = [0; 16];
    SystemRandom::new().fill(&mut serial).map_err(|_| SignFault::System)?;
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(serial)
}
