//! Objects in, what Lattice should hold out. Pure: no client, no clock.

mod attach;
mod backends;
mod gateway;
mod groups;
mod matching;
mod multicluster;
mod names;
mod policy;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::objects::{HealthCheck, Name, ParentRef};
use crate::world::{Route, RouteKind, World};

pub(crate) use attach::is_ours;
pub(crate) use gateway::gateway;
pub(crate) use multicluster::{Import, export, service_of_export};
use names::extra_tags;
pub(crate) use names::target_group_prefix;
pub(crate) use policy::{Policy, reference, standing};

/// The controller's name, which a GatewayClass carries to be ours.
pub(crate) const CONTROLLER: &str = "application-networking.k8s.aws/gateway-api-controller";
/// What the tag SourceTypeKey says of an export's target groups.
pub(crate) const EXPORT: &str = "ServiceExport";
/// Before the names of annotations and tags.
pub(crate) const PREFIX: &str = "application-networking.k8s.aws/";

/// The condition of a pod that says what Lattice finds of its target.
pub(crate) const POD_GATE: &str = "application-networking.k8s.aws/pod-readiness-gate";

/// Whose objects these are: what tells the resources of one cluster from another's.
#[derive(Debug, Clone)]
pub struct Cluster {
    pub account: String,
    pub name: String,
    pub vpc: String,
    /// The service network that stands for every Gateway, whatever its name.
    pub network_for_all: Option<String>,
}

impl Cluster {
    /// The value of the tag ManagedBy.
    pub(crate) fn owner(&self) -> String {
        format!("{}/{}/{}", self.account, self.name, self.vpc)
    }

    /// The tags of what is made for this cluster and for no object of it.
    pub(crate) fn tags(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(format!("{PREFIX}ManagedBy"), self.owner())])
    }

    /// The tags of what is made for an object: its own, and whose it is.
    pub(crate) fn tags_of(&self, metadata: &ObjectMeta) -> BTreeMap<String, String> {
        let mut tags = extra_tags(metadata);
        tags.extend(self.tags());
        tags
    }

    pub(crate) fn network_of<'n>(&'n self, gateway: &'n str) -> &'n str {
        self.network_for_all.as_deref().unwrap_or(gateway)
    }
}

/// The owner that a resource's tags name.
pub(crate) fn owner_of(tags: &BTreeMap<String, String>) -> Option<&String> {
    tags.get(&format!("{PREFIX}ManagedBy"))
}

/// A condition without what only its writer knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) kind: &'static str,
    pub(crate) holds: bool,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Finding {
    pub(crate) fn good(kind: &'static str, reason: &'static str) -> Self {
        Self { kind, holds: true, reason, message: String::new() }
    }

    pub(crate) fn bad(kind: &'static str, reason: &'static str, message: String) -> Self {
        Self { kind, holds: false, reason, message }
    }
}

