//! Listeners: a port and protocol of a service, with a default action.

use serde::{Deserialize, Serialize};
use trellis_frame::Context;
use trellis_frame::counted;
use trellis_frame::page::{Listing, Page};
use trellis_frame::record::{all, decode, get, get_id, put};
use trellis_frame::tags::{self as tag_set, Tags};
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::{Listener, ListenerProtocol, Rule, RuleAction};
use trellis_model::{ListenerId, RuleId, ServiceId};
use trellis_store::{Read, Reader, Transaction};

use super::place::{DEFAULT_ACTION, Place};
use super::{Nothing, action, identifier, rule, service};
use crate::quota;
use crate::refusal::{Kind, Refusal, check_name_is_free, check_quota, conflict, invalid, not_found};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Create {
    service_identifier: String,
    name: String,
    protocol: ListenerProtocol,
    port: Option<u16>,
    default_action: RuleAction,
    #[serde(default)]
    tags: Tags,
}

/// What answers say of a listener, each with its own selection.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Description {
    arn: String,
    id: ListenerId,
    name: String,
    protocol: ListenerProtocol,
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_id: Option<ServiceId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_action: Option<RuleAction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_updated_at: Option<Moment>,
}

impl From<Listener> for Description {
    /// Everything GetListener answers.
    fn from(listener: Listener) -> Self {
        Self {
            arn: listener.arn(),
            service_arn: Some(listener.service_arn()),
            id: listener.id,
            name: listener.name,
            protocol: listener.protocol,
            port: listener.port,
            service_id: Some(listener.service),
            default_action: Some(listener.default_action),
            created_at: Some(listener.created_at),
            last_updated_at: Some(listener.last_updated_at),
        }
    }
}

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &Create,
) -> Result<Description, Refusal> {
    let place = Place::new(ctx.home());
    let service = service::find_for_change(tx, &place, &input.service_identifier)?;
    if input.protocol == ListenerProtocol::TlsPassthrough && service.custom_domain_name.is_none() {
        return Err(invalid("protocol", "TLS_PASSTHROUGH needs a service with a customDomainName"));
    }
    let default_action = action::normalise(tx, &place, &service, input.protocol, &input.default_action)?;
    let name_key = place.listener_name(&service.id, &input.name);
    check_name_is_free(get_id(tx, &name_key)?, Kind::Listener, &input.name, &service.id)?;
    let port = input.port.unwrap_or_else(|| input.protocol.default_port());
    let port_key = place.port(&service.id, port);
    if let Some(id) = get_id(tx, &port_key)? {
        let message = format_args!("a Listener on port {port} already exists in {}", service.id);
        return Err(conflict(Kind::Listener, id, message));
    }
    let have = counted::count(tx, &place.ports(&service.id))?;
    let parent = Some(service.id.as_str());
    check_quota(ctx.quotas(), &quota::LISTENERS_PER_SERVICE, have, 1, Kind::Listener, parent)?;
    let listener = Listener {
        id: ListenerId::from_random(ctx.random()),
        home: place.home.clone(),
        service: service.id.clone(),
        name: input.name.clone(),
        protocol: input.protocol,
        port,
        default_action,
        default_rule: RuleId::from_random(ctx.random()),
        created_at: ctx.now,
        last_updated_at: ctx.now,
    };
    action::link(tx, ctx, &place, (&service, &listener, DEFAULT_ACTION), None, &listener.default_action)?;
    tag_set::merge(tx, &place.home, &listener.arn(), &input.tags)?;
    tx.put(&name_key, listener.id.as_str().into());
    counted::put(tx, &port_key, listener.id.as_str().into())?;
    put(tx, &place.listener(&service.id, &listener.id), &listener);
    Ok(Description { created_at: None, last_updated_at: None, ..listener.into() })
}

/// The listener of `service` that `text` means.
pub(crate) fn find(
    state: &mut impl Read,
    place: &Place,
    service: &ServiceId,
    text: &str,
) -> Result<Listener, Refusal> {
    let id = identifier::listener(text, &place.home, service)?;
    get(state, &place.listener(service, &id))?.ok_or_else(|| not_found(Kind::Listener, id))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Identify {
    service_identifier: String,
    listener_identifier: String,
}

pub(crate) fn get_one(state: &mut Reader, ctx: &Context, input: &Identify) -> Result<Description, Refusal> {
    let place = Place::new(ctx.home());
    let service = service::find(state, &place, &input.service_identifier)?;
    find(state, &place, &service.id, &input.listener_identifier).map(Into::into)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct List {
    service_identifier: String,
    max_results: Option<u16>,
    next_token: Option<String>,
}

pub(crate) fn list(state: &mut Reader, ctx: &Context, input: &List) -> Result<Listing<Description>, Refusal> {
    let place = Place::new(ctx.home());
    let service = service::find(state, &place, &input.service_identifier)?;
    let page = Page::new(input.max_results, input.next_token.as_deref())?;
    page.list(state, &place.listeners(&service.id), |_, entry| {
        Ok(Some(Description {
            service_arn: None,
            service_id: None,
            default_action: None,
            ..decode::<Listener>(entry)?.into()
        }))
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Update {
    service_identifier: String,
    listener_identifier: String,
    default_action: RuleAction,
}

pub(crate) fn update(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &Update,
) -> Result<Description, Refusal> {
    let place = Place::new(ctx.home());
    let service = service::find_for_change(tx, &place, &input.service_identifier)?;
    let mut listener = find(tx, &place, &service.id, &input.listener_identifier)?;
    let after = action::normalise(tx, &place, &service, listener.protocol, &input.default_action)?;
    let whose = (&service, &listener, DEFAULT_ACTION);
    action::link(tx, ctx, &place, whose, Some(&listener.default_action), &after)?;
    listener.default_action = after;
    listener.last_updated_at = ctx.now;
    put(tx, &place.listener(&service.id, &listener.id), &listener);
    Ok(Description { created_at: None, last_updated_at: None, ..listener.into() })
}

pub(crate) fn delete(tx: &mut Transaction<'_>, ctx: &Context, input: &Identify) -> Result<Nothing, Refusal> {
    let place = Place::new(ctx.home());
    let service = service::find_for_change(tx, &place, &input.service_identifier)?;
    let listener = find(tx, &place, &service.id, &input.listener_identifier)?;
    remove(tx, &place, &listener)?;
    Ok(Nothing {})
}

/// Takes away every listener of `service`.
pub(crate) fn delete_all(
    tx: &mut Transaction<'_>,
    place: &Place,
    service: &ServiceId,
) -> Result<(), Refusal> {
    for listener in all::<Listener>(tx, &place.listeners(service))? {
        remove(tx, place, &listener)?;
    }
    Ok(())
}

/// Takes the listener away, its rules with it.
fn remove(tx: &mut Transaction<'_>, place: &Place, listener: &Listener) -> Result<(), Refusal> {
    for rule in all::<Rule>(tx, &place.rules(&listener.id))? {
        rule::remove(tx, place, listener, &rule)?;
    }
    action::unlink(tx, place, listener, DEFAULT_ACTION, &listener.default_action);
    tag_set::forget(tx, &place.home, &listener.default_rule_arn());
    tag_set::forget(tx, &place.home, &listener.arn());
    tx.delete(&place.listener_name(&listener.service, &listener.name));
    counted::delete(tx, &place.port(&listener.service, listener.port))?;
    tx.delete(&place.listener(&listener.service, &listener.id));
    Ok(())
}
