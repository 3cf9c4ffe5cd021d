//! Certificate signing requests (PKCS #10, RFC 2986): read from strangers, and made for keys of ours.
//!
//! A request is taken only if its signature is of the key it asks a certificate for, the key is strong, and every
//! extension it wants is well formed and wanted once.

use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

use crate::certificate::signed;
use crate::der::{self, Reader, write};
use crate::distinguished_name::DistinguishedName;
use crate::extension::{self, Extension};
use crate::facts;
use crate::key::{KeyAlgorithm, KeyFault, PrivateKey, SignFault, dotted};
use crate::name;
use crate::pem::{self, PemFault};
use crate::signature::{SignatureAlgorithm, SignatureFault};

/// Most bytes of a request's PEM, as ACM Private CA has it.
pub const MAX_REQUEST: usize = 32_768;
/// Most extensions that a request may ask for.
const MAX_EXTENSIONS: usize = 64;
/// Most names in its subjectAltName.
const MAX_NAMES: usize = 150;
/// Most bytes of its subject.
const MAX_SUBJECT: usize = 8_192;

/// A request whose signature is right.
#[derive(Clone, Debug)]
pub struct Csr {
    pub subject: DistinguishedName,
    pub key_algorithm: KeyAlgorithm,
    /// `SubjectPublicKeyInfo` in DER.
    pub public_key_info: Vec<u8>,
    /// `subjectPublicKey`: a point, or an `RSAPublicKey`.
    pub public_key: Vec<u8>,
    /// What it asks for, in its order.
    pub extensions: Vec<Extension>,
}

