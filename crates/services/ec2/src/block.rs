//! Blocks of VPCs and subnets: which EC2 takes, and in what form.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnet::{Ipv4Net, Ipv6Net};
use trellis_frame::Refusal;
use trellis_model::VpcId;
use trellis_model::resource::vpc::{BLOCK_PREFIXES, stable_suffix};
use trellis_model::snapshot::RESOURCE_BLOCK;

use super::fault;

/// Ranges that mean something else wherever they appear.
const REFUSED: [Ipv4Net; 6] = [
    // Where clients find resources.
    RESOURCE_BLOCK,
    Ipv4Net::new_assert(Ipv4Addr::new(0, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16),
    // Multicast, and what is kept for the future.
    Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 4),
    Ipv4Net::new_assert(Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// What may be inside the IPv6 block of a VPC: the addresses that are routed, and those that everybody has for
/// themselves.
const IPV6_TAKEN: [Ipv6Net; 2] = [
    Ipv6Net::new_assert(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3),
    Ipv6Net::new_assert(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7),
];

/// AWS's own, where hosts find services and the resolver.
const IPV6_REFUSED: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0), 32);

/// "Between /44 and /60 in increments of /4", and those of subnets to /64.
pub(super) const VPC_IPV6_PREFIXES: RangeInclusive<u8> = 44..=60;
pub(super) const SUBNET_IPV6_PREFIXES: RangeInclusive<u8> = 44..=64;

/// A block as sent, with its host bits cleared: `10.0.0.9/16` is `10.0.0.0/16`.
///
/// # Errors
/// `InvalidParameterValue` for what is no block; `range_code` for one that is too long or too short
/// or in a range that is not for use.
pub(super) fn parse(text: &str, range_code: &'static str) -> Result<Ipv4Net, Refusal> {
    let net: Ipv4Net = text.parse().map_err(|_| {
        let text = fault::quoted(text);
        fault::invalid_value(format_args!(
            "Value ({text}) for parameter cidrBlock is invalid. This is not a valid CIDR block."
        ))
    })?;
    let net = net.trunc();
    if !BLOCK_PREFIXES.contains(&net.prefix_len()) || REFUSED.iter().any(|refused| overlap(*refused, net)) {
        return Err(out_of_range(text, range_code));
    }
    Ok(net)
}

/// As [`parse`], of IPv6.
///
/// # Errors
/// As [`parse`].
pub(super) fn parse_ipv6(
    text: &str,
    prefixes: &RangeInclusive<u8>,
    range_code: &'static str,
) -> Result<Ipv6Net, Refusal> {
    let net: Ipv6Net = text.parse().map_err(|_| {
        let text = fault::quoted(text);
        fault::invalid_value(format_args!(
            "Value ({text}) for parameter ipv6CidrBlock is invalid. This is not a valid IPv6 CIDR block."
        ))
    })?;
    let net = net.trunc();
    let length = net.prefix_len();
    let is_usable = prefixes.contains(&length)
        && length.is_multiple_of(4)
        && IPV6_TAKEN.iter().any(|taken| taken.contains(&net))
        && !overlap_ipv6(IPV6_REFUSED, net);
    if is_usable { Ok(net) } else { Err(out_of_range(text, range_code)) }
}

/// The /56 a VPC is given that asks for one. There is no pool of routed addresses here, so it is one of RFC 4193: 47
/// bits of it are a hash of the VPC's id, and the bit above them keeps it apart from AWS's fd00:ec2::/32.
pub(super) fn own_ipv6(vpc: &VpcId) -> Ipv6Net {
    let hash = u128::from(stable_suffix(vpc.as_str())) & ((1 << 47) - 1);
    Ipv6Net::new_assert(Ipv6Addr::from_bits(0xfd << 120 | 1 << 119 | hash << 72), 56)
}

pub(super) fn out_of_range(text: &str, code: &'static str) -> Refusal {
    fault::refuse(code, format_args!("The CIDR '{}' is invalid.", fault::quoted(text)))
}

/// Whether two blocks have an address in common.
pub(super) fn overlap(one: Ipv4Net, other: Ipv4Net) -> bool {
    one.contains(&other) || other.contains(&one)
}

/// The same of IPv6.
pub(super) fn overlap_ipv6(one: Ipv6Net, other: Ipv6Net) -> bool {
    one.contains(&other) || other.contains(&one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_canonical_and_neither_too_large_nor_too_small() {
        for (text, expected) in [
            ("10.0.0.0/16", Some("10.0.0.0/16")),
            ("100.68.0.18/18", Some("100.68.0.0/18")),
            ("192.168.7.255/28", Some("192.168.7.240/28")),
            ("8.8.8.0/24", Some("8.8.8.0/24")),
            ("10.0.0.0/15", None),
            ("10.0.0.0/29", None),
            ("0.1.0.0/16", None),
            ("127.0.0.0/16", None),
            ("169.254.0.0/16", None),
            ("169.254.171.0/24", None),
            ("224.1.0.0/16", None),
            ("250.0.0.0/16", None),
            ("129.224.0.0/16", None),
            ("129.224.64.0/24", None),
            ("129.224.128.0/17", Some("129.224.128.0/17")),
            ("10.0.0.0", None),
            ("10.0.0/16", None),
            ("10.0.0.0/33", None),
            ("10.0.0.0/-1", None),
            ("10.0.0.256/16", None),
            ("fd00::/64", None),
            ("", None),
        ] {
            let parsed = parse(text, "InvalidVpc.Range").ok().map(|net| net.to_string());
            assert_eq!(parsed.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn ipv6_blocks_are_canonical_and_neither_awss_own_nor_nobodys() {
        for (text, expected) in [
            ("2001:db8:0:ff::/56", Some("2001:db8::/56")),
            ("fd12:3456:789a::/48", Some("fd12:3456:789a::/48")),
            ("fd12::/60", Some("fd12::/60")),
            ("fd12::/64", None),
            ("fd12::/40", None),
            ("fd12::/57", None),
            ("fd00:ec2:80::/56", None),
            ("fd00:ec2::/56", None),
            ("fe80::/56", None),
            ("ff00::/56", None),
            ("::/56", None),
            ("10.0.0.0/16", None),
            ("fd12::", None),
            ("", None),
        ] {
            let parsed = parse_ipv6(text, &VPC_IPV6_PREFIXES, "InvalidVpc.Range").ok();
            assert_eq!(parsed.map(|net| net.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn every_vpc_has_an_ipv6_block_of_its_own_to_be_given() {
        let blocks: std::collections::BTreeSet<_> =
            (0..1000).map(|number| own_ipv6(&VpcId::from_random(number))).collect();
        assert_eq!(blocks.len(), 1000);
        for block in blocks {
            assert_eq!(
                parse_ipv6(&block.to_string(), &VPC_IPV6_PREFIXES, "InvalidVpc.Range").unwrap(),
                block
            );
        }
    }

    #[test]
    fn blocks_overlap_when_one_is_in_the_other() {
        let net = |text: &str| text.parse().unwrap();
        assert!(overlap(net("10.0.0.0/16"), net("10.0.1.0/24")));
        assert!(overlap(net("10.0.1.0/24"), net("10.0.0.0/16")));
        assert!(!overlap(net("10.0.0.0/24"), net("10.0.1.0/24")));
    }
}
