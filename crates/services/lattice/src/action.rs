//! What a rule or a default action does: checked, defaults filled in, its target groups held on to.

use std::collections::BTreeSet;

use trellis_frame::Context;
use trellis_frame::record::{get, scan_all};
use trellis_model::TargetGroupId;
use trellis_model::resource::lattice::{
    FixedResponseAction, ForwardAction, Listener, ListenerProtocol, RuleAction, Service, Status, TargetGroup,
    TargetGroupProtocol, TargetGroupProtocolVersion, TargetGroupType, WeightedTargetGroup,
};
use trellis_store::{Read, Transaction};

use super::identifier;
use super::place::Place;
use crate::quota;
use crate::refusal::{Kind, Refusal, check_quota, in_status, invalid, not_found};

/// "100 when omitted".
const DEFAULT_WEIGHT: u16 = 100;

/// Target groups in one forward action.
const MAX_TARGET_GROUPS: usize = 10;

/// Checks `action` for a listener of `protocol` and fills in what it leaves out.
///
/// # Errors
/// A fixed response other than 404 or 500, a target group that does not exist, belongs to another
/// service, is going, appears twice, or speaks a protocol or a version of it the listener cannot forward to.
pub(crate) fn normalise(
    state: &mut impl Read,
    place: &Place,
    service: &Service,
    protocol: ListenerProtocol,
    action: &RuleAction,
) -> Result<RuleAction, Refusal> {
    let forward = match action {
        RuleAction::FixedResponse(FixedResponseAction { status_code: 404 | 500 }) => {
            if protocol == ListenerProtocol::TlsPassthrough {
                return Err(invalid("action", "a TLS_PASSTHROUGH listener can only forward"));
            }
            return Ok(action.clone());
        }
        RuleAction::FixedResponse(FixedResponseAction { status_code }) => {
            let message = format_args!("must be 404 or 500, not {status_code}");
            return Err(invalid("fixedResponse.statusCode", message));
        }
        RuleAction::Forward(forward) => forward,
    };
    if !(1..=MAX_TARGET_GROUPS).contains(&forward.target_groups.len()) {
        let message = format_args!("must name 1 to {MAX_TARGET_GROUPS} target groups");
        return Err(invalid("forward.targetGroups", message));
    }
    let mut seen = BTreeSet::new();
    let mut target_groups = Vec::with_capacity(forward.target_groups.len());
    for wanted in &forward.target_groups {
        let id = identifier::target_group(&wanted.target_group_identifier, &place.home)?;
        let group: TargetGroup =
            get(state, &place.target_group(&id))?.ok_or_else(|| not_found(Kind::TargetGroup, &id))?;
        check_group(state, place, service, protocol, &group)?;
        if !seen.insert(id.clone()) {
            return Err(invalid("forward.targetGroups", format_args!("{id} is named twice")));
        }
        target_groups.push(WeightedTargetGroup {
            target_group_identifier: id.as_str().to_owned(),
            weight: Some(wanted.weight.unwrap_or(DEFAULT_WEIGHT)),
        });
    }
    Ok(RuleAction::Forward(ForwardAction { target_groups }))
}

fn check_group(
    state: &mut impl Read,
    place: &Place,
    service: &Service,
    protocol: ListenerProtocol,
    group: &TargetGroup,
) -> Result<(), Refusal> {
    let id = &group.id;
    if matches!(group.status, Status::DeleteInProgress | Status::CreateFailed) {
        return Err(in_status(Kind::TargetGroup, id, group.status));
    }
    let is_tcp =
        group.config.as_ref().is_some_and(|config| config.protocol == Some(TargetGroupProtocol::Tcp));
    let is_passthrough = protocol == ListenerProtocol::TlsPassthrough;
    if is_passthrough && (!is_tcp || group.kind == TargetGroupType::Lambda) {
        let message =
            format_args!("a TLS_PASSTHROUGH listener forwards to TCP target groups, {id} is not one");
        return Err(invalid("forward.targetGroups", message));
    }
    if !is_passthrough && is_tcp {
        let message = format_args!("TCP target group {id} needs a TLS_PASSTHROUGH listener");
        return Err(invalid("forward.targetGroups", message));
    }
    let version = group.config.as_ref().and_then(|config| config.protocol_version);
    // "HTTP2 and GRPC TGs: HTTPS listener only."
    if protocol == ListenerProtocol::Http
        && matches!(version, Some(TargetGroupProtocolVersion::Http2 | TargetGroupProtocolVersion::Grpc))
    {
        let message = format_args!("target group {id} of HTTP2 or GRPC needs an HTTPS listener");
        return Err(invalid("forward.targetGroups", message));
    }
    if users(state, place, id)?.iter().any(|user| user != service.id.as_str()) {
        let message = format_args!("target group {id} is in use by another service");
        return Err(invalid("forward.targetGroups", message));
    }
    Ok(())
}

/// Ids of the services that forward to `group`: none or one.
pub(crate) fn users(
    state: &mut impl Read,
    place: &Place,
    group: &TargetGroupId,
) -> Result<BTreeSet<String>, Refusal> {
    let prefix = place.uses_of_group(group);
    Ok(first_parts(&scan_all(state, &prefix)?, &prefix))
}

/// Ids of the target groups that `service` forwards to.
pub(crate) fn used_by(
    state: &mut impl Read,
    place: &Place,
    service: &Service,
) -> Result<BTreeSet<String>, Refusal> {
    let prefix = place.uses_by_service(&service.id);
    Ok(first_parts(&scan_all(state, &prefix)?, &prefix))
}

fn first_parts(entries: &[trellis_store::Entry], prefix: &str) -> BTreeSet<String> {
    let first = |entry: &trellis_store::Entry| entry.key[prefix.len()..].split('/').next().map(str::to_owned);
    entries.iter().filter_map(first).collect()
}

/// Notes that `rule` (an id or the default action) of `listener` no longer does `before` but `after`.
///
/// # Errors
/// The service would forward to more target groups than its quota allows.
pub(crate) fn link(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    place: &Place,
    (service, listener, rule): (&Service, &Listener, &str),
    before: Option<&RuleAction>,
    after: &RuleAction,
) -> Result<(), Refusal> {
    if let Some(before) = before {
        unlink(tx, place, listener, rule, before);
    }
    for group in after.target_groups() {
        for key in place.uses(&service.id, &listener.id, rule, &group.target_group_identifier) {
            tx.put(&key, Vec::new());
        }
    }
    if after.target_groups().is_empty() {
        return Ok(());
    }
    let used = used_by(tx, place, service)?.len();
    check_quota(
        ctx.quotas(),
        &quota::TARGET_GROUPS_PER_SERVICE,
        used,
        0,
        Kind::TargetGroup,
        Some(service.id.as_str()),
    )
}

/// Lets go of what `rule` of `listener` forwarded to.
pub(crate) fn unlink(
    tx: &mut Transaction<'_>,
    place: &Place,
    listener: &Listener,
    rule: &str,
    before: &RuleAction,
) {
    for group in before.target_groups() {
        for key in place.uses(&listener.service, &listener.id, rule, &group.target_group_identifier) {
            tx.delete(&key);
        }
    }
}