/// Why a request was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CsrFault {
    #[error("it has {got} bytes, expected at most {MAX_REQUEST}")]
    TooLarge { got: usize },
    #[error(transparent)]
    Pem(#[from] PemFault),
    #[error("it is one section CERTIFICATE REQUEST, found {found}")]
    Section { found: String },
    #[error("its structure is not that of a PKCS #10 request")]
    Structure,
    #[error("its subject has {got} bytes, expected at most {MAX_SUBJECT}")]
    Subject { got: usize },
    #[error(transparent)]
    Key(#[from] KeyFault),
    #[error(transparent)]
    Signature(#[from] SignatureFault),
    #[error("its signature was not made with the key it asks a certificate for")]
    Forged,
    #[error("the extension {oid} is malformed or asked for twice")]
    Extension { oid: String },
    #[error("it asks for more than {MAX_EXTENSIONS} extensions or {MAX_NAMES} names")]
    TooMany,
    #[error("{name:?} is not a host name that a certificate can carry")]
    Name { name: String },
}

impl Csr {
    /// Reads PEM and checks the signature.
    ///
    /// # Errors
    /// Every [`CsrFault`]: always the caller's fault.
    pub fn parse(text: &[u8]) -> Result<Self, CsrFault> {
        if text.len() > MAX_REQUEST {
            return Err(CsrFault::TooLarge { got: text.len() });
        }
        let mut sections = pem::sections(text, 2)?;
        let section = sections.pop().filter(|section| {
            sections.is_empty() && [pem::REQUEST, pem::NEW_REQUEST].contains(&section.label.as_str())
        });
        let section = section.ok_or_else(|| {
            let found: Vec<&str> = sections.iter().map(|section| section.label.as_str()).collect();
            CsrFault::Section { found: if found.is_empty() { "another".into() } else { "several".into() } }
        })?;
        Self::from_der(&section.der)
    }

    /// Reads DER and checks the signature.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn from_der(der: &[u8]) -> Result<Self, CsrFault> {
        let (rest, request) = X509CertificationRequest::from_der(der).map_err(|_| CsrFault::Structure)?;
        // The parser does not look at the tag of the algorithm's identifier.
        has_outline(der).then_some(()).ok_or(CsrFault::Structure)?;
        // Both are whole octets whatever the algorithm.
        let keys_bits = &request.certification_request_info.subject_pki.subject_public_key;
        if !rest.is_empty() || request.signature_value.unused_bits != 0 || keys_bits.unused_bits != 0 {
            return Err(CsrFault::Structure);
        }
        let info = &request.certification_request_info;
        let subject = DistinguishedName::from_parsed(&info.subject);
        if subject.der().len() > MAX_SUBJECT {
            return Err(CsrFault::Subject { got: subject.der().len() });
        }
        let key_algorithm = facts::key_algorithm(&info.subject_pki)?;
        let algorithm = SignatureAlgorithm::identify(&request.signature_algorithm)?;
        let public_key = info.subject_pki.subject_public_key.data.to_vec();
        let signature = &request.signature_value.data;
        if !algorithm.is_signed_with(key_algorithm, &public_key, info.raw, signature) {
            return Err(CsrFault::Forged);
        }
        Ok(Self {
            subject,
            key_algorithm,
            public_key_info: info.subject_pki.raw.to_vec(),
            public_key,
            extensions: extensions(&request)?,
        })
    }

    /// A request for `subject`, signed with `key`, as PEM.
    ///
    /// # Errors
    /// A signature algorithm that is not for this key.
    pub fn create(
        key: &PrivateKey,
        algorithm: SignatureAlgorithm,
        subject: &DistinguishedName,
        wanted: &[Extension],
    ) -> Result<String, SignFault> {
        const EXTENSION_REQUEST: &str = "1.2.840.113549.1.9.14";
        let attributes = match wanted {
            [] => Vec::new(),
            wanted => {
                let oid = write::oid(EXTENSION_REQUEST).expect("a constant");
                let values = write::value(write::SET, &extension::sequence(wanted));
                write::sequence(&[&oid, &values])
            }
        };
        let info = write::sequence(&[
            &write::unsigned(&[0]),
            subject.der(),
            &key.public_key_info(),
            &write::value(write::constructed(0), &attributes),
        ]);
        let mut out = String::new();
        pem::write(&mut out, pem::REQUEST, &signed(&info, algorithm, key)?);
        Ok(out)
    }

    /// What it asks for under this identifier.
    pub fn extension(&self, oid: &str) -> Option<&Extension> {
        self.extensions.iter().find(|extension| extension.oid == oid)
    }
}

/// `SEQUENCE { SEQUENCE, SEQUENCE { OID, ... }, BIT STRING }` and nothing else.
fn has_outline(der: &[u8]) -> bool {
    let read = || {
        let mut outer = Reader::new(der);
        let mut parts = outer.enter(der::SEQUENCE)?;
        parts.take(der::SEQUENCE)?;
        parts.enter(der::SEQUENCE)?.take(der::OID)?;
        parts.take(write::BIT_STRING)?;
        Some(parts.is_empty() && outer.is_empty())
    };
    read().unwrap_or(false)
}

fn extensions(request: &X509CertificationRequest<'_>) -> Result<Vec<Extension>, CsrFault> {
    let mut found: Vec<Extension> = Vec::new();
    for attribute in request.certification_request_info.iter_attributes() {
        let ParsedCriAttribute::ExtensionRequest(wanted) = attribute.parsed_attribute() else { continue };
        for extension in &wanted.extensions {
            // Said in full: it goes into a certificate under this identifier.
            let oid = extension.oid.to_id_string();
            let malformed = || CsrFault::Extension { oid: dotted(extension.oid.as_bytes()) };
            match extension.parsed_extension() {
                ParsedExtension::ParseError { .. } => return Err(malformed()),
                ParsedExtension::SubjectAlternativeName(names) => check_names(&names.general_names)?,
                _ => {}
            }
            if found.iter().any(|other| other.oid == oid) || write::oid(&oid).is_none() {
                return Err(malformed());
            }
            if found.len() == MAX_EXTENSIONS {
                return Err(CsrFault::TooMany);
            }
            found.push(Extension { oid, is_critical: extension.critical, value: extension.value.to_vec() });
        }
    }
    Ok(found)
}

fn check_names(names: &[GeneralName<'_>]) -> Result<(), CsrFault> {
    if names.len() > MAX_NAMES {
        return Err(CsrFault::TooMany);
    }
    let shown = |text: &str| CsrFault::Name { name: text.chars().take(255).collect() };
    for general in names {
        match general {
            GeneralName::DNSName(host) if !name::is_identifier(host) => return Err(shown(host)),
            GeneralName::IPAddress(octets) if ![4, 16].contains(&octets.len()) => {
                return Err(CsrFault::Name { name: format!("an IP address of {} bytes", octets.len()) });
            }
            GeneralName::RFC822Name(text) | GeneralName::URI(text)
                if text.is_empty() || text.chars().any(|c| c.is_control() || c.is_whitespace()) =>
            {
                return Err(shown(text));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
