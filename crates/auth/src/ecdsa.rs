//! The keys of SigV4A: an ECDSA key pair on P-256, derived from an access key alone.
//!
//! Whoever has the secret can sign; the public half, which is derived the same way, is enough to
//! verify, for every day and region.

use std::fmt;

use aws_lc_rs::agreement::{self, ECDH_P256};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, ParsedPublicKey,
};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::SecretKey;
use crate::parameters::ECDSA_ALGORITHM;

/// The order of P-256 less two: a candidate up to here becomes a private key by adding one.
const ORDER_LESS_TWO: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
    0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x4f,
];

/// The private scalar of an access key: NIST SP 800-108 in counter mode with HMAC-SHA256, tried
/// again with the next counter in the one case of 2^32 where it gives no scalar.
fn scalar(access_key_id: &str, secret: &SecretKey) -> Option<Zeroizing<[u8; 32]>> {
    let mut input = Zeroizing::new(Vec::with_capacity(5 + secret.expose().len()));
    input.extend_from_slice(b"AWS4A");
    input.extend_from_slice(secret.expose().as_bytes());
    for counter in 1..=254u8 {
        let mut mac = Hmac::<Sha256>::new_from_slice(&input).expect("HMAC takes keys of any length");
        mac.update(&1u32.to_be_bytes());
        mac.update(ECDSA_ALGORITHM.as_bytes());
        mac.update(&[0]);
        mac.update(access_key_id.as_bytes());
        mac.update(&[counter]);
        mac.update(&256u32.to_be_bytes());
        let mut candidate: Zeroizing<[u8; 32]> = Zeroizing::new(mac.finalize().into_bytes().into());
        if *candidate <= ORDER_LESS_TWO {
            for byte in candidate.iter_mut().rev() {
                let (sum, carried) = byte.overflowing_add(1);
                *byte = sum;
                if !carried {
                    break;
                }
            }
            return Some(candidate);
        }
    }
    None
}

fn public(scalar: &[u8; 32]) -> Option<Vec<u8>> {
    let private = agreement::PrivateKey::from_private_key(&ECDH_P256, scalar).ok()?;
    Some(private.compute_public_key().ok()?.as_ref().to_vec())
}

/// What verifies the SigV4A signatures of one access key.
#[derive(Clone)]
pub(crate) struct EcdsaPublicKey(ParsedPublicKey);

impl EcdsaPublicKey {
    pub(crate) fn derive(access_key_id: &str, secret: &SecretKey) -> Option<Self> {
        let point = public(&*scalar(access_key_id, secret)?)?;
        ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).ok().map(Self)
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.verify_sig(message, signature).is_ok()
    }
}

impl fmt::Debug for EcdsaPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EcdsaPublicKey(..)")
    }
}

/// What signs as an access key would.
pub(crate) struct EcdsaPrivateKey(EcdsaKeyPair);

impl EcdsaPrivateKey {
    /// `None` for a key from which no scalar comes, which no key is known to be.
    pub(crate) fn derive(access_key_id: &str, secret: &SecretKey) -> Option<Self> {
        let scalar = scalar(access_key_id, secret)?;
        let pair = EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_ASN1_SIGNING,
            &*scalar,
            &public(&scalar)?,
        );
        pair.ok().map(Self)
    }

    /// DER, the form signatures have on the wire. `None`: the system has no random numbers.
    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        Some(self.0.sign(&SystemRandom::new(), message).ok()?.as_ref().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonical::hex;

    /// The example key of AWS's own test suite for SigV4A.
    #[test]
    fn the_documented_key_pair_is_derived() {
        let secret = SecretKey::new("q+jcrXGc+0zWN6uzclKVhvMmUsIfRPa4rlRandom").unwrap();
        let scalar = scalar("AKISORANDOMAASORANDOM", &secret).unwrap();
        assert_eq!(hex(&*scalar), "7fd3bd010c0d9c292141c2b77bfbde1042c92e6836fff749d1269ec890fca1bd");
        let point = public(&scalar).unwrap();
        assert_eq!(
            hex(&point),
            "0415d242ceebf8d8169fd6a8b5a746c41140414c3b07579038da06af89190fffcb\
             0515242cedd82e94799482e4c0514b505afccf2c0c98d6a553bf539f424c5ec0"
        );
    }

    #[test]
    fn what_one_key_signs_another_does_not_verify() {
        let [one, other] = ["one", "other"].map(|secret| SecretKey::new(secret).unwrap());
        let signature = EcdsaPrivateKey::derive("AKIDEXAMPLE", &one).unwrap().sign(b"text").unwrap();
        assert!(EcdsaPublicKey::derive("AKIDEXAMPLE", &one).unwrap().verifies(b"text", &signature));
        assert!(!EcdsaPublicKey::derive("AKIDEXAMPLE", &one).unwrap().verifies(b"texT", &signature));
        assert!(!EcdsaPublicKey::derive("AKIDEXAMPLE", &other).unwrap().verifies(b"text", &signature));
        assert!(!EcdsaPublicKey::derive("AKIDANOTHER", &one).unwrap().verifies(b"text", &signature));
    }
}
