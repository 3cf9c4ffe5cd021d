//! The keys of a cluster: an authority for servers and clients, one for the aggregation layer, the pair that service
//! account tokens are signed with; and the certificates they issue. All on P-256.
//!
//! Authorities and the pair are made once and kept in files of mode 0600; certificates are issued anew whenever a host
//! is made ready to start, so none of them gets old while the cluster is used.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};
use trellis_ca::certificate::new_serial;
use trellis_ca::distinguished_name::Text;
use trellis_ca::extension::key_identifier;
use trellis_ca::facts::KeyUsage;
use trellis_ca::{
    DistinguishedName, Extension, GeneralName, KeyAlgorithm, PrivateKey, SignatureAlgorithm, ToBeSigned,
    certificates_of_pem, certificates_to_pem,
};
use zeroize::Zeroizing;

use crate::{files, kubeconfig};

const COMMON_NAME: &str = "2.5.4.3";
const ORGANISATION: &str = "2.5.4.10";
const SERVER: &str = "1.3.6.1.5.5.7.3.1";
const CLIENT: &str = "1.3.6.1.5.5.7.3.2";

const DAY: SignedDuration = SignedDuration::from_hours(24);
const AUTHORITY_DAYS: i32 = 3650;
/// A host that is started again gets new ones; one that runs longer than this does not.
const CERTIFICATE_DAYS: i32 = 825;
/// Clocks that are behind still accept it.
const BACKDATE: SignedDuration = SignedDuration::from_hours(1);

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    #[error("{path}")]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} is not what was written there")]
    Spoilt { path: PathBuf },
    #[error("no key could be made")]
    Key(#[from] trellis_ca::KeyFault),
    #[error("nothing could be signed")]
    Sign(#[from] trellis_ca::SignFault),
    #[error("{name:?} cannot stand in a certificate")]
    Name { name: String },
}

/// Whom a certificate is for.
#[derive(Debug, Clone, Default)]
pub struct Subject<'a> {
    pub name: &'a str,
    /// Kubernetes takes it for a group.
    pub group: Option<&'a str>,
    /// Of a server; empty for who is a client alone.
    pub hosts: Vec<GeneralName>,
}

/// A certificate and its key, both PEM.
#[derive(Clone)]
pub struct Issued {
    pub certificate: String,
    pub key: Zeroizing<String>,
}

/// An authority: signs directly, and nothing it signs can sign.
pub struct Authority {
    name: DistinguishedName,
    key: PrivateKey,
    pem: String,
}

/// Everything that is made once.
pub struct Authorities {
    pub cluster: Authority,
    pub front_proxy: Authority,
    /// Private.
    pub service_accounts: PrivateKey,
}

impl PkiError {
    /// For errors of a file, or of a folder.
    pub(crate) fn of_file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { path: path.to_owned(), source }
    }
}

impl Authorities {
    /// Those kept in `directory`; what is not there yet is made.
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn open(directory: &Path, now: Timestamp) -> Result<Self, PkiError> {
        files::directory(directory).map_err(PkiError::of_file(directory))?;
        let path = directory.join("service-accounts.key");
        let service_accounts = match read(&path)? {
            Some(pem) => PrivateKey::from_pem(&pem).map_err(|_| PkiError::Spoilt { path })?,
            None => {
                let key = PrivateKey::generate(KeyAlgorithm::EcP256)?;
                write(&directory.join("service-accounts.pub"), key.public_to_pem().as_bytes())?;
                write(&path, key.to_pem().as_bytes())?;
                key
            }
        };
        Ok(Self {
            cluster: Authority::open(directory, "ca", "kubernetes", now)?,
            front_proxy: Authority::open(directory, "front-proxy-ca", "front-proxy", now)?,
            service_accounts,
        })
    }
}

