//! Distinguished names as text, RFC 4514: most specific part first, `CN=www.example.com,O=Example`.
//!
//! The bytes come from strangers, so what could confuse a terminal or a log is escaped and the length
//! is bounded.

use std::fmt::Write;

use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// Longer names are cut, which shows as a final `...`.
const LONGEST: usize = 2048;

/// `name` as one line; empty for an empty name.
pub(crate) fn to_text(name: &X509Name<'_>) -> String {
    let parts: Vec<_> = name.iter_rdn().collect();
    let mut out = String::new();
    for (at, part) in parts.into_iter().rev().enumerate() {
        for (within, attribute) in part.iter().enumerate() {
            match (at, within) {
                (0, 0) => {}
                (_, 0) => out.push(','),
                _ => out.push('+'),
            }
            write_attribute(&mut out, attribute);
            if out.len() > LONGEST {
                let end = (0..=LONGEST).rev().find(|&at| out.is_char_boundary(at)).unwrap_or(0);
                out.truncate(end);
                out.push_str("...");
                return out;
            }
        }
    }
    out
}

/// The most specific value of the attribute `2.5.4.{kind}` (3 is CN, 10 is O), if it is text.
pub(crate) fn attribute<'a>(name: &X509Name<'a>, kind: u8) -> Option<&'a str> {
    let parts: Vec<_> = name.iter_attributes().collect();
    let wanted =
        |attribute: &&&AttributeTypeAndValue<'a>| attribute.attr_type().as_bytes() == [0x55, 0x04, kind];
    parts.iter().rev().find(wanted).and_then(|attribute| attribute.as_str().ok())
}

fn write_attribute(out: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    match attribute.attr_type().as_bytes() {
        [0x55, 0x04, 3] => out.push_str("CN"),
        [0x55, 0x04, 5] => out.push_str("SERIALNUMBER"),
        [0x55, 0x04, 6] => out.push('C'),
        [0x55, 0x04, 7] => out.push('L'),
        [0x55, 0x04, 8] => out.push_str("ST"),
        [0x55, 0x04, 9] => out.push_str("STREET"),
        [0x55, 0x04, 10] => out.push('O'),
        [0x55, 0x04, 11] => out.push_str("OU"),
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 1] => out.push_str("UID"),
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 25] => out.push_str("DC"),
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01] => out.push_str("EMAILADDRESS"),
        other => out.push_str(&crate::key::dotted(other)),
    }
    out.push('=');
    match attribute.as_str() {
        Ok(text) => write_escaped(out, text),
        Err(_) => {
            out.push('#');
            write_hex(out, &attribute.as_slice()[..attribute.as_slice().len().min(LONGEST)]);
        }
    }
}

fn write_escaped(out: &mut String, text: &str) {
    let last = text.chars().count().saturating_sub(1);
    for (at, character) in text.chars().take(LONGEST).enumerate() {
        match character {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => out.extend(['\\', character]),
            '#' if at == 0 => out.push_str("\\#"),
            ' ' if at == 0 || at == last => out.push_str("\\ "),
            // Control, and the marks that turn the direction of text.
            _ if character.is_control() || ('\u{202a}'..='\u{202e}').contains(&character) => {
                for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                    out.push('\\');
                    write_hex(out, &[byte]);
                }
            }
            _ => out.push(character),
        }
    }
}

fn write_hex(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        write!(out, "{byte:02x}").expect("a String takes every write");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_confuse_a_reader_is_escaped() {
        for (text, expected) in [
            ("www.example.com", "www.example.com"),
            ("Example, Inc.", "Example\\, Inc."),
            (" padded ", "\\ padded\\ "),
            ("#1", "\\#1"),
            ("a+b=\"c\"", "a\\+b=\\\"c\\\""),
            ("line\nnext\u{0}", "line\\0anext\\00"),
            ("\u{202e}moc", "\\e2\\80\\aemoc"),
            ("Bücher", "Bücher"),
        ] {
            let mut out = String::new();
            write_escaped(&mut out, text);
            assert_eq!(out, expected, "{text:?}");
        }
    }
}
