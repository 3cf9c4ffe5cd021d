//! Access keys: the public id, the secret, and the token that goes with temporary ones.

use std::fmt;
use std::str::FromStr;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Why a text is not part of an access key. Never holds the text, which may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCredential {
    #[error("an access key id has 1 to 128 letters, digits or underscores")]
    AccessKeyId,
    #[error("a secret key has 1 to 256 characters")]
    SecretKey,
    #[error("a session token has 1 to 8192 printable ASCII characters and no spaces")]
    SessionToken,
}

/// The public half of an access key, such as `AKIA...` (long-lived) or `ASIA...` (temporary).
/// 1 to 128 ASCII letters, digits and underscores.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccessKeyId(String);

impl AccessKeyId {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_valid(text: &str) -> bool {
        (1..=128).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    }
}

impl FromStr for AccessKeyId {
    type Err = InvalidCredential;
    fn from_str(text: &str) -> Result<Self, InvalidCredential> {
        if Self::is_valid(text) { Ok(Self(text.to_owned())) } else { Err(InvalidCredential::AccessKeyId) }
    }
}

impl fmt::Display for AccessKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The secret half of an access key. Not shown by `Debug`, wiped when dropped.
#[derive(Clone)]
pub struct SecretKey(Zeroizing<String>);

impl SecretKey {
    /// Takes a secret of 1 to 256 bytes.
    ///
    /// # Errors
    /// [`InvalidCredential::SecretKey`] for any other length.
    pub fn new(secret: impl Into<String>) -> Result<Self, InvalidCredential> {
        let secret = Zeroizing::new(secret.into());
        if (1..=256).contains(&secret.len()) { Ok(Self(secret)) } else { Err(InvalidCredential::SecretKey) }
    }

    /// The secret itself, for the one place that stores it or shows it to its owner.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Takes as long whatever differs.
impl PartialEq for SecretKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for SecretKey {}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(redacted)")
    }
}

/// What accompanies temporary keys. As good as a secret, so `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionToken(String);

impl SessionToken {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_valid(text: &str) -> bool {
        // Without an early end it is done many bytes at a time.
        let is_graphic = text.bytes().fold(true, |fine, byte| fine & (byte > b' ') & (byte < 0x7f));
        (1..=8192).contains(&text.len()) && is_graphic
    }
}

impl FromStr for SessionToken {
    type Err = InvalidCredential;
    fn from_str(text: &str) -> Result<Self, InvalidCredential> {
        if Self::is_valid(text) { Ok(Self(text.to_owned())) } else { Err(InvalidCredential::SessionToken) }
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken(redacted)")
    }
}

/// What a signer signs with.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub access_key_id: AccessKeyId,
    pub secret_key: SecretKey,
    /// Present with temporary keys only.
    pub session_token: Option<SessionToken>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_no_secret() {
        let credentials = Credentials {
            access_key_id: "AKIDEXAMPLE".parse().unwrap(),
            secret_key: SecretKey::new("hush-hush").unwrap(),
            session_token: Some("token-token".parse().unwrap()),
        };
        let text = format!("{credentials:?}");
        assert!(text.contains("AKIDEXAMPLE"));
        assert!(!text.contains("hush") && !text.contains("token-token"), "{text}");
    }

    #[test]
    fn access_key_ids_are_words() {
        for good in ["A", "AKIAIOSFODNN7EXAMPLE", "a_1", &"x".repeat(128)] {
            assert!(good.parse::<AccessKeyId>().is_ok(), "{good}");
        }
        for bad in ["", "AKIA/X", "AKIA X", "é", &"x".repeat(129)] {
            assert_eq!(bad.parse::<AccessKeyId>(), Err(InvalidCredential::AccessKeyId), "{bad}");
        }
    }
}
