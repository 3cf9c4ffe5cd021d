//! Encryption at rest: AES-256-GCM under a key that the operator's machine keeps outside the store.
//!
//! What is sealed is bound to the key of the record it is stored under, so that swapping two records
//! is noticed as tampering. The layout is versioned and names the sealing key, so that a wrong key is
//! told apart from damage:
//!
//! ```text
//! 1 octet   version, 1
//! 8 octets  id of the sealing key
//! 12 octets nonce, random
//! n octets  ciphertext
//! 16 octets tag, over the ciphertext, the version, the key's id and the record's key
//! ```
//!
//! Encryption key and id are both derived from the sealing key (HKDF-SHA-256), so the id gives nothing
//! away. Random 96-bit nonces are good for 2^32 seals under one key, far beyond what is stored here.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const ID_LENGTH: usize = 8;
const NONCE_LENGTH: usize = 12;
const TAG_LENGTH: usize = 16;
const HEADER_LENGTH: usize = 1 + ID_LENGTH + NONCE_LENGTH;
const TEXT_PREFIX: &str = "trellis-sealing-key-1:";

/// The key that everything secret is sealed with. `Debug` shows its id only.
pub struct SealingKey {
    master: Zeroizing<[u8; Self::LENGTH]>,
    aead: RandomizedNonceKey,
    id: [u8; ID_LENGTH],
}

/// Why sealing or opening did not work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    #[error("a sealing key has {} bytes that are not all zero, found {got} bytes", SealingKey::LENGTH)]
    BadKey { got: usize },
    #[error("a sealing key file is one line, {TEXT_PREFIX} and base64 of {} bytes", SealingKey::LENGTH)]
    BadKeyFile,
    #[error("at most {limit} bytes can be sealed, found {got}", limit = SealingKey::MAX_PLAINTEXT)]
    TooLarge { got: usize },
    #[error("sealed data has at least {} bytes, found {got}", HEADER_LENGTH + TAG_LENGTH)]
    Truncated { got: usize },
    #[error("sealed data of version {found} cannot be opened, expected version {VERSION}")]
    Version { found: u8 },
    #[error("it was sealed with the key {sealed_with}, not with {have}")]
    WrongKey { sealed_with: String, have: String },
    #[error("sealed data was changed, or belongs to another record")]
    Tampered,
    #[error("the system's random generator or cipher failed")]
    System,
}

impl SealingKey {
    /// Bytes of a key.
    pub const LENGTH: usize = 32;
    /// The most that one seal holds, in bytes.
    pub const MAX_PLAINTEXT: usize = 1 << 20;

    /// A new random key.
    ///
    /// # Errors
    /// [`SealError::System`].
    pub fn generate() -> Result<Self, SealError> {
        let mut master = Zeroizing::new([0; Self::LENGTH]);
        SystemRandom::new().fill(master.as_mut_slice()).map_err(|_| SealError::System)?;
        Self::from_bytes(master.as_slice())
    }

