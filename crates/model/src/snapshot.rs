//! The Snapshot: everything a proxy needs to act, immutable, swapped whole between two requests.
//!
//! It is a tree of `Arc`s. A change rebuilds only the branch it touches: one [`Service`], or one
//! [`TargetGroup`], and the tables that name it. The one thing in it that moves is the health of a
//! target, a cell shared by every Snapshot that holds the target.

mod identity;
pub mod names;
mod resource;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use trellis_policy::Policy;
use zeroize::Zeroizing;

use crate::health::{HealthCheck, ProtocolVersion, TargetHealth, TargetStatus};
use crate::id::{AccountId, ListenerId, RuleId, ServiceId, ServiceNetworkId, TargetGroupId, VpcId};
use crate::matching::{HttpMatch, RequestHead};

pub use identity::{AccessKey, Identities, Organizations, Principal, PrincipalKind, TokenKey};
pub use resource::{
    Destination, RESOURCE_BLOCK, RESOURCE_ENTRANCE, Resource, Resources, may_be_dialled, resource_address,
};

/// The address services have in every associated VPC. AWS shares a few addresses of
/// 169.254.171.0/24 between all services; the listener is chosen by port and Host, never by address.
pub const SERVICE_VIP: Ipv4Addr = Ipv4Addr::new(169, 254, 171, 1);

/// Source of requests and probes that targets see, in the same managed prefix list.
pub const SOURCE_IP: Ipv4Addr = Ipv4Addr::new(169, 254, 171, 2);

/// [`SERVICE_VIP`] in VPCs that have IPv6.
pub const SERVICE_VIP_IPV6: Ipv6Addr = embedded(SERVICE_VIP);

/// [`SOURCE_IP`] as targets of IPv6 see it.
pub const SOURCE_IPV6: Ipv6Addr = embedded(SOURCE_IP);

/// "fd00:ec2:80::/64: IPv6 service VIPs, low 32 bits embed the IPv4 VIP."
const fn embedded(address: Ipv4Addr) -> Ipv6Addr {
    Ipv6Addr::from_bits(0xfd00_0ec2_0080_0000_u128 << 64 | address.to_bits() as u128)
}

/// Which of the two kinds of address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AddressFamily {
    Ipv4,
    Ipv6,
}

impl AddressFamily {
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::Ipv4 } else { Self::Ipv6 }
    }

    /// Where services are found.
    pub fn service_vip(self) -> IpAddr {
        match self {
            Self::Ipv4 => SERVICE_VIP.into(),
            Self::Ipv6 => SERVICE_VIP_IPV6.into(),
        }
    }

    /// Where requests and probes come from.
    pub fn source_ip(self) -> IpAddr {
        match self {
            Self::Ipv4 => SOURCE_IP.into(),
            Self::Ipv6 => SOURCE_IPV6.into(),
        }
    }
}

/// All that one proxy acts on.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The store revision it was built from; only grows.
    pub revision: u64,
    /// By client VPC: what its hosts can reach. A VPC without an association is absent.
    pub ingresses: FxHashMap<VpcId, Arc<Ingress>>,
    /// Every target group that some listener uses, for the health checker.
    pub target_groups: FxHashMap<TargetGroupId, Arc<TargetGroup>>,
    /// Who may call. The same `Arc` until one of them changes.
    pub identities: Arc<Identities>,
    /// What hosted zones answer. The same `Arc` until one of them changes.
    pub names: Arc<names::Names>,
}

/// A VPC's way into its service network: one active VPC association.
#[derive(Debug)]
pub struct Ingress {
    pub vpc: VpcId,
    pub vpc_arn: Arc<str>,
    pub vpc_owner: AccountId,
    /// Whether its hosts may come by IPv6, to [`SERVICE_VIP_IPV6`].
    pub has_ipv6: bool,
    pub network: Arc<Network>,
    /// The resources its hosts can reach, each at an address of its own.
    pub resources: Resources,
}

/// One service network: its services by name, its listeners by port.
#[derive(Debug)]
pub struct Network {
    pub id: ServiceNetworkId,
    pub arn: Arc<str>,
    pub auth: Auth,
    /// Lower-case host name without port -> service: generated name and custom domain.
    pub hosts: FxHashMap<Box<str>, Arc<Service>>,
    /// Ports some service of this network listens on, with the protocol of one of them. Several services may share a
    /// port and speak different protocols on it: HTTP is told from TLS by its first bytes, and TLS services by SNI.
    pub ports: FxHashMap<u16, ListenerProtocol>,
}

/// Which policy guards a service or a service network.
#[derive(Debug, Clone)]
pub enum Auth {
    /// `authType` NONE: this layer lets everybody pass.
    None,
    /// `authType` AWS_IAM without a policy: "an absent or empty policy denies every request".
    DenyAll,
    /// `authType` AWS_IAM with a policy. The same `Arc` until it is put anew.
    Policy(Arc<Policy>),
}

