//! What an operation is given: who calls and that they may, the time, randomness, and the state.
//!
//! An operation reads nothing else: no clock, no environment, no global.

use std::sync::Arc;

use serde_json::Value;
use trellis_model::Region;
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::Home;
use trellis_store::{Reader, Transaction};

use crate::authorise::{self, Allowed, Facts};
use crate::caller::Caller;
use crate::quota::Quotas;
use crate::refusal::Refusal;
use crate::surroundings::Surroundings;
use crate::vault::Vault;

/// One API call's surroundings. Cheap to clone into a transaction's closure.
///
/// Nobody has one without an [`Allowed`], which [`authorise`](crate::authorise) alone gives: an operation cannot be
/// reached by a caller who may not.
#[derive(Clone)]
pub struct Context {
    pub caller: Caller,
    /// The moment the call was accepted: every timestamp the call writes.
    pub now: Moment,
    pub surroundings: Arc<Surroundings>,
    pub facts: Arc<Facts>,
    allowed: Allowed,
}

impl Context {
    pub(crate) fn new(
        allowed: Allowed,
        caller: Caller,
        now: Moment,
        facts: Arc<Facts>,
        surroundings: Arc<Surroundings>,
    ) -> Self {
        Self { caller, now, surroundings, facts, allowed }
    }

    /// The proof that the caller may do what is asked.
    pub fn allowed(&self) -> &Allowed {
        &self.allowed
    }

    /// Account and region of the caller.
    pub fn home(&self) -> Home {
        self.caller.home()
    }

    pub fn quotas(&self) -> &Quotas {
        &self.surroundings.quotas
    }

    pub fn vault(&self) -> &Vault {
        &self.surroundings.vault
    }

    /// 64 random bits, for an id. Draw before the transaction: its closure must be pure.
    pub fn random(&self) -> u64 {
        self.surroundings.random.draw()
    }

    /// A consistent view of the newest state.
    pub fn read(&self) -> Result<Reader, Refusal> {
        Ok(self.surroundings.store.read()?)
    }

    /// Runs `work` as one transaction: all of its writes or none.
    pub async fn transact<T, F>(&self, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnMut(&mut Transaction<'_>) -> Result<T, Refusal> + Send + 'static,
    {
        Ok(self.surroundings.store.transact(work).await?)
    }

    /// Asks for one more permission than the operation itself needs, such as `iam:PassRole` on a role it is given.
    ///
    /// # Errors
    /// [`Refusal::Denied`].
    pub fn authorise(&self, action: &str, resource: &str, input: &Value) -> Result<Allowed, Refusal> {
        let resources = [resource.to_owned()];
        let (caller, facts) = (&self.caller, &*self.facts);
        let access = authorise::Access { caller, action, resources: &resources, input, facts };
        authorise::authorise(&mut self.read()?, &self.surroundings, &access)
    }
}

/// The surroundings of a call that needs no signature: nobody is known to make it, so it finds out by itself, by a
/// token in its input, and answers with nothing else.
#[derive(Clone)]
pub struct Unsigned {
    pub region: Region,
    /// As [`Context::now`].
    pub now: Moment,
    pub surroundings: Arc<Surroundings>,
    pub facts: Arc<Facts>,
}
