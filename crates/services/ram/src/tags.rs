//! TagResource and UntagResource: tags of resource shares. Managed permissions have none.

use serde::Deserialize;
use trellis_frame::{Context, Refusal, tags as tag_set};
use trellis_store::Transaction;

use super::resource::{Tag, merge_tags};
use super::{Nothing, invalid, refuse, share};

/// "You must specify either resourceShareArn or resourceArn."
fn target<'a>(share: Option<&'a str>, resource: Option<&'a str>) -> Result<&'a str, Refusal> {
    match (share, resource) {
        (Some(arn), None) | (None, Some(arn)) => Ok(arn),
        _ => Err(invalid("one of resourceShareArn and resourceArn is required")),
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TagInput {
    resource_share_arn: Option<String>,
    tags: Vec<Tag>,
    resource_arn: Option<String>,
}

pub(crate) fn tag(tx: &mut Transaction<'_>, ctx: &Context, input: &TagInput) -> Result<Nothing, Refusal> {
    let arn = target(input.resource_share_arn.as_deref(), input.resource_arn.as_deref())?;
    let share = share::own(tx, ctx, arn)?;
    if input.tags.iter().any(|tag| tag.key.is_empty()) {
        return Err(refuse("InvalidParameterException", "a tag has a key"));
    }
    merge_tags(tx, &share.home, &share.arn(), &input.tags)?;
    Ok(Nothing {})
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Untag {
    resource_share_arn: Option<String>,
    tag_keys: Vec<String>,
    resource_arn: Option<String>,
}

pub(crate) fn untag(tx: &mut Transaction<'_>, ctx: &Context, input: &Untag) -> Result<Nothing, Refusal> {
    let arn = target(input.resource_share_arn.as_deref(), input.resource_arn.as_deref())?;
    let share = share::own(tx, ctx, arn)?;
    tag_set::remove(tx, &share.home, &share.arn(), input.tag_keys.iter().map(String::as_str))?;
    Ok(Nothing {})
}
