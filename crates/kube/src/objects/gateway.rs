//! GatewayClass, Gateway and ReferenceGrant.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

use super::{Condition, GATEWAY_GROUP, resource};

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct GatewayClass {
    pub(crate) metadata: ObjectMeta,
    pub(crate) spec: GatewayClassSpec,
    #[serde(default)]
    pub(crate) status: Conditions,
}
resource!(GatewayClass, GATEWAY_GROUP, "v1", "GatewayClass", "gatewayclasses", ClusterResourceScope);

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GatewayClassSpec {
    pub(crate) controller_name: String,
    #[serde(default)]
    pub(crate) parameters_ref: Option<serde_json::Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Conditions {
    pub(crate) conditions: Vec<Condition>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Gateway {
    pub(crate) metadata: ObjectMeta,
    pub(crate) spec: GatewaySpec,
    #[serde(default)]
    pub(crate) status: GatewayStatus,
}
resource!(Gateway, GATEWAY_GROUP, "v1", "Gateway", "gateways", NamespaceResourceScope);

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct GatewaySpec {
    pub(crate) gateway_class_name: String,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) addresses: Vec<serde_json::Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Listener {
    pub(crate) name: String,
    pub(crate) hostname: Option<String>,
    pub(crate) port: u16,
    pub(crate) protocol: String,
    pub(crate) tls: Option<ListenerTls>,
    pub(crate) allowed_routes: AllowedRoutes,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ListenerTls {
    pub(crate) mode: Option<String>,
    pub(crate) options: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AllowedRoutes {
    pub(crate) namespaces: AllowedNamespaces,
    pub(crate) kinds: Vec<RouteGroupKind>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AllowedNamespaces {
    /// `All`, `Same`, `Selector` or `None`; absent is `Same`.
    pub(crate) from: Option<String>,
    pub(crate) selector: Option<LabelSelector>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct LabelSelector {
    match_labels: BTreeMap<String, String>,
    match_expressions: Vec<Requirement>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Requirement {
    key: String,
    operator: String,
    values: Vec<String>,
}

impl LabelSelector {
    /// An unknown operator selects nothing.
    pub(crate) fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        let equal = self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value));
        equal
            && self.match_expressions.iter().all(|Requirement { key, operator, values }| {
                let value = labels.get(key);
                match operator.as_str() {
                    "In" => value.is_some_and(|value| values.contains(value)),
                    "NotIn" => value.is_none_or(|value| !values.contains(value)),
                    "Exists" => value.is_some(),
                    "DoesNotExist" => value.is_none(),
                    _ => false,
                }
            })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, serde::Serialize)]
pub(crate) struct RouteGroupKind {
    #[serde(default = "gateway_group")]
    pub(crate) group: String,
    pub(crate) kind: String,
}

fn gateway_group() -> String {
    GATEWAY_GROUP.to_owned()
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize, serde::Serialize)]
#[serde(default)]
pub(crate) struct GatewayStatus {
    pub(crate) addresses: Vec<GatewayAddress>,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) listeners: Vec<ListenerStatus>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(default)]
pub(crate) struct GatewayAddress {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) value: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ListenerStatus {
    pub(crate) name: String,
    pub(crate) supported_kinds: Vec<RouteGroupKind>,
    pub(crate) attached_routes: i32,
    pub(crate) conditions: Vec<Condition>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ReferenceGrant {
    pub(crate) metadata: ObjectMeta,
    pub(crate) spec: ReferenceGrantSpec,
}
resource!(
    ReferenceGrant,
    GATEWAY_GROUP,
    "v1beta1",
    "ReferenceGrant",
    "referencegrants",
    NamespaceResourceScope
);

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ReferenceGrantSpec {
    pub(crate) from: Vec<GrantFrom>,
    pub(crate) to: Vec<GrantTo>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct GrantFrom {
    pub(crate) group: String,
    pub(crate) kind: String,
    pub(crate) namespace: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct GrantTo {
    pub(crate) group: String,
    pub(crate) kind: String,
    /// Absent is any of that kind.
    pub(crate) name: Option<String>,
}

/// A service network that the controller makes; its spec is empty.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ServiceNetwork {
    pub(crate) metadata: ObjectMeta,
    #[serde(default)]
    pub(crate) status: ServiceNetworkStatus,
}
resource!(
    ServiceNetwork,
    super::POLICY_GROUP,
    "v1alpha1",
    "ServiceNetwork",
    "servicenetworks",
    ClusterResourceScope
);

#[derive(Debug, Clone, Default, PartialEq, Deserialize, serde::Serialize)]
#[serde(default)]
pub(crate) struct ServiceNetworkStatus {
    pub(crate) conditions: Vec<Condition>,
    #[serde(rename = "serviceNetworkARN", skip_serializing_if = "Option::is_none")]
    pub(crate) arn: Option<String>,
    #[serde(rename = "serviceNetworkID", skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
}
