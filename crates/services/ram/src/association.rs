//! What is in a share, and who: resources and principals come and go.

use serde::{Deserialize, Serialize};
use trellis_frame::record::all;
use trellis_frame::{Context, Refusal};
use trellis_model::AccountId;
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::Shared;
use trellis_store::{Read, Reader, Transaction};

use super::page::page;
use super::share::{self, Share};
use super::{arn, invalid, invitation, named, organization, resource, unknown};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Type {
    Principal,
    Resource,
    Source,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Description {
    resource_share_arn: String,
    resource_share_name: String,
    associated_entity: String,
    association_type: Type,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_message: Option<&'static str>,
    creation_time: Moment,
    last_updated_time: Moment,
    external: bool,
}

fn of_resource(share: &Share, (id, (shared, since)): (&String, &(Shared, Moment))) -> Description {
    Description {
        resource_share_arn: share.arn(),
        resource_share_name: share.name.clone(),
        associated_entity: shared.arn(&share.home, id),
        association_type: Type::Resource,
        status: "ASSOCIATED",
        status_message: None,
        creation_time: *since,
        last_updated_time: *since,
        external: false,
    }
}

fn of_group(share: &Share, arn: &str) -> Option<Description> {
    let since = *share.groups.get(arn)?;
    Some(Description {
        resource_share_arn: share.arn(),
        resource_share_name: share.name.clone(),
        associated_entity: arn.to_owned(),
        association_type: Type::Principal,
        status: "ASSOCIATED",
        status_message: None,
        creation_time: since,
        last_updated_time: since,
        external: false,
    })
}

fn of_principal(
    state: &mut impl Read,
    ctx: &Context,
    share: &Share,
    account: &AccountId,
) -> Result<Option<Description>, Refusal> {
    let Some(principal) = share.principals.get(account) else { return Ok(None) };
    let (status, status_message) = invitation::standing(state, share, account, principal, ctx.now)?;
    Ok(Some(Description {
        resource_share_arn: share.arn(),
        resource_share_name: share.name.clone(),
        associated_entity: account.to_string(),
        association_type: Type::Principal,
        status,
        status_message,
        creation_time: principal.created_at,
        last_updated_time: principal.last_updated_at,
        external: principal.is_external(),
    }))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Change {
    resource_share_arn: String,
    #[serde(default)]
    resource_arns: Vec<String>,
    #[serde(default)]
    principals: Vec<String>,
    #[serde(default)]
    sources: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Changed {
    resource_share_associations: Vec<Description>,
}

impl Change {
    fn check(&self) -> Result<(), Refusal> {
        resource::check_no_sources(&self.sources)?;
        if self.resource_arns.is_empty() && self.principals.is_empty() {
            return Err(invalid("resourceArns or principals has to name something"));
        }
        Ok(())
    }
}

pub(crate) fn associate(tx: &mut Transaction<'_>, ctx: &Context, input: &Change) -> Result<Changed, Refusal> {
    input.check()?;
    let before = share::own(tx, ctx, &input.resource_share_arn)?;
    let mut share = before.clone();
    let (mut resources, mut accounts, mut groups) = (Vec::new(), Vec::new(), Vec::new());
    for text in &input.resource_arns {
        let (shared, id) = resource::shareable(tx, ctx, text)?;
        share.add_resource(shared, &id, ctx.now)?;
        resources.push(id);
    }
    for text in &input.principals {
        match organization::offer(tx, ctx, &mut share, text)? {
            Some(account) => accounts.push(account),
            None => groups.push(text.clone()),
        }
    }
    share.last_updated_at = ctx.now;
    share::save(tx, Some(&before), Some(&share))?;
    let mut resource_share_associations: Vec<Description> = resources
        .iter()
        .filter_map(|id| Some(of_resource(&share, share.resources.get_key_value(id)?)))
        .collect();
    for account in &accounts {
        resource_share_associations.extend(of_principal(tx, ctx, &share, account)?);
    }
    resource_share_associations.extend(groups.iter().filter_map(|arn| of_group(&share, arn)));
    Ok(Changed { resource_share_associations })
}

/// The owner takes resources and principals out; a receiver may take itself out.
pub(crate) fn disassociate(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &Change,
) -> Result<Changed, Refusal> {
    input.check()?;
    let before = match received(tx, ctx, input)? {
        Some(share) => share,
        None => share::own(tx, ctx, &input.resource_share_arn)?,
    };
    let mut share = before.clone();
    let mut gone = Vec::new();
    for text in &input.resource_arns {
        let parsed = arn(text)?;
        let id = Shared::of_arn(&parsed).map(|(_, id)| id).unwrap_or_default();
        let entry = share
            .resources
            .get_key_value(id)
            .filter(|(id, (shared, _))| shared.arn(&share.home, id) == *text);
        let entry = entry.ok_or_else(|| unknown("Resource", text))?;
        gone.push(of_resource(&share, entry));
        share.resources.remove(id);
    }
    for text in &input.principals {
        if let Some(found) = of_group(&share, text) {
            share.groups.remove(text);
            gone.push(found);
            continue;
        }
        let account = resource::account(text)?;
        let found = of_principal(tx, ctx, &share, &account)?.ok_or_else(|| unknown("Principal", text))?;
        gone.push(found);
        if let Some(principal) = share.principals.remove(&account) {
            invitation::forget(tx, &share.home, &account, &principal.invitation);
        }
    }
    share.last_updated_at = ctx.now;
    organization::expand(tx, &mut share)?;
    share::save(tx, Some(&before), Some(&share))?;
    for association in &mut gone {
        (association.status, association.status_message) = ("DISASSOCIATED", None);
        association.last_updated_time = ctx.now;
    }
    Ok(Changed { resource_share_associations: gone })
}

/// Another account's share that the caller has accepted, where it asks to take itself out and nothing else.
fn received(state: &mut impl Read, ctx: &Context, input: &Change) -> Result<Option<Share>, Refusal> {
    let (owner, id) = named(&input.resource_share_arn, "resource-share")?;
    let own = &ctx.caller.account;
    let is_itself = input.resource_arns.is_empty()
        && input.principals.iter().all(|text| resource::account(text).is_ok_and(|account| account == *own));
    if owner.account == *own || !is_itself {
        return Ok(None);
    }
    let share = share::find(state, &owner, &id)?;
    Ok(share.filter(|share| share.receivers().any(|account| account == own)))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct List {
    association_type: Type,
    #[serde(default)]
    resource_share_arns: Vec<String>,
    resource_arn: Option<String>,
    principal: Option<String>,
    association_status: Option<String>,
    next_token: Option<String>,
    max_results: Option<u16>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listed {
    resource_share_associations: Vec<Description>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// Of the caller's own shares.
pub(crate) fn list(state: &mut Reader, ctx: &Context, input: &List) -> Result<Listed, Refusal> {
    match input.association_type {
        Type::Resource if input.principal.is_some() => {
            return Err(invalid("principal does not go with associationType RESOURCE"));
        }
        Type::Principal if input.resource_arn.is_some() => {
            return Err(invalid("resourceArn does not go with associationType PRINCIPAL"));
        }
        _ => {}
    }
    let shares: Vec<Share> = match input.resource_share_arns.as_slice() {
        [] => all(state, &share::shares_of(&ctx.home()))?,
        texts => texts.iter().map(|text| share::own(state, ctx, text)).collect::<Result<_, _>>()?,
    };
    let mut items = Vec::new();
    for share in &shares {
        let mut found = Vec::new();
        match input.association_type {
            Type::Resource => found.extend(share.resources.iter().map(|entry| of_resource(share, entry))),
            Type::Principal => {
                for account in share.principals.keys() {
                    found.extend(of_principal(state, ctx, share, account)?);
                }
                found.extend(share.groups.keys().filter_map(|arn| of_group(share, arn)));
            }
            // Nothing here is shared with services.
            Type::Source => {}
        }
        found.retain(|association| {
            let entity = Some(&association.associated_entity);
            input.resource_arn.as_ref().is_none_or(|arn| Some(arn) == entity)
                && input.principal.as_ref().is_none_or(|principal| Some(principal) == entity)
                && input.association_status.as_ref().is_none_or(|status| status == association.status)
        });
        items.extend(
            found.into_iter().map(|found| (format!("{}/{}", share.id, found.associated_entity), found)),
        );
    }
    let (resource_share_associations, next_token) =
        page(items, input.max_results, input.next_token.as_deref())?;
    Ok(Listed { resource_share_associations, next_token })
}
