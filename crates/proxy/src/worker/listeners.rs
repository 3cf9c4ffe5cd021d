//! A worker's listening sockets: opened and closed as Snapshots come, without losing a connection.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;

use rustc_hash::{FxHashMap, FxHashSet};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use trellis_model::VpcId;
use trellis_model::snapshot::{AddressFamily, Snapshot};

use super::{Listen, Worker};
use crate::client;
use crate::restart::whenever_it_panics;

/// Where clients come in: a port in a VPC. Steps 1 and 2 of a request: which VPC a client is in and
/// which listener it wants are facts of the socket.
#[derive(Debug)]
pub(crate) struct Entrance {
    /// Never used twice in one thread.
    pub(crate) id: u64,
    pub(crate) vpc: VpcId,
    pub(crate) port: u16,
    closed: Cell<bool>,
    closing: Notify,
}

thread_local! {
    static NEXT_ENTRANCE: Cell<u64> = const { Cell::new(0) };
}

impl Entrance {
    pub(crate) fn new(vpc: VpcId, port: u16) -> Self {
        let id = NEXT_ENTRANCE.with(|next| next.replace(next.get() + 1));
        Self { id, vpc, port, closed: Cell::new(false), closing: Notify::new() }
    }

    /// No Snapshot asks for it any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    pub(crate) fn close(&self) {
        self.closed.set(true);
        self.closing.notify_one();
    }
}

/// What one socket listens on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Door {
    pub(super) vpc: VpcId,
    pub(super) port: u16,
    pub(super) family: AddressFamily,
}

/// The sockets that are open, and those that should be.
pub(super) struct Listeners {
    listen: Listen,
    open: FxHashMap<Door, Rc<Entrance>>,
    missing: Vec<(Door, io::Error)>,
}

impl Listeners {
    pub(super) fn new(listen: Listen) -> Self {
        Self { listen, open: FxHashMap::default(), missing: Vec::new() }
    }

    /// Makes the open sockets those `snapshot` asks for, as far as they can be opened.
    pub(super) fn apply(&mut self, worker: &Rc<Worker>, snapshot: &Snapshot) {
        let wanted: FxHashSet<Door> = snapshot
            .ingresses
            .iter()
            .flat_map(|(vpc, ingress)| {
                let ipv6 = ingress.has_ipv6.then_some(AddressFamily::Ipv6);
                let families = std::iter::once(AddressFamily::Ipv4).chain(ipv6);
                families.flat_map(move |family| {
                    let ports = ingress.network.ports.keys();
                    ports.map(move |port| Door { vpc: vpc.clone(), port: *port, family })
                })
            })
            .collect();
        let before = self.open.len();
        self.open.retain(|key, entrance| {
            let keep = wanted.contains(key);
            if !keep {
                entrance.close();
            }
            keep
        });
        if self.open.len() < before {
            worker.watchdog.close(|watched| watched.entrance.is_closed());
        }
        self.missing.clear();
        for door in wanted {
            self.open_one(worker, door);
        }
    }

    /// Tries again to open what could not be opened.
    pub(super) fn retry(&mut self, worker: &Rc<Worker>) {
        for (door, _) in std::mem::take(&mut self.missing) {
            self.open_one(worker, door);
        }
    }

    fn open_one(&mut self, worker: &Rc<Worker>, door: Door) {
        if self.open.contains_key(&door) {
            return;
        }
        match (self.listen)(&door.vpc, door.port, door.family).and_then(TcpListener::from_std) {
            Ok(listener) => {
                let entrance = Rc::new(Entrance::new(door.vpc.clone(), door.port));
                let (serving, by) = (worker.clone(), entrance.clone());
                let serve = move |(stream, peer)| {
                    tokio::task::spawn_local(client::serve(serving.clone(), stream, peer, by.clone()));
                };
                tokio::task::spawn_local(accept(worker.clone(), listener, entrance.clone(), serve));
                self.open.insert(door, entrance);
            }
            Err(error) => {
                worker.cells.listen_errors.add(1);
                self.missing.push((door, error));
            }
        }
    }

    /// What should be open and is not, and why.
    pub(super) fn missing(&self) -> &[(Door, io::Error)] {
        &self.missing
    }

    pub(super) fn close_all(&mut self) {
        for (_, entrance) in self.open.drain() {
            entrance.close();
        }
    }
}

/// Step 1 of a request: accepts at `entrance` until it is closed, and hands each connection to `serve`.
pub(crate) async fn accept(
    worker: Rc<Worker>,
    listener: TcpListener,
    entrance: Rc<Entrance>,
    serve: impl Fn((TcpStream, SocketAddr)),
) {
    let start = || accept_all(&worker, &listener, &entrance, &serve);
    whenever_it_panics(start, || worker.ticked.notified()).await;
}

async fn accept_all(
    worker: &Worker,
    listener: &TcpListener,
    entrance: &Entrance,
    serve: &impl Fn((TcpStream, SocketAddr)),
) {
    while !entrance.is_closed() {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = entrance.closing.notified() => break,
        };
        match accepted {
            Ok(accepted) => serve(accepted),
            Err(error) => {
                worker.cells.accept_errors.add(1);
                // A connection that was gone before it was accepted harms nobody else.
                if error.kind() != io::ErrorKind::ConnectionAborted {
                    if worker.may_warn() {
                        tracing::warn!(%error, vpc = %entrance.vpc, port = entrance.port, "cannot accept, will go on trying");
                    }
                    // Something is lacking, such as file descriptors: a pause.
                    worker.ticked.notified().await;
                }
            }
        }
    }
    // What the kernel has accepted already is served; only then does the socket close.
    while let Poll::Ready(Ok(accepted)) = poll_fn(|cx| Poll::Ready(listener.poll_accept(cx))).await {
        serve(accepted);
    }
}
