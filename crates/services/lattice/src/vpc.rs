//! What VPC Lattice has to know of EC2: VPCs, their subnets, instances and security groups.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv6Net};
use trellis_frame::record::{self, all};
use trellis_model::resource::lattice::Home;
use trellis_model::resource::vpc::{self as ec2, InstanceState, SecurityGroup, Subnet};
use trellis_model::{InstanceId, SecurityGroupId, SubnetId, VpcId};
use trellis_store::Read;

use super::place::kind;
use crate::keys;
use crate::refusal::{Kind, Refusal, invalid, not_found};

/// A VPC and where its hosts can be.
#[derive(Debug)]
pub(crate) struct Vpc {
    id: VpcId,
    default_security_group: SecurityGroupId,
    /// Blocks of both families.
    subnets: Vec<IpNet>,
    ipv6: Option<Ipv6Net>,
    resolver: Ipv4Addr,
}

impl Vpc {
    pub(crate) fn id(&self) -> &VpcId {
        &self.id
    }

    /// The group the VPC was made with.
    pub(crate) fn default_security_group(&self) -> &SecurityGroupId {
        &self.default_security_group
    }

    pub(crate) fn has_ipv6(&self) -> bool {
        self.ipv6.is_some()
    }

    pub(crate) fn ipv6(&self) -> Option<Ipv6Net> {
        self.ipv6
    }

    /// Where its hosts find their resolver, besides 169.254.169.253.
    pub(crate) fn resolver(&self) -> Ipv4Addr {
        self.resolver
    }

    pub(crate) fn has_subnet_with(&self, ip: IpAddr) -> bool {
        self.subnets.iter().any(|subnet| subnet.contains(&ip))
    }
}

/// The VPC, if the account has it.
pub(crate) fn get(state: &mut impl Read, home: &Home, id: &VpcId) -> Result<Option<Vpc>, Refusal> {
    let scope = keys::ec2(home);
    let Some(vpc) = record::get::<ec2::Vpc>(state, &scope.record(ec2::kind::VPC, id))? else {
        return Ok(None);
    };
    let subnets = all::<Subnet>(state, &scope.records(ec2::kind::SUBNET))?;
    let subnets = subnets.into_iter().filter(|subnet| subnet.vpc == vpc.id).flat_map(|subnet| {
        let ipv6 = subnet.ipv6.map(|ipv6| ipv6.cidr.into());
        std::iter::once(subnet.cidr.into()).chain(ipv6)
    });
    Ok(Some(Vpc {
        subnets: subnets.collect(),
        ipv6: vpc.ipv6.as_ref().map(|ipv6| ipv6.cidr),
        resolver: vpc.resolver(),
        id: vpc.id,
        default_security_group: vpc.default_security_group,
    }))
}

/// The VPC `text` names.
///
/// # Errors
/// `ResourceNotFoundException` when the account has none of that id.
pub(crate) fn find(state: &mut impl Read, home: &Home, text: &str) -> Result<Vpc, Refusal> {
    let missing = || not_found(Kind::Vpc, text);
    let id = text.parse().map_err(|_| missing())?;
    get(state, home, &id)?.ok_or_else(missing)
}

/// An instance as a target.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) vpc: VpcId,
    pub(crate) address: IpAddr,
    pub(crate) is_running: bool,
}

pub(crate) fn instance(
    state: &mut impl Read,
    home: &Home,
    id: &InstanceId,
) -> Result<Option<Instance>, Refusal> {
    let instance: Option<ec2::Instance> =
        record::get(state, &keys::ec2(home).record(ec2::kind::INSTANCE, id))?;
    Ok(instance.map(|instance| Instance {
        vpc: instance.vpc,
        address: instance.address.into(),
        is_running: instance.state == InstanceState::Running,
    }))
}

/// The VPC a security group belongs to.
pub(crate) fn security_group_vpc(
    state: &mut impl Read,
    home: &Home,
    id: &SecurityGroupId,
) -> Result<Option<VpcId>, Refusal> {
    let group: Option<SecurityGroup> =
        record::get(state, &keys::ec2(home).record(ec2::kind::SECURITY_GROUP, id))?;
    Ok(group.map(|group| group.vpc))
}

/// Security groups an association or a gateway may have.
const MAX_SECURITY_GROUPS: usize = 5;

