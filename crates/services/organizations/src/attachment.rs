//! Which root, unit or account has which policies.

use trellis_frame::{Context, Page, Paged, Refusal, account};
use trellis_store::{Reader, Transaction};

use crate::node::Managed;
use crate::policy::{find, summary};
use crate::{fault, wire};

/// "Maximum number of service control policies attached to each": AWS's quota. One has to be there at least.
const MOST: usize = 5;

fn check_is_on(managed: &Managed) -> Result<(), Refusal> {
    if managed.organization.is_bounding {
        return Ok(());
    }
    let message = "The specified policy type isn't currently enabled in this root.";
    Err(fault("PolicyTypeNotEnabledException", message))
}

pub(crate) fn attach(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::AttachPolicyInput,
) -> Result<wire::AttachPolicyOutput, Refusal> {
    let managed = Managed::read(tx, ctx)?;
    check_is_on(&managed)?;
    let policy = find(&managed.tree, &input.policy_id)?;
    let target = managed.target(tx, &input.target_id)?;
    let mut policies = managed.policies(&target);
    if !policies.insert(policy.id) {
        let message = "A policy with the specified name and type already exists for the target.";
        return Err(fault("DuplicatePolicyAttachmentException", message));
    }
    if policies.len() > MOST {
        let message = format_args!("You have exceeded the number of policies attached to an entity: {MOST}.");
        return Err(fault("ConstraintViolationException", message));
    }
    managed.set_policies(tx, &target, policies)?;
    Ok(Default::default())
}

pub(crate) fn detach(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::DetachPolicyInput,
) -> Result<wire::DetachPolicyOutput, Refusal> {
    let managed = Managed::read(tx, ctx)?;
    check_is_on(&managed)?;
    let policy = find(&managed.tree, &input.policy_id)?;
    let target = managed.target(tx, &input.target_id)?;
    let mut policies = managed.policies(&target);
    if !policies.remove(&policy.id) {
        let message = "The policy isn't attached to the specified target.";
        return Err(fault("PolicyNotAttachedException", message));
    }
    if policies.is_empty() {
        let message = "An entity has to have at least one service control policy: attach another one first.";
        return Err(fault("ConstraintViolationException", message));
    }
    managed.set_policies(tx, &target, policies)?;
    Ok(Default::default())
}

pub(crate) fn of_target(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListPoliciesForTargetInput,
    page: &Page,
) -> Result<Paged<wire::ListPoliciesForTargetOutput>, Refusal> {
    let managed = Managed::read(state, ctx)?;
    let target = managed.target(state, &input.target_id)?;
    let is_asked = input.filter == wire::PolicyType::ServiceControlPolicy && managed.organization.is_bounding;
    let ids = managed.policies(&target).into_iter().filter(|_| is_asked);
    let policies = ids.filter_map(|id| find(&managed.tree, &id).ok()).collect();
    let listing =
        page.cut(policies, |policy: &trellis_model::resource::organization::ControlPolicy| policy.id.clone());
    Ok(listing.into_output(|policies| wire::ListPoliciesForTargetOutput {
        policies: Some(policies.iter().map(|policy| summary(&managed, policy)).collect()),
        ..Default::default()
    }))
}

pub(crate) fn targets(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListTargetsForPolicyInput,
    page: &Page,
) -> Result<Paged<wire::ListTargetsForPolicyOutput>, Refusal> {
    let managed = Managed::read(state, ctx)?;
    let policy = find(&managed.tree, &input.policy_id)?;
    let mut targets = managed.targets(&account::every(state)?);
    targets.retain(|(target, ..)| {
        managed.organization.is_bounding && managed.policies(target).contains(&policy.id)
    });
    let listing = page.cut(targets, |(_, id, _)| id.clone());
    Ok(listing.into_output(|targets| {
        let shown = targets.into_iter().map(|(target, id, name)| wire::PolicyTargetSummary {
            arn: Some(managed.arn(target.noun(), &id)),
            target_id: Some(id),
            name: Some(name),
            r#type: Some(target.kind()),
        });
        wire::ListTargetsForPolicyOutput { targets: Some(shown.collect()), ..Default::default() }
    }))
}
