//! SVCB and HTTPS records (RFC 9460): a priority, a target, and parameters in the order of their keys.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{FIELDS, number, short};
use crate::name::{Fault, target};

const PARAMETER: Fault =
    Fault::new("SvcParamInvalid", "A parameter is unknown, twice there, or has no such value");
const ALIAS_MODE: Fault = Fault::new("SvcParamInvalid", "A record of priority 0 has no parameters");

pub(super) fn encode(text: &str) -> Result<Vec<u8>, Fault> {
    let mut words = text.split_ascii_whitespace();
    let priority = short(words.next().ok_or(FIELDS)?)?;
    let mut bytes = priority.clone();
    bytes.extend(target(words.next().ok_or(FIELDS)?)?);
    let mut parameters = words.map(parameter).collect::<Result<Vec<_>, _>>()?;
    if priority == [0, 0] && !parameters.is_empty() {
        return Err(ALIAS_MODE);
    }
    parameters.sort_unstable_by_key(|(key, _)| *key);
    if parameters.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(PARAMETER);
    }
    for (key, value) in parameters {
        bytes.extend(key.to_be_bytes());
        bytes.extend(u16::try_from(value.len()).map_err(|_| PARAMETER)?.to_be_bytes());
        bytes.extend(value);
    }
    Ok(bytes)
}

/// `alpn="h2,h3"`, `port=443`, `no-default-alpn`.
fn parameter(text: &str) -> Result<(u16, Vec<u8>), Fault> {
    let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
    let value = value
        .map(|value| value.strip_prefix('"').and_then(|inside| inside.strip_suffix('"')).unwrap_or(value));
    let given = || value.filter(|value| !value.is_empty()).ok_or(PARAMETER);
    let list = |each: fn(&str) -> Result<Vec<u8>, Fault>| {
        given()?.split(',').map(each).collect::<Result<Vec<_>, _>>().map(|values| values.concat())
    };
    let key = key(name)?;
    let value = match key {
        0 => list(key_bytes)?,
        1 => list(|protocol| match u8::try_from(protocol.len()) {
            Ok(length @ 1..) if is_plain(protocol) => Ok([&[length], protocol.as_bytes()].concat()),
            _ => Err(PARAMETER),
        })?,
        2 if value.is_none() => Vec::new(),
        2 => return Err(PARAMETER),
        3 => short(given()?)?,
        4 => {
            list(|address| address.parse::<Ipv4Addr>().map(|it| it.octets().to_vec()).map_err(|_| PARAMETER))?
        }
        6 => {
            list(|address| address.parse::<Ipv6Addr>().map(|it| it.octets().to_vec()).map_err(|_| PARAMETER))?
        }
        // ECH configurations are base64 and of no use here: hosts of a VPC are seen anyway.
        5 => return Err(PARAMETER),
        _ => Some(value.unwrap_or_default()).filter(|it| is_plain(it)).ok_or(PARAMETER)?.as_bytes().to_vec(),
    };
    Ok((key, value))
}

fn key_bytes(name: &str) -> Result<Vec<u8>, Fault> {
    key(name).map(|key| key.to_be_bytes().to_vec())
}

fn key(name: &str) -> Result<u16, Fault> {
    Ok(match name {
        "mandatory" => 0,
        "alpn" => 1,
        "no-default-alpn" => 2,
        "port" => 3,
        "ipv4hint" => 4,
        "ech" => 5,
        "ipv6hint" => 6,
        "dohpath" => 7,
        _ => number(name.strip_prefix("key").ok_or(PARAMETER)?).map_err(|_| PARAMETER)?,
    })
}

/// Nothing that would have to be escaped.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b','))
}
