//! How a certificate is signed: which algorithms are accepted, their names in ACM's API, and checking
//! one certificate's signature with another's key.

use std::fmt;

use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use serde::{Deserialize, Serialize};
use webpki::EndEntityCert;
use webpki::aws_lc_rs as verify;
use x509_parser::certificate::X509Certificate;
use x509_parser::signature_algorithm::RsaSsaPssParams;
use x509_parser::x509::AlgorithmIdentifier;

use crate::der::write;
use crate::key::{KeyAlgorithm, dotted};

/// An accepted signature algorithm. Spelt as ACM's `SignatureAlgorithm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SignatureAlgorithm {
    #[serde(rename = "SHA256WITHRSA")]
    Sha256Rsa,
    #[serde(rename = "SHA384WITHRSA")]
    Sha384Rsa,
    #[serde(rename = "SHA512WITHRSA")]
    Sha512Rsa,
    /// RSASSA-PSS.
    #[serde(rename = "SHA256WITHRSAANDMGF1")]
    Sha256RsaPss,
    #[serde(rename = "SHA384WITHRSAANDMGF1")]
    Sha384RsaPss,
    #[serde(rename = "SHA512WITHRSAANDMGF1")]
    Sha512RsaPss,
    #[serde(rename = "SHA256WITHECDSA")]
    Sha256Ecdsa,
    #[serde(rename = "SHA384WITHECDSA")]
    Sha384Ecdsa,
    #[serde(rename = "SHA512WITHECDSA")]
    Sha512Ecdsa,
}

/// A signature algorithm that is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    #[error("the signature is too weak: found {found}, expected SHA-256, SHA-384 or SHA-512")]
    Weak { found: String },
    #[error("the kind of signature is not supported: found {found}, expected RSA or ECDSA over SHA-2")]
    Unsupported { found: String },
}

