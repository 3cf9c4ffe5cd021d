//! Subnets: create, describe, attributes, delete.

use serde::Deserialize;
use serde_json::{Value, json};
use trellis_frame::tags::{self as tag_set, Tags};
use trellis_frame::{Context, Refusal, reference};
use trellis_model::resource::lattice::Home;
use trellis_model::resource::vpc::{Instance, Subnet, SubnetIpv6, Tenants, Vpc};
use trellis_model::{SubnetId, VpcId};
use trellis_store::Read;

use super::filter::{Filters, names};
use super::input::{Filter, Flag, Request, TagSpecification, check_dry_run};
use super::listing::Page;
use super::place;
use super::{block, cidr, fault, tag, zone};
use crate::quota;

const RANGE: &str = "InvalidSubnet.Range";

/// The subnets of a VPC, in id order.
pub(super) fn in_vpc(state: &mut impl Read, home: &Home, vpc: &VpcId) -> Result<Vec<Subnet>, Refusal> {
    let mut subnets = place::all::<Subnet>(state, home)?;
    subnets.retain(|subnet| subnet.vpc == *vpc);
    Ok(subnets)
}

/// A subnet with what is known about it elsewhere.
struct Described {
    subnet: Subnet,
    tags: Tags,
    /// Addresses that a new instance could have.
    available: u32,
}

impl Described {
    fn new(subnet: Subnet, tags: Tags, tenants: &Tenants) -> Self {
        let used = tenants.of(&subnet.id).keys().filter(|address| address.is_ipv4()).count();
        let available = subnet.capacity().saturating_sub(u32::try_from(used).unwrap_or(u32::MAX));
        Self { subnet, tags, available }
    }

    fn value(&self) -> Value {
        let Self { subnet, tags, available } = self;
        let region = &subnet.home.region;
        json!({
            "SubnetId": subnet.id,
            "SubnetArn": subnet.arn(),
            "VpcId": subnet.vpc,
            "OwnerId": subnet.home.account,
            "CidrBlock": subnet.cidr,
            "AvailableIpAddressCount": available,
            "AvailabilityZone": zone::name(region, subnet.zone),
            "AvailabilityZoneId": zone::id(region, subnet.zone),
            "State": "available",
            "DefaultForAz": false,
            "MapPublicIpOnLaunch": subnet.map_public_ip,
            "MapCustomerOwnedIpOnLaunch": false,
            "AssignIpv6AddressOnCreation": subnet.assign_ipv6,
            "EnableDns64": false,
            "Ipv6Native": false,
            "Ipv6CidrBlockAssociationSet": subnet.ipv6.iter().map(|ipv6| cidr::subnet(ipv6, true)).collect::<Vec<_>>(),
            "PrivateDnsNameOptionsOnLaunch": {
                "HostnameType": "ip-name",
                "EnableResourceNameDnsARecord": false,
                "EnableResourceNameDnsAAAARecord": false,
            },
            "Tags": tag::describe(tags),
        })
    }

