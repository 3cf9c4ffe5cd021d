//! What an operation is given: who calls, the time, randomness, and the state.
//!
//! An operation reads nothing else: no clock, no environment, no global.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use trellis_api::Exception;
use trellis_model::moment::Moment;
use trellis_model::quota::Quotas;
use trellis_model::resource::lattice::Home;
use trellis_model::{AccountId, Region};
use trellis_store::{Reader, Store, Transaction};

use crate::health_board::HealthBoard;
use crate::refusal::Refusal;
use crate::vault::Vault;

/// A verified caller: the owner of an access key, in the region its signature names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) account: AccountId,
    /// `arn:aws:iam::{account}:user/{name}` or `...:root`.
    pub(crate) arn: String,
    pub(crate) region: Region,
    pub(crate) access_key_id: String,
}

impl Caller {
    /// Where what the caller makes lives.
    pub(crate) fn home(&self) -> Home {
        Home { account: self.account.clone(), region: self.region.clone() }
    }
}

/// One API call's surroundings. Cheap to clone into a transaction's closure.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) caller: Caller,
    /// The moment the call was accepted: every timestamp the call writes.
    pub(crate) now: Moment,
    pub(crate) surroundings: Arc<Surroundings>,
}

/// What outlives a call.
pub(crate) struct Surroundings {
    pub(crate) store: Store,
    pub(crate) quotas: Quotas,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) health: HealthBoard,
    pub(crate) vault: Vault,
    /// How long an answer waits for what it tells of to settle.
    pub(crate) settling: Duration,
}

impl Context {
    /// Account and region of the caller.
    pub(crate) fn home(&self) -> Home {
        self.caller.home()
    }

    pub(crate) fn quotas(&self) -> &Quotas {
        &self.surroundings.quotas
    }

    pub(crate) fn vault(&self) -> &Vault {
        &self.surroundings.vault
    }

    /// 64 random bits, for an id. Draw before the transaction: its closure must be pure.
    pub(crate) fn random(&self) -> u64 {
        self.surroundings.random.draw()
    }

    /// A consistent view of the newest state.
    pub(crate) fn read(&self) -> Result<Reader, Exception> {
        self.surroundings.store.read().map_err(|error| Refusal::from(error).into())
    }

    /// Runs `work` as one transaction: all of its writes or none.
    pub(crate) async fn transact<T, F>(&self, work: F) -> Result<T, Exception>
    where
        T: Send + 'static,
        F: FnMut(&mut Transaction<'_>) -> Result<T, Refusal> + Send + 'static,
    {
        self.surroundings.store.transact(work).await.map_err(|error| Refusal::from(error).into())
    }
}

/// Tells the time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self::new(Timestamp::now)
    }

    /// A clock of one's own, for tests.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// Draws random bits for ids.
#[derive(Clone)]
pub struct Random(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Random {
    /// The operating system's random source.
    pub fn system() -> Self {
        Self::new(|| getrandom::u64().expect("the kernel gives random bytes once it has booted"))
    }

    /// A source of one's own, for tests.
    pub fn new(draw: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(draw))
    }

    pub fn draw(&self) -> u64 {
        (self.0)()
    }

    /// A version 4 UUID.
    pub(crate) fn uuid(&self) -> String {
        let (high, low) = (self.draw(), self.draw());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            (low >> 48) & 0x3fff | 0x8000,
            low & 0xffff_ffff_ffff
        )
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random")
    }
}
