//! Private keys: made, read in the three forms people have, and wiped when dropped.
//!
//! RSA of 2048, 3072 or 4096 bits and the three NIST curves that TLS uses; everything else is refused
//! by name. Whatever form a key came in, it is kept as PKCS #8.

mod encrypted;

use std::fmt;

use aws_lc_rs::digest::{self, SHA256, SHA384, SHA512};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
    RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use x509_parser::asn1_rs::Oid;
use zeroize::Zeroizing;

use crate::der::{self, Reader, integer_bits, write};
use crate::pem::{self, Section};
use crate::signature::SignatureAlgorithm;

/// A kind of key that a certificate here may have. Spelt as ACM's `KeyAlgorithm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KeyAlgorithm {
    #[serde(rename = "RSA_2048")]
    Rsa2048,
    #[serde(rename = "RSA_3072")]
    Rsa3072,
    #[serde(rename = "RSA_4096")]
    Rsa4096,
    #[serde(rename = "EC_prime256v1")]
    EcP256,
    #[serde(rename = "EC_secp384r1")]
    EcP384,
    #[serde(rename = "EC_secp521r1")]
    EcP521,
}

impl KeyAlgorithm {
    /// The name in ACM's API, `RSA_2048` or `EC_prime256v1` and so on.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rsa2048 => "RSA_2048",
            Self::Rsa3072 => "RSA_3072",
            Self::Rsa4096 => "RSA_4096",
            Self::EcP256 => "EC_prime256v1",
            Self::EcP384 => "EC_secp384r1",
            Self::EcP521 => "EC_secp521r1",
        }
    }

    pub fn is_rsa(self) -> bool {
        matches!(self, Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096)
    }

    /// What a key's algorithm identifier says. `curve` is its parameter, where that is an OID;
    /// `modulus_bits` is asked for RSA only.
    pub(crate) fn identify(
        algorithm: &[u8],
        curve: Option<&[u8]>,
        modulus_bits: impl FnOnce() -> Option<usize>,
    ) -> Result<Self, KeyFault> {
        match (algorithm, curve) {
            (RSA, _) => match modulus_bits().ok_or(KeyFault::Malformed)? {
                2048 => Ok(Self::Rsa2048),
                3072 => Ok(Self::Rsa3072),
                4096 => Ok(Self::Rsa4096),
                bits @ 0..2048 => Err(KeyFault::Weak { found: format!("RSA of {bits} bits") }),
                bits => Err(KeyFault::Unsupported { found: format!("RSA of {bits} bits") }),
            },
            (EC, Some(P256)) => Ok(Self::EcP256),
            (EC, Some(P384)) => Ok(Self::EcP384),
            (EC, Some(P521)) => Ok(Self::EcP521),
            (EC, Some(P192)) => Err(KeyFault::Weak { found: "EC_prime192v1".into() }),
            (EC, Some(P224)) => Err(KeyFault::Weak { found: "EC_secp224r1".into() }),
            (EC, Some(SECP256K1)) => Err(KeyFault::Unsupported { found: "EC_secp256k1".into() }),
            (EC, Some(other)) => {
                Err(KeyFault::Unsupported { found: format!("EC on curve {}", dotted(other)) })
            }
            (EC, None) => Err(KeyFault::Unsupported { found: "EC without a named curve".into() }),
            (other, _) => Err(KeyFault::Unsupported { found: key_name(other) }),
        }
    }

    fn curve(self) -> Option<&'static EcdsaSigningAlgorithm> {
        match self {
            Self::EcP256 => Some(&ECDSA_P256_SHA256_ASN1_SIGNING),
            Self::EcP384 => Some(&ECDSA_P384_SHA384_ASN1_SIGNING),
            Self::EcP521 => Some(&ECDSA_P521_SHA512_ASN1_SIGNING),
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => None,
        }
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is wrong with a key, public or private.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFault {
    #[error(
        "the key is too weak: found {found}, expected RSA of 2048 bits or more, or a curve of 256 or more"
    )]
    Weak { found: String },
    #[error(
        "the kind of key is not supported: found {found}, expected RSA_2048, RSA_3072, RSA_4096, \
         EC_prime256v1, EC_secp384r1 or EC_secp521r1"
    )]
    Unsupported { found: String },
    #[error("the key is malformed or its parts do not belong together")]
    Malformed,
    #[error("the system's random generator failed")]
    Generation,
}

