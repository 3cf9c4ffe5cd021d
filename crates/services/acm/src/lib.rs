//! ACM: certificates that users bring or have a private CA of theirs issue, for the custom domains of their services.
//!
//! ```text
//! acm/{account}/{region}/certificate/{uuid}       -> record::Certificate: what the certificate says of itself
//! acm/{account}/{region}/material/{uuid}          -> chain and private key, sealed
//! ```
//!
//! Who shows a certificate holds it in the table of references, and is told when another takes its place. A private key
//! comes in by ImportCertificate or is made for RequestCertificate and goes to handshakes, and to who exports it with a
//! passphrase, sealed with that; no other answer, no log and no error has a byte of it.

mod describe;
mod export;
mod import;
mod list;
mod request;
mod tags;
mod validation;

mod record;

/// Types of the description.
#[allow(clippy::all, dead_code, unreachable_pub, unused_qualifications)]
pub(crate) mod wire {
    include!(concat!(env!("OUT_DIR"), "/acm.rs"));
}

use record::Certificate;
use serde::de::DeserializeOwned;
use serde_json::Value;
use trellis_api::Exception;
use trellis_frame::{Accounts, Context, Hooks, Refusal, Service, Tagged, Workflow, tags as tag_set, words};
use trellis_model::Arn;
use trellis_model::resource::lattice::Home;
use trellis_store::{Read, Transaction};

/// The service: what the frame has to know of it.
pub static SERVICE: Service = Service {
    words,
    operations: OPERATIONS,
    tagged: Some(Tagged {
        arn_service: "acm",
        tag_action: "acm:AddTagsToCertificate",
        untag_action: "acm:RemoveTagsFromCertificate",
        locate,
    }),
    accounts: Accounts { records: &["acm/"], ..Accounts::NONE },
    start: Some(|surroundings| Box::pin(async move { record::adopt(&surroundings).await })),
    hooks: Hooks { certificates: Some(&record::Keeper), ..Hooks::NONE },
    workflows: &[Workflow { kind: record::CERTIFICATE, advance: request::advance }],
    ..Service::new(wire::description)
};

trellis_frame::operations! {
    AddTagsToCertificate => write tags::add,
    DeleteCertificate => write delete,
    DescribeCertificate => read describe::describe,
    ExportCertificate => call export::export,
    GetCertificate => read describe::pem,
    ImportCertificate => call import::import,
    ListCertificates => read list::list,
    ListTagsForCertificate => read tags::list,
    RemoveTagsFromCertificate => write tags::remove,
    RenewCertificate => write export::renew,
    RequestCertificate => call request::request,
    ResendValidationEmail => write export::resend,
    UpdateCertificateOptions => write export::update,
}

fn words(refusal: Refusal) -> Exception {
    match refusal {
        // The message of a failure could repeat what was sent.
        Refusal::Unreadable { .. } => invalid(UNREADABLE),
        Refusal::NotServed { operation } => {
            Exception::plain("UnknownOperationException", 400, format!("{operation} is not supported"))
        }
        refusal => words::json(refusal),
    }
}

const UNREADABLE: &str = "the request does not have the form of this operation";

/// Refuses an ARN of `home` that names no certificate.
fn locate(mut state: &mut dyn Read, home: &Home, arn: &Arn) -> Result<(), Refusal> {
    match Certificate::get(&mut state, home, arn)? {
        Some(_) => Ok(()),
        None => Err(Refusal::unacceptable(format_args!("{arn} does not exist"))),
    }
}

fn read<T: DeserializeOwned>(input: Value) -> Result<T, Exception> {
    serde_json::from_value(input).map_err(|_| invalid(UNREADABLE))
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
    certificate.delete(tx)
}