impl SignatureAlgorithm {
    /// The name in ACM's API, such as `SHA256WITHRSA`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256Rsa => "SHA256WITHRSA",
            Self::Sha384Rsa => "SHA384WITHRSA",
            Self::Sha512Rsa => "SHA512WITHRSA",
            Self::Sha256RsaPss => "SHA256WITHRSAANDMGF1",
            Self::Sha384RsaPss => "SHA384WITHRSAANDMGF1",
            Self::Sha512RsaPss => "SHA512WITHRSAANDMGF1",
            Self::Sha256Ecdsa => "SHA256WITHECDSA",
            Self::Sha384Ecdsa => "SHA384WITHECDSA",
            Self::Sha512Ecdsa => "SHA512WITHECDSA",
        }
    }

    /// Whether keys of this kind sign so.
    pub fn is_for(self, key: KeyAlgorithm) -> bool {
        !matches!(self, Self::Sha256Ecdsa | Self::Sha384Ecdsa | Self::Sha512Ecdsa) == key.is_rsa()
    }

    /// The `AlgorithmIdentifier` in DER. RFC 4055 section 5 has `NULL` for PKCS #1, RFC 5758 section 3.2 nothing for
    /// ECDSA; of RSASSA-PSS everything is said that [`identify`](Self::identify) demands.
    pub(crate) fn identifier(self) -> Vec<u8> {
        const SHA2: &str = "2.16.840.1.101.3.4.2";
        let oid = |dotted: &str| write::oid(dotted).expect("a constant");
        let plain = |dotted: &str| write::sequence(&[&oid(dotted), &write::null()]);
        let pss = |last: u8, salt: u8| {
            let hash = plain(&format!("{SHA2}.{last}"));
            let mask = write::sequence(&[&oid("1.2.840.113549.1.1.8"), &hash]);
            let parameters = write::sequence(&[
                &write::value(write::constructed(0), &hash),
                &write::value(write::constructed(1), &mask),
                &write::value(write::constructed(2), &write::unsigned(&[salt])),
            ]);
            write::sequence(&[&oid("1.2.840.113549.1.1.10"), &parameters])
        };
        match self {
            Self::Sha256Rsa => plain("1.2.840.113549.1.1.11"),
            Self::Sha384Rsa => plain("1.2.840.113549.1.1.12"),
            Self::Sha512Rsa => plain("1.2.840.113549.1.1.13"),
            Self::Sha256RsaPss => pss(1, 32),
            Self::Sha384RsaPss => pss(2, 48),
            Self::Sha512RsaPss => pss(3, 64),
            Self::Sha256Ecdsa => write::sequence(&[&oid("1.2.840.10045.4.3.2")]),
            Self::Sha384Ecdsa => write::sequence(&[&oid("1.2.840.10045.4.3.3")]),
            Self::Sha512Ecdsa => write::sequence(&[&oid("1.2.840.10045.4.3.4")]),
        }
    }

    /// Whether the key in `public_key`, a `subjectPublicKey`, made this signature.
    pub(crate) fn is_signed_with(
        self,
        key: KeyAlgorithm,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        if !self.is_for(key) {
            return false;
        }
        let verifiers = self.verifiers();
        // One per curve, in this order.
        let verifier = match key {
            KeyAlgorithm::EcP384 => verifiers[1],
            KeyAlgorithm::EcP521 => verifiers[2],
            _ => verifiers[0],
        };
        verifier.verify_signature(public_key, message, signature).is_ok()
    }

    pub(crate) fn identify(algorithm: &AlgorithmIdentifier<'_>) -> Result<Self, SignatureFault> {
        let weak = |found: &str| Err(SignatureFault::Weak { found: found.into() });
        let unsupported = |found: String| Err(SignatureFault::Unsupported { found });
        match algorithm.algorithm.as_bytes() {
            [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, last] => match last {
                2 => weak("MD2 with RSA"),
                4 => weak("MD5 with RSA"),
                5 => weak("SHA-1 with RSA"),
                10 => Self::identify_pss(algorithm),
                11 => Ok(Self::Sha256Rsa),
                12 => Ok(Self::Sha384Rsa),
                13 => Ok(Self::Sha512Rsa),
                14 => weak("SHA-224 with RSA"),
                other => unsupported(format!("PKCS #1 algorithm {other}")),
            },
            [0x2b, 0x0e, 0x03, 0x02, 0x1d] => weak("SHA-1 with RSA"),
            [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01] => weak("SHA-1 with ECDSA"),
            [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, last] => match last {
                1 => weak("SHA-224 with ECDSA"),
                2 => Ok(Self::Sha256Ecdsa),
                3 => Ok(Self::Sha384Ecdsa),
                4 => Ok(Self::Sha512Ecdsa),
                other => unsupported(format!("ECDSA algorithm {other}")),
            },
            [0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x03] => weak("SHA-1 with DSA"),
            [0x2b, 0x65, 0x70] => unsupported("Ed25519".into()),
            [0x2b, 0x65, 0x71] => unsupported("Ed448".into()),
            other => unsupported(format!("algorithm {}", dotted(other))),
        }
    }

    /// RSASSA-PSS says its hash in its parameters, and SHA-1 by saying nothing (RFC 4055). As in TLS,
    /// the mask must use the same hash and the salt be as long as it gives; no client accepts others.
    fn identify_pss(algorithm: &AlgorithmIdentifier<'_>) -> Result<Self, SignatureFault> {
        let unsupported =
            |what: String| Err(SignatureFault::Unsupported { found: format!("RSASSA-PSS {what}") });
        let parameters = algorithm.parameters.as_ref().and_then(|any| RsaSsaPssParams::try_from(any).ok());
        let Some(parameters) = parameters else {
            return unsupported("without parameters".into());
        };
        let hash = parameters.hash_algorithm_oid();
        let (found, length) = match hash.as_bytes() {
            [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 1] => (Self::Sha256RsaPss, 32),
            [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 2] => (Self::Sha384RsaPss, 48),
            [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 3] => (Self::Sha512RsaPss, 64),
            [0x2b, 0x0e, 0x03, 0x02, 0x1a] => {
                return Err(SignatureFault::Weak { found: "SHA-1 with RSASSA-PSS".into() });
            }
            other => return unsupported(format!("with hash {}", dotted(other))),
        };
        if parameters.salt_length() != length {
            return unsupported(format!("with a salt of {} bytes", parameters.salt_length()));
        }
        if !parameters.mask_gen_algorithm().is_ok_and(|mask| mask.hash == *hash) {
            return unsupported("with another hash in its mask".into());
        }
        Ok(found)
    }

    /// One per kind of key that may have made such a signature; the verifier picks by the key.
    fn verifiers(self) -> &'static [&'static dyn SignatureVerificationAlgorithm] {
        match self {
            Self::Sha256Ecdsa => &ACCEPTED[0..3],
            Self::Sha384Ecdsa => &ACCEPTED[3..6],
            Self::Sha512Ecdsa => &ACCEPTED[6..9],
            Self::Sha256Rsa => &ACCEPTED[9..10],
            Self::Sha384Rsa => &ACCEPTED[10..11],
            Self::Sha512Rsa => &ACCEPTED[11..12],
            Self::Sha256RsaPss => &ACCEPTED[12..13],
            Self::Sha384RsaPss => &ACCEPTED[13..14],
            Self::Sha512RsaPss => &ACCEPTED[14..15],
        }
    }
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Every algorithm above, for checking a whole path; [`SignatureAlgorithm::verifiers`] knows the order.
pub(crate) static ACCEPTED: &[&dyn SignatureVerificationAlgorithm] = &[
    verify::ECDSA_P256_SHA256,
    verify::ECDSA_P384_SHA256,
    verify::ECDSA_P521_SHA256,
    verify::ECDSA_P256_SHA384,
    verify::ECDSA_P384_SHA384,
    verify::ECDSA_P521_SHA384,
    verify::ECDSA_P256_SHA512,
    verify::ECDSA_P384_SHA512,
    verify::ECDSA_P521_SHA512,
    verify::RSA_PKCS1_2048_8192_SHA256,
    verify::RSA_PKCS1_2048_8192_SHA384,
    verify::RSA_PKCS1_2048_8192_SHA512,
    verify::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
    verify::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
    verify::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
];

