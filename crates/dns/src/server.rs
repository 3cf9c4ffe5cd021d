//! The resolver of every VPC: sockets in, replies out.
//!
//! The caller says which VPCs there are and how sockets inside them are made ([`Bind`]); the server
//! runs one UDP and one TCP task for each address, on the runtime it was started on. A VPC's tasks
//! own everything begun on their behalf, so removing the VPC ends all of it.

mod resolver;
mod restart;
mod tcp;
mod udp;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_proto::rr::RecordType;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use trellis_model::VpcId;
use trellis_model::fabric::{FabricPlan, VpcPlan};
use trellis_model::snapshot::{AddressFamily, Snapshot};

use crate::answer::Answer;
use crate::client::{self, Resolved};
use crate::metrics::Metrics;
use crate::upstream::{Transport, Upstream, Upstreams};
use resolver::{Resolver, Whose};

/// The resolver's link-local address, the same in every VPC.
const LINK_LOCAL_RESOLVER: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);

/// The same of IPv6, in every VPC that has it.
const IPV6_RESOLVER: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x253);

/// The port of every resolver.
pub const PORT: u16 = 53;

/// Where hosts of `vpc` find their resolver: 169.254.169.253, the base of the range plus two, and fd00:ec2::253
/// where there is IPv6, all on port 53.
pub fn resolver_addresses(vpc: &VpcPlan) -> Vec<SocketAddr> {
    let ipv6 = vpc.ipv6_cidr.map(|_| IpAddr::from(IPV6_RESOLVER));
    let addresses = [Some(LINK_LOCAL_RESOLVER.into()), vpc.resolver().map(IpAddr::from), ipv6];
    addresses.into_iter().flatten().map(|address| SocketAddr::from((address, PORT))).collect()
}

/// Makes sockets inside a VPC. Called from [`Server::add_vpc`], on its thread.
pub trait Bind: Send + Sync + 'static {
    fn udp(&self, vpc: &VpcId, address: SocketAddr) -> io::Result<UdpSocket>;
    fn tcp(&self, vpc: &VpcId, address: SocketAddr) -> io::Result<TcpListener>;
}

/// Limits and times. The defaults suit a machine with hundreds of VPCs.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    pub upstreams: Upstreams,
    /// How long one resolver may take before the next is asked. Default 2 s.
    pub upstream_timeout: Duration,
    /// Queries that may wait for resolvers at one time, all VPCs together. Default 1024; what is
    /// over it gets SERVFAIL at once.
    pub max_in_flight: usize,
    /// The same for one VPC. Default 256.
    pub max_in_flight_per_vpc: usize,
    /// TCP connections of one VPC. Default 128; further ones wait in the kernel's queue.
    pub max_connections_per_vpc: usize,
    /// How long a TCP connection may stay without a whole query, or a reply unread. Default 10 s.
    pub tcp_idle_timeout: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            upstreams: Upstreams::default(),
            upstream_timeout: Duration::from_secs(2),
            max_in_flight: 1024,
            max_in_flight_per_vpc: 256,
            max_connections_per_vpc: 128,
            tcp_idle_timeout: Duration::from_secs(10),
        }
    }
}

/// Why a VPC has no resolver.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("cannot open the {transport} resolver socket {address} in {vpc}")]
    Bind { vpc: VpcId, address: SocketAddr, transport: &'static str, source: io::Error },
}

/// The running server; a cheap handle. When the last one is dropped, every task ends.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

struct Inner {
    options: ServerOptions,
    runtime: Handle,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    plans: watch::Receiver<Arc<FabricPlan>>,
    bind: Box<dyn Bind>,
    upstream: Arc<Upstream>,
    metrics: Arc<Metrics>,
    vpcs: Mutex<BTreeMap<VpcId, Vpc>>,
    /// What serves the public zones.
    public: Mutex<Vec<Task>>,
}

struct Vpc {
    limits: Arc<Limits>,
    addresses: BTreeMap<SocketAddr, [Task; 2]>,
}

/// What the tasks of one VPC share.
struct Limits {
    in_flight: Semaphore,
    connections: Arc<Semaphore>,
}

/// A task that ends with its owner.
struct Task(
    JoinHandle<()>,
    /// It has panicked and is not started again yet.
    Arc<AtomicBool>,
);

