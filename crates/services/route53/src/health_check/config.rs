//! What a health check may say, with AWS's defaults.

use std::net::IpAddr;
use std::time::Duration;

use trellis_frame::Refusal;
use trellis_model::snapshot::names::Endpoint;

use crate::name::DomainName;
use crate::wire::{self, HealthCheckConfig, HealthCheckType, ResettableElementName};

/// What a check has that does not say.
const INTERVAL: i32 = 30;
const THRESHOLD: i32 = 3;

/// `config` with its defaults filled in.
///
/// # Errors
/// `InvalidInput` for what cannot be looked at from inside a VPC, or not with what is there.
pub(super) fn checked(mut config: HealthCheckConfig) -> Result<HealthCheckConfig, Refusal> {
    let is_http = match config.r#type {
        HealthCheckType::Http | HealthCheckType::Https => true,
        HealthCheckType::Tcp => false,
        other => {
            let message = format_args!("{other} is not served: expected HTTP, HTTPS or TCP");
            return Err(Refusal::invalid("Type", message));
        }
    };
    let is_tls = config.r#type == HealthCheckType::Https;
    for (member, is_given) in [
        ("SearchString", config.search_string.is_some()),
        ("HealthThreshold", config.health_threshold.is_some()),
        ("ChildHealthChecks", config.child_health_checks.as_ref().is_some_and(|list| !list.is_empty())),
        ("AlarmIdentifier", config.alarm_identifier.is_some()),
        ("InsufficientDataHealthStatus", config.insufficient_data_health_status.is_some()),
        ("RoutingControlArn", config.routing_control_arn.is_some()),
        ("ResourcePath", config.resource_path.is_some() && !is_http),
        ("EnableSNI", config.enable_sni == Some(true) && !is_tls),
    ] {
        if is_given {
            return Err(Refusal::invalid(
                member,
                format_args!("is not for checks of type {}", config.r#type),
            ));
        }
    }
    config.child_health_checks = None;
    config.ip_address = config.ip_address.filter(|text| !text.is_empty());
    config.fully_qualified_domain_name = config.fully_qualified_domain_name.filter(|text| !text.is_empty());
    if let Some(text) = &config.ip_address {
        let address: IpAddr =
            text.parse().map_err(|_| Refusal::invalid("IPAddress", "is not an IP address"))?;
        if !Endpoint::may_be_at(address) {
            let message =
                "is a loopback, link-local, multicast or unspecified address, where nobody's endpoint is";
            return Err(Refusal::invalid("IPAddress", message));
        }
        config.ip_address = Some(address.to_string());
    }
    match &config.fully_qualified_domain_name {
        Some(name) => {
            let is_name =
                |name: &str| DomainName::parse(name).is_ok_and(|parsed| !parsed.as_str().contains('\\'));
            if !is_name(name) {
                return Err(Refusal::invalid("FullyQualifiedDomainName", "is not a host name"));
            }
        }
        None if config.ip_address.is_none() => {
            return Err(Refusal::unacceptable("Either IPAddress or FullyQualifiedDomainName is needed"));
        }
        None => {}
    }
    if config.port.is_none() && !is_http {
        return Err(Refusal::invalid("Port", "is needed for a check of type TCP"));
    }
    config.port.get_or_insert(if is_tls { 443 } else { 80 });
    if let Some(path) = &mut config.resource_path {
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Refusal::invalid("ResourcePath", "has characters that no path of a URL has"));
        }
        if !path.starts_with('/') {
            path.insert(0, '/');
        }
    }
    let interval = *config.request_interval.get_or_insert(INTERVAL);
    if interval != 10 && interval != 30 {
        return Err(Refusal::invalid("RequestInterval", "expected 10 or 30"));
    }
    config.failure_threshold.get_or_insert(THRESHOLD);
    config.measure_latency.get_or_insert(false);
    config.inverted.get_or_insert(false);
    config.disabled.get_or_insert(false);
    config.enable_sni.get_or_insert(is_tls);
    Ok(config)
}

/// `config` with what an update names. What it does not name stays.
pub(super) fn updated(
    mut config: HealthCheckConfig,
    input: &wire::UpdateHealthCheckInput,
) -> HealthCheckConfig {
    for element in input.reset_elements.iter().flatten() {
        match element {
            ResettableElementName::FullyQualifiedDomainName => config.fully_qualified_domain_name = None,
            ResettableElementName::Regions => config.regions = None,
            ResettableElementName::ResourcePath => config.resource_path = None,
            ResettableElementName::ChildHealthChecks => config.child_health_checks = None,
        }
    }
    macro_rules! take {
        ($($member:ident),*) => {
            $(if input.$member.is_some() {
                config.$member = input.$member.clone();
            })*
        };
    }
    take!(
        ip_address,
        port,
        resource_path,
        fully_qualified_domain_name,
        search_string,
        failure_threshold,
        inverted,
        disabled,
        health_threshold,
        child_health_checks,
        enable_sni,
        regions,
        alarm_identifier,
        insufficient_data_health_status
    );
    config
}

/// What is to be looked at, of a configuration that was [`checked`].
pub(super) fn endpoint(config: &HealthCheckConfig) -> Endpoint {
    let number =
        |value: Option<i32>, default: i32| u32::try_from(value.unwrap_or(default)).unwrap_or_default();
    let is_tls = config.r#type == HealthCheckType::Https;
    let path = config.resource_path.as_deref().unwrap_or("/");
    Endpoint {
        address: config.ip_address.as_deref().and_then(|text| text.parse().ok()),
        name: config.fully_qualified_domain_name.as_deref().map(|name| name.trim_end_matches('.').into()),
        port: u16::try_from(number(config.port, 80)).unwrap_or_default(),
        path: (config.r#type != HealthCheckType::Tcp).then(|| path.into()),
        tls: is_tls,
        has_sni: config.enable_sni == Some(true),
        interval: Duration::from_secs(number(config.request_interval, INTERVAL).into()),
        threshold: number(config.failure_threshold, THRESHOLD).max(1),
        is_inverted: config.inverted == Some(true),
        is_disabled: config.disabled == Some(true),
    }
}
