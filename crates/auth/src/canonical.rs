//! The canonical request: one spelling for everything that may be spelt in several ways.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use std::borrow::Cow;

use percent_encoding::percent_encode_byte;
use sha2::{Digest as _, Sha256};

use crate::request::{Header, values};

/// The query parameter that carries a presigned request's signature, and is not part of it.
pub(crate) const SIGNATURE_PARAMETER: &str = "X-Amz-Signature";

/// How one path is written in the canonical request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PathForm {
    /// Dot segments and empty segments removed, then encoded again: AWS's own rule.
    NormalisedAndEncoded,
    /// Encoded again as it is: signers that leave the segments alone.
    EncodedAgain,
    /// Encoded once: S3's rule.
    Encoded,
    Verbatim,
}

/// What a bare `+` of the query stands for: readers differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plus {
    Itself,
    Space,
    Encoded,
}

/// A percent sign that two hex digits do not follow. What it stands for depends on who reads it,
/// so no signature over it is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadPercent;

/// Everything that is signed about a request, in canonical form, before the payload's hash.
pub(crate) struct Canonical<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: Cow<'a, str>,
    pub(crate) query: &'a str,
    pub(crate) headers: &'a [Header<'a>],
    /// Lower case, ascending, without repeats; separated by `;`.
    pub(crate) signed_headers: &'a str,
}

impl Canonical<'_> {
    /// The hash of the canonical request, which is never put together: its parts go to the digest.
    pub(crate) fn hash(&self, payload_hash: &str) -> [u8; 64] {
        let mut digest = Sha256::new();
        for line in [self.method, &*self.path, self.query] {
            digest.update(line);
            digest.update(b"\n");
        }
        for name in self.signed_headers.split(';') {
            digest.update(name);
            for (index, value) in values(self.headers, name).enumerate() {
                digest.update(if index == 0 { b":" } else { b"," });
                collapsed(value, |part| digest.update(part));
            }
            digest.update(b"\n");
        }
        digest.update(b"\n");
        digest.update(self.signed_headers);
        digest.update(b"\n");
        digest.update(payload_hash);
        hex_digits(&digest.finalize().into())
    }
}

/// Without blanks at either end, and one space for each run of blanks inside.
fn collapsed(value: &[u8], mut part: impl FnMut(&[u8])) {
    let value = value.trim_ascii();
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    // Most values have no blank at all, and tokens are long.
    if !value.contains(&b' ') && !value.contains(&b'\t') {
        return part(value);
    }
    let words = value.split(is_blank).filter(|word| !word.is_empty());
    for (index, word) in words.enumerate() {
        if index > 0 {
            part(b" ");
        }
        part(word);
    }
}

pub(crate) fn path(raw: &str, form: PathForm) -> Result<Cow<'_, str>, BadPercent> {
    let raw = if raw.is_empty() { "/" } else { raw };
    Ok(match form {
        PathForm::Verbatim => Cow::Borrowed(raw),
        PathForm::Encoded => encoded_once(raw, |byte| byte == b'/')?,
        PathForm::NormalisedAndEncoded | PathForm::EncodedAgain => {
            let normal = if form == PathForm::EncodedAgain { Cow::Borrowed(raw) } else { normalised(raw) };
            if normal.bytes().all(|byte| is_unreserved(byte) || byte == b'/') {
                normal
            } else {
                let mut text = String::with_capacity(normal.len() + 32);
                for byte in normal.bytes() {
                    push_encoded(&mut text, byte, |byte| byte == b'/');
                }
                Cow::Owned(text)
            }
        }
    })
}

/// Resolves `.` and `..` and drops empty segments; a final slash stays.
fn normalised(raw: &str) -> Cow<'_, str> {
    let Some(rest) = raw.strip_prefix('/') else { return Cow::Borrowed(raw) };
    let plain = rest.split('/').all(|segment| !matches!(segment, "" | "." | ".."));
    if plain || rest.is_empty() {
        return Cow::Borrowed(raw);
    }
    let mut kept: Vec<&str> = Vec::new();
    for segment in rest.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    let end = if raw.ends_with('/') && !kept.is_empty() { "/" } else { "" };
    Cow::Owned(format!("/{}{end}", kept.join("/")))
}

