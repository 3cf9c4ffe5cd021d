//! UpdateClusterConfig and UpdateClusterVersion.

use trellis_api::typed::IntoValue;
use trellis_frame::{Context, Refusal};
use trellis_store::Transaction;

use super::{CLUSTERS, find_active};
use crate::input::{check_access, keep, kept, refuse_when, security_groups, subnets};
use crate::update::Update;
use crate::{invalid, invalid_request, version, wire};
use wire::UpdateParamType as Parameter;

/// One kind of change a call, as on EKS.
pub(crate) fn config(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::UpdateClusterConfigInput,
) -> Result<wire::UpdateClusterConfigOutput, Refusal> {
    let home = ctx.home();
    let mut cluster = find_active(tx, &home, &input.name)?;
    let is_auto = input.compute_config.as_ref().and_then(|config| config.enabled) == Some(true);
    refuse_when(is_auto, "EKS Auto Mode")?;
    refuse_when(input.remote_network_config.is_some(), "remoteNetworkConfig")?;
    let components = input.kube_api_server_config.is_some()
        || input.kube_scheduler_config.is_some()
        || input.kube_controller_manager_config.is_some();
    refuse_when(components, "the configuration of control plane components")?;

    let mut changes: Vec<(wire::UpdateType, Vec<(Parameter, String)>)> = Vec::new();
    if let Some(network) = &input.resources_vpc_config {
        if let Some(ids) = &network.subnet_ids {
            let (vpc, found) = subnets(tx, &home, ids)?;
            if vpc.id != cluster.vpc {
                return Err(invalid("Subnets must belong to the VPC of the cluster"));
            }
            cluster.subnets = found.into_iter().map(|subnet| subnet.id).collect();
            changes.push((wire::UpdateType::VpcConfigUpdate, vec![(Parameter::Subnets, json(ids.clone()))]));
        }
        if let Some(ids) = &network.security_group_ids {
            let (vpc, _) = subnets(tx, &home, &[cluster.subnets[0].to_string()])?;
            security_groups(tx, &home, &vpc, ids)?;
            cluster.security_groups.clone_from(ids);
            changes.push((
                wire::UpdateType::VpcConfigUpdate,
                vec![(Parameter::SecurityGroups, json(ids.clone()))],
            ));
        }
        let is_public = network.endpoint_public_access.unwrap_or(cluster.is_public);
        let is_private = network.endpoint_private_access.unwrap_or(cluster.is_private);
        let cidrs = network.public_access_cidrs.as_ref();
        check_access(is_public, is_private, cidrs.map(Vec::as_slice))?;
        if network.endpoint_public_access.is_some()
            || network.endpoint_private_access.is_some()
            || cidrs.is_some()
        {
            (cluster.is_public, cluster.is_private) = (is_public, is_private);
            if let Some(cidrs) = cidrs {
                cluster.public_cidrs.clone_from(cidrs);
            }
            let parameters = vec![
                (Parameter::EndpointPublicAccess, is_public.to_string()),
                (Parameter::EndpointPrivateAccess, is_private.to_string()),
                (Parameter::PublicAccessCidrs, json(cluster.public_cidrs.clone())),
            ];
            changes.push((wire::UpdateType::EndpointAccessUpdate, parameters));
        }
    }
    if let Some(logging) = &input.logging {
        let merged = merge_logging(kept(cluster.logging.as_ref()), logging);
        let text = merged.clone().into_value().to_string();
        cluster.logging = keep(Some(merged));
        changes.push((wire::UpdateType::LoggingUpdate, vec![(Parameter::ClusterLogging, text)]));
    }
    if let Some(mode) = input.access_config.as_ref().and_then(|access| access.authentication_mode) {
        check_mode(&cluster.authentication_mode, mode)?;
        cluster.authentication_mode = mode.as_str().to_owned();
        let parameters = vec![(Parameter::AuthenticationMode, format!("\"{}\"", mode.as_str()))];
        changes.push((wire::UpdateType::AccessConfigUpdate, parameters));
    }
    if let Some(support) = input.upgrade_policy.as_ref().and_then(|policy| policy.support_type) {
        cluster.support_type = support.as_str().to_owned();
        changes.push((
            wire::UpdateType::UpgradePolicyUpdate,
            vec![(Parameter::UpgradePolicy, support.as_str().to_owned())],
        ));
    }
    if let Some(enabled) = input.zonal_shift_config.as_ref().and_then(|config| config.enabled) {
        cluster.zonal_shift = Some(enabled);
        changes.push((
            wire::UpdateType::ZonalShiftConfigUpdate,
            vec![(Parameter::ZonalShiftConfig, enabled.to_string())],
        ));
    }
    if let Some(is_protected) = input.deletion_protection {
        cluster.is_protected = is_protected;
        changes.push((
            wire::UpdateType::DeletionProtectionUpdate,
            vec![(Parameter::DeletionProtection, is_protected.to_string())],
        ));
    }
    let mut changes = changes.into_iter();
    let (kind, mut parameters) =
        changes.next().ok_or_else(|| invalid("The request has nothing to change"))?;
    for (other, more) in changes {
        if other != kind {
            return Err(invalid("Only one type of update can be allowed"));
        }
        parameters.extend(more);
    }
    CLUSTERS.put(tx, &home, &cluster.name, &cluster)?;
    let update = Update::new(ctx, &cluster.name, kind, parameters).record(tx, &home)?;
    Ok(wire::UpdateClusterConfigOutput { update: Some(update) })
}

