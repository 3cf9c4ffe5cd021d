//! TagResource, UntagResource, ListTagsForResource: tags of whatever an ARN of VPC Lattice names.

use serde::{Deserialize, Serialize};
use trellis_frame::Context;
use trellis_frame::tags::{self as tag_set, Tags};
use trellis_model::Arn;
use trellis_model::resource::lattice::Home;
use trellis_store::{Read, Reader, Transaction};

use super::{Nothing, named};
use crate::refusal::{Refusal, access_denied, invalid, not_found};

/// For the Resource Groups Tagging API.
pub(super) fn locate_arn(mut state: &mut dyn Read, home: &Home, arn: &Arn) -> Result<(), Refusal> {
    locate(&mut state, home, &arn.to_string())
}

/// Checks that `text` is the ARN of a taggable resource that exists in `home`.
///
/// # Errors
/// `AccessDeniedException` for another account's or region's ARN, `ResourceNotFoundException` for
/// what is not there, `ValidationException` for what is no ARN of a taggable kind.
pub(crate) fn locate(state: &mut impl Read, home: &Home, text: &str) -> Result<(), Refusal> {
    let arn: Arn = text.parse().map_err(|error| invalid("resourceArn", error))?;
    if arn.service != "vpc-lattice" || arn.partition != "aws" {
        return Err(invalid("resourceArn", "is not an ARN of VPC Lattice"));
    }
    if arn.account != home.account.as_str() || arn.region != home.region.as_str() {
        return Err(access_denied(format_args!("no access to {text}")));
    }
    match named::find(state, home, &arn.resource)? {
        Some((_, Some(_))) => Ok(()),
        Some((what, None)) => Err(not_found(what, text)),
        None => Err(invalid("resourceArn", "does not name a resource that can be tagged")),
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Tag {
    resource_arn: String,
    tags: Tags,
}

pub(crate) fn tag(tx: &mut Transaction<'_>, ctx: &Context, input: &Tag) -> Result<Nothing, Refusal> {
    let home = ctx.home();
    locate(tx, &home, &input.resource_arn)?;
    tag_set::merge(tx, &home, &input.resource_arn, &input.tags)?;
    Ok(Nothing {})
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Untag {
    resource_arn: String,
    tag_keys: Vec<String>,
}

pub(crate) fn untag(tx: &mut Transaction<'_>, ctx: &Context, input: &Untag) -> Result<Nothing, Refusal> {
    let home = ctx.home();
    locate(tx, &home, &input.resource_arn)?;
    tag_set::remove(tx, &home, &input.resource_arn, input.tag_keys.iter().map(String::as_str))?;
    Ok(Nothing {})
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct List {
    resource_arn: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Listed {
    tags: Tags,
}

pub(crate) fn list(state: &mut Reader, ctx: &Context, input: &List) -> Result<Listed, Refusal> {
    let home = ctx.home();
    locate(state, &home, &input.resource_arn)?;
    Ok(Listed { tags: tag_set::read(state, &home, &input.resource_arn)? })
}
