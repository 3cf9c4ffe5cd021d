//! Who may use what of another account: resource shares that were accepted, and resource policies.
//!
//! A resource is *found* by its owner's account, and a receiver's way to it is a grant under the
//! receiver's account (or under `*`, for a policy that names everybody). A grant only says where to
//! look: whether an action is allowed is decided anew each time, by the policy and by the permissions
//! of the shares, so nothing is allowed that neither says.
//!
//! [`crate::ram::share`] keeps the grants of shares, [`set_policy`] those of policies.

mod grant;

use std::fmt::Display;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use trellis_model::resource::lattice::{Home, ResourceConfiguration, ResourcePolicy};
use trellis_model::{AccountId, Arn};
use trellis_policy::{Access, Caller, ConditionKey, Context as Circumstances, Decision, Policy, PolicyKind};
use trellis_store::Read;

use crate::context::Context;
use crate::lattice::identifier;
use crate::lattice::place::{Place, kind};
use crate::page::{Listing, Page};
use crate::ram::share;
use crate::record::{decode, get, scan_all};
use crate::refusal::{Kind, Refusal, access_denied};

pub(crate) use grant::{forget, set_policy, set_share, shares_with};

/// A kind of resource that can be shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Shared {
    ServiceNetwork,
    Service,
    ResourceConfiguration,
}

impl Shared {
    pub(crate) const ALL: [Self; 3] = [Self::ServiceNetwork, Self::Service, Self::ResourceConfiguration];

    /// RAM's word, after `vpc-lattice:`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ServiceNetwork => "ServiceNetwork",
            Self::Service => "Service",
            Self::ResourceConfiguration => "ResourceConfiguration",
        }
    }

    /// What ARNs have before the id.
    pub(crate) fn arn_prefix(self) -> &'static str {
        match self {
            Self::ServiceNetwork => "servicenetwork/",
            Self::Service => "service/",
            Self::ResourceConfiguration => "resourceconfiguration/",
        }
    }

    /// As record keys name it.
    pub(crate) fn record_kind(self) -> &'static str {
        match self {
            Self::ServiceNetwork => kind::NETWORK,
            Self::Service => kind::SERVICE,
            Self::ResourceConfiguration => kind::RESOURCE_CONFIGURATION,
        }
    }

    fn kind(self) -> Kind {
        match self {
            Self::ServiceNetwork => Kind::ServiceNetwork,
            Self::Service => Kind::Service,
            Self::ResourceConfiguration => Kind::ResourceConfiguration,
        }
    }

    pub(crate) fn arn(self, owner: &Home, id: &str) -> String {
        owner.lattice_arn(format_args!("{}{id}", self.arn_prefix()))
    }

    /// Kind and id of what an ARN of VPC Lattice names; `None` for what cannot be shared.
    pub(crate) fn of_arn(arn: &Arn) -> Option<(Self, &str)> {
        let named = Self::ALL
            .into_iter()
            .find_map(|kind| Some((kind, arn.resource.strip_prefix(kind.arn_prefix())?)));
        named.filter(|(_, id)| arn.partition == "aws" && arn.service == "vpc-lattice" && !id.contains('/'))
    }
}

/// The policy of a resource: the one that was put, else the one its shares amount to.
pub(crate) fn policy_text(
    state: &mut impl Read,
    place: &Place,
    resource: (Shared, &str),
) -> Result<Option<String>, Refusal> {
    let put: Option<ResourcePolicy> = get(state, &place.resource_policy(resource.1))?;
    match put {
        Some(policy) => Ok(Some(policy.policy)),
        None => shares_as_policy(state, &place.home, resource, None),
    }
}

/// One statement for each share with a receiver, those of `receiver` alone if one is named.
pub(crate) fn shares_as_policy(
    state: &mut impl Read,
    owner: &Home,
    (shared, id): (Shared, &str),
    receiver: Option<&AccountId>,
) -> Result<Option<String>, Refusal> {
    let mut statements = Vec::new();
    for entry in scan_all(state, &shares_with(owner, id))? {
        let Some(share) = share::find(state, owner, crate::keys::last_part(&entry.key))? else { continue };
        let receivers: Vec<String> = share
            .receivers()
            .filter(|account| receiver.is_none_or(|receiver| receiver == *account))
            .map(|account| format!("arn:aws:iam::{account}:root"))
            .collect();
        if !receivers.is_empty() {
            statements.push(json!({
                "Effect": "Allow",
                "Principal": {"AWS": receivers},
                "Action": share.actions(shared),
                "Resource": shared.arn(owner, id),
            }));
        }
    }
    let policy = json!({"Version": "2012-10-17", "Statement": statements});
    Ok((!statements.is_empty()).then(|| policy.to_string()))
}

