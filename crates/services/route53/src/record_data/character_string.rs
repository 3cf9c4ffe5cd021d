//! Character strings: `"..."`, at most 255 bytes each, other bytes than printable ones as `\ooo`.

use crate::name::{Fault, escaped};

const MAX_LENGTH: usize = 255;

const NOT_QUOTED: Fault = Fault::new("InvalidCharacterString", "Value should be enclosed in quotation marks");
const TOO_LONG: Fault = Fault::new("CharacterStringTooLong", "Value is too long");
const UNSUPPORTED: Fault = Fault::new("UnsupportedCharacter", "Value contains unsupported characters");
const TOO_MANY: Fault =
    Fault::new("InvalidCharacterString", "Value has not the number of strings its type has");

/// The strings of `text`, at least one, separated by spaces.
pub(super) fn all(text: &str) -> Result<Vec<Vec<u8>>, Fault> {
    let (first, mut rest) = next(text.trim_start())?;
    let mut strings = vec![first];
    while !rest.is_empty() {
        let (string, after) = next(rest)?;
        strings.push(string);
        rest = after;
    }
    Ok(strings)
}

/// The bytes of the one string that `text` is.
pub(super) fn one(text: &str) -> Result<Vec<u8>, Fault> {
    match next(text)? {
        (string, "") => Ok(string),
        _ => Err(TOO_MANY),
    }
}

/// The first `count` strings, and what follows them.
pub(super) fn leading(text: &str, count: usize) -> Result<(Vec<Vec<u8>>, &str), Fault> {
    let mut strings = Vec::with_capacity(count);
    let mut rest = text;
    for _ in 0..count {
        let (string, after) = next(rest)?;
        strings.push(string);
        rest = after;
    }
    Ok((strings, rest))
}

/// With its length in front.
pub(super) fn to_wire(string: &[u8]) -> Vec<u8> {
    // No string that was read is longer than MAX_LENGTH.
    std::iter::once(string.len() as u8).chain(string.iter().copied()).collect()
}

/// The string at the beginning, and what follows it and the spaces behind it.
fn next(text: &str) -> Result<(Vec<u8>, &str), Fault> {
    let inside = text.strip_prefix('"').ok_or(NOT_QUOTED)?;
    let mut bytes = inside.bytes().enumerate();
    let mut string = Vec::new();
    loop {
        let (at, byte) = bytes.next().ok_or(NOT_QUOTED)?;
        match byte {
            b'"' => {
                let rest = &inside[at + 1..];
                let trimmed = rest.trim_start_matches([' ', '\t']);
                // Two strings that touch are not separated.
                let is_separated = rest.is_empty() || trimmed.len() < rest.len();
                return if is_separated { Ok((string, trimmed)) } else { Err(NOT_QUOTED) };
            }
            b'\\' => match inside.as_bytes().get(at + 1) {
                Some(literal @ (b'"' | b'\\')) => {
                    string.push(*literal);
                    bytes.next();
                }
                _ => string.push(escaped(&mut bytes.by_ref().map(|(_, byte)| byte))?),
            },
            b' '..=b'~' | b'\t' => string.push(byte),
            _ => return Err(UNSUPPORTED),
        }
        if string.len() > MAX_LENGTH {
            return Err(TOO_LONG);
        }
    }
}
