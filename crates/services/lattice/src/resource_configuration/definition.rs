//! What a resource is, between the wire's union of texts and the record's typed form.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use trellis_model::name;
use trellis_model::resource::lattice::{
    DatabaseArn, Home, PortRange, ResourceConfigurationType, ResourceDefinition, ResourceGateway,
    ResourceGatewayIpAddressType, ResourceIpAddressType,
};
use trellis_store::Read;

use crate::refusal::{Refusal, invalid};
use crate::vpc;

/// Ranges of ports one resource may have.
const MAX_PORT_RANGES: usize = 100;

/// "IPv4 must be 10/8, 172.16/12, 192.168/16 or 100.64/10."
const PRIVATE: [Ipv4Net; 4] = [
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10),
];

/// "Reserved ranges rejected: 169.254/16, 100.64/10, 224/4, fe80::/10, ff00::/8."
const RESERVED: [IpNet; 5] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16)),
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10)),
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 4)),
    IpNet::V6(Ipv6Net::new_assert(std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10)),
    IpNet::V6(Ipv6Net::new_assert(std::net::Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8)),
];

/// `resourceConfigurationDefinition`: exactly one member.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all_fields = "camelCase", deny_unknown_fields)]
pub(crate) enum Definition {
    #[serde(rename = "dnsResource")]
    Dns { domain_name: Option<String>, ip_address_type: Option<ResourceIpAddressType> },
    #[serde(rename = "ipResource")]
    Ip { ip_address: Option<String> },
    #[serde(rename = "arnResource")]
    Arn { arn: Option<String> },
    #[serde(rename = "cidrResource")]
    Cidr {
        #[serde(default)]
        cidr_ranges: Vec<String>,
    },
}

impl From<ResourceDefinition> for Definition {
    fn from(definition: ResourceDefinition) -> Self {
        match definition {
            ResourceDefinition::Ip(address) => Self::Ip { ip_address: Some(address.to_string()) },
            ResourceDefinition::Dns { domain, ip_address_type } => {
                Self::Dns { domain_name: Some(domain), ip_address_type: Some(ip_address_type) }
            }
            ResourceDefinition::Arn(arn) => Self::Arn { arn: Some(arn) },
            ResourceDefinition::Cidr(ranges) => {
                Self::Cidr { cidr_ranges: ranges.iter().map(ToString::to_string).collect() }
            }
        }
    }
}

/// What of a resource gateway decides which resources can be behind it.
#[derive(Debug)]
pub(super) struct Behind {
    ip_address_type: ResourceGatewayIpAddressType,
    /// [`None`] when the VPC has none, or is gone.
    ipv6: Option<Ipv6Net>,
    /// The resolver of the gateway's VPC, which is the provider's own and Trellis's.
    resolver: Option<Ipv4Addr>,
}

impl Behind {
    pub(super) fn of(state: &mut impl Read, gateway: &ResourceGateway) -> Result<Self, Refusal> {
        let vpc = vpc::get(state, &gateway.home, &gateway.vpc)?;
        let resolver = vpc.as_ref().map(|vpc| vpc.resolver());
        let ipv6 = vpc.and_then(|vpc| vpc.ipv6());
        Ok(Self { ip_address_type: gateway.ip_address_type, ipv6, resolver })
    }
}

/// What a resource of type `kind` is, checked.
///
/// # Errors
/// `ValidationException` for a member that does not go with the type and for values that cannot be.
pub(super) fn read(
    definition: &Definition,
    kind: ResourceConfigurationType,
    home: &Home,
    behind: &Behind,
) -> Result<ResourceDefinition, Refusal> {
    use ResourceConfigurationType as Type;
    match (definition, kind) {
        (Definition::Ip { ip_address }, Type::Single | Type::Child) => {
            ip(ip_address.as_deref().unwrap_or_default(), behind)
        }
        (Definition::Dns { domain_name, ip_address_type }, Type::Single | Type::Child) => {
            dns(domain_name.as_deref().unwrap_or_default(), *ip_address_type, behind)
        }
        (Definition::Arn { arn }, Type::Arn) => rds(arn.as_deref().unwrap_or_default(), home),
        (Definition::Cidr { cidr_ranges }, Type::Cidr) => cidr(cidr_ranges),
        (definition, kind) => Err(super::unexpected(member(definition), kind)),
    }
}

/// The name of the union's member.
fn member(definition: &Definition) -> &'static str {
    match definition {
        Definition::Dns { .. } => "dnsResource",
        Definition::Ip { .. } => "ipResource",
        Definition::Arn { .. } => "arnResource",
        Definition::Cidr { .. } => "cidrResource",
    }
}

