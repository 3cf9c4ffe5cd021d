//! CreateCluster.

use std::collections::BTreeSet;

use ipnet::Ipv4Net;
use trellis_frame::{Context, Quota, Refusal, tags};
use trellis_model::resource::vpc::Vpc;
use trellis_store::Transaction;

use super::{CLUSTER, CLUSTERS, Cluster, Status};
use crate::input::{check_access, keep, refuse_when, role, security_groups, subnets};
use crate::{access, invalid, version, wire};

pub(crate) static CLUSTERS_PER_REGION: Quota = Quota::new("eks", "L-1194D53C", 100, "clusters per region");

/// What Services have addresses of where the caller does not say: "Kubernetes assigns addresses from either the
/// 10.100.0.0/16 or 172.20.0.0/16 CIDR blocks".
const SERVICE_CIDRS: [&str; 2] = ["10.100.0.0/16", "172.20.0.0/16"];
/// "Within one of the following private IP address blocks".
const PRIVATE: [&str; 3] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::CreateClusterInput,
) -> Result<wire::CreateClusterOutput, Refusal> {
    let home = ctx.home();
    if CLUSTERS.get(tx, &home, &input.name)?.is_some() {
        let message = format!("Cluster already exists with name: {}", input.name);
        return Err(Refusal::conflict(&CLUSTER, &input.name, message));
    }
    ctx.quotas().check(&CLUSTERS_PER_REGION, CLUSTERS.count(tx, &home)?, 1, &CLUSTER, None)?;
    refuse_what_is_not_there(input)?;
    let version = input.version.as_deref().unwrap_or(version::DEFAULT);
    version::check(version)?;
    role(tx, &home, &input.role_arn)?;
    let network = &input.resources_vpc_config;
    let is_public = network.endpoint_public_access.unwrap_or(true);
    let is_private = network.endpoint_private_access.unwrap_or(false);
    check_access(is_public, is_private, network.public_access_cidrs.as_deref())?;
    let (vpc, subnets) = subnets(tx, &home, network.subnet_ids.as_deref().unwrap_or_default())?;
    let zones: BTreeSet<_> = subnets.iter().map(|subnet| subnet.zone).collect();
    if zones.len() < 2 {
        return Err(invalid("Subnets specified must be in at least two different AZs"));
    }
    let groups = network.security_group_ids.clone().unwrap_or_default();
    security_groups(tx, &home, &vpc, &groups)?;
    let service_cidr = service_cidr(input, &vpc)?;
    let access = input.access_config.clone().unwrap_or_default();
    let mode = access.authentication_mode.unwrap_or(wire::AuthenticationMode::ConfigMap);
    let makes_creator_admin = access.bootstrap_cluster_creator_admin_permissions.unwrap_or(true);
    let support_type = input.upgrade_policy.as_ref().and_then(|policy| policy.support_type);

    let cluster = Cluster {
        name: input.name.clone(),
        id: format!("{:016X}{:016X}", ctx.random(), ctx.random()),
        created_at: ctx.now,
        version: version.to_owned(),
        role_arn: input.role_arn.clone(),
        vpc: vpc.id,
        subnets: subnets.into_iter().map(|subnet| subnet.id).collect(),
        security_groups: groups,
        is_public,
        is_private,
        public_cidrs: network.public_access_cidrs.clone().unwrap_or_else(|| vec!["0.0.0.0/0".to_owned()]),
        service_cidr,
        authentication_mode: mode.as_str().to_owned(),
        makes_creator_admin,
        is_protected: input.deletion_protection.unwrap_or(false),
        support_type: support_type.unwrap_or(wire::SupportType::Extended).as_str().to_owned(),
        zonal_shift: input.zonal_shift_config.as_ref().and_then(|config| config.enabled),
        logging: keep(Some(input.logging.clone().unwrap_or_else(no_logging))),
        encryption: keep(input.encryption_config.clone()),
        client_request_token: input.client_request_token.clone(),
        status: Status::Creating,
        reason: None,
        running: None,
        home,
    };
    CLUSTERS.put_pending(tx, &cluster.home, &cluster.name, &cluster)?;
    tags::merge(tx, &cluster.home, &cluster.arn(), &input.tags.clone().unwrap_or_default())?;
    if makes_creator_admin {
        access::let_in_creator(tx, ctx, &cluster)?;
    }
    Ok(wire::CreateClusterOutput { cluster: Some(cluster.describe(tx)?) })
}

/// What would be a promise that nobody keeps.
fn refuse_what_is_not_there(input: &wire::CreateClusterInput) -> Result<(), Refusal> {
    let is_auto = input.compute_config.as_ref().and_then(|config| config.enabled) == Some(true)
        || input.storage_config.as_ref().and_then(|config| config.block_storage.as_ref()?.enabled)
            == Some(true);
    refuse_when(is_auto, "EKS Auto Mode")?;
    refuse_when(input.outpost_config.is_some(), "outpostConfig")?;
    refuse_when(input.remote_network_config.is_some(), "remoteNetworkConfig")?;
    let network = input.kubernetes_network_config.as_ref();
    let is_ipv6 = network.and_then(|network| network.ip_family) == Some(wire::IpFamily::Ipv6);
    refuse_when(is_ipv6, "the IP family ipv6")?;
    let components = input.kube_api_server_config.is_some()
        || input.kube_scheduler_config.is_some()
        || input.kube_controller_manager_config.is_some();
    refuse_when(components, "the configuration of control plane components")
}

fn service_cidr(input: &wire::CreateClusterInput, vpc: &Vpc) -> Result<Ipv4Net, Refusal> {
    let network = |text: &str| text.parse::<Ipv4Net>().expect("a constant");
    let overlaps = |cidr: &Ipv4Net| cidr.contains(&vpc.cidr.network()) || vpc.cidr.contains(&cidr.network());
    let asked =
        input.kubernetes_network_config.as_ref().and_then(|network| network.service_ipv4_cidr.as_ref());
    let Some(asked) = asked else {
        let free = SERVICE_CIDRS.into_iter().map(network).find(|cidr| !overlaps(cidr));
        return free.ok_or_else(|| invalid("No service CIDR is apart from the VPC's: give serviceIpv4Cidr"));
    };
    let cidr: Option<Ipv4Net> = asked.parse().ok();
    let cidr = cidr.filter(|cidr| {
        let is_private = PRIVATE.into_iter().any(|block| network(block).contains(cidr));
        is_private && (12..=24).contains(&cidr.prefix_len()) && cidr.trunc() == *cidr && !overlaps(cidr)
    });
    cidr.ok_or_else(|| {
        invalid(format_args!(
            "serviceIpv4Cidr {asked:?} must be a private block of /24 to /12 that does not overlap the VPC's"
        ))
    })
}

/// Nothing is logged where nobody asks for it.
fn no_logging() -> wire::Logging {
    use wire::LogType::{Api, Audit, Authenticator, ControllerManager, Scheduler};
    let types = vec![Api, Audit, Authenticator, ControllerManager, Scheduler];
    wire::Logging { cluster_logging: Some(vec![wire::LogSetup { types: Some(types), enabled: Some(false) }]) }
}
