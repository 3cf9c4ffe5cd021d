//! Which resource configurations there are: those of the account and those shared with it, or those of one group,
//! verification or gateway.

use serde::Deserialize;
use trellis_frame::Context;
use trellis_frame::page::{Listing, Page};
use trellis_frame::record::get;
use trellis_model::resource::lattice::{ResourceConfiguration, Shared};
use trellis_store::{Read, Reader};

use super::{Description, describe};
use crate::identifier;
use crate::keys::last_part;
use crate::place::{Place, kind};
use crate::refusal::Refusal;
use crate::sharing::{self, Want};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct List {
    resource_gateway_identifier: Option<String>,
    resource_configuration_group_identifier: Option<String>,
    domain_verification_identifier: Option<String>,
    max_results: Option<u16>,
    next_token: Option<String>,
}

/// Owned and shared ones. What is asked for does not have to exist: the operation has no
/// `ResourceNotFoundException`.
pub(crate) fn list(state: &mut Reader, ctx: &Context, input: &List) -> Result<Listing<Description>, Refusal> {
    let place = Place::new(ctx.home());
    let page = Page::new(input.max_results, input.next_token.as_deref())?;
    let nothing = || Ok(Listing { items: Vec::new(), next_token: None });
    let gateway = input.resource_gateway_identifier.as_deref();
    let Ok(gateway) = gateway.map(|text| identifier::resource_gateway(text, &place.home)).transpose() else {
        return nothing();
    };
    let verification = input.domain_verification_identifier.as_deref();
    let verification =
        verification.map(|text| identifier::domain_verification(text, &place.home)).transpose();
    let Ok(verification) = verification else { return nothing() };
    let is_wanted = |resource: &ResourceConfiguration| {
        gateway.as_ref().is_none_or(|gateway| *gateway == resource.gateway)
            && (verification.is_none() || resource.domain_verification == verification)
    };
    let want = Want::to("GetResourceConfiguration");
    let (place, prefix) = match (&input.resource_configuration_group_identifier, &verification, &gateway) {
        (Some(text), _, _) => {
            let group = sharing::locate(state, ctx, Shared::ResourceConfiguration, text, want);
            let Ok((place, group)) = group else { return nothing() };
            let prefix = place.group_children(&group);
            (place, prefix)
        }
        (None, Some(verification), _) => {
            let prefix = place.verified_resources(verification);
            (place, prefix)
        }
        (None, None, Some(gateway)) => {
            let prefix = place.gateway_resources(gateway);
            (place, prefix)
        }
        (None, None, None) => {
            let shared = Shared::ResourceConfiguration;
            return sharing::list_owned_and_received(
                &page,
                state,
                ctx,
                shared,
                want,
                |state, place, resource| summarise(state, place, resource).map(Some),
            );
        }
    };
    page.list(state, &prefix, |state, entry| {
        let key = place.scope.record(kind::RESOURCE_CONFIGURATION, last_part(&entry.key));
        match get::<ResourceConfiguration>(state, &key)?.filter(is_wanted) {
            Some(resource) => summarise(state, &place, resource).map(Some),
            None => Ok(None),
        }
    })
}

/// A configuration as lists have it.
fn summarise(
    state: &mut impl Read,
    place: &Place,
    resource: ResourceConfiguration,
) -> Result<Description, Refusal> {
    let description = describe(state, place, resource)?;
    Ok(Description {
        allow_association_to_shareable_service_network: None,
        port_ranges: Vec::new(),
        protocol: None,
        resource_configuration_definition: None,
        domain_verification_arn: None,
        domain_verification_status: None,
        failure_reason: None,
        ..description
    })
}
