//! Domain names as Route 53 reads and writes them.
//!
//! "If the domain name includes any characters other than a to z, 0 to 9, - (hyphen), or _ (underscore), Route 53 API
//! actions return the characters as escape codes": `*` is `\052`. Names are kept in that form and without the last
//! dot, as [`trellis_model::snapshot::names`] has them.

use std::fmt;

/// RFC 1035, 2.3.4.
const MAX_LABEL: usize = 63;
const MAX_NAME: usize = 255;

/// An absolute name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct DomainName(String);

/// Why a text is not a domain name: what Route 53 calls it, and a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: &'static str,
    pub(crate) message: &'static str,
}

impl Fault {
    pub(crate) const fn new(code: &'static str, message: &'static str) -> Self {
        Self { code, message }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.code, self.message)
    }
}

const EMPTY_LABEL: Fault = Fault::new("DomainLabelEmpty", "Domain label is empty");
const LONG_LABEL: Fault = Fault::new("DomainLabelTooLong", "Domain label is too long");
const LONG_NAME: Fault = Fault::new("DomainNameTooLong", "Domain name is too long");
const UNSUPPORTED: Fault = Fault::new("UnsupportedCharacter", "Value contains unsupported characters");
const BAD_ESCAPE: Fault =
    Fault::new("InvalidEscapeSequence", "An escape code is a backslash and three octal digits, up to \\377");

impl DomainName {
    /// Reads `www.Example.com` or `\052.example.com.`; the last dot changes nothing.
    ///
    /// # Errors
    /// What is no name, and why.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        Self::parse_or_root(text)?.ok_or(EMPTY_LABEL)
    }

    /// As [`DomainName::parse`]; `None` is the root, `.`.
    pub(crate) fn parse_or_root(text: &str) -> Result<Option<Self>, Fault> {
        if text == "." {
            return Ok(None);
        }
        let labels = labels(text)?;
        let mut canonical = String::with_capacity(text.len());
        for label in &labels {
            if !canonical.is_empty() {
                canonical.push('.');
            }
            for byte in label {
                match byte.to_ascii_lowercase() {
                    lower @ (b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_') => canonical.push(char::from(lower)),
                    other => canonical.push_str(&format!("\\{other:03o}")),
                }
            }
        }
        Ok(Some(Self(canonical)))
    }

    /// One that is kept in this form already.
    pub(crate) fn kept(text: &str) -> Self {
        Self(text.trim_end_matches('.').to_owned())
    }

    /// Without a dot at the end.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Labels last to first, each with a dot: what lists are in the order of.
    pub(crate) fn reversed(&self) -> String {
        let mut reversed = String::with_capacity(self.0.len() + 1);
        for label in self.0.rsplit('.') {
            reversed.push_str(label);
            reversed.push('.');
        }
        reversed
    }

    /// Whether it is `zone` or below it.
    pub(crate) fn is_in(&self, zone: &Self) -> bool {
        self.0.strip_suffix(&zone.0).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }

    /// As messages have it, uncompressed.
    pub(crate) fn to_wire(&self) -> Vec<u8> {
        to_wire(&labels(&self.0).unwrap_or_default())
    }
}

/// With the last dot, as the API writes it.
impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.", self.0)
    }
}

/// The wire form of labels.
fn to_wire(labels: &[Vec<u8>]) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in labels {
        // No label that was read is longer than MAX_LABEL.
        wire.push(label.len() as u8);
        wire.extend_from_slice(label);
    }
    wire.push(0);
    wire
}

/// A name inside record data on the wire; the root is a zero byte.
pub(crate) fn target(text: &str) -> Result<Vec<u8>, Fault> {
    Ok(DomainName::parse_or_root(text)?.map_or_else(|| vec![0], |name| name.to_wire()))
}

/// The bytes of each label, escape codes undone.
fn labels(text: &str) -> Result<Vec<Vec<u8>>, Fault> {
    let mut labels = Vec::new();
    let mut label = Vec::new();
    let mut bytes = text.strip_suffix('.').unwrap_or(text).bytes();
    // The length on the wire: a byte in front of each label, and the root's.
    let mut length = 1;
    let mut end = |label: &mut Vec<u8>| {
        if label.is_empty() {
            return Err(EMPTY_LABEL);
        }
        length += label.len() + 1;
        if length > MAX_NAME {
            return Err(LONG_NAME);
        }
        labels.push(std::mem::take(label));
        Ok(())
    };
    while let Some(byte) = bytes.next() {
        match byte {
            b'.' => {
                end(&mut label)?;
                continue;
            }
            b'\\' => label.push(escaped(&mut bytes)?),
            b'!'..=b'~' => label.push(byte),
            _ => return Err(UNSUPPORTED),
        }
        if label.len() > MAX_LABEL {
            return Err(LONG_LABEL);
        }
    }
    end(&mut label)?;
    Ok(labels)
}

/// The byte of three octal digits.
pub(crate) fn escaped(bytes: &mut impl Iterator<Item = u8>) -> Result<u8, Fault> {
    let mut value = 0_u32;
    for _ in 0..3 {
        let digit = bytes.next().filter(|digit| (b'0'..=b'7').contains(digit)).ok_or(BAD_ESCAPE)?;
        value = value * 8 + u32::from(digit - b'0');
    }
    u8::try_from(value).map_err(|_| BAD_ESCAPE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_in_one_way_however_they_are_read() {
        for (text, kept) in [
            ("Example.COM.", "example.com"),
            ("example.com", "example.com"),
            ("*.example.com", r"\052.example.com"),
            (r"\052.example.com", r"\052.example.com"),
            (r"\101.example.com", "a.example.com"),
            (r"a\056b.example.com", r"a\056b.example.com"),
            ("_sip._tcp.x-1.com", "_sip._tcp.x-1.com"),
            ("a/b.com", r"a\057b.com"),
        ] {
            let name = DomainName::parse(text).unwrap();
            assert_eq!(name.as_str(), kept, "{text}");
            assert_eq!(DomainName::parse(&name.to_string()).unwrap(), name);
        }
        let name = DomainName::parse(r"a\056b.example.com").unwrap();
        assert_eq!(name.to_wire(), b"\x03a.b\x07example\x03com\x00");
        assert_eq!(name.reversed(), r"com.example.a\056b.");
    }

    #[test]
    fn what_is_no_name_is_refused_with_the_reason() {
        let long = "a".repeat(64) + ".com";
        let longest = ["a".repeat(63).as_str(); 4].join(".");
        for (text, fault) in [
            ("", EMPTY_LABEL),
            ("a..b", EMPTY_LABEL),
            (".a", EMPTY_LABEL),
            (long.as_str(), LONG_LABEL),
            (longest.as_str(), LONG_NAME),
            ("a b.com", UNSUPPORTED),
            ("ä.com", UNSUPPORTED),
            (r"a\9.com", BAD_ESCAPE),
            (r"a\777.com", BAD_ESCAPE),
            (r"a\05", BAD_ESCAPE),
        ] {
            assert_eq!(DomainName::parse(text), Err(fault), "{text}");
        }
        assert_eq!(DomainName::parse_or_root("."), Ok(None));
    }
}