/// "IPv6 from the VPC": an address of the gateway's VPC, and of a family that the gateway has.
fn ip(text: &str, behind: &Behind) -> Result<ResourceDefinition, Refusal> {
    let field = "resourceConfigurationDefinition.ipResource.ipAddress";
    let address: IpAddr = text.parse().map_err(|_| invalid(field, "is not an IP address"))?;
    let has_family = match address {
        IpAddr::V4(_) => behind.ip_address_type.has_ipv4(),
        IpAddr::V6(_) => behind.ip_address_type.has_ipv6(),
    };
    match address {
        _ if !has_family => Err(invalid(field, "is not of an address type of the resource gateway")),
        IpAddr::V4(v4) if behind.resolver == Some(v4) => {
            Err(invalid(field, "is the resolver of the resource gateway's VPC, which is no resource"))
        }
        IpAddr::V4(v4) if PRIVATE.iter().any(|range| range.contains(&v4)) => {
            Ok(ResourceDefinition::Ip(address))
        }
        IpAddr::V4(_) => {
            Err(invalid(field, "must be within 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or 100.64.0.0/10"))
        }
        IpAddr::V6(v6) if behind.ipv6.is_some_and(|block| block.contains(&v6)) => {
            Ok(ResourceDefinition::Ip(address))
        }
        IpAddr::V6(_) => Err(invalid(field, "is not an address of the resource gateway's VPC")),
    }
}

/// Without an address type it is the gateway's, IPv4 where that has both.
fn dns(
    domain: &str,
    ip_address_type: Option<ResourceIpAddressType>,
    behind: &Behind,
) -> Result<ResourceDefinition, Refusal> {
    if !name::is_domain_name(domain) {
        let field = "resourceConfigurationDefinition.dnsResource.domainName";
        return Err(invalid(field, "is not a domain name"));
    }
    let ip_address_type = ip_address_type.unwrap_or(match behind.ip_address_type {
        ResourceGatewayIpAddressType::Ipv6 => ResourceIpAddressType::Ipv6,
        _ => ResourceIpAddressType::Ipv4,
    });
    let is_had = match ip_address_type {
        ResourceIpAddressType::Ipv4 => behind.ip_address_type.has_ipv4(),
        ResourceIpAddressType::Ipv6 => behind.ip_address_type.has_ipv6(),
        // "Not supported."
        ResourceIpAddressType::Dualstack => false,
    };
    if !is_had {
        let field = "resourceConfigurationDefinition.dnsResource.ipAddressType";
        return Err(invalid(field, "is not an address type of the resource gateway"));
    }
    Ok(ResourceDefinition::Dns { domain: domain.to_owned(), ip_address_type })
}

/// "ARN: RDS instance or cluster only."
fn rds(text: &str, home: &Home) -> Result<ResourceDefinition, Refusal> {
    let field = "resourceConfigurationDefinition.arnResource.arn";
    let wrong = || invalid(field, "must name an RDS instance or cluster of this account and region");
    let arn: DatabaseArn = text.parse().map_err(|_| wrong())?;
    if arn.region() != home.region.as_str() || arn.account() != home.account.as_str() {
        return Err(wrong());
    }
    Ok(ResourceDefinition::Arn(text.to_owned()))
}

fn cidr(texts: &[String]) -> Result<ResourceDefinition, Refusal> {
    let field = "resourceConfigurationDefinition.cidrResource.cidrRanges";
    if texts.is_empty() {
        return Err(invalid(field, "at least one is required"));
    }
    let mut ranges = Vec::with_capacity(texts.len());
    for text in texts {
        let range: IpNet =
            text.parse().map_err(|_| invalid(field, "is not an address and a prefix length"))?;
        if range.trunc() != range {
            return Err(invalid(field, format_args!("{range} has bits set behind its prefix")));
        }
        if range.prefix_len() == 0 {
            if texts.len() > 1 {
                return Err(invalid(field, format_args!("{range} can only be given alone")));
            }
        } else if let Some(reserved) = RESERVED.iter().find(|reserved| overlap(reserved, &range)) {
            return Err(invalid(field, format_args!("{range} overlaps the reserved range {reserved}")));
        }
        if !ranges.contains(&range) {
            ranges.push(range);
        }
    }
    Ok(ResourceDefinition::Cidr(ranges))
}

fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(other) || other.contains(one)
}

