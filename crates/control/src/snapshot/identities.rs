//! Who may call, as proxies know them: opened once when a record changes, the same `Arc` until the
//! next change.
//!
//! Today every identity is the user of an access key that may do everything in its account, or
//! nothing; users, roles and their policies come into the same [`Identities`].

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use trellis_ca::SealingKey;
use trellis_model::AccountId;
use trellis_model::snapshot::{AccessKey, Identities, Principal, PrincipalKind, TokenKey};
use trellis_policy::{Policy, PolicyKind};

use crate::access_key::{self, Rights};
use crate::record::read_changed;
use crate::token_key::{self, Dated};

/// What the policy of a key that may do everything says.
const EVERYTHING: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;

/// Every access key, opened.
#[derive(Debug)]
pub(super) struct Known {
    sealing_key: Arc<SealingKey>,
    everything: Arc<Policy>,
    records: FxHashMap<Box<str>, access_key::AccessKey>,
    opened: FxHashMap<Box<str>, Arc<AccessKey>>,
    token_keys: BTreeMap<Box<str>, Dated>,
    current: Arc<Identities>,
    is_changed: bool,
}

impl Known {
    pub(super) fn new(sealing_key: Arc<SealingKey>) -> Self {
        let everything = Policy::parse(EVERYTHING, PolicyKind::Identity).expect("it is a policy");
        Self {
            sealing_key,
            everything: Arc::new(everything),
            records: FxHashMap::default(),
            opened: FxHashMap::default(),
            token_keys: BTreeMap::new(),
            current: Arc::default(),
            is_changed: false,
        }
    }

    /// Forgets every record; what is the same when it comes again stays the same `Arc`.
    pub(super) fn begin_anew(&mut self) {
        self.is_changed |= !self.records.is_empty();
        self.records.clear();
        self.token_keys.clear();
    }

    /// Takes in what the store has at `key` now; false for a key that is no identity's. What does not
    /// open is reported and left out.
    pub(super) fn apply(&mut self, key: &str, value: Option<&[u8]>) -> bool {
        if key.starts_with(token_key::PREFIX) {
            self.apply_token_key(key, value);
            return true;
        }
        let Some(id) = key.strip_prefix(access_key::PREFIX) else { return false };
        match value.and_then(|_| read_changed::<access_key::AccessKey>(key, value)) {
            Some(record) => {
                if self.records.get(id) == Some(&record) {
                    return true;
                }
                self.records.insert(id.into(), record);
            }
            None => drop(self.records.remove(id)),
        }
        self.is_changed = true;
        true
    }

    fn apply_token_key(&mut self, key: &str, value: Option<&[u8]>) {
        let opened = value.and_then(|sealed| match token_key::open(&self.sealing_key, key, sealed) {
            Ok(opened) => opened,
            Err(fault) => {
                let error = &fault as &dyn std::error::Error;
                tracing::error!(key, error, "a stored key of session tokens does not open and is left out");
                None
            }
        });
        match opened {
            Some(opened) => drop(self.token_keys.insert(key.into(), opened)),
            None => drop(self.token_keys.remove(key)),
        }
        self.is_changed = true;
    }

    /// The keys of session tokens, the newest first; the same `Arc` while they are the same.
    fn token_keys(&self) -> Arc<[TokenKey]> {
        let mut dated: Vec<&Dated> = self.token_keys.values().collect();
        dated.sort_unstable_by_key(|dated| (std::cmp::Reverse(dated.made_at), dated.key.id));
        let keys: Vec<TokenKey> = dated.into_iter().map(|dated| dated.key.clone()).collect();
        if *self.current.token_keys == *keys { self.current.token_keys.clone() } else { keys.into() }
    }

    /// True when it has changed since it was asked for.
    pub(super) fn is_changed(&self) -> bool {
        self.is_changed
    }

    pub(super) fn current(&mut self) -> Arc<Identities> {
        if std::mem::take(&mut self.is_changed) {
            let mut identities = Identities { token_keys: self.token_keys(), ..Identities::default() };
            for (id, record) in &self.records {
                let Some(key) = self.open(id, record, &identities) else { continue };
                identities.principals.insert(key.principal.arn().into(), key.principal.clone());
                identities.access_keys.insert(id.clone(), key);
            }
            self.opened.clone_from(&identities.access_keys);
            self.current = Arc::new(identities);
        }
        self.current.clone()
    }

    fn open(&self, id: &str, record: &access_key::AccessKey, so_far: &Identities) -> Option<Arc<AccessKey>> {
        let secret = match record.sealed_secret.open(id, &self.sealing_key) {
            Ok(secret) => secret,
            Err(fault) => {
                let error = &fault as &dyn std::error::Error;
                tracing::error!(id, error, "a stored access key does not open and is left out");
                return None;
            }
        };
        let may_do_everything = match record.rights {
            Rights::Admin | Rights::Account => true,
            Rights::Policies | Rights::None => false,
        };
        let before = self.opened.get(id);
        let principal = self.principal(&record.account, &record.user, may_do_everything);
        // Two keys of one user are keys of one principal.
        let arn = principal.arn();
        let known = [so_far, &*self.current].into_iter().filter_map(|all| all.principals.get(&*arn));
        let is_same =
            |known: &&Arc<Principal>| known.arn() == arn && known.guards.is_empty() != may_do_everything;
        let known = before.map(|before| &before.principal).into_iter().chain(known).find(is_same);
        let principal = known.cloned().unwrap_or_else(|| Arc::new(principal));
        if let Some(before) = before
            && before.secret.as_str() == secret.expose()
            && Arc::ptr_eq(&before.principal, &principal)
        {
            return Some(before.clone());
        }
        Some(Arc::new(AccessKey { id: id.into(), secret: secret.expose().to_owned().into(), principal }))
    }

    fn principal(&self, account: &AccountId, user: &str, may_do_everything: bool) -> Principal {
        let own: Box<[_]> = [self.everything.clone()].into();
        Principal {
            kind: PrincipalKind::User,
            account: account.clone(),
            path: "/".into(),
            name: user.into(),
            id: user.into(),
            tags: Box::default(),
            organization: None,
            guards: if may_do_everything { [own].into() } else { Box::default() },
        }
    }
}
