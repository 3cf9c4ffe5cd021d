//! Domain names between services: one keeps zones, others ask what stands in them, and neither knows the other.

use trellis_model::AccountId;
use trellis_store::Read;

use crate::refusal::Refusal;

/// Keeps zones.
pub trait Zones: Send + Sync {
    /// The target of the CNAME record `name` that `account` has put into a zone of its own, in small letters and without
    /// the last dot. [`None`] as well where the name is not the account's to speak for: of the zones that have it,
    /// whoever's, the oldest says whose it is.
    ///
    /// # Errors
    /// A state that cannot be read.
    fn cname(&self, state: &mut dyn Read, account: &AccountId, name: &str)
    -> Result<Option<String>, Refusal>;
}
