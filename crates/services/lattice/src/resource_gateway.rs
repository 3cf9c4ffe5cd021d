//! Resource gateways: where connections to resources enter the VPC the resources are in.
//!
//! The same member is called `vpcIdentifier` when a gateway is created or listed and `vpcId` when it
//! is got or updated.

use serde::{Deserialize, Serialize};
use trellis_frame::counted;
use trellis_frame::page::{ListAll, Listing};
use trellis_frame::record::{any, decode, get, get_id, put, put_pending};
use trellis_frame::tags::{self as tag_set, Tags};
use trellis_frame::{Context, reference};
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::{
    DnsResolution, ResourceConfigurationType, ResourceGateway, ResourceGatewayIpAddressType, Status,
};
use trellis_model::{ResourceGatewayId, SecurityGroupId, SubnetId, VpcId};
use trellis_store::{Read, Reader, Transaction};

use super::place::{Place, kind};
use super::vpc::{self, Vpc};
use super::{identifier, resource_configuration};
use crate::quota;
use crate::refusal::{
    Kind, Refusal, check_name_is_free, check_quota, check_settled, conflict, invalid, not_found,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Create {
    name: String,
    vpc_identifier: Option<String>,
    #[serde(default)]
    subnet_ids: Vec<String>,
    #[serde(default)]
    security_group_ids: Vec<String>,
    ip_address_type: Option<ResourceGatewayIpAddressType>,
    ipv4_addresses_per_eni: Option<u8>,
    resource_config_dns_resolution: Option<DnsResolution>,
    #[serde(default)]
    tags: Tags,
}

/// What answers say of a gateway, each with its own selection.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Description {
    id: ResourceGatewayId,
    arn: String,
    name: String,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    vpc_id: Option<VpcId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vpc_identifier: Option<VpcId>,
    subnet_ids: Vec<SubnetId>,
    security_group_ids: Vec<SecurityGroupId>,
    ip_address_type: ResourceGatewayIpAddressType,
    #[serde(skip_serializing_if = "Option::is_none")]
    ipv4_addresses_per_eni: Option<u8>,
    resource_config_dns_resolution: DnsResolution,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_managed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_updated_at: Option<Moment>,
}

impl From<ResourceGateway> for Description {
    /// Everything GetResourceGateway answers.
    fn from(gateway: ResourceGateway) -> Self {
        Self {
            arn: gateway.arn(),
            id: gateway.id,
            name: gateway.name,
            status: gateway.status,
            vpc_id: Some(gateway.vpc),
            vpc_identifier: None,
            subnet_ids: gateway.subnets,
            security_group_ids: gateway.security_groups,
            ip_address_type: gateway.ip_address_type,
            ipv4_addresses_per_eni: gateway
                .ip_address_type
                .has_ipv4()
                .then_some(gateway.ipv4_addresses_per_eni),
            resource_config_dns_resolution: gateway.dns_resolution,
            service_managed: Some(false),
            created_at: Some(gateway.created_at),
            last_updated_at: Some(gateway.last_updated_at),
        }
    }
}

