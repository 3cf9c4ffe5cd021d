//! Verification: from a request and what it claims to a [`Verified`] caller, or an error.
//!
//! The order is: form, then scope and time, then what must be signed, then the payload's form, and
//! only then the key and the signature, last the body's hash. Everything before the key depends on
//! the request alone; an unknown key costs the same work as a wrong signature.

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::canonical::{Canonical, PathForm, hex, path, query, sha256_from_hex};
use crate::parameters::{ALGORITHM, Parameters};
use crate::signing_key::{CacheScope, SigningKey};
use crate::{
    AccessKeyId, AuthError, PathEncoding, Payload, PayloadFault, PayloadRule, RegionRule, Rules, ScopePart,
    SecretKey, SessionToken, SignedRequest, SigningKeyCache,
};

pub(crate) const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// A caller whose signature held. There is no way to make one but [`verify`] and [`verify_with`].
#[derive(Debug, Clone)]
pub struct Verified {
    access_key_id: AccessKeyId,
    region: String,
    service: String,
    signed_at: Timestamp,
    security_token: Option<SessionToken>,
    signed_headers: Vec<String>,
    presigned: bool,
    payload_signed: bool,
}

impl Verified {
    pub fn access_key_id(&self) -> &AccessKeyId {
        &self.access_key_id
    }
    /// The region of the scope, admitted by the rules.
    pub fn region(&self) -> &str {
        &self.region
    }
    /// The service of the scope, one of those in the rules.
    pub fn service(&self) -> &str {
        &self.service
    }
    /// When the request was signed, within the skew or life that the rules admit.
    pub fn signed_at(&self) -> Timestamp {
        self.signed_at
    }
    /// The token that came with temporary keys; [`verify_with`]'s look-up has accepted it.
    pub fn security_token(&self) -> Option<&SessionToken> {
        self.security_token.as_ref()
    }
    /// Lower-case names, ascending. A header that is not among them was not the caller's word.
    pub fn signed_headers(&self) -> &[String] {
        &self.signed_headers
    }
    /// True when the signature was in the query.
    pub fn presigned(&self) -> bool {
        self.presigned
    }
    /// True when the signature covers the body; false for UNSIGNED-PAYLOAD.
    pub fn payload_signed(&self) -> bool {
        self.payload_signed
    }
}

/// What a request claims about its caller, for the look-up of the secret. Not verified.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Claim<'a> {
    pub access_key_id: &'a str,
    pub region: &'a str,
    pub service: &'a str,
    pub security_token: Option<&'a SessionToken>,
}

/// Verifies a request signed with long-lived keys. `lookup` answers with the secret of an access
/// key id, `now` is the time here.
///
/// # Errors
/// [`AuthError`] says which; [`AuthError::Missing`] means that the request is not signed at all.
/// A session token is refused with [`AuthError::TokenUnsupported`], as nothing here checks it:
/// temporary keys need [`verify_with`].
pub fn verify(
    request: &SignedRequest<'_>,
    mut lookup: impl FnMut(&str) -> Option<SecretKey>,
    now: Timestamp,
    rules: &Rules<'_>,
) -> Result<Verified, AuthError> {
    let lookup = |claim: Claim<'_>| match claim.security_token {
        Some(_) => Err(AuthError::TokenUnsupported),
        None => Ok(lookup(claim.access_key_id)),
    };
    verify_with(request, lookup, now, rules, None)
}

