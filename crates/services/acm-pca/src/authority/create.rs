//! CreateCertificateAuthority: a record at once, its key by the workflow.

use serde_json::{Value, json};
use trellis_api::Exception;
use trellis_api::typed::IntoValue;
use trellis_ca::KeyAlgorithm;
use trellis_frame::token::Token;
use trellis_frame::{Context, Refusal};
use trellis_store::{Read, Transaction};

use super::{AUTHORITIES, Authority, Status, signature_algorithm};
use crate::{extensions, refuse, revocation, subject, tag, wire};

/// "Number of private certificate authorities": of one account in one region.
const MAX_AUTHORITIES: usize = 1000;

/// The key of that name in AWS Private CA.
///
/// # Errors
/// `InvalidArgsException` for those that no client here could verify.
pub(crate) fn key_algorithm(named: wire::KeyAlgorithm) -> Result<KeyAlgorithm, Refusal> {
    use wire::KeyAlgorithm as Wire;
    match named {
        Wire::Rsa2048 => Ok(KeyAlgorithm::Rsa2048),
        Wire::Rsa3072 => Ok(KeyAlgorithm::Rsa3072),
        Wire::Rsa4096 => Ok(KeyAlgorithm::Rsa4096),
        Wire::EcPrime256v1 => Ok(KeyAlgorithm::EcP256),
        Wire::EcSecp384r1 => Ok(KeyAlgorithm::EcP384),
        Wire::EcSecp521r1 => Ok(KeyAlgorithm::EcP521),
        Wire::MlDsa44 | Wire::MlDsa65 | Wire::MlDsa87 | Wire::Sm2 => Err(Refusal::invalid(
            "KeyAlgorithm",
            "SM2 and ML-DSA are not served here: expected RSA_2048, RSA_3072, RSA_4096, EC_prime256v1, EC_secp384r1 \
             or EC_secp521r1",
        )),
    }
}

pub(crate) async fn create(
    ctx: &Context,
    input: wire::CreateCertificateAuthorityInput,
) -> Result<wire::CreateCertificateAuthorityOutput, Refusal> {
    let wire::CreateCertificateAuthorityInput {
        certificate_authority_configuration: configuration,
        revocation_configuration,
        certificate_authority_type,
        idempotency_token,
        key_storage_security_standard,
        tags,
        usage_mode,
    } = input;
    let key = key_algorithm(configuration.key_algorithm)?;
    let signing = signature_algorithm(configuration.signing_algorithm)?;
    if !signing.is_for(key) {
        return Err(Refusal::invalid(
            "SigningAlgorithm",
            format_args!(
                "a key of {key} does not sign with {signing}: expected an algorithm of the key's family"
            ),
        ));
    }
    let name = subject::distinguished_name(&configuration.subject)?;
    if name.is_empty() {
        return Err(Refusal::invalid("Subject", "is empty: a certificate authority has a name"));
    }
    extensions::of_csr(configuration.csr_extensions.as_ref())?;
    let is_short_lived = usage_mode == Some(wire::CertificateAuthorityUsageMode::ShortLivedCertificate);
    let revocation = revocation_configuration;
    if let Some(revocation) = &revocation {
        revocation::check_configuration(revocation, is_short_lived)?;
    }
    let tags = tag::check(&tags.unwrap_or_default())?;
    let storage = key_storage_security_standard
        .unwrap_or(wire::KeyStorageSecurityStandard::Fips1402Level3OrHigher)
        .into_value();
    let authority = Authority {
        id: ctx.surroundings.random.uuid(),
        home: ctx.home(),
        is_root: certificate_authority_type == wire::CertificateAuthorityType::Root,
        status: Status::Creating,
        configuration: configuration.into_value(),
        revocation: revocation.map(IntoValue::into_value),
        is_short_lived,
        key_storage: storage.as_str().unwrap_or_default().to_owned(),
        created_at: ctx.now,
        changed_at: ctx.now,
        csr: None,
        installed: None,
        deleted: None,
    };
    let mut asked = json!({
        "IdempotencyToken": idempotency_token,
        "Configuration": authority.configuration,
        "Revocation": authority.revocation,
        "IsRoot": authority.is_root,
        "IsShortLived": is_short_lived,
        "Tags": tags,
    });
    let token =
        Token::take_member(ctx, ("acm-pca", "CreateCertificateAuthority"), "IdempotencyToken", &mut asked);
    let arn = ctx
        .transact(move |tx| {
            let run = |tx: &mut Transaction<'_>| {
                if AUTHORITIES.count(tx, &authority.home)? >= MAX_AUTHORITIES {
                    let message =
                        format_args!("there are {MAX_AUTHORITIES} certificate authorities: delete one first");
                    return Err(refuse("LimitExceededException", message));
                }
                tag::merge(tx, &authority.home, &authority.arn(), &tags)?;
                tx.put(&super::lifecycle::place_of(&authority.id), authority.place().into_bytes());
                AUTHORITIES.put_pending(tx, &authority.home, &authority.id, &authority)?;
                Ok(Value::from(authority.arn()))
            };
            let home = authority.home.clone();
            let is_there = |tx: &mut Transaction<'_>, arn: &Value| {
                let id = arn.as_str().and_then(|arn| arn.rsplit('/').next()).unwrap_or_default();
                Ok(tx.get(&AUTHORITIES.key(&home, id))?.is_some())
            };
            Token::once(token.as_ref(), tx, is_there, run)
        })
        .await?;
    let arn = arn.as_str().ok_or_else(|| Exception::internal("an ARN is text"))?;
    Ok(wire::CreateCertificateAuthorityOutput { certificate_authority_arn: Some(arn.to_owned()) })
}
