//! Extensions of the API as extensions of X.509.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use trellis_ca::facts::KeyUsage;
use trellis_ca::{Extension, extension::id};
use trellis_frame::Refusal;

use crate::subject::general_name;
use crate::wire;

fn unwritable(member: &'static str) -> Refusal {
    Refusal::invalid(member, "has an object identifier or a text that a certificate cannot hold")
}

/// Those that a CA's own request asks for.
pub(crate) fn of_csr(wanted: Option<&wire::CsrExtensions>) -> Result<Vec<Extension>, Refusal> {
    let Some(wire::CsrExtensions { key_usage: usage, subject_information_access }) = wanted else {
        return Ok(Vec::new());
    };
    let mut extensions: Vec<Extension> = usage.as_ref().map(key_usage).into_iter().collect();
    if let Some(accesses) = subject_information_access.as_ref().filter(|accesses| !accesses.is_empty()) {
        let accesses = accesses.iter().map(access).collect::<Result<Vec<_>, _>>()?;
        let extension = Extension::subject_information_access(&accesses);
        extensions.push(extension.ok_or_else(|| unwritable("SubjectInformationAccess"))?);
    }
    Ok(extensions)
}

fn access(given: &wire::AccessDescription) -> Result<(String, trellis_ca::GeneralName), Refusal> {
    use wire::AccessMethodType as Method;
    let wire::AccessMethod { custom_object_identifier, access_method_type } = &given.access_method;
    let method = match (custom_object_identifier, access_method_type) {
        (Some(oid), None) => oid.as_str(),
        (None, Some(Method::CaRepository)) => "1.3.6.1.5.5.7.48.5",
        (None, Some(Method::ResourcePkiManifest)) => "1.3.6.1.5.5.7.48.10",
        (None, Some(Method::ResourcePkiNotify)) => "1.3.6.1.5.5.7.48.13",
        _ => return Err(Refusal::invalid("AccessMethod", "is one of a type and a custom object identifier")),
    };
    Ok((method.to_owned(), general_name(&given.access_location)?))
}

pub(crate) fn key_usage(given: &wire::KeyUsage) -> Extension {
    let bits = [
        (given.digital_signature, KeyUsage::DigitalSignature),
        (given.non_repudiation, KeyUsage::NonRepudiation),
        (given.key_encipherment, KeyUsage::KeyEncipherment),
        (given.data_encipherment, KeyUsage::DataEncipherment),
        (given.key_agreement, KeyUsage::KeyAgreement),
        (given.key_cert_sign, KeyUsage::CertificateSigning),
        (given.crl_sign, KeyUsage::CrlSigning),
        (given.encipher_only, KeyUsage::EncipherOnly),
        (given.decipher_only, KeyUsage::DecipherOnly),
    ];
    let set: Vec<_> =
        bits.into_iter().filter(|(set, _)| *set == Some(true)).map(|(_, usage)| usage).collect();
    Extension::key_usage(&set, true)
}

/// Those that ApiPassthrough asks for, each once.
///
/// # Errors
/// `InvalidArgsException` for what a certificate cannot hold, and for custom extensions that have a member or a rule of
/// their own.
pub(crate) fn of_api(given: &wire::Extensions) -> Result<Vec<Extension>, Refusal> {
    let wire::Extensions {
        certificate_policies,
        extended_key_usage,
        key_usage: usage,
        subject_alternative_names,
        custom_extensions,
    } = given;
    let mut extensions: Vec<Extension> = usage.as_ref().map(key_usage).into_iter().collect();
    if let Some(usages) = extended_key_usage {
        let oids = usages.iter().map(usage_oid).collect::<Result<Vec<_>, _>>()?;
        let extension = Extension::extended_key_usage(oids, false);
        extensions.push(extension.ok_or_else(|| unwritable("ExtendedKeyUsage"))?);
    }
    if let Some(names) = subject_alternative_names {
        let names = names.iter().map(general_name).collect::<Result<Vec<_>, _>>()?;
        let extension = Extension::subject_alternative_name(&names, false);
        extensions.push(extension.ok_or_else(|| unwritable("SubjectAlternativeNames"))?);
    }
    if let Some(policies) = certificate_policies {
        let policies: Vec<_> = policies
            .iter()
            .map(|policy| {
                let qualifiers = policy.policy_qualifiers.iter().flatten();
                let addresses = qualifiers.map(|qualifier| qualifier.qualifier.cps_uri.clone()).collect();
                (policy.cert_policy_id.clone(), addresses)
            })
            .collect();
        let extension = Extension::certificate_policies(&policies);
        extensions.push(extension.ok_or_else(|| unwritable("CertificatePolicies"))?);
    }
    for custom in custom_extensions.iter().flatten() {
        let oid = custom.object_identifier.clone();
        // What says whose certificate this is and what it may sign is never the requester's to say.
        let is_ours = [
            id::BASIC_CONSTRAINTS,
            id::SUBJECT_KEY_IDENTIFIER,
            id::AUTHORITY_KEY_IDENTIFIER,
            id::CRL_DISTRIBUTION_POINTS,
            id::AUTHORITY_INFORMATION_ACCESS,
        ]
        .contains(&oid.as_str());
        if is_ours || extensions.iter().any(|extension| extension.oid == oid) {
            let message = format_args!("{oid} cannot be a custom extension, or is given twice");
            return Err(Refusal::invalid("CustomExtensions", message));
        }
        let value = BASE64_STANDARD.decode(&custom.value);
        let value = value.map_err(|_| Refusal::invalid("CustomExtensions", "a value is base64"))?;
        let extension = Extension { oid, is_critical: custom.critical.unwrap_or_default(), value };
        if !extension.is_writable() {
            return Err(unwritable("CustomExtensions"));
        }
        extensions.push(extension);
    }
    Ok(extensions)
}

fn usage_oid(given: &wire::ExtendedKeyUsage) -> Result<&str, Refusal> {
    use wire::ExtendedKeyUsageType as Usage;
    let wire::ExtendedKeyUsage { extended_key_usage_type, extended_key_usage_object_identifier } = given;
    match (extended_key_usage_type, extended_key_usage_object_identifier) {
        (None, Some(oid)) => Ok(oid),
        (Some(usage), None) => Ok(match usage {
            Usage::ServerAuth => "1.3.6.1.5.5.7.3.1",
            Usage::ClientAuth => "1.3.6.1.5.5.7.3.2",
            Usage::CodeSigning => "1.3.6.1.5.5.7.3.3",
            Usage::EmailProtection => "1.3.6.1.5.5.7.3.4",
            Usage::TimeStamping => "1.3.6.1.5.5.7.3.8",
            Usage::OcspSigning => "1.3.6.1.5.5.7.3.9",
            Usage::SmartCardLogin => "1.3.6.1.4.1.311.20.2.2",
            Usage::DocumentSigning => "1.3.6.1.4.1.311.10.3.12",
            Usage::CertificateTransparency => "1.3.6.1.4.1.11129.2.4.4",
        }),
        _ => Err(Refusal::invalid("ExtendedKeyUsage", "is one of a type and an object identifier")),
    }
}
