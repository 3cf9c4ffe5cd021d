//! The control plane: the services there are, and their start.
//!
//! [`Control`] is the whole of it: [`Control::serve`] is the life of an API call, [`Control::snapshots`] what proxies
//! act on, [`Control::fabric_plans`] what the kernel follows.

mod instance_metadata;
mod pods;
mod services;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use tokio::sync::watch;
use trellis_acm_pca::{Reports, unsigned};
use trellis_frame::Frame;
use trellis_model::fabric::FabricPlan;
use trellis_model::health_board::HealthBoard;
use trellis_model::resource::lattice::AccessLogSubscriptions;
use trellis_model::snapshot::Snapshot;
use trellis_publish::Published;
use trellis_store::{Revision, Store, StoreError};
use trellis_sts::{IssuerKeys, KeptSessions};

pub use trellis_ca::{IssueError, SealingKey};
pub use trellis_ec2::{HostError, Hosts, RunInstance};
pub use trellis_eks as eks;
pub use trellis_eks::Machines;
pub use trellis_frame::access_key::SecretAccessKey;
pub use trellis_frame::account::{Account, AccountError, Key, KeyDescription};
pub use trellis_frame::vault::{IssuedCertificate, VaultFault, is_sealed};
pub use trellis_frame::{Clock, Config as FrameConfig, Peer, Random, SourceVpc, StartError};
pub use trellis_lattice::{Answer, Settings, TxtLookup};
pub use trellis_model::resource::vpc::Instance;
pub use trellis_sts::{HttpsGet, MAX_ANSWER};

/// How the control plane is set up. Default: AWS's quotas, the machine's clock, no usable admin key.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// What all services stand on: the admin key, quotas, the sealing key, time and randomness.
    pub frame: FrameConfig,
    /// Of these the health of targets is the control plane's own.
    pub lattice: Settings,
    /// How the keys of identity providers are fetched. Default: not at all.
    pub https_get: HttpsGet,
    /// Who makes Kubernetes clusters. Default: nobody, and those that are asked for fail.
    pub machines: Machines,
    /// The folder for audit reports of private CAs. Default: none, and no reports.
    pub audit_reports: Option<PathBuf>,
}

/// The control plane. Clones are handles to the same one; with the last of them its tasks end.
#[derive(Clone)]
pub struct Control {
    inner: Arc<Inner>,
}

struct Inner {
    frame: Frame,
    published: Published,
    instance_roles: KeptSessions,
}

impl Control {
    /// Starts on `store`: the admin key is made valid, the first Snapshot is there, and every workflow
    /// that an earlier process left goes on.
    ///
    /// # Errors
    /// An admin key or a quota that cannot be; a store that fails; a record that does not read.
    pub async fn start(store: Store, config: Config) -> Result<Self, StartError> {
        let Config { frame, lattice, https_get, machines, audit_reports } = config;
        let (health, endpoints) = (HealthBoard::default(), trellis_route53::Board::default());
        let mut extensions = frame
            .extensions
            .with(Settings { health: health.clone(), ..lattice })
            .with(endpoints.clone())
            .with(IssuerKeys::new(pods::with_own_issuers(https_get, store.clone())))
            .with(machines)
            .with(trellis_eks_auth::Desks::new(pods::Pods));
        if let Some(folder) = audit_reports {
            extensions = extensions.with(Reports(folder));
        }
        let config = FrameConfig { extensions, ..frame };
        let frame = Frame::start(store, services::ALL, config).await?;
        let published = trellis_publish::start(&frame, health, endpoints).await?;
        let instance_roles = Default::default();
        Ok(Self { inner: Arc::new(Inner { frame, published, instance_roles }) })
    }

    /// What all services stand on: accounts and their keys among it.
    pub fn frame(&self) -> &Frame {
        &self.inner.frame
    }

    /// Serves one API call of any AWS service that is described.
    pub async fn serve(&self, request: Request<Bytes>) -> Response<Vec<u8>> {
        self.inner.frame.serve(request).await
    }

    /// Serves what anybody may read without a signature, CRLs and OCSP answers; `None` for anything else.
    pub async fn serve_unsigned(&self, request: &Request<Bytes>) -> Option<Response<Vec<u8>>> {
        unsigned::serve(self.inner.frame.surroundings(), request).await
    }

    /// Bytes of a body that [`serve_unsigned`](Self::serve_unsigned) reads.
    pub fn unsigned_body_limit(head: &http::request::Parts) -> usize {
        unsigned::body_limit(head)
    }

    /// Whether a call with this head can be anything but refused: it names a key there is. For whoever has to hold its
    /// body before the signature can be checked.
    pub fn names_a_key(&self, head: &http::request::Parts) -> bool {
        self.inner.frame.names_a_key(head)
    }

    /// Whether the store's writer takes transactions.
    ///
    /// # Errors
    /// What it answers instead.
    pub async fn check_writer(&self) -> Result<(), StoreError> {
        self.inner.frame.check_writer().await
    }

    /// What proxies and the resolver act on, newest last; never behind the store for long.
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.inner.published.snapshots.clone()
    }

    /// A certificate of the private CA for host names and addresses: for the API itself, not for a service.
    ///
    /// # Errors
    /// A name that no certificate can have.
    pub fn issue_certificate(&self, names: &[String]) -> Result<IssuedCertificate, IssueError> {
        let surroundings = self.inner.frame.surroundings();
        surroundings.vault.issue_for(names, surroundings.clock.now())
    }

    /// The certificate of the private CA as PEM, for the trust stores of clients. Public.
    pub fn ca_pem(&self) -> String {
        self.inner.frame.surroundings().vault.ca_pem()
    }

    /// What should be in the kernel, newest last; the first is there when [`Control::start`] returns.
    pub fn fabric_plans(&self) -> watch::Receiver<Arc<FabricPlan>> {
        self.inner.published.plans.clone()
    }

    /// Hosts, as the command line makes them and the kernel reports them.
    pub fn hosts(&self) -> Hosts<'_> {
        Hosts::of(self.inner.frame.surroundings())
    }

    /// The access log subscriptions of every account, newest last.
    pub fn log_subscriptions(&self) -> watch::Receiver<Arc<AccessLogSubscriptions>> {
        self.inner.published.log_subscriptions.clone()
    }

    /// The data plane acts on the Snapshot of `revision` and so on every earlier one: associations
    /// that waited for it become ACTIVE or go.
    pub fn data_plane_applied(&self, revision: Revision) {
        self.inner.frame.data_plane_applied(revision);
    }

    /// The kernel agrees with the plan of `revision` and so with every earlier one, as far as it can: associations
    /// whose clients it lets in become ACTIVE or go, once the data plane is as far.
    pub fn kernel_applied(&self, revision: Revision) {
        self.inner.frame.kernel_applied(revision);
    }

    /// Ends every task and waits until it has ended, so that the store can be closed. Calls that are
    /// being served finish on their own.
    pub async fn stop(&self) {
        self.inner.frame.stop().await;
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

/// Names of the operations implemented, by the signing name of their service.
pub fn implemented_operations() -> BTreeMap<&'static str, Vec<&'static str>> {
    let operations = |service: &trellis_frame::Service| {
        (service.name(), service.operations.iter().map(|operation| operation.name).collect())
    };
    services::ALL.iter().map(|service| operations(service)).collect()
}
