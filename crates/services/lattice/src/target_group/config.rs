//! The config of a target group: which members go with which type, and what is meant by those left out.

use serde::Deserialize;
use trellis_model::resource::lattice::{
    HealthCheckConfig, IpAddressType, LambdaEventStructureVersion, TargetGroupConfig, TargetGroupProtocol,
    TargetGroupProtocolVersion, TargetGroupType,
};
use trellis_store::Read;

use crate::place::Place;
use crate::refusal::{Refusal, invalid};
use crate::{health_check, vpc};

/// `config` as a request has it: the VPC is text until it has been looked up.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Config {
    port: Option<u16>,
    protocol: Option<TargetGroupProtocol>,
    protocol_version: Option<TargetGroupProtocolVersion>,
    ip_address_type: Option<IpAddressType>,
    vpc_identifier: Option<String>,
    health_check: Option<HealthCheckConfig>,
    lambda_event_structure_version: Option<LambdaEventStructureVersion>,
}

/// The settings of a group of type `kind` with every default filled in.
///
/// # Errors
/// Members the type does not take, required ones that are absent, a VPC that does not exist.
pub(super) fn normalise(
    state: &mut impl Read,
    place: &Place,
    kind: TargetGroupType,
    asked: Option<&Config>,
) -> Result<Option<TargetGroupConfig>, Refusal> {
    let Some(asked) = asked else {
        if kind == TargetGroupType::Lambda {
            return Ok(None);
        }
        return Err(invalid("config", "is required for target groups of this type"));
    };
    let refused: &[(&str, bool)] = match kind {
        TargetGroupType::Lambda => &[
            ("port", asked.port.is_some()),
            ("protocol", asked.protocol.is_some()),
            ("protocolVersion", asked.protocol_version.is_some()),
            ("ipAddressType", asked.ip_address_type.is_some()),
            ("vpcIdentifier", asked.vpc_identifier.is_some()),
            ("healthCheck", asked.health_check.is_some()),
        ],
        TargetGroupType::Ip => {
            &[("lambdaEventStructureVersion", asked.lambda_event_structure_version.is_some())]
        }
        TargetGroupType::Instance => &[
            ("lambdaEventStructureVersion", asked.lambda_event_structure_version.is_some()),
            ("ipAddressType", asked.ip_address_type.is_some()),
        ],
        TargetGroupType::Alb => &[
            ("lambdaEventStructureVersion", asked.lambda_event_structure_version.is_some()),
            ("ipAddressType", asked.ip_address_type.is_some()),
            ("healthCheck", asked.health_check.is_some()),
        ],
    };
    if let Some((member, _)) = refused.iter().find(|(_, is_present)| *is_present) {
        return Err(invalid(&format!("config.{member}"), "does not apply to target groups of this type"));
    }
    if kind == TargetGroupType::Lambda {
        let version = asked.lambda_event_structure_version.unwrap_or(LambdaEventStructureVersion::V1);
        let config = TargetGroupConfig {
            lambda_event_structure_version: Some(version),
            ..TargetGroupConfig::default()
        };
        return Ok(Some(config));
    }
    let Some(protocol) = asked.protocol else {
        return Err(invalid("config.protocol", "is required for target groups of this type"));
    };
    let port = match (asked.port, protocol) {
        (Some(port), _) => port,
        (None, TargetGroupProtocol::Http) => 80,
        (None, TargetGroupProtocol::Https) => 443,
        (None, TargetGroupProtocol::Tcp) => {
            return Err(invalid("config.port", "is required for TCP target groups"));
        }
    };
    let protocol_version = match (asked.protocol_version, protocol) {
        (_, TargetGroupProtocol::Tcp) => None,
        (version, _) => Some(version.unwrap_or(TargetGroupProtocolVersion::Http1)),
    };
    if kind == TargetGroupType::Alb
        && protocol_version.is_some_and(|v| v != TargetGroupProtocolVersion::Http1)
    {
        return Err(invalid("config.protocolVersion", "must be HTTP1 for target groups of type ALB"));
    }
    let Some(vpc_identifier) = &asked.vpc_identifier else {
        return Err(invalid("config.vpcIdentifier", "is required for target groups of this type"));
    };
    let vpc = vpc::find(state, &place.home, vpc_identifier)?;
    let ip_address_type = match (kind, asked.ip_address_type) {
        (TargetGroupType::Ip, Some(IpAddressType::Ipv6)) if !vpc.has_ipv6() => {
            return Err(invalid("config.ipAddressType", format_args!("{} has no IPv6 range", vpc.id())));
        }
        (TargetGroupType::Ip, family) => Some(family.unwrap_or(IpAddressType::Ipv4)),
        _ => None,
    };
    let health_check = if kind.has_health_check() {
        Some(health_check::normalise(asked.health_check.as_ref(), protocol, protocol_version)?)
    } else {
        None
    };
    Ok(Some(TargetGroupConfig {
        port: Some(port),
        protocol: Some(protocol),
        protocol_version,
        ip_address_type,
        vpc_identifier: Some(vpc.id().clone()),
        health_check,
        lambda_event_structure_version: None,
    }))
}
