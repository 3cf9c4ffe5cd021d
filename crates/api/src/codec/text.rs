//! Single values as text: path labels, query parameters, headers, forms and XML.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;
use trellis_model::moment::Moment;

use crate::schema::{Kind, TimestampFormat};

/// The value that `text` stands for, or `None` where it is no value of that kind.
pub(super) fn read(kind: &Kind, text: &str) -> Option<Value> {
    match kind {
        Kind::String { .. } => Some(Value::from(text)),
        Kind::Integer { wide: true, .. } => text.parse::<i64>().ok().map(Value::from),
        Kind::Integer { wide: false, .. } => text.parse::<i32>().ok().map(Value::from),
        Kind::Boolean if text.eq_ignore_ascii_case("true") => Some(Value::from(true)),
        Kind::Boolean if text.eq_ignore_ascii_case("false") => Some(Value::from(false)),
        Kind::Timestamp(_) => timestamp(text),
        Kind::Blob => blob(text),
        Kind::Boolean | Kind::Structure { .. } | Kind::List { .. } | Kind::Map { .. } => None,
    }
}

/// Normalised ISO 8601 text for an ISO 8601 text with a zone.
pub(super) fn timestamp(text: &str) -> Option<Value> {
    let timestamp: Timestamp = text.parse().ok()?;
    Some(Value::from(Moment::from(timestamp).to_string()))
}

/// The same for seconds since 1970, whole or broken.
pub(super) fn timestamp_from_seconds(seconds: f64) -> Option<Value> {
    // Beyond this range jiff has no timestamp; the cast below then cannot overflow.
    if !(-1e12..=1e12).contains(&seconds) {
        return None;
    }
    let timestamp = Timestamp::from_millisecond((seconds * 1000.0).round() as i64).ok()?;
    Some(Value::from(Moment::from(timestamp).to_string()))
}

/// The text if it is base64.
pub(super) fn blob(text: &str) -> Option<Value> {
    STANDARD.decode(text).ok().map(|_| Value::from(text))
}

/// A scalar as text, or `None` where `value` is no scalar of that kind.
pub(super) fn write(kind: &Kind, value: &Value) -> Option<String> {
    match (kind, value) {
        (Kind::Timestamp(TimestampFormat::Unix), Value::String(text)) => {
            let timestamp: Timestamp = text.parse().ok()?;
            Some(timestamp.as_second().to_string())
        }
        (Kind::String { .. } | Kind::Blob | Kind::Timestamp(_), Value::String(text)) => Some(text.clone()),
        (Kind::Integer { .. }, Value::Number(number)) => Some(number.to_string()),
        (Kind::Boolean, Value::Bool(flag)) => Some(flag.to_string()),
        _ => None,
    }
}
