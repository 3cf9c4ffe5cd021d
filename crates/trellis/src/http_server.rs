//! The process's own HTTP listeners: the API endpoint and the metrics.
//!
//! hyper carries the bytes; what a request means is decided in `trellis-control`. Here is what a stranger may hold:
//! connections, a head, the bytes of a body, and for how long.

mod bodies;
mod connections;
pub(crate) mod tls;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use trellis_control::Peer;

use bodies::Bodies;
use bodies::SMALL_BODY;
use connections::{Client, Connections, Place};

/// Largest request body taken. The largest legal one is an EC2 call with many parameters; policies
/// end at 100 KiB.
pub(crate) const MAX_BODY: usize = 4 << 20;
/// Largest head: of an ordinary call 2 KiB, of one with a long session token 16.
const MAX_HEAD: usize = 64 << 10;
/// How long a client may take to send a request's head, and to send its body.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// And to agree on TLS before that.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// After a failed accept.
const PAUSE: Duration = Duration::from_millis(100);

/// What a listener serves.
pub(crate) trait Handler: Send + Sync + 'static {
    /// How much of a body is read before anything else is done with a request; of one that is longer nothing is kept,
    /// and it is answered as if it had none. Asked about bodies above [`SMALL_BODY`] only.
    fn body_limit(&self, head: &Parts) -> usize;

    /// Looks at a connection before anything of it is read.
    fn accepted(&self, _: &TcpStream, _: SocketAddr) {}

    fn call(&self, request: Request<Bytes>) -> impl Future<Output = Response<Vec<u8>>> + Send;
}

/// An answer of text, as Prometheus takes it.
pub(crate) fn text(status: u16, text: String) -> Response<Vec<u8>> {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")
        .body(text.into_bytes())
        .expect("status and header are constants")
}

/// A listener, until it is closed for good.
pub(crate) struct Door {
    pub(crate) address: SocketAddr,
    listener: Mutex<Option<Arc<TcpListener>>>,
}

impl Door {
    /// # Errors
    /// The port is taken, for one; the text says what to do.
    pub(crate) async fn open(address: SocketAddr, flag: &str) -> anyhow::Result<Arc<Self>> {
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!(
                "cannot listen on {address}: is another Trellis running? choose another address with {flag}"
            )
        })?;
        let address = listener.local_addr()?;
        Ok(Arc::new(Self { address, listener: Mutex::new(Some(Arc::new(listener))) }))
    }

    /// One that somebody else opened, nonblocking.
    ///
    /// # Errors
    /// The runtime does not take it.
    pub(crate) fn of(listener: std::net::TcpListener) -> std::io::Result<Arc<Self>> {
        let address = listener.local_addr()?;
        let listener = TcpListener::from_std(listener)?;
        Ok(Arc::new(Self { address, listener: Mutex::new(Some(Arc::new(listener))) }))
    }

    fn listener(&self) -> Option<Arc<TcpListener>> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn close(&self) {
        *self.listener.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// How a listener serves.
#[derive(Clone)]
pub(crate) struct Terms {
    /// `None`: in plain text.
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) most_connections: usize,
    /// How long requests in flight may take to finish at the end.
    pub(crate) drain: Duration,
}

