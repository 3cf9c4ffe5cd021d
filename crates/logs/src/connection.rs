//! One HTTP/1.1 connection to somewhere, and calls over it. hyper carries the bytes.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::failure::Failure;

/// For TCP and TLS together, and for one call.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest answer read; those of the calls made here have a few hundred bytes a record.
const MAX_ANSWER: usize = 1 << 20;

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Site {
    pub(crate) is_tls: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// What every path begins with; no slash at the end.
    pub(crate) path: String,
}

impl Site {
    /// The default port of HTTPS at `host`.
    pub(crate) fn https(host: String) -> Self {
        Self { is_tls: true, host, port: 443, path: String::new() }
    }

    /// `http://` or `https://`, host, port, path; nothing else. `None` otherwise.
    pub(crate) fn of_url(text: &str) -> Option<Self> {
        let url: http::Uri = text.parse().ok()?;
        let is_tls = match url.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let authority = url.authority()?;
        if authority.as_str().contains('@') || authority.host().is_empty() || url.query().is_some() {
            return None;
        }
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let path = url.path().trim_end_matches('/').to_owned();
        Some(Self { is_tls, host: authority.host().to_owned(), port, path })
    }

    /// The `host` header.
    pub(crate) fn authority(&self) -> String {
        match (self.is_tls, self.port) {
            (true, 443) | (false, 80) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }

    /// Without the brackets of an IPv6 address.
    fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    carrier: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.carrier.abort();
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Connection {
    pub(crate) async fn open(site: &Site) -> Result<Self, Failure> {
        let what = || format!("cannot connect to {}", site.authority());
        let stream = match tokio::time::timeout(CONNECT_TIMEOUT, connect(site)).await {
            Ok(stream) => stream.map_err(|error| Failure::because(what(), &error))?,
            Err(_) => return Err(Failure::new(format!("{}: no answer", what()))),
        };
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| Failure::because(what(), &error))?;
        let carrier = tokio::spawn(async move {
            // Whoever waits for an answer is told.
            let _ = connection.await;
        });
        Ok(Self { sender, carrier: carrier.abort_handle() })
    }

    /// Whether another call may be made.
    pub(crate) fn is_usable(&self) -> bool {
        self.sender.is_ready()
    }

    pub(crate) async fn call(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, Failure> {
        let exchange = async {
            let answer = self.sender.send_request(request).await?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await?.to_bytes();
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Answer {
                status: head.status,
                headers: head.headers,
                body,
            })
        };
        match tokio::time::timeout(CALL_TIMEOUT, exchange).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Failure::because("the call failed", &*error)),
            Err(_) => Err(Failure::new("there was no answer in 30 s")),
        }
    }
}

async fn connect(site: &Site) -> io::Result<Box<dyn Stream>> {
    let tcp = TcpStream::connect((site.bare_host(), site.port)).await?;
    tcp.set_nodelay(true)?;
    if !site.is_tls {
        return Ok(Box::new(tcp));
    }
    let name = ServerName::try_from(site.bare_host().to_owned()).map_err(io::Error::other)?;
    Ok(Box::new(TlsConnector::from(tls()?).connect(name, tcp).await?))
}

/// Trusts what the machine trusts; `SSL_CERT_FILE` and `SSL_CERT_DIR` say otherwise.
fn tls() -> io::Result<Arc<ClientConfig>> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(config.clone());
    }
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    if roots.add_parsable_certificates(found.certs).0 == 0 {
        return Err(io::Error::other("this machine has no root certificates; set SSL_CERT_FILE"));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(CONFIG.get_or_init(|| Arc::new(config)).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_site() {
        let site = |is_tls, host: &str, port, path: &str| {
            Some(Site { is_tls, host: host.into(), port, path: path.into() })
        };
        for (text, expected) in [
            ("http://127.0.0.1:9000", site(false, "127.0.0.1", 9000, "")),
            ("https://[::1]:9000/s3/", site(true, "[::1]", 9000, "/s3")),
            ("https://minio.example", site(true, "minio.example", 443, "")),
            ("https://user:secret@host", None),
            ("http://host/?query", None),
            ("ftp://host", None),
            ("host:80", None),
            ("http://", None),
        ] {
            assert_eq!(Site::of_url(text), expected, "{text}");
        }
    }

    #[test]
    fn default_ports_are_not_named() {
        let authority = |url: &str| Site::of_url(url).unwrap().authority();
        assert_eq!(authority("http://host:80"), "host");
        assert_eq!(authority("https://host:80"), "host:80");
        assert_eq!(authority("https://[::1]"), "[::1]");
    }
}
