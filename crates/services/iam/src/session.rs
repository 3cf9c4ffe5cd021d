//! Whose a session token is: the role, user or federated user that a caller with credentials for a while speaks as.

use std::sync::Arc;

use jiff::Timestamp;
use trellis_auth::{AuthError, Claim, Session, SessionKind};
use trellis_frame::access_key::{self, Rights, Status};
use trellis_frame::signature::Unidentified;
use trellis_frame::tags::{self, Tags};
use trellis_frame::{Identity, Refusal, Surroundings, key, token_key};
use trellis_model::AccountId;
use trellis_model::resource::iam::{self, Named, Role, User};
use trellis_policy::Caller;
use trellis_store::{Read, Reader};

use crate::entity::by_arn;
use crate::identify::in_its_organization;

/// # Errors
/// [`AuthError`]: a token that is over, of another key or another installation, or of somebody who is gone.
pub(crate) fn identify(
    state: &mut Reader,
    surroundings: &Surroundings,
    claim: &Claim<'_>,
    token: &str,
) -> Result<Identity, Unidentified> {
    const INVALID: Unidentified = Unidentified::Auth(AuthError::TokenInvalid);
    let now = surroundings.clock.now();
    let keys = token_key::token_keys(state, &surroundings.vault.sealing_key(), now)?;
    let session = keys.open_for(claim.access_key_id, token, now).map_err(Unidentified::Auth)?;
    let account: AccountId = session.account.parse().map_err(|_| INVALID)?;
    let (principal, rights) = principal(state, &account, &session)?.ok_or(INVALID)?;
    let principal = in_its_organization(state, &account, marked(principal, &session))?;
    let arn = principal.arn().unwrap_or_default().to_owned();
    let (secret, session) = (session.secret_key.clone(), Some(Arc::new(session)));
    Ok(Identity { secret, account, arn, principal, rights, session })
}

/// The caller as policies see it, and what it may do without any; `None` where the one the session is of is gone.
fn principal(
    state: &mut impl Read,
    account: &AccountId,
    session: &Session,
) -> Result<Option<(Caller, Rights)>, Refusal> {
    let home = key::global(account);
    let arn = session.principal.as_str();
    let Some(named) = Named::parse(arn).filter(|named| named.account == account.as_str()) else {
        return Ok(None);
    };
    let name = &session.name;
    let is_federated = session.kind == SessionKind::Federated;
    if named.kind == iam::ROLE {
        let Some(role) = by_arn::<Role>(state, &home, arn)?.filter(|role| role.id == session.principal_id)
        else {
            return Ok(None);
        };
        let caller = Caller::session(account.as_str(), &role.path, &role.name, &role.id, name);
        let tags = with_session_tags(tags::read(state, &home, arn)?, session);
        return Ok(Some((caller.with_tags(tags), Rights::Policies)));
    }
    let federated = || Caller::federated_user(account.as_str(), name);
    if is_operators(session) {
        // The operator's credentials for a while are good as long as an operator has any key to the account.
        let keys = access_key::list(state, Some(account))?;
        let is_good = |key: &access_key::AccessKey| {
            key.status == Status::Active && matches!(key.rights, Rights::Admin | Rights::Account)
        };
        if !keys.iter().any(|(_, key)| is_good(key)) {
            return Ok(None);
        }
        let user = || Caller::user(account.as_str(), "/", named.name, iam::OPERATOR);
        return Ok(Some(if is_federated {
            (federated().with_tags(session.tags.clone()), Rights::Policies)
        } else {
            (user(), Rights::Account)
        }));
    }
    let Some(user) = by_arn::<User>(state, &home, arn)?.filter(|user| user.id == session.principal_id) else {
        return Ok(None);
    };
    let caller = if is_federated {
        federated()
    } else {
        Caller::user(account.as_str(), &user.path, &user.name, &user.id)
    };
    let tags = with_session_tags(tags::read(state, &home, arn)?, session);
    Ok(Some((caller.with_tags(tags), Rights::Policies)))
}

/// Whether the session is of the user that an operator's own keys are of.
pub(crate) fn is_operators(session: &Session) -> bool {
    session.principal_id == iam::OPERATOR
}

/// "Session tags override the role's"; keys differ in more than their case.
fn with_session_tags(own: Tags, session: &Session) -> Vec<(String, String)> {
    let is_overridden = |key: &str| session.tags.iter().any(|(other, _)| other.eq_ignore_ascii_case(key));
    let own = own.into_iter().filter(|(key, _)| !is_overridden(key));
    session.tags.iter().cloned().chain(own).collect()
}

/// What the session says of its caller beside who it is.
fn marked(mut caller: Caller, session: &Session) -> Caller {
    if let Some(identity) = &session.source_identity {
        caller = caller.with_source_identity(identity.clone());
    }
    if let Some(provider) = &session.federated_provider {
        caller = caller.with_federated_provider(provider.clone());
    }
    if let Ok(at) = Timestamp::from_second(session.issued_at) {
        caller = caller.issued_at(at);
    }
    caller
}
