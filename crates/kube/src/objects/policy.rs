//! The policies of Lattice's own that hang on other objects.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

use super::gateway::Conditions;
use super::{POLICY_GROUP, resource};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TargetRef {
    pub(crate) group: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) namespace: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct TargetGroupPolicy {
    pub(crate) metadata: ObjectMeta,
    pub(crate) spec: TargetGroupPolicySpec,
    #[serde(default)]
    pub(crate) status: Conditions,
}
resource!(
    TargetGroupPolicy,
    POLICY_GROUP,
    "v1alpha1",
    "TargetGroupPolicy",
    "targetgrouppolicies",
    NamespaceResourceScope
);

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct TargetGroupPolicySpec {
    pub(crate) target_ref: TargetRef,
    pub(crate) protocol: Option<String>,
    pub(crate) protocol_version: Option<String>,
    pub(crate) health_check: Option<HealthCheck>,
}

/// As the policy says it; what is absent is Lattice's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct HealthCheck {
    pub(crate) enabled: Option<bool>,
    pub(crate) interval_seconds: Option<i32>,
    pub(crate) timeout_seconds: Option<i32>,
    pub(crate) healthy_threshold_count: Option<i32>,
    pub(crate) unhealthy_threshold_count: Option<i32>,
    pub(crate) status_match: Option<String>,
    pub(crate) path: Option<String>,
    pub(crate) port: Option<i32>,
    pub(crate) protocol: Option<String>,
    pub(crate) protocol_version: Option<String>,
}

/// A policy that sets something of a service network or a service.
macro_rules! policy {
    ($type:ident, $spec:ident, $kind:literal, $plural:literal) => {
        #[derive(Debug, Clone, Deserialize)]
        pub(crate) struct $type {
            pub(crate) metadata: ObjectMeta,
            pub(crate) spec: $spec,
            #[serde(default)]
            pub(crate) status: Conditions,
        }
        resource!($type, POLICY_GROUP, "v1alpha1", $kind, $plural, NamespaceResourceScope);
    };
}

policy!(IamAuthPolicy, IamAuthPolicySpec, "IAMAuthPolicy", "iamauthpolicies");
policy!(VpcAssociationPolicy, VpcAssociationPolicySpec, "VpcAssociationPolicy", "vpcassociationpolicies");
policy!(AccessLogPolicy, AccessLogPolicySpec, "AccessLogPolicy", "accesslogpolicies");

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct IamAuthPolicySpec {
    pub(crate) target_ref: TargetRef,
    /// The text of a policy.
    pub(crate) policy: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct VpcAssociationPolicySpec {
    pub(crate) target_ref: TargetRef,
    pub(crate) security_group_ids: Option<Vec<String>>,
    associate_with_vpc: Option<bool>,
}

/// Absent is wanted.
pub(crate) fn is_vpc_wanted(spec: &VpcAssociationPolicySpec) -> bool {
    spec.associate_with_vpc.unwrap_or(true)
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct AccessLogPolicySpec {
    pub(crate) target_ref: TargetRef,
    pub(crate) destination_arn: String,
}
