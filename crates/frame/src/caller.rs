//! Who calls: what the signature has proved, in the region it names.

use std::sync::Arc;

use trellis_auth::{SecretKey, Session};
use trellis_model::resource::lattice::Home;
use trellis_model::{AccountId, Region};

use crate::access_key::Rights;

/// A verified caller.
#[derive(Debug, Clone)]
pub struct Caller {
    pub account: AccountId,
    /// `arn:aws:iam::{account}:user/{name}`, `...:root`, or `arn:aws:sts::{account}:assumed-role/{role}/{session}`.
    pub arn: String,
    pub region: Region,
    /// Empty for a caller that did not sign.
    pub access_key_id: String,
    /// As policies see the caller.
    pub principal: trellis_policy::Caller,
    /// What the key may do by itself.
    pub rights: Rights,
    /// What the caller's token says, of a caller with temporary credentials.
    pub session: Option<Arc<Session>>,
}

impl Caller {
    /// Where what the caller makes lives.
    pub fn home(&self) -> Home {
        Home { account: self.account.clone(), region: self.region.clone() }
    }
}

/// What [`Identify`](crate::signature::Identify) finds for an access key id: its secret and whom it speaks for.
#[derive(Debug, Clone)]
pub struct Identity {
    pub secret: SecretKey,
    pub account: AccountId,
    /// As [`Caller::arn`].
    pub arn: String,
    pub principal: trellis_policy::Caller,
    pub rights: Rights,
    /// As [`Caller::session`].
    pub session: Option<Arc<Session>>,
}
