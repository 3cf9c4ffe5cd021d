//! From records to what a proxy acts on: one resource at a time, no state.

use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use trellis_model::health::{self, StatusMatcher, TargetStatus};
use trellis_model::health_board::{HealthBoard, TargetKey};
use trellis_model::matching::{self, Text, TextMatch};
use trellis_model::resource::lattice::{
    HeaderMatchType, HealthCheckConfig, HttpMatch, Listener, ListenerProtocol, Matcher, PathMatchType, Rule,
    RuleAction, RuleMatch, Service, ServiceNetwork, Target, TargetGroup, TargetGroupProtocol,
    TargetGroupProtocolVersion,
};
use trellis_model::{TargetGroupId, VpcId, snapshot};

use super::guards::Guards;

/// Compiled target groups, by id.
pub(super) type Groups = FxHashMap<TargetGroupId, Arc<snapshot::TargetGroup>>;

/// A group in use. Types that nothing here can connect to have no targets.
pub(super) fn target_group<'a>(
    group: &TargetGroup,
    targets: impl Iterator<Item = (&'a TargetKey, &'a Target)>,
    board: &HealthBoard,
) -> snapshot::TargetGroup {
    let config = group.config.as_ref();
    let health_check = config
        .and_then(|config| config.health_check.as_ref())
        .filter(|_| group.is_health_checked())
        .and_then(health_check);
    let first_status = if health_check.is_some() { TargetStatus::Initial } else { TargetStatus::Unavailable };
    let targets = targets
        .filter(|(_, target)| target.draining_since.is_none())
        .filter_map(|(key, target)| {
            let health = board.cell(&group.id, key, first_status);
            Some(snapshot::Target { address: target.address?, health })
        })
        .collect();
    snapshot::TargetGroup {
        id: group.id.clone(),
        arn: group.arn().into(),
        vpc: config.and_then(|config| config.vpc_identifier.clone()).unwrap_or_else(|| VpcId::from_random(0)),
        protocol: match config.and_then(|config| config.protocol) {
            Some(TargetGroupProtocol::Https) => snapshot::TargetProtocol::Https,
            Some(TargetGroupProtocol::Tcp) => snapshot::TargetProtocol::Tcp,
            Some(TargetGroupProtocol::Http) | None => snapshot::TargetProtocol::Http,
        },
        version: version(config.and_then(|config| config.protocol_version)),
        health_check,
        targets,
    }
}

fn version(version: Option<TargetGroupProtocolVersion>) -> health::ProtocolVersion {
    match version {
        Some(TargetGroupProtocolVersion::Http2) => health::ProtocolVersion::Http2,
        Some(TargetGroupProtocolVersion::Grpc) => health::ProtocolVersion::Grpc,
        Some(TargetGroupProtocolVersion::Http1) | None => health::ProtocolVersion::Http1,
    }
}

/// `None` only for a record that no release wrote.
fn health_check(config: &HealthCheckConfig) -> Option<health::HealthCheck> {
    let Matcher::HttpCode(codes) = config.matcher.as_ref()?;
    let seconds = |value: Option<u16>| Some(Duration::from_secs(u64::from(value?)));
    Some(health::HealthCheck {
        tls: config.protocol == Some(TargetGroupProtocol::Https),
        version: version(config.protocol_version),
        port: config.port,
        path: config.path.clone()?,
        interval: seconds(config.health_check_interval_seconds)?,
        timeout: seconds(config.health_check_timeout_seconds)?,
        healthy_threshold: config.healthy_threshold_count?.into(),
        unhealthy_threshold: config.unhealthy_threshold_count?.into(),
        matcher: StatusMatcher::parse(codes).ok()?,
    })
}

/// A service with its listeners, their rules and what they show.
pub(super) fn service<'a>(
    service: &Service,
    listeners: impl Iterator<Item = &'a Listener>,
    rules: impl Fn(&Listener) -> Vec<&'a Rule>,
    groups: &Groups,
    certificates: Box<[(Box<str>, Arc<snapshot::Certificate>)]>,
    guards: &Guards,
) -> snapshot::Service {
    let mut listeners: Vec<_> =
        listeners.map(|record| Arc::new(listener(record, rules(record), groups))).collect();
    listeners.sort_unstable_by_key(|listener| listener.port);
    snapshot::Service {
        id: service.id.clone(),
        arn: service.arn().into(),
        owner: service.home.account.clone(),
        dns_name: service.domain_name().into(),
        auth: guards.of(service.auth_type, service.id.as_str()),
        tags: guards.tags(&service.arn()),
        idle_timeout: Duration::from_secs(service.idle_timeout_seconds.into()),
        listeners: listeners.into(),
        certificates,
    }
}

