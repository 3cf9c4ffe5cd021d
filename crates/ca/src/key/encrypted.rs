//! A private key for somebody who has a passphrase: PKCS #8 encrypted by PBES2 (RFC 8018), PBKDF2 over HMAC-SHA-256 and
//! AES-256-CBC, which every OpenSSL since 1.1 and every Java since 11 reads.

use std::num::NonZeroU32;

use aws_lc_rs::cipher::{AES_256, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::pbkdf2;
use aws_lc_rs::rand;
use zeroize::{Zeroize, Zeroizing};

use super::{PrivateKey, SignFault};
use crate::der::{INTEGER, write};
use crate::pem;

/// "For PBKDF2-HMAC-SHA256: 600,000 iterations", OWASP's advice of 2023. A third of a second.
const ROUNDS: u32 = 600_000;

const PBES2: &str = "1.2.840.113549.1.5.13";
const PBKDF2: &str = "1.2.840.113549.1.5.12";
const HMAC_SHA256: &str = "1.2.840.113549.2.9";
const AES_256_CBC: &str = "2.16.840.1.101.3.4.1.42";

impl PrivateKey {
    /// An `ENCRYPTED PRIVATE KEY` section that `passphrase` opens.
    ///
    /// # Errors
    /// [`SignFault::System`] without randomness.
    pub fn to_encrypted_pem(&self, passphrase: &[u8]) -> Result<String, SignFault> {
        let system = |_| SignFault::System;
        let (mut salt, mut vector) = ([0; 16], [0; 16]);
        rand::fill(&mut salt).map_err(system)?;
        rand::fill(&mut vector).map_err(system)?;
        let mut key = Zeroizing::new([0; 32]);
        let rounds = NonZeroU32::new(ROUNDS).ok_or(SignFault::System)?;
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, passphrase, &mut *key);
        let cipher = UnboundCipherKey::new(&AES_256, &*key).and_then(PaddedBlockEncryptingKey::cbc_pkcs7);
        // With room for the padding: no copy is left behind unwiped.
        let mut text = Vec::with_capacity(self.pkcs8().len() + 16);
        text.extend_from_slice(self.pkcs8());
        let context = EncryptionContext::Iv128(FixedLength::from(&vector));
        let encrypted = cipher.and_then(|cipher| cipher.less_safe_encrypt(&mut text, context));
        if encrypted.is_err() {
            text.zeroize();
            return Err(SignFault::System);
        }
        let der = information(&salt, &vector, &text).ok_or(SignFault::System)?;
        let mut out = String::with_capacity(pem::written_length(pem::PKCS8_ENCRYPTED, &der));
        pem::write(&mut out, pem::PKCS8_ENCRYPTED, &der);
        Ok(out)
    }
}

/// `EncryptedPrivateKeyInfo`.
fn information(salt: &[u8], vector: &[u8], encrypted: &[u8]) -> Option<Vec<u8>> {
    let function = write::sequence(&[&write::oid(HMAC_SHA256)?, &write::null()]);
    let rounds = write::value(INTEGER, ROUNDS.to_be_bytes().get(1..)?);
    let derivation = write::sequence(&[&write::octets(salt), &rounds, &function]);
    let derivation = write::sequence(&[&write::oid(PBKDF2)?, &derivation]);
    let cipher = write::sequence(&[&write::oid(AES_256_CBC)?, &write::octets(vector)]);
    let scheme = write::sequence(&[&derivation, &cipher]);
    let algorithm = write::sequence(&[&write::oid(PBES2)?, &scheme]);
    Some(write::sequence(&[&algorithm, &write::octets(encrypted)]))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::cipher::{DecryptionContext, PaddedBlockDecryptingKey};

    use super::*;
    use crate::der::{OCTET_STRING, OID, Reader, SEQUENCE};
    use crate::key::KeyAlgorithm;

    /// What `passphrase` makes of the section, if it opens it.
    fn opened(pem: &str, passphrase: &[u8]) -> Option<Vec<u8>> {
        let [section] = pem::sections(pem.as_bytes(), 1).ok()?.try_into().ok()?;
        assert_eq!(section.label, pem::PKCS8_ENCRYPTED);
        let mut information = Reader::new(&section.der).enter(SEQUENCE)?;
        let mut algorithm = information.enter(SEQUENCE)?;
        algorithm.take(OID)?;
        let mut scheme = algorithm.enter(SEQUENCE)?;
        let mut derivation = scheme.enter(SEQUENCE)?;
        derivation.take(OID)?;
        let salt = derivation.enter(SEQUENCE)?.take(OCTET_STRING)?;
        let mut cipher = scheme.enter(SEQUENCE)?;
        cipher.take(OID)?;
        let vector: [u8; 16] = cipher.take(OCTET_STRING)?.try_into().ok()?;
        let mut text = information.take(OCTET_STRING)?.to_vec();
        let mut key = [0; 32];
        let rounds = NonZeroU32::new(ROUNDS).unwrap();
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, passphrase, &mut key);
        let cipher =
            UnboundCipherKey::new(&AES_256, &key).and_then(PaddedBlockDecryptingKey::cbc_pkcs7).ok()?;
        let context = DecryptionContext::Iv128(FixedLength::from(&vector));
        Some(cipher.decrypt(&mut text, context).ok()?.to_vec())
    }

    #[test]
    fn the_passphrase_opens_an_exported_key_and_no_other_does() {
        let key = PrivateKey::generate(KeyAlgorithm::EcP256).unwrap();
        let pem = key.to_encrypted_pem(b"a passphrase").unwrap();
        assert_eq!(opened(&pem, b"a passphrase").unwrap(), key.pkcs8());
        assert_ne!(opened(&pem, b"another one").as_deref(), Some(key.pkcs8()));
        assert_ne!(key.to_encrypted_pem(b"a passphrase").unwrap(), pem, "every export has a salt of its own");
    }
}
