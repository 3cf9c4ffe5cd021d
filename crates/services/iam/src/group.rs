//! Groups and who is in them.

use trellis_frame::{Context, Kind, Page, Paged, Quota, Refusal, reference};
use trellis_model::resource::iam::{Group, Permissions, User};
use trellis_store::{Reader, Transaction};

use crate::entity::{
    Entity, check_free, delete as delete_entity, find, home, is_under, path, put, rename, unique_id,
};
use crate::{entity, fault, user, wire};

pub(crate) const GROUPS: Quota = Quota::new("iam", "L-F4A5425F", 300, "GroupsPerAccount");
pub(crate) const GROUPS_OF_USER: Quota = Quota::new("iam", "L-7A1621EC", 10, "GroupsPerUser");

const KIND: Kind = Kind::new("Group", "GROUP");

/// Users of a group that are read at once.
const MEMBERS: usize = 5000;

fn shown(group: &Group) -> wire::Group {
    wire::Group {
        path: group.path.clone(),
        group_name: group.name.clone(),
        group_id: group.id.clone(),
        arn: group.arn(),
        create_date: group.created_at,
    }
}

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::CreateGroupInput,
) -> Result<wire::CreateGroupOutput, Refusal> {
    let home = home(ctx);
    check_free::<Group>(tx, &home, &input.group_name)?;
    let have = Group::RECORDS.count(tx, &home)?;
    ctx.quotas().check(&GROUPS, have, 1, &KIND, None)?;
    let group = Group {
        account: ctx.caller.account.clone(),
        path: path(input.path.as_ref()),
        name: input.group_name.clone(),
        id: unique_id("AGPA", &ctx.surroundings.random),
        created_at: ctx.now,
        permissions: Permissions::default(),
    };
    put(tx, &home, &group)?;
    Ok(wire::CreateGroupOutput { group: shown(&group) })
}

/// The group with its users.
pub(crate) fn get(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::GetGroupInput,
    page: &Page,
) -> Result<Paged<wire::GetGroupOutput>, Refusal> {
    let home = home(ctx);
    let group: Group = entity::get(state, &home, &input.group_name)?;
    let members = reference::holders(state, &group.arn(), MEMBERS)?;
    let members = user::of_arns(state, &home, &members)?;
    let listing = page.cut(members, |user| user.name.clone());
    Ok(listing.into_output(|users| wire::GetGroupOutput {
        group: shown(&group),
        users: users.iter().map(|member| user::shown(member, None)).collect(),
        is_truncated: None,
        marker: None,
    }))
}

pub(crate) fn list(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListGroupsInput,
    page: &Page,
) -> Result<Paged<wire::ListGroupsOutput>, Refusal> {
    let listing = Group::RECORDS.list(state, &home(ctx), page, |_, group| {
        Ok(is_under(&group.path, input.path_prefix.as_ref()).then(|| shown(&group)))
    })?;
    Ok(listing.into_output(|groups| wire::ListGroupsOutput { groups, is_truncated: None, marker: None }))
}

pub(crate) fn list_of_user(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListGroupsForUserInput,
    page: &Page,
) -> Result<Paged<wire::ListGroupsForUserOutput>, Refusal> {
    let home = home(ctx);
    let user: User = entity::get(state, &home, &input.user_name)?;
    let mut groups = Vec::new();
    for name in &user.groups {
        groups.extend(find::<Group>(state, &home, name)?);
    }
    let listing = page.cut(groups, |group| group.name.clone());
    Ok(listing.into_output(|groups| wire::ListGroupsForUserOutput {
        groups: groups.iter().map(shown).collect(),
        is_truncated: None,
        marker: None,
    }))
}

pub(crate) fn update(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::UpdateGroupInput,
) -> Result<wire::UpdateGroupOutput, Refusal> {
    let home = home(ctx);
    let before: Group = entity::get(tx, &home, &input.group_name)?;
    let mut group = before.clone();
    if let Some(name) = &input.new_group_name {
        group.name.clone_from(name);
    }
    if let Some(path) = &input.new_path {
        group.path.clone_from(path);
    }
    rename(tx, &home, &before, &group)?;
    let (old, new) = (before.arn(), group.arn());
    if old != new {
        let members = reference::holders(tx, &old, MEMBERS)?;
        for mut member in user::of_arns(tx, &home, &members)? {
            member.groups.remove(&before.name);
            member.groups.insert(group.name.clone());
            put(tx, &home, &member)?;
            reference::release(tx, &old, &member.arn());
            reference::hold(tx, &new, &member.arn());
        }
    }
    Ok(Default::default())
}

pub(crate) fn delete(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::DeleteGroupInput,
) -> Result<wire::DeleteGroupOutput, Refusal> {
    let home = home(ctx);
    let group: Group = entity::get(tx, &home, &input.group_name)?;
    if reference::is_held(tx, &group.arn())? {
        return Err(fault::in_use("Cannot delete entity, must remove users from group first."));
    }
    delete_entity(tx, &home, &group)?;
    Ok(Default::default())
}

pub(crate) fn add_user(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::AddUserToGroupInput,
) -> Result<wire::AddUserToGroupOutput, Refusal> {
    let home = home(ctx);
    let group: Group = entity::get(tx, &home, &input.group_name)?;
    let mut user: User = entity::get(tx, &home, &input.user_name)?;
    if user.groups.insert(group.name.clone()) {
        ctx.quotas().check(&GROUPS_OF_USER, user.groups.len() - 1, 1, &KIND, Some(&user.name))?;
        reference::hold(tx, &group.arn(), &user.arn());
        put(tx, &home, &user)?;
    }
    Ok(Default::default())
}

pub(crate) fn remove_user(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::RemoveUserFromGroupInput,
) -> Result<wire::RemoveUserFromGroupOutput, Refusal> {
    let home = home(ctx);
    let group: Group = entity::get(tx, &home, &input.group_name)?;
    let mut user: User = entity::get(tx, &home, &input.user_name)?;
    if !user.groups.remove(&group.name) {
        let (user, group) = (&user.name, &group.name);
        return Err(fault::missing(format_args!("User {user} is not in group {group}.")));
    }
    reference::release(tx, &group.arn(), &user.arn());
    put(tx, &home, &user)?;
    Ok(Default::default())
}
