//! RAM: resource shares, the accounts they are offered to, and who has accepted.
//!
//! What can be shared is what services say, and has a managed permission here: service networks, services and resource
//! configurations of VPC Lattice. Consumers are accounts of this installation, which are invited, and, once sharing with
//! the organisation is enabled, its units and accounts, which are not. What a share allows is decided in
//! [`trellis_frame::sharing`].

mod association;
pub(crate) mod invitation;
mod listing;
mod organization;
mod page;
mod permission;
mod resource;
pub(crate) mod share;
pub(crate) mod tags;

/// Types of the description.
#[allow(clippy::all, dead_code, unreachable_pub, unused_qualifications)]
pub(crate) mod wire {
    include!(concat!(env!("OUT_DIR"), "/ram.rs"));
}

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use trellis_api::Exception;
use trellis_frame as frame;
use trellis_frame::token::Token;
use trellis_frame::{Context, Refusal};
use trellis_model::Arn;
use trellis_model::resource::lattice::Home;
use trellis_store::{Reader, Transaction};

/// The service part of idempotency tokens' keys.
const TOKENS: &str = "ram";

/// The longest `clientToken`.
const MAX_CLIENT_TOKEN: usize = 64;

/// An answer without members.
#[derive(Debug, Serialize)]
pub(crate) struct Nothing {}

/// An answer that only says that it was done.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Done {
    return_value: bool,
}

impl Done {
    pub(crate) const DONE: Self = Self { return_value: true };
}

/// The service: what the frame has to know of it.
pub static SERVICE: frame::Service = frame::Service {
    words,
    operations: OPERATIONS,
    tagged: Some(frame::Tagged {
        arn_service: "ram",
        tag_action: "ram:TagResource",
        untag_action: "ram:UntagResource",
        locate: share::locate_arn,
    }),
    accounts: frame::Accounts { records: &["ram/"], forget: share::drop_account, ..frame::Accounts::NONE },
    hooks: frame::Hooks { shares: Some(&share::Keeper), ..frame::Hooks::NONE },
    tasks: &[frame::task::Task {
        name: "shares",
        run: |surroundings| Box::pin(organization::follow(surroundings)),
    }],
    ..frame::Service::new(wire::description)
};

/// Maps operations to functions: `read` over a consistent state, `write` as one transaction that a client
/// token, where one is sent, makes happen once.
macro_rules! operations {
    ($($name:literal => $how:ident $function:path,)*) => {
        const OPERATIONS: &[frame::Operation] = &[$(frame::Operation {
            name: $name,
            perform: frame::Perform::Signed(|call| {
                Box::pin(async move {
                    let (ctx, input) = call.into_parts()?;
                    $how(&ctx, $name, input, $function).await
                })
            }),
        },)*];
    };
}

operations! {
    "AcceptResourceShareInvitation" => write invitation::accept,
    "AssociateResourceShare" => write association::associate,
    "AssociateResourceSharePermission" => write permission::associate,
    "CreateResourceShare" => write share::create,
    "DeleteResourceShare" => write share::delete,
    "DisassociateResourceShare" => write association::disassociate,
    "DisassociateResourceSharePermission" => write permission::disassociate,
    "EnableSharingWithAwsOrganization" => write share::enable_organization,
    "GetPermission" => read permission::get_one,
    "GetResourcePolicies" => read resource::policies,
    "GetResourceShareAssociations" => read association::list,
    "GetResourceShareInvitations" => read invitation::list,
    "GetResourceShares" => read listing::shares,
    "ListPendingInvitationResources" => read invitation::resources,
    "ListPermissionVersions" => read permission::versions,
    "ListPermissions" => read permission::list,
    "ListPrincipals" => read listing::principals,
    "ListResourceSharePermissions" => read permission::of_share,
    "ListResourceTypes" => read listing::types,
    "ListResources" => read listing::resources,
    "RejectResourceShareInvitation" => write invitation::reject,
    "TagResource" => write tags::tag,
    "UntagResource" => write tags::untag,
    "UpdateResourceShare" => write share::update,
}

/// What the parts that all services share call otherwise.
fn words(refusal: Refusal) -> Exception {
    match refusal {
        Refusal::NotServed { .. } => fault("OperationNotPermittedException", refusal.to_string()),
        Refusal::TokenReused { .. } => {
            fault("IdempotentParameterMismatchException", "clientToken was used before with other parameters")
        }
        Refusal::Invalid { .. } | Refusal::Unreadable { .. } | Refusal::NotAPage { .. } => {
            fault("InvalidParameterException", refusal.to_string())
        }
        refusal => in_rams_words(frame::words::rest_json(refusal)),
    }
}

