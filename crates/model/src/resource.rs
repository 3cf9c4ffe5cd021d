//! The records the control plane stores: one module for each family of resources.
//!
//! A record is what has to survive a restart. It is kept as JSON; a field that may be absent is left
//! out, so a record written by an older release still reads.

pub mod iam;
pub mod lattice;
pub mod organization;
pub mod vpc;
