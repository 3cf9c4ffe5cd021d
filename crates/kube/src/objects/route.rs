//! HTTPRoute, GRPCRoute and TLSRoute.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde_json::Value;

use super::{Condition, GATEWAY_GROUP, resource};

/// A route of one of the three kinds, by the type of its rules.
macro_rules! route {
    ($type:ident, $rule:ident, $kind:literal, $plural:literal) => {
        #[derive(Debug, Clone, Deserialize)]
        pub(crate) struct $type {
            pub(crate) metadata: ObjectMeta,
            pub(crate) spec: RouteSpec<$rule>,
            #[serde(default)]
            pub(crate) status: RouteStatus,
        }
        resource!($type, GATEWAY_GROUP, "v1", $kind, $plural, NamespaceResourceScope);
    };
}

route!(HttpRoute, HttpRule, "HTTPRoute", "httproutes");
route!(GrpcRoute, GrpcRule, "GRPCRoute", "grpcroutes");
route!(TlsRoute, TlsRule, "TLSRoute", "tlsroutes");

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RouteSpec<R> {
    #[serde(default)]
    pub(crate) parent_refs: Vec<ParentRef>,
    #[serde(default)]
    pub(crate) hostnames: Vec<String>,
    #[serde(default = "Vec::new")]
    pub(crate) rules: Vec<R>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ParentRef {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) section_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<u16>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize, serde::Serialize)]
#[serde(default)]
pub(crate) struct RouteStatus {
    pub(crate) parents: Vec<ParentStatus>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ParentStatus {
    pub(crate) parent_ref: ParentRef,
    pub(crate) controller_name: String,
    pub(crate) conditions: Vec<Condition>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct HttpRule {
    pub(crate) matches: Vec<HttpMatch>,
    pub(crate) filters: Vec<Value>,
    pub(crate) backend_refs: Vec<BackendRef>,
    pub(crate) timeouts: Option<Value>,
    pub(crate) retry: Option<Value>,
    pub(crate) session_persistence: Option<Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct HttpMatch {
    pub(crate) path: Option<Kinded>,
    pub(crate) headers: Vec<HeaderMatch>,
    pub(crate) query_params: Vec<Value>,
    pub(crate) method: Option<String>,
}

/// A value and how it is compared.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Kinded {
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) value: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct HeaderMatch {
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) name: String,
    pub(crate) value: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct BackendRef {
    pub(crate) group: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
    pub(crate) port: Option<u16>,
    pub(crate) weight: Option<u32>,
    pub(crate) filters: Vec<Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct GrpcRule {
    pub(crate) matches: Vec<GrpcMatch>,
    pub(crate) filters: Vec<Value>,
    pub(crate) backend_refs: Vec<BackendRef>,
    pub(crate) session_persistence: Option<Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct GrpcMatch {
    pub(crate) method: Option<GrpcMethod>,
    pub(crate) headers: Vec<HeaderMatch>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct GrpcMethod {
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) service: Option<String>,
    pub(crate) method: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct TlsRule {
    pub(crate) backend_refs: Vec<BackendRef>,
}
