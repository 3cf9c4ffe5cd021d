//! Clusters: what they are, and what is told of them.

pub(crate) mod create;
pub(crate) mod lifecycle;
pub(crate) mod update;

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use trellis_frame::{Context, Kind, Page, Paged, Records, Refusal, record, tags};
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::Home;
use trellis_model::{Arn, SubnetId, VpcId};
use trellis_store::{Read, Reader, Transaction};

use crate::input::{choice, kept};
use crate::machine::{ControlPlanePlan, Running};
use crate::{nodegroup, wire};

pub(crate) const KIND: &str = "cluster";
pub(crate) const CLUSTERS: Records<Cluster> = Records::new("eks", KIND);
pub(crate) static CLUSTER: Kind = Kind::new("cluster", "CLUSTER");

/// Where a cluster stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    Creating,
    Active,
    Deleting,
    Failed,
}

/// A cluster as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cluster {
    pub home: Home,
    pub name: String,
    /// 32 digits; no other cluster has had it. What the machine keeps it under, and the end of its issuer.
    pub id: String,
    pub created_at: Moment,
    pub version: String,
    pub role_arn: String,
    pub vpc: VpcId,
    pub subnets: Vec<SubnetId>,
    pub security_groups: Vec<String>,
    pub is_public: bool,
    pub is_private: bool,
    pub public_cidrs: Vec<String>,
    pub service_cidr: Ipv4Net,
    /// `API`, `API_AND_CONFIG_MAP` or `CONFIG_MAP`.
    pub authentication_mode: String,
    pub makes_creator_admin: bool,
    pub is_protected: bool,
    pub support_type: String,
    /// Absent where nobody ever said: EKS does not show it then, and Terraform plans a change where it is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zonal_shift: Option<bool>,
    /// As the caller said them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logging: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_request_token: Option<String>,
    pub status: Status,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Once it has been ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
}

impl Cluster {
    pub fn arn(&self) -> String {
        arn(&self.home, &self.name)
    }

    /// What its service account tokens say they are from.
    pub fn issuer(&self) -> String {
        format!("https://oidc.eks.{}.amazonaws.com/id/{}", self.home.region, self.id)
    }

