//! IPv4 blocks of VPCs and subnets: which EC2 takes, and in what form.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use trellis_model::resource::vpc::BLOCK_PREFIXES;

use super::fault;
use crate::refusal::Refusal;

/// Ranges that mean something else wherever they appear.
const REFUSED: [Ipv4Net; 5] = [
    Ipv4Net::new_assert(Ipv4Addr::new(0, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16),
    // Multicast, and what is kept for the future.
    Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 4),
    Ipv4Net::new_assert(Ipv4Addr::new(240, 0, 0, 0), 4),
];

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
    if !BLOCK_PREFIXES.contains(&net.prefix_len()) || REFUSED.iter().any(|refused| refused.contains(&net)) {
        return Err(out_of_range(text, range_code));
    }
    Ok(net)
}

pub(super) fn out_of_range(text: &str, code: &'static str) -> Refusal {
    fault::refuse(code, format_args!("The CIDR '{}' is invalid.", fault::quoted(text)))
}

/// Whether two blocks have an address in common.
pub(super) fn overlap(one: Ipv4Net, other: Ipv4Net) -> bool {
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
    fn blocks_overlap_when_one_is_in_the_other() {
        let net = |text: &str| text.parse().unwrap();
        assert!(overlap(net("10.0.0.0/16"), net("10.0.1.0/24")));
        assert!(overlap(net("10.0.1.0/24"), net("10.0.0.0/16")));
        assert!(!overlap(net("10.0.0.0/24"), net("10.0.1.0/24")));
    }
}
