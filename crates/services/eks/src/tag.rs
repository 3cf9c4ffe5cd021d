//! Tags of everything that has an ARN of EKS's.

use trellis_api::Exception;
use trellis_frame::tags::{self, Tags};
use trellis_frame::{Context, Refusal};
use trellis_model::Arn;
use trellis_model::resource::lattice::Home;
use trellis_store::{Read, Reader, Transaction};

use crate::access::ENTRIES;
use crate::addon::ADDONS;
use crate::cluster::CLUSTERS;
use crate::nodegroup::NODEGROUPS;
use crate::pod_identity::ASSOCIATIONS;
use crate::wire;

/// Refuses an ARN of nothing there is.
///
/// # Errors
/// `NotFoundException`.
pub(crate) fn locate(state: &mut dyn Read, home: &Home, arn: &Arn) -> Result<(), Refusal> {
    exists(state, home, &arn.to_string())
}

fn exists(state: &mut dyn Read, home: &Home, arn: &str) -> Result<(), Refusal> {
    if find(state, home, arn)? {
        return Ok(());
    }
    let message = format!("The resource {} does not exist", trellis_frame::refusal::shown(arn));
    Err(Exception::plain("NotFoundException", 404, message).into())
}

fn find(mut state: &mut dyn Read, home: &Home, arn: &str) -> Result<bool, Refusal> {
    let prefix = Arn::new("eks", &home.region, &home.account, "").to_string();
    let Some(resource) = arn.strip_prefix(&prefix) else { return Ok(false) };
    let parts: Vec<&str> = resource.split('/').collect();
    let state = &mut state;
    Ok(match parts[..] {
        ["cluster", name] => CLUSTERS.get(state, home, name)?.is_some(),
        ["nodegroup", cluster, name, _] => NODEGROUPS
            .get(state, home, format_args!("{cluster}/{name}"))?
            .is_some_and(|found| found.arn() == arn),
        ["addon", cluster, name, _] => {
            ADDONS.get(state, home, format_args!("{cluster}/{name}"))?.is_some_and(|found| found.arn() == arn)
        }
        ["podidentityassociation", cluster, id] => {
            ASSOCIATIONS.get(state, home, format_args!("{cluster}/{id}"))?.is_some()
        }
        ["access-entry", cluster, ..] => {
            ENTRIES.all_of(state, home, cluster)?.iter().any(|found| found.arn() == arn)
        }
        _ => false,
    })
}

/// What is told of a resource's tags.
pub(crate) fn of(state: &mut impl Read, home: &Home, arn: &str) -> Result<Option<Tags>, Refusal> {
    Ok(Some(tags::read(state, home, arn)?))
}

pub(crate) fn add(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::TagResourceInput,
) -> Result<wire::TagResourceOutput, Refusal> {
    exists(tx, &ctx.home(), &input.resource_arn)?;
    tags::merge(tx, &ctx.home(), &input.resource_arn, &input.tags)?;
    Ok(Default::default())
}

pub(crate) fn remove(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::UntagResourceInput,
) -> Result<wire::UntagResourceOutput, Refusal> {
    exists(tx, &ctx.home(), &input.resource_arn)?;
    tags::remove(tx, &ctx.home(), &input.resource_arn, input.tag_keys.iter().map(String::as_str))?;
    Ok(Default::default())
}

pub(crate) fn list(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListTagsForResourceInput,
) -> Result<wire::ListTagsForResourceOutput, Refusal> {
    exists(state, &ctx.home(), &input.resource_arn)?;
    Ok(wire::ListTagsForResourceOutput { tags: of(state, &ctx.home(), &input.resource_arn)? })
}
