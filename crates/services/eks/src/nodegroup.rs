//! Node groups: so many nodes of a kind, in some subnets.

mod describe;
pub(crate) mod lifecycle;
pub(crate) mod update;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use trellis_frame::{Context, Kind, Page, Paged, Quota, Records, Refusal, tags};
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::Home;
use trellis_model::{Arn, SubnetId};
use trellis_store::{Read, Reader, Transaction};

use crate::cluster;
use crate::input::{is_kubernetes_name, keep, refuse_when, role, subnets};
use crate::machine::{RunningNode, Taint};
use crate::{invalid, invalid_request, version, wire};

pub(crate) const KIND: &str = "nodegroup";
pub(crate) const NODEGROUPS: Records<Nodegroup> = Records::new("eks", KIND);
pub(crate) static NODEGROUP: Kind = Kind::new("nodegroup", "NODEGROUP");
pub(crate) static NODEGROUPS_PER_CLUSTER: Quota =
    Quota::new("eks", "L-6D54EA21", 30, "nodegroups per cluster");
/// "Nodes per managed node group".
const MAX_NODES: i32 = 450;

/// Where a node group stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Status {
    Creating,
    Active,
    Updating,
    Deleting,
    CreateFailed,
    Degraded,
}

/// One node of a group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Node {
    /// Unique in the installation.
    pub(crate) id: String,
    pub(crate) subnet: SubnetId,
    pub(crate) asked_at: Moment,
    /// Once it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) running: Option<RunningNode>,
}

/// How many nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Scaling {
    pub(crate) min: i32,
    pub(crate) max: i32,
    pub(crate) desired: i32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Nodegroup {
    pub(crate) home: Home,
    pub(crate) cluster: String,
    pub(crate) name: String,
    /// The end of its ARN.
    pub(crate) id: String,
    pub(crate) created_at: Moment,
    pub(crate) modified_at: Moment,
    pub(crate) version: String,
    pub(crate) scaling: Scaling,
    pub(crate) subnets: Vec<SubnetId>,
    pub(crate) instance_types: Vec<String>,
    pub(crate) ami_type: String,
    pub(crate) capacity_type: String,
    pub(crate) disk_size: i32,
    pub(crate) role: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) taints: Vec<Taint>,
    /// As the caller said them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) update_config: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) repair_config: Option<Value>,
    pub(crate) status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    pub(crate) nodes: Vec<Node>,
}

impl Nodegroup {
    pub(crate) fn arn(&self) -> String {
        let Home { account, region } = &self.home;
        let resource = format!("nodegroup/{}/{}/{}", self.cluster, self.name, self.id);
        Arn::new("eks", region, account, resource).to_string()
    }

    pub(crate) fn key(&self) -> String {
        format!("{}/{}", self.cluster, self.name)
    }
}

