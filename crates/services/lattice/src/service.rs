//! Services: the name clients call, its settings and its life from CREATE_IN_PROGRESS to gone.

use serde::{Deserialize, Serialize};
use trellis_frame::Context;
use trellis_frame::counted;
use trellis_frame::page::{ListAll, Listing};
use trellis_frame::record::{any, get, get_id, put, put_pending};
use trellis_frame::tags::{self as tag_set, Tags};
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::{AuthType, Service, Shared, Status};
use trellis_model::{ServiceId, name};
use trellis_store::{Read, Reader, Transaction};

use super::certificate::{self, Sealed};
use super::place::{Place, kind};
use super::{access_log, auth_policy, identifier, listener};
use crate::quota;
use crate::refusal::{
    Kind, Refusal, check_name_is_free, check_quota, conflict, in_status, invalid, not_found,
};
use crate::sharing::{self, Want};

/// `idleTimeoutSeconds` of a service that says nothing.
const DEFAULT_IDLE_TIMEOUT: u16 = 60;

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DnsEntry {
    domain_name: String,
    hosted_zone_id: &'static str,
}

impl DnsEntry {
    pub(crate) fn new(domain_name: String) -> Self {
        Self { domain_name, hosted_zone_id: name::SERVICE_HOSTED_ZONE_ID }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Create {
    name: String,
    #[serde(default)]
    tags: Tags,
    custom_domain_name: Option<String>,
    certificate_arn: Option<String>,
    auth_type: Option<AuthType>,
    idle_timeout_seconds: Option<u16>,
}

/// What every answer that speaks of one service has, each with its own selection.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Description {
    id: ServiceId,
    arn: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_domain_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_type: Option<AuthType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_timeout_seconds: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dns_entry: Option<DnsEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_updated_at: Option<Moment>,
}

impl From<Service> for Description {
    /// Everything GetService answers.
    fn from(service: Service) -> Self {
        let (failure_code, failure_message) =
            service.failure.clone().map(|failure| (failure.code, failure.message)).unzip();
        Self {
            arn: service.arn(),
            dns_entry: Some(DnsEntry::new(service.domain_name())),
            id: service.id,
            name: service.name,
            custom_domain_name: service.custom_domain_name,
            certificate_arn: service.certificate_arn,
            auth_type: Some(service.auth_type),
            idle_timeout_seconds: Some(service.idle_timeout_seconds),
            status: Some(service.status),
            failure_code,
            failure_message,
            created_at: Some(service.created_at),
            last_updated_at: Some(service.last_updated_at),
        }
    }
}

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &Create,
) -> Result<Description, Refusal> {
    let place = Place::new(ctx.home());
    if input.custom_domain_name.as_deref().is_some_and(|domain| !name::is_domain_name(domain)) {
        return Err(invalid("customDomainName", "is not a domain name"));
    }
    let name_key = place.name(kind::SERVICE, &input.name);
    check_name_is_free(get_id(tx, &name_key)?, Kind::Service, &input.name, &place.home.account)?;
    let have = counted::count(tx, &place.names(kind::SERVICE))?;
    check_quota(ctx.quotas(), &quota::SERVICES_PER_REGION, have, 1, Kind::Service, None)?;
    let mut service = Service {
        id: ServiceId::from_random(ctx.random()),
        home: place.home.clone(),
        name: input.name.clone(),
        custom_domain_name: input.custom_domain_name.clone(),
        certificate_arn: None,
        auth_type: input.auth_type.unwrap_or_default(),
        idle_timeout_seconds: input.idle_timeout_seconds.unwrap_or(DEFAULT_IDLE_TIMEOUT),
        status: Status::CreateInProgress,
        failure: None,
        created_at: ctx.now,
        last_updated_at: ctx.now,
    };
    if let Some(arn) = &input.certificate_arn {
        certificate::assign(tx, ctx, &mut service, arn)?;
    }
    tag_set::merge(tx, &place.home, &service.arn(), &input.tags)?;
    counted::put(tx, &name_key, service.id.as_str().into())?;
    put_pending(tx, &place.scope, kind::SERVICE, &service.id, &service);
    Ok(Description { created_at: None, last_updated_at: None, ..service.into() })
}

/// The service `text` means, the caller's own or one that is shared for what is wanted.
///
/// # Errors
/// As [`sharing::locate`], and `ResourceNotFoundException`.
pub(crate) fn reach(
    state: &mut impl Read,
    ctx: &Context,
    text: &str,
    want: Want<'_>,
) -> Result<Service, Refusal> {
    let (place, id) = sharing::locate(state, ctx, Shared::Service, text, want)?;
    get(state, &place.service(&id))?.ok_or_else(|| not_found(Kind::Service, id))
}

