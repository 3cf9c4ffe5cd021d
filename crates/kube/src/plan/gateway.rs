//! What a Gateway and its listeners are told.

use super::{Cluster, Finding, attach};
use crate::objects::{Gateway, Listener, Name, RouteGroupKind};
use crate::world::{Reference, World, annotation, gateway_of};

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GatewayPlan {
    /// Without Programmed, which Lattice decides.
    pub(crate) accepted: Finding,
    pub(crate) listeners: Vec<ListenerPlan>,
    /// The name or the id of the service network.
    pub(crate) network: String,
    /// The generated domain of its first route that has one.
    pub(crate) address: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ListenerPlan {
    pub(crate) name: String,
    pub(crate) supported_kinds: Vec<RouteGroupKind>,
    pub(crate) attached_routes: usize,
    pub(crate) findings: Vec<Finding>,
}

/// None where the Gateway is not ours.
pub(crate) fn gateway(world: &World, cluster: &Cluster, gateway: &Gateway) -> Option<GatewayPlan> {
    if !attach::is_ours(world, gateway) {
        return None;
    }
    let name = Name::of(&gateway.metadata);
    let listeners: Vec<ListenerPlan> =
        gateway.spec.listeners.iter().map(|listener| plan(world, gateway, &name, listener)).collect();
    let is_good = |listener: &ListenerPlan| listener.findings.iter().all(|finding| finding.holds);
    let accepted = if !gateway.spec.addresses.is_empty() {
        let why = "spec.addresses: Lattice gives addresses, and takes none".to_owned();
        Finding::bad("Accepted", "UnsupportedAddress", why)
    } else if listeners.iter().all(is_good) {
        Finding::good("Accepted", "Accepted")
    } else if listeners.iter().any(is_good) {
        Finding {
            message: "some listeners are not valid".to_owned(),
            ..Finding::good("Accepted", "ListenersNotValid")
        }
    } else {
        Finding::bad("Accepted", "ListenersNotValid", "no listener is valid".to_owned())
    };
    let network = cluster.network_of(&name.name).to_owned();
    Some(GatewayPlan { accepted, listeners, network, address: address(world, &name) })
}

fn plan(world: &World, gateway: &Gateway, name: &Name, listener: &Listener) -> ListenerPlan {
    let kinds = if attach::has_invalid_kinds(listener) {
        Finding::bad(
            "ResolvedRefs",
            "InvalidRouteKinds",
            format!("allowedRoutes.kinds: a listener of {} takes no such routes", listener.protocol),
        )
    } else {
        Finding::good("ResolvedRefs", "ResolvedRefs")
    };
    let accepted = match attach::protocol(listener) {
        Some(_) => Finding::good("Accepted", "Accepted"),
        None => Finding::bad(
            "Accepted",
            "UnsupportedProtocol",
            format!("protocol {} is not HTTP, HTTPS or TLS with mode Passthrough", listener.protocol),
        ),
    };
    let programmed = if accepted.holds && kinds.holds {
        Finding::good("Programmed", "Programmed")
    } else {
        Finding::bad("Programmed", "Invalid", "the listener is not valid".to_owned())
    };
    ListenerPlan {
        name: listener.name.clone(),
        supported_kinds: attach::supported_kinds(listener),
        attached_routes: attached(world, gateway, name, listener),
        findings: vec![accepted, kinds, programmed],
    }
}

fn attached(world: &World, gateway: &Gateway, name: &Name, listener: &Listener) -> usize {
    let routes = world.routes_of(&Reference::Gateway(name.clone()));
    routes
        .iter()
        .filter_map(|id| world.route(id))
        .filter(|route| !route.is_deleted())
        .filter(|route| {
            let namespace = route.name().namespace;
            let names_it = route.parent_refs().iter().any(|parent| {
                gateway_of(parent, &namespace).as_ref() == Some(name)
                    && parent.section_name.as_ref().is_none_or(|section| *section == listener.name)
                    && parent.port.is_none_or(|port| port == listener.port)
            });
            names_it
                && attach::is_allowed(world, listener, gateway, route)
                && attach::admits_hostname(listener, route.hostnames())
        })
        .count()
}

fn address(world: &World, name: &Name) -> Option<String> {
    let mut routes = world.routes_of(&Reference::Gateway(name.clone()));
    routes.sort();
    routes.iter().find_map(|id| {
        let route = world.route(id)?;
        annotation(route.metadata(), "lattice-assigned-domain-name").map(str::to_owned)
    })
}
