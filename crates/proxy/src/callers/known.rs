//! One caller: their keys for the day, what policies know about them, and what targets and the log
//! are told.

use std::cell::RefCell;
use std::sync::Arc;

use jiff::Timestamp;
use trellis_auth::{Algorithm, AuthError, Claimed, RequestKey, SecretKey, Session, SessionKind};
use trellis_model::snapshot::{AccessKey, Identities, Principal, PrincipalKind, TokenKey};
use trellis_policy::{Caller, Policy, PolicyKind};

use crate::record::{write_json_string, write_member};
use crate::view::{NamedValue, fields};

/// Keys kept of one caller: at midnight there are two days, and SigV4A has one for all.
const KEYS: usize = 4;
/// "up to 99 tags" of `x-amzn-lattice-identity-tags`.
const MOST_TAGS: usize = 99;

/// A caller whose signature has held.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) caller: Caller,
    principal: Arc<Principal>,
    /// Session policies: the session may do what one of these allows as well.
    session_policies: Option<Box<[Arc<Policy>]>>,
    credential: Credential,
    keys: RefCell<Vec<DayKey>>,
    /// Header lines for targets.
    pub(crate) header: Box<[u8]>,
    /// The same lines as fields.
    pub(crate) fields: Box<[NamedValue]>,
    /// `callerPrincipal` and its kin, as the log has them.
    pub(crate) log: Box<[u8]>,
}

/// What the caller signs with.
enum Credential {
    Key(Arc<AccessKey>),
    Session {
        session: Box<Session>,
        token: Box<str>,
        /// The keys that opened it: one that is taken away takes its tokens with it.
        opened_with: Arc<[TokenKey]>,
        /// What the Snapshot had for each of the session's managed policies.
        managed: Box<[Option<Arc<Policy>>]>,
    },
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Key(_) => "Key",
            Self::Session { .. } => "Session",
        })
    }
}

#[derive(Debug)]
struct DayKey {
    algorithm: Algorithm,
    day: [u8; 8],
    region: Box<str>,
    key: RequestKey,
}

impl Known {
    /// What the caller's own policies are: each of them must allow.
    pub(crate) fn guards(&self) -> impl Iterator<Item = &[Arc<Policy>]> {
        let own = self.principal.guards.iter().map(|guard| &**guard);
        own.chain(self.session_policies.as_deref())
    }

    pub(super) fn access_key_id(&self) -> &str {
        match &self.credential {
            Credential::Key(key) => &key.id,
            Credential::Session { session, .. } => &session.access_key_id,
        }
    }

    pub(super) fn account(&self) -> &str {
        self.principal.account.as_str()
    }

    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        matches!(&self.credential, Credential::Session { session, .. } if session.is_over(now))
    }

    fn secret(&self) -> Result<SecretKey, AuthError> {
        match &self.credential {
            Credential::Key(key) => SecretKey::new(key.secret.as_str()).map_err(|_| AuthError::BadSignature),
            Credential::Session { session, .. } => Ok(session.secret_key.clone()),
        }
    }

    /// Whether the caller of `claimed` is this one, and what is known still what the Snapshot says.
    pub(super) fn is_of(&self, claimed: &Claimed<'_>, identities: &Identities) -> bool {
        match (&self.credential, claimed.claim().security_token) {
            (Credential::Key(key), None) => {
                identities.access_keys.get(&key.id).is_some_and(|current| Arc::ptr_eq(current, key))
            }
            (Credential::Session { session, token, opened_with, managed }, Some(sent)) => {
                let same = |one: &Option<Arc<Policy>>, other: Option<&Arc<Policy>>| match (one, other) {
                    (Some(one), Some(other)) => Arc::ptr_eq(one, other),
                    (None, None) => true,
                    _ => false,
                };
                **token == *sent
                    && Arc::ptr_eq(opened_with, &identities.token_keys)
                    && identities
                        .principals
                        .get(session.principal.as_str())
                        .is_some_and(|current| Arc::ptr_eq(current, &self.principal))
                    && session
                        .policy_arns
                        .iter()
                        .zip(managed)
                        .all(|(arn, policy)| same(policy, identities.policies.get(arn.as_str())))
            }
            _ => false,
        }
    }

    /// Checks the signature, with a key that is kept or a new one.
    pub(super) fn check(&self, claimed: &Claimed<'_>) -> Result<(), AuthError> {
        let (algorithm, day) = (claimed.algorithm(), claimed.day().as_bytes());
        let region = claimed.claim().region;
        let is_same = |kept: &DayKey| {
            kept.algorithm == algorithm
                && (algorithm == Algorithm::Ecdsa || (kept.day == day && *kept.region == *region))
        };
        if let Some(kept) = self.keys.borrow().iter().find(|kept| is_same(kept)) {
            return claimed.check(&kept.key);
        }
        let key = claimed.derive(&self.secret()?)?;
        claimed.check(&key)?;
        let mut keys = self.keys.borrow_mut();
        if keys.len() >= KEYS {
            keys.remove(0);
        }
        let mut kept_day = [0; 8];
        kept_day.copy_from_slice(day.get(..8).unwrap_or(&[0; 8]));
        keys.push(DayKey { algorithm, day: kept_day, region: region.into(), key });
        Ok(())
    }
}