/// Whether the key of `issuer` made the signature on `certificate`. Names and dates are not looked at.
pub(crate) fn is_signed_by(
    certificate: &X509Certificate<'_>,
    algorithm: SignatureAlgorithm,
    issuer: &CertificateDer<'_>,
) -> bool {
    let Ok(issuer) = EndEntityCert::try_from(issuer) else { return false };
    let message = certificate.tbs_certificate.as_ref();
    let signature = &certificate.signature_value.data;
    algorithm
        .verifiers()
        .iter()
        .any(|&verifier| issuer.verify_signature(verifier, message, signature).is_ok())
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::FromDer;

    use super::*;

    fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        [&[tag, u8::try_from(content.len()).unwrap()], &content[..]].concat()
    }

    /// The identifier of RSASSA-PSS with these parameters.
    fn pss(hash: &[u8], mask_hash: &[u8], salt: &[u8]) -> Vec<u8> {
        let hash = tlv(0x30, &[&tlv(6, &[hash])]);
        let mask_hash = tlv(0x30, &[&tlv(6, &[mask_hash])]);
        let mgf1 = tlv(6, &[&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 8]]);
        let mask = tlv(0x30, &[&mgf1, &mask_hash]);
        let salt = tlv(2, &[salt]);
        let parameters = tlv(0x30, &[&tlv(0xa0, &[&hash]), &tlv(0xa1, &[&mask]), &tlv(0xa2, &[&salt])]);
        let oid = tlv(6, &[&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10]]);
        tlv(0x30, &[&oid, &parameters])
    }

    #[test]
    fn rsassa_pss_is_taken_with_the_parameters_of_tls_only() {
        let sha2 = |last| [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, last];
        let sha1 = [0x2b, 0x0e, 3, 2, 0x1a];
        let unsupported = |found: &str| Err(SignatureFault::Unsupported { found: found.into() });
        for (identifier, expected) in [
            (pss(&sha2(1), &sha2(1), &[32]), Ok(SignatureAlgorithm::Sha256RsaPss)),
            (pss(&sha2(2), &sha2(2), &[48]), Ok(SignatureAlgorithm::Sha384RsaPss)),
            (pss(&sha2(3), &sha2(3), &[64]), Ok(SignatureAlgorithm::Sha512RsaPss)),
            // What OpenSSL makes unless told otherwise: the longest salt that fits.
            (pss(&sha2(1), &sha2(1), &[0, 222]), unsupported("RSASSA-PSS with a salt of 222 bytes")),
            (pss(&sha2(1), &sha1, &[32]), unsupported("RSASSA-PSS with another hash in its mask")),
            (pss(&sha2(4), &sha2(4), &[28]), unsupported("RSASSA-PSS with hash 2.16.840.1.101.3.4.2.4")),
            (pss(&sha1, &sha1, &[20]), Err(SignatureFault::Weak { found: "SHA-1 with RSASSA-PSS".into() })),
        ] {
            let (_, identifier) = AlgorithmIdentifier::from_der(&identifier).unwrap();
            assert_eq!(SignatureAlgorithm::identify(&identifier), expected);
        }
    }

    #[test]
    fn names_are_those_of_the_serialized_form() {
        use SignatureAlgorithm::*;
        for algorithm in [
            Sha256Rsa,
            Sha384Rsa,
            Sha512Rsa,
            Sha256RsaPss,
            Sha384RsaPss,
            Sha512RsaPss,
            Sha256Ecdsa,
            Sha384Ecdsa,
            Sha512Ecdsa,
        ] {
            assert_eq!(serde_json::to_value(algorithm).unwrap(), algorithm.as_str());
        }
    }
}
