//! The life of a connection to a resource: TCP from a host of an associated VPC, carried on from a resource gateway.
//!
//! 1 accept in the client's VPC: [`entrances`]; 2 the resource, by the address the client connected to, and whether it
//! has that port; 3 where it is: an address, or a name looked up through the gateway's VPC: [`names`]; 4 a connection
//! from one of the gateway's addresses: [`connect`]; 5 bytes both ways: [`crate::relay`]; 6 metrics and the access-log
//! line: [`record`].
//!
//! "Idle 350 s, no lifetime cap." A client whose connection cannot be carried on, or stood still for too long, gets a
//! reset, and so does the resource. When the resource leaves the client's network its connections end at once: nobody
//! could say when else.

mod connect;
mod entrances;
mod names;
mod record;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use trellis_model::VpcId;
use trellis_model::snapshot::{AddressFamily, Resource};

use crate::Network;
use crate::budget::{FILES_FOR_RELAYING, MEMORY_FOR_RELAYING};
use crate::client::Open;
use crate::metrics::ResourceCells;
use crate::relay::{RelayEnd, Terms, relay};
use crate::worker::{Entrance, Worker};
use connect::connect;
pub(crate) use entrances::Entrances;
use names::Names;
use record::Record;

/// A connection is as old as it gets.
const NO_LIFETIME: Duration = Duration::from_secs(u32::MAX as u64);

/// What a name leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// None: the name does not exist, or has no address.
    pub addresses: Vec<IpAddr>,
    /// How long that holds.
    pub ttl: Duration,
}

/// An answer that has not come yet.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Resolved>> + Send>>;

type Listen = Box<dyn Fn(&VpcId) -> io::Result<std::net::TcpListener>>;
type Dial = Box<dyn Fn(&VpcId, IpAddr, SocketAddr) -> io::Result<std::net::TcpStream>>;
pub(crate) type Resolve = Box<dyn Fn(&VpcId, &str, AddressFamily) -> Resolving>;

/// What a worker has for resource connections.
pub(crate) struct Resources {
    listen: Listen,
    dial: Dial,
    resolve: Resolve,
    names: Names,
}

impl fmt::Debug for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resources").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Resources {
    pub(crate) fn new<N: Network>(network: N) -> Self {
        let (listens, dials, resolves) = (network.clone(), network.clone(), network);
        Self {
            listen: Box::new(move |vpc| listens.listen_resources(vpc)),
            dial: Box::new(move |vpc, source, to| dials.dial_from(vpc, source, to)),
            resolve: Box::new(move |vpc, name, family| resolves.resolve(vpc, name, family)),
            names: Names::default(),
        }
    }
}

/// What a client connected to, and through which VPC.
struct Asked {
    resource: Arc<Resource>,
    /// The resource's address and the port, as the client has them.
    destination: SocketAddr,
    vpc_arn: Arc<str>,
    network_arn: Arc<str>,
}

/// Step 2: the resource that a connection accepted in `vpc` is for.
fn asked(worker: &Worker, vpc: &VpcId, stream: &TcpStream) -> Option<Asked> {
    let destination = stream.local_addr().ok()?;
    let IpAddr::V4(address) = destination.ip().to_canonical() else { return None };
    let view = worker.view();
    let ingress = view.snapshot.ingresses.get(vpc)?;
    let resource = ingress.resources.at(address).filter(|resource| resource.has_port(destination.port()))?;
    Some(Asked {
        resource: resource.clone(),
        destination,
        vpc_arn: ingress.vpc_arn.clone(),
        network_arn: ingress.network.arn.clone(),
    })
}

/// Serves a connection until it ends. `gate` closes when the resource leaves the client's network.
async fn serve(worker: Rc<Worker>, client: TcpStream, peer: SocketAddr, asked: Asked, gate: Rc<Entrance>) {
    let budget = &worker.budget;
    let files = budget.files.take(&gate.vpc, peer.ip(), FILES_FOR_RELAYING);
    let memory = budget.memory.take(&gate.vpc, peer.ip(), MEMORY_FOR_RELAYING);
    let (Some(_files), Some(memory)) = (files, memory) else {
        worker.cells.connections_refused.add(1);
        if worker.may_warn() {
            tracing::warn!(%peer, vpc = %gate.vpc, "refused a connection: its client or VPC holds too many");
        }
        // A reset, as from a closed port.
        let _ = client.set_zero_linger();
        return;
    };
    // Ignored: without it the connection works all the same, only later.
    let _ = client.set_nodelay(true);
    let cells = worker.cells.resource(&asked.resource.id);
    let watched = worker.watchdog.add(worker.clock.coarse(), NO_LIFETIME, gate);
    let _open = Open::new(&worker, &watched);
    let _counted = Counted::new(&cells);
    let connected = connect(&worker, &watched, &asked.resource, asked.destination.port(), &cells).await;
    let record = Record { asked: &asked, client: peer, reached: connected.as_ref().ok() };
    worker.log_line(|out| record.write(out, &worker.clock));
    match connected {
        Ok(reached) => {
            let terms = Terms { idle: worker.limits.resource_idle, ends_with_entrance: true };
            let progress = |received, sent| {
                cells.received.add(received);
                cells.sent.add(sent);
            };
            let relayed = relay(&worker, &watched, client, reached.stream, terms, memory, progress).await;
            match relayed.end {
                RelayEnd::NoPipe(error) => tracing::warn!(%error, "no pipe to relay through"),
                RelayEnd::TooMuch => worker.cells.connections_refused.add(1),
                _ => {}
            }
        }
        Err(failure) => {
            tracing::debug!(resource = %asked.resource.id, ?failure, "cannot reach a resource");
            // A reset, not an end: the client must not take nothing for an answer.
            let _ = client.set_zero_linger();
        }
    }
}

/// Counts a connection to a resource while it lives.
struct Counted<'a>(&'a ResourceCells);

impl<'a> Counted<'a> {
    fn new(cells: &'a ResourceCells) -> Self {
        cells.connections.add(1);
        cells.open.add(1);
        Self(cells)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.open.subtract(1);
    }
}
