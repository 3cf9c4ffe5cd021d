//! The managed prefix lists, as EC2 describes them: see [`PrefixList`].

use serde::Deserialize;
use serde_json::{Value, json};
use trellis_frame::tags::Tags;
use trellis_frame::{Context, Refusal};
use trellis_model::resource::vpc::PrefixList;
use trellis_model::{PrefixListId, Region};

use super::fault;
use super::filter::Filters;
use super::input::{Filter, Request};
use super::listing::Page;

/// Whether rules of security groups in `region` may name it.
pub(super) fn exists(region: &Region, id: &PrefixListId) -> bool {
    PrefixList::all(region).iter().any(|list| list.id == id.as_str())
}

/// What all lists together stand for.
pub(super) fn every_block(region: &Region) -> Vec<ipnet::IpNet> {
    PrefixList::all(region).iter().flat_map(PrefixList::blocks).collect()
}

fn chosen(region: &Region, ids: &[String]) -> Result<Vec<PrefixList>, Refusal> {
    for id in ids {
        id.parse::<PrefixListId>().map_err(|_| {
            let id = fault::quoted(id);
            fault::refuse("InvalidPrefixListId.Malformed", format_args!("Invalid id: \"{id}\""))
        })?;
        find(region, id)?;
    }
    Ok(PrefixList::all(region).into_iter().filter(|list| ids.is_empty() || ids.contains(&list.id)).collect())
}

fn find(region: &Region, id: &str) -> Result<PrefixList, Refusal> {
    PrefixList::all(region).into_iter().find(|list| list.id == id).ok_or_else(|| {
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
