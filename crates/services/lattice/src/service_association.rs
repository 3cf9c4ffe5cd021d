//! Associations of service networks with services: what can be reached through a network.

use serde::{Deserialize, Serialize};
use trellis_frame::Context;
use trellis_frame::counted;
use trellis_frame::page::{Listing, Page};
use trellis_frame::record::{any, get_id};
use trellis_frame::tags::Tags;
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::{Home, ServiceAssociation, Shared, Status};
use trellis_model::{AccountId, ServiceAssociationId, ServiceId, ServiceNetworkId};
use trellis_store::{Read, Reader, Transaction};

use super::association::{self, Association as _, Deleted};
use super::place::Place;
use super::service::DnsEntry;
use super::{identifier, service, service_network};
use crate::quota;
use crate::refusal::{Kind, Refusal, check_quota, conflict, in_status, not_found, unacceptable};
use crate::sharing::Want;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Create {
    service_identifier: String,
    service_network_identifier: String,
    #[serde(default)]
    tags: Tags,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Created {
    id: ServiceAssociationId,
    arn: String,
    status: Status,
    created_by: AccountId,
    dns_entry: DnsEntry,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_domain_name: Option<String>,
}

pub(crate) fn create(tx: &mut Transaction<'_>, ctx: &Context, input: &Create) -> Result<Created, Refusal> {
    let viewer = ctx.home();
    let want = Want::to("CreateServiceNetworkServiceAssociation");
    let service = service::reach(tx, ctx, &input.service_identifier, want)?;
    let network = service_network::reach(tx, ctx, &input.service_network_identifier, want)?;
    association::check_owner(ctx, &network, &service.home)?;
    let place = Place::new(network.home.clone());
    if service.status != Status::Active {
        return Err(in_status(Kind::Service, &service.id, service.status));
    }
    let pair_key = place.network_service(&network.id, &service.id);
    let far = (Kind::Service, service.id.as_str());
    association::check_pair::<ServiceAssociation>(tx, &place, &pair_key, far, &network.id)?;
    if let Some(domain) = &service.custom_domain_name
        && let Some(id) = get_id(tx, &place.network_domain(&network.id, domain))?
    {
        let message = format_args!(
            "a Service with custom domain name {domain} already exists in ServiceNetwork {}",
            network.id
        );
        return Err(conflict(Kind::ServiceAssociation, id, message));
    }
    let have = counted::count(tx, &place.network_services(&network.id))?;
    let quota = &quota::SERVICE_ASSOCIATIONS_PER_SERVICE_NETWORK;
    check_quota(ctx.quotas(), quota, have, 1, Kind::ServiceAssociation, Some(network.id.as_str()))?;
    let association = ServiceAssociation {
        id: ServiceAssociationId::from_random(ctx.random()),
        home: network.home.clone(),
        created_by: viewer.account.clone(),
        network_name: network.name.clone(),
        network_arn: network.arn(),
        network: network.id,
        service_name: service.name.clone(),
        service_arn: service.arn(),
        domain_name: service.domain_name(),
        custom_domain_name: service.custom_domain_name,
        service: service.id,
        status: Status::CreateInProgress,
        failure: None,
        created_at: ctx.now,
    };
    association::tag(tx, &association, &viewer, &input.tags)?;
    association::begin(tx, &association)?;
    Ok(Created {
        arn: association.arn_for(&viewer.account),
        dns_entry: DnsEntry::new(association.domain_name),
        id: association.id,
        status: association.status,
        created_by: association.created_by,
        custom_domain_name: association.custom_domain_name,
    })
}

fn find(state: &mut impl Read, place: &Place, text: &str) -> Result<ServiceAssociation, Refusal> {
    let id = identifier::service_association(text, &place.home)?;
    association::find(state, place, id.as_str())?.ok_or_else(|| not_found(Kind::ServiceAssociation, id))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Identify {
    service_network_service_association_identifier: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Description {
    id: ServiceAssociationId,
    arn: String,
    status: Status,
    created_by: AccountId,
    created_at: Moment,
    service_id: ServiceId,
    service_name: String,
    service_arn: String,
    service_network_id: ServiceNetworkId,
    service_network_name: String,
    service_network_arn: String,
    dns_entry: DnsEntry,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_domain_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_message: Option<String>,
}

impl Description {
    fn seen_by(viewer: &Home, association: ServiceAssociation) -> Self {
        let arn = association.arn_for(&viewer.account);
        let (failure_code, failure_message) =
            association.failure.map(|failure| (failure.code, failure.message)).unzip();
        Self {
            id: association.id,
            arn,
            status: association.status,
            created_by: association.created_by,
            created_at: association.created_at,
            service_id: association.service,
            service_name: association.service_name,
            service_arn: association.service_arn,
            service_network_id: association.network,
            service_network_name: association.network_name,
            service_network_arn: association.network_arn,
            dns_entry: DnsEntry::new(association.domain_name),
            custom_domain_name: association.custom_domain_name,
            failure_code,
            failure_message,
        }
    }
}

pub(crate) fn get_one(state: &mut Reader, ctx: &Context, input: &Identify) -> Result<Description, Refusal> {
    let place = Place::new(ctx.home());
    let association = find(state, &place, &input.service_network_service_association_identifier)?;
    Ok(Description::seen_by(&place.home, association))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct List {
    service_network_identifier: Option<String>,
    service_identifier: Option<String>,
    max_results: Option<u16>,
    next_token: Option<String>,
}

pub(crate) fn list(state: &mut Reader, ctx: &Context, input: &List) -> Result<Listing<Description>, Refusal> {
    let own = Place::new(ctx.home());
    let page = Page::new(input.max_results, input.next_token.as_deref())?;
    let network = input.service_network_identifier.as_deref().map(|text| {
        let action = "ListServiceNetworkServiceAssociations";
        association::listing_place(state, ctx, text, action, |own, network| own.network_services(network))
    });
    let service = input.service_identifier.as_deref().map(|text| asked_service(state, ctx, text));
    let service = service.transpose()?;
    let (place, prefix) = match (network.transpose()?, &service) {
        (Some((place, network)), _) => {
            let prefix = place.network_services(&network);
            (place, prefix)
        }
        // In the caller's own account are those that it is party to.
        (None, Some(service)) => (own.clone(), own.service_networks(service)),
        (None, None) => {
            return Err(unacceptable("one of serviceNetworkIdentifier and serviceIdentifier is required"));
        }
    };
    page.list(state, &prefix, |state, entry| {
        let id = String::from_utf8_lossy(&entry.value);
        let association: Option<ServiceAssociation> = association::find(state, &place, &id)?;
        let is_wanted = |association: &ServiceAssociation| {
            service.as_ref().is_none_or(|service| *service == association.service)
        };
        Ok(association.filter(is_wanted).map(|association| Description {
            failure_code: None,
            failure_message: None,
            ..Description::seen_by(&own.home, association)
        }))
    })
}

/// The service that associations are asked of: the caller's own, one that is shared, or one that was and
/// that the caller is still party to an association of.
fn asked_service(state: &mut Reader, ctx: &Context, text: &str) -> Result<ServiceId, Refusal> {
    let refusal = match service::reach(state, ctx, text, Want::to("GetService")) {
        Ok(service) => return Ok(service.id),
        Err(refusal) if !refusal.is_ours() => refusal,
        Err(ours) => return Err(ours),
    };
    let own = Place::new(ctx.home());
    match identifier::whose(text, &own.home, Shared::Service.arn_prefix(), Kind::Service) {
        Ok((_, id)) if any(state, &own.service_networks(&id))? => Ok(id),
        _ => Err(refusal),
    }
}

pub(crate) fn delete(tx: &mut Transaction<'_>, ctx: &Context, input: &Identify) -> Result<Deleted, Refusal> {
    let text = &input.service_network_service_association_identifier;
    let association = find(tx, &Place::new(ctx.home()), text)?;
    association::end(tx, ctx, association)
}
