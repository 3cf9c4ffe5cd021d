//! DescribeCertificate and GetCertificate.

use serde_json::{Value, json};
use trellis_ca::Facts;
use trellis_store::Reader;

use super::Identify;
use super::record::Certificate;
use crate::context::Context;
use crate::refusal::Refusal;

pub(super) fn describe(state: &mut Reader, ctx: &Context, input: &Identify) -> Result<Value, Refusal> {
    let home = ctx.home();
    let certificate = Certificate::find(state, &home, &input.certificate_arn)?;
    let in_use_by: Vec<_> = certificate
        .users(state)?
        .iter()
        .map(|service| home.lattice_arn(format_args!("service/{service}")))
        .collect();
    let Facts { subject, issuer, issuer_name, serial, not_before, not_after, .. } = &certificate.facts;
    let Facts { key_algorithm, signature_algorithm, key_usages, extended_key_usages, .. } =
        &certificate.facts;
    let key_usages: Vec<_> = key_usages.iter().map(|usage| json!({"Name": usage})).collect();
    let extended: Vec<_> =
        extended_key_usages.iter().map(|usage| json!({"Name": usage.name, "OID": usage.oid})).collect();
    let names = names(&certificate.facts);
    let detail = json!({
        "CertificateArn": certificate.arn(),
        "DomainName": certificate.facts.domain_name(),
        "SubjectAlternativeNames": (!names.is_empty()).then_some(names),
        "Serial": serial,
        "Subject": subject,
        "Issuer": issuer_name.as_ref().unwrap_or(issuer),
        "CreatedAt": certificate.created_at,
        "ImportedAt": certificate.imported_at,
        "Status": certificate.status(ctx.now),
        "NotBefore": not_before,
        "NotAfter": not_after,
        "KeyAlgorithm": key_algorithm,
        "SignatureAlgorithm": signature_algorithm,
        "InUseBy": in_use_by,
        "Type": "IMPORTED",
        "KeyUsages": key_usages,
        "ExtendedKeyUsages": extended,
        "RenewalEligibility": "INELIGIBLE",
        // Whether an imported certificate is in a transparency log was decided where it was issued.
        "Options": {"CertificateTransparencyLoggingPreference": "DISABLED"},
        "CertificateKeyPairOrigin": "CUSTOMER_PROVIDED",
    });
    Ok(json!({"Certificate": without_nulls(detail)}))
}

/// Names as ACM lists them: at most a hundred, each at most 253 characters.
pub(super) fn names(facts: &Facts) -> Vec<&str> {
    facts.host_names().take(100).collect()
}

/// An absent member is left out, not null.
pub(super) fn without_nulls(mut object: Value) -> Value {
    if let Some(members) = object.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    object
}

/// The certificate and its chain, never the key.
pub(super) fn pem(state: &mut Reader, ctx: &Context, input: &Identify) -> Result<Value, Refusal> {
    let certificate = Certificate::find(state, &ctx.home(), &input.certificate_arn)?;
    let leaf = certificate.material(state, ctx.vault())?;
    Ok(without_nulls(json!({"Certificate": leaf.certificate_pem(), "CertificateChain": leaf.chain_pem()})))
}
