//! The data plane: accept, route, identify, authorise, balance, stream, record.
//!
//! A [`Proxy`] acts on one thing, the newest [`Snapshot`] of a watch channel, and opens sockets
//! through one thing, a [`Network`]. It knows neither store nor API. One worker thread per core
//! shares nothing with the others on the path of a request but the Snapshot. `request.rs` is the
//! life of a request, `resource.rs` that of a connection to a resource, top to bottom.
//!
//! Where VPC Lattice's behaviour is not known, this is ours:
//! - `TRACE` and `CONNECT` get 405; `Upgrade` is dropped and the request goes on without it.
//! - `x-forwarded-for` is appended to; the path in logs and rules is without the query, undecoded.
//! - An unknown host, and a service without a listener on the port, get 404; a client too slow with
//!   head or body 408; a group without targets 503; a target that is silent 504.
//! - One more try, at another target, when a connect fails. What may act twice is never sent twice:
//!   a request is sent again only if it is idempotent, or nothing of it has been sent; then once more
//!   when a kept connection turns out to be closed, and once at another target when a new one is.
//! - A client that closes while its request runs is let go, and the target with it. One that has only
//!   closed its half is still answered: to tell them apart it is sent `100 Continue` when the answer
//!   takes its time, to which a client that is gone answers with a reset. Once an answer has begun, or
//!   over HTTP/1.0, nothing can be sent: then a target may be silent for five seconds.
//! - A TLS client that names no service gets the alert `missing_extension`; one whose name has no TLS
//!   listener on the port, or no certificate, `unrecognized_name`. After the handshake the Host alone
//!   decides, among services with an HTTPS listener on the port; it need not be the name in the hello.
//! - A TLS passthrough listener looks at the name in the hello alone, of TLS 1.0 to 1.3; a hello of
//!   more than 16 KiB, with two names, or with one that DNS could not have, is refused with an alert.
//! - Plain HTTP on a port for TLS gets 400, unless another service of the network speaks it there.
//! - TLS 1.2 with RSA key exchange or CBC suites is not spoken, to either side.
//! - HTTPS targets are called by the name the client asked for, in the handshake too, and by probes as
//!   by requests. Nothing about their certificates is checked.
//! - A TLS passthrough connection on which nothing moves for the idle timeout is reset on both sides,
//!   as is one that reaches its greatest age; the log says `TargetDataTimeout`.
//! - HTTP/2 is agreed on by ALPN and in no other way: on plain ports its preface gets 400. What the
//!   protocol matrix refuses is 502, for gRPC an answer of trailers only with `grpc-status` 14; errors
//!   that are no matter of protocols are the plain HTTP answers of HTTP/1.
//! - A head over HTTP/2 that is larger than 60 KiB, or that two parsers could read differently, gets
//!   400, one above 128 KiB 431. What RFC 9113 calls malformed resets the stream, and the log says
//!   `ClientProtocolError`. `host` may stand beside `:authority` only if it says the same.
//! - `grpc-timeout` is passed on and kept here as well: a call that outlasts it ends with status 4,
//!   up to a fifth of a second late. A stream is tried again, up to three times, when its target says
//!   with REFUSED_STREAM or GOAWAY that it has not acted on it, and no more than 64 KiB of it have gone.

mod access_log;
mod answer;
mod authorise;
mod body;
mod budget;
mod buffer;
mod callers;
mod client;
mod clock;
mod config;
mod exchange;
mod failure;
#[cfg(debug_assertions)]
pub mod fault;
mod grpc;
mod health;
pub mod hpack;
pub mod http1;
pub mod http2;
mod identify;
mod metrics;
mod multiplexed;
mod passthrough;
mod pump;
mod random;
mod record;
mod relay;
mod request;
mod resource;
mod restart;
mod stream;
mod ticker;
pub mod tls;
mod upstream;
mod view;
mod watchdog;
mod window;
mod worker;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;
use trellis_model::VpcId;
use trellis_model::snapshot::{AddressFamily, Snapshot};

pub use config::{AccessLogConfig, Limits, LineReader, ProxyConfig};
pub use metrics::Metrics;
pub use resource::{Resolved, Resolving};
use restart::Threads;
use worker::{Applied, Stage};

