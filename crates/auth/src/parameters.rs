//! What a request says about its own signature: in `Authorization`, or in a presigned query.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};

use crate::canonical::{SIGNATURE_PARAMETER, bytes_from_hex, decoded, parameters_of, sha256_from_hex};
use crate::request::{MAX_QUERY_PARAMETERS, is_token, values};
use crate::rules::MAX_EXPIRES;
use crate::timestamp::{BasicTime, parse_basic, parse_http_date};
use crate::{AccessKeyId, AuthError, Header, SessionToken, SignedRequest};

pub(crate) const HMAC_ALGORITHM: &str = "AWS4-HMAC-SHA256";
pub(crate) const ECDSA_ALGORITHM: &str = "AWS4-ECDSA-P256-SHA256";
/// Longest `Authorization` header read.
const MAX_AUTHORIZATION: usize = 16 * 1024;
/// Headers one signature may cover.
const MAX_SIGNED_HEADERS: usize = 100;
/// The longest DER of an ECDSA signature on P-256, in bytes.
const MAX_DER: usize = 72;

/// The two signatures of AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// SigV4: an HMAC with a key for one day, region and service.
    Hmac,
    /// SigV4A: an ECDSA signature, good in a set of regions.
    Ecdsa,
}

impl Algorithm {
    /// As it is named on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hmac => HMAC_ALGORITHM,
            Self::Ecdsa => ECDSA_ALGORITHM,
        }
    }
}

/// A signature as it was sent.
#[derive(Clone, Copy)]
pub(crate) enum Signature {
    Hmac([u8; 32]),
    /// DER, its first bytes.
    Ecdsa([u8; MAX_DER], usize),
}

/// Read from the request, believed in nothing yet.
pub(crate) struct Parameters<'a> {
    pub(crate) scope: CredentialScope<'a>,
    /// Lower case, ascending, no repeats, contains `host`.
    pub(crate) signed_headers: Cow<'a, str>,
    pub(crate) signature: Signature,
    pub(crate) signed_at: Timestamp,
    /// `signed_at` as it is signed.
    pub(crate) signed_at_text: BasicTime,
    /// The header that `signed_at` came from, which therefore must be signed; `None` presigned.
    pub(crate) date_header: Option<&'static str>,
    pub(crate) security_token: Option<Cow<'a, str>>,
    /// Life of a presigned request; `None` for one signed in its header.
    pub(crate) expires: Option<SignedDuration>,
    /// `X-Amz-Content-Sha256` of a presigned query.
    pub(crate) query_payload_hash: Option<Cow<'a, str>>,
}

#[derive(Debug)]
pub(crate) struct CredentialScope<'a> {
    pub(crate) access_key_id: Cow<'a, str>,
    pub(crate) date: Cow<'a, str>,
    /// Of SigV4A the set of regions, as it is written: names, separated by commas, and stars.
    pub(crate) region: Cow<'a, str>,
    pub(crate) service: Cow<'a, str>,
}

/// What a request claims about its signature, not verified: good for choosing the service whose
/// rules and error format apply, and for nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeHint {
    pub access_key_id: String,
    /// Empty for SigV4A, whose scope has none.
    pub region: String,
    pub service: String,
}

/// The scope that a signed request claims; `None` when it is not signed, or not readably.
pub fn scope_of(headers: &[Header<'_>], query: &str) -> Option<ScopeHint> {
    let credential = match authorization(headers).ok()? {
        Some(value) => {
            let (_, rest) = value.split_once(' ')?;
            Cow::Borrowed(rest.split(',').find_map(|item| item.trim().strip_prefix("Credential="))?)
        }
        None => {
            let mut parameters = parameters_of(query).take(MAX_QUERY_PARAMETERS);
            decoded(parameters.find(|(name, _)| *name == "X-Amz-Credential")?.1)?
        }
    };
    if credential.len() > MAX_AUTHORIZATION {
        return None;
    }
    let parts: Vec<&str> = credential.trim().split('/').collect();
    let (access_key_id, region, service) = match parts[..] {
        [id, _, region, service, "aws4_request"] if is_scope_word(region) => (id, region, service),
        [id, _, service, "aws4_request"] => (id, "", service),
        _ => return None,
    };
    access_key_id.parse::<AccessKeyId>().ok()?;
    is_scope_word(service).then(|| ScopeHint {
        access_key_id: access_key_id.into(),
        region: region.into(),
        service: service.into(),
    })
}

/// The `Authorization` value when it is of an AWS kind; other kinds are the application's own.
fn authorization<'a>(headers: &[Header<'a>]) -> Result<Option<&'a str>, AuthError> {
    let malformed = |what| AuthError::Malformed { what };
    let mut found = None;
    for value in values(headers, "authorization") {
        let value = value.trim_ascii_start();
        let ours =
            value.starts_with(b"AWS4-") || value.starts_with(b"AWS ") || value == HMAC_ALGORITHM.as_bytes();
        if !ours {
            continue;
        }
        if found.is_some() {
            return Err(malformed("there are two Authorization headers"));
        }
        if value.len() > MAX_AUTHORIZATION {
            return Err(malformed("the Authorization header is too long"));
        }
        let text = std::str::from_utf8(value).ok().filter(|text| text.is_ascii());
        found = Some(text.ok_or(malformed("the Authorization header is not ASCII"))?);
    }
    Ok(found)
}

