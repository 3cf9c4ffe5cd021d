//! IPv6 blocks: given to VPCs and subnets when they are made or later, described, taken away.
//!
//! A VPC has one at most, where EC2 allows five. Amazon's addresses are not ours to give: a VPC that asks for an
//! Amazon-provided block gets one of RFC 4193 ([`block::own_ipv6`]), and a caller may name any block, with a pool's
//! name or without one. Two VPCs may have the same. IPv4 blocks beside the first are refused.

use ipnet::Ipv6Net;
use serde::Deserialize;
use serde_json::{Value, json};
use trellis_frame::{Context, Refusal};
use trellis_model::resource::lattice::Home;
use trellis_model::resource::vpc::{Instance, Subnet, SubnetIpv6, Vpc, VpcIpv6};
use trellis_model::{SecurityGroupRuleId, SubnetId, VpcId};
use trellis_store::Read;

use super::input::Request;
use super::{block, fault, place, security_group, subnet, traits};

const VPC_RANGE: &str = "InvalidVpc.Range";
const SUBNET_RANGE: &str = "InvalidSubnet.Range";

/// How long a pool's name may be.
const MAX_POOL: usize = 128;

/// What a request says of a VPC's IPv6.
pub(super) struct WantedIpv6 {
    /// A block is to be chosen here.
    pub(super) provided: bool,
    pub(super) block: Option<String>,
    pub(super) pool: Option<String>,
    pub(super) border_group: Option<String>,
}

impl WantedIpv6 {
    /// The block for the VPC `id`; [`None`] when none is asked for.
    ///
    /// # Errors
    /// Two wishes at once, a block that no VPC can have, and a border group that is not the region.
    pub(super) fn check(self, ctx: &Context, id: &VpcId) -> Result<Option<VpcIpv6>, Refusal> {
        let region = &ctx.caller.region;
        if self.border_group.as_deref().is_some_and(|group| group != region.as_str()) {
            let message = format!("The network border group is {region}, as there are no local zones.");
            return Err(fault::invalid_value(message));
        }
        if self.provided && (self.block.is_some() || self.pool.is_some()) {
            return Err(fault::combination(
                "AmazonProvidedIpv6CidrBlock cannot be used with Ipv6CidrBlock or Ipv6Pool.",
            ));
        }
        if self.pool.as_ref().is_some_and(|pool| pool.is_empty() || pool.len() > MAX_POOL) {
            return Err(fault::invalid_value(format_args!("A pool's name has 1 to {MAX_POOL} bytes.")));
        }
        let (cidr, pool) = match (self.provided, self.block) {
            (true, _) => (block::own_ipv6(id), Some(VpcIpv6::AMAZON_POOL.to_owned())),
            (false, Some(text)) => {
                (block::parse_ipv6(&text, &block::VPC_IPV6_PREFIXES, VPC_RANGE)?, self.pool)
            }
            (false, None) if self.pool.is_some() => {
                return Err(fault::missing("Ipv6Pool needs an Ipv6CidrBlock."));
            }
            (false, None) => return Ok(None),
        };
        Ok(Some(VpcIpv6 { association: association_id("vpc", ctx), cidr, pool }))
    }
}

fn association_id(of: &str, ctx: &Context) -> String {
    format!("{of}-cidr-assoc-{}", VpcId::from_random(ctx.random()).suffix())
}

fn state(is_there: bool) -> Value {
    json!({"State": if is_there { "associated" } else { "disassociated" }})
}

/// The association of a VPC with a block that it has, or had.
pub(super) fn vpc(vpc: &Vpc, ipv6: &VpcIpv6, is_there: bool) -> Value {
    json!({
        "AssociationId": ipv6.association,
        "Ipv6CidrBlock": ipv6.cidr,
        "Ipv6CidrBlockState": state(is_there),
        "NetworkBorderGroup": vpc.home.region,
        "Ipv6Pool": ipv6.pool,
    })
}

/// The association of a subnet with a block that it has, or had.
pub(super) fn subnet(ipv6: &SubnetIpv6, is_there: bool) -> Value {
    json!({
        "AssociationId": ipv6.association,
        "Ipv6CidrBlock": ipv6.cidr,
        "Ipv6CidrBlockState": state(is_there),
    })
}