impl Authorities {
    /// What service account tokens are verified with: a JSON Web Key Set. The key's id is the one that kube-apiserver
    /// writes into tokens, the hash of the key.
    pub fn key_set(&self) -> serde_json::Value {
        let key = &self.service_accounts;
        let point = key.public_key();
        // An uncompressed point of P-256: 4, and two numbers of 32 bytes.
        let (x, y) = (point.get(1..33).unwrap_or_default(), point.get(33..65).unwrap_or_default());
        let text = |bytes: &[u8]| base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(bytes);
        serde_json::json!({"keys": [{
            "use": "sig",
            "kty": "EC",
            "kid": text(&Sha256::digest(key.public_key_info())),
            "crv": "P-256",
            "alg": "ES256",
            "x": text(x),
            "y": text(y),
        }]})
    }
}

impl Authority {
    fn open(directory: &Path, file: &str, name: &str, now: Timestamp) -> Result<Self, PkiError> {
        let (key_path, path) = (directory.join(format!("{file}.key")), directory.join(format!("{file}.crt")));
        let subject = distinguished_name(&Subject { name, ..Subject::default() })?;
        if let (Some(key), Some(pem)) = (read(&key_path)?, read(&path)?) {
            let key = PrivateKey::from_pem(&key).map_err(|_| PkiError::Spoilt { path: key_path })?;
            let is_one = certificates_of_pem(&pem).is_ok_and(|certificates| certificates.len() == 1);
            let pem = String::from_utf8(pem).ok().filter(|_| is_one).ok_or(PkiError::Spoilt { path })?;
            return Ok(Self { name: subject, key, pem });
        }
        let key = PrivateKey::generate(KeyAlgorithm::EcP256)?;
        let certificate = ToBeSigned {
            serial: new_serial()?,
            signature_algorithm: SignatureAlgorithm::Sha256Ecdsa,
            issuer: &subject,
            not_before: now - BACKDATE,
            not_after: now + DAY * AUTHORITY_DAYS,
            subject: &subject,
            public_key_info: &key.public_key_info(),
            extensions: &[
                Extension::basic_constraints(Some(Some(0)), true),
                Extension::key_usage(
                    &[KeyUsage::DigitalSignature, KeyUsage::CertificateSigning, KeyUsage::CrlSigning],
                    true,
                ),
                Extension::subject_key_identifier(key.public_key()),
            ],
        }
        .sign(&key)?;
        let pem = certificates_to_pem(&[certificate]);
        write(&key_path, key.to_pem().as_bytes())?;
        write(&path, pem.as_bytes())?;
        Ok(Self { name: subject, key, pem })
    }

    /// Its certificate, PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate with a new key.
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn issue(&self, subject: &Subject<'_>, now: Timestamp) -> Result<Issued, PkiError> {
        let key = PrivateKey::generate(KeyAlgorithm::EcP256)?;
        let unwritable = || PkiError::Name { name: subject.name.to_owned() };
        let usages: &[&str] = if subject.hosts.is_empty() { &[CLIENT] } else { &[SERVER, CLIENT] };
        let mut extensions = vec![
            Extension::basic_constraints(None, true),
            Extension::key_usage(&[KeyUsage::DigitalSignature], true),
            Extension::extended_key_usage(usages.iter().copied(), false).ok_or_else(unwritable)?,
            Extension::authority_key_identifier(&key_identifier(self.key.public_key())),
        ];
        if !subject.hosts.is_empty() {
            let names = Extension::subject_alternative_name(&subject.hosts, false);
            extensions.push(names.ok_or_else(unwritable)?);
        }
        let certificate = ToBeSigned {
            serial: new_serial()?,
            signature_algorithm: SignatureAlgorithm::Sha256Ecdsa,
            issuer: &self.name,
            not_before: now - BACKDATE,
            not_after: now + DAY * CERTIFICATE_DAYS,
            subject: &distinguished_name(subject)?,
            public_key_info: &key.public_key_info(),
            extensions: &extensions,
        }
        .sign(&self.key)?;
        Ok(Issued { certificate: certificates_to_pem(&[certificate]), key: key.to_pem() })
    }

