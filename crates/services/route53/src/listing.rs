//! Lists of hosted zones: all, by name, by VPC.

use trellis_frame::{Context, Page, Paged, Refusal, key, page};
use trellis_store::{Read, Reader};

use crate::association;
use crate::delegation_set;
use crate::hosted_zone::{HostedZone, ZONES};
use crate::name::DomainName;
use crate::record_set::max_items;
use crate::{refuse, wire};

/// "If you have more than 100 hosted zones, ListHostedZones returns them in groups of up to 100."
const MAX_ITEMS: usize = 100;

pub(crate) fn all(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListHostedZonesInput,
    page: &Page,
) -> Result<Paged<wire::ListHostedZonesOutput>, Refusal> {
    let items = max_items(input.max_items.as_deref(), MAX_ITEMS)?;
    let set = input.delegation_set_id.as_deref().filter(|id| !id.is_empty());
    let set = set.map(|id| delegation_set::find(state, ctx, id)).transpose()?;
    let set = set.map(|set| set.id().to_owned());
    let is_asked = |zone: &HostedZone| {
        (input.hosted_zone_type.is_none() || zone.is_private) && (set.is_none() || zone.delegation_set == set)
    };
    let listing = ZONES.list(state, &key::global(&ctx.caller.account), page, |state, zone| {
        if is_asked(&zone) { zone.describe(state).map(Some) } else { Ok(None) }
    })?;
    Ok(listing.into_output(|hosted_zones| wire::ListHostedZonesOutput {
        hosted_zones,
        marker: input.marker.clone().unwrap_or_default(),
        is_truncated: false,
        next_marker: None,
        max_items: items.to_string(),
    }))
}

/// In the order of names with their labels reversed, then of ids.
pub(crate) fn by_name(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListHostedZonesByNameInput,
) -> Result<wire::ListHostedZonesByNameOutput, Refusal> {
    let limit = max_items(input.max_items.as_deref(), MAX_ITEMS)?;
    let start = input.dns_name.as_deref().filter(|name| !name.is_empty()).map(DomainName::parse).transpose();
    let start = start.map_err(|fault| {
        let name = input.dns_name.as_deref().unwrap_or_default();
        refuse(wire::InvalidDomainName { message: format!("{name} is not a valid domain name: {fault}") })
    })?;
    if start.is_none() && input.hosted_zone_id.is_some() {
        return Err(Refusal::unacceptable(
            "The input is not valid: a hosted zone ID needs the DNS name it follows.",
        ));
    }
    let first = start.map_or_else(Default::default, |name| {
        (name.reversed(), input.hosted_zone_id.clone().unwrap_or_default())
    });
    let place = |zone: &HostedZone| (zone.domain().reversed(), zone.id.clone());
    let mut zones = ZONES.all(state, &key::global(&ctx.caller.account))?;
    zones.retain(|zone| place(zone) >= first);
    zones.sort_by_cached_key(place);
    let next = zones.get(limit).map(|zone| (zone.domain().to_string(), zone.id.clone()));
    zones.truncate(limit);
    let hosted_zones = zones.iter().map(|zone| zone.describe(state)).collect::<Result<_, _>>()?;
    let (next_dns_name, next_hosted_zone_id) = next.unzip();
    Ok(wire::ListHostedZonesByNameOutput {
        hosted_zones,
        dns_name: input.dns_name.clone(),
        hosted_zone_id: input.hosted_zone_id.clone(),
        is_truncated: next_dns_name.is_some(),
        next_dns_name,
        next_hosted_zone_id,
        max_items: limit.to_string(),
    })
}

/// The zones that answer in a VPC of the caller's, whoever they belong to.
pub(crate) fn by_vpc(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListHostedZonesByVPCInput,
) -> Result<wire::ListHostedZonesByVPCOutput, Refusal> {
    let limit = max_items(input.max_items.as_deref(), MAX_ITEMS)?;
    let vpc = wire::VPC { vpc_region: Some(input.vpc_region), vpc_id: Some(input.vpc_id.clone()) };
    let vpc = association::own_vpc(state, ctx, &vpc)?;
    let prefix = association::vpc_keys(&vpc.id);
    let after = input.next_token.as_deref().map(|token| {
        page::from_token(token).map(|place| format!("{prefix}{place}")).ok_or_else(|| {
            refuse(wire::InvalidPaginationToken {
                message: "NextToken: is not a token of this list".to_owned(),
            })
        })
    });
    let entries = state.scan(&prefix, after.transpose()?.as_deref(), limit + 1)?;
    let next_token = entries
        .get(limit)
        .and_then(|_| entries.get(limit - 1))
        .map(|last| page::to_token(&last.key[prefix.len()..]));
    let mut hosted_zone_summaries = Vec::new();
    for entry in entries.iter().take(limit) {
        let value = String::from_utf8_lossy(&entry.value);
        let Some((account, id)) = value.split_once('/') else { continue };
        let Ok(account) = account.parse() else { continue };
        let Some(zone) = ZONES.get(state, &key::global(&account), id)? else { continue };
        hosted_zone_summaries.push(wire::HostedZoneSummary {
            hosted_zone_id: zone.id.clone(),
            name: zone.domain().to_string(),
            owner: wire::HostedZoneOwner { owning_account: Some(account.to_string()), owning_service: None },
        });
    }
    Ok(wire::ListHostedZonesByVPCOutput { hosted_zone_summaries, max_items: limit.to_string(), next_token })
}
