//! Who may do what: step 4 of every API call, for every service.
//!
//! The keys of an operator may do everything in their account. Everyone else may do what the policies of the identity
//! allow, within its permissions boundary and within the policies of the session. Nothing else allows.

use std::sync::Arc;

use trellis_auth::{Session, SessionKind};
use trellis_frame::access_key::Rights;
use trellis_frame::authorise::{Access, Authorise, Verdict};
use trellis_frame::{Caller, Refusal, Surroundings, key, organization};
use trellis_model::resource::iam::{self, Named, Role, User};
use trellis_policy::{Access as Question, Decision, Policy};
use trellis_store::{Read, Reader};

use crate::circumstances::Circumstances;
use crate::entity::find;
use crate::permissions::{Bounds, Source, managed};
use crate::{managed_policy, service_linked_role, session, trust};

/// What anyone who has signed may do.
const NEED_NOTHING: &[&str] = &["sts:GetCallerIdentity", "sts:GetSessionToken"];

/// The policies of IAM's identities.
#[derive(Debug)]
pub(crate) struct ByPolicies;

impl Authorise for ByPolicies {
    fn decide(
        &self,
        state: &mut Reader,
        surroundings: &Surroundings,
        access: &Access<'_>,
    ) -> Result<Verdict, Refusal> {
        if let Some(verdict) = trust::decide(state, surroundings, access)? {
            return Ok(verdict);
        }
        match access.caller.rights {
            Rights::Admin => return Ok(Verdict::Allow),
            Rights::None => return Ok(Verdict::denied(None, "")),
            Rights::Account | Rights::Policies => {}
        }
        if NEED_NOTHING.contains(&access.action) {
            return Ok(Verdict::Allow);
        }
        let bounds = control_guards(state, access.caller)?;
        if access.caller.rights == Rights::Account && bounds.is_empty() {
            return Ok(Verdict::Allow);
        }
        if let Some(session) = access.caller.session.as_deref()
            && !is_within_reach(session.kind, access.action)
        {
            return Ok(Verdict::denied(None, "with session credentials"));
        }
        let mut guards = own_guards(state, access.caller)?;
        guards.extend(bounds);
        for resource in access.resources {
            let resource = whole(state, access, resource)?;
            let context = Circumstances::of(state, surroundings, access, &resource)?;
            let caller = &access.caller.principal;
            let question = Question { caller, action: access.action, resource: &resource, context: &context };
            if let Some((decision, why)) = refused(&guards, &question) {
                let is_explicit = decision == Decision::ExplicitDeny;
                return Ok(Verdict::Deny { on: Some(resource), is_explicit, why });
            }
        }
        Ok(Verdict::Allow)
    }
}

/// What the ids of resources begin with, for operations that take an id of any type.
const KINDS: &[(&str, &str, &str)] = &[
    ("svc-", "vpc-lattice", "service"),
    ("sn-", "vpc-lattice", "servicenetwork"),
    ("vpc-", "ec2", "vpc"),
    ("subnet-", "ec2", "subnet"),
    ("sg-", "ec2", "security-group"),
    ("sgr-", "ec2", "security-group-rule"),
    ("i-", "ec2", "instance"),
    ("eni-", "ec2", "network-interface"),
    ("rtb-", "ec2", "route-table"),
    ("acl-", "ec2", "network-acl"),
    ("pl-", "ec2", "prefix-list"),
];

/// Whether credentials for a while of that kind may ask for it at all: those that a user got without a role change
/// no identity, "cannot call any IAM API operations".
fn is_within_reach(kind: SessionKind, action: &str) -> bool {
    kind == SessionKind::Role || !action.starts_with("iam:")
}

/// What an access has to pass: one of its policies must allow it, none may deny it.
pub(crate) struct Guard {
    pub(crate) kind: GuardKind,
    pub(crate) policies: Vec<Arc<Policy>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GuardKind {
    Identity,
    Boundary,
    Session,
    /// The service control policies of one level of the organisation.
    Control,
}

impl GuardKind {
    /// As denials name it, with its article.
    fn article_and_name(self) -> (&'static str, &'static str) {
        match self {
            Self::Identity => ("an", "identity-based policy"),
            Self::Boundary => ("a", "permissions boundary"),
            Self::Session => ("a", "session policy"),
            Self::Control => ("a", "service control policy"),
        }
    }
}

impl Guard {
    /// One policy that does not read makes a guard that nothing passes: it might have denied.
    pub(crate) fn new<'a>(kind: GuardKind, sources: impl IntoIterator<Item = &'a Source>) -> Self {
        let policies: Option<Vec<_>> = sources.into_iter().map(Source::compile).collect();
        Self { kind, policies: policies.unwrap_or_default() }
    }