    /// Issues into `directory/file.crt` and `.key`.
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn issue_into(
        &self,
        directory: &Path,
        file: &str,
        subject: &Subject<'_>,
        now: Timestamp,
    ) -> Result<(), PkiError> {
        let issued = self.issue(subject, now)?;
        write(&directory.join(format!("{file}.key")), issued.key.as_bytes())?;
        write(&directory.join(format!("{file}.crt")), issued.certificate.as_bytes())
    }

    /// Writes a kubeconfig for `subject`, a client of the cluster's API server at the URL `server`.
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn kubeconfig_into(
        &self,
        path: &Path,
        server: &str,
        subject: &Subject<'_>,
        now: Timestamp,
    ) -> Result<(), PkiError> {
        let client = self.issue(subject, now)?;
        write(path, &kubeconfig::with_certificate(server, &self.pem, &client))
    }
}

/// Names of a server: host names and addresses.
pub fn hosts<'a>(
    names: impl IntoIterator<Item = &'a str>,
    addresses: impl IntoIterator<Item = IpAddr>,
) -> Vec<GeneralName> {
    let names = names.into_iter().map(|name| GeneralName::Dns(name.to_owned()));
    names.chain(addresses.into_iter().map(GeneralName::Ip)).collect()
}

fn distinguished_name(subject: &Subject<'_>) -> Result<DistinguishedName, PkiError> {
    let group = subject.group.map(|group| (ORGANISATION, Text::Utf8, group));
    DistinguishedName::of(group.into_iter().chain([(COMMON_NAME, Text::Utf8, subject.name)]))
        .ok_or_else(|| PkiError::Name { name: subject.name.to_owned() })
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, PkiError> {
    files::read(path).map_err(PkiError::of_file(path))
}

pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), PkiError> {
    files::write(path, content).map_err(PkiError::of_file(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use trellis_ca::Facts;

    #[test]
    fn authorities_are_made_once_and_issue_for_servers_and_clients() {
        let directory = tempfile::tempdir().unwrap();
        let now = Timestamp::now();
        let first = Authorities::open(directory.path(), now).unwrap();
        let again = Authorities::open(directory.path(), now).unwrap();
        assert_eq!(first.cluster.pem(), again.cluster.pem());
        assert_eq!(first.service_accounts.public_key(), again.service_accounts.public_key());
        let hosts = hosts(["localhost"], ["10.0.1.9".parse().unwrap()]);
        let server =
            again.cluster.issue(&Subject { name: "kube-apiserver", group: None, hosts }, now).unwrap();
        let certificate = certificates_of_pem(server.certificate.as_bytes()).unwrap().remove(0);
        let facts = Facts::of(&certificate).unwrap();
        assert!(facts.covers("localhost"));
        assert!(facts.is_valid_at(now));
        std::fs::write(directory.path().join("ca.key"), "not a key").unwrap();
        assert!(matches!(Authorities::open(directory.path(), now), Err(PkiError::Spoilt { .. })));
    }

    #[test]
    fn the_key_set_has_the_public_key_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let set = Authorities::open(directory.path(), Timestamp::now()).unwrap().key_set();
        let key = set["keys"][0].as_object().unwrap();
        assert!(!key.contains_key("d"));
        assert_eq!(key["x"].as_str().map(str::len), Some(43));
        assert_eq!(key["kid"].as_str().map(str::len), Some(43));
    }

    #[test]
    fn keys_are_for_their_owner_alone() {
        use std::os::unix::fs::MetadataExt;
        let directory = tempfile::tempdir().unwrap();
        Authorities::open(directory.path(), Timestamp::now()).unwrap();
        for file in ["ca.key", "front-proxy-ca.key", "service-accounts.key"] {
            let mode = std::fs::metadata(directory.path().join(file)).unwrap().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }
}
