//! The Principal element: which callers a statement is about.

use crate::StatementFault;
use crate::caller::{Caller, CallerKind};
use crate::condition::ConditionKey;
use crate::document::PrincipalText;
use crate::partial::{Told, Untold};

/// One principal that a statement names.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Principal {
    /// `*`: everyone, the anonymous too.
    Everyone,
    /// An account, by number or root ARN: each of its principals.
    Account(Box<str>),
    /// A user, a session or a federated user.
    Exactly(Box<str>),
    /// A role: each of its sessions.
    Role(Box<str>),
    /// `AIDA...` or `AROA...`: what AWS shows for principals that were deleted.
    UniqueId(Box<str>),
    Service(Box<str>),
    Federated(Box<str>),
}

/// Principal or NotPrincipal, compiled.
#[derive(Debug, Clone)]
pub(crate) struct Principals {
    listed: Box<[Principal]>,
    /// NotPrincipal: those who are not listed.
    others: bool,
}

impl Principals {
    pub(crate) fn compile(text: PrincipalText, others: bool) -> Result<Self, StatementFault> {
        let listed = match text {
            PrincipalText::Word(word) if word == "*" => vec![Principal::Everyone],
            PrincipalText::Word(word) => return Err(StatementFault::principal(&word)),
            PrincipalText::Kinds(kinds) => {
                let mut listed = Vec::new();
                for (kind, words) in kinds.0 {
                    for word in words.0 {
                        listed.push(Principal::parse(&kind, &word)?);
                    }
                }
                listed
            }
        };
        if listed.is_empty() {
            return Err(StatementFault::principal(""));
        }
        Ok(Self { listed: listed.into(), others })
    }

    /// `allowing`: the statement allows. Then NotPrincipal leaves the anonymous out as well: they
    /// are let in by name only, which is `*`.
    pub(crate) fn include(&self, caller: &Caller, allowing: bool) -> bool {
        let listed = self.listed.iter().any(|principal| principal.is(caller));
        match self.others {
            false => listed,
            true if listed => false,
            true => !allowing || caller.kind() != CallerKind::Anonymous,
        }
    }

    /// As [`Self::include`], of a caller of whom `untold` does not know everything.
    pub(crate) fn told(&self, caller: &Caller, allowing: bool, untold: Untold<'_>) -> Told {
        let among = Told::any(self.listed.iter().map(|principal| principal.told(caller, untold)));
        match among {
            Told::Untold(missing) => Told::Untold(missing),
            _ => Told::from(self.include(caller, allowing)),
        }
    }

    /// Whether the caller is among them by itself: neither with all of its account nor with everyone.
    pub(crate) fn name(&self, caller: &Caller) -> bool {
        let is_one =
            |principal: &&Principal| !matches!(principal, Principal::Everyone | Principal::Account(_));
        !self.others && self.listed.iter().filter(is_one).any(|principal| principal.is(caller))
    }
}

impl Principal {
    fn parse(kind: &str, word: &str) -> Result<Self, StatementFault> {
        let malformed = || StatementFault::principal(word);
        if word.is_empty() {
            return Err(malformed());
        }
        match kind {
            "AWS" => Self::parse_aws(word).ok_or_else(malformed),
            // A pattern in the name of a service or provider would trust strangers.
            "Service" | "Federated" if word.contains(['*', '?']) => Err(malformed()),
            "Service" => Ok(Self::Service(word.into())),
            "Federated" => Ok(Self::Federated(word.into())),
            _ => Err(StatementFault::PrincipalKind { found: kind.chars().take(64).collect() }),
        }
    }

    fn parse_aws(word: &str) -> Option<Self> {
        if word == "*" {
            return Some(Self::Everyone);
        }
        if is_account(word) {
            return Some(Self::Account(word.into()));
        }
        let is_unique_id = (16..=128).contains(&word.len())
            && (word.starts_with("AIDA") || word.starts_with("AROA"))
            && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        if is_unique_id {
            return Some(Self::UniqueId(word.into()));
        }
        // arn:{partition}:{service}::{account}:{resource}, without a region.
        let mut parts = word.strip_prefix("arn:")?.splitn(5, ':');
        let (partition, service) = (parts.next()?, parts.next()?);
        let (region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
        if partition.is_empty() || !region.is_empty() || !is_account(account) || resource.contains(['*', '?'])
        {
            return None;
        }
        let has_name = |kind: &str| resource.strip_prefix(kind).is_some_and(|name| !name.is_empty());
        match service {
            "iam" if resource == "root" => Some(Self::Account(account.into())),
            "iam" if has_name("user/") => Some(Self::Exactly(word.into())),
            "iam" if has_name("role/") => Some(Self::Role(word.into())),
            "sts" if has_name("assumed-role/") || has_name("federated-user/") => {
                Some(Self::Exactly(word.into()))
            }
            _ => None,
        }
    }

    fn told(&self, caller: &Caller, untold: Untold<'_>) -> Told {
        let missing = match self {
            // The path of a role is not in the ARN of its session: of an account's roles, one has the name.
            Self::Role(arn) if caller.role_arn().is_some_and(|role| is_same_but_for_path(arn, role)) => {
                "aws:PrincipalArn"
            }
            Self::UniqueId(_) if caller.user_id().is_some() => "aws:userid",
            Self::Federated(_) if caller.kind() == CallerKind::Session => "aws:FederatedProvider",
            _ => return self.is(caller).into(),
        };
        let key = ConditionKey::parse(missing).expect("the three names above are condition keys");
        match untold(&key) {
            Some(missing) => Told::Untold(vec![missing]),
            None => self.is(caller).into(),
        }
    }

    fn is(&self, caller: &Caller) -> bool {
        match self {
            Self::Everyone => true,
            Self::Account(account) => caller.account() == Some(account),
            Self::Exactly(arn) => caller.arn() == Some(arn),
            Self::Role(arn) => caller.role_arn() == Some(arn),
            Self::UniqueId(id) => {
                caller.user_id().is_some_and(|user_id| user_id.split(':').next() == Some(id))
            }
            Self::Service(name) => caller.service_name() == Some(name),
            Self::Federated(provider) => caller.federated_provider() == Some(provider),
        }
    }
}

/// Whether two ARNs of roles are of one account and one name.
fn is_same_but_for_path(one: &str, other: &str) -> bool {
    let parts = |arn: &str| -> Option<(String, String)> {
        let (account, path) = arn.split_once(":role/")?;
        Some((account.to_owned(), path.rsplit('/').next()?.to_owned()))
    };
    parts(one).is_some_and(|found| parts(other) == Some(found))
}

/// Exactly twelve digits.
fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}