    /// The API server as a Service.
    pub fn service_address(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.service_cidr.network().to_bits() + 1)
    }

    pub(crate) fn plan(&self) -> ControlPlanePlan {
        ControlPlanePlan {
            id: self.id.clone(),
            home: self.home.clone(),
            name: self.name.clone(),
            vpc: self.vpc.clone(),
            subnets: self.subnets.clone(),
            security_groups: self.security_groups.clone(),
            service_cidr: self.service_cidr.to_string(),
            service_address: self.service_address(),
            issuer: self.issuer(),
            before: self.running.clone(),
        }
    }

    pub(crate) fn describe(&self, state: &mut impl Read) -> Result<wire::Cluster, Refusal> {
        let tags = tags::read(state, &self.home, &self.arn())?;
        let running = self.running.as_ref().filter(|_| self.status != Status::Creating);
        let issues = self.reason.iter().map(|reason| wire::ClusterIssue {
            code: Some(wire::ClusterIssueCode::InternalFailure),
            message: Some(reason.clone()),
            resource_ids: Some(vec![self.name.clone()]),
        });
        Ok(wire::Cluster {
            name: Some(self.name.clone()),
            arn: Some(self.arn()),
            created_at: Some(self.created_at),
            version: Some(self.version.clone()),
            endpoint: running.map(|running| running.endpoint.clone()),
            role_arn: Some(self.role_arn.clone()),
            resources_vpc_config: Some(self.describe_network()),
            kubernetes_network_config: Some(wire::KubernetesNetworkConfigResponse {
                service_ipv4_cidr: Some(self.service_cidr.to_string()),
                ip_family: Some(wire::IpFamily::Ipv4),
                elastic_load_balancing: Some(wire::ElasticLoadBalancing {
                    enabled: Some(false),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            logging: kept(self.logging.as_ref()),
            identity: Some(wire::Identity { oidc: Some(wire::OIDC { issuer: Some(self.issuer()) }) }),
            status: Some(match self.status {
                Status::Creating => wire::ClusterStatus::Creating,
                Status::Active => wire::ClusterStatus::Active,
                Status::Deleting => wire::ClusterStatus::Deleting,
                Status::Failed => wire::ClusterStatus::Failed,
            }),
            certificate_authority: Some(wire::Certificate {
                data: running.map(|running| running.certificate_authority.clone()),
                active: None,
            }),
            client_request_token: self.client_request_token.clone(),
            platform_version: Some("eks.1".to_owned()),
            tags: Some(tags),
            encryption_config: self.encryption.as_ref().and_then(|list| kept(Some(list))),
            health: Some(wire::ClusterHealth { issues: Some(issues.collect()) }),
            access_config: Some(wire::AccessConfigResponse {
                bootstrap_cluster_creator_admin_permissions: Some(self.makes_creator_admin),
                authentication_mode: choice(&self.authentication_mode),
            }),
            upgrade_policy: Some(wire::UpgradePolicyResponse { support_type: choice(&self.support_type) }),
            zonal_shift_config: self
                .zonal_shift
                .map(|enabled| wire::ZonalShiftConfigResponse { enabled: Some(enabled) }),
            deletion_protection: Some(self.is_protected),
            ..Default::default()
        })
    }

    fn describe_network(&self) -> wire::VpcConfigResponse {
        wire::VpcConfigResponse {
            subnet_ids: Some(self.subnets.iter().map(ToString::to_string).collect()),
            security_group_ids: Some(self.security_groups.clone()),
            cluster_security_group_id: self.running.as_ref().map(|running| running.security_group.clone()),
            vpc_id: Some(self.vpc.to_string()),
            endpoint_public_access: Some(self.is_public),
            endpoint_private_access: Some(self.is_private),
            public_access_cidrs: Some(self.public_cidrs.clone()),
            ..Default::default()
        }
    }
}

/// The ARN of a cluster.
pub(crate) fn arn(home: &Home, name: &str) -> String {
    Arn::new("eks", &home.region, &home.account, format_args!("cluster/{name}")).to_string()
}

/// A cluster by name.
///
/// # Errors
/// `ResourceNotFoundException`.
pub(crate) fn find(state: &mut impl Read, home: &Home, name: &str) -> Result<Cluster, Refusal> {
    CLUSTERS.get(state, home, name)?.ok_or_else(|| {
        crate::missing(format_args!("No cluster found for name: {}.", trellis_frame::refusal::shown(name)))
    })
}

/// A cluster that is there to work with.
///
/// # Errors
/// As [`find`]; `InvalidRequestException` for one that is not ACTIVE.
pub(crate) fn find_active(state: &mut impl Read, home: &Home, name: &str) -> Result<Cluster, Refusal> {
    let cluster = find(state, home, name)?;
    match cluster.status {
        Status::Active => Ok(cluster),
        _ => Err(crate::invalid_request(format_args!("Cluster '{name}' is not in ACTIVE status"))),
    }
}

/// A cluster by name, for who asks no API.
///
/// # Errors
/// A state that cannot be read.
pub fn find_cluster(state: &mut impl Read, home: &Home, name: &str) -> Result<Option<Cluster>, Refusal> {
    CLUSTERS.get(state, home, name)
}

/// Every cluster of the installation.
///
/// # Errors
/// A state that cannot be read.
pub fn every_cluster(state: &mut impl Read) -> Result<Vec<Cluster>, Refusal> {
    // eks/{account}/{region}/cluster/{name}
    let is_cluster = |key: &str| key.split('/').nth(3) == Some(KIND);
    let entries = record::scan_all(state, "eks/")?;
    entries.iter().filter(|entry| is_cluster(&entry.key)).map(record::decode).collect()
}

pub(crate) fn describe(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::DescribeClusterInput,
) -> Result<wire::DescribeClusterOutput, Refusal> {
    let cluster = find(state, &ctx.home(), &input.name)?;
    let mut described = cluster.describe(state)?;
    // The machine's loopback is not that of a host: who asks in the VPC is told where the API server is there.
    let is_inside = ctx.facts.source_vpc.as_ref() == Some(&cluster.vpc);
    if let Some(running) = cluster.running.as_ref().filter(|_| is_inside && described.endpoint.is_some()) {
        described.endpoint = Some(running.private_endpoint.clone());
    }
    Ok(wire::DescribeClusterOutput { cluster: Some(described) })
}

pub(crate) fn list(
    state: &mut Reader,
    ctx: &Context,
    _: &wire::ListClustersInput,
    page: &Page,
) -> Result<Paged<wire::ListClustersOutput>, Refusal> {
    let clusters = CLUSTERS.list(state, &ctx.home(), page, |_, cluster| Ok(Some(cluster.name)))?;
    Ok(clusters
        .into_output(|clusters| wire::ListClustersOutput { clusters: Some(clusters), next_token: None }))
}

/// There are none: every pod runs on a node.
pub(crate) fn list_fargate_profiles(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListFargateProfilesInput,
    _: &Page,
) -> Result<Paged<wire::ListFargateProfilesOutput>, Refusal> {
    find(state, &ctx.home(), &input.cluster_name)?;
    let output =
        wire::ListFargateProfilesOutput { fargate_profile_names: Some(Vec::new()), next_token: None };
    Ok(Paged { output, next_token: None })
}

pub(crate) fn delete(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::DeleteClusterInput,
) -> Result<wire::DeleteClusterOutput, Refusal> {
    let home = ctx.home();
    let mut cluster = find(tx, &home, &input.name)?;
    let in_use = |message: String| Refusal::in_use(&CLUSTER, &input.name, message);
    if cluster.is_protected {
        let message = format_args!("Cluster '{}' has deletion protection enabled", input.name);
        return Err(crate::invalid_request(message));
    }
    if nodegroup::NODEGROUPS.count_of(tx, &home, &cluster.name)? > 0 {
        return Err(in_use("Cluster has nodegroups attached".to_owned()));
    }
    match cluster.status {
        Status::Creating => {
            return Err(in_use(format!("Cluster '{}' is in CREATING status", cluster.name)));
        }
        Status::Active | Status::Failed | Status::Deleting => {}
    }
    cluster.status = Status::Deleting;
    CLUSTERS.put_pending(tx, &home, &cluster.name, &cluster)?;
    Ok(wire::DeleteClusterOutput { cluster: Some(cluster.describe(tx)?) })
}
