//! Between the value that codecs use and the types that [`trellis_idl::generate`] makes of a description.
//!
//! What was decoded has been checked against the same description, so that reading it fails only where
//! the two disagree: a fault of ours. Members that are read move; nothing is copied.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Map;

pub use serde;
pub use serde_json::Value;
pub use trellis_model::moment::Moment;

use crate::exception::Exception;

/// An operation of a service with its types.
pub trait Operation {
    /// As the description has it.
    const NAME: &'static str;
    type Input: FromValue;
    type Output: IntoValue;
}

/// What is read from a decoded input.
pub trait FromValue: Sized {
    /// # Errors
    /// Where the value is not of the described form.
    fn from_value(value: Value) -> Result<Self, Mismatch>;
}

/// What is written into an output or an error.
pub trait IntoValue {
    fn into_value(self) -> Value;
}

/// A choice of texts.
pub trait Enumeration: Copy + 'static {
    /// In the order of the description.
    const ALL: &'static [Self];
    /// As the wire spells it.
    fn as_str(self) -> &'static str;
}

/// A value that is not of its described form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch(String);

impl Mismatch {
    /// A member or a text that is none of those described.
    pub fn unknown(name: &str) -> Self {
        Self(format!("{name:?} is not described"))
    }

    fn expected(what: &str, found: &Value) -> Self {
        let kind = match found {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a text",
            Value::Array(_) => "a list",
            Value::Object(_) => "a structure",
        };
        // Never the value: it may be a secret.
        Self(format!("expected {what}, found {kind}"))
    }

    fn within(self, name: &str) -> Self {
        Self(format!("{name}: {}", self.0))
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Mismatch {}

impl From<Mismatch> for Exception {
    fn from(mismatch: Mismatch) -> Self {
        Self::internal(format!("the input is not what its description says: {mismatch}"))
    }
}

/// serde's traits for an input and an output, for what works with any type that has them.
#[macro_export]
macro_rules! by_serde {
    ($input:ty, $output:ty) => {
        impl<'de> $crate::typed::serde::Deserialize<'de> for $input {
            fn deserialize<D: $crate::typed::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Self, D::Error> {
                let value = $crate::typed::Value::deserialize(deserializer)?;
                $crate::typed::FromValue::from_value(value).map_err($crate::typed::serde::de::Error::custom)
            }
        }

        impl $crate::typed::serde::Serialize for $output {
            fn serialize<S: $crate::typed::serde::Serializer>(
                &self,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                let value = $crate::typed::IntoValue::into_value(self.clone());
                $crate::typed::serde::Serialize::serialize(&value, serializer)
            }
        }
    };
}

// === Structures ===

/// The members of a structure that is read.
#[derive(Debug)]
pub struct Members(Map<String, Value>);

impl Members {
    /// # Errors
    /// Where `value` is no structure.
    pub fn of(value: Value) -> Result<Self, Mismatch> {
        match value {
            Value::Object(members) => Ok(Self(members)),
            other => Err(Mismatch::expected("a structure", &other)),
        }
    }

    /// # Errors
    /// Where the member is missing or not of its type.
    pub fn required<T: FromValue>(&mut self, name: &str) -> Result<T, Mismatch> {
        T::from_value(self.take(name)).map_err(|mismatch| mismatch.within(name))
    }

    /// # Errors
    /// Where the member is not of its type.
    pub fn optional<T: FromValue>(&mut self, name: &str) -> Result<Option<T>, Mismatch> {
        match self.take(name) {
            Value::Null => Ok(None),
            value => T::from_value(value).map(Some).map_err(|mismatch| mismatch.within(name)),
        }
    }

    fn take(&mut self, name: &str) -> Value {
        self.0.get_mut(name).map_or(Value::Null, Value::take)
    }
}

/// The one member of a union.
///
/// # Errors
/// Where there is not exactly one.
pub fn only_member(value: Value) -> Result<(String, Value), Mismatch> {
    let Members(members) = Members::of(value)?;
    let mut present = members.into_iter().filter(|(_, value)| !value.is_null());
    match (present.next(), present.next()) {
        (Some(member), None) => Ok(member),
        _ => Err(Mismatch("expected exactly one member".to_owned())),
    }
}

/// Puts a structure together.
#[derive(Debug)]
pub struct Writer(Map<String, Value>);

impl Writer {
    pub fn new(members: usize) -> Self {
        Self(Map::with_capacity(members))
    }

    #[must_use]
    pub fn put<T: IntoValue>(mut self, name: &str, value: T) -> Self {
        self.0.insert(name.to_owned(), value.into_value());
        self
    }

    /// Leaves the member out where there is no value.
    #[must_use]
    pub fn put_some<T: IntoValue>(self, name: &str, value: Option<T>) -> Self {
        match value {
            Some(value) => self.put(name, value),
            None => self,
        }
    }

    pub fn finish(self) -> Value {
        Value::Object(self.0)
    }

    pub fn into_members(self) -> Map<String, Value> {
        self.0
    }
}

// === Single values ===

/// The variant with this text.
///
/// # Errors
/// Where there is none.
pub fn variant<E: Enumeration>(text: &str) -> Result<E, Mismatch> {
    E::ALL.iter().copied().find(|variant| variant.as_str() == text).ok_or_else(|| Mismatch::unknown(text))
}

/// As [`variant`].
///
/// # Errors
/// Where there is none, or the value is no text.
pub fn variant_of<E: Enumeration>(value: &Value) -> Result<E, Mismatch> {
    value.as_str().ok_or_else(|| Mismatch::expected("a text", value)).and_then(variant)
}

/// Bytes; base64 text in the value. Not printed, for they may be a key.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Blob(pub Vec<u8>);

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// `FromValue` and `IntoValue` of one type, by what a value becomes and what becomes a value.
macro_rules! single {
    ($type:ty, $article:literal, $from:expr, $into:expr) => {
        impl FromValue for $type {
            fn from_value(value: Value) -> Result<Self, Mismatch> {
                let from: fn(Value) -> Result<$type, Value> = $from;
                from(value).map_err(|value| Mismatch::expected($article, &value))
            }
        }

        impl IntoValue for $type {
            fn into_value(self) -> Value {
                let into: fn($type) -> Value = $into;
                into(self)
            }
        }
    };
}

fn text_of(value: Value) -> Result<String, Value> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(other),
    }
}

