//! What the cluster holds, as the watches tell it, and what a change of one object touches.
//!
//! Synchronous and without a client: events go in, names of what is to be looked at again come out.

mod watched;

use std::collections::{BTreeSet, HashMap};
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource as _;
use serde::de::DeserializeOwned;

use crate::objects::{
    AccessLogPolicy, EndpointSlice, Gateway, GatewayClass, GrpcRoute, HttpRoute, IamAuthPolicy, Name,
    Namespace, ParentRef, ParentStatus, Placed, Pod, ReferenceGrant, Service, ServiceExport, ServiceImport,
    ServiceNetwork, TargetGroupPolicy, TlsRoute, VpcAssociationPolicy,
};
pub(crate) use watched::{Backend, backend_of, gateway_of};

/// Which of the three kinds a route is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum RouteKind {
    Http,
    Grpc,
    Tls,
}

impl RouteKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "HTTPRoute",
            Self::Grpc => "GRPCRoute",
            Self::Tls => "TLSRoute",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RouteId {
    pub(crate) kind: RouteKind,
    pub(crate) name: Name,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum PolicyKind {
    TargetGroup,
    IamAuth,
    VpcAssociation,
    AccessLog,
}

/// What is looked at as one, and by one worker at a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    Class(Name),
    Gateway(Name),
    Route(RouteId),
    Export(Name),
    Network(Name),
    Policy(PolicyKind, Name),
    /// Target groups that nothing uses any more.
    Leftovers,
}

impl Key {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Class(_) => "GatewayClass",
            Self::Gateway(_) => "Gateway",
            Self::Route(id) => id.kind.as_str(),
            Self::Export(_) => "ServiceExport",
            Self::Network(_) => "ServiceNetwork",
            Self::Policy(PolicyKind::TargetGroup, _) => "TargetGroupPolicy",
            Self::Policy(PolicyKind::IamAuth, _) => "IAMAuthPolicy",
            Self::Policy(PolicyKind::VpcAssociation, _) => "VpcAssociationPolicy",
            Self::Policy(PolicyKind::AccessLog, _) => "AccessLogPolicy",
            Self::Leftovers => "leftovers",
        }
    }
}

/// What an object refers to, to be found from the other end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Reference {
    Class(String),
    Gateway(Name),
    Service(Name),
    Pod(Name),
    Route(RouteId),
    Export(Name),
    Import(Name),
}

/// A kind that is watched.
pub(crate) trait Watched: Placed + Clone + Debug + DeserializeOwned + Send + Sync + 'static {
    fn store(world: &World) -> &Store<Self>;
    fn store_mut(world: &mut World) -> &mut Store<Self>;

    /// What it refers to.
    fn references(&self) -> Vec<Reference> {
        Vec::new()
    }

    /// What a change of it touches, itself included.
    fn touches(&self, world: &World, keys: &mut BTreeSet<Key>);
}

/// The objects of one kind.
#[derive(Debug)]
pub(crate) struct Store<T> {
    objects: HashMap<Name, Arc<T>>,
    by_reference: HashMap<Reference, BTreeSet<Name>>,
    /// Names seen in a list that is being read; the others are gone when it ends.
    listed: Option<BTreeSet<Name>>,
}

impl<T> Default for Store<T> {
    fn default() -> Self {
        Self { objects: HashMap::new(), by_reference: HashMap::new(), listed: None }
    }
}

impl<T> Store<T> {
    pub(crate) fn get(&self, name: &Name) -> Option<&Arc<T>> {
        self.objects.get(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Name, &Arc<T>)> {
        self.objects.iter()
    }

    fn names(&self) -> impl Iterator<Item = &Name> {
        self.objects.keys()
    }

    /// Those that refer to it, by name.
    pub(crate) fn referring(&self, reference: &Reference) -> impl Iterator<Item = (&Name, &Arc<T>)> {
        let names = self.by_reference.get(reference).into_iter().flatten();
        names.filter_map(|name| self.objects.get_key_value(name))
    }
}

impl<T: Watched> Store<T> {
    fn insert(&mut self, name: Name, object: Arc<T>) -> Option<Arc<T>> {
        let old = self.remove(&name);
        for reference in object.references() {
            self.by_reference.entry(reference).or_default().insert(name.clone());
        }
        self.objects.insert(name, object);
        old
    }

