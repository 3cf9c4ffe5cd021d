//! A connection of an application: where it was meant to go, what it speaks, its requests one by one.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::exchange;
use crate::first_bytes::{self, Protocol};
use crate::worker::{Worker, stopped};

/// How long a connection may be without a request, and a request's head may take. Longer than clients keep idle
/// connections by habit (60 seconds), so that it is they who close.
const IDLE: Duration = Duration::from_secs(75);
/// Largest head of a request.
const MAX_HEAD: usize = 64 << 10;
/// Requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 128;
/// What an application may send ahead on one stream, and on the whole connection.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// Serves `stream` to its end; once `stop` turns true, to the end of the requests it has begun.
pub(crate) async fn serve(worker: Arc<Worker>, stream: TcpStream, mut stop: watch::Receiver<bool>) {
    let _ = stream.set_nodelay(true);
    let original = original_destination(&stream);
    let peer = stream.peer_addr();
    let begun = tokio::select! {
        begun = tokio::time::timeout(IDLE, first_bytes::read(stream)) => begun,
        () = stopped(&mut stop) => return,
    };
    let Ok(Ok((protocol, begun))) = begun else { return };
    if protocol == Protocol::Tls {
        if peer.is_ok_and(|peer| worker.shared.own_sockets.catch(peer)) {
            tracing::error!("the redirect catches the signing proxy's own connections: exempt its group");
        } else {
            let to = original.map(|address| address.to_string());
            tracing::warn!(to, "a TLS connection cannot be signed: let the application call http://");
        }
        return;
    }
    let io = TokioIo::new(begun);
    let calls = worker.clone();
    let service = service_fn(move |request| {
        let worker = calls.clone();
        async move { Ok::<_, Infallible>(exchange::answer(&worker, original, request).await) }
    });
    let ended = match protocol {
        Protocol::Nothing | Protocol::Tls => Ok(()),
        Protocol::Http1 => {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(IDLE)
                .max_buf_size(MAX_HEAD)
                .serve_connection(io, service);
            let mut connection = pin!(connection);
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = stopped(&mut stop) => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        }
        Protocol::Http2 => {
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_concurrent_streams(MAX_STREAMS)
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_header_list_size(MAX_HEAD as u32)
                .keep_alive_interval(IDLE)
                .serve_connection(io, service);
            let mut connection = pin!(connection);
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = stopped(&mut stop) => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an application's connection ended");
    }
}

/// Where a redirected connection was meant to go; `None` for one that was meant for us.
fn original_destination(stream: &TcpStream) -> Option<SocketAddr> {
    let socket = SockRef::from(stream);
    let local = stream.local_addr().ok()?;
    let original = match local.ip() {
        IpAddr::V4(_) => socket.original_dst_v4(),
        IpAddr::V6(_) => socket.original_dst_v6(),
    };
    original
        .ok()?
        .as_socket()
        .filter(|original| (original.ip(), original.port()) != (local.ip(), local.port()))
}
