//! What outlives a call: the store, what is configured, and the services there are.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use trellis_model::Region;
use trellis_store::Store;

use crate::in_force::InForce;
use crate::quota::Quotas;
use crate::random::Random;
use crate::service::Services;
use crate::vault::Vault;

/// Shared by every call and task of one control plane.
pub struct Surroundings {
    pub store: Store,
    pub quotas: Quotas,
    pub clock: Clock,
    pub random: Random,
    pub vault: Vault,
    pub services: Services,
    /// Where a call is that names no region, and hosts made without the API.
    pub region: Region,
    /// How long an answer waits for what it tells of to settle: see [`settling`](crate::settling).
    pub settling: Duration,
    /// How far those are who make what is stored true.
    pub in_force: watch::Receiver<InForce>,
    pub(crate) extensions: Extensions,
}

impl Surroundings {
    /// What was given at the start for one service: its settings, its way to the machine.
    pub fn extension<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.extensions.find()
    }
}

/// Values by their type: what a service is given at the start and the others have no word for.
#[derive(Clone, Default)]
pub struct Extensions(HashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl Extensions {
    /// Puts `value` in, in place of one of the same type.
    #[must_use]
    pub fn with<T: Any + Send + Sync>(mut self, value: T) -> Self {
        self.0.insert(TypeId::of::<T>(), Arc::new(value));
        self
    }

    fn find<T: Any>(&self) -> Option<&T> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref()
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extensions").field("count", &self.0.len()).finish()
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
