//! A proxy in this process, a network in which every VPC is 127.0.0.1, and both ends of the wire.

mod network;
mod target;
mod wire;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use trellis_model::health::{HealthCheck, ProtocolVersion, TargetHealth, TargetStatus};
use trellis_model::matching::{HttpMatch, Text, TextMatch};
use trellis_model::snapshot::{
    Action, Auth, Certificate, Forward, Identities, Ingress, Listener, ListenerProtocol,
    Network as ServiceNetwork, Rule, Service, Snapshot, Target, TargetGroup, TargetProtocol,
};
use trellis_model::{ListenerId, RuleId, ServiceId, ServiceNetworkId, TargetGroupId, VpcId};
use trellis_proxy::{AccessLogConfig, Limits, Proxy, ProxyConfig};

pub(crate) use network::LoopbackNetwork;
pub(crate) use target::{TestTarget, nobody, ok};
pub(crate) use wire::{Client, Message, Wire};

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
