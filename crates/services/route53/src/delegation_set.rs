//! Reusable delegation sets: one answer to which name servers zones have. All zones here are served by the same ones,
//! so that a set is a name for them.

use serde::{Deserialize, Serialize};
use trellis_frame::random::BASE_32;
use trellis_frame::{Context, Page, Paged, Records, Refusal, key, page, record, reference};
use trellis_model::resource::lattice::Home;
use trellis_store::{Read, Reader, Transaction};

use crate::hosted_zone::{self, NAME_SERVERS};
use crate::record_set::max_items;
use crate::{refuse, wire};

pub(crate) const SETS: Records<DelegationSet> = Records::new("route53", "delegation-set");

/// AWS's default quotas.
pub(crate) const MAX_SETS: usize = 100;
const MAX_ZONES: usize = 100;

const MAX_ITEMS: usize = 100;
/// Characters of an id after its first, `N`.
const ID_LENGTH: usize = 20;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DelegationSet {
    id: String,
    caller_reference: String,
}

impl DelegationSet {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn describe(&self) -> wire::DelegationSet {
        wire::DelegationSet {
            id: Some(format!("/delegationset/{}", self.id)),
            caller_reference: Some(self.caller_reference.clone()),
            name_servers: NAME_SERVERS.map(str::to_owned).to_vec(),
        }
    }
}

/// What no set has: the name servers of every zone.
pub(crate) fn unnamed() -> wire::DelegationSet {
    wire::DelegationSet {
        id: None,
        caller_reference: None,
        name_servers: NAME_SERVERS.map(str::to_owned).to_vec(),
    }
}

fn arn(id: &str) -> String {
    format!("arn:aws:route53:::delegationset/{id}")
}

/// The caller's set of that id, which may have its path in front.
///
/// # Errors
/// `NoSuchDelegationSet`.
pub(crate) fn find(state: &mut impl Read, ctx: &Context, id: &str) -> Result<DelegationSet, Refusal> {
    let home = key::global(&ctx.caller.account);
    let bare = id.strip_prefix("/delegationset/").unwrap_or(id);
    let found = if hosted_zone::is_id(bare) { SETS.get(state, &home, bare)? } else { None };
    found.ok_or_else(|| {
        let id = trellis_frame::refusal::shown(id);
        refuse(wire::NoSuchDelegationSet { message: format!("No delegation set found with ID: {id}") })
    })
}

/// The zone uses the set from now on.
///
/// # Errors
/// `LimitsExceeded`.
pub(crate) fn hold(tx: &mut Transaction<'_>, set: &DelegationSet, zone: &str) -> Result<(), Refusal> {
    if reference::holders(tx, &arn(&set.id), MAX_ZONES)?.len() >= MAX_ZONES {
        let message = format!("The delegation set has the limit of {MAX_ZONES} hosted zones.");
        return Err(refuse(wire::LimitsExceeded { message }));
    }
    reference::hold(tx, &arn(&set.id), zone);
    Ok(())
}

fn reference_key(home: &Home, caller_reference: &str) -> String {
    key::Scope::new("route53", home).index("set-reference", page::to_token(caller_reference))
}

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::CreateReusableDelegationSetInput,
) -> Result<wire::CreateReusableDelegationSetOutput, Refusal> {
    let home = key::global(&ctx.caller.account);
    let by_reference = reference_key(&home, &input.caller_reference);
    if record::get_id(tx, &by_reference)?.is_some() {
        let message =
            format!("A delegation set was made with the caller reference {}.", input.caller_reference);
        return Err(refuse(wire::DelegationSetAlreadyCreated { message }));
    }
    if SETS.count(tx, &home)? >= MAX_SETS {
        let message = format!("This request would exceed the limit of {MAX_SETS} reusable delegation sets.");
        return Err(refuse(wire::LimitsExceeded { message }));
    }
    let zone = match &input.hosted_zone_id {
        None => None,
        Some(id) => match hosted_zone::find(tx, ctx, id.strip_prefix("/hostedzone/").unwrap_or(id)) {
            Ok(zone) if zone.is_private => {
                let message = "A private hosted zone has no delegation set to reuse.".to_owned();
                return Err(refuse(wire::InvalidArgument { message }));
            }
            Ok(zone) if zone.delegation_set.is_some() => {
                let message = "The delegation set of the hosted zone is reusable already.".to_owned();
                return Err(refuse(wire::DelegationSetAlreadyReusable { message }));
            }
            Ok(zone) => Some(zone),
            Err(refusal) if refusal.is_ours() => return Err(refusal),
            Err(_) => {
                let message = format!("No hosted zone found with ID: {}", trellis_frame::refusal::shown(id));
                return Err(refuse(wire::HostedZoneNotFound { message }));
            }
        },
    };
    let set = DelegationSet {
        id: format!("N{}", ctx.surroundings.random.text(ID_LENGTH, BASE_32)),
        caller_reference: input.caller_reference.clone(),
    };
    SETS.put(tx, &home, &set.id, &set)?;
    tx.put(&by_reference, set.id.clone().into_bytes());
    if let Some(mut zone) = zone {
        hold(tx, &set, &zone.arn())?;
        zone.delegation_set = Some(set.id.clone());
        hosted_zone::ZONES.put(tx, &home, &zone.id, &zone)?;
    }
    let location = format!("https://route53.amazonaws.com/2013-04-01/delegationset/{}", set.id);
    Ok(wire::CreateReusableDelegationSetOutput { delegation_set: set.describe(), location })
}

pub(crate) fn get(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::GetReusableDelegationSetInput,
) -> Result<wire::GetReusableDelegationSetOutput, Refusal> {
    Ok(wire::GetReusableDelegationSetOutput { delegation_set: find(state, ctx, &input.id)?.describe() })
}

pub(crate) fn list(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListReusableDelegationSetsInput,
    page: &Page,
) -> Result<Paged<wire::ListReusableDelegationSetsOutput>, Refusal> {
    let items = max_items(input.max_items.as_deref(), MAX_ITEMS)?;
    let home = key::global(&ctx.caller.account);
    let listing = SETS.list(state, &home, page, |_, set| Ok(Some(set.describe())))?;
    Ok(listing.into_output(|delegation_sets| wire::ListReusableDelegationSetsOutput {
        delegation_sets,
        marker: input.marker.clone().unwrap_or_default(),
        is_truncated: false,
        next_marker: None,
        max_items: items.to_string(),
    }))
}

pub(crate) fn delete(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::DeleteReusableDelegationSetInput,
) -> Result<wire::DeleteReusableDelegationSetOutput, Refusal> {
    let set = find(tx, ctx, &input.id)?;
    if !reference::holders(tx, &arn(&set.id), 1)?.is_empty() {
        let message = "The delegation set is the one of hosted zones: delete those first.".to_owned();
        return Err(refuse(wire::DelegationSetInUse { message }));
    }
    let home = key::global(&ctx.caller.account);
    SETS.delete(tx, &home, &set.id)?;
    tx.delete(&reference_key(&home, &set.caller_reference));
    Ok(wire::DeleteReusableDelegationSetOutput::default())
}

pub(crate) fn limit(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::GetReusableDelegationSetLimitInput,
) -> Result<wire::GetReusableDelegationSetLimitOutput, Refusal> {
    let set = find(state, ctx, &input.delegation_set_id)?;
    let count = reference::holders(state, &arn(&set.id), MAX_ZONES)?.len();
    Ok(wire::GetReusableDelegationSetLimitOutput {
        limit: wire::ReusableDelegationSetLimit { r#type: input.r#type, value: MAX_ZONES as i64 },
        count: count as i64,
    })
}
