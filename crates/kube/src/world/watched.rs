//! The kinds that are watched: what each refers to, and what a change of it touches.

use std::collections::BTreeSet;

use super::{Key, PolicyKind, Reference, RouteId, RouteKind, Store, Watched, World};
use crate::objects::{
    AccessLogPolicy, BackendRef, EndpointSlice, GATEWAY_GROUP, Gateway, GatewayClass, GrpcRoute, HttpRoute,
    IamAuthPolicy, Name, Namespace, POLICY_GROUP, ParentRef, Pod, ReferenceGrant, Service, ServiceExport,
    ServiceImport, ServiceNetwork, TargetGroupPolicy, TlsRoute, VpcAssociationPolicy,
};
use crate::plan;

fn is_gateway(parent: &ParentRef) -> bool {
    let group = parent.group.as_deref().unwrap_or(GATEWAY_GROUP);
    group == GATEWAY_GROUP && parent.kind.as_deref().unwrap_or("Gateway") == "Gateway"
}

/// The Gateway that a parentRef of a route in `namespace` names.
pub(crate) fn gateway_of(parent: &ParentRef, namespace: &str) -> Option<Name> {
    let name = || Name::new(parent.namespace.as_deref().unwrap_or(namespace), &parent.name);
    is_gateway(parent).then(name)
}

/// What a backendRef may lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Backend {
    Service(Name),
    Import(Name),
}

/// What a backendRef of a route in `namespace` names; nothing where its kind is not known.
pub(crate) fn backend_of(backend: &BackendRef, namespace: &str) -> Option<Backend> {
    let name = Name::new(backend.namespace.as_deref().unwrap_or(namespace), &backend.name);
    match (backend.group.as_deref().unwrap_or_default(), backend.kind.as_deref().unwrap_or("Service")) {
        ("", "Service") => Some(Backend::Service(name)),
        (POLICY_GROUP, "ServiceImport") => Some(Backend::Import(name)),
        _ => None,
    }
}

macro_rules! watched_route {
    ($type:ident, $store:ident, $kind:expr) => {
        impl Watched for $type {
            fn store(world: &World) -> &Store<Self> {
                &world.$store
            }

            fn store_mut(world: &mut World) -> &mut Store<Self> {
                &mut world.$store
            }

            fn references(&self) -> Vec<Reference> {
                let namespace = self.metadata.namespace.as_deref().unwrap_or_default();
                let gateways =
                    self.spec.parent_refs.iter().filter_map(|parent| gateway_of(parent, namespace));
                let backends = self.spec.rules.iter().flat_map(|rule| &rule.backend_refs);
                let backends = backends.filter_map(|backend| backend_of(backend, namespace));
                gateways
                    .map(Reference::Gateway)
                    .chain(backends.map(|backend| match backend {
                        Backend::Service(name) => Reference::Service(name),
                        Backend::Import(name) => Reference::Import(name),
                    }))
                    .collect()
            }

            fn touches(&self, world: &World, keys: &mut BTreeSet<Key>) {
                let name = Name::of(&self.metadata);
                for parent in &self.spec.parent_refs {
                    keys.extend(gateway_of(parent, &name.namespace).map(Key::Gateway));
                }
                let id = RouteId { kind: $kind, name };
                world.touch_policies_of(&Reference::Route(id.clone()), keys);
                keys.insert(Key::Route(id));
            }
        }
    };
}

watched_route!(HttpRoute, http_routes, RouteKind::Http);
watched_route!(GrpcRoute, grpc_routes, RouteKind::Grpc);
watched_route!(TlsRoute, tls_routes, RouteKind::Tls);

macro_rules! watched {
    ($type:ident, $store:ident, $self:ident, $world:ident, $keys:ident, $touches:block $(, $references:expr)?) => {
        impl Watched for $type {
            fn store(world: &World) -> &Store<Self> {
                &world.$store
            }

            fn store_mut(world: &mut World) -> &mut Store<Self> {
                &mut world.$store
            }

            $(fn references(&self) -> Vec<Reference> {
                let of: fn(&Self) -> Vec<Reference> = $references;
                of(self)
            })?

            fn touches(&$self, $world: &World, $keys: &mut BTreeSet<Key>) $touches
        }
    };
}

watched!(GatewayClass, classes, self, world, keys, {
    let name = Name::of(&self.metadata);
    for (gateway, object) in world.gateways.referring(&Reference::Class(name.name.clone())) {
        object.touches(world, keys);
        keys.insert(Key::Gateway(gateway.clone()));
    }
    keys.insert(Key::Class(name));
});

