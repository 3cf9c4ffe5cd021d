//! Verification: from a request and what it claims to a [`Verified`] caller, or an error.
//!
//! The order is: form, then scope and time, then what must be signed, then the payload's form, and
//! only then the key and the signature, last the body's hash. Everything before the key depends on
//! the request alone: that is [`Claimed::of`]. [`Claimed::check`] is the rest.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use subtle::ConstantTimeEq as _;

use crate::canonical::{BadPercent, Canonical, PathForm, Plus, path, query};
use crate::ecdsa::EcdsaPublicKey;
use crate::parameters::{Algorithm, Parameters, Signature, region_set_holds};
use crate::payload::{PayloadHash, UNSIGNED_PAYLOAD, payload_hash};
use crate::signing_key::{CacheScope, SigningKey};
use crate::{
    AccessKeyId, AuthError, PathEncoding, RegionRule, Rules, ScopePart, SecretKey, SessionToken,
    SignedRequest, SigningKeyCache,
};

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
    /// The region of the scope, admitted by the rules; of SigV4A the set that was signed.
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
    /// The session token that came with it, as good as a secret: not for a log.
    pub security_token: Option<&'a str>,
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
/// token; `Ok(None)` is an unknown key, which is worked through with some secret and refused
/// whatever comes out, so that it costs what a wrong signature costs.
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
    let claimed = Claimed::of(request, now, rules)?;
    let secret = lookup(claimed.claim())?;
    let known = secret.is_some();
    let secret = match secret {
        Some(secret) => secret,
        None => SecretKey::new("nobody").map_err(|_| AuthError::BadSignature)?,
    };
    let scope = &claimed.parameters.scope;
    let unknown = || AuthError::UnknownKey { access_key_id: scope.access_key_id.to_string() };
    let cache_scope = CacheScope {
        access_key_id: &scope.access_key_id,
        date: &scope.date,
        region: &scope.region,
        service: &scope.service,
    };
    // A public key is good for every day and region, and dear to derive; it is not kept here.
    let cache = cache.filter(|_| claimed.algorithm() == Algorithm::Hmac);
    let cached = cache.and_then(|cache| cache.find(&secret, &cache_scope));
    let fresh = cached.is_none();
    let key = match cached {
        Some(key) => RequestKey(Kind::Hmac(key)),
        None => claimed.derive(&secret)?,
    };
    let verdict = claimed.check(&key);
    if !known {
        return Err(unknown());
    }
    verdict?;
    if let (Some(cache), Kind::Hmac(key)) = (cache.filter(|_| fresh), &key.0) {
        cache.keep(&secret, &cache_scope, key);
    }
    claimed.into_verified()
}

/// The key that a signature is checked with: one day's, region's and service's for SigV4, the
/// public one of SigV4A. As good as the secret for as long, so neither is shown.
#[derive(Clone)]
pub struct RequestKey(Kind);

#[derive(Clone)]
enum Kind {
    Hmac(SigningKey),
    Ecdsa(EcdsaPublicKey),
}

impl RequestKey {
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            Kind::Hmac(_) => Algorithm::Hmac,
            Kind::Ecdsa(_) => Algorithm::Ecdsa,
        }
    }
}

impl fmt::Debug for RequestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RequestKey").field(&self.algorithm()).finish()
    }
}

/// A signed request that passed every check that needs no key. Nothing it says is proven before
/// [`Claimed::check`].
pub struct Claimed<'a> {
    request: &'a SignedRequest<'a>,
    parameters: Parameters<'a>,
    payload_hash: PayloadHash<'a>,
    path: PathEncoding,
}

impl<'a> Claimed<'a> {
    /// # Errors
    /// [`AuthError`] says which check failed; [`AuthError::Missing`] means that the request is not
    /// signed at all.
    pub fn of(request: &'a SignedRequest<'a>, now: Timestamp, rules: &Rules<'_>) -> Result<Self, AuthError> {
        if let Some(what) = request.fault() {
            return Err(AuthError::Malformed { what });
        }
        let parameters = Parameters::of(request, rules.ecdsa)?;
        check_scope(&parameters, rules)?;
        check_time(&parameters, now, rules)?;
        check_signed_headers(request, &parameters, rules)?;
        let payload_hash = payload_hash(request, &parameters, rules)?;
        Ok(Self { request, parameters, payload_hash, path: rules.path })
    }

