//! The operations themselves: requests become transactions, statuses move, Snapshots are built.
//!
//! [`Control`] is the whole of it: [`Control::serve`] is the life of an API call,
//! [`Control::snapshots`] what proxies act on. An operation is one function over one transaction in
//! the store; whatever takes longer is a status that a workflow moves, and that survives a restart.

mod access_key;
mod account;
mod acm;
mod call;
mod certificate_renewal;
mod context;
mod domain_proof;
mod ec2;
mod health_board;
mod keys;
mod lattice;
mod log_subscriptions;
mod page;
mod ram;
mod record;
mod refusal;
mod resources;
mod settling;
mod sharing;
mod snapshot;
mod sts;
mod tag_set;
mod tagging;
mod token;
mod vault;
mod workflow;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use jiff::SignedDuration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use trellis_auth::SigningKeyCache;
use trellis_model::fabric::FabricPlan;
use trellis_model::quota::{Quotas, UnknownQuota};
use trellis_model::resource::lattice::AccessLogSubscriptions;
use trellis_model::snapshot::Snapshot;
use trellis_model::{AccountId, Region};
use trellis_store::{Revision, Store, StoreError};

use crate::access_key::{AccessKey, Rights, SealedSecret};
use crate::context::Surroundings;
use crate::health_board::HealthBoard;
use crate::refusal::Refusal;
use crate::vault::Vault;
use crate::workflow::InForce;

pub use access_key::SecretAccessKey;
pub use account::{Account, AccountError, Key, KeyDescription};
pub use context::{Clock, Random};
pub use domain_proof::{Answer, TxtLookup};
pub use ec2::{HostError, RunInstance};
pub use trellis_ca::{IssueError, SealingKey};
pub use trellis_model::resource::vpc::Instance;
pub use vault::{IssuedCertificate, VaultFault, is_sealed};

/// Derived signing keys that are remembered: one for each key, day, region and service in use.
const SIGNING_KEYS: usize = 1024;

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
    /// What secrets in the store are sealed with; the same at every start. Default: a new one, which opens
    /// nothing that is there already.
    pub sealing_key: Arc<SealingKey>,
    /// How often certificates are looked through for those that need a successor. Default one hour.
    pub certificate_check_interval: Duration,
    /// How long an answer waits, at most, for the kernel and the data plane to make true what it tells of, so that it
    /// tells of it as settled. Default: not at all, as nobody may be there to report.
    pub settling: Duration,
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
            sealing_key: Arc::new(SealingKey::generate().expect("the system gives random bytes")),
            certificate_check_interval: Duration::from_secs(3600),
            settling: Duration::ZERO,
            clock: Clock::system(),
            random: Random::system(),
        }
    }
}

/// Why the control plane could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the admin key cannot be used: {0}")]
    AdminKey(trellis_auth::InvalidCredential),
    #[error(transparent)]
    Quota(#[from] UnknownQuota),
    #[error("the state could not be read or written")]
    Store(#[from] StoreError),
    #[error("the stored record {key} does not read")]
    Corrupt { key: String, source: serde_json::Error },
    /// Most often: the sealing key is another installation's.
    #[error("the secrets in the state cannot be used")]
    Vault(#[source] VaultFault),
}

impl From<Refusal> for StartError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Store(error) => Self::Store(error),
            Refusal::Corrupt { key, error } => Self::Corrupt { key, source: error },
            Refusal::Vault(fault) => Self::Vault(fault),
            Refusal::Exception(_) => unreachable!("nothing is asked of the API while starting"),
        }
    }
}

/// The control plane. Clones are handles to the same one; with the last of them its tasks end.
#[derive(Clone)]
pub struct Control {
    inner: Arc<Inner>,
}

