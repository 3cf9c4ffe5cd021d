//! A control plane of given services: their start, their calls, their end.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use tokio::sync::watch;
use tokio::task::JoinSet;
use trellis_auth::SigningKeyCache;
use trellis_ca::SealingKey;
use trellis_model::{AccountId, Region};
use trellis_store::{Revision, Store, StoreError, TransactError, Transaction};

use crate::access_key::{self, AccessKey, Rights, SealedSecret, SecretAccessKey, Status};
use crate::account;
use crate::call;
use crate::in_force::InForce;
use crate::quota::{Quotas, UnknownQuota};
use crate::random::Random;
use crate::refusal::Refusal;
use crate::service::{Service, Services};
use crate::signature;
use crate::surroundings::{Clock, Extensions, Surroundings};
use crate::task;
use crate::token;
use crate::vault::{Vault, VaultFault};
use crate::workflow;

/// Derived signing keys that are remembered: one for each key, day, region and service in use.
const SIGNING_KEYS: usize = 1024;

/// How often expired idempotency tokens are looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);

/// How a control plane is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// The account of the admin key. Default `111122223333`.
    pub account: AccountId,
    /// The region of calls that name none. Default `us-east-1`.
    pub region: Region,
    /// The admin key: full rights in its account. 1 to 128 letters, digits and underscores.
    pub access_key_id: String,
    pub secret_access_key: SecretAccessKey,
    /// Limits by AWS's quota code, in place of AWS's defaults.
    pub quotas: BTreeMap<String, u64>,
    /// What secrets in the store are sealed with; the same at every start. Default: a new one, which opens
    /// nothing that is there already.
    pub sealing_key: Arc<SealingKey>,
    /// How long an answer waits, at most, for the kernel and the data plane to make true what it tells of, so that it
    /// tells of it as settled. Default: not at all, as nobody may be there to report.
    pub settling: Duration,
    pub clock: Clock,
    pub random: Random,
    /// What single services are given.
    pub extensions: Extensions,
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
            sealing_key: Arc::new(SealingKey::generate().expect("the system gives random bytes")),
            settling: Duration::ZERO,
            clock: Clock::system(),
            random: Random::system(),
            extensions: Extensions::default(),
        }
    }
}

/// Why a control plane could not start.
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
    #[error("a service could not start: {0}")]
    Service(String),
}

impl From<Refusal> for StartError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Store(error) => Self::Store(error),
            Refusal::Corrupt { key, error } => Self::Corrupt { key, source: error },
            Refusal::Vault(fault) => Self::Vault(fault),
            refusal => Self::Service(refusal.to_string()),
        }
    }
}

/// The services at work. With the last reference to it their tasks end.
pub struct Frame {
    pub(crate) surroundings: Arc<Surroundings>,
    signing_keys: SigningKeyCache,
    in_force: watch::Sender<InForce>,
    /// Dropped, the tasks are aborted.
    tasks: Mutex<JoinSet<()>>,
}

impl Frame {
    /// Starts on `store`: the admin key is made valid, what an earlier process left goes on.
    ///
    /// # Errors
    /// An admin key or a quota that cannot be; a store that fails; a record that does not read.
    pub async fn start(
        store: Store,
        services: &'static [&'static Service],
        config: Config,
    ) -> Result<Self, StartError> {
        let Config {
            account,
            region,
            access_key_id,
            secret_access_key,
            quotas,
            sealing_key,
            settling,
            clock,
            random,
            extensions,
        } = config;
        access_key_id.parse::<trellis_auth::AccessKeyId>().map_err(StartError::AdminKey)?;
        secret_access_key.to_key().map_err(StartError::AdminKey)?;
        let services = Services::new(services);
        let known = services.all().flat_map(|service| service.quotas.iter().copied());
        let overrides = quotas.iter().map(|(code, limit)| (code.as_str(), *limit));
        let quotas = Quotas::with_overrides(known, overrides)?;
        let admins_sealing_key = sealing_key.clone();
        let admin = AccessKey {
            account,
            user: "admin".into(),
            sealed_secret: SealedSecret::seal(&secret_access_key, &access_key_id, &sealing_key)
                .map_err(StartError::Vault)?,
            rights: Rights::Admin,
            status: Status::Active,
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
        let (tell_in_force, in_force) = watch::channel(InForce::default());
        let surroundings = Arc::new(Surroundings {
            store,
            quotas,
            clock,
            random,
            vault,
            services,
            region,
            settling,
            in_force,
            extensions,
        });

        let mut tasks = JoinSet::new();
        for service in surroundings.services.all() {
            if let Some(start) = service.start {
                start(surroundings.clone()).await?;
            }
            for task in service.tasks {
                tasks.spawn((task.run)(surroundings.clone()));
            }
            if !service.workflows.is_empty() {
                tasks.spawn(workflow::run(surroundings.clone(), service.name(), service.workflows));
            }
        }
        let pruned = surroundings.clone();
        tasks.spawn(async move {
            let what = "expired client tokens could not be removed";
            task::every(PRUNE_EVERY, what, || token::prune(&pruned)).await;
        });
        let signing_keys = SigningKeyCache::new(SIGNING_KEYS);
        Ok(Self { surroundings, signing_keys, in_force: tell_in_force, tasks: Mutex::new(tasks) })
    }

    /// Serves one API call of any of the services.
    pub async fn serve(&self, request: Request<Bytes>) -> Response<Vec<u8>> {
        call::serve(&self.surroundings, &self.signing_keys, request).await
    }

    /// Whether a call with this head can be anything but refused: it names a key there is. For whoever has to hold its
    /// body before the signature can be checked.
    pub fn names_a_key(&self, head: &Parts) -> bool {
        signature::names_a_key(&self.surroundings, head)
    }

    /// Whether the store's writer takes transactions.
    ///
    /// # Errors
    /// What it answers instead.
    pub async fn check_writer(&self) -> Result<(), StoreError> {
        let nothing = |_: &mut Transaction<'_>| Ok::<(), Infallible>(());
        match self.surroundings.store.transact(nothing).await {
            Ok(()) => Ok(()),
            Err(TransactError::Store(error)) => Err(error),
            Err(TransactError::Caller(never)) => match never {},
        }
    }

    /// What the services share.
    pub fn surroundings(&self) -> &Arc<Surroundings> {
        &self.surroundings
    }

    /// The data plane acts on the state of `revision` and so on every earlier one.
    pub fn data_plane_applied(&self, revision: Revision) {
        self.in_force.send_if_modified(|in_force| raise(&mut in_force.data_plane, revision));
    }

    /// The kernel agrees with the state of `revision` and so with every earlier one, as far as it can.
    pub fn kernel_applied(&self, revision: Revision) {
        self.in_force.send_if_modified(|in_force| raise(&mut in_force.kernel, revision));
    }

    /// Runs `task` as long as the services, and aborts it with them.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.lock().expect("nothing panics while it holds it").spawn(task);
    }

    /// Ends every task and waits until it has ended, so that the store can be closed. Calls that are
    /// being served finish on their own.
    pub async fn stop(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock().expect("nothing panics while it holds it"));
        tasks.shutdown().await;
    }
}

/// Moves `newest` on; whether it did.
fn raise(newest: &mut Revision, revision: Revision) -> bool {
    let is_newer = revision > *newest;
    *newest = revision.max(*newest);
    is_newer
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame").finish_non_exhaustive()
    }
}
