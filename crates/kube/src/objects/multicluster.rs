//! ServiceExport and ServiceImport: a Service of one cluster behind the routes of another.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

use super::{POLICY_GROUP, resource};

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ServiceExport {
    pub(crate) metadata: ObjectMeta,
    #[serde(default)]
    pub(crate) spec: ServiceExportSpec,
}
resource!(ServiceExport, POLICY_GROUP, "v1alpha1", "ServiceExport", "serviceexports", NamespaceResourceScope);

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ServiceExportSpec {
    pub(crate) exported_ports: Vec<ExportedPort>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ExportedPort {
    pub(crate) port: u16,
    /// `HTTP`, `GRPC` or `TLS`.
    pub(crate) route_type: String,
}

/// Of its spec nothing is asked: its name and annotations say what it stands for.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ServiceImport {
    pub(crate) metadata: ObjectMeta,
}
resource!(ServiceImport, POLICY_GROUP, "v1alpha1", "ServiceImport", "serviceimports", NamespaceResourceScope);
