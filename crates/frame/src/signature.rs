//! Step 2 of an API call: the signature, and with it who calls.

use http::request::Parts;
use trellis_api::{AuthFailure, Exception, Incoming, Protocol, auth_failure, dispatch};
use trellis_auth::{
    AuthError, Claim, Header, Payload, Rules, SignedRequest, SigningKeyCache, Verified, headers_of,
    verify_with,
};
use trellis_store::Reader;

use crate::access_key::{self, Status};
use crate::caller::{Caller, Identity};
use crate::refusal::Refusal;
use crate::surroundings::Surroundings;
use crate::vault::VaultFault;

/// Knows whom an access key speaks for, and its secret.
pub trait Identify: Send + Sync {
    /// `None` for a key that is not known. A session token comes with the claim: it has to be refused where it does not
    /// belong to the key, and a temporary key has to be refused without one.
    ///
    /// # Errors
    /// A token that is refused; a state that cannot be read.
    fn identify(
        &self,
        state: &mut Reader,
        surroundings: &Surroundings,
        claim: &Claim<'_>,
    ) -> Result<Option<Identity>, Unidentified>;
}

/// Why nobody is known for a claim.
#[derive(Debug)]
pub enum Unidentified {
    /// The caller's fault.
    Auth(AuthError),
    /// Ours.
    Ours(Refusal),
}

impl From<Refusal> for Unidentified {
    fn from(refusal: Refusal) -> Self {
        Self::Ours(refusal)
    }
}

impl From<VaultFault> for Unidentified {
    fn from(fault: VaultFault) -> Self {
        Self::Ours(fault.into())
    }
}

/// Long-lived keys alone, as [`access_key`] keeps them.
#[derive(Debug)]
pub struct AccessKeys;

impl Identify for AccessKeys {
    fn identify(
        &self,
        state: &mut Reader,
        surroundings: &Surroundings,
        claim: &Claim<'_>,
    ) -> Result<Option<Identity>, Unidentified> {
        if claim.security_token.is_some() {
            return Err(Unidentified::Auth(AuthError::TokenUnsupported));
        }
        let key = access_key::find(state, claim.access_key_id)?;
        let Some(key) = key.filter(|key| key.status == Status::Active) else { return Ok(None) };
        let secret = key.sealed_secret.open(claim.access_key_id, &surroundings.vault.sealing_key())?;
        let Ok(secret) = secret.to_key() else { return Ok(None) };
        let principal =
            trellis_policy::Caller::user(key.account.as_str(), "/", &key.user, claim.access_key_id);
        let (arn, rights) = (key.arn(), key.rights);
        Ok(Some(Identity { secret, arn, principal, rights, session: None, account: key.account }))
    }
}

/// Why a caller is not let in.
pub(crate) enum NotVerified {
    /// There is no signature at all.
    Missing,
    Refused(Exception),
    Ours(Refusal),
}

/// The signature's verdict: who calls, in the region the signature names.
pub(crate) fn verify(
    surroundings: &Surroundings,
    signing_keys: &SigningKeyCache,
    service: &trellis_api::Service,
    incoming: &Incoming<'_>,
) -> Result<Caller, NotVerified> {
    let headers = headers_of(incoming.headers);
    let request = signed(incoming, &headers);
    let mut state = surroundings.store.read().map_err(|error| NotVerified::Ours(error.into()))?;
    let keys = surroundings.services.hooks().identify.unwrap_or(&AccessKeys);
    let mut found = None;
    let mut fault = None;
    let lookup = |claim: Claim<'_>| match keys.identify(&mut state, surroundings, &claim) {
        Ok(identity) => {
            let secret = identity.as_ref().map(|identity| identity.secret.clone());
            found = identity;
            Ok(secret)
        }
        Err(Unidentified::Auth(error)) => Err(error),
        // It goes on as for an unknown key, and what is ours is reported below.
        Err(Unidentified::Ours(refusal)) => {
            fault = Some(refusal);
            Ok(None)
        }
    };
    let services = [service.signing_name.as_str()];
    let now = surroundings.clock.now();
    let verdict = verify_with(&request, lookup, now, &Rules::for_service(&services), Some(signing_keys));
    if let Some(fault) = fault {
        return Err(NotVerified::Ours(fault));
    }
    match (verdict, found) {
        (Ok(verified), Some(identity)) => caller(&verified, identity, service.protocol),
        (Ok(_), None) => {
            Err(NotVerified::Refused(auth_failure(AuthFailure::UnknownKey, service.protocol, None)))
        }
        (Err(AuthError::Missing), _) => Err(NotVerified::Missing),
        (Err(error), _) => Err(NotVerified::Refused(refused(service.protocol, &error))),
    }
}