/// Why a key signed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignFault {
    #[error("a key of {key} does not sign with {algorithm}")]
    Kind { algorithm: SignatureAlgorithm, key: KeyAlgorithm },
    #[error("the system's cipher or random generator failed")]
    System,
}

/// An unencrypted private key and the public key that belongs to it.
///
/// `Debug` shows the algorithm only; the bytes are wiped on drop.
#[derive(Clone)]
pub struct PrivateKey {
    algorithm: KeyAlgorithm,
    pkcs8: Zeroizing<Vec<u8>>,
    public: Vec<u8>,
}

impl PrivateKey {
    /// A new key. RSA takes tens to hundreds of milliseconds, a curve less than one.
    ///
    /// # Errors
    /// [`KeyFault::Generation`].
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, KeyFault> {
        let size = match algorithm {
            KeyAlgorithm::Rsa2048 => KeySize::Rsa2048,
            KeyAlgorithm::Rsa3072 => KeySize::Rsa3072,
            KeyAlgorithm::Rsa4096 => KeySize::Rsa4096,
            KeyAlgorithm::EcP256 | KeyAlgorithm::EcP384 | KeyAlgorithm::EcP521 => {
                let curve = algorithm.curve().expect("these three are curves");
                let pair = EcdsaKeyPair::generate(curve).map_err(|_| KeyFault::Generation)?;
                return Self::of_ec(algorithm, &pair);
            }
        };
        let pair = RsaKeyPair::generate(size).map_err(|_| KeyFault::Generation)?;
        Self::of_rsa(algorithm, &pair)
    }

    /// Reads PKCS #8, PKCS #1 or SEC 1, and checks that its numbers belong together.
    ///
    /// # Errors
    /// Every [`KeyFault`] but `Generation`.
    pub fn from_der(key: &PrivateKeyDer<'_>) -> Result<Self, KeyFault> {
        match key {
            PrivateKeyDer::Pkcs8(key) => Self::from_labelled(pem::PKCS8, key.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(key) => Self::from_labelled(pem::PKCS1, key.secret_pkcs1_der()),
            PrivateKeyDer::Sec1(key) => Self::from_labelled(pem::SEC1, key.secret_sec1_der()),
            _ => Err(KeyFault::Unsupported { found: "an unknown form of key".into() }),
        }
    }

    /// The key of a PEM section whose label says the form.
    pub(crate) fn from_section(section: &Section) -> Result<Self, KeyFault> {
        Self::from_labelled(&section.label, &section.der)
    }

    fn from_labelled(label: &str, der: &[u8]) -> Result<Self, KeyFault> {
        let algorithm = match label {
            pem::PKCS8 => identify_pkcs8(der),
            pem::PKCS1 => KeyAlgorithm::identify(RSA, None, || rsa_bits(der)),
            _ => identify_sec1(der),
        }?;
        match algorithm.curve() {
            Some(curve) => {
                let pair = EcdsaKeyPair::from_private_key_der(curve, der).map_err(|_| KeyFault::Malformed)?;
                Self::of_ec(algorithm, &pair)
            }
            None => {
                let read = if label == pem::PKCS8 { RsaKeyPair::from_pkcs8 } else { RsaKeyPair::from_der };
                let pair = read(der).map_err(|_| KeyFault::Malformed)?;
                Self::of_rsa(algorithm, &pair)
            }
        }
    }

    fn of_ec(algorithm: KeyAlgorithm, pair: &EcdsaKeyPair) -> Result<Self, KeyFault> {
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| KeyFault::Malformed)?;
        Ok(Self {
            algorithm,
            pkcs8: Zeroizing::new(pkcs8.as_ref().to_vec()),
            public: pair.public_key().as_ref().to_vec(),
        })
    }

    fn of_rsa(algorithm: KeyAlgorithm, pair: &RsaKeyPair) -> Result<Self, KeyFault> {
        let pkcs8 = pair.as_der().map_err(|_| KeyFault::Malformed)?;
        Ok(Self {
            algorithm,
            pkcs8: Zeroizing::new(pkcs8.as_ref().to_vec()),
            public: pair.public_key().as_ref().to_vec(),
        })
    }

