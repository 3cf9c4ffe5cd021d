//! Roles: who may assume them, for how long.

use trellis_frame::{Context, Kind, Page, Paged, Quota, Refusal, reference};
use trellis_model::resource::iam::{Permissions, Role};
use trellis_model::resource::lattice::Home;
use trellis_store::{Read, Reader, Transaction};

use crate::entity::{
    Entity, boundary, check_free, delete as delete_entity, home, is_under, path, put, unique_id,
};
use crate::{attachment, document, entity, fault, instance_profile, tags, wire};

pub(crate) const ROLES: Quota = Quota::new("iam", "L-FE177D64", 1000, "RolesPerAccount");

const KIND: Kind = Kind::new("Role", "ROLE");

/// Seconds, where nobody says.
pub(crate) const SESSION: i32 = 3600;

/// The path that only service-linked roles have.
pub(crate) const LINKED_PATH: &str = "/aws-service-role/";

pub(crate) fn shown(role: &Role, tags: Option<Vec<wire::Tag>>) -> wire::Role {
    wire::Role {
        path: role.path.clone(),
        role_name: role.name.clone(),
        role_id: role.id.clone(),
        arn: role.arn(),
        create_date: role.created_at,
        assume_role_policy_document: Some(document::encoded(&role.trust_policy)),
        description: role.description.clone(),
        max_session_duration: Some(role.max_session_duration),
        permissions_boundary: boundary(&role.permissions),
        tags,
        role_last_used: None,
        source_role_template: None,
    }
}

pub(crate) fn with_tags(state: &mut impl Read, home: &Home, role: &Role) -> Result<wire::Role, Refusal> {
    let tags = tags::shown(state, home, &role.arn())?;
    Ok(shown(role, tags))
}

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::CreateRoleInput,
) -> Result<wire::CreateRoleOutput, Refusal> {
    let home = home(ctx);
    let role = Role {
        account: ctx.caller.account.clone(),
        path: path(input.path.as_ref()),
        name: input.role_name.clone(),
        id: unique_id("AROA", &ctx.surroundings.random),
        created_at: ctx.now,
        description: input.description.clone(),
        trust_policy: input.assume_role_policy_document.clone(),
        max_session_duration: input.max_session_duration.unwrap_or(SESSION),
        permissions: Permissions { boundary: input.permissions_boundary.clone(), ..Permissions::default() },
        linked_to: None,
    };
    if role.path.starts_with(LINKED_PATH) {
        return Err(fault::invalid(format_args!(
            "Path {} is for service-linked roles: use CreateServiceLinkedRole",
            role.path
        )));
    }
    if let Some(arn) = &input.permissions_boundary {
        attachment::check_boundary(tx, &home, arn, &role.arn())?;
    }
    insert(tx, ctx, &home, &role, input.tags.as_ref())?;
    Ok(wire::CreateRoleOutput { role: with_tags(tx, &home, &role)? })
}

/// A new role, service-linked or not.
pub(crate) fn insert(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    home: &Home,
    role: &Role,
    tags: Option<&Vec<wire::Tag>>,
) -> Result<(), Refusal> {
    check_free::<Role>(tx, home, &role.name)?;
    let have = Role::RECORDS.count(tx, home)?;
    ctx.quotas().check(&ROLES, have, 1, &KIND, None)?;
    document::check_trust(&role.trust_policy, ctx.quotas())?;
    put(tx, home, role)?;
    tags::add(tx, home, &role.arn(), tags)
}

pub(crate) fn get(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::GetRoleInput,
) -> Result<wire::GetRoleOutput, Refusal> {
    let home = home(ctx);
    let role = entity::get(state, &home, &input.role_name)?;
    Ok(wire::GetRoleOutput { role: with_tags(state, &home, &role)? })
}

pub(crate) fn list(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListRolesInput,
    page: &Page,
) -> Result<Paged<wire::ListRolesOutput>, Refusal> {
    let listing = Role::RECORDS.list(state, &home(ctx), page, |_, role| {
        Ok(is_under(&role.path, input.path_prefix.as_ref()).then(|| shown(&role, None)))
    })?;
    Ok(listing.into_output(|roles| wire::ListRolesOutput { roles, is_truncated: None, marker: None }))
}

/// Changes a role that is anybody's to change.
fn change(
    tx: &mut Transaction<'_>,
    home: &Home,
    name: &str,
    change: impl FnOnce(&mut Role),
) -> Result<Role, Refusal> {
    let mut role: Role = entity::get(tx, home, name)?;
    role.check_modifiable()?;
    change(&mut role);
    put(tx, home, &role)?;
    Ok(role)
}

pub(crate) fn update(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::UpdateRoleInput,
) -> Result<wire::UpdateRoleOutput, Refusal> {
    change(tx, &home(ctx), &input.role_name, |role| {
        if let Some(description) = &input.description {
            role.description = Some(description.clone()).filter(|text| !text.is_empty());
        }
        role.max_session_duration = input.max_session_duration.unwrap_or(role.max_session_duration);
    })?;
    Ok(Default::default())
}

pub(crate) fn update_description(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::UpdateRoleDescriptionInput,
) -> Result<wire::UpdateRoleDescriptionOutput, Refusal> {
    let home = home(ctx);
    let role = change(tx, &home, &input.role_name, |role| {
        role.description = Some(input.description.clone()).filter(|text| !text.is_empty());
    })?;
    Ok(wire::UpdateRoleDescriptionOutput { role: Some(with_tags(tx, &home, &role)?) })
}

pub(crate) fn update_trust_policy(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::UpdateAssumeRolePolicyInput,
) -> Result<wire::UpdateAssumeRolePolicyOutput, Refusal> {
    document::check_trust(&input.policy_document, ctx.quotas())?;
    change(tx, &home(ctx), &input.role_name, |role| role.trust_policy.clone_from(&input.policy_document))?;
    Ok(Default::default())
}

pub(crate) fn delete(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::DeleteRoleInput,
) -> Result<wire::DeleteRoleOutput, Refusal> {
    let home = home(ctx);
    let role: Role = entity::get(tx, &home, &input.role_name)?;
    role.check_modifiable()?;
    check_unused(tx, &role)?;
    delete_entity(tx, &home, &role)?;
    Ok(Default::default())
}

/// # Errors
/// `DeleteConflict` while an instance profile, or anything else that holds it, has the role.
pub(crate) fn check_unused(state: &mut impl Read, role: &Role) -> Result<(), Refusal> {
    if !instance_profile::arns_with(state, role)?.is_empty() {
        return Err(fault::in_use("Cannot delete entity, must remove roles from instance profile first."));
    }
    match reference::holders(state, &role.arn(), 1)?.first() {
        None => Ok(()),
        Some(holder) => Err(fault::in_use(format_args!("Cannot delete entity, {holder} needs it."))),
    }
}
