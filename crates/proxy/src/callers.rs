//! Callers that a worker has verified: their keys for the day, what policies know about them, and
//! what targets and the log are told.
//!
//! Only a request whose signature held leaves something here, so nobody without a secret can make it
//! grow or push others out; one account has at most a part of it. What is kept is good as long as the
//! Snapshot says the same about the caller.

mod known;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use jiff::Timestamp;
use rustc_hash::FxHashMap;
use trellis_auth::{AuthError, Claimed, TokenKeys};
use trellis_model::snapshot::{Identities, TokenKey};

pub(crate) use known::Known;

/// Callers kept in each of two generations.
const CAPACITY: usize = 2048;
/// How many of a generation may be of one account.
const MOST_OF_ONE_ACCOUNT: usize = CAPACITY / 4;

/// What opens tokens, and the keys it is made of.
type MadeOf = (Arc<[TokenKey]>, Rc<TokenKeys>);

/// The callers a worker knows.
#[derive(Debug, Default)]
pub(crate) struct Callers {
    young: RefCell<Generation>,
    old: RefCell<Generation>,
    /// Made when a token is first met.
    token_keys: RefCell<Option<MadeOf>>,
}

#[derive(Debug, Default)]
struct Generation {
    by_key: FxHashMap<Box<str>, Rc<Known>>,
    of_account: FxHashMap<Box<str>, usize>,
}

impl Callers {
    /// The caller of `claimed`, whose signature has held.
    ///
    /// # Errors
    /// [`AuthError`] says why it is nobody's, or not theirs.
    pub(crate) fn identify(
        &self,
        claimed: &Claimed<'_>,
        identities: &Identities,
        now: Timestamp,
    ) -> Result<Rc<Known>, AuthError> {
        let id = claimed.claim().access_key_id;
        let kept = self.find(id).filter(|known| known.is_of(claimed, identities));
        let is_new = kept.is_none();
        let known = match kept {
            Some(known) => known,
            None => Rc::new(self.meet(claimed, identities, now)?),
        };
        if known.is_over(now) {
            return Err(AuthError::TokenExpired);
        }
        known.check(claimed)?;
        if is_new {
            self.keep(&known);
        }
        Ok(known)
    }

    /// Of a young generation, or moved there from the old one.
    fn find(&self, id: &str) -> Option<Rc<Known>> {
        if let Some(known) = self.young.borrow().by_key.get(id) {
            return Some(known.clone());
        }
        let known = self.old.borrow_mut().by_key.remove(id)?;
        self.keep(&known);
        Some(known)
    }

    fn keep(&self, known: &Rc<Known>) {
        let mut young = self.young.borrow_mut();
        if young.by_key.len() >= CAPACITY {
            *self.old.borrow_mut() = std::mem::take(&mut young);
        }
        let account = known.account();
        let count = young.of_account.get(account).copied().unwrap_or(0);
        if count < MOST_OF_ONE_ACCOUNT || young.by_key.contains_key(known.access_key_id()) {
            let before = young.by_key.insert(known.access_key_id().into(), known.clone());
            if before.is_none() {
                young.of_account.insert(account.into(), count + 1);
            }
        }
    }

    /// A caller that is not known yet.
    fn meet(
        &self,
        claimed: &Claimed<'_>,
        identities: &Identities,
        now: Timestamp,
    ) -> Result<Known, AuthError> {
        let claim = claimed.claim();
        let unknown = || AuthError::UnknownKey { access_key_id: claim.access_key_id.to_owned() };
        let Some(token) = claim.security_token else {
            let key = identities.access_keys.get(claim.access_key_id).ok_or_else(unknown)?;
            return Ok(Known::of_key(key));
        };
        let session = self.token_keys(identities).open_for(claim.access_key_id, token, now)?;
        let principal = identities
            .principals
            .get(session.principal.as_str())
            .filter(|principal| *principal.id == *session.principal_id)
            .ok_or(AuthError::TokenInvalid)?;
        Known::of_session(session, token, principal, identities)
    }

    /// What opens the tokens of `identities`.
    fn token_keys(&self, identities: &Identities) -> Rc<TokenKeys> {
        let mut kept = self.token_keys.borrow_mut();
        if let Some((of, keys)) = &*kept
            && Arc::ptr_eq(of, &identities.token_keys)
        {
            return keys.clone();
        }
        let keys = identities.token_keys.iter().map(|key| (key.id, &*key.key));
        let keys = Rc::new(TokenKeys::new(keys));
        *kept = Some((identities.token_keys.clone(), keys.clone()));
        keys
    }
}
