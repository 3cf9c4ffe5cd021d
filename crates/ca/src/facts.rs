//! What a certificate says of itself: the fields that ACM's DescribeCertificate and ListCertificates
//! answer, and which names it stands for. Nothing here is secret, so it is kept beside the sealed key.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use trellis_model::moment::Moment;
use x509_parser::asn1_rs::Tag;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Version};

use crate::der::{self, Reader, integer_bits};
use crate::key::{KeyAlgorithm, KeyFault};
use crate::signature::{SignatureAlgorithm, SignatureFault};
use crate::{name, subject};

/// What one certificate states.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Distinguished name, RFC 4514; empty if the certificate has none.
    pub subject: String,
    /// Distinguished name, RFC 4514.
    pub issuer: String,
    /// The issuer's organization, else its common name: what ACM shows as `Issuer`.
    pub issuer_name: Option<String>,
    /// The subject's common name.
    pub common_name: Option<String>,
    /// DNS names of the subjectAltName extension, in order, lower case; malformed ones are left out.
    pub dns_names: Vec<String>,
    /// IP addresses of the subjectAltName extension, in order.
    pub ip_addresses: Vec<IpAddr>,
    /// Whether there is a subjectAltName extension at all. Only without one does the common name
    /// count as a host name.
    pub has_alternative_names: bool,
    /// Lower-case hexadecimal octets with colons, `0a:bc:...`.
    pub serial: String,
    pub not_before: Moment,
    pub not_after: Moment,
    pub key_algorithm: KeyAlgorithm,
    pub signature_algorithm: SignatureAlgorithm,
    /// Empty if the certificate does not limit its use.
    pub key_usages: Vec<KeyUsage>,
    /// Empty if the certificate does not limit its use.
    pub extended_key_usages: Vec<ExtendedKeyUsage>,
    /// Basic constraints say `CA:TRUE`.
    pub is_authority: bool,
    /// Subject and issuer are the same, by name and by key identifier where given.
    pub is_self_issued: bool,
}

/// A bit of the key usage extension, by ACM's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum KeyUsage {
    DigitalSignature,
    NonRepudiation,
    KeyEncipherment,
    DataEncipherment,
    KeyAgreement,
    CertificateSigning,
    CrlSigning,
    EncipherOnly,
    DecipherOnly,
}

/// An entry of the extended key usage extension.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ExtendedKeyUsage {
    pub name: ExtendedKeyUsageName,
    /// Dotted, `1.3.6.1.5.5.7.3.1`.
    pub oid: String,
}

/// ACM's names of extended key usages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ExtendedKeyUsageName {
    TlsWebServerAuthentication,
    TlsWebClientAuthentication,
    CodeSigning,
    EmailProtection,
    TimeStamping,
    OcspSigning,
    IpsecEndSystem,
    IpsecTunnel,
    IpsecUser,
    Any,
    Custom,
}

