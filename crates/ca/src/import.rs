//! Certificates that users bring, read and judged before they are kept (ACM's ImportCertificate).
//!
//! Everything that would make a handshake fail later, or should not be trusted, is refused here with
//! the field it is in, what was found and what was expected. ACM takes certificates of authorities
//! that nobody knows, and self-signed ones, and so does this; it also takes 1024-bit RSA and SHA-1,
//! and this does not.
//!
//! An authority's certificate is refused unless it is self-signed: `openssl req -x509` marks its
//! certificates `CA:TRUE` unasked, and people use them for servers. ACM's documented rule that a
//! certificate's key must be of its signer's kind is not applied: public authorities break it daily.

mod chain;
mod error;

use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use webpki::EndEntityCert;
use x509_parser::certificate::X509Certificate;

pub use self::error::{Field, ImportError, Place};
use crate::facts::{self, ExtendedKeyUsageName, Facts, KeyUsage};
use crate::key::PrivateKey;
use crate::leaf::{self, Leaf};
use crate::pem::{self, Section};
use crate::signature;

/// Most bytes of [`Material::certificate`].
pub const MAX_CERTIFICATE: usize = 32_768;
/// Most bytes of [`Material::private_key`].
pub const MAX_PRIVATE_KEY: usize = 8_192;
/// Most bytes of [`Material::chain`].
pub const MAX_CHAIN: usize = 2_097_152;
/// Most certificates of [`Material::chain`].
pub const MAX_CHAIN_CERTIFICATES: usize = leaf::MAX_CERTIFICATES - 1;
/// Most bytes of DER of certificate and chain together: TLS clients refuse handshake messages much
/// longer than 64 KiB, so a longer chain could never be used.
pub const MAX_CHAIN_DER: usize = 60 * 1024;

/// What a user brings: PEM, each part as long as ACM allows. It has no `Debug`, because of the key.
#[derive(Clone, Copy)]
pub struct Material<'a> {
    /// One certificate.
    pub certificate: &'a [u8],
    /// One unencrypted key: PKCS #8, PKCS #1 or SEC 1. `EC PARAMETERS` before it are skipped.
    pub private_key: &'a [u8],
    /// The certificates of the issuers: the direct one first, each certified by the next. The root
    /// may be left out. Nothing is demanded if `None`.
    pub chain: Option<&'a [u8]>,
}

/// What the certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Anything that ACM keeps.
    Any,
    /// An HTTPS listener: it must have a host name, and its usages, where it limits them, must allow
    /// server authentication and digital signatures.
    TlsServer,
}

/// Reads and judges `material` at the time `now`.
///
/// # Errors
/// Every [`ImportError`]: always the caller's fault.
pub fn check(material: &Material<'_>, now: Timestamp, purpose: Purpose) -> Result<Leaf, ImportError> {
    let certificate = read_certificate(material.certificate)?;
    let issuers = material.chain.map_or(Ok(Vec::new()), read_chain)?;
    let length: usize = issuers.iter().chain([&certificate]).map(|certificate| certificate.len()).sum();
    if length > MAX_CHAIN_DER {
        return Err(ImportError::ChainBytes { got: length });
    }

    let in_certificate = |fault| ImportError::Certificate { place: Place::Certificate, fault };
    let parsed = facts::parse(&certificate).map_err(in_certificate)?;
    let facts = Facts::of_parsed(&parsed).map_err(in_certificate)?;
    check_dates(Place::Certificate, &parsed, now)?;
    if facts.is_authority && !facts.is_self_issued {
        return Err(ImportError::Authority { subject: facts.subject });
    }
    // What rustls and its like refuse to read, such as unknown critical extensions.
    EndEntityCert::try_from(&certificate)
        .map_err(|error| ImportError::Unusable { reason: error.to_string() })?;
    check_purpose(&facts, purpose)?;

    let key = read_key(material.private_key)?;
    if *parsed.public_key().subject_public_key.data != *key.public_key() {
        return Err(ImportError::KeyMismatch { certificate: facts.key_algorithm, key: key.algorithm() });
    }

    if facts.is_self_issued && !signature::is_signed_by(&parsed, facts.signature_algorithm, &certificate) {
        return Err(ImportError::Signature { place: Place::Certificate });
    }
    chain::check(&certificate, &parsed, &issuers, now, purpose)?;

    drop(parsed);
    let chain = std::iter::once(certificate).chain(issuers).collect();
    Ok(Leaf::new(chain, key, facts))
}

