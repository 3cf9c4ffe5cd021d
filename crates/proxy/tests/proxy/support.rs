//! A proxy in this process, a network in which every VPC is 127.0.0.1, and both ends of the wire.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use tokio::sync::watch;
use trellis_model::health::{HealthCheck, ProtocolVersion, TargetHealth, TargetStatus};
use trellis_model::matching::{HttpMatch, Text, TextMatch};
use trellis_model::snapshot::{
    Action, Auth, Certificate, Forward, Identities, Ingress, Listener, ListenerProtocol,
    Network as ServiceNetwork, Rule, Service, Snapshot, Target, TargetGroup, TargetProtocol,
};
use trellis_model::{ListenerId, RuleId, ServiceId, ServiceNetworkId, TargetGroupId, VpcId};
use trellis_proxy::{AccessLogConfig, Limits, Network, Proxy, ProxyConfig};

/// Nothing here takes this long unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `condition` holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

// === impl LoopbackNetwork ===

/// An address and the socket that keeps it.
type Reserved = (SocketAddr, Socket);

/// On which address, in which VPC, which port.
type Entrance = (IpAddr, VpcId, u16);

/// Every (VPC, port) is a port of its own on one address, and another on `::1`; every VPC reaches every address.
#[derive(Clone)]
pub(crate) struct LoopbackNetwork {
    address: IpAddr,
    entrances: Arc<Mutex<HashMap<Entrance, Reserved>>>,
    /// VPCs connections were opened from, in order.
    pub(crate) dialled: Arc<Mutex<Vec<(VpcId, SocketAddr)>>>,
    /// Listening fails while this is not zero; each failure takes one.
    pub(crate) refusals: Arc<AtomicUsize>,
    /// The same, with a panic of whoever listens, or dials.
    pub(crate) panics: Arc<AtomicUsize>,
}

impl Default for LoopbackNetwork {
    fn default() -> Self {
        Self::over(Ipv4Addr::LOCALHOST)
    }
}

impl LoopbackNetwork {
    /// With entrances on `address`.
    pub(crate) fn over(address: impl Into<IpAddr>) -> Self {
        Self {
            address: address.into(),
            entrances: Arc::default(),
            dialled: Arc::default(),
            refusals: Arc::default(),
            panics: Arc::default(),
        }
    }

    /// Where clients of `vpc` find `port`.
    pub(crate) fn entrance(&self, vpc: &VpcId, port: u16) -> SocketAddr {
        self.entrance_on(self.address, vpc, port)
    }

    /// Where clients of `vpc` find `port` by IPv6.
    pub(crate) fn ipv6_entrance(&self, vpc: &VpcId, port: u16) -> SocketAddr {
        self.entrance_on(Ipv6Addr::LOCALHOST.into(), vpc, port)
    }

    fn entrance_on(&self, address: IpAddr, vpc: &VpcId, port: u16) -> SocketAddr {
        let mut entrances = self.entrances.lock().unwrap();
        let key = (address, vpc.clone(), port);
        // A bound socket that never listens keeps the port for this test.
        let (address, _) = entrances.entry(key).or_insert_with(|| {
            let socket = reusable(SocketAddr::new(address, 0)).unwrap();
            (socket.local_addr().unwrap().as_socket().unwrap(), socket)
        });
        *address
    }
}

/// Whether one could be taken from a number.
fn take_one(from: &AtomicUsize) -> bool {
    from.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok()
}

fn reusable(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

impl Network for LoopbackNetwork {
    fn listen(&self, vpc: &VpcId, port: u16) -> io::Result<TcpListener> {
        assert!(!take_one(&self.panics), "as a test wants it");
        if take_one(&self.refusals) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let socket = reusable(self.entrance(vpc, port))?;
        socket.listen(1024)?;
        Ok(socket.into())
    }

    fn listen_ipv6(&self, vpc: &VpcId, port: u16) -> io::Result<TcpListener> {
        let socket = reusable(self.ipv6_entrance(vpc, port))?;
        socket.listen(1024)?;
        Ok(socket.into())
    }

    fn dial(&self, vpc: &VpcId, to: SocketAddr) -> io::Result<TcpStream> {
        assert!(!take_one(&self.panics), "as a test wants it");
        self.dialled.lock().unwrap().push((vpc.clone(), to));
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&to.into()) {
            Err(error) if error.raw_os_error() != Some(nix::errno::Errno::EINPROGRESS as i32) => Err(error),
            _ => Ok(socket.into()),
        }
    }
}

