//! ImportCertificate, the first time and again to the same ARN.
//!
//! Everything about the material is judged by `trellis_ca::import`; here are ACM's words for its verdicts, and
//! what a successor must keep of what it replaces. Services that show the certificate show the successor from the
//! same transaction on.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use trellis_api::Exception;
use trellis_ca::import::{self, ImportError, Material, Place as Position, Purpose};
use trellis_ca::{Facts, Leaf};
use trellis_frame::tags::Tags;
use trellis_frame::{Context, Refusal, reference};
use trellis_store::Transaction;
use zeroize::Zeroizing;

use super::record::Certificate;
use super::tags::{self, Tag};
use super::{invalid, read};

/// Certificates in one account and region: AWS's default.
pub(super) const MAX_CERTIFICATES: usize = 2500;

/// It has no `Debug`, because of the key.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Import {
    certificate_arn: Option<String>,
    /// This and the next two: PEM in base64.
    certificate: String,
    private_key: String,
    certificate_chain: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

pub(super) async fn import(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let Import { certificate_arn, certificate, private_key, certificate_chain, tags } = read(input)?;
    let private_key = Zeroizing::new(private_key);
    let tags = tags::check(&tags)?;
    if certificate_arn.is_some() && !tags.is_empty() {
        return Err(invalid("Tagging is not permitted on re-import.").into());
    }
    let leaf = {
        let certificate = bytes("Certificate", &certificate)?;
        let private_key = bytes("PrivateKey", &private_key)?;
        let chain = certificate_chain.map(|chain| bytes("CertificateChain", &chain)).transpose()?;
        let chain = chain.as_ref().map(|chain| chain.as_slice());
        let material = Material { certificate: &certificate, private_key: &private_key, chain };
        import::check(&material, ctx.now.into(), Purpose::Any).map_err(|error| refused(&error))?
    };
    let id = ctx.surroundings.random.uuid();
    let context = ctx.clone();
    let arn = ctx
        .transact(move |tx| match &certificate_arn {
            Some(arn) => replace(tx, &context, arn, &leaf),
            None => add(tx, &context, &id, &leaf, &tags),
        })
        .await?;
    Ok(json!({"CertificateArn": arn}))
}

fn bytes(member: &str, base64: &str) -> Result<Zeroizing<Vec<u8>>, Exception> {
    let bytes = BASE64_STANDARD.decode(base64).map_err(|_| invalid(format!("{member} is not base64")))?;
    Ok(Zeroizing::new(bytes))
}

/// `error` with the sentence ACM has for it, where it has one that says more than ours.
fn refused(error: &ImportError) -> Exception {
    let chain = |place: usize| {
        format!(
            "Unable to validate certificate chain. The certificate chain must start with the immediate signing \
             certificate, followed by any intermediaries in order. The index within the chain of the invalid \
             certificate is: {}",
            place.saturating_sub(1)
        )
    };
    let sentence = match error {
        ImportError::SeveralCertificates { got: 2.. } => Some(
            "The certificate field contains more than one certificate. You can specify only one certificate in \
             this field."
                .to_owned(),
        ),
        ImportError::ChainOrder { position, .. }
        | ImportError::ChainIssuer { position, .. }
        | ImportError::ChainNotAuthority { position, .. }
        | ImportError::Signature { place: Position::Chain(position) } => Some(chain(*position)),
        _ => None,
    };
    match sentence {
        Some(sentence) => invalid(format!("{sentence} ({error})")),
        None => invalid(error.to_string()),
    }
}

fn add(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    id: &str,
    leaf: &Leaf,
    tags: &Tags,
) -> Result<String, Refusal> {
    let home = ctx.home();
    if Certificate::count(tx, &home)? >= MAX_CERTIFICATES {
        let message = format!("there are {MAX_CERTIFICATES} certificates, which is the limit of a region");
        return Err(Exception::plain("LimitExceededException", 400, message).into());
    }
    let certificate = Certificate {
        id: id.to_owned(),
        home,
        facts: Some(leaf.facts().clone()),
        created_at: ctx.now,
        imported_at: Some(ctx.now),
        requested: None,
    };
    tags::merge(tx, ctx, &certificate.arn(), tags)?;
    certificate.put(tx, ctx.vault(), leaf)?;
    Ok(certificate.arn())
}

fn replace(tx: &mut Transaction<'_>, ctx: &Context, arn: &str, leaf: &Leaf) -> Result<String, Refusal> {
    let home = ctx.home();
    let mut certificate = Certificate::find(tx, &home, arn)?;
    let Some(before) = certificate.facts.as_ref().filter(|_| certificate.requested.is_none()) else {
        return Err(invalid(format!("{arn} was requested, not imported: it cannot be imported again")).into());
    };
    check_successor(before, leaf.facts())?;
    certificate.facts = Some(leaf.facts().clone());
    certificate.imported_at = Some(ctx.now);
    certificate.put(tx, ctx.vault(), leaf)?;
    reference::changed(tx, &ctx.surroundings, arn)?;
    Ok(certificate.arn())
}

/// "You can add or remove domain names. You cannot remove all of the domain names from a certificate. You can add new
/// (extended) key usage values, but you cannot remove existing values. The key type and size cannot be changed."
fn check_successor(before: &Facts, after: &Facts) -> Result<(), Exception> {
    if before.key_algorithm != after.key_algorithm {
        return Err(invalid(format!(
            "the key type and size of a certificate cannot be changed: expected {}, found {}",
            before.key_algorithm.as_str(),
            after.key_algorithm.as_str()
        )));
    }
    if before.host_names().next().is_some() && after.host_names().next().is_none() {
        return Err(invalid("all domain names of a certificate cannot be removed"));
    }
    if let Some(usage) = before.key_usages.iter().find(|usage| !after.key_usages.contains(usage)) {
        return Err(invalid(format!("the key usage {usage:?} of the certificate cannot be removed")));
    }
    let is_missing = |oid: &str| !after.extended_key_usages.iter().any(|usage| usage.oid == oid);
    if let Some(usage) = before.extended_key_usages.iter().find(|usage| is_missing(&usage.oid)) {
        return Err(invalid(format!(
            "the extended key usage {:?} of the certificate cannot be removed",
            usage.name
        )));
    }
    Ok(())
}
