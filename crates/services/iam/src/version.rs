//! Versions of the account's own managed policies: five at most, one of them in force.

use trellis_frame::{Context, Kind, Page, Paged, Quota, Refusal};
use trellis_model::resource::iam::{ManagedPolicy, PolicyVersion};
use trellis_store::{Reader, Transaction};

use crate::entity::home;
use crate::managed_policy::{Policy, customers, get_any, put};
use crate::{document, fault, wire};

/// AWS has no code for this one.
pub(crate) const VERSIONS: Quota = Quota::new("iam", "VersionsPerPolicy", 5, "VersionsPerPolicy");

const KIND: Kind = Kind::new("Policy Version", "POLICY_VERSION");

/// The number of `v3`, where the policy has it.
fn number(policy: &ManagedPolicy, id: &str) -> Result<u32, Refusal> {
    let number = id.strip_prefix('v').and_then(|number| number.parse().ok());
    number.filter(|number| policy.versions.contains_key(number)).ok_or_else(|| {
        fault::missing(format_args!(
            "Policy {} version {id} does not exist or is not attachable.",
            policy.arn()
        ))
    })
}

fn shown(policy: &ManagedPolicy, number: u32, version: &PolicyVersion) -> wire::PolicyVersion {
    wire::PolicyVersion {
        document: None,
        version_id: Some(format!("v{number}")),
        is_default_version: Some(number == policy.default_version),
        create_date: Some(version.created_at),
    }
}

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::CreatePolicyVersionInput,
) -> Result<wire::CreatePolicyVersionOutput, Refusal> {
    let home = home(ctx);
    let mut policy = customers(tx, &home, &input.policy_arn)?;
    document::check_managed(&input.policy_document)?;
    ctx.quotas().check(&VERSIONS, policy.versions.len(), 1, &KIND, Some(&policy.name))?;
    let number = policy.last_version + 1;
    let version = PolicyVersion { document: input.policy_document.clone(), created_at: ctx.now };
    policy.last_version = number;
    policy.updated_at = ctx.now;
    if input.set_as_default == Some(true) {
        policy.default_version = number;
    }
    let answer = shown(&policy, number, &version);
    policy.versions.insert(number, version);
    put(tx, &home, &policy)?;
    Ok(wire::CreatePolicyVersionOutput { policy_version: Some(answer) })
}

pub(crate) fn get(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::GetPolicyVersionInput,
) -> Result<wire::GetPolicyVersionOutput, Refusal> {
    let (arn, id) = (&input.policy_arn, &input.version_id);
    let version = match get_any(state, &home(ctx), arn)? {
        Policy::Customers(policy) => {
            let number = number(&policy, id)?;
            let version = &policy.versions[&number];
            let document = Some(document::encoded(&version.document));
            wire::PolicyVersion { document, ..shown(&policy, number, version) }
        }
        Policy::Aws(policy) if id == "v1" => {
            wire::PolicyVersion { document: Some(document::encoded(policy.document)), ..aws_version() }
        }
        Policy::Aws(_) => {
            return Err(fault::missing(format_args!("Policy {arn} version {id} does not exist.")));
        }
    };
    Ok(wire::GetPolicyVersionOutput { policy_version: Some(version) })
}

/// The one version of AWS's own.
fn aws_version() -> wire::PolicyVersion {
    wire::PolicyVersion {
        document: None,
        version_id: Some("v1".to_owned()),
        is_default_version: Some(true),
        create_date: Some(jiff::Timestamp::UNIX_EPOCH.into()),
    }
}

pub(crate) fn list(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListPolicyVersionsInput,
    page: &Page,
) -> Result<Paged<wire::ListPolicyVersionsOutput>, Refusal> {
    let mut versions = match get_any(state, &home(ctx), &input.policy_arn)? {
        Policy::Aws(_) => vec![(u32::MAX - 1, aws_version())],
        Policy::Customers(policy) => {
            // The newest first.
            let all = policy.versions.iter().rev();
            all.map(|(number, version)| (u32::MAX - number, shown(&policy, *number, version))).collect()
        }
    };
    versions.sort_by_key(|(order, _)| *order);
    let listing = page.cut(versions, |(order, _)| format!("{order:010}"));
    Ok(listing.into_output(|versions| wire::ListPolicyVersionsOutput {
        versions: Some(versions.into_iter().map(|(_, version)| version).collect()),
        ..Default::default()
    }))
}

pub(crate) fn set_default(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::SetDefaultPolicyVersionInput,
) -> Result<wire::SetDefaultPolicyVersionOutput, Refusal> {
    let home = home(ctx);
    let mut policy = customers(tx, &home, &input.policy_arn)?;
    policy.default_version = number(&policy, &input.version_id)?;
    policy.updated_at = ctx.now;
    put(tx, &home, &policy)?;
    Ok(Default::default())
}

pub(crate) fn delete(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::DeletePolicyVersionInput,
) -> Result<wire::DeletePolicyVersionOutput, Refusal> {
    let home = home(ctx);
    let mut policy = customers(tx, &home, &input.policy_arn)?;
    let number = number(&policy, &input.version_id)?;
    if number == policy.default_version {
        return Err(fault::in_use("Cannot delete the default version of a policy."));
    }
    policy.versions.remove(&number);
    put(tx, &home, &policy)?;
    Ok(Default::default())
}
