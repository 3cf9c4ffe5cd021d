//! Which listeners of which Gateways take a route, and what its parents are told.

use super::{CONTROLLER, Finding, ListenerProtocol, PREFIX};
use crate::objects::{Gateway, Listener, Name, ParentRef, RouteGroupKind};
use crate::world::{Route, RouteKind, World, annotation, gateway_of};

/// One parentRef that leads to a Gateway of ours.
pub(super) struct Attachment {
    pub(super) parent: ParentRef,
    pub(super) gateway: Name,
    pub(super) is_standalone: bool,
    pub(super) accepted: Finding,
    /// Those that take the route; none where it is not accepted.
    pub(super) listeners: Vec<Listener>,
}

pub(super) fn attach(world: &World, route: &Route) -> Vec<Attachment> {
    let namespace = route.name().namespace;
    route
        .parent_refs()
        .iter()
        .filter_map(|parent| {
            let name = gateway_of(parent, &namespace)?;
            let gateway = world.gateways.get(&name).filter(|gateway| is_ours(world, gateway))?;
            let (accepted, listeners) = match listeners(world, route, parent, gateway) {
                Ok(listeners) => (Finding::good("Accepted", "Accepted"), listeners),
                Err(finding) => (finding, Vec::new()),
            };
            let standalone =
                route.annotation("standalone").or_else(|| annotation(&gateway.metadata, "standalone"));
            Some(Attachment {
                parent: parent.clone(),
                gateway: name,
                is_standalone: standalone == Some("true"),
                accepted,
                listeners,
            })
        })
        .collect()
}

/// Whether its class names this controller.
pub(crate) fn is_ours(world: &World, gateway: &Gateway) -> bool {
    let class = world.classes.get(&Name::new("", &gateway.spec.gateway_class_name));
    class.is_some_and(|class| class.spec.controller_name == CONTROLLER)
}

/// Whether a Gateway it names, or that Gateway's class, is not there: it may have been ours, and come again.
pub(super) fn is_orphan(world: &World, route: &Route) -> bool {
    let namespace = route.name().namespace;
    let mut gateways = route.parent_refs().iter().filter_map(|parent| gateway_of(parent, &namespace));
    gateways.any(|name| match world.gateways.get(&name) {
        None => true,
        Some(gateway) => world.classes.get(&Name::new("", &gateway.spec.gateway_class_name)).is_none(),
    })
}

fn listeners(
    world: &World,
    route: &Route,
    parent: &ParentRef,
    gateway: &Gateway,
) -> Result<Vec<Listener>, Finding> {
    let refused = |reason, message: String| Err(Finding::bad("Accepted", reason, message));
    let mut listeners: Vec<&Listener> = gateway.spec.listeners.iter().collect();
    listeners.retain(|listener| {
        parent.section_name.as_ref().is_none_or(|name| *name == listener.name)
            && parent.port.is_none_or(|port| port == listener.port)
    });
    if listeners.is_empty() {
        return refused("NoMatchingParent", "the Gateway has no listener of that name and port".to_owned());
    }
    listeners.retain(|listener| is_allowed(world, listener, gateway, route));
    if listeners.is_empty() {
        return refused(
            "NotAllowedByListeners",
            format!(
                "no listener takes a {} from namespace {}",
                route.kind().as_str(),
                route.name().namespace
            ),
        );
    }
    listeners.retain(|listener| admits_hostname(listener, route.hostnames()));
    if listeners.is_empty() {
        return refused(
            "NoMatchingListenerHostname",
            "no hostname of the route is one of a listener".to_owned(),
        );
    }
    Ok(listeners.into_iter().cloned().collect())
}

pub(super) fn is_allowed(world: &World, listener: &Listener, gateway: &Gateway, route: &Route) -> bool {
    let kind = route.kind().as_str();
    if !supported_kinds(listener).iter().any(|supported| supported.kind == kind) {
        return false;
    }
    let namespace = route.name().namespace;
    let namespaces = &listener.allowed_routes.namespaces;
    match namespaces.from.as_deref().unwrap_or("Same") {
        "All" => true,
        "Same" => gateway.metadata.namespace.as_deref() == Some(&namespace),
        "Selector" => {
            let labels = world.namespaces.get(&Name::new("", &namespace));
            let labels = labels.map(|object| crate::objects::labels(&object.metadata));
            namespaces
                .selector
                .as_ref()
                .zip(labels)
                .is_some_and(|(selector, labels)| selector.selects(labels))
        }
        _ => false,
    }
}

/// The kinds that a listener takes: those its protocol can carry, of those it asks for.
pub(super) fn supported_kinds(listener: &Listener) -> Vec<RouteGroupKind> {
    let possible = carried(listener);
    let wanted = &listener.allowed_routes.kinds;
    possible
        .iter()
        .map(|kind| RouteGroupKind {
            group: crate::objects::GATEWAY_GROUP.to_owned(),
            kind: kind.as_str().to_owned(),
        })
        .filter(|kind| wanted.is_empty() || wanted.contains(kind))
        .collect()
}

fn carried(listener: &Listener) -> &'static [RouteKind] {
    match listener.protocol.as_str() {
        "HTTP" => &[RouteKind::Http],
        "HTTPS" => &[RouteKind::Http, RouteKind::Grpc],
        "TLS" => &[RouteKind::Tls],
        _ => &[],
    }
}

/// Whether a listener asks for a kind that it cannot carry.
pub(super) fn has_invalid_kinds(listener: &Listener) -> bool {
    let possible = carried(listener);
    listener.allowed_routes.kinds.iter().any(|wanted| {
        wanted.group != crate::objects::GATEWAY_GROUP
            || !possible.iter().any(|kind| kind.as_str() == wanted.kind)
    })
}

pub(super) fn protocol(listener: &Listener) -> Option<ListenerProtocol> {
    let mode = listener.tls.as_ref().and_then(|tls| tls.mode.as_deref());
    match listener.protocol.as_str() {
        "HTTP" => Some(ListenerProtocol::Http),
        "HTTPS" => Some(ListenerProtocol::Https),
        "TLS" if mode == Some("Passthrough") => Some(ListenerProtocol::TlsPassthrough),
        _ => None,
    }
}

/// The ACM certificate that a listener names.
pub(super) fn certificate(listener: &Listener) -> Option<String> {
    let tls = listener.tls.as_ref().filter(|tls| tls.mode.as_deref() != Some("Passthrough"))?;
    tls.options.get(&format!("{PREFIX}certificate-arn")).cloned()
}

pub(super) fn admits_hostname(listener: &Listener, hostnames: &[String]) -> bool {
    let Some(wanted) = listener.hostname.as_deref().filter(|hostname| !hostname.is_empty()) else {
        return true;
    };
    hostnames.is_empty() || hostnames.iter().any(|hostname| intersect(wanted, hostname))
}

/// Whether some name is one of both: `*.` stands for one or more labels.
fn intersect(one: &str, other: &str) -> bool {
    match (one.strip_prefix('*'), other.strip_prefix('*')) {
        (None, None) => one == other,
        (Some(suffix), None) => is_below(other, suffix),
        (None, Some(suffix)) => is_below(one, suffix),
        (Some(one), Some(other)) => one.ends_with(other) || other.ends_with(one),
    }
}

fn is_below(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix).is_some_and(|label| !label.is_empty())
}
