//! Trellis's data plane by itself, with a Snapshot made here: what the loopback topology measures,
//! where the whole of Trellis cannot run. Health checks, metrics and the access log are on.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use socket2::{Domain, Socket, Type};
use trellis_model::health::{HealthCheck, ProtocolVersion, StatusMatcher, TargetHealth, TargetStatus};
use trellis_model::matching::{HttpMatch, Text, TextMatch};
use trellis_model::snapshot::{
    Action, Auth, Forward, Ingress, Listener, ListenerProtocol, Network as ServiceNetwork, Rule, Service,
    Snapshot, Target, TargetGroup, TargetProtocol,
};
use trellis_model::{ListenerId, RuleId, ServiceId, ServiceNetworkId, TargetGroupId, VpcId};
use trellis_proxy::{AccessLogConfig, Network, Proxy, ProxyConfig};

use crate::candidates::Extent;
use crate::cases::{host_name, rule_prefix};

/// How long requests in flight may take at the end.
const DRAIN: Duration = Duration::from_secs(1);

/// Serves until SIGTERM.
pub(crate) fn serve(
    listen: SocketAddr,
    upstream: SocketAddr,
    extent: Extent,
    access_log: PathBuf,
) -> anyhow::Result<()> {
    run(listen.ip(), snapshot(listen.port(), upstream, extent)?, access_log)
}

/// Serves `snapshot` on `address` with one worker and an access log until SIGTERM.
pub(crate) fn run(address: IpAddr, snapshot: Snapshot, access_log: PathBuf) -> anyhow::Result<()> {
    let config = ProxyConfig {
        workers: 1,
        access_log: Some(AccessLogConfig::new(access_log)),
        ..ProxyConfig::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        let revision = snapshot.revision;
        let (_sender, snapshots) = tokio::sync::watch::channel(Arc::new(snapshot));
        let proxy = Proxy::start(config, Plain { address }, snapshots)?;
        proxy.applied().wait_for(|applied| *applied == revision).await?;
        terminate.recv().await;
        proxy.drain(DRAIN).await;
        Ok(())
    })
}

/// Sockets of the network this process is in, whatever VPC is named: each listener on its port of one address.
#[derive(Clone)]
struct Plain {
    address: IpAddr,
}

impl Network for Plain {
    fn listen(&self, _vpc: &VpcId, port: u16) -> io::Result<std::net::TcpListener> {
        let address = SocketAddr::new(self.address, port);
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(4096)?;
        Ok(socket.into())
    }

    fn dial(&self, _vpc: &VpcId, to: SocketAddr) -> io::Result<std::net::TcpStream> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&to.into()) {
            Err(error) if error.raw_os_error() != Some(nix::errno::Errno::EINPROGRESS as i32) => Err(error),
            _ => Ok(socket.into()),
        }
    }
}

/// The services the control plane would make for the same extent.
fn snapshot(port: u16, upstream: SocketAddr, extent: Extent) -> anyhow::Result<Snapshot> {
    ensure!(extent.rules <= 2000, "a listener has at most 2000 rules");
    let account: trellis_model::AccountId = "111122223333".parse().context("an account")?;
    let arn =
        |what: &str| -> Arc<str> { format!("arn:aws:vpc-lattice:us-east-1:111122223333:{what}").into() };
    let vpc = VpcId::from_random(1);
    let mut network = ServiceNetwork {
        id: ServiceNetworkId::from_random(1),
        arn: arn(&format!("servicenetwork/{}", ServiceNetworkId::from_random(1))),
        auth: Auth::None,
        hosts: Default::default(),
        ports: [(port, ListenerProtocol::Http)].into_iter().collect(),
    };
    let mut snapshot = Snapshot { revision: 1, ..Snapshot::default() };
    for n in 0..extent.hosts {
        let number = n as u64;
        let id = TargetGroupId::from_random(number);
        let group = Arc::new(TargetGroup {
            arn: arn(&format!("targetgroup/{id}")),
            id: id.clone(),
            vpc: vpc.clone(),
            protocol: TargetProtocol::Http,
            version: ProtocolVersion::Http1,
            health_check: Some(default_health_check()),
            targets: [Target {
                address: upstream,
                health: Arc::new(TargetHealth::new(TargetStatus::Initial)),
            }]
            .into(),
        });
        snapshot.target_groups.insert(id, group.clone());
        let rules = (0..extent.rules).map(|rule| Rule {
            id: RuleId::from_random(number * 2000 + rule as u64),
            priority: rule as u16 + 1,
            matches: HttpMatch {
                path: Some(Text { how: TextMatch::Prefix(rule_prefix(rule).into()), case_sensitive: true }),
                ..HttpMatch::default()
            },
            action: Action::Forward(Forward::new([(100, group.clone())])),
        });
        let listener = Listener {
            id: ListenerId::from_random(number),
            port,
            protocol: ListenerProtocol::Http,
            rules: rules.collect(),
            default_action: Action::FixedResponse(404),
        };
        let id = ServiceId::from_random(number);
        let service = Service {
            arn: arn(&format!("service/{id}")),
            id,
            owner: account.clone(),
            dns_name: host_name(n).into(),
            auth: Auth::None,
            tags: Box::default(),
            idle_timeout: Duration::from_secs(60),
            listeners: [Arc::new(listener)].into(),
            certificates: Box::new([]),
        };
        network.hosts.insert(host_name(n).into(), Arc::new(service));
    }
    let ingress = Ingress {
        vpc: vpc.clone(),
        vpc_arn: format!("arn:aws:ec2:us-east-1:111122223333:vpc/{vpc}").into(),
        vpc_owner: account,
        has_ipv6: false,
        resources: Default::default(),
        network: Arc::new(network),
    };
    snapshot.ingresses.insert(vpc, Arc::new(ingress));
    Ok(snapshot)
}

/// What a target group gets that asks for nothing else.
fn default_health_check() -> HealthCheck {
    HealthCheck {
        tls: false,
        version: ProtocolVersion::Http1,
        port: None,
        path: "/".into(),
        interval: Duration::from_secs(30),
        timeout: Duration::from_secs(5),
        healthy_threshold: 5,
        unhealthy_threshold: 2,
        matcher: StatusMatcher(Box::new([(200, 200)])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_has_every_rule() {
        let upstream = SocketAddr::from(([127, 0, 0, 1], 9000));
        let snapshot = snapshot(80, upstream, Extent { hosts: 3, rules: 2 }).unwrap();
        let network = &snapshot.ingresses.values().next().unwrap().network;
        assert_eq!((network.hosts.len(), snapshot.target_groups.len()), (3, 3));
        assert_eq!(network.hosts[host_name(2).as_str()].listeners[0].rules.len(), 2);
    }
}