    /// The end of the sentence that says what it decided instead of allowing.
    pub(crate) fn why(&self, decision: Decision, action: &str) -> String {
        let (article, name) = self.kind.article_and_name();
        match decision {
            Decision::ExplicitDeny => format!("with an explicit deny in {article} {name}"),
            _ => format!("because no {name} allows the {action} action"),
        }
    }

    pub(crate) fn decide(&self, question: &Question<'_>) -> Decision {
        let mut decision = Decision::ImplicitDeny;
        for policy in &self.policies {
            match policy.decide(question) {
                Decision::ExplicitDeny => return Decision::ExplicitDeny,
                Decision::Allow => decision = Decision::Allow,
                Decision::ImplicitDeny => {}
            }
        }
        decision
    }
}

/// The guards of an identity's policies.
pub(crate) fn guards(bounds: &Bounds) -> Vec<Guard> {
    let boundary = bounds.boundary.as_ref().map(|boundary| Guard::new(GuardKind::Boundary, [boundary]));
    [Guard::new(GuardKind::Identity, &bounds.policies)].into_iter().chain(boundary).collect()
}

/// What the organisation of its account lets the caller do: its service control policies, level by level. None of the
/// management account's.
fn control_guards(state: &mut Reader, caller: &Caller) -> Result<Vec<Guard>, Refusal> {
    let kind = crate::wire::PolicySourceType::None;
    let source = |content: &str| Source { id: "organization".to_owned(), kind, document: content.to_owned() };
    let tree = organization::read_above(state, &caller.account)?;
    let level = |contents: Vec<&str>| {
        let sources: Vec<Source> = contents.into_iter().map(source).collect();
        Guard::new(GuardKind::Control, &sources)
    };
    Ok(tree.bounds(&caller.account).into_iter().map(level).collect())
}

/// Everything the caller has to pass.
pub(crate) fn guards_of(state: &mut Reader, caller: &Caller) -> Result<Vec<Guard>, Refusal> {
    let mut guards = own_guards(state, caller)?;
    guards.extend(control_guards(state, caller)?);
    Ok(guards)
}

/// What is the caller's own of it: policies of the identity, its boundary, those of the session.
fn own_guards(state: &mut Reader, caller: &Caller) -> Result<Vec<Guard>, Refusal> {
    let nothing = || vec![Guard { kind: GuardKind::Identity, policies: Vec::new() }];
    if matches!(caller.rights, Rights::Admin | Rights::Account) {
        return Ok(vec![everything()]);
    }
    let Some(session) = &caller.session else {
        return Ok(Bounds::of_arn(state, &caller.arn)?.map_or_else(nothing, |bounds| guards(&bounds)));
    };
    let mut all = if session::is_operators(session) {
        vec![everything()]
    } else if is_current(state, session)? {
        Bounds::of_arn(state, &session.principal)?.map_or_else(nothing, |bounds| guards(&bounds))
    } else {
        return Ok(nothing());
    };
    all.extend(session_guard(state, caller, session)?);
    Ok(all)
}

/// What an operator's keys are held to.
fn everything() -> Guard {
    let document = iam::aws_managed("arn:aws:iam::aws:policy/AdministratorAccess")
        .map_or_else(String::new, |policy| policy.document.to_owned());
    let kind = crate::wire::PolicySourceType::None;
    Guard::new(GuardKind::Identity, &[Source { id: iam::OPERATOR.to_owned(), kind, document }])
}

/// Whether the one the session is of is still there: one of the same name made since is somebody else.
fn is_current(state: &mut Reader, session: &Session) -> Result<bool, Refusal> {
    let Some(named) = Named::parse(&session.principal) else { return Ok(false) };
    let Ok(account) = named.account.parse() else { return Ok(false) };
    let home = key::global(&account);
    let id = match named.kind {
        iam::ROLE => find::<Role>(state, &home, named.name)?.map(|role| role.id),
        iam::USER => find::<User>(state, &home, named.name)?.map(|user| user.id),
        _ => None,
    };
    Ok(id.is_some_and(|id| id == session.principal_id))
}

