//! What records hold: from the text of the API to the bytes of DNS messages.

mod character_string;
mod service_binding;

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::name::{Fault, target};
use crate::wire::RRType;

/// The number of a type in DNS messages.
pub(crate) fn type_number(kind: RRType) -> u16 {
    match kind {
        RRType::A => 1,
        RRType::Ns => 2,
        RRType::Cname => 5,
        RRType::Soa => 6,
        RRType::Ptr => 12,
        RRType::Mx => 15,
        RRType::Txt => 16,
        RRType::Aaaa => 28,
        RRType::Srv => 33,
        RRType::Naptr => 35,
        RRType::Ds => 43,
        RRType::Sshfp => 44,
        RRType::Tlsa => 52,
        RRType::Svcb => 64,
        RRType::Https => 65,
        RRType::Spf => 99,
        RRType::Caa => 257,
    }
}

const NOT_IPV4: Fault = Fault::new("ARRDATAIllegalIPv4Address", "Value is not a valid IPv4 address");
const NOT_IPV6: Fault = Fault::new("AAAARRDATAIllegalIPv6Address", "Value is not a valid IPv6 address");
const FIELDS: Fault = Fault::new("InvalidFieldCount", "Value has not the number of fields its type has");
const NUMBER: Fault = Fault::new("InvalidNumber", "Value has a number that is none or out of range");
const HEX: Fault = Fault::new("InvalidHexadecimal", "Value is not an even number of hexadecimal digits");
const CAA_TAG: Fault = Fault::new("CAATagInvalid", "A CAA tag has letters and digits, 1 to 255 of them");

/// The bytes of a record's `text`.
///
/// # Errors
/// What is no data of that type, and why.
pub(crate) fn encode(kind: RRType, text: &str) -> Result<Vec<u8>, Fault> {
    match kind {
        RRType::A => text.parse::<Ipv4Addr>().map(|it| it.octets().to_vec()).map_err(|_| NOT_IPV4),
        RRType::Aaaa => text.parse::<Ipv6Addr>().map(|it| it.octets().to_vec()).map_err(|_| NOT_IPV6),
        RRType::Cname | RRType::Ns | RRType::Ptr => {
            let [name] = fields(text)?;
            target(name)
        }
        RRType::Mx => {
            let [preference, name] = fields(text)?;
            joined([short(preference)?, target(name)?])
        }
        RRType::Srv => {
            let [priority, weight, port, name] = fields(text)?;
            joined([short(priority)?, short(weight)?, short(port)?, target(name)?])
        }
        RRType::Soa => {
            let [server, mailbox, serial, refresh, retry, expire, minimum] = fields(text)?;
            let numbers = [serial, refresh, retry, expire, minimum].map(long);
            let mut bytes = joined([target(server)?, target(mailbox)?])?;
            for number in numbers {
                bytes.extend(number?);
            }
            Ok(bytes)
        }
        RRType::Txt | RRType::Spf => {
            let strings = character_string::all(text)?;
            Ok(strings.iter().flat_map(|string| character_string::to_wire(string)).collect())
        }
        RRType::Caa => {
            let (flags, rest) = first_field(text)?;
            let (tag, rest) = first_field(rest)?;
            if !(1..=255).contains(&tag.len()) || !tag.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Err(CAA_TAG);
            }
            let value = character_string::one(rest)?;
            joined([byte(flags)?, character_string::to_wire(tag.as_bytes()), value])
        }
        RRType::Naptr => {
            let (order, rest) = first_field(text)?;
            let (preference, rest) = first_field(rest)?;
            let (strings, rest) = character_string::leading(rest, 3)?;
            let [name] = fields(rest)?;
            let mut bytes = joined([short(order)?, short(preference)?])?;
            bytes.extend(strings.iter().flat_map(|string| character_string::to_wire(string)));
            bytes.extend(target(name)?);
            Ok(bytes)
        }
        RRType::Ds => {
            let [tag, algorithm, digest_type, digest] = fields(text)?;
            joined([short(tag)?, byte(algorithm)?, byte(digest_type)?, hex(digest)?])
        }
        RRType::Sshfp => {
            let [algorithm, fingerprint_type, fingerprint] = fields(text)?;
            joined([byte(algorithm)?, byte(fingerprint_type)?, hex(fingerprint)?])
        }
        RRType::Tlsa => {
            let [usage, selector, matching, data] = fields(text)?;
            joined([byte(usage)?, byte(selector)?, byte(matching)?, hex(data)?])
        }
        RRType::Svcb | RRType::Https => service_binding::encode(text),
    }
}

/// Exactly as many fields as there should be, separated by spaces or tabs.
fn fields<const N: usize>(text: &str) -> Result<[&str; N], Fault> {
    let fields: Vec<&str> = text.split_ascii_whitespace().take(N + 1).collect();
    fields.try_into().map_err(|_| FIELDS)
}

fn first_field(text: &str) -> Result<(&str, &str), Fault> {
    let text = text.trim_start();
    let (first, rest) = text.split_once([' ', '\t']).ok_or(FIELDS)?;
    Ok((first, rest.trim_start()))
}