/// The security groups named, all of them groups of `vpc`.
pub(crate) fn security_groups(
    state: &mut impl Read,
    home: &Home,
    vpc: &Vpc,
    ids: &[String],
) -> Result<Vec<SecurityGroupId>, Refusal> {
    if ids.len() > MAX_SECURITY_GROUPS {
        return Err(invalid("securityGroupIds", format_args!("at most {MAX_SECURITY_GROUPS} are allowed")));
    }
    let mut found: Vec<SecurityGroupId> = Vec::with_capacity(ids.len());
    for text in ids {
        let missing = || not_found(Kind::SecurityGroup, text);
        let id: SecurityGroupId = text.parse().map_err(|_| missing())?;
        let owner = security_group_vpc(state, home, &id)?.ok_or_else(missing)?;
        if owner != *vpc.id() {
            return Err(invalid(
                "securityGroupIds",
                format_args!("{id} is not a security group of {}", vpc.id()),
            ));
        }
        if !found.contains(&id) {
            found.push(id);
        }
    }
    Ok(found)
}

/// The subnets named, at least one, all of them subnets of `vpc`.
pub(crate) fn subnets(
    state: &mut impl Read,
    home: &Home,
    vpc: &Vpc,
    ids: &[String],
) -> Result<Vec<SubnetId>, Refusal> {
    let mut found: Vec<SubnetId> = Vec::new();
    for text in ids {
        let missing = || not_found(Kind::Subnet, text);
        let id: SubnetId = text.parse().map_err(|_| missing())?;
        let subnet: Subnet =
            record::get(state, &keys::ec2(home).record(ec2::kind::SUBNET, &id))?.ok_or_else(missing)?;
        if subnet.vpc != *vpc.id() {
            return Err(invalid("subnetIds", format_args!("{id} is not a subnet of {}", vpc.id())));
        }
        if !found.contains(&id) {
            found.push(id);
        }
    }
    if found.is_empty() {
        return Err(invalid("subnetIds", "at least one is required"));
    }
    Ok(found)
}

/// How many addresses of each family a gateway has in each of its subnets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reserved {
    pub(crate) ipv4: usize,
    pub(crate) ipv6: usize,
}

/// Addresses of each subnet that nobody has, the highest: hosts are given the lowest.
///
/// # Errors
/// `ValidationException` when a subnet has fewer, or not the family.
pub(crate) fn reserve(
    state: &mut impl Read,
    home: &Home,
    subnets: &[SubnetId],
    count: Reserved,
) -> Result<BTreeMap<SubnetId, Vec<IpAddr>>, Refusal> {
    let tenants = ec2::Tenants {
        instances: all(state, &keys::ec2(home).records(ec2::kind::INSTANCE))?,
        gateways: all(state, &keys::lattice(home).records(kind::RESOURCE_GATEWAY))?,
    };
    let mut reserved = BTreeMap::new();
    for id in subnets {
        let subnet: Subnet = record::get(state, &keys::ec2(home).record(ec2::kind::SUBNET, id))?
            .ok_or_else(|| not_found(Kind::Subnet, id))?;
        let taken = tenants.of(id);
        let is_taken = |address: IpAddr| taken.contains_key(&address);
        let mut free: Vec<IpAddr> = subnet
            .free_from_the_top(|address| is_taken(address.into()))
            .take(count.ipv4)
            .map(IpAddr::from)
            .collect();
        if free.len() < count.ipv4 {
            let message =
                format_args!("{id} has {} free addresses where {} are needed", free.len(), count.ipv4);
            return Err(invalid("subnetIds", message));
        }
        if count.ipv6 > 0 {
            let Some(ipv6) = &subnet.ipv6 else {
                return Err(invalid("subnetIds", format_args!("{id} has no IPv6 addresses")));
            };
            let all = ipv6.free_from_the_top(|address| is_taken(address.into()));
            free.extend(all.take(count.ipv6).map(IpAddr::from));
        }
        reserved.insert(id.clone(), free);
    }
    Ok(reserved)
}

/// The ARN of the VPC.
pub(crate) fn arn(home: &Home, vpc: &VpcId) -> String {
    ec2::ec2_arn(home, format_args!("vpc/{vpc}"))
}

/// The ARNs of a VPC and of what is in it.
pub(crate) fn arns(
    home: &Home,
    vpc: &VpcId,
    security_groups: &[SecurityGroupId],
    subnets: &[SubnetId],
) -> Vec<String> {
    let groups = security_groups.iter().map(|id| ec2::ec2_arn(home, format_args!("security-group/{id}")));
    let subnets = subnets.iter().map(|id| ec2::ec2_arn(home, format_args!("subnet/{id}")));
    std::iter::once(arn(home, vpc)).chain(groups).chain(subnets).collect()
}
