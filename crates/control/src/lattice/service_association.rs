//! Associations of service networks with services: what can be reached through a network.

use serde::{Deserialize, Serialize};
use trellis_model::moment::Moment;
use trellis_model::quota::Quota;
use trellis_model::resource::lattice::{ServiceAssociation, Status};
use trellis_model::{AccountId, ServiceAssociationId, ServiceId, ServiceNetworkId};
use trellis_store::{Read, Reader, Transaction};

use super::place::{Place, kind, pending};
use super::service::DnsEntry;
use super::{identifier, service, service_network};
use crate::context::Context;
use crate::page::{Listing, Page};
use crate::record::{count, get, get_id, put};
use crate::refusal::{Kind, Refusal, check_quota, conflict, not_found, unacceptable};
use crate::tag_set::{self, Tags};

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
    let place = Place::new(ctx.home());
    let service = service::find(tx, &place, &input.service_identifier)?;
    let network = service_network::find(tx, &place, &input.service_network_identifier)?;
    // Clients look for the word CREATE_IN_PROGRESS to tell "try again" from "give up".
    if service.status != Status::Active {
        let message = format_args!("Service {} is {}", service.id, service.status.as_str());
        return Err(conflict(Kind::Service, &service.id, message));
    }
    if let Some(id) = get_id(tx, &place.network_service(&network.id, &service.id))? {
        let pair: Option<ServiceAssociation> = get(tx, &place.scope.record(kind::SERVICE_ASSOCIATION, &id))?;
        let status = pair.map_or("ACTIVE", |pair| pair.status.as_str());
        let message = format_args!(
            "Service {} has already been associated to ServiceNetwork {}: {id} is {status}",
            service.id, network.id
        );
        return Err(conflict(Kind::ServiceAssociation, &id, message));
    }
    if let Some(domain) = &service.custom_domain_name
        && let Some(id) = get_id(tx, &place.network_domain(&network.id, domain))?
    {
        let message = format_args!(
            "a Service with custom domain name {domain} already exists in ServiceNetwork {}",
            network.id
        );
        return Err(conflict(Kind::ServiceAssociation, id, message));
    }
    let have = count(tx, &place.network_services(&network.id))?;
    let quota = Quota::ServiceAssociationsPerServiceNetwork;
    check_quota(ctx.quotas(), quota, have, 1, Kind::ServiceAssociation, Some(network.id.as_str()))?;
    let association = ServiceAssociation {
        id: ServiceAssociationId::from_random(ctx.random()),
        home: place.home.clone(),
        created_by: place.home.account.clone(),
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
    tag_set::merge(tx, &place.home, &association.arn(), &input.tags)?;
    for key in indexes(&place, &association) {
        tx.put(&key, association.id.as_str().into());
    }
    tx.put(&place.scope.pending(pending::SERVICE_ASSOCIATION, &association.id), Vec::new());
    put(tx, &place.service_association(&association.id), &association);
    Ok(Created {
        arn: association.arn(),
        dns_entry: DnsEntry::new(association.domain_name),
        id: association.id,
        status: association.status,
        created_by: association.created_by,
        custom_domain_name: association.custom_domain_name,
    })
}

/// The index entries of an association.
fn indexes(place: &Place, association: &ServiceAssociation) -> Vec<String> {
    let ServiceAssociation { network, service, custom_domain_name, .. } = association;
    let mut keys = vec![place.network_service(network, service), place.service_network(service, network)];
    keys.extend(custom_domain_name.as_deref().map(|domain| place.network_domain(network, domain)));
    keys
}

fn find(state: &mut impl Read, place: &Place, text: &str) -> Result<ServiceAssociation, Refusal> {
    let id = identifier::service_association(text, &place.home)?;
    get(state, &place.service_association(&id))?.ok_or_else(|| not_found(Kind::ServiceAssociation, id))
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

impl From<ServiceAssociation> for Description {
    fn from(association: ServiceAssociation) -> Self {
        let arn = association.arn();
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
    find(state, &Place::new(ctx.home()), &input.service_network_service_association_identifier)
        .map(Into::into)
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
    let place = Place::new(ctx.home());
    let page = Page::new(input.max_results, input.next_token.as_deref())?;
    let network = input.service_network_identifier.as_deref();
    let network = network.map(|text| service_network::find(state, &place, text)).transpose()?;
    let service = input.service_identifier.as_deref();
    let service = service.map(|text| service::find(state, &place, text)).transpose()?;
    let prefix = match (&service, &network) {
        (Some(service), _) => place.service_networks(&service.id),
        (None, Some(network)) => place.network_services(&network.id),
        (None, None) => {
            return Err(unacceptable("one of serviceNetworkIdentifier and serviceIdentifier is required"));
        }
    };
    page.list(state, &prefix, |state, entry| {
        let id = String::from_utf8_lossy(&entry.value);
        let association: Option<ServiceAssociation> =
            get(state, &place.scope.record(kind::SERVICE_ASSOCIATION, id))?;
        let is_wanted = |association: &ServiceAssociation| {
            network.as_ref().is_none_or(|network| network.id == association.network)
        };
        Ok(association.filter(is_wanted).map(|association| Description {
            failure_code: None,
            failure_message: None,
            ..association.into()
        }))
    })
}

#[derive(Debug, Serialize)]
pub(crate) struct Deleted {
    id: ServiceAssociationId,
    arn: String,
    status: Status,
}

pub(crate) fn delete(tx: &mut Transaction<'_>, ctx: &Context, input: &Identify) -> Result<Deleted, Refusal> {
    let place = Place::new(ctx.home());
    let mut association = find(tx, &place, &input.service_network_service_association_identifier)?;
    if association.status.is_in_progress() {
        let message = format_args!(
            "ServiceNetworkServiceAssociation {} is {}",
            association.id,
            association.status.as_str()
        );
        return Err(conflict(Kind::ServiceAssociation, &association.id, message));
    }
    association.status = Status::DeleteInProgress;
    tx.put(&place.scope.pending(pending::SERVICE_ASSOCIATION, &association.id), Vec::new());
    put(tx, &place.service_association(&association.id), &association);
    Ok(Deleted { arn: association.arn(), id: association.id, status: association.status })
}

/// One step of the workflow, taken once the data plane acts on what was asked for.
pub(crate) fn settle(
    tx: &mut Transaction<'_>,
    place: &Place,
    id: &ServiceAssociationId,
) -> Result<(), Refusal> {
    let Some(mut association) = get::<ServiceAssociation>(tx, &place.service_association(id))? else {
        return Ok(());
    };
    match association.status {
        Status::CreateInProgress => {
            association.status = Status::Active;
            put(tx, &place.service_association(id), &association);
        }
        Status::DeleteInProgress => {
            tag_set::forget(tx, &place.home, &association.arn());
            for key in indexes(place, &association) {
                tx.delete(&key);
            }
            tx.delete(&place.service_association(id));
        }
        _ => {}
    }
    Ok(())
}
