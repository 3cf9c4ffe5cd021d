//! What VPC Lattice has to know of EC2: VPCs, their subnets, instances and security groups.

use std::net::IpAddr;

use ipnet::Ipv4Net;
use trellis_model::resource::lattice::{Home, VpcAssociation};
use trellis_model::resource::vpc::{self as ec2, InstanceState, SecurityGroup, Subnet};
use trellis_model::{InstanceId, SecurityGroupId, VpcId};
use trellis_store::Read;

use super::place::{Place, kind};
use crate::keys::{Scope, last_part};
use crate::record::{self, all, any};
use crate::refusal::{Kind, Refusal, not_found};

/// A VPC and where its hosts can be.
#[derive(Debug)]
pub(crate) struct Vpc {
    id: VpcId,
    subnets: Vec<Ipv4Net>,
}

impl Vpc {
    pub(crate) fn id(&self) -> &VpcId {
        &self.id
    }

    /// VPCs have IPv4 blocks alone in this release.
    pub(crate) fn has_ipv6(&self) -> bool {
        false
    }

    pub(crate) fn has_subnet_with(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => self.subnets.iter().any(|subnet| subnet.contains(&ip)),
            IpAddr::V6(_) => false,
        }
    }
}

/// The VPC, if the account has it.
pub(crate) fn get(state: &mut impl Read, home: &Home, id: &VpcId) -> Result<Option<Vpc>, Refusal> {
    let scope = Scope::ec2(home);
    let Some(vpc) = record::get::<ec2::Vpc>(state, &scope.record("vpc", id))? else { return Ok(None) };
    let subnets = all::<Subnet>(state, &scope.records("subnet"))?;
    let subnets = subnets.into_iter().filter(|subnet| subnet.vpc == vpc.id).map(|subnet| subnet.cidr);
    Ok(Some(Vpc { subnets: subnets.collect(), id: vpc.id }))
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
    let instance: Option<ec2::Instance> = record::get(state, &Scope::ec2(home).record("instance", id))?;
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
    let group: Option<SecurityGroup> = record::get(state, &Scope::ec2(home).record("security-group", id))?;
    Ok(group.map(|group| group.vpc))
}

/// Why the VPC cannot be deleted: what of VPC Lattice still refers to it.
pub(crate) fn in_use(state: &mut impl Read, home: &Home, vpc: &VpcId) -> Result<Option<String>, Refusal> {
    let place = Place::new(home.clone());
    for (prefix, what) in [
        (place.vpc_networks(vpc), "a service network association"),
        (place.vpc_target_groups(vpc), "a target group"),
    ] {
        if let Some(entry) = state.scan(&prefix, None, 1)?.first() {
            return Ok(Some(format!("{what} ({})", last_part(&entry.key))));
        }
    }
    Ok(None)
}

/// Why the security group cannot be deleted: the association that has it.
pub(crate) fn security_group_in_use(
    state: &mut impl Read,
    home: &Home,
    id: &SecurityGroupId,
) -> Result<Option<String>, Refusal> {
    let prefix = Place::new(home.clone()).scope.records(kind::VPC_ASSOCIATION);
    if !any(state, &prefix)? {
        return Ok(None);
    }
    let associations: Vec<VpcAssociation> = all(state, &prefix)?;
    let user = associations.into_iter().find(|association| association.security_groups.contains(id));
    Ok(user.map(|association| format!("a service network association ({})", association.id)))
}
