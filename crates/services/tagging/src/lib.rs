//! The Resource Groups Tagging API: resources found by tag, across services.
//!
//! Reads the same tags that every service's own operations write, in the newest state, so a look-up
//! sees what has just been made. Only resources that have a tag are found.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use trellis_api::Exception;
use trellis_frame::page::{from_token, to_token};
use trellis_frame::tags::{self as tag_set, MAX_TAGS, Tags};
use trellis_frame::{Context, Refusal, Service, words};
use trellis_model::Arn;
use trellis_model::resource::lattice::Home;
use trellis_store::{Read, Transaction};

/// The types that the build makes of the description.
#[allow(clippy::all, dead_code, unreachable_pub)]
pub(crate) mod wire {
    include!(concat!(env!("OUT_DIR"), "/tagging.rs"));
}

/// Resources on a page when `ResourcesPerPage` is absent; also the most there may be.
const RESOURCES_PER_PAGE: usize = 100;

/// `TagsPerPage`: pages may be cut by their number of tags instead.
const TAGS_PER_PAGE: std::ops::RangeInclusive<i64> = 100..=500;

/// Keys or values on a page of GetTagKeys and GetTagValues.
const WORDS_PER_PAGE: usize = 1000;

/// Resources read at a time.
const BATCH: usize = 512;

/// The service: what the frame has to know of it.
pub static SERVICE: Service = Service { words, operations: OPERATIONS, ..Service::new(wire::description) };

trellis_frame::operations! {
    GetResources => view get_resources,
    GetTagKeys => view get_tag_keys,
    GetTagValues => view get_tag_values,
    TagResources => call tag_resources,
    UntagResources => call untag_resources,
}

fn words(refusal: Refusal) -> Exception {
    match refusal {
        Refusal::NotServed { operation } => {
            Exception::plain("UnknownOperationException", 400, format!("{operation} is not supported"))
        }
        Refusal::Invalid { .. } | Refusal::Unreadable { .. } => invalid(refusal.to_string()),
        refusal => words::json(refusal),
    }
}

fn invalid(message: impl Into<String>) -> Exception {
    Exception::plain("InvalidParameterException", 400, message)
}

/// Where a page begins. The end of a list is the empty token, not an absent one.
fn position(token: Option<&str>) -> Result<Option<String>, Exception> {
    match token {
        None | Some("") => Ok(None),
        Some(token) => from_token(token)
            .map(Some)
            .ok_or_else(|| invalid("PaginationToken was not given by this operation")),
    }
}

