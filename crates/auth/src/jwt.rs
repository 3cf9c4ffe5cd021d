//! JSON Web Tokens of identity providers: RS256 and ES256, verified against the provider's keys.
//!
//! Strict, as a token comes from anywhere: the algorithm is the key's and not the token's to choose,
//! `none` and `crit` are refused, so are repeated members, deep or large JSON, and times that are
//! missing. Who the issuer is and which audience will do, the caller says.
//!
//! <https://www.rfc-editor.org/rfc/rfc7519>, <https://www.rfc-editor.org/rfc/rfc8725>

mod jwks;
mod strict_json;

pub use jwks::{Jwks, JwksError};

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use jiff::Timestamp;

use strict_json::Value;

/// Longest token read, in bytes.
pub const MAX_JWT: usize = 16 * 1024;
/// How far the provider's clock may be from ours, in seconds.
const LEEWAY: i64 = 60;

/// Why a token is not accepted. What the caller of STS is told depends on the kind alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// Not three parts of base64, not JSON, or JSON that no provider makes.
    #[error("not a token: {what}")]
    Malformed { what: &'static str },
    #[error("the algorithm {found:?} is not accepted, expected RS256 or ES256")]
    Algorithm { found: String },
    /// No key of the provider fits the token's key id and algorithm.
    #[error("the provider has no key {found:?} for this algorithm")]
    UnknownKey { found: String },
    #[error("the signature does not match")]
    Signature,
    #[error("the issuer is {found:?}, expected {expected:?}")]
    Issuer { expected: String, found: String },
    #[error("none of the audiences is accepted")]
    Audience,
    #[error("expired at {expired_at}")]
    Expired { expired_at: i64 },
    #[error("not valid before {not_before}")]
    NotYet { not_before: i64 },
}

/// What a verified token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    pub issuer: String,
    pub subject: String,
    pub audience: Vec<String>,
    pub expires_at: i64,
    pub issued_at: Option<i64>,
    /// Every other claim that is text, a number, a boolean or a list of texts: what condition keys
    /// such as `{issuer}:amr` ask for. Claims within `https://aws.amazon.com/tags` are there by their
    /// path.
    pub others: BTreeMap<String, Vec<String>>,
    /// `https://aws.amazon.com/tags`: tags for the session, and which of them are transitive.
    pub principal_tags: BTreeMap<String, String>,
    pub transitive_tag_keys: Vec<String>,
}

/// What is expected of a token.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Exactly the token's `iss`.
    pub issuer: &'a str,
    /// One of the token's audiences (or its `azp`) must be one of these.
    pub audiences: &'a [&'a str],
}

/// The issuer that a token claims, for finding the provider whose keys decide. Not verified.
pub fn issuer_of(token: &str) -> Option<String> {
    let (_, payload, _) = split(token).ok()?;
    match strict_json::object(&decode(payload).ok()?)?.remove("iss")? {
        Value::Text(issuer) => Some(issuer),
        _ => None,
    }
}

/// Verifies a token against a provider's keys and what is expected of it.
///
/// # Errors
/// [`JwtError`] says which check failed.
pub fn verify(token: &str, keys: &Jwks, expected: Expected<'_>, now: Timestamp) -> Result<Claims, JwtError> {
    let malformed = |what| JwtError::Malformed { what };
    let (header, payload, signature) = split(token)?;
    let mut head = strict_json::object(&decode(header)?).ok_or(malformed("the header"))?;
    let algorithm = text(&mut head, "alg").ok_or(malformed("no alg"))?;
    let key_id = text(&mut head, "kid");
    // "If any of the listed extension Header Parameters are not understood and supported by the
    // recipient, then the JWS is invalid" (RFC 7515, 4.1.11): none are.
    if head.contains_key("crit") || head.contains_key("b64") {
        return Err(malformed("it has extensions that are not understood"));
    }
    let signed = &token[..header.len() + 1 + payload.len()];
    keys.check(&algorithm, key_id.as_deref(), signed.as_bytes(), &decode(signature)?)?;

    let claims = strict_json::object(&decode(payload)?).ok_or(malformed("the claims"))?;
    let claims = Claims::from_members(claims)?;
    if claims.issuer != expected.issuer {
        let expected = expected.issuer.to_owned();
        return Err(JwtError::Issuer { expected, found: beginning(&claims.issuer) });
    }
    // "azp": the party the token was issued to, where the audience is several.
    let authorized = claims.others.get("azp").into_iter().flatten();
    if !claims.audience.iter().chain(authorized).any(|each| expected.audiences.contains(&each.as_str())) {
        return Err(JwtError::Audience);
    }
    let now = now.as_second();
    if now >= claims.expires_at.saturating_add(LEEWAY) {
        return Err(JwtError::Expired { expired_at: claims.expires_at });
    }
    let not_before = claims.others.get("nbf").and_then(|values| values.first()?.parse::<i64>().ok());
    for begin in not_before.into_iter().chain(claims.issued_at) {
        if begin > now.saturating_add(LEEWAY) {
            return Err(JwtError::NotYet { not_before: begin });
        }
    }
    Ok(claims)
}

