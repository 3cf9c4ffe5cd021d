//! Whom services are verified by: certificates of a file, a directory, a private CA of ACM, or the system's.

mod acm_pca;

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::watch;
use trellis_auth::Credentials;
use trellis_model::Arn;

use crate::credentials::with_causes;
use crate::supply::{self, Supply};

/// How often files are read again, and a private CA is asked: certificates are replaced before they expire.
const FILES: Duration = Duration::from_secs(60);
const AUTHORITY: Duration = Duration::from_secs(600);
/// Waits after a look that found nothing.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Largest file of certificates, and most files of a directory that are read.
const MAX_FILE: u64 = 4 << 20;
const MAX_FILES: usize = 1024;

/// Where the certificates come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrustSource {
    /// Those the machine trusts; `SSL_CERT_FILE` and `SSL_CERT_DIR` say otherwise.
    System,
    /// A PEM file, or a directory of them.
    Path(PathBuf),
    /// The ARN of a certificate authority of ACM PCA, which is asked for its certificate.
    CertificateAuthority(Arn),
}

/// An ARN that is not a certificate authority's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a file, a directory or arn:aws:acm-pca:REGION:ACCOUNT:certificate-authority/ID, found {found:?}"
)]
pub struct UnusableTrustSource {
    found: String,
}

impl FromStr for TrustSource {
    type Err = UnusableTrustSource;

    fn from_str(text: &str) -> Result<Self, UnusableTrustSource> {
        if !text.starts_with("arn:") {
            let unusable = || UnusableTrustSource { found: String::new() };
            return if text.is_empty() { Err(unusable()) } else { Ok(Self::Path(text.into())) };
        }
        let unusable = || UnusableTrustSource { found: text.chars().take(128).collect() };
        let arn: Arn = text.parse().map_err(|_| unusable())?;
        let is_authority = arn.service == "acm-pca"
            && !arn.region.is_empty()
            && arn.resource.starts_with("certificate-authority/");
        if is_authority { Ok(Self::CertificateAuthority(arn)) } else { Err(unusable()) }
    }
}

/// How services are met: one configuration for each protocol offered to them.
#[derive(Debug)]
pub(crate) struct Trust {
    pub(crate) http1: Arc<ClientConfig>,
    pub(crate) http2: Arc<ClientConfig>,
}

impl Trust {
    fn new(certificates: &[CertificateDer<'static>]) -> Result<Self, TrustError> {
        let mut http1 = client_config(certificates)?;
        let mut http2 = http1.clone();
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        http2.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { http1: Arc::new(http1), http2: Arc::new(http2) })
    }
}

