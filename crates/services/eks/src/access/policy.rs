//! Access policies: AWS's names for roles that every Kubernetes has, by which RBAC lets a user in.
//!
//! A policy is a group in the cluster. Where it counts everywhere, the group is bound when the cluster is made; where it
//! counts in some namespaces, there is a group for each, bound there when its user comes.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use trellis_frame::{Context, Page, Paged, Refusal};
use trellis_model::moment::Moment;
use trellis_store::{Reader, Transaction};

use super::{AccessEntry, ENTRIES, entry_id, find};
use crate::{invalid, wire};

/// With the cluster role that RBAC gives it.
const POLICIES: [(&str, &str); 5] = [
    ("AmazonEKSAdminPolicy", "admin"),
    ("AmazonEKSAdminViewPolicy", "eks:admin-view"),
    ("AmazonEKSClusterAdminPolicy", "cluster-admin"),
    ("AmazonEKSEditPolicy", "edit"),
    ("AmazonEKSViewPolicy", "view"),
];

/// Namespaces of one association.
const MAX_NAMESPACES: usize = 100;

/// A policy of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Association {
    /// Patterns, in which `*` is anything; `None`: the whole cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<Vec<String>>,
    pub associated_at: Moment,
    pub modified_at: Moment,
}

impl Association {
    fn describe(&self, policy: &str) -> wire::AssociatedAccessPolicy {
        let scope = match &self.namespaces {
            None => wire::AccessScope {
                r#type: Some(wire::AccessScopeType::Cluster),
                namespaces: Some(Vec::new()),
            },
            Some(namespaces) => wire::AccessScope {
                r#type: Some(wire::AccessScopeType::Namespace),
                namespaces: Some(namespaces.clone()),
            },
        };
        wire::AssociatedAccessPolicy {
            policy_arn: Some(policy.to_owned()),
            access_scope: Some(scope),
            associated_at: Some(self.associated_at),
            modified_at: Some(self.modified_at),
        }
    }
}

/// The ARN of a policy.
pub(crate) fn arn(name: &str) -> String {
    format!("arn:aws:eks::aws:cluster-access-policy/{name}")
}

/// The policy that an ARN is of.
pub(crate) fn named(arn: &str) -> Option<&'static str> {
    let name = arn.strip_prefix("arn:aws:eks::aws:cluster-access-policy/")?;
    POLICIES.iter().map(|(policy, _)| *policy).find(|policy| *policy == name)
}

/// What its users are in everywhere. Nobody else can be in it: groups that begin so are reserved.
pub(crate) fn group(policy: &str) -> String {
    format!("eks:access-policy:{policy}")
}

/// What its users are in in one namespace.
pub fn namespace_group(policy: &str, namespace: &str) -> String {
    format!("{}:{namespace}", group(policy))
}

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

/// What has to be in a cluster for policies to count: paths and objects.
pub(crate) fn bindings() -> Vec<(String, Value)> {
    let mut objects: Vec<_> = POLICIES
        .iter()
        .map(|(policy, role)| {
            let name = group(policy);
            (format!("{RBAC}/clusterrolebindings/{name}"), binding("ClusterRoleBinding", &name, role, &name))
        })
        .collect();
    let view = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "eks:admin-view"},
        "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}],
    });
    objects.push((format!("{RBAC}/clusterroles/eks:admin-view"), view));
    objects
}

/// What binds a policy's group in one namespace: path and object.
pub fn namespace_binding(policy: &str, namespace: &str) -> Option<(String, Value)> {
    let (_, role) = POLICIES.iter().find(|(known, _)| *known == policy)?;
    let name = group(policy);
    let object = binding("RoleBinding", &name, role, &namespace_group(policy, namespace));
    Some((format!("{RBAC}/namespaces/{namespace}/rolebindings/{name}"), object))
}

fn binding(kind: &str, name: &str, role: &str, group: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}],
    })
}

/// Whether a namespace is one that a pattern means.
pub fn covers(pattern: &str, namespace: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == namespace };
    let Some(rest) = namespace.strip_prefix(head) else { return false };
    (0..=rest.len()).filter(|at| rest.is_char_boundary(*at)).any(|at| covers(tail, &rest[at..]))
}

