//! Kubernetes' own objects: namespaces, services and what they select.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

use super::resource;

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Namespace {
    pub(crate) metadata: ObjectMeta,
}
resource!(Namespace, "", "v1", "Namespace", "namespaces", ClusterResourceScope);

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Service {
    pub(crate) metadata: ObjectMeta,
    #[serde(default)]
    pub(crate) spec: ServiceSpec,
}
resource!(Service, "", "v1", "Service", "services", NamespaceResourceScope);

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ServiceSpec {
    pub(crate) ports: Vec<ServicePort>,
    pub(crate) selector: BTreeMap<String, String>,
    pub(crate) ip_families: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ServicePort {
    pub(crate) name: Option<String>,
    pub(crate) port: u16,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndpointSlice {
    pub(crate) metadata: ObjectMeta,
    #[serde(default)]
    pub(crate) address_type: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(crate) endpoints: Vec<Endpoint>,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(crate) ports: Vec<EndpointPort>,
}
resource!(EndpointSlice, "discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", NamespaceResourceScope);

/// The label that names the Service of a slice.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

impl EndpointSlice {
    pub(crate) fn service(&self) -> Option<&str> {
        self.metadata.labels.as_ref()?.get(SERVICE_NAME).map(String::as_str)
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Endpoint {
    pub(crate) addresses: Vec<String>,
    conditions: EndpointConditions,
    target_ref: Option<EndpointTarget>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct EndpointTarget {
    kind: String,
    name: String,
}

impl Endpoint {
    /// Absent is ready.
    pub(crate) fn is_ready(&self) -> bool {
        self.conditions.ready.unwrap_or(true)
    }

    /// The name of the pod it is.
    pub(crate) fn pod(&self) -> Option<&str> {
        self.target_ref.as_ref().filter(|target| target.kind == "Pod").map(|target| &*target.name)
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Pod {
    pub(crate) metadata: ObjectMeta,
    #[serde(default)]
    spec: PodSpec,
    #[serde(default)]
    status: PodStatus,
}
resource!(Pod, "", "v1", "Pod", "pods", NamespaceResourceScope);

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    readiness_gates: Vec<ReadinessGate>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ReadinessGate {
    condition_type: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct PodStatus {
    conditions: Vec<PodCondition>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct PodCondition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    reason: String,
}

impl Pod {
    pub(crate) fn has_gate(&self, gate: &str) -> bool {
        self.spec.readiness_gates.iter().any(|found| found.condition_type == gate)
    }

    /// Status and reason of a condition.
    pub(crate) fn condition(&self, kind: &str) -> Option<(&str, &str)> {
        let found = self.status.conditions.iter().find(|condition| condition.kind == kind)?;
        Some((&found.status, &found.reason))
    }

    pub(crate) fn is_true(&self, kind: &str) -> bool {
        self.condition(kind).is_some_and(|(status, _)| status == "True")
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct EndpointConditions {
    ready: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EndpointPort {
    pub(crate) name: Option<String>,
    pub(crate) port: Option<u16>,
}

fn null_is_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The labels of an object, for a selector.
pub(crate) fn labels(metadata: &ObjectMeta) -> &BTreeMap<String, String> {
    static NONE: BTreeMap<String, String> = BTreeMap::new();
    metadata.labels.as_ref().unwrap_or(&NONE)
}
