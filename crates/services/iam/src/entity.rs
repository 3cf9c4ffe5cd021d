//! What users, groups and roles have in common: a name, a path, and policies that say what they may do.

use serde::Serialize;
use serde::de::DeserializeOwned;
use trellis_frame::random::BASE_32;
use trellis_frame::{Context, Quota, Random, Records, Refusal, key, reference, tags};
use trellis_model::resource::iam::{self, Group, Permissions, Role, User};
use trellis_model::resource::lattice::Home;
use trellis_store::{Read, Transaction};

use crate::{attachment, fault, wire};

/// A user, group or role.
pub(crate) trait Entity: Serialize + DeserializeOwned + 'static {
    const RECORDS: Records<Self>;
    /// In messages: `role`.
    const NOUN: &'static str;
    /// Managed policies that may be attached.
    const ATTACHED: &'static Quota;
    /// Characters of all inline policies together, white space not counted.
    const INLINE: usize;

    fn name(&self) -> &str;
    fn arn(&self) -> String;
    fn permissions(&self) -> &Permissions;
    fn permissions_mut(&mut self) -> &mut Permissions;

    /// # Errors
    /// What only the service it is linked to may change.
    fn check_modifiable(&self) -> Result<(), Refusal> {
        Ok(())
    }
}

impl Entity for User {
    const RECORDS: Records<Self> = Records::new(iam::SERVICE, iam::USER);
    const NOUN: &'static str = "user";
    const ATTACHED: &'static Quota = &attachment::OF_USER;
    const INLINE: usize = 2048;

    fn name(&self) -> &str {
        &self.name
    }
    fn arn(&self) -> String {
        Self::arn(self)
    }
    fn permissions(&self) -> &Permissions {
        &self.permissions
    }
    fn permissions_mut(&mut self) -> &mut Permissions {
        &mut self.permissions
    }
}

impl Entity for Group {
    const RECORDS: Records<Self> = Records::new(iam::SERVICE, iam::GROUP);
    const NOUN: &'static str = "group";
    const ATTACHED: &'static Quota = &attachment::OF_GROUP;
    const INLINE: usize = 5120;

    fn name(&self) -> &str {
        &self.name
    }
    fn arn(&self) -> String {
        Self::arn(self)
    }
    fn permissions(&self) -> &Permissions {
        &self.permissions
    }
    fn permissions_mut(&mut self) -> &mut Permissions {
        &mut self.permissions
    }
}

impl Entity for Role {
    const RECORDS: Records<Self> = Records::new(iam::SERVICE, iam::ROLE);
    const NOUN: &'static str = "role";
    const ATTACHED: &'static Quota = &attachment::OF_ROLE;
    const INLINE: usize = 10_240;

    fn name(&self) -> &str {
        &self.name
    }
    fn arn(&self) -> String {
        Self::arn(self)
    }
    fn permissions(&self) -> &Permissions {
        &self.permissions
    }
    fn permissions_mut(&mut self) -> &mut Permissions {
        &mut self.permissions
    }
    fn check_modifiable(&self) -> Result<(), Refusal> {
        if self.linked_to.is_some() { Err(fault::protected(&self.name)) } else { Ok(()) }
    }
}

/// Where everything of the caller's account is.
pub(crate) fn home(ctx: &Context) -> Home {
    key::global(&ctx.caller.account)
}

/// The one of exactly this name, if any.
pub(crate) fn find<E: Entity>(state: &mut impl Read, home: &Home, name: &str) -> Result<Option<E>, Refusal> {
    Ok(E::RECORDS.get(state, home, iam::id(name))?.filter(|found| found.name() == name))
}

/// # Errors
/// `NoSuchEntity`.
pub(crate) fn get<E: Entity>(state: &mut impl Read, home: &Home, name: &str) -> Result<E, Refusal> {
    find(state, home, name)?
        .ok_or_else(|| fault::missing(format_args!("The {} with name {name} cannot be found.", E::NOUN)))
}

/// The one an ARN names, if it is that one.
pub(crate) fn by_arn<E: Entity>(state: &mut impl Read, home: &Home, arn: &str) -> Result<Option<E>, Refusal> {
    let Some(named) = iam::Named::parse(arn) else { return Ok(None) };
    Ok(find::<E>(state, home, named.name)?.filter(|found| found.arn() == arn))
}

/// # Errors
/// `EntityAlreadyExists`, whatever the case of the name.
pub(crate) fn check_free<E: Entity>(state: &mut impl Read, home: &Home, name: &str) -> Result<(), Refusal> {
    match E::RECORDS.get(state, home, iam::id(name))? {
        None => Ok(()),
        Some(_) => {
            let noun = capital(E::NOUN);
            Err(fault::exists(format_args!("{noun} with name {name} already exists.")))
        }
    }
}

pub(crate) fn put<E: Entity>(tx: &mut Transaction<'_>, home: &Home, entity: &E) -> Result<(), Refusal> {
    E::RECORDS.put(tx, home, iam::id(entity.name()), entity)
}

/// Takes it out of the store, with its tags.
///
/// # Errors
/// `DeleteConflict` while it has policies.
pub(crate) fn delete<E: Entity>(tx: &mut Transaction<'_>, home: &Home, entity: &E) -> Result<(), Refusal> {
    if !entity.permissions().attached.is_empty() {
        return Err(fault::in_use("Cannot delete entity, must detach all policies first."));
    }
    if !entity.permissions().inline.is_empty() {
        return Err(fault::in_use("Cannot delete entity, must delete policies first."));
    }
    let arn = entity.arn();
    reference::release_all(tx, &arn)?;
    tags::forget(tx, home, &arn);
    E::RECORDS.delete(tx, home, iam::id(entity.name()))
}

/// Puts it in place of `before`, whose name or path was another: whatever goes by its ARN goes by the new one.
pub(crate) fn rename<E: Entity>(
    tx: &mut Transaction<'_>,
    home: &Home,
    before: &E,
    entity: &E,
) -> Result<(), Refusal> {
    let (old, new) = (before.arn(), entity.arn());
    if old != new {
        let all = tags::read(tx, home, &old)?;
        tags::forget(tx, home, &old);
        tags::merge(tx, home, &new, &all)?;
        reference::rename_holder(tx, &old, &new)?;
    }
    if iam::id(before.name()) != iam::id(entity.name()) {
        check_free::<E>(tx, home, entity.name())?;
        E::RECORDS.delete(tx, home, iam::id(before.name()))?;
    }
    put(tx, home, entity)
}

/// `AROA` and seventeen characters of base 32.
pub(crate) fn unique_id(prefix: &str, random: &Random) -> String {
    format!("{prefix}{}", random.text(17, BASE_32))
}

pub(crate) fn path(path: Option<&String>) -> String {
    path.cloned().unwrap_or_else(|| "/".to_owned())
}

/// Whether something at `path` is asked for.
pub(crate) fn is_under(path: &str, prefix: Option<&String>) -> bool {
    prefix.is_none_or(|prefix| path.starts_with(prefix.as_str()))
}

pub(crate) fn boundary(permissions: &Permissions) -> Option<wire::AttachedPermissionsBoundary> {
    permissions.boundary.as_ref().map(|arn| wire::AttachedPermissionsBoundary {
        permissions_boundary_type: Some(wire::PermissionsBoundaryAttachmentType::PermissionsBoundaryPolicy),
        permissions_boundary_arn: Some(arn.clone()),
    })
}

fn capital(noun: &str) -> String {
    let mut characters = noun.chars();
    characters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(characters).collect()
}
