//! Managed policies: the account's own, and AWS's by their ARNs.

use std::collections::BTreeMap;

use trellis_frame::{Context, Kind, Page, Paged, Quota, Records, Refusal, reference, tags as all_tags};
use trellis_model::moment::Moment;
use trellis_model::resource::iam::{
    self, AWS_MANAGED, AwsManaged, Group, ManagedPolicy, Named, PolicyVersion, Role, User, aws_managed,
};
use trellis_model::resource::lattice::Home;
use trellis_store::{Read, Reader, Transaction};

use crate::entity::{Entity, by_arn, home, is_under, path, unique_id};
use crate::{document, fault, tags, wire};

pub(crate) const POLICIES: Quota = Quota::new("iam", "L-E95E4862", 1500, "PoliciesPerAccount");

const KIND: Kind = Kind::new("Policy", "POLICY");

const RECORDS: Records<ManagedPolicy> = Records::new(iam::SERVICE, iam::POLICY);

/// Identities of one account that have one policy, read at once.
const HOLDERS: usize = 7000;

/// A policy that can be attached.
pub(crate) enum Policy {
    Aws(&'static AwsManaged),
    Customers(Box<ManagedPolicy>),
}

impl Policy {
    /// In force.
    pub(crate) fn document(&self) -> &str {
        match self {
            Self::Aws(policy) => policy.document,
            Self::Customers(policy) => policy.document(),
        }
    }

    fn arn(&self) -> String {
        match self {
            Self::Aws(policy) => policy.arn(),
            Self::Customers(policy) => policy.arn(),
        }
    }

