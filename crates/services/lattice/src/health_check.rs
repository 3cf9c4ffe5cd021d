//! Health check settings: defaults by protocol, ranges, and what an update keeps.
//!
//! The canonical form is what clients compare: every member but `port` expanded, `port` only when it
//! was set; a TCP group's default is `{enabled: false}` and nothing else.

use trellis_model::health::StatusMatcher;
use trellis_model::resource::lattice::{
    HealthCheckConfig, Matcher, TargetGroupProtocol, TargetGroupProtocolVersion,
};

use crate::refusal::{Refusal, invalid};

const DEFAULT_PATH: &str = "/";
const DEFAULT_INTERVAL: u16 = 30;
const DEFAULT_TIMEOUT: u16 = 5;
const DEFAULT_HEALTHY: u16 = 5;
const DEFAULT_UNHEALTHY: u16 = 2;
const DEFAULT_MATCHER: &str = "200";

/// The canonical settings of a group that speaks `protocol` and `version` for what a request said.
///
/// # Errors
/// Values outside their ranges; switching checks on for a TCP group without protocol and version.
pub(crate) fn normalise(
    asked: Option<&HealthCheckConfig>,
    protocol: TargetGroupProtocol,
    version: Option<TargetGroupProtocolVersion>,
) -> Result<HealthCheckConfig, Refusal> {
    let asked = asked.cloned().unwrap_or_default();
    let is_tcp = protocol == TargetGroupProtocol::Tcp;
    if is_tcp && asked.enabled != Some(true) && is_bare(&asked) {
        return Ok(HealthCheckConfig { enabled: Some(false), ..HealthCheckConfig::default() });
    }
    let on_by_default = !is_tcp && version.is_none_or(|version| version == TargetGroupProtocolVersion::Http1);
    let enabled = asked.enabled.unwrap_or(on_by_default);
    if is_tcp && enabled && (asked.protocol.is_none() || asked.protocol_version.is_none()) {
        let message = "protocol and protocolVersion are required to check the health of a TCP target group";
        return Err(invalid("healthCheck", message));
    }
    let check_protocol = asked.protocol.or((!is_tcp).then_some(protocol));
    if check_protocol == Some(TargetGroupProtocol::Tcp) {
        return Err(invalid("healthCheck.protocol", "must be HTTP or HTTPS"));
    }
    let check_version = asked.protocol_version.or((!is_tcp).then_some(match version {
        Some(TargetGroupProtocolVersion::Http2) => TargetGroupProtocolVersion::Http2,
        _ => TargetGroupProtocolVersion::Http1,
    }));
    if check_version == Some(TargetGroupProtocolVersion::Grpc) {
        return Err(invalid("healthCheck.protocolVersion", "must be HTTP1 or HTTP2"));
    }
    let matcher = match asked.matcher {
        Some(Matcher::HttpCode(codes)) if !codes.is_empty() => codes,
        _ => DEFAULT_MATCHER.to_owned(),
    };
    StatusMatcher::parse(&matcher).map_err(|error| invalid("healthCheck.matcher.httpCode", error))?;
    let path = asked.path.filter(|path| !path.is_empty()).unwrap_or_else(|| DEFAULT_PATH.to_owned());
    if !path.starts_with('/') || path.bytes().any(|b| b <= b' ' || b == 0x7f) {
        return Err(invalid(
            "healthCheck.path",
            "must begin with / and have neither spaces nor control characters",
        ));
    }
    Ok(HealthCheckConfig {
        enabled: Some(enabled),
        protocol: check_protocol,
        protocol_version: check_version,
        port: asked.port.filter(|port| *port != 0),
        path: Some(path),
        health_check_interval_seconds: Some(ranged(
            "healthCheckIntervalSeconds",
            asked.health_check_interval_seconds,
            DEFAULT_INTERVAL,
            5..=300,
        )?),
        health_check_timeout_seconds: Some(ranged(
            "healthCheckTimeoutSeconds",
            asked.health_check_timeout_seconds,
            DEFAULT_TIMEOUT,
            1..=120,
        )?),
        healthy_threshold_count: Some(ranged(
            "healthyThresholdCount",
            asked.healthy_threshold_count,
            DEFAULT_HEALTHY,
            2..=10,
        )?),
        unhealthy_threshold_count: Some(ranged(
            "unhealthyThresholdCount",
            asked.unhealthy_threshold_count,
            DEFAULT_UNHEALTHY,
            2..=10,
        )?),
        matcher: Some(Matcher::HttpCode(matcher)),
    })
}

/// What an update asks for on top of what is `kept`: an absent member stays, 0 and the empty text go
/// back to the default.
pub(crate) fn update(kept: &HealthCheckConfig, asked: &HealthCheckConfig) -> HealthCheckConfig {
    let (kept, asked) = (kept.clone(), asked.clone());
    HealthCheckConfig {
        enabled: asked.enabled.or(kept.enabled),
        protocol: asked.protocol.or(kept.protocol),
        protocol_version: asked.protocol_version.or(kept.protocol_version),
        port: asked.port.or(kept.port),
        path: asked.path.or(kept.path),
        health_check_interval_seconds: asked
            .health_check_interval_seconds
            .or(kept.health_check_interval_seconds),
        health_check_timeout_seconds: asked
            .health_check_timeout_seconds
            .or(kept.health_check_timeout_seconds),
        healthy_threshold_count: asked.healthy_threshold_count.or(kept.healthy_threshold_count),
        unhealthy_threshold_count: asked.unhealthy_threshold_count.or(kept.unhealthy_threshold_count),
        matcher: asked.matcher.or(kept.matcher),
    }
}