fn joined<const N: usize>(parts: [Vec<u8>; N]) -> Result<Vec<u8>, Fault> {
    Ok(parts.concat())
}

/// Digits alone: `str::parse` takes a plus sign too.
fn number<T: std::str::FromStr>(text: &str) -> Result<T, Fault> {
    let is_digits = text.bytes().all(|digit| digit.is_ascii_digit());
    text.parse().ok().filter(|_| is_digits).ok_or(NUMBER)
}

fn byte(text: &str) -> Result<Vec<u8>, Fault> {
    number::<u8>(text).map(|number| vec![number])
}

fn short(text: &str) -> Result<Vec<u8>, Fault> {
    number::<u16>(text).map(|number| number.to_be_bytes().to_vec())
}

fn long(text: &str) -> Result<Vec<u8>, Fault> {
    number::<u32>(text).map(|number| number.to_be_bytes().to_vec())
}

fn hex(text: &str) -> Result<Vec<u8>, Fault> {
    if text.is_empty() || !text.len().is_multiple_of(2) {
        return Err(HEX);
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8).ok_or(HEX);
    text.as_bytes().chunks_exact(2).map(|pair| Ok(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_read_into_the_bytes_of_its_rfc() {
        let name = b"\x01a\x03com\x00".as_slice();
        for (kind, text, bytes) in [
            (RRType::A, "10.0.0.1", vec![10, 0, 0, 1]),
            (RRType::Aaaa, "::1", [[0; 15].as_slice(), &[1]].concat()),
            (RRType::Cname, "A.com.", name.to_vec()),
            (RRType::Ns, "a.com", name.to_vec()),
            (RRType::Mx, "10  a.com", [&[0, 10], name].concat()),
            (RRType::Mx, "0 .", vec![0, 0, 0]),
            (RRType::Srv, "1 2 443 a.com", [&[0, 1, 0, 2, 1, 187], name].concat()),
            (
                RRType::Soa,
                "a.com. a.com. 1 2 3 4 5",
                [name, name, &[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5]].concat(),
            ),
            (RRType::Txt, r#""a b" "c\"\\\101""#, b"\x03a b\x04c\"\\A".to_vec()),
            (RRType::Caa, r#"0 issue "ca.com""#, b"\x00\x05issueca.com".to_vec()),
            (
                RRType::Naptr,
                r#"1 2 "u" "E2U+sip" "!^.*$!x!" ."#,
                b"\x00\x01\x00\x02\x01u\x07E2U+sip\x08!^.*$!x!\x00".to_vec(),
            ),
            (RRType::Ds, "1 2 3 0aFF", vec![0, 1, 2, 3, 10, 255]),
            (RRType::Sshfp, "1 1 00", vec![1, 1, 0]),
            (RRType::Tlsa, "3 1 1 ab", vec![3, 1, 1, 0xab]),
        ] {
            assert_eq!(encode(kind, text), Ok(bytes), "{kind} {text}");
        }
    }

    #[test]
    fn what_is_no_data_of_its_type_is_refused() {
        let long = format!("\"{}\"", "a".repeat(256));
        for (kind, text) in [
            (RRType::A, "10.0.0.256"),
            (RRType::A, "10.0.0"),
            (RRType::A, " 10.0.0.1"),
            (RRType::A, ""),
            (RRType::Aaaa, "10.0.0.1"),
            (RRType::Cname, "a b"),
            (RRType::Cname, "a..b"),
            (RRType::Cname, ""),
            (RRType::Mx, "a.com"),
            (RRType::Mx, "70000 a.com"),
            (RRType::Mx, "+1 a.com"),
            (RRType::Mx, "-1 a.com"),
            (RRType::Srv, "1 2 a.com"),
            (RRType::Soa, "a. b. 1 2 3 4"),
            (RRType::Txt, "naked"),
            (RRType::Txt, r#""open"#),
            (RRType::Txt, r#""a" b"#),
            (RRType::Txt, ""),
            (RRType::Txt, long.as_str()),
            (RRType::Txt, r#""\8""#),
            (RRType::Caa, r#"0 is-sue "x""#),
            (RRType::Caa, "0 issue x"),
            (RRType::Caa, r#"256 issue "x""#),
            (RRType::Ds, "1 2 3 abc"),
            (RRType::Ds, "1 2 3 zz"),
            (RRType::Https, "1"),
            (RRType::Https, "1 . alpn"),
            (RRType::Https, "1 . port=1 port=2"),
            (RRType::Https, "0 . port=1"),
        ] {
            assert!(encode(kind, text).is_err(), "{kind} {text}");
        }
    }

    #[test]
    fn a_service_binding_has_its_parameters_in_the_order_of_their_keys() {
        assert_eq!(
            encode(RRType::Https, r#"1 . port=8443 alpn="h2,h3""#),
            Ok(b"\x00\x01\x00\x00\x01\x00\x06\x02h2\x02h3\x00\x03\x00\x02\x20\xfb".to_vec())
        );
        assert_eq!(encode(RRType::Svcb, "0 a.com"), Ok(b"\x00\x00\x01a\x03com\x00".to_vec()));
    }
}