impl Description {
    /// With the VPC under the name that creating and listing have for it.
    fn with_vpc_identifier(self) -> Self {
        Self { vpc_identifier: self.vpc_id, vpc_id: None, service_managed: None, ..self }
    }
}

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &Create,
) -> Result<Description, Refusal> {
    let place = Place::new(ctx.home());
    let vpc = input.vpc_identifier.as_deref().ok_or_else(|| invalid("vpcIdentifier", "is required"))?;
    let vpc = vpc::find(tx, &place.home, vpc)?;
    let subnets = vpc::subnets(tx, &place.home, &vpc, &input.subnet_ids)?;
    let security_groups = security_groups(tx, &place, &vpc, &input.security_group_ids)?;
    let ip_address_type = input.ip_address_type.unwrap_or_default();
    if ip_address_type.has_ipv6() && !vpc.has_ipv6() {
        return Err(invalid("ipAddressType", format_args!("{} has no IPv6 addresses", vpc.id())));
    }
    let name_key = place.name(kind::RESOURCE_GATEWAY, &input.name);
    check_name_is_free(get_id(tx, &name_key)?, Kind::ResourceGateway, &input.name, &place.home.account)?;
    let have = counted::count(tx, &place.vpc_gateways(vpc.id()))?;
    let quota = &quota::RESOURCE_GATEWAYS_PER_VPC;
    check_quota(ctx.quotas(), quota, have, 1, Kind::ResourceGateway, Some(vpc.id().as_str()))?;
    if input.ipv4_addresses_per_eni.is_some() && !ip_address_type.has_ipv4() {
        return Err(invalid(
            "ipv4AddressesPerEni",
            "goes with IPv4 addresses, which the gateway has none of",
        ));
    }
    let per_subnet = input.ipv4_addresses_per_eni.unwrap_or(ResourceGateway::DEFAULT_ADDRESSES_PER_ENI);
    let reserved = vpc::Reserved {
        ipv4: if ip_address_type.has_ipv4() { per_subnet.into() } else { 0 },
        ipv6: if ip_address_type.has_ipv6() { ResourceGateway::IPV6_ADDRESSES_PER_ENI } else { 0 },
    };
    let addresses = vpc::reserve(tx, &place.home, &subnets, reserved)?;
    let gateway = ResourceGateway {
        id: ResourceGatewayId::from_random(ctx.random()),
        home: place.home.clone(),
        name: input.name.clone(),
        vpc: vpc.id().clone(),
        subnets,
        security_groups,
        ip_address_type,
        ipv4_addresses_per_eni: per_subnet,
        addresses,
        dns_resolution: input.resource_config_dns_resolution.unwrap_or_default(),
        status: Status::CreateInProgress,
        failure: None,
        created_at: ctx.now,
        last_updated_at: ctx.now,
    };
    tag_set::merge(tx, &place.home, &gateway.arn(), &input.tags)?;
    tx.put(&name_key, gateway.id.as_str().into());
    counted::put(tx, &place.vpc_gateway(&gateway.vpc, &gateway.id), Vec::new())?;
    hold(tx, &gateway);
    put_pending(tx, &place.scope, kind::RESOURCE_GATEWAY, &gateway.id, &gateway);
    Ok(Description { created_at: None, last_updated_at: None, ..gateway.into() }.with_vpc_identifier())
}

/// What of the VPC the gateway needs stays as long as it.
pub(super) fn hold(tx: &mut Transaction<'_>, gateway: &ResourceGateway) {
    let ResourceGateway { home, vpc, subnets, security_groups, .. } = gateway;
    for of in vpc::arns(home, vpc, security_groups, subnets) {
        reference::hold(tx, &of, &gateway.arn());
    }
}

/// The groups named; the VPC's default group where none is.
fn security_groups(
    state: &mut impl Read,
    place: &Place,
    vpc: &Vpc,
    ids: &[String],
) -> Result<Vec<SecurityGroupId>, Refusal> {
    if ids.is_empty() {
        return Ok(vec![vpc.default_security_group().clone()]);
    }
    vpc::security_groups(state, &place.home, vpc, ids)
}

/// The gateway `text` means.
pub(crate) fn find(state: &mut impl Read, place: &Place, text: &str) -> Result<ResourceGateway, Refusal> {
    let id = identifier::resource_gateway(text, &place.home)?;
    get(state, &place.resource_gateway(&id))?.ok_or_else(|| not_found(Kind::ResourceGateway, id))
}