/// Nothing said but perhaps `enabled`.
fn is_bare(check: &HealthCheckConfig) -> bool {
    *check == HealthCheckConfig { enabled: check.enabled, ..HealthCheckConfig::default() }
}

/// A number within `range`; absent and 0 are the default.
fn ranged(
    member: &str,
    asked: Option<u16>,
    default: u16,
    range: std::ops::RangeInclusive<u16>,
) -> Result<u16, Refusal> {
    let value = asked.filter(|value| *value != 0).unwrap_or(default);
    if range.contains(&value) {
        return Ok(value);
    }
    let message = format_args!("must be {} to {}, not {value}", range.start(), range.end());
    Err(invalid(&format!("healthCheck.{member}"), message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(
        protocol: TargetGroupProtocol,
        version: TargetGroupProtocolVersion,
        enabled: bool,
    ) -> HealthCheckConfig {
        HealthCheckConfig {
            enabled: Some(enabled),
            protocol: Some(protocol),
            protocol_version: Some(version),
            port: None,
            path: Some("/".into()),
            health_check_interval_seconds: Some(30),
            health_check_timeout_seconds: Some(5),
            healthy_threshold_count: Some(5),
            unhealthy_threshold_count: Some(2),
            matcher: Some(Matcher::HttpCode("200".into())),
        }
    }

    #[test]
    fn defaults_follow_the_protocol_and_version_of_the_group() {
        use TargetGroupProtocol::{Http, Https, Tcp};
        use TargetGroupProtocolVersion::{Grpc, Http1, Http2};
        for (protocol, version, expected) in [
            (Http, Some(Http1), canonical(Http, Http1, true)),
            (Https, Some(Http1), canonical(Https, Http1, true)),
            (Http, Some(Http2), canonical(Http, Http2, false)),
            (Https, Some(Grpc), canonical(Https, Http1, false)),
            (Tcp, None, HealthCheckConfig { enabled: Some(false), ..HealthCheckConfig::default() }),
        ] {
            assert_eq!(normalise(None, protocol, version).unwrap(), expected, "{protocol:?} {version:?}");
        }
    }

    #[test]
    fn zero_and_empty_mean_the_default_and_a_set_port_stays() {
        let asked = HealthCheckConfig {
            port: Some(0),
            path: Some(String::new()),
            health_check_interval_seconds: Some(0),
            healthy_threshold_count: Some(0),
            matcher: Some(Matcher::HttpCode(String::new())),
            ..HealthCheckConfig::default()
        };
        let (http, http1) = (TargetGroupProtocol::Http, TargetGroupProtocolVersion::Http1);
        assert_eq!(normalise(Some(&asked), http, Some(http1)).unwrap(), canonical(http, http1, true));
        let with_port = HealthCheckConfig { port: Some(8081), ..HealthCheckConfig::default() };
        assert_eq!(normalise(Some(&with_port), http, Some(http1)).unwrap().port, Some(8081));
    }

    #[test]
    fn values_outside_their_ranges_are_refused() {
        let base = HealthCheckConfig::default;
        for asked in [
            HealthCheckConfig { health_check_interval_seconds: Some(4), ..base() },
            HealthCheckConfig { health_check_interval_seconds: Some(301), ..base() },
            HealthCheckConfig { health_check_timeout_seconds: Some(121), ..base() },
            HealthCheckConfig { healthy_threshold_count: Some(1), ..base() },
            HealthCheckConfig { unhealthy_threshold_count: Some(11), ..base() },
            HealthCheckConfig { matcher: Some(Matcher::HttpCode("199".into())), ..base() },
            HealthCheckConfig { matcher: Some(Matcher::HttpCode("200-".into())), ..base() },
            HealthCheckConfig { path: Some("health".into()), ..base() },
            HealthCheckConfig { path: Some("/a b".into()), ..base() },
            HealthCheckConfig { protocol: Some(TargetGroupProtocol::Tcp), ..base() },
            HealthCheckConfig { protocol_version: Some(TargetGroupProtocolVersion::Grpc), ..base() },
        ] {
            assert!(normalise(Some(&asked), TargetGroupProtocol::Http, None).is_err(), "{asked:?}");
        }
    }

    #[test]
    fn a_tcp_group_is_checked_only_when_told_how() {
        let on = HealthCheckConfig { enabled: Some(true), ..HealthCheckConfig::default() };
        assert!(normalise(Some(&on), TargetGroupProtocol::Tcp, None).is_err());
        let told = HealthCheckConfig {
            protocol: Some(TargetGroupProtocol::Http),
            protocol_version: Some(TargetGroupProtocolVersion::Http1),
            ..on
        };
        assert_eq!(normalise(Some(&told), TargetGroupProtocol::Tcp, None).unwrap().enabled, Some(true));
    }

    #[test]
    fn an_update_keeps_what_it_does_not_name() {
        let (http, http1) = (TargetGroupProtocol::Http, TargetGroupProtocolVersion::Http1);
        let kept = HealthCheckConfig { port: Some(9000), ..canonical(http, http1, true) };
        let asked = HealthCheckConfig {
            enabled: Some(false),
            healthy_threshold_count: Some(3),
            ..HealthCheckConfig::default()
        };
        let after = update(&kept, &asked);
        assert_eq!(
            (after.enabled, after.healthy_threshold_count, after.port),
            (Some(false), Some(3), Some(9000))
        );
        let reset = HealthCheckConfig { port: Some(0), ..HealthCheckConfig::default() };
        assert_eq!(normalise(Some(&update(&kept, &reset)), http, Some(http1)).unwrap().port, None);
    }
}
