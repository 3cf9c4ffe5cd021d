//! What VPC Lattice has to know of EC2: VPCs, their subnets, instances and security groups.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv6Net};
use trellis_model::resource::lattice::{Home, ResourceGateway, VpcAssociation};
use trellis_model::resource::vpc::{self as ec2, InstanceState, SecurityGroup, Subnet};
use trellis_model::{InstanceId, SecurityGroupId, SubnetId, VpcId};
use trellis_store::{Read, Transaction};

use super::association;
use super::place::{Place, kind};
use crate::ec2::Tenants;
use crate::keys::{self, last_part};
use crate::record::{self, all};
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
    let Some(vpc) = record::get::<ec2::Vpc>(state, &scope.record("vpc", id))? else { return Ok(None) };
    let subnets = all::<Subnet>(state, &scope.records("subnet"))?;
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
    let instance: Option<ec2::Instance> = record::get(state, &keys::ec2(home).record("instance", id))?;
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
    let group: Option<SecurityGroup> = record::get(state, &keys::ec2(home).record("security-group", id))?;
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
            record::get(state, &keys::ec2(home).record("subnet", &id))?.ok_or_else(missing)?;
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
    let tenants = Tenants::read(state, home)?;
    let mut reserved = BTreeMap::new();
    for id in subnets {
        let subnet: Subnet = record::get(state, &keys::ec2(home).record("subnet", id))?
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

/// Why the subnet cannot be deleted: a gateway that has addresses in it.
pub(crate) fn subnet_in_use(
    state: &mut impl Read,
    home: &Home,
    id: &SubnetId,
) -> Result<Option<String>, Refusal> {
    gateway_that(state, home, |gateway| gateway.subnets.contains(id))
}

/// Which gateway of the account something is in use by, in the words of a refusal.
fn gateway_that(
    state: &mut impl Read,
    home: &Home,
    uses: impl Fn(&ResourceGateway) -> bool,
) -> Result<Option<String>, Refusal> {
    let gateways: Vec<ResourceGateway> =
        all(state, &Place::new(home.clone()).scope.records(kind::RESOURCE_GATEWAY))?;
    Ok(gateways.into_iter().find(uses).map(|gateway| format!("a resource gateway ({})", gateway.id)))
}

/// Notes whether hosts of the VPC are answered private names: "enableDnsSupport and enableDnsHostnames".
pub(crate) fn note_dns_attributes(tx: &mut Transaction<'_>, vpc: &ec2::Vpc) -> Result<(), Refusal> {
    note(tx, vpc, kind::PRIVATE_NAMES, vpc.dns_support && vpc.dns_hostnames)
}

/// Notes whether hosts of the VPC may come by IPv6.
pub(crate) fn note_ipv6(tx: &mut Transaction<'_>, vpc: &ec2::Vpc) -> Result<(), Refusal> {
    note(tx, vpc, kind::IPV6_VPC, vpc.ipv6.is_some())
}

/// Has a record of `kind` for the VPC while `holds`; writes only what changes.
fn note(tx: &mut Transaction<'_>, vpc: &ec2::Vpc, kind: &str, holds: bool) -> Result<(), Refusal> {
    let key = keys::lattice(&vpc.home).record(kind, &vpc.id);
    match (holds, tx.get(&key)?) {
        (true, None) => record::put(tx, &key, &true),
        (false, Some(_)) => tx.delete(&key),
        _ => {}
    }
    Ok(())
}

/// The IPv6 address of a subnet's that a resource gateway has: it keeps the subnet's block where it is.
pub(crate) fn gateway_with_ipv6(
    state: &mut impl Read,
    home: &Home,
    id: &SubnetId,
) -> Result<Option<String>, Refusal> {
    gateway_that(state, home, |gateway| {
        gateway.addresses.get(id).is_some_and(|own| own.iter().any(IpAddr::is_ipv6))
    })
}

/// Whether the VPC is in a service network, or about to be.
pub(crate) fn is_associated(state: &mut impl Read, home: &Home, vpc: &VpcId) -> Result<bool, Refusal> {
    record::any(state, &Place::new(home.clone()).vpc_networks(vpc))
}

/// Why the VPC cannot be deleted: what of VPC Lattice still refers to it.
pub(crate) fn in_use(state: &mut impl Read, home: &Home, vpc: &VpcId) -> Result<Option<String>, Refusal> {
    let place = Place::new(home.clone());
    for (prefix, what) in [
        (place.vpc_networks(vpc), "a service network association"),
        (place.vpc_target_groups(vpc), "a target group"),
        (place.vpc_gateways(vpc), "a resource gateway"),
    ] {
        if let Some(entry) = state.scan(&prefix, None, 1)?.first() {
            return Ok(Some(format!("{what} ({})", last_part(&entry.key))));
        }
    }
    Ok(None)
}

/// Why the security group cannot be deleted: the association or gateway that has it.
pub(crate) fn security_group_in_use(
    state: &mut impl Read,
    home: &Home,
    id: &SecurityGroupId,
) -> Result<Option<String>, Refusal> {
    let place = Place::new(home.clone());
    if let Some(vpc) = security_group_vpc(state, home, id)? {
        // The record may be another account's: that of the network.
        for entry in record::scan_all(state, &place.vpc_networks(&vpc))? {
            let user: Option<VpcAssociation> = association::find(state, &place, last_part(&entry.key))?;
            if let Some(user) = user.filter(|user| user.security_groups.contains(id)) {
                return Ok(Some(format!("a service network association ({})", user.id)));
            }
        }
    }
    let gateways: Vec<ResourceGateway> = all(state, &place.scope.records(kind::RESOURCE_GATEWAY))?;
    let user = gateways.into_iter().find(|user| user.security_groups.contains(id));
    Ok(user.map(|gateway| format!("a resource gateway ({})", gateway.id)))
}