/// Verifies a request whose keys may be temporary, remembering derived keys in `cache`.
///
/// `lookup` is given the whole claim. It must refuse a token that does not belong to the access
/// key ([`AuthError::TokenInvalid`], [`AuthError::TokenExpired`]), and a temporary key without its
/// token; `Ok(None)` is an unknown key.
///
/// # Errors
/// As [`verify`], and what `lookup` refuses with.
pub fn verify_with(
    request: &SignedRequest<'_>,
    mut lookup: impl FnMut(Claim<'_>) -> Result<Option<SecretKey>, AuthError>,
    now: Timestamp,
    rules: &Rules<'_>,
    cache: Option<&SigningKeyCache>,
) -> Result<Verified, AuthError> {
    if let Some(what) = request.fault() {
        return Err(AuthError::Malformed { what });
    }
    let parameters = Parameters::of(request)?;
    check_scope(&parameters, rules)?;
    check_time(&parameters, now, rules)?;
    check_signed_headers(request, &parameters, rules)?;
    let payload_hash = payload_hash(request, &parameters, rules)?;

    let claim = Claim {
        access_key_id: &parameters.scope.access_key_id,
        region: &parameters.scope.region,
        service: &parameters.scope.service,
        security_token: parameters.security_token.as_ref(),
    };
    let secret = lookup(claim)?;
    check_signature(request, &parameters, &payload_hash.text, secret, rules, cache)?;
    payload_hash.check_body(request)?;

    let scope = &parameters.scope;
    Ok(Verified {
        access_key_id: scope
            .access_key_id
            .parse()
            .map_err(|_| AuthError::Malformed { what: "the access key id is not a word" })?,
        region: scope.region.to_string(),
        service: scope.service.to_string(),
        signed_at: parameters.signed_at,
        signed_headers: parameters.signed_headers.split(';').map(str::to_owned).collect(),
        presigned: parameters.expires.is_some(),
        payload_signed: payload_hash.text != UNSIGNED_PAYLOAD,
        security_token: parameters.security_token,
    })
}

fn check_scope(parameters: &Parameters<'_>, rules: &Rules<'_>) -> Result<(), AuthError> {
    let scope = &parameters.scope;
    let mismatch = |part, expected: String, found: &str| {
        Err(AuthError::ScopeMismatch { part, expected, found: found.to_owned() })
    };
    if !rules.services.contains(&&*scope.service) {
        return mismatch(ScopePart::Service, rules.services.join(" or "), &scope.service);
    }
    match rules.region {
        RegionRule::OneOf(regions) if !regions.contains(&&*scope.region) => {
            return mismatch(ScopePart::Region, regions.join(" or "), &scope.region);
        }
        RegionRule::OneOf(_) | RegionRule::Any => {}
    }
    let day = &parameters.signed_at_text()[..8];
    if scope.date != day {
        return mismatch(ScopePart::Date, day.to_owned(), &scope.date);
    }
    Ok(())
}

fn check_time(parameters: &Parameters<'_>, now: Timestamp, rules: &Rules<'_>) -> Result<(), AuthError> {
    let signed_at = parameters.signed_at;
    let age = now.duration_since(signed_at);
    let skewed = AuthError::Skewed { signed_at, now, max_skew: rules.max_skew };
    if age < -rules.max_skew {
        return Err(skewed);
    }
    match parameters.expires {
        Some(expires) if age > expires => {
            let expired_at = signed_at.checked_add(expires).unwrap_or(Timestamp::MAX);
            Err(AuthError::Expired { expired_at, now })
        }
        None if age > rules.max_skew => Err(skewed),
        _ => Ok(()),
    }
}

/// What must be covered is, and what is covered is there.
fn check_signed_headers(
    request: &SignedRequest<'_>,
    parameters: &Parameters<'_>,
    rules: &Rules<'_>,
) -> Result<(), AuthError> {
    if request.values("host").count() > 1 {
        return Err(AuthError::Malformed { what: "there are two Host headers" });
    }
    for required in ["host"].into_iter().chain(parameters.date_header) {
        if !parameters.covers(required) {
            return Err(AuthError::HeaderNotSigned { name: required.to_owned() });
        }
    }
    for (name, _) in request.headers {
        if !name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("x-amz-")) {
            continue;
        }
        let name = name.to_ascii_lowercase();
        if !parameters.covers(&name) && !rules.unsigned_headers.contains(&name.as_str()) {
            return Err(AuthError::HeaderNotSigned { name });
        }
    }
    for name in parameters.signed_headers.split(';') {
        if request.values(name).next().is_none() {
            return Err(AuthError::SignedHeaderAbsent { name: name.to_owned() });
        }
    }
    Ok(())
}

/// The payload line of the canonical request, and whether the body has still to be compared.
struct PayloadHash {
    text: String,
    claimed: Option<[u8; 32]>,
}

impl PayloadHash {
    fn check_body(&self, request: &SignedRequest<'_>) -> Result<(), AuthError> {
        let Some(claimed) = &self.claimed else { return Ok(()) };
        let same = match request.payload {
            Payload::Body(body) => bool::from(Sha256::digest(body).ct_eq(claimed)),
            Payload::Streamed => false,
        };
        if same { Ok(()) } else { Err(AuthError::Payload(PayloadFault::Mismatch)) }
    }
}

