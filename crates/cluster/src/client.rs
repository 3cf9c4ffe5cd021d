//! What Trellis itself says to an API server: over the Unix socket that leads into the host, with the administrator's
//! certificate.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::control_plane::Sockets;
use crate::plan::Endpoint;
use crate::relay;

/// From connecting to the last byte.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest answer that is read.
const LONGEST: usize = 16 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("the API server is not there: {0}")]
    Unreachable(String),
    #[error("the API server answered {status}: {message}")]
    Refused { status: StatusCode, message: String },
}

impl ClientError {
    /// Whether it was said that there is no such object.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { status: StatusCode::NOT_FOUND, .. })
    }
}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        Self::Unreachable(error.to_string())
    }
}

/// An administrator of one cluster.
#[derive(Clone)]
pub struct Client {
    api: Endpoint,
    tls: TlsConnector,
}

impl Client {
    /// Of the control plane kept in `directory`.
    ///
    /// # Errors
    /// Keys that are not there or do not read.
    pub fn of(directory: &Path) -> Result<Self, ClientError> {
        let unusable = |error: &dyn std::fmt::Display| ClientError::Unreachable(format!("its keys: {error}"));
        let pki = directory.join("pki");
        let certificates = |name: &str| {
            let found = CertificateDer::pem_file_iter(pki.join(name))
                .and_then(Iterator::collect::<Result<Vec<CertificateDer<'static>>, _>>);
            found.map_err(|error| unusable(&error))
        };
        let mut roots = RootCertStore::empty();
        for certificate in certificates("ca.crt")? {
            roots.add(certificate).map_err(|error| unusable(&error))?;
        }
        let key = PrivateKeyDer::from_pem_file(pki.join("admin.key")).map_err(|error| unusable(&error))?;
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_client_auth_cert(certificates("admin.crt")?, key)
            .map_err(|error| unusable(&error))?;
        Ok(Self { api: Endpoint::unix(Sockets::of(directory).api), tls: Arc::new(config).into() })
    }

    /// Whether the API server says that it is ready.
    pub async fn is_ready(&self) -> bool {
        self.text(Method::GET, "/readyz", None).await.is_ok()
    }

    /// # Errors
    /// [`ClientError`].
    pub async fn get(&self, path: &str) -> Result<Value, ClientError> {
        parse(&self.text(Method::GET, path, None).await?)
    }

    /// # Errors
    /// [`ClientError`].
    pub async fn delete(&self, path: &str) -> Result<Value, ClientError> {
        parse(&self.text(Method::DELETE, path, None).await?)
    }

    /// # Errors
    /// [`ClientError`].
    pub async fn create(&self, path: &str, object: &Value) -> Result<Value, ClientError> {
        parse(&self.text(Method::POST, path, Some(("application/json", object))).await?)
    }

    /// Server-side apply: the object is as it is given, whatever was there.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn apply(&self, path: &str, object: &Value) -> Result<Value, ClientError> {
        let path = format!("{path}?fieldManager=trellis&force=true");
        parse(&self.text(Method::PATCH, &path, Some(("application/apply-patch+yaml", object))).await?)
    }

    /// A JSON merge patch.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn merge(&self, path: &str, patch: &Value) -> Result<Value, ClientError> {
        parse(&self.text(Method::PATCH, path, Some(("application/merge-patch+json", patch))).await?)
    }

    async fn text(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, &Value)>,
    ) -> Result<Bytes, ClientError> {
        match tokio::time::timeout(TIMEOUT, self.ask(method, path, body)).await {
            Ok(answer) => answer,
            Err(_) => Err(ClientError::Unreachable(format!("no answer within {TIMEOUT:?}"))),
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, &Value)>,
    ) -> Result<Bytes, ClientError> {
        let broken = |error: &dyn std::fmt::Display| ClientError::Unreachable(error.to_string());
        let stream = relay::connect(&self.api).await?;
        let name = ServerName::try_from("kubernetes").expect("a host name");
        let stream = self.tls.connect(name, stream).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(&error))?;
        let connection = tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "kubernetes")
            .header(header::ACCEPT, "application/json");
        if let Some((kind, _)) = body {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let content = body.map(|(_, object)| object.to_string()).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(content))).map_err(|error| broken(&error))?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
            let status = response.status();
            let content = Limited::new(response.into_body(), LONGEST).collect().await;
            let content = content.map_err(|error| broken(&error))?.to_bytes();
            if status.is_success() { Ok(content) } else { Err(refused(status, &content)) }
        };
        let answer = answer.await;
        connection.abort();
        answer
    }
}

/// What a `Status` object says, or the beginning of whatever came.
fn refused(status: StatusCode, content: &[u8]) -> ClientError {
    let told: Option<Value> = serde_json::from_slice(content).ok();
    let message = told.as_ref().and_then(|told| told["message"].as_str()).map(str::to_owned);
    let message = message.unwrap_or_else(|| String::from_utf8_lossy(content).into_owned());
    ClientError::Refused { status, message: message.chars().take(500).collect() }
}

fn parse(content: &[u8]) -> Result<Value, ClientError> {
    serde_json::from_slice(content)
        .map_err(|error| ClientError::Unreachable(format!("an answer that is not JSON: {error}")))
}
