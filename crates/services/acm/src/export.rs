//! What is done with a certificate that was requested: exported with its key, renewed before its time, other options.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use trellis_api::Exception;
use trellis_frame::{Context, Refusal};
use trellis_store::Transaction;
use zeroize::Zeroizing;

use super::describe::without_nulls;
use super::record::Certificate;
use super::request::{Options, Requested};
use super::{Identify, invalid, read};

/// It has no `Debug`, because of the passphrase.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Export {
    certificate_arn: String,
    /// In base64.
    passphrase: String,
}

/// "The passphrase: at least 4 characters, any ASCII character except #, $, or %."
fn passphrase(base64: &str) -> Result<Zeroizing<Vec<u8>>, Exception> {
    let bytes = BASE64_STANDARD.decode(base64).map(Zeroizing::new);
    let bytes = bytes.map_err(|_| invalid("Passphrase is not base64"))?;
    let is_fit = |byte: &u8| (b' '..=b'~').contains(byte) && !b"#$%".contains(byte);
    if !(4..=128).contains(&bytes.len()) || !bytes.iter().all(is_fit) {
        return Err(invalid("Passphrase: expected 4 to 128 characters of ASCII other than #, $ and %"));
    }
    Ok(bytes)
}

/// The certificate with its private key, which the passphrase opens.
pub(super) async fn export(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let Export { certificate_arn, passphrase: given } = read(input)?;
    let given = Zeroizing::new(given);
    let passphrase = passphrase(&given)?;
    let (certificate, leaf) = {
        let mut state = ctx.read()?;
        let certificate = Certificate::find(&mut state, &ctx.home(), &certificate_arn)?;
        let Some(requested) = &certificate.requested else {
            return Err(
                invalid("a certificate that was imported is not exported: its owner has the key").into()
            );
        };
        if !requested.is_exportable() {
            return Err(invalid("the certificate was not requested with Options.Export ENABLED").into());
        }
        if certificate.facts.is_none() {
            return Err(certificate.in_progress(ctx.now));
        }
        let leaf = certificate.material(&mut state, ctx.vault())?;
        (certificate, leaf)
    };
    let (home, id) = (certificate.home, certificate.id);
    let sealing = tokio::task::spawn_blocking(move || {
        let key = leaf.private_key().to_encrypted_pem(&passphrase);
        key.map(|key| (leaf.certificate_pem(), leaf.chain_pem(), key))
    });
    let sealed = sealing.await.map_err(|error| Exception::internal(error.to_string()))?;
    let (pem, chain, key) = sealed.map_err(|fault| Exception::internal(fault.to_string()))?;
    ctx.transact(move |tx| {
        let Some(mut certificate) = Certificate::of_id(tx, &home, &id)? else { return Ok(()) };
        if let Some(requested) = certificate.requested.as_mut().filter(|requested| !requested.is_exported) {
            requested.is_exported = true;
            certificate.put_record(tx);
        }
        Ok(())
    })
    .await?;
    Ok(without_nulls(json!({"Certificate": pem, "CertificateChain": chain, "PrivateKey": key})))
}

/// "Renews an eligible ACM certificate." One of a private CA that somebody uses or has exported; the workflow does it.
pub(super) fn renew(tx: &mut Transaction<'_>, ctx: &Context, input: &Identify) -> Result<(), Refusal> {
    let mut certificate = Certificate::find(tx, &ctx.home(), &input.certificate_arn)?;
    let is_in_use = !certificate.users(tx)?.is_empty();
    if certificate.facts.is_none() && certificate.requested.is_some() {
        return Err(certificate.in_progress(ctx.now));
    }
    if certificate.renewal_eligibility(is_in_use) != "ELIGIBLE" {
        let message = "the certificate is not eligible for renewal: it was imported, or nobody uses it or has exported it";
        return Err(invalid(message).into());
    }
    if let Some(requested) = &mut certificate.requested {
        requested.is_renewal_wanted = true;
    }
    certificate.put_pending(tx)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Update {
    certificate_arn: String,
    options: Options,
}

pub(super) fn update(tx: &mut Transaction<'_>, ctx: &Context, input: &Update) -> Result<(), Refusal> {
    let mut certificate = Certificate::find(tx, &ctx.home(), &input.certificate_arn)?;
    let wrong = |message: &str| Refusal::from(Exception::plain("InvalidStateException", 400, message));
    let Some(requested) = &mut certificate.requested else {
        return Err(wrong("a certificate that was imported has no options"));
    };
    let Options { certificate_transparency_logging_preference, export, validation_method } = &input.options;
    if validation_method.as_deref().is_some_and(|method| method != "DNS") {
        return Err(invalid("domains are validated by DNS alone").into());
    }
    if let Some(preference) = certificate_transparency_logging_preference {
        requested.transparency_logging.clone_from(preference);
    }
    if let Some(export) = export {
        requested.export.clone_from(export);
    }
    certificate.put_record(tx);
    Ok(())
}

/// There is nobody to write to: validation is by DNS.
pub(super) fn resend(tx: &mut Transaction<'_>, ctx: &Context, input: &Resend) -> Result<(), Refusal> {
    Certificate::find(tx, &ctx.home(), &input.certificate_arn)?;
    let message = "the certificate is not validated by email";
    Err(Exception::plain("InvalidStateException", 400, message).into())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Resend {
    certificate_arn: String,
    #[serde(rename = "Domain")]
    _domain: String,
    #[serde(rename = "ValidationDomain")]
    _validation_domain: String,
}

impl Requested {
    /// Those of a private CA always may be.
    fn is_exportable(&self) -> bool {
        self.authority_arn.is_some() || self.export == "ENABLED"
    }
}
