//! Single values as text: path labels, query parameters, headers, forms and XML.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use serde_json::{Number, Value};
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
        Kind::Float { .. } => text.parse().ok().and_then(Number::from_f64).map(Value::Number),
        Kind::Timestamp(TimestampFormat::Unix) => text.parse().ok().and_then(timestamp_from_seconds),
        Kind::Timestamp(_) => timestamp(text),
        Kind::Blob { .. } => blob(text),
        Kind::Boolean | Kind::Structure { .. } | Kind::List { .. } | Kind::Map { .. } => None,
    }
}

/// Normalised ISO 8601 text for an ISO 8601 text with a zone, or for a date as HTTP writes it.
pub(super) fn timestamp(text: &str) -> Option<Value> {
    let timestamp: Timestamp = match text.parse() {
        Ok(timestamp) => timestamp,
        Err(_) => rfc2822::parse(text).ok()?.timestamp(),
    };
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

/// `Sun, 06 Nov 1994 08:49:37 GMT` for a point in time.
pub(super) fn http_date(text: &str) -> Option<String> {
    rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&text.parse().ok()?).ok()
}

/// A scalar as text, or `None` where `value` is no scalar of that kind. `default_format` is the place's
/// for timestamps without one of their own.
pub(super) fn write(kind: &Kind, value: &Value, default_format: TimestampFormat) -> Option<String> {
    match (kind, value) {
        (Kind::Timestamp(format), Value::String(text)) => {
            let format = if *format == TimestampFormat::Default { default_format } else { *format };
            match format {
                TimestampFormat::Unix => Some(text.parse::<Timestamp>().ok()?.as_second().to_string()),
                TimestampFormat::Http => http_date(text),
                TimestampFormat::Iso8601 | TimestampFormat::Default => Some(text.clone()),
            }
        }
        (Kind::String { .. } | Kind::Blob { .. }, Value::String(text)) => Some(text.clone()),
        (Kind::Integer { .. } | Kind::Float { .. }, Value::Number(number)) => Some(number.to_string()),
        (Kind::Boolean, Value::Bool(flag)) => Some(flag.to_string()),
        _ => None,
    }
}
