//! The little of gRPC a proxy has to know: what is gRPC, and how long a call may take.

use std::time::Duration;

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
