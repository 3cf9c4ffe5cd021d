//! Managed policies attached to users, groups and roles, and those that are their permissions boundaries.

use trellis_frame::{Context, Kind, Page, Paged, Quota, Refusal, reference};
use trellis_model::resource::iam::{Group, Named, Role, User};
use trellis_model::resource::lattice::Home;
use trellis_store::{Read, Reader, Transaction};

use crate::entity::{Entity, get, home, is_under, put};
use crate::wire::{self, AttachedPolicy};
use crate::{fault, managed_policy};

pub(crate) const OF_USER: Quota = Quota::new("iam", "L-4019AD8B", 10, "PoliciesPerUser");
pub(crate) const OF_GROUP: Quota = Quota::new("iam", "L-384571C4", 10, "PoliciesPerGroup");
pub(crate) const OF_ROLE: Quota = Quota::new("iam", "L-0DA4ABF3", 10, "PoliciesPerRole");

const KIND: Kind = Kind::new("Policy", "POLICY");

/// # Errors
/// A policy that is not there.
fn check_attachable(state: &mut impl Read, home: &Home, arn: &str) -> Result<(), Refusal> {
    match managed_policy::find(state, home, arn)? {
        Some(_) => Ok(()),
        None => Err(fault::missing(format_args!("Policy {arn} does not exist or is not attachable."))),
    }
}

fn attach<E: Entity>(tx: &mut Transaction<'_>, ctx: &Context, name: &str, arn: &str) -> Result<(), Refusal> {
    let home = home(ctx);
    let mut entity: E = get(tx, &home, name)?;
    entity.check_modifiable()?;
    check_attachable(tx, &home, arn)?;
    if entity.permissions_mut().attached.insert(arn.to_owned()) {
        let have = entity.permissions().attached.len() - 1;
        ctx.quotas().check(E::ATTACHED, have, 1, &KIND, Some(name))?;
        reference::hold(tx, arn, &entity.arn());
        put(tx, &home, &entity)?;
    }
    Ok(())
}

fn detach<E: Entity>(tx: &mut Transaction<'_>, ctx: &Context, name: &str, arn: &str) -> Result<(), Refusal> {
    let home = home(ctx);
    let mut entity: E = get(tx, &home, name)?;
    entity.check_modifiable()?;
    if !entity.permissions_mut().attached.remove(arn) {
        return Err(fault::missing(format_args!("Policy {arn} was not found.")));
    }
    release(tx, &entity, arn);
    put(tx, &home, &entity)
}

/// The policy is held no longer, unless it is both attached and the boundary.
fn release<E: Entity>(tx: &mut Transaction<'_>, entity: &E, arn: &str) {
    let permissions = entity.permissions();
    if !permissions.attached.contains(arn) && permissions.boundary.as_deref() != Some(arn) {
        reference::release(tx, arn, &entity.arn());
    }
}

fn list<E: Entity>(
    state: &mut Reader,
    ctx: &Context,
    (name, path_prefix): (&str, Option<&String>),
    page: &Page,
) -> Result<(Vec<AttachedPolicy>, Option<String>), Refusal> {
    let entity: E = get(state, &home(ctx), name)?;
    let attached = entity.permissions().attached.iter().filter_map(|arn| {
        let named = Named::parse(arn)?;
        is_under(named.path, path_prefix).then(|| AttachedPolicy {
            policy_name: Some(named.name.to_owned()),
            policy_arn: Some(arn.clone()),
        })
    });
    let listing =
        page.cut(attached.collect(), |policy: &AttachedPolicy| policy.policy_arn.clone().unwrap_or_default());
    Ok((listing.items, listing.next_token))
}

// === permissions boundaries ===

/// Makes sure the policy may bound `holder`, and that it stays as long as it does.
pub(crate) fn check_boundary(
    tx: &mut Transaction<'_>,
    home: &Home,
    arn: &str,
    holder: &str,
) -> Result<(), Refusal> {
    check_attachable(tx, home, arn)?;
    reference::hold(tx, arn, holder);
    Ok(())
}

