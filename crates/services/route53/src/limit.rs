//! Limits, and how much of them is used.

use trellis_frame::{Context, Refusal, key};
use trellis_store::Reader;

use crate::association::VPCS_PER_ZONE;
use crate::delegation_set::{MAX_SETS, SETS};
use crate::health_check::{CHECKS, CHECKS_PER_ACCOUNT};
use crate::hosted_zone::{self, ZONES, ZONES_PER_ACCOUNT};
use crate::record_set::{RECORD_SETS, RECORDS_PER_ZONE};
use crate::refuse;
use crate::wire::{self, AccountLimitType, HostedZoneLimitType};

pub(crate) fn of_account(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::GetAccountLimitInput,
) -> Result<wire::GetAccountLimitOutput, Refusal> {
    let (value, count) = match input.r#type {
        AccountLimitType::MaxHostedZonesByOwner => {
            let count = ZONES.count(state, &key::global(&ctx.caller.account))?;
            (ctx.quotas().limit(&ZONES_PER_ACCOUNT), count)
        }
        AccountLimitType::MaxHealthChecksByOwner => {
            (ctx.quotas().limit(&CHECKS_PER_ACCOUNT), CHECKS.count(state, &key::global(&ctx.caller.account))?)
        }
        AccountLimitType::MaxReusableDelegationSetsByOwner => {
            (MAX_SETS as u64, SETS.count(state, &key::global(&ctx.caller.account))?)
        }
        // Of what is not served there can be none; clients read the others beside them.
        AccountLimitType::MaxTrafficPoliciesByOwner => (50, 0),
        AccountLimitType::MaxTrafficPolicyInstancesByOwner => (5, 0),
    };
    Ok(wire::GetAccountLimitOutput {
        limit: wire::AccountLimit { r#type: input.r#type, value: i64::try_from(value).unwrap_or(i64::MAX) },
        count: count as i64,
    })
}

pub(crate) fn of_zone(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::GetHostedZoneLimitInput,
) -> Result<wire::GetHostedZoneLimitOutput, Refusal> {
    let zone = hosted_zone::find(state, ctx, &input.hosted_zone_id)?;
    let (value, count) = match input.r#type {
        HostedZoneLimitType::MaxRrsetsByZone => {
            (ctx.quotas().limit(&RECORDS_PER_ZONE), RECORD_SETS.count_of(state, &zone.home(), &zone.id)?)
        }
        HostedZoneLimitType::MaxVpcsAssociatedByZone if zone.is_private => {
            (ctx.quotas().limit(&VPCS_PER_ZONE), zone.vpcs.len())
        }
        HostedZoneLimitType::MaxVpcsAssociatedByZone => {
            let message = format!("The hosted zone {} is public and has no VPCs.", zone.id);
            return Err(refuse(wire::HostedZoneNotPrivate { message }));
        }
    };
    Ok(wire::GetHostedZoneLimitOutput {
        limit: wire::HostedZoneLimit {
            r#type: input.r#type,
            value: i64::try_from(value).unwrap_or(i64::MAX),
        },
        count: count as i64,
    })
}
