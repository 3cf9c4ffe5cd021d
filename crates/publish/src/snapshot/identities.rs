//! Who may call, as proxies know them: access keys opened, policies compiled, when a record changes.
//!
//! Whatever a change does not touch stays the same `Arc`: by that workers see that a caller they know is still good.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::de::DeserializeOwned;
use trellis_ca::SealingKey;
use trellis_frame::access_key::{self, Rights, SealedSecret, Status};
use trellis_frame::key::TAGS;
use trellis_frame::record::read_changed;
use trellis_frame::tags::Tags;
use trellis_frame::token_key::{self, Dated};
use trellis_model::AccountId;
use trellis_model::resource::iam::{self, AWS_MANAGED, Group, ManagedPolicy, Permissions, Role, User};
use trellis_model::resource::organization::{self, Tree};
use trellis_model::snapshot::{AccessKey, Identities, Organizations, Principal, PrincipalKind, TokenKey};
use trellis_policy::{Organization, Policy, PolicyKind};

/// What the keys of IAM's records begin with.
pub(super) const PREFIX: &str = "iam/";

/// What the policy of a key that may do everything says.
const EVERYTHING: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;

type Records<T> = FxHashMap<Box<str>, T>;

/// Every identity's records, and what was made of them last.
#[derive(Debug)]
pub(super) struct Known {
    sealing_key: Arc<SealingKey>,
    keys: Records<access_key::AccessKey>,
    users: Records<User>,
    groups: Records<Group>,
    roles: Records<Role>,
    policies: Records<ManagedPolicy>,
    /// By ARN.
    tags: Records<Tags>,
    token_keys: BTreeMap<Box<str>, Dated>,
    organization: Tree,
    /// By their text.
    compiled: Compiled,
    /// With what each was opened from.
    opened: FxHashMap<Box<str>, (SealedSecret, Arc<AccessKey>)>,
    current: Arc<Identities>,
    is_changed: bool,
}

impl Known {
    pub(super) fn new(sealing_key: Arc<SealingKey>) -> Self {
        Self {
            sealing_key,
            keys: Records::default(),
            users: Records::default(),
            groups: Records::default(),
            roles: Records::default(),
            policies: Records::default(),
            tags: Records::default(),
            token_keys: BTreeMap::new(),
            organization: Tree::default(),
            compiled: Compiled::default(),
            opened: FxHashMap::default(),
            current: Arc::default(),
            is_changed: true,
        }
    }

    /// Forgets every record; what is the same when it comes again stays the same `Arc`.
    pub(super) fn begin_anew(&mut self) {
        self.is_changed = true;
        self.keys.clear();
        self.users.clear();
        self.groups.clear();
        self.roles.clear();
        self.policies.clear();
        self.tags.clear();
        self.token_keys.clear();
        self.organization = Tree::default();
    }

    /// Takes in what the store has at `key` now; false for a key that is no identity's. What does not
    /// read is reported and left out.
    pub(super) fn apply(&mut self, key: &str, value: Option<&[u8]>) -> bool {
        let is_changed = if let Some(id) = key.strip_prefix(access_key::PREFIX) {
            set(&mut self.keys, id, key, value)
        } else if let Some(record) = key.strip_prefix(PREFIX) {
            // {account}/{region}/{kind}/{id}
            match record.split('/').nth(2) {
                Some(iam::USER) => set(&mut self.users, record, key, value),
                Some(iam::GROUP) => set(&mut self.groups, record, key, value),
                Some(iam::ROLE) => set(&mut self.roles, record, key, value),
                Some(iam::POLICY) => set(&mut self.policies, record, key, value),
                _ => false,
            }
        } else if let Some(arn) = arn_of_tags(key) {
            set(&mut self.tags, arn, key, value)
        } else if key.starts_with(token_key::PREFIX) {
            self.apply_token_key(key, value)
        } else if key.starts_with(organization::PREFIX) {
            self.apply_organization(key, value)
        } else {
            return false;
        };
        self.is_changed |= is_changed;
        true
    }

    fn apply_organization(&mut self, key: &str, value: Option<&[u8]>) -> bool {
        match value.map(|value| trellis_frame::organization::decode(key, value)) {
            Some(Ok(Some(record))) => self.organization.add(record),
            Some(Ok(None)) => return false,
            // Whatever it was is left as it was before: a bound that does not read bounds all the same.
            Some(Err(error)) => {
                tracing::error!(key, %error, "a stored record of the organization does not read");
                return false;
            }
            None => self.organization.remove(key),
        }
        true
    }

