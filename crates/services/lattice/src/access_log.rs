//! Access log subscriptions: where the access logs of a service, a service network or a resource
//! configuration go. Whether the destination is there is seen when something is delivered to it.

use serde::{Deserialize, Serialize};
use trellis_frame::Context;
use trellis_frame::page::{Listing, Page};
use trellis_frame::record::{get, get_id, put, scan_all};
use trellis_frame::tags::{self as tag_set, Tags};
use trellis_model::AccessLogSubscriptionId;
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::{
    AccessLogSubscription, LogDestination, LogDestinationError, ServiceNetworkLogType,
};
use trellis_store::{Read, Reader, Transaction};

use super::auth_policy::names_service;
use super::place::Place;
use super::{Nothing, identifier, resource_configuration, service, service_network};
use crate::refusal::{Kind, Refusal, conflict, invalid, not_found};

/// The stream of parents that have only one.
const ONLY_STREAM: &str = "-";

/// Which kind of destination an ARN names: at most one of each for a resource.
fn sink(destination: &str) -> Result<&'static str, Refusal> {
    let wrong = |error: LogDestinationError| invalid("destinationArn", error);
    Ok(destination.parse::<LogDestination>().map_err(wrong)?.kind().as_str())
}

fn stream(log_type: Option<ServiceNetworkLogType>) -> &'static str {
    log_type.map_or(ONLY_STREAM, ServiceNetworkLogType::as_str)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Create {
    resource_identifier: String,
    destination_arn: String,
    service_network_log_type: Option<ServiceNetworkLogType>,
    #[serde(default)]
    tags: Tags,
}

/// What answers say of a subscription, each with its own selection.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Description {
    id: AccessLogSubscriptionId,
    arn: String,
    resource_id: String,
    resource_arn: String,
    destination_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_network_log_type: Option<ServiceNetworkLogType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_updated_at: Option<Moment>,
}

impl From<AccessLogSubscription> for Description {
    fn from(subscription: AccessLogSubscription) -> Self {
        Self {
            arn: subscription.arn(),
            id: subscription.id,
            resource_id: subscription.resource_id,
            resource_arn: subscription.resource_arn,
            destination_arn: subscription.destination_arn,
            service_network_log_type: subscription.log_type,
            created_at: Some(subscription.created_at),
            last_updated_at: Some(subscription.last_updated_at),
        }
    }
}

/// Id, ARN and whether it is a service network, of what `text` means.
fn parent(state: &mut impl Read, place: &Place, text: &str) -> Result<(String, String, bool), Refusal> {
    if names_service(text) {
        let service = service::find(state, place, text)?;
        return Ok((service.id.as_str().to_owned(), service.arn(), false));
    }
    if names_resource_configuration(text) {
        let resource = resource_configuration::find(state, place, text)?;
        return Ok((resource.id.as_str().to_owned(), resource.arn(), false));
    }
    let network = service_network::find(state, place, text)?;
    Ok((network.id.as_str().to_owned(), network.arn(), true))
}

fn names_resource_configuration(text: &str) -> bool {
    text.starts_with("rcfg-") || text.contains(":resourceconfiguration/")
}

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &Create,
) -> Result<Description, Refusal> {
    let place = Place::new(ctx.home());
    let (resource_id, resource_arn, is_network) = parent(tx, &place, &input.resource_identifier)?;
    if input.service_network_log_type.is_some() && !is_network {
        return Err(invalid("serviceNetworkLogType", "only goes with a service network"));
    }
    let log_type = is_network.then(|| input.service_network_log_type.unwrap_or_default());
    let sink_key = place.access_log_sink(&resource_id, stream(log_type), sink(&input.destination_arn)?);
    if let Some(id) = get_id(tx, &sink_key)? {
        let message =
            format_args!("a subscription of {resource_id} with this kind of destination already exists");
        return Err(conflict(Kind::AccessLogSubscription, id, message));
    }
    let subscription = AccessLogSubscription {
        id: AccessLogSubscriptionId::from_random(ctx.random()),
        home: place.home.clone(),
        resource_id,
        resource_arn,
        destination_arn: input.destination_arn.clone(),
        log_type,
        created_at: ctx.now,
        last_updated_at: ctx.now,
    };
    tag_set::merge(tx, &place.home, &subscription.arn(), &input.tags)?;
    tx.put(&sink_key, subscription.id.as_str().into());
    put(tx, &place.access_log(&subscription.id), &subscription);
    Ok(Description { created_at: None, last_updated_at: None, ..subscription.into() })
}