impl<'a> Parameters<'a> {
    /// `ecdsa`: SigV4A is accepted.
    pub(crate) fn of(request: &SignedRequest<'a>, ecdsa: bool) -> Result<Self, AuthError> {
        let presigned = parameters_of(request.query)
            .any(|(name, _)| matches!(name, "X-Amz-Algorithm" | "X-Amz-Credential" | SIGNATURE_PARAMETER));
        match (authorization(request.headers)?, presigned) {
            (Some(_), true) => Err(AuthError::Malformed {
                what: "the request is signed both in its header and in its query",
            }),
            (Some(value), false) => Self::from_header(request, value, ecdsa),
            (None, true) => Self::from_query(request, ecdsa),
            (None, false) => Err(AuthError::Missing),
        }
    }

    fn from_header(request: &SignedRequest<'a>, value: &'a str, ecdsa: bool) -> Result<Self, AuthError> {
        let (algorithm, rest) = value.split_once(' ').unwrap_or((value, ""));
        let algorithm = parse_algorithm(algorithm, ecdsa)?;
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for item in rest.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let Some((name, value)) = item.split_once('=') else {
                return Err(AuthError::Malformed { what: "the Authorization header has an item without =" });
            };
            let slot = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => {
                    return Err(AuthError::Malformed {
                        what: "the Authorization header has an unknown item",
                    });
                }
            };
            if slot.replace(Cow::Borrowed(value)).is_some() {
                return Err(AuthError::Malformed { what: "the Authorization header repeats an item" });
            }
        }
        let (date_header, signed_at) = header_time(request)?;
        let security_token = header_text(request, "x-amz-security-token")?.map(session_token).transpose()?;
        let regions = match algorithm {
            Algorithm::Hmac => None,
            Algorithm::Ecdsa => header_text(request, "x-amz-region-set")?.map(Cow::Borrowed),
        };
        let scope = required(credential, "Credential")?;
        Ok(Self {
            scope: CredentialScope::parse(scope, algorithm, regions)?,
            signed_headers: signed_header_list(required(signed_headers, "SignedHeaders")?)?,
            signature: parse_signature(algorithm, &required(signature, "Signature")?)?,
            signed_at,
            signed_at_text: BasicTime::from(signed_at),
            date_header: Some(date_header),
            security_token,
            expires: None,
            query_payload_hash: None,
        })
    }

    fn from_query(request: &SignedRequest<'a>, ecdsa: bool) -> Result<Self, AuthError> {
        const NAMES: [&str; 9] = [
            "X-Amz-Algorithm",
            "X-Amz-Credential",
            "X-Amz-Date",
            "X-Amz-Expires",
            "X-Amz-SignedHeaders",
            SIGNATURE_PARAMETER,
            "X-Amz-Security-Token",
            "X-Amz-Content-Sha256",
            "X-Amz-Region-Set",
        ];
        let mut found: [Option<Cow<'a, str>>; NAMES.len()] = Default::default();
        for (name, value) in parameters_of(request.query) {
            let Some(index) = NAMES.iter().position(|known| *known == name) else { continue };
            let value = decoded(value)
                .ok_or(AuthError::Malformed { what: "a signature parameter of the query is not UTF-8" })?;
            if found[index].replace(value).is_some() {
                return Err(AuthError::Malformed { what: "the query repeats a signature parameter" });
            }
        }
        let [algorithm, credential, date, expires, signed_headers, signature, token, payload_hash, regions] =
            found;
        let algorithm = parse_algorithm(&required(algorithm, "X-Amz-Algorithm")?, ecdsa)?;
        let expires = required(expires, "X-Amz-Expires")?
            .parse::<u32>()
            .ok()
            .map(|seconds| SignedDuration::from_secs(seconds.into()))
            .filter(|expires| !expires.is_zero() && *expires <= MAX_EXPIRES)
            .ok_or(AuthError::Malformed { what: "X-Amz-Expires must be 1 to 604800 seconds" })?;
        let signed_at = parse_basic(&required(date, "X-Amz-Date")?)
            .ok_or(AuthError::Malformed { what: "X-Amz-Date must look like 20150830T123600Z" })?;
        if let Some(token) = &token {
            session_token(token)?;
        }
        let scope = required(credential, "X-Amz-Credential")?;
        Ok(Self {
            scope: CredentialScope::parse(scope, algorithm, regions)?,
            signed_headers: signed_header_list(required(signed_headers, "X-Amz-SignedHeaders")?)?,
            signature: parse_signature(algorithm, &required(signature, SIGNATURE_PARAMETER)?)?,
            signed_at,
            signed_at_text: BasicTime::from(signed_at),
            date_header: None,
            security_token: token,
            expires: Some(expires),
            query_payload_hash: payload_hash,
        })
    }

    /// `header` in any case.
    pub(crate) fn covers(&self, header: &str) -> bool {
        self.signed_headers.split(';').any(|name| name.eq_ignore_ascii_case(header))
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        match self.signature {
            Signature::Hmac(_) => Algorithm::Hmac,
            Signature::Ecdsa(..) => Algorithm::Ecdsa,
        }
    }
}

