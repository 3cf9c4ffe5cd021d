//! Health checks: endpoints by which routing policies choose.
//!
//! An endpoint is looked at from inside each VPC in which a zone's record sets name the check: an address means one
//! there, and two VPCs may think differently of it. [`Board`] is what is seen; nothing of it is stored.

mod config;

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use trellis_frame::random::is_uuid;
use trellis_frame::{Context, Page, Paged, Quota, Records, Refusal, key, page, tags};
use trellis_model::VpcId;
use trellis_model::health::TargetStatus;
use trellis_model::resource::lattice::Home;
use trellis_model::snapshot::names::{Check, Endpoint, EndpointHealth, Seen};
use trellis_store::{Read, Reader, Transaction};

use crate::record_set::max_items;
use crate::refuse;
use crate::wire::{self, HealthCheckConfig};

pub(crate) static CHECKS_PER_ACCOUNT: Quota =
    Quota::new("route53", "L-ACB674F3", 200, "health checks per account");

pub(crate) const CHECKS: Records<HealthCheck> = Records::new("route53", KIND);

/// The kind of record, as it is in keys.
pub(crate) const KIND: &str = "health-check";

trellis_api::by_serde!(HealthCheckConfig, HealthCheckConfig);

/// "The maximum is 100", which is what a list without a limit has too.
const MAX_ITEMS: usize = 100;

/// A check, as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HealthCheck {
    /// A UUID.
    id: String,
    caller_reference: String,
    /// Of the configuration: 1, and one more with every update.
    version: i64,
    config: HealthCheckConfig,
}

impl HealthCheck {
    fn describe(&self) -> wire::HealthCheck {
        wire::HealthCheck {
            id: self.id.clone(),
            caller_reference: self.caller_reference.clone(),
            linked_service: None,
            health_check_config: self.config.clone(),
            health_check_version: self.version,
            cloud_watch_alarm_configuration: None,
        }
    }

    /// What is to be looked at.
    pub(crate) fn endpoint(&self) -> Endpoint {
        config::endpoint(&self.config)
    }
}

/// By id and VPC.
type Checks = FxHashMap<(Box<str>, VpcId), Arc<Check>>;

/// What has been seen. Written by who publishes and who looks, read by GetHealthCheckStatus.
#[derive(Debug, Clone, Default)]
pub struct Board(Arc<Mutex<Checks>>);

impl Board {
    /// The cell of a check in a VPC; a new one where the endpoint is another.
    pub(crate) fn check(&self, id: &str, vpc: &VpcId, endpoint: Endpoint) -> Arc<Check> {
        let mut checks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (Box::from(id), vpc.clone());
        if let Some(known) = checks.get(&place).filter(|known| known.endpoint == endpoint) {
            return known.clone();
        }
        let health = EndpointHealth::new(&endpoint);
        let check = Arc::new(Check { id: id.into(), vpc: vpc.clone(), endpoint, health });
        checks.insert(place, check.clone());
        check
    }

    /// Keeps those that some VPC's zones still name.
    pub(crate) fn retain(&self, is_used: impl Fn(&str, &VpcId) -> bool) {
        let mut checks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        checks.retain(|(id, vpc), _| is_used(id, vpc));
    }

    /// Every one there is, in the order of ids and VPCs.
    pub(crate) fn all(&self) -> Arc<[Arc<Check>]> {
        let checks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = checks.values().cloned().collect();
        all.sort_by(|a, b| (&a.id, a.vpc.as_str()).cmp(&(&b.id, b.vpc.as_str())));
        all.into()
    }

    fn of(&self, id: &str) -> Vec<Arc<Check>> {
        self.all().iter().filter(|check| *check.id == *id).cloned().collect()
    }
}

pub(crate) fn arn(id: &str) -> String {
    format!("arn:aws:route53:::healthcheck/{id}")
}

/// The caller's check of that id.
///
/// # Errors
/// `NoSuchHealthCheck`; also for one of somebody else.
pub(crate) fn find(state: &mut impl Read, ctx: &Context, id: &str) -> Result<HealthCheck, Refusal> {
    let found = if is_uuid(id) { CHECKS.get(state, &key::global(&ctx.caller.account), id)? } else { None };
    found.ok_or_else(|| missing(id))
}

pub(crate) fn missing(id: &str) -> Refusal {
    let message =
        format!("No health check exists with the specified ID: {}", trellis_frame::refusal::shown(id));
    refuse(wire::NoSuchHealthCheck { message })
}

fn reference_key(home: &Home, caller_reference: &str) -> String {
    key::Scope::new("route53", home).index("check-reference", page::to_token(caller_reference))
}

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::CreateHealthCheckInput,
) -> Result<wire::CreateHealthCheckOutput, Refusal> {
    let home = key::global(&ctx.caller.account);
    let config = config::checked(input.health_check_config.clone())?;
    let by_reference = reference_key(&home, &input.caller_reference);
    if let Some(id) = trellis_frame::record::get_id(tx, &by_reference)? {
        // "If the settings are identical, it returns the settings for the existing health check."
        let same = CHECKS.get(tx, &home, &id)?.filter(|known| known.config == config);
        return same.map(|known| output(&known)).ok_or_else(|| {
            let message = format!(
                "A health check with the caller reference {} has already been created with other settings.",
                input.caller_reference
            );
            refuse(wire::HealthCheckAlreadyExists { message })
        });
    }
    let limit = ctx.quotas().limit(&CHECKS_PER_ACCOUNT);
    if CHECKS.count(tx, &home)? as u64 >= limit {
        let message = format!("This request would exceed the account's limit of {limit} health checks.");
        return Err(refuse(wire::TooManyHealthChecks { message }));
    }
    let check = HealthCheck {
        id: ctx.surroundings.random.uuid(),
        caller_reference: input.caller_reference.clone(),
        version: 1,
        config,
    };
    CHECKS.put(tx, &home, &check.id, &check)?;
    tx.put(&by_reference, check.id.clone().into_bytes());
    Ok(output(&check))
}

