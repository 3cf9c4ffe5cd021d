//! Linux networking: namespaces, links, routes, nftables and sockets opened inside a namespace.
#![allow(unsafe_code)]

mod error;
mod fabric;
pub mod host;
mod probe;
mod sockets;
pub mod user_namespace;

pub use error::NetError;
pub use fabric::{Fabric, FabricEvent, FabricOptions};
pub use probe::probe;
pub use sockets::Sockets;