watched!(
    Gateway,
    gateways,
    self,
    world,
    keys,
    {
        let name = Name::of(&self.metadata);
        let reference = Reference::Gateway(name.clone());
        world.touch_users_of(&reference, keys);
        world.touch_policies_of(&reference, keys);
        keys.insert(Key::Gateway(name));
    },
    |gateway| vec![Reference::Class(gateway.spec.gateway_class_name.clone())]
);

watched!(Service, services, self, world, keys, {
    let reference = Reference::Service(Name::of(&self.metadata));
    world.touch_users_of(&reference, keys);
    world.touch_policies_of(&reference, keys);
});

watched!(
    EndpointSlice,
    slices,
    self,
    world,
    keys,
    {
        for reference in self.references() {
            if matches!(reference, Reference::Service(_)) {
                world.touch_users_of(&reference, keys);
            }
        }
    },
    |slice| {
        let namespace = slice.metadata.namespace.as_deref().unwrap_or_default();
        // Pods matter while they are not ready: Lattice's word may be all they lack.
        let waiting = slice.endpoints.iter().filter(|endpoint| !endpoint.is_ready());
        let pods = waiting.filter_map(|endpoint| endpoint.pod());
        let pods = pods.map(|pod| Reference::Pod(Name::new(namespace, pod)));
        slice
            .service()
            .map(|service| Reference::Service(Name::new(namespace, service)))
            .into_iter()
            .chain(pods)
            .collect()
    }
);

watched!(Pod, pods, self, world, keys, {
    for (_, slice) in world.slices.referring(&Reference::Pod(Name::of(&self.metadata))) {
        slice.touches(world, keys);
    }
});

// Which routes a Gateway lets in may be a question of the labels of their namespaces.
watched!(Namespace, namespaces, self, world, keys, {
    let namespace = self.metadata.name.as_deref().unwrap_or_default();
    for id in world.all_routes() {
        if id.name.namespace == namespace
            && let Some(route) = world.route(&id)
        {
            let gateways = route.parent_refs().iter().filter_map(|parent| gateway_of(parent, namespace));
            keys.extend(gateways.map(Key::Gateway));
            keys.insert(Key::Route(id));
        }
    }
});

watched!(ReferenceGrant, grants, self, world, keys, {
    let namespace = self.metadata.namespace.as_deref().unwrap_or_default();
    for id in world.all_routes() {
        if self
            .spec
            .from
            .iter()
            .any(|from| from.namespace == id.name.namespace && id.name.namespace != namespace)
        {
            keys.insert(Key::Route(id));
        }
    }
});

watched!(
    ServiceExport,
    exports,
    self,
    world,
    keys,
    {
        let name = Name::of(&self.metadata);
        world.touch_policies_of(&Reference::Export(name.clone()), keys);
        keys.insert(Key::Export(name));
    },
    |export| vec![Reference::Service(plan::service_of_export(export))]
);

watched!(ServiceNetwork, networks, self, world, keys, {
    let name = Name::of(&self.metadata);
    let of_name = world.gateways.iter().filter(|(gateway, _)| gateway.name == name.name);
    keys.extend(of_name.map(|(gateway, _)| Key::Gateway(gateway.clone())));
    keys.insert(Key::Network(name));
});

watched!(ServiceImport, imports, self, world, keys, {
    world.touch_users_of(&Reference::Import(Name::of(&self.metadata)), keys);
});

/// A policy touches itself, its rivals, and, through routes, what it says of a Service.
macro_rules! watched_policy {
    ($type:ident, $store:ident, $kind:expr) => {
        watched!(
            $type,
            $store,
            self,
            world,
            keys,
            {
                for reference in self.references() {
                    match &reference {
                        Reference::Service(_) => world.touch_users_of(&reference, keys),
                        Reference::Export(name) => drop(keys.insert(Key::Export(name.clone()))),
                        _ => {}
                    }
                    world.touch_policies_of(&reference, keys);
                }
                keys.insert(Key::Policy($kind, Name::of(&self.metadata)));
            },
            |policy| {
                let namespace = policy.metadata.namespace.as_deref().unwrap_or_default();
                plan::reference(&policy.spec.target_ref, namespace).into_iter().collect()
            }
        );
    };
}

watched_policy!(TargetGroupPolicy, target_group_policies, PolicyKind::TargetGroup);
watched_policy!(IamAuthPolicy, iam_auth_policies, PolicyKind::IamAuth);
watched_policy!(VpcAssociationPolicy, vpc_association_policies, PolicyKind::VpcAssociation);
watched_policy!(AccessLogPolicy, access_log_policies, PolicyKind::AccessLog);