fn output(check: &HealthCheck) -> wire::CreateHealthCheckOutput {
    wire::CreateHealthCheckOutput {
        health_check: check.describe(),
        location: format!("https://route53.amazonaws.com/2013-04-01/healthcheck/{}", check.id),
    }
}

pub(crate) fn get(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::GetHealthCheckInput,
) -> Result<wire::GetHealthCheckOutput, Refusal> {
    Ok(wire::GetHealthCheckOutput { health_check: find(state, ctx, &input.health_check_id)?.describe() })
}

pub(crate) fn list(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListHealthChecksInput,
    page: &Page,
) -> Result<Paged<wire::ListHealthChecksOutput>, Refusal> {
    let items = max_items(input.max_items.as_deref(), MAX_ITEMS)?;
    let home = key::global(&ctx.caller.account);
    let listing = CHECKS.list(state, &home, page, |_, check| Ok(Some(check.describe())))?;
    Ok(listing.into_output(|health_checks| wire::ListHealthChecksOutput {
        health_checks,
        marker: input.marker.clone().unwrap_or_default(),
        is_truncated: false,
        next_marker: None,
        max_items: items.to_string(),
    }))
}

pub(crate) fn update(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::UpdateHealthCheckInput,
) -> Result<wire::UpdateHealthCheckOutput, Refusal> {
    let mut check = find(tx, ctx, &input.health_check_id)?;
    if input.health_check_version.is_some_and(|version| version != check.version) {
        let message = format!("The health check has version {}.", check.version);
        return Err(refuse(wire::HealthCheckVersionMismatch { message }));
    }
    check.config = config::checked(config::updated(check.config, input))?;
    check.version += 1;
    CHECKS.put(tx, &key::global(&ctx.caller.account), &check.id, &check)?;
    Ok(wire::UpdateHealthCheckOutput { health_check: check.describe() })
}

/// Record sets that name it stay, and are as if they named none: "the status can't be predicted".
pub(crate) fn delete(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::DeleteHealthCheckInput,
) -> Result<wire::DeleteHealthCheckOutput, Refusal> {
    let check = find(tx, ctx, &input.health_check_id)?;
    let home = key::global(&ctx.caller.account);
    CHECKS.delete(tx, &home, &check.id)?;
    tx.delete(&reference_key(&home, &check.caller_reference));
    tags::forget(tx, &home, &arn(&check.id));
    Ok(wire::DeleteHealthCheckOutput::default())
}

pub(crate) fn count(
    state: &mut Reader,
    ctx: &Context,
    _: &wire::GetHealthCheckCountInput,
) -> Result<wire::GetHealthCheckCountOutput, Refusal> {
    let count = CHECKS.count(state, &key::global(&ctx.caller.account))?;
    Ok(wire::GetHealthCheckCountOutput { health_check_count: count as i64 })
}

/// The source of a look is an address inside a VPC, which nobody else has to let in.
pub(crate) fn ranges(
    _: &mut Reader,
    _: &Context,
    _: &wire::GetCheckerIpRangesInput,
) -> Result<wire::GetCheckerIpRangesOutput, Refusal> {
    Ok(wire::GetCheckerIpRangesOutput { checker_ip_ranges: vec!["169.254.171.0/24".to_owned()] })
}

/// One observation for each VPC that looks.
pub(crate) fn status(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::GetHealthCheckStatusInput,
) -> Result<wire::GetHealthCheckStatusOutput, Refusal> {
    find(state, ctx, &input.health_check_id)?;
    let seen = observed(ctx, &input.health_check_id, |(last, _)| last);
    Ok(wire::GetHealthCheckStatusOutput { health_check_observations: seen })
}

pub(crate) fn last_failure(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::GetHealthCheckLastFailureReasonInput,
) -> Result<wire::GetHealthCheckLastFailureReasonOutput, Refusal> {
    find(state, ctx, &input.health_check_id)?;
    let seen = observed(ctx, &input.health_check_id, |(_, failure)| failure);
    Ok(wire::GetHealthCheckLastFailureReasonOutput { health_check_observations: seen })
}

fn observed(
    ctx: &Context,
    id: &str,
    which: impl Fn((Option<Seen>, Option<Seen>)) -> Option<Seen>,
) -> Vec<wire::HealthCheckObservation> {
    let checks = ctx.surroundings.extension::<Board>().map(|board| board.of(id)).unwrap_or_default();
    let observation = |check: &Arc<Check>| {
        let seen = which(check.health.last())?;
        let verdict = if check.health.status() == TargetStatus::Unhealthy { "unhealthy" } else { "healthy" };
        Some(wire::HealthCheckObservation {
            region: ctx.surroundings.region.as_str().parse().ok(),
            ip_address: Some("169.254.171.2".to_owned()),
            status_report: Some(wire::StatusReport {
                status: Some(format!("{} ({verdict} in {})", seen.said, check.vpc)),
                checked_time: Timestamp::from_second(seen.at).ok().map(Into::into),
            }),
        })
    };
    checks.iter().filter_map(observation).collect()
}