impl Claims {
    fn from_members(mut members: BTreeMap<String, Value>) -> Result<Self, JwtError> {
        const TAGS: &str = "https://aws.amazon.com/tags";
        let malformed = |what| JwtError::Malformed { what };
        let issuer = text(&mut members, "iss").ok_or(malformed("no iss"))?;
        let subject = text(&mut members, "sub").ok_or(malformed("no sub"))?;
        let audience = match members.remove("aud") {
            Some(Value::Text(one)) => vec![one],
            Some(Value::List(list)) => texts(list).ok_or(malformed("aud is not text"))?,
            _ => return Err(malformed("no aud")),
        };
        let seconds = |value: Option<Value>| match value {
            Some(Value::Number(number)) if number.abs() < 1e15 => Some(number as i64),
            _ => None,
        };
        let expires_at = seconds(members.remove("exp")).ok_or(malformed("no exp"))?;
        let issued_at = match members.remove("iat") {
            None => None,
            some => Some(seconds(some).ok_or(malformed("iat is not a number"))?),
        };
        if let Some(found) = members.get("nbf")
            && !matches!(found, Value::Number(number) if number.abs() < 1e15)
        {
            return Err(malformed("nbf is not a number"));
        }
        let (mut principal_tags, mut transitive_tag_keys) = (BTreeMap::new(), Vec::new());
        if let Some(tags) = members.remove(TAGS) {
            let Value::Object(mut tags) = tags else { return Err(malformed("tags are no object")) };
            if let Some(Value::Object(each)) = tags.remove("principal_tags") {
                for (key, value) in each {
                    // "{"Project": ["Automation"]}": a list of one, or the value alone.
                    let value = match value {
                        Value::Text(value) => value,
                        Value::List(list) => match texts(list).as_deref() {
                            Some([value]) => value.clone(),
                            _ => return Err(malformed("a tag has not one value")),
                        },
                        _ => return Err(malformed("a tag is not text")),
                    };
                    principal_tags.insert(key, value);
                }
            }
            if let Some(Value::List(keys)) = tags.remove("transitive_tag_keys") {
                transitive_tag_keys = texts(keys).ok_or(malformed("a tag key is not text"))?;
            }
        }
        let plain = |value| match value {
            Value::Text(value) => Some(vec![value]),
            Value::Number(number) => Some(vec![number.to_string()]),
            Value::Bool(value) => Some(vec![value.to_string()]),
            Value::List(list) => texts(list),
            Value::Null | Value::Object(_) => None,
        };
        let others = members.into_iter().filter_map(|(name, value)| Some((name, plain(value)?))).collect();
        Ok(Self {
            issuer,
            subject,
            audience,
            expires_at,
            issued_at,
            others,
            principal_tags,
            transitive_tag_keys,
        })
    }
}

/// Header, payload and signature, still encoded.
fn split(token: &str) -> Result<(&str, &str, &str), JwtError> {
    let malformed = |what| JwtError::Malformed { what };
    if token.len() > MAX_JWT {
        return Err(malformed("it is too long"));
    }
    let mut parts = token.split('.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(header), Some(payload), Some(signature), None) => Ok((header, payload, signature)),
        _ => Err(malformed("it has not three parts")),
    }
}

fn decode(part: &str) -> Result<Vec<u8>, JwtError> {
    BASE64.decode(part).map_err(|_| JwtError::Malformed { what: "a part is not base64" })
}

fn text(members: &mut BTreeMap<String, Value>, name: &str) -> Option<String> {
    match members.remove(name) {
        Some(Value::Text(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}

fn texts(list: Vec<Value>) -> Option<Vec<String>> {
    let text = |value| if let Value::Text(text) = value { Some(text) } else { None };
    list.into_iter().map(text).collect()
}

fn beginning(text: &str) -> String {
    text.chars().take(128).collect()
}

#[cfg(test)]
mod tests;