fn listener(listener: &Listener, mut rules: Vec<&Rule>, groups: &Groups) -> snapshot::Listener {
    rules.sort_unstable_by_key(|rule| rule.priority);
    let rules = rules.into_iter().map(|rule| snapshot::Rule {
        id: rule.id.clone(),
        priority: rule.priority,
        matches: matches(&rule.matches),
        action: action(&rule.action, groups),
    });
    snapshot::Listener {
        id: listener.id.clone(),
        port: listener.port,
        protocol: protocol(listener.protocol),
        rules: rules.collect(),
        default_action: action(&listener.default_action, groups),
    }
}

fn protocol(protocol: ListenerProtocol) -> snapshot::ListenerProtocol {
    match protocol {
        ListenerProtocol::Http => snapshot::ListenerProtocol::Http,
        ListenerProtocol::Https => snapshot::ListenerProtocol::Https,
        ListenerProtocol::TlsPassthrough => snapshot::ListenerProtocol::TlsPassthrough,
    }
}

fn action(action: &RuleAction, groups: &Groups) -> snapshot::Action {
    match action {
        RuleAction::FixedResponse(fixed) => snapshot::Action::FixedResponse(fixed.status_code),
        RuleAction::Forward(forward) => {
            let weighted = forward.target_groups.iter().filter_map(|weighted| {
                let group = groups.get(weighted.target_group_identifier.as_str())?;
                Some((weighted.weight.unwrap_or(0), group.clone()))
            });
            snapshot::Action::Forward(snapshot::Forward::new(weighted))
        }
    }
}

fn matches(matches: &RuleMatch) -> matching::HttpMatch {
    let RuleMatch::HttpMatch(HttpMatch { method, path_match, header_matches }) = matches;
    let path = path_match.as_ref().map(|path| Text {
        how: match &path.matches {
            PathMatchType::Exact(text) => TextMatch::Exact(text.as_str().into()),
            PathMatchType::Prefix(text) => TextMatch::Prefix(text.as_str().into()),
        },
        case_sensitive: path.case_sensitive.unwrap_or(true),
    });
    let headers = header_matches.iter().flatten().map(|header| matching::HeaderMatch {
        name: header.name.as_str().into(),
        value: Text {
            how: match &header.matches {
                HeaderMatchType::Exact(text) => TextMatch::Exact(text.as_str().into()),
                HeaderMatchType::Prefix(text) => TextMatch::Prefix(text.as_str().into()),
                HeaderMatchType::Contains(text) => TextMatch::Contains(text.as_str().into()),
            },
            case_sensitive: header.case_sensitive.unwrap_or(false),
        },
    });
    matching::HttpMatch { method: method.as_deref().map(Into::into), path, headers: headers.collect() }
}

/// A network with the services that can be reached through it, in the order of their ids; `custom`
/// tells a service's custom domain.
pub(super) fn network<'a>(
    network: &ServiceNetwork,
    services: impl Iterator<Item = (&'a Arc<snapshot::Service>, Option<&'a str>)>,
    guards: &Guards,
) -> snapshot::Network {
    let mut hosts: FxHashMap<Box<str>, Arc<snapshot::Service>> = FxHashMap::default();
    let mut ports = FxHashMap::default();
    for (service, custom) in services {
        hosts.insert(service.dns_name.clone(), service.clone());
        if let Some(custom) = custom {
            hosts.insert(custom.to_ascii_lowercase().into(), service.clone());
        }
        for listener in &service.listeners {
            // The first service decides what is spoken on a port that several have.
            ports.entry(listener.port).or_insert(listener.protocol);
        }
    }
    snapshot::Network {
        id: network.id.clone(),
        arn: network.arn().into(),
        auth: guards.of(network.auth_type, network.id.as_str()),
        hosts,
        ports,
    }
}
