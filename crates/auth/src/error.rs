//! Why a request is not accepted as signed, by whose fault.
//!
//! Texts may go back to the caller: they say which part to look at, and hold neither secrets nor
//! the signature or canonical request that was computed.

use jiff::{SignedDuration, Timestamp};

/// Why [`verify`](crate::verify) did not accept a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// There is no signature of this kind at all: the caller is anonymous.
    #[error("the request is not signed")]
    Missing,
    /// A signature is there, but something that belongs to it is not.
    #[error("the request is signed, but has no {missing}")]
    Incomplete { missing: &'static str },
    /// A part of the signature has not the form it must have, or a limit is exceeded.
    #[error("malformed signature: {what}")]
    Malformed { what: &'static str },
    /// A header that must be covered by the signature is not.
    #[error("the header {name} must be one of the signed headers")]
    HeaderNotSigned { name: String },
    /// The signature covers a header that did not arrive.
    #[error("the signed header {name} is not in the request")]
    SignedHeaderAbsent { name: String },
    /// Not `AWS4-HMAC-SHA256`. SigV2 ends here, and SigV4A (`AWS4-ECDSA-P256-SHA256`) where the
    /// rules do not accept it.
    #[error("signature algorithm {found} is not supported, use AWS4-HMAC-SHA256")]
    UnsupportedAlgorithm { found: String },
    /// The scope names another service, region or day than it should.
    #[error("the credential scope has {part} {found}, expected {expected}")]
    ScopeMismatch { part: ScopePart, expected: String, found: String },
    /// Signed too long ago, or in the future.
    #[error("signed at {signed_at}, which is more than {max_skew:#} from the time here, {now}")]
    Skewed { signed_at: Timestamp, now: Timestamp, max_skew: SignedDuration },
    /// A presigned request after its time.
    #[error("the presigned request expired at {expired_at}, the time here is {now}")]
    Expired { expired_at: Timestamp, now: Timestamp },
    /// Nobody has this access key.
    #[error("the access key id {access_key_id} is unknown")]
    UnknownKey { access_key_id: String },
    /// The signature is another than the secret and the request give.
    #[error(
        "the signature does not match: check the secret key, and that the method, path, query, \
         signed headers and body arrive as they were signed"
    )]
    BadSignature,
    /// The payload is not what was signed, or signed in a way not admitted here.
    #[error("{0}")]
    Payload(PayloadFault),
    /// A session token came with a key, or to a place, that takes none.
    #[error("a session token is not accepted with this access key")]
    TokenUnsupported,
    /// A session token that was not issued here, was changed, or is missing where one is needed.
    #[error("the session token is not valid")]
    TokenInvalid,
    /// A session token past its time.
    #[error("the session token has expired")]
    TokenExpired,
}

/// A part of the credential scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScopePart {
    Date,
    Region,
    Service,
}

impl std::fmt::Display for ScopePart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Date => "date",
            Self::Region => "region",
            Self::Service => "service",
        })
    }
}

/// What is wrong with the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayloadFault {
    /// The body's hash is another than x-amz-content-sha256 says.
    #[error("the body is not the one that x-amz-content-sha256 was computed from")]
    Mismatch,
    /// [`PayloadRule::UnsignedOnly`](crate::PayloadRule): a real hash was sent.
    #[error("signed payloads are not supported, send x-amz-content-sha256: UNSIGNED-PAYLOAD")]
    SignedNotSupported,
    /// [`PayloadRule::HashRequired`](crate::PayloadRule): UNSIGNED-PAYLOAD was sent.
    #[error("the payload must be signed, UNSIGNED-PAYLOAD is not accepted")]
    UnsignedNotAccepted,
    /// `STREAMING-...` or another word that stands for no hash known here.
    #[error("x-amz-content-sha256 must be the body's SHA-256 in hex or UNSIGNED-PAYLOAD")]
    UnknownForm,
}
