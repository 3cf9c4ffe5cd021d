//! Linux networking: namespaces, links, routes, nftables and sockets opened inside a namespace.
//!
//! The one crate with `unsafe` and privileges. [`Fabric`] makes the kernel agree with a
//! [`trellis_model::fabric::FabricPlan`]: plan, difference, change, look again. [`Sockets`] opens
//! sockets inside VPCs, [`host`] is the process that a host is, and [`user_namespace`] lets people
//! who are not root have all of it. Nothing is left behind by a process that ends, however it ends:
//! namespaces have no names, only threads and processes in them.
//!
//! The crate calls no `ip` program (it speaks rtnetlink itself) and needs `nft`.

// System calls without a safe wrapper: pidfds, clone into namespaces, exec after fork, two socket options.
#![allow(unsafe_code)]

mod cgroup;
mod error;
mod fabric;
mod firewall;
pub mod host;
pub mod memory;
mod mount_tree;
mod namespace;
mod netlink;
pub mod open_files;
mod probe;
mod process;
mod sockets;
pub mod user_namespace;
mod vpc;

pub use error::NetError;
pub use fabric::{Fabric, FabricEvent, FabricOptions};
pub use firewall::install_rules;
pub use probe::probe;
pub use sockets::{Sockets, limit_window};
