//! Resource configurations: single resources, groups and their children, databases by ARN, ranges.
//!
//! What goes with which type is one table, [`shape`]; a member that does not is refused as
//! `Unexpected attribute X for type Y`, which clients look for.

mod creation;
pub(crate) mod definition;
mod listing;

use serde::{Deserialize, Serialize};
use trellis_frame::Services;
use trellis_frame::counted;
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::{
    DomainVerification, PortRange, ResourceConfiguration, ResourceConfigurationType, ResourceDefinition,
    ResourceProtocol, Status, VerificationStatus,
};
use trellis_model::{DomainVerificationId, ResourceConfigurationId, ResourceGatewayId};
use trellis_store::{Read, Reader, Transaction};

pub(crate) use self::creation::create;
use self::definition::Definition;
pub(crate) use self::listing::list;
use super::place::{Place, kind};
use super::{Nothing, access_log, database, identifier, resource_association, resource_gateway};
use crate::keys::last_part;
use crate::refusal::{Kind, Refusal, check_settled, conflict, not_found, unacceptable};
use crate::sharing::{self, Want};
use trellis_frame::Context;
use trellis_frame::record::{any, get, put, put_pending, scan_all};
use trellis_frame::tags as tag_set;
use trellis_model::resource::lattice::Shared;

/// Which members go with a type.
struct Shape {
    group: bool,
    definition: bool,
    ports: bool,
    protocol: bool,
    shareable: bool,
    custom_domain: bool,
    group_domain: bool,
}

fn shape(kind: ResourceConfigurationType) -> Shape {
    let all = Shape {
        group: false,
        definition: true,
        ports: true,
        protocol: true,
        shareable: true,
        custom_domain: true,
        group_domain: false,
    };
    match kind {
        ResourceConfigurationType::Single => all,
        ResourceConfigurationType::Group => {
            Shape { definition: false, custom_domain: false, group_domain: true, ..all }
        }
        ResourceConfigurationType::Child => Shape { group: true, shareable: false, ..all },
        ResourceConfigurationType::Arn => Shape { ports: false, protocol: false, ..all },
        ResourceConfigurationType::Cidr => Shape { custom_domain: false, ..all },
    }
}

fn unexpected(attribute: &str, kind: ResourceConfigurationType) -> Refusal {
    unacceptable(format_args!("Unexpected attribute {attribute} for type {}", kind.as_str()))
}

/// What answers say of a configuration, each with its own selection.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Description {
    id: ResourceConfigurationId,
    name: String,
    arn: String,
    resource_gateway_id: ResourceGatewayId,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_configuration_group_id: Option<ResourceConfigurationId>,
    #[serde(rename = "type")]
    kind: ResourceConfigurationType,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    allow_association_to_shareable_service_network: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    port_ranges: Vec<PortRange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<ResourceProtocol>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_configuration_definition: Option<Definition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_domain_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_domain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain_verification_id: Option<DomainVerificationId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain_verification_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain_verification_status: Option<VerificationStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amazon_managed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_updated_at: Option<Moment>,
}

/// Everything GetResourceConfiguration answers.
fn describe(
    state: &mut impl Read,
    place: &Place,
    resource: ResourceConfiguration,
) -> Result<Description, Refusal> {
    let verification = verification(state, place, &resource)?;
    let missing = database::missing(state, place, &resource)?;
    Ok(Description {
        arn: resource.arn(),
        id: resource.id,
        name: resource.name,
        resource_gateway_id: resource.gateway,
        resource_configuration_group_id: resource.group,
        kind: resource.kind,
        status: resource.status,
        allow_association_to_shareable_service_network: Some(
            resource.allow_association_to_shareable_service_network,
        ),
        port_ranges: resource.port_ranges,
        protocol: resource.protocol,
        resource_configuration_definition: resource.definition.map(Into::into),
        custom_domain_name: resource.custom_domain_name,
        group_domain: resource.group_domain,
        domain_verification_arn: verification.as_ref().map(DomainVerification::arn),
        domain_verification_status: verification.as_ref().map(|verification| verification.status),
        domain_verification_id: verification.map(|verification| verification.id),
        amazon_managed: Some(false),
        failure_reason: resource.failure.map(|failure| failure.message).or(missing),
        created_at: Some(resource.created_at),
        last_updated_at: Some(resource.last_updated_at),
    })
}