/// What VPC Lattice's exceptions are called in RAM.
fn in_rams_words(exception: Exception) -> Exception {
    match exception.code.as_ref() {
        "ValidationException" => fault("InvalidParameterException", exception.message),
        _ => exception,
    }
}

fn answer<O: Serialize>(output: O) -> Value {
    serde_json::to_value(output).expect("answers are plain structs with string keys")
}

async fn read<I: DeserializeOwned, O: Serialize>(
    ctx: &Context,
    _name: &str,
    input: Value,
    function: fn(&mut Reader, &Context, &I) -> Result<O, Refusal>,
) -> Result<Value, Refusal> {
    let input = frame::operation::parse(input)?;
    Ok(answer(function(&mut ctx.read()?, ctx, &input)?))
}

/// An answer repeats the client token it was asked with.
async fn write<I, O>(
    ctx: &Context,
    name: &str,
    mut input: Value,
    function: fn(&mut Transaction<'_>, &Context, &I) -> Result<O, Refusal>,
) -> Result<Value, Refusal>
where
    I: DeserializeOwned + Send + 'static,
    O: Serialize + 'static,
{
    let text = input["clientToken"].as_str().map(str::to_owned);
    if text.as_ref().is_some_and(|text| text.is_empty() || text.len() > MAX_CLIENT_TOKEN) {
        let message = format!("clientToken has 1 to {MAX_CLIENT_TOKEN} characters");
        return Err(refuse("InvalidClientTokenException", message));
    }
    let token = Token::take_member(ctx, (TOKENS, name), "clientToken", &mut input);
    let input: I = frame::operation::parse(input)?;
    let context = ctx.clone();
    let home = ctx.home();
    ctx.transact(move |tx| {
        // Answers that tell of a share.
        let is_there = |tx: &mut Transaction<'_>, answer: &Value| {
            let arn = answer["resourceShare"]["resourceShareArn"].as_str();
            arn.map_or(Ok(true), |arn| share::exists(tx, &home, arn))
        };
        Token::once(token.as_ref(), tx, is_there, |tx| {
            let mut answer = answer(function(tx, &context, &input)?);
            if let (Some(text), Some(members)) = (&text, answer.as_object_mut()) {
                members.insert("clientToken".into(), text.as_str().into());
            }
            Ok(answer)
        })
    })
    .await
}

// === what is refused ===

fn fault(code: &'static str, message: impl Into<String>) -> Exception {
    Exception::plain(code, 400, message)
}

pub(crate) fn refuse(code: &'static str, message: impl std::fmt::Display) -> Refusal {
    fault(code, message.to_string()).into()
}

pub(crate) fn invalid(message: impl std::fmt::Display) -> Refusal {
    refuse("InvalidParameterException", message)
}

pub(crate) fn not_permitted(message: impl std::fmt::Display) -> Refusal {
    refuse("OperationNotPermittedException", message)
}

pub(crate) fn unknown(what: &str, text: &str) -> Refusal {
    refuse("UnknownResourceException", format_args!("{what} {} could not be found.", shown(text)))
}

/// As much of a caller's text as a message repeats.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(256).collect()
}

/// `text` as an ARN.
///
/// # Errors
/// `MalformedArnException`.
pub(crate) fn arn(text: &str) -> Result<Arn, Refusal> {
    text.parse().ok().filter(|arn: &Arn| arn.partition == "aws").ok_or_else(|| {
        refuse(
            "MalformedArnException",
            format_args!("The specified resource ARN {} is not valid.", shown(text)),
        )
    })
}

/// Owner and id of what an ARN of RAM names: `{kind}/{id}`.
///
/// # Errors
/// `MalformedArnException` for what is no ARN of that kind.
fn named(text: &str, kind: &str) -> Result<(Home, String), Refusal> {
    let parsed = arn(text)?;
    let id = parsed.resource.strip_prefix(kind).and_then(|id| id.strip_prefix('/'));
    let home = parsed.account.parse().ok().zip(parsed.region.parse().ok());
    match (id, home) {
        (Some(id), Some((account, region)))
            if parsed.service == "ram" && !id.is_empty() && !id.contains('/') =>
        {
            Ok((Home { account, region }, id.to_owned()))
        }
        _ => Err(refuse(
            "MalformedArnException",
            format_args!("The specified ARN {} is not that of a {kind}.", shown(text)),
        )),
    }
}