impl Task {
    /// It has ended, or panicked a moment ago.
    fn is_down(&self) -> bool {
        self.0.is_finished() || self.1.load(Ordering::Relaxed)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Server {
    /// Starts with no VPC. `snapshots` and `plans` are read anew for every query.
    ///
    /// # Panics
    /// Outside a tokio runtime with its I/O and time drivers on.
    pub fn start(
        options: ServerOptions,
        snapshots: watch::Receiver<Arc<Snapshot>>,
        plans: watch::Receiver<Arc<FabricPlan>>,
        bind: impl Bind,
    ) -> Self {
        let metrics = Arc::new(Metrics::default());
        let upstream = Upstream::new(
            options.upstreams.clone(),
            options.upstream_timeout,
            options.max_in_flight,
            metrics.clone(),
        );
        let inner = Inner {
            options,
            runtime: Handle::current(),
            snapshots,
            plans,
            bind: Box::new(bind),
            upstream: Arc::new(upstream),
            metrics,
            vpcs: Mutex::default(),
            public: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Answers hosts of `vpc` at exactly `addresses` from now on. Addresses that are served already
    /// stay as they are, so it may be called again. A VPC whose namespace was made anew has to be
    /// removed first.
    ///
    /// # Errors
    /// A socket could not be made; nothing has changed then.
    pub fn add_vpc(&self, vpc: &VpcId, addresses: &[SocketAddr]) -> Result<(), ServerError> {
        let inner = &*self.inner;
        let mut vpcs = inner.vpcs.lock().unwrap_or_else(PoisonError::into_inner);
        let limits = vpcs.get(vpc).map_or_else(|| inner.limits(), |known| known.limits.clone());
        let mut made = Vec::new();
        for address in addresses {
            if !vpcs.get(vpc).is_some_and(|known| known.addresses.contains_key(address)) {
                made.push((*address, inner.open(vpc, *address, &limits)?));
            }
        }
        let entry = vpcs.entry(vpc.clone()).or_insert_with(|| Vpc { limits, addresses: BTreeMap::new() });
        entry.addresses.retain(|address, _| addresses.contains(address));
        entry.addresses.extend(made);
        Ok(())
    }

    /// Answers whoever asks at these sockets about public zones from now on. They go on whatever comes in.
    ///
    /// # Errors
    /// A socket that cannot be watched.
    pub fn serve_public(&self, socket: UdpSocket, listener: TcpListener) -> io::Result<()> {
        let inner = &*self.inner;
        let _context = inner.runtime.enter();
        socket.set_nonblocking(true)?;
        listener.set_nonblocking(true)?;
        let socket = tokio::net::UdpSocket::from_std(socket)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let resolver = inner.resolver(Whose::Public, &inner.limits());
        let tasks = inner.serve(socket, listener, resolver);
        inner.public.lock().unwrap_or_else(PoisonError::into_inner).extend(tasks);
        Ok(())
    }

    /// Ends everything done for `vpc` and returns when its sockets are closed.
    pub async fn remove_vpc(&self, vpc: &VpcId) {
        let removed = self.inner.vpcs.lock().unwrap_or_else(PoisonError::into_inner).remove(vpc);
        for mut task in removed.into_iter().flat_map(|vpc| vpc.addresses.into_values().flatten()) {
            task.0.abort();
            let _ = (&mut task.0).await;
        }
    }

    /// What hosts of `vpc` would be told of the addresses of `name` of a family, within the VPC's share of questions
    /// that may wait.
    ///
    /// # Errors
    /// `NotFound` for a VPC that is not served, `InvalidInput` for what is no name; else nobody answered, or with a
    /// failure.
    pub async fn resolve(&self, vpc: &VpcId, name: &str, family: AddressFamily) -> io::Result<Resolved> {
        let kind = match family {
            AddressFamily::Ipv4 => RecordType::A,
            AddressFamily::Ipv6 => RecordType::AAAA,
        };
        let query = client::question(name, kind)?;
        let limits = {
            let vpcs = self.inner.vpcs.lock().unwrap_or_else(PoisonError::into_inner);
            vpcs.get(vpc).map(|vpc| vpc.limits.clone())
        };
        let limits = limits
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{vpc} has no resolver")))?;
        let resolver = self.inner.resolver(Whose::Vpc(vpc.clone()), &limits);
        let reply = match resolver.answer(&query) {
            Answer::Reply(reply) => Some(reply),
            Answer::Forward => resolver.forward(&query, client::NOBODY, Transport::Tcp, None).await,
            Answer::Follow(chain) => {
                resolver.forward(&query, client::NOBODY, Transport::Tcp, Some(chain)).await
            }
            Answer::Drop => None,
        };
        client::read(reply).map(|reply| client::addresses(&reply))
    }

    /// The addresses that should be served and are not any more.
    pub fn ended(&self) -> Vec<(VpcId, SocketAddr)> {
        let vpcs = self.inner.vpcs.lock().unwrap_or_else(PoisonError::into_inner);
        let addresses = vpcs.iter().flat_map(|(id, vpc)| vpc.addresses.iter().map(move |each| (id, each)));
        addresses
            .filter(|(_, (_, tasks))| tasks.iter().any(Task::is_down))
            .map(|(id, (address, _))| (id.clone(), *address))
            .collect()
    }

    /// Whether hosts of `vpc` find their resolver at `address`.
    pub fn is_resolver(&self, vpc: &VpcId, address: IpAddr) -> bool {
        let vpcs = self.inner.vpcs.lock().unwrap_or_else(PoisonError::into_inner);
        vpcs.get(vpc).is_some_and(|vpc| vpc.addresses.keys().any(|served| served.ip() == address))
    }

    /// The VPCs served now.
    pub fn vpcs(&self) -> Vec<VpcId> {
        self.inner.vpcs.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Counters as Prometheus text.
    pub fn render_metrics(&self) -> String {
        self.inner.metrics.render()
    }
}

impl Inner {
    fn limits(&self) -> Arc<Limits> {
        let permits = |count: usize| Semaphore::new(count.min(Semaphore::MAX_PERMITS));
        Arc::new(Limits {
            in_flight: permits(self.options.max_in_flight_per_vpc),
            connections: Arc::new(permits(self.options.max_connections_per_vpc)),
        })
    }

    fn resolver(&self, whose: Whose, limits: &Arc<Limits>) -> Resolver {
        Resolver {
            whose,
            snapshots: self.snapshots.clone(),
            plans: self.plans.clone(),
            upstream: self.upstream.clone(),
            metrics: self.metrics.clone(),
            limits: limits.clone(),
            idle_timeout: self.options.tcp_idle_timeout,
        }
    }

    fn open(&self, vpc: &VpcId, address: SocketAddr, limits: &Arc<Limits>) -> Result<[Task; 2], ServerError> {
        let failed =
            |transport| move |source| ServerError::Bind { vpc: vpc.clone(), address, transport, source };
        // tokio registers sockets with the runtime of the current context.
        let _context = self.runtime.enter();
        let socket = self
            .bind
            .udp(vpc, address)
            .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
            .and_then(tokio::net::UdpSocket::from_std)
            .map_err(failed("UDP"))?;
        let listener = self
            .bind
            .tcp(vpc, address)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .and_then(tokio::net::TcpListener::from_std)
            .map_err(failed("TCP"))?;
        Ok(self.serve(socket, listener, self.resolver(Whose::Vpc(vpc.clone()), limits)))
    }

    fn serve(
        &self,
        socket: tokio::net::UdpSocket,
        listener: tokio::net::TcpListener,
        resolver: Resolver,
    ) -> [Task; 2] {
        let (socket, listener) = (Arc::new(socket), Arc::new(listener));
        let of_udp = resolver.clone();
        let [udp_rests, tcp_rests] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let udp = restart::whenever_it_panics(self.metrics.clone(), udp_rests.clone(), move || {
            udp::serve(socket.clone(), of_udp.clone())
        });
        let tcp = restart::whenever_it_panics(self.metrics.clone(), tcp_rests.clone(), move || {
            tcp::serve(listener.clone(), resolver.clone())
        });
        [Task(self.runtime.spawn(udp), udp_rests), Task(self.runtime.spawn(tcp), tcp_rests)]
    }
}