fn token(position: Option<&str>) -> String {
    position.map(to_token).unwrap_or_default()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct GetResourcesInput {
    pagination_token: Option<String>,
    #[serde(default)]
    tag_filters: Vec<TagFilter>,
    resources_per_page: Option<i64>,
    tags_per_page: Option<i64>,
    #[serde(default)]
    resource_type_filters: Vec<String>,
    #[serde(rename = "ResourceARNList", default)]
    resource_arn_list: Vec<String>,
    include_compliance_details: Option<bool>,
    exclude_compliant_resources: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct TagFilter {
    key: Option<String>,
    #[serde(default)]
    values: Vec<String>,
}

impl TagFilter {
    /// "If you don't specify a value, the response includes all resources that are tagged with that
    /// key, with any or no value."
    fn passes(&self, tags: &Tags) -> bool {
        let Some(key) = &self.key else { return true };
        tags.get(key).is_some_and(|value| self.values.is_empty() || self.values.contains(value))
    }
}

/// `service` or `service:type`, e.g. `vpc-lattice:targetgroup`, `ec2:vpc`.
fn is_of_type(arn: &str, filters: &[String]) -> bool {
    if filters.is_empty() {
        return true;
    }
    let Ok(arn) = arn.parse::<Arn>() else { return false };
    // The type of `service/svc-1/listener/listener-1` is the word before the last id.
    let mut parts = arn.resource.rsplit('/');
    let kind = parts.nth(1).unwrap_or_default();
    filters.iter().any(|filter| match filter.split_once(':') {
        Some((service, wanted)) => arn.service == service && kind == wanted,
        None => arn.service == *filter,
    })
}

impl GetResourcesInput {
    fn check(&self) -> Result<(), Exception> {
        let others = !self.tag_filters.is_empty()
            || !self.resource_type_filters.is_empty()
            || self.resources_per_page.is_some()
            || self.tags_per_page.is_some();
        if !self.resource_arn_list.is_empty() && others {
            return Err(invalid("ResourceARNList excludes every other filter and page size"));
        }
        if self.resources_per_page.is_some_and(|size| !(1..=RESOURCES_PER_PAGE as i64).contains(&size)) {
            return Err(invalid(format!("ResourcesPerPage is from 1 to {RESOURCES_PER_PAGE}")));
        }
        if self.tags_per_page.is_some_and(|size| !TAGS_PER_PAGE.contains(&size) || size % 100 != 0) {
            return Err(invalid("TagsPerPage is from 100 to 500 in steps of 100"));
        }
        if self.resources_per_page.is_some() && self.tags_per_page.is_some() {
            return Err(invalid("ResourcesPerPage and TagsPerPage exclude each other"));
        }
        if self.tag_filters.iter().any(|filter| filter.key.is_none()) {
            return Err(invalid("a tag filter has a Key"));
        }
        if self.exclude_compliant_resources == Some(true) && self.include_compliance_details != Some(true) {
            return Err(invalid("ExcludeCompliantResources needs IncludeComplianceDetails"));
        }
        Ok(())
    }

    fn wants(&self, arn: &str, tags: &Tags) -> bool {
        (self.resource_arn_list.is_empty() || self.resource_arn_list.iter().any(|wanted| wanted == arn))
            && is_of_type(arn, &self.resource_type_filters)
            && self.tag_filters.iter().all(|filter| filter.passes(tags))
            // There are no tag policies, so every resource complies.
            && self.exclude_compliant_resources != Some(true)
    }
}

fn get_resources(ctx: &Context, input: GetResourcesInput) -> Result<Value, Refusal> {
    input.check()?;
    let mut after = position(input.pagination_token.as_deref())?;
    let most_resources = input.resources_per_page.map_or(RESOURCES_PER_PAGE, |size| size as usize);
    let most_tags = input.tags_per_page.map_or(usize::MAX, |size| size as usize);
    let (state, home) = (&mut ctx.read()?, ctx.home());

    let (mut page, mut tag_count, mut last) = (Vec::new(), 0, None);
    let next = 'page: loop {
        let batch = tag_set::list(state, &home, after.as_deref(), BATCH)?;
        let full = batch.len() == BATCH;
        after = batch.last().map(|(arn, _)| arn.clone());
        for (arn, tags) in batch {
            if tags.is_empty() || !input.wants(&arn, &tags) {
                continue;
            }
            // A page has at least one resource, whatever its tags.
            if page.len() == most_resources || (!page.is_empty() && tag_count + tags.len() > most_tags) {
                break 'page last;
            }
            tag_count += tags.len();
            last = Some(arn.clone());
            let mut mapping = json!({"ResourceARN": arn, "Tags": tag_list(&tags)});
            if input.include_compliance_details == Some(true) {
                mapping["ComplianceDetails"] = json!({"ComplianceStatus": true});
            }
            page.push(mapping);
        }
        if !full {
            break None;
        }
    };
    Ok(json!({"ResourceTagMappingList": page, "PaginationToken": token(next.as_deref())}))
}

fn tag_list(tags: &Tags) -> Vec<Value> {
    tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect()
}

/// Refuses an ARN that does not name something of the caller's that exists.
fn find(state: &mut impl Read, ctx: &Context, arn: &str) -> Result<(), Refusal> {
    let home = ctx.home();
    let refuse = |why: &str| Err(invalid(format!("{arn} {why}")).into());
    let Ok(parsed) = arn.parse::<Arn>() else { return refuse("is not an ARN") };
    if parsed.partition != "aws" {
        return refuse("is not in the partition aws");
    }
    if parsed.account != home.account.as_str() || parsed.region != home.region.as_str() {
        return refuse("is not in this account and region");
    }
    match ctx.surroundings.services.tagged(&parsed.service) {
        Some(tagged) => (tagged.locate)(state, &home, &parsed),
        None => refuse("is not of a service that has tags here"),
    }
}

/// Does `work` to each resource by itself; one that fails leaves the others as they are.
async fn each<F>(ctx: &Context, arns: Vec<String>, work: F) -> Result<Value, Refusal>
where
    F: Fn(&mut Transaction<'_>, &Home, &str) -> Result<(), Refusal> + Send + Sync + Clone + 'static,
{
    let (home, context) = (ctx.home(), ctx.clone());
    let arns: BTreeSet<String> = arns.into_iter().collect();
    let failed = ctx
        .transact(move |tx| {
            let mut failed = BTreeMap::new();
            for arn in &arns {
                match find(tx, &context, arn).and_then(|()| work(tx, &home, arn)) {
                    Ok(()) => {}
                    Err(ours) if ours.is_ours() => return Err(ours),
                    Err(refusal) => {
                        failed.insert(arn.clone(), refusal.to_string());
                    }
                }
            }
            Ok(failed)
        })
        .await?;
    let failed: Map<String, Value> = failed
        .into_iter()
        .map(|(arn, message)| {
            let failure = json!({
                "StatusCode": 400,
                "ErrorCode": "InvalidParameterException",
                "ErrorMessage": message,
            });
            (arn, failure)
        })
        .collect();
    Ok(json!({"FailedResourcesMap": failed}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TagInput {
    #[serde(rename = "ResourceARNList")]
    arns: Vec<String>,
    #[serde(rename = "Tags")]
    tags: Tags,
}

async fn tag_resources(ctx: &Context, input: TagInput) -> Result<Value, Refusal> {
    let TagInput { arns, tags } = input;
    if tags.keys().any(|key| key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:"))) {
        return Err(Refusal::unacceptable("tag keys that begin with aws: are reserved"));
    }
    if tags.len() > MAX_TAGS {
        return Err(Refusal::unacceptable(format!("a resource has at most {MAX_TAGS} tags")));
    }
    // `merge` checks before it writes, so a resource that fails is left as it was.
    each(ctx, arns, move |tx, home, arn| tag_set::merge(tx, home, arn, &tags)).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UntagInput {
    #[serde(rename = "ResourceARNList")]
    arns: Vec<String>,
    #[serde(rename = "TagKeys")]
    keys: Vec<String>,
}

async fn untag_resources(ctx: &Context, input: UntagInput) -> Result<Value, Refusal> {
    let UntagInput { arns, keys } = input;
    each(ctx, arns, move |tx, home, arn| tag_set::remove(tx, home, arn, keys.iter().map(String::as_str)))
        .await
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct KeysInput {
    pagination_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ValuesInput {
    pagination_token: Option<String>,
    key: String,
}

/// The words that `of` finds in the tags of any resource, sorted, a page of them.
fn distinct(
    ctx: &Context,
    pagination_token: Option<&str>,
    of: impl Fn(Tags) -> Vec<String>,
) -> Result<(Vec<String>, String), Refusal> {
    let begin = position(pagination_token)?;
    let (state, home) = (&mut ctx.read()?, ctx.home());
    let mut words = BTreeSet::new();
    let mut after: Option<String> = None;
    loop {
        let batch = tag_set::list(state, &home, after.as_deref(), BATCH)?;
        let full = batch.len() == BATCH;
        after = batch.last().map(|(arn, _)| arn.clone());
        words.extend(batch.into_iter().flat_map(|(_, tags)| of(tags)));
        if !full {
            break;
        }
    }
    let mut rest = words.into_iter().filter(|word| begin.as_ref().is_none_or(|begin| word > begin));
    let page: Vec<String> = rest.by_ref().take(WORDS_PER_PAGE).collect();
    let next = rest.next().and(page.last()).map(String::as_str);
    let next = token(next);
    Ok((page, next))
}

fn get_tag_keys(ctx: &Context, input: KeysInput) -> Result<Value, Refusal> {
    let (keys, next) = distinct(ctx, input.pagination_token.as_deref(), |tags| tags.into_keys().collect())?;
    Ok(json!({"TagKeys": keys, "PaginationToken": next}))
}

fn get_tag_values(ctx: &Context, input: ValuesInput) -> Result<Value, Refusal> {
    let (values, next) = distinct(ctx, input.pagination_token.as_deref(), |mut tags| {
        tags.remove(&input.key).into_iter().collect()
    })?;
    Ok(json!({"TagValues": values, "PaginationToken": next}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_filter_names_a_service_or_one_kind_of_its_resources() {
        let arn =
            |service: &str, resource: &str| format!("arn:aws:{service}:us-east-1:111122223333:{resource}");
        for (arn, filter, expected) in [
            (arn("vpc-lattice", "targetgroup/tg-1"), "vpc-lattice", true),
            (arn("vpc-lattice", "targetgroup/tg-1"), "vpc-lattice:targetgroup", true),
            (arn("vpc-lattice", "targetgroup/tg-1"), "vpc-lattice:service", false),
            (arn("vpc-lattice", "service/svc-1"), "vpc-lattice:service", true),
            (arn("vpc-lattice", "service/svc-1/listener/listener-1"), "vpc-lattice:service", false),
            (arn("vpc-lattice", "service/svc-1/listener/listener-1"), "vpc-lattice:listener", true),
            (arn("ec2", "vpc/vpc-1"), "ec2:vpc", true),
            (arn("ec2", "vpc/vpc-1"), "vpc-lattice", false),
            (arn("ec2", "security-group/sg-1"), "ec2:security-group", true),
        ] {
            assert_eq!(is_of_type(&arn, &[filter.to_owned()]), expected, "{arn} {filter}");
        }
        assert!(is_of_type(&arn("ec2", "vpc/vpc-1"), &[]));
    }

    #[test]
    fn tag_filters_ask_for_a_key_with_any_or_with_one_of_some_values() {
        let tags: Tags =
            [("stage".to_owned(), "prod".to_owned()), ("empty".to_owned(), String::new())].into();
        let filter = |key: &str, values: &[&str]| TagFilter {
            key: Some(key.into()),
            values: values.iter().map(|&value| value.into()).collect(),
        };
        assert!(filter("stage", &[]).passes(&tags) && filter("empty", &[]).passes(&tags));
        assert!(filter("stage", &["dev", "prod"]).passes(&tags));
        assert!(!filter("stage", &["dev"]).passes(&tags) && !filter("other", &[]).passes(&tags));
    }

    #[test]
    fn tokens_lead_back_to_where_they_were_given_and_the_empty_one_to_the_beginning() {
        assert_eq!(position(Some(&token(Some("arn:x")))).unwrap().as_deref(), Some("arn:x"));
        assert_eq!(token(None), "");
        assert!(position(Some("")).unwrap().is_none() && position(None).unwrap().is_none());
        assert!(position(Some("%")).is_err());
    }
}
