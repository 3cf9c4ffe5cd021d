//! Instance profiles: how a role comes to an instance.

use trellis_frame::{Context, Kind, Page, Paged, Quota, Records, Refusal, reference, tags as all_tags};
use trellis_model::resource::iam::{self, InstanceProfile, Named, Role};
use trellis_model::resource::lattice::Home;
use trellis_store::{Read, Reader, Transaction};

use crate::entity::{self, home, is_under, path, unique_id};
use crate::{fault, role, tags, wire};

pub(crate) const PROFILES: Quota = Quota::new("iam", "L-6E65F664", 1000, "InstanceProfilesPerAccount");

const KIND: Kind = Kind::new("Instance Profile", "INSTANCE_PROFILE");

const RECORDS: Records<InstanceProfile> = Records::new(iam::SERVICE, iam::INSTANCE_PROFILE);

/// Holders of one role that are looked through.
const HOLDERS: usize = 1000;

/// # Errors
/// `NoSuchEntity`.
pub(crate) fn find(state: &mut impl Read, home: &Home, name: &str) -> Result<InstanceProfile, Refusal> {
    let found = RECORDS.get(state, home, iam::id(name))?.filter(|profile| profile.name == name);
    found.ok_or_else(|| fault::missing(format_args!("Instance Profile {name} cannot be found.")))
}

/// ARNs of the instance profiles that have the role.
pub(crate) fn arns_with(state: &mut impl Read, role: &Role) -> Result<Vec<String>, Refusal> {
    let beginning = iam::arn(&role.account, iam::INSTANCE_PROFILE, "/", "");
    reference::holders_in(state, &role.arn(), &beginning, HOLDERS)
}

fn shown(
    state: &mut impl Read,
    home: &Home,
    profile: &InstanceProfile,
) -> Result<wire::InstanceProfile, Refusal> {
    let roles = match &profile.role {
        Some(name) => {
            entity::find::<Role>(state, home, name)?.iter().map(|found| role::shown(found, None)).collect()
        }
        None => Vec::new(),
    };
    Ok(wire::InstanceProfile {
        path: profile.path.clone(),
        instance_profile_name: profile.name.clone(),
        instance_profile_id: profile.id.clone(),
        arn: profile.arn(),
        create_date: profile.created_at,
        roles,
        tags: tags::shown(state, home, &profile.arn())?,
    })
}

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::CreateInstanceProfileInput,
) -> Result<wire::CreateInstanceProfileOutput, Refusal> {
    let home = home(ctx);
    let name = &input.instance_profile_name;
    if RECORDS.get(tx, &home, iam::id(name))?.is_some() {
        return Err(fault::exists(format_args!("Instance Profile {name} already exists.")));
    }
    let have = RECORDS.count(tx, &home)?;
    ctx.quotas().check(&PROFILES, have, 1, &KIND, None)?;
    let profile = InstanceProfile {
        account: ctx.caller.account.clone(),
        path: path(input.path.as_ref()),
        name: name.clone(),
        id: unique_id("AIPA", &ctx.surroundings.random),
        created_at: ctx.now,
        role: None,
    };
    RECORDS.put(tx, &home, iam::id(name), &profile)?;
    tags::add(tx, &home, &profile.arn(), input.tags.as_ref())?;
    Ok(wire::CreateInstanceProfileOutput { instance_profile: shown(tx, &home, &profile)? })
}

pub(crate) fn get(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::GetInstanceProfileInput,
) -> Result<wire::GetInstanceProfileOutput, Refusal> {
    let home = home(ctx);
    let profile = find(state, &home, &input.instance_profile_name)?;
    Ok(wire::GetInstanceProfileOutput { instance_profile: shown(state, &home, &profile)? })
}

pub(crate) fn list(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListInstanceProfilesInput,
    page: &Page,
) -> Result<Paged<wire::ListInstanceProfilesOutput>, Refusal> {
    let home = home(ctx);
    let listing = RECORDS.list(state, &home, page, |state, profile| {
        let is_asked = is_under(&profile.path, input.path_prefix.as_ref());
        is_asked.then(|| shown(state, &home, &profile)).transpose()
    })?;
    Ok(listing.into_output(|instance_profiles| wire::ListInstanceProfilesOutput {
        instance_profiles,
        is_truncated: None,
        marker: None,
    }))
}

pub(crate) fn list_of_role(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListInstanceProfilesForRoleInput,
    page: &Page,
) -> Result<Paged<wire::ListInstanceProfilesForRoleOutput>, Refusal> {
    let home = home(ctx);
    let role: Role = entity::get(state, &home, &input.role_name)?;
    let mut profiles = Vec::new();
    for arn in arns_with(state, &role)? {
        let Some(named) = Named::parse(&arn) else { continue };
        let profile = find(state, &home, named.name)?;
        profiles.push(shown(state, &home, &profile)?);
    }
    let listing = page.cut(profiles, |profile| profile.instance_profile_name.clone());
    Ok(listing.into_output(|instance_profiles| wire::ListInstanceProfilesForRoleOutput {
        instance_profiles,
        is_truncated: None,
        marker: None,
    }))
}

pub(crate) fn delete(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::DeleteInstanceProfileInput,
) -> Result<wire::DeleteInstanceProfileOutput, Refusal> {
    let home = home(ctx);
    let profile = find(tx, &home, &input.instance_profile_name)?;
    let arn = profile.arn();
    if profile.role.is_some() {
        return Err(fault::in_use("Cannot delete entity, must remove roles from instance profile first."));
    }
    if let Some(holder) = reference::holders(tx, &arn, 1)?.first() {
        return Err(fault::in_use(format_args!("Cannot delete entity, {holder} needs it.")));
    }
    all_tags::forget(tx, &home, &arn);
    RECORDS.delete(tx, &home, iam::id(&profile.name))?;
    Ok(Default::default())
}

pub(crate) fn add_role(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::AddRoleToInstanceProfileInput,
) -> Result<wire::AddRoleToInstanceProfileOutput, Refusal> {
    let home = home(ctx);
    let mut profile = find(tx, &home, &input.instance_profile_name)?;
    let role: Role = entity::get(tx, &home, &input.role_name)?;
    entity::Entity::check_modifiable(&role)?;
    if profile.role.is_some() {
        return Err(fault::too_large("Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1"));
    }
    profile.role = Some(role.name.clone());
    reference::hold(tx, &role.arn(), &profile.arn());
    RECORDS.put(tx, &home, iam::id(&profile.name), &profile)?;
    Ok(Default::default())
}

pub(crate) fn remove_role(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::RemoveRoleFromInstanceProfileInput,
) -> Result<wire::RemoveRoleFromInstanceProfileOutput, Refusal> {
    let home = home(ctx);
    let mut profile = find(tx, &home, &input.instance_profile_name)?;
    let role: Role = entity::get(tx, &home, &input.role_name)?;
    if profile.role.take().as_ref() != Some(&role.name) {
        let (role, profile) = (&role.name, &profile.name);
        return Err(fault::missing(format_args!("Role {role} is not in instance profile {profile}.")));
    }
    reference::release(tx, &role.arn(), &profile.arn());
    RECORDS.put(tx, &home, iam::id(&profile.name), &profile)?;
    Ok(Default::default())
}