/// The ranges of ports asked for, each once; every port where there is none.
pub(super) fn port_ranges(texts: &[String]) -> Result<Vec<PortRange>, Refusal> {
    if texts.is_empty() {
        return Ok(vec![PortRange::ALL]);
    }
    if texts.len() > MAX_PORT_RANGES {
        return Err(invalid("portRanges", format_args!("at most {MAX_PORT_RANGES} are allowed")));
    }
    let mut ranges = Vec::with_capacity(texts.len());
    for text in texts {
        let range: PortRange = text.parse().map_err(|error| invalid("portRanges", error))?;
        if !ranges.contains(&range) {
            ranges.push(range);
        }
    }
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> Home {
        Home { account: "111122223333".parse().unwrap(), region: "us-east-1".parse().unwrap() }
    }

    fn behind(ip_address_type: ResourceGatewayIpAddressType) -> Behind {
        let resolver = Some(Ipv4Addr::new(10, 7, 0, 2));
        Behind { ip_address_type, ipv6: Some("fd12::/56".parse().unwrap()), resolver }
    }

    #[test]
    fn a_resource_is_of_a_family_that_its_gateway_has_and_of_ipv6_in_its_vpc() {
        use ResourceGatewayIpAddressType::{Dualstack, Ipv4, Ipv6};
        for (gateway, address, expected) in [
            (Ipv4, "10.0.0.1", true),
            (Ipv4, "fd12::9", false),
            (Ipv6, "10.0.0.1", false),
            (Ipv6, "fd12::9", true),
            (Ipv6, "fd13::9", false),
            (Ipv6, "2001:db8::1", false),
            (Dualstack, "10.0.0.1", true),
            (Dualstack, "fd12:0:0:ff::9", true),
            (Dualstack, "::ffff:10.0.0.1", false),
        ] {
            assert_eq!(ip(address, &behind(gateway)).is_ok(), expected, "{gateway:?} {address}");
        }
        let of = |gateway, wanted| match dns("db.example.com", wanted, &behind(gateway)) {
            Ok(ResourceDefinition::Dns { ip_address_type, .. }) => Some(ip_address_type),
            _ => None,
        };
        use ResourceIpAddressType as Type;
        for (gateway, wanted, expected) in [
            (Ipv4, None, Some(Type::Ipv4)),
            (Ipv6, None, Some(Type::Ipv6)),
            (Dualstack, None, Some(Type::Ipv4)),
            (Dualstack, Some(Type::Ipv6), Some(Type::Ipv6)),
            (Ipv4, Some(Type::Ipv6), None),
            (Ipv6, Some(Type::Ipv4), None),
            (Dualstack, Some(Type::Dualstack), None),
        ] {
            assert_eq!(of(gateway, wanted), expected, "{gateway:?} {wanted:?}");
        }
    }

    #[test]
    fn addresses_are_private_ones() {
        for (text, expected) in [
            ("10.0.0.1", true),
            ("10.0.0.2", true),
            ("10.7.0.2", false),
            ("172.31.255.255", true),
            ("192.168.0.1", true),
            ("100.127.0.1", true),
            ("172.32.0.1", false),
            ("8.8.8.8", false),
            ("169.254.169.254", false),
            ("fd00::1", false),
            ("10.0.0.01", false),
            ("", false),
        ] {
            assert_eq!(ip(text, &behind(ResourceGatewayIpAddressType::Ipv4)).is_ok(), expected, "{text}");
        }
    }

    #[test]
    fn ranges_are_whole_apart_from_reserved_ones_and_everything_stands_alone() {
        for (texts, expected) in [
            (vec!["10.0.0.0/8", "fd00::/8"], true),
            (vec!["0.0.0.0/0"], true),
            (vec!["::/0"], true),
            (vec!["0.0.0.0/0", "::/0"], false),
            (vec!["10.0.0.1/8"], false),
            (vec!["10.0.0.0"], false),
            (vec!["169.254.1.0/24"], false),
            (vec!["168.0.0.0/7"], false),
            (vec!["100.64.0.0/10"], false),
            (vec!["224.0.0.0/4"], false),
            (vec!["fe80::/64"], false),
            (vec!["ff00::/8"], false),
            (vec![], false),
        ] {
            let texts: Vec<String> = texts.into_iter().map(str::to_owned).collect();
            assert_eq!(cidr(&texts).is_ok(), expected, "{texts:?}");
        }
    }

    #[test]
    fn arns_name_databases_of_the_account_and_region() {
        for (arn, expected) in [
            ("arn:aws:rds:us-east-1:111122223333:db:orders", true),
            ("arn:aws:rds:us-east-1:111122223333:cluster:orders", true),
            ("arn:aws:rds:us-east-1:111122223333:snapshot:orders", false),
            ("arn:aws:rds:eu-west-1:111122223333:db:orders", false),
            ("arn:aws:rds:us-east-1:444455556666:db:orders", false),
            ("arn:aws:s3:us-east-1:111122223333:db:orders", false),
            ("orders", false),
        ] {
            assert_eq!(rds(arn, &home()).is_ok(), expected, "{arn}");
        }
    }
}