impl<'a> CredentialScope<'a> {
    /// Reads `AKID/20150830/us-east-1/service/aws4_request`; for SigV4A, which has its `regions`
    /// elsewhere, `AKID/20150830/service/aws4_request`.
    fn parse(
        text: Cow<'a, str>,
        algorithm: Algorithm,
        regions: Option<Cow<'a, str>>,
    ) -> Result<Self, AuthError> {
        let malformed = || AuthError::Malformed {
            what: match algorithm {
                Algorithm::Hmac => "Credential must be KEY/YYYYMMDD/REGION/SERVICE/aws4_request",
                Algorithm::Ecdsa => "Credential must be KEY/YYYYMMDD/SERVICE/aws4_request",
            },
        };
        let fields = match text {
            Cow::Borrowed(text) => split_scope(text, algorithm).map(|fields| fields.map(Cow::Borrowed)),
            Cow::Owned(text) => {
                split_scope(&text, algorithm).map(|fields| fields.map(|field| Cow::Owned(field.to_owned())))
            }
        };
        let [access_key_id, date, region, service] = fields.ok_or_else(malformed)?;
        if !AccessKeyId::is_valid(&access_key_id)
            || date.len() != 8
            || !date.bytes().all(|byte| byte.is_ascii_digit())
            || !is_scope_word(&service)
        {
            return Err(malformed());
        }
        let region = match algorithm {
            Algorithm::Hmac if is_scope_word(&region) => region,
            Algorithm::Hmac => return Err(malformed()),
            Algorithm::Ecdsa => {
                let regions = regions.ok_or(AuthError::Incomplete { missing: "X-Amz-Region-Set" })?;
                if !is_region_set(&regions) {
                    return Err(AuthError::Malformed {
                        what: "X-Amz-Region-Set must be region names separated by commas, or *",
                    });
                }
                regions
            }
        };
        Ok(Self { access_key_id, date, region, service })
    }
}

/// Key, date, region and service; the region is empty for SigV4A.
fn split_scope(text: &str, algorithm: Algorithm) -> Option<[&str; 4]> {
    let mut parts = text.split('/');
    let (access_key_id, date) = (parts.next()?, parts.next()?);
    let region = match algorithm {
        Algorithm::Hmac => parts.next()?,
        Algorithm::Ecdsa => "",
    };
    let fields = [access_key_id, date, region, parts.next()?];
    (parts.next() == Some("aws4_request") && parts.next().is_none()).then_some(fields)
}