single!(String, "a text", text_of, Value::from);
single!(Secret, "a text", |value| text_of(value).map(Secret), |secret| Value::from(secret.0));
single!(bool, "a boolean", |value| value.as_bool().ok_or(value), Value::from);
single!(i64, "a 64-bit integer", |value| value.as_i64().ok_or(value), Value::from);
single!(
    i32,
    "a 32-bit integer",
    |value| value.as_i64().and_then(|number| number.try_into().ok()).ok_or(value),
    Value::from
);
single!(f64, "a number", |value| value.as_f64().ok_or(value), Value::from);
single!(
    Moment,
    "a timestamp",
    |value| match value.as_str().and_then(|text| text.parse::<Timestamp>().ok()) {
        Some(timestamp) => Ok(Moment::from(timestamp)),
        None => Err(value),
    },
    |moment| Value::from(moment.to_string())
);
single!(
    Blob,
    "base64 text",
    |value| match value.as_str().and_then(|text| STANDARD.decode(text).ok()) {
        Some(bytes) => Ok(Blob(bytes)),
        None => Err(value),
    },
    |blob| Value::from(STANDARD.encode(blob.0))
);

// === What holds others ===

impl<T: FromValue> FromValue for Vec<T> {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        match value {
            Value::Array(list) => list.into_iter().map(T::from_value).collect(),
            other => Err(Mismatch::expected("a list", &other)),
        }
    }
}

impl<T: IntoValue> IntoValue for Vec<T> {
    fn into_value(self) -> Value {
        Value::Array(self.into_iter().map(T::into_value).collect())
    }
}

impl<T: FromValue> FromValue for BTreeMap<String, T> {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        let Members(members) = Members::of(value)?;
        members
            .into_iter()
            .map(|(key, value)| {
                let value = T::from_value(value).map_err(|mismatch| mismatch.within(&key))?;
                Ok((key, value))
            })
            .collect()
    }
}

impl<T: IntoValue> IntoValue for BTreeMap<String, T> {
    fn into_value(self) -> Value {
        Value::Object(self.into_iter().map(|(key, value)| (key, value.into_value())).collect())
    }
}

impl<T: FromValue> FromValue for Box<T> {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        T::from_value(value).map(Self::new)
    }
}

impl<T: IntoValue> IntoValue for Box<T> {
    fn into_value(self) -> Value {
        (*self).into_value()
    }
}
