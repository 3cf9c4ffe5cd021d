//! Resource policies: which other accounts may use a service network, a service or a resource
//! configuration. One that is put is kept to the letter and allows and denies beside the resource shares
//! there are; where none is, the policy that the shares amount to is shown.

use serde::{Deserialize, Serialize};
use trellis_frame::Context;
use trellis_model::Arn;
use trellis_model::resource::lattice::Shared;
use trellis_policy::{Policy, PolicyKind};
use trellis_store::{Read, Reader, Transaction};

use super::place::Place;
use super::{Nothing, tags};
use crate::refusal::{Kind, Refusal, invalid, not_found};
use crate::sharing;

/// Kind and id of what `arn` names.
///
/// # Errors
/// As [`tags::locate`]: another account's ARN is denied, what is not there not found.
fn parent(state: &mut impl Read, place: &Place, arn: &str) -> Result<(Shared, String), Refusal> {
    tags::locate(state, &place.home, arn)?;
    let parsed = arn.parse::<Arn>().ok();
    let named = parsed.as_ref().and_then(Shared::of_arn);
    let (shared, id) =
        named.ok_or_else(|| invalid("resourceArn", "does not name a resource with a policy"))?;
    Ok((shared, id.to_owned()))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Put {
    resource_arn: String,
    policy: String,
}

pub(crate) fn put_one(tx: &mut Transaction<'_>, ctx: &Context, input: &Put) -> Result<Nothing, Refusal> {
    let place = Place::new(ctx.home());
    let (shared, id) = parent(tx, &place, &input.resource_arn)?;
    if input.policy.contains(['\n', '\r']) {
        return Err(invalid("policy", "must not contain line breaks"));
    }
    Policy::parse(&input.policy, PolicyKind::Resource).map_err(|error| invalid("policy", error))?;
    sharing::set_policy(tx, &place, (shared, &id), Some(&input.policy))?;
    Ok(Nothing {})
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Identify {
    resource_arn: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Description {
    policy: String,
}

/// None set is not found: an empty answer reads as an empty policy to some clients.
pub(crate) fn get_one(state: &mut Reader, ctx: &Context, input: &Identify) -> Result<Description, Refusal> {
    let place = Place::new(ctx.home());
    let (shared, id) = parent(state, &place, &input.resource_arn)?;
    let policy = sharing::policy_text(state, ctx, &place, (shared, &id))?;
    Ok(Description { policy: policy.ok_or_else(|| not_found(Kind::ResourcePolicy, &input.resource_arn))? })
}

/// Takes the policy that was put away; shares stay. Where there is none, that is how it should be.
pub(crate) fn delete(tx: &mut Transaction<'_>, ctx: &Context, input: &Identify) -> Result<Nothing, Refusal> {
    let place = Place::new(ctx.home());
    let (shared, id) = parent(tx, &place, &input.resource_arn)?;
    sharing::set_policy(tx, &place, (shared, &id), None)?;
    Ok(Nothing {})
}
