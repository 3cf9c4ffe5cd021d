//! The control plane: the services there are, and their start.
//!
//! [`Control`] is the whole of it: [`Control::serve`] is the life of an API call,
//! [`Control::snapshots`] what proxies act on. An operation is one function over one transaction in
//! the store; whatever takes longer is a status that a workflow moves, and that survives a restart.

mod hosts;
mod instance_metadata;
mod pods;
mod revocation;
mod services;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use tokio::sync::watch;
use trellis_acm_pca::Reports;
use trellis_frame::{Extensions, Frame};
use trellis_model::health_board::HealthBoard;
use trellis_model::resource::lattice::AccessLogSubscriptions;
use trellis_model::snapshot::Snapshot;
use trellis_model::{AccountId, Region};
use trellis_publish::Published;
use trellis_store::{Revision, Store, StoreError};
use trellis_sts::IssuerKeys;

pub use trellis_ca::{IssueError, SealingKey};
pub use trellis_ec2::{HostError, RunInstance};
pub use trellis_eks as eks;
pub use trellis_eks::Machines;
pub use trellis_frame::access_key::SecretAccessKey;
pub use trellis_frame::account::{Account, AccountError, Key, KeyDescription};
pub use trellis_frame::vault::{IssuedCertificate, VaultFault, is_sealed};
pub use trellis_frame::{Clock, Peer, Random, SourceVpc, StartError};
pub use trellis_lattice::{Answer, TxtLookup};
pub use trellis_model::resource::vpc::Instance;
pub use trellis_sts::{HttpsGet, MAX_ANSWER};

/// How the control plane is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// The account of the admin key. Default `111122223333`.
    pub account: AccountId,
    /// Where hosts made without the API live. Default `us-east-1`.
    pub region: Region,
    /// The admin key: full rights in its account. 1 to 128 letters, digits and underscores.
    pub access_key_id: String,
    pub secret_access_key: SecretAccessKey,
    /// Limits by AWS's quota code, in place of AWS's defaults.
    pub quotas: BTreeMap<String, u64>,
    /// How long a deregistered target waits for its requests to end, at most. Default 60 s.
    pub drain_limit: Duration,
    /// How domain verifications look for their TXT records. Default: they find none.
    pub txt_lookup: TxtLookup,
    /// How often a record that was not there is looked for again. Default 60 s.
    pub txt_lookup_interval: Duration,
    /// How the keys of identity providers are fetched. Default: not at all.
    pub https_get: HttpsGet,
    /// Who makes Kubernetes clusters. Default: nobody, and those that are asked for fail.
    pub machines: Machines,
    /// What secrets in the store are sealed with; the same at every start. Default: a new one, which opens
    /// nothing that is there already.
    pub sealing_key: Arc<SealingKey>,
    /// How often certificates are looked through for those that need a successor. Default one hour.
    pub certificate_check_interval: Duration,
    /// How long an answer waits, at most, for the kernel and the data plane to make true what it tells of, so that it
    /// tells of it as settled. Default: not at all, as nobody may be there to report.
    pub settling: Duration,
    /// The folder for audit reports of private CAs. Default: none, and no reports.
    pub audit_reports: Option<PathBuf>,
    pub clock: Clock,
    pub random: Random,
}

impl Default for Config {
    /// AWS's quotas, the machine's clock, no usable admin key.
    fn default() -> Self {
        Self {
            account: "111122223333".parse().expect("twelve digits"),
            region: "us-east-1".parse().expect("a region name"),
            access_key_id: String::new(),
            secret_access_key: SecretAccessKey::default(),
            quotas: BTreeMap::new(),
            drain_limit: Duration::from_secs(60),
            txt_lookup: TxtLookup::none(),
            txt_lookup_interval: Duration::from_secs(60),
            https_get: HttpsGet::none(),
            machines: Machines::default(),
            sealing_key: Arc::new(SealingKey::generate().expect("the system gives random bytes")),
            certificate_check_interval: Duration::from_secs(3600),
            settling: Duration::ZERO,
            audit_reports: None,
            clock: Clock::system(),
            random: Random::system(),
        }
    }
}

/// The control plane. Clones are handles to the same one; with the last of them its tasks end.
#[derive(Clone)]
pub struct Control {
    inner: Arc<Inner>,
}

struct Inner {
    frame: Frame,
    published: Published,
    instance_roles: instance_metadata::InstanceRoles,
}

impl Control {
    /// Starts on `store`: the admin key is made valid, the first Snapshot is there, and every workflow
    /// that an earlier process left goes on.
    ///
    /// # Errors
    /// An admin key or a quota that cannot be; a store that fails; a record that does not read.
    pub async fn start(store: Store, config: Config) -> Result<Self, StartError> {
        let Config {
            account,
            region,
            access_key_id,
            secret_access_key,
            quotas,
            drain_limit,
            txt_lookup,
            txt_lookup_interval,
            https_get,
            machines,
            sealing_key,
            certificate_check_interval,
            settling,
            audit_reports,
            clock,
            random,
        } = config;
        let (health, endpoints) = (HealthBoard::default(), trellis_route53::Board::default());
        let lattice = trellis_lattice::Settings {
            drain_limit,
            txt_lookup,
            txt_lookup_interval,
            certificate_check_interval,
            health: health.clone(),
        };
        let mut extensions = Extensions::default()
            .with(lattice)
            .with(endpoints.clone())
            .with(IssuerKeys::new(pods::with_own_issuers(https_get, store.clone())))
            .with(machines)
            .with(trellis_eks_auth::Desks::new(pods::Pods));
        if let Some(folder) = audit_reports {
            extensions = extensions.with(Reports(folder));
        }
        let config = trellis_frame::Config {
            account,
            region,
            access_key_id,
            secret_access_key,
            quotas,
            sealing_key,
            clock,
            random,
            settling,
            extensions,
        };
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
        revocation::serve(self.inner.frame.surroundings(), request).await
    }

    /// Bytes of a body that [`serve_unsigned`](Self::serve_unsigned) reads.
    pub fn unsigned_body_limit(head: &http::request::Parts) -> usize {
        revocation::body_limit(head)
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
