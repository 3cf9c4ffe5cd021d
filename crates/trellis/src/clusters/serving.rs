//! HTTP over the sockets that hosts of a cluster reach us by: bounded in connections, heads and time.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio_rustls::TlsAcceptor;
use trellis_cluster::relay::Listener;

/// For a handshake, for a head, and for a body.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What an API server posts to `path`, of `longest` bytes at most.
///
/// # Errors
/// The answer to what is none of that.
pub(super) async fn review(
    request: Request<Incoming>,
    path: &str,
    longest: usize,
) -> Result<Value, Response<Full<Bytes>>> {
    if request.method() != Method::POST || request.uri().path() != path {
        return Err(text(StatusCode::NOT_FOUND, ""));
    }
    let body = Limited::new(request.into_body(), longest).collect();
    let Ok(Ok(body)) = tokio::time::timeout(TIMEOUT, body).await else {
        return Err(text(StatusCode::BAD_REQUEST, ""));
    };
    serde_json::from_slice(&body.to_bytes()).map_err(|_| text(StatusCode::BAD_REQUEST, ""))
}

pub(super) fn text(status: StatusCode, words: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(words.as_bytes())));
    *response.status_mut() = status;
    response
}

pub(super) fn json(answer: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(answer.to_string())));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Answers until dropped, `at_once` connections at a time; one more waits.
pub(super) async fn serve<A>(
    listener: Listener,
    tls: Option<TlsAcceptor>,
    at_once: usize,
    answer: impl Fn(Request<Incoming>) -> A + Clone + Send + Sync + 'static,
) where
    A: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let serve = |stream| {
        let (answer, tls) = (answer.clone(), tls.clone());
        async move {
            let service = service_fn(move |request| {
                let answering = answer(request);
                async move { Ok::<_, Infallible>(answering.await) }
            });
            let mut server = hyper::server::conn::http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(TIMEOUT);
            // A client that goes away, or makes no sense, is no matter of ours.
            match tls {
                None => drop(server.serve_connection(TokioIo::new(stream), service).await),
                Some(tls) => {
                    if let Ok(Ok(stream)) = tokio::time::timeout(TIMEOUT, tls.accept(stream)).await {
                        drop(server.serve_connection(TokioIo::new(stream), service).await);
                    }
                }
            }
        }
    };
    listener.serve_each(at_once, serve).await;
}
