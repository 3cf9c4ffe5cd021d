//! Resource policies: which other accounts may use an authority, and for what.
//!
//! Another account's authority is reached by ARN alone. Whether a call may is decided anew each time, after the caller's
//! own policies have been asked, and an authority that is not there is refused in the same words as one that is not
//! shared.

use serde_json::Value;
use trellis_frame::{Caller, Context, Records, Refusal};
use trellis_model::resource::lattice::Home;
use trellis_policy::{Access, ConditionKey, Decision, Policy, PolicyKind};
use trellis_store::{Read, Reader, Transaction};

use crate::authority::{AUTHORITIES, Authority, named};
use crate::template::Template;
use crate::{refuse, wire};

/// By authority: the text as it was put.
const POLICIES: Records<String> = Records::new("acm-pca", "policy");

/// What a policy can give: nothing that changes an authority.
const DELEGABLE: &[&str] = &[
    "acm-pca:DescribeCertificateAuthority",
    "acm-pca:GetCertificate",
    "acm-pca:GetCertificateAuthorityCertificate",
    "acm-pca:IssueCertificate",
    "acm-pca:ListPermissions",
    "acm-pca:ListTags",
];

/// What is wanted of an authority, by whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Want<'a> {
    pub(crate) principal: &'a trellis_policy::Caller,
    pub(crate) principal_arn: &'a str,
    /// Without its service: `IssueCertificate`.
    pub(crate) action: &'a str,
    /// Of IssueCertificate.
    pub(crate) template_arn: Option<&'a str>,
}

impl<'a> Want<'a> {
    pub(crate) fn of(caller: &'a Caller, action: &'a str) -> Self {
        Self { principal: &caller.principal, principal_arn: &caller.arn, action, template_arn: None }
    }
}

impl trellis_policy::Context for Want<'_> {
    fn values(&self, key: &ConditionKey, visit: &mut dyn FnMut(&str)) {
        if key.name() == "acm-pca:templatearn" {
            self.template_arn.into_iter().for_each(visit);
        }
    }
}

/// The authority that `text` names: one of `home`, or another account's whose policy gives what is wanted.
///
/// # Errors
/// As [`Authority::find`]; `AccessDeniedException` for another account's.
pub(crate) fn reach(
    state: &mut impl Read,
    home: &Home,
    text: &str,
    want: Want<'_>,
) -> Result<Authority, Refusal> {
    let (arn, id) = named(text)?;
    if arn.account == home.account.as_str() || arn.region != home.region.as_str() || arn.partition != "aws" {
        return Authority::find(state, home, text);
    }
    let denied = || {
        let (who, action) = (want.principal_arn, want.action);
        Refusal::denied(format_args!(
            "User: {who} is not authorized to perform: acm-pca:{action} on resource: {arn} because no resource-based \
             policy allows the acm-pca:{action} action"
        ))
    };
    let Ok(account) = arn.account.parse() else { return Err(denied()) };
    let owner = Home { account, region: home.region.clone() };
    let Some(text) = POLICIES.get(state, &owner, &id)? else { return Err(denied()) };
    // One that does not read might have denied.
    let Ok(policy) = Policy::parse(&text, PolicyKind::Resource) else { return Err(denied()) };
    let action = format!("acm-pca:{}", want.action);
    let access =
        Access { caller: want.principal, action: &action, resource: &arn.to_string(), context: &want };
    match policy.decide(&access) {
        Decision::Allow => AUTHORITIES.get(state, &owner, &id)?.ok_or_else(denied),
        Decision::ExplicitDeny | Decision::ImplicitDeny => Err(denied()),
    }
}

/// As [`reach`], for one that is not deleted.
///
/// # Errors
/// `InvalidStateException` as well.
pub(crate) fn reach_live(
    state: &mut impl Read,
    home: &Home,
    text: &str,
    want: Want<'_>,
) -> Result<Authority, Refusal> {
    reach(state, home, text, want)?.live()
}

/// Whether the authority of another account that `arn` names issues for the account of `home`, with the template for
/// end entities: that is what ACM asks for.
///
/// # Errors
/// A state that cannot be read.
pub(crate) fn lets_account_issue(state: &mut impl Read, home: &Home, arn: &str) -> Result<bool, Refusal> {
    let root = trellis_policy::Caller::root(home.account.as_str());
    let template_arn = Some(Template::END_ENTITY_ARN);
    let want = Want { principal: &root, principal_arn: "", action: "IssueCertificate", template_arn };
    match reach(state, home, arn, want) {
        Ok(_) => Ok(true),
        Err(refusal) if refusal.is_ours() => Err(refusal),
        Err(_) => Ok(false),
    }
}

pub(crate) fn forget(tx: &mut Transaction<'_>, home: &Home, authority: &str) -> Result<(), Refusal> {
    POLICIES.delete(tx, home, authority)
}

pub(crate) fn put(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::PutPolicyInput,
) -> Result<wire::PutPolicyOutput, Refusal> {
    let authority = Authority::find_live(tx, &ctx.home(), &input.resource_arn)?;
    check(&input.policy, &authority.arn()).map_err(|fault| refuse("InvalidPolicyException", fault))?;
    POLICIES.put(tx, &authority.home, &authority.id, &input.policy)?;
    Ok(Default::default())
}

pub(crate) fn get(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::GetPolicyInput,
) -> Result<wire::GetPolicyOutput, Refusal> {
    let authority = Authority::find_live(state, &ctx.home(), &input.resource_arn)?;
    match POLICIES.get(state, &authority.home, &authority.id)? {
        Some(policy) => Ok(wire::GetPolicyOutput { policy: Some(policy) }),
        None => Err(refuse("ResourceNotFoundException", format_args!("{} has no policy", authority.arn()))),
    }
}

/// Without one there is nothing to delete, as it should be.
pub(crate) fn delete(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::DeletePolicyInput,
) -> Result<wire::DeletePolicyOutput, Refusal> {
    let authority = Authority::find_live(tx, &ctx.home(), &input.resource_arn)?;
    forget(tx, &authority.home, &authority.id)?;
    Ok(Default::default())
}

/// What `text` may not say as the policy of `arn`: it is about this authority and about actions that can be given away.
fn check(text: &str, arn: &str) -> Result<(), String> {
    Policy::parse(text, PolicyKind::Resource).map_err(|fault| fault.to_string())?;
    let document: Value = serde_json::from_str(text).map_err(|fault| fault.to_string())?;
    let statements = match &document["Statement"] {
        Value::Array(statements) => statements.as_slice(),
        single => std::slice::from_ref(single),
    };
    for statement in statements {
        for member in ["NotAction", "NotResource", "NotPrincipal"] {
            if !statement[member].is_null() {
                return Err(format!("{member} is not for policies of certificate authorities"));
            }
        }
        for action in texts(&statement["Action"]) {
            if !DELEGABLE.iter().any(|known| known.eq_ignore_ascii_case(action)) {
                let action: String = action.chars().take(64).collect();
                return Err(format!("expected one of {}, found {action}", DELEGABLE.join(", ")));
            }
        }
        if texts(&statement["Resource"]).iter().any(|resource| *resource != arn) {
            return Err(format!("Resource: expected {arn}"));
        }
    }
    Ok(())
}

/// One text or a list of them.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        value => value.as_str().into_iter().collect(),
    }
}