/// Whether a certificate that says this may serve `purpose`; [`check`] asks this too.
///
/// # Errors
/// [`ImportError::NoNames`], `ExtendedKeyUsage`, `KeyUsage`.
pub fn check_purpose(facts: &Facts, purpose: Purpose) -> Result<(), ImportError> {
    if purpose == Purpose::Any {
        return Ok(());
    }
    if facts.host_names().next().is_none() && facts.ip_addresses.is_empty() {
        return Err(ImportError::NoNames { subject: facts.subject.clone() });
    }
    let serves =
        |name| matches!(name, ExtendedKeyUsageName::TlsWebServerAuthentication | ExtendedKeyUsageName::Any);
    let usages = &facts.extended_key_usages;
    if !usages.is_empty() && !usages.iter().any(|usage| serves(usage.name)) {
        return Err(ImportError::ExtendedKeyUsage { found: usages.iter().map(|usage| usage.name).collect() });
    }
    // RFC 8446 section 4.4.2.2; the same goes for the suites of TLS 1.2 that rustls has.
    if !facts.key_usages.is_empty() && !facts.key_usages.contains(&KeyUsage::DigitalSignature) {
        return Err(ImportError::KeyUsage { found: facts.key_usages.clone() });
    }
    Ok(())
}

fn check_dates(place: Place, certificate: &X509Certificate<'_>, now: Timestamp) -> Result<(), ImportError> {
    let validity = certificate.validity();
    let (from, to) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    // Out of `Timestamp`'s range only for the chain: `Facts` has refused such a certificate.
    let shown = |seconds| Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    if now.as_second() < from {
        return Err(ImportError::NotYetValid { place, not_before: shown(from), now });
    }
    if now.as_second() > to {
        return Err(ImportError::Expired { place, not_after: shown(to), now });
    }
    Ok(())
}

// === the three texts ===

/// Most PEM sections looked at in any field.
const MAX_SECTIONS: usize = 32;

fn sections(field: Field, text: &[u8], limit: usize) -> Result<Vec<Section>, ImportError> {
    if text.len() > limit {
        return Err(ImportError::TooLarge { field, got: text.len(), limit });
    }
    pem::sections(text, MAX_SECTIONS).map_err(|fault| ImportError::Pem { field, fault })
}

fn certificates(
    field: Field,
    text: &[u8],
    limit: usize,
) -> Result<Vec<CertificateDer<'static>>, ImportError> {
    let der = |section: Section| match section.label.as_str() {
        pem::CERTIFICATE => Ok(CertificateDer::from(section.der.to_vec())),
        _ => Err(ImportError::Section { field, found: section.label }),
    };
    sections(field, text, limit)?.into_iter().map(der).collect()
}

fn read_certificate(text: &[u8]) -> Result<CertificateDer<'static>, ImportError> {
    let mut found = certificates(Field::Certificate, text, MAX_CERTIFICATE)?;
    match (found.len(), found.pop()) {
        (1, Some(certificate)) => Ok(certificate),
        (got, _) => Err(ImportError::SeveralCertificates { got }),
    }
}

fn read_chain(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, ImportError> {
    let found = certificates(Field::CertificateChain, text, MAX_CHAIN)?;
    match found.len() {
        ..=MAX_CHAIN_CERTIFICATES => Ok(found),
        got => Err(ImportError::ChainLength { got }),
    }
}

fn read_key(text: &[u8]) -> Result<PrivateKey, ImportError> {
    let mut found = sections(Field::PrivateKey, text, MAX_PRIVATE_KEY)?;
    if found.iter().any(|section| section.encrypted || section.label == pem::PKCS8_ENCRYPTED) {
        return Err(ImportError::EncryptedKey);
    }
    if found.len() > 1 {
        found.retain(|section| section.label != pem::EC_PARAMETERS);
    }
    let known = |section: &Section| [pem::PKCS8, pem::PKCS1, pem::SEC1].contains(&section.label.as_str());
    if let Some(other) = found.iter().find(|section| !known(section)) {
        return Err(ImportError::Section { field: Field::PrivateKey, found: other.label.clone() });
    }
    match &found[..] {
        [section] => PrivateKey::from_section(section).map_err(|fault| ImportError::Key { fault }),
        several => Err(ImportError::SeveralKeys { got: several.len() }),
    }
}

#[cfg(test)]
mod tests;
