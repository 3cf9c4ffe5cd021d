//! The little of gRPC a proxy has to know: what is gRPC, and how long a call may take.

use std::borrow::Cow;
use std::time::Duration;

use crate::failure::Failure;

const UNKNOWN: u32 = 2;
/// The call's own deadline has passed, or nothing moved for too long.
pub(crate) const DEADLINE_EXCEEDED: u32 = 4;
const PERMISSION_DENIED: u32 = 7;
const RESOURCE_EXHAUSTED: u32 = 8;
const UNIMPLEMENTED: u32 = 12;
const INTERNAL: u32 = 13;
/// The call may be tried again.
pub(crate) const UNAVAILABLE: u32 = 14;

/// The field of a call's own deadline.
pub(crate) const TIMEOUT: &[u8] = b"grpc-timeout";

/// `application/grpc`, alone or with a suffix such as `+proto` or a parameter. `application/grpc-web`
/// is another protocol, made for HTTP/1.
pub(crate) fn is_content_type(value: &[u8]) -> bool {
    const NAME: &[u8] = b"application/grpc";
    value.get(..NAME.len()).is_some_and(|start| start.eq_ignore_ascii_case(NAME))
        && matches!(value.get(NAME.len()), None | Some(b'+' | b';' | b' '))
}

/// `TimeoutValue TimeoutUnit`: at most eight digits and one of H, M, S, m, u, n. `None` when it is
/// anything else: then the target has to make of it what it can.
pub(crate) fn timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    match unit {
        b'H' => Some(Duration::from_secs(number * 3600)),
        b'M' => Some(Duration::from_secs(number * 60)),
        b'S' => Some(Duration::from_secs(number)),
        b'm' => Some(Duration::from_millis(number)),
        b'u' => Some(Duration::from_micros(number)),
        b'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// What a call is told that is refused here or cannot be brought to a target, and for which HTTP has
/// `status`. As clients would make it of the status alone (gRPC's "HTTP to gRPC Status Code Mapping"),
/// except where more is known.
pub(crate) fn status_of_refusal(status: u16, failure: Option<Failure>) -> u32 {
    match (status, failure) {
        (_, Some(Failure::ClientRateLimited)) | (431, _) => RESOURCE_EXHAUSTED,
        (_, Some(Failure::TargetDataTimeout)) | (408, _) => DEADLINE_EXCEEDED,
        (500, Some(Failure::TargetConnectionError)) | (429 | 502..=504, _) => UNAVAILABLE,
        (500, Some(Failure::InternalError)) | (400, _) => INTERNAL,
        (403, _) => PERMISSION_DENIED,
        (404 | 405, _) => UNIMPLEMENTED,
        _ => UNKNOWN,
    }
}

/// A text as `grpc-message` has it: "%" and what is not printable ASCII as %XX.
pub(crate) fn percent_encoded(text: &str) -> Cow<'_, [u8]> {
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'%';
    if text.bytes().all(plain) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut encoded = Vec::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if plain(byte) {
            encoded.push(byte);
        } else {
            const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
            encoded.extend([b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
    Cow::Owned(encoded)
}

/// The value of `grpc-status`. `None` when it is no number.
pub(crate) fn status(value: &[u8]) -> Option<u32> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_digits_and_a_unit() {
        for (text, expected) in [
            ("1S", Some(Duration::from_secs(1))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("150m", Some(Duration::from_millis(150))),
            ("7u", Some(Duration::from_micros(7))),
            ("0n", Some(Duration::ZERO)),
            ("123456789S", None),
            ("S", None),
            ("1", None),
            ("-1S", None),
            ("1 S", None),
            ("", None),
        ] {
            assert_eq!(timeout(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn refusals_have_the_status_a_client_can_act_on() {
        for (status, failure, expected) in [
            (400, Some(Failure::ClientProtocolError), INTERNAL),
            (403, Some(Failure::ClientAccessDenied), PERMISSION_DENIED),
            (404, None, UNIMPLEMENTED),
            (408, Some(Failure::ClientConnectionClosed), DEADLINE_EXCEEDED),
            (431, Some(Failure::ClientProtocolError), RESOURCE_EXHAUSTED),
            (500, None, UNKNOWN),
            (500, Some(Failure::TargetConnectionError), UNAVAILABLE),
            (500, Some(Failure::InternalError), INTERNAL),
            (502, Some(Failure::TargetProtocolError), UNAVAILABLE),
            (503, Some(Failure::TargetConnectionError), UNAVAILABLE),
            (503, Some(Failure::ClientRateLimited), RESOURCE_EXHAUSTED),
            (504, Some(Failure::TargetDataTimeout), DEADLINE_EXCEEDED),
            (504, Some(Failure::ConnectionDurationExceeded), UNAVAILABLE),
        ] {
            assert_eq!(status_of_refusal(status, failure), expected, "{status} {failure:?}");
        }
    }

    #[test]
    fn messages_are_printable() {
        for (text, expected) in [("a b~", "a b~"), ("100%", "100%25"), ("é\n", "%C3%A9%0A")] {
            assert_eq!(&*percent_encoded(text), expected.as_bytes());
        }
    }

    #[test]
    fn grpc_web_is_not_grpc() {
        for (text, expected) in [
            ("application/grpc", true),
            ("Application/gRPC+json", true),
            ("application/grpc;charset=x", true),
            ("application/grpc-web", false),
            ("application/json", false),
            ("", false),
        ] {
            assert_eq!(is_content_type(text.as_bytes()), expected, "{text}");
        }
    }
}
