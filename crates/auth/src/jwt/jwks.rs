//! A provider's keys: RFC 7517, as much of it as signatures need.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;

use super::strict_json::{self, Value};
use super::{JwtError, beginning};

/// Longest key set read, in bytes.
pub(super) const MAX_JWKS: usize = 128 * 1024;
/// Keys of a set that are looked at.
const MAX_KEYS: usize = 64;
/// Bits of the RSA keys that are accepted.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Why a text is not a key set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    #[error("a key set has at most {MAX_JWKS} bytes, found {found}")]
    TooLarge { found: usize },
    #[error("not a key set, expected an object with a list of keys")]
    Malformed,
    #[error("a key set has at most {MAX_KEYS} keys, found {found}")]
    TooMany { found: usize },
    #[error("no key of the set is an RSA key of 2048 to 8192 bits or on P-256, for signatures")]
    NoKey,
}

/// The keys that sign a provider's tokens. Keys for other uses and of other kinds are left out.
#[derive(Debug, Clone)]
pub struct Jwks(Vec<Key>);

#[derive(Debug, Clone)]
struct Key {
    id: Option<String>,
    /// The one algorithm the key is for: a token does not choose.
    algorithm: &'static str,
    material: Material,
}

#[derive(Debug, Clone)]
enum Material {
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
    P256(ParsedPublicKey),
}

impl Jwks {
    /// # Errors
    /// [`JwksError`].
    pub fn parse(text: &[u8]) -> Result<Self, JwksError> {
        if text.len() > MAX_JWKS {
            return Err(JwksError::TooLarge { found: text.len() });
        }
        let keys = strict_json::object(text).and_then(|mut members| members.remove("keys"));
        let Some(Value::List(keys)) = keys else { return Err(JwksError::Malformed) };
        if keys.len() > MAX_KEYS {
            return Err(JwksError::TooMany { found: keys.len() });
        }
        let mut usable = Vec::new();
        for key in keys {
            let Value::Object(members) = key else { return Err(JwksError::Malformed) };
            usable.extend(Key::from_members(&members));
        }
        if usable.is_empty() { Err(JwksError::NoKey) } else { Ok(Self(usable)) }
    }

    /// Whether `signature` over `message` is of one of the keys. A token that names no key is tried
    /// with each of the algorithm.
    pub(super) fn check(
        &self,
        algorithm: &str,
        id: Option<&str>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), JwtError> {
        if !matches!(algorithm, "RS256" | "ES256") {
            return Err(JwtError::Algorithm { found: beginning(algorithm) });
        }
        let fits =
            |key: &&Key| key.algorithm == algorithm && id.is_none_or(|id| key.id.as_deref() == Some(id));
        let mut keys = self.0.iter().filter(fits).peekable();
        if keys.peek().is_none() {
            return Err(JwtError::UnknownKey { found: beginning(id.unwrap_or_default()) });
        }
        if keys.any(|key| key.verifies(message, signature)) { Ok(()) } else { Err(JwtError::Signature) }
    }
}

impl Key {
    fn from_members(members: &BTreeMap<String, Value>) -> Option<Self> {
        let text = |name: &str| match members.get(name) {
            Some(Value::Text(text)) => Some(text.as_str()),
            _ => None,
        };
        let bytes = |name: &str| BASE64.decode(text(name)?).ok();
        if text("use").is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let (algorithm, material) = match text("kty")? {
            "RSA" => {
                let without_zeros = |mut number: Vec<u8>| {
                    let zeros = number.iter().take_while(|byte| **byte == 0).count();
                    number.drain(..zeros);
                    number
                };
                let (n, e) = (without_zeros(bytes("n")?), without_zeros(bytes("e")?));
                let bits = n.len() * 8 - n.first()?.leading_zeros() as usize;
                if !RSA_BITS.contains(&bits) || e.is_empty() || e.len() > 4 {
                    return None;
                }
                ("RS256", Material::Rsa(RsaPublicKeyComponents { n, e }))
            }
            "EC" if text("crv") == Some("P-256") => {
                let (x, y) = (bytes("x")?, bytes("y")?);
                if x.len() != 32 || y.len() != 32 {
                    return None;
                }
                let point = [&[4][..], &x, &y].concat();
                ("ES256", Material::P256(ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok()?))
            }
            _ => return None,
        };
        if text("alg").is_some_and(|named| named != algorithm) {
            return None;
        }
        Some(Self { id: text("kid").map(str::to_owned), algorithm, material })
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Rsa(key) => key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok(),
            Material::P256(key) => key.verify_sig(message, signature).is_ok(),
        }
    }
}
