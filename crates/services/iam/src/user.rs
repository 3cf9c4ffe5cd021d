//! Users.

use trellis_frame::access_key as keys;
use trellis_frame::{Context, Kind, Page, Paged, Quota, Refusal};
use trellis_model::resource::iam::{self, Permissions, User};
use trellis_model::resource::lattice::Home;
use trellis_policy::CallerKind;
use trellis_store::{Read, Reader, Transaction};

use crate::entity::{
    Entity, boundary, check_free, delete as delete_entity, find, home, is_under, path, put, rename, unique_id,
};
use crate::{attachment, entity, fault, tags, wire};

pub(crate) const USERS: Quota = Quota::new("iam", "L-F55AF5E4", 5000, "UsersPerAccount");

const KIND: Kind = Kind::new("User", "USER");

pub(crate) fn shown(user: &User, tags: Option<Vec<wire::Tag>>) -> wire::User {
    wire::User {
        path: user.path.clone(),
        user_name: user.name.clone(),
        user_id: user.id.clone(),
        arn: user.arn(),
        create_date: user.created_at,
        password_last_used: None,
        permissions_boundary: boundary(&user.permissions),
        tags,
    }
}

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::CreateUserInput,
) -> Result<wire::CreateUserOutput, Refusal> {
    let home = home(ctx);
    check_name(&input.user_name)?;
    check_free::<User>(tx, &home, &input.user_name)?;
    let have = User::RECORDS.count(tx, &home)?;
    ctx.quotas().check(&USERS, have, 1, &KIND, None)?;
    let user = User {
        account: ctx.caller.account.clone(),
        path: path(input.path.as_ref()),
        name: input.user_name.clone(),
        id: unique_id("AIDA", &ctx.surroundings.random),
        created_at: ctx.now,
        permissions: Permissions { boundary: input.permissions_boundary.clone(), ..Permissions::default() },
        groups: Default::default(),
        access_keys: Default::default(),
    };
    if let Some(arn) = &input.permissions_boundary {
        attachment::check_boundary(tx, &home, arn, &user.arn())?;
    }
    put(tx, &home, &user)?;
    tags::add(tx, &home, &user.arn(), input.tags.as_ref())?;
    let tags = tags::shown(tx, &home, &user.arn())?;
    Ok(wire::CreateUserOutput { user: Some(shown(&user, tags)) })
}

/// The operator's keys are of a user of this name, whom nobody else is to be.
fn check_name(name: &str) -> Result<(), Refusal> {
    if iam::id(name) == iam::OPERATOR {
        return Err(fault::exists(format_args!("User with name {name} already exists.")));
    }
    Ok(())
}

pub(crate) fn get(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::GetUserInput,
) -> Result<wire::GetUserOutput, Refusal> {
    let home = home(ctx);
    let name = named_or_caller(ctx, input.user_name.as_ref())?;
    let user = match find(state, &home, name)? {
        Some(user) => user,
        None if name == iam::OPERATOR => operator(ctx),
        None => entity::get(state, &home, name)?,
    };
    let tags = tags::shown(state, &home, &user.arn())?;
    Ok(wire::GetUserOutput { user: shown(&user, tags) })
}

/// Whom the operator's keys speak for: there from the start and kept nowhere.
fn operator(ctx: &Context) -> User {
    User {
        account: ctx.caller.account.clone(),
        path: "/".into(),
        name: iam::OPERATOR.into(),
        id: format!("AIDA{:0>17}", ctx.caller.account),
        created_at: jiff::Timestamp::UNIX_EPOCH.into(),
        permissions: Permissions::default(),
        groups: Default::default(),
        access_keys: Default::default(),
    }
}

/// The user an operation is about where it may leave the name out: the caller.
///
/// # Errors
/// A caller that is no user.
pub(crate) fn named_or_caller<'a>(ctx: &'a Context, name: Option<&'a String>) -> Result<&'a str, Refusal> {
    if let Some(name) = name {
        return Ok(name);
    }
    let principal = &ctx.caller.principal;
    let own = iam::Named::parse(&ctx.caller.arn).filter(|_| principal.kind() == CallerKind::User);
    own.map(|named| named.name)
        .ok_or_else(|| fault::invalid("Must specify userName when calling with non-User credentials"))
}

pub(crate) fn list(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListUsersInput,
    page: &Page,
) -> Result<Paged<wire::ListUsersOutput>, Refusal> {
    let listing = User::RECORDS.list(state, &home(ctx), page, |_, user| {
        Ok(is_under(&user.path, input.path_prefix.as_ref()).then(|| shown(&user, None)))
    })?;
    Ok(listing.into_output(|users| wire::ListUsersOutput { users, is_truncated: None, marker: None }))
}

pub(crate) fn update(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::UpdateUserInput,
) -> Result<wire::UpdateUserOutput, Refusal> {
    let home = home(ctx);
    let before: User = entity::get(tx, &home, &input.user_name)?;
    let mut user = before.clone();
    if let Some(name) = &input.new_user_name {
        check_name(name)?;
        user.name.clone_from(name);
    }
    if let Some(path) = &input.new_path {
        user.path.clone_from(path);
    }
    rename(tx, &home, &before, &user)?;
    for id in &user.access_keys {
        if let Some(key) = keys::find(tx, id)? {
            keys::insert(tx, id, &keys::AccessKey { user: user.name.clone(), ..key });
        }
    }
    Ok(Default::default())
}

pub(crate) fn delete(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::DeleteUserInput,
) -> Result<wire::DeleteUserOutput, Refusal> {
    let home = home(ctx);
    let user: User = entity::get(tx, &home, &input.user_name)?;
    if has_keys(tx, &user)? {
        return Err(fault::in_use("Cannot delete entity, must delete access keys first."));
    }
    if !user.groups.is_empty() {
        return Err(fault::in_use("Cannot delete entity, must remove users from group first."));
    }
    delete_entity(tx, &home, &user)?;
    Ok(Default::default())
}

/// An operator may have removed a key with `trellis key`.
fn has_keys(state: &mut impl Read, user: &User) -> Result<bool, Refusal> {
    for id in &user.access_keys {
        if keys::find(state, id)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The users of `arns`, those that are there.
pub(crate) fn of_arns(state: &mut impl Read, home: &Home, arns: &[String]) -> Result<Vec<User>, Refusal> {
    let mut users = Vec::new();
    for arn in arns {
        users.extend(entity::by_arn::<User>(state, home, arn)?);
    }
    Ok(users)
}
