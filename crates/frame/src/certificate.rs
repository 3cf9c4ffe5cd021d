//! Certificates between services: one keeps them, one issues them, others show them, and none knows another.
//!
//! Each trait is a hook of one service ([`Hooks`](crate::Hooks)); whoever needs what it gives asks
//! [`Services::hooks`](crate::Services::hooks). Who shows a certificate holds it ([`reference`](crate::reference)) and is
//! told when another takes its place.

use std::sync::Arc;

use trellis_ca::Leaf;
use trellis_model::Arn;
use trellis_model::resource::lattice::Home;
use trellis_store::Read;

use crate::operation::BoxFuture;
use crate::refusal::Refusal;
use crate::surroundings::Surroundings;

/// A certificate that is kept for others to show.
#[derive(Debug)]
pub enum Kept {
    /// Nothing has been issued; its keeper's word for how it stands: `PENDING_VALIDATION`.
    Unissued(&'static str),
    /// Chain and private key. It may be over by now.
    Issued(Box<Leaf>),
}

/// Keeps certificates.
pub trait Certificates: Send + Sync {
    /// The service part of their ARNs.
    fn arn_service(&self) -> &'static str;

    /// The certificate that `arn` names; [`None`] for what is not one of `home`, or not there.
    ///
    /// # Errors
    /// A state that cannot be read, a secret that cannot be opened.
    fn find(
        &self,
        state: &mut dyn Read,
        surroundings: &Surroundings,
        home: &Home,
        arn: &Arn,
    ) -> Result<Option<Kept>, Refusal>;
}

/// A certificate that is wanted of an authority of the same account, for the key of a request.
#[derive(Debug, Clone)]
pub struct Order {
    pub authority_arn: String,
    /// PEM.
    pub csr: String,
    /// In days from now.
    pub days: u16,
}

/// A certificate with those of its issuers, as PEM.
#[derive(Debug, Clone)]
pub struct Issued {
    pub certificate: String,
    pub chain: Option<String>,
}

/// Issues certificates.
pub trait Authorities: Send + Sync {
    /// Whether the authority of `home` that `arn` names lets the keeper of certificates renew by itself.
    ///
    /// # Errors
    /// A state that cannot be read.
    fn lets_renew(&self, state: &mut dyn Read, home: &Home, arn: &str) -> Result<bool, Refusal>;

    /// Issues what `order` says.
    ///
    /// # Errors
    /// What the authority refuses, in its own codes.
    fn issue<'a>(
        &self,
        surroundings: &'a Arc<Surroundings>,
        home: &'a Home,
        order: &'a Order,
    ) -> BoxFuture<'a, Result<Issued, Refusal>>;
}
