//! What callers name: roles, subnets, security groups.

use serde_json::Value;
use trellis_frame::{Records, Refusal, key};
use trellis_model::SubnetId;
use trellis_model::resource::iam::{self, Named, Role};
use trellis_model::resource::lattice::Home;
use trellis_model::resource::vpc::{SecurityGroup, Subnet, Vpc};
use trellis_store::Read;

use crate::invalid;

const SUBNETS: Records<Subnet> = Records::new("ec2", "subnet");
const GROUPS: Records<SecurityGroup> = Records::new("ec2", "security-group");
const VPCS: Records<Vpc> = Records::new("ec2", "vpc");
const ROLES: Records<Role> = Records::new(iam::SERVICE, iam::ROLE);

/// A role of the same account.
///
/// # Errors
/// `InvalidParameterException`.
pub(crate) fn role(state: &mut impl Read, home: &Home, arn: &str) -> Result<Role, Refusal> {
    let named = Named::parse(arn).filter(|named| named.kind == iam::ROLE);
    let named = named.ok_or_else(|| invalid(format_args!("The role ARN {arn:?} is not valid")))?;
    let found = match named.account == home.account.as_str() {
        true => ROLES.get(state, &key::global(&home.account), iam::id(named.name))?,
        false => return Err(invalid(format_args!("Cross-account pass role is not allowed: {arn}"))),
    };
    found.filter(|role| role.arn() == arn).ok_or_else(|| {
        invalid(format_args!(
            "Role with arn: {arn}, could not be assumed because it does not exist or the trusted entity is not correct"
        ))
    })
}

/// Subnets of one VPC.
///
/// # Errors
/// `InvalidParameterException`.
pub(crate) fn subnets(
    state: &mut impl Read,
    home: &Home,
    ids: &[String],
) -> Result<(Vpc, Vec<Subnet>), Refusal> {
    let mut found: Vec<Subnet> = Vec::new();
    for id in ids {
        let subnet = SUBNETS.get(state, home, id)?;
        let subnet = subnet.ok_or_else(|| invalid(format_args!("The subnet ID '{id}' does not exist")))?;
        if found.iter().all(|known| known.id != subnet.id) {
            found.push(subnet);
        }
    }
    let Some(first) = found.first() else { return Err(invalid("subnetIds must not be empty")) };
    if found.iter().any(|subnet| subnet.vpc != first.vpc) {
        return Err(invalid("Subnets must belong to the same VPC"));
    }
    let vpc = VPCS.get(state, home, &first.vpc)?;
    let vpc = vpc.ok_or_else(|| invalid(format_args!("The vpc ID '{}' does not exist", first.vpc)))?;
    Ok((vpc, found))
}

/// A subnet and its VPC, while there are both.
///
/// # Errors
/// A state that cannot be read.
pub(crate) fn subnet(
    state: &mut impl Read,
    home: &Home,
    id: &SubnetId,
) -> Result<Option<(Vpc, Subnet)>, Refusal> {
    let Some(subnet) = SUBNETS.get(state, home, id)? else { return Ok(None) };
    Ok(VPCS.get(state, home, &subnet.vpc)?.map(|vpc| (vpc, subnet)))
}

/// Security groups of the VPC.
///
/// # Errors
/// `InvalidParameterException`.
pub(crate) fn security_groups(
    state: &mut impl Read,
    home: &Home,
    vpc: &Vpc,
    ids: &[String],
) -> Result<(), Refusal> {
    for id in ids {
        let group = GROUPS.get(state, home, id)?.filter(|group| group.vpc == vpc.id);
        if group.is_none() {
            return Err(invalid(format_args!("The security group '{id}' does not exist in VPC {}", vpc.id)));
        }
    }
    Ok(())
}

/// What a caller asks for and there is none of here.
///
/// # Errors
/// `InvalidParameterException`, where `is_asked`.
pub(crate) fn refuse_when(is_asked: bool, what: &str) -> Result<(), Refusal> {
    if is_asked { Err(invalid(format_args!("{what} is not supported by Trellis"))) } else { Ok(()) }
}

/// A described structure as it is kept.
pub(crate) fn keep(value: Option<impl trellis_api::typed::IntoValue>) -> Option<Value> {
    value.map(trellis_api::typed::IntoValue::into_value)
}

/// What [`keep`] kept. What no longer reads is as if it had never been said.
pub(crate) fn kept<T: trellis_api::typed::FromValue>(value: Option<&Value>) -> Option<T> {
    T::from_value(value?.clone()).ok()
}

/// A choice by the wire's word.
pub(crate) fn choice<T: trellis_api::typed::Enumeration>(word: &str) -> Option<T> {
    T::ALL.iter().copied().find(|choice| choice.as_str() == word)
}

/// Names of Kubernetes objects: RFC 1123 labels and subdomains.
pub(crate) fn is_kubernetes_name(text: &str) -> bool {
    let is_plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    let is_end =
        |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    (1..=253).contains(&text.len())
        && text.bytes().all(is_plain)
        && is_end(text.bytes().next())
        && is_end(text.bytes().last())
}

/// From where the API server can be reached, as it will be. `cidrs` are those that the call brings.
pub(crate) fn check_access(
    is_public: bool,
    is_private: bool,
    cidrs: Option<&[String]>,
) -> Result<(), Refusal> {
    if !is_public && !is_private {
        return Err(invalid("Private and public endpoint access cannot both be false"));
    }
    for cidr in cidrs.unwrap_or_default() {
        if cidr.parse::<ipnet::IpNet>().is_err() {
            return Err(invalid(format_args!("The CIDR {cidr:?} in publicAccessCidrs is not valid")));
        }
    }
    Ok(())
}
