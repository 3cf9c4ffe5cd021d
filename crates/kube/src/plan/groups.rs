//! Target groups of Services: how they are talked to, how they are checked, who is in them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Cluster, DesiredTargetGroup, POD_GATE, PREFIX, names};
use crate::objects::{
    Endpoint, EndpointPort, EndpointSlice, HealthCheck, Name, Service, TargetGroupPolicySpec,
};
use crate::world::{Reference, World};

/// What a group must speak, whatever a policy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speech {
    Http,
    Grpc,
    Tcp,
}

/// Which ports of the endpoints are meant: all of them, or those of these names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ports {
    All,
    Named(Vec<String>),
}

/// What wants a target group, and of which Service.
pub(super) struct Wish<'w> {
    /// The kind and the name of the object that wants it, and its metadata.
    pub(super) source: &'static str,
    pub(super) owner: &'w Name,
    pub(super) metadata: &'w ObjectMeta,
    /// The name that stands in the group's name and tags; that of the export where a Service is exported.
    pub(super) named: &'w Name,
    pub(super) service_name: &'w Name,
    pub(super) service: &'w Service,
    pub(super) policy: Option<&'w TargetGroupPolicySpec>,
    pub(super) speech: Speech,
    /// What the group has as its port; every target brings its own.
    pub(super) port: i32,
    /// What tells groups of one owner and one Service apart.
    pub(super) part: String,
    pub(super) ports: Ports,
}

/// The name of the group, and what it should be.
pub(super) fn group(world: &World, cluster: &Cluster, wish: &Wish<'_>) -> (String, DesiredTargetGroup) {
    let Wish { source, owner, named, service_name, service, policy, speech, port, part, .. } = wish;
    let protocol = match (speech, policy.and_then(|policy| policy.protocol.as_deref())) {
        (Speech::Tcp, _) => "TCP",
        (_, Some(protocol)) => protocol,
        (_, None) => "HTTP",
    };
    let version = match (speech, protocol) {
        (_, "TCP") => None,
        (Speech::Grpc, _) => Some("GRPC"),
        _ => Some(policy.and_then(|policy| policy.protocol_version.as_deref()).unwrap_or("HTTP1")),
    };
    // A Service of two families is reached by its first.
    let is_ipv6 = service.spec.ip_families.first().is_some_and(|family| family == "IPv6");
    let family = if is_ipv6 { "IPv6" } else { "IPv4" };
    let Cluster { account, name: cluster_name, vpc, .. } = cluster;
    let identity: [&str; 12] = [
        account,
        cluster_name,
        vpc,
        source,
        &owner.namespace,
        &owner.name,
        &named.namespace,
        &named.name,
        part,
        protocol,
        version.unwrap_or_default(),
        family,
    ];
    let Members { targets, gated } = members(world, service_name, &wish.ports, family);
    let desired = DesiredTargetGroup {
        port: *port,
        protocol: protocol.to_owned(),
        version: version.map(str::to_owned),
        is_ipv6,
        health_check: health_check(policy.and_then(|policy| policy.health_check.as_ref()), version),
        tags: tags(cluster, wish, version.unwrap_or_default()),
        targets,
        gated,
    };
    (names::target_group(named, &identity), desired)
}

fn tags(cluster: &Cluster, wish: &Wish<'_>, version: &str) -> BTreeMap<String, String> {
    let mut tags = names::extra_tags(wish.metadata);
    let owner = cluster.owner();
    let mut ours = vec![
        ("ManagedBy", &*owner),
        ("ClusterName", &*cluster.name),
        ("ServiceName", &*wish.named.name),
        ("ServiceNamespace", &*wish.named.namespace),
        ("SourceTypeKey", wish.source),
        ("ProtocolVersion", version),
    ];
    if wish.source != super::EXPORT {
        ours.extend([("RouteName", &*wish.owner.name), ("RouteNamespace", &*wish.owner.namespace)]);
    }
    tags.extend(ours.into_iter().map(|(name, value)| (format!("{PREFIX}{name}"), value.to_owned())));
    tags
}

/// Who is in the group, and whose pods of them wait for their target's health.
#[derive(Default)]
struct Members {
    targets: BTreeSet<(IpAddr, u16)>,
    gated: BTreeMap<IpAddr, Name>,
}

/// Addresses that take traffic, or will when Lattice finds them healthy.
fn members(world: &World, service: &Name, ports: &Ports, family: &str) -> Members {
    let reference = Reference::Service(service.clone());
    let mut members = Members::default();
    for (_, slice) in world.slices.referring(&reference).filter(|(_, slice)| slice.address_type == family) {
        let ports = ports_of(slice, ports);
        for endpoint in &slice.endpoints {
            let gated = gated_pod(world, &service.namespace, endpoint);
            if !endpoint.is_ready() && gated.is_none() {
                continue;
            }
            for address in endpoint.addresses.iter().filter_map(|address| address.parse::<IpAddr>().ok()) {
                members.targets.extend(ports.iter().map(|port| (address, *port)));
                // One whose gate is open is on its way to be ready.
                if let Some((pod, false)) = &gated {
                    members.gated.insert(address, pod.clone());
                }
            }
        }
    }
    members
}

fn ports_of(slice: &EndpointSlice, ports: &Ports) -> Vec<u16> {
    let is_meant = |port: &&EndpointPort| match ports {
        Ports::All => true,
        Ports::Named(names) => names.iter().any(|name| name == port.name.as_deref().unwrap_or_default()),
    };
    slice.ports.iter().filter(is_meant).filter_map(|port| port.port).collect()
}

/// The pod of an endpoint that lacks nothing but its gate, and whether that is open.
fn gated_pod(world: &World, namespace: &str, endpoint: &Endpoint) -> Option<(Name, bool)> {
    let name = Name::new(namespace, endpoint.pod()?);
    let pod = world.pods.get(&name)?;
    let is_well =
        pod.has_gate(POD_GATE) && pod.is_true("ContainersReady") && pod.metadata.deletion_timestamp.is_none();
    is_well.then(|| (name, pod.is_true(POD_GATE)))
}

/// What the policy says, over Lattice's defaults: groups of HTTP/1 are checked, others where a policy asks for it.
fn health_check(policy: Option<&HealthCheck>, version: Option<&str>) -> HealthCheck {
    let said = policy.cloned().unwrap_or_default();
    let is_enabled = said.enabled.unwrap_or(version == Some("HTTP1"));
    if version.is_none() && !is_enabled {
        return HealthCheck { enabled: Some(false), ..HealthCheck::default() };
    }
    let text = |said: Option<String>, default: &str| said.or_else(|| Some(default.to_owned()));
    HealthCheck {
        enabled: Some(is_enabled),
        interval_seconds: said.interval_seconds.or(Some(30)),
        timeout_seconds: said.timeout_seconds.or(Some(5)),
        healthy_threshold_count: said.healthy_threshold_count.or(Some(5)),
        unhealthy_threshold_count: said.unhealthy_threshold_count.or(Some(2)),
        status_match: text(said.status_match, "200"),
        path: text(said.path, "/"),
        port: said.port,
        protocol: text(said.protocol, "HTTP"),
        protocol_version: text(said.protocol_version, "HTTP1"),
    }
}