    fn path(&self) -> &str {
        match self {
            Self::Aws(policy) => policy.path,
            Self::Customers(policy) => &policy.path,
        }
    }
}

/// The policy an ARN names, in the account of `home` or AWS's.
pub(crate) fn find(state: &mut impl Read, home: &Home, arn: &str) -> Result<Option<Policy>, Refusal> {
    if let Some(policy) = aws_managed(arn) {
        return Ok(Some(Policy::Aws(policy)));
    }
    let Some(named) = Named::parse(arn) else { return Ok(None) };
    let found = RECORDS.get(state, home, iam::id(named.name))?.filter(|policy| policy.arn() == arn);
    Ok(found.map(|policy| Policy::Customers(Box::new(policy))))
}

/// # Errors
/// `NoSuchEntity`.
pub(crate) fn get_any(state: &mut impl Read, home: &Home, arn: &str) -> Result<Policy, Refusal> {
    find(state, home, arn)?.ok_or_else(|| fault::missing(format_args!("Policy {arn} was not found.")))
}

/// A policy of the account's own, which may be changed.
///
/// # Errors
/// `NoSuchEntity`; `InvalidInput` for AWS's.
pub(crate) fn customers(state: &mut impl Read, home: &Home, arn: &str) -> Result<ManagedPolicy, Refusal> {
    match get_any(state, home, arn)? {
        Policy::Customers(policy) => Ok(*policy),
        Policy::Aws(_) => {
            Err(fault::invalid(format_args!("{arn} is an AWS managed policy, which stays as it is")))
        }
    }
}

pub(crate) fn put(tx: &mut Transaction<'_>, home: &Home, policy: &ManagedPolicy) -> Result<(), Refusal> {
    RECORDS.put(tx, home, iam::id(&policy.name), policy)
}

/// ARNs of the account's identities that have the policy attached or are bounded by it.
fn holders(state: &mut impl Read, home: &Home, arn: &str) -> Result<Vec<String>, Refusal> {
    reference::holders_in(state, arn, &format!("arn:aws:iam::{}:", home.account), HOLDERS)
}

/// How often it is attached, and how often a boundary.
fn uses(state: &mut impl Read, home: &Home, arn: &str) -> Result<(i32, i32), Refusal> {
    let (mut attached, mut bounding) = (0, 0);
    for holder in holders(state, home, arn)? {
        let Some(permissions) = permissions_of(state, home, &holder)? else { continue };
        attached += i32::from(permissions.attached.contains(arn));
        bounding += i32::from(permissions.boundary.as_deref() == Some(arn));
    }
    Ok((attached, bounding))
}

fn permissions_of(
    state: &mut impl Read,
    home: &Home,
    arn: &str,
) -> Result<Option<iam::Permissions>, Refusal> {
    Ok(match Named::parse(arn).map(|named| named.kind) {
        Some(iam::USER) => by_arn::<User>(state, home, arn)?.map(|user| user.permissions),
        Some(iam::GROUP) => by_arn::<Group>(state, home, arn)?.map(|group| group.permissions),
        Some(iam::ROLE) => by_arn::<Role>(state, home, arn)?.map(|role| role.permissions),
        _ => None,
    })
}

/// `is_whole`: with what lists leave out.
fn shown(
    state: &mut impl Read,
    home: &Home,
    policy: &Policy,
    is_whole: bool,
) -> Result<wire::Policy, Refusal> {
    let arn = policy.arn();
    let (attached, bounding) = uses(state, home, &arn)?;
    let since: Moment = jiff::Timestamp::UNIX_EPOCH.into();
    let mut shown = wire::Policy {
        path: Some(policy.path().to_owned()),
        attachment_count: Some(attached),
        permissions_boundary_usage_count: Some(bounding),
        is_attachable: Some(true),
        ..wire::Policy::default()
    };
    match policy {
        Policy::Aws(policy) => {
            shown.policy_name = Some(policy.name.to_owned());
            shown.policy_id = Some(policy.id());
            shown.default_version_id = Some("v1".to_owned());
            (shown.create_date, shown.update_date) = (Some(since), Some(since));
            shown.description = is_whole.then(|| policy.description.to_owned());
        }
        Policy::Customers(policy) => {
            shown.policy_name = Some(policy.name.clone());
            shown.policy_id = Some(policy.id.clone());
            shown.default_version_id = Some(format!("v{}", policy.default_version));
            (shown.create_date, shown.update_date) = (Some(policy.created_at), Some(policy.updated_at));
            if is_whole {
                shown.description.clone_from(&policy.description);
                shown.tags = tags::shown(state, home, &arn)?;
            }
        }
    }
    shown.arn = Some(arn);
    Ok(shown)
}

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::CreatePolicyInput,
) -> Result<wire::CreatePolicyOutput, Refusal> {
    let home = home(ctx);
    let name = &input.policy_name;
    document::check_managed(&input.policy_document)?;
    if RECORDS.get(tx, &home, iam::id(name))?.is_some() {
        return Err(fault::exists(format_args!(
            "A policy called {name} already exists. Duplicate names are not allowed."
        )));
    }
    let have = RECORDS.count(tx, &home)?;
    ctx.quotas().check(&POLICIES, have, 1, &KIND, None)?;
    let version = PolicyVersion { document: input.policy_document.clone(), created_at: ctx.now };
    let policy = ManagedPolicy {
        account: ctx.caller.account.clone(),
        path: path(input.path.as_ref()),
        name: name.clone(),
        id: unique_id("ANPA", &ctx.surroundings.random),
        description: input.description.clone(),
        created_at: ctx.now,
        updated_at: ctx.now,
        versions: BTreeMap::from([(1, version)]),
        default_version: 1,
        last_version: 1,
    };
    put(tx, &home, &policy)?;
    tags::add(tx, &home, &policy.arn(), input.tags.as_ref())?;
    let policy = shown(tx, &home, &Policy::Customers(Box::new(policy)), true)?;
    Ok(wire::CreatePolicyOutput { policy: Some(policy) })
}

pub(crate) fn get(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::GetPolicyInput,
) -> Result<wire::GetPolicyOutput, Refusal> {
    let home = home(ctx);
    let policy = get_any(state, &home, &input.policy_arn)?;
    Ok(wire::GetPolicyOutput { policy: Some(shown(state, &home, &policy, true)?) })
}

pub(crate) fn list(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListPoliciesInput,
    page: &Page,
) -> Result<Paged<wire::ListPoliciesOutput>, Refusal> {
    let home = home(ctx);
    let scope = input.scope.unwrap_or(wire::PolicyScopeType::All);
    let mut policies: Vec<Policy> = Vec::new();
    if scope != wire::PolicyScopeType::Local {
        policies.extend(AWS_MANAGED.iter().map(Policy::Aws));
    }
    if scope != wire::PolicyScopeType::Aws {
        let own = RECORDS.all(state, &home)?;
        policies.extend(own.into_iter().map(|policy| Policy::Customers(Box::new(policy))));
    }
    let mut found = Vec::new();
    for policy in policies.iter().filter(|policy| is_under(policy.path(), input.path_prefix.as_ref())) {
        let policy = shown(state, &home, policy, false)?;
        let is_attached = policy.attachment_count > Some(0);
        let is_bounding = policy.permissions_boundary_usage_count > Some(0);
        let is_used = match input.policy_usage_filter {
            None => true,
            Some(wire::PolicyUsageType::PermissionsPolicy) => is_attached,
            Some(wire::PolicyUsageType::PermissionsBoundary) => is_bounding,
        };
        if is_used && (is_attached || input.only_attached != Some(true)) {
            found.push(policy);
        }
    }
    let listing = page.cut(found, |policy| policy.arn.clone().unwrap_or_default());
    Ok(listing
        .into_output(|policies| wire::ListPoliciesOutput { policies: Some(policies), ..Default::default() }))
}

