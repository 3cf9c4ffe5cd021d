//! Accounts as members, and where in the organisation they are.

use trellis_frame::account::{self, Account};
use trellis_frame::{Context, Page, Paged, Refusal, organization};
use trellis_model::AccountId;
use trellis_model::resource::organization::{PREFIX, Record};
use trellis_store::{Read, Reader, Transaction};

use crate::node::{Managed, account_name};
use crate::unit::check_parent;
use crate::{fault, wire};

fn shown(managed: &Managed, account: &Account) -> wire::Account {
    let parent = managed.tree.member(&account.id).map(|member| member.parent).unwrap_or_default();
    let path = managed.tree.path(&parent).map(|path| format!("{path}{}/", account.id));
    wire::Account {
        id: Some(account.id.to_string()),
        arn: Some(managed.account_arn(&account.id)),
        name: Some(account_name(account)),
        status: Some(wire::AccountStatus::Active),
        state: Some(wire::AccountState::Active),
        paths: Some(path.into_iter().collect()),
        joined_method: Some(match account.id == managed.organization.management {
            true => wire::AccountJoinedMethod::Invited,
            false => wire::AccountJoinedMethod::Created,
        }),
        joined_timestamp: Some(account.created_at),
        ..Default::default()
    }
}

/// # Errors
/// `AccountNotFoundException`.
fn find(state: &mut impl Read, id: &str) -> Result<Account, Refusal> {
    let found = match id.parse::<AccountId>() {
        Ok(id) => account::by_id(state, &id)?,
        Err(_) => None,
    };
    found.ok_or_else(|| {
        let message = "We can't find an AWS account with the AccountId that you specified.";
        fault("AccountNotFoundException", message)
    })
}

pub(crate) fn describe(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::DescribeAccountInput,
) -> Result<wire::DescribeAccountOutput, Refusal> {
    let managed = Managed::read(state, ctx)?;
    let account = find(state, &input.account_id)?;
    Ok(wire::DescribeAccountOutput { account: Some(shown(&managed, &account)) })
}

pub(crate) fn list(
    state: &mut Reader,
    ctx: &Context,
    _: &wire::ListAccountsInput,
    page: &Page,
) -> Result<Paged<wire::ListAccountsOutput>, Refusal> {
    let managed = Managed::read(state, ctx)?;
    let listing = page.cut(account::every(state)?, |account| account.id.to_string());
    Ok(listing.into_output(|accounts| wire::ListAccountsOutput {
        accounts: Some(accounts.iter().map(|account| shown(&managed, account)).collect()),
        ..Default::default()
    }))
}

/// The accounts in the root or a unit, not in those below.
fn accounts_in(state: &mut Reader, managed: &Managed, parent: &str) -> Result<Vec<Account>, Refusal> {
    let mut accounts = account::every(state)?;
    accounts.retain(|account| managed.tree.member(&account.id).is_some_and(|member| member.parent == parent));
    Ok(accounts)
}

pub(crate) fn list_for_parent(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListAccountsForParentInput,
    page: &Page,
) -> Result<Paged<wire::ListAccountsForParentOutput>, Refusal> {
    let managed = Managed::read(state, ctx)?;
    check_parent(&managed, &input.parent_id)?;
    let accounts = accounts_in(state, &managed, &input.parent_id)?;
    let listing = page.cut(accounts, |account| account.id.to_string());
    Ok(listing.into_output(|accounts| wire::ListAccountsForParentOutput {
        accounts: Some(accounts.iter().map(|account| shown(&managed, account)).collect()),
        ..Default::default()
    }))
}

pub(crate) fn children(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListChildrenInput,
    page: &Page,
) -> Result<Paged<wire::ListChildrenOutput>, Refusal> {
    let managed = Managed::read(state, ctx)?;
    check_parent(&managed, &input.parent_id)?;
    let ids: Vec<String> = match input.child_type {
        wire::ChildType::Account => accounts_in(state, &managed, &input.parent_id)?
            .iter()
            .map(|account| account.id.to_string())
            .collect(),
        wire::ChildType::OrganizationalUnit => {
            let units = managed.tree.units.values();
            units.filter(|unit| unit.parent == input.parent_id).map(|unit| unit.id.clone()).collect()
        }
    };
    let child = |id: String| wire::Child { id: Some(id), r#type: Some(input.child_type) };
    let listing = page.cut(ids, String::clone);
    Ok(listing.into_output(|ids| wire::ListChildrenOutput {
        children: Some(ids.into_iter().map(child).collect()),
        ..Default::default()
    }))
}

pub(crate) fn parents(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListParentsInput,
    page: &Page,
) -> Result<Paged<wire::ListParentsOutput>, Refusal> {
    let managed = Managed::read(state, ctx)?;
    let id = &input.child_id;
    let parent = match managed.tree.units.get(id) {
        Some(unit) => unit.parent.clone(),
        None => {
            let account = find(state, id).map_err(|_| {
                let message = "We can't find an organizational unit (OU) or AWS account with the ChildId that you specified.";
                fault("ChildNotFoundException", message)
            })?;
            managed.tree.member(&account.id).map(|member| member.parent).unwrap_or_default()
        }
    };
    let kind = managed.parent(&parent);
    let listing = page.cut(vec![parent], String::clone);
    Ok(listing.into_output(|ids| wire::ListParentsOutput {
        parents: Some(ids.into_iter().map(|id| wire::Parent { id: Some(id), r#type: kind }).collect()),
        ..Default::default()
    }))
}

pub(crate) fn relocate(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::MoveAccountInput,
) -> Result<wire::MoveAccountOutput, Refusal> {
    let managed = Managed::read(tx, ctx)?;
    let account = find(tx, &input.account_id)?;
    let Some(mut member) = managed.tree.member(&account.id) else { return Ok(Default::default()) };
    if member.parent != input.source_parent_id {
        let message = "We can't find a source root or OU with the ParentId that you specified.";
        return Err(fault("SourceParentNotFoundException", message));
    }
    if managed.parent(&input.destination_parent_id).is_none() {
        let message =
            "We can't find the destination container (a root or OU) with the ParentId that you specified.";
        return Err(fault("DestinationParentNotFoundException", message));
    }
    if member.parent == input.destination_parent_id {
        let message = "The account is already in the destination root or OU.";
        return Err(fault("DuplicateAccountException", message));
    }
    member.parent = input.destination_parent_id.clone();
    organization::put(tx, &Record::Member(member))?;
    Ok(Default::default())
}

/// An operator has deleted the account.
pub(crate) fn forget(tx: &mut Transaction<'_>, account: &AccountId) -> Result<(), Refusal> {
    tx.delete(&format!("{PREFIX}account/{account}"));
    Ok(())
}
