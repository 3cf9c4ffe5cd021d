//! A new connection: an address where services are, TLS that is verified, HTTP/1.1 or HTTP/2.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Speaks;
use crate::Shared;
use crate::credentials::with_causes;
use crate::destination::{Destination, Place};
use crate::failure::Failure;
use crate::trust::Trust;

/// For the name, for the connection, and for the handshake.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(5);
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);
/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 4;
/// What a service may send ahead on one stream, and on the whole connection.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// How often a quiet HTTP/2 connection is asked whether it is alive.
const PING: Duration = Duration::from_secs(30);

/// A connection's way in, before the pool knows it.
pub(super) enum Opened {
    Http1(http1::SendRequest<Incoming>),
    Http2(http2::SendRequest<Incoming>),
}

pub(super) async fn open(
    shared: &Shared,
    trust: &Trust,
    destination: &Destination,
    speaks: Speaks,
) -> Result<Opened, Failure> {
    let host = &destination.host;
    let addresses = addresses(shared, destination).await?;
    let stream = connect(destination, &addresses).await?;
    shared.metrics.connected();
    let _ = stream.set_nodelay(true);

    let port = destination.port;
    let refused = |reason: String| Failure::Tls { host: host.clone(), port, reason };
    let own = stream.local_addr().map(|local| shared.own_sockets.watch(local));
    let name = ServerName::try_from(host.to_string()).map_err(|error| refused(error.to_string()))?;
    let config = match speaks {
        Speaks::Http1 => &trust.http1,
        Speaks::Http2 => &trust.http2,
    };
    let handshake = TlsConnector::from(config.clone()).connect(name, stream);
    let stream = match tokio::time::timeout(HANDSHAKE_PATIENCE, handshake).await {
        Ok(Ok(stream)) => stream,
        _ if own.is_ok_and(|own| own.is_caught()) => return Err(Failure::Loop),
        Ok(Err(error)) => return Err(refused(with_causes(&error))),
        Err(_) => return Err(refused(format!("no handshake in {} s", HANDSHAKE_PATIENCE.as_secs()))),
    };

    let agreed_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let io = TokioIo::new(stream);
    if agreed_http2 {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(PING)
            .handshake(io)
            .await
            .map_err(|error| Failure::no_answer(host, &error))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a service's connection ended");
            }
        });
        Ok(Opened::Http2(sender))
    } else {
        let (sender, connection) =
            http1::handshake(io).await.map_err(|error| Failure::no_answer(host, &error))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a service's connection ended");
            }
        });
        Ok(Opened::Http1(sender))
    }
}

/// Where the service is, as far as services are there.
async fn addresses(shared: &Shared, destination: &Destination) -> Result<Vec<SocketAddr>, Failure> {
    let Destination { place, port, host } = destination;
    let found: Vec<SocketAddr> = match place {
        Place::Original(address) => vec![SocketAddr::new(*address, *port)],
        Place::Named => {
            let unknown = |reason: String| Failure::Unknown { host: host.clone(), reason };
            let lookup = tokio::net::lookup_host((&**host, *port));
            match tokio::time::timeout(LOOKUP_PATIENCE, lookup).await {
                Ok(Ok(found)) => found.collect(),
                Ok(Err(error)) => return Err(unknown(error.to_string())),
                Err(_) => return Err(unknown(format!("no answer in {} s", LOOKUP_PATIENCE.as_secs()))),
            }
        }
    };
    let is_service =
        |address: &&SocketAddr| shared.destinations.iter().any(|block| block.contains(&address.ip()));
    let services: Vec<SocketAddr> = found.iter().filter(is_service).take(MAX_ADDRESSES).copied().collect();
    match (services.is_empty(), found.first()) {
        (false, _) => Ok(services),
        (true, Some(other)) => Err(Failure::Elsewhere { host: host.clone(), address: other.ip() }),
        (true, None) => Err(Failure::Unknown { host: host.clone(), reason: "it has no address".into() }),
    }
}

async fn connect(destination: &Destination, addresses: &[SocketAddr]) -> Result<TcpStream, Failure> {
    let mut failure = None;
    for address in addresses {
        let reason = match tokio::time::timeout(CONNECT_PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no connection in {} s", CONNECT_PATIENCE.as_secs()),
        };
        let (host, address, port) = (destination.host.clone(), address.ip(), address.port());
        failure = Some(Failure::Unreachable { host, address, port, reason });
    }
    let host = &destination.host;
    Err(failure
        .unwrap_or_else(|| Failure::Unknown { host: host.clone(), reason: "it has no address".into() }))
}