pub(crate) fn associate(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::AssociateAccessPolicyInput,
) -> Result<wire::AssociateAccessPolicyOutput, Refusal> {
    let mut entry = find(tx, &ctx.home(), &input.cluster_name, &input.principal_arn)?;
    if entry.kind != "STANDARD" {
        return Err(crate::invalid_request("Access policies are for access entries of type STANDARD"));
    }
    if named(&input.policy_arn).is_none() {
        let arn = trellis_frame::refusal::shown(&input.policy_arn);
        return Err(crate::missing(format_args!("The specified policyArn is not valid: {arn}")));
    }
    let namespaces = input.access_scope.namespaces.clone().unwrap_or_default();
    let namespaces = match input.access_scope.r#type {
        Some(wire::AccessScopeType::Cluster) if namespaces.is_empty() => None,
        Some(wire::AccessScopeType::Cluster) => {
            return Err(invalid("Namespaces cannot be given for an access scope of type cluster"));
        }
        Some(wire::AccessScopeType::Namespace) if is_scope(&namespaces) => Some(namespaces),
        _ => {
            return Err(invalid(
                "The accessScope needs a type, and one of type namespace 1 to 100 namespaces",
            ));
        }
    };
    let before = entry.policies.get(&input.policy_arn).map(|association| association.associated_at);
    let association =
        Association { namespaces, associated_at: before.unwrap_or(ctx.now), modified_at: ctx.now };
    let described = association.describe(&input.policy_arn);
    entry.policies.insert(input.policy_arn.clone(), association);
    put(tx, &entry)?;
    Ok(wire::AssociateAccessPolicyOutput {
        cluster_name: Some(entry.cluster),
        principal_arn: Some(entry.principal),
        associated_access_policy: Some(described),
    })
}

fn is_scope(namespaces: &[String]) -> bool {
    let is_pattern = |text: &String| {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-*".contains(&byte);
        (1..=63).contains(&text.len()) && text.bytes().all(is_plain) && text.matches('*').count() <= 3
    };
    (1..=MAX_NAMESPACES).contains(&namespaces.len()) && namespaces.iter().all(is_pattern)
}

fn put(tx: &mut Transaction<'_>, entry: &AccessEntry) -> Result<(), Refusal> {
    ENTRIES.put(tx, &entry.home, entry_id(&entry.cluster, &entry.principal), entry)
}

pub(crate) fn disassociate(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::DisassociateAccessPolicyInput,
) -> Result<wire::DisassociateAccessPolicyOutput, Refusal> {
    let mut entry = find(tx, &ctx.home(), &input.cluster_name, &input.principal_arn)?;
    if entry.policies.remove(&input.policy_arn).is_none() {
        let arn = trellis_frame::refusal::shown(&input.policy_arn);
        return Err(crate::missing(format_args!("The specified policyArn is not associated: {arn}")));
    }
    put(tx, &entry)?;
    Ok(Default::default())
}

pub(crate) fn list(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListAssociatedAccessPoliciesInput,
    page: &Page,
) -> Result<Paged<wire::ListAssociatedAccessPoliciesOutput>, Refusal> {
    let entry = find(state, &ctx.home(), &input.cluster_name, &input.principal_arn)?;
    let policies = entry.policies.iter().map(|(arn, association)| association.describe(arn)).collect();
    let listing = page
        .cut(policies, |policy: &wire::AssociatedAccessPolicy| policy.policy_arn.clone().unwrap_or_default());
    Ok(listing.into_output(|policies| wire::ListAssociatedAccessPoliciesOutput {
        cluster_name: Some(entry.cluster),
        principal_arn: Some(entry.principal),
        associated_access_policies: Some(policies),
        next_token: None,
    }))
}

pub(crate) fn list_all(
    _: &mut Reader,
    _: &Context,
    _: &wire::ListAccessPoliciesInput,
    page: &Page,
) -> Result<Paged<wire::ListAccessPoliciesOutput>, Refusal> {
    let policy = |(name, _): &(&str, &str)| wire::AccessPolicy {
        name: Some((*name).to_owned()),
        arn: Some(arn(name)),
    };
    let listing =
        page.cut(POLICIES.iter().map(policy).collect(), |policy| policy.name.clone().unwrap_or_default());
    Ok(listing.into_output(|policies| wire::ListAccessPoliciesOutput {
        access_policies: Some(policies),
        next_token: None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_what_its_stars_stand_for() {
        for (pattern, namespace, expected) in [
            ("dev", "dev", true),
            ("dev", "dev-1", false),
            ("dev-*", "dev-1", true),
            ("dev-*", "dev", false),
            ("*", "anything", true),
            ("*-a*b", "x-a-b", true),
            ("*-a*b", "x-a-c", false),
        ] {
            assert_eq!(covers(pattern, namespace), expected, "{pattern} {namespace}");
        }
    }
}