/// What an operation asks to do with another account's resource.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Want<'a> {
    /// The operation, without its service: `GetService`.
    pub(crate) action: &'a str,
    /// Condition keys in small letters, with their values: `vpc-lattice:vpcid`.
    pub(crate) facts: &'a [(&'a str, &'a str)],
}

impl<'a> Want<'a> {
    pub(crate) fn to(action: &'a str) -> Self {
        Self { action, facts: &[] }
    }
}

impl Circumstances for Want<'_> {
    fn values(&self, key: &ConditionKey, visit: &mut dyn FnMut(&str)) {
        self.facts.iter().filter(|(name, _)| *name == key.name()).for_each(|(_, value)| visit(value));
    }
}

/// Whether the caller may do what is wanted with the resource of another account.
pub(crate) fn allows(
    state: &mut impl Read,
    ctx: &Context,
    owner: &Place,
    (shared, id): (Shared, &str),
    want: Want<'_>,
) -> Result<bool, Refusal> {
    if is_allowed(state, ctx, owner, (shared, id), want)? {
        return Ok(true);
    }
    // "CHILD only with its group."
    if shared == Shared::ResourceConfiguration {
        let key = owner.scope.record(shared.record_kind(), id);
        let group = get::<ResourceConfiguration>(state, &key)?.and_then(|resource| resource.group);
        if let Some(group) = group {
            return is_allowed(state, ctx, owner, (shared, group.as_str()), want);
        }
    }
    Ok(false)
}

