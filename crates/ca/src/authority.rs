//! Trellis's own certificate authority: one self-signed root that issues server certificates
//! directly. Its path length is 0, so nothing it signs can sign anything else.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_RSA_SHA256,
    PublicKeyData, SanType, SerialNumber, SigningKey,
};
use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

use crate::facts::Facts;
use crate::key::{KeyAlgorithm, KeyFault, PrivateKey};
use crate::leaf::{self, Leaf, StoredFault};
use crate::{name, pem};

/// A root certificate and its key. `Debug` shows the facts, not the key.
#[derive(Clone)]
pub struct Authority {
    certificate: CertificateDer<'static>,
    key: PrivateKey,
    facts: Facts,
}

/// A name to issue a certificate for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SubjectName {
    /// A host name, perhaps with a wildcard as its left-most label ([`name::is_identifier`]).
    Dns(String),
    Ip(IpAddr),
}

/// What to issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafRequest {
    /// 1 to [`MAX_NAMES`](Self::MAX_NAMES), in the order they will stand in the certificate.
    pub names: Vec<SubjectName>,
    /// How long it is valid, 1 minute to 825 days (the most that common clients accept). Cut where
    /// the authority's own certificate ends. Default: 90 days.
    pub validity: Duration,
    /// Default: [`KeyAlgorithm::EcP256`].
    pub key: KeyAlgorithm,
}

impl LeafRequest {
    pub const MAX_NAMES: usize = 100;
    pub const MIN_VALIDITY: Duration = Duration::from_secs(60);
    pub const MAX_VALIDITY: Duration = Duration::from_secs(825 * DAY);
    pub const DEFAULT_VALIDITY: Duration = Duration::from_secs(90 * DAY);

    /// A request for these names, 90 days and a P-256 key.
    pub fn new(names: impl IntoIterator<Item = SubjectName>) -> Self {
        Self {
            names: names.into_iter().collect(),
            validity: Self::DEFAULT_VALIDITY,
            key: KeyAlgorithm::EcP256,
        }
    }