/// Why bytes are not a certificate that can be used here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateFault {
    #[error("it is not an X.509 certificate: {reason}")]
    NotX509 { reason: String },
    #[error("it is X.509 version {found}, expected version 3")]
    Version { found: u32 },
    #[error("its {extension} extension is malformed or given twice")]
    Extension { extension: String },
    #[error("its issuer is empty")]
    EmptyIssuer,
    #[error("its OCSP address is {got} characters long, expected at most {limit}", limit = Facts::MAX_OCSP_URL)]
    OcspUrl { got: usize },
    #[error(transparent)]
    Key(#[from] KeyFault),
    #[error(transparent)]
    Signature(#[from] SignatureFault),
}

impl Facts {
    /// ACM's limit on the OCSP address of an imported certificate, in characters.
    pub const MAX_OCSP_URL: usize = 1000;

    /// Reads them from DER. Dates, names and signatures are read, not judged; key and signature must
    /// be of a supported, strong kind.
    ///
    /// # Errors
    /// Every [`CertificateFault`].
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, CertificateFault> {
        Self::of_parsed(&parse(certificate)?)
    }

    pub(crate) fn of_parsed(certificate: &X509Certificate<'_>) -> Result<Self, CertificateFault> {
        if certificate.issuer().iter_rdn().next().is_none() {
            return Err(CertificateFault::EmptyIssuer);
        }
        let key_algorithm = key_algorithm(certificate.public_key())?;
        let signature_algorithm = SignatureAlgorithm::identify(&certificate.signature_algorithm)?;
        let mut facts = Self {
            subject: subject::to_text(certificate.subject()),
            issuer: subject::to_text(certificate.issuer()),
            issuer_name: subject::attribute(certificate.issuer(), 10)
                .or_else(|| subject::attribute(certificate.issuer(), 3))
                .map(str::to_string),
            common_name: subject::attribute(certificate.subject(), 3).map(str::to_string),
            dns_names: Vec::new(),
            ip_addresses: Vec::new(),
            has_alternative_names: false,
            serial: serial(certificate),
            not_before: moment(certificate.validity().not_before.timestamp())?,
            not_after: moment(certificate.validity().not_after.timestamp())?,
            key_algorithm,
            signature_algorithm,
            key_usages: Vec::new(),
            extended_key_usages: Vec::new(),
            is_authority: false,
            is_self_issued: certificate.subject().as_raw() == certificate.issuer().as_raw(),
        };
        let (mut own_id, mut issuer_id) = (None, None);
        for extension in certificate.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => {
                    facts.has_alternative_names = true;
                    names.general_names.iter().for_each(|name| facts.add_name(name));
                }
                ParsedExtension::KeyUsage(usage) => facts.key_usages = key_usages(usage),
                ParsedExtension::ExtendedKeyUsage(usage) => {
                    facts.extended_key_usages = extended_key_usages(usage);
                }
                ParsedExtension::BasicConstraints(basic) => facts.is_authority = basic.ca,
                ParsedExtension::SubjectKeyIdentifier(id) => own_id = Some(id.0),
                ParsedExtension::AuthorityKeyIdentifier(id) => {
                    issuer_id = id.key_identifier.as_ref().map(|id| id.0);
                }
                ParsedExtension::AuthorityInfoAccess(access) => {
                    for description in access.iter() {
                        if let GeneralName::URI(url) = description.access_location
                            && description.access_method.as_bytes() == OCSP
                            && url.chars().count() > Self::MAX_OCSP_URL
                        {
                            return Err(CertificateFault::OcspUrl { got: url.chars().count() });
                        }
                    }
                }
                _ => {}
            }
        }
        if let (Some(own), Some(issuer)) = (own_id, issuer_id) {
            facts.is_self_issued &= own == issuer;
        }
        Ok(facts)
    }

    fn add_name(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::DNSName(dns) if name::is_identifier(dns) => {
                self.dns_names.push(dns.to_ascii_lowercase());
            }
            GeneralName::IPAddress(bytes) => {
                let address = <[u8; 4]>::try_from(*bytes)
                    .map(IpAddr::from)
                    .or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
                self.ip_addresses.extend(address);
            }
            _ => {}
        }
    }

    /// The names that count: those of the subjectAltName extension, or the common name if there is no
    /// such extension and the common name is a host name.
    pub fn host_names(&self) -> impl Iterator<Item = &str> {
        let common = self
            .common_name
            .as_deref()
            .filter(|name| !self.has_alternative_names && name::is_identifier(name));
        self.dns_names.iter().map(String::as_str).chain(common)
    }

    /// Whether the certificate stands for `host`; see [`name::covers`] for wildcards.
    pub fn covers(&self, host: &str) -> bool {
        self.host_names().any(|identifier| name::covers(identifier, host))
    }

    /// What ACM shows as `DomainName`: the common name if it is a host name, else the first name.
    pub fn domain_name(&self) -> Option<&str> {
        let common = self.common_name.as_deref().filter(|name| name::is_identifier(name));
        common.or_else(|| self.dns_names.first().map(String::as_str))
    }

    /// Whether `now` lies within the two dates, both included (RFC 5280 section 4.1.2.5).
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        (Timestamp::from(self.not_before)..=Timestamp::from(self.not_after)).contains(&now)
    }

    /// When to have a successor: after two thirds of the certificate's life.
    pub fn renew_at(&self) -> Timestamp {
        let (from, to) = (Timestamp::from(self.not_before), Timestamp::from(self.not_after));
        let life = to.as_second().saturating_sub(from.as_second()).max(0);
        // Never past `to`, which is a timestamp already.
        from.saturating_add(SignedDuration::from_secs(life / 3 * 2)).unwrap_or(to)
    }
}

/// The access method id-ad-ocsp, 1.3.6.1.5.5.7.48.1.
const OCSP: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01];

/// Parses one DER certificate strictly: version 3, nothing after it, no extension twice, and every
/// extension that this crate reads well formed.
pub(crate) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, CertificateFault> {
    let not_x509 = |reason: &str| CertificateFault::NotX509 { reason: reason.to_string() };
    let (rest, certificate) =
        X509Certificate::from_der(der).map_err(|_| not_x509("its structure cannot be read"))?;
    if !rest.is_empty() {
        return Err(not_x509("bytes follow it"));
    }
    if certificate.version() != X509Version::V3 {
        return Err(CertificateFault::Version { found: certificate.version().0.saturating_add(1) });
    }
    if certificate.signature_algorithm != certificate.tbs_certificate.signature {
        return Err(not_x509("it names two signature algorithms"));
    }
    let mut seen: Vec<&[u8]> = Vec::new();
    for extension in certificate.extensions() {
        let oid = extension.oid.as_bytes();
        let malformed = matches!(extension.parsed_extension(), ParsedExtension::ParseError { .. });
        if malformed || seen.contains(&oid) {
            let extension = match oid {
                [0x55, 0x1d, 14] => "subject key identifier".into(),
                [0x55, 0x1d, 15] => "key usage".into(),
                [0x55, 0x1d, 17] => "subject alternative name".into(),
                [0x55, 0x1d, 19] => "basic constraints".into(),
                [0x55, 0x1d, 35] => "authority key identifier".into(),
                [0x55, 0x1d, 37] => "extended key usage".into(),
                other => crate::key::dotted(other),
            };
            return Err(CertificateFault::Extension { extension });
        }
        seen.push(oid);
    }
    Ok(certificate)
}

