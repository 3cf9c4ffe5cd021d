//! The objects of a cluster that the controller reads, with the members it reads of them.
//!
//! Written here rather than taken from a crate of bindings: a watch of every EndpointSlice keeps only what is asked
//! of it, and an object with a member of a newer version of its definition is read all the same.

mod core;
mod gateway;
mod multicluster;
mod policy;
mod route;

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

pub(crate) use self::core::{Endpoint, EndpointPort, EndpointSlice, Namespace, Pod, Service, labels};
pub(crate) use gateway::{
    Gateway, GatewayAddress, GatewayClass, GatewayStatus, Listener, ListenerStatus, ReferenceGrant,
    RouteGroupKind, ServiceNetwork, ServiceNetworkStatus,
};
pub(crate) use multicluster::{ServiceExport, ServiceImport};
pub(crate) use policy::{
    AccessLogPolicy, HealthCheck, IamAuthPolicy, TargetGroupPolicy, TargetGroupPolicySpec, TargetRef,
    VpcAssociationPolicy, is_vpc_wanted,
};
pub(crate) use route::{
    BackendRef, GrpcMatch, GrpcRoute, HeaderMatch, HttpMatch, HttpRoute, ParentRef, ParentStatus, TlsRoute,
};

/// Gateway API's own group.
pub(crate) const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";
/// The group of the policies that only Lattice has.
pub(crate) const POLICY_GROUP: &str = "application-networking.k8s.aws";

/// Where an object is; the namespace of a cluster's own objects is empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Name {
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    pub(crate) fn of(metadata: &ObjectMeta) -> Self {
        Self {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// One entry of `status.conditions`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Condition {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) status: String,
    pub(crate) reason: String,
    #[serde(default)]
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) observed_generation: i64,
    pub(crate) last_transition_time: String,
}

/// Where the objects of a kind are found.
pub(crate) trait Placed: kube::Resource<DynamicType = ()> + Sized {
    /// Those of a namespace; of the cluster where the kind has none.
    fn api(client: kube::Client, namespace: &str) -> kube::Api<Self>;

    /// All of them.
    fn every(client: kube::Client) -> kube::Api<Self> {
        kube::Api::all(client)
    }
}

/// `kube::Resource` of a structure with `metadata`.
macro_rules! resource {
    ($type:ident, $group:expr, $version:literal, $kind:literal, $plural:literal, $scope:ident) => {
        impl kube::Resource for $type {
            type DynamicType = ();
            type Scope = kube::core::$scope;

            fn kind((): &()) -> std::borrow::Cow<'_, str> {
                $kind.into()
            }

            fn group((): &()) -> std::borrow::Cow<'_, str> {
                $group.into()
            }

            fn version((): &()) -> std::borrow::Cow<'_, str> {
                $version.into()
            }

            fn plural((): &()) -> std::borrow::Cow<'_, str> {
                $plural.into()
            }

            fn meta(&self) -> &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                &mut self.metadata
            }
        }

        impl crate::objects::Placed for $type {
            resource!(@api $scope);
        }
    };
    (@api NamespaceResourceScope) => {
        fn api(client: kube::Client, namespace: &str) -> kube::Api<Self> {
            kube::Api::namespaced(client, namespace)
        }
    };
    (@api ClusterResourceScope) => {
        fn api(client: kube::Client, _: &str) -> kube::Api<Self> {
            kube::Api::all(client)
        }
    };
}
pub(crate) use resource;
