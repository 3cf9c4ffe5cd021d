//! Targets: registering, deregistering, and the truth about their health.
//!
//! A target's key is (id, port). Registering several is a partial success: each is looked at alone,
//! and those that cannot be are reported with a code. A deregistered target stays listed as DRAINING
//! until its requests have ended. The target of an instance has its address until the instance is to go:
//! from then on it has none, whoever gets the address, and is listed as gone until it is deregistered.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use trellis_frame::counted;
use trellis_frame::page::{Listing, Page};
use trellis_frame::record::{any, decode, get, put, scan_all};
use trellis_frame::{Context, reference};
use trellis_model::health::TargetStatus;
use trellis_model::health_board::TargetKey;
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::{
    Home, IpAddressType, Target, TargetGroup, TargetGroupConfig, TargetGroupType,
};
use trellis_model::resource::vpc as ec2;
use trellis_model::{Arn, InstanceId, TargetGroupId};
use trellis_store::{Read, Reader, Transaction};

use super::place::{Place, kind};
use super::vpc::{self, Vpc};
use super::{action, target_group};
use crate::health;
use crate::keys;
use crate::quota;
use crate::refusal::{Kind, Refusal, check_quota};

/// The code of everything that cannot be a target of its group.
const UNSUPPORTED: &str = "UnsupportedTarget";

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Asked {
    id: String,
    port: Option<u16>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Change {
    target_group_identifier: String,
    targets: Vec<Asked>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    successful: Vec<Done>,
    unsuccessful: Vec<Failed>,
}

#[derive(Debug, Serialize)]
struct Done {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Failed {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    failure_code: &'static str,
    failure_message: String,
}

/// A target's id and port as the group keeps them.
fn key_of(group: &TargetGroup, asked: &Asked) -> (String, Option<u16>) {
    let default = group.config.as_ref().and_then(|config| config.port);
    match group.kind {
        // One spelling for each address.
        TargetGroupType::Ip => {
            let id = asked.id.parse::<IpAddr>().map_or_else(|_| asked.id.clone(), |ip| ip.to_string());
            (id, asked.port.or(default))
        }
        TargetGroupType::Instance | TargetGroupType::Alb => (asked.id.clone(), asked.port.or(default)),
        TargetGroupType::Lambda => (asked.id.clone(), None),
    }
}

pub(crate) fn register(tx: &mut Transaction<'_>, ctx: &Context, input: &Change) -> Result<Outcome, Refusal> {
    let place = Place::new(ctx.home());
    let group = target_group::find_for_change(tx, &place, &input.target_group_identifier)?;
    let mut outcome = Outcome { successful: Vec::new(), unsuccessful: Vec::new() };
    let mut have = counted::count(tx, &place.targets(&group.id))?;
    for asked in &input.targets {
        let (id, port) = key_of(&group, asked);
        let address = match locate(tx, &place, &group, &id, port)? {
            Ok(address) => address,
            Err(failure_message) => {
                outcome.unsuccessful.push(Failed { id, port, failure_code: UNSUPPORTED, failure_message });
                continue;
            }
        };
        let key = place.target(&group.id, &id, port.unwrap_or(0));
        let known: Option<Target> = get(tx, &key)?;
        if known.is_none() {
            let parent = Some(group.id.as_str());
            check_quota(ctx.quotas(), &quota::TARGETS_PER_TARGET_GROUP, have, 1, Kind::TargetGroup, parent)?;
            have += 1;
        }
        // "Re-registering is idempotent, and re-registering a DRAINING target brings it back."
        if known.is_none_or(|target| target.draining_since.is_some() || target.address != Some(address)) {
            let target = Target {
                target_group: group.id.clone(),
                id: id.clone(),
                port,
                address: Some(address),
                registered_at: ctx.now,
                draining_since: None,
            };
            counted::put_record(tx, &key, &target)?;
            tx.delete(&pending_key(&place, &group.id, &id, port));
            if group.kind == TargetGroupType::Instance {
                reference::hold(tx, &instance_arn(&place.home, &id), &group.arn());
            }
        }
        outcome.successful.push(Done { id, port });
    }
    Ok(outcome)
}

fn pending_key(place: &Place, group: &TargetGroupId, id: &str, port: Option<u16>) -> String {
    place.scope.pending(kind::TARGET, format_args!("{group}/{id}|{}", port.unwrap_or(0)))
}

/// Where connections to the target go, or why it cannot be one.
fn locate(
    state: &mut impl Read,
    place: &Place,
    group: &TargetGroup,
    id: &str,
    port: Option<u16>,
) -> Result<Result<SocketAddr, String>, Refusal> {
    let config = group.config.as_ref();
    let (Some(TargetGroupConfig { vpc_identifier: Some(vpc), ip_address_type, .. }), Some(port)) =
        (config, port)
    else {
        return Ok(Err("Lambda functions cannot be targets yet".into()));
    };
    let Some(vpc) = vpc::get(state, &place.home, vpc)? else {
        return Ok(Err(format!("{vpc} does not exist any more")));
    };
    let address = match group.kind {
        TargetGroupType::Ip => check_ip(&vpc, ip_address_type.unwrap_or(IpAddressType::Ipv4), id),
        TargetGroupType::Instance => check_instance(state, place, &vpc, id)?,
        TargetGroupType::Alb => Err("Application Load Balancers cannot be targets yet".into()),
        TargetGroupType::Lambda => Err("Lambda functions cannot be targets yet".into()),
    };
    Ok(address.map(|ip| SocketAddr::new(ip, port)))
}

/// "Inside the TG VPC's subnets, family = ipAddressType, not public, not a link-local address."
fn check_ip(vpc: &Vpc, family: IpAddressType, id: &str) -> Result<IpAddr, String> {
    let Ok(ip) = id.parse::<IpAddr>() else {
        return Err(format!("{} is not an IP address", id.chars().take(64).collect::<String>()));
    };
    match (ip, family) {
        (IpAddr::V4(_), IpAddressType::Ipv4) | (IpAddr::V6(_), IpAddressType::Ipv6) => {}
        (IpAddr::V4(_), IpAddressType::Ipv6) => return Err("expected an IPv6 address".into()),
        (IpAddr::V6(_), IpAddressType::Ipv4) => return Err("expected an IPv4 address".into()),
    }
    if ip.is_loopback() || ip.is_multicast() || ip.is_unspecified() || is_link_local(ip) {
        return Err(format!("{ip} cannot be a target"));
    }
    if !is_private(ip) {
        return Err(format!("{ip} is a publicly routable address"));
    }
    if !vpc.has_subnet_with(ip) {
        return Err(format!("{ip} is in no subnet of {}", vpc.id()));
    }
    Ok(ip)
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.to_ipv4_mapped().is_some(),
    }
}

/// 10/8, 172.16/12, 192.168/16 and 100.64/10. An IPv6 address is private to its VPC's subnets.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || (ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64),
        IpAddr::V6(_) => true,
    }
}

