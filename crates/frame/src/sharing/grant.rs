//! Grants: where a receiver finds what another account shares with it. Written when a share is accepted or
//! changed and when a policy is put; they lead to a resource and allow nothing by themselves.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use trellis_model::resource::lattice::{Home, ResourcePolicy};
use trellis_model::{AccountId, Arn};
use trellis_store::{Read, Transaction};

use super::{Resource, Shareable};
use crate::record::{get, put, scan_all};
use crate::refusal::Refusal;
use crate::service::Services;

/// The receiver of what a policy gives to every account.
const EVERYBODY: &str = "*";

/// Why an account may come to a resource of another's, at `grant/{receiver}/{region}/{kind}/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Grant {
    pub(super) owner: AccountId,
    /// Ids of shares that the receiver has accepted.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) shares: BTreeSet<String>,
    /// The resource's policy speaks of the receiver.
    #[serde(default)]
    by_policy: bool,
}

fn grants(receiver: &str, region: &str, kind: &str) -> String {
    format!("grant/{receiver}/{region}/{kind}/")
}

fn key(receiver: &str, region: &str, (kind, id): (&str, &str)) -> String {
    format!("{}{id}", grants(receiver, region, kind))
}

/// Writes the grant that `change` makes of the one there is; one without a reason goes.
fn change(
    tx: &mut Transaction<'_>,
    receiver: &str,
    owner: &Home,
    resource: (&str, &str),
    edit: impl FnOnce(&mut Grant),
) -> Result<(), Refusal> {
    let key = key(receiver, owner.region.as_str(), resource);
    let before: Option<Grant> = get(tx, &key)?;
    let mut grant = before.unwrap_or_else(|| Grant {
        owner: owner.account.clone(),
        shares: BTreeSet::new(),
        by_policy: false,
    });
    edit(&mut grant);
    if grant.shares.is_empty() && !grant.by_policy {
        tx.delete(&key);
    } else {
        put(tx, &key, &grant);
    }
    Ok(())
}

/// The share gives the resource, which is named by the kind of its record and its id, to the receiver, or does no longer.
///
/// # Errors
/// A state that cannot be read.
pub fn set_share(
    tx: &mut Transaction<'_>,
    receiver: &AccountId,
    owner: &Home,
    resource: (&str, &str),
    share: &str,
    is_given: bool,
) -> Result<(), Refusal> {
    change(tx, receiver.as_str(), owner, resource, |grant| {
        if is_given {
            grant.shares.insert(share.to_owned());
        } else {
            grant.shares.remove(share);
        }
    })
}

/// Accounts that a policy names, and `*` where it may name any. Too many rather than too few: the policy
/// itself decides.
fn audience(text: &str) -> BTreeSet<String> {
    fn words(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::String(word) => {
                let account = word.parse::<Arn>().map_or_else(|_| word.clone(), |arn| arn.account);
                let is_account = account.parse::<AccountId>().is_ok();
                found.insert(if is_account { account } else { EVERYBODY.to_owned() });
            }
            Value::Array(list) => list.iter().for_each(|value| words(value, found)),
            Value::Object(kinds) => kinds.values().for_each(|value| words(value, found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    let document: Value = serde_json::from_str(text).unwrap_or_default();
    let statements = match &document["Statement"] {
        Value::Array(statements) => statements.iter().collect(),
        statement => vec![statement],
    };
    for statement in statements {
        words(&statement["Principal"], &mut found);
        if !statement["NotPrincipal"].is_null() {
            found.insert(EVERYBODY.to_owned());
        }
    }
    found
}

/// Puts, replaces or takes away (`None`) the policy of a resource of `owner`.
///
/// # Errors
/// A state that cannot be read.
pub fn set_policy(
    tx: &mut Transaction<'_>,
    owner: &Home,
    resource: Resource<'_>,
    policy: Option<&str>,
) -> Result<(), Refusal> {
    let key = resource.0.policy_key(owner, resource.1);
    let record = (resource.0.record_kind, resource.1);
    let before: Option<ResourcePolicy> = get(tx, &key)?;
    let before = before.map(|before| audience(&before.policy)).unwrap_or_default();
    let after = policy.map(audience).unwrap_or_default();
    for receiver in before.difference(&after) {
        change(tx, receiver, owner, record, |grant| grant.by_policy = false)?;
    }
    for receiver in after.difference(&before) {
        change(tx, receiver, owner, record, |grant| grant.by_policy = true)?;
    }
    match policy {
        Some(policy) => put(tx, &key, &ResourcePolicy { policy: policy.to_owned() }),
        None => tx.delete(&key),
    }
    Ok(())
}

/// A resource goes: its policy and its place in shares go too.
///
/// # Errors
/// A state that cannot be read.
pub fn forget(
    tx: &mut Transaction<'_>,
    services: &Services,
    owner: &Home,
    resource: Resource<'_>,
) -> Result<(), Refusal> {
    set_policy(tx, owner, resource, None)?;
    let Some(shares) = services.hooks().shares else { return Ok(()) };
    for entry in scan_all(tx, &shares_with(owner, resource.1))? {
        shares.drop_resource(tx, owner, crate::key::last_part(&entry.key), resource.1)?;
    }
    Ok(())
}

/// What the names of shares that have the resource begin with.
pub fn shares_with(owner: &Home, id: &str) -> String {
    format!("shared/{}/{}/{id}/", owner.account, owner.region)
}

/// The grant of a receiver, if there is one.
pub(super) fn of(
    state: &mut impl Read,
    receiver: &AccountId,
    owner: &Home,
    (shared, id): Resource<'_>,
) -> Result<Option<Grant>, Refusal> {
    get(state, &key(receiver.as_str(), owner.region.as_str(), (shared.record_kind, id)))
}

/// Who shares the resource with the account of `home`, or with everybody.
pub(super) fn owner(
    state: &mut impl Read,
    home: &Home,
    (shared, id): Resource<'_>,
) -> Result<Option<Home>, Refusal> {
    for receiver in [home.account.as_str(), EVERYBODY] {
        if let Some(grant) =
            get::<Grant>(state, &key(receiver, home.region.as_str(), (shared.record_kind, id)))?
        {
            return Ok(Some(Home { account: grant.owner, region: home.region.clone() }));
        }
    }
    Ok(None)
}

/// What the grants to the account of `home`, and those to everybody, begin with.
pub(super) fn prefixes(home: &Home, shared: &Shareable) -> [String; 2] {
    [home.account.as_str(), EVERYBODY]
        .map(|receiver| grants(receiver, home.region.as_str(), shared.record_kind))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_audience_of_a_policy_is_the_accounts_it_names_or_everybody() {
        let principals = |principal: Value| {
            let text = json!({"Statement": [{"Effect": "Allow", "Principal": principal}]}).to_string();
            audience(&text).into_iter().collect::<Vec<_>>()
        };
        assert_eq!(principals(json!({"AWS": "444455556666"})), ["444455556666"]);
        assert_eq!(
            principals(
                json!({"AWS": ["arn:aws:iam::444455556666:root", "arn:aws:iam::777788889999:role/x"]})
            ),
            ["444455556666", "777788889999"]
        );
        for everybody in [json!("*"), json!({"AWS": "*"}), json!({"Service": "x.amazonaws.com"})] {
            assert_eq!(principals(everybody), ["*"]);
        }
        let single = json!({"Statement": {"NotPrincipal": {"AWS": "444455556666"}}}).to_string();
        assert_eq!(audience(&single).into_iter().collect::<Vec<_>>(), ["*"]);
        assert!(audience("no policy").is_empty());
    }
}
