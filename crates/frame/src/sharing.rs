//! Who may use what of another account: resource shares that were accepted, and resource policies.
//!
//! A resource is *found* by its owner's account, and a receiver's way to it is a grant under the
//! receiver's account (or under `*`, for a policy that names everybody). A grant only says where to
//! look: whether an action is allowed is decided anew each time, by the policy and by the permissions
//! of the shares, so nothing is allowed that neither says.
//!
//! What can be shared is what services say ([`Shareable`]); what the shares are, the one that keeps them ([`Shares`]),
//! which keeps their grants by [`set_share`]. [`set_policy`] keeps those of policies.

mod grant;

use std::fmt::Display;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde_json::json;
use trellis_model::resource::lattice::{Home, ResourcePolicy};
use trellis_model::{AccountId, Arn};
use trellis_policy::{Access, Caller, ConditionKey, Context as Circumstances, Decision, Policy, PolicyKind};
use trellis_store::{Entry, Read, Transaction};

use crate::context::Context;
use crate::key::{Scope, last_part};
use crate::page::{Listing, Page};
use crate::record::{decode, get, scan_all};
use crate::refusal::{Kind, Refusal, shown};
use crate::service::Services;

pub use grant::{forget, set_policy, set_share, shares_with};

/// A kind of resource that other accounts can be given.
#[derive(Debug)]
pub struct Shareable {
    /// As shares name the kind: `vpc-lattice:ServiceNetwork`.
    pub resource_type: &'static str,
    /// The service part of its ARNs, and of the actions on it.
    pub arn_service: &'static str,
    /// What the resource part of its ARNs has before the id.
    pub arn_prefix: &'static str,
    /// The service part of its keys, and the kind of its records there.
    pub service: &'static str,
    pub record_kind: &'static str,
    /// In messages.
    pub kind: &'static Kind,
    /// Refuses what is there and may not be shared: [`Refusal::Denied`] where its owner has said so, else
    /// [`Refusal::Invalid`].
    pub check: fn(&mut dyn Read, &Home, &str) -> Result<(), Refusal>,
    /// What it is shared with, when it is not shared by itself.
    pub group: GroupOf,
}

/// Finds the id of what the resource with an id is shared with.
pub type GroupOf = fn(&mut dyn Read, &Home, &str) -> Result<Option<String>, Refusal>;

/// A resource that can be shared, by kind and id.
pub type Resource<'a> = (&'static Shareable, &'a str);

impl Shareable {
    pub fn arn(&self, owner: &Home, id: &str) -> String {
        let Home { account, region } = owner;
        format!("arn:aws:{}:{region}:{account}:{}{id}", self.arn_service, self.arn_prefix)
    }

    /// The key of the record of `id`.
    pub fn key(&self, owner: &Home, id: impl Display) -> String {
        Scope::new(self.service, owner).record(self.record_kind, id)
    }

    fn keys(&self, owner: &Home) -> String {
        Scope::new(self.service, owner).records(self.record_kind)
    }

    fn policy_key(&self, owner: &Home, id: &str) -> String {
        Scope::new(self.service, owner).record("resource-policy", id)
    }
}

/// What a share gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Accounts that have accepted.
    pub receivers: Vec<AccountId>,
    /// What they may do with its resources of one kind: `vpc-lattice:GetService` and so on.
    pub actions: Vec<String>,
}

/// Keeps shares.
pub trait Shares: Send + Sync {
    /// What the share of `owner` gives of resources of `kind`, if it is there.
    ///
    /// # Errors
    /// A state that cannot be read.
    fn find(
        &self,
        state: &mut dyn Read,
        owner: &Home,
        share: &str,
        kind: &Shareable,
    ) -> Result<Option<Given>, Refusal>;

    /// A resource is gone: out of the share with it.
    ///
    /// # Errors
    /// A state that cannot be read.
    fn drop_resource(
        &self,
        tx: &mut Transaction<'_>,
        owner: &Home,
        share: &str,
        resource: &str,
    ) -> Result<(), Refusal>;
}

fn given(
    state: &mut impl Read,
    services: &Services,
    owner: &Home,
    share: &str,
    kind: &Shareable,
) -> Result<Option<Given>, Refusal> {
    services.hooks().shares.map_or(Ok(None), |shares| shares.find(state, owner, share, kind))
}

