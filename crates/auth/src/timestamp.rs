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

/// `YYYYMMDDTHHMMSSZ`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BasicTime([u8; 16]);

impl BasicTime {
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// What the scope calls its date.
    pub(crate) fn day(&self) -> &str {
        &self.as_str()[..8]
    }
}

impl From<Timestamp> for BasicTime {
    /// Of years past 9999, which no request can name, the last four digits.
    fn from(timestamp: Timestamp) -> Self {
        let at = Offset::UTC.to_datetime(timestamp);
        let mut text = *b"00000000T000000Z";
        let mut put = |start: usize, length: usize, mut value: u32| {
            for place in text[start..start + length].iter_mut().rev() {
                *place = b'0' + (value % 10) as u8;
                value /= 10;
            }
        };
        put(0, 4, at.year().unsigned_abs().into());
        for (start, value) in
            [(4, at.month()), (6, at.day()), (9, at.hour()), (11, at.minute()), (13, at.second())]
        {
            put(start, 2, value.unsigned_abs().into());
        }
        Self(text)
    }
}

/// Writes `YYYYMMDDTHHMMSSZ`.
pub(crate) fn format_basic(timestamp: Timestamp) -> String {
    BasicTime::from(timestamp).as_str().to_owned()
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
