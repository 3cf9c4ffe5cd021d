//! AWS IAM: who there is in an account and what they may do.
//!
//! The service answers IAM's API, and does two things for all services: [`identify`] knows whose an access key is, and
//! [`authorise`] decides who may do what by the policies that are kept here. The records are `trellis_model`'s, for the
//! data plane's identities are made of the same. Not here: console passwords, MFA, SAML, server certificates.

mod access_key;
mod account;
mod attachment;
mod authorise;
mod circumstances;
mod document;
mod entity;
mod fault;
mod group;
mod identify;
mod inline;
mod instance_profile;
mod managed_policy;
mod oidc_provider;
mod permissions;
mod role;
mod service_linked_role;
mod session;
mod simulate;
mod tags;
mod trust;
mod user;
mod version;

#[allow(clippy::all, dead_code, unreachable_pub, missing_docs)]
pub(crate) mod wire {
    include!(concat!(env!("OUT_DIR"), "/iam.rs"));
}

use trellis_api::Exception;
use trellis_frame::{Accounts, Hooks, PageSizes, Refusal, Service, words as stock};

/// The service: what the frame has to know of it.
pub static SERVICE: Service = Service {
    operations: OPERATIONS,
    words,
    quotas: &[
        &user::USERS,
        &group::GROUPS,
        &group::GROUPS_OF_USER,
        &role::ROLES,
        &managed_policy::POLICIES,
        &version::VERSIONS,
        &attachment::OF_USER,
        &attachment::OF_GROUP,
        &attachment::OF_ROLE,
        &access_key::KEYS,
        &instance_profile::PROFILES,
        &oidc_provider::PROVIDERS,
        &document::TRUST_POLICY,
    ],
    pages: PageSizes { default: 100, max: 1000 },
    accounts: Accounts { records: &["iam/"], is_remnant: service_linked_role::is_remnant, ..Accounts::NONE },
    hooks: Hooks { identify: Some(&identify::Keys), authorise: Some(&authorise::ByPolicies), ..Hooks::NONE },
    ..Service::new(wire::description)
};

