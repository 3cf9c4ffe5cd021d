//! The client's side: making a signature, in headers or in a query.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use crate::canonical::{BadPercent, Canonical, PathForm, Plus, hex, path, push_parameter, query};
use crate::kept_key::{KeptKey, Key};
use crate::parameters::{Algorithm, is_region_set, is_scope_word};
use crate::payload::UNSIGNED_PAYLOAD;
use crate::rules::MAX_EXPIRES;
use crate::timestamp::format_basic;
use crate::verify::text_to_sign;
use crate::{Credentials, Header, PathEncoding, Payload, SignedRequest};

/// Where a signature is good.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// With SigV4A, a set of regions: `us-east-1,eu-west-1` or `*`.
    pub region: &'a str,
    /// The signing name, such as `vpc-lattice` or `tagging`.
    pub service: &'a str,
}

/// How to sign. The default suits every AWS service but S3.
#[derive(Debug, Clone, Copy)]
pub struct SignOptions {
    pub algorithm: Algorithm,
    /// [`PathEncoding::AsSigned`] signs as [`PathEncoding::Double`].
    pub path: PathEncoding,
    /// Sign UNSIGNED-PAYLOAD instead of the body's hash; always so for [`Payload::Streamed`].
    pub unsigned_payload: bool,
    /// Send `x-amz-content-sha256` also where the payload is signed, as S3 demands.
    pub send_payload_hash: bool,
}

impl Default for SignOptions {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::Hmac,
            path: PathEncoding::Double,
            unsigned_payload: false,
            send_payload_hash: false,
        }
    }
}

/// Why a request cannot be signed; the fault of the code that asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    #[error("a request must have exactly one host header to be signed")]
    Host,
    #[error("region and service are lower-case words")]
    Scope,
    #[error("the path or query has a % without two hex digits")]
    Percent,
    #[error("a presigned request lives 1 second to 7 days")]
    Expires,
    #[error("not a request: {what}")]
    Malformed { what: &'static str },
    #[error("header {name} is set by the signer")]
    Reserved { name: &'static str },
    #[error("no ECDSA key comes from this access key")]
    Key,
}

impl From<BadPercent> for SignError {
    fn from(_: BadPercent) -> Self {
        Self::Percent
    }
}

/// Headers that proxies and HTTP libraries change on the way, so that no signer covers them.
const NEVER_SIGNED: [&str; 14] = [
    "accept-encoding",
    "authorization",
    "connection",
    "expect",
    "forwarded",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-amzn-trace-id",
];

/// Set here, so they must not be there already.
const RESERVED: [&str; 4] =
    ["x-amz-date", "x-amz-security-token", "x-amz-content-sha256", "x-amz-region-set"];

/// Signs a request in its headers. Gives the headers to add: `x-amz-date`, where they apply
/// `x-amz-security-token` and `x-amz-content-sha256`, and `authorization`. All headers of
/// `request` are covered but those that change on the way (`user-agent`, `connection`, ...).
///
/// # Errors
/// [`SignError`].
pub fn sign(
    request: &SignedRequest<'_>,
    credentials: &Credentials,
    scope: Scope<'_>,
    now: Timestamp,
    options: &SignOptions,
) -> Result<Vec<(&'static str, String)>, SignError> {
    sign_with(request, credentials, scope, now, options, &KeptKey::default())
}

/// As [`sign`], with the key of the last signature where it is of the same credentials, scope and day: deriving one costs
/// more than signing with it.
///
/// # Errors
/// [`SignError`].
pub fn sign_with(
    request: &SignedRequest<'_>,
    credentials: &Credentials,
    scope: Scope<'_>,
    now: Timestamp,
    options: &SignOptions,
    kept: &KeptKey,
) -> Result<Vec<(&'static str, String)>, SignError> {
    let at = format_basic(now);
    let payload = payload_hash(request, options);
    let mut added = vec![("x-amz-date", at.clone())];
    if let Some(token) = &credentials.session_token {
        added.push(("x-amz-security-token", token.as_str().to_owned()));
    }
    if options.send_payload_hash || payload == UNSIGNED_PAYLOAD {
        added.push(("x-amz-content-sha256", payload.to_string()));
    }
    if options.algorithm == Algorithm::Ecdsa {
        added.push(("x-amz-region-set", scope.region.to_owned()));
    }
    let mut headers = signable(request, scope, options.algorithm)?;
    headers.extend(added.iter().map(|(name, value)| (*name, value.as_bytes())));
    let signed_headers = names(&headers);
    let text = Text { request, scope, at: &at, options, headers: &headers, signed_headers: &signed_headers };
    let made = text.sign(credentials, kept, request.query, &payload)?;
    let authorization = format!(
        "{} Credential={}, SignedHeaders={signed_headers}, Signature={made}",
        options.algorithm.as_str(),
        credential(credentials, scope, &at, options.algorithm),
    );
    added.push(("authorization", authorization));
    Ok(added)
}

/// Signs a request in its query, good for `expires` from `now`. Gives the whole new query. Covers
/// the same headers as [`sign`], so whoever uses it must send them; usually only `host`.
///
/// # Errors
/// [`SignError`].
pub fn presign(
    request: &SignedRequest<'_>,
    credentials: &Credentials,
    scope: Scope<'_>,
    now: Timestamp,
    expires: SignedDuration,
    options: &SignOptions,
) -> Result<String, SignError> {
    if expires.as_secs() < 1 || expires > MAX_EXPIRES {
        return Err(SignError::Expires);
    }
    let at = format_basic(now);
    let mut payload = payload_hash(request, options);
    if options.path == PathEncoding::Once {
        payload = Cow::Borrowed(UNSIGNED_PAYLOAD);
    }
    let headers = signable(request, scope, options.algorithm)?;
    let signed_headers = names(&headers);
    let credential = credential(credentials, scope, &at, options.algorithm);
    let mut presigned = request.query.to_owned();
    let mut add = |name: &str, value: &str| {
        if !presigned.is_empty() {
            presigned.push('&');
        }
        presigned.push_str(name);
        presigned.push('=');
        push_parameter(&mut presigned, value);
    };
    add("X-Amz-Algorithm", options.algorithm.as_str());
    add("X-Amz-Credential", &credential);
    add("X-Amz-Date", &at);
    add("X-Amz-Expires", &expires.as_secs().to_string());
    add("X-Amz-SignedHeaders", &signed_headers);
    if options.algorithm == Algorithm::Ecdsa {
        add("X-Amz-Region-Set", scope.region);
    }
    if let Some(token) = &credentials.session_token {
        add("X-Amz-Security-Token", token.as_str());
    }
    if payload == UNSIGNED_PAYLOAD && options.path != PathEncoding::Once {
        // Other services hash the body unless they are told.
        add("X-Amz-Content-Sha256", UNSIGNED_PAYLOAD);
    }
    let text = Text { request, scope, at: &at, options, headers: &headers, signed_headers: &signed_headers };
    let made = text.sign(credentials, &KeptKey::default(), &presigned, &payload)?;
    presigned.push_str("&X-Amz-Signature=");
    presigned.push_str(&made);
    Ok(presigned)
}

fn payload_hash(request: &SignedRequest<'_>, options: &SignOptions) -> Cow<'static, str> {
    match request.payload {
        Payload::Body(body) if !options.unsigned_payload => Cow::Owned(hex(&Sha256::digest(body))),
        Payload::Body(_) | Payload::Streamed => Cow::Borrowed(UNSIGNED_PAYLOAD),
    }
}

/// The scope of a signature with the key in front.
fn credential(credentials: &Credentials, scope: Scope<'_>, at: &str, algorithm: Algorithm) -> String {
    let (key, day, service) = (&credentials.access_key_id, &at[..8], scope.service);
    match algorithm {
        Algorithm::Hmac => format!("{key}/{day}/{}/{service}/aws4_request", scope.region),
        Algorithm::Ecdsa => format!("{key}/{day}/{service}/aws4_request"),
    }
}

fn signable<'a>(
    request: &SignedRequest<'a>,
    scope: Scope<'_>,
    algorithm: Algorithm,
) -> Result<Vec<Header<'a>>, SignError> {
    if let Some(what) = request.fault() {
        return Err(SignError::Malformed { what });
    }
    if request.values("host").count() != 1 {
        return Err(SignError::Host);
    }
    let is_region = match algorithm {
        Algorithm::Hmac => is_scope_word(scope.region),
        Algorithm::Ecdsa => is_region_set(scope.region),
    };
    if !is_region || !is_scope_word(scope.service) {
        return Err(SignError::Scope);
    }
    if let Some(name) = RESERVED.into_iter().find(|name| request.values(name).next().is_some()) {
        return Err(SignError::Reserved { name });
    }
    let covered =
        |(name, _): &&Header<'_>| !NEVER_SIGNED.iter().any(|other| name.eq_ignore_ascii_case(other));
    Ok(request.headers.iter().filter(covered).copied().collect())
}