/// The service of the account that `text` means.
pub(crate) fn find(state: &mut impl Read, place: &Place, text: &str) -> Result<Service, Refusal> {
    let id = identifier::service(text, &place.home)?;
    get(state, &place.service(&id))?.ok_or_else(|| not_found(Kind::Service, id))
}

/// The service `text` means, unless it is on its way out.
pub(crate) fn find_for_change(state: &mut impl Read, place: &Place, text: &str) -> Result<Service, Refusal> {
    let service = find(state, place, text)?;
    if service.status.is_in_force() {
        return Ok(service);
    }
    Err(in_status(Kind::Service, &service.id, service.status))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Identify {
    service_identifier: String,
}

pub(crate) fn get_one(state: &mut Reader, ctx: &Context, input: &Identify) -> Result<Description, Refusal> {
    reach(state, ctx, &input.service_identifier, Want::to("GetService")).map(Into::into)
}

/// "Owned by the caller and shared to it."
pub(crate) fn list(
    state: &mut Reader,
    ctx: &Context,
    input: &ListAll,
) -> Result<Listing<Description>, Refusal> {
    let page = input.page()?;
    let want = Want::to("GetService");
    sharing::list_owned_and_received(&page, state, ctx, Shared::Service, want, |_, _, service: Service| {
        Ok(Some(Description {
            certificate_arn: None,
            auth_type: None,
            idle_timeout_seconds: None,
            failure_code: None,
            failure_message: None,
            ..service.into()
        }))
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Update {
    service_identifier: String,
    certificate_arn: Option<String>,
    auth_type: Option<AuthType>,
    idle_timeout_seconds: Option<u16>,
}

pub(crate) fn update(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &Update,
) -> Result<Description, Refusal> {
    let place = Place::new(ctx.home());
    let mut service = find_for_change(tx, &place, &input.service_identifier)?;
    if let Some(arn) = &input.certificate_arn {
        certificate::assign(tx, ctx, &mut service, arn)?;
    }
    service.auth_type = input.auth_type.unwrap_or(service.auth_type);
    service.idle_timeout_seconds = input.idle_timeout_seconds.unwrap_or(service.idle_timeout_seconds);
    service.last_updated_at = ctx.now;
    put(tx, &place.service(&service.id), &service);
    Ok(Description {
        status: None,
        dns_entry: None,
        failure_code: None,
        failure_message: None,
        created_at: None,
        last_updated_at: None,
        ..service.into()
    })
}

#[derive(Debug, Serialize)]
pub(crate) struct Deleted {
    id: ServiceId,
    arn: String,
    name: String,
    status: Status,
}

/// Marks the service and takes its listeners, rules and policies away at once, so that the target
/// groups they used are free; the workflow removes the rest.
pub(crate) fn delete(tx: &mut Transaction<'_>, ctx: &Context, input: &Identify) -> Result<Deleted, Refusal> {
    let place = Place::new(ctx.home());
    let mut service = find(tx, &place, &input.service_identifier)?;
    let id = &service.id;
    if any(tx, &place.service_networks(id))? {
        let message = format_args!("Service {id} has service network(s) associated");
        return Err(conflict(Kind::Service, id, message));
    }
    if service.status == Status::CreateInProgress {
        return Err(in_status(Kind::Service, id, service.status));
    }
    if service.status != Status::DeleteInProgress {
        listener::delete_all(tx, &place, id)?;
        auth_policy::forget(tx, &place, id.as_str());
        sharing::forget(tx, &ctx.surroundings.services, &place, (Shared::Service, id.as_str()))?;
        access_log::forget_all(tx, &place, id.as_str())?;
        certificate::unassign(tx, &mut service);
        service.status = Status::DeleteInProgress;
        service.last_updated_at = ctx.now;
        put_pending(tx, &place.scope, kind::SERVICE, &service.id, &service);
    }
    Ok(Deleted { arn: service.arn(), id: service.id, name: service.name, status: Status::DeleteInProgress })
}

/// One step of the workflow: a service that was being made is there and shows `certificate` as its generated
/// name, one that was going is gone.
pub(crate) fn settle(
    tx: &mut Transaction<'_>,
    place: &Place,
    id: &ServiceId,
    certificate: Option<&Sealed>,
    now: Moment,
) -> Result<(), Refusal> {
    let Some(mut service) = get::<Service>(tx, &place.service(id))? else { return Ok(()) };
    match service.status {
        Status::CreateInProgress => {
            if let Some(certificate) = certificate {
                certificate.put(tx);
            }
            service.status = Status::Active;
            service.last_updated_at = now;
            put(tx, &place.service(id), &service);
        }
        Status::DeleteInProgress => {
            tag_set::forget(tx, &place.home, &service.arn());
            certificate::forget_all(tx, place, id)?;
            counted::delete(tx, &place.name(kind::SERVICE, &service.name))?;
            tx.delete(&place.service(id));
        }
        _ => {}
    }
    Ok(())
}