/// The canonical query: every name and value spelt one way, sorted by name, then value. With
/// `presigned`, the signature itself is left out.
///
/// What a bare `+` is, `plus` says; as itself it never equals a signed `%20` or `%2B`.
pub(crate) fn query(raw: &str, presigned: bool, plus: Plus) -> Result<String, BadPercent> {
    if raw.is_empty() {
        return Ok(String::new());
    }
    let mut parameters = Vec::new();
    for (name, value) in parameters_of(raw) {
        if presigned && name == SIGNATURE_PARAMETER {
            continue;
        }
        parameters
            .push((encoded_once(name, |byte| byte == b'+')?, encoded_once(value, |byte| byte == b'+')?));
    }
    let stands_for = match plus {
        Plus::Itself => "+",
        Plus::Space => "%20",
        Plus::Encoded => "%2B",
    };
    if plus != Plus::Itself {
        for (name, value) in &mut parameters {
            *name = name.replace('+', stands_for).into();
            *value = value.replace('+', stands_for).into();
        }
    }
    parameters.sort_unstable();
    let mut text = String::with_capacity(raw.len() + parameters.len());
    for (name, value) in &parameters {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        text.push_str(value);
    }
    Ok(text)
}

/// Names and values of a query string, still encoded. A name without `=` has the empty value.
pub(crate) fn parameters_of(raw: &str) -> impl Iterator<Item = (&str, &str)> {
    raw.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Decodes what need not be encoded and encodes what must be, with upper-case digits.
fn encoded_once(raw: &str, literal: impl Fn(u8) -> bool + Copy) -> Result<Cow<'_, str>, BadPercent> {
    if raw.bytes().all(|byte| is_unreserved(byte) || literal(byte)) {
        return Ok(Cow::Borrowed(raw));
    }
    let mut text = String::with_capacity(raw.len() + 16);
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let decoded = bytes.next().and_then(hex_digit).zip(bytes.next().and_then(hex_digit));
            let (high, low) = decoded.ok_or(BadPercent)?;
            // An encoded slash or plus is data, and stays apart from the bare one.
            push_encoded(&mut text, high * 16 + low, |_| false);
        } else {
            push_encoded(&mut text, byte, literal);
        }
    }
    Ok(Cow::Owned(text))
}

/// The bytes that `raw` stands for, when they are UTF-8.
pub(crate) fn decoded(raw: &str) -> Option<Cow<'_, str>> {
    percent_encoding::percent_decode_str(raw).decode_utf8().ok()
}

/// One query name or value, encoded from its plain text.
pub(crate) fn push_parameter(text: &mut String, plain: &str) {
    for byte in plain.bytes() {
        push_encoded(text, byte, |_| false);
    }
}

fn push_encoded(text: &mut String, byte: u8, literal: impl Fn(u8) -> bool) {
    if is_unreserved(byte) || literal(byte) {
        text.push(char::from(byte));
    } else {
        text.push_str(percent_encode_byte(byte));
    }
}

/// RFC 3986, section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// [`hex`] of a hash, without an allocation.
fn hex_digits(bytes: &[u8; 32]) -> [u8; 64] {
    let mut text = [0; 64];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    text
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Reads pairs of hex digits of either case, as many as fit `space`; how many bytes they are.
pub(crate) fn bytes_from_hex(text: &[u8], space: &mut [u8]) -> Option<usize> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let bytes = space.get_mut(..text.len() / 2)?;
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = hex_digit(pair[0])? * 16 + hex_digit(pair[1])?;
    }
    Some(text.len() / 2)
}