fn names(headers: &[Header<'_>]) -> String {
    let mut names: Vec<String> = headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.sort_unstable();
    names.dedup();
    names.join(";")
}

/// What is signed, but for query and payload.
struct Text<'a> {
    request: &'a SignedRequest<'a>,
    scope: Scope<'a>,
    at: &'a str,
    options: &'a SignOptions,
    headers: &'a [Header<'a>],
    signed_headers: &'a str,
}

impl Text<'_> {
    fn sign(
        &self,
        credentials: &Credentials,
        kept: &KeptKey,
        raw_query: &str,
        payload: &str,
    ) -> Result<String, SignError> {
        let Self { request, scope, at, options, headers, signed_headers } = *self;
        let form = match options.path {
            PathEncoding::Double | PathEncoding::AsSigned => PathForm::NormalisedAndEncoded,
            PathEncoding::Once => PathForm::Encoded,
        };
        let query = query(raw_query, false, Plus::Itself)?;
        let canonical = Canonical {
            method: request.method,
            path: path(request.path, form)?,
            query: &query,
            headers,
            signed_headers,
        };
        let (date, hash) = (&at[..8], canonical.hash(payload));
        let key = kept.key(credentials, options.algorithm, date, scope)?;
        match &*key {
            Key::Hmac(key) => {
                let scope = [date, scope.region, scope.service];
                Ok(hex(&key.sign(&text_to_sign(Algorithm::Hmac, at, &scope, &hash))))
            }
            Key::Ecdsa(key) => {
                let text = text_to_sign(Algorithm::Ecdsa, at, &[date, scope.service], &hash).concat();
                key.sign(&text).map(|der| hex(&der)).ok_or(SignError::Key)
            }
        }
    }
}