/// Value of a filter `ipv6-cidr-block-association.{what}`.
pub(super) fn field(what: &str, association: &str, cidr: Ipv6Net) -> String {
    match what {
        "association-id" => association.to_owned(),
        "ipv6-cidr-block" => cidr.to_string(),
        _ => "associated".to_owned(),
    }
}

/// A block for a subnet, as sent.
pub(super) fn new_subnet(ctx: &Context, text: &str) -> Result<SubnetIpv6, Refusal> {
    let cidr = block::parse_ipv6(text, &block::SUBNET_IPV6_PREFIXES, SUBNET_RANGE)?;
    Ok(SubnetIpv6 { association: association_id("subnet", ctx), cidr })
}

/// A subnet of `vpc` beside `siblings` may have the block.
pub(super) fn check_subnet(vpc: &Vpc, siblings: &[Subnet], wanted: &SubnetIpv6) -> Result<(), Refusal> {
    if !vpc.ipv6.as_ref().is_some_and(|ipv6| ipv6.cidr.contains(&wanted.cidr)) {
        return Err(block::out_of_range(&wanted.cidr.to_string(), SUBNET_RANGE));
    }
    let mut taken = siblings.iter().filter_map(|sibling| sibling.ipv6.as_ref());
    if taken.any(|taken| block::overlap_ipv6(taken.cidr, wanted.cidr)) {
        let message = format!("The CIDR '{}' conflicts with another subnet", wanted.cidr);
        return Err(fault::refuse("InvalidSubnet.Conflict", message));
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct AssociateVpcInput {
    vpc_id: String,
    cidr_block: Option<String>,
    amazon_provided_ipv6_cidr_block: Option<bool>,
    ipv6_cidr_block: Option<String>,
    ipv6_pool: Option<String>,
    ipv6_cidr_block_network_border_group: Option<String>,
}

pub(super) async fn associate_vpc(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let (input, _) = Request::<AssociateVpcInput>::read(input)?.into_parts();
    if input.cidr_block.is_some() {
        return Err(fault::unsupported("A VPC has one IPv4 block: another cannot be associated."));
    }
    let id = place::parse::<Vpc>(&input.vpc_id)?;
    let wanted = WantedIpv6 {
        provided: input.amazon_provided_ipv6_cidr_block == Some(true),
        block: input.ipv6_cidr_block,
        pool: input.ipv6_pool,
        border_group: input.ipv6_cidr_block_network_border_group,
    };
    let ipv6 = wanted
        .check(ctx, &id)?
        .ok_or_else(|| fault::missing("Either AmazonProvidedIpv6CidrBlock or Ipv6CidrBlock is needed."))?;
    let rule_id = SecurityGroupRuleId::from_random(ctx.random());
    let home = ctx.home();
    let answer = ctx
        .transact(move |tx| {
            let mut found: Vpc = place::find(tx, &home, &input.vpc_id)?;
            if found.ipv6.is_some() {
                let message = format!("The VPC '{}' has an IPv6 CIDR block, and may have one.", found.id);
                return Err(fault::refuse("CidrLimitExceeded", message));
            }
            found.ipv6 = Some(ipv6.clone());
            place::put(tx, &found);
            traits::note_ipv6(tx, &found)?;
            security_group::let_ipv6_out(tx, &found, rule_id.clone())?;
            Ok(json!({"VpcId": found.id, "Ipv6CidrBlockAssociation": vpc(&found, &ipv6, true)}))
        })
        .await?;
    Ok(answer)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DisassociateInput {
    association_id: String,
}

pub(super) async fn disassociate_vpc(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let (input, _) = Request::<DisassociateInput>::read(input)?.into_parts();
    let home = ctx.home();
    let answer = ctx
        .transact(move |tx| {
            let all = place::all::<Vpc>(tx, &home)?;
            if let Some(primary) = all.iter().find(|vpc| vpc.cidr_association_id() == input.association_id) {
                let message = format!("The primary CIDR block of '{}' cannot be disassociated.", primary.id);
                return Err(fault::refuse("OperationNotPermitted", message));
            }
            let of =
                |vpc: &Vpc| vpc.ipv6.as_ref().is_some_and(|ipv6| ipv6.association == input.association_id);
            let found = all.into_iter().find(of);
            let missing = || unknown("InvalidVpcCidrBlockAssociationID.NotFound", &input.association_id);
            let mut found = found.ok_or_else(missing)?;
            let ipv6 = found.ipv6.take().ok_or_else(missing)?;
            let subnets = subnet::in_vpc(tx, &home, &found.id)?;
            if let Some(user) = subnets.iter().find(|subnet| subnet.ipv6.is_some()) {
                let message = format!("The vpc CIDR '{}' is in use by a subnet ({}).", ipv6.cidr, user.id);
                return Err(fault::refuse("InvalidCidrBlock.InUse", message));
            }
            place::put(tx, &found);
            traits::note_ipv6(tx, &found)?;
            Ok(json!({"VpcId": found.id, "Ipv6CidrBlockAssociation": vpc(&found, &ipv6, false)}))
        })
        .await?;
    Ok(answer)
}

fn unknown(code: &'static str, association: &str) -> Refusal {
    let association = fault::quoted(association);
    fault::refuse(code, format_args!("The association ID '{association}' does not exist"))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct AssociateSubnetInput {
    subnet_id: String,
    ipv6_cidr_block: Option<String>,
}

pub(super) async fn associate_subnet(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let (input, _) = Request::<AssociateSubnetInput>::read(input)?.into_parts();
    let text = input
        .ipv6_cidr_block
        .ok_or_else(|| fault::missing("The request must contain the parameter ipv6CidrBlock"))?;
    let ipv6 = new_subnet(ctx, &text)?;
    let home = ctx.home();
    let answer = ctx
        .transact(move |tx| {
            let mut found: Subnet = place::find(tx, &home, &input.subnet_id)?;
            if found.ipv6.is_some() {
                let message = format!("The subnet '{}' has an IPv6 CIDR block, and may have one.", found.id);
                return Err(fault::refuse("CidrLimitExceeded", message));
            }
            let owner: Vpc = place::find(tx, &home, found.vpc.as_str())?;
            check_subnet(&owner, &subnet::in_vpc(tx, &home, &found.vpc)?, &ipv6)?;
            found.ipv6 = Some(ipv6.clone());
            place::put(tx, &found);
            Ok(json!({"SubnetId": found.id, "Ipv6CidrBlockAssociation": subnet(&ipv6, true)}))
        })
        .await?;
    Ok(answer)
}

pub(super) async fn disassociate_subnet(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let (input, _) = Request::<DisassociateInput>::read(input)?.into_parts();
    let home = ctx.home();
    let answer = ctx
        .transact(move |tx| {
            let id = &input.association_id;
            let of = |subnet: &Subnet| subnet.ipv6.as_ref().is_some_and(|ipv6| ipv6.association == *id);
            let found = place::all::<Subnet>(tx, &home)?.into_iter().find(of);
            let missing = || unknown("InvalidSubnetCidrBlockAssociationID.NotFound", id);
            let mut found = found.ok_or_else(missing)?;
            let ipv6 = found.ipv6.take().ok_or_else(missing)?;
            if let Some(user) = ipv6_user(tx, &home, &found.id)? {
                return Err(fault::dependency(format_args!(
                    "The IPv6 CIDR block '{}' of '{}' is in use by {user}.",
                    ipv6.cidr, found.id
                )));
            }
            found.assign_ipv6 = false;
            place::put(tx, &found);
            Ok(json!({"SubnetId": found.id, "Ipv6CidrBlockAssociation": subnet(&ipv6, false)}))
        })
        .await?;
    Ok(answer)
}

/// Who has an IPv6 address of the subnet.
fn ipv6_user(state: &mut impl Read, home: &Home, id: &SubnetId) -> Result<Option<String>, Refusal> {
    let has_one = |instance: &Instance| {
        instance.subnet == *id && instance.ipv6_address.is_some() && instance.state.holds_resources()
    };
    let tenants = place::tenants(state, home)?;
    if let Some(host) = tenants.instances.iter().find(|instance| has_one(instance)) {
        return Ok(Some(format!("host {} ({})", host.name, host.id)));
    }
    Ok(tenants.gateway_with_ipv6(id).map(|gateway| format!("a resource gateway ({})", gateway.id)))
}
