//! The payload's part of a signature: what is demanded of it, and whether the body is the one signed.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::canonical::{hex, sha256_from_hex};
use crate::parameters::Parameters;
use crate::{AuthError, PathEncoding, Payload, PayloadFault, PayloadRule, Rules, SignedRequest};

pub(crate) const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// The payload line of the canonical request, and whether the body has still to be compared.
pub(crate) struct PayloadHash<'a> {
    pub(crate) text: Cow<'a, str>,
    claimed: Option<[u8; 32]>,
}

impl PayloadHash<'_> {
    pub(crate) fn check_body(&self, request: &SignedRequest<'_>) -> Result<(), AuthError> {
        let Some(claimed) = &self.claimed else { return Ok(()) };
        let same = match request.payload {
            Payload::Body(body) => bool::from(Sha256::digest(body).ct_eq(claimed)),
            Payload::Streamed => false,
        };
        if same { Ok(()) } else { Err(AuthError::Payload(PayloadFault::Mismatch)) }
    }
}

pub(crate) fn payload_hash<'a>(
    request: &SignedRequest<'a>,
    parameters: &Parameters<'a>,
    rules: &Rules<'_>,
) -> Result<PayloadHash<'a>, AuthError> {
    const HEADER: &str = "x-amz-content-sha256";
    let header = request
        .single(HEADER)
        .map_err(|_| AuthError::Malformed { what: "x-amz-content-sha256 is repeated" })?;
    let header = match header.map(|value| std::str::from_utf8(value.trim_ascii())) {
        Some(Ok(text)) => Some(Cow::Borrowed(text)),
        Some(Err(_)) => return Err(AuthError::Payload(PayloadFault::UnknownForm)),
        None => None,
    };
    let sent = match (header, &parameters.query_payload_hash) {
        (Some(header), Some(query)) if header != *query => {
            return Err(AuthError::Malformed {
                what: "x-amz-content-sha256 differs between header and query",
            });
        }
        (header, query) => header.or_else(|| query.clone()),
    };
    let unsigned = || PayloadHash { text: Cow::Borrowed(UNSIGNED_PAYLOAD), claimed: None };
    match (sent, rules.payload) {
        (Some(text), PayloadRule::HashRequired) if text == UNSIGNED_PAYLOAD => {
            Err(AuthError::Payload(PayloadFault::UnsignedNotAccepted))
        }
        (Some(text), PayloadRule::Any | PayloadRule::UnsignedOnly) if text == UNSIGNED_PAYLOAD => {
            Ok(unsigned())
        }
        (Some(_), PayloadRule::UnsignedOnly) => Err(AuthError::Payload(PayloadFault::SignedNotSupported)),
        (Some(text), PayloadRule::Any | PayloadRule::HashRequired) => {
            let claimed =
                sha256_from_hex(text.as_bytes()).ok_or(AuthError::Payload(PayloadFault::UnknownForm))?;
            Ok(PayloadHash { text, claimed: Some(claimed) })
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
            Payload::Body(body) => {
                Ok(PayloadHash { text: Cow::Owned(hex(&Sha256::digest(body))), claimed: None })
            }
            Payload::Streamed => Err(AuthError::Incomplete { missing: "x-amz-content-sha256 header" }),
        },
    }
}