trellis_frame::operations! { wire;
    AddClientIDToOpenIDConnectProvider => write oidc_provider::add_client_id,
    AddRoleToInstanceProfile => write instance_profile::add_role,
    AddUserToGroup => write group::add_user,
    AttachGroupPolicy => write attachment::attach_to_group,
    AttachRolePolicy => write attachment::attach_to_role,
    AttachUserPolicy => write attachment::attach_to_user,
    CreateAccessKey => write access_key::create,
    CreateAccountAlias => write account::create_alias,
    CreateGroup => write group::create,
    CreateInstanceProfile => write instance_profile::create,
    CreateOpenIDConnectProvider => write oidc_provider::create,
    CreatePolicy => write managed_policy::create,
    CreatePolicyVersion => write version::create,
    CreateRole => write role::create,
    CreateServiceLinkedRole => write service_linked_role::create,
    CreateUser => write user::create,
    DeleteAccessKey => write access_key::delete,
    DeleteAccountAlias => write account::delete_alias,
    DeleteGroup => write group::delete,
    DeleteGroupPolicy => write inline::delete_of_group,
    DeleteInstanceProfile => write instance_profile::delete,
    DeleteOpenIDConnectProvider => write oidc_provider::delete,
    DeletePolicy => write managed_policy::delete,
    DeletePolicyVersion => write version::delete,
    DeleteRole => write role::delete,
    DeleteRolePermissionsBoundary => write attachment::unbound_role,
    DeleteRolePolicy => write inline::delete_of_role,
    DeleteServiceLinkedRole => write service_linked_role::delete,
    DeleteUser => write user::delete,
    DeleteUserPermissionsBoundary => write attachment::unbound_user,
    DeleteUserPolicy => write inline::delete_of_user,
    DetachGroupPolicy => write attachment::detach_from_group,
    DetachRolePolicy => write attachment::detach_from_role,
    DetachUserPolicy => write attachment::detach_from_user,
    GetAccountSummary => read account::summary,
    GetContextKeysForCustomPolicy => view simulate::keys_of_custom,
    GetContextKeysForPrincipalPolicy => read simulate::keys_of_principal,
    GetGroup => list group::get,
    GetGroupPolicy => read inline::get_of_group,
    GetInstanceProfile => read instance_profile::get,
    GetOpenIDConnectProvider => read oidc_provider::get,
    GetPolicy => read managed_policy::get,
    GetPolicyVersion => read version::get,
    GetRole => read role::get,
    GetRolePolicy => read inline::get_of_role,
    GetServiceLinkedRoleDeletionStatus => read service_linked_role::deletion_status,
    GetUser => read user::get,
    GetUserPolicy => read inline::get_of_user,
    ListAccessKeys => list access_key::list,
    ListAccountAliases => list account::aliases,
    ListAttachedGroupPolicies => list attachment::list_of_group,
    ListAttachedRolePolicies => list attachment::list_of_role,
    ListAttachedUserPolicies => list attachment::list_of_user,
    ListEntitiesForPolicy => list managed_policy::list_entities,
    ListGroupPolicies => list inline::list_of_group,
    ListGroups => list group::list,
    ListGroupsForUser => list group::list_of_user,
    ListInstanceProfileTags => list tags::list_of_instance_profile,
    ListInstanceProfiles => list instance_profile::list,
    ListInstanceProfilesForRole => list instance_profile::list_of_role,
    ListOpenIDConnectProviderTags => list tags::list_of_oidc_provider,
    ListOpenIDConnectProviders => read oidc_provider::list,
    ListPolicies => list managed_policy::list,
    ListPolicyTags => list tags::list_of_policy,
    ListPolicyVersions => list version::list,
    ListRolePolicies => list inline::list_of_role,
    ListRoleTags => list tags::list_of_role,
    ListRoles => list role::list,
    ListUserPolicies => list inline::list_of_user,
    ListUserTags => list tags::list_of_user,
    ListUsers => list user::list,
    PutGroupPolicy => write inline::put_to_group,
    PutRolePermissionsBoundary => write attachment::bound_role,
    PutRolePolicy => write inline::put_to_role,
    PutUserPermissionsBoundary => write attachment::bound_user,
    PutUserPolicy => write inline::put_to_user,
    RemoveClientIDFromOpenIDConnectProvider => write oidc_provider::remove_client_id,
    RemoveRoleFromInstanceProfile => write instance_profile::remove_role,
    RemoveUserFromGroup => write group::remove_user,
    SetDefaultPolicyVersion => write version::set_default,
    SimulateCustomPolicy => list simulate::custom,
    SimulatePrincipalPolicy => list simulate::principal,
    TagInstanceProfile => write tags::tag_instance_profile,
    TagOpenIDConnectProvider => write tags::tag_oidc_provider,
    TagPolicy => write tags::tag_policy,
    TagRole => write tags::tag_role,
    TagUser => write tags::tag_user,
    UntagInstanceProfile => write tags::untag_instance_profile,
    UntagOpenIDConnectProvider => write tags::untag_oidc_provider,
    UntagPolicy => write tags::untag_policy,
    UntagRole => write tags::untag_role,
    UntagUser => write tags::untag_user,
    UpdateAccessKey => write access_key::update,
    UpdateAssumeRolePolicy => write role::update_trust_policy,
    UpdateGroup => write group::update,
    UpdateOpenIDConnectProviderThumbprint => write oidc_provider::update_thumbprints,
    UpdateRole => write role::update,
    UpdateRoleDescription => write role::update_description,
    UpdateUser => write user::update,
}

/// IAM's codes. The rest is what Query services say.
fn words(refusal: Refusal) -> Exception {
    match refusal {
        Refusal::Quota { quota, limit, .. } => {
            fault::limit(format_args!("Cannot exceed quota for {}: {limit}", quota.counts()))
        }
        Refusal::Invalid { .. } => fault::invalid_input(refusal),
        refusal => stock::query(refusal),
    }
}
