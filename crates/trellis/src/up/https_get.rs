//! Gets a document from another party over verified TLS: the keys of identity providers. The roots are the machine's,
//! or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use trellis_control::{HttpsGet, MAX_ANSWER};

/// From the name's resolution to the last byte.
const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn https_get() -> HttpsGet {
    HttpsGet::new(|url| {
        Box::pin(async move {
            match tokio::time::timeout(TIMEOUT, get(&url)).await {
                Ok(Ok(body)) => Ok(body),
                Ok(Err(error)) => Err(format!("{url}: {error:#}")),
                Err(_) => Err(format!("{url}: no answer within {TIMEOUT:?}")),
            }
        })
    })
}

async fn get(url: &str) -> anyhow::Result<Vec<u8>> {
    let uri: Uri = url.parse().context("not a URL")?;
    let host = uri.host().context("a URL without a host")?;
    if uri.scheme_str() != Some("https") {
        bail!("expected a URL that begins with https://");
    }
    let address = (host.trim_matches(['[', ']']), uri.port_u16().unwrap_or(443));
    let name = ServerName::try_from(address.0.to_owned()).context("not a host name")?;
    let stream = TcpStream::connect(address).await.context("cannot connect")?;
    let stream = TlsConnector::from(client_config()?).connect(name, stream).await.context("no TLS")?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let authority = uri.authority().map_or(host, |authority| authority.as_str());
    let request = Request::get(target)
        .header(header::HOST, authority)
        .header(header::ACCEPT, "application/json")
        .body(Empty::<Bytes>::new())?;
    let answer = async {
        let response = sender.send_request(request).await?;
        if response.status() != StatusCode::OK {
            bail!("answered with {}", response.status());
        }
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        Ok(body.map_err(|error| anyhow::anyhow!("the answer cannot be read: {error}"))?.to_bytes().to_vec())
    };
    let answer = answer.await;
    connection.abort();
    answer
}

/// Read once: roots that an operator changes are in force after the next start.
fn client_config() -> anyhow::Result<Arc<ClientConfig>> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(config.clone());
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        bail!("the machine has no root certificates: set SSL_CERT_FILE");
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(CONFIG.get_or_init(|| Arc::new(config)).clone())
}
