//! A thread that serves applications: sockets, connections and a runtime of its own.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::connection;
use crate::upstream::Upstreams;
use crate::{Shared, StartError};

/// Connections of applications at once, a worker; one more waits in the kernel's queue.
const MAX_CONNECTIONS: u32 = 4096;
const BACKLOG: i32 = 1024;
/// How often connections to services that nobody needs any more are closed.
const SWEEP: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) upstreams: Arc<Upstreams>,
}

#[derive(Debug)]
pub(crate) struct Listeners {
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) per_worker: Vec<Vec<StdListener>>,
}

/// Sockets on every address for every worker; the kernel spreads connections over them.
pub(crate) fn listen(addresses: &[SocketAddr], workers: usize) -> Result<Listeners, StartError> {
    let mut found =
        Listeners { addresses: Vec::new(), per_worker: (0..workers).map(|_| Vec::new()).collect() };
    for (index, address) in addresses.iter().enumerate() {
        let failed = |source| StartError::Listen { address: *address, source };
        let is_last_hope = found.addresses.is_empty() && index + 1 == addresses.len();
        let mut bound = *address;
        for listeners in &mut found.per_worker {
            match socket(bound) {
                Ok(listener) => {
                    bound = listener.local_addr().map_err(failed)?;
                    listeners.push(listener);
                }
                Err(error) if address.is_ipv6() && lacks_ipv6(&error) && !is_last_hope => {
                    tracing::info!(%address, "no IPv6 here");
                    bound = *address;
                    break;
                }
                Err(error) => return Err(failed(error)),
            }
        }
        if found.per_worker[0].len() > found.addresses.len() {
            found.addresses.push(bound);
        }
    }
    Ok(found)
}

fn lacks_ipv6(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || error.kind() == io::ErrorKind::Unsupported
        // EAFNOSUPPORT has no kind of its own.
        || error.raw_os_error() == Some(97)
}

fn socket(address: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

pub(crate) fn start(
    listeners: Vec<StdListener>,
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listeners = {
        let _inside = runtime.enter();
        listeners.into_iter().map(TcpListener::from_std).collect::<io::Result<Vec<_>>>()?
    };
    std::thread::Builder::new().name("sign".into()).spawn(move || {
        runtime.block_on(serve(listeners, shared, stop));
        // A look-up of a name that hangs must not hold up the end.
        runtime.shutdown_background();
    })
}

async fn serve(listeners: Vec<TcpListener>, shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let drain = shared.drain;
    let worker = Arc::new(Worker { shared, upstreams: Arc::default() });
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS as usize));
    let accepting: Vec<_> = listeners
        .into_iter()
        .map(|listener| tokio::spawn(accept(listener, worker.clone(), places.clone(), stop.clone())))
        .collect();
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        tokio::select! {
            _ = sweep.tick() => worker.upstreams.sweep(),
            () = stopped(&mut stop) => break,
        }
    }
    for task in accepting {
        let _ = task.await;
    }
    // Every connection has a place: when all are free again, all have ended.
    if tokio::time::timeout(drain, places.acquire_many(MAX_CONNECTIONS)).await.is_err() {
        tracing::warn!("requests were still running at the drain deadline");
    }
}

async fn accept(
    listener: TcpListener,
    worker: Arc<Worker>,
    places: Arc<Semaphore>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = async {
                let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
                (place, listener.accept().await)
            } => accepted,
            () = stopped(&mut stop) => return,
        };
        match accepted {
            (place, Ok((stream, _))) => {
                let (worker, stop) = (worker.clone(), stop.clone());
                tokio::spawn(async move {
                    worker.shared.metrics.connection_opened();
                    connection::serve(worker.clone(), stream, stop).await;
                    worker.shared.metrics.connection_closed();
                    drop(place);
                });
            }
            (_, Err(error)) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Returns when `stop` is true, or can never be any more.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
