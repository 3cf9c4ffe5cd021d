//! What every AWS service stands on. Knows none of them.
//!
//! A service's crate exports one [`Service`]: its description, its operations, its words. [`Frame`] is a control plane
//! of some of them, and [`Frame::serve`] the life of a call: dispatch, signature, decode, authorise, operate, encode.
//! An operation gets a [`Context`] and refuses with a [`Refusal`]; the rest of this crate is what operations are made
//! of: [`record`]s and their keys, [`page`]s, idempotency [`token`]s, [`tags`], [`reference`]s, the [`vault`], and
//! [`workflow`]s for what takes longer than a call.

pub mod access_key;
pub mod account;
pub mod authorise;
mod call;
mod caller;
pub mod certificate;
pub mod context;
pub mod counted;
pub mod denial_message;
mod frame;
mod in_force;
pub mod key;
pub mod operation;
pub mod organization;
pub mod page;
pub mod quota;
pub mod random;
pub mod record;
pub mod reference;
pub mod refusal;
mod service;
pub mod settling;
pub mod sharing;
pub mod signature;
mod surroundings;
pub mod tags;
pub mod task;
pub mod token;
pub mod token_key;
pub mod vault;
pub mod words;
pub mod workflow;
pub mod zone;

pub use call::{Peer, SourceVpc};
pub use caller::{Caller, Identity};
pub use context::{Context, Unsigned};
pub use frame::{Config, Frame, StartError};
pub use in_force::InForce;
pub use operation::{BoxFuture, Operation, Perform};
pub use page::{Listing, Page, PageSizes, Paged};
pub use quota::{Quota, Quotas};
pub use random::Random;
pub use record::Records;
pub use refusal::{Kind, Refusal};
pub use service::{Accounts, Description, Holder, Hooks, Service, Services, Tagged};
pub use surroundings::{Clock, Extensions, Surroundings};
pub use workflow::{Progress, Work, Workflow};