pub(crate) fn delete(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::DeletePolicyInput,
) -> Result<wire::DeletePolicyOutput, Refusal> {
    let home = home(ctx);
    let policy = customers(tx, &home, &input.policy_arn)?;
    if reference::is_held(tx, &input.policy_arn)? {
        return Err(fault::in_use("Cannot delete a policy attached to entities."));
    }
    if policy.versions.len() > 1 {
        return Err(fault::in_use(
            "This policy has more than one version. Before you delete a policy, you must delete the policy's \
             versions. The default version is deleted with the policy.",
        ));
    }
    all_tags::forget(tx, &home, &input.policy_arn);
    RECORDS.delete(tx, &home, iam::id(&policy.name))?;
    Ok(Default::default())
}

/// An identity that has the policy.
enum Holder {
    User(User),
    Group(Group),
    Role(Role),
}

pub(crate) fn list_entities(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListEntitiesForPolicyInput,
    page: &Page,
) -> Result<Paged<wire::ListEntitiesForPolicyOutput>, Refusal> {
    let home = home(ctx);
    let arn = &input.policy_arn;
    get_any(state, &home, arn)?;
    let mut found = Vec::new();
    for holder in holders(state, &home, arn)? {
        let Some(named) = Named::parse(&holder) else { continue };
        let is_asked = match input.entity_filter {
            None => true,
            Some(wire::EntityType::User) => named.kind == iam::USER,
            Some(wire::EntityType::Group) => named.kind == iam::GROUP,
            Some(wire::EntityType::Role) => named.kind == iam::ROLE,
            Some(_) => false,
        };
        if !is_asked || !is_under(named.path, input.path_prefix.as_ref()) {
            continue;
        }
        let holder = match named.kind {
            iam::USER => by_arn(state, &home, &holder)?.map(Holder::User),
            iam::GROUP => by_arn(state, &home, &holder)?.map(Holder::Group),
            iam::ROLE => by_arn(state, &home, &holder)?.map(Holder::Role),
            _ => None,
        };
        let Some(holder) = holder else { continue };
        let permissions = match &holder {
            Holder::User(user) => user.permissions(),
            Holder::Group(group) => group.permissions(),
            Holder::Role(role) => role.permissions(),
        };
        let is_used = match input.policy_usage_filter {
            None => true,
            Some(wire::PolicyUsageType::PermissionsPolicy) => permissions.attached.contains(arn),
            Some(wire::PolicyUsageType::PermissionsBoundary) => permissions.boundary.as_ref() == Some(arn),
        };
        if is_used {
            found.push(holder);
        }
    }
    let listing = page.cut(found, |holder| match holder {
        Holder::User(user) => user.arn(),
        Holder::Group(group) => group.arn(),
        Holder::Role(role) => role.arn(),
    });
    Ok(listing.into_output(|holders| {
        let (mut users, mut groups, mut roles) = (Vec::new(), Vec::new(), Vec::new());
        for holder in holders {
            match holder {
                Holder::User(user) => {
                    users.push(wire::PolicyUser { user_name: Some(user.name), user_id: Some(user.id) });
                }
                Holder::Group(group) => {
                    groups.push(wire::PolicyGroup { group_name: Some(group.name), group_id: Some(group.id) });
                }
                Holder::Role(role) => {
                    roles.push(wire::PolicyRole { role_name: Some(role.name), role_id: Some(role.id) });
                }
            }
        }
        wire::ListEntitiesForPolicyOutput {
            policy_groups: Some(groups),
            policy_users: Some(users),
            policy_roles: Some(roles),
            ..Default::default()
        }
    }))
}