    pub fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// The key for rustls: borrowed PKCS #8. `clone_key` makes the owned copy its providers take.
    pub fn der(&self) -> PrivateKeyDer<'_> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.pkcs8.as_slice()))
    }

    /// The public key as a certificate's `subjectPublicKey` holds it: an uncompressed point, or an
    /// `RSAPublicKey`.
    pub fn public_key(&self) -> &[u8] {
        &self.public
    }

    /// The whole `SubjectPublicKeyInfo` in DER.
    pub fn public_key_info(&self) -> Vec<u8> {
        let parameters = match self.algorithm {
            KeyAlgorithm::EcP256 => write::value(der::OID, P256),
            KeyAlgorithm::EcP384 => write::value(der::OID, P384),
            KeyAlgorithm::EcP521 => write::value(der::OID, P521),
            KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => write::null(),
        };
        let kind = if self.algorithm.is_rsa() { RSA } else { EC };
        let algorithm = write::sequence(&[&write::value(der::OID, kind), &parameters]);
        write::sequence(&[&algorithm, &write::bits(&self.public)])
    }

    /// PKCS #8 as a `PRIVATE KEY` section.
    pub fn to_pem(&self) -> Zeroizing<String> {
        let mut out = Zeroizing::new(String::with_capacity(pem::written_length(pem::PKCS8, &self.pkcs8)));
        pem::write(&mut out, pem::PKCS8, &self.pkcs8);
        out
    }

    /// [`public_key_info`](Self::public_key_info) as a `PUBLIC KEY` section.
    pub fn public_to_pem(&self) -> String {
        let mut out = String::new();
        pem::write(&mut out, pem::PUBLIC, &self.public_key_info());
        out
    }

    pub(crate) fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// Reads what [`to_pem`](Self::to_pem) gave.
    ///
    /// # Errors
    /// [`KeyFault::Malformed`] unless it is one `PRIVATE KEY` section.
    pub fn from_pem(text: &[u8]) -> Result<Self, KeyFault> {
        let sections = pem::sections(text, 1).map_err(|_| KeyFault::Malformed)?;
        match &sections[..] {
            [section] if section.label == pem::PKCS8 && !section.encrypted => Self::from_section(section),
            _ => Err(KeyFault::Malformed),
        }
    }

    /// A signature over `message`: PKCS #1 or PSS for RSA, ASN.1 for a curve. Tens of milliseconds for RSA.
    ///
    /// # Errors
    /// [`SignFault::Kind`] where the algorithm is not for keys of this kind.
    pub fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, SignFault> {
        let system = |_| SignFault::System;
        let encoding: &dyn RsaEncoding = match algorithm {
            SignatureAlgorithm::Sha256Rsa => &RSA_PKCS1_SHA256,
            SignatureAlgorithm::Sha384Rsa => &RSA_PKCS1_SHA384,
            SignatureAlgorithm::Sha512Rsa => &RSA_PKCS1_SHA512,
            SignatureAlgorithm::Sha256RsaPss => &RSA_PSS_SHA256,
            SignatureAlgorithm::Sha384RsaPss => &RSA_PSS_SHA384,
            SignatureAlgorithm::Sha512RsaPss => &RSA_PSS_SHA512,
            SignatureAlgorithm::Sha256Ecdsa => return self.sign_hash(algorithm, &SHA256, message),
            SignatureAlgorithm::Sha384Ecdsa => return self.sign_hash(algorithm, &SHA384, message),
            SignatureAlgorithm::Sha512Ecdsa => return self.sign_hash(algorithm, &SHA512, message),
        };
        if !self.algorithm.is_rsa() {
            return Err(SignFault::Kind { algorithm, key: self.algorithm });
        }
        let pair = RsaKeyPair::from_pkcs8(&self.pkcs8).map_err(|_| SignFault::System)?;
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(encoding, &SystemRandom::new(), message, &mut signature).map_err(system)?;
        Ok(signature)
    }

    /// ECDSA with any hash. A hash is a number that is cut to the length of the curve's order (FIPS 186-5
    /// section 6.4.1), so one of another length is signed as one of the curve's own hash that means the same number.
    fn sign_hash(
        &self,
        algorithm: SignatureAlgorithm,
        hash: &'static digest::Algorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, SignFault> {
        let (curve, own) = match self.algorithm {
            KeyAlgorithm::EcP256 => (&ECDSA_P256_SHA256_ASN1_SIGNING, &SHA256),
            KeyAlgorithm::EcP384 => (&ECDSA_P384_SHA384_ASN1_SIGNING, &SHA384),
            KeyAlgorithm::EcP521 => (&ECDSA_P521_SHA512_ASN1_SIGNING, &SHA512),
            key => return Err(SignFault::Kind { algorithm, key }),
        };
        let digest = digest::digest(hash, message);
        let length = own.output_len();
        let mut number = vec![0; length.saturating_sub(digest.as_ref().len())];
        number.extend_from_slice(&digest.as_ref()[..digest.as_ref().len().min(length)]);
        let number = digest::Digest::import_less_safe(&number, own).map_err(|_| SignFault::System)?;
        let pair = EcdsaKeyPair::from_pkcs8(curve, &self.pkcs8).map_err(|_| SignFault::System)?;
        Ok(pair.sign_digest(&number).map_err(|_| SignFault::System)?.as_ref().to_vec())
    }

    /// An ECDSA signature in ASN.1 form; `None` for RSA keys, which sign nothing here.
    pub(crate) fn sign_ecdsa(&self, message: &[u8]) -> Option<Vec<u8>> {
        let pair = EcdsaKeyPair::from_pkcs8(self.algorithm.curve()?, &self.pkcs8).ok()?;
        Some(pair.sign(&SystemRandom::new(), message).ok()?.as_ref().to_vec())
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

// === what a key says it is ===

/// `SEQUENCE { INTEGER, SEQUENCE { OID, parameters }, OCTET STRING, ... }`, RFC 5208.
fn identify_pkcs8(der: &[u8]) -> Result<KeyAlgorithm, KeyFault> {
    let read = || {
        let mut info = whole(der)?;
        info.take(der::INTEGER)?;
        let mut algorithm = info.enter(der::SEQUENCE)?;
        Some((algorithm.take(der::OID)?, algorithm.take(der::OID), info.take(der::OCTET_STRING)?))
    };
    let (algorithm, curve, key) = read().ok_or(KeyFault::Malformed)?;
    KeyAlgorithm::identify(algorithm, curve, || rsa_bits(key))
}

/// `SEQUENCE { INTEGER, OCTET STRING, [0] { OID } OPTIONAL, ... }`, RFC 5915.
fn identify_sec1(der: &[u8]) -> Result<KeyAlgorithm, KeyFault> {
    let read = || {
        let mut key = whole(der)?;
        key.take(der::INTEGER)?;
        key.take(der::OCTET_STRING)?;
        Some(key.enter(der::CONTEXT_0).and_then(|mut parameters| parameters.take(der::OID)))
    };
    let curve = read().ok_or(KeyFault::Malformed)?;
    KeyAlgorithm::identify(EC, curve, || None)
}

/// `SEQUENCE { INTEGER version, INTEGER modulus, ... }`, RFC 8017.
fn rsa_bits(der: &[u8]) -> Option<usize> {
    let mut key = whole(der)?;
    key.take(der::INTEGER)?;
    key.take(der::INTEGER).map(integer_bits)
}

fn whole(der: &[u8]) -> Option<Reader<'_>> {
    let mut outer = Reader::new(der);
    outer.enter(der::SEQUENCE).filter(|_| outer.is_empty())
}

// === object identifiers, as DER holds them ===

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P192: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x01];
const P224: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x21];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const P521: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x23];
const SECP256K1: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x0a];

fn key_name(oid: &[u8]) -> String {
    match oid {
        [0x2b, 0x65, 0x70] => "Ed25519".into(),
        [0x2b, 0x65, 0x71] => "Ed448".into(),
        [0x2b, 0x65, 0x6e] => "X25519".into(),
        [0x2b, 0x65, 0x6f] => "X448".into(),
        [0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x01] => "DSA".into(),
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a] => "RSASSA-PSS".into(),
        other => format!("algorithm {}", dotted(other)),
    }
}

/// `1.2.840...`, cut where nobody would read on.
pub(crate) fn dotted(oid: &[u8]) -> String {
    Oid::new(oid[..oid.len().min(32)].into()).to_id_string()
}

#[cfg(test)]
mod tests;