/// A node group by name.
///
/// # Errors
/// `ResourceNotFoundException`.
pub(crate) fn find(
    state: &mut impl Read,
    home: &Home,
    cluster: &str,
    name: &str,
) -> Result<Nodegroup, Refusal> {
    cluster::find(state, home, cluster)?;
    NODEGROUPS.get(state, home, format_args!("{cluster}/{name}"))?.ok_or_else(|| {
        let name = trellis_frame::refusal::shown(name);
        crate::missing(format_args!("No node group found for name: {name}."))
    })
}

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::CreateNodegroupInput,
) -> Result<wire::CreateNodegroupOutput, Refusal> {
    let home = ctx.home();
    let cluster = cluster::find_active(tx, &home, &input.cluster_name)?;
    let (name, cluster_name) = (&input.nodegroup_name, &input.cluster_name);
    if NODEGROUPS.get(tx, &home, format_args!("{cluster_name}/{name}"))?.is_some() {
        let message = format!("NodeGroup already exists with name {name} and cluster name {cluster_name}");
        return Err(Refusal::conflict(&NODEGROUP, name, message));
    }
    let count = NODEGROUPS.count_of(tx, &home, cluster_name)?;
    ctx.quotas().check(&NODEGROUPS_PER_CLUSTER, count, 1, &NODEGROUP, Some(cluster_name))?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let fits = (1..=63).contains(&name.len())
        && name.bytes().all(is_name)
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if !fits {
        return Err(invalid("The nodegroupName has 1 to 63 letters, digits, hyphens and underscores"));
    }
    refuse_when(input.launch_template.is_some(), "launchTemplate")?;
    refuse_when(input.remote_access.is_some(), "remoteAccess")?;
    let is_warm = input.warm_pool_config.as_ref().and_then(|config| config.enabled) == Some(true);
    refuse_when(is_warm, "a warm pool")?;
    if let Some(version) = &input.version {
        version::check(version)?;
    }
    role(tx, &home, &input.node_role)?;
    let (vpc, subnets) = subnets(tx, &home, &input.subnets)?;
    if vpc.id != cluster.vpc {
        return Err(invalid("Subnets must belong to the VPC of the cluster"));
    }
    let labels = input.labels.clone().unwrap_or_default();
    check_labels(&labels)?;
    let group = Nodegroup {
        cluster: cluster_name.clone(),
        name: name.clone(),
        id: ctx.surroundings.random.uuid(),
        created_at: ctx.now,
        modified_at: ctx.now,
        version: cluster.version,
        scaling: scaling(input.scaling_config.as_ref(), None)?,
        subnets: subnets.into_iter().map(|subnet| subnet.id).collect(),
        instance_types: input.instance_types.clone().unwrap_or_else(|| vec!["t3.medium".to_owned()]),
        ami_type: input.ami_type.unwrap_or(wire::AMITypes::Al2023X8664Standard).as_str().to_owned(),
        capacity_type: input.capacity_type.unwrap_or(wire::CapacityTypes::OnDemand).as_str().to_owned(),
        disk_size: input.disk_size.unwrap_or(20),
        role: input.node_role.clone(),
        labels,
        taints: input.taints.iter().flatten().map(taint).collect::<Result<_, _>>()?,
        update_config: keep(input.update_config.clone()),
        repair_config: keep(input.node_repair_config.clone()),
        status: Status::Creating,
        reason: None,
        nodes: Vec::new(),
        home,
    };
    NODEGROUPS.put_pending(tx, &group.home, group.key(), &group)?;
    tags::merge(tx, &group.home, &group.arn(), &input.tags.clone().unwrap_or_default())?;
    Ok(wire::CreateNodegroupOutput { nodegroup: Some(group.describe(tx)?) })
}

/// Sizes that belong together; what is not said stays as it was, or is what EKS says: 1 to 2 nodes, 2 of them now.
pub(crate) fn scaling(
    asked: Option<&wire::NodegroupScalingConfig>,
    before: Option<Scaling>,
) -> Result<Scaling, Refusal> {
    let before = before.unwrap_or(Scaling { min: 1, max: 2, desired: 2 });
    let asked = asked.cloned().unwrap_or_default();
    let scaling = Scaling {
        min: asked.min_size.unwrap_or(before.min),
        max: asked.max_size.unwrap_or(before.max),
        desired: asked.desired_size.unwrap_or(before.desired),
    };
    let Scaling { min, max, desired } = scaling;
    if max > MAX_NODES {
        return Err(invalid(format_args!("maxSize must be at most {MAX_NODES}")));
    }
    if min > max {
        return Err(invalid(format_args!("Minimum capacity {min} can't be greater than maximum size {max}")));
    }
    if desired < min {
        return Err(invalid(format_args!(
            "Minimum capacity {min} can't be greater than desired size {desired}"
        )));
    }
    if desired > max {
        return Err(invalid(format_args!("desired capacity {desired} can't be greater than max size {max}")));
    }
    Ok(scaling)
}

