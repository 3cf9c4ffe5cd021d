//! The signing proxy, `trellis sign`: runs beside an application that cannot sign and lends it an identity.
//!
//! What the application sends to services of VPC Lattice comes here, redirected by the firewall of its network
//! namespace or because it was told of an HTTP proxy; it goes on signed (SigV4 or SigV4A, payload unsigned, so that
//! bodies stream) and over verified TLS. Credentials come from the AWS SDK's chain. Nothing is sent anywhere but to the
//! addresses services have, nothing unsigned, and nothing over TLS that was not verified.

mod body;
mod connection;
mod credentials;
mod destination;
mod exchange;
mod failure;
mod first_bytes;
mod metrics;
mod redirect;
mod signer;
mod supply;
mod trust;
mod upstream;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;
use tokio::sync::watch;

pub use credentials::{chain, region_of_chain};
pub use ipnet::IpNet;
pub use redirect::Redirect;
pub use signer::{SigningAlgorithm, UnsignableScope};
pub use trust::{TrustSource, UnusableTrustSource};

use crate::metrics::Metrics;
use crate::signer::Signer;
use crate::supply::Supply;
use crate::trust::Trust;
use crate::upstream::OwnSockets;

/// Where services are reached, in IPv4 and IPv6.
pub const SERVICE_BLOCKS: [&str; 2] = ["169.254.171.0/24", "fd00:ec2:80::/64"];

/// How a signing proxy is to run.
#[derive(Debug)]
pub struct Options {
    /// Where applications and redirects arrive; port 0 takes a free one. An IPv6 address that the machine does not
    /// have is passed over as long as another remains.
    pub listen: Vec<SocketAddr>,
    /// Threads, each with sockets and connections of its own; at least one.
    pub workers: usize,
    pub credentials: SharedCredentialsProvider,
    pub algorithm: SigningAlgorithm,
    pub trust: TrustSource,
    /// Where ACM PCA is asked for the certificate of [`TrustSource::CertificateAuthority`]; `None` is Amazon's own.
    pub ca_endpoint: Option<String>,
    /// Blocks of addresses a request may be sent to, beside [`SERVICE_BLOCKS`].
    pub destinations: Vec<IpNet>,
    /// How long requests in flight may take to finish once the proxy is told to stop.
    pub drain: Duration,
}

/// Why a signing proxy did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(
        "cannot listen on {address}: is another signing proxy running? choose another address with --listen"
    )]
    Listen { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Scope(#[from] UnsignableScope),
    #[error("cannot start a thread")]
    Thread { source: io::Error },
}

/// What all workers share.
#[derive(Debug)]
struct Shared {
    credentials: watch::Receiver<Supply<trellis_auth::Credentials>>,
    trust: watch::Receiver<Supply<Trust>>,
    signer: Signer,
    destinations: Vec<IpNet>,
    own_sockets: OwnSockets,
    metrics: Arc<Metrics>,
    drain: Duration,
}

/// A running signing proxy. Dropped without [`SigningProxy::stop`], it goes on until the process ends.
#[derive(Debug)]
pub struct SigningProxy {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    workers: Mutex<Vec<JoinHandle<()>>>,
    stop: watch::Sender<bool>,
    keepers: [tokio::task::JoinHandle<()>; 2],
}

impl SigningProxy {
    /// Listens, and begins to look for credentials and for whom to trust; requests that come before both are found wait
    /// for them. To be called in a tokio runtime, which does the looking.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(options: Options) -> Result<Self, StartError> {
        let Options { listen, workers, credentials, algorithm, trust, ca_endpoint, destinations, drain } =
            options;
        let metrics = Arc::new(Metrics::default());
        let signer = Signer::new(algorithm)?;
        let listeners = worker::listen(&listen, workers.max(1))?;
        let addresses = listeners.addresses;

        let (found_credentials, credentials_seen) = watch::channel(Supply::Looking);
        let (found_trust, trust_seen) = watch::channel(Supply::Looking);
        let keepers = [
            tokio::spawn(credentials::keep(credentials, found_credentials, metrics.clone())),
            tokio::spawn(trust::keep(trust, ca_endpoint, credentials_seen.clone(), found_trust)),
        ];
        let blocks = SERVICE_BLOCKS.map(|block| block.parse().expect("blocks of services are blocks"));
        let shared = Arc::new(Shared {
            credentials: credentials_seen,
            trust: trust_seen,
            signer,
            destinations: blocks.into_iter().chain(destinations).collect(),
            own_sockets: OwnSockets::default(),
            metrics,
            drain,
        });
        let (stop, stopping) = watch::channel(false);
        let workers = listeners
            .per_worker
            .into_iter()
            .map(|listeners| worker::start(listeners, shared.clone(), stopping.clone()))
            .collect::<io::Result<Vec<_>>>()
            .map_err(|source| StartError::Thread { source })?;
        Ok(Self { shared, addresses, workers: Mutex::new(workers), stop, keepers })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// In Prometheus' text format.
    pub fn metrics(&self) -> String {
        self.shared.metrics.render()
    }

    /// Whether requests can be signed and sent on.
    ///
    /// # Errors
    /// What is missing, for people.
    pub fn readiness(&self) -> Result<(), String> {
        supply::state(&self.shared.credentials).and(supply::state(&self.shared.trust)).map_err(|missing| {
            missing.map_or("credentials and certificates are being looked for".into(), |reason| {
                reason.to_string()
            })
        })
    }

    /// Takes no more connections, lets requests in flight finish for as long as [`Options::drain`] says, and ends.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        let workers = std::mem::take(&mut *self.workers.lock().unwrap_or_else(PoisonError::into_inner));
        let ended = tokio::task::spawn_blocking(move || {
            for worker in workers {
                if worker.join().is_err() {
                    tracing::error!("a worker of the signing proxy panicked");
                }
            }
        });
        let _ = ended.await;
        self.keepers.iter().for_each(tokio::task::JoinHandle::abort);
    }
}
