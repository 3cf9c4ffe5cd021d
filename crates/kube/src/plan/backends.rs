//! What the rules of a route lead to: target groups of the Services they name, and their addresses.

use std::collections::BTreeMap;

use super::groups::{Ports, Speech, Wish, group};
use super::multicluster::{Import, import, port_name};
use super::{Action, Cluster, DesiredTargetGroup, Finding, Unsupported, matching, policy};
use crate::objects::{BackendRef, GATEWAY_GROUP, Name, POLICY_GROUP, TargetGroupPolicy};
use crate::world::{Backend, Reference, Route, RouteKind, World, backend_of};

/// Lattice's limits of one action.
const MOST_TARGET_GROUPS: usize = 10;
const LARGEST_WEIGHT: u64 = 999;
/// What a target group of a route has as its port; every target brings its own.
const PORT: i32 = 80;

/// Gathers the target groups while the rules are gone through.
pub(super) struct Backends<'w> {
    world: &'w World,
    cluster: &'w Cluster,
    route: &'w Route,
    groups: BTreeMap<String, DesiredTargetGroup>,
    imports: BTreeMap<String, Import>,
    /// The first reference that leads nowhere.
    broken: Option<Finding>,
}

impl<'w> Backends<'w> {
    pub(super) fn new(world: &'w World, cluster: &'w Cluster, route: &'w Route) -> Self {
        Self { world, cluster, route, groups: BTreeMap::new(), imports: BTreeMap::new(), broken: None }
    }

    pub(super) fn take_target_groups(&mut self) -> BTreeMap<String, DesiredTargetGroup> {
        std::mem::take(&mut self.groups)
    }

    /// What actions name that is no target group of the route's own.
    pub(super) fn take_imports(&mut self) -> BTreeMap<String, Import> {
        std::mem::take(&mut self.imports)
    }

    /// The condition ResolvedRefs.
    pub(super) fn finding(self) -> Finding {
        self.broken.unwrap_or_else(|| Finding::good("ResolvedRefs", "ResolvedRefs"))
    }

    /// What one rule does with a request. A reference that leads nowhere is left out, and a rule with none left
    /// answers 500, as the Gateway API has it.
    pub(super) fn action(&mut self, field: &str, backends: &[BackendRef]) -> Result<Action, Unsupported> {
        let mut weighted: Vec<(String, u64)> = Vec::new();
        for (index, backend) in backends.iter().enumerate() {
            let field = format!("{field}.backendRefs[{index}]");
            matching::refuse_list(&format!("{field}.filters"), &backend.filters)?;
            match self.resolve(&field, backend) {
                Ok(name) => match weighted.iter_mut().find(|(other, _)| *other == name) {
                    Some((_, weight)) => *weight += u64::from(backend.weight.unwrap_or(1)),
                    None => weighted.push((name, backend.weight.unwrap_or(1).into())),
                },
                Err(finding) => {
                    self.broken.get_or_insert(finding);
                }
            }
        }
        if weighted.len() > MOST_TARGET_GROUPS {
            return Err(Unsupported::new(
                format!("{field}.backendRefs"),
                "a Lattice rule forwards to ten at most",
            ));
        }
        let largest = weighted.iter().map(|(_, weight)| *weight).max().unwrap_or_default();
        if largest == 0 {
            return Ok(Action::Respond(500));
        }
        let scaled = |weight: u64| match weight {
            0 => 0,
            _ if largest <= LARGEST_WEIGHT => weight,
            _ => (weight * LARGEST_WEIGHT / largest).max(1),
        };
        let forward = weighted
            .into_iter()
            .map(|(name, weight)| (name, i32::try_from(scaled(weight)).unwrap_or(i32::MAX)))
            .collect();
        Ok(Action::Forward(forward))
    }

    /// The name of the target group of a backendRef.
    fn resolve(&mut self, field: &str, backend: &BackendRef) -> Result<String, Finding> {
        let broken = |reason, why: String| Finding::bad("ResolvedRefs", reason, format!("{field}: {why}"));
        let from = self.route.name().namespace;
        let Some(found) = backend_of(backend, &from) else {
            let (group, kind) = (backend.group.as_deref().unwrap_or_default(), backend.kind.as_deref());
            return Err(broken("InvalidKind", format!("{group}/{} is not known", kind.unwrap_or_default())));
        };
        let name = match &found {
            Backend::Service(name) | Backend::Import(name) => name.clone(),
        };
        if name.namespace != from && !is_granted(self.world, self.route, &found, &name) {
            let why = format!("no ReferenceGrant in namespace {} lets it in", name.namespace);
            return Err(broken("RefNotPermitted", why));
        }
        if matches!(found, Backend::Import(_)) {
            let Some(object) = self.world.imports.get(&name) else {
                return Err(broken("BackendNotFound", format!("there is no ServiceImport {name}")));
            };
            let import =
                import(&name, object, self.route.kind()).map_err(|(reason, why)| broken(reason, why))?;
            let key = format!("ServiceImport {name}");
            self.imports.insert(key.clone(), import);
            return Ok(key);
        }
        let Some(service) = self.world.services.get(&name) else {
            return Err(broken("BackendNotFound", format!("there is no Service {name}")));
        };
        let ports = match backend.port {
            None => Ports::All,
            Some(port) => match port_name(service, port) {
                Some(name) => Ports::Named(vec![name]),
                None => return Err(broken("BackendNotFound", format!("Service {name} has no port {port}"))),
            },
        };
        let policy = policy::first::<TargetGroupPolicy>(self.world, &Reference::Service(name.clone()));
        let policy = policy.and_then(|name| self.world.target_group_policies.get(&name));
        let wish = Wish {
            source: self.route.kind().as_str(),
            owner: &self.route.name(),
            metadata: self.route.metadata(),
            named: &name,
            service_name: &name,
            service,
            policy: policy.map(|policy| &policy.spec),
            speech: match self.route.kind() {
                RouteKind::Http => Speech::Http,
                RouteKind::Grpc => Speech::Grpc,
                RouteKind::Tls => Speech::Tcp,
            },
            port: PORT,
            part: backend.port.map_or_else(String::new, |port| port.to_string()),
            ports,
        };
        let (group, desired) = group(self.world, self.cluster, &wish);
        self.groups.insert(group.clone(), desired);
        Ok(group)
    }
}

fn is_granted(world: &World, route: &Route, backend: &Backend, name: &Name) -> bool {
    let from = route.name().namespace;
    let (group, kind) = match backend {
        Backend::Service(_) => ("", "Service"),
        Backend::Import(_) => (POLICY_GROUP, "ServiceImport"),
    };
    world.grants.iter().filter(|(grant, _)| grant.namespace == name.namespace).any(|(_, grant)| {
        let lets_from = grant.spec.from.iter().any(|entry| {
            entry.group == GATEWAY_GROUP && entry.kind == route.kind().as_str() && entry.namespace == from
        });
        let lets_to = grant.spec.to.iter().any(|entry| {
            entry.group == group
                && entry.kind == kind
                && entry.name.as_ref().is_none_or(|wanted| wanted.is_empty() || *wanted == name.name)
        });
        lets_from && lets_to
    })
}