pub(crate) fn key_algorithm(key: &SubjectPublicKeyInfo<'_>) -> Result<KeyAlgorithm, KeyFault> {
    // Only a name: parameters that spell out a curve are another type of value.
    let named = key.algorithm.parameters.as_ref().filter(|any| any.tag() == Tag::Oid);
    let curve = named.and_then(|any| any.as_oid().ok());
    let bits = || {
        let mut key = Reader::new(&key.subject_public_key.data).enter(der::SEQUENCE)?;
        key.take(der::INTEGER).map(integer_bits)
    };
    let curve = curve.as_ref().map(|oid| oid.as_bytes());
    let algorithm = KeyAlgorithm::identify(key.algorithm.algorithm.as_bytes(), curve, bits)?;
    // TLS 1.3 has uncompressed points only (RFC 8446 section 4.2.8.2), and so has rustls.
    if !algorithm.is_rsa() && key.subject_public_key.data.first() != Some(&0x04) {
        return Err(KeyFault::Unsupported { found: format!("{algorithm} with a compressed point") });
    }
    Ok(algorithm)
}

fn serial(certificate: &X509Certificate<'_>) -> String {
    let bytes = match certificate.tbs_certificate.raw_serial() {
        // The sign octet is DER's, not the number's.
        [0, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    };
    let octets: Vec<_> = bytes.iter().take(64).map(|byte| format!("{byte:02x}")).collect();
    octets.join(":")
}

fn moment(seconds: i64) -> Result<Moment, CertificateFault> {
    Timestamp::from_second(seconds)
        .map(Moment::from)
        .map_err(|_| CertificateFault::NotX509 { reason: "its dates are out of range".into() })
}

fn key_usages(usage: &x509_parser::extensions::KeyUsage) -> Vec<KeyUsage> {
    [
        (usage.digital_signature(), KeyUsage::DigitalSignature),
        (usage.non_repudiation(), KeyUsage::NonRepudiation),
        (usage.key_encipherment(), KeyUsage::KeyEncipherment),
        (usage.data_encipherment(), KeyUsage::DataEncipherment),
        (usage.key_agreement(), KeyUsage::KeyAgreement),
        (usage.key_cert_sign(), KeyUsage::CertificateSigning),
        (usage.crl_sign(), KeyUsage::CrlSigning),
        (usage.encipher_only(), KeyUsage::EncipherOnly),
        (usage.decipher_only(), KeyUsage::DecipherOnly),
    ]
    .into_iter()
    .filter_map(|(set, usage)| set.then_some(usage))
    .collect()
}

fn extended_key_usages(usage: &x509_parser::extensions::ExtendedKeyUsage<'_>) -> Vec<ExtendedKeyUsage> {
    use ExtendedKeyUsageName as Name;
    const ARC: &str = "1.3.6.1.5.5.7.3";
    let known = [
        (usage.server_auth, Name::TlsWebServerAuthentication, 1),
        (usage.client_auth, Name::TlsWebClientAuthentication, 2),
        (usage.code_signing, Name::CodeSigning, 3),
        (usage.email_protection, Name::EmailProtection, 4),
        (usage.time_stamping, Name::TimeStamping, 8),
        (usage.ocsp_signing, Name::OcspSigning, 9),
    ]
    .into_iter()
    .filter(|(set, ..)| *set)
    .map(|(_, name, last)| ExtendedKeyUsage { name, oid: format!("{ARC}.{last}") });
    let any = usage.any.then(|| ExtendedKeyUsage { name: Name::Any, oid: "2.5.29.37.0".into() });
    let other = usage.other.iter().map(|oid| {
        let oid = crate::key::dotted(oid.as_bytes());
        let name = match oid.strip_prefix(ARC) {
            Some(".5") => Name::IpsecEndSystem,
            Some(".6") => Name::IpsecTunnel,
            Some(".7") => Name::IpsecUser,
            _ => Name::Custom,
        };
        ExtendedKeyUsage { name, oid }
    });
    known.chain(any).chain(other).collect()
}