/// Where sockets come from. Each worker calls it on its own thread.
pub trait Network: Clone + Send + Sync + 'static {
    /// A non-blocking listening socket on `port` of the service addresses in `vpc`, with
    /// `SO_REUSEPORT`: every worker asks for one of its own.
    ///
    /// # Errors
    /// The VPC is not there (yet), or the port is taken. The proxy tries again until the Snapshot
    /// no longer asks for it.
    fn listen(&self, vpc: &VpcId, port: u16) -> io::Result<std::net::TcpListener>;

    /// As [`Network::listen`], on the service addresses of IPv6. Only asked for where a VPC has it.
    ///
    /// # Errors
    /// As [`Network::listen`].
    fn listen_ipv6(&self, vpc: &VpcId, port: u16) -> io::Result<std::net::TcpListener> {
        let message = format!("port {port} has no IPv6 in {vpc}");
        Err(io::Error::new(io::ErrorKind::Unsupported, message))
    }

    /// A non-blocking socket made inside `vpc` whose connect to `to` has begun. It may still be in
    /// progress. `TCP_NODELAY` is set.
    ///
    /// # Errors
    /// The VPC is not there, or the kernel refuses at once.
    fn dial(&self, vpc: &VpcId, to: SocketAddr) -> io::Result<std::net::TcpStream>;

    /// Limits the receive window of a TCP socket to `bytes` from now on, or opens it again: a hint, that
    /// saves a worker from acknowledging answers of 8 to 64 KiB itself. By default nothing is done.
    fn limit_window(&self, _socket: BorrowedFd<'_>, _bytes: u32) {}

    /// A non-blocking listening socket, with `SO_REUSEPORT`, that connections of hosts in `vpc` to
    /// any resource come to. An accepted socket's local address is what the client connected to.
    /// Only asked for where there are resources.
    ///
    /// # Errors
    /// As [`Network::listen`].
    fn listen_resources(&self, vpc: &VpcId) -> io::Result<std::net::TcpListener> {
        Err(io::Error::new(io::ErrorKind::Unsupported, format!("no resources can be reached from {vpc}")))
    }

    /// As [`Network::dial`], from `source`, an address of a resource gateway in `vpc`.
    ///
    /// # Errors
    /// As [`Network::dial`].
    fn dial_from(&self, vpc: &VpcId, source: IpAddr, to: SocketAddr) -> io::Result<std::net::TcpStream> {
        let message = format!("{to} cannot be reached from {source} in {vpc}");
        Err(io::Error::new(io::ErrorKind::Unsupported, message))
    }

    /// The addresses of a family that `name` has for hosts of `vpc`. Bounded in time and in number by whoever
    /// does it; a worker's runtime has no timers.
    fn resolve(&self, vpc: &VpcId, name: &str, family: AddressFamily) -> Resolving {
        let message = format!("{name} cannot be looked up in {vpc} ({family:?})");
        Box::pin(std::future::ready(Err(io::Error::new(io::ErrorKind::Unsupported, message))))
    }
}

/// Why a proxy did not start.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error("cannot start a worker")]
    Worker(#[source] io::Error),
    #[error("cannot open the access log {path}")]
    AccessLog { path: std::path::PathBuf, source: io::Error },
}

/// A running data plane. Dropped without [`Proxy::drain`], it ends at once.
#[derive(Debug)]
pub struct Proxy {
    applied: watch::Receiver<u64>,
    health: watch::Receiver<u64>,
    metrics: Metrics,
    stage: watch::Sender<Stage>,
    threads: Vec<JoinHandle<()>>,
    log: Option<access_log::Writer>,
}

