//! Ordered key-value state with revisions, transactions and watch.
//!
//! One machine's state lives in one file. [`Store::transact`] runs a closure against the newest
//! state and answers once its writes are on disk; all its writes carry one [`Revision`].
//! [`Store::read`] gives a consistent snapshot. [`Store::watch`] gives everything under a prefix
//! and then every change in order. The crate knows bytes and revisions; what they mean is its
//! caller's business.

mod engine;
mod entry;
mod error;
#[cfg(debug_assertions)]
pub mod fault;
mod file;
mod reader;
mod rehearsal;
mod store;
mod transaction;
mod watch;
mod writer;

pub use entry::{Change, Entry, Event, MAX_KEY_BYTES, MAX_TRANSACTION_BYTES, MAX_VALUE_BYTES, Revision};
pub use error::{OpenError, StoreError, TransactError};
pub use reader::{Read, Reader};
pub use store::Store;
pub use transaction::Transaction;
pub use watch::Watch;
