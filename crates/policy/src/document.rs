//! The JSON of a policy, read strictly: nothing unknown, nothing twice.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Document {
    #[serde(default, deserialize_with = "present")]
    pub(crate) version: Option<String>,
    #[serde(default, rename = "Id", deserialize_with = "present")]
    pub(crate) _id: Option<String>,
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) statement: Vec<StatementText>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct StatementText {
    #[serde(default, deserialize_with = "present")]
    pub(crate) sid: Option<String>,
    pub(crate) effect: EffectText,
    #[serde(default, deserialize_with = "present")]
    pub(crate) principal: Option<PrincipalText>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) not_principal: Option<PrincipalText>,
    #[serde(default, deserialize_with = "some_of_many")]
    pub(crate) action: Option<Vec<String>>,
    #[serde(default, deserialize_with = "some_of_many")]
    pub(crate) not_action: Option<Vec<String>>,
    #[serde(default, deserialize_with = "some_of_many")]
    pub(crate) resource: Option<Vec<String>>,
    #[serde(default, deserialize_with = "some_of_many")]
    pub(crate) not_resource: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) condition: Members<Members<Many<Scalar>>>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) enum EffectText {
    Allow,
    Deny,
}

/// `"*"`, or lists by kind: `{"AWS": [...], "Service": ...}`.
#[derive(Debug)]
pub(crate) enum PrincipalText {
    Word(String),
    Kinds(Members<Many<String>>),
}

/// A JSON string, number or boolean as text.
#[derive(Debug, Clone)]
pub(crate) struct Scalar(pub(crate) String);

/// The members of an object in their order, each name once.
#[derive(Debug)]
pub(crate) struct Members<T>(pub(crate) Vec<(String, T)>);

/// One value, or an array of them.
#[derive(Debug)]
pub(crate) struct Many<T>(pub(crate) Vec<T>);

impl<T> Default for Members<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

fn one_or_many<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Many::deserialize(deserializer).map(|many| many.0)
}

/// An element that is there must have a value: null is none.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn some_of_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    one_or_many(deserializer).map(Some)
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMany<T> {
            type Value = Many<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value or an array of values")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, values: A) -> Result<Many<T>, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(values)).map(Many)
            }
            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Many<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members)).map(|value| Many(vec![value]))
            }
            fn visit_str<E: Error>(self, value: &str) -> Result<Many<T>, E> {
                T::deserialize(value.into_deserializer()).map(|value| Many(vec![value]))
            }
            fn visit_bool<E: Error>(self, value: bool) -> Result<Many<T>, E> {
                T::deserialize(value.into_deserializer()).map(|value| Many(vec![value]))
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<Many<T>, E> {
                T::deserialize(value.into_deserializer()).map(|value| Many(vec![value]))
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Many<T>, E> {
                T::deserialize(value.into_deserializer()).map(|value| Many(vec![value]))
            }
            fn visit_f64<E: Error>(self, value: f64) -> Result<Many<T>, E> {
                T::deserialize(value.into_deserializer()).map(|value| Many(vec![value]))
            }
        }
        deserializer.deserialize_any(OneOrMany(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Members<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
            type Value = Members<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Members<T>, A::Error> {
                let mut names = std::collections::HashSet::new();
                let mut members = Vec::new();
                while let Some((name, value)) = access.next_entry::<String, T>()? {
                    if !names.insert(name.clone()) {
                        return Err(A::Error::custom(format_args!("duplicate member {name:?}")));
                    }
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object(PhantomData))
    }
}

impl<'de> Deserialize<'de> for PrincipalText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrKinds;
        impl<'de> Visitor<'de> for WordOrKinds {
            type Value = PrincipalText;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"*\" or an object of principals")
            }
            fn visit_str<E: Error>(self, word: &str) -> Result<PrincipalText, E> {
                Ok(PrincipalText::Word(word.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<PrincipalText, A::Error> {
                Members::deserialize(MapAccessDeserializer::new(members)).map(PrincipalText::Kinds)
            }
        }
        deserializer.deserialize_any(WordOrKinds)
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Scalar;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, number or boolean")
            }
            fn visit_str<E: Error>(self, value: &str) -> Result<Scalar, E> {
                Ok(Scalar(value.to_owned()))
            }
            fn visit_bool<E: Error>(self, value: bool) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }
            fn visit_f64<E: Error>(self, value: f64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }
        }
        deserializer.deserialize_any(Any)
    }
}
