//! Tags as EC2 sees them: by resource id, on top of the one set of tags every service shares.

use serde::Deserialize;
use serde_json::{Value, json};
use trellis_frame::tags::{self as tag_set, MAX_TAGS, Tags};
use trellis_frame::{Context, Refusal};
use trellis_model::Arn;
use trellis_model::resource::lattice::Home;
use trellis_model::resource::vpc::{Instance, SecurityGroup, Subnet, Vpc};
use trellis_store::{Read, Transaction};

use super::fault;
use super::filter::{Filters, matches};
use super::input::{Filter, Request, Tag, TagSpecification, check_dry_run};
use super::listing::Page;
use super::security_group::rule;
use super::{dhcp_options, implied, instance, place};

/// Resources of one CreateTags or DeleteTags call.
const MAX_RESOURCES: usize = 1000;

/// Tags read at a time.
const BATCH: usize = 512;

/// Every tag of the resource `arn` names.
pub(super) fn of(state: &mut impl Read, home: &Home, arn: &str) -> Result<Tags, Refusal> {
    tag_set::read(state, home, arn)
}

/// `Tags` of an answer; absent when there are none, as EC2 has it.
pub(super) fn describe(tags: &Tags) -> Value {
    if tags.is_empty() {
        return Value::Null;
    }
    tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect()
}

/// The tags a create brings for the thing it makes, `resource_type` in EC2's words.
pub(super) fn specified(specifications: Vec<TagSpecification>, resource_type: &str) -> Result<Tags, Refusal> {
    let mut all = Vec::new();
    for specification in specifications {
        match specification.resource_type.as_deref() {
            Some(kind) if kind == resource_type => all.extend(specification.tags),
            Some(other) => {
                let other = fault::quoted(other);
                return Err(fault::invalid_value(format_args!(
                    "'{other}' is not a valid taggable resource type for this operation."
                )));
            }
            None => return Err(fault::missing("Tag specification resource type must have a value")),
        }
    }
    checked(all)
}

/// Tags to set: each key once, none reserved, lengths in order.
fn checked(list: Vec<Tag>) -> Result<Tags, Refusal> {
    let mut tags = Tags::new();
    for Tag { key, value } in list {
        if key.is_empty() || key.chars().count() > 128 {
            return Err(fault::invalid_value("Tag keys have 1 to 128 characters."));
        }
        let value = value.unwrap_or_default();
        if value.chars().count() > 256 {
            return Err(fault::invalid_value("Tag values have at most 256 characters."));
        }
        if key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
            return Err(fault::invalid_value(format_args!(
                "Tag keys starting with 'aws:' are reserved for internal use: '{key}'"
            )));
        }
        if tags.contains_key(&key) {
            return Err(fault::invalid_value(format_args!("Duplicate tag key '{key}' specified.")));
        }
        tags.insert(key, value);
    }
    if tags.len() > MAX_TAGS {
        return Err(too_many());
    }
    Ok(tags)
}

fn too_many() -> Refusal {
    let message = format!("The maximum number of tags for a resource is {MAX_TAGS}.");
    fault::refuse("TagLimitExceeded", message)
}

/// Adds checked tags to a resource.
pub(super) fn apply(tx: &mut Transaction<'_>, home: &Home, arn: &str, tags: &Tags) -> Result<(), Refusal> {
    let mut all = tag_set::read(tx, home, arn)?;
    all.extend(tags.clone());
    if all.len() > MAX_TAGS {
        return Err(too_many());
    }
    tag_set::merge(tx, home, arn, tags)
}

