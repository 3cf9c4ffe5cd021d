//! Tags of the root, of units, accounts and policies.

use trellis_frame::tags::{self, Tags};
use trellis_frame::{Context, Page, Paged, Refusal, key};
use trellis_model::resource::lattice::Home;
use trellis_store::{Read, Reader, Transaction};

use crate::node::Managed;
use crate::wire;

/// Where the tags are: with the management account, which alone calls.
pub(crate) fn home(ctx: &Context) -> Home {
    key::global(&ctx.caller.account)
}

/// Adds the tags that a creation brings.
pub(crate) fn merge(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    arn: &str,
    tags: Option<&Vec<wire::Tag>>,
) -> Result<(), Refusal> {
    let tags: Tags = tags.into_iter().flatten().map(|tag| (tag.key.clone(), tag.value.clone())).collect();
    tags::merge(tx, &home(ctx), arn, &tags)
}

/// The ARN of what can have tags.
///
/// # Errors
/// `TargetNotFoundException`.
fn arn(state: &mut impl Read, ctx: &Context, id: &str) -> Result<String, Refusal> {
    let managed = Managed::read(state, ctx)?;
    if managed.tree.policies.contains_key(id) {
        return Ok(managed.arn("policy", id));
    }
    let target = managed.target(state, id)?;
    Ok(managed.arn(target.noun(), id))
}

pub(crate) fn list(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListTagsForResourceInput,
    page: &Page,
) -> Result<Paged<wire::ListTagsForResourceOutput>, Refusal> {
    let arn = arn(state, ctx, &input.resource_id)?;
    let found = tags::read(state, &home(ctx), &arn)?;
    let shown = found.into_iter().map(|(key, value)| wire::Tag { key, value }).collect();
    let listing = page.sized(tags::MAX_TAGS).cut(shown, |tag: &wire::Tag| tag.key.clone());
    Ok(listing.into_output(|tags| wire::ListTagsForResourceOutput { tags: Some(tags), ..Default::default() }))
}

pub(crate) fn add(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::TagResourceInput,
) -> Result<wire::TagResourceOutput, Refusal> {
    let arn = arn(tx, ctx, &input.resource_id)?;
    merge(tx, ctx, &arn, Some(&input.tags))?;
    Ok(Default::default())
}

pub(crate) fn remove(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::UntagResourceInput,
) -> Result<wire::UntagResourceOutput, Refusal> {
    let arn = arn(tx, ctx, &input.resource_id)?;
    tags::remove(tx, &home(ctx), &arn, input.tag_keys.iter().map(String::as_str))?;
    Ok(Default::default())
}
