//! VPC Lattice: every operation over the store, one module for each kind of resource.
//!
//! An operation is a function over one consistent state: reads over a [`Reader`], writes over a
//! [`Transaction`]. It gets the request typed and gives the answer typed; binding to the wire has been
//! done before and is done after. The table below is the only list of what is implemented.

pub(crate) mod access_log;
pub(crate) mod action;
pub(crate) mod association;
pub(crate) mod auth_policy;
pub(crate) mod certificate;
mod certificate_renewal;
pub(crate) mod database;
mod domain_proof;
pub(crate) mod domain_verification;
pub(crate) mod endpoint_association;
pub(crate) mod health_check;
mod held;
pub(crate) mod identifier;
mod keys;
pub(crate) mod listener;
pub(crate) mod named;
pub(crate) mod place;
mod quota;
mod refusal;
pub(crate) mod resource_association;
pub(crate) mod resource_configuration;
pub(crate) mod resource_gateway;
pub(crate) mod resource_policy;
pub(crate) mod rule;
pub(crate) mod service;
pub(crate) mod service_association;
pub(crate) mod service_network;
pub(crate) mod sharing;
pub(crate) mod tags;
pub(crate) mod target;
pub(crate) mod target_group;
pub(crate) mod vpc;
pub(crate) mod vpc_association;
mod workflow;

/// Types of the description.
#[allow(clippy::all, dead_code, unreachable_pub, unused_qualifications)]
pub(crate) mod wire {
    include!(concat!(env!("OUT_DIR"), "/vpc-lattice.rs"));
}

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use trellis_frame as frame;
use trellis_frame::task::Task;
use trellis_frame::token::Token;
use trellis_frame::{Context, settling};
use trellis_model::health_board::HealthBoard;
use trellis_model::resource::lattice::{Home, Status};
use trellis_store::{Reader, Transaction};

use crate::refusal::{Refusal, invalid};

pub use domain_proof::{Answer, TxtLookup};

/// What VPC Lattice is given at the start, as an extension of the frame.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a deregistered target waits for its requests to end, at most. Default 60 s.
    pub drain_limit: Duration,
    /// How domain verifications look for their TXT records. Default: they find none.
    pub txt_lookup: TxtLookup,
    /// How often a record that was not there is looked for again. Default 60 s.
    pub txt_lookup_interval: Duration,
    /// How often certificates are looked through for those that need a successor. Default one hour.
    pub certificate_check_interval: Duration,
    /// The health of the targets of this process.
    pub health: HealthBoard,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            drain_limit: Duration::from_secs(60),
            txt_lookup: TxtLookup::none(),
            txt_lookup_interval: Duration::from_secs(60),
            certificate_check_interval: Duration::from_secs(3600),
            health: HealthBoard::default(),
        }
    }
}

pub(crate) fn settings(surroundings: &frame::Surroundings) -> &Settings {
    surroundings.extension().expect("the control plane is started with them")
}

pub(crate) fn health(surroundings: &frame::Surroundings) -> &HealthBoard {
    &settings(surroundings).health
}

/// References and certificates that earlier processes owe.
async fn start(surroundings: Arc<frame::Surroundings>) -> Result<(), Refusal> {
    held::start(&surroundings).await?;
    certificate_renewal::renew(&surroundings).await
}

/// The service part of idempotency tokens' keys.
const TOKENS: &str = "vpc-lattice";

/// An answer without members.
#[derive(Debug, Serialize)]
pub(crate) struct Nothing {}

/// The service: what the frame has to know of it.
pub static SERVICE: frame::Service = frame::Service {
    words: frame::words::rest_json,
    operations: OPERATIONS,
    quotas: quota::ALL,
    tagged: Some(frame::Tagged {
        arn_service: "vpc-lattice",
        tag_action: "vpc-lattice:TagResource",
        untag_action: "vpc-lattice:UntagResource",
        locate: tags::locate_arn,
    }),
    holder: Some(frame::Holder { arn_service: "vpc-lattice", noun: held::noun, told: held::told }),
    shareable: sharing::ALL,
    start: Some(|surroundings| Box::pin(start(surroundings))),
    tasks: &[
        Task { name: "workflow", run: |surroundings| Box::pin(workflow::run(surroundings)) },
        Task { name: "domain proof", run: |surroundings| Box::pin(domain_proof::run(surroundings)) },
        Task {
            name: "certificate renewal",
            run: |surroundings| Box::pin(certificate_renewal::run(surroundings)),
        },
    ],
    accounts: frame::Accounts { records: &[keys::LATTICE], ..frame::Accounts::NONE },
    ..frame::Service::new(wire::description)
};

