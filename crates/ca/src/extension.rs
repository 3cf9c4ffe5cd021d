//! Extensions of certificates, made and read as they stand: identifier, criticality, DER.

use std::net::IpAddr;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use crate::der::write;
use crate::distinguished_name::DistinguishedName;
use crate::facts::KeyUsage;

/// One extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Dotted.
    pub oid: String,
    pub is_critical: bool,
    /// What is in its `OCTET STRING`.
    pub value: Vec<u8>,
}

/// A name in a subjectAltName and its like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GeneralName {
    /// Type and a UTF-8 text.
    Other(String, String),
    Rfc822(String),
    Dns(String),
    Directory(DistinguishedName),
    /// Name assigner and party name.
    EdiParty(Option<String>, String),
    Uri(String),
    Ip(IpAddr),
    RegisteredId(String),
}

/// Identifiers of the extensions made here.
pub mod id {
    pub const SUBJECT_KEY_IDENTIFIER: &str = "2.5.29.14";
    pub const KEY_USAGE: &str = "2.5.29.15";
    pub const SUBJECT_ALTERNATIVE_NAME: &str = "2.5.29.17";
    pub const BASIC_CONSTRAINTS: &str = "2.5.29.19";
    pub const CRL_NUMBER: &str = "2.5.29.20";
    pub const CRL_REASON: &str = "2.5.29.21";
    pub const CRL_DISTRIBUTION_POINTS: &str = "2.5.29.31";
    pub const CERTIFICATE_POLICIES: &str = "2.5.29.32";
    pub const AUTHORITY_KEY_IDENTIFIER: &str = "2.5.29.35";
    pub const EXTENDED_KEY_USAGE: &str = "2.5.29.37";
    pub const AUTHORITY_INFORMATION_ACCESS: &str = "1.3.6.1.5.5.7.1.1";
    pub const SUBJECT_INFORMATION_ACCESS: &str = "1.3.6.1.5.5.7.1.11";
    /// The access method of an OCSP responder.
    pub const OCSP: &str = "1.3.6.1.5.5.7.48.1";
}

fn oid(dotted: &str) -> Vec<u8> {
    write::oid(dotted).expect("a constant")
}

/// RFC 5280 section 4.2.1.2, method 1: how everybody names a key, and how OCSP does.
pub fn key_identifier(public_key: &[u8]) -> Vec<u8> {
    digest(&SHA1_FOR_LEGACY_USE_ONLY, public_key).as_ref().to_vec()
}

impl Extension {
    fn new(oid: &str, is_critical: bool, value: Vec<u8>) -> Self {
        Self { oid: oid.to_owned(), is_critical, value }
    }

    /// `CA:TRUE` with a path length or without, critical; `CA:FALSE` (`None`), critical or not.
    pub fn basic_constraints(authority: Option<Option<u8>>, is_critical: bool) -> Self {
        let yes = write::value(write::BOOLEAN, &[0xff]);
        let value = match authority {
            None => write::sequence(&[]),
            Some(None) => write::sequence(&[&yes]),
            Some(Some(length)) => write::sequence(&[&yes, &write::unsigned(&[length])]),
        };
        Self::new(id::BASIC_CONSTRAINTS, is_critical, value)
    }

    pub fn key_usage(usages: &[KeyUsage], is_critical: bool) -> Self {
        let value = write::named_bits(usages.iter().map(|usage| *usage as u8));
        Self::new(id::KEY_USAGE, is_critical, value)
    }

