//! A proxy on loopback with a made-up configuration, to measure the data plane by itself:
//!
//! `loopback PORT TARGET:PORT [WORKERS [SERVICES [ACCESS-LOG]]]`
//!
//! Each service has ten rules, of which only the last matches `/`; requests go to
//! `Host: service-N.example`. Health checks, metrics and the access log (when a file is named) are on.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use trellis_model::health::{HealthCheck, ProtocolVersion, StatusMatcher, TargetHealth, TargetStatus};
use trellis_model::matching::{HttpMatch, Text, TextMatch};
use trellis_model::snapshot::{
    Action, Auth, Forward, Ingress, Listener, ListenerProtocol, Network as ServiceNetwork, Rule, Service,
    Snapshot, Target, TargetGroup, TargetProtocol,
};
use trellis_model::{AccountId, ListenerId, RuleId, ServiceId, ServiceNetworkId, TargetGroupId, VpcId};
use trellis_proxy::{AccessLogConfig, Network, Proxy, ProxyConfig};

#[derive(Clone)]
struct Loopback;

impl Network for Loopback {
    fn listen(&self, _vpc: &VpcId, port: u16) -> io::Result<std::net::TcpListener> {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
        socket.listen(4096)?;
        Ok(socket.into())
    }

    fn dial(&self, _vpc: &VpcId, to: SocketAddr) -> io::Result<std::net::TcpStream> {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&to.into()) {
            Err(error) if error.raw_os_error() != Some(nix::errno::Errno::EINPROGRESS as i32) => Err(error),
            _ => Ok(socket.into()),
        }
    }
}

fn snapshot(port: u16, target: SocketAddr, services: u64) -> Snapshot {
    let arn = |kind: &str, id: &str| -> Arc<str> {
        format!("arn:aws:vpc-lattice:us-east-1:111122223333:{kind}/{id}").into()
    };
    let account: AccountId = "111122223333".parse().expect("twelve digits");
    let vpc = VpcId::from_random(1);
    let mut hosts = FxHashMap::default();
    let mut target_groups = FxHashMap::default();
    for n in 0..services {
        let id = TargetGroupId::from_random(n);
        let group = Arc::new(TargetGroup {
            arn: arn("targetgroup", id.as_str()),
            id: id.clone(),
            vpc: vpc.clone(),
            protocol: TargetProtocol::Http,
            version: ProtocolVersion::Http1,
            health_check: Some(HealthCheck {
                tls: false,
                version: ProtocolVersion::Http1,
                port: None,
                path: "/".into(),
                interval: Duration::from_secs(30),
                timeout: Duration::from_secs(5),
                healthy_threshold: 5,
                unhealthy_threshold: 2,
                matcher: StatusMatcher(Box::new([(200, 299)])),
            }),
            targets: [Target { address: target, health: Arc::new(TargetHealth::new(TargetStatus::Initial)) }]
                .into(),
        });
        target_groups.insert(id, group.clone());
        let rules = (0..10)
            .map(|rule| Rule {
                id: RuleId::from_random(n * 100 + rule),
                priority: rule as u16 + 1,
                matches: HttpMatch {
                    path: Some(Text {
                        how: TextMatch::Prefix(if rule == 9 { "/" } else { "/another/path" }.into()),
                        case_sensitive: true,
                    }),
                    ..HttpMatch::default()
                },
                action: Action::Forward(Forward::new([(100, group.clone())])),
            })
            .collect();
        let id = ServiceId::from_random(n);
        let listener = Listener {
            id: ListenerId::from_random(n),
            port,
            protocol: ListenerProtocol::Http,
            rules,
            default_action: Action::FixedResponse(404),
        };
        let name = format!("service-{n}.example");
        let service = Service {
            arn: arn("service", id.as_str()),
            id,
            owner: account.clone(),
            dns_name: name.clone().into(),
            auth: Auth::None,
            tags: Box::default(),
            idle_timeout: Duration::from_secs(60),
            listeners: [Arc::new(listener)].into(),
            certificates: Box::new([]),
        };
        hosts.insert(name.into(), Arc::new(service));
    }
    let id = ServiceNetworkId::from_random(1);
    let ingress = Ingress {
        vpc: vpc.clone(),
        vpc_arn: "arn:aws:ec2:us-east-1:111122223333:vpc/vpc-00000000000000001".into(),
        vpc_owner: account,
        has_ipv6: false,
        resources: Default::default(),
        network: Arc::new(ServiceNetwork {
            arn: arn("servicenetwork", id.as_str()),
            id,
            auth: Auth::None,
            hosts,
            ports: [(port, ListenerProtocol::Http)].into_iter().collect(),
        }),
    };
    Snapshot {
        revision: 1,
        ingresses: [(vpc, Arc::new(ingress))].into_iter().collect(),
        target_groups,
        ..Snapshot::default()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |index: usize| arguments.get(index).map(String::as_str);
    let port = argument(0).ok_or("which port?")?.parse()?;
    let target = argument(1).ok_or("which target?")?.parse()?;
    let config = ProxyConfig {
        workers: argument(2).unwrap_or("1").parse()?,
        access_log: argument(4).map(AccessLogConfig::new),
        ..ProxyConfig::default()
    };
    let services = argument(3).unwrap_or("1000").parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (_sender, snapshots) = tokio::sync::watch::channel(Arc::new(snapshot(port, target, services)));
        let proxy = Proxy::start(config, Loopback, snapshots)?;
        proxy.applied().wait_for(|revision| *revision == 1).await?;
        tokio::signal::ctrl_c().await?;
        let metrics = proxy.metrics();
        proxy.drain(Duration::from_secs(5)).await;
        let path = std::env::temp_dir().join("trellis-loopback-metrics.txt");
        std::fs::write(path, metrics.render())?;
        Ok(())
    })
}
