//! The AWS wire contract: operations, shapes, limits, errors and one codec per protocol.
//!
//! Each service is described in a text file of our own ([`trellis_idl`] has the language), which
//! becomes tables ([`schema`]). A request goes through three doors: [`dispatch`] finds the service by
//! the signature's scope, [`decode`] turns bytes into one JSON value keyed by the model's member names
//! with every limit checked, and [`encode`] or [`encode_error`] turn the answer back into what that
//! protocol's clients parse. [`authorise`] says what the caller must be allowed to do in between. What
//! an operation *does* is not known here.

pub mod authorise;
pub mod dispatch;
pub mod schema;
pub mod typed;
pub mod validate;

mod auth_failure;
mod codec;
mod exception;
mod fault;

pub use auth_failure::{AuthFailure, auth_failure};
pub use codec::{Decoded, Incoming, decode, encode, encode_error};
pub use dispatch::guess_protocol;
pub use exception::{Exception, Reason};
pub use fault::check_size;
pub use schema::{Operation, Protocol, Schema, Service};

/// The service whose signatures name `name` in their scope: `vpc-lattice`, `ec2`, `sts`, `tagging`, `acm`.
pub fn service_by_signing_name(name: &str) -> Option<&'static Service> {
    Schema::all().by_signing_name(name)
}