    fn apply_token_key(&mut self, key: &str, value: Option<&[u8]>) -> bool {
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
        true
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
            self.current = Arc::new(self.build());
        }
        self.current.clone()
    }

    fn build(&mut self) -> Identities {
        self.compiled.begin();
        let mut identities = Identities { token_keys: self.token_keys(), ..Identities::default() };
        for policy in AWS_MANAGED {
            if let Some(compiled) = self.compiled.get(policy.document) {
                identities.policies.insert(policy.arn().into(), compiled);
            }
        }
        for policy in self.policies.values() {
            if let Some(compiled) = self.compiled.get(policy.document()) {
                identities.policies.insert(policy.arn().into(), compiled);
            }
        }
        identities.organizations = Organizations::new(&self.organization);
        let everything = self.compiled.get(EVERYTHING).expect("it is a policy");
        for user in self.users.values() {
            let groups = user.groups.iter().map(|name| record(&user.account, iam::GROUP, name));
            let groups = groups.filter_map(|record| self.groups.get(&*record));
            let all = [&user.permissions].into_iter().chain(groups.map(|group| &group.permissions));
            let policies = own(&mut self.compiled, all, &identities);
            let guards = guards(policies, &user.permissions, &identities);
            let guards = bounded(&mut self.compiled, &self.organization, &user.account, guards);
            let User { account, path, name, id, .. } = user;
            let principal = Principal {
                kind: PrincipalKind::User,
                account: account.clone(),
                path: path.as_str().into(),
                name: name.as_str().into(),
                id: id.as_str().into(),
                tags: self.tags_of(&user.arn()),
                organization: self.organization.membership(account),
                guards,
            };
            self.add(&mut identities, principal, None);
        }
        for role in self.roles.values() {
            let policies = own(&mut self.compiled, [&role.permissions], &identities);
            let guards = guards(policies, &role.permissions, &identities);
            // "Service control policies do not affect service-linked roles."
            let guards = match role.linked_to {
                Some(_) => guards,
                None => bounded(&mut self.compiled, &self.organization, &role.account, guards),
            };
            let Role { account, path, name, id, .. } = role;
            let principal = Principal {
                kind: PrincipalKind::Role,
                account: account.clone(),
                path: path.as_str().into(),
                name: name.as_str().into(),
                id: id.as_str().into(),
                tags: self.tags_of(&role.arn()),
                organization: self.organization.membership(account),
                guards,
            };
            self.add(&mut identities, principal, None);
        }
        let mut opened = FxHashMap::default();
        for (id, record) in &self.keys {
            if record.status == Status::Inactive {
                continue;
            }
            let principal = match record.rights {
                // The user's policies as they are now; a key whose user is gone is nobody's.
                Rights::Policies => {
                    let user = self.users.get(&*self::record(&record.account, iam::USER, &record.user));
                    user.and_then(|user| identities.principals.get(&*user.arn()).cloned())
                }
                rights => {
                    let own: Box<[_]> = [everything.clone()].into();
                    let is_everything = matches!(rights, Rights::Admin | Rights::Account);
                    let guards = if is_everything { [own].into() } else { Box::default() };
                    let guards = bounded(&mut self.compiled, &self.organization, &record.account, guards);
                    let membership = self.organization.membership(&record.account);
                    let before = self.opened.get(id).map(|(_, key)| &key.principal);
                    Some(self.add(&mut identities, operators(record, guards, membership), before))
                }
            };
            let Some(principal) = principal else { continue };
            if let Some(key) = self.open(id, record, principal) {
                opened.insert(id.clone(), (record.sealed_secret.clone(), key.clone()));
                identities.access_keys.insert(id.clone(), key);
            }
        }
        self.opened = opened;
        self.compiled.end();
        identities
    }

    /// The principal, or the one there was if it is the same: one of this time, of `before` or of the last.
    fn add(
        &self,
        identities: &mut Identities,
        principal: Principal,
        before: Option<&Arc<Principal>>,
    ) -> Arc<Principal> {
        let arn: Box<str> = principal.arn().into();
        let known = [identities.principals.get(&arn), before, self.current.principals.get(&arn)];
        let same = known.into_iter().flatten().find(|known| is_same(known, &principal));
        let principal = same.cloned().unwrap_or_else(|| Arc::new(principal));
        identities.principals.insert(arn, principal.clone());
        principal
    }

    fn tags_of(&self, arn: &str) -> Box<[(String, String)]> {
        let tags = self.tags.get(arn).into_iter().flatten();
        tags.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    fn open(
        &self,
        id: &str,
        record: &access_key::AccessKey,
        principal: Arc<Principal>,
    ) -> Option<Arc<AccessKey>> {
        let before = self.opened.get(id).filter(|(sealed, _)| *sealed == record.sealed_secret);
        if let Some((_, key)) = before {
            let is_same = Arc::ptr_eq(&key.principal, &principal);
            let (id, secret) = (id.into(), key.secret.clone());
            return Some(if is_same { key.clone() } else { Arc::new(AccessKey { id, secret, principal }) });
        }
        match record.sealed_secret.open(id, &self.sealing_key) {
            Ok(secret) => {
                let secret = secret.expose().to_owned().into();
                Some(Arc::new(AccessKey { id: id.into(), secret, principal }))
            }
            Err(fault) => {
                let error = &fault as &dyn std::error::Error;
                tracing::error!(id, error, "a stored access key does not open and is left out");
                None
            }
        }
    }
}

