//! VPCs: create, describe, attributes, delete.

use serde::Deserialize;
use serde_json::{Value, json};
use trellis_frame::record;
use trellis_frame::tags::{self as tag_set, Tags};
use trellis_frame::{Context, Refusal, Services, counted, reference, settling};
use trellis_model::resource::vpc::{SecurityGroup, Vpc, VpcState, kind};
use trellis_model::{SecurityGroupId, SecurityGroupRuleId, VpcId};
use trellis_store::Read;

use super::filter::{Filters, names};
use super::input::{Filter, Flag, Request, TagSpecification, check_dry_run};
use super::listing::Page;
use super::{block, cidr, dhcp_options, fault, implied, place, security_group, subnet, tag, traits};
use crate::keys;
use crate::quota;

const RANGE: &str = "InvalidVpc.Range";

fn describe_one(vpc: &Vpc, tags: &Tags) -> Value {
    json!({
        "VpcId": vpc.id,
        "OwnerId": vpc.home.account,
        "CidrBlock": vpc.cidr,
        "CidrBlockAssociationSet": [{
            "AssociationId": vpc.cidr_association_id(),
            "CidrBlock": vpc.cidr,
            "CidrBlockState": {"State": "associated"},
        }],
        "Ipv6CidrBlockAssociationSet": vpc.ipv6.iter().map(|ipv6| cidr::vpc(vpc, ipv6, true)).collect::<Vec<_>>(),
        "DhcpOptionsId": dhcp_options::id(&vpc.home),
        "InstanceTenancy": "default",
        "IsDefault": false,
        "State": vpc.state,
        "Tags": tag::describe(tags),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct CreateInput {
    cidr_block: Option<String>,
    /// Kept as `default` whatever is asked: there is no hardware to dedicate.
    #[serde(rename = "InstanceTenancy")]
    _instance_tenancy: Option<String>,
    amazon_provided_ipv6_cidr_block: Option<bool>,
    ipv6_pool: Option<String>,
    ipv6_cidr_block: Option<String>,
    ipv6_cidr_block_network_border_group: Option<String>,
    #[serde(default)]
    tag_specifications: Vec<TagSpecification>,
}

pub(super) async fn create(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let (input, dry_run) = Request::<CreateInput>::read(input)?.into_parts();
    let ipv6 = cidr::WantedIpv6 {
        provided: input.amazon_provided_ipv6_cidr_block == Some(true),
        block: input.ipv6_cidr_block,
        pool: input.ipv6_pool,
        border_group: input.ipv6_cidr_block_network_border_group,
    };
    let text = input
        .cidr_block
        .ok_or_else(|| fault::missing("Either 'cidrBlock' or 'ipv4IpamPoolId' should be provided."))?;
    let cidr = block::parse(&text, RANGE)?;
    let tags = tag::specified(input.tag_specifications, "vpc")?;
    let id = VpcId::from_random(ctx.random());
    let vpc = Vpc {
        ipv6: ipv6.check(ctx, &id)?,
        id,
        home: ctx.home(),
        cidr,
        state: VpcState::Pending,
        dns_support: true,
        dns_hostnames: false,
        address_usage_metrics: false,
        default_security_group: SecurityGroupId::from_random(ctx.random()),
        created_at: ctx.now,
    };
    let rule_ids = [(); 3].map(|()| SecurityGroupRuleId::from_random(ctx.random()));
    let group = security_group::default_of(&vpc, rule_ids);
    let mut answer = json!({"Vpc": describe_one(&vpc, &tags)});
    let key = keys::ec2(&vpc.home).record(kind::VPC, &vpc.id);
    let limit = ctx.quotas().limit(&quota::VPCS_PER_REGION);
    ctx.transact(move |tx| {
        let scope = keys::ec2(&vpc.home);
        if counted::count(tx, &scope.records(kind::VPC))? as u64 >= limit {
            let message = format!("The maximum number of VPCs has been reached: {limit}.");
            return Err(fault::refuse("VpcLimitExceeded", message));
        }
        check_dry_run(dry_run)?;
        counted::put_record(tx, &scope.record(kind::VPC, &vpc.id), &vpc)?;
        place::put(tx, &group);
        traits::note_ipv6(tx, &vpc)?;
        place::remember_place(tx, &vpc.home, vpc.id.as_str());
        tag::apply(tx, &vpc.home, &vpc.arn(), &tags)
    })
    .await?;
    if let Some(deadline) = settling::deadline(ctx) {
        let there = settling::wait(ctx, deadline, &key, |record| {
            let state = serde_json::from_slice::<Vpc>(record?).ok()?.state;
            (state == VpcState::Available).then_some(state)
        });
        if let Some(state) = there.await {
            answer["Vpc"]["State"] = json!(state);
        }
    }
    Ok(answer)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DescribeInput {
    #[serde(default)]
    vpc_ids: Vec<String>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

fn field(vpc: &Vpc, name: &str) -> Vec<String> {
    if let Some(what) = name.strip_prefix("ipv6-cidr-block-association.") {
        let Some(ipv6) = &vpc.ipv6 else { return Vec::new() };
        return match what {
            "ipv6-pool" => ipv6.pool.iter().cloned().collect(),
            _ => vec![cidr::field(what, &ipv6.association, ipv6.cidr)],
        };
    }
    let value = match name {
        "cidr" | "cidr-block" | "cidrBlock" | "cidr-block-association.cidr-block" => vpc.cidr.to_string(),
        "cidr-block-association.association-id" => vpc.cidr_association_id(),
        "cidr-block-association.state" => "associated".into(),
        "dhcp-options-id" | "dhcpOptionsId" => dhcp_options::id(&vpc.home),
        "is-default" | "isDefault" => "false".into(),
        "owner-id" => vpc.home.account.to_string(),
        "state" => vpc.state.as_str().into(),
        "vpc-id" => vpc.id.to_string(),
        _ => return Vec::new(),
    };
    vec![value]
}

pub(super) fn describe(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let input = Request::<DescribeInput>::read(input)?.into_read()?;
    let filters = Filters::new(input.filters, names::VPCS)?;
    let page = Page::of("DescribeVpcs", &filters, input.max_results, input.next_token.as_deref())?;
    let (state, home) = (&mut ctx.read()?, ctx.home());
    let mut found = Vec::new();
    for vpc in place::chosen::<Vpc>(state, &home, &input.vpc_ids)? {
        let tags = tag::of(state, &home, &vpc.arn())?;
        if filters.pass(&tags, |name| field(&vpc, name)) {
            found.push((vpc, tags));
        }
    }
    let (found, next) = page.cut(found, |(vpc, _)| vpc.id.as_str());
    let vpcs: Vec<Value> = found.iter().map(|(vpc, tags)| describe_one(vpc, tags)).collect();
    Ok(json!({"Vpcs": vpcs, "NextToken": next}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct AttributeInput {
    vpc_id: String,
    attribute: String,
}

pub(super) fn describe_attribute(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let input = Request::<AttributeInput>::read(input)?.into_read()?;
    let vpc: Vpc = place::find(&mut ctx.read()?, &ctx.home(), &input.vpc_id)?;
    let (member, value) = match input.attribute.as_str() {
        "enableDnsSupport" => ("EnableDnsSupport", vpc.dns_support),
        "enableDnsHostnames" => ("EnableDnsHostnames", vpc.dns_hostnames),
        "enableNetworkAddressUsageMetrics" => ("EnableNetworkAddressUsageMetrics", vpc.address_usage_metrics),
        other => {
            let other = fault::quoted(other);
            let message = format!("Value ({other}) for parameter attribute is invalid. Unknown attribute.");
            return Err(fault::invalid_value(message));
        }
    };
    Ok(json!({"VpcId": vpc.id, member: {"Value": value}}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ModifyInput {
    vpc_id: String,
    enable_dns_support: Option<Flag>,
    enable_dns_hostnames: Option<Flag>,
    enable_network_address_usage_metrics: Option<Flag>,
}

/// "You can't modify the DNS resolution and DNS hostnames attributes in the same request."
pub(super) async fn modify_attribute(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let (input, _) = Request::<ModifyInput>::read(input)?.into_parts();
    let given =
        [input.enable_dns_support, input.enable_dns_hostnames, input.enable_network_address_usage_metrics];
    match given.iter().flatten().count() {
        1 => {}
        0 => return Err(fault::missing("The request must contain one attribute to change")),
        _ => return Err(fault::combination("Fields for multiple attribute types specified")),
    }
    let home = ctx.home();
    ctx.transact(move |tx| {
        let mut vpc: Vpc = place::find(tx, &home, &input.vpc_id)?;
        for (flag, attribute) in given.into_iter().zip([
            &mut vpc.dns_support,
            &mut vpc.dns_hostnames,
            &mut vpc.address_usage_metrics,
        ]) {
            *attribute = flag.map_or(*attribute, |flag| flag.value);
        }
        place::put(tx, &vpc);
        traits::note_dns_attributes(tx, &vpc)
    })
    .await?;
    Ok(json!({}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DeleteInput {
    vpc_id: String,
}

pub(super) async fn delete(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let (input, dry_run) = Request::<DeleteInput>::read(input)?.into_parts();
    let (home, inside) = (ctx.home(), ctx.surroundings.clone());
    ctx.transact(move |tx| {
        let vpc: Vpc = place::find(tx, &home, &input.vpc_id)?;
        if let Some(what) = user(tx, &inside.services, &vpc)? {
            return Err(fault::dependency(format_args!(
                "The vpc '{}' has dependencies and cannot be deleted: {what}.",
                vpc.id
            )));
        }
        check_dry_run(dry_run)?;
        counted::delete(tx, &place::key::<Vpc>(&home, vpc.id.as_str()))?;
        traits::note_dns_attributes(tx, &Vpc { dns_support: false, ..vpc.clone() })?;
        traits::note_ipv6(tx, &Vpc { ipv6: None, ..vpc.clone() })?;
        place::forget_place(tx, vpc.id.as_str());
        for arn in [vpc.arn(), implied::table_arn(&vpc), implied::acl_arn(&vpc)] {
            tag_set::forget(tx, &home, &arn);
        }
        let group_key = place::key::<SecurityGroup>(&home, vpc.default_security_group.as_str());
        if let Some(group) = record::get::<SecurityGroup>(tx, &group_key)? {
            security_group::remove(tx, &group);
        }
        Ok(())
    })
    .await?;
    Ok(json!({}))
}

/// Why the VPC cannot be deleted: what is in it or refers to it. What is in a subnet is in use through
/// the subnet.
fn user(state: &mut impl Read, services: &Services, vpc: &Vpc) -> Result<Option<String>, Refusal> {
    if let Some(what) = reference::holder_named(state, services, &vpc.arn())? {
        return Ok(Some(what));
    }
    if let Some(subnet) = subnet::in_vpc(state, &vpc.home, &vpc.id)?.first() {
        return Ok(Some(format!("a subnet ({})", subnet.id)));
    }
    let groups = place::all::<SecurityGroup>(state, &vpc.home)?;
    let own = groups.iter().find(|group| group.vpc == vpc.id && group.id != vpc.default_security_group);
    Ok(own.map(|group| format!("a security group ({})", group.id)))
}
