//! The managed prefix lists of VPC Lattice: the ranges that services and resources are found in.
//!
//! "The names are `com.amazonaws.<region>.vpc-lattice` and `com.amazonaws.<region>.ipv6.vpc-lattice`."
//! They belong to AWS, cannot be changed, and have the same ids for as long as a region has its name.

use serde::Deserialize;
use serde_json::{Value, json};
use trellis_model::{PrefixListId, Region};

use super::fault;
use super::filter::Filters;
use super::input::{Filter, Request};
use super::listing::{Page, stable_suffix};
use crate::context::Context;
use crate::refusal::Refusal;
use crate::tag_set::Tags;

struct PrefixList {
    id: String,
    name: String,
    family: &'static str,
    /// In the order of their texts.
    cidrs: &'static [&'static str],
}

/// Both lists of `region`, in id order.
fn lists(region: &Region) -> [PrefixList; 2] {
    let list = |label: &str, family, cidrs| {
        let name = format!("com.amazonaws.{region}.{label}");
        let id = PrefixListId::from_random(stable_suffix(&name)).to_string();
        PrefixList { id, name, family, cidrs }
    };
    let mut lists = [
        list("vpc-lattice", "IPv4", &["129.224.0.0/17", "169.254.171.0/24"]),
        list("ipv6.vpc-lattice", "IPv6", &["fd00:ec2:80::/64"]),
    ];
    lists.sort_unstable_by(|one, other| one.id.cmp(&other.id));
    lists
}

/// Whether rules of security groups in `region` may name it.
pub(super) fn exists(region: &Region, id: &PrefixListId) -> bool {
    lists(region).iter().any(|list| list.id == id.as_str())
}

/// The addresses a list stands for; none for one there is not.
pub(super) fn blocks(region: &Region, id: &PrefixListId) -> Vec<ipnet::IpNet> {
    let lists = lists(region);
    let cidrs = lists.iter().find(|list| list.id == id.as_str()).map_or(&[][..], |list| list.cidrs);
    cidrs.iter().filter_map(|cidr| cidr.parse().ok()).collect()
}

/// What all lists together stand for.
pub(super) fn every_block(region: &Region) -> Vec<ipnet::IpNet> {
    lists(region).iter().flat_map(|list| list.cidrs).filter_map(|cidr| cidr.parse().ok()).collect()
}

fn chosen(region: &Region, ids: &[String]) -> Result<Vec<PrefixList>, Refusal> {
    for id in ids {
        id.parse::<PrefixListId>().map_err(|_| {
            let id = fault::quoted(id);
            fault::refuse("InvalidPrefixListId.Malformed", format_args!("Invalid id: \"{id}\""))
        })?;
        find(region, id)?;
    }
    Ok(lists(region).into_iter().filter(|list| ids.is_empty() || ids.contains(&list.id)).collect())
}

fn find(region: &Region, id: &str) -> Result<PrefixList, Refusal> {
    lists(region).into_iter().find(|list| list.id == id).ok_or_else(|| {
        let id = fault::quoted(id);
        let message = format!("The prefix list ID '{id}' does not exist");
        fault::refuse("InvalidPrefixListID.NotFound", message)
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DescribeInput {
    #[serde(default)]
    prefix_list_ids: Vec<String>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

pub(super) fn describe(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let input = Request::<DescribeInput>::read(input)?.into_read()?;
    let filters = Filters::new(input.filters, &["owner-id", "prefix-list-id", "prefix-list-name"])?;
    // Pages of one may be asked for; there are only two lists, so the smallest page has them all.
    let size = input.max_results.map(|size| size.max(5));
    let page = Page::of("DescribeManagedPrefixLists", &filters, size, input.next_token.as_deref())?;
    let region = &ctx.caller.region;
    let found = chosen(region, &input.prefix_list_ids)?
        .into_iter()
        .filter(|list| {
            filters.pass(&Tags::new(), |filter| {
                vec![match filter {
                    "owner-id" => "AWS".into(),
                    "prefix-list-id" => list.id.clone(),
                    _ => list.name.clone(),
                }]
            })
        })
        .collect();
    let (lists, next) = page.cut(found, |list: &PrefixList| list.id.as_str());
    let lists: Vec<Value> = lists
        .iter()
        .map(|list| {
            json!({
                "PrefixListId": list.id,
                "PrefixListName": list.name,
                "PrefixListArn": format!("arn:aws:ec2:{region}:aws:prefix-list/{}", list.id),
                "AddressFamily": list.family,
                "State": "create-complete",
                "Version": 1,
                "MaxEntries": 10,
                "OwnerId": "AWS",
                "Tags": [],
            })
        })
        .collect();
    Ok(json!({"PrefixLists": lists, "NextToken": next}))
}

/// DescribePrefixLists: the same lists with what is in them, for older clients.
pub(super) fn describe_with_blocks(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let input = Request::<DescribeInput>::read(input)?.into_read()?;
    let filters = Filters::new(input.filters, &["prefix-list-id", "prefix-list-name"])?;
    let size = input.max_results.map(|size| size.max(5));
    let page = Page::of("DescribePrefixLists", &filters, size, input.next_token.as_deref())?;
    let mut found = chosen(&ctx.caller.region, &input.prefix_list_ids)?;
    found.retain(|list| {
        filters.pass(&Tags::new(), |filter| {
            vec![if filter == "prefix-list-id" { list.id.clone() } else { list.name.clone() }]
        })
    });
    let (lists, next) = page.cut(found, |list: &PrefixList| list.id.as_str());
    let lists: Vec<Value> = lists
        .iter()
        .map(|list| json!({"PrefixListId": list.id, "PrefixListName": list.name, "Cidrs": list.cidrs}))
        .collect();
    Ok(json!({"PrefixLists": lists, "NextToken": next}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct EntriesInput {
    prefix_list_id: String,
    target_version: Option<i64>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

pub(super) fn entries(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let input = Request::<EntriesInput>::read(input)?.into_read()?;
    let size = input.max_results.map(|size| size.max(5));
    let page = Page::new("GetManagedPrefixListEntries", size, input.next_token.as_deref())?;
    let list = chosen(&ctx.caller.region, std::slice::from_ref(&input.prefix_list_id))?
        .into_iter()
        .next()
        .ok_or_else(|| fault::missing("The request must contain the parameter prefixListId"))?;
    if input.target_version.is_some_and(|version| version != 1) {
        return Err(fault::invalid_value("The prefix list has version 1 only"));
    }
    let (cidrs, next) = page.cut(list.cidrs.to_vec(), |cidr| cidr);
    let entries: Vec<Value> = cidrs.iter().map(|cidr| json!({"Cidr": cidr})).collect();
    Ok(json!({"Entries": entries, "NextToken": next}))
}
