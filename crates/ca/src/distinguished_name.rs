//! Distinguished names in DER, for the subjects and issuers of certificates.

use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use crate::der::write;
use crate::subject;

/// A `Name` of X.501: attributes in order, each in a relative name of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistinguishedName(Vec<u8>);

/// The string type of an attribute's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    Utf8,
    /// What RFC 5280 demands of `C`, `serialNumber` and `dnQualifier`.
    Printable,
    /// What RFC 4519 demands of `DC`, and RFC 2985 of an e-mail address.
    Ia5,
}

impl DistinguishedName {
    /// Of attributes in order: dotted type, kind of text, value. `None` if a type is no object identifier or a value
    /// has characters that its kind of text has not.
    pub fn of<'a>(attributes: impl IntoIterator<Item = (&'a str, Text, &'a str)>) -> Option<Self> {
        let mut content = Vec::new();
        for (kind, text, value) in attributes {
            let (tag, fits): (u8, fn(char) -> bool) = match text {
                Text::Utf8 => (write::UTF8_STRING, |_| true),
                Text::Printable => {
                    (write::PRINTABLE_STRING, |c| c.is_ascii_alphanumeric() || " '()+,-./:=?".contains(c))
                }
                Text::Ia5 => (write::IA5_STRING, |c| c.is_ascii()),
            };
            if !value.chars().all(fits) {
                return None;
            }
            let attribute = write::sequence(&[&write::oid(kind)?, &write::value(tag, value.as_bytes())]);
            content.extend(write::value(write::SET, &attribute));
        }
        Some(Self(write::sequence(&[&content])))
    }

    /// Takes DER that has been parsed as a name.
    pub(crate) fn from_parsed(name: &X509Name<'_>) -> Self {
        Self(name.as_raw().to_vec())
    }

    /// The subject of a certificate.
    pub fn of_subject(certificate: &[u8]) -> Option<Self> {
        Some(Self::from_parsed(crate::facts::parse(certificate).ok()?.subject()))
    }

    pub fn der(&self) -> &[u8] {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0 == write::sequence(&[])
    }
}

/// RFC 4514: most specific part first.
impl std::fmt::Display for DistinguishedName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match X509Name::from_der(&self.0) {
            Ok((_, name)) => f.write_str(&subject::to_text(&name)),
            Err(_) => Err(std::fmt::Error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_stand_in_their_order_and_in_their_alphabet() {
        let name = |attributes: &[(&str, Text, &str)]| DistinguishedName::of(attributes.iter().copied());
        let full =
            name(&[("2.5.4.6", Text::Printable, "KR"), ("2.5.4.3", Text::Utf8, "Bücher, Inc.")]).unwrap();
        assert_eq!(full.to_string(), "CN=Bücher\\, Inc.,C=KR");
        assert!(name(&[]).unwrap().is_empty());
        assert_eq!(name(&[("2.5.4.6", Text::Printable, "K*")]), None);
        assert_eq!(name(&[("2.5", Text::Utf8, "x"), ("9.9", Text::Utf8, "x")]), None);
    }
}