    pub fn claim(&self) -> Claim<'_> {
        Claim {
            access_key_id: &self.parameters.scope.access_key_id,
            region: &self.parameters.scope.region,
            service: &self.parameters.scope.service,
            security_token: self.parameters.security_token.as_deref(),
        }
    }

    pub fn algorithm(&self) -> Algorithm {
        self.parameters.algorithm()
    }

    /// The day of the scope, `YYYYMMDD`: a key of SigV4 is good for one.
    pub fn day(&self) -> &str {
        &self.parameters.scope.date
    }

    /// The key that this request must have been signed with, if `secret` is the caller's.
    ///
    /// # Errors
    /// [`AuthError::BadSignature`]: no key comes from this secret.
    pub fn derive(&self, secret: &SecretKey) -> Result<RequestKey, AuthError> {
        let scope = &self.parameters.scope;
        Ok(RequestKey(match self.algorithm() {
            Algorithm::Hmac => {
                Kind::Hmac(SigningKey::derive(secret, &scope.date, &scope.region, &scope.service))
            }
            Algorithm::Ecdsa => Kind::Ecdsa(
                EcdsaPublicKey::derive(&scope.access_key_id, secret).ok_or(AuthError::BadSignature)?,
            ),
        }))
    }

    /// The signature, and the body where it is covered. `key` is what [`Claimed::derive`] gave for
    /// a request of the same key, algorithm, day, region and service.
    ///
    /// # Errors
    /// [`AuthError::BadSignature`], or what is wrong with the body.
    pub fn check(&self, key: &RequestKey) -> Result<(), AuthError> {
        let bad_percent =
            |BadPercent| AuthError::Malformed { what: "the path or query has a % without two hex digits" };
        let forms: &[PathForm] = match self.path {
            PathEncoding::Double => &[PathForm::NormalisedAndEncoded],
            PathEncoding::Once => &[PathForm::Encoded],
            PathEncoding::AsSigned => &[
                PathForm::NormalisedAndEncoded,
                PathForm::EncodedAgain,
                PathForm::Encoded,
                PathForm::Verbatim,
            ],
        };
        let readings: &[Plus] = match self.path {
            PathEncoding::AsSigned if self.request.query.contains('+') => {
                &[Plus::Itself, Plus::Space, Plus::Encoded]
            }
            _ => &[Plus::Itself],
        };
        let mut tried: Option<Cow<'_, str>> = None;
        for form in forms {
            let path = path(self.request.path, *form).map_err(bad_percent)?;
            if tried.as_ref() == Some(&path) {
                continue;
            }
            for plus in readings {
                let presigned = self.parameters.expires.is_some();
                let query = query(self.request.query, presigned, *plus).map_err(bad_percent)?;
                if self.matches(key, &path, &query) {
                    return self.payload_hash.check_body(self.request);
                }
            }
            tried = Some(path);
        }
        Err(AuthError::BadSignature)
    }

    fn matches(&self, key: &RequestKey, path: &str, query: &str) -> bool {
        let canonical = Canonical {
            method: self.request.method,
            path: Cow::Borrowed(path),
            query,
            headers: self.request.headers,
            signed_headers: &self.parameters.signed_headers,
        };
        let scope = &self.parameters.scope;
        let hash = canonical.hash(&self.payload_hash.text);
        let at = self.parameters.signed_at_text.as_str();
        match (&key.0, &self.parameters.signature) {
            (Kind::Hmac(key), Signature::Hmac(signature)) => {
                let scope = [&*scope.date, &*scope.region, &*scope.service];
                key.sign(&text_to_sign(Algorithm::Hmac, at, &scope, &hash)).ct_eq(signature).into()
            }
            (Kind::Ecdsa(key), Signature::Ecdsa(signature, length)) => {
                let parts = text_to_sign(Algorithm::Ecdsa, at, &[&*scope.date, &*scope.service], &hash);
                key.verifies(&parts.concat(), &signature[..*length])
            }
            _ => false,
        }
    }

    fn into_verified(self) -> Result<Verified, AuthError> {
        let Self { parameters, payload_hash, .. } = self;
        let scope = &parameters.scope;
        let security_token = parameters.security_token.as_deref().map(str::parse).transpose();
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
            security_token: security_token.map_err(|_| AuthError::TokenInvalid)?,
        })
    }
}

impl fmt::Debug for Claimed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claimed")
            .field("access_key_id", &self.parameters.scope.access_key_id)
            .field("algorithm", &self.algorithm())
            .finish_non_exhaustive()
    }
}

fn check_scope(parameters: &Parameters<'_>, rules: &Rules<'_>) -> Result<(), AuthError> {
    let scope = &parameters.scope;
    let mismatch = |part, expected: String, found: &str| {
        Err(AuthError::ScopeMismatch { part, expected, found: found.to_owned() })
    };
    if !rules.services.contains(&&*scope.service) {
        return mismatch(ScopePart::Service, rules.services.join(" or "), &scope.service);
    }
    let holds = |region: &&str| match parameters.algorithm() {
        Algorithm::Hmac => scope.region == *region,
        Algorithm::Ecdsa => region_set_holds(&scope.region, region),
    };
    match rules.region {
        RegionRule::OneOf(regions) if !regions.iter().any(holds) => {
            return mismatch(ScopePart::Region, regions.join(" or "), &scope.region);
        }
        RegionRule::OneOf(_) | RegionRule::Any => {}
    }
    let day = parameters.signed_at_text.day();
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
    match parameters.expires.map(|said| said.max(rules.shortest_life)) {
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
        if name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("x-amz-"))
            && rules.unsigned_headers.must_cover(name)
            && !parameters.covers(name)
        {
            return Err(AuthError::HeaderNotSigned { name: name.to_ascii_lowercase() });
        }
    }
    for name in parameters.signed_headers.split(';') {
        if request.values(name).next().is_none() {
            return Err(AuthError::SignedHeaderAbsent { name: name.to_owned() });
        }
    }
    Ok(())
}

/// The parts of the string to sign: algorithm, time, scope and the canonical request's hash. Unused
/// places are empty.
pub(crate) fn text_to_sign<'a>(
    algorithm: Algorithm,
    at: &'a str,
    scope: &[&'a str],
    canonical_hash: &'a [u8; 64],
) -> [&'a [u8]; 12] {
    let mut parts: [&[u8]; 12] = [b""; 12];
    parts[..4].copy_from_slice(&[algorithm.as_str().as_bytes(), b"\n", at.as_bytes(), b"\n"]);
    for (place, word) in parts[4..10].chunks_exact_mut(2).zip(scope) {
        place.copy_from_slice(&[word.as_bytes(), b"/"]);
    }
    parts[10] = b"aws4_request\n";
    parts[11] = canonical_hash;
    parts
}