    fn field(&self, name: &str) -> Vec<String> {
        let Self { subnet, available, .. } = self;
        let region = &subnet.home.region;
        if let Some(what) = name.strip_prefix("ipv6-cidr-block-association.") {
            let of = |ipv6: &SubnetIpv6| cidr::field(what, &ipv6.association, ipv6.cidr);
            return subnet.ipv6.as_ref().map(of).into_iter().collect();
        }
        let value = match name {
            "availability-zone" | "availabilityZone" => zone::name(region, subnet.zone),
            "availability-zone-id" | "availabilityZoneId" => zone::id(region, subnet.zone),
            "available-ip-address-count" => available.to_string(),
            "cidr" | "cidr-block" | "cidrBlock" => subnet.cidr.to_string(),
            "default-for-az" | "defaultForAz" | "enable-dns64" | "ipv6-native" => "false".into(),
            "map-customer-owned-ip-on-launch" => "false".into(),
            "private-dns-name-options-on-launch.hostname-type" => "ip-name".into(),
            "private-dns-name-options-on-launch.enable-resource-name-dns-a-record"
            | "private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record" => "false".into(),
            "map-public-ip-on-launch" => subnet.map_public_ip.to_string(),
            "owner-id" => subnet.home.account.to_string(),
            "state" => "available".into(),
            "subnet-arn" => subnet.arn(),
            "subnet-id" => subnet.id.to_string(),
            "vpc-id" => subnet.vpc.to_string(),
            _ => return Vec::new(),
        };
        vec![value]
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct CreateInput {
    vpc_id: String,
    cidr_block: Option<String>,
    availability_zone: Option<String>,
    availability_zone_id: Option<String>,
    ipv6_cidr_block: Option<String>,
    ipv6_native: Option<bool>,
    #[serde(default)]
    tag_specifications: Vec<TagSpecification>,
}

pub(super) async fn create(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let (input, dry_run) = Request::<CreateInput>::read(input)?.into_parts();
    if input.ipv6_native == Some(true) {
        return Err(fault::unsupported("IPv6-only subnets are not supported"));
    }
    let text = input
        .cidr_block
        .ok_or_else(|| fault::missing("Either 'cidrBlock' or 'ipv6CidrBlock' should be provided."))?;
    let cidr = block::parse(&text, RANGE)?;
    let ipv6 = match input.ipv6_cidr_block {
        Some(text) => Some(cidr::new_subnet(ctx, &text)?),
        None => None,
    };
    let (by_name, by_id) = (input.availability_zone.as_deref(), input.availability_zone_id.as_deref());
    let zone = zone::chosen(&ctx.caller.region, by_name, by_id)?;
    let tags = tag::specified(input.tag_specifications, "subnet")?;
    place::parse::<Vpc>(&input.vpc_id)?;
    let (home, now) = (ctx.home(), ctx.now);
    let id = SubnetId::from_random(ctx.random());
    let limit = ctx.quotas().limit(&quota::SUBNETS_PER_VPC);
    let described = ctx
        .transact(move |tx| {
            let vpc: Vpc = place::find(tx, &home, &input.vpc_id)?;
            if !vpc.cidr.contains(&cidr) {
                return Err(block::out_of_range(&text, RANGE));
            }
            let siblings = in_vpc(tx, &home, &vpc.id)?;
            if siblings.iter().any(|sibling| block::overlap(sibling.cidr, cidr)) {
                let message = format!("The CIDR '{cidr}' conflicts with another subnet");
                return Err(fault::refuse("InvalidSubnet.Conflict", message));
            }
            if let Some(ipv6) = &ipv6 {
                cidr::check_subnet(&vpc, &siblings, ipv6)?;
            }
            if siblings.len() as u64 >= limit {
                let message = format!("The maximum number of subnets has been reached: {limit}.");
                return Err(fault::refuse("SubnetLimitExceeded", message));
            }
            check_dry_run(dry_run)?;
            let subnet = Subnet {
                id: id.clone(),
                home: home.clone(),
                vpc: vpc.id,
                cidr,
                ipv6: ipv6.clone(),
                assign_ipv6: false,
                zone,
                map_public_ip: false,
                created_at: now,
            };
            place::put(tx, &subnet);
            place::remember_place(tx, &home, id.as_str());
            tag::apply(tx, &home, &subnet.arn(), &tags)?;
            Ok(Described::new(subnet, tags.clone(), &Tenants::default()))
        })
        .await?;
    Ok(json!({"Subnet": described.value()}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DescribeInput {
    #[serde(default)]
    subnet_ids: Vec<String>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

pub(super) fn describe(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let input = Request::<DescribeInput>::read(input)?.into_read()?;
    let filters = Filters::new(input.filters, names::SUBNETS)?;
    let page = Page::of("DescribeSubnets", &filters, input.max_results, input.next_token.as_deref())?;
    let (state, home) = (&mut ctx.read()?, ctx.home());
    let tenants = place::tenants(state, &home)?;
    let mut found = Vec::new();
    for subnet in place::chosen::<Subnet>(state, &home, &input.subnet_ids)? {
        let tags = tag::of(state, &home, &subnet.arn())?;
        let described = Described::new(subnet, tags, &tenants);
        if filters.pass(&described.tags, |name| described.field(name)) {
            found.push(described);
        }
    }
    let (found, next) = page.cut(found, |described| described.subnet.id.as_str());
    let subnets: Vec<Value> = found.iter().map(Described::value).collect();
    Ok(json!({"Subnets": subnets, "NextToken": next}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ModifyInput {
    subnet_id: String,
    assign_ipv6_address_on_creation: Option<Flag>,
    map_public_ip_on_launch: Option<Flag>,
}

/// "Only one attribute can be modified at a time."
enum Attribute {
    AssignIpv6(bool),
    MapPublicIp(bool),
}

pub(super) async fn modify_attribute(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let (input, _) = Request::<ModifyInput>::read(input)?.into_parts();
    let attribute = match (input.assign_ipv6_address_on_creation, input.map_public_ip_on_launch) {
        (Some(flag), None) => Attribute::AssignIpv6(flag.value),
        (None, Some(flag)) => Attribute::MapPublicIp(flag.value),
        (None, None) => {
            return Err(fault::missing("The request must contain one attribute to change"));
        }
        (Some(_), Some(_)) => {
            return Err(fault::combination("Fields for multiple attribute types specified"));
        }
    };
    let home = ctx.home();
    ctx.transact(move |tx| {
        let mut subnet: Subnet = place::find(tx, &home, &input.subnet_id)?;
        match attribute {
            Attribute::AssignIpv6(true) if subnet.ipv6.is_none() => {
                return Err(fault::invalid_value(format_args!(
                    "Invalid value 'true' for assignIpv6AddressOnCreation. The subnet '{}' does not have an IPv6 \
                     CIDR block.",
                    subnet.id
                )));
            }
            Attribute::AssignIpv6(value) => subnet.assign_ipv6 = value,
            Attribute::MapPublicIp(value) => subnet.map_public_ip = value,
        }
        place::put(tx, &subnet);
        Ok(())
    })
    .await?;
    Ok(json!({}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DeleteInput {
    subnet_id: String,
}

pub(super) async fn delete(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let (input, dry_run) = Request::<DeleteInput>::read(input)?.into_parts();
    let (home, inside) = (ctx.home(), ctx.surroundings.clone());
    ctx.transact(move |tx| {
        let subnet: Subnet = place::find(tx, &home, &input.subnet_id)?;
        let is_lived_in =
            |instance: &Instance| instance.subnet == subnet.id && instance.state.holds_resources();
        if place::all::<Instance>(tx, &home)?.iter().any(is_lived_in) {
            return Err(fault::dependency(format_args!(
                "The subnet '{}' has dependencies and cannot be deleted.",
                subnet.id
            )));
        }
        if let Some(user) = reference::holder_named(tx, &inside.services, &subnet.arn())? {
            return Err(fault::dependency(format_args!(
                "The subnet '{}' has dependencies and cannot be deleted: {user}.",
                subnet.id
            )));
        }
        check_dry_run(dry_run)?;
        tx.delete(&place::key::<Subnet>(&home, subnet.id.as_str()));
        place::forget_place(tx, subnet.id.as_str());
        tag_set::forget(tx, &home, &subnet.arn());
        Ok(())
    })
    .await?;
    Ok(json!({}))
}
