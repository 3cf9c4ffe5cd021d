//! The operations themselves: requests become transactions, statuses move, Snapshots are built.
//!
//! [`Control`] is the whole of it: [`Control::serve`] is the life of an API call,
//! [`Control::snapshots`] what proxies act on. An operation is one function over one transaction in
//! the store; whatever takes longer is a status that a workflow moves, and that survives a restart.

mod context;
mod health_board;
mod keys;
mod lattice;
mod record;
mod refusal;
mod tag_set;
