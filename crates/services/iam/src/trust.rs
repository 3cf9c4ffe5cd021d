//! Who may assume a role: its trust policy, and beside it the policies of the caller.
//!
//! Nobody assumes a role that its trust policy does not let in, an operator neither. Within one account it is enough
//! to be named there; whoever is let in with all of an account, or from another one, needs a policy that allows it too.

use trellis_auth::SessionKind;
use trellis_frame::authorise::{Access, Verdict};
use trellis_frame::{Refusal, Surroundings, key};
use trellis_model::AccountId;
use trellis_model::resource::iam::{self, Named, Role};
use trellis_policy::{Access as Question, Decision, Policy, PolicyKind};
use trellis_store::Reader;

use crate::authorise::{GuardKind, guards_of};
use crate::circumstances::Circumstances;
use crate::entity::by_arn;

/// What trust policies allow.
const ACTIONS: &[&str] = &["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"];

/// `None` where it is no question of trust.
pub(crate) fn decide(
    state: &mut Reader,
    surroundings: &Surroundings,
    access: &Access<'_>,
) -> Result<Option<Verdict>, Refusal> {
    let [arn] = access.resources else { return Ok(None) };
    let named = Named::parse(arn).filter(|named| named.kind == iam::ROLE);
    let is_assuming = access.action == "sts:AssumeRole";
    if !ACTIONS.contains(&access.action) || (named.is_none() && !is_assuming) {
        return Ok(None);
    }
    let denied = |why: &str| Verdict::denied(Some(arn.clone()), why);
    let because = |decision: Decision, why: String| {
        let is_explicit = decision == Decision::ExplicitDeny;
        Ok(Some(Verdict::Deny { on: Some(arn.clone()), is_explicit, why }))
    };
    // "You cannot call any AWS STS operations" with a federated user's credentials.
    let session = access.caller.session.as_deref();
    if session.is_some_and(|session| session.kind == SessionKind::Federated) {
        return Ok(Some(denied("")));
    }
    let account = named.and_then(|named| named.account.parse::<AccountId>().ok());
    let Some(account) = account else { return Ok(Some(denied(""))) };
    let Some(role) = by_arn::<Role>(state, &key::global(&account), arn)? else {
        return Ok(Some(denied("")));
    };
    let trust = match Policy::parse(&role.trust_policy, PolicyKind::Trust) {
        Ok(trust) => trust,
        Err(error) => {
            tracing::error!(arn, %error, "a stored trust policy does not read and lets nobody in");
            return Ok(Some(denied("")));
        }
    };
    let context = Circumstances::of(state, surroundings, access, arn)?;
    let caller = &access.caller.principal;
    let question = Question { caller, action: access.action, resource: arn, context: &context };
    match trust.decide(&question) {
        Decision::Allow => {}
        decision @ Decision::ExplicitDeny => {
            return because(decision, "with an explicit deny in a resource-based policy".to_owned());
        }
        Decision::ImplicitDeny => return Ok(Some(denied(""))),
    }
    let is_named = access.caller.account == account && trust.allows_by_name(&question);
    for guard in guards_of(state, access.caller)? {
        match guard.decide(&question) {
            Decision::Allow => {}
            Decision::ImplicitDeny if is_named && guard.kind == GuardKind::Identity => {}
            decision => return because(decision, guard.why(decision, access.action)),
        }
    }
    Ok(Some(Verdict::Allow))
}
