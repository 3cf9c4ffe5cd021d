//! What every VPC has by itself: its main route table and its default network ACL.
//!
//! Neither can be changed but for its tags. The table routes within the VPC and, while the VPC is associated with a service network, to
//! VPC Lattice, which is what the kernel does; the ACL lets everything pass. Clients that manage a VPC look both up after making it.

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Value, json};
use trellis_frame::{Context, Refusal, record, reference};
use trellis_model::VpcId;
use trellis_model::resource::lattice::Home;
use trellis_model::resource::vpc::{Subnet, Vpc, ec2_arn};
use trellis_store::Read;

use super::filter::{Filters, names};
use super::input::{Filter, Request};
use super::listing::Page;
use super::place;
use super::{fault, prefix_list, tag};

fn table_id(vpc: &Vpc) -> String {
    format!("rtb-{}", vpc.id.suffix())
}

fn acl_id(vpc: &Vpc) -> String {
    format!("acl-{}", vpc.id.suffix())
}

/// The ARN of the main route table of a VPC.
pub(super) fn table_arn(vpc: &Vpc) -> String {
    ec2_arn(&vpc.home, format_args!("route-table/{}", table_id(vpc)))
}

/// The ARN of the default network ACL of a VPC.
pub(super) fn acl_arn(vpc: &Vpc) -> String {
    ec2_arn(&vpc.home, format_args!("network-acl/{}", acl_id(vpc)))
}

/// What a VPC has by itself, by id: the ARN of the table `rtb-...` or the ACL `acl-...`.
pub(super) fn find(state: &mut impl Read, home: &Home, id: &str) -> Result<Option<String>, Refusal> {
    let Some((kind, suffix)) = id.split_once('-') else { return Ok(None) };
    let Ok(vpc) = format!("vpc-{suffix}").parse::<VpcId>() else { return Ok(None) };
    let vpc: Option<Vpc> = record::get(state, &place::key::<Vpc>(home, vpc.as_str()))?;
    Ok(vpc.and_then(|vpc| match kind {
        "rtb" => Some(table_arn(&vpc)),
        "acl" => Some(acl_arn(&vpc)),
        _ => None,
    }))
}

pub(super) fn no_table(id: &str) -> Refusal {
    let message = format!("The routeTable ID '{}' does not exist", fault::quoted(id));
    fault::refuse("InvalidRouteTableID.NotFound", message)
}

pub(super) fn no_acl(id: &str) -> Refusal {
    let message = format!("The networkAcl ID '{}' does not exist", fault::quoted(id));
    fault::refuse("InvalidNetworkAclID.NotFound", message)
}

