//! Auth policies of services and service networks: kept to the letter, one for each.

use serde::{Deserialize, Serialize};
use trellis_frame::Context;
use trellis_frame::record::{get, put};
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::{AuthPolicy, AuthType};
use trellis_policy::{Policy, PolicyKind};
use trellis_store::{Read, Reader, Transaction};

use super::place::Place;
use super::{Nothing, service, service_network};
use crate::refusal::{Refusal, invalid};

/// "10 KB quota": bytes.
const MAX_POLICY: usize = 10 * 1024;

/// `Active` where the parent's `authType` is AWS_IAM; else the policy is kept but ignored.
#[derive(Debug, Clone, Copy, Serialize)]
enum State {
    Active,
    Inactive,
}

impl From<AuthType> for State {
    fn from(auth_type: AuthType) -> Self {
        match auth_type {
            AuthType::AwsIam => Self::Active,
            AuthType::None => Self::Inactive,
        }
    }
}

/// Id and `authType` of the service or service network that `text` means.
fn parent(state: &mut impl Read, place: &Place, text: &str) -> Result<(String, AuthType), Refusal> {
    if names_service(text) {
        let service = service::find(state, place, text)?;
        return Ok((service.id.as_str().to_owned(), service.auth_type));
    }
    let network = service_network::find(state, place, text)?;
    Ok((network.id.as_str().to_owned(), network.auth_type))
}

/// Whether an id or ARN is a service's; else it has to be a service network's.
pub(super) fn names_service(text: &str) -> bool {
    text.starts_with("svc-") || text.contains(":service/")
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Put {
    resource_identifier: String,
    policy: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Description {
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<State>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_updated_at: Option<Moment>,
}

pub(crate) fn put_one(tx: &mut Transaction<'_>, ctx: &Context, input: &Put) -> Result<Description, Refusal> {
    let place = Place::new(ctx.home());
    let (id, auth_type) = parent(tx, &place, &input.resource_identifier)?;
    check(&input.policy)?;
    let key = place.auth_policy(&id);
    let before: Option<AuthPolicy> = get(tx, &key)?;
    let policy = AuthPolicy {
        policy: input.policy.clone(),
        created_at: before.map_or(ctx.now, |before| before.created_at),
        last_updated_at: ctx.now,
    };
    put(tx, &key, &policy);
    Ok(Description {
        policy: Some(policy.policy),
        state: Some(auth_type.into()),
        created_at: None,
        last_updated_at: None,
    })
}

/// A policy is short enough and reads as one that can be attached to a resource.
fn check(policy: &str) -> Result<(), Refusal> {
    if policy.len() > MAX_POLICY {
        return Err(invalid("policy", format_args!("must have at most {MAX_POLICY} bytes")));
    }
    Policy::parse(policy, PolicyKind::Resource).map(drop).map_err(|error| invalid("policy", error))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Identify {
    resource_identifier: String,
}

/// "None set: 200 with neither policy nor state."
pub(crate) fn get_one(state: &mut Reader, ctx: &Context, input: &Identify) -> Result<Description, Refusal> {
    let place = Place::new(ctx.home());
    let (id, auth_type) = parent(state, &place, &input.resource_identifier)?;
    let policy: Option<AuthPolicy> = get(state, &place.auth_policy(&id))?;
    Ok(match policy {
        Some(policy) => Description {
            policy: Some(policy.policy),
            state: Some(auth_type.into()),
            created_at: Some(policy.created_at),
            last_updated_at: Some(policy.last_updated_at),
        },
        None => Description { policy: None, state: None, created_at: None, last_updated_at: None },
    })
}

/// Where there is no policy, that is how it should be.
pub(crate) fn delete(tx: &mut Transaction<'_>, ctx: &Context, input: &Identify) -> Result<Nothing, Refusal> {
    let place = Place::new(ctx.home());
    let (id, _) = parent(tx, &place, &input.resource_identifier)?;
    forget(tx, &place, &id);
    Ok(Nothing {})
}

/// Drops the policy of a parent that goes.
pub(crate) fn forget(tx: &mut Transaction<'_>, place: &Place, id: &str) {
    tx.delete(&place.auth_policy(id));
}
