//! A new resource configuration: what is asked for, and whether it can be.

use serde::Deserialize;
use trellis_frame::Context;
use trellis_frame::counted;
use trellis_frame::record::{get, get_id, put_pending};
use trellis_frame::tags::{self as tag_set, Tags};
use trellis_model::resource::lattice::{
    DomainVerification, ResourceConfiguration, ResourceConfigurationType, ResourceGateway, ResourceProtocol,
    Status,
};
use trellis_model::{DomainVerificationId, ResourceConfigurationId, name};
use trellis_store::{Read, Transaction};

use super::definition::{self, Definition};
use super::{Description, describe, find, indexes, shape, unexpected};
use crate::place::{Place, kind};
use crate::quota;
use crate::refusal::{Kind, Refusal, check_name_is_free, check_quota, check_ready, invalid, not_found};
use crate::{identifier, resource_association, resource_gateway};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Create {
    name: String,
    #[serde(rename = "type")]
    kind: ResourceConfigurationType,
    port_ranges: Option<Vec<String>>,
    protocol: Option<ResourceProtocol>,
    resource_gateway_identifier: Option<String>,
    resource_configuration_group_identifier: Option<String>,
    resource_configuration_definition: Option<Definition>,
    allow_association_to_shareable_service_network: Option<bool>,
    custom_domain_name: Option<String>,
    group_domain: Option<String>,
    domain_verification_identifier: Option<String>,
    #[serde(default)]
    tags: Tags,
}

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &Create,
) -> Result<Description, Refusal> {
    let place = Place::new(ctx.home());
    let kind = input.kind;
    let shape = shape(kind);
    for (attribute, is_given, is_allowed) in [
        (
            "resourceConfigurationGroupIdentifier",
            input.resource_configuration_group_identifier.is_some(),
            shape.group,
        ),
        (
            "resourceConfigurationDefinition",
            input.resource_configuration_definition.is_some(),
            shape.definition,
        ),
        ("portRanges", input.port_ranges.is_some(), shape.ports),
        ("protocol", input.protocol.is_some(), shape.protocol),
        (
            "allowAssociationToShareableServiceNetwork",
            input.allow_association_to_shareable_service_network.is_some(),
            shape.shareable,
        ),
        ("customDomainName", input.custom_domain_name.is_some(), shape.custom_domain),
        ("groupDomain", input.group_domain.is_some(), shape.group_domain),
        (
            "domainVerificationIdentifier",
            input.domain_verification_identifier.is_some(),
            shape.custom_domain || shape.group_domain,
        ),
    ] {
        if is_given && !is_allowed {
            return Err(unexpected(attribute, kind));
        }
    }
    let protocol = protocol(kind, input.protocol)?;
    let group = group(tx, &place, input)?;
    let gateway = gateway(tx, &place, input, group.as_ref())?;
    let definition = match (&input.resource_configuration_definition, shape.definition) {
        (Some(definition), _) => {
            let behind = definition::Behind::of(tx, &gateway)?;
            Some(definition::read(definition, kind, &place.home, &behind)?)
        }
        (None, true) => return Err(invalid("resourceConfigurationDefinition", "is required")),
        (None, false) => None,
    };
    let port_ranges = match shape.ports {
        true => definition::port_ranges(input.port_ranges.as_deref().unwrap_or_default())?,
        false => Vec::new(),
    };
    let domain_verification = check_domains(tx, &place, input)?;
    let name_key = place.name(kind::RESOURCE_CONFIGURATION, &input.name);
    check_name_is_free(
        get_id(tx, &name_key)?,
        Kind::ResourceConfiguration,
        &input.name,
        &place.home.account,
    )?;
    check_quotas(tx, ctx, &place, group.as_ref())?;
    let allow_association_to_shareable_service_network = match &group {
        Some(group) => group.allow_association_to_shareable_service_network,
        None => input.allow_association_to_shareable_service_network.unwrap_or(false),
    };
    let resource = ResourceConfiguration {
        id: ResourceConfigurationId::from_random(ctx.random()),
        home: place.home.clone(),
        name: input.name.clone(),
        kind,
        gateway: gateway.id,
        group: group.map(|group| group.id),
        definition,
        port_ranges,
        protocol,
        allow_association_to_shareable_service_network,
        custom_domain_name: input.custom_domain_name.clone(),
        group_domain: input.group_domain.clone(),
        domain_verification,
        status: Status::CreateInProgress,
        failure: None,
        created_at: ctx.now,
        last_updated_at: ctx.now,
    };
    tag_set::merge(tx, &place.home, &resource.arn(), &input.tags)?;
    for key in indexes(&place, &resource) {
        counted::put(tx, &key, resource.id.as_str().into())?;
    }
    put_pending(tx, &place.scope, kind::RESOURCE_CONFIGURATION, &resource.id, &resource);
    resource_association::adopt(tx, ctx, &place, &resource)?;
    let description = describe(tx, &place, resource)?;
    Ok(Description {
        domain_verification_status: None,
        amazon_managed: None,
        failure_reason: None,
        last_updated_at: None,
        ..description
    })
}