    fn remove(&mut self, name: &Name) -> Option<Arc<T>> {
        let old = self.objects.remove(name)?;
        for reference in old.references() {
            if let Some(names) = self.by_reference.get_mut(&reference) {
                names.remove(name);
                if names.is_empty() {
                    self.by_reference.remove(&reference);
                }
            }
        }
        Some(old)
    }
}

#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) classes: Store<GatewayClass>,
    pub(crate) gateways: Store<Gateway>,
    pub(crate) http_routes: Store<HttpRoute>,
    pub(crate) grpc_routes: Store<GrpcRoute>,
    pub(crate) tls_routes: Store<TlsRoute>,
    pub(crate) services: Store<Service>,
    pub(crate) slices: Store<EndpointSlice>,
    pub(crate) namespaces: Store<Namespace>,
    /// None where readiness gates are not served.
    pub(crate) pods: Store<Pod>,
    pub(crate) grants: Store<ReferenceGrant>,
    pub(crate) networks: Store<ServiceNetwork>,
    pub(crate) exports: Store<ServiceExport>,
    pub(crate) imports: Store<ServiceImport>,
    pub(crate) target_group_policies: Store<TargetGroupPolicy>,
    pub(crate) iam_auth_policies: Store<IamAuthPolicy>,
    pub(crate) vpc_association_policies: Store<VpcAssociationPolicy>,
    pub(crate) access_log_policies: Store<AccessLogPolicy>,
}

impl World {
    /// An object was made or changed; what that touches.
    pub(crate) fn apply<T: Watched>(&mut self, object: T) -> BTreeSet<Key> {
        let name = Name::of(object.meta());
        let store = T::store_mut(self);
        if let Some(listed) = &mut store.listed {
            listed.insert(name.clone());
        }
        let mut keys = BTreeSet::new();
        if store.get(&name).is_some_and(|old| old.meta().resource_version == object.meta().resource_version) {
            return keys;
        }
        let object = Arc::new(object);
        let old = store.insert(name, object.clone());
        if let Some(old) = old {
            old.touches(self, &mut keys);
        }
        object.touches(self, &mut keys);
        keys
    }

    pub(crate) fn delete<T: Watched>(&mut self, name: &Name) -> BTreeSet<Key> {
        let mut keys = BTreeSet::new();
        if let Some(old) = T::store_mut(self).remove(name) {
            old.touches(self, &mut keys);
        }
        keys
    }

    /// A list begins: of what it does not name nothing is left when it ends.
    pub(crate) fn list_begins<T: Watched>(&mut self) {
        T::store_mut(self).listed = Some(BTreeSet::new());
    }

    pub(crate) fn list_ends<T: Watched>(&mut self) -> BTreeSet<Key> {
        let store = T::store_mut(self);
        let listed = store.listed.take().unwrap_or_default();
        let gone: Vec<Name> = store.objects.keys().filter(|name| !listed.contains(name)).cloned().collect();
        gone.iter().flat_map(|name| self.delete::<T>(name)).collect()
    }

    pub(crate) fn route(&self, id: &RouteId) -> Option<Route> {
        match id.kind {
            RouteKind::Http => self.http_routes.get(&id.name).cloned().map(Route::Http),
            RouteKind::Grpc => self.grpc_routes.get(&id.name).cloned().map(Route::Grpc),
            RouteKind::Tls => self.tls_routes.get(&id.name).cloned().map(Route::Tls),
        }
    }

    pub(crate) fn routes_of(&self, reference: &Reference) -> Vec<RouteId> {
        let of = |kind, name: &Name| RouteId { kind, name: name.clone() };
        let http = self.http_routes.referring(reference).map(|(name, _)| of(RouteKind::Http, name));
        let grpc = self.grpc_routes.referring(reference).map(|(name, _)| of(RouteKind::Grpc, name));
        let tls = self.tls_routes.referring(reference).map(|(name, _)| of(RouteKind::Tls, name));
        http.chain(grpc).chain(tls).collect()
    }

    pub(crate) fn all_routes(&self) -> Vec<RouteId> {
        let of = |kind, name: &Name| RouteId { kind, name: name.clone() };
        let http = self.http_routes.iter().map(|(name, _)| of(RouteKind::Http, name));
        let grpc = self.grpc_routes.iter().map(|(name, _)| of(RouteKind::Grpc, name));
        let tls = self.tls_routes.iter().map(|(name, _)| of(RouteKind::Tls, name));
        http.chain(grpc).chain(tls).collect()
    }

