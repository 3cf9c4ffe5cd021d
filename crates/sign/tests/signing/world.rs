//! A service as VPC Lattice's are: TLS, HTTP/1.1 and HTTP/2, requests verified by the rules of the data plane. And the
//! clients of an application that speaks neither TLS nor signatures.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, SharedCredentialsProvider, future};
use base64::Engine as _;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use trellis_auth::{Claim, Payload, Rules, SecretKey, SignedRequest, headers_of, verify_with};
use trellis_sign::{Options, SigningAlgorithm, SigningProxy, TrustSource};

pub(crate) type BoxedBody = BoxBody<Bytes, hyper::Error>;

/// The secret of every key in these tests.
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// A service at `localhost` and what it needs; its certificate is issued by `authority`.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    /// PEM of whom it is verified by.
    pub(crate) authority: String,
    pub(crate) connections: Arc<AtomicU64>,
}

pub(crate) fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

pub(crate) fn pem(certificate: &rcgen::Certificate) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(certificate.der());
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

impl Service {
    /// Speaks HTTP/2 where a client agrees.
    pub(crate) async fn start() -> Self {
        Self::speaking(&[b"h2", b"http/1.1"]).await
    }

    pub(crate) async fn speaking(protocols: &[&[u8]]) -> Self {
        let issuer = authority();
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicU64::new(0));
        let counted = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    let io = TokioIo::new(stream);
                    let _ = if http2 {
                        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                            .serve_connection(io, service_fn(serve))
                            .await
                    } else {
                        hyper::server::conn::http1::Builder::new()
                            .serve_connection(io, service_fn(serve))
                            .await
                    };
                });
            }
        });
        Self { address, authority: pem(issuer.as_ref()), connections }
    }

    pub(crate) fn options(
        &self,
        credentials: impl ProvideCredentials + 'static,
    ) -> (Options, tempfile::TempDir) {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("ca.pem");
        std::fs::write(&file, &self.authority).unwrap();
        let options = Options {
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            workers: 1,
            credentials: SharedCredentialsProvider::new(credentials),
            algorithm: SigningAlgorithm::SigV4 { region: "us-east-1".into() },
            trust: TrustSource::Path(file),
            ca_endpoint: None,
            destinations: vec!["127.0.0.0/8".parse().unwrap()],
            drain: Duration::from_secs(30),
        };
        (options, place)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.address.port())
    }
}

/// Answers who called and how; echoes bodies, with a trailer; answers `/slow` after a second part of the body came.
async fn serve(request: Request<Incoming>) -> Result<Response<BoxedBody>, Infallible> {
    let host = request.uri().authority().map(ToString::to_string);
    let mut headers = request.headers().clone();
    if let Some(host) = &host {
        headers.insert("host", host.parse().unwrap());
    }
    let signed = SignedRequest {
        method: request.method().as_str(),
        path: request.uri().path(),
        query: request.uri().query().unwrap_or_default(),
        headers: &headers_of(&headers),
        payload: Payload::Streamed,
    };
    let lookup = |_: Claim<'_>| Ok(Some(SecretKey::new(SECRET).unwrap()));
    let rules = Rules::for_lattice_service(&["us-east-1"]);
    let caller = match verify_with(&signed, lookup, Timestamp::now(), &rules, None) {
        Ok(caller) => caller,
        Err(error) => {
            let mut response = Response::new(boxed(format!("AccessDeniedException: {error}")));
            *response.status_mut() = StatusCode::FORBIDDEN;
            return Ok(response);
        }
    };
    let mut response = Response::new(if request.method() == Method::POST {
        let trailers = async {
            Some(Ok(http::HeaderMap::from_iter([(
                http::HeaderName::from_static("x-checksum"),
                http::HeaderValue::from_static("1"),
            )])))
        };
        request.into_body().with_trailers(trailers).boxed()
    } else {
        boxed(format!("{} {}", signed.method, request.uri().path()))
    });
    let answer = response.headers_mut();
    answer.insert("x-caller", caller.access_key_id().as_str().parse().unwrap());
    answer.insert("x-token", caller.security_token().map_or("", |token| token.as_str()).parse().unwrap());
    answer.insert("x-scope", caller.region().parse().unwrap());
    answer.insert("x-host", headers["host"].clone());
    answer.insert("x-http2", host.is_some().to_string().parse().unwrap());
    answer.insert("keep-alive", "timeout=5".parse().unwrap());
    Ok(response)
}