/// `us-east-1,eu-*` or `*`: each a name, with a star in place of its end or of all.
pub(crate) fn is_region_set(text: &str) -> bool {
    let is_region = |region: &str| {
        let name = region.strip_suffix('*').unwrap_or(region);
        region == "*" || is_scope_word(name)
    };
    text.len() <= 1024 && text.split(',').map(str::trim_ascii).all(is_region)
}

/// Whether a set of regions holds `region`.
pub(crate) fn region_set_holds(set: &str, region: &str) -> bool {
    set.split(',').map(str::trim_ascii).any(|each| match each.strip_suffix('*') {
        Some(start) => region.starts_with(start),
        None => each == region,
    })
}

/// A region or service in a scope: short, lower case, safe to put in messages and ARNs.
pub(crate) fn is_scope_word(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn parse_algorithm(found: &str, ecdsa: bool) -> Result<Algorithm, AuthError> {
    match found {
        HMAC_ALGORITHM => Ok(Algorithm::Hmac),
        ECDSA_ALGORITHM if ecdsa => Ok(Algorithm::Ecdsa),
        _ => {
            let found = found.chars().filter(char::is_ascii_graphic).take(64).collect();
            Err(AuthError::UnsupportedAlgorithm { found })
        }
    }
}

fn required<'a>(value: Option<Cow<'a, str>>, missing: &'static str) -> Result<Cow<'a, str>, AuthError> {
    value.filter(|value| !value.is_empty()).ok_or(AuthError::Incomplete { missing })
}

fn parse_signature(algorithm: Algorithm, text: &str) -> Result<Signature, AuthError> {
    let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    match algorithm {
        Algorithm::Hmac => sha256_from_hex(text.as_bytes())
            .filter(|_| lower)
            .map(Signature::Hmac)
            .ok_or(AuthError::Malformed { what: "the signature must be 64 lower-case hex digits" }),
        Algorithm::Ecdsa => {
            let mut der = [0; MAX_DER];
            bytes_from_hex(text.as_bytes(), &mut der)
                .filter(|_| lower)
                .map(|length| Signature::Ecdsa(der, length))
                .ok_or(AuthError::Malformed { what: "the signature must be DER in lower-case hex digits" })
        }
    }
}

fn session_token(text: &str) -> Result<Cow<'_, str>, AuthError> {
    if SessionToken::is_valid(text) { Ok(Cow::Borrowed(text)) } else { Err(AuthError::TokenInvalid) }
}

fn signed_header_list(list: Cow<'_, str>) -> Result<Cow<'_, str>, AuthError> {
    let is_name = |name: &str| is_token(name) && !name.bytes().any(|byte| byte.is_ascii_uppercase());
    if list.split(';').count() > MAX_SIGNED_HEADERS || !list.split(';').all(is_name) {
        return Err(AuthError::Malformed { what: "SignedHeaders must be lower-case names separated by ;" });
    }
    if !list.split(';').is_sorted_by(|before, after| before < after) {
        return Err(AuthError::Malformed { what: "SignedHeaders must be sorted and without repeats" });
    }
    Ok(list)
}

fn header_time(request: &SignedRequest<'_>) -> Result<(&'static str, Timestamp), AuthError> {
    if let Some(text) = header_text(request, "x-amz-date")? {
        let at = parse_basic(text)
            .ok_or(AuthError::Malformed { what: "x-amz-date must look like 20150830T123600Z" })?;
        return Ok(("x-amz-date", at));
    }
    let text = header_text(request, "date")?.ok_or(AuthError::Incomplete { missing: "x-amz-date header" })?;
    let at = parse_basic(text).or_else(|| parse_http_date(text));
    Ok(("date", at.ok_or(AuthError::Malformed { what: "Date is not an HTTP date" })?))
}

fn header_text<'a>(request: &SignedRequest<'a>, name: &str) -> Result<Option<&'a str>, AuthError> {
    let repeated = |_| AuthError::Malformed { what: "a header that belongs to the signature is repeated" };
    let Some(value) = request.single(name).map_err(repeated)? else { return Ok(None) };
    let text = std::str::from_utf8(value.trim_ascii()).ok().filter(|text| text.is_ascii());
    text.map(Some).ok_or(AuthError::Malformed { what: "a header that belongs to the signature is not ASCII" })
}
