//! TLS of the API endpoint: a certificate given in files, or one of the private CA, which is renewed in time.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{DEFAULT_VERSIONS, ServerConfig};
use trellis_control::Control;

/// Between attempts to renew after one that failed.
const RETRY: Duration = Duration::from_secs(60);
/// Nobody waits longer in one piece: clocks are set, machines sleep.
const LOOK: Duration = Duration::from_secs(3600);

/// The certificate shown now.
pub(crate) struct Certificate {
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Certificate {
    /// # Errors
    /// A file that cannot be read, or a pair that does not belong together.
    pub(crate) fn from_files(chain: &Path, key: &Path) -> anyhow::Result<Arc<Self>> {
        let read =
            |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        Self::from_pem(&read(chain)?, &read(key)?)
            .with_context(|| format!("{} and {} cannot be used", chain.display(), key.display()))
    }

    /// One of the private CA for these names, and its successors for as long as somebody shows it.
    ///
    /// # Errors
    /// A name that no certificate can have.
    pub(crate) fn issued(control: &Control, names: Vec<String>) -> anyhow::Result<Arc<Self>> {
        let issued = control.issue_certificate(&names)?;
        let made = Self::from_pem(issued.certificate_pem.as_bytes(), issued.key_pem.as_bytes())?;
        tokio::spawn(renew(Arc::downgrade(&made), control.clone(), names, issued.renew_in));
        Ok(made)
    }

    fn from_pem(chain: &[u8], key: &[u8]) -> anyhow::Result<Arc<Self>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let current = RwLock::new(Arc::new(certified(&provider, chain, key)?));
        Ok(Arc::new(Self { provider, current }))
    }

    /// # Errors
    /// None that the provider's own defaults can cause.
    pub(crate) fn acceptor(self: &Arc<Self>) -> anyhow::Result<TlsAcceptor> {
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(DEFAULT_VERSIONS)?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// Has another issued whenever it is time.
async fn renew(shown: Weak<Certificate>, control: Control, names: Vec<String>, mut renew_in: Duration) {
    loop {
        while !renew_in.is_zero() {
            let nap = renew_in.min(LOOK);
            tokio::time::sleep(nap).await;
            renew_in -= nap;
        }
        let Some(certificate) = shown.upgrade() else { return };
        let issued = control.issue_certificate(&names).map_err(anyhow::Error::from).and_then(|issued| {
            let (chain, key) = (issued.certificate_pem.as_bytes(), issued.key_pem.as_bytes());
            Ok((certified(&certificate.provider, chain, key)?, issued.renew_in))
        });
        renew_in = match issued {
            Ok((key, renew_in)) => {
                *certificate.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
                renew_in.max(RETRY)
            }
            Err(error) => {
                tracing::warn!(%error, "the API's certificate is not renewed yet");
                RETRY
            }
        };
    }
}

fn certified(provider: &CryptoProvider, chain: &[u8], key: &[u8]) -> anyhow::Result<CertifiedKey> {
    let chain =
        CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>().context("the certificate")?;
    if chain.is_empty() {
        bail!("the file of the certificate has none: expected PEM, the server's own first");
    }
    let key = PrivateKeyDer::from_pem_slice(key).context("the private key")?;
    let key = provider.key_provider.load_private_key(key).context("the private key")?;
    let certified = CertifiedKey::new(chain, key);
    certified.keys_match().context("certificate and key do not belong together")?;
    Ok(certified)
}

/// What a certificate of the private CA is made out to when nothing is said: this machine as its own programs know it,
/// and the address listened on.
pub(crate) fn names(listen: SocketAddr, given: &[String]) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let ip: IpAddr = listen.ip();
    if !ip.is_unspecified() {
        names.push(ip.to_string());
    }
    names.extend(given.iter().cloned());
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}
