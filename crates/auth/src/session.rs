//! Session tokens: everything about temporary credentials, sealed, so that whoever has the sealing
//! keys knows the caller without asking anybody.
//!
//! A token is URL-safe base64 of a version, the id of the key that sealed it, a nonce and AES-256-GCM
//! of the session as JSON. Keys rotate: [`TokenKeys`] seals with the first and opens with all, so a
//! token lives on until its own expiry or until its key is taken away.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{AuthError, SecretKey, SessionToken};

/// First byte of every token: the form of what follows.
const VERSION: u8 = 1;
const KEY_ID: usize = 4;
/// Version and key id, in the clear and authenticated.
const CLEAR: usize = 1 + KEY_ID;
/// Longest token made or read, in characters: a head must have room for it.
pub const MAX_TOKEN: usize = 8192;

/// Temporary credentials and whom they speak for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    #[serde(rename = "k")]
    pub access_key_id: String,
    #[serde(rename = "s", with = "secret_text")]
    pub secret_key: SecretKey,
    #[serde(rename = "t")]
    pub kind: SessionKind,
    /// Account of the principal.
    #[serde(rename = "a")]
    pub account: String,
    /// ARN of the user, role or account root whose policies the session has.
    #[serde(rename = "p")]
    pub principal: String,
    /// Unique id of that user or role: a successor of the same name is somebody else.
    #[serde(rename = "i")]
    pub principal_id: String,
    /// Session name of a role's session, name of a federated user; else empty.
    #[serde(rename = "n", default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Session policies, as text: the session may do what these allow as well.
    #[serde(rename = "d", default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// The same by the ARN of a managed policy.
    #[serde(rename = "m", default, skip_serializing_if = "Vec::is_empty")]
    pub policy_arns: Vec<String>,
    /// Session tags, those passed on by the chain among them.
    #[serde(rename = "g", default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<(String, String)>,
    /// Which of `tags` a chained session has too.
    #[serde(rename = "c", default, skip_serializing_if = "Vec::is_empty")]
    pub transitive_tag_keys: Vec<String>,
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub source_identity: Option<String>,
    /// The identity provider that vouched for the caller.
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub federated_provider: Option<String>,
    /// Seconds since 1970.
    #[serde(rename = "b")]
    pub issued_at: i64,
    #[serde(rename = "e")]
    pub expires_at: i64,
}

/// How the session came to be, which says what its caller is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionKind {
    /// AssumeRole and its kin.
    #[serde(rename = "r")]
    Role,
    /// GetSessionToken of a user, or of the account itself.
    #[serde(rename = "u")]
    User,
    /// GetFederationToken.
    #[serde(rename = "f")]
    Federated,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("access_key_id", &self.access_key_id)
            .field("principal", &self.principal)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Whether the session is over at `now`.
    pub fn is_over(&self, now: Timestamp) -> bool {
        now.as_second() >= self.expires_at
    }
}

/// The one place where a secret is written out: what comes of it is sealed at once.
mod secret_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::SecretKey;

    pub(super) fn serialize<S: Serializer>(secret: &SecretKey, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(secret.expose())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretKey, D::Error> {
        SecretKey::new(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Why a session is not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// AWS's `PackedPolicyTooLarge`: policies and tags take more room than a token has.
    #[error("the session token would have {found} characters, more than {MAX_TOKEN}")]
    TooLarge { found: usize },
    #[error("there is no key to seal a session token with")]
    NoKey,
}

/// The sealing keys of an installation.
pub struct TokenKeys(Vec<([u8; KEY_ID], LessSafeKey)>);

impl TokenKeys {
    /// Ids and keys; the first seals, each opens.
    pub fn new<'a>(keys: impl IntoIterator<Item = ([u8; 4], &'a [u8; 32])>) -> Self {
        let ready = |(id, key): ([u8; 4], &[u8; 32])| {
            let key = UnboundKey::new(&AES_256_GCM, key).expect("AES-256 takes keys of 32 bytes");
            (id, LessSafeKey::new(key))
        };
        Self(keys.into_iter().map(ready).collect())
    }

    /// Seals `session`. `nonce` is random and never used again: two tokens sealed with one key and
    /// one nonce give both away.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(&self, session: &Session, nonce: [u8; NONCE_LEN]) -> Result<SessionToken, SealError> {
        let (id, key) = self.0.first().ok_or(SealError::NoKey)?;
        let text = Zeroizing::new(serde_json::to_vec(session).expect("a session is strings and numbers"));
        let mut sealed = Zeroizing::new(Vec::with_capacity(text.len() + 64));
        sealed.push(VERSION);
        sealed.extend_from_slice(id);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&text);
        let (clear, secret) = sealed.split_at_mut(CLEAR + NONCE_LEN);
        let aad = Aad::from(&clear[..CLEAR]);
        let tag = key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, secret);
        let tag = tag.map_err(|_| SealError::TooLarge { found: usize::MAX })?;
        sealed.extend_from_slice(tag.as_ref());
        let token = BASE64.encode(&*sealed);
        if token.len() > MAX_TOKEN {
            return Err(SealError::TooLarge { found: token.len() });
        }
        Ok(token.parse().expect("base64 is printable"))
    }

    /// Opens a token that was sealed here, whether it is over or not: the caller compares
    /// [`Session::is_over`] and [`Session::access_key_id`], or takes [`TokenKeys::open_for`].
    ///
    /// # Errors
    /// [`AuthError::TokenInvalid`]: changed, cut, sealed by a key that is not here, or no token.
    pub fn open(&self, token: &str) -> Result<Session, AuthError> {
        const INVALID: AuthError = AuthError::TokenInvalid;
        if token.len() > MAX_TOKEN {
            return Err(INVALID);
        }
        let mut sealed = Zeroizing::new(BASE64.decode(token).map_err(|_| INVALID)?);
        if sealed.len() < CLEAR + NONCE_LEN || sealed[0] != VERSION {
            return Err(INVALID);
        }
        let (clear, secret) = sealed.split_at_mut(CLEAR + NONCE_LEN);
        let (clear, nonce) = clear.split_at(CLEAR);
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| INVALID)?;
        // Key ids are short: two installations may have drawn the same one.
        let mut keys = self.0.iter().filter(|(id, _)| *id == clear[1..]);
        let (_, key) = keys.next().ok_or(INVALID)?;
        let text = key.open_in_place(nonce, Aad::from(clear), secret).map_err(|_| INVALID)?;
        serde_json::from_slice(text).map_err(|_| INVALID)
    }

    /// Opens the token that came with `access_key_id` at `now`.
    ///
    /// # Errors
    /// As [`TokenKeys::open`], or for another key's token; [`AuthError::TokenExpired`] after its time.
    pub fn open_for(&self, access_key_id: &str, token: &str, now: Timestamp) -> Result<Session, AuthError> {
        let session = self.open(token)?;
        if session.access_key_id != access_key_id {
            return Err(AuthError::TokenInvalid);
        }
        if session.is_over(now) {
            return Err(AuthError::TokenExpired);
        }
        Ok(session)
    }
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKeys").field("keys", &self.0.len()).finish()
    }
}

#[cfg(test)]
mod tests;