impl Auth {
    /// `authType` AWS_IAM: this layer must allow.
    pub fn is_on(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// What this layer is decided by, when it is on; nothing of it allows nothing.
    pub fn policies(&self) -> &[Arc<Policy>] {
        match self {
            Self::None | Self::DenyAll => &[],
            Self::Policy(policy) => std::slice::from_ref(policy),
        }
    }
}

/// Policies are the same when they are one.
impl PartialEq for Auth {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, Self::None) | (Self::DenyAll, Self::DenyAll) => true,
            (Self::Policy(one), Self::Policy(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListenerProtocol {
    Http,
    Https,
    TlsPassthrough,
}

/// A service as a proxy sees it.
#[derive(Debug)]
pub struct Service {
    pub id: ServiceId,
    pub arn: Arc<str>,
    pub owner: AccountId,
    /// The generated name, lower case: `{name}-{id suffix}.{partition id}.vpc-lattice-svcs.{region}.on.aws`.
    /// The only name the VPC resolver answers; a custom domain is the user's own DNS record.
    pub dns_name: Box<str>,
    pub auth: Auth,
    /// What policies know as `aws:ResourceTag/...`.
    pub tags: Box<[(String, String)]>,
    /// 60–600 s, default 60: both sides of every connection of this service.
    pub idle_timeout: Duration,
    /// Sorted by port; one listener per port.
    pub listeners: Box<[Arc<Listener>]>,
    /// What HTTPS listeners show, by lower-case host name: the generated name, with a certificate of the private CA;
    /// and the custom domain, if a certificate was given for it. A name that is not here fails the handshake.
    pub certificates: Box<[(Box<str>, Arc<Certificate>)]>,
}

/// A certificate chain and the key of its leaf. The same `Arc` from Snapshot to Snapshot until it is replaced.
pub struct Certificate {
    /// X.509 DER, the leaf first, without the root.
    pub chain: Box<[Box<[u8]>]>,
    /// PKCS #8 DER.
    pub key: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("chain", &self.chain.len()).finish_non_exhaustive()
    }
}

impl Service {
    pub fn listener(&self, port: u16) -> Option<&Arc<Listener>> {
        // At most a handful: the default quota is two listeners a service.
        self.listeners.iter().find(|listener| listener.port == port)
    }
}

#[derive(Debug)]
pub struct Listener {
    pub id: ListenerId,
    pub port: u16,
    pub protocol: ListenerProtocol,
    /// Ascending priority; the first full match wins.
    pub rules: Box<[Rule]>,
    /// What is done when no rule matches.
    pub default_action: Action,
}

impl Listener {
    /// "Ascending priority, first full match wins, default action last."
    pub fn route(&self, head: &impl RequestHead) -> &Action {
        self.rules
            .iter()
            .find(|rule| rule.matches.matches(head))
            .map_or(&self.default_action, |rule| &rule.action)
    }
}

#[derive(Debug)]
pub struct Rule {
    pub id: RuleId,
    pub priority: u16,
    pub matches: HttpMatch,
    pub action: Action,
}

#[derive(Debug)]
pub enum Action {
    Forward(Forward),
    /// 404 or 500, answered here.
    FixedResponse(u16),
}

/// A weighted choice between target groups.
#[derive(Debug)]
pub struct Forward {
    /// In the order given; a weight is 0–999.
    groups: Box<[(u32, Arc<TargetGroup>)]>,
    total: u32,
}

impl Forward {
    pub fn new(groups: impl IntoIterator<Item = (u16, Arc<TargetGroup>)>) -> Self {
        let groups: Box<[_]> = groups.into_iter().map(|(weight, group)| (u32::from(weight), group)).collect();
        let total = groups.iter().map(|(weight, _)| weight).sum();
        Self { groups, total }
    }

    pub fn groups(&self) -> impl Iterator<Item = (u32, &Arc<TargetGroup>)> {
        self.groups.iter().map(|(weight, group)| (*weight, group))
    }

    /// The group for a uniformly random `draw`; `None` when every weight is zero.
    pub fn choose(&self, draw: u32) -> Option<&Arc<TargetGroup>> {
        if let [(weight, group)] = &*self.groups {
            return (*weight > 0).then_some(group);
        }
        // Maps 0..2^32 onto 0..total without a division.
        let mut point = ((u64::from(draw) * u64::from(self.total)) >> 32) as u32;
        for (weight, group) in &self.groups {
            if point < *weight {
                return Some(group);
            }
            point -= weight;
        }
        None
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TargetProtocol {
    Http,
    Https,
    Tcp,
}

/// A target group in use.
#[derive(Debug)]
pub struct TargetGroup {
    pub id: TargetGroupId,
    pub arn: Arc<str>,
    /// The VPC its targets are in; connections to them are opened from inside it.
    pub vpc: VpcId,
    pub protocol: TargetProtocol,
    pub version: ProtocolVersion,
    /// `None`: health checks are off and every target counts as usable.
    pub health_check: Option<HealthCheck>,
    /// Registered targets, draining ones not among them.
    pub targets: Box<[Target]>,
}

#[derive(Debug, Clone)]
pub struct Target {
    pub address: SocketAddr,
    pub health: Arc<TargetHealth>,
}

impl TargetGroup {
    /// The target for the `turn`-th request: round robin over healthy targets (and those health
    /// checks do not apply to). "If every target is unhealthy, all targets are used."
    pub fn pick(&self, turn: usize) -> Option<&Target> {
        self.targets.get(self.pick_index(turn)?)
    }

    /// Where in `targets` the targets are that take turns: the usable ones, or all if none is. What
    /// [`TargetGroup::pick`] chooses from, for who would rather not look through a large group each time.
    pub fn usable_indices(&self) -> Vec<usize> {
        let usable = |index: &usize| {
            matches!(self.targets[*index].health.status(), TargetStatus::Healthy | TargetStatus::Unavailable)
        };
        let indices: Vec<usize> = (0..self.targets.len()).filter(usable).collect();
        if indices.is_empty() { (0..self.targets.len()).collect() } else { indices }
    }

    /// Where in `targets` that target is.
    pub fn pick_index(&self, turn: usize) -> Option<usize> {
        let usable = |target: &Target| {
            matches!(target.health.status(), TargetStatus::Healthy | TargetStatus::Unavailable)
        };
        let healthy = self.targets.iter().filter(|target| usable(target)).count();
        match healthy {
            0 if self.targets.is_empty() => None,
            0 => Some(turn % self.targets.len()),
            all if all == self.targets.len() => Some(turn % all),
            some => {
                let mut healthy = self.targets.iter().enumerate().filter(|(_, target)| usable(target));
                // Between the two looks a status may have moved; the first target is as good then.
                Some(healthy.nth(turn % some).map_or(0, |(index, _)| index))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(statuses: &[TargetStatus]) -> TargetGroup {
        TargetGroup {
            id: TargetGroupId::from_random(1),
            arn: "arn:aws:vpc-lattice:us-east-1:111122223333:targetgroup/tg-00000000000000001".into(),
            vpc: VpcId::from_random(1),
            protocol: TargetProtocol::Http,
            version: ProtocolVersion::Http1,
            health_check: None,
            targets: statuses
                .iter()
                .zip(1..)
                .map(|(status, n)| Target {
                    address: SocketAddr::from(([10, 0, 0, n], 80)),
                    health: Arc::new(TargetHealth::new(*status)),
                })
                .collect(),
        }
    }

    fn picked(group: &TargetGroup) -> Vec<u8> {
        (0..4)
            .filter_map(|turn| group.pick(turn))
            .map(|target| match target.address {
                SocketAddr::V4(v4) => v4.ip().octets()[3],
                SocketAddr::V6(_) => 0,
            })
            .collect()
    }

    #[test]
    fn ipv6_addresses_of_services_embed_those_of_ipv4() {
        assert_eq!(SERVICE_VIP_IPV6.to_string(), "fd00:ec2:80::a9fe:ab01");
        assert_eq!(SOURCE_IPV6.to_string(), "fd00:ec2:80::a9fe:ab02");
        assert_eq!(embedded(Ipv4Addr::new(169, 254, 171, 33)).to_string(), "fd00:ec2:80::a9fe:ab21");
    }

    #[test]
    fn requests_go_round_the_healthy_targets_and_to_all_when_none_is_healthy() {
        use TargetStatus::{Healthy, Initial, Unavailable, Unhealthy};
        for (statuses, expected) in [
            (&[Healthy, Healthy, Unavailable][..], vec![1, 2, 3, 1]),
            (&[Healthy, Unhealthy, Healthy], vec![1, 3, 1, 3]),
            (&[Initial, Healthy], vec![2, 2, 2, 2]),
            (&[Unhealthy, Unhealthy], vec![1, 2, 1, 2]),
            (&[], vec![]),
        ] {
            let group = group(statuses);
            assert_eq!(picked(&group), expected, "{statuses:?}");
            let usable = group.usable_indices();
            let turns = (0..4).filter_map(|turn| usable.get(turn % usable.len().max(1)));
            assert_eq!(turns.map(|index| *index as u8 + 1).collect::<Vec<_>>(), expected, "{statuses:?}");
        }
    }

    #[test]
    fn weights_split_the_draw_in_proportion_and_zero_gets_nothing() {
        let [a, b, c] = [group(&[]), group(&[]), group(&[])].map(Arc::new);
        let forward = Forward::new([(90, a.clone()), (0, b.clone()), (10, c.clone())]);
        let mut counts = [0u32; 3];
        for step in 0..1000u32 {
            let chosen = forward.choose(step * (u32::MAX / 1000)).unwrap();
            let index = [&a, &b, &c].iter().position(|group| Arc::ptr_eq(group, chosen)).unwrap();
            counts[index] += 1;
        }
        assert!(counts[0].abs_diff(900) <= 1 && counts[1] == 0 && counts[2].abs_diff(100) <= 1, "{counts:?}");
        assert!(Forward::new([(0, a.clone()), (0, b)]).choose(7).is_none());
        assert!(Forward::new([(0, a)]).choose(7).is_none());
    }
}
