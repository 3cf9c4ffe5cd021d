//! Step 6: who is calling. Whoever signs is the one their signature says, or nobody at all; whoever
//! does not is anonymous.
//!
//! "Any request carrying SigV4 or SigV4A is authenticated, and fails on a bad signature even where
//! anonymous would pass."

use std::rc::Rc;

use jiff::{SignedDuration, Timestamp};
use trellis_auth::{
    AuthError, Claimed, Header, LATTICE_MAX_SKEW, Payload, PayloadFault, Rules, ScopePart, SignedRequest,
    scope_of,
};
use trellis_model::snapshot::Service;

use crate::callers::Known;
use crate::http1::MAX_HEADERS;
use crate::request::Head;
use crate::worker::Worker;

/// The signing name of a service's clients.
const SIGNING_NAME: &str = "vpc-lattice-svcs";

/// Who a request is from.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    Anonymous,
    Known(Rc<Known>),
}

/// The caller of `head`. `guarded`: some layer looks at callers. Where none does, a signature for
/// another service is a matter between the client and the target, and passes.
///
/// # Errors
/// What the client is told: `SomeException: message`.
pub(crate) fn identify(
    worker: &Worker,
    service: &Service,
    head: &dyn Head,
    guarded: bool,
) -> Result<Caller, String> {
    if !may_be_signed(head) {
        return Ok(Caller::Anonymous);
    }
    let mut headers: [Header<'_>; MAX_HEADERS + 1] = [("", b""); MAX_HEADERS + 1];
    let mut count = 0;
    head.each_field(&mut |name, value| {
        if let (Some(place), Ok(name)) = (headers.get_mut(count), std::str::from_utf8(name)) {
            *place = (name, value);
            count += 1;
        }
    });
    let headers = &headers[..count];
    let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
    let (method, path, query) = (text(head.method()), text(head.path()), text(head.query()));
    if !guarded && scope_of(headers, query).is_none_or(|scope| scope.service != SIGNING_NAME) {
        return Ok(Caller::Anonymous);
    }
    let request = SignedRequest { method, path, query, headers, payload: Payload::Streamed };
    let now = worker.clock.wall();
    let regions = [region_of(&service.arn)];
    let verified = Claimed::of(&request, now, &Rules::for_lattice_service(&regions)).and_then(|claimed| {
        let view = worker.view();
        worker.callers.identify(&claimed, &view.snapshot.identities, now)
    });
    match verified {
        Ok(known) => Ok(Caller::Known(known)),
        Err(AuthError::Missing) => Ok(Caller::Anonymous),
        Err(error) => {
            tracing::debug!(%error, service = %service.id, "refused a signature");
            Err(told(&error, now))
        }
    }
}

/// A cheap look: whether there is anything to verify.
fn may_be_signed(head: &dyn Head) -> bool {
    head.has_authorization()
        || (!head.query().is_empty() && memchr::memmem::find(head.query(), b"X-Amz-").is_some())
}

/// The region of an ARN.
fn region_of(arn: &str) -> &str {
    arn.split(':').nth(3).unwrap_or_default()
}

/// What the client learns of a signature that did not hold: what AWS says and nothing more.
fn told(error: &AuthError, now: Timestamp) -> String {
    const INVALID: &str = "InvalidSignatureException";
    const INCOMPLETE: &str = "IncompleteSignatureException";
    let basic = |at: Timestamp| at.strftime("%Y%m%dT%H%M%SZ").to_string();
    let skew = LATTICE_MAX_SKEW.as_mins();
    match error {
        AuthError::Missing | AuthError::Incomplete { .. } | AuthError::Malformed { .. } => {
            format!("{INCOMPLETE}: {}", sentence(&error.to_string()))
        }
        AuthError::UnsupportedAlgorithm { .. } => {
            format!(
                "{INCOMPLETE}: Unsupported AWS 'algorithm', use AWS4-HMAC-SHA256 or AWS4-ECDSA-P256-SHA256."
            )
        }
        AuthError::SignedHeaderAbsent { name } => format!(
            "{INCOMPLETE}: '{name}' is named as a SignedHeader, but it does not exist in the HTTP request."
        ),
        AuthError::HeaderNotSigned { name } => {
            format!("{INVALID}: '{name}' must be a 'SignedHeader' in the AWS Authorization.")
        }
        AuthError::ScopeMismatch { part: ScopePart::Service, expected, .. } => {
            format!("{INVALID}: Credential should be scoped to correct service: '{expected}'.")
        }
        AuthError::ScopeMismatch { part: ScopePart::Region, .. } => {
            format!("{INVALID}: Credential should be scoped to a valid region.")
        }
        AuthError::ScopeMismatch { part: ScopePart::Date, expected, found } => format!(
            "{INVALID}: Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date \
             from HTTP: '{found}' != '{expected}'."
        ),
        AuthError::Skewed { signed_at, .. } if *signed_at > now => format!(
            "{INVALID}: Signature not yet current: {} is still later than {} ({} + {skew} min.)",
            basic(*signed_at),
            basic(moved(now, LATTICE_MAX_SKEW)),
            basic(now),
        ),
        AuthError::Skewed { signed_at, .. } => format!(
            "{INVALID}: Signature expired: {} is now earlier than {} ({} - {skew} min.)",
            basic(*signed_at),
            basic(moved(now, -LATTICE_MAX_SKEW)),
            basic(now),
        ),
        AuthError::Expired { expired_at, .. } => {
            format!("{INVALID}: Signature expired: {} is now earlier than {}", basic(*expired_at), basic(now))
        }
        AuthError::Payload(PayloadFault::SignedNotSupported) => {
            format!("{INVALID}: Signed payloads are not supported")
        }
        AuthError::BadSignature | AuthError::Payload(_) => format!(
            "{INVALID}: The request signature we calculated does not match the signature you provided. \
             Check your AWS Secret Access Key and signing method. Consult the service documentation for \
             details."
        ),
        AuthError::TokenExpired => {
            "ExpiredTokenException: The security token included in the request is expired".to_owned()
        }
        AuthError::UnknownKey { .. } | AuthError::TokenUnsupported | AuthError::TokenInvalid => {
            "UnrecognizedClientException: The security token included in the request is invalid".to_owned()
        }
    }
}

fn moved(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(at)
}

/// With a capital at its beginning and a full stop at its end.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).chain(['.']).collect()
}