fn boxed(text: String) -> BoxedBody {
    Full::from(text).map_err(|never| match never {}).boxed()
}

/// Credentials that are what the test says they are now.
#[derive(Debug, Clone)]
pub(crate) struct Credentials(Arc<Mutex<Vec<Result<aws_credential_types::Credentials, String>>>>);

impl Credentials {
    /// One answer after the other; the last one again and again.
    pub(crate) fn each(
        answers: impl IntoIterator<Item = Result<aws_credential_types::Credentials, String>>,
    ) -> Self {
        let mut answers: Vec<_> = answers.into_iter().collect();
        answers.reverse();
        Self(Arc::new(Mutex::new(answers)))
    }

    pub(crate) fn steady() -> Self {
        Self::each([Ok(key("AKIDEXAMPLE", None))])
    }
}

pub(crate) fn key(id: &str, life: Option<Duration>) -> aws_credential_types::Credentials {
    let token = life.map(|_| format!("token-of-{id}"));
    let expiry = life.map(|life| SystemTime::now() + life);
    aws_credential_types::Credentials::new(id, SECRET, token, expiry, "test")
}

impl ProvideCredentials for Credentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let mut answers = self.0.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop().unwrap() } else { answers[0].clone() };
        let answer: provider::Result = answer.map_err(CredentialsError::provider_error);
        future::ProvideCredentials::ready(answer)
    }
}

/// An application's connection to the signing proxy.
pub(crate) enum Client {
    Http1(http1::SendRequest<BoxedBody>),
    Http2(http2::SendRequest<BoxedBody>),
}

impl Client {
    pub(crate) async fn http1(proxy: &SigningProxy) -> Self {
        let stream = TcpStream::connect(proxy.addresses()[0]).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self::Http1(sender)
    }

    pub(crate) async fn http2(proxy: &SigningProxy) -> Self {
        let stream = TcpStream::connect(proxy.addresses()[0]).await.unwrap();
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self::Http2(sender)
    }

    pub(crate) async fn send(&mut self, request: Request<BoxedBody>) -> Response<Incoming> {
        match self {
            Self::Http1(sender) => {
                sender.ready().await.unwrap();
                sender.send_request(request).await.unwrap()
            }
            Self::Http2(sender) => {
                sender.ready().await.unwrap();
                sender.send_request(request).await.unwrap()
            }
        }
    }

    /// Status, headers and text of the answer to a GET of `url`, addressed as to an HTTP proxy.
    pub(crate) async fn get(&mut self, url: &str) -> (http::response::Parts, String) {
        self.ask(Request::get(url).body(empty()).unwrap()).await
    }

    pub(crate) async fn ask(&mut self, request: Request<BoxedBody>) -> (http::response::Parts, String) {
        let (head, body) = self.send(request).await.into_parts();
        let text = body.collect().await.unwrap().to_bytes();
        (head, String::from_utf8(text.to_vec()).unwrap())
    }
}

pub(crate) fn empty() -> BoxedBody {
    Empty::new().map_err(|never| match never {}).boxed()
}

/// A request in origin form, as an application sends it that knows of no proxy.
pub(crate) fn origin_form(method: Method, url: &str, body: BoxedBody) -> Request<BoxedBody> {
    let url: Uri = url.parse().unwrap();
    Request::builder()
        .method(method)
        .uri(url.path_and_query().unwrap().as_str())
        .header("host", url.authority().unwrap().as_str())
        .body(body)
        .unwrap()
}

/// A body whose parts are sent when the test says.
pub(crate) fn in_parts() -> (mpsc::Sender<&'static str>, BoxedBody) {
    let (parts, sent) = mpsc::channel(1);
    (parts, Parts(sent).boxed())
}

struct Parts(mpsc::Receiver<&'static str>);

impl hyper::body::Body for Parts {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.0.poll_recv(context).map(|part| part.map(|part| Ok(Frame::data(part.into()))))
    }
}
