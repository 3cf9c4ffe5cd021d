//! What every VPC has by itself: its main route table and its default network ACL.
//!
//! Neither can be changed. The table routes within the VPC and, while the VPC is associated with a service network, to
//! VPC Lattice, which is what the kernel does; the ACL lets everything pass. Clients that manage a VPC look both up after making it.

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Value, json};
use trellis_api::Exception;
use trellis_model::resource::lattice::Home;
use trellis_model::resource::vpc::{Subnet, Vpc};
use trellis_store::Read;

use super::filter::Filters;
use super::input::{Filter, Request};
use super::listing::Page;
use super::place;
use super::{fault, prefix_list};
use crate::context::Context;
use crate::lattice;
use crate::refusal::Refusal;
use crate::tag_set::Tags;

fn table_id(vpc: &Vpc) -> String {
    format!("rtb-{}", vpc.id.suffix())
}

fn acl_id(vpc: &Vpc) -> String {
    format!("acl-{}", vpc.id.suffix())
}

/// VPCs with their subnets, for those of `ids` that `id_of` names, or all.
fn chosen(
    state: &mut impl Read,
    home: &Home,
    ids: &[String],
    id_of: impl Fn(&Vpc) -> String,
    not_found: &'static str,
) -> Result<Vec<(Vpc, Vec<Subnet>)>, Refusal> {
    let mut vpcs = place::all::<Vpc>(state, home)?;
    if let Some(id) = ids.iter().find(|id| !vpcs.iter().any(|vpc| id_of(vpc) == **id)) {
        let id = fault::quoted(id);
        return Err(fault::refuse(not_found, format_args!("The ID '{id}' does not exist")));
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

const TABLE_FILTERS: [&str; 15] = [
    "association.gateway-id",
    "association.main",
    "association.route-table-association-id",
    "association.route-table-id",
    "association.subnet-id",
    "owner-id",
    "route-table-id",
    "route.destination-cidr-block",
    "route.destination-ipv6-cidr-block",
    "route.gateway-id",
    "route.nat-gateway-id",
    "route.origin",
    "route.state",
    "route.vpc-peering-connection-id",
    "vpc-id",
];

pub(super) fn describe_route_tables(ctx: &Context, input: Value) -> Result<Value, Exception> {
    let input = Request::<TablesInput>::read(input)?.into_read()?;
    let filters = Filters::new(input.filters, &TABLE_FILTERS)?;
    let page = Page::of("DescribeRouteTables", &filters, input.max_results, input.next_token.as_deref())?;
    let (home, state) = (ctx.home(), &mut ctx.read()?);
    let ids = &input.route_table_ids;
    let mut found = Vec::new();
    for (vpc, _) in chosen(state, &home, ids, table_id, "InvalidRouteTableID.NotFound")? {
        let is_associated = lattice::vpc::is_associated(state, &home, &vpc.id)?;
        let routes = routes(&vpc, is_associated);
        found.push((vpc, routes));
    }
    // "association.subnet-id" finds explicit associations, which there are none of.
    found.retain(|(vpc, routes)| {
        let of_routes = |member: &str| {
            let texts = routes.iter().filter_map(|route| route[member].as_str());
            texts.map(str::to_owned).collect::<Vec<_>>()
        };
        filters.pass(&Tags::new(), |name| match name {
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
    let (found, next) = page.cut(found, |(vpc, _)| vpc.id.as_str());
    let tables: Vec<Value> = found
        .iter()
        .map(|(vpc, routes)| {
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
                "Tags": [],
            })
        })
        .collect();
    Ok(json!({"RouteTables": tables, "NextToken": next}))
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

const ACL_FILTERS: [&str; 7] = [
    "association.association-id",
    "association.network-acl-id",
    "association.subnet-id",
    "default",
    "network-acl-id",
    "owner-id",
    "vpc-id",
];

pub(super) fn describe_network_acls(ctx: &Context, input: Value) -> Result<Value, Exception> {
    let input = Request::<AclsInput>::read(input)?.into_read()?;
    let filters = Filters::new(input.filters, &ACL_FILTERS)?;
    let page = Page::of("DescribeNetworkAcls", &filters, input.max_results, input.next_token.as_deref())?;
    let home = ctx.home();
    let ids = &input.network_acl_ids;
    let mut found = chosen(&mut ctx.read()?, &home, ids, acl_id, "InvalidNetworkAclID.NotFound")?;
    found.retain(|(vpc, subnets)| {
        filters.pass(&Tags::new(), |name| match name {
            "association.association-id" => subnets.iter().map(association_id).collect(),
            "association.subnet-id" => subnets.iter().map(|subnet| subnet.id.to_string()).collect(),
            "association.network-acl-id" | "network-acl-id" => vec![acl_id(vpc)],
            "default" => vec!["true".into()],
            "owner-id" => vec![home.account.to_string()],
            _ => vec![vpc.id.to_string()],
        })
    });
    let (found, next) = page.cut(found, |(vpc, _)| vpc.id.as_str());
    let acls: Vec<Value> = found
        .iter()
        .map(|(vpc, subnets)| {
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
                "Tags": [],
            })
        })
        .collect();
    Ok(json!({"NetworkAcls": acls, "NextToken": next}))
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