/// Whether there is the key that a head claims to be signed with; else the call is refused whatever its body, but for
/// an operation that needs no signature.
pub(crate) fn names_a_key(surroundings: &Surroundings, head: &Parts) -> bool {
    let incoming = Incoming {
        method: &head.method,
        raw_path: head.uri.path(),
        raw_query: head.uri.query().unwrap_or_default(),
        headers: &head.headers,
        body: &[],
    };
    let schema = surroundings.services.schema();
    let (Ok(route), Ok(mut state)) = (dispatch::route(schema, &incoming), surroundings.store.read()) else {
        return false;
    };
    let headers = headers_of(incoming.headers);
    let keys = surroundings.services.hooks().identify.unwrap_or(&AccessKeys);
    let mut is_known = false;
    let lookup = |claim: Claim<'_>| {
        is_known = matches!(keys.identify(&mut state, surroundings, &claim), Ok(Some(_)));
        Ok(None)
    };
    let services = [route.service.signing_name.as_str()];
    // Only the claim is of interest: without its body a call cannot be judged.
    let request = signed(&incoming, &headers);
    let _ = verify_with(&request, lookup, surroundings.clock.now(), &Rules::for_service(&services), None);
    is_known
}

fn signed<'a>(incoming: &Incoming<'a>, headers: &'a [Header<'a>]) -> SignedRequest<'a> {
    SignedRequest {
        method: incoming.method.as_str(),
        path: incoming.raw_path,
        query: incoming.raw_query,
        headers,
        payload: Payload::Body(incoming.body),
    }
}

fn caller(verified: &Verified, identity: Identity, protocol: Protocol) -> Result<Caller, NotVerified> {
    let region = verified.region().parse().map_err(|error: trellis_model::IdError| {
        NotVerified::Refused(auth_failure(AuthFailure::BadSignature, protocol, Some(error.to_string())))
    })?;
    let Identity { account, arn, principal, rights, session, secret: _ } = identity;
    let access_key_id = verified.access_key_id().as_str().to_owned();
    Ok(Caller { account, arn, region, access_key_id, principal, rights, session })
}

/// A signature that was not accepted, in the words of the service's family.
fn refused(protocol: Protocol, error: &AuthError) -> Exception {
    let (failure, message) = match error {
        AuthError::Missing => (AuthFailure::MissingToken, None),
        AuthError::Incomplete { .. }
        | AuthError::Malformed { .. }
        | AuthError::UnsupportedAlgorithm { .. } => (AuthFailure::Incomplete, Some(error.to_string())),
        AuthError::UnknownKey { .. } => (AuthFailure::UnknownKey, None),
        AuthError::BadSignature => (AuthFailure::BadSignature, None),
        AuthError::HeaderNotSigned { .. }
        | AuthError::SignedHeaderAbsent { .. }
        | AuthError::ScopeMismatch { .. }
        | AuthError::Payload(_) => (AuthFailure::BadSignature, Some(error.to_string())),
        AuthError::Skewed { .. } | AuthError::Expired { .. } => {
            (AuthFailure::Expired, Some(error.to_string()))
        }
        AuthError::TokenUnsupported | AuthError::TokenInvalid => (AuthFailure::InvalidToken, None),
        AuthError::TokenExpired => (AuthFailure::ExpiredToken, None),
    };
    auth_failure(failure, protocol, message)
}