/// Reads exactly 64 hex digits of either case.
pub(crate) fn sha256_from_hex(text: &[u8]) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    (bytes_from_hex(text, &mut bytes)? == 32).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_normalised_and_then_encoded_again() {
        for (raw, canonical) in [
            ("", "/"),
            ("/", "/"),
            ("//", "/"),
            ("/a/b", "/a/b"),
            ("/a/b/", "/a/b/"),
            ("/a//b", "/a/b"),
            ("/./a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/../../b", "/b"),
            ("/a/..", "/"),
            ("/a/../", "/"),
            ("/a/.", "/a"),
            ("/tags/arn%3Aaws%3Ax%2Fy", "/tags/arn%253Aaws%253Ax%252Fy"),
            ("/a%20b", "/a%2520b"),
            ("/a b+c", "/a%20b%2Bc"),
            ("/\u{1234}", "/%E1%88%B4"),
            ("*", "%2A"),
        ] {
            assert_eq!(path(raw, PathForm::NormalisedAndEncoded).unwrap(), canonical, "{raw}");
        }
    }

    #[test]
    fn a_path_encoded_once_keeps_its_segments() {
        for (raw, canonical) in [
            ("", "/"),
            ("/a//b/../c", "/a//b/../c"),
            ("/a%20b+c%2fd%7E", "/a%20b%2Bc%2Fd~"),
            ("/a:b", "/a%3Ab"),
        ] {
            assert_eq!(path(raw, PathForm::Encoded).unwrap(), canonical, "{raw}");
        }
    }

    #[test]
    fn a_query_is_spelt_one_way_and_sorted_by_name_then_value() {
        for (raw, canonical) in [
            ("", ""),
            ("b=2&a=1", "a=1&b=2"),
            ("a=2&a=1&a", "a=&a=1&a=2"),
            ("a&&b=", "a=&b="),
            ("a=x=y", "a=x%3Dy"),
            ("A=1&a=1&%41=0", "A=0&A=1&a=1"),
            ("a=%7e%2f%2F", "a=~%2F%2F"),
            ("a=b+c&a=b%2Bc&a=b%20c", "a=b%20c&a=b%2Bc&a=b+c"),
            ("\u{e9}=1", "%C3%A9=1"),
            // Sorted as encoded: the percent sign is before every letter.
            ("a%21=1&a-=2&aa=3", "a%21=1&a-=2&aa=3"),
        ] {
            assert_eq!(query(raw, false, Plus::Itself).unwrap(), canonical, "{raw}");
        }
    }

    #[test]
    fn a_percent_sign_without_two_digits_is_refused() {
        for raw in ["a=%", "a=%4", "%zz=1", "a=%+1"] {
            assert_eq!(query(raw, false, Plus::Itself), Err(BadPercent), "{raw}");
        }
        assert_eq!(path("/%4", PathForm::Encoded), Err(BadPercent));
    }

    #[test]
    fn header_values_lose_the_blanks_that_carry_nothing() {
        for (raw, canonical) in [("  a  b \t c ", "a b c"), ("", ""), ("   ", ""), ("\"a   b\"", "\"a b\"")] {
            let mut text = Vec::new();
            collapsed(raw.as_bytes(), |part| text.extend_from_slice(part));
            assert_eq!(text, canonical.as_bytes());
        }
    }

    #[test]
    fn a_bare_plus_is_read_in_each_of_the_three_ways() {
        for (plus, canonical) in
            [(Plus::Itself, "a=b+c"), (Plus::Space, "a=b%20c"), (Plus::Encoded, "a=b%2Bc")]
        {
            assert_eq!(query("a=b+c", false, plus).unwrap(), canonical);
        }
    }

    #[test]
    fn a_presigned_signature_is_not_part_of_what_it_signs() {
        let raw = "a=1&X-Amz-Signature=00&b=2";
        assert_eq!(query(raw, true, Plus::Itself).unwrap(), "a=1&b=2");
        assert_eq!(query(raw, false, Plus::Itself).unwrap(), "X-Amz-Signature=00&a=1&b=2");
    }
}