// === configuration ===

pub(crate) fn vpc(n: u64) -> VpcId {
    VpcId::from_random(n)
}

/// A healthy target.
pub(crate) fn healthy(address: SocketAddr) -> Target {
    Target { address, health: Arc::new(TargetHealth::new(TargetStatus::Healthy)) }
}

pub(crate) fn group_of(n: u64, health_check: Option<HealthCheck>, targets: Vec<Target>) -> Arc<TargetGroup> {
    Arc::new(TargetGroup {
        id: TargetGroupId::from_random(n),
        arn: format!("arn:aws:vpc-lattice:us-east-1:111122223333:targetgroup/tg-{n}").into(),
        vpc: vpc(900 + n),
        protocol: TargetProtocol::Http,
        version: ProtocolVersion::Http1,
        health_check,
        targets: targets.into(),
    })
}

/// Targets that are healthy and not checked.
pub(crate) fn group(n: u64, addresses: &[SocketAddr]) -> Arc<TargetGroup> {
    group_of(n, None, addresses.iter().copied().map(healthy).collect())
}

pub(crate) fn forward(group: &Arc<TargetGroup>) -> Action {
    Action::Forward(Forward::new([(100, group.clone())]))
}

pub(crate) fn prefix(path: &str) -> HttpMatch {
    let path = Text { how: TextMatch::Prefix(path.into()), case_sensitive: true };
    HttpMatch { path: Some(path), ..HttpMatch::default() }
}

/// A service in the making: one listener, HTTP on port 80 unless it is told otherwise.
pub(crate) struct ServiceSpec {
    pub(crate) name: &'static str,
    pub(crate) auth: Auth,
    pub(crate) idle_timeout: Duration,
    pub(crate) port: u16,
    pub(crate) protocol: ListenerProtocol,
    pub(crate) certificates: Vec<(&'static str, Arc<Certificate>)>,
    /// A name beside `name`, which is the generated one.
    pub(crate) custom_domain: Option<&'static str>,
    pub(crate) rules: Vec<(HttpMatch, Action)>,
    pub(crate) default: Action,
}

pub(crate) fn service(name: &'static str, default: Action) -> ServiceSpec {
    ServiceSpec {
        name,
        auth: Auth::None,
        idle_timeout: Duration::from_secs(60),
        port: 80,
        protocol: ListenerProtocol::Http,
        certificates: Vec::new(),
        custom_domain: None,
        rules: Vec::new(),
        default,
    }
}

/// A service network that VPC 1 is associated with.
pub(crate) struct World {
    pub(crate) auth: Auth,
    pub(crate) services: Vec<ServiceSpec>,
    pub(crate) vpcs: Vec<VpcId>,
    pub(crate) has_ipv6: bool,
    pub(crate) identities: Arc<Identities>,
}

pub(crate) fn world(services: Vec<ServiceSpec>) -> World {
    World { auth: Auth::None, services, vpcs: vec![vpc(1)], has_ipv6: false, identities: Arc::default() }
}

impl World {
    fn snapshot(self, revision: u64) -> Snapshot {
        let mut snapshot = Snapshot { revision, identities: self.identities, ..Snapshot::default() };
        let mut ports = HashMap::new();
        let mut hosts = rustc_hash::FxHashMap::default();
        for (spec, n) in self.services.into_iter().zip(1..) {
            ports.entry(spec.port).or_insert(spec.protocol);
            let actions = spec.rules.iter().map(|(_, action)| action).chain([&spec.default]);
            for action in actions {
                if let Action::Forward(forward) = action {
                    for (_, group) in forward.groups() {
                        snapshot.target_groups.insert(group.id.clone(), group.clone());
                    }
                }
            }
            let rules = spec.rules.into_iter().zip(1..).map(|((matches, action), priority)| Rule {
                id: RuleId::from_random(u64::from(priority)),
                priority,
                matches,
                action,
            });
            let listener = Listener {
                id: ListenerId::from_random(n),
                port: spec.port,
                protocol: spec.protocol,
                rules: rules.collect(),
                default_action: spec.default,
            };
            let id = ServiceId::from_random(n);
            let service = Service {
                arn: format!("arn:aws:vpc-lattice:us-east-1:111122223333:service/{id}").into(),
                id,
                owner: "111122223333".parse().unwrap(),
                dns_name: spec.name.into(),
                auth: spec.auth,
                tags: [("tier".to_owned(), "gold".to_owned())].into(),
                idle_timeout: spec.idle_timeout,
                listeners: [Arc::new(listener)].into(),
                certificates: spec
                    .certificates
                    .into_iter()
                    .map(|(name, certificate)| (name.into(), certificate))
                    .collect(),
            };
            let service = Arc::new(service);
            for name in [spec.name].into_iter().chain(spec.custom_domain) {
                hosts.insert(name.into(), service.clone());
            }
        }
        let id = ServiceNetworkId::from_random(1);
        let network = Arc::new(ServiceNetwork {
            arn: format!("arn:aws:vpc-lattice:us-east-1:111122223333:servicenetwork/{id}").into(),
            id,
            auth: self.auth,
            hosts,
            ports: ports.into_iter().collect(),
        });
        for vpc in self.vpcs {
            let ingress = Ingress {
                vpc_arn: format!("arn:aws:ec2:us-east-1:111122223333:vpc/{vpc}").into(),
                vpc_owner: "111122223333".parse().unwrap(),
                has_ipv6: self.has_ipv6,
                resources: Default::default(),
                network: network.clone(),
                vpc: vpc.clone(),
            };
            snapshot.ingresses.insert(vpc, Arc::new(ingress));
        }
        snapshot
    }
}

// === impl Fixture ===

/// A running proxy and what it acts on.
pub(crate) struct Fixture {
    pub(crate) network: LoopbackNetwork,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) snapshots: watch::Sender<Arc<Snapshot>>,
    runtime: tokio::runtime::Runtime,
    directory: tempfile::TempDir,
}