struct Inner {
    surroundings: Arc<Surroundings>,
    signing_keys: SigningKeyCache,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    plans: watch::Receiver<Arc<FabricPlan>>,
    log_subscriptions: watch::Receiver<Arc<AccessLogSubscriptions>>,
    in_force: watch::Sender<InForce>,
    /// Dropped, the tasks are aborted.
    tasks: Mutex<JoinSet<()>>,
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
            region: _,
            access_key_id,
            secret_access_key,
            quotas,
            drain_limit,
            txt_lookup,
            txt_lookup_interval,
            sealing_key,
            certificate_check_interval,
            settling,
            clock,
            random,
        } = config;
        access_key_id.parse::<trellis_auth::AccessKeyId>().map_err(StartError::AdminKey)?;
        secret_access_key.to_key().map_err(StartError::AdminKey)?;
        let quotas = Quotas::with_overrides(quotas.iter().map(|(code, limit)| (code.as_str(), *limit)))?;
        let admins_sealing_key = sealing_key.clone();
        let admin = AccessKey {
            account,
            user: "admin".into(),
            sealed_secret: SealedSecret::seal(&secret_access_key, &access_key_id, &sealing_key)
                .map_err(StartError::Vault)?,
            rights: Rights::Admin,
            created_at: clock.now().into(),
        };
        store
            .transact(move |tx| {
                access_key::bootstrap(tx, &access_key_id, &admin, &secret_access_key, &admins_sealing_key)?;
                account::bootstrap(tx, &admin.account, admin.created_at)
            })
            .await
            .map_err(Refusal::from)?;
        let vault = Vault::open(&store, sealing_key, &random, clock.now()).await?;
        let health = HealthBoard::default();
        let surroundings = Arc::new(Surroundings { store, quotas, clock, random, health, vault, settling });
        let Surroundings { store, health, .. } = &*surroundings;
        certificate_renewal::renew(&surroundings).await?;

        let mut changes = store.watch_each(snapshot::WATCHED)?;
        let mut builder = snapshot::Builder::new(health.clone(), surroundings.vault.sealing_key());
        builder.apply(changes.next().await?);
        let first = builder.build().unwrap_or_default();
        let (publish, snapshots) = watch::channel(first);
        let pending = store.watch(keys::LATTICE_PENDING)?;
        let unproven = store.watch(keys::UNPROVEN)?;
        let (tell_in_force, in_force) = watch::channel(InForce::default());

        let (plans, follow_plans) = ec2::start(&surroundings).await?;
        let (log_subscriptions, follow_log_subscriptions) =
            log_subscriptions::publish(surroundings.store.clone()).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(follow_plans);
        tasks.spawn(follow_log_subscriptions);
        tasks.spawn(snapshot::follow(builder, changes, publish));
        let drain_limit = SignedDuration::try_from(drain_limit).unwrap_or(SignedDuration::MAX);
        tasks.spawn(workflow::run(surroundings.clone(), pending, in_force, drain_limit));
        tasks.spawn(domain_proof::run(surroundings.clone(), unproven, txt_lookup, txt_lookup_interval));
        tasks.spawn(certificate_renewal::run(surroundings.clone(), certificate_check_interval));
        let signing_keys = SigningKeyCache::new(SIGNING_KEYS);
        let tasks = Mutex::new(tasks);
        Ok(Self {
            inner: Arc::new(Inner {
                surroundings,
                signing_keys,
                snapshots,
                plans,
                log_subscriptions,
                in_force: tell_in_force,
                tasks,
            }),
        })
    }

    /// Serves one API call of any AWS service that is described.
    pub async fn serve(&self, request: Request<Bytes>) -> Response<Vec<u8>> {
        call::serve(&self.inner.surroundings, &self.inner.signing_keys, request).await
    }

    /// Whether a call with this head can be anything but refused: it names a key there is. For whoever has to hold its
    /// body before the signature can be checked.
    pub fn names_a_key(&self, head: &http::request::Parts) -> bool {
        call::names_a_key(&self.inner.surroundings, head)
    }

    /// Whether the store's writer takes transactions.
    ///
    /// # Errors
    /// What it answers instead.
    pub async fn check_writer(&self) -> Result<(), StoreError> {
        let nothing = |_: &mut trellis_store::Transaction<'_>| Ok::<(), std::convert::Infallible>(());
        match self.inner.surroundings.store.transact(nothing).await {
            Ok(()) => Ok(()),
            Err(trellis_store::TransactError::Store(error)) => Err(error),
            Err(trellis_store::TransactError::Caller(never)) => match never {},
        }
    }

    /// What proxies and the resolver act on, newest last; never behind the store for long.
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.inner.snapshots.clone()
    }

    /// A certificate of the private CA for host names and addresses: for the API itself, not for a service.
    ///
    /// # Errors
    /// A name that no certificate can have.
    pub fn issue_certificate(&self, names: &[String]) -> Result<IssuedCertificate, IssueError> {
        let Surroundings { vault, clock, .. } = &*self.inner.surroundings;
        vault.issue_for(names, clock.now())
    }

    /// The certificate of the private CA as PEM, for the trust stores of clients. Public.
    pub fn ca_pem(&self) -> String {
        self.inner.surroundings.vault.ca_pem()
    }

    /// The access log subscriptions of every account, newest last.
    pub fn log_subscriptions(&self) -> watch::Receiver<Arc<AccessLogSubscriptions>> {
        self.inner.log_subscriptions.clone()
    }

    /// The data plane acts on the Snapshot of `revision` and so on every earlier one: associations
    /// that waited for it become ACTIVE or go.
    pub fn data_plane_applied(&self, revision: Revision) {
        self.inner.in_force.send_if_modified(|in_force| raise(&mut in_force.data_plane, revision));
    }

    /// The kernel agrees with the plan of `revision` and so with every earlier one, as far as it can: associations
    /// whose clients it lets in become ACTIVE or go, once the data plane is as far.
    pub fn kernel_applied(&self, revision: Revision) {
        self.inner.in_force.send_if_modified(|in_force| raise(&mut in_force.kernel, revision));
    }

    /// Ends every task and waits until it has ended, so that the store can be closed. Calls that are
    /// being served finish on their own.
    pub async fn stop(&self) {
        let mut tasks =
            std::mem::take(&mut *self.inner.tasks.lock().expect("nothing panics while it holds it"));
        tasks.shutdown().await;
    }
}

/// Moves `newest` on; whether it did.
fn raise(newest: &mut Revision, revision: Revision) -> bool {
    let is_newer = revision > *newest;
    *newest = revision.max(*newest);
    is_newer
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

/// Names of the operations implemented, by the signing name of their service.
pub fn implemented_operations() -> BTreeMap<&'static str, Vec<&'static str>> {
    BTreeMap::from([
        ("acm", acm::IMPLEMENTED.to_vec()),
        ("ec2", ec2::IMPLEMENTED.to_vec()),
        ("ram", ram::IMPLEMENTED.to_vec()),
        ("sts", sts::IMPLEMENTED.to_vec()),
        ("tagging", tagging::IMPLEMENTED.to_vec()),
        ("vpc-lattice", lattice::IMPLEMENTED.to_vec()),
    ])
}
