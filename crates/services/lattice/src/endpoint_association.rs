//! Associations of VPC endpoints with service networks and resource configurations.
//!
//! They are made by creating an endpoint in EC2, which this installation does not do, so there is
//! none: the operations check what they are asked about and answer that.

use serde::{Deserialize, Serialize};
use trellis_frame::Context;
use trellis_frame::page::{Listing, Page};
use trellis_model::ResourceEndpointAssociationId;
use trellis_store::{Reader, Transaction};

use super::place::Place;
use super::{Nothing, resource_configuration, service_network};
use crate::refusal::{Kind, Refusal, not_found};
use crate::sharing::Want;

/// An association that cannot be.
#[derive(Debug, Serialize)]
pub(crate) enum Never {}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ListOfNetwork {
    service_network_identifier: String,
    max_results: Option<u16>,
    next_token: Option<String>,
}

pub(crate) fn list_of_network(
    state: &mut Reader,
    ctx: &Context,
    input: &ListOfNetwork,
) -> Result<Listing<Never>, Refusal> {
    Page::new(input.max_results, input.next_token.as_deref())?;
    let want = Want::to("ListServiceNetworkVpcEndpointAssociations");
    service_network::reach(state, ctx, &input.service_network_identifier, want)?;
    Ok(Listing { items: Vec::new(), next_token: None })
}

/// The filters are checked with the API description; they select from nothing.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ListOfResource {
    resource_configuration_identifier: String,
    #[serde(rename = "resourceEndpointAssociationIdentifier")]
    _association: Option<String>,
    #[serde(rename = "vpcEndpointId")]
    _endpoint: Option<String>,
    #[serde(rename = "vpcEndpointOwner")]
    _owner: Option<String>,
    max_results: Option<u16>,
    next_token: Option<String>,
}

pub(crate) fn list_of_resource(
    state: &mut Reader,
    ctx: &Context,
    input: &ListOfResource,
) -> Result<Listing<Never>, Refusal> {
    Page::new(input.max_results, input.next_token.as_deref())?;
    resource_configuration::find(state, &Place::new(ctx.home()), &input.resource_configuration_identifier)?;
    Ok(Listing { items: Vec::new(), next_token: None })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Identify {
    resource_endpoint_association_identifier: String,
}

pub(crate) fn delete(_: &mut Transaction<'_>, _: &Context, input: &Identify) -> Result<Nothing, Refusal> {
    let text = &input.resource_endpoint_association_identifier;
    let id = text.rsplit('/').next().unwrap_or(text).parse::<ResourceEndpointAssociationId>();
    let id = id.map_or_else(|_| text.clone(), |id| id.to_string());
    Err(not_found(Kind::ResourceEndpointAssociation, id))
}