/// Serves until `stop` turns true, then lets requests in flight finish.
pub(crate) async fn serve<H: Handler>(
    door: Arc<Door>,
    handler: Arc<H>,
    terms: Terms,
    mut stop: watch::Receiver<bool>,
) {
    let Some(listener) = door.listener() else { return };
    let open = Connections::new(terms.most_connections);
    let bodies = Arc::new(Bodies::new());
    let connections = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                // Where descriptors have run out, the next attempt fails as well unless somebody gives one back.
                open.end_one();
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Some(place) = open.admit(Client::of(peer.ip())) else {
            tracing::warn!(client = %peer.ip(), "too many requests at a time: a connection is refused");
            continue;
        };
        // Small answers must not wait for the client's delayed ACK.
        let _ = stream.set_nodelay(true);
        handler.accepted(&stream, peer);
        let (place, tls, watcher) = (Arc::new(place), terms.tls.clone(), connections.watcher());
        let (handler, bodies) = (handler.clone(), bodies.clone());
        tokio::spawn(async move {
            let conversation = async {
                match tls {
                    None => converse(stream, peer, &place, handler, bodies, watcher).await,
                    Some(tls) => match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
                        Ok(Ok(stream)) => converse(stream, peer, &place, handler, bodies, watcher).await,
                        Ok(Err(error)) => tracing::debug!(client = %peer, %error, "no TLS was agreed on"),
                        Err(_) => tracing::debug!(client = %peer, "a TLS handshake took too long"),
                    },
                }
            };
            tokio::select! {
                () = conversation => {}
                () = place.ended() => {}
            }
        });
    }
    door.close();
    drop(listener);
    if tokio::time::timeout(terms.drain, connections.shutdown()).await.is_err() {
        tracing::warn!("API requests were still running at the drain deadline");
    }
}

/// Serves one connection. Policies see whom it is from: `aws:SourceIp`.
async fn converse<S, H>(
    stream: S,
    peer: SocketAddr,
    place: &Arc<Place>,
    handler: Arc<H>,
    bodies: Arc<Bodies>,
    watcher: Watcher,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let place = place.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        let (place, handler, bodies) = (place.clone(), handler.clone(), bodies.clone());
        async move { Ok::<_, Infallible>(answer(request, &place, &*handler, &bodies).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "connection ended");
    }
}

/// Returns when `stop` is true, or can never be any more.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn answer<H: Handler>(
    request: Request<Incoming>,
    place: &Place,
    handler: &H,
    bodies: &Bodies,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let declared = body.size_hint().exact().map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    if declared.is_some_and(|bytes| bytes > MAX_BODY) {
        return too_large();
    }
    let limit = match declared {
        Some(bytes) if bytes <= SMALL_BODY => bytes,
        _ => handler.body_limit(&head).min(MAX_BODY),
    };
    let Some(_room) = bodies.room(place.client, declared.unwrap_or(limit).min(limit)).await else {
        let text = "as many bytes of request bodies as may be are on their way: try again later";
        return plain(StatusCode::SERVICE_UNAVAILABLE, text.into());
    };
    let body = match tokio::time::timeout(BODY_TIMEOUT, read(body, limit)).await {
        Ok(Ok(body)) => body,
        Ok(Err(Unread::TooLarge)) => return too_large(),
        Ok(Err(Unread::Cut)) => {
            return plain(StatusCode::BAD_REQUEST, "the request body could not be read".into());
        }
        Err(_) => {
            return plain(StatusCode::REQUEST_TIMEOUT, "the request body did not arrive in time".into());
        }
    };
    let _serving = place.serving();
    handler.call(Request::from_parts(head, body)).await.map(|body| Full::new(body.into()))
}

/// Why a body was not read.
enum Unread {
    TooLarge,
    Cut,
}

/// The whole body, or nothing of one that is longer than `limit`: it is still taken off the connection, or its sender
/// would not read the answer.
async fn read(mut body: Incoming, limit: usize) -> Result<Bytes, Unread> {
    let mut kept = BytesMut::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unread::Cut)?.into_data() else { continue };
        length += data.len();
        if length > MAX_BODY {
            return Err(Unread::TooLarge);
        }
        if length > limit {
            kept = BytesMut::new();
        } else {
            kept.extend_from_slice(&data);
        }
    }
    Ok(kept.freeze())
}

fn too_large() -> Response<Full<Bytes>> {
    plain(StatusCode::PAYLOAD_TOO_LARGE, format!("a request body may be {MAX_BODY} bytes"))
}

/// For what ends before any AWS service can be named.
fn plain(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
