//! Names of the API as names of X.509.

use trellis_ca::distinguished_name::Text;
use trellis_ca::{DistinguishedName, GeneralName, name};
use trellis_frame::Refusal;

use crate::wire;

/// The attributes in the order AWS writes them.
///
/// # Errors
/// `InvalidArgsException` for texts that a certificate cannot hold, and for custom attributes beside others.
pub(crate) fn distinguished_name(subject: &wire::ASN1Subject) -> Result<DistinguishedName, Refusal> {
    let standard = [
        ("2.5.4.6", Text::Printable, &subject.country),
        ("2.5.4.10", Text::Utf8, &subject.organization),
        ("2.5.4.11", Text::Utf8, &subject.organizational_unit),
        ("2.5.4.46", Text::Printable, &subject.distinguished_name_qualifier),
        ("2.5.4.8", Text::Utf8, &subject.state),
        ("2.5.4.3", Text::Utf8, &subject.common_name),
        ("2.5.4.5", Text::Printable, &subject.serial_number),
        ("2.5.4.7", Text::Utf8, &subject.locality),
        ("2.5.4.12", Text::Utf8, &subject.title),
        ("2.5.4.4", Text::Utf8, &subject.surname),
        ("2.5.4.42", Text::Utf8, &subject.given_name),
        ("2.5.4.43", Text::Utf8, &subject.initials),
        ("2.5.4.65", Text::Utf8, &subject.pseudonym),
        ("2.5.4.44", Text::Utf8, &subject.generation_qualifier),
    ];
    let standard = standard.into_iter().filter_map(|(oid, text, value)| {
        let value = value.as_deref().filter(|value| !value.is_empty())?;
        Some((oid, text, value))
    });
    let custom: Vec<_> = subject.custom_attributes.iter().flatten().map(custom_attribute).collect();
    let standard: Vec<_> = standard.collect();
    if !custom.is_empty() && !standard.is_empty() {
        return Err(Refusal::invalid("CustomAttributes", "stand alone: leave the standard attributes out"));
    }
    if let Some((_, _, value)) =
        standard.iter().chain(&custom).find(|(_, _, value)| value.chars().any(char::is_control))
    {
        return Err(Refusal::invalid("Subject", format_args!("{value:?} has control characters")));
    }
    DistinguishedName::of(standard.into_iter().chain(custom)).ok_or_else(|| {
        let rule = "Country, SerialNumber and DistinguishedNameQualifier have letters, digits and '()+,-./:=? only, \
                    and an ObjectIdentifier is dotted";
        Refusal::invalid("Subject", rule)
    })
}

/// Its kind of text is the one that the attribute is defined with.
fn custom_attribute(attribute: &wire::CustomAttribute) -> (&str, Text, &str) {
    let text = match attribute.object_identifier.as_str() {
        "2.5.4.5" | "2.5.4.6" | "2.5.4.46" => Text::Printable,
        "0.9.2342.19200300.100.1.25" | "1.2.840.113549.1.9.1" => Text::Ia5,
        _ => Text::Utf8,
    };
    (&attribute.object_identifier, text, &attribute.value)
}

/// # Errors
/// `InvalidArgsException` unless exactly one member is there and is such a name.
pub(crate) fn general_name(given: &wire::GeneralName) -> Result<GeneralName, Refusal> {
    let wrong = |message: &str| Refusal::invalid("GeneralName", message);
    let wire::GeneralName {
        other_name,
        rfc822_name,
        dns_name,
        directory_name,
        edi_party_name,
        uniform_resource_identifier,
        ip_address,
        registered_id,
    } = given;
    let mut names = Vec::new();
    names.extend(
        other_name.as_ref().map(|other| Ok(GeneralName::Other(other.type_id.clone(), other.value.clone()))),
    );
    names.extend(rfc822_name.as_ref().map(|address| Ok(GeneralName::Rfc822(address.clone()))));
    names.extend(dns_name.as_ref().map(|host| match name::is_identifier(host) {
        true => Ok(GeneralName::Dns(host.clone())),
        false => Err(wrong("DnsName is not a host name that a certificate can carry")),
    }));
    names.extend(
        directory_name.as_ref().map(|subject| distinguished_name(subject).map(GeneralName::Directory)),
    );
    names.extend(
        edi_party_name
            .as_ref()
            .map(|edi| Ok(GeneralName::EdiParty(edi.name_assigner.clone(), edi.party_name.clone()))),
    );
    names.extend(uniform_resource_identifier.as_ref().map(|uri| Ok(GeneralName::Uri(uri.clone()))));
    names.extend(ip_address.as_ref().map(|address| match address.parse() {
        Ok(address) => Ok(GeneralName::Ip(address)),
        Err(_) => Err(wrong("IpAddress is neither an IPv4 nor an IPv6 address")),
    }));
    names.extend(registered_id.as_ref().map(|id| Ok(GeneralName::RegisteredId(id.clone()))));
    match (names.pop(), names.is_empty()) {
        (Some(name), true) => name,
        _ => Err(wrong("exactly one kind of name is given at a time")),
    }
}