impl Proxy {
    /// Starts the workers and the health checker. They act on whatever `snapshots` holds now and
    /// on every later value.
    ///
    /// # Errors
    /// No thread to be had, or an access log that cannot be opened.
    pub fn start<N: Network>(
        config: ProxyConfig,
        network: N,
        snapshots: watch::Receiver<Arc<Snapshot>>,
    ) -> Result<Self, ProxyError> {
        let ProxyConfig { workers, pin, access_log, limits } = config;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let count = if workers == 0 { cores } else { workers };
        let log = match access_log {
            Some(config) => {
                let path = config.path.clone();
                Some(access_log::start(config).map_err(|source| ProxyError::AccessLog { path, source })?)
            }
            None => None,
        };
        let (stage, stages) = watch::channel(Stage::Running);
        let (applying, applied) = Applied::new(count);
        let applying = Arc::new(applying);
        let (changes, health) = watch::channel(0);
        let cells: Arc<[_]> = (0..count).map(|_| Arc::new(metrics::WorkerCells::default())).collect();
        let probes = Arc::new(metrics::ProbeCells::default());
        let sink = log.as_ref().map(|writer| writer.sink.clone());

        let tickets = Arc::new(tls::Tickets::default());
        let mut threads = Threads::default();
        let mut ticks = Vec::new();
        for (index, cells) in cells.iter().enumerate() {
            let network = network.clone();
            let (limits, snapshots, stage) = (limits.clone(), snapshots.clone(), stages.clone());
            let tick = Arc::new(tokio::sync::Notify::new());
            ticks.push(Arc::downgrade(&tick));
            let (applied, cells, log) = (applying.clone(), cells.clone(), sink.clone());
            let tickets = tickets.clone();
            threads.spawn(format!("proxy-{index}"), move |started| {
                let (listens, dials, reaches, windows) =
                    (network.clone(), network.clone(), network.clone(), network.clone());
                let parts = worker::Parts {
                    index,
                    workers: count,
                    pin,
                    limits: limits.clone(),
                    listen: Box::new(move |vpc, port, family| match family {
                        AddressFamily::Ipv4 => listens.listen(vpc, port),
                        AddressFamily::Ipv6 => listens.listen_ipv6(vpc, port),
                    }),
                    dial: Box::new(move |vpc, to| dials.dial(vpc, to)),
                    limit_window: Box::new(move |socket, bytes| windows.limit_window(socket, bytes)),
                    resources: resource::Resources::new(reaches),
                    snapshots: snapshots.clone(),
                    stage: stage.clone(),
                    applied: applied.clone(),
                    cells: cells.clone(),
                    log: log.clone(),
                    tickets: tickets.clone(),
                    tick: tick.clone(),
                };
                worker::run(parts, started);
            })?;
        }
        threads.spawn("ticker".into(), move |started| ticker::run(&ticks, started))?;
        let (checked, cells_of_probes) = (snapshots.clone(), probes.clone());
        threads.spawn("health".into(), move |started| {
            let (dials, names) = (network.clone(), network.clone());
            let parts = health::Parts {
                dial: Box::new(move |vpc, to| dials.dial(vpc, to)),
                resolve: Box::new(move |vpc, name, family| names.resolve(vpc, name, family)),
                concurrent: limits.concurrent_probes,
                snapshots: checked.clone(),
                stage: stages.clone(),
                changes: changes.clone(),
                cells: cells_of_probes.clone(),
            };
            health::run(parts, started);
        })?;
        let restarts = threads.restarts();
        let metrics =
            Metrics { workers: cells, log: sink, snapshots, applied: applied.clone(), probes, restarts };
        Ok(Self { applied, health, metrics, stage, threads: threads.into_handles(), log })
    }

    /// The highest Snapshot revision every worker acts on, its listeners open. A listener that
    /// cannot be opened holds this back for five seconds at most; the attempts go on.
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.applied.clone()
    }

    /// A number that grows whenever the status of some target changes.
    pub fn health_changes(&self) -> watch::Receiver<u64> {
        self.health.clone()
    }

    /// What the proxy has counted; cheap to clone.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Stops accepting, closes idle connections, lets requests in flight finish until `deadline`
    /// has passed, cuts the rest, writes the access log out and ends every thread.
    pub async fn drain(self, deadline: Duration) {
        let Self { stage, threads, log, .. } = self;
        stage.send_replace(Stage::Draining(std::time::Instant::now() + deadline));
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                // A thread that panicked has said so.
                let _ = thread.join();
            }
            if let Some(log) = log {
                log.finish();
            }
        });
        let _ = joined.await;
    }
}
