//! Service networks: synchronous, without a status.

use serde::{Deserialize, Serialize};
use trellis_frame::Context;
use trellis_frame::counted;
use trellis_frame::page::{ListAll, Listing};
use trellis_frame::record::{any, get, get_id, put};
use trellis_frame::tags::{self as tag_set, Tags};
use trellis_model::ServiceNetworkId;
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::{AuthType, ServiceNetwork, Shared, SharingConfig};
use trellis_store::{Read, Reader, Transaction};

use super::place::{Place, kind};
use super::{access_log, auth_policy, identifier};
use crate::quota;
use crate::refusal::{Kind, Refusal, check_name_is_free, check_quota, conflict, not_found};
use crate::sharing::{self, Want};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Create {
    name: String,
    auth_type: Option<AuthType>,
    #[serde(default)]
    tags: Tags,
    sharing_config: Option<SharingConfig>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Created {
    id: ServiceNetworkId,
    name: String,
    arn: String,
    auth_type: AuthType,
    #[serde(skip_serializing_if = "Option::is_none")]
    sharing_config: Option<SharingConfig>,
}

pub(crate) fn create(tx: &mut Transaction<'_>, ctx: &Context, input: &Create) -> Result<Created, Refusal> {
    let place = Place::new(ctx.home());
    let name_key = place.name(kind::NETWORK, &input.name);
    check_name_is_free(get_id(tx, &name_key)?, Kind::ServiceNetwork, &input.name, &place.home.account)?;
    let have = counted::count(tx, &place.names(kind::NETWORK))?;
    check_quota(ctx.quotas(), &quota::SERVICE_NETWORKS_PER_REGION, have, 1, Kind::ServiceNetwork, None)?;
    let network = ServiceNetwork {
        id: ServiceNetworkId::from_random(ctx.random()),
        home: place.home.clone(),
        name: input.name.clone(),
        auth_type: input.auth_type.unwrap_or_default(),
        sharing_config: input.sharing_config,
        created_at: ctx.now,
        last_updated_at: ctx.now,
    };
    tag_set::merge(tx, &place.home, &network.arn(), &input.tags)?;
    counted::put(tx, &name_key, network.id.as_str().into())?;
    put(tx, &place.network(&network.id), &network);
    let arn = network.arn();
    let ServiceNetwork { id, name, auth_type, sharing_config, .. } = network;
    Ok(Created { id, name, arn, auth_type, sharing_config })
}

/// The network `text` means, the caller's own or one that is shared for what is wanted.
///
/// # Errors
/// As [`sharing::locate`], and `ResourceNotFoundException`.
pub(crate) fn reach(
    state: &mut impl Read,
    ctx: &Context,
    text: &str,
    want: Want<'_>,
) -> Result<ServiceNetwork, Refusal> {
    let (place, id) = sharing::locate(state, ctx, Shared::ServiceNetwork, text, want)?;
    get(state, &place.network(&id))?.ok_or_else(|| not_found(Kind::ServiceNetwork, id))
}

/// The network of the account that `text` means.
pub(crate) fn find(state: &mut impl Read, place: &Place, text: &str) -> Result<ServiceNetwork, Refusal> {
    let id = identifier::network(text, &place.home)?;
    get(state, &place.network(&id))?.ok_or_else(|| not_found(Kind::ServiceNetwork, id))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Identify {
    service_network_identifier: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Description {
    id: ServiceNetworkId,
    name: String,
    arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_type: Option<AuthType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sharing_config: Option<SharingConfig>,
    created_at: Moment,
    last_updated_at: Moment,
    #[serde(rename = "numberOfAssociatedVPCs")]
    number_of_associated_vpcs: usize,
    number_of_associated_services: usize,
    /// Only in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    number_of_associated_resource_configurations: Option<usize>,
}

fn describe(state: &mut impl Read, place: &Place, network: ServiceNetwork) -> Result<Description, Refusal> {
    Ok(Description {
        number_of_associated_vpcs: counted::count(state, &place.network_vpcs(&network.id))?,
        number_of_associated_services: counted::count(state, &place.network_services(&network.id))?,
        number_of_associated_resource_configurations: None,
        arn: network.arn(),
        id: network.id,
        name: network.name,
        auth_type: Some(network.auth_type),
        sharing_config: network.sharing_config,
        created_at: network.created_at,
        last_updated_at: network.last_updated_at,
    })
}

pub(crate) fn get_one(state: &mut Reader, ctx: &Context, input: &Identify) -> Result<Description, Refusal> {
    let network = reach(state, ctx, &input.service_network_identifier, Want::to("GetServiceNetwork"))?;
    describe(state, &Place::new(network.home.clone()), network)
}

/// "Owned by the caller and shared to it."
pub(crate) fn list(
    state: &mut Reader,
    ctx: &Context,
    input: &ListAll,
) -> Result<Listing<Description>, Refusal> {
    let page = input.page()?;
    let want = Want::to("GetServiceNetwork");
    sharing::list_owned_and_received(
        &page,
        state,
        ctx,
        Shared::ServiceNetwork,
        want,
        |state, place, network| {
            let description = describe(state, place, network)?;
            let resources = counted::count(state, &place.network_own_resources(&description.id))?;
            Ok(Some(Description {
                auth_type: None,
                sharing_config: None,
                number_of_associated_resource_configurations: Some(resources),
                ..description
            }))
        },
    )
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Update {
    service_network_identifier: String,
    auth_type: AuthType,
}

pub(crate) fn update(tx: &mut Transaction<'_>, ctx: &Context, input: &Update) -> Result<Created, Refusal> {
    let place = Place::new(ctx.home());
    let mut network = find(tx, &place, &input.service_network_identifier)?;
    network.auth_type = input.auth_type;
    network.last_updated_at = ctx.now;
    put(tx, &place.network(&network.id), &network);
    let arn = network.arn();
    let ServiceNetwork { id, name, auth_type, .. } = network;
    Ok(Created { id, name, arn, auth_type, sharing_config: None })
}

pub(crate) fn delete(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &Identify,
) -> Result<super::Nothing, Refusal> {
    let place = Place::new(ctx.home());
    let network = find(tx, &place, &input.service_network_identifier)?;
    let id = &network.id;
    for (prefix, what) in [
        (place.network_vpcs(id), "VPC(s)"),
        (place.network_services(id), "service(s)"),
        (place.network_resources(id), "resource(s)"),
    ] {
        if any(tx, &prefix)? {
            let message = format_args!("ServiceNetwork {id} has {what} associated");
            return Err(conflict(Kind::ServiceNetwork, id, message));
        }
    }
    auth_policy::forget(tx, &place, id.as_str());
    sharing::forget(tx, &ctx.surroundings.services, &place, (Shared::ServiceNetwork, id.as_str()))?;
    access_log::forget_all(tx, &place, id.as_str())?;
    tag_set::forget(tx, &place.home, &network.arn());
    counted::delete(tx, &place.name(kind::NETWORK, &network.name))?;
    tx.delete(&place.network(id));
    Ok(super::Nothing {})
}
