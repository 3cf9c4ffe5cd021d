//! Access keys of users: two each, so that one can take the other's place.

use trellis_api::typed::Secret;
use trellis_frame::access_key::{
    AccessKey, Rights, SealedSecret, Status, delete as delete_key, find as find_key, insert,
};
use trellis_frame::account::{new_access_key_id, new_secret};
use trellis_frame::{Context, Kind, Page, Paged, Quota, Refusal};
use trellis_model::resource::iam::{self, User};
use trellis_store::{Read, Reader, Transaction};

use crate::entity::{find, home, put};
use crate::user::named_or_caller;
use crate::{entity, fault, wire};

pub(crate) const KEYS: Quota = Quota::new("iam", "L-8758042E", 2, "AccessKeysPerUser");

const KIND: Kind = Kind::new("Access Key", "ACCESS_KEY");

fn status(status: Status) -> wire::StatusType {
    match status {
        Status::Active => wire::StatusType::Active,
        Status::Inactive => wire::StatusType::Inactive,
    }
}

/// The user's keys that are there: an operator may have removed one.
fn of_user(state: &mut impl Read, user: &User) -> Result<Vec<(String, AccessKey)>, Refusal> {
    let mut found = Vec::new();
    for id in &user.access_keys {
        found.extend(find_key(state, id)?.map(|key| (id.clone(), key)));
    }
    Ok(found)
}

/// # Errors
/// `NoSuchEntity` for a key of someone else as well.
fn get(state: &mut impl Read, ctx: &Context, user: &str, id: &str) -> Result<AccessKey, Refusal> {
    let key = find_key(state, id)?;
    key.filter(|key| key.account == ctx.caller.account && key.user == user && !key.is_operators())
        .ok_or_else(|| fault::missing(format_args!("The Access Key with id {id} cannot be found.")))
}

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::CreateAccessKeyInput,
) -> Result<wire::CreateAccessKeyOutput, Refusal> {
    let home = home(ctx);
    let name = named_or_caller(ctx, input.user_name.as_ref())?;
    if name == iam::OPERATOR {
        return Err(fault::invalid(format_args!(
            "keys of {name} are the operator's: make one with `trellis key create --account {}`",
            ctx.caller.account
        )));
    }
    let mut user: User = entity::get(tx, &home, name)?;
    let keys = of_user(tx, &user)?;
    ctx.quotas().check(&KEYS, keys.len(), 1, &KIND, None)?;
    let random = &ctx.surroundings.random;
    let (id, secret) = (new_access_key_id(random), new_secret(random));
    let key = AccessKey {
        account: user.account.clone(),
        user: user.name.clone(),
        sealed_secret: SealedSecret::seal(&secret, &id, &ctx.vault().sealing_key())?,
        rights: Rights::Policies,
        status: Status::Active,
        created_at: ctx.now,
    };
    insert(tx, &id, &key);
    user.access_keys = keys.into_iter().map(|(id, _)| id).chain([id.clone()]).collect();
    put(tx, &home, &user)?;
    Ok(wire::CreateAccessKeyOutput {
        access_key: wire::AccessKey {
            user_name: user.name,
            access_key_id: id,
            status: wire::StatusType::Active,
            secret_access_key: Secret(secret.expose().to_owned()),
            create_date: Some(ctx.now),
        },
    })
}

pub(crate) fn list(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListAccessKeysInput,
    page: &Page,
) -> Result<Paged<wire::ListAccessKeysOutput>, Refusal> {
    let name = named_or_caller(ctx, input.user_name.as_ref())?;
    let keys = match find::<User>(state, &home(ctx), name)? {
        Some(user) => of_user(state, &user)?,
        // The operator's, whose user is kept nowhere.
        None if name == iam::OPERATOR => {
            let all = trellis_frame::access_key::list(state, Some(&ctx.caller.account))?;
            all.into_iter().filter(|(_, key)| key.is_operators()).collect()
        }
        None => {
            return entity::get::<User>(state, &home(ctx), name).map(|_| unreachable!("it was not found"));
        }
    };
    let shown = |(id, key): (String, AccessKey)| wire::AccessKeyMetadata {
        user_name: Some(key.user),
        access_key_id: Some(id),
        status: Some(status(key.status)),
        create_date: Some(key.created_at),
    };
    let keys = keys.into_iter().map(shown).collect();
    let listing =
        page.cut(keys, |key: &wire::AccessKeyMetadata| key.access_key_id.clone().unwrap_or_default());
    Ok(listing.into_output(|access_key_metadata| wire::ListAccessKeysOutput {
        access_key_metadata,
        is_truncated: None,
        marker: None,
    }))
}

pub(crate) fn update(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::UpdateAccessKeyInput,
) -> Result<wire::UpdateAccessKeyOutput, Refusal> {
    let name = named_or_caller(ctx, input.user_name.as_ref())?;
    let key = get(tx, ctx, name, &input.access_key_id)?;
    let status = match input.status {
        wire::StatusType::Active => Status::Active,
        wire::StatusType::Inactive => Status::Inactive,
        wire::StatusType::Expired => return Err(fault::invalid("Status: expected Active or Inactive")),
    };
    insert(tx, &input.access_key_id, &AccessKey { status, ..key });
    Ok(Default::default())
}

pub(crate) fn delete(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::DeleteAccessKeyInput,
) -> Result<wire::DeleteAccessKeyOutput, Refusal> {
    let home = home(ctx);
    let name = named_or_caller(ctx, input.user_name.as_ref())?;
    get(tx, ctx, name, &input.access_key_id)?;
    delete_key(tx, &input.access_key_id);
    if let Some(mut user) = find::<User>(tx, &home, name)? {
        user.access_keys.remove(&input.access_key_id);
        put(tx, &home, &user)?;
    }
    Ok(Default::default())
}
