//! GetResources, TagResources and UntagResources.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use trellis_frame::tags::{self, MAX_TAGS, Tags};
use trellis_frame::{Context, Page, Paged, Refusal, Tagged, key};
use trellis_model::Arn;
use trellis_model::resource::lattice::Home;
use trellis_store::{Reader, Transaction};

use crate::filter::Filter;
use crate::wire::{ComplianceDetails, ErrorCode, FailureInfo, ResourceTagMapping, Tag};
use crate::{END, wire};

/// Resources read at a time.
const BATCH: usize = 512;

pub(crate) fn get(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::GetResourcesInput,
    page: &Page,
) -> Result<Paged<wire::GetResourcesOutput>, Refusal> {
    let filter = Filter::of(input)?;
    let most_tags = input.tags_per_page.map_or(usize::MAX, |size| usize::try_from(size).unwrap_or_default());
    let mut after = page.after().map(str::to_owned);

    let (mut found, mut tag_count, mut last) = (Vec::new(), 0, None);
    let next_token = 'page: loop {
        let batch = tagged(state, ctx, after.as_deref(), BATCH)?;
        let is_full = batch.len() == BATCH;
        after = batch.last().map(|(arn, _)| arn.clone());
        for (arn, tags) in batch {
            if !filter.passes(&arn, &tags) {
                continue;
            }
            // A page has at least one resource, whatever its tags.
            if found.len() == page.limit() || (!found.is_empty() && tag_count + tags.len() > most_tags) {
                break 'page last.map(|last: String| page.token(&last));
            }
            tag_count += tags.len();
            last = Some(arn.clone());
            let details = ComplianceDetails { compliance_status: Some(true), ..ComplianceDetails::default() };
            found.push(ResourceTagMapping {
                resource_arn: Some(arn),
                tags: Some(tags.into_iter().map(|(key, value)| Tag { key, value }).collect()),
                compliance_details: input.include_compliance_details.unwrap_or_default().then_some(details),
            });
        }
        if !is_full {
            break None;
        }
    };
    let output = wire::GetResourcesOutput { pagination_token: END, resource_tag_mapping_list: Some(found) };
    Ok(Paged { output, next_token })
}

/// "IAM is global, and its resources are found in us-east-1."
const WITH_GLOBAL: &str = "us-east-1";

/// Tagged resources in the caller's account and region, in ARN order, those after `after`, at most `limit`.
pub(crate) fn tagged(
    state: &mut Reader,
    ctx: &Context,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<(String, Tags)>, Refusal> {
    let home = ctx.home();
    let mut all = tags::list(state, &home, after, limit)?;
    if home.region.as_str() == WITH_GLOBAL {
        all.extend(tags::list(state, &key::global(&home.account), after, limit)?);
        all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        all.truncate(limit);
    }
    Ok(all)
}

pub(crate) async fn tag(
    ctx: &Context,
    input: wire::TagResourcesInput,
) -> Result<wire::TagResourcesOutput, Refusal> {
    let wire::TagResourcesInput { resource_arn_list, tags } = input;
    if tags.keys().any(|key| key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:"))) {
        return Err(Refusal::unacceptable("tag keys that begin with aws: are reserved"));
    }
    if tags.len() > MAX_TAGS {
        return Err(Refusal::unacceptable(format_args!("a resource has at most {MAX_TAGS} tags")));
    }
    let tags: Tags = tags;
    let asked = json!({"Tags": tags});
    let (permitted, failed) = permit(ctx, resource_arn_list, |tagged| tagged.tag_action, &asked)?;
    // `merge` checks before it writes, so a resource that fails is left as it was.
    let failed = each(ctx, permitted, failed, move |tx, home, arn| tags::merge(tx, home, arn, &tags)).await?;
    Ok(wire::TagResourcesOutput { failed_resources_map: Some(failed) })
}

pub(crate) async fn untag(
    ctx: &Context,
    input: wire::UntagResourcesInput,
) -> Result<wire::UntagResourcesOutput, Refusal> {
    let wire::UntagResourcesInput { resource_arn_list, tag_keys } = input;
    let asked = json!({"TagKeys": tag_keys});
    let (permitted, failed) = permit(ctx, resource_arn_list, |tagged| tagged.untag_action, &asked)?;
    let work = move |tx: &mut Transaction<'_>, home: &Home, arn: &str| {
        tags::remove(tx, home, arn, tag_keys.iter().map(String::as_str))
    };
    let failed = each(ctx, permitted, failed, work).await?;
    Ok(wire::UntagResourcesOutput { failed_resources_map: Some(failed) })
}

type Failures = BTreeMap<String, FailureInfo>;

/// Those resources whose service lets the caller change their tags, and how the others fail: this API gives no right
/// that the service's own does not.
fn permit(
    ctx: &Context,
    arns: Vec<String>,
    action: impl Fn(&Tagged) -> &'static str,
    asked: &Value,
) -> Result<(BTreeSet<String>, Failures), Refusal> {
    let (mut permitted, mut failed) = (BTreeSet::new(), Failures::new());
    for arn in arns {
        let service = arn.parse::<Arn>().ok().map(|parsed| parsed.service);
        let verdict = match service.and_then(|service| ctx.surroundings.services.tagged(&service)) {
            Some(tagged) => ctx.authorise(action(&tagged), &arn, asked).map(drop),
            // What it is not, `find` says.
            None => Ok(()),
        };
        match verdict {
            Ok(()) => drop(permitted.insert(arn)),
            Err(ours) if ours.is_ours() => return Err(ours),
            Err(refusal) => drop(failed.insert(arn, failure(refusal.to_string()))),
        }
    }
    Ok((permitted, failed))
}

/// Does `work` to each resource by itself; one that fails leaves the others as they are, and is put to those that `failed`.
async fn each<F>(
    ctx: &Context,
    arns: BTreeSet<String>,
    failed: Failures,
    work: F,
) -> Result<Failures, Refusal>
where
    F: Fn(&mut Transaction<'_>, &Home, &str) -> Result<(), Refusal> + Send + Sync + 'static,
{
    let (home, context) = (ctx.home(), ctx.clone());
    ctx.transact(move |tx| {
        let mut failed = failed.clone();
        for arn in &arns {
            match find(tx, &context, arn).and_then(|()| work(tx, &home, arn)) {
                Ok(()) => {}
                Err(ours) if ours.is_ours() => return Err(ours),
                Err(refusal) => {
                    failed.insert(arn.clone(), failure(refusal.to_string()));
                }
            }
        }
        Ok(failed)
    })
    .await
}

fn failure(message: String) -> FailureInfo {
    FailureInfo {
        status_code: Some(400),
        error_code: Some(ErrorCode::InvalidParameterException),
        error_message: Some(message),
    }
}

/// Refuses an ARN that does not name something of the caller's that exists.
fn find(tx: &mut Transaction<'_>, ctx: &Context, arn: &str) -> Result<(), Refusal> {
    let home = ctx.home();
    let refuse = |why: &str| Err(Refusal::unacceptable(format_args!("{arn} {why}")));
    let Ok(parsed) = arn.parse::<Arn>() else { return refuse("is not an ARN") };
    if parsed.partition != "aws" {
        return refuse("is not in the partition aws");
    }
    if parsed.account != home.account.as_str() || parsed.region != home.region.as_str() {
        return refuse("is not in this account and region");
    }
    match ctx.surroundings.services.tagged(&parsed.service) {
        Some(tagged) => (tagged.locate)(tx, &home, &parsed),
        None => refuse("is not of a service that has tags here"),
    }
}