impl Known {
    pub(super) fn of_key(key: &Arc<AccessKey>) -> Self {
        let caller = caller(&key.principal, None);
        Self::new(caller, key.principal.clone(), None, Credential::Key(key.clone()))
    }

    /// # Errors
    /// [`AuthError::TokenInvalid`]: a session policy that does not read. It denies, as what cannot be
    /// evaluated does.
    pub(super) fn of_session(
        session: Session,
        token: &str,
        principal: &Arc<Principal>,
        identities: &Identities,
    ) -> Result<Self, AuthError> {
        let managed: Box<[_]> =
            session.policy_arns.iter().map(|arn| identities.policies.get(arn.as_str()).cloned()).collect();
        let limited = !session.policies.is_empty() || !session.policy_arns.is_empty();
        // Without a policy a federated user may do nothing.
        let session_policies = if limited || session.kind == SessionKind::Federated {
            let parse = |text: &String| Policy::parse(text, PolicyKind::Identity).map(Arc::new);
            let inline: Result<Vec<_>, _> = session.policies.iter().map(parse).collect();
            let inline = inline.map_err(|_| AuthError::TokenInvalid)?;
            Some(inline.into_iter().chain(managed.iter().flatten().cloned()).collect())
        } else {
            None
        };
        let caller = caller(principal, Some(&session));
        let credential = Credential::Session {
            session: Box::new(session),
            token: token.into(),
            opened_with: identities.token_keys.clone(),
            managed,
        };
        Ok(Self::new(caller, principal.clone(), session_policies, credential))
    }

    fn new(
        caller: Caller,
        principal: Arc<Principal>,
        session_policies: Option<Box<[Arc<Policy>]>>,
        credential: Credential,
    ) -> Self {
        let session_name = match &credential {
            Credential::Key(_) => "",
            Credential::Session { session, .. } => &session.name,
        };
        let header = header_lines(&caller, session_name);
        Self {
            fields: fields(&header),
            header: header.into(),
            log: log_members(&caller).into(),
            caller,
            principal,
            session_policies,
            credential,
            keys: RefCell::default(),
        }
    }
}