fn find(state: &mut impl Read, place: &Place, text: &str) -> Result<AccessLogSubscription, Refusal> {
    let id = identifier::access_log(text, &place.home)?;
    get(state, &place.access_log(&id))?.ok_or_else(|| not_found(Kind::AccessLogSubscription, id))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Identify {
    access_log_subscription_identifier: String,
}

pub(crate) fn get_one(state: &mut Reader, ctx: &Context, input: &Identify) -> Result<Description, Refusal> {
    find(state, &Place::new(ctx.home()), &input.access_log_subscription_identifier).map(Into::into)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct List {
    resource_identifier: String,
    max_results: Option<u16>,
    next_token: Option<String>,
}

pub(crate) fn list(state: &mut Reader, ctx: &Context, input: &List) -> Result<Listing<Description>, Refusal> {
    let place = Place::new(ctx.home());
    let page = Page::new(input.max_results, input.next_token.as_deref())?;
    let (resource_id, ..) = parent(state, &place, &input.resource_identifier)?;
    page.list(state, &place.access_log_sinks(&resource_id), |state, entry| {
        let id = String::from_utf8_lossy(&entry.value);
        let found: Option<AccessLogSubscription> =
            get(state, &place.scope.record(super::place::kind::ACCESS_LOG, id))?;
        Ok(found.map(Into::into))
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Update {
    access_log_subscription_identifier: String,
    destination_arn: String,
}

pub(crate) fn update(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &Update,
) -> Result<Description, Refusal> {
    let place = Place::new(ctx.home());
    let mut subscription = find(tx, &place, &input.access_log_subscription_identifier)?;
    if sink(&input.destination_arn)? != sink(&subscription.destination_arn)? {
        let message = "the destination can only be replaced by one of the same kind";
        return Err(conflict(Kind::AccessLogSubscription, &subscription.id, message));
    }
    subscription.destination_arn = input.destination_arn.clone();
    subscription.last_updated_at = ctx.now;
    put(tx, &place.access_log(&subscription.id), &subscription);
    Ok(Description {
        service_network_log_type: None,
        created_at: None,
        last_updated_at: None,
        ..subscription.into()
    })
}

pub(crate) fn delete(tx: &mut Transaction<'_>, ctx: &Context, input: &Identify) -> Result<Nothing, Refusal> {
    let place = Place::new(ctx.home());
    let subscription = find(tx, &place, &input.access_log_subscription_identifier)?;
    remove(tx, &place, &subscription)?;
    Ok(Nothing {})
}

fn remove(
    tx: &mut Transaction<'_>,
    place: &Place,
    subscription: &AccessLogSubscription,
) -> Result<(), Refusal> {
    let sink = sink(&subscription.destination_arn)?;
    tx.delete(&place.access_log_sink(&subscription.resource_id, stream(subscription.log_type), sink));
    tag_set::forget(tx, &place.home, &subscription.arn());
    tx.delete(&place.access_log(&subscription.id));
    Ok(())
}

/// Drops every subscription of a parent that goes.
pub(crate) fn forget_all(tx: &mut Transaction<'_>, place: &Place, resource_id: &str) -> Result<(), Refusal> {
    for entry in scan_all(tx, &place.access_log_sinks(resource_id))? {
        let id = String::from_utf8_lossy(&entry.value);
        let key = place.scope.record(super::place::kind::ACCESS_LOG, id);
        if let Some(subscription) = get::<AccessLogSubscription>(tx, &key)? {
            remove(tx, place, &subscription)?;
        }
    }
    Ok(())
}
