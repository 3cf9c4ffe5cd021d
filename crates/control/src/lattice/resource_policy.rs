//! Resource policies: which other accounts may use a service network, a service or a resource
//! configuration. Kept to the letter, one for each; normally written when something is shared.

use serde::{Deserialize, Serialize};
use trellis_auth::policy::{Policy, PolicyKind};
use trellis_model::resource::lattice::ResourcePolicy;
use trellis_store::{Read, Reader, Transaction};

use super::auth_policy::names_service;
use super::place::Place;
use super::{Nothing, resource_configuration, service, service_network, tags};
use crate::context::Context;
use crate::record::{get, put};
use crate::refusal::{Kind, Refusal, invalid, not_found};

/// The id of what `arn` names.
///
/// # Errors
/// As [`tags::locate`]: another account's ARN is denied, what is not there not found.
fn parent(state: &mut impl Read, place: &Place, arn: &str) -> Result<String, Refusal> {
    tags::locate(state, &place.home, arn)?;
    Ok(if names_service(arn) {
        service::find(state, place, arn)?.id.to_string()
    } else if arn.contains(":resourceconfiguration/") {
        resource_configuration::find(state, place, arn)?.id.to_string()
    } else {
        service_network::find(state, place, arn)?.id.to_string()
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Put {
    resource_arn: String,
    policy: String,
}

pub(crate) fn put_one(tx: &mut Transaction<'_>, ctx: &Context, input: &Put) -> Result<Nothing, Refusal> {
    let place = Place::new(ctx.home());
    let id = parent(tx, &place, &input.resource_arn)?;
    if input.policy.contains(['\n', '\r']) {
        return Err(invalid("policy", "must not contain line breaks"));
    }
    Policy::parse(&input.policy, PolicyKind::Resource).map_err(|error| invalid("policy", error))?;
    put(tx, &place.resource_policy(&id), &ResourcePolicy { policy: input.policy.clone() });
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
    let id = parent(state, &place, &input.resource_arn)?;
    let policy: Option<ResourcePolicy> = get(state, &place.resource_policy(&id))?;
    let policy = policy.ok_or_else(|| not_found(Kind::ResourcePolicy, &input.resource_arn))?;
    Ok(Description { policy: policy.policy })
}

/// Where there is no policy, that is how it should be.
pub(crate) fn delete(tx: &mut Transaction<'_>, ctx: &Context, input: &Identify) -> Result<Nothing, Refusal> {
    let place = Place::new(ctx.home());
    let id = parent(tx, &place, &input.resource_arn)?;
    forget(tx, &place, &id);
    Ok(Nothing {})
}

/// Drops the policy of a parent that goes.
pub(crate) fn forget(tx: &mut Transaction<'_>, place: &Place, id: &str) {
    tx.delete(&place.resource_policy(id));
}