    /// Everything there is, for the first look and for the looks of a resync.
    pub(crate) fn all_keys(&self) -> BTreeSet<Key> {
        let classes = self.classes.iter().map(|(name, _)| Key::Class(name.clone()));
        let gateways = self.gateways.iter().map(|(name, _)| Key::Gateway(name.clone()));
        let policy = |kind| move |name: &Name| Key::Policy(kind, name.clone());
        let policies = (self.target_group_policies.names().map(policy(PolicyKind::TargetGroup)))
            .chain(self.iam_auth_policies.names().map(policy(PolicyKind::IamAuth)))
            .chain(self.vpc_association_policies.names().map(policy(PolicyKind::VpcAssociation)))
            .chain(self.access_log_policies.names().map(policy(PolicyKind::AccessLog)));
        let exports = self.exports.names().map(|name| Key::Export(name.clone()));
        let networks = self.networks.names().map(|name| Key::Network(name.clone()));
        let routes = self.all_routes().into_iter().map(Key::Route);
        classes
            .chain(gateways)
            .chain(policies)
            .chain(exports)
            .chain(networks)
            .chain(routes)
            .chain([Key::Leftovers])
            .collect()
    }

    /// Policies that hang on it: all of them, for which of several counts is a question of the others.
    fn touch_policies_of(&self, reference: &Reference, keys: &mut BTreeSet<Key>) {
        fn named<'k, T>(
            kind: PolicyKind,
            referring: impl Iterator<Item = (&'k Name, &'k Arc<T>)>,
        ) -> impl Iterator<Item = Key>
        where
            T: 'k,
        {
            referring.map(move |(name, _)| Key::Policy(kind, name.clone()))
        }
        keys.extend(named(PolicyKind::TargetGroup, self.target_group_policies.referring(reference)));
        keys.extend(named(PolicyKind::IamAuth, self.iam_auth_policies.referring(reference)));
        keys.extend(named(PolicyKind::VpcAssociation, self.vpc_association_policies.referring(reference)));
        keys.extend(named(PolicyKind::AccessLog, self.access_log_policies.referring(reference)));
    }

    /// Routes and exports whose target groups are of it.
    fn touch_users_of(&self, reference: &Reference, keys: &mut BTreeSet<Key>) {
        keys.extend(self.routes_of(reference).into_iter().map(Key::Route));
        keys.extend(self.exports.referring(reference).map(|(name, _)| Key::Export(name.clone())));
    }
}

/// A route of any kind.
#[derive(Debug, Clone)]
pub(crate) enum Route {
    Http(Arc<HttpRoute>),
    Grpc(Arc<GrpcRoute>),
    Tls(Arc<TlsRoute>),
}

/// The same member of whichever kind it is.
macro_rules! of_any {
    ($route:expr, $inner:ident => $value:expr) => {
        match $route {
            Route::Http($inner) => $value,
            Route::Grpc($inner) => $value,
            Route::Tls($inner) => $value,
        }
    };
}

impl Route {
    pub(crate) fn kind(&self) -> RouteKind {
        match self {
            Self::Http(_) => RouteKind::Http,
            Self::Grpc(_) => RouteKind::Grpc,
            Self::Tls(_) => RouteKind::Tls,
        }
    }

    pub(crate) fn metadata(&self) -> &ObjectMeta {
        of_any!(self, route => &route.metadata)
    }

    pub(crate) fn name(&self) -> Name {
        Name::of(self.metadata())
    }

    /// As events name it.
    pub(crate) fn object_ref(&self) -> ObjectReference {
        of_any!(self, route => route.object_ref(&()))
    }

    pub(crate) fn parent_refs(&self) -> &[ParentRef] {
        of_any!(self, route => &route.spec.parent_refs)
    }

    pub(crate) fn hostnames(&self) -> &[String] {
        of_any!(self, route => &route.spec.hostnames)
    }

    pub(crate) fn parent_statuses(&self) -> &[ParentStatus] {
        of_any!(self, route => &route.status.parents)
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.metadata().deletion_timestamp.is_some()
    }

    pub(crate) fn generation(&self) -> i64 {
        self.metadata().generation.unwrap_or_default()
    }

    pub(crate) fn annotation(&self, name: &str) -> Option<&str> {
        annotation(self.metadata(), name)
    }
}

/// The annotation of our prefix with that name.
pub(crate) fn annotation<'m>(metadata: &'m ObjectMeta, name: &str) -> Option<&'m str> {
    let annotations = metadata.annotations.as_ref()?;
    annotations.get(&format!("application-networking.k8s.aws/{name}")).map(String::as_str)
}