/// "Must be running and in the TG's VPC."
fn check_instance(
    state: &mut impl Read,
    place: &Place,
    vpc: &Vpc,
    id: &str,
) -> Result<Result<IpAddr, String>, Refusal> {
    let Ok(id) = id.parse::<InstanceId>() else {
        return Ok(Err(format!("{} is not an instance id", id.chars().take(64).collect::<String>())));
    };
    let Some(instance) = vpc::instance(state, &place.home, &id)? else {
        return Ok(Err(format!("Instance {id} does not exist")));
    };
    Ok(if instance.vpc != *vpc.id() {
        Err("Instance targets must be in the same VPC as their target group".into())
    } else if !instance.is_running {
        Err(format!("Instance {id} is not running"))
    } else {
        Ok(instance.address)
    })
}

pub(crate) fn deregister(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &Change,
) -> Result<Outcome, Refusal> {
    let place = Place::new(ctx.home());
    let group = target_group::find_for_change(tx, &place, &input.target_group_identifier)?;
    let mut outcome = Outcome { successful: Vec::new(), unsuccessful: Vec::new() };
    for asked in &input.targets {
        let (id, port) = key_of(&group, asked);
        let key = place.target(&group.id, &id, port.unwrap_or(0));
        let Some(mut target) = get::<Target>(tx, &key)? else {
            let failure_message = format!("the target is not registered with {}", group.id);
            outcome.unsuccessful.push(Failed { id, port, failure_code: "TargetNotFound", failure_message });
            continue;
        };
        if target.draining_since.is_none() {
            target.draining_since = Some(ctx.now);
            put(tx, &key, &target);
            tx.put(&pending_key(&place, &group.id, &id, port), Vec::new());
        }
        outcome.successful.push(Done { id, port });
    }
    Ok(outcome)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct List {
    target_group_identifier: String,
    max_results: Option<u16>,
    next_token: Option<String>,
    #[serde(default)]
    targets: Vec<Asked>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Summary {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    status: &'static str,
    /// "A reason code accompanies every status except HEALTHY."
    #[serde(skip_serializing_if = "Option::is_none")]
    reason_code: Option<&'static str>,
}

pub(crate) fn list(state: &mut Reader, ctx: &Context, input: &List) -> Result<Listing<Summary>, Refusal> {
    let place = Place::new(ctx.home());
    let group = target_group::find(state, &place, &input.target_group_identifier)?;
    let is_used = !action::users(state, &place, &group.id)?.is_empty();
    let wanted: Vec<(String, Option<u16>)> =
        input.targets.iter().map(|asked| (key_of(&group, asked).0, asked.port)).collect();
    let page = Page::new(input.max_results, input.next_token.as_deref())?;
    page.list(state, &place.targets(&group.id), |_, entry| {
        let target: Target = decode(entry)?;
        let is_wanted =
            |(id, port): &(String, Option<u16>)| *id == target.id && (port.is_none() || *port == target.port);
        if !wanted.is_empty() && !wanted.iter().any(is_wanted) {
            return Ok(None);
        }
        let (status, reason_code) = status(ctx, &group, is_used, &target);
        Ok(Some(Summary { id: target.id, port: target.port, status: status.as_str(), reason_code }))
    })
}

/// What is known of a target now, and why it is not HEALTHY.
fn status(
    ctx: &Context,
    group: &TargetGroup,
    is_used: bool,
    target: &Target,
) -> (TargetStatus, Option<&'static str>) {
    if target.draining_since.is_some() {
        return (TargetStatus::Draining, Some("DeregistrationInProgress"));
    }
    if target.address.is_none() && group.kind == TargetGroupType::Instance {
        return (TargetStatus::Unhealthy, Some("InstanceTerminated"));
    }
    if !is_used {
        return (TargetStatus::Unused, Some("TargetGroupNotInUse"));
    }
    if !group.kind.has_health_check() {
        return (TargetStatus::Unavailable, Some("HealthCheckNotSupported"));
    }
    if !group.is_health_checked() {
        return (TargetStatus::Unavailable, Some("HealthCheckDisabled"));
    }
    let key = TargetKey { id: target.id.clone(), port: target.port.unwrap_or(0) };
    match health(&ctx.surroundings).status(&group.id, &key) {
        Some(TargetStatus::Healthy) => (TargetStatus::Healthy, None),
        Some(TargetStatus::Unhealthy) => (TargetStatus::Unhealthy, Some("HealthCheckFailed")),
        _ => (TargetStatus::Initial, Some("InitialHealthChecking")),
    }
}

/// The instance `of` is another than it was: when it is to go, what `by`, a target group, has registered by its id leads
/// nowhere from now on.
pub(super) fn follow(tx: &mut Transaction<'_>, of: &Arn, by: &Arn) -> Result<(), Refusal> {
    let (Some(home), Ok(group)) = (Home::of(by), by.resource_id().parse::<TargetGroupId>()) else {
        return Ok(());
    };
    if is_wanted(tx, of)? {
        return Ok(());
    }
    for entry in scan_all(tx, &by_id(&Place::new(home), &group, of.resource_id()))? {
        let target: Target = decode(&entry)?;
        if target.address.is_some() {
            put(tx, &entry.key, &Target { address: None, ..target });
        }
    }
    Ok(())
}

/// Whether the instance is there and not to go.
pub(super) fn is_wanted(state: &mut impl Read, instance: &Arn) -> Result<bool, Refusal> {
    let Some(home) = Home::of(instance) else { return Ok(false) };
    let key = keys::ec2(&home).record(ec2::kind::INSTANCE, instance.resource_id());
    Ok(get::<ec2::Instance>(state, &key)?.is_some_and(|found| found.state.is_wanted()))
}

/// What the keys of the targets of one id begin with.
fn by_id(place: &Place, group: &TargetGroupId, id: &str) -> String {
    format!("{}{id}|", place.targets(group))
}

/// The ARN of the instance that `id` may be.
pub(super) fn instance_arn(home: &Home, id: &str) -> String {
    ec2::ec2_arn(home, format_args!("instance/{id}"))
}

/// When a draining target began to drain; `None` when it is registered again or gone.
pub(crate) fn draining_since(
    state: &mut impl Read,
    place: &Place,
    group: &TargetGroupId,
    key: &TargetKey,
) -> Result<Option<Moment>, Refusal> {
    let target: Option<Target> = get(state, &place.target(group, &key.id, key.port))?;
    Ok(target.and_then(|target| target.draining_since))
}

/// One step of the workflow: a target that has drained is gone.
pub(crate) fn settle(
    tx: &mut Transaction<'_>,
    place: &Place,
    group: &TargetGroupId,
    key: &TargetKey,
) -> Result<(), Refusal> {
    if draining_since(tx, place, group, key)?.is_some() {
        counted::delete(tx, &place.target(group, &key.id, key.port))?;
        if !any(tx, &by_id(place, group, &key.id))? {
            let by = place.home.lattice_arn(format_args!("targetgroup/{group}"));
            reference::release(tx, &instance_arn(&place.home, &key.id), &by);
        }
    }
    Ok(())
}