impl Fixture {
    pub(crate) fn new(world: World) -> Self {
        Self::with(world, Limits::default())
    }

    pub(crate) fn with(world: World, limits: Limits) -> Self {
        Self::on(LoopbackNetwork::default(), world, limits)
    }

    pub(crate) fn on(network: LoopbackNetwork, world: World, limits: Limits) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let (snapshots, receiver) = watch::channel(Arc::new(world.snapshot(1)));
        let log = AccessLogConfig::new(directory.path().join("logs/access.log"));
        let config = ProxyConfig { workers: 2, access_log: Some(log), limits, ..ProxyConfig::default() };
        let proxy = Proxy::start(config, network.clone(), receiver).unwrap();
        let fixture = Self { network, proxy: Some(proxy), snapshots, runtime, directory };
        fixture.wait_until_applied(1);
        fixture
    }

    fn wait_until_applied(&self, revision: u64) {
        let applied = self.proxy.as_ref().unwrap().applied();
        eventually("the revision is applied", || *applied.borrow() >= revision);
    }

    /// Publishes another configuration and waits until it is in force.
    pub(crate) fn change(&self, world: World) {
        self.wait_until_applied(self.publish(world));
    }

    /// Publishes another configuration. Its revision.
    pub(crate) fn publish(&self, world: World) -> u64 {
        let revision = self.snapshots.borrow().revision + 1;
        self.snapshots.send_replace(Arc::new(world.snapshot(revision)));
        revision
    }

    /// Where clients in VPC 1 find port 443.
    pub(crate) fn secure_port(&self) -> SocketAddr {
        self.network.entrance(&vpc(1), 443)
    }

    /// A client in VPC 1 that speaks to port 80.
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.network.entrance(&vpc(1), 80))
    }

    pub(crate) fn metrics(&self) -> String {
        self.proxy.as_ref().unwrap().metrics().render()
    }

    /// The value of one series; 0 when it is not there.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        metric(&self.metrics(), series)
    }

    pub(crate) fn drain(&mut self, deadline: Duration) {
        let proxy = self.proxy.take().unwrap();
        self.runtime.block_on(proxy.drain(deadline));
    }

    /// Drains, then the lines of the access log.
    pub(crate) fn log_lines(&mut self) -> Vec<serde_json::Value> {
        self.drain(PATIENCE);
        let text = std::fs::read_to_string(self.directory.path().join("logs/access.log")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

pub(crate) fn metric(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

// === impl Client ===

/// One end of a connection, with or without TLS, that reads and writes HTTP by hand.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    pub(crate) tls: Option<rustls::Connection>,
    unread: Vec<u8>,
}

pub(crate) type Client = Wire;

/// A message as it came over the wire, its body decoded.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: String,
}

impl Message {
    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// The values of a header, joined.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self
            .head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect();
        (!values.is_empty()).then(|| values.join(" | "))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Wire {
    pub(crate) fn connect(to: SocketAddr) -> Self {
        Self::over(TcpStream::connect(to).unwrap())
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, tls: None, unread: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.write(bytes.as_ref()).unwrap();
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            None => self.stream.write_all(bytes),
            Some(rustls::Connection::Client(tls)) => {
                rustls::Stream::new(tls, &mut self.stream).write_all(bytes)
            }
            Some(rustls::Connection::Server(tls)) => {
                rustls::Stream::new(tls, &mut self.stream).write_all(bytes)
            }
        }
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => self.stream.read(buffer),
            Some(rustls::Connection::Client(tls)) => rustls::Stream::new(tls, &mut self.stream).read(buffer),
            Some(rustls::Connection::Server(tls)) => rustls::Stream::new(tls, &mut self.stream).read(buffer),
        }
    }

    /// False at the end of the stream.
    fn read_more(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 65536];
        let count = self.read(&mut buffer)?;
        self.unread.extend_from_slice(&buffer[..count]);
        Ok(count > 0)
    }

    /// Everything up to and with `end`; `None` when the stream ends first.
    pub(crate) fn read_until(&mut self, end: &str) -> Option<String> {
        loop {
            let found = self.unread.windows(end.len()).position(|window| window == end.as_bytes());
            if let Some(at) = found {
                let taken: Vec<u8> = self.unread.drain(..at + end.len()).collect();
                return Some(String::from_utf8_lossy(&taken).into_owned());
            }
            if !self.read_more().ok()? {
                return None;
            }
        }
    }

    pub(crate) fn read_exactly(&mut self, count: usize) -> Vec<u8> {
        while self.unread.len() < count {
            assert!(self.read_more().unwrap(), "the stream ended early");
        }
        self.unread.drain(..count).collect()
    }

    /// Everything until the stream ends or breaks.
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        while self.read_more().unwrap_or(false) {}
        std::mem::take(&mut self.unread)
    }

    /// A request or a response, interim responses skipped; `None` when the stream has ended.
    pub(crate) fn read_message(&mut self) -> Option<Message> {
        self.read_answer_to("GET")
    }

    /// A response to `method`: one to HEAD has no body.
    pub(crate) fn read_answer_to(&mut self, method: &str) -> Option<Message> {
        let head = self.read_until("\r\n\r\n")?;
        if head.starts_with("HTTP/1.1 1") {
            return self.read_answer_to(method);
        }
        let mut message = Message { head, body: Vec::new(), trailers: String::new() };
        let response = message.head.starts_with("HTTP/");
        if method == "HEAD" || (response && matches!(message.status(), 204 | 304)) {
            return Some(message);
        }
        if message.header("transfer-encoding").is_some() {
            loop {
                let size = self.read_until("\r\n")?;
                let size = usize::from_str_radix(size.trim_end(), 16).unwrap();
                if size == 0 {
                    break;
                }
                message.body.extend(self.read_exactly(size));
                assert_eq!(self.read_exactly(2), b"\r\n");
            }
            loop {
                let line = self.read_until("\r\n")?;
                if line == "\r\n" {
                    break;
                }
                message.trailers += &line;
            }
        } else if let Some(length) = message.header("content-length") {
            message.body = self.read_exactly(length.parse().unwrap());
        } else if response {
            message.body = self.read_to_end();
        }
        Some(message)
    }

    /// Sends a request and reads its response.
    pub(crate) fn call(&mut self, request: impl AsRef<[u8]>) -> Message {
        self.send(request);
        self.read_message().expect("an answer")
    }

    pub(crate) fn get(&mut self, host: &str, path: &str) -> Message {
        self.call(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
    }

    /// Whether the other side has closed: nothing more comes.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.read_to_end().is_empty()
    }

    /// Forgets what has been read and not been used; how much that was.
    pub(crate) fn take_unread(&mut self) -> usize {
        std::mem::take(&mut self.unread).len()
    }

    pub(crate) fn finish_sending(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            while tls.wants_write() {
                tls.write_tls(&mut self.stream).unwrap();
            }
        }
        self.stream.shutdown(Shutdown::Write).unwrap();
    }
}

