//! Gets a document from another party over verified TLS: the keys of identity providers. The roots are the machine's,
//! or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name. Issuers whose keys an operator has imported are not asked: what
//! they would answer is made of the file.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;
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

/// `imported`: files with the keys of issuers, by their URLs without `https://`.
pub(super) fn https_get(imported: BTreeMap<String, PathBuf>) -> HttpsGet {
    let imported = Arc::new(imported);
    HttpsGet::new(move |url| {
        let imported = imported.clone();
        Box::pin(async move {
            if let Some(answer) = answer_of(&imported, &url).await {
                return answer;
            }
            match tokio::time::timeout(TIMEOUT, get(&url)).await {
                Ok(Ok(body)) => Ok(body),
                Ok(Err(error)) => Err(format!("{url}: {error:#}")),
                Err(_) => Err(format!("{url}: no answer within {TIMEOUT:?}")),
            }
        })
    })
}

/// What an issuer with imported keys has at `url`; `None` for anybody else's.
async fn answer_of(imported: &BTreeMap<String, PathBuf>, url: &str) -> Option<Result<Vec<u8>, String>> {
    const CONFIGURATION: &str = "/.well-known/openid-configuration";
    const KEYS: &str = "/keys";
    let path = url.strip_prefix("https://")?;
    if let Some(issuer) = path.strip_suffix(CONFIGURATION).filter(|issuer| imported.contains_key(*issuer)) {
        let configuration = serde_json::json!({
            "issuer": format!("https://{issuer}"),
            "jwks_uri": format!("https://{issuer}{KEYS}"),
        });
        return Some(Ok(configuration.to_string().into_bytes()));
    }
    let file = imported.get(path.strip_suffix(KEYS)?)?;
    let path = file.clone();
    let read = tokio::task::spawn_blocking(move || {
        let mut keys = Vec::new();
        std::fs::File::open(path)?.take(MAX_ANSWER as u64 + 1).read_to_end(&mut keys)?;
        std::io::Result::Ok(keys)
    });
    let read = read.await.map_err(std::io::Error::other).flatten();
    Some(match read {
        Ok(keys) if keys.len() > MAX_ANSWER => Err(format!("{} is too long", file.display())),
        Ok(keys) => Ok(keys),
        Err(error) => Err(format!("{}: {error}", file.display())),
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
