//! Inline policies: part of the user, group or role they are in.

use trellis_frame::{Context, Page, Paged, Refusal};
use trellis_model::resource::iam::{Group, Role, User};
use trellis_policy::PolicyKind;
use trellis_store::{Reader, Transaction};

use crate::entity::{Entity, get, home, put};
use crate::{document, fault, wire};

fn put_policy<E: Entity>(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    name: &str,
    (policy, text): (&str, &str),
) -> Result<(), Refusal> {
    let home = home(ctx);
    let mut entity: E = get(tx, &home, name)?;
    entity.check_modifiable()?;
    document::check(text, PolicyKind::Identity)?;
    let inline = &mut entity.permissions_mut().inline;
    inline.insert(policy.to_owned(), text.to_owned());
    let (found, limit) = (inline.values().map(|text| document::size(text)).sum::<usize>(), E::INLINE);
    if found > limit {
        let noun = E::NOUN;
        return Err(fault::too_large(format_args!(
            "Maximum policy size of {limit} bytes exceeded for {noun} {name}"
        )));
    }
    put(tx, &home, &entity)
}

fn missing<E: Entity>(policy: &str) -> Refusal {
    let noun = E::NOUN;
    fault::missing(format_args!("The {noun} policy with name {policy} cannot be found."))
}

fn get_policy<E: Entity>(
    state: &mut Reader,
    ctx: &Context,
    name: &str,
    policy: &str,
) -> Result<String, Refusal> {
    let entity: E = get(state, &home(ctx), name)?;
    let text = entity.permissions().inline.get(policy).ok_or_else(|| missing::<E>(policy))?;
    Ok(document::encoded(text))
}

fn delete_policy<E: Entity>(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    name: &str,
    policy: &str,
) -> Result<(), Refusal> {
    let home = home(ctx);
    let mut entity: E = get(tx, &home, name)?;
    entity.check_modifiable()?;
    entity.permissions_mut().inline.remove(policy).ok_or_else(|| missing::<E>(policy))?;
    put(tx, &home, &entity)
}

/// The operations on one kind of entity.
macro_rules! inline {
    ($entity:ty, $name:ident; $put:ident $put_in:ident $put_out:ident; $get:ident $get_in:ident $get_out:ident;
     $delete:ident $delete_in:ident $delete_out:ident; $list:ident $list_in:ident $list_out:ident) => {
        pub(crate) fn $put(
            tx: &mut Transaction<'_>,
            ctx: &Context,
            input: &wire::$put_in,
        ) -> Result<wire::$put_out, Refusal> {
            put_policy::<$entity>(tx, ctx, &input.$name, (&input.policy_name, &input.policy_document))?;
            Ok(Default::default())
        }

        pub(crate) fn $get(
            state: &mut Reader,
            ctx: &Context,
            input: &wire::$get_in,
        ) -> Result<wire::$get_out, Refusal> {
            let policy_document = get_policy::<$entity>(state, ctx, &input.$name, &input.policy_name)?;
            let ($name, policy_name) = (input.$name.clone(), input.policy_name.clone());
            Ok(wire::$get_out { $name, policy_name, policy_document })
        }

        pub(crate) fn $delete(
            tx: &mut Transaction<'_>,
            ctx: &Context,
            input: &wire::$delete_in,
        ) -> Result<wire::$delete_out, Refusal> {
            delete_policy::<$entity>(tx, ctx, &input.$name, &input.policy_name)?;
            Ok(Default::default())
        }

        pub(crate) fn $list(
            state: &mut Reader,
            ctx: &Context,
            input: &wire::$list_in,
            page: &Page,
        ) -> Result<Paged<wire::$list_out>, Refusal> {
            let entity: $entity = get(state, &home(ctx), &input.$name)?;
            let names = entity.permissions.inline.into_keys().collect();
            let listing = page.cut(names, String::clone);
            Ok(listing.into_output(|policy_names| wire::$list_out {
                policy_names,
                is_truncated: None,
                marker: None,
            }))
        }
    };
}

inline! { User, user_name; put_to_user PutUserPolicyInput PutUserPolicyOutput;
get_of_user GetUserPolicyInput GetUserPolicyOutput;
delete_of_user DeleteUserPolicyInput DeleteUserPolicyOutput;
list_of_user ListUserPoliciesInput ListUserPoliciesOutput }
inline! { Group, group_name; put_to_group PutGroupPolicyInput PutGroupPolicyOutput;
get_of_group GetGroupPolicyInput GetGroupPolicyOutput;
delete_of_group DeleteGroupPolicyInput DeleteGroupPolicyOutput;
list_of_group ListGroupPoliciesInput ListGroupPoliciesOutput }
inline! { Role, role_name; put_to_role PutRolePolicyInput PutRolePolicyOutput;
get_of_role GetRolePolicyInput GetRolePolicyOutput;
delete_of_role DeleteRolePolicyInput DeleteRolePolicyOutput;
list_of_role ListRolePoliciesInput ListRolePoliciesOutput }
