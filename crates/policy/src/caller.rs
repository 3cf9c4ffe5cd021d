//! Who asks, in the forms that policies name callers by.

use crate::ConditionKey;

/// What sort of principal a caller is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallerKind {
    /// Unsigned.
    Anonymous,
    /// The account's own (root) key.
    Root,
    User,
    /// A session of a role, from any of the AssumeRole operations.
    Session,
    FederatedUser,
    /// A service that acts for itself, such as `pods.eks.amazonaws.com`.
    Service,
}

/// The organisation that an account is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// `o-...`
    pub id: String,
    /// `o-.../r-.../ou-.../`, each ending in a slash.
    pub paths: Vec<String>,
}

/// One caller, as verified. Made once for a session or connection, asked for every access.
#[derive(Debug, Clone)]
pub struct Caller {
    kind: CallerKind,
    account: Option<Box<str>>,
    /// Root, user, session or federated-user ARN; the host-like name of a service; else empty.
    name: String,
    /// Of a session.
    role_arn: Option<String>,
    user_id: Option<String>,
    user_name: Option<String>,
    federated_provider: Option<String>,
    organization: Option<Organization>,
    tags: Vec<(String, String)>,
    source_identity: Option<String>,
    /// When the session was made, as conditions compare it.
    token_issue_time: Option<String>,
}

impl Caller {
    /// Nobody in particular.
    pub fn anonymous() -> Self {
        Self::of(CallerKind::Anonymous, None, String::new())
    }

    /// The account itself.
    pub fn root(account: &str) -> Self {
        let mut caller = Self::of(CallerKind::Root, Some(account), format!("arn:aws:iam::{account}:root"));
        caller.user_id = Some(account.to_string());
        caller
    }

    /// An IAM user: `path` is `/` or `/team/`, `user_id` its `AIDA...`.
    pub fn user(account: &str, path: &str, name: &str, user_id: &str) -> Self {
        let mut caller =
            Self::of(CallerKind::User, Some(account), format!("arn:aws:iam::{account}:user{path}{name}"));
        caller.user_id = Some(user_id.to_owned());
        caller.user_name = Some(name.to_owned());
        caller
    }

    /// A session named `session` of the role `name` at `path`, whose id is `role_id` (`AROA...`).
    /// The session's ARN leaves the path out, as AWS does.
    pub fn session(account: &str, path: &str, name: &str, role_id: &str, session: &str) -> Self {
        let arn = format!("arn:aws:sts::{account}:assumed-role/{name}/{session}");
        let mut caller = Self::of(CallerKind::Session, Some(account), arn);
        caller.role_arn = Some(format!("arn:aws:iam::{account}:role{path}{name}"));
        caller.user_id = Some(format!("{role_id}:{session}"));
        caller
    }

    /// A federated user of GetFederationToken.
    pub fn federated_user(account: &str, name: &str) -> Self {
        let mut caller = Self::of(
            CallerKind::FederatedUser,
            Some(account),
            format!("arn:aws:sts::{account}:federated-user/{name}"),
        );
        caller.user_id = Some(format!("{account}:{name}"));
        caller
    }

    /// A service, by its principal name.
    pub fn service(name: &str) -> Self {
        Self::of(CallerKind::Service, None, name.to_owned())
    }

    /// The principal's tags; of a session, those of the session over those of the role.
    pub fn with_tags(mut self, tags: impl IntoIterator<Item = (String, String)>) -> Self {
        self.tags = tags.into_iter().collect();
        self
    }

    pub fn with_organization(mut self, organization: Organization) -> Self {
        self.organization = Some(organization);
        self
    }

    /// The identity provider that vouched for the session: an issuer or a provider's ARN.
    pub fn with_federated_provider(mut self, provider: String) -> Self {
        self.federated_provider = Some(provider);
        self
    }

    /// Who the session's first caller said to be.
    pub fn with_source_identity(mut self, identity: String) -> Self {
        self.source_identity = Some(identity);
        self
    }