/// Maps operations to functions: `read` over a consistent state, `write` as one transaction, `create`
/// as one transaction that a client token makes happen once.
macro_rules! operations {
    ($($name:literal => $how:ident $function:path,)*) => {
        /// Names of the operations that are implemented, in alphabetical order.
        #[cfg(test)]
        pub(crate) const IMPLEMENTED: &[&str] = &[$($name),*];

        const OPERATIONS: &[frame::Operation] = &[$(frame::Operation {
            name: $name,
            perform: frame::Perform::Signed(|call| {
                Box::pin(async move {
                    let (ctx, input) = call.into_parts()?;
                    $how(&ctx, $name, input, $function).await
                })
            }),
        },)*];

        /// Whether `input` is what the operation called `name` takes, by its typed form.
        #[cfg(test)]
        pub(crate) fn accepts(name: &str, input: Value) -> Option<Result<(), serde_json::Error>> {
            match name {
                $($name => Some(input_of($function, input)),)*
                _ => None,
            }
        }
    };
}

operations! {
    "BatchUpdateRule" => write rule::batch::update,
    "CreateAccessLogSubscription" => create access_log::create,
    "CreateListener" => create listener::create,
    "CreateResourceConfiguration" => create resource_configuration::create,
    "CreateResourceGateway" => create resource_gateway::create,
    "CreateRule" => create rule::create,
    "CreateService" => create service::create,
    "CreateServiceNetwork" => create service_network::create,
    "CreateServiceNetworkResourceAssociation" => create resource_association::create,
    "CreateServiceNetworkServiceAssociation" => create service_association::create,
    "CreateServiceNetworkVpcAssociation" => create vpc_association::create,
    "CreateTargetGroup" => create target_group::create,
    "DeleteAccessLogSubscription" => write access_log::delete,
    "DeleteAuthPolicy" => write auth_policy::delete,
    "DeleteDomainVerification" => write domain_verification::delete,
    "DeleteListener" => write listener::delete,
    "DeleteResourceConfiguration" => write resource_configuration::delete,
    "DeleteResourceEndpointAssociation" => write endpoint_association::delete,
    "DeleteResourceGateway" => write resource_gateway::delete,
    "DeleteResourcePolicy" => write resource_policy::delete,
    "DeleteRule" => write rule::delete,
    "DeleteService" => write service::delete,
    "DeleteServiceNetwork" => write service_network::delete,
    "DeleteServiceNetworkResourceAssociation" => write resource_association::delete,
    "DeleteServiceNetworkServiceAssociation" => write service_association::delete,
    "DeleteServiceNetworkVpcAssociation" => write vpc_association::delete,
    "DeleteTargetGroup" => write target_group::delete,
    "DeregisterTargets" => write target::deregister,
    "GetAccessLogSubscription" => read access_log::get_one,
    "GetAuthPolicy" => read auth_policy::get_one,
    "GetDomainVerification" => read domain_verification::get_one,
    "GetListener" => read listener::get_one,
    "GetResourceConfiguration" => read resource_configuration::get_one,
    "GetResourceGateway" => read resource_gateway::get_one,
    "GetResourcePolicy" => read resource_policy::get_one,
    "GetRule" => read rule::get_one,
    "GetService" => read service::get_one,
    "GetServiceNetwork" => read service_network::get_one,
    "GetServiceNetworkResourceAssociation" => read resource_association::get_one,
    "GetServiceNetworkServiceAssociation" => read service_association::get_one,
    "GetServiceNetworkVpcAssociation" => read vpc_association::get_one,
    "GetTargetGroup" => read target_group::get_one,
    "ListAccessLogSubscriptions" => read access_log::list,
    "ListDomainVerifications" => read domain_verification::list,
    "ListListeners" => read listener::list,
    "ListResourceConfigurations" => read resource_configuration::list,
    "ListResourceEndpointAssociations" => read endpoint_association::list_of_resource,
    "ListResourceGateways" => read resource_gateway::list,
    "ListRules" => read rule::list,
    "ListServiceNetworkResourceAssociations" => read resource_association::list,
    "ListServiceNetworkServiceAssociations" => read service_association::list,
    "ListServiceNetworkVpcAssociations" => read vpc_association::list,
    "ListServiceNetworkVpcEndpointAssociations" => read endpoint_association::list_of_network,
    "ListServiceNetworks" => read service_network::list,
    "ListServices" => read service::list,
    "ListTagsForResource" => read tags::list,
    "ListTargetGroups" => read target_group::list,
    "ListTargets" => read target::list,
    "PutAuthPolicy" => write auth_policy::put_one,
    "PutResourcePolicy" => write resource_policy::put_one,
    "RegisterTargets" => write target::register,
    "StartDomainVerification" => create domain_verification::start,
    "TagResource" => write tags::tag,
    "UntagResource" => write tags::untag,
    "UpdateAccessLogSubscription" => write access_log::update,
    "UpdateListener" => write listener::update,
    "UpdateResourceConfiguration" => write resource_configuration::update,
    "UpdateResourceGateway" => write resource_gateway::update,
    "UpdateRule" => write rule::update,
    "UpdateService" => write service::update,
    "UpdateServiceNetwork" => write service_network::update,
    "UpdateServiceNetworkVpcAssociation" => write vpc_association::update,
    "UpdateTargetGroup" => write target_group::update,
}

