//! Tags of users, roles, policies, instance profiles and OIDC providers.

use trellis_frame::tags::{self as all_tags, MAX_TAGS, Tags};
use trellis_frame::{Context, Page, Paged, Refusal};
use trellis_model::resource::iam::{Role, User};
use trellis_model::resource::lattice::Home;
use trellis_store::{Read, Reader, Transaction};

use crate::entity::{get, home};
use crate::wire::{self, Tag};
use crate::{fault, instance_profile, managed_policy, oidc_provider};

/// As answers have them; absent where there are none.
pub(crate) fn shown(state: &mut impl Read, home: &Home, arn: &str) -> Result<Option<Vec<Tag>>, Refusal> {
    let list = listed(all_tags::read(state, home, arn)?);
    Ok((!list.is_empty()).then_some(list))
}

fn listed(tags: Tags) -> Vec<Tag> {
    tags.into_iter().map(|(key, value)| Tag { key, value }).collect()
}

/// Adds what a call brings.
///
/// # Errors
/// A key that is there twice whatever its case, or reserved; more tags than there may be.
pub(crate) fn add(
    tx: &mut Transaction<'_>,
    home: &Home,
    arn: &str,
    tags: Option<&Vec<Tag>>,
) -> Result<(), Refusal> {
    let Some(tags) = tags else { return Ok(()) };
    let mut keys: Vec<String> = tags.iter().map(|tag| tag.key.to_lowercase()).collect();
    keys.sort_unstable();
    if keys.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(fault::invalid(
            "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
        ));
    }
    let mut there = all_tags::read(tx, home, arn)?;
    // Keys differ in more than case: the newer spelling takes the place of the older.
    let replaced: Vec<String> =
        there.keys().filter(|key| keys.binary_search(&key.to_lowercase()).is_ok()).cloned().collect();
    all_tags::remove(tx, home, arn, replaced.iter().map(String::as_str))?;
    there.retain(|key, _| !replaced.contains(key));
    if there.len() + tags.len() > MAX_TAGS {
        return Err(fault::too_large(format_args!("Cannot exceed quota for TagsPerResource: {MAX_TAGS}")));
    }
    let tags: Tags = tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect();
    all_tags::merge(tx, home, arn, &tags)
}

fn remove(tx: &mut Transaction<'_>, home: &Home, arn: &str, keys: &[String]) -> Result<(), Refusal> {
    let there = all_tags::read(tx, home, arn)?;
    let is_meant = |key: &&String| keys.iter().any(|asked| asked.to_lowercase() == key.to_lowercase());
    let gone: Vec<&str> = there.keys().filter(is_meant).map(String::as_str).collect();
    all_tags::remove(tx, home, arn, gone)
}

fn list(
    state: &mut impl Read,
    home: &Home,
    arn: &str,
    page: &Page,
) -> Result<(Vec<Tag>, Option<String>), Refusal> {
    let tags = listed(all_tags::read(state, home, arn)?);
    let listing = page.cut(tags, |tag| tag.key.clone());
    Ok((listing.items, listing.next_token))
}

/// The three operations of one kind: how its ARN is found from the member that names it.
macro_rules! tagged {
    ($member:ident, $arn:expr; $tag:ident $untag:ident $list:ident;
     $tag_in:ident $tag_out:ident $untag_in:ident $untag_out:ident $list_in:ident $list_out:ident) => {
        pub(crate) fn $tag(
            tx: &mut Transaction<'_>,
            ctx: &Context,
            input: &wire::$tag_in,
        ) -> Result<wire::$tag_out, Refusal> {
            let home = home(ctx);
            let arn = $arn(&mut *tx, &home, &input.$member)?;
            add(tx, &home, &arn, Some(&input.tags))?;
            Ok(Default::default())
        }

        pub(crate) fn $untag(
            tx: &mut Transaction<'_>,
            ctx: &Context,
            input: &wire::$untag_in,
        ) -> Result<wire::$untag_out, Refusal> {
            let home = home(ctx);
            let arn = $arn(&mut *tx, &home, &input.$member)?;
            remove(tx, &home, &arn, &input.tag_keys)?;
            Ok(Default::default())
        }

        pub(crate) fn $list(
            state: &mut Reader,
            ctx: &Context,
            input: &wire::$list_in,
            page: &Page,
        ) -> Result<Paged<wire::$list_out>, Refusal> {
            let home = home(ctx);
            let arn = $arn(&mut *state, &home, &input.$member)?;
            let (tags, next_token) = list(state, &home, &arn, page)?;
            Ok(Paged { output: wire::$list_out { tags, is_truncated: None, marker: None }, next_token })
        }
    };
}

tagged! { user_name, user_arn; tag_user untag_user list_of_user;
TagUserInput TagUserOutput UntagUserInput UntagUserOutput ListUserTagsInput ListUserTagsOutput }
tagged! { role_name, role_arn; tag_role untag_role list_of_role;
TagRoleInput TagRoleOutput UntagRoleInput UntagRoleOutput ListRoleTagsInput ListRoleTagsOutput }
tagged! { policy_arn, policy_arn; tag_policy untag_policy list_of_policy;
TagPolicyInput TagPolicyOutput UntagPolicyInput UntagPolicyOutput ListPolicyTagsInput ListPolicyTagsOutput }
tagged! { instance_profile_name, profile_arn; tag_instance_profile untag_instance_profile list_of_instance_profile;
TagInstanceProfileInput TagInstanceProfileOutput UntagInstanceProfileInput UntagInstanceProfileOutput
ListInstanceProfileTagsInput ListInstanceProfileTagsOutput }
tagged! { open_id_connect_provider_arn, provider_arn; tag_oidc_provider untag_oidc_provider list_of_oidc_provider;
TagOpenIDConnectProviderInput TagOpenIDConnectProviderOutput UntagOpenIDConnectProviderInput
UntagOpenIDConnectProviderOutput ListOpenIDConnectProviderTagsInput ListOpenIDConnectProviderTagsOutput }

fn user_arn(state: &mut impl Read, home: &Home, name: &str) -> Result<String, Refusal> {
    Ok(get::<User>(state, home, name)?.arn())
}

fn role_arn(state: &mut impl Read, home: &Home, name: &str) -> Result<String, Refusal> {
    Ok(get::<Role>(state, home, name)?.arn())
}

fn policy_arn(state: &mut impl Read, home: &Home, arn: &str) -> Result<String, Refusal> {
    Ok(managed_policy::customers(state, home, arn)?.arn())
}

fn profile_arn(state: &mut impl Read, home: &Home, name: &str) -> Result<String, Refusal> {
    Ok(instance_profile::find(state, home, name)?.arn())
}

fn provider_arn(state: &mut impl Read, home: &Home, arn: &str) -> Result<String, Refusal> {
    Ok(oidc_provider::find(state, home, arn)?.arn())
}