    /// When the session was made: what revoking a role's sessions compares.
    pub fn issued_at(mut self, at: jiff::Timestamp) -> Self {
        self.token_issue_time = Some(at.to_string());
        self
    }

    pub fn organization(&self) -> Option<&Organization> {
        self.organization.as_ref()
    }

    pub fn tags(&self) -> &[(String, String)] {
        &self.tags
    }

    fn of(kind: CallerKind, account: Option<&str>, name: String) -> Self {
        Self {
            kind,
            account: account.map(Into::into),
            name,
            role_arn: None,
            user_id: None,
            user_name: None,
            federated_provider: None,
            organization: None,
            tags: Vec::new(),
            source_identity: None,
            token_issue_time: None,
        }
    }

    pub fn kind(&self) -> CallerKind {
        self.kind
    }

    /// Absent for anonymous callers and services.
    pub fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }

    /// The caller's own ARN: of the session, not of its role. `None` for anonymous callers and
    /// services.
    pub fn arn(&self) -> Option<&str> {
        match self.kind {
            CallerKind::Anonymous | CallerKind::Service => None,
            _ => Some(&self.name),
        }
    }

    /// The ARN of a session's role.
    pub fn role_arn(&self) -> Option<&str> {
        self.role_arn.as_deref()
    }

    /// The value of `aws:userid`.
    pub fn user_id(&self) -> Option<&str> {
        self.user_id.as_deref()
    }

    pub(crate) fn service_name(&self) -> Option<&str> {
        (self.kind == CallerKind::Service).then_some(self.name.as_str())
    }

    pub(crate) fn federated_provider(&self) -> Option<&str> {
        self.federated_provider.as_deref()
    }

    /// The value of `aws:PrincipalType`.
    pub fn principal_type(&self) -> &'static str {
        match self.kind {
            CallerKind::Anonymous => "Anonymous",
            CallerKind::Root => "Account",
            CallerKind::User => "User",
            CallerKind::Session => "AssumedRole",
            CallerKind::FederatedUser => "FederatedUser",
            CallerKind::Service => "AWSService",
        }
    }

    /// Answers the keys that are about the caller. False when `key` is not one of them.
    pub(crate) fn values(&self, key: &ConditionKey, visit: &mut dyn FnMut(&str)) -> bool {
        let mut tell = |value: Option<&str>| {
            if let Some(value) = value {
                visit(value);
            }
        };
        match (key.name(), key.argument()) {
            ("aws:principaltype", None) => tell(Some(self.principal_type())),
            ("aws:principalarn", None) => tell(self.role_arn().or_else(|| self.arn())),
            ("aws:principalaccount", None) => tell(self.account()),
            ("aws:userid", None) => tell(self.user_id()),
            ("aws:username", None) => tell(self.user_name.as_deref()),
            ("aws:federatedprovider", None) => tell(self.federated_provider()),
            ("aws:sourceidentity", None) => tell(self.source_identity.as_deref()),
            ("aws:tokenissuetime", None) => tell(self.token_issue_time.as_deref()),
            ("aws:principalservicename", None) => tell(self.service_name()),
            ("aws:principalisawsservice", None) => {
                if self.kind != CallerKind::Anonymous {
                    tell(Some(if self.kind == CallerKind::Service { "true" } else { "false" }));
                }
            }
            ("aws:principalorgid", None) => tell(self.organization.as_ref().map(|found| found.id.as_str())),
            ("aws:principalorgpaths", None) => {
                self.organization.iter().flat_map(|found| &found.paths).for_each(|path| tell(Some(path)));
            }
            // Tag keys in condition keys are compared without regard to case.
            ("aws:principaltag", Some(tag)) => {
                let found = self.tags.iter().find(|(name, _)| name.eq_ignore_ascii_case(tag));
                tell(found.map(|(_, value)| value.as_str()));
            }
            _ => return false,
        }
        true
    }
}