fn json(list: Vec<String>) -> String {
    serde_json::Value::from(list).to_string()
}

/// "You can't switch from API to another mode", nor back to a ConfigMap alone.
fn check_mode(before: &str, after: wire::AuthenticationMode) -> Result<(), Refusal> {
    let rank =
        |mode: &str| ["CONFIG_MAP", "API_AND_CONFIG_MAP", "API"].iter().position(|known| *known == mode);
    let after = after.as_str();
    if rank(after) > rank(before) {
        return Ok(());
    }
    Err(invalid_request(format_args!("Unsupported authentication mode update from {before} to {after}")))
}

/// Types that are named change, the others stay.
fn merge_logging(before: Option<wire::Logging>, after: &wire::Logging) -> wire::Logging {
    let is_on = |logging: &wire::Logging, kind: wire::LogType| {
        let setups = logging.cluster_logging.iter().flatten();
        let mut said = setups.filter(|setup| setup.types.iter().flatten().any(|known| *known == kind));
        said.next_back().and_then(|setup| setup.enabled)
    };
    let before = before.unwrap_or_default();
    let all = <wire::LogType as trellis_api::typed::Enumeration>::ALL;
    let (on, off): (Vec<_>, Vec<_>) = all
        .iter()
        .copied()
        .partition(|kind| is_on(after, *kind).or_else(|| is_on(&before, *kind)).unwrap_or(false));
    let setups = [(on, true), (off, false)].into_iter().filter(|(types, _)| !types.is_empty());
    let setups = setups.map(|(types, enabled)| wire::LogSetup { types: Some(types), enabled: Some(enabled) });
    wire::Logging { cluster_logging: Some(setups.collect()) }
}

pub(crate) fn version(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::UpdateClusterVersionInput,
) -> Result<wire::UpdateClusterVersionOutput, Refusal> {
    let cluster = find_active(tx, &ctx.home(), &input.name)?;
    if input.version == cluster.version {
        return Err(invalid(format_args!("Cluster is already at version {}", input.version)));
    }
    // There is one version here, and the cluster has it.
    version::check(&input.version)?;
    Err(invalid(format_args!(
        "Unsupported Kubernetes minor version update from {} to {}",
        cluster.version, input.version
    )))
}