fn bound<E: Entity>(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    name: &str,
    boundary: Option<&String>,
) -> Result<(), Refusal> {
    let home = home(ctx);
    let mut entity: E = get(tx, &home, name)?;
    entity.check_modifiable()?;
    let before = std::mem::replace(&mut entity.permissions_mut().boundary, boundary.cloned());
    if let Some(before) = before {
        release(tx, &entity, &before);
    } else if boundary.is_none() {
        let noun = E::NOUN;
        return Err(fault::missing(format_args!("The {noun} {name} has no permissions boundary.")));
    }
    if let Some(arn) = boundary {
        check_boundary(tx, &home, arn, &entity.arn())?;
    }
    put(tx, &home, &entity)
}

/// The operations on one kind of entity.
macro_rules! attached {
    ($entity:ty, $name:ident; $attach:ident $attach_in:ident $attach_out:ident;
     $detach:ident $detach_in:ident $detach_out:ident; $list:ident $list_in:ident $list_out:ident) => {
        pub(crate) fn $attach(
            tx: &mut Transaction<'_>,
            ctx: &Context,
            input: &wire::$attach_in,
        ) -> Result<wire::$attach_out, Refusal> {
            attach::<$entity>(tx, ctx, &input.$name, &input.policy_arn)?;
            Ok(Default::default())
        }

        pub(crate) fn $detach(
            tx: &mut Transaction<'_>,
            ctx: &Context,
            input: &wire::$detach_in,
        ) -> Result<wire::$detach_out, Refusal> {
            detach::<$entity>(tx, ctx, &input.$name, &input.policy_arn)?;
            Ok(Default::default())
        }

        pub(crate) fn $list(
            state: &mut Reader,
            ctx: &Context,
            input: &wire::$list_in,
            page: &Page,
        ) -> Result<Paged<wire::$list_out>, Refusal> {
            let (policies, next_token) =
                list::<$entity>(state, ctx, (&input.$name, input.path_prefix.as_ref()), page)?;
            let output =
                wire::$list_out { attached_policies: Some(policies), is_truncated: None, marker: None };
            Ok(Paged { output, next_token })
        }
    };
}

attached! { User, user_name; attach_to_user AttachUserPolicyInput AttachUserPolicyOutput;
detach_from_user DetachUserPolicyInput DetachUserPolicyOutput;
list_of_user ListAttachedUserPoliciesInput ListAttachedUserPoliciesOutput }
attached! { Group, group_name; attach_to_group AttachGroupPolicyInput AttachGroupPolicyOutput;
detach_from_group DetachGroupPolicyInput DetachGroupPolicyOutput;
list_of_group ListAttachedGroupPoliciesInput ListAttachedGroupPoliciesOutput }
attached! { Role, role_name; attach_to_role AttachRolePolicyInput AttachRolePolicyOutput;
detach_from_role DetachRolePolicyInput DetachRolePolicyOutput;
list_of_role ListAttachedRolePoliciesInput ListAttachedRolePoliciesOutput }

pub(crate) fn bound_role(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::PutRolePermissionsBoundaryInput,
) -> Result<wire::PutRolePermissionsBoundaryOutput, Refusal> {
    bound::<Role>(tx, ctx, &input.role_name, Some(&input.permissions_boundary))?;
    Ok(Default::default())
}

pub(crate) fn bound_user(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::PutUserPermissionsBoundaryInput,
) -> Result<wire::PutUserPermissionsBoundaryOutput, Refusal> {
    bound::<User>(tx, ctx, &input.user_name, Some(&input.permissions_boundary))?;
    Ok(Default::default())
}

pub(crate) fn unbound_role(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::DeleteRolePermissionsBoundaryInput,
) -> Result<wire::DeleteRolePermissionsBoundaryOutput, Refusal> {
    bound::<Role>(tx, ctx, &input.role_name, None)?;
    Ok(Default::default())
}

pub(crate) fn unbound_user(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::DeleteUserPermissionsBoundaryInput,
) -> Result<wire::DeleteUserPermissionsBoundaryOutput, Refusal> {
    bound::<User>(tx, ctx, &input.user_name, None)?;
    Ok(Default::default())
}