    /// # Errors
    /// [`SealError::BadKey`] unless these are 32 bytes, not all zero; `System`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SealError> {
        let master: [u8; Self::LENGTH] =
            bytes.try_into().map_err(|_| SealError::BadKey { got: bytes.len() })?;
        let master = Zeroizing::new(master);
        if master.iter().all(|&byte| byte == 0) {
            return Err(SealError::BadKey { got: bytes.len() });
        }
        let derive = |purpose: &[u8]| {
            let mut out = Zeroizing::new([0; Self::LENGTH]);
            Prk::new_less_safe(HKDF_SHA256, master.as_slice())
                .expand(&[purpose], HKDF_SHA256)
                .and_then(|okm| okm.fill(out.as_mut_slice()))
                .map_err(|_| SealError::System)?;
            Ok(out)
        };
        let key = derive(b"trellis seal 1: AES-256-GCM key")?;
        let aead = RandomizedNonceKey::new(&AES_256_GCM, key.as_slice()).map_err(|_| SealError::System)?;
        let name = derive(b"trellis seal 1: key id")?;
        let id = *name.first_chunk().expect("32 bytes begin with 8");
        Ok(Self { master, aead, id })
    }

    /// Reads the line that [`to_text`](Self::to_text) wrote, with or without its line end.
    ///
    /// # Errors
    /// [`SealError::BadKeyFile`], `BadKey`, `System`.
    pub fn from_text(text: &str) -> Result<Self, SealError> {
        let encoded = text.trim().strip_prefix(TEXT_PREFIX).ok_or(SealError::BadKeyFile)?;
        // Room for more than a key, so that a longer one is told its length.
        let mut bytes = Zeroizing::new([0; 2 * Self::LENGTH]);
        let length =
            STANDARD.decode_slice(encoded, bytes.as_mut_slice()).map_err(|_| SealError::BadKeyFile)?;
        Self::from_bytes(&bytes[..length])
    }

    /// The key as one line of text for a file of mode 0600.
    pub fn to_text(&self) -> Zeroizing<String> {
        let encoded = Zeroizing::new(STANDARD.encode(self.master.as_slice()));
        Zeroizing::new([TEXT_PREFIX, encoded.as_str(), "\n"].concat())
    }

    /// A name for the key that can be shown: 16 hexadecimal digits.
    pub fn id(&self) -> String {
        hex(&self.id)
    }

    /// Encrypts `plaintext` for the record stored under `record`. Never the same bytes twice.
    ///
    /// # Errors
    /// [`SealError::TooLarge`], `System`.
    pub fn seal(&self, record: &str, plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
        if plaintext.len() > Self::MAX_PLAINTEXT {
            return Err(SealError::TooLarge { got: plaintext.len() });
        }
        // Encrypted where it lies, with room for the tag, so that no copy of the plaintext is left.
        let mut body = Vec::with_capacity(plaintext.len() + TAG_LENGTH);
        body.extend_from_slice(plaintext);
        let nonce = self
            .aead
            .seal_in_place_append_tag(Aad::from(self.associated(record)), &mut body)
            .map_err(|_| SealError::System)?;
        let mut sealed = Vec::with_capacity(HEADER_LENGTH + body.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&self.id);
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&body);
        Ok(sealed)
    }

    /// Decrypts what [`seal`](Self::seal) gave for the same `record`.
    ///
    /// # Errors
    /// [`SealError::Truncated`], `TooLarge`, `Version`, `WrongKey`, `Tampered`.
    pub fn open(&self, record: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let truncated = || SealError::Truncated { got: sealed.len() };
        let (&version, rest) = sealed.split_first().ok_or_else(truncated)?;
        if version != VERSION {
            return Err(SealError::Version { found: version });
        }
        let (id, rest) = rest.split_first_chunk::<ID_LENGTH>().ok_or_else(truncated)?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_LENGTH>().ok_or_else(truncated)?;
        if body.len() < TAG_LENGTH {
            return Err(truncated());
        }
        if body.len() > Self::MAX_PLAINTEXT + TAG_LENGTH {
            return Err(SealError::TooLarge { got: body.len() - TAG_LENGTH });
        }
        if *id != self.id {
            return Err(SealError::WrongKey { sealed_with: hex(id), have: self.id() });
        }
        let mut body = Zeroizing::new(body.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self
            .aead
            .open_in_place(nonce, Aad::from(self.associated(record)), &mut body)
            .map_err(|_| SealError::Tampered)?
            .len();
        body.truncate(length);
        Ok(body)
    }

    /// What the tag covers beside the ciphertext. The parts before the record's key have fixed
    /// lengths, so two different triples never give the same bytes.
    fn associated(&self, record: &str) -> Vec<u8> {
        [b"trellis seal".as_slice(), &[VERSION], &self.id, record.as_bytes()].concat()
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingKey").field("id", &self.id()).finish_non_exhaustive()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SealingKey {
        SealingKey::from_bytes(&[7; 32]).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_with_the_same_key_for_the_same_record() {
        for plaintext in [&b""[..], b"secret", &[0; 10_000]] {
            let sealed = key().seal("certificates/1", plaintext).unwrap();
            assert_eq!(*key().open("certificates/1", &sealed).unwrap(), plaintext);
            assert_eq!(sealed.len(), plaintext.len() + HEADER_LENGTH + TAG_LENGTH);
        }
    }

    #[test]
    fn the_same_secret_is_never_sealed_to_the_same_bytes() {
        let (one, two) = (key().seal("a", b"secret").unwrap(), key().seal("a", b"secret").unwrap());
        assert_ne!(one, two);
        assert_ne!(one[9..21], two[9..21], "the nonce is random");
        assert!(!one.windows(6).any(|window| window == b"secret"));
    }

    #[test]
    fn every_changed_bit_is_noticed() {
        let sealed = key().seal("a", b"secret").unwrap();
        for at in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[at / 8] ^= 1 << (at % 8);
            let error = key().open("a", &changed).unwrap_err();
            let expected = match at / 8 {
                0 => SealError::Version { found: changed[0] },
                1..=8 => SealError::WrongKey { sealed_with: hex(&changed[1..9]), have: key().id() },
                _ => SealError::Tampered,
            };
            assert_eq!(error, expected, "bit {at}");
        }
    }

    #[test]
    fn what_is_cut_or_lengthened_is_noticed() {
        let sealed = key().seal("a", b"secret").unwrap();
        for length in 0..sealed.len() {
            let expected = match length {
                0..37 => SealError::Truncated { got: length },
                _ => SealError::Tampered,
            };
            assert_eq!(key().open("a", &sealed[..length]).unwrap_err(), expected, "{length}");
        }
        let longer = [&sealed[..], b"x"].concat();
        assert_eq!(key().open("a", &longer).unwrap_err(), SealError::Tampered);
    }

    #[test]
    fn a_seal_moved_to_another_record_does_not_open() {
        let sealed = key().seal("certificates/1", b"secret").unwrap();
        for record in ["certificates/2", "certificates/", "certificates/11", ""] {
            assert_eq!(key().open(record, &sealed).unwrap_err(), SealError::Tampered);
        }
    }

    #[test]
    fn another_key_is_told_apart_from_damage() {
        let other = SealingKey::from_bytes(&[8; 32]).unwrap();
        let sealed = key().seal("a", b"secret").unwrap();
        let error = other.open("a", &sealed).unwrap_err();
        assert_eq!(error, SealError::WrongKey { sealed_with: key().id(), have: other.id() });
    }

    #[test]
    fn sizes_are_bounded_both_ways() {
        let most = vec![1; SealingKey::MAX_PLAINTEXT];
        let mut sealed = key().seal("a", &most).unwrap();
        assert_eq!(key().open("a", &sealed).unwrap().len(), most.len());
        sealed.push(0);
        assert_eq!(key().open("a", &sealed).unwrap_err(), SealError::TooLarge { got: most.len() + 1 });
        let more = vec![1; SealingKey::MAX_PLAINTEXT + 1];
        assert_eq!(key().seal("a", &more).unwrap_err(), SealError::TooLarge { got: more.len() });
    }

    #[test]
    fn a_key_survives_its_file_and_bad_files_are_refused() {
        let key = SealingKey::generate().unwrap();
        let text = key.to_text();
        let again = SealingKey::from_text(&text).unwrap();
        assert_eq!(*again.open("a", &key.seal("a", b"x").unwrap()).unwrap(), b"x");
        for (text, expected) in [
            ("", SealError::BadKeyFile),
            (&text["trellis".len()..], SealError::BadKeyFile),
            ("trellis-sealing-key-1:@@", SealError::BadKeyFile),
            ("trellis-sealing-key-1:", SealError::BadKey { got: 0 }),
            ("trellis-sealing-key-1:AAAA", SealError::BadKey { got: 3 }),
            (&format!("{TEXT_PREFIX}{}", STANDARD.encode([0; 32])), SealError::BadKey { got: 32 }),
            (&format!("{TEXT_PREFIX}{}", STANDARD.encode([1; 33])), SealError::BadKey { got: 33 }),
        ] {
            assert_eq!(SealingKey::from_text(text).unwrap_err(), expected, "{text}");
        }
    }

    #[test]
    fn debug_output_holds_no_key() {
        let shown = format!("{:?}", key());
        assert_eq!(shown, format!("SealingKey {{ id: {:?}, .. }}", key().id()));
    }
}
