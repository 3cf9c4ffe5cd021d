//! ACM: certificates that users bring, for the custom domains of their services.
//!
//! ```text
//! acm/{account}/{region}/certificate/{uuid}       -> record::Certificate: what the certificate says of itself
//! acm/{account}/{region}/material/{uuid}          -> chain and private key, sealed
//! index/acm/{account}/{region}/use/{uuid}/{svc}   the service shows the certificate
//! ```
//!
//! A private key comes in by ImportCertificate and goes to handshakes, and nowhere else: no answer, no log and no
//! error has a byte of it.

mod describe;
mod import;
mod list;
mod tags;

pub(crate) mod record;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use trellis_api::{Exception, Operation};
use trellis_store::Transaction;

use crate::context::Context;
use crate::refusal::Refusal;
use crate::tag_set;
use record::Certificate;

/// Names of the operations that are implemented, in alphabetical order.
pub(crate) const IMPLEMENTED: &[&str] = &[
    "AddTagsToCertificate",
    "DeleteCertificate",
    "DescribeCertificate",
    "GetCertificate",
    "ImportCertificate",
    "ListCertificates",
    "ListTagsForCertificate",
    "RemoveTagsFromCertificate",
];

/// Performs one operation; `input` and the answer are keyed by the model's member names.
///
/// # Errors
/// What the operation refuses.
pub(crate) async fn call(
    ctx: &Context,
    operation: &'static Operation,
    input: Value,
) -> Result<Value, Exception> {
    match operation.name.as_str() {
        "ImportCertificate" => import::import(ctx, input).await,
        "ListCertificates" => Ok(list::list(&mut ctx.read()?, ctx, &read(input)?)?),
        "DescribeCertificate" => Ok(describe::describe(&mut ctx.read()?, ctx, &read(input)?)?),
        "GetCertificate" => Ok(describe::pem(&mut ctx.read()?, ctx, &read(input)?)?),
        "ListTagsForCertificate" => Ok(tags::list(&mut ctx.read()?, ctx, &read(input)?)?),
        "DeleteCertificate" => write(ctx, input, delete).await,
        "AddTagsToCertificate" => write(ctx, input, tags::add).await,
        "RemoveTagsFromCertificate" => write(ctx, input, tags::remove).await,
        other => Err(Exception::plain("UnknownOperationException", 400, format!("{other} is not supported"))),
    }
}

async fn write<I: DeserializeOwned + Send + 'static>(
    ctx: &Context,
    input: Value,
    function: fn(&mut Transaction<'_>, &Context, &I) -> Result<(), Refusal>,
) -> Result<Value, Exception> {
    let input: I = read(input)?;
    let context = ctx.clone();
    ctx.transact(move |tx| function(tx, &context, &input)).await?;
    Ok(json!({}))
}

fn read<T: DeserializeOwned>(input: Value) -> Result<T, Exception> {
    // The message of a failure could repeat what was sent.
    serde_json::from_value(input).map_err(|_| invalid("the request does not have the form of this operation"))
}

/// What ACM calls a broken rule that no narrower exception is for.
fn invalid(message: impl Into<String>) -> Exception {
    Exception::plain("ValidationException", 400, message)
}

/// The input of every operation that is about one certificate.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Identify {
    certificate_arn: String,
}

fn delete(tx: &mut Transaction<'_>, ctx: &Context, input: &Identify) -> Result<(), Refusal> {
    let home = ctx.home();
    let certificate = Certificate::find(tx, &home, &input.certificate_arn)?;
    if !certificate.users(tx)?.is_empty() {
        let message = format!("Certificate {} in account {} is in use.", input.certificate_arn, home.account);
        return Err(Exception::plain("ResourceInUseException", 400, message).into());
    }
    tag_set::forget(tx, &home, &certificate.arn());
    certificate.delete(tx);
    Ok(())
}