fn payload_hash(
    request: &SignedRequest<'_>,
    parameters: &Parameters<'_>,
    rules: &Rules<'_>,
) -> Result<PayloadHash, AuthError> {
    const HEADER: &str = "x-amz-content-sha256";
    let header = request
        .single(HEADER)
        .map_err(|_| AuthError::Malformed { what: "x-amz-content-sha256 is repeated" })?;
    let header = match header.map(|value| std::str::from_utf8(value.trim_ascii())) {
        Some(Ok(text)) => Some(text),
        Some(Err(_)) => return Err(AuthError::Payload(PayloadFault::UnknownForm)),
        None => None,
    };
    let sent = match (header, parameters.query_payload_hash.as_deref()) {
        (Some(header), Some(query)) if header != query => {
            return Err(AuthError::Malformed {
                what: "x-amz-content-sha256 differs between header and query",
            });
        }
        (header, query) => header.or(query),
    };
    let unsigned = || PayloadHash { text: UNSIGNED_PAYLOAD.to_owned(), claimed: None };
    match (sent, rules.payload) {
        (Some(UNSIGNED_PAYLOAD), PayloadRule::HashRequired) => {
            Err(AuthError::Payload(PayloadFault::UnsignedNotAccepted))
        }
        (Some(UNSIGNED_PAYLOAD), PayloadRule::Any | PayloadRule::UnsignedOnly) => Ok(unsigned()),
        (Some(_), PayloadRule::UnsignedOnly) => Err(AuthError::Payload(PayloadFault::SignedNotSupported)),
        (Some(text), PayloadRule::Any | PayloadRule::HashRequired) => {
            let claimed =
                sha256_from_hex(text.as_bytes()).ok_or(AuthError::Payload(PayloadFault::UnknownForm))?;
            Ok(PayloadHash { text: text.to_owned(), claimed: Some(claimed) })
        }
        // A presigned request has no place where its signer had to put the hash.
        (None, PayloadRule::UnsignedOnly) if parameters.expires.is_some() => Ok(unsigned()),
        (None, PayloadRule::UnsignedOnly) => {
            Err(AuthError::Incomplete { missing: "x-amz-content-sha256 header" })
        }
        (None, PayloadRule::Any) if parameters.expires.is_some() && rules.path == PathEncoding::Once => {
            // S3: presigned for whoever has the link, whatever they send.
            Ok(unsigned())
        }
        (None, PayloadRule::Any | PayloadRule::HashRequired) => match request.payload {
            Payload::Body(body) => Ok(PayloadHash { text: hex(&Sha256::digest(body)), claimed: None }),
            Payload::Streamed => Err(AuthError::Incomplete { missing: "x-amz-content-sha256 header" }),
        },
    }
}

fn check_signature(
    request: &SignedRequest<'_>,
    parameters: &Parameters<'_>,
    payload_hash: &str,
    secret: Option<SecretKey>,
    rules: &Rules<'_>,
    cache: Option<&SigningKeyCache>,
) -> Result<(), AuthError> {
    let bad_percent = |_| AuthError::Malformed { what: "the path or query has a % without two hex digits" };
    let scope = &parameters.scope;
    let known = secret.is_some();
    // An unknown key is worked through with some secret, and refused whatever comes out.
    let secret = match secret {
        Some(secret) => secret,
        None => SecretKey::new("nobody").map_err(|_| AuthError::BadSignature)?,
    };
    let cache_scope = CacheScope {
        access_key_id: &scope.access_key_id,
        date: &scope.date,
        region: &scope.region,
        service: &scope.service,
    };
    let cached = cache.and_then(|cache| cache.find(&secret, &cache_scope));
    let fresh = cached.is_none();
    let key =
        cached.unwrap_or_else(|| SigningKey::derive(&secret, &scope.date, &scope.region, &scope.service));

    let query = query(request.query, parameters.expires.is_some()).map_err(bad_percent)?;
    let forms: &[PathForm] = match rules.path {
        PathEncoding::Double => &[PathForm::NormalisedAndEncoded],
        PathEncoding::Once => &[PathForm::Encoded],
        PathEncoding::DoubleOrAsReceived => &[PathForm::NormalisedAndEncoded, PathForm::Verbatim],
    };
    let mut matches = false;
    for form in forms {
        let canonical = Canonical {
            method: request.method,
            path: path(request.path, *form).map_err(bad_percent)?,
            query: &query,
            headers: request.headers,
            signed_headers: &parameters.signed_headers,
        };
        let expected = signature(
            &key,
            &parameters.signed_at_text(),
            [&scope.date, &scope.region, &scope.service],
            &canonical.hash(payload_hash),
        );
        if bool::from(expected.ct_eq(&parameters.signature)) {
            matches = true;
            break;
        }
    }
    if !known {
        return Err(AuthError::UnknownKey { access_key_id: scope.access_key_id.to_string() });
    }
    if !matches {
        return Err(AuthError::BadSignature);
    }
    if let Some(cache) = cache.filter(|_| fresh) {
        cache.keep(&secret, &cache_scope, &key);
    }
    Ok(())
}

/// The signature of the string to sign: algorithm, time, scope and the canonical request's hash.
pub(crate) fn signature(key: &SigningKey, at: &str, scope: [&str; 3], canonical_hash: &str) -> [u8; 32] {
    let [date, region, service] = scope;
    let text = format!("{ALGORITHM}\n{at}\n{date}/{region}/{service}/aws4_request\n{canonical_hash}");
    key.sign(&[text.as_bytes()])
}