// === impl TestTarget ===

/// A server whose connections are served by a function, each on a thread of its own.
pub(crate) struct TestTarget {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicUsize>,
    /// Every request that [`TestTarget::answering`] has read.
    pub(crate) requests: Arc<Mutex<Vec<Message>>>,
    stop: Arc<AtomicUsize>,
}

impl TestTarget {
    /// `serve` gets each connection and its number, beginning with 0.
    pub(crate) fn new(serve: impl Fn(Wire, usize) + Send + Sync + 'static) -> Self {
        Self::on(Ipv4Addr::LOCALHOST, serve)
    }

    /// The same, on an address of this machine.
    pub(crate) fn on(
        address: impl Into<IpAddr>,
        serve: impl Fn(Wire, usize) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((address.into(), 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let stop = Arc::new(AtomicUsize::new(0));
        let (counter, stopped, serve) = (connections.clone(), stop.clone(), Arc::new(serve));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) > 0 {
                    return;
                }
                let number = counter.fetch_add(1, Ordering::SeqCst);
                let serve = serve.clone();
                std::thread::spawn(move || serve(Wire::over(stream), number));
            }
        });
        Self { address, connections, requests: Arc::default(), stop }
    }

    /// Answers every request on every connection with `answer`.
    pub(crate) fn answering(answer: impl Fn(&Message) -> String + Send + Sync + 'static) -> Self {
        Self::answering_over(Some, answer)
    }

    /// The same, over what `begin` makes of each connection.
    pub(crate) fn answering_over(
        begin: impl Fn(Wire) -> Option<Wire> + Send + Sync + 'static,
        answer: impl Fn(&Message) -> String + Send + Sync + 'static,
    ) -> Self {
        let requests: Arc<Mutex<Vec<Message>>> = Arc::default();
        let seen = requests.clone();
        let mut target = Self::new(move |wire, _| {
            let Some(mut wire) = begin(wire) else { return };
            while let Some(request) = wire.read_message() {
                let answer = answer(&request);
                seen.lock().unwrap().push(request);
                if wire.write(answer.as_bytes()).is_err() {
                    return;
                }
            }
        });
        target.requests = requests;
        target
    }

    /// Answers with 200 and `body`.
    pub(crate) fn saying(body: &'static str) -> Self {
        Self::answering(move |_| ok(body))
    }

    pub(crate) fn last_request(&self) -> Message {
        self.requests.lock().unwrap().last().expect("a request").clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for TestTarget {
    fn drop(&mut self) {
        self.stop.store(1, Ordering::SeqCst);
        // Wakes the accepting thread.
        let _ = TcpStream::connect(self.address);
    }
}

pub(crate) fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// An address nobody listens on.
pub(crate) fn nobody() -> SocketAddr {
    // Bound and dropped: connecting is refused.
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// The `responseCode` and `failureReason` of each line, sorted: the lines of two workers have no order.
pub(crate) fn reasons(fixture: &mut Fixture) -> Vec<(u64, String)> {
    let mut reasons: Vec<_> = fixture
        .log_lines()
        .iter()
        .map(|line| (line["responseCode"].as_u64().unwrap(), line["failureReason"].as_str().unwrap().into()))
        .collect();
    reasons.sort();
    reasons
}
