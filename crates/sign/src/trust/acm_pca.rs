//! The one call of ACM PCA that is needed, GetCertificateAuthorityCertificate: JSON 1.1 over HTTP, signed. A client of
//! the AWS SDK for it would be as large as the rest of the binary's.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::uri::Scheme;
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use trellis_auth::{Credentials, Payload, Scope, SignOptions, SignedRequest, headers_of, sign};
use trellis_model::Arn;

use super::{certificates_of, client_config, system};

const PATIENCE: Duration = Duration::from_secs(20);
/// Largest answer: a chain of a few certificates has some kilobytes.
const MAX_ANSWER: usize = 1 << 20;

/// Why the certificate of an authority is not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum AcmPcaError {
    #[error("the call needs credentials: {reason}")]
    Credentials { reason: Arc<str> },
    #[error("{endpoint:?} is no endpoint: expected http://HOST[:PORT] or https://HOST[:PORT]")]
    Endpoint { endpoint: String },
    #[error("{endpoint} did not answer within {} s", PATIENCE.as_secs())]
    Slow { endpoint: Uri },
    #[error("{endpoint} cannot be reached: {reason}")]
    Unreachable { endpoint: Uri, reason: String },
    #[error("{endpoint} answered {status}: {text}")]
    Refused { endpoint: Uri, status: StatusCode, text: String },
    #[error("{endpoint} answered without a certificate in PEM")]
    Malformed { endpoint: Uri },
}

/// The authority's certificate and those above it.
pub(super) async fn certificates(
    arn: &Arn,
    endpoint: Option<&str>,
    credentials: &Credentials,
) -> Result<Vec<CertificateDer<'static>>, AcmPcaError> {
    let endpoint = endpoint.map_or_else(|| amazons(arn), str::to_owned);
    let endpoint = match endpoint.parse::<Uri>() {
        Ok(uri) if uri.authority().is_some() && matches!(uri.scheme_str(), Some("http" | "https")) => uri,
        _ => return Err(AcmPcaError::Endpoint { endpoint }),
    };
    let request = request(arn, &endpoint, credentials);
    let answered = tokio::time::timeout(PATIENCE, call(&endpoint, request)).await;
    let (status, body) = match answered {
        Err(_) => return Err(AcmPcaError::Slow { endpoint }),
        Ok(Err(reason)) => return Err(AcmPcaError::Unreachable { endpoint, reason }),
        Ok(Ok(answer)) => answer,
    };
    read(status, &body).map_err(|problem| match problem {
        Some(text) => AcmPcaError::Refused { endpoint, status, text },
        None => AcmPcaError::Malformed { endpoint },
    })
}

fn amazons(arn: &Arn) -> String {
    let domain = if arn.partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://acm-pca.{}.{domain}", arn.region)
}

fn request(arn: &Arn, endpoint: &Uri, credentials: &Credentials) -> Request<Full<Bytes>> {
    let body = json!({ "CertificateAuthorityArn": arn.to_string() }).to_string();
    let mut request = Request::new(Full::new(Bytes::from(body.clone())));
    *request.method_mut() = Method::POST;
    let headers = request.headers_mut();
    let host = endpoint.authority().map_or("", |authority| authority.as_str());
    headers.insert(HOST, HeaderValue::from_str(host).expect("an authority is a header's value"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
    let target = HeaderValue::from_static("ACMPrivateCA.GetCertificateAuthorityCertificate");
    headers.insert("x-amz-target", target);
    let signed = SignedRequest {
        method: "POST",
        path: "/",
        query: "",
        headers: &headers_of(headers),
        payload: Payload::Body(body.as_bytes()),
    };
    let scope = Scope { region: &arn.region, service: "acm-pca" };
    // An ARN whose region is no word is refused by whoever reads the request.
    let added =
        sign(&signed, credentials, scope, Timestamp::now(), &SignOptions::default()).unwrap_or_default();
    for (name, value) in added {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    request
}

async fn call(endpoint: &Uri, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), String> {
    let secure = endpoint.scheme() == Some(&Scheme::HTTPS);
    let host = endpoint.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let port = endpoint.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let stream = TcpStream::connect((host, port)).await.map_err(|error| error.to_string())?;
    if !secure {
        return exchange(stream, request).await;
    }
    // Whom the system trusts vouches for the API; whom the API names vouches for services.
    let roots = system().and_then(|roots| client_config(&roots)).map_err(|error| error.to_string())?;
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let stream = TlsConnector::from(Arc::new(roots)).connect(name, stream).await;
    exchange(stream.map_err(|error| error.to_string())?, request).await
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let connection = tokio::spawn(connection);
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        Ok((status, body.map_err(|error| error.to_string())?.to_bytes()))
    }
    .await;
    connection.abort();
    answer
}

/// `Err(Some)` with what the service said against it.
fn read(status: StatusCode, body: &[u8]) -> Result<Vec<CertificateDer<'static>>, Option<String>> {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default();
    if !status.is_success() {
        let kind = text("__type").rsplit('#').next().unwrap_or_default();
        let message = if text("message").is_empty() { text("Message") } else { text("message") };
        return Err(Some(format!("{kind} {message}").trim().chars().take(512).collect()));
    }
    let pem = format!("{}\n{}", text("Certificate"), text("CertificateChain"));
    certificates_of(pem.as_bytes()).filter(|found| !found.is_empty()).ok_or(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_certificates_or_what_was_said_against_it() {
        let certificate = crate::trust::tests::certificate();
        let answer = json!({ "Certificate": certificate, "CertificateChain": certificate }).to_string();
        assert_eq!(read(StatusCode::OK, answer.as_bytes()).unwrap().len(), 2);
        let answer = json!({ "Certificate": certificate }).to_string();
        assert_eq!(read(StatusCode::OK, answer.as_bytes()).unwrap().len(), 1);
        for wrong in ["", "{}", "[1]", r#"{"Certificate":"x"}"#] {
            assert_eq!(read(StatusCode::OK, wrong.as_bytes()), Err(None), "{wrong}");
        }
        let refusal =
            br#"{"__type":"com.amazonaws.acmpca#ResourceNotFoundException","message":"Could not find it"}"#;
        let said = read(StatusCode::BAD_REQUEST, refusal).unwrap_err();
        assert_eq!(said.as_deref(), Some("ResourceNotFoundException Could not find it"));
    }

    #[test]
    fn amazons_endpoint_is_that_of_the_region_of_the_arn() {
        let arn = "arn:aws:acm-pca:eu-west-1:111122223333:certificate-authority/0123".parse().unwrap();
        assert_eq!(amazons(&arn), "https://acm-pca.eu-west-1.amazonaws.com");
    }
}