/// The policy of a resource: the one that was put, else the one its shares amount to.
///
/// # Errors
/// A state that cannot be read.
pub fn policy_text(
    state: &mut impl Read,
    services: &Services,
    owner: &Home,
    resource: Resource<'_>,
) -> Result<Option<String>, Refusal> {
    let put: Option<ResourcePolicy> = get(state, &resource.0.policy_key(owner, resource.1))?;
    match put {
        Some(policy) => Ok(Some(policy.policy)),
        None => shares_as_policy(state, services, owner, resource, None),
    }
}

/// One statement for each share with a receiver, those of `receiver` alone if one is named.
///
/// # Errors
/// A state that cannot be read.
pub fn shares_as_policy(
    state: &mut impl Read,
    services: &Services,
    owner: &Home,
    (shared, id): Resource<'_>,
    receiver: Option<&AccountId>,
) -> Result<Option<String>, Refusal> {
    let mut statements = Vec::new();
    for entry in scan_all(state, &shares_with(owner, id))? {
        let Some(share) = given(state, services, owner, last_part(&entry.key), shared)? else { continue };
        let receivers: Vec<String> = share
            .receivers
            .iter()
            .filter(|account| receiver.is_none_or(|receiver| receiver == *account))
            .map(|account| format!("arn:aws:iam::{account}:root"))
            .collect();
        if !receivers.is_empty() {
            statements.push(json!({
                "Effect": "Allow",
                "Principal": {"AWS": receivers},
                "Action": share.actions,
                "Resource": shared.arn(owner, id),
            }));
        }
    }
    let policy = json!({"Version": "2012-10-17", "Statement": statements});
    Ok((!statements.is_empty()).then(|| policy.to_string()))
}

/// What an operation asks to do with another account's resource.
#[derive(Debug, Clone, Copy)]
pub struct Want<'a> {
    /// The operation, without its service: `GetService`.
    pub action: &'a str,
    /// Condition keys in small letters, with their values: `vpc-lattice:vpcid`.
    pub facts: &'a [(&'a str, &'a str)],
}

impl<'a> Want<'a> {
    pub fn to(action: &'a str) -> Self {
        Self { action, facts: &[] }
    }
}

impl Circumstances for Want<'_> {
    fn values(&self, key: &ConditionKey, visit: &mut dyn FnMut(&str)) {
        self.facts.iter().filter(|(name, _)| *name == key.name()).for_each(|(_, value)| visit(value));
    }
}

/// Whether the caller may do what is wanted with the resource of another account.
fn allows(
    state: &mut impl Read,
    ctx: &Context,
    owner: &Home,
    (shared, id): Resource<'_>,
    want: Want<'_>,
) -> Result<bool, Refusal> {
    if is_allowed(state, ctx, owner, (shared, id), want)? {
        return Ok(true);
    }
    match (shared.group)(state, owner, id)? {
        Some(group) => is_allowed(state, ctx, owner, (shared, &group), want),
        None => Ok(false),
    }
}