/// The ARN of the resource with `id`, which must exist.
fn arn_of(state: &mut impl Read, home: &Home, id: &str) -> Result<String, Refusal> {
    Ok(match id.split_once('-').map(|(prefix, _)| prefix) {
        Some("vpc") => place::find::<Vpc>(state, home, id)?.arn(),
        Some("subnet") => place::find::<Subnet>(state, home, id)?.arn(),
        Some("i") => place::find::<Instance>(state, home, id)?.arn(),
        Some("sg") => place::find::<SecurityGroup>(state, home, id)?.arn(),
        Some("sgr") => rule::arn(home, &rule::find(state, home, id)?.1.id),
        Some("rtb") => implied::find(state, home, id)?.ok_or_else(|| implied::no_table(id))?,
        Some("dopt") => dhcp_options::arn(home, id).ok_or_else(|| dhcp_options::none(id))?,
        Some("acl") => implied::find(state, home, id)?.ok_or_else(|| implied::no_acl(id))?,
        Some("eni") => {
            let found = instance::with_interface(state, home, id)?;
            instance::interface_arn(&found.ok_or_else(|| instance::no_interface(id))?)
        }
        _ => {
            let id = fault::quoted(id);
            return Err(fault::refuse("InvalidID", format_args!("The ID '{id}' is not valid")));
        }
    })
}

/// For the Resource Groups Tagging API: refuses an ARN of `home` that names nothing.
pub(super) fn locate(mut state: &mut dyn Read, home: &Home, arn: &Arn) -> Result<(), Refusal> {
    match exists(&mut state, home, arn)? {
        true => Ok(()),
        false => Err(Refusal::unacceptable(format_args!("{arn} does not exist"))),
    }
}

