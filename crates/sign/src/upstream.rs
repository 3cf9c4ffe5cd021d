//! Connections to services: kept ones, and new ones over verified TLS.

mod connect;
mod pool;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use http::Version;

pub(crate) use pool::{Lease, Sender, Upstreams};

/// What is asked of a connection: what the application speaks, so that nothing is lost in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    Http1,
    Http2,
}

impl Speaks {
    pub(crate) fn like(version: Version) -> Self {
        if version == Version::HTTP_2 { Self::Http2 } else { Self::Http1 }
    }
}

/// Our own ends of connections to services that are being made. One that arrives here as a client's was redirected:
/// the rules do not exempt our group, and each would make another.
#[derive(Debug, Default)]
pub(crate) struct OwnSockets(Mutex<HashMap<SocketAddr, Caught>>);

type Caught = bool;

impl OwnSockets {
    /// Watches `socket` until the watch is dropped.
    fn watch(&self, socket: SocketAddr) -> OwnSocket<'_> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(socket, false);
        OwnSocket { all: self, socket }
    }

    /// Whether the client at `peer` is ourselves.
    pub(crate) fn catch(&self, peer: SocketAddr) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get_mut(&peer).map(|caught| *caught = true).is_some()
    }
}

struct OwnSocket<'a> {
    all: &'a OwnSockets,
    socket: SocketAddr,
}

impl OwnSocket<'_> {
    fn is_caught(&self) -> bool {
        let all = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&self.socket).is_some_and(|caught| *caught)
    }
}

impl Drop for OwnSocket<'_> {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.socket);
    }
}