/// The gateway, settled.
fn find_for_change(state: &mut impl Read, place: &Place, text: &str) -> Result<ResourceGateway, Refusal> {
    let gateway = find(state, place, text)?;
    check_settled(Kind::ResourceGateway, &gateway.id, gateway.status)?;
    Ok(gateway)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Identify {
    resource_gateway_identifier: String,
}

pub(crate) fn get_one(state: &mut Reader, ctx: &Context, input: &Identify) -> Result<Description, Refusal> {
    find(state, &Place::new(ctx.home()), &input.resource_gateway_identifier).map(Into::into)
}

pub(crate) fn list(
    state: &mut Reader,
    ctx: &Context,
    input: &ListAll,
) -> Result<Listing<Description>, Refusal> {
    let place = Place::new(ctx.home());
    let page = input.page()?;
    page.list(state, &place.scope.records(kind::RESOURCE_GATEWAY), |_, entry| {
        let gateway: ResourceGateway = decode(entry)?;
        Ok(Some(Description::from(gateway).with_vpc_identifier()))
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Update {
    resource_gateway_identifier: String,
    security_group_ids: Option<Vec<String>>,
    resource_config_dns_resolution: Option<DnsResolution>,
}

pub(crate) fn update(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &Update,
) -> Result<Description, Refusal> {
    let place = Place::new(ctx.home());
    let mut gateway = find_for_change(tx, &place, &input.resource_gateway_identifier)?;
    if let Some(ids) = &input.security_group_ids {
        let vpc = vpc::find(tx, &place.home, gateway.vpc.as_str())?;
        gateway.security_groups = security_groups(tx, &place, &vpc, ids)?;
        reference::release_all(tx, &gateway.arn())?;
        hold(tx, &gateway);
    }
    if let Some(resolution) = input.resource_config_dns_resolution
        && resolution != gateway.dns_resolution
    {
        check_resources(tx, &place, &gateway.id, resolution)?;
        gateway.dns_resolution = resolution;
    }
    gateway.status = Status::UpdateInProgress;
    gateway.last_updated_at = ctx.now;
    put_pending(tx, &place.scope, kind::RESOURCE_GATEWAY, &gateway.id, &gateway);
    Ok(Description {
        ipv4_addresses_per_eni: None,
        service_managed: None,
        created_at: None,
        last_updated_at: None,
        ..gateway.into()
    })
}

/// Whether a resource of that kind can be behind a gateway that resolves names so.
pub(super) fn serves(resolution: DnsResolution, kind: ResourceConfigurationType) -> bool {
    match kind {
        ResourceConfigurationType::Arn => resolution == DnsResolution::Public,
        ResourceConfigurationType::Cidr => resolution == DnsResolution::InVpc,
        _ => true,
    }
}

/// Every resource behind the gateway can stay there.
fn check_resources(
    tx: &mut Transaction<'_>,
    place: &Place,
    id: &ResourceGatewayId,
    resolution: DnsResolution,
) -> Result<(), Refusal> {
    for resource in resource_configuration::under(tx, place, &place.gateway_resources(id))? {
        if !serves(resolution, resource.kind) {
            let message =
                format_args!("does not go with {}, which is of type {}", resource.id, resource.kind.as_str());
            return Err(invalid("resourceConfigDnsResolution", message));
        }
    }
    Ok(())
}

#[derive(Debug, Serialize)]
pub(crate) struct Deleted {
    id: ResourceGatewayId,
    arn: String,
    name: String,
    status: Status,
}

pub(crate) fn delete(tx: &mut Transaction<'_>, ctx: &Context, input: &Identify) -> Result<Deleted, Refusal> {
    let place = Place::new(ctx.home());
    let mut gateway = find_for_change(tx, &place, &input.resource_gateway_identifier)?;
    if any(tx, &place.gateway_resources(&gateway.id))? {
        let message = format_args!("ResourceGateway {} has resource configuration(s) associated", gateway.id);
        return Err(conflict(Kind::ResourceGateway, &gateway.id, message));
    }
    gateway.status = Status::DeleteInProgress;
    gateway.last_updated_at = ctx.now;
    put_pending(tx, &place.scope, kind::RESOURCE_GATEWAY, &gateway.id, &gateway);
    Ok(Deleted { arn: gateway.arn(), id: gateway.id, name: gateway.name, status: gateway.status })
}

/// One step of the workflow.
pub(crate) fn settle(
    tx: &mut Transaction<'_>,
    place: &Place,
    id: &ResourceGatewayId,
    now: Moment,
) -> Result<(), Refusal> {
    let Some(mut gateway) = get::<ResourceGateway>(tx, &place.resource_gateway(id))? else { return Ok(()) };
    match gateway.status {
        Status::CreateInProgress | Status::UpdateInProgress => {
            gateway.status = Status::Active;
            gateway.last_updated_at = now;
            put(tx, &place.resource_gateway(id), &gateway);
        }
        Status::DeleteInProgress => {
            tag_set::forget(tx, &place.home, &gateway.arn());
            tx.delete(&place.name(kind::RESOURCE_GATEWAY, &gateway.name));
            counted::delete(tx, &place.vpc_gateway(&gateway.vpc, id))?;
            reference::release_all(tx, &gateway.arn())?;
            tx.delete(&place.resource_gateway(id));
        }
        _ => {}
    }
    Ok(())
}
