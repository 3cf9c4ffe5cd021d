//! JSON bodies: from what was parsed to a value by the schema, and back.

use jiff::Timestamp;
use serde_json::{Map, Number, Value};

use super::text;
use crate::fault::{Faults, Path, Rule};
use crate::schema::{Kind, Member, Service, ShapeId, TimestampFormat};

/// Parses a body that must be an object; an empty one is `{}`. Depth is bounded by the parser (128).
///
/// # Errors
/// Where and why it is no JSON object.
pub(super) fn parse_object(body: &[u8]) -> Result<Map<String, Value>, String> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("The request body must be a JSON object.".to_owned()),
        // serde_json's text names line, column and what was expected, never the content.
        Err(error) => Err(format!("The request body is not valid JSON: {error}.")),
    }
}

/// Moves the body members of a structure out of `object` into `into`.
pub(super) fn read_members<'m>(
    service: &Service,
    members: impl Iterator<Item = &'m Member>,
    object: &mut Map<String, Value>,
    path: &Path<'_>,
    into: &mut Map<String, Value>,
    faults: &mut Faults,
) {
    for member in members {
        if let Some(value) = object.remove(&member.wire)
            && !value.is_null()
            && let Some(value) = read(service, member.shape, value, &path.member(member), faults)
        {
            into.insert(member.name.clone(), value);
        }
    }
}

/// The value by the schema, or `None` with a fault recorded.
pub(super) fn read(
    service: &Service,
    shape: ShapeId,
    value: Value,
    path: &Path<'_>,
    faults: &mut Faults,
) -> Option<Value> {
    let kind = &service.shape(shape).kind;
    let read = match (kind, value) {
        (Kind::Structure { members, .. }, Value::Object(mut object)) => {
            let mut into = Map::new();
            read_members(service, members.iter(), &mut object, path, &mut into, faults);
            return Some(Value::Object(into));
        }
        (Kind::List { element, .. }, Value::Array(list)) => {
            let list = list
                .into_iter()
                .enumerate()
                .filter_map(|(index, value)| read(service, *element, value, &path.index(index), faults))
                .collect();
            return Some(Value::Array(list));
        }
        (Kind::Map { value: element, .. }, Value::Object(map)) => {
            let map = map
                .into_iter()
                .filter_map(|(key, value)| {
                    let value = read(service, *element, value, &path.key(&key), faults)?;
                    Some((key, value))
                })
                .collect();
            return Some(Value::Object(map));
        }
        (Kind::String { .. }, value @ Value::String(_)) | (Kind::Boolean, value @ Value::Bool(_)) => {
            Some(value)
        }
        (Kind::Integer { wide, .. }, Value::Number(number)) => {
            number.as_i64().filter(|&number| *wide || i32::try_from(number).is_ok()).map(Value::from)
        }
        (Kind::Float { .. }, value @ Value::Number(_)) => Some(value),
        (Kind::Timestamp(_), Value::String(text)) => text::timestamp(&text),
        (Kind::Timestamp(_), Value::Number(number)) => number.as_f64().and_then(text::timestamp_from_seconds),
        (Kind::Blob { .. }, Value::String(text)) => text::blob(&text),
        _ => None,
    };
    if read.is_none() {
        faults.push(path, Rule::Type(kind.article()), None);
    }
    read
}

/// The JSON object of these members, by wire name. `default_format` is the protocol's for timestamps
/// without one of their own.
pub(super) fn write_members<'m>(
    service: &Service,
    members: impl Iterator<Item = &'m Member>,
    value: &Map<String, Value>,
    default_format: TimestampFormat,
) -> Map<String, Value> {
    members
        .filter_map(|member| {
            let value = write(service, member.shape, value.get(&member.name)?, default_format)?;
            Some((member.wire.clone(), value))
        })
        .collect()
}

fn write(service: &Service, shape: ShapeId, value: &Value, default_format: TimestampFormat) -> Option<Value> {
    match (&service.shape(shape).kind, value) {
        (_, Value::Null) => None,
        (Kind::Structure { members, .. }, Value::Object(object)) => {
            Some(Value::Object(write_members(service, members.iter(), object, default_format)))
        }
        (Kind::List { element, .. }, Value::Array(list)) => Some(Value::Array(
            list.iter().filter_map(|value| write(service, *element, value, default_format)).collect(),
        )),
        (Kind::Map { value: element, .. }, Value::Object(map)) => Some(Value::Object(
            map.iter()
                .filter_map(|(key, value)| {
                    Some((key.clone(), write(service, *element, value, default_format)?))
                })
                .collect(),
        )),
        (Kind::Timestamp(format), Value::String(text)) => {
            let format = if *format == TimestampFormat::Default { default_format } else { *format };
            match format {
                TimestampFormat::Unix => {
                    let timestamp: Timestamp = text.parse().ok()?;
                    Number::from_f64(timestamp.as_millisecond() as f64 / 1000.0).map(Value::Number)
                }
                TimestampFormat::Http => text::http_date(text).map(Value::from),
                TimestampFormat::Iso8601 | TimestampFormat::Default => Some(value.clone()),
            }
        }
        (Kind::String { .. } | Kind::Blob { .. }, Value::String(_))
        | (Kind::Integer { .. } | Kind::Float { .. }, Value::Number(_))
        | (Kind::Boolean, Value::Bool(_)) => Some(value.clone()),
        _ => None,
    }
}