/// Verifies servers by `certificates` alone.
fn client_config(certificates: &[CertificateDer<'static>]) -> Result<ClientConfig, TrustError> {
    let mut roots = RootCertStore::empty();
    // One that is no authority's, or in a form the library does not know, vouches for nobody.
    roots.add_parsable_certificates(certificates.iter().cloned());
    if roots.is_empty() {
        return Err(TrustError::Empty);
    }
    Ok(ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// Why nobody can be verified.
#[derive(Debug, thiserror::Error)]
enum TrustError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is larger than {MAX_FILE} bytes", path.display())]
    TooLarge { path: PathBuf },
    #[error("{} is not PEM", path.display())]
    NotPem { path: PathBuf },
    #[error("no certificate in {}", path.display())]
    NoCertificate { path: PathBuf },
    #[error("the system trusts no certificate authority: {complaint}")]
    System { complaint: String },
    #[error("{arn} cannot be asked for its certificate")]
    Authority { arn: String, source: Box<acm_pca::AcmPcaError> },
    #[error("none of the certificates is an authority's")]
    Empty,
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// Keeps `found` supplied for as long as somebody looks at it.
pub(crate) async fn keep(
    source: TrustSource,
    endpoint: Option<String>,
    credentials: watch::Receiver<Supply<Credentials>>,
    found: watch::Sender<Supply<Trust>>,
) {
    let mut known: Vec<CertificateDer<'static>> = Vec::new();
    let mut wait = SHORTEST_WAIT;
    while !found.is_closed() {
        let looked = look(&source, endpoint.as_deref(), &credentials).await;
        let pause = match looked.and_then(|certificates| Ok((Trust::new(&certificates)?, certificates))) {
            Ok((trust, certificates)) => {
                // Configurations keep the tickets of sessions: they stay while what they verify by does.
                if certificates != known || !matches!(&*found.borrow(), Supply::Ready(_)) {
                    tracing::info!(certificates = certificates.len(), "certificate authorities found");
                    found.send_replace(Supply::Ready(Arc::new(trust)));
                    known = certificates;
                }
                wait = SHORTEST_WAIT;
                if matches!(source, TrustSource::CertificateAuthority(_)) { AUTHORITY } else { FILES }
            }
            Err(error) => {
                let reason = with_causes(&error);
                if matches!(&*found.borrow(), Supply::Ready(_)) {
                    tracing::warn!(reason, "certificate authorities cannot be read; those known are kept");
                } else {
                    tracing::warn!(reason, "no certificate authority");
                    found.send_replace(Supply::Missing(reason.into()));
                }
                let pause = wait;
                wait = (wait * 2).min(LONGEST_WAIT);
                pause
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn look(
    source: &TrustSource,
    endpoint: Option<&str>,
    credentials: &watch::Receiver<Supply<Credentials>>,
) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    match source {
        TrustSource::System => system(),
        TrustSource::Path(path) if path.is_dir() => directory(path),
        TrustSource::Path(path) => match file(path)? {
            found if found.is_empty() => Err(TrustError::NoCertificate { path: path.clone() }),
            found => Ok(found),
        },
        TrustSource::CertificateAuthority(arn) => {
            let unasked = |source| TrustError::Authority { arn: arn.to_string(), source: Box::new(source) };
            let credentials = supply::found(credentials)
                .await
                .map_err(|reason| unasked(acm_pca::AcmPcaError::Credentials { reason }))?;
            acm_pca::certificates(arn, endpoint, &credentials).await.map_err(unasked)
        }
    }
}

fn system() -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let complaint = found.errors.first().map_or_else(|| "none found".to_owned(), ToString::to_string);
        return Err(TrustError::System { complaint });
    }
    Ok(found.certs)
}

fn file(path: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let unread = |source| TrustError::Read { path: path.to_owned(), source };
    let mut pem = Vec::new();
    fs::File::open(path).map_err(unread)?.take(MAX_FILE + 1).read_to_end(&mut pem).map_err(unread)?;
    if pem.len() as u64 > MAX_FILE {
        return Err(TrustError::TooLarge { path: path.to_owned() });
    }
    certificates_of(&pem).ok_or_else(|| TrustError::NotPem { path: path.to_owned() })
}

/// Of every file that has some; others, such as a key beside them, are passed over.
fn directory(path: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let unread = |source| TrustError::Read { path: path.to_owned(), source };
    let mut files: Vec<PathBuf> = fs::read_dir(path)
        .map_err(unread)?
        .take(MAX_FILES)
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<_>>()
        .map_err(unread)?;
    files.sort();
    let mut found = Vec::new();
    for certificates in files.iter().filter(|path| path.is_file()).filter_map(|path| file(path).ok()) {
        found.extend(certificates);
    }
    // The same certificate in two files is one.
    found.sort_by(|one, other| one.as_ref().cmp(other.as_ref()));
    found.dedup();
    if found.is_empty() { Err(TrustError::NoCertificate { path: path.to_owned() }) } else { Ok(found) }
}

/// `None` for what is not PEM.
fn certificates_of(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;

    pub(super) fn certificate() -> String {
        let mut parameters = rcgen::CertificateParams::default();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let made = parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let text = base64::engine::general_purpose::STANDARD.encode(made.der());
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    }

    #[test]
    fn a_source_is_a_path_or_the_arn_of_an_authority() {
        assert_eq!("/etc/ca.pem".parse(), Ok(TrustSource::Path("/etc/ca.pem".into())));
        let arn = "arn:aws:acm-pca:us-east-1:111122223333:certificate-authority/0123";
        assert_eq!(arn.parse(), Ok(TrustSource::CertificateAuthority(arn.parse().unwrap())));
        for wrong in [
            "",
            "arn:aws:acm:us-east-1:111122223333:certificate/1",
            "arn:aws:acm-pca",
            "arn:aws:acm-pca::1:x",
        ] {
            assert!(wrong.parse::<TrustSource>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn certificates_are_read_from_a_file_and_from_every_file_of_a_directory() {
        let place = tempfile::tempdir().unwrap();
        let [one, two] = [certificate(), certificate()];
        fs::write(place.path().join("one.pem"), &one).unwrap();
        fs::write(place.path().join("both.crt"), format!("{one}{two}")).unwrap();
        fs::write(place.path().join("notes.txt"), "no certificate").unwrap();
        fs::write(place.path().join("broken.pem"), "-----BEGIN CERTIFICATE-----\n%%\n").unwrap();
        fs::create_dir(place.path().join("more")).unwrap();
        assert_eq!(file(&place.path().join("both.crt")).unwrap().len(), 2);
        let found = directory(place.path()).unwrap();
        assert_eq!(found.len(), 2);
        Trust::new(&found).unwrap();
        assert!(matches!(directory(&place.path().join("more")), Err(TrustError::NoCertificate { .. })));
        assert!(matches!(file(&place.path().join("broken.pem")), Err(TrustError::NotPem { .. })));
        assert!(matches!(file(&place.path().join("none.pem")), Err(TrustError::Read { .. })));
        assert!(matches!(Trust::new(&[]), Err(TrustError::Empty)));
    }
}