/// Puts what a change leaves in its place; whether that is another than before.
fn set<T: DeserializeOwned + PartialEq>(
    records: &mut Records<T>,
    id: &str,
    key: &str,
    value: Option<&[u8]>,
) -> bool {
    match read_changed::<T>(key, value) {
        Some(record) if records.get(id) == Some(&record) => false,
        Some(record) => {
            records.insert(id.into(), record);
            true
        }
        None => records.remove(id).is_some(),
    }
}

/// The ARN of an identity whose tags are at `key`: `tags/{account}/{region}/{arn}`.
fn arn_of_tags(key: &str) -> Option<&str> {
    let arn = key.strip_prefix(TAGS)?.splitn(3, '/').nth(2)?;
    arn.starts_with("arn:aws:iam::").then_some(arn)
}

/// Where an identity's record is, without [`PREFIX`].
fn record(account: &AccountId, kind: &str, name: &str) -> String {
    format!("{account}/aws-global/{kind}/{}", iam::id(name))
}

/// The user of an operator's key.
fn operators(
    key: &access_key::AccessKey,
    guards: Box<[Box<[Arc<Policy>]>]>,
    organization: Option<Organization>,
) -> Principal {
    Principal {
        kind: PrincipalKind::User,
        account: key.account.clone(),
        path: "/".into(),
        name: key.user.as_str().into(),
        id: key.user.as_str().into(),
        tags: Box::default(),
        organization,
        guards,
    }
}

/// What the inline and the attached policies are. None where one is gone or does not read: it might have denied.
fn own<'a>(
    compiled: &mut Compiled,
    permissions: impl IntoIterator<Item = &'a Permissions>,
    identities: &Identities,
) -> Vec<Arc<Policy>> {
    let mut policies = Vec::new();
    for Permissions { inline, attached, .. } in permissions {
        policies.extend(inline.values().map(|text| compiled.get(text)));
        policies.extend(attached.iter().map(|arn| identities.policies.get(&**arn).cloned()));
    }
    policies.into_iter().collect::<Option<_>>().unwrap_or_default()
}

/// The policies, and where there is one the boundary.
fn guards(
    policies: Vec<Arc<Policy>>,
    permissions: &Permissions,
    identities: &Identities,
) -> Box<[Box<[Arc<Policy>]>]> {
    let boundary = permissions.boundary.as_ref();
    let boundary = boundary.map(|arn| identities.policies.get(&**arn).cloned().into_iter().collect());
    [policies.into()].into_iter().chain(boundary).collect()
}

/// The service control policies of each level above the account as well.
fn bounded(
    compiled: &mut Compiled,
    organization: &Tree,
    account: &AccountId,
    guards: Box<[Box<[Arc<Policy>]>]>,
) -> Box<[Box<[Arc<Policy>]>]> {
    // One policy that does not read makes a guard that nothing passes: it might have denied.
    let mut level = |contents: Vec<&str>| {
        let policies: Option<Box<[_]>> = contents.into_iter().map(|text| compiled.get(text)).collect();
        policies.unwrap_or_default()
    };
    let levels: Vec<_> = organization.bounds(account).into_iter().map(&mut level).collect();
    guards.into_iter().chain(levels).collect()
}

fn is_same(one: &Principal, other: &Principal) -> bool {
    let Principal { kind, account, path, name, id, tags, organization, guards } = one;
    let are_same_guards = guards.len() == other.guards.len()
        && guards.iter().zip(&other.guards).all(|(one, other)| {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| Arc::ptr_eq(one, other))
        });
    are_same_guards
        && (kind, account, path, name) == (&other.kind, &other.account, &other.path, &other.name)
        && (id, tags, organization) == (&other.id, &other.tags, &other.organization)
}

/// Policies by their text, so that the same text is the same `Arc` from one time to the next.
#[derive(Debug, Default)]
struct Compiled {
    before: FxHashMap<Box<str>, Arc<Policy>>,
    now: FxHashMap<Box<str>, Arc<Policy>>,
}

impl Compiled {
    fn begin(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }

    /// Forgets what was not asked for since [`begin`](Self::begin).
    fn end(&mut self) {
        self.before = FxHashMap::default();
    }

    /// `None` for a text that is no policy, which only an older release can have taken.
    fn get(&mut self, text: &str) -> Option<Arc<Policy>> {
        if let Some(policy) = self.now.get(text) {
            return Some(policy.clone());
        }
        let policy = match self.before.remove(text) {
            Some(policy) => policy,
            None => match Policy::parse(text, PolicyKind::Identity) {
                Ok(policy) => Arc::new(policy),
                Err(error) => {
                    tracing::error!(%error, "a stored identity policy does not read and allows nothing");
                    return None;
                }
            },
        };
        self.now.insert(text.into(), policy.clone());
        Some(policy)
    }
}