/// Labels are written where commas and equals signs part them.
pub(crate) fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), Refusal> {
    let is_value = |text: &str| {
        text.len() <= 63
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            && [text.bytes().next(), text.bytes().last()]
                .iter()
                .all(|end| end.is_none_or(|byte| byte.is_ascii_alphanumeric()))
    };
    for (key, value) in labels {
        let (prefix, name) =
            key.split_once('/').map_or((None, key.as_str()), |(prefix, name)| (Some(prefix), name));
        let is_key = !name.is_empty() && is_value(name) && prefix.is_none_or(is_kubernetes_name);
        // Kubelet may not give itself these.
        let is_reserved = prefix.is_some_and(|prefix| {
            prefix == "kubernetes.io"
                || prefix == "k8s.io"
                || prefix.ends_with(".kubernetes.io")
                || prefix.ends_with(".k8s.io")
        });
        if !is_key || !is_value(value) || is_reserved {
            return Err(invalid(format_args!("The label {key}={value} is not one that a node can have")));
        }
    }
    Ok(())
}

pub(crate) fn taint(taint: &wire::Taint) -> Result<Taint, Refusal> {
    let key = taint.key.clone().unwrap_or_default();
    let value = taint.value.clone().unwrap_or_default();
    check_labels(&[(key.clone(), value.clone())].into())?;
    let effect = match taint.effect {
        Some(wire::TaintEffect::NoSchedule) => "NoSchedule",
        Some(wire::TaintEffect::NoExecute) => "NoExecute",
        Some(wire::TaintEffect::PreferNoSchedule) => "PreferNoSchedule",
        None => return Err(invalid("A taint needs an effect")),
    };
    Ok(Taint { key, value, effect: effect.to_owned() })
}

pub(crate) fn describe(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::DescribeNodegroupInput,
) -> Result<wire::DescribeNodegroupOutput, Refusal> {
    let group = find(state, &ctx.home(), &input.cluster_name, &input.nodegroup_name)?;
    Ok(wire::DescribeNodegroupOutput { nodegroup: Some(group.describe(state)?) })
}

pub(crate) fn list(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListNodegroupsInput,
    page: &Page,
) -> Result<Paged<wire::ListNodegroupsOutput>, Refusal> {
    let home = ctx.home();
    cluster::find(state, &home, &input.cluster_name)?;
    let groups =
        NODEGROUPS.list_of(state, &home, &input.cluster_name, page, |_, group| Ok(Some(group.name)))?;
    Ok(groups.into_output(|groups| wire::ListNodegroupsOutput { nodegroups: Some(groups), next_token: None }))
}

pub(crate) fn delete(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::DeleteNodegroupInput,
) -> Result<wire::DeleteNodegroupOutput, Refusal> {
    let home = ctx.home();
    let mut group = find(tx, &home, &input.cluster_name, &input.nodegroup_name)?;
    group.status = Status::Deleting;
    group.modified_at = ctx.now;
    NODEGROUPS.put_pending(tx, &home, group.key(), &group)?;
    Ok(wire::DeleteNodegroupOutput { nodegroup: Some(group.describe(tx)?) })
}

/// A group that can be changed now.
pub(super) fn find_settled(
    state: &mut impl Read,
    home: &Home,
    cluster: &str,
    name: &str,
) -> Result<Nodegroup, Refusal> {
    let group = find(state, home, cluster, name)?;
    match group.status {
        Status::Active | Status::Degraded => Ok(group),
        Status::Creating | Status::Updating | Status::Deleting => {
            let message =
                format!("Nodegroup cannot be updated as it is currently not in Active State: {name}");
            Err(Refusal::in_use(&NODEGROUP, name, message))
        }
        Status::CreateFailed => Err(invalid_request(format_args!(
            "Nodegroup {name} could not be made: delete it and make another"
        ))),
    }
}