/// What policies know of `principal`, or of a session of it.
fn caller(principal: &Principal, session: Option<&Session>) -> Caller {
    let account = principal.account.as_str();
    let name = session.map_or("", |session| &session.name);
    let mut caller = match (session.map(|session| session.kind), principal.kind) {
        (Some(SessionKind::Federated), _) => Caller::federated_user(account, name),
        (Some(SessionKind::Role), _) | (None, PrincipalKind::Role) => {
            Caller::session(account, &principal.path, &principal.name, &principal.id, name)
        }
        (_, PrincipalKind::User) => Caller::user(account, &principal.path, &principal.name, &principal.id),
        (_, PrincipalKind::Root) => Caller::root(account),
        (Some(SessionKind::User), PrincipalKind::Role) => {
            Caller::session(account, &principal.path, &principal.name, &principal.id, name)
        }
    };
    let mut tags: Vec<(String, String)> = session.map(|session| session.tags.clone()).unwrap_or_default();
    for (key, value) in &principal.tags {
        // "Session tags override the role's"; keys differ in more than their case.
        if !tags.iter().any(|(other, _)| other.eq_ignore_ascii_case(key)) {
            tags.push((key.clone(), value.clone()));
        }
    }
    caller = caller.with_tags(tags);
    if let Some(organization) = &principal.organization {
        caller = caller.with_organization(organization.clone());
    }
    if let Some(session) = session {
        if let Some(identity) = &session.source_identity {
            caller = caller.with_source_identity(identity.clone());
        }
        if let Some(provider) = &session.federated_provider {
            caller = caller.with_federated_provider(provider.clone());
        }
        if let Ok(at) = Timestamp::from_second(session.issued_at) {
            caller = caller.issued_at(at);
        }
    }
    caller
}

/// `x-amzn-lattice-identity` and `x-amzn-lattice-identity-tags`, as complete lines.
fn header_lines(caller: &Caller, session_name: &str) -> Vec<u8> {
    let organization = caller.organization();
    let id = organization.map_or("", |organization| &organization.id);
    let paths = organization.map(|organization| organization.paths.join(",")).unwrap_or_default();
    let arn = caller.arn().unwrap_or_default();
    let mut identity = format!("Principal={arn}; PrincipalOrgID={id}; PrincipalOrgPaths={paths}");
    if !session_name.is_empty() {
        identity.push_str("; SessionName=");
        identity.push_str(session_name);
    }
    identity.push_str("; Type=AWS_IAM");
    let mut tags = format!("principal={arn};principalorgid={id};principalorgpath={paths}");
    for (key, value) in caller.tags().iter().take(MOST_TAGS) {
        tags.push(';');
        push_escaped(&mut tags, key);
        tags.push('=');
        push_escaped(&mut tags, value);
    }
    let mut lines = Vec::new();
    for (name, value) in [("x-amzn-lattice-identity", identity), ("x-amzn-lattice-identity-tags", tags)] {
        lines.extend_from_slice(name.as_bytes());
        lines.extend_from_slice(b": ");
        // Whatever a name or tag holds, a line stays a line.
        lines.extend(value.bytes().filter(|byte| *byte >= b' ' && *byte != 0x7f));
        lines.extend_from_slice(b"\r\n");
    }
    lines
}

/// "`;` inside values is escaped with `\`"; so is what escapes it.
fn push_escaped(out: &mut String, text: &str) {
    for character in text.chars() {
        if matches!(character, ';' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
}

/// `callerPrincipal`, `callerPrincipalOrgID` and `callerPrincipalTags`: JSON text inside a string.
fn log_members(caller: &Caller) -> Vec<u8> {
    let mut log = Vec::new();
    write_member(&mut log, "callerPrincipal", caller.arn().unwrap_or("-"));
    let id = caller.organization().map_or("-", |organization| &organization.id);
    write_member(&mut log, "callerPrincipalOrgID", id);
    let mut tags = vec![b'{'];
    for (index, (key, value)) in caller.tags().iter().enumerate() {
        if index > 0 {
            tags.push(b',');
        }
        write_json_string(&mut tags, key.as_bytes());
        tags.push(b':');
        write_json_string(&mut tags, value.as_bytes());
    }
    tags.push(b'}');
    let tags = if caller.tags().is_empty() { b"-".to_vec() } else { tags };
    log.extend_from_slice(b",\"callerPrincipalTags\":");
    write_json_string(&mut log, &tags);
    log
}
