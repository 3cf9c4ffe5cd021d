//! Trellis's data plane with the four fronts, configured as the control plane would.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use trellis_model::health::{ProtocolVersion, TargetHealth, TargetStatus};
use trellis_model::snapshot::{
    Action, Auth, Certificate, Forward, Ingress, Listener, ListenerProtocol, Network as ServiceNetwork,
    Service, Snapshot, Target, TargetGroup, TargetProtocol,
};
use trellis_model::{ListenerId, ServiceId, ServiceNetworkId, TargetGroupId, VpcId};

use super::caller::Guarded;
use super::identity::{HOST, PASSED};
use crate::data_plane;

/// A front: a listener and the group behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Front {
    Tls,
    Grpc,
    Passed,
    /// In a service network of its own, which like its service has a policy.
    Known,
}

impl Front {
    pub(super) fn flag(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Grpc => "grpc",
            Self::Passed => "passed",
            Self::Known => "known",
        }
    }
}

/// Serves until SIGTERM: each front on its port of the loopback interface, forwarding to its upstream.
pub(crate) fn serve(
    fronts: &[(Front, u16, SocketAddr)],
    certificate: &Path,
    key: &Path,
    access_log: PathBuf,
) -> anyhow::Result<()> {
    let certificate = read(certificate, key)?;
    let snapshot = snapshot(fronts, &Arc::new(certificate))?;
    data_plane::run(Ipv4Addr::LOCALHOST.into(), snapshot, access_log)
}

fn read(certificate: &Path, key: &Path) -> anyhow::Result<Certificate> {
    let leaf = CertificateDer::from_pem_file(certificate).context("reading the certificate")?;
    let key = PrivatePkcs8KeyDer::from_pem_file(key).context("reading the key")?;
    Ok(Certificate { chain: [leaf.as_ref().into()].into(), key: key.secret_pkcs8_der().to_vec().into() })
}

fn snapshot(fronts: &[(Front, u16, SocketAddr)], certificate: &Arc<Certificate>) -> anyhow::Result<Snapshot> {
    let account: trellis_model::AccountId = "111122223333".parse().context("an account")?;
    let arn =
        |what: String| -> Arc<str> { format!("arn:aws:vpc-lattice:us-east-1:111122223333:{what}").into() };
    let vpc = VpcId::from_random(1);
    let Guarded { network, service, identities } = Guarded::make(&account)?;
    let mut snapshot = Snapshot { revision: 1, identities: Arc::new(identities), ..Snapshot::default() };
    let mut listeners: [Vec<Arc<Listener>>; 3] = Default::default();
    let new_network = |number, auth| ServiceNetwork {
        id: ServiceNetworkId::from_random(number),
        arn: arn(format!("servicenetwork/{}", ServiceNetworkId::from_random(number))),
        auth,
        hosts: Default::default(),
        ports: Default::default(),
    };
    let mut open = new_network(1, Auth::None);
    let mut guarded = new_network(2, Auth::Policy(network));
    for (number, (front, port, upstream)) in (1..).zip(fronts) {
        let (protocol, version, listens) = match front {
            Front::Tls | Front::Known => {
                (TargetProtocol::Http, ProtocolVersion::Http1, ListenerProtocol::Https)
            }
            Front::Grpc => (TargetProtocol::Http, ProtocolVersion::Grpc, ListenerProtocol::Https),
            Front::Passed => (TargetProtocol::Tcp, ProtocolVersion::Http1, ListenerProtocol::TlsPassthrough),
        };
        let id = TargetGroupId::from_random(number);
        let health = Arc::new(TargetHealth::new(TargetStatus::Initial));
        let group = Arc::new(TargetGroup {
            arn: arn(format!("targetgroup/{id}")),
            id: id.clone(),
            vpc: vpc.clone(),
            protocol,
            version,
            health_check: None,
            targets: [Target { address: *upstream, health }].into(),
        });
        snapshot.target_groups.insert(id, group.clone());
        let (network, place) = match front {
            Front::Tls | Front::Grpc => (&mut open, 0),
            Front::Passed => (&mut open, 1),
            Front::Known => (&mut guarded, 2),
        };
        network.ports.insert(*port, listens);
        listeners[place].push(Arc::new(Listener {
            id: ListenerId::from_random(number),
            port: *port,
            protocol: listens,
            rules: Box::new([]),
            default_action: Action::Forward(Forward::new([(100, group)])),
        }));
    }
    let services = [(HOST, Auth::None), (PASSED, Auth::None), (HOST, Auth::Policy(service))];
    for (number, ((name, auth), listeners)) in (1..).zip(services.into_iter().zip(listeners)) {
        let id = ServiceId::from_random(number);
        let service = Service {
            arn: arn(format!("service/{id}")),
            id,
            owner: account.clone(),
            // `name` is a custom domain: a generated name is not passed through.
            dns_name: format!("generated.{name}").into(),
            auth,
            tags: Box::default(),
            idle_timeout: Duration::from_secs(60),
            listeners: listeners.into(),
            certificates: [(name.into(), certificate.clone())].into(),
        };
        let network = if service.auth.is_on() { &mut guarded } else { &mut open };
        network.hosts.insert(name.into(), Arc::new(service));
    }
    for (vpc, network) in [(vpc, open), (VpcId::from_random(2), guarded)] {
        let ingress = Ingress {
            vpc: vpc.clone(),
            vpc_arn: format!("arn:aws:ec2:us-east-1:111122223333:vpc/{vpc}").into(),
            vpc_owner: account.clone(),
            has_ipv6: false,
            network: Arc::new(network),
            resources: Default::default(),
        };
        snapshot.ingresses.insert(vpc, Arc::new(ingress));
    }
    Ok(snapshot)
}