/// The verification that the configuration rests on; none when it has been deleted since.
pub(super) fn verification(
    state: &mut impl Read,
    place: &Place,
    resource: &ResourceConfiguration,
) -> Result<Option<DomainVerification>, Refusal> {
    let id = resource.domain_verification.as_ref();
    id.map_or(Ok(None), |id| get(state, &place.domain_verification(id)))
}

/// The index entries of a configuration.
fn indexes(place: &Place, resource: &ResourceConfiguration) -> Vec<String> {
    let ResourceConfiguration { id, name, gateway, group, domain_verification, .. } = resource;
    let mut keys = vec![place.name(kind::RESOURCE_CONFIGURATION, name), place.gateway_resource(gateway, id)];
    keys.extend(group.as_ref().map(|group| place.group_child(group, id)));
    keys.extend(domain_verification.as_ref().map(|verification| place.verified_resource(verification, id)));
    keys
}

/// The configuration `text` means, the caller's own or one that is shared for what is wanted.
///
/// # Errors
/// As [`sharing::locate`], and `ResourceNotFoundException`.
pub(crate) fn reach(
    state: &mut impl Read,
    ctx: &Context,
    text: &str,
    want: Want<'_>,
) -> Result<ResourceConfiguration, Refusal> {
    let (place, id) = sharing::locate(state, ctx, Shared::ResourceConfiguration, text, want)?;
    get(state, &place.resource_configuration(&id))?.ok_or_else(|| not_found(Kind::ResourceConfiguration, id))
}