fn answer<O: Serialize>(output: O) -> Value {
    serde_json::to_value(output).expect("answers are plain structs with string keys")
}

async fn read<I: DeserializeOwned, O: Serialize>(
    ctx: &Context,
    name: &str,
    mut input: Value,
    function: fn(&mut Reader, &Context, &I) -> Result<O, Refusal>,
) -> Result<Value, Refusal> {
    let list = list_of(ctx, name, &input);
    if let Some(token) = input.get_mut("nextToken") {
        let of_list = token.as_str().and_then(|token| token.strip_prefix(&list));
        let of_list = of_list.ok_or_else(|| invalid("nextToken", "is not a token of this list"))?;
        *token = of_list.into();
    }
    let input = frame::operation::parse(input)?;
    let mut answer = answer(function(&mut ctx.read()?, ctx, &input)?);
    if let Some(token) = answer["nextToken"].as_str() {
        answer["nextToken"] = format!("{list}{token}").into();
    }
    Ok(answer)
}

/// What tokens of a list begin with: the same for the same operation with the same parameters in the same account and
/// region, whatever the size of its pages.
fn list_of(ctx: &Context, name: &str, input: &Value) -> String {
    let members = input.as_object().into_iter().flatten();
    let filters: BTreeMap<_, _> =
        members.filter(|(name, _)| !matches!(name.as_str(), "nextToken" | "maxResults")).collect();
    let Home { account, region } = ctx.home();
    let digest = Sha256::digest(format!("{account}/{region}/{name}/{}", json!(filters)));
    digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn write<I, O>(
    ctx: &Context,
    _name: &str,
    input: Value,
    function: fn(&mut Transaction<'_>, &Context, &I) -> Result<O, Refusal>,
) -> Result<Value, Refusal>
where
    I: DeserializeOwned + Send + 'static,
    O: Serialize + 'static,
{
    let input: I = frame::operation::parse(input)?;
    let context = ctx.clone();
    let done = ctx.transact(move |tx| function(tx, &context, &input).map(answer)).await?;
    settled(ctx, done).await
}

async fn create<I, O>(
    ctx: &Context,
    name: &str,
    mut input: Value,
    function: fn(&mut Transaction<'_>, &Context, &I) -> Result<O, Refusal>,
) -> Result<Value, Refusal>
where
    I: DeserializeOwned + Send + 'static,
    O: Serialize + 'static,
{
    let token = Token::take_member(ctx, (TOKENS, name), "clientToken", &mut input);
    let input: I = frame::operation::parse(input)?;
    let context = ctx.clone();
    let done = ctx
        .transact(move |tx| {
            let home = context.home();
            let is_there = |tx: &mut Transaction<'_>, answer: &Value| {
                named::told_of(tx, &home, answer).map(|entry| entry.is_some())
            };
            let run = |tx: &mut Transaction<'_>| function(tx, &context, &input).map(answer);
            Token::once(token.as_ref(), tx, is_there, run)
        })
        .await?;
    settled(ctx, done).await
}

/// The part of a record that moves.
#[derive(Deserialize)]
struct Moving {
    status: Status,
}

/// The answer with the status as it is once it has settled or the wait for that is over. What is gone by then is told
/// of as going: there is no word for it.
async fn settled(ctx: &Context, mut answer: Value) -> Result<Value, Refusal> {
    let status = Moving::deserialize(&answer).ok().filter(|moving| moving.status.is_in_progress());
    let (Some(_), Some(deadline)) = (status, settling::deadline(ctx)) else { return Ok(answer) };
    let Some(entry) = named::told_of(&mut ctx.read()?, &ctx.home(), &answer)? else { return Ok(answer) };
    let status = settling::wait(ctx, deadline, &entry.key, |record| match record {
        None => Some(None),
        Some(record) => {
            let Moving { status } = serde_json::from_slice(record).ok()?;
            (!status.is_in_progress()).then_some(Some(status))
        }
    });
    if let Some(Some(status)) = status.await {
        answer["status"] = self::answer(status);
    }
    Ok(answer)
}

#[cfg(test)]
fn input_of<S, I: DeserializeOwned, O>(
    _function: fn(S, &Context, &I) -> Result<O, Refusal>,
    mut input: Value,
) -> Result<(), serde_json::Error> {
    if let Some(members) = input.as_object_mut() {
        members.remove("clientToken");
    }
    serde_json::from_value::<I>(input).map(drop)
}

#[cfg(test)]
mod tests;