/// Whether `arn`, an EC2 one of `home`, names something that exists.
fn exists(state: &mut impl Read, home: &Home, arn: &Arn) -> Result<bool, Refusal> {
    fn has<R: place::Resource>(state: &mut impl Read, home: &Home, id: &str) -> Result<bool, Refusal> {
        Ok(id.parse::<R::Id>().is_ok() && state.get(&place::key::<R>(home, id))?.is_some())
    }
    match arn.resource.split_once('/') {
        Some(("vpc", id)) => has::<Vpc>(state, home, id),
        Some(("subnet", id)) => has::<Subnet>(state, home, id),
        Some(("instance", id)) => has::<Instance>(state, home, id),
        Some(("security-group", id)) => has::<SecurityGroup>(state, home, id),
        Some(("route-table" | "network-acl", id)) => {
            Ok(implied::find(state, home, id)?.is_some_and(|known| known == arn.to_string()))
        }
        Some(("dhcp-options", id)) => {
            Ok(dhcp_options::arn(home, id).is_some_and(|known| known == arn.to_string()))
        }
        Some(("network-interface", id)) => Ok(instance::with_interface(state, home, id)?.is_some()),
        Some(("security-group-rule", id)) => match rule::find(state, home, id) {
            Ok(_) => Ok(true),
            Err(Refusal::Exception(_)) => Ok(false),
            Err(refusal) => Err(refusal),
        },
        _ => Ok(false),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct TagsInput {
    #[serde(default)]
    resources: Vec<String>,
    tags: Option<Vec<Tag>>,
}

impl TagsInput {
    fn check(&self) -> Result<(), Refusal> {
        match self.resources.len() {
            0 => Err(fault::missing("The request must contain the parameter resourceIdSet")),
            1..=MAX_RESOURCES => Ok(()),
            _ => Err(fault::invalid_value(format_args!("at most {MAX_RESOURCES} resources may be named"))),
        }
    }
}

pub(super) async fn create(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let (input, dry_run) = Request::<TagsInput>::read(input)?.into_parts();
    input.check()?;
    let tags = checked(input.tags.unwrap_or_default())?;
    if tags.is_empty() {
        return Err(fault::missing("The request must contain the parameter tagSet"));
    }
    let home = ctx.home();
    ctx.transact(move |tx| {
        for id in &input.resources {
            let arn = arn_of(tx, &home, id)?;
            apply(tx, &home, &arn, &tags)?;
        }
        check_dry_run(dry_run)
    })
    .await?;
    Ok(json!({}))
}

/// "If you specify a tag key without a tag value, we delete any tag with this key regardless of its
/// value. If you specify a tag value, we delete the tag only if its value matches. If you omit [the
/// tags], we delete all user-defined tags."
pub(super) async fn delete(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let (input, dry_run) = Request::<TagsInput>::read(input)?.into_parts();
    input.check()?;
    let home = ctx.home();
    ctx.transact(move |tx| {
        for id in &input.resources {
            let arn = arn_of(tx, &home, id)?;
            let Some(unwanted) = &input.tags else {
                tag_set::forget(tx, &home, &arn);
                continue;
            };
            let present = tag_set::read(tx, &home, &arn)?;
            let going = unwanted
                .iter()
                .filter(|tag| tag.value.as_ref().is_none_or(|value| present.get(&tag.key) == Some(value)));
            tag_set::remove(tx, &home, &arn, going.map(|tag| tag.key.as_str()))?;
        }
        check_dry_run(dry_run)
    })
    .await?;
    Ok(json!({}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DescribeInput {
    #[serde(default)]
    filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

struct Line {
    /// Resource id and key, which is the order of the list.
    order: String,
    id: String,
    kind: String,
    key: String,
    value: String,
}

pub(super) fn describe_all(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let input = Request::<DescribeInput>::read(input)?.into_read()?;
    // `tag:KEY` is a filter of its own here: it looks at the one tag of a line.
    let (by_tag, filters): (Vec<_>, Vec<_>) =
        input.filters.into_iter().partition(|filter| filter.name.starts_with("tag:"));
    let filters = Filters::new(filters, &["key", "resource-id", "resource-type", "value"])?;
    let by_tag_text: String = by_tag.iter().map(|f| format!("{}={};", f.name, f.values.join(","))).collect();
    let list = format!("DescribeTags;{}{by_tag_text}", filters.text());
    let page = Page::new(&list, input.max_results, input.next_token.as_deref())?;

    let mut lines = Vec::new();
    for (id, kind, tags) in tagged(&mut ctx.read()?, &ctx.home())? {
        for (key, value) in tags {
            let passes = filters.pass(&Tags::new(), |name| {
                vec![match name {
                    "key" => key.clone(),
                    "resource-id" => id.clone(),
                    "resource-type" => kind.clone(),
                    _ => value.clone(),
                }]
            }) && by_tag.iter().all(|filter| {
                filter.name.strip_prefix("tag:") == Some(key.as_str())
                    && filter.values.iter().any(|pattern| matches(pattern, &value))
            });
            if passes {
                let order = format!("{id} {key}");
                lines.push(Line { order, id: id.clone(), kind: kind.clone(), key, value });
            }
        }
    }
    lines.sort_unstable_by(|one, other| one.order.cmp(&other.order));
    let (lines, next) = page.cut(lines, |line| line.order.as_str());
    let tags: Vec<Value> = lines
        .into_iter()
        .map(|Line { id, kind, key, value, .. }| {
            json!({"ResourceId": id, "ResourceType": kind, "Key": key, "Value": value})
        })
        .collect();
    Ok(json!({"Tags": tags, "NextToken": next}))
}

/// Id, kind and tags of every tagged EC2 resource of `home`.
fn tagged(state: &mut impl Read, home: &Home) -> Result<Vec<(String, String, Tags)>, Refusal> {
    let mut all = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let batch = tag_set::list(state, home, after.as_deref(), BATCH)?;
        let full = batch.len() == BATCH;
        after = batch.last().map(|(arn, _)| arn.clone());
        all.extend(batch.into_iter().filter_map(|(arn, tags)| {
            let arn: Arn = arn.parse().ok().filter(|arn: &Arn| arn.service == "ec2")?;
            let (kind, id) = arn.resource.split_once('/')?;
            Some((id.to_owned(), kind.to_owned(), tags))
        }));
        if !full {
            return Ok(all);
        }
    }
}
