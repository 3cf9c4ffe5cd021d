//! The data plane: accept, route, identify, authorise, balance, stream, record.
//!
//! A [`Proxy`] acts on one thing, the newest [`Snapshot`] of a watch channel, and opens sockets
//! through one thing, a [`Network`]. It knows neither store nor API. One worker thread per core
//! shares nothing with the others on the path of a request but the Snapshot.

mod config;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use trellis_model::VpcId;
use trellis_model::snapshot::Snapshot;

pub use config::{AccessLogConfig, Limits, ProxyConfig};

/// Where sockets come from. Each worker calls it on its own thread.
pub trait Network: Clone + Send + Sync + 'static {
    /// A non-blocking listening socket on `port` of the service addresses in `vpc`, with
    /// `SO_REUSEPORT`: every worker asks for one of its own.
    ///
    /// # Errors
    /// The VPC is not there (yet), or the port is taken. The proxy tries again until the Snapshot
    /// no longer asks for it.
    fn listen(&self, vpc: &VpcId, port: u16) -> io::Result<std::net::TcpListener>;

    /// A non-blocking socket made inside `vpc` whose connect to `to` has begun. It may still be in
    /// progress. `TCP_NODELAY` is set.
    ///
    /// # Errors
    /// The VPC is not there, or the kernel refuses at once.
    fn dial(&self, vpc: &VpcId, to: SocketAddr) -> io::Result<std::net::TcpStream>;
}

/// Why a proxy did not start.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error("cannot start a worker")]
    Worker(#[source] io::Error),
    #[error("cannot open the access log {path}")]
    AccessLog { path: std::path::PathBuf, source: io::Error },
}

/// A running data plane.
#[derive(Debug)]
pub struct Proxy {
    applied: watch::Receiver<u64>,
    health: watch::Receiver<u64>,
    metrics: Metrics,
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
        let _ = (config, network, snapshots);
        let (_, applied) = watch::channel(0);
        let (_, health) = watch::channel(0);
        Ok(Self { applied, health, metrics: Metrics {} })
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
        let _ = deadline;
    }
}

/// What has been counted.
#[derive(Debug, Clone)]
pub struct Metrics {}

impl Metrics {
    /// Everything in the Prometheus text format.
    pub fn render(&self) -> String {
        String::new()
    }
}
