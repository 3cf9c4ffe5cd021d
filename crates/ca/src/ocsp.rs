//! OCSP, RFC 6960: questions read, answers signed with the authority's own key.

use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, SHA512};
use jiff::Timestamp;

use crate::certificate::signed;
use crate::crl::Revoked;
use crate::der::{self, Reader, write};
use crate::distinguished_name::DistinguishedName;
use crate::extension::{Extension, key_identifier, sequence as extensions};
use crate::key::{PrivateKey, SignFault};
use crate::signature::SignatureAlgorithm;

/// Most bytes of a question.
pub const MAX_REQUEST: usize = 8_192;
/// Most certificates in one question.
const MAX_CERTIFICATES: usize = 32;
/// Most octets of a nonce: RFC 9654.
const MAX_NONCE: usize = 128;
const NONCE: &str = "1.3.6.1.5.5.7.48.1.2";
const BASIC: &str = "1.3.6.1.5.5.7.48.1.1";

/// What is asked: certificates by their issuers and serial numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub certificates: Vec<CertificateId>,
    /// The value of the nonce extension, which the answer repeats.
    nonce: Option<Vec<u8>>,
}

/// `CertID`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateId {
    /// As it was sent: the answer repeats it.
    der: Vec<u8>,
    hash: &'static digest::Algorithm,
    issuer_name_hash: Vec<u8>,
    issuer_key_hash: Vec<u8>,
    /// Octets of the serial number, most significant first, no zero in front.
    pub serial: Vec<u8>,
}

/// What is known of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    Good,
    Revoked(Revoked),
    Unknown,
}

/// Answers without a status, which need no signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    MalformedRequest = 1,
    InternalError = 2,
    TryLater = 3,
    Unauthorized = 6,
}

impl Failure {
    /// `OCSPResponse` in DER.
    pub fn der(self) -> Vec<u8> {
        write::sequence(&[&write::value(write::ENUMERATED, &[self as u8])])
    }
}

impl Request {
    /// Reads an `OCSPRequest`; its own signature, which nobody makes, is not looked at.
    ///
    /// # Errors
    /// [`Failure::MalformedRequest`].
    pub fn parse(der: &[u8]) -> Result<Self, Failure> {
        if der.len() > MAX_REQUEST {
            return Err(Failure::MalformedRequest);
        }
        read(der).filter(|request| !request.certificates.is_empty()).ok_or(Failure::MalformedRequest)
    }
}

fn read(der: &[u8]) -> Option<Request> {
    let mut outer = Reader::new(der);
    let mut request = outer.enter(der::SEQUENCE)?;
    let mut asked = request.enter(der::SEQUENCE)?;
    asked.take(write::constructed(0));
    asked.take(write::constructed(1));
    let mut list = asked.enter(der::SEQUENCE)?;
    let mut certificates = Vec::new();
    while !list.is_empty() {
        if certificates.len() == MAX_CERTIFICATES {
            return None;
        }
        certificates.push(certificate_id(list.enter(der::SEQUENCE)?.take_whole(der::SEQUENCE)?)?);
    }
    let nonce = match asked.enter(write::constructed(2)) {
        Some(mut wrapped) => nonce(wrapped.enter(der::SEQUENCE)?)?,
        None => None,
    };
    outer.is_empty().then_some(Request { certificates, nonce })
}

fn certificate_id(der: &[u8]) -> Option<CertificateId> {
    let mut id = Reader::new(der).enter(der::SEQUENCE)?;
    let hash: &digest::Algorithm = match id.enter(der::SEQUENCE)?.take(der::OID)? {
        [0x2b, 0x0e, 0x03, 0x02, 0x1a] => &SHA1_FOR_LEGACY_USE_ONLY,
        [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 1] => &SHA256,
        [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 2] => &SHA384,
        [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 3] => &SHA512,
        _ => return None,
    };
    let issuer_name_hash = id.take(der::OCTET_STRING)?.to_vec();
    let issuer_key_hash = id.take(der::OCTET_STRING)?.to_vec();
    let serial = id.take(der::INTEGER)?;
    let serial = &serial[serial.iter().take_while(|&&byte| byte == 0).count()..];
    (serial.len() <= 32).then(|| CertificateId {
        der: der.to_vec(),
        hash,
        issuer_name_hash,
        issuer_key_hash,
        serial: serial.to_vec(),
    })
}