/// "TCP default; TCP_UDP only with CIDR." Databases have none.
fn protocol(
    kind: ResourceConfigurationType,
    asked: Option<ResourceProtocol>,
) -> Result<Option<ResourceProtocol>, Refusal> {
    if asked == Some(ResourceProtocol::TcpUdp) && kind != ResourceConfigurationType::Cidr {
        return Err(invalid("protocol", format_args!("TCP_UDP does not go with type {}", kind.as_str())));
    }
    Ok((kind != ResourceConfigurationType::Arn).then(|| asked.unwrap_or_default()))
}

/// The group of a child.
fn group(
    state: &mut impl Read,
    place: &Place,
    input: &Create,
) -> Result<Option<ResourceConfiguration>, Refusal> {
    let field = "resourceConfigurationGroupIdentifier";
    let Some(text) = &input.resource_configuration_group_identifier else {
        return match input.kind {
            ResourceConfigurationType::Child => Err(invalid(field, "is required")),
            _ => Ok(None),
        };
    };
    let group = find(state, place, text)?;
    if group.kind != ResourceConfigurationType::Group {
        return Err(invalid(field, format_args!("{} is of type {}", group.id, group.kind.as_str())));
    }
    check_ready(Kind::ResourceConfiguration, &group.id, group.status)?;
    Ok(Some(group))
}

/// The gateway asked for; a child's is its group's, which it may name too.
fn gateway(
    state: &mut impl Read,
    place: &Place,
    input: &Create,
    group: Option<&ResourceConfiguration>,
) -> Result<ResourceGateway, Refusal> {
    let field = "resourceGatewayIdentifier";
    let text = match (&input.resource_gateway_identifier, group) {
        (Some(text), _) => text,
        (None, Some(group)) => group.gateway.as_str(),
        (None, None) => return Err(invalid(field, "is required")),
    };
    let gateway = resource_gateway::find(state, place, text)?;
    if group.is_some_and(|group| group.gateway != gateway.id) {
        return Err(unexpected(field, input.kind));
    }
    check_ready(Kind::ResourceGateway, &gateway.id, gateway.status)?;
    if !resource_gateway::serves(gateway.dns_resolution, input.kind) {
        let message = format_args!(
            "the DNS resolution of {} does not go with type {}",
            gateway.id,
            input.kind.as_str()
        );
        return Err(invalid(field, message));
    }
    Ok(gateway)
}

/// The domains can be, and the verification named covers the one that is given.
fn check_domains(
    state: &mut impl Read,
    place: &Place,
    input: &Create,
) -> Result<Option<DomainVerificationId>, Refusal> {
    for (field, domain) in
        [("customDomainName", &input.custom_domain_name), ("groupDomain", &input.group_domain)]
    {
        if domain.as_deref().is_some_and(|domain| !name::is_domain_name(domain)) {
            return Err(invalid(field, "is not a domain name"));
        }
    }
    let Some(text) = &input.domain_verification_identifier else { return Ok(None) };
    let field = "domainVerificationIdentifier";
    let id = identifier::domain_verification(text, &place.home)?;
    let verification: DomainVerification = get(state, &place.domain_verification(&id))?
        .ok_or_else(|| not_found(Kind::DomainVerification, &id))?;
    let Some(domain) = input.custom_domain_name.as_ref().or(input.group_domain.as_ref()) else {
        return Err(invalid(field, "only goes with a domain name"));
    };
    if !verification.covers(domain) {
        return Err(invalid(field, format_args!("{id} does not cover {domain}")));
    }
    Ok(Some(id))
}

fn check_quotas(
    state: &mut impl Read,
    ctx: &Context,
    place: &Place,
    group: Option<&ResourceConfiguration>,
) -> Result<(), Refusal> {
    let have = counted::count(state, &place.names(kind::RESOURCE_CONFIGURATION))?;
    let quota = &quota::RESOURCE_CONFIGURATIONS_PER_REGION;
    check_quota(ctx.quotas(), quota, have, 1, Kind::ResourceConfiguration, None)?;
    let Some(group) = group else { return Ok(()) };
    let have = counted::count(state, &place.group_children(&group.id))?;
    let quota = &quota::CHILDREN_PER_RESOURCE_GROUP;
    check_quota(ctx.quotas(), quota, have, 1, Kind::ResourceConfiguration, Some(group.id.as_str()))
}
