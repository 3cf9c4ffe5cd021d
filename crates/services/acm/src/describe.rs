//! DescribeCertificate and GetCertificate.

use serde_json::{Value, json};
use trellis_ca::Facts;
use trellis_frame::{Context, Refusal};
use trellis_store::Reader;

use super::Identify;
use super::record::{Certificate, TIMED_OUT};
use super::request::{PENDING_VALIDATION, Requested};
use super::validation;

pub(super) fn describe(state: &mut Reader, ctx: &Context, input: &Identify) -> Result<Value, Refusal> {
    let home = ctx.home();
    let certificate = Certificate::find(state, &home, &input.certificate_arn)?;
    let in_use_by = certificate.users(state)?;
    let is_in_use = !in_use_by.is_empty();
    let names = names(&certificate);
    let mut detail = json!({
        "CertificateArn": certificate.arn(),
        "DomainName": certificate.domain_name(),
        "SubjectAlternativeNames": (!names.is_empty()).then_some(names),
        "CreatedAt": certificate.created_at,
        "ImportedAt": certificate.imported_at,
        "Status": certificate.status(ctx.now),
        "KeyAlgorithm": certificate.key_algorithm(),
        "InUseBy": in_use_by,
        "Type": certificate.kind(),
        "RenewalEligibility": certificate.renewal_eligibility(is_in_use),
        // Whether an imported certificate is in a transparency log was decided where it was issued.
        "Options": {"CertificateTransparencyLoggingPreference": "DISABLED"},
        "CertificateKeyPairOrigin": certificate.key_pair_origin(),
    });
    if let Some(facts) = &certificate.facts {
        extend(&mut detail, stated(facts));
    }
    if let Some(requested) = &certificate.requested {
        extend(&mut detail, asked(requested));
        if requested.authority_arn.is_none() {
            let options = validation::described(state, &ctx.surroundings, &home, requested)?;
            extend(&mut detail, json!({"DomainValidationOptions": options}));
        }
    }
    Ok(json!({"Certificate": without_nulls(detail)}))
}

fn extend(object: &mut Value, more: Value) {
    if let (Value::Object(members), Value::Object(more)) = (object, more) {
        members.extend(more);
    }
}

/// What the certificate says of itself.
fn stated(facts: &Facts) -> Value {
    let Facts { subject, issuer, issuer_name, serial, not_before, not_after, .. } = facts;
    let Facts { signature_algorithm, key_usages, extended_key_usages, .. } = facts;
    let key_usages: Vec<_> = key_usages.iter().map(|usage| json!({"Name": usage})).collect();
    let extended: Vec<_> =
        extended_key_usages.iter().map(|usage| json!({"Name": usage.name, "OID": usage.oid})).collect();
    json!({
        "Serial": serial,
        "Subject": subject,
        "Issuer": issuer_name.as_ref().unwrap_or(issuer),
        "NotBefore": not_before,
        "NotAfter": not_after,
        "SignatureAlgorithm": signature_algorithm,
        "KeyUsages": key_usages,
        "ExtendedKeyUsages": extended,
    })
}

/// What is known of one that was requested.
fn asked(requested: &Requested) -> Value {
    let renewal = requested.renewal_failure.as_ref().map(|(reason, at)| {
        json!({
            "RenewalStatus": if reason == PENDING_VALIDATION { PENDING_VALIDATION } else { "FAILED" },
            "DomainValidationOptions": [],
            "RenewalStatusReason": (reason != PENDING_VALIDATION).then_some(reason),
            "UpdatedAt": at,
        })
    });
    let renewal = renewal.map(without_nulls);
    let failure = requested.failure.as_deref().filter(|failure| *failure != TIMED_OUT);
    json!({
        "CertificateAuthorityArn": requested.authority_arn,
        "IssuedAt": requested.issued_at,
        "FailureReason": failure,
        "RenewalSummary": renewal,
        "Options": {
            "CertificateTransparencyLoggingPreference": requested.transparency_logging,
            "Export": requested.export,
        },
    })
}

/// Names as ACM lists them: at most a hundred, each at most 253 characters.
pub(super) fn names(certificate: &Certificate) -> Vec<&str> {
    certificate.names().into_iter().take(100).collect()
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
    if certificate.facts.is_none() {
        return Err(certificate.in_progress(ctx.now));
    }
    let leaf = certificate.material(state, ctx.vault())?;
    Ok(without_nulls(json!({"Certificate": leaf.certificate_pem(), "CertificateChain": leaf.chain_pem()})))
}
