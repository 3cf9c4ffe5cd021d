//! Who is calling: AWS Signature Version 4 and 4A.
//!
//! Bytes and values in, a [`Verified`] caller out; no I/O and no clock of its own. [`verify`] is
//! the only way to get a [`Verified`]: it checks form, freshness, scope, the presence of what must
//! be signed, the signature (in constant time) and the payload, and denies whatever it does not
//! know. [`sign`] and [`presign`] are the other side, for clients and tests. Neither secrets nor
//! computed signatures ever appear in an error or in `Debug` output.

mod canonical;
mod credential;
mod ecdsa;
mod error;
pub mod jwt;
mod kept_key;
mod parameters;
mod payload;
mod request;
mod rules;
mod session;
mod sign;
mod signing_key;
mod timestamp;
mod verify;

pub use credential::{AccessKeyId, Credentials, InvalidCredential, SecretKey, SessionToken};
pub use error::{AuthError, PayloadFault, ScopePart};
pub use kept_key::KeptKey;
pub use parameters::{Algorithm, ScopeHint, scope_of};
pub use request::{Header, Payload, SignedRequest, headers_of};
pub use rules::{
    DEFAULT_MAX_SKEW, LATTICE_MAX_SKEW, MAX_EXPIRES, PathEncoding, PayloadRule, RegionRule, Rules,
    UnsignedHeaders,
};
pub use session::{MAX_TOKEN, SealError, Session, SessionKind, TokenKeys};
pub use sign::{Scope, SignError, SignOptions, presign, sign, sign_with};
pub use signing_key::SigningKeyCache;
pub use verify::{Claim, Claimed, RequestKey, Verified, verify, verify_with};