    /// Of dotted identifiers; `None` if one is none.
    pub fn extended_key_usage<'a>(
        usages: impl IntoIterator<Item = &'a str>,
        is_critical: bool,
    ) -> Option<Self> {
        let usages: Vec<u8> = usages.into_iter().map(write::oid).collect::<Option<Vec<_>>>()?.concat();
        Some(Self::new(id::EXTENDED_KEY_USAGE, is_critical, write::sequence(&[&usages])))
    }

    pub fn subject_key_identifier(public_key: &[u8]) -> Self {
        Self::new(id::SUBJECT_KEY_IDENTIFIER, false, write::octets(&key_identifier(public_key)))
    }

    /// The issuer's key by its identifier.
    pub fn authority_key_identifier(identifier: &[u8]) -> Self {
        let value = write::sequence(&[&write::value(write::primitive(0), identifier)]);
        Self::new(id::AUTHORITY_KEY_IDENTIFIER, false, value)
    }

    /// `None` for names that cannot be written.
    pub fn subject_alternative_name(names: &[GeneralName], is_critical: bool) -> Option<Self> {
        let names: Vec<u8> = names.iter().map(GeneralName::der).collect::<Option<Vec<_>>>()?.concat();
        Some(Self::new(id::SUBJECT_ALTERNATIVE_NAME, is_critical, write::sequence(&[&names])))
    }

    /// One distribution point: a URL.
    pub fn crl_distribution_point(url: &str) -> Self {
        let name = write::value(write::primitive(6), url.as_bytes());
        let full_name = write::value(write::constructed(0), &name);
        let point = write::sequence(&[&write::value(write::constructed(0), &full_name)]);
        Self::new(id::CRL_DISTRIBUTION_POINTS, false, write::sequence(&[&point]))
    }

    /// Where an OCSP responder answers.
    pub fn ocsp_responder(url: &str) -> Self {
        let location = write::value(write::primitive(6), url.as_bytes());
        let access = write::sequence(&[&oid(id::OCSP), &location]);
        Self::new(id::AUTHORITY_INFORMATION_ACCESS, false, write::sequence(&[&access]))
    }

    /// Access methods (dotted) with their locations; `None` if one cannot be written.
    pub fn subject_information_access(accesses: &[(String, GeneralName)]) -> Option<Self> {
        let access = |(method, location): &(String, GeneralName)| {
            Some(write::sequence(&[&write::oid(method)?, &location.der()?]))
        };
        let accesses: Vec<u8> = accesses.iter().map(access).collect::<Option<Vec<_>>>()?.concat();
        Some(Self::new(id::SUBJECT_INFORMATION_ACCESS, false, write::sequence(&[&accesses])))
    }

    /// Policies (dotted), each with the addresses of its practice statements; `None` if one cannot be written.
    pub fn certificate_policies(policies: &[(String, Vec<String>)]) -> Option<Self> {
        const PRACTICE_STATEMENT: &str = "1.3.6.1.5.5.7.2.1";
        let policy = |(policy, addresses): &(String, Vec<String>)| {
            let qualifiers = addresses.iter().map(|address| {
                let address =
                    address.is_ascii().then(|| write::value(write::IA5_STRING, address.as_bytes()))?;
                Some(write::sequence(&[&oid(PRACTICE_STATEMENT), &address]))
            });
            let qualifiers: Vec<u8> = qualifiers.collect::<Option<Vec<_>>>()?.concat();
            let policy = write::oid(policy)?;
            Some(match addresses.is_empty() {
                true => write::sequence(&[&policy]),
                false => write::sequence(&[&policy, &write::sequence(&[&qualifiers])]),
            })
        };
        let policies: Vec<u8> = policies.iter().map(policy).collect::<Option<Vec<_>>>()?.concat();
        Some(Self::new(id::CERTIFICATE_POLICIES, false, write::sequence(&[&policies])))
    }

    /// A CRL's number.
    pub(crate) fn crl_number(number: u64) -> Self {
        Self::new(id::CRL_NUMBER, false, write::unsigned(&number.to_be_bytes()))
    }

    /// Why an entry is on a CRL.
    pub(crate) fn crl_reason(reason: u8) -> Self {
        Self::new(id::CRL_REASON, false, write::value(write::ENUMERATED, &[reason]))
    }

    /// Whether its identifier can be written.
    pub fn is_writable(&self) -> bool {
        write::oid(&self.oid).is_some()
    }

    fn der(&self) -> Vec<u8> {
        // What was read from a request or came from a constant has an identifier; `is_writable` is for the rest.
        let critical = if self.is_critical { write::value(write::BOOLEAN, &[0xff]) } else { Vec::new() };
        let oid = write::oid(&self.oid).unwrap_or_default();
        write::sequence(&[&oid, &critical, &write::octets(&self.value)])
    }
}

/// `Extensions`: a sequence of them.
pub(crate) fn sequence(extensions: &[Extension]) -> Vec<u8> {
    let all: Vec<Vec<u8>> = extensions.iter().map(Extension::der).collect();
    write::sequence(&[&all.concat()])
}

impl GeneralName {
    fn der(&self) -> Option<Vec<u8>> {
        let text = |number, text: &str| {
            let fits = text.is_ascii() && !text.bytes().any(|byte| byte.is_ascii_control());
            fits.then(|| write::value(write::primitive(number), text.as_bytes()))
        };
        let utf8 = |text: &str| write::value(write::UTF8_STRING, text.as_bytes());
        match self {
            Self::Other(kind, value) => {
                let value = write::value(write::constructed(0), &utf8(value));
                Some(write::of(write::constructed(0), &[&write::oid(kind)?, &value]))
            }
            Self::Rfc822(address) => text(1, address),
            Self::Dns(host) => text(2, host),
            // A `Name` is a choice, so its tag is an explicit one.
            Self::Directory(name) => Some(write::value(write::constructed(4), name.der())),
            Self::EdiParty(assigner, party) => {
                let assigner =
                    assigner.as_deref().map(|assigner| write::value(write::constructed(0), &utf8(assigner)));
                let party = write::value(write::constructed(1), &utf8(party));
                Some(write::of(write::constructed(5), &[&assigner.unwrap_or_default(), &party]))
            }
            Self::Uri(uri) => text(6, uri),
            Self::Ip(IpAddr::V4(address)) => Some(write::value(write::primitive(7), &address.octets())),
            Self::Ip(IpAddr::V6(address)) => Some(write::value(write::primitive(7), &address.octets())),
            Self::RegisteredId(id) => {
                let mut der = write::oid(id)?;
                der[0] = write::primitive(8);
                Some(der)
            }
        }
    }
}
