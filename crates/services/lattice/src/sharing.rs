//! What other accounts may do with networks, services and resource configurations: which kinds can be shared, as the
//! frame has to know it, and [`trellis_frame::sharing`] in terms of [`Place`]s.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use trellis_frame::record::get;
use trellis_frame::sharing::{self as frame, Resource, Shareable};
use trellis_frame::{Context, Listing, Page, Services};
use trellis_model::resource::lattice::{
    Home, ResourceConfiguration, ResourceConfigurationType, ServiceNetwork, Shared, SharingConfig,
};
use trellis_store::{Read, Transaction};

use super::place::Place;
use crate::refusal::{Kind, Refusal, access_denied};

pub(crate) use trellis_frame::sharing::Want;

const fn of(shared: Shared, kind: Kind) -> Shareable {
    Shareable {
        resource_type: shared.resource_type(),
        arn_service: "vpc-lattice",
        arn_prefix: shared.arn_prefix(),
        service: "lattice",
        record_kind: shared.record_kind(),
        kind: kind.named(),
        check: |_, _, _| Ok(()),
        group: |_, _, _| Ok(None),
    }
}

static NETWORK: Shareable =
    Shareable { check: check_network, ..of(Shared::ServiceNetwork, Kind::ServiceNetwork) };
static SERVICE: Shareable = of(Shared::Service, Kind::Service);
static RESOURCE: Shareable = Shareable {
    check: check_resource,
    group: group_of,
    ..of(Shared::ResourceConfiguration, Kind::ResourceConfiguration)
};

/// Every kind.
pub(crate) const ALL: &[&Shareable] = &[&NETWORK, &SERVICE, &RESOURCE];

fn shareable(shared: Shared) -> &'static Shareable {
    match shared {
        Shared::ServiceNetwork => &NETWORK,
        Shared::Service => &SERVICE,
        Shared::ResourceConfiguration => &RESOURCE,
    }
}

fn resource((shared, id): (Shared, &str)) -> Resource<'_> {
    (shareable(shared), id)
}

fn check_network(mut state: &mut dyn Read, home: &Home, id: &str) -> Result<(), Refusal> {
    let network: Option<ServiceNetwork> = get(&mut state, &NETWORK.key(home, id))?;
    let config = network.and_then(|network| network.sharing_config);
    if config == Some(SharingConfig { enabled: Some(false) }) {
        let arn = NETWORK.arn(home, id);
        return Err(Refusal::denied(format_args!("{arn} was made with sharing disabled.")));
    }
    Ok(())
}

fn check_resource(mut state: &mut dyn Read, home: &Home, id: &str) -> Result<(), Refusal> {
    let found: Option<ResourceConfiguration> = get(&mut state, &RESOURCE.key(home, id))?;
    if found.is_some_and(|found| found.kind == ResourceConfigurationType::Child) {
        let arn = RESOURCE.arn(home, id);
        return Err(Refusal::unacceptable(format_args!(
            "{arn} is the child of a group: it is shared with its group."
        )));
    }
    Ok(())
}

/// "CHILD only with its group."
fn group_of(mut state: &mut dyn Read, home: &Home, id: &str) -> Result<Option<String>, Refusal> {
    let found: Option<ResourceConfiguration> = get(&mut state, &RESOURCE.key(home, id))?;
    Ok(found.and_then(|found| found.group).map(|group| group.to_string()))
}

/// As [`frame::locate`].
pub(crate) fn locate<T: FromStr + Display>(
    state: &mut impl Read,
    ctx: &Context,
    shared: Shared,
    text: &str,
    want: Want<'_>,
) -> Result<(Place, T), Refusal> {
    let (home, id) = frame::locate(state, ctx, shareable(shared), text, want)?;
    Ok((Place::new(home), id))
}

/// As [`frame::list_owned_and_received`].
pub(crate) fn list_owned_and_received<S: Read, R: DeserializeOwned, T>(
    page: &Page,
    state: &mut S,
    ctx: &Context,
    shared: Shared,
    want: Want<'_>,
    mut each: impl FnMut(&mut S, &Place, R) -> Result<Option<T>, Refusal>,
) -> Result<Listing<T>, Refusal> {
    let each = |state: &mut S, home: &Home, record| each(state, &Place::new(home.clone()), record);
    frame::list_owned_and_received(page, state, ctx, shareable(shared), want, each)
}

/// As [`frame::policy_text`].
pub(crate) fn policy_text(
    state: &mut impl Read,
    ctx: &Context,
    place: &Place,
    of: (Shared, &str),
) -> Result<Option<String>, Refusal> {
    frame::policy_text(state, &ctx.surroundings.services, &place.home, resource(of))
}

/// As [`frame::set_policy`].
pub(crate) fn set_policy(
    tx: &mut Transaction<'_>,
    place: &Place,
    of: (Shared, &str),
    policy: Option<&str>,
) -> Result<(), Refusal> {
    frame::set_policy(tx, &place.home, resource(of), policy)
}

/// As [`frame::forget`].
pub(crate) fn forget(
    tx: &mut Transaction<'_>,
    services: &Services,
    place: &Place,
    of: (Shared, &str),
) -> Result<(), Refusal> {
    frame::forget(tx, services, &place.home, resource(of))
}

/// What `text` names is another account's: told as a lookup of the caller's own would be refused.
pub(crate) fn foreign(kind: Kind, text: &str) -> Refusal {
    let text: String = text.chars().take(256).collect();
    access_denied(format_args!("no access to {} {text}: it belongs to another account", kind.noun()))
}