/// The configuration of the account that `text` means.
pub(crate) fn find(
    state: &mut impl Read,
    place: &Place,
    text: &str,
) -> Result<ResourceConfiguration, Refusal> {
    let id = identifier::resource_configuration(text, &place.home)?;
    get(state, &place.resource_configuration(&id))?.ok_or_else(|| not_found(Kind::ResourceConfiguration, id))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Identify {
    resource_configuration_identifier: String,
}

pub(crate) fn get_one(state: &mut Reader, ctx: &Context, input: &Identify) -> Result<Description, Refusal> {
    let text = &input.resource_configuration_identifier;
    let resource = reach(state, ctx, text, Want::to("GetResourceConfiguration"))?;
    describe(state, &Place::new(resource.home.clone()), resource)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Update {
    resource_configuration_identifier: String,
    resource_configuration_definition: Option<Definition>,
    allow_association_to_shareable_service_network: Option<bool>,
    port_ranges: Option<Vec<String>>,
}

/// The operation has no `ConflictException`: what is on its way is refused as invalid.
pub(crate) fn update(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &Update,
) -> Result<Description, Refusal> {
    let place = Place::new(ctx.home());
    let mut resource = find(tx, &place, &input.resource_configuration_identifier)?;
    let shape = shape(resource.kind);
    if resource.status.is_in_progress() {
        let status = resource.status.as_str();
        return Err(unacceptable(format_args!("ResourceConfiguration {} is {status}", resource.id)));
    }
    if let Some(definition) = &input.resource_configuration_definition {
        resource.definition = Some(redefine(tx, &resource, definition, &place)?);
    }
    if let Some(ranges) = &input.port_ranges {
        if !shape.ports {
            return Err(unexpected("portRanges", resource.kind));
        }
        resource.port_ranges = definition::port_ranges(ranges)?;
    }
    if let Some(allow) = input.allow_association_to_shareable_service_network {
        if !shape.shareable {
            return Err(unexpected("allowAssociationToShareableServiceNetwork", resource.kind));
        }
        resource.allow_association_to_shareable_service_network = allow;
        share_with_children(tx, &place, &resource)?;
    }
    resource.status = Status::UpdateInProgress;
    resource.last_updated_at = ctx.now;
    put_pending(tx, &place.scope, kind::RESOURCE_CONFIGURATION, &resource.id, &resource);
    let description = describe(tx, &place, resource)?;
    Ok(Description {
        custom_domain_name: None,
        group_domain: None,
        domain_verification_id: None,
        domain_verification_arn: None,
        domain_verification_status: None,
        amazon_managed: None,
        failure_reason: None,
        created_at: None,
        last_updated_at: None,
        ..description
    })
}

/// What the resource is from now on: another address for an address, else what it was.
fn redefine(
    state: &mut impl Read,
    resource: &ResourceConfiguration,
    definition: &Definition,
    place: &Place,
) -> Result<ResourceDefinition, Refusal> {
    let Some(before) = &resource.definition else {
        return Err(unexpected("resourceConfigurationDefinition", resource.kind));
    };
    let gateway = resource_gateway::find(state, place, resource.gateway.as_str())?;
    let behind = definition::Behind::of(state, &gateway)?;
    let after = definition::read(definition, resource.kind, &place.home, &behind)?;
    match (before, &after) {
        (ResourceDefinition::Ip(_), ResourceDefinition::Ip(_)) => Ok(after),
        _ if *before == after => Ok(after),
        (ResourceDefinition::Cidr(_), _) => Err(unacceptable("cannot modify resource configuration CIDR")),
        _ => Err(unacceptable("cannot modify resource configuration DNS or ARN")),
    }
}

/// Children have the flag of their group.
fn share_with_children(
    tx: &mut Transaction<'_>,
    place: &Place,
    group: &ResourceConfiguration,
) -> Result<(), Refusal> {
    for mut child in children(tx, place, &group.id)? {
        child.allow_association_to_shareable_service_network =
            group.allow_association_to_shareable_service_network;
        put(tx, &place.resource_configuration(&child.id), &child);
    }
    Ok(())
}

/// The children of a group; the quota bounds them.
pub(super) fn children(
    state: &mut impl Read,
    place: &Place,
    group: &ResourceConfigurationId,
) -> Result<Vec<ResourceConfiguration>, Refusal> {
    under(state, place, &place.group_children(group))
}

/// The configurations that the index entries under `prefix` end in.
pub(super) fn under(
    state: &mut impl Read,
    place: &Place,
    prefix: &str,
) -> Result<Vec<ResourceConfiguration>, Refusal> {
    let mut found = Vec::new();
    for entry in scan_all(state, prefix)? {
        let key = place.scope.record(kind::RESOURCE_CONFIGURATION, last_part(&entry.key));
        found.extend(get(state, &key)?);
    }
    Ok(found)
}

pub(crate) fn delete(tx: &mut Transaction<'_>, ctx: &Context, input: &Identify) -> Result<Nothing, Refusal> {
    let place = Place::new(ctx.home());
    let mut resource = find(tx, &place, &input.resource_configuration_identifier)?;
    check_settled(Kind::ResourceConfiguration, &resource.id, resource.status)?;
    if resource.kind == ResourceConfigurationType::Child {
        resource_association::release(tx, &place, &resource.id)?;
    } else if any(tx, &place.resource_networks(&resource.id))? {
        return Err(unacceptable(format_args!(
            "ResourceConfiguration {} has existing association with service networks",
            resource.id
        )));
    }
    if any(tx, &place.group_children(&resource.id))? {
        let message =
            format_args!("ResourceConfiguration {} has child resource configuration(s)", resource.id);
        return Err(conflict(Kind::ResourceConfiguration, &resource.id, message));
    }
    resource.status = Status::DeleteInProgress;
    resource.last_updated_at = ctx.now;
    put_pending(tx, &place.scope, kind::RESOURCE_CONFIGURATION, &resource.id, &resource);
    Ok(Nothing {})
}

/// One step of the workflow.
pub(crate) fn settle(
    tx: &mut Transaction<'_>,
    services: &Services,
    place: &Place,
    id: &ResourceConfigurationId,
    now: Moment,
) -> Result<(), Refusal> {
    let Some(mut resource) = get::<ResourceConfiguration>(tx, &place.resource_configuration(id))? else {
        return Ok(());
    };
    match resource.status {
        Status::CreateInProgress | Status::UpdateInProgress => {
            resource.status = Status::Active;
            resource.last_updated_at = now;
            put(tx, &place.resource_configuration(id), &resource);
        }
        Status::DeleteInProgress => {
            tag_set::forget(tx, &place.home, &resource.arn());
            sharing::forget(tx, services, place, (Shared::ResourceConfiguration, id.as_str()))?;
            access_log::forget_all(tx, place, id.as_str())?;
            for key in indexes(place, &resource) {
                counted::delete(tx, &key)?;
            }
            tx.delete(&place.resource_configuration(id));
        }
        _ => {}
    }
    Ok(())
}