/// The nonce among the extensions of a question, if it has one.
fn nonce(mut list: Reader<'_>) -> Option<Option<Vec<u8>>> {
    let wanted = write::oid(NONCE).expect("a constant");
    while !list.is_empty() {
        let mut extension = list.enter(der::SEQUENCE)?;
        let oid = extension.take_whole(der::OID)?;
        extension.take(write::BOOLEAN);
        let value = extension.take(der::OCTET_STRING)?;
        if oid == wanted {
            return (value.len() <= MAX_NONCE + 2).then(|| Some(value.to_vec()));
        }
    }
    Some(None)
}

/// What a question may call the key of an authority: its hashes, in hexadecimal.
pub fn key_hashes(public_key: &[u8]) -> Vec<String> {
    let algorithms = [&SHA1_FOR_LEGACY_USE_ONLY, &SHA256, &SHA384, &SHA512];
    algorithms.map(|algorithm| hexadecimal(digest::digest(algorithm, public_key).as_ref())).to_vec()
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

impl CertificateId {
    /// The hash of the issuer's key, in hexadecimal.
    pub fn issuer_key_hash_text(&self) -> String {
        hexadecimal(&self.issuer_key_hash)
    }

    /// Whether it is of the authority with this name and key.
    pub fn is_issued_by(&self, issuer: &DistinguishedName, public_key: &[u8]) -> bool {
        let hash = |bytes| digest::digest(self.hash, bytes);
        hash(issuer.der()).as_ref() == self.issuer_name_hash
            && hash(public_key).as_ref() == self.issuer_key_hash
    }
}

/// A successful `OCSPResponse` in DER: the status of every certificate asked for, good until `next_update`.
///
/// # Errors
/// A signature algorithm that is not for this key.
pub fn answer(
    request: &Request,
    statuses: &[Status],
    (now, next_update): (Timestamp, Timestamp),
    key: &PrivateKey,
    algorithm: SignatureAlgorithm,
) -> Result<Vec<u8>, SignFault> {
    let (this_update, next_update) = (write::generalized_time(now), write::generalized_time(next_update));
    let next_update = write::value(write::constructed(0), &next_update);
    let single = |(id, status): (&CertificateId, &Status)| {
        let status = match status {
            Status::Good => write::value(write::primitive(0), &[]),
            Status::Unknown => write::value(write::primitive(2), &[]),
            Status::Revoked(Revoked { at, reason, .. }) => {
                let reason = match reason {
                    0 => Vec::new(),
                    reason => {
                        write::value(write::constructed(0), &write::value(write::ENUMERATED, &[*reason]))
                    }
                };
                write::of(write::constructed(1), &[&write::generalized_time(*at), &reason])
            }
        };
        write::sequence(&[&id.der, &status, &this_update, &next_update])
    };
    let singles: Vec<Vec<u8>> = request.certificates.iter().zip(statuses).map(single).collect();
    let nonce = request.nonce.as_ref().map(|nonce| {
        let nonce = Extension { oid: NONCE.to_owned(), is_critical: false, value: nonce.clone() };
        write::value(write::constructed(1), &extensions(&[nonce]))
    });
    let responder = write::octets(&key_identifier(key.public_key()));
    let data = write::sequence(&[
        &write::value(write::constructed(2), &responder),
        &write::generalized_time(now),
        &write::sequence(&[&singles.concat()]),
        &nonce.unwrap_or_default(),
    ]);
    let basic = signed(&data, algorithm, key)?;
    let bytes = write::sequence(&[&write::oid(BASIC).expect("a constant"), &write::octets(&basic)]);
    Ok(write::sequence(&[
        &write::value(write::ENUMERATED, &[0]),
        &write::value(write::constructed(0), &bytes),
    ]))
}
