//! The account itself: its alias, and how much of everything it has.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use trellis_frame::{Context, Page, Paged, Records, Refusal};
use trellis_model::resource::iam::{self, Group, InstanceProfile, ManagedPolicy, OidcProvider, Role, User};
use trellis_store::{Reader, Transaction};

use crate::entity::{Entity, home};
use crate::{
    access_key, attachment, document, fault, group, instance_profile, managed_policy, role, user, version,
    wire,
};

/// The one alias an account may have.
#[derive(Debug, Serialize, Deserialize)]
struct Alias {
    alias: String,
}

const ALIASES: Records<Alias> = Records::new(iam::SERVICE, "alias");
const ONE: &str = "account";

pub(crate) fn create_alias(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::CreateAccountAliasInput,
) -> Result<wire::CreateAccountAliasOutput, Refusal> {
    let alias = &input.account_alias;
    ALIASES.put(tx, &home(ctx), ONE, &Alias { alias: alias.clone() })?;
    Ok(Default::default())
}

pub(crate) fn delete_alias(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::DeleteAccountAliasInput,
) -> Result<wire::DeleteAccountAliasOutput, Refusal> {
    let home = home(ctx);
    let alias = &input.account_alias;
    if ALIASES.get(tx, &home, ONE)?.is_none_or(|found| found.alias != *alias) {
        return Err(fault::missing(format_args!("The account alias {alias} cannot be found.")));
    }
    ALIASES.delete(tx, &home, ONE)?;
    Ok(Default::default())
}

pub(crate) fn aliases(
    state: &mut Reader,
    ctx: &Context,
    _: &wire::ListAccountAliasesInput,
    page: &Page,
) -> Result<Paged<wire::ListAccountAliasesOutput>, Refusal> {
    let listing = ALIASES.list(state, &home(ctx), page, |_, found| Ok(Some(found.alias)))?;
    Ok(listing.into_output(|account_aliases| wire::ListAccountAliasesOutput {
        account_aliases,
        is_truncated: None,
        marker: None,
    }))
}

pub(crate) fn summary(
    state: &mut Reader,
    ctx: &Context,
    _: &wire::GetAccountSummaryInput,
) -> Result<wire::GetAccountSummaryOutput, Refusal> {
    let home = home(ctx);
    let policies: Records<ManagedPolicy> = Records::new(iam::SERVICE, iam::POLICY);
    let profiles: Records<InstanceProfile> = Records::new(iam::SERVICE, iam::INSTANCE_PROFILE);
    let providers: Records<OidcProvider> = Records::new(iam::SERVICE, iam::OIDC_PROVIDER);
    let versions: usize = policies.all(state, &home)?.iter().map(|policy| policy.versions.len()).sum();
    let quotas = ctx.quotas();
    let counts = [
        ("Users", User::RECORDS.count(state, &home)? as u64),
        ("Groups", Group::RECORDS.count(state, &home)? as u64),
        ("Roles", Role::RECORDS.count(state, &home)? as u64),
        ("Policies", policies.count(state, &home)? as u64),
        ("PolicyVersionsInUse", versions as u64),
        ("InstanceProfiles", profiles.count(state, &home)? as u64),
        ("Providers", providers.count(state, &home)? as u64),
        ("UsersQuota", quotas.limit(&user::USERS)),
        ("GroupsQuota", quotas.limit(&group::GROUPS)),
        ("GroupsPerUserQuota", quotas.limit(&group::GROUPS_OF_USER)),
        ("RolesQuota", quotas.limit(&role::ROLES)),
        ("PoliciesQuota", quotas.limit(&managed_policy::POLICIES)),
        ("VersionsPerPolicyQuota", quotas.limit(&version::VERSIONS)),
        ("InstanceProfilesQuota", quotas.limit(&instance_profile::PROFILES)),
        ("AccessKeysPerUserQuota", quotas.limit(&access_key::KEYS)),
        ("AttachedPoliciesPerUserQuota", quotas.limit(&attachment::OF_USER)),
        ("AttachedPoliciesPerGroupQuota", quotas.limit(&attachment::OF_GROUP)),
        ("AttachedPoliciesPerRoleQuota", quotas.limit(&attachment::OF_ROLE)),
        ("AssumeRolePolicySizeQuota", quotas.limit(&document::TRUST_POLICY)),
        ("PolicySizeQuota", document::MANAGED as u64),
        ("UserPolicySizeQuota", User::INLINE as u64),
        ("GroupPolicySizeQuota", Group::INLINE as u64),
        ("RolePolicySizeQuota", Role::INLINE as u64),
    ];
    let whole = |(name, count): (&str, u64)| (name.to_owned(), i32::try_from(count).unwrap_or(i32::MAX));
    let summary_map: BTreeMap<String, i32> = counts.into_iter().map(whole).collect();
    Ok(wire::GetAccountSummaryOutput { summary_map: Some(summary_map) })
}