/// VPCs with their subnets, for those of `ids` that `id_of` names, or all.
fn chosen(
    state: &mut impl Read,
    home: &Home,
    ids: &[String],
    id_of: impl Fn(&Vpc) -> String,
    not_found: fn(&str) -> Refusal,
) -> Result<Vec<(Vpc, Vec<Subnet>)>, Refusal> {
    let mut vpcs = place::all::<Vpc>(state, home)?;
    if let Some(id) = ids.iter().find(|id| !vpcs.iter().any(|vpc| id_of(vpc) == **id)) {
        return Err(not_found(id));
    }
    vpcs.retain(|vpc| ids.is_empty() || ids.contains(&id_of(vpc)));
    let subnets = place::all::<Subnet>(state, home)?;
    Ok(vpcs
        .into_iter()
        .map(|vpc| {
            let inside = subnets.iter().filter(|subnet| subnet.vpc == vpc.id).cloned().collect();
            (vpc, inside)
        })
        .collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct TablesInput {
    #[serde(default)]
    route_table_ids: Vec<String>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

pub(super) fn describe_route_tables(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let input = Request::<TablesInput>::read(input)?.into_read()?;
    let filters = Filters::new(input.filters, names::ROUTE_TABLES)?;
    let page = Page::of("DescribeRouteTables", &filters, input.max_results, input.next_token.as_deref())?;
    let (home, state) = (ctx.home(), &mut ctx.read()?);
    let ids = &input.route_table_ids;
    let mut found = Vec::new();
    for (vpc, _) in chosen(state, &home, ids, table_id, no_table)? {
        let is_associated = is_in_network(state, &vpc)?;
        let routes = routes(&vpc, is_associated);
        let tags = tag::of(state, &home, &table_arn(&vpc))?;
        found.push((vpc, routes, tags));
    }
    // "association.subnet-id" finds explicit associations, which there are none of.
    found.retain(|(vpc, routes, tags)| {
        let of_routes = |member: &str| {
            let texts = routes.iter().filter_map(|route| route[member].as_str());
            texts.map(str::to_owned).collect::<Vec<_>>()
        };
        filters.pass(tags, |name| match name {
            "association.main" => vec!["true".into()],
            "association.route-table-association-id" => vec![format!("rtbassoc-{}", vpc.id.suffix())],
            "association.route-table-id" | "route-table-id" => vec![table_id(vpc)],
            "owner-id" => vec![home.account.to_string()],
            "route.destination-cidr-block" => of_routes("DestinationCidrBlock"),
            "route.destination-ipv6-cidr-block" => of_routes("DestinationIpv6CidrBlock"),
            "route.gateway-id" => of_routes("GatewayId"),
            "route.origin" => of_routes("Origin"),
            "route.state" => of_routes("State"),
            "vpc-id" => vec![vpc.id.to_string()],
            _ => vec![],
        })
    });
    let (found, next) = page.cut(found, |(vpc, _, _)| vpc.id.as_str());
    let tables: Vec<Value> = found
        .iter()
        .map(|(vpc, routes, tags)| {
            json!({
                "RouteTableId": table_id(vpc),
                "VpcId": vpc.id,
                "OwnerId": home.account,
                "Associations": [{
                    "Main": true,
                    "RouteTableAssociationId": format!("rtbassoc-{}", vpc.id.suffix()),
                    "RouteTableId": table_id(vpc),
                    "AssociationState": {"State": "associated"},
                }],
                "Routes": routes,
                "PropagatingVgws": [],
                "Tags": tag::describe(tags),
            })
        })
        .collect();
    Ok(json!({"RouteTables": tables, "NextToken": next}))
}

/// Whether the VPC is in a service network, or about to be: then an association of its account needs it.
fn is_in_network(state: &mut impl Read, vpc: &Vpc) -> Result<bool, Refusal> {
    let association = vpc.home.lattice_arn("servicenetworkvpcassociation/");
    Ok(!reference::holders_in(state, &vpc.arn(), &association, 1)?.is_empty())
}

/// Within the VPC, for each of its blocks, and to what the managed prefix lists name.
fn routes(vpc: &Vpc, is_associated: bool) -> Vec<Value> {
    let to = |block: IpNet, gateway: &str, origin: &str| {
        let destination = match block {
            IpNet::V4(_) => "DestinationCidrBlock",
            IpNet::V6(_) => "DestinationIpv6CidrBlock",
        };
        json!({destination: block, "GatewayId": gateway, "Origin": origin, "State": "active"})
    };
    let own = std::iter::once(IpNet::from(vpc.cidr)).chain(vpc.ipv6.iter().map(|ipv6| ipv6.cidr.into()));
    let mut routes: Vec<Value> = own.map(|block| to(block, "local", "CreateRouteTable")).collect();
    if is_associated {
        let blocks = prefix_list::every_block(&vpc.home.region).into_iter();
        let reached = blocks.filter(|block| vpc.ipv6.is_some() || matches!(block, IpNet::V4(_)));
        routes.extend(reached.map(|block| to(block, "VpcLattice", "CreateRoute")));
    }
    routes
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct AclsInput {
    #[serde(default)]
    network_acl_ids: Vec<String>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

pub(super) fn describe_network_acls(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let input = Request::<AclsInput>::read(input)?.into_read()?;
    let filters = Filters::new(input.filters, names::NETWORK_ACLS)?;
    let page = Page::of("DescribeNetworkAcls", &filters, input.max_results, input.next_token.as_deref())?;
    let (home, state) = (ctx.home(), &mut ctx.read()?);
    let ids = &input.network_acl_ids;
    let mut found = Vec::new();
    for (vpc, subnets) in chosen(state, &home, ids, acl_id, no_acl)? {
        let tags = tag::of(state, &home, &acl_arn(&vpc))?;
        found.push((vpc, subnets, tags));
    }
    found.retain(|(vpc, subnets, tags)| {
        let of_entries =
            |member: &str| entries(vpc).iter().filter_map(|entry| text(&entry[member])).collect();
        filters.pass(tags, |name| match name {
            "association.association-id" => subnets.iter().map(association_id).collect(),
            "association.subnet-id" => subnets.iter().map(|subnet| subnet.id.to_string()).collect(),
            "association.network-acl-id" | "network-acl-id" => vec![acl_id(vpc)],
            "default" => vec!["true".into()],
            "entry.cidr" => of_entries("CidrBlock"),
            "entry.ipv6-cidr" => of_entries("Ipv6CidrBlock"),
            "entry.egress" => of_entries("Egress"),
            "entry.protocol" => of_entries("Protocol"),
            "entry.rule-action" => of_entries("RuleAction"),
            "entry.rule-number" => of_entries("RuleNumber"),
            "owner-id" => vec![home.account.to_string()],
            "vpc-id" => vec![vpc.id.to_string()],
            _ => vec![],
        })
    });
    let (found, next) = page.cut(found, |(vpc, _, _)| vpc.id.as_str());
    let acls: Vec<Value> = found
        .iter()
        .map(|(vpc, subnets, tags)| {
            let associations: Vec<Value> = subnets
                .iter()
                .map(|subnet| {
                    json!({
                        "NetworkAclAssociationId": association_id(subnet),
                        "NetworkAclId": acl_id(vpc),
                        "SubnetId": subnet.id,
                    })
                })
                .collect();
            json!({
                "NetworkAclId": acl_id(vpc),
                "VpcId": vpc.id,
                "OwnerId": home.account,
                "IsDefault": true,
                "Associations": associations,
                "Entries": entries(vpc),
                "Tags": tag::describe(tags),
            })
        })
        .collect();
    Ok(json!({"NetworkAcls": acls, "NextToken": next}))
}

/// A value as filters have it.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn association_id(subnet: &Subnet) -> String {
    format!("aclassoc-{}", subnet.id.suffix())
}

/// All of each family that the VPC has may come and go.
fn entries(vpc: &Vpc) -> Vec<Value> {
    let all = |family: &str, block: &str, [allow, deny]: [u16; 2]| {
        [(false, allow, "allow"), (false, deny, "deny"), (true, allow, "allow"), (true, deny, "deny")]
            .map(|(egress, number, action)| entry(family, block, egress, number, action))
    };
    let mut entries = all("CidrBlock", "0.0.0.0/0", [100, 32767]).to_vec();
    if vpc.ipv6.is_some() {
        entries.extend(all("Ipv6CidrBlock", "::/0", [101, 32768]));
    }
    entries
}

fn entry(family: &str, block: &str, egress: bool, number: u16, action: &str) -> Value {
    json!({
        family: block,
        "Egress": egress,
        "Protocol": "-1",
        "RuleAction": action,
        "RuleNumber": number,
    })
}
