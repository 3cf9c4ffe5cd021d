//! Service control policies: what they say.

use trellis_frame::{Context, Page, Paged, Refusal, organization, tags as all_tags};
use trellis_model::resource::organization::{
    ControlPolicy, FULL_ACCESS, FULL_ACCESS_CONTENT, PREFIX, Record, Tree,
};
use trellis_policy::{Policy, PolicyKind};
use trellis_store::{Reader, Transaction};

use crate::node::{LETTERS, Managed};
use crate::organization::check_type;
use crate::{fault, tag, wire};

/// Policies of an organisation: AWS's default quota.
const MOST: usize = 1000;

/// "Maximum size of a service control policy document: 5,120 characters."
const LONGEST: usize = 5120;

pub(crate) fn summary(managed: &Managed, policy: &ControlPolicy) -> wire::PolicySummary {
    wire::PolicySummary {
        id: Some(policy.id.clone()),
        arn: Some(managed.arn("policy", &policy.id)),
        name: Some(policy.name.clone()),
        description: Some(policy.description.clone()),
        r#type: Some(wire::PolicyType::ServiceControlPolicy),
        aws_managed: Some(policy.id == FULL_ACCESS),
    }
}

fn shown(managed: &Managed, policy: &ControlPolicy) -> Option<wire::Policy> {
    let summary = Some(summary(managed, policy));
    Some(wire::Policy { policy_summary: summary, content: Some(policy.content.clone()) })
}

/// AWS's own among them.
pub(crate) fn find(tree: &Tree, id: &str) -> Result<ControlPolicy, Refusal> {
    if id == FULL_ACCESS {
        return Ok(full_access());
    }
    tree.policies.get(id).cloned().ok_or_else(|| {
        fault("PolicyNotFoundException", "We can't find a policy with the PolicyId that you specified.")
    })
}

fn full_access() -> ControlPolicy {
    ControlPolicy {
        id: FULL_ACCESS.into(),
        name: "FullAWSAccess".into(),
        description: "Allows access to every operation".into(),
        content: FULL_ACCESS_CONTENT.into(),
    }
}

fn check_content(content: &str) -> Result<(), Refusal> {
    if content.chars().count() > LONGEST {
        let message =
            format_args!("You have exceeded the allowed size of a policy document: {LONGEST} characters.");
        return Err(fault("ConstraintViolationException", message));
    }
    Policy::parse(content, PolicyKind::Identity).map(drop).map_err(|error| {
        let message = format_args!("The provided policy document does not meet the requirements of the specified policy type: {error}");
        fault("MalformedPolicyDocumentException", message)
    })
}

fn check_name(tree: &Tree, name: &str) -> Result<(), Refusal> {
    if name == "FullAWSAccess" || tree.policies.values().any(|policy| policy.name == name) {
        return Err(fault("DuplicatePolicyException", "A policy with the same name already exists."));
    }
    Ok(())
}

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::CreatePolicyInput,
) -> Result<wire::CreatePolicyOutput, Refusal> {
    let managed = Managed::read(tx, ctx)?;
    check_type(input.r#type)?;
    check_content(&input.content)?;
    check_name(&managed.tree, &input.name)?;
    if managed.tree.policies.len() >= MOST {
        let message = format_args!("An organization has at most {MOST} policies.");
        return Err(fault("ConstraintViolationException", message));
    }
    let policy = ControlPolicy {
        id: format!("p-{}", ctx.surroundings.random.text(8, LETTERS)),
        name: input.name.clone(),
        description: input.description.clone(),
        content: input.content.clone(),
    };
    organization::put(tx, &Record::Policy(policy.clone()))?;
    tag::merge(tx, ctx, &managed.arn("policy", &policy.id), input.tags.as_ref())?;
    Ok(wire::CreatePolicyOutput { policy: shown(&managed, &policy) })
}

pub(crate) fn describe(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::DescribePolicyInput,
) -> Result<wire::DescribePolicyOutput, Refusal> {
    let managed = Managed::read(state, ctx)?;
    let policy = find(&managed.tree, &input.policy_id)?;
    Ok(wire::DescribePolicyOutput { policy: shown(&managed, &policy) })
}

/// # Errors
/// AWS's own is not to be changed.
fn find_own(tree: &Tree, id: &str) -> Result<ControlPolicy, Refusal> {
    if id == FULL_ACCESS {
        let message = "You specified a policy that is managed by AWS and can't be modified.";
        return Err(fault("InvalidInputException", message));
    }
    find(tree, id)
}

pub(crate) fn update(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::UpdatePolicyInput,
) -> Result<wire::UpdatePolicyOutput, Refusal> {
    let managed = Managed::read(tx, ctx)?;
    let mut policy = find_own(&managed.tree, &input.policy_id)?;
    if let Some(content) = &input.content {
        check_content(content)?;
        policy.content = content.clone();
    }
    if let Some(name) = input.name.as_ref().filter(|name| **name != policy.name) {
        check_name(&managed.tree, name)?;
        policy.name = name.clone();
    }
    if let Some(description) = &input.description {
        policy.description = description.clone();
    }
    organization::put(tx, &Record::Policy(policy.clone()))?;
    Ok(wire::UpdatePolicyOutput { policy: shown(&managed, &policy) })
}

pub(crate) fn delete(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::DeletePolicyInput,
) -> Result<wire::DeletePolicyOutput, Refusal> {
    let managed = Managed::read(tx, ctx)?;
    let policy = find_own(&managed.tree, &input.policy_id)?;
    let tree = &managed.tree;
    let is_used = managed.organization.policies.contains(&policy.id)
        || tree.units.values().any(|unit| unit.policies.contains(&policy.id))
        || tree.members.values().any(|member| member.policies.contains(&policy.id));
    if is_used {
        let message = "The policy is attached to one or more entities. Detach it from all roots, OUs and accounts first.";
        return Err(fault("PolicyInUseException", message));
    }
    all_tags::forget(tx, &tag::home(ctx), &managed.arn("policy", &policy.id));
    tx.delete(&format!("{PREFIX}policy/{}", policy.id));
    Ok(Default::default())
}

pub(crate) fn list(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListPoliciesInput,
    page: &Page,
) -> Result<Paged<wire::ListPoliciesOutput>, Refusal> {
    let managed = Managed::read(state, ctx)?;
    let is_ours = input.filter == wire::PolicyType::ServiceControlPolicy;
    let mut policies = vec![full_access()];
    policies.extend(managed.tree.policies.values().cloned());
    policies.retain(|_| is_ours);
    let listing = page.cut(policies, |policy| policy.id.clone());
    Ok(listing.into_output(|policies| wire::ListPoliciesOutput {
        policies: Some(policies.iter().map(|policy| summary(&managed, policy)).collect()),
        ..Default::default()
    }))
}
