//! Between the plan's words and the SDK's types.

use aws_sdk_vpclattice::types;

use super::{ListenerProtocol, RuleMatch};
use crate::objects::HealthCheck;
use crate::plan::{Action, PathMatch};

pub(super) fn rule_match(matching: &RuleMatch) -> types::RuleMatch {
    let path = matching.path.as_ref().map(|path| {
        let kind = match path {
            PathMatch::Exact(path) => types::PathMatchType::Exact(path.clone()),
            PathMatch::Prefix(path) => types::PathMatchType::Prefix(path.clone()),
        };
        types::PathMatch::builder().r#match(kind).case_sensitive(true).build()
    });
    let headers = matching.headers.iter().map(|(name, value)| {
        types::HeaderMatch::builder()
            .name(name)
            .r#match(types::HeaderMatchType::Exact(value.clone()))
            .case_sensitive(true)
            .build()
            .expect("a name and a match are given")
    });
    let headers: Vec<_> = headers.collect();
    let http = types::HttpMatch::builder()
        .set_method(matching.method.clone())
        .set_path_match(path)
        .set_header_matches((!headers.is_empty()).then_some(headers))
        .build();
    types::RuleMatch::HttpMatch(http)
}

/// What the plan has no word for becomes a match that no plan asks for, and so is replaced.
pub(super) fn rule_match_of(found: Option<&types::RuleMatch>) -> RuleMatch {
    let Some(types::RuleMatch::HttpMatch(http)) = found else { return RuleMatch::default() };
    let path = http.path_match().and_then(|path| {
        let is_sensitive = path.case_sensitive().unwrap_or(false);
        match path.r#match() {
            Some(types::PathMatchType::Exact(text)) if is_sensitive => Some(PathMatch::Exact(text.clone())),
            Some(types::PathMatchType::Prefix(text)) if is_sensitive => Some(PathMatch::Prefix(text.clone())),
            _ => None,
        }
    });
    let headers = http.header_matches().iter().filter_map(|header| match header.r#match() {
        Some(types::HeaderMatchType::Exact(value)) => {
            Some((header.name().to_ascii_lowercase(), value.clone()))
        }
        _ => None,
    });
    let mut headers: Vec<_> = headers.collect();
    if headers.len() != http.header_matches().len() {
        return RuleMatch::default();
    }
    headers.sort();
    RuleMatch { method: http.method().map(str::to_owned), path, headers }
}

pub(super) fn action(action: &Action) -> types::RuleAction {
    match action {
        Action::Respond(status) => types::RuleAction::FixedResponse(
            types::FixedResponseAction::builder().status_code(*status).build().expect("a status is given"),
        ),
        Action::Forward(groups) => {
            let groups = groups.iter().map(|(id, weight)| {
                let group = types::WeightedTargetGroup::builder().target_group_identifier(id).weight(*weight);
                group.build().expect("an identifier is given")
            });
            let forward = types::ForwardAction::builder().set_target_groups(Some(groups.collect()));
            types::RuleAction::Forward(forward.build().expect("target groups are given"))
        }
    }
}

pub(super) fn action_of(found: Option<&types::RuleAction>) -> Action {
    match found {
        Some(types::RuleAction::Forward(forward)) => Action::Forward(
            forward
                .target_groups()
                .iter()
                .map(|group| (id_of(group.target_group_identifier()), group.weight().unwrap_or(100)))
                .collect(),
        ),
        Some(types::RuleAction::FixedResponse(fixed)) => Action::Respond(fixed.status_code()),
        // Asked for by no plan.
        _ => Action::Respond(0),
    }
}

/// The id at the end of an ARN, or the id itself.
pub(super) fn id_of(identifier: &str) -> String {
    identifier.rsplit('/').next().unwrap_or(identifier).to_owned()
}

pub(super) fn protocol(protocol: ListenerProtocol) -> types::ListenerProtocol {
    protocol.as_str().into()
}

pub(super) fn protocol_of(found: Option<&types::ListenerProtocol>) -> Option<ListenerProtocol> {
    match found? {
        types::ListenerProtocol::Http => Some(ListenerProtocol::Http),
        types::ListenerProtocol::Https => Some(ListenerProtocol::Https),
        types::ListenerProtocol::TlsPassthrough => Some(ListenerProtocol::TlsPassthrough),
        _ => None,
    }
}

pub(super) fn health_check(check: &HealthCheck) -> types::HealthCheckConfig {
    let HealthCheck {
        enabled,
        interval_seconds,
        timeout_seconds,
        healthy_threshold_count,
        unhealthy_threshold_count,
        status_match,
        path,
        port,
        protocol,
        protocol_version,
    } = check;
    types::HealthCheckConfig::builder()
        .set_enabled(*enabled)
        .set_health_check_interval_seconds(*interval_seconds)
        .set_health_check_timeout_seconds(*timeout_seconds)
        .set_healthy_threshold_count(*healthy_threshold_count)
        .set_unhealthy_threshold_count(*unhealthy_threshold_count)
        .set_matcher(status_match.clone().map(types::Matcher::HttpCode))
        .set_path(path.clone())
        .set_port(*port)
        .set_protocol(protocol.as_deref().map(Into::into))
        .set_protocol_version(protocol_version.as_deref().map(Into::into))
        .build()
}

pub(super) fn health_check_of(found: &types::HealthCheckConfig) -> HealthCheck {
    HealthCheck {
        enabled: found.enabled(),
        interval_seconds: found.health_check_interval_seconds(),
        timeout_seconds: found.health_check_timeout_seconds(),
        healthy_threshold_count: found.healthy_threshold_count(),
        unhealthy_threshold_count: found.unhealthy_threshold_count(),
        status_match: found.matcher().and_then(|matcher| matcher.as_http_code().ok().cloned()),
        path: found.path().map(str::to_owned),
        port: found.port(),
        protocol: found.protocol().map(|protocol| protocol.as_str().to_owned()),
        protocol_version: found.protocol_version().map(|version| version.as_str().to_owned()),
    }
}
