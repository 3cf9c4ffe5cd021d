//! The time of a signature: `20150830T123600Z`, or the HTTP `Date` header.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// Reads `YYYYMMDDTHHMMSSZ`.
pub(crate) fn parse_basic(text: &str) -> Option<Timestamp> {
    let bytes: &[u8; 16] = text.as_bytes().try_into().ok()?;
    if bytes[8] != b'T' || bytes[15] != b'Z' {
        return None;
    }
    let number = |range: std::ops::Range<usize>| {
        bytes[range]
            .iter()
            .try_fold(0i16, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i16::from(byte - b'0')))
    };
    let small = |range| number(range).and_then(|value| i8::try_from(value).ok());
    let civil = DateTime::new(
        number(0..4)?,
        small(4..6)?,
        small(6..8)?,
        small(9..11)?,
        small(11..13)?,
        small(13..15)?,
        0,
    )
    .ok()?;
    Offset::UTC.to_timestamp(civil).ok()
}

/// Reads the HTTP date, `Sun, 30 Aug 2015 12:36:00 GMT`.
pub(crate) fn parse_http_date(text: &str) -> Option<Timestamp> {
    if text.len() > 64 {
        return None;
    }
    jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp())
}

/// Writes `YYYYMMDDTHHMMSSZ`; the first 8 characters are the scope's date.
pub(crate) fn format_basic(timestamp: Timestamp) -> String {
    let at = Offset::UTC.to_datetime(timestamp);
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        at.year(),
        at.month(),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_reads_back_as_it_is_written() {
        for text in ["20150830T123600Z", "20240229T235959Z", "19700101T000000Z"] {
            assert_eq!(format_basic(parse_basic(text).unwrap()), text);
        }
    }

    #[test]
    fn times_in_any_other_form_are_refused() {
        for text in [
            "",
            "20150830T123600",
            "20150830 123600Z",
            "20150230T123600Z",
            "20150830T243600Z",
            "2015083+T123600Z",
            "20150830T1236000Z",
            "２0150830T1236Z",
        ] {
            assert_eq!(parse_basic(text), None, "{text}");
        }
    }

    #[test]
    fn the_http_date_is_the_same_moment() {
        let at = parse_basic("20150830T123600Z");
        assert_eq!(parse_http_date("Sun, 30 Aug 2015 12:36:00 GMT"), at);
        assert_eq!(parse_http_date("yesterday"), None);
    }
}