/// What the session was limited to. A federated user has nothing but what was said.
fn session_guard(state: &mut Reader, caller: &Caller, session: &Session) -> Result<Option<Guard>, Refusal> {
    let home = key::global(&caller.account);
    let is_limited = !session.policies.is_empty() || !session.policy_arns.is_empty();
    if !is_limited && session.kind != SessionKind::Federated {
        return Ok(None);
    }
    let kind = crate::wire::PolicySourceType::None;
    let texts = session.policies.iter();
    let mut sources: Vec<Source> =
        texts.map(|text| Source { id: "session".to_owned(), kind, document: text.clone() }).collect();
    for arn in &session.policy_arns {
        sources.extend(managed(state, &home, arn)?);
    }
    Ok(Some(Guard::new(GuardKind::Session, &sources)))
}

/// What refuses it, a denial before a want, and the end of the sentence that says so; `None` where nothing does.
fn refused(guards: &[Guard], question: &Question<'_>) -> Option<(Decision, String)> {
    let mut missing = None;
    for guard in guards {
        match guard.decide(question) {
            Decision::Allow => {}
            denied @ Decision::ExplicitDeny => return Some((denied, guard.why(denied, question.action))),
            want @ Decision::ImplicitDeny => {
                missing.get_or_insert_with(|| (want, guard.why(want, question.action)));
            }
        }
    }
    missing
}

/// The resource with what the call leaves out: the path of an identity that is named, the caller where nobody is.
fn whole(state: &mut impl Read, access: &Access<'_>, resource: &str) -> Result<String, Refusal> {
    let text = |member: &str| access.input.get(member).and_then(serde_json::Value::as_str);
    let account = &access.caller.account;
    if !access.action.starts_with("iam:") {
        let kind = KINDS.iter().find(|(prefix, ..)| resource.starts_with(prefix));
        return Ok(match kind {
            Some((_, service, kind)) => {
                format!("arn:aws:{service}:{}:{account}:{kind}/{resource}", access.caller.region)
            }
            None => resource.to_owned(),
        });
    }
    if access.action == "iam:CreateServiceLinkedRole" {
        let service = text("AWSServiceName").unwrap_or_default();
        if let Some(name) = service_linked_role::name(service, text("CustomSuffix")) {
            return Ok(iam::arn(account, iam::ROLE, &service_linked_role::path(service), &name));
        }
    }
    if resource == "*" {
        // An operation on a user that names none is on the caller.
        const OWN: &[&str] = &[
            "iam:GetUser",
            "iam:CreateAccessKey",
            "iam:DeleteAccessKey",
            "iam:ListAccessKeys",
            "iam:UpdateAccessKey",
        ];
        let is_own = OWN.contains(&access.action) && text("UserName").is_none();
        return Ok(if is_own { access.caller.arn.clone() } else { resource.to_owned() });
    }
    let Some(named) = Named::parse(resource) else { return Ok(resource.to_owned()) };
    if named.kind == iam::OIDC_PROVIDER {
        return Ok(resource.replacen("oidc-provider/https://", "oidc-provider/", 1));
    }
    if named.path != "/" || named.account != account.as_str() {
        return Ok(resource.to_owned());
    }
    let home = key::global(account);
    let found = match named.kind {
        iam::USER => find::<User>(state, &home, named.name)?.map(|user| user.arn()),
        iam::GROUP => find::<iam::Group>(state, &home, named.name)?.map(|group| group.arn()),
        iam::ROLE => find::<Role>(state, &home, named.name)?.map(|role| role.arn()),
        iam::POLICY => managed_policy::find(state, &home, resource)?.map(|_| resource.to_owned()),
        iam::INSTANCE_PROFILE => {
            crate::instance_profile::find(state, &home, named.name).ok().map(|profile| profile.arn())
        }
        _ => None,
    };
    // What is not there yet will be where the call says.
    let is_made = ["iam:Create", "iam:Tag"].iter().any(|verb| access.action.starts_with(verb));
    let path = text("Path").filter(|_| is_made);
    Ok(found.unwrap_or_else(|| iam::arn(account, named.kind, path.unwrap_or("/"), named.name)))
}