fn is_allowed(
    state: &mut impl Read,
    ctx: &Context,
    owner: &Place,
    (shared, id): (Shared, &str),
    want: Want<'_>,
) -> Result<bool, Refusal> {
    let receiver = &ctx.caller.account;
    let put: Option<ResourcePolicy> = get(state, &owner.resource_policy(id))?;
    let policy = put.and_then(|put| Policy::parse(&put.policy, PolicyKind::Resource).ok());
    if let Some(policy) = policy {
        let name = ctx.caller.arn.rsplit('/').next().unwrap_or_default();
        let caller = Caller::user(receiver.as_str(), "/", name, &ctx.caller.access_key_id);
        let access = Access {
            caller: &caller,
            action: &format!("vpc-lattice:{}", want.action),
            resource: &shared.arn(&owner.home, id),
            context: &want,
        };
        match policy.decide(&access) {
            Decision::Allow => return Ok(true),
            Decision::ExplicitDeny => return Ok(false),
            Decision::ImplicitDeny => {}
        }
    }
    let Some(grant) = grant::of(state, receiver, &owner.home, (shared, id))? else { return Ok(false) };
    for id in &grant.shares {
        let share = share::find(state, &owner.home, id)?;
        if share.is_some_and(|share| {
            share.actions(shared).iter().any(|action| action.ends_with(&format!(":{}", want.action)))
        }) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// "User: … is not authorized to perform: … because no resource-based policy allows …".
pub(crate) fn denied(ctx: &Context, arn: &str, want: Want<'_>) -> Refusal {
    let arn: String = arn.chars().take(256).collect();
    access_denied(format_args!(
        "User: {} is not authorized to perform: vpc-lattice:{action} on resource: {arn} because no \
         resource-based policy allows the vpc-lattice:{action} action",
        ctx.caller.arn,
        action = want.action,
    ))
}

/// Where the resource is that `text` means, and its id: the caller's own, or another account's that the
/// caller may do `want` with. It need not exist.
///
/// Another account's is named by ARN; once it is shared, by id as well, as AWS's own clients do.
///
/// # Errors
/// `AccessDeniedException` for another account's ARN that is not shared, whether it exists or not;
/// `ResourceNotFoundException` for what names nothing.
pub(crate) fn locate<T: FromStr + Display>(
    state: &mut impl Read,
    ctx: &Context,
    shared: Shared,
    text: &str,
    want: Want<'_>,
) -> Result<(Place, T), Refusal> {
    let own = Place::new(ctx.home());
    let (owner, id): (Home, T) = identifier::whose(text, &own.home, shared.arn_prefix(), shared.kind())?;
    let place = if owner.account != own.home.account {
        Place::new(owner)
    } else if text.starts_with("arn:") {
        return Ok((own, id));
    } else {
        if state.get(&own.scope.record(shared.record_kind(), &id))?.is_some() {
            return Ok((own, id));
        }
        match grant::owner(state, &own.home, (shared, &id.to_string()))? {
            Some(owner) => Place::new(owner),
            None => return Ok((own, id)),
        }
    };
    if allows(state, ctx, &place, (shared, &id.to_string()), want)? {
        return Ok((place, id));
    }
    match text.starts_with("arn:") {
        true => Err(denied(ctx, text, want)),
        // By id, what is shared for other actions is known to be there.
        false => Err(denied(ctx, &shared.arn(&place.home, &id.to_string()), want)),
    }
}

/// Prefixes under which [`received`] finds what may be shared with `home`.
pub(crate) fn received_prefixes(home: &Home, shared: Shared) -> [String; 2] {
    grant::prefixes(home, shared)
}

/// Owner and id of what the entry of a grant leads to; `None` when the caller may not do `want` with it,
/// owns it, or has met it already.
pub(crate) fn received(
    state: &mut impl Read,
    ctx: &Context,
    shared: Shared,
    entry: &trellis_store::Entry,
    want: Want<'_>,
) -> Result<Option<(Place, String)>, Refusal> {
    let home = ctx.home();
    let grant: grant::Grant = decode(entry)?;
    let id = crate::keys::last_part(&entry.key);
    let [own, _] = received_prefixes(&home, shared);
    let is_first = entry.key.starts_with(&own) || state.get(&format!("{own}{id}"))?.is_none();
    if grant.owner == home.account || !is_first {
        return Ok(None);
    }
    let place = Place::new(Home { account: grant.owner, region: home.region });
    Ok(allows(state, ctx, &place, (shared, id), want)?.then(|| (place, id.to_owned())))
}

/// The piece of what the caller owns of a kind, and after it of what others share with it for `want`.
pub(crate) fn list_owned_and_received<S: Read, R: DeserializeOwned, T>(
    page: &Page,
    state: &mut S,
    ctx: &Context,
    shared: Shared,
    want: Want<'_>,
    mut each: impl FnMut(&mut S, &Place, R) -> Result<Option<T>, Refusal>,
) -> Result<Listing<T>, Refusal> {
    let own = Place::new(ctx.home());
    let [named, everybody] = received_prefixes(&own.home, shared);
    let prefixes = [own.scope.records(shared.record_kind()), named, everybody];
    page.list_all(state, &prefixes, |state, part, entry| {
        if part == 0 {
            return each(state, &own, decode(entry)?);
        }
        let Some((place, id)) = received(state, ctx, shared, entry, want)? else { return Ok(None) };
        match get(state, &place.scope.record(shared.record_kind(), id))? {
            Some(record) => each(state, &place, record),
            None => Ok(None),
        }
    })
}

/// What `text` names is another account's: told as a lookup of the caller's own would be refused.
pub(crate) fn foreign(kind: Kind, text: &str) -> Refusal {
    let text: String = text.chars().take(256).collect();
    access_denied(format_args!("no access to {} {text}: it belongs to another account", kind.noun()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_networks_services_and_resource_configurations_can_be_shared() {
        let of = |resource: &str| {
            let arn: Arn = format!("arn:aws:vpc-lattice:us-east-1:111122223333:{resource}").parse().unwrap();
            Shared::of_arn(&arn).map(|(kind, id)| (kind, id.to_owned()))
        };
        assert_eq!(of("servicenetwork/sn-1"), Some((Shared::ServiceNetwork, "sn-1".into())));
        assert_eq!(of("service/svc-1"), Some((Shared::Service, "svc-1".into())));
        assert_eq!(
            of("resourceconfiguration/rcfg-1"),
            Some((Shared::ResourceConfiguration, "rcfg-1".into()))
        );
        for other in ["targetgroup/tg-1", "service/svc-1/listener/listener-1", "resourcegateway/rgw-1"] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
