//! Whose an access key is: step 2 of every API call.

use trellis_auth::Claim;
use trellis_frame::access_key::{self, Rights, Status};
use trellis_frame::signature::{Identify, Unidentified};
use trellis_frame::{Identity, Refusal, Surroundings, key, organization, tags};
use trellis_model::AccountId;
use trellis_model::resource::iam::User;
use trellis_policy::Caller;
use trellis_store::{Read, Reader};

use crate::entity::find;
use crate::session;

/// Long-lived keys, an operator's and those of users, and sessions.
#[derive(Debug)]
pub(crate) struct Keys;

impl Identify for Keys {
    fn identify(
        &self,
        state: &mut Reader,
        surroundings: &Surroundings,
        claim: &Claim<'_>,
    ) -> Result<Option<Identity>, Unidentified> {
        if let Some(token) = claim.security_token {
            return session::identify(state, surroundings, claim, token).map(Some);
        }
        let found = access_key::find(state, claim.access_key_id)?;
        let Some(key) = found.filter(|key| key.status == Status::Active) else { return Ok(None) };
        let secret = key.sealed_secret.open(claim.access_key_id, &surroundings.vault.sealing_key())?;
        let Ok(secret) = secret.to_key() else { return Ok(None) };
        let account = key.account.as_str();
        let (arn, principal) = match key.rights {
            Rights::Policies => {
                let home = key::global(&key.account);
                let Some(user) = find::<User>(state, &home, &key.user)? else { return Ok(None) };
                let arn = user.arn();
                let tags = tags::read(state, &home, &arn)?;
                (arn, Caller::user(account, &user.path, &user.name, &user.id).with_tags(tags))
            }
            _ => (key.arn(), Caller::user(account, "/", &key.user, claim.access_key_id)),
        };
        let principal = in_its_organization(state, &key.account, principal)?;
        Ok(Some(Identity { secret, arn, principal, rights: key.rights, session: None, account: key.account }))
    }
}

/// With what conditions see of the organisation of its account.
pub(crate) fn in_its_organization(
    state: &mut impl Read,
    account: &AccountId,
    caller: Caller,
) -> Result<Caller, Refusal> {
    Ok(match organization::read_above(state, account)?.membership(account) {
        Some(membership) => caller.with_organization(membership),
        None => caller,
    })
}
