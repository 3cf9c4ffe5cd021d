//! Tags of hosted zones and health checks.

use trellis_frame::random::is_uuid;
use trellis_frame::{Context, Refusal, key, tags};
use trellis_model::Arn;
use trellis_model::resource::lattice::Home;
use trellis_store::{Read, Reader, Transaction};

use crate::health_check;
use crate::hosted_zone::{self, HOSTED_ZONE};
use crate::wire::{self, TagResourceType};

/// The ARN of a resource of the caller's.
///
/// # Errors
/// That there is none.
fn arn(state: &mut impl Read, ctx: &Context, kind: TagResourceType, id: &str) -> Result<String, Refusal> {
    match kind {
        TagResourceType::Hostedzone => hosted_zone::find(state, ctx, id).map(|zone| zone.arn()),
        TagResourceType::Healthcheck => health_check::find(state, ctx, id).map(|_| health_check::arn(id)),
    }
}

pub(crate) fn change(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::ChangeTagsForResourceInput,
) -> Result<wire::ChangeTagsForResourceOutput, Refusal> {
    let arn = arn(tx, ctx, input.resource_type, &input.resource_id)?;
    let home = key::global(&ctx.caller.account);
    if input.add_tags.is_none() && input.remove_tag_keys.is_none() {
        return Err(Refusal::unacceptable("Either AddTags or RemoveTagKeys is needed"));
    }
    let removed = input.remove_tag_keys.iter().flatten().map(String::as_str);
    tags::remove(tx, &home, &arn, removed)?;
    let added = input.add_tags.iter().flatten().map(|tag| {
        let key = tag.key.clone().ok_or_else(|| Refusal::invalid("AddTags", "a tag needs a key"))?;
        Ok((key, tag.value.clone().unwrap_or_default()))
    });
    tags::merge(tx, &home, &arn, &added.collect::<Result<_, Refusal>>()?)?;
    Ok(wire::ChangeTagsForResourceOutput::default())
}

fn set_of(
    state: &mut impl Read,
    ctx: &Context,
    kind: TagResourceType,
    id: &str,
) -> Result<wire::ResourceTagSet, Refusal> {
    let arn = arn(state, ctx, kind, id)?;
    let tags = tags::read(state, &key::global(&ctx.caller.account), &arn)?;
    let tags = tags.into_iter().map(|(key, value)| wire::Tag { key: Some(key), value: Some(value) });
    Ok(wire::ResourceTagSet {
        resource_type: Some(kind),
        resource_id: Some(id.to_owned()),
        tags: Some(tags.collect()),
    })
}

pub(crate) fn list(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListTagsForResourceInput,
) -> Result<wire::ListTagsForResourceOutput, Refusal> {
    let resource_tag_set = set_of(state, ctx, input.resource_type, &input.resource_id)?;
    Ok(wire::ListTagsForResourceOutput { resource_tag_set })
}

pub(crate) fn list_several(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListTagsForResourcesInput,
) -> Result<wire::ListTagsForResourcesOutput, Refusal> {
    let sets = input.resource_ids.iter().map(|id| set_of(state, ctx, input.resource_type, id));
    Ok(wire::ListTagsForResourcesOutput { resource_tag_sets: sets.collect::<Result<_, _>>()? })
}

/// For the Resource Groups Tagging API.
pub(crate) fn locate(state: &mut dyn Read, home: &Home, arn: &Arn) -> Result<(), Refusal> {
    if let Some(id) = arn.resource.strip_prefix("healthcheck/") {
        let key = health_check::CHECKS.key(&key::global(&home.account), id);
        let is_there = is_uuid(id) && state.get(&key)?.is_some();
        return if is_there { Ok(()) } else { Err(health_check::missing(id)) };
    }
    let id = arn.resource.strip_prefix("hostedzone/").unwrap_or_default();
    let missing = || Refusal::missing(&HOSTED_ZONE, id);
    if !hosted_zone::is_id(id) {
        return Err(missing());
    }
    let key = hosted_zone::ZONES.key(&key::global(&home.account), id);
    state.get(&key)?.map(|_| ()).ok_or_else(missing)
}
