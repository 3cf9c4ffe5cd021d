//! UpdateNodegroupConfig and UpdateNodegroupVersion.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use trellis_frame::{Context, Refusal};
use trellis_store::Transaction;

use super::{NODEGROUPS, Status, check_labels, find_settled, scaling, taint};
use crate::input::{keep, refuse_when};
use crate::update::{self, Update};
use crate::{invalid, version, wire};
use wire::UpdateParamType as Parameter;

pub(crate) fn config(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::UpdateNodegroupConfigInput,
) -> Result<wire::UpdateNodegroupConfigOutput, Refusal> {
    let home = ctx.home();
    let mut group = find_settled(tx, &home, &input.cluster_name, &input.nodegroup_name)?;
    let is_warm = input.warm_pool_config.as_ref().and_then(|config| config.enabled) == Some(true);
    refuse_when(is_warm, "a warm pool")?;
    let mut parameters = Vec::new();
    if let Some(asked) = &input.scaling_config {
        group.scaling = scaling(Some(asked), Some(group.scaling))?;
        parameters.push((Parameter::MinSize, group.scaling.min.to_string()));
        parameters.push((Parameter::MaxSize, group.scaling.max.to_string()));
        parameters.push((Parameter::DesiredSize, group.scaling.desired.to_string()));
    }
    if let Some(labels) = &input.labels {
        let new: BTreeMap<_, _> = labels.add_or_update_labels.clone().unwrap_or_default();
        check_labels(&new)?;
        if !new.is_empty() {
            parameters.push((Parameter::LabelsToAdd, json!(new).to_string()));
            group.labels.extend(new);
        }
        if let Some(gone) = labels.remove_labels.as_ref().filter(|gone| !gone.is_empty()) {
            gone.iter().for_each(|key| drop(group.labels.remove(key)));
            parameters.push((Parameter::LabelsToRemove, Value::from(gone.clone()).to_string()));
        }
    }
    if let Some(taints) = &input.taints {
        let read = |list: &Option<Vec<wire::Taint>>| -> Result<Vec<_>, Refusal> {
            list.iter().flatten().map(taint).collect()
        };
        let (new, gone) = (read(&taints.add_or_update_taints)?, read(&taints.remove_taints)?);
        let is_same = |a: &crate::Taint, b: &crate::Taint| a.key == b.key && a.effect == b.effect;
        group.taints.retain(|known| !new.iter().chain(&gone).any(|other| is_same(known, other)));
        if !new.is_empty() {
            parameters.push((Parameter::TaintsToAdd, json!(new).to_string()));
        }
        if !gone.is_empty() {
            parameters.push((Parameter::TaintsToRemove, json!(gone).to_string()));
        }
        group.taints.extend(new);
    }
    if let Some(config) = &input.update_config {
        if config.max_unavailable.is_some() && config.max_unavailable_percentage.is_some() {
            return Err(invalid("maxUnavailable and maxUnavailablePercentage cannot both be given"));
        }
        if let Some(count) = config.max_unavailable {
            parameters.push((Parameter::MaxUnavailable, count.to_string()));
        }
        if let Some(share) = config.max_unavailable_percentage {
            parameters.push((Parameter::MaxUnavailablePercentage, share.to_string()));
        }
        group.update_config = keep(Some(config.clone()));
    }
    if let Some(config) = &input.node_repair_config {
        parameters.push((Parameter::NodeRepairEnabled, config.enabled.unwrap_or(false).to_string()));
        group.repair_config = keep(Some(config.clone()));
    }
    if parameters.is_empty() {
        return Err(invalid("The request has nothing to change"));
    }
    group.status = Status::Updating;
    group.modified_at = ctx.now;
    NODEGROUPS.put_pending(tx, &home, group.key(), &group)?;
    let update = Update {
        nodegroup: Some(group.name),
        status: update::Status::InProgress,
        ..Update::new(ctx, &group.cluster, wire::UpdateType::ConfigUpdate, parameters)
    };
    Ok(wire::UpdateNodegroupConfigOutput { update: Some(update.record(tx, &home)?) })
}

/// There is one version, and every node has it: what is asked for is the case.
pub(crate) fn version(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::UpdateNodegroupVersionInput,
) -> Result<wire::UpdateNodegroupVersionOutput, Refusal> {
    let home = ctx.home();
    let group = find_settled(tx, &home, &input.cluster_name, &input.nodegroup_name)?;
    refuse_when(input.launch_template.is_some(), "launchTemplate")?;
    if let Some(version) = &input.version {
        version::check(version)?;
    }
    let update = Update {
        nodegroup: Some(group.name),
        ..Update::new(
            ctx,
            &group.cluster,
            wire::UpdateType::VersionUpdate,
            vec![(Parameter::Version, group.version)],
        )
    };
    Ok(wire::UpdateNodegroupVersionOutput { update: Some(update.record(tx, &home)?) })
}
