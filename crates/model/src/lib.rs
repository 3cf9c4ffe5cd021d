//! Nouns and decisions of an application network.
//!
//! Ids, ARNs, the records the control plane stores, the matching of a request against rules, the
//! choice of a target, and the immutable [`snapshot::Snapshot`] a proxy acts on. Values in, values
//! out: no async, no I/O, no clock, no randomness of its own.

pub mod arn;
pub mod fabric;
pub mod health;
pub mod health_board;
pub mod id;
pub mod matching;
pub mod moment;
pub mod name;
pub mod resource;
pub mod snapshot;

pub use arn::Arn;
pub use id::*;