fn is_allowed(
    state: &mut impl Read,
    ctx: &Context,
    owner: &Home,
    (shared, id): Resource<'_>,
    want: Want<'_>,
) -> Result<bool, Refusal> {
    let receiver = &ctx.caller.account;
    let put: Option<ResourcePolicy> = get(state, &shared.policy_key(owner, id))?;
    let policy = put.and_then(|put| Policy::parse(&put.policy, PolicyKind::Resource).ok());
    if let Some(policy) = policy {
        let name = ctx.caller.arn.rsplit('/').next().unwrap_or_default();
        let caller = Caller::user(receiver.as_str(), "/", name, &ctx.caller.access_key_id);
        let access = Access {
            caller: &caller,
            action: &format!("{}:{}", shared.arn_service, want.action),
            resource: &shared.arn(owner, id),
            context: &want,
        };
        match policy.decide(&access) {
            Decision::Allow => return Ok(true),
            Decision::ExplicitDeny => return Ok(false),
            Decision::ImplicitDeny => {}
        }
    }
    let Some(grant) = grant::of(state, receiver, owner, (shared, id))? else { return Ok(false) };
    let is_it = |action: &String| action.rsplit(':').next() == Some(want.action);
    for id in &grant.shares {
        let share = given(state, &ctx.surroundings.services, owner, id, shared)?;
        if share.is_some_and(|share| share.actions.iter().any(is_it)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// "User: … is not authorized to perform: … because no resource-based policy allows …".
fn denied(ctx: &Context, shared: &Shareable, arn: &str, want: Want<'_>) -> Refusal {
    let (service, arn) = (shared.arn_service, shown(arn));
    Refusal::denied(format_args!(
        "User: {} is not authorized to perform: {service}:{action} on resource: {arn} because no \
         resource-based policy allows the {service}:{action} action",
        ctx.caller.arn,
        action = want.action,
    ))
}

/// The id that `text` means and where it would be: in `home` for an id, in the account it names for an ARN of the region
/// of `home` whose resource is `{prefix}{id}`. `None` for anything else, another region's ARNs among them.
pub fn whose<T: FromStr>(text: &str, home: &Home, service: &str, prefix: &str) -> Option<(Home, T)> {
    if !text.starts_with("arn:") {
        return Some((home.clone(), text.parse().ok()?));
    }
    let arn: Arn = text.parse().ok()?;
    let is_here = arn.partition == "aws" && arn.service == service && arn.region == home.region.as_str();
    let id = arn.resource.strip_prefix(prefix).filter(|_| is_here)?;
    let home = Home { account: arn.account.parse().ok()?, region: home.region.clone() };
    Some((home, id.parse().ok()?))
}

/// Where the resource is that `text` means, and its id: the caller's own, or another account's that the
/// caller may do `want` with. It need not exist.
///
/// Another account's is named by ARN; once it is shared, by id as well, as AWS's own clients do.
///
/// # Errors
/// [`Refusal::Denied`] for another account's ARN that is not shared, whether it exists or not;
/// [`Refusal::Missing`] for what names nothing.
pub fn locate<T: FromStr + Display>(
    state: &mut impl Read,
    ctx: &Context,
    shared: &'static Shareable,
    text: &str,
    want: Want<'_>,
) -> Result<(Home, T), Refusal> {
    let own = ctx.home();
    let (owner, id): (Home, T) = whose(text, &own, shared.arn_service, shared.arn_prefix)
        .ok_or_else(|| Refusal::missing(shared.kind, text))?;
    let owner = if owner.account != own.account {
        owner
    } else if text.starts_with("arn:") {
        return Ok((own, id));
    } else {
        if state.get(&shared.key(&own, &id))?.is_some() {
            return Ok((own, id));
        }
        match grant::owner(state, &own, (shared, &id.to_string()))? {
            Some(owner) => owner,
            None => return Ok((own, id)),
        }
    };
    if allows(state, ctx, &owner, (shared, &id.to_string()), want)? {
        return Ok((owner, id));
    }
    match text.starts_with("arn:") {
        true => Err(denied(ctx, shared, text, want)),
        // By id, what is shared for other actions is known to be there.
        false => Err(denied(ctx, shared, &shared.arn(&owner, &id.to_string()), want)),
    }
}

/// Prefixes under which [`received`] finds what may be shared with `home`.
pub fn received_prefixes(home: &Home, shared: &Shareable) -> [String; 2] {
    grant::prefixes(home, shared)
}

/// Owner and id of what the entry of a grant leads to; `None` when the caller may not do `want` with it,
/// owns it, or has met it already.
///
/// # Errors
/// A state that cannot be read.
pub fn received(
    state: &mut impl Read,
    ctx: &Context,
    shared: &'static Shareable,
    entry: &Entry,
    want: Want<'_>,
) -> Result<Option<(Home, String)>, Refusal> {
    let home = ctx.home();
    let grant: grant::Grant = decode(entry)?;
    let id = last_part(&entry.key);
    let [own, _] = received_prefixes(&home, shared);
    let is_first = entry.key.starts_with(&own) || state.get(&format!("{own}{id}"))?.is_none();
    if grant.owner == home.account || !is_first {
        return Ok(None);
    }
    let owner = Home { account: grant.owner, region: home.region };
    Ok(allows(state, ctx, &owner, (shared, id), want)?.then(|| (owner, id.to_owned())))
}

/// The piece of what the caller owns of a kind, and after it of what others share with it for `want`.
///
/// # Errors
/// What `each` refuses; a state that cannot be read.
pub fn list_owned_and_received<S: Read, R: DeserializeOwned, T>(
    page: &Page,
    state: &mut S,
    ctx: &Context,
    shared: &'static Shareable,
    want: Want<'_>,
    mut each: impl FnMut(&mut S, &Home, R) -> Result<Option<T>, Refusal>,
) -> Result<Listing<T>, Refusal> {
    let own = ctx.home();
    let [named, everybody] = received_prefixes(&own, shared);
    let prefixes = [shared.keys(&own), named, everybody];
    page.list_all(state, &prefixes, |state, part, entry| {
        if part == 0 {
            return each(state, &own, decode(entry)?);
        }
        let Some((owner, id)) = received(state, ctx, shared, entry, want)? else { return Ok(None) };
        match get(state, &shared.key(&owner, id))? {
            Some(record) => each(state, &owner, record),
            None => Ok(None),
        }
    })
}
