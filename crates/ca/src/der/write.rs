//! DER, written: each function gives one whole value.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{INTEGER, OCTET_STRING, OID, SEQUENCE};

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const NULL: u8 = 0x05;
pub(crate) const ENUMERATED: u8 = 0x0a;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const PRINTABLE_STRING: u8 = 0x13;
pub(crate) const IA5_STRING: u8 = 0x16;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SET: u8 = 0x31;

/// `[n]` around another value.
pub(crate) const fn constructed(number: u8) -> u8 {
    0xa0 | number
}

/// `[n]` in place of a simple value's own tag.
pub(crate) const fn primitive(number: u8) -> u8 {
    0x80 | number
}

/// One value: tag, length, content.
pub(crate) fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 6);
    out.push(tag);
    match content.len() {
        length @ 0..=0x7f => out.push(length as u8),
        length => {
            let bytes = length.to_be_bytes();
            let significant = &bytes[bytes.iter().take_while(|&&byte| byte == 0).count()..];
            out.push(0x80 | significant.len() as u8);
            out.extend_from_slice(significant);
        }
    }
    out.extend_from_slice(content);
    out
}

/// A value made of others.
pub(crate) fn of(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    value(tag, &parts.concat())
}

pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    of(SEQUENCE, parts)
}

pub(crate) fn null() -> Vec<u8> {
    value(NULL, &[])
}

pub(crate) fn octets(content: &[u8]) -> Vec<u8> {
    value(OCTET_STRING, content)
}

/// Whole octets.
pub(crate) fn bits(content: &[u8]) -> Vec<u8> {
    of(BIT_STRING, &[&[0], content])
}

/// A named bit list, bit 0 first: trailing zeros are left out, as DER demands.
pub(crate) fn named_bits(set: impl IntoIterator<Item = u8>) -> Vec<u8> {
    let mut octets = [0_u8; 2];
    let mut last = None;
    for bit in set {
        octets[usize::from(bit / 8)] |= 0x80 >> (bit % 8);
        last = last.max(Some(bit));
    }
    match last {
        None => value(BIT_STRING, &[0]),
        Some(last) => of(BIT_STRING, &[&[7 - last % 8], &octets[..=usize::from(last / 8)]]),
    }
}

/// A number that is not negative, from its octets, most significant first.
pub(crate) fn unsigned(octets: &[u8]) -> Vec<u8> {
    let significant = &octets[octets.iter().take_while(|&&byte| byte == 0).count()..];
    match significant.first() {
        None => value(INTEGER, &[0]),
        Some(0x80..) => of(INTEGER, &[&[0], significant]),
        Some(_) => value(INTEGER, significant),
    }
}

/// An object identifier from its dotted form; `None` for what is none.
pub(crate) fn oid(dotted: &str) -> Option<Vec<u8>> {
    let arcs = dotted.split('.').map(|arc| match arc.as_bytes() {
        [b'0'] => Some(0),
        [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit) => arc.parse::<u64>().ok(),
        _ => None,
    });
    let arcs: Vec<u64> = arcs.collect::<Option<_>>()?;
    let [first, second, rest @ ..] = arcs.as_slice() else { return None };
    if *first > 2 || (*first < 2 && *second > 39) {
        return None;
    }
    let mut content = Vec::new();
    for arc in [first.checked_mul(40)?.checked_add(*second)?].iter().chain(rest) {
        let groups = (64 - arc.leading_zeros()).div_ceil(7).max(1);
        for group in (0..groups).rev() {
            let more = if group > 0 { 0x80 } else { 0 };
            content.push((arc >> (7 * group) & 0x7f) as u8 | more);
        }
    }
    Some(value(OID, &content))
}

/// A date of a certificate or CRL: RFC 5280 wants two-digit years up to 2049 and four-digit ones after.
pub(crate) fn time(at: Timestamp) -> Vec<u8> {
    let utc = at.to_zoned(TimeZone::UTC);
    match utc.year() {
        1950..=2049 => value(UTC_TIME, utc.strftime("%y%m%d%H%M%SZ").to_string().as_bytes()),
        _ => generalized_time(at),
    }
}

pub(crate) fn generalized_time(at: Timestamp) -> Vec<u8> {
    let utc = at.to_zoned(TimeZone::UTC);
    value(GENERALIZED_TIME, utc.strftime("%Y%m%d%H%M%SZ").to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_as_x690_says() {
        assert_eq!(oid("1.2.840.113549").unwrap(), [6, 6, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d]);
        assert_eq!(oid("2.999.3").unwrap(), [6, 3, 0x88, 0x37, 3]);
        assert_eq!(oid("2.5.4.0").unwrap(), [6, 3, 0x55, 4, 0]);
        for wrong in ["", "1", "3.1", "1.40", "1..2", "1.2.", "1.02", "1.2.x", "1.2.18446744073709551616"] {
            assert_eq!(oid(wrong), None, "{wrong}");
        }
        assert_eq!(unsigned(&[0, 0]), [2, 1, 0]);
        assert_eq!(unsigned(&[0, 0x80]), [2, 2, 0, 0x80]);
        assert_eq!(unsigned(&[0x7f, 1]), [2, 2, 0x7f, 1]);
        assert_eq!(named_bits([]), [3, 1, 0]);
        assert_eq!(named_bits([0, 5, 6]), [3, 2, 1, 0b1000_0110]);
        assert_eq!(named_bits([8]), [3, 3, 7, 0, 0x80]);
        assert_eq!(value(4, &[7; 200])[..3], [4, 0x81, 200]);
        assert_eq!(value(4, &[7; 300])[..4], [4, 0x82, 1, 44]);
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(&time(at("2049-12-31T23:59:59Z"))[2..], b"491231235959Z");
        assert_eq!(&time(at("2050-01-01T00:00:00Z"))[2..], b"20500101000000Z");
    }
}