    /// [`new`](Self::new) for host names.
    pub fn for_hosts<'a>(hosts: impl IntoIterator<Item = &'a str>) -> Self {
        Self::new(hosts.into_iter().map(|host| SubjectName::Dns(host.to_string())))
    }
}

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    #[error("expected 1 to {max} names, found {got}", max = LeafRequest::MAX_NAMES)]
    NameCount { got: usize },
    #[error("{name:?} is not a host name that a certificate can carry")]
    Name { name: String },
    #[error("a common name has 1 to {MAX_COMMON_NAME} printable characters, found {got:?}")]
    CommonName { got: String },
    #[error(
        "a validity of {got:?} is outside {:?}..={:?}",
        LeafRequest::MIN_VALIDITY,
        LeafRequest::MAX_VALIDITY
    )]
    Validity { got: Duration },
    #[error("the authority's certificate is valid from {not_before} to {not_after}, and it is {now}")]
    AuthorityNotValid { not_before: Timestamp, not_after: Timestamp, now: Timestamp },
    #[error("the clock says {now}, which no certificate can hold")]
    Clock { now: Timestamp },
    #[error("no key could be made")]
    Key(#[source] KeyFault),
    #[error("the system's random generator failed")]
    Random,
    #[error("the certificate could not be encoded")]
    Encode(#[source] rcgen::Error),
}

const DAY: u64 = 24 * 60 * 60;
/// RFC 5280, ub-common-name.
const MAX_COMMON_NAME: usize = 64;
/// Ten years, leap days not counted.
const AUTHORITY_VALIDITY: Duration = Duration::from_secs(3650 * DAY);
/// Clocks that are behind ours still accept a new certificate.
const BACKDATE: SignedDuration = SignedDuration::from_secs(60 * 60);

impl Authority {
    /// A new root: ECDSA P-256, valid for ten years from an hour before `now`, named
    /// `CN={common_name},O=Trellis`.
    ///
    /// # Errors
    /// [`IssueError::CommonName`], `Clock`, `Key`, `Random`, `Encode`.
    pub fn create(common_name: &str, now: Timestamp) -> Result<Self, IssueError> {
        let length = common_name.chars().count();
        if !(1..=MAX_COMMON_NAME).contains(&length) || common_name.chars().any(char::is_control) {
            return Err(IssueError::CommonName {
                got: common_name.chars().take(2 * MAX_COMMON_NAME).collect(),
            });
        }
        let key = PrivateKey::generate(KeyAlgorithm::EcP256).map_err(IssueError::Key)?;
        let mut params = params(Some(common_name), now, AUTHORITY_VALIDITY)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&Signer(&key)).map_err(IssueError::Encode)?.der().clone();
        let facts = Facts::of(&certificate).expect("what was just encoded can be read");
        Ok(Self { certificate, key, facts })
    }

    /// A certificate for the names of `request`, with a new key: server authentication only, a random
    /// 127-bit serial number, valid from an hour before `now`.
    ///
    /// # Errors
    /// Every [`IssueError`] but `CommonName`.
    pub fn issue(&self, request: &LeafRequest, now: Timestamp) -> Result<Leaf, IssueError> {
        if !(1..=LeafRequest::MAX_NAMES).contains(&request.names.len()) {
            return Err(IssueError::NameCount { got: request.names.len() });
        }
        if !(LeafRequest::MIN_VALIDITY..=LeafRequest::MAX_VALIDITY).contains(&request.validity) {
            return Err(IssueError::Validity { got: request.validity });
        }
        let (not_before, not_after) = (self.facts.not_before.into(), self.not_after());
        if !self.facts.is_valid_at(now) {
            return Err(IssueError::AuthorityNotValid { not_before, not_after, now });
        }
        let remaining = Duration::try_from(not_after.duration_since(now)).unwrap_or_default();
        // The common name is for people; a generated name is often too long for it.
        let common_name = request.names.iter().find_map(|name| match name {
            SubjectName::Dns(host) if host.len() <= MAX_COMMON_NAME => Some(host.as_str()),
            _ => None,
        });
        let mut params = params(common_name, now, request.validity.min(remaining))?;
        params.subject_alt_names = request.names.iter().map(alternative_name).collect::<Result<_, _>>()?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if request.key.is_rsa() {
            params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;

        let key = PrivateKey::generate(request.key).map_err(IssueError::Key)?;
        let issuer =
            Issuer::from_ca_cert_der(&self.certificate, Signer(&self.key)).map_err(IssueError::Encode)?;
        let certificate = params.signed_by(&Signer(&key), &issuer).map_err(IssueError::Encode)?.der().clone();
        let facts = Facts::of(&certificate).expect("what was just encoded can be read");
        Ok(Leaf::new(vec![certificate], key, facts))
    }

    /// The root certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The root certificate as PEM, for users' trust stores.
    pub fn ca_pem(&self) -> String {
        pem::certificates_to_pem(std::slice::from_ref(&self.certificate))
    }

    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    pub fn not_after(&self) -> Timestamp {
        self.facts.not_after.into()
    }

    /// When to make the next authority: after two thirds of this one's life.
    pub fn renew_at(&self) -> Timestamp {
        self.facts.renew_at()
    }

    /// Certificate and private key as PEM, to be sealed and stored.
    pub fn to_stored(&self) -> Zeroizing<Vec<u8>> {
        leaf::to_stored(std::slice::from_ref(&self.certificate), &self.key)
    }

    /// Reads what [`to_stored`](Self::to_stored) gave.
    ///
    /// # Errors
    /// Every [`StoredFault`].
    pub fn from_stored(stored: &[u8]) -> Result<Self, StoredFault> {
        let (mut chain, key, facts) = leaf::from_stored(stored)?;
        let (Some(certificate), true) = (chain.pop(), chain.is_empty()) else {
            return Err(StoredFault::Count { certificates: chain.len() + 1, keys: 1 });
        };
        // `sign_ecdsa` and `Signer` are for a P-256 root, which is all that `create` makes.
        if !facts.is_authority || !facts.is_self_issued || key.algorithm() != KeyAlgorithm::EcP256 {
            return Err(StoredFault::NotAuthority);
        }
        Ok(Self { certificate, key, facts })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("facts", &self.facts)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// What every certificate here has: subject, dates, serial number.
fn params(
    common_name: Option<&str>,
    now: Timestamp,
    validity: Duration,
) -> Result<CertificateParams, IssueError> {
    let clock = || IssueError::Clock { now };
    let from = now.checked_sub(BACKDATE).map_err(|_| clock())?;
    let to = now.checked_add(validity).map_err(|_| clock())?;
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let mut params = CertificateParams::default();
    // Timestamps end in the year 9999, as do the dates of X.509, so no addition here overflows.
    let seconds = |at: Timestamp| u64::try_from(at.as_second()).map(Duration::from_secs);
    params.not_before = epoch + seconds(from).map_err(|_| clock())?;
    params.not_after = epoch + seconds(to).map_err(|_| clock())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Trellis");
    if let Some(common_name) = common_name {
        params.distinguished_name.push(DnType::CommonName, common_name);
    }
    let mut serial = [0; 16];
    SystemRandom::new().fill(&mut serial).map_err(|_| IssueError::Random)?;
    // Positive, never zero, and always 16 octets: RFC 5280 section 4.1.2.2.
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}

fn alternative_name(name: &SubjectName) -> Result<SanType, IssueError> {
    match name {
        SubjectName::Ip(address) => Ok(SanType::IpAddress(*address)),
        SubjectName::Dns(host) if name::is_identifier(host) => {
            let host = host.to_ascii_lowercase();
            host.as_str().try_into().map(SanType::DnsName).map_err(IssueError::Encode)
        }
        SubjectName::Dns(host) => Err(IssueError::Name { name: host.chars().take(255).collect() }),
    }
}

/// A key as rcgen wants to see it.
struct Signer<'a>(&'a PrivateKey);

impl PublicKeyData for Signer<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.public_key()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        match self.0.algorithm() {
            KeyAlgorithm::EcP256 => &PKCS_ECDSA_P256_SHA256,
            KeyAlgorithm::EcP384 => &PKCS_ECDSA_P384_SHA384,
            KeyAlgorithm::EcP521 => &PKCS_ECDSA_P521_SHA512,
            KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => &PKCS_RSA_SHA256,
        }
    }
}

impl SigningKey for Signer<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.0.sign_ecdsa(message).ok_or(rcgen::Error::RemoteKeyError)
    }
}

#[cfg(test)]
mod tests;