/// What is to become of a route.
#[derive(Debug, Clone)]
pub(crate) struct RoutePlan {
    /// For each parentRef that is ours.
    pub(crate) parents: Vec<(ParentRef, Vec<Finding>)>,
    pub(crate) intent: Intent,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Intent {
    /// This is what Lattice should hold.
    Deploy(Box<DesiredService>),
    /// No listener takes it, or its Gateway is gone: what there is serves nobody, and stays for its name's sake.
    Detach,
    /// It cannot be expressed now; what it was before goes on serving.
    Keep,
    /// It was never ours, or is no more: nothing of it should be left.
    Remove,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DesiredService {
    pub(crate) name: String,
    pub(crate) custom_domain: Option<String>,
    pub(crate) certificate: Option<String>,
    /// Names or ids of service networks; none in standalone mode.
    pub(crate) networks: BTreeSet<String>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) listeners: BTreeMap<u16, DesiredListener>,
    /// By name.
    pub(crate) target_groups: BTreeMap<String, DesiredTargetGroup>,
    /// What actions name that is another's target group.
    pub(crate) imports: BTreeMap<String, Import>,
    /// The tags of what has no tags of its own: listeners, rules, associations.
    pub(crate) plain_tags: BTreeMap<String, String>,
    /// The ManagedBy of another controller whose service may be taken over.
    pub(crate) take_over_from: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DesiredListener {
    pub(crate) name: String,
    pub(crate) protocol: ListenerProtocol,
    pub(crate) default: Action,
    /// In the order of their priorities.
    pub(crate) rules: Vec<DesiredRule>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ListenerProtocol {
    Http,
    Https,
    TlsPassthrough,
}

impl ListenerProtocol {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
            Self::TlsPassthrough => "TLS_PASSTHROUGH",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DesiredRule {
    pub(crate) priority: i32,
    pub(crate) matching: RuleMatch,
    pub(crate) action: Action,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub(crate) struct RuleMatch {
    pub(crate) method: Option<String>,
    pub(crate) path: Option<PathMatch>,
    /// Name in small letters, and value; sorted.
    pub(crate) headers: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum PathMatch {
    Exact(String),
    Prefix(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Names of target groups with weights.
    Forward(Vec<(String, i32)>),
    Respond(i32),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DesiredTargetGroup {
    pub(crate) port: i32,
    /// `HTTP`, `HTTPS` or `TCP`.
    pub(crate) protocol: String,
    /// None with TCP.
    pub(crate) version: Option<String>,
    pub(crate) is_ipv6: bool,
    /// Every member said, so that what a policy said before it was taken away is unsaid.
    pub(crate) health_check: HealthCheck,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) targets: BTreeSet<(IpAddr, u16)>,
    /// Pods that are ready but for what Lattice finds of their targets.
    pub(crate) gated: BTreeMap<IpAddr, Name>,
}

/// A member that Lattice has no word for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub(crate) struct Unsupported {
    pub(crate) field: String,
    pub(crate) why: String,
}

impl Unsupported {
    pub(crate) fn new(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self { field: field.into(), why: why.into() }
    }
}

/// What is to become of a route that exists and is not being deleted.
pub(crate) fn route(world: &World, cluster: &Cluster, route: &Route) -> RoutePlan {
    let attachments = attach::attach(world, route);
    if attachments.is_empty() {
        let intent = if attach::is_orphan(world, route) { Intent::Detach } else { Intent::Remove };
        return RoutePlan { parents: Vec::new(), intent };
    }
    let is_accepted = attachments.iter().any(|attachment| !attachment.listeners.is_empty());
    let mut backends = backends::Backends::new(world, cluster, route);
    let desired = if is_accepted { desired(cluster, route, &attachments, &mut backends) } else { Ok(None) };
    let resolved = backends.finding();
    let parents = attachments
        .iter()
        .map(|attachment| {
            let accepted = match &desired {
                Err(unsupported) if !attachment.listeners.is_empty() => {
                    Finding::bad("Accepted", "UnsupportedValue", unsupported.to_string())
                }
                _ => attachment.accepted.clone(),
            };
            (attachment.parent.clone(), vec![accepted, resolved.clone()])
        })
        .collect();
    let intent = match desired {
        Ok(Some(service)) => Intent::Deploy(Box::new(service)),
        Ok(None) => Intent::Detach,
        Err(_) => Intent::Keep,
    };
    RoutePlan { parents, intent }
}

fn desired(
    cluster: &Cluster,
    route: &Route,
    attachments: &[attach::Attachment],
    backends: &mut backends::Backends<'_>,
) -> Result<Option<DesiredService>, Unsupported> {
    let name = names::service(route)?;
    let rules = matching::rules(route, backends)?;
    let mut listeners = BTreeMap::new();
    let mut certificate = None;
    let mut networks = BTreeSet::new();
    for attachment in attachments {
        for listener in &attachment.listeners {
            let protocol = attach::protocol(listener).ok_or_else(|| {
                Unsupported::new(format!("listener {}", listener.name), "has a protocol that Lattice lacks")
            })?;
            let (default, rules) = match (&rules, protocol) {
                (matching::Rules::Connections(action), _) => (action.clone(), Vec::new()),
                (matching::Rules::Requests(rules), _) => (Action::Respond(404), rules.clone()),
            };
            let name = names::listener(route, listener.port, protocol);
            // Two listeners of a Gateway on one port differ in what they let in; the service has one.
            listeners.entry(listener.port).or_insert(DesiredListener { name, protocol, default, rules });
            certificate = certificate.or_else(|| attach::certificate(listener));
        }
        if !attachment.listeners.is_empty() && !attachment.is_standalone {
            networks.insert(cluster.network_of(&attachment.gateway.name).to_owned());
        }
    }
    let plain_tags = cluster.tags_of(route.metadata());
    let mut tags = plain_tags.clone();
    tags.extend(identity_tags(cluster, route));
    Ok(Some(DesiredService {
        name,
        custom_domain: route.hostnames().first().cloned(),
        certificate,
        networks,
        tags,
        listeners,
        target_groups: backends.take_target_groups(),
        imports: backends.take_imports(),
        plain_tags,
        take_over_from: route.annotation("allow-takeover-from").map(str::to_owned),
    }))
}

/// Whether the route hangs on a Gateway of ours.
pub(crate) fn has_parent(world: &World, route: &Route) -> bool {
    !attach::attach(world, route).is_empty()
}

/// The name of a route's service, where it can have one, and the tags that say whose it is.
pub(crate) fn identity(cluster: &Cluster, route: &Route) -> (Option<String>, BTreeMap<String, String>) {
    (names::service(route).ok(), identity_tags(cluster, route))
}

/// The names of the target groups of a route, also of one that is being deleted.
pub(crate) fn target_groups(world: &World, cluster: &Cluster, route: &Route) -> Vec<String> {
    let mut backends = backends::Backends::new(world, cluster, route);
    match matching::rules(route, &mut backends) {
        Ok(_) => backends.take_target_groups().into_keys().collect(),
        Err(_) => Vec::new(),
    }
}

fn identity_tags(cluster: &Cluster, route: &Route) -> BTreeMap<String, String> {
    let id = route.name();
    let kind = match route.kind() {
        RouteKind::Http => "http",
        RouteKind::Grpc => "grpc",
        RouteKind::Tls => "tls",
    };
    let tags = [
        ("ManagedBy", &*cluster.owner()),
        ("RouteName", &*id.name),
        ("RouteNamespace", &*id.namespace),
        ("RouteType", kind),
    ];
    tags.into_iter().map(|(name, value)| (format!("{PREFIX}{name}"), value.to_owned())).collect()
}

#[cfg(test)]
mod tests;
