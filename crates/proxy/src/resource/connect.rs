//! Step 4: a connection to the resource, from one of its gateway's addresses.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::Poll;

use tokio::net::TcpStream;
use trellis_model::snapshot::{Destination, Resource, may_be_dialled};

use super::names;
use crate::clock::Millis;
use crate::metrics::ResourceCells;
use crate::watchdog::{Alarm, Watched};
use crate::worker::Worker;

/// Addresses of a name that are tried for one client.
const TRIES: usize = 3;

/// A connection to a resource.
pub(super) struct Reached {
    pub(super) stream: TcpStream,
    /// The gateway's side.
    pub(super) gateway: SocketAddr,
    /// The resource's side.
    pub(super) resource: SocketAddr,
}

/// Why there is none.
#[derive(Debug)]
pub(super) enum Unreached {
    /// The name could not be looked up.
    NotResolved(#[expect(dead_code, reason = "shown by Debug")] io::Error),
    /// The name has no address that a resource could have.
    NoAddress,
    TimedOut,
    Failed(#[expect(dead_code, reason = "shown by Debug")] io::Error),
    /// The client connection is being ended meanwhile.
    Ended,
}

/// Connects to `port` of `resource`. `watched` is the client connection that waits.
pub(super) async fn connect(
    worker: &Worker,
    watched: &Watched,
    resource: &Resource,
    port: u16,
    cells: &ResourceCells,
) -> Result<Reached, Unreached> {
    let result = try_each(worker, watched, resource, port).await;
    match &result {
        Ok(_) | Err(Unreached::Ended) => {}
        Err(Unreached::TimedOut) => cells.timeouts.add(1),
        Err(_) => cells.errors.add(1),
    }
    result
}

async fn try_each(
    worker: &Worker,
    watched: &Watched,
    resource: &Resource,
    port: u16,
) -> Result<Reached, Unreached> {
    let addresses: Rc<[IpAddr]> = match &resource.destination {
        Destination::Ip(address) => Rc::new([*address]),
        Destination::Name(name, family) => names::resolve(worker, watched, &resource.vpc, name, *family)
            .await
            .map_err(Unreached::NotResolved)?
            .iter()
            .copied()
            .filter(|address| may_be_dialled(*address))
            .collect(),
    };
    let mut failure = Unreached::NoAddress;
    // Another first one each time, so that connections are spread over all.
    let draw = worker.random.next() as usize;
    for turn in 0..addresses.len().min(TRIES) {
        let address = addresses[draw.wrapping_add(turn) % addresses.len()];
        let sources = resource.sources.iter().filter(|source| source.is_ipv4() == address.is_ipv4());
        let count = sources.clone().count();
        let Some(source) = sources.cycle().nth(draw % count.max(1)) else { continue };
        match connect_one(worker, watched, resource, *source, SocketAddr::new(address, port)).await {
            Err(Unreached::Ended) => return Err(Unreached::Ended),
            Err(other) => failure = other,
            Ok(reached) => return Ok(reached),
        }
    }
    Err(failure)
}

async fn connect_one(
    worker: &Worker,
    watched: &Watched,
    resource: &Resource,
    source: IpAddr,
    to: SocketAddr,
) -> Result<Reached, Unreached> {
    let stream = (worker.resources.dial)(&resource.vpc, source, to).map_err(Unreached::Failed)?;
    let stream = TcpStream::from_std(stream).map_err(Unreached::Failed)?;
    let patience = worker.limits.connect_timeout.as_millis() as Millis;
    watched.arm(worker.clock.coarse().saturating_add(patience));
    poll_fn(|cx| {
        if let Poll::Ready(ready) = stream.poll_write_ready(cx) {
            return Poll::Ready(ready.map_err(Unreached::Failed));
        }
        watched.register(cx);
        match watched.alarm() {
            None if watched.entrance.is_closed() => Poll::Ready(Err(Unreached::Ended)),
            None => Poll::Pending,
            Some(Alarm::Deadline) => Poll::Ready(Err(Unreached::TimedOut)),
            Some(_) => Poll::Ready(Err(Unreached::Ended)),
        }
    })
    .await?;
    match stream.take_error() {
        Ok(None) => {}
        Ok(Some(error)) | Err(error) => return Err(Unreached::Failed(error)),
    }
    let gateway = stream.local_addr().map_err(Unreached::Failed)?;
    Ok(Reached { stream, gateway, resource: to })
}
