//! The organisation itself and its one root; the type of policies that is on; services that may act in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use trellis_frame::access_key::{self, Rights};
use trellis_frame::{Context, Page, Paged, Refusal, Surroundings, account, organization};
use trellis_model::moment::Moment;
use trellis_model::resource::organization::{Organization, Record, first_policies};
use trellis_store::{Reader, Transaction};

use crate::node::{LETTERS, Managed, ROOT_NAME};
use crate::{fault, wire};

/// The organisation is there before the first call, and its management account is the admin key's.
pub(crate) async fn found(surroundings: &Arc<Surroundings>) -> Result<(), Refusal> {
    let random = &surroundings.random;
    let (id, root) = (format!("o-{}", random.text(10, LETTERS)), format!("r-{}", random.text(4, LETTERS)));
    let now = Moment::from(surroundings.clock.now());
    surroundings
        .store
        .transact(move |tx| {
            let keys = access_key::list(tx, None)?;
            let Some((_, admin)) = keys.into_iter().find(|(_, key)| key.rights == Rights::Admin) else {
                return Ok(());
            };
            let known = organization::find(tx)?;
            let found = match known {
                Some(known) if known.management == admin.account => return Ok(()),
                Some(known) => Organization { management: admin.account, ..known },
                None => Organization {
                    id: id.clone(),
                    root: root.clone(),
                    management: admin.account,
                    created_at: now,
                    is_bounding: false,
                    policies: first_policies(),
                    trusted: BTreeMap::new(),
                },
            };
            organization::put(tx, &Record::Organization(found))
        })
        .await?;
    Ok(())
}

fn policy_types(organization: &Organization) -> Vec<wire::PolicyTypeSummary> {
    let on = wire::PolicyTypeSummary {
        r#type: Some(wire::PolicyType::ServiceControlPolicy),
        status: Some(wire::PolicyTypeStatus::Enabled),
    };
    if organization.is_bounding { vec![on] } else { Vec::new() }
}

/// Every account of it may know of it.
pub(crate) fn describe(
    state: &mut Reader,
    _: &Context,
    _: &wire::DescribeOrganizationInput,
) -> Result<wire::DescribeOrganizationOutput, Refusal> {
    let seen = Managed::seen(state)?;
    let organization = &seen.organization;
    Ok(wire::DescribeOrganizationOutput {
        organization: Some(wire::Organization {
            id: Some(organization.id.clone()),
            arn: Some(seen.arn("organization", "")),
            feature_set: Some(wire::OrganizationFeatureSet::All),
            master_account_arn: Some(seen.account_arn(&organization.management)),
            master_account_id: Some(organization.management.to_string()),
            available_policy_types: Some(policy_types(organization)),
            ..Default::default()
        }),
    })
}

fn root(managed: &Managed, organization: &Organization) -> wire::Root {
    wire::Root {
        id: Some(organization.root.clone()),
        arn: Some(managed.arn("root", &organization.root)),
        name: Some(ROOT_NAME.to_owned()),
        policy_types: Some(policy_types(organization)),
    }
}

pub(crate) fn roots(
    state: &mut Reader,
    ctx: &Context,
    _: &wire::ListRootsInput,
    page: &Page,
) -> Result<Paged<wire::ListRootsOutput>, Refusal> {
    let managed = Managed::read(state, ctx)?;
    let roots = vec![root(&managed, &managed.organization)];
    let listing = page.cut(roots, |root| root.id.clone().unwrap_or_default());
    Ok(listing.into_output(|roots| wire::ListRootsOutput { roots: Some(roots), ..Default::default() }))
}

fn check_root(managed: &Managed, id: &str) -> Result<(), Refusal> {
    if id == managed.organization.root {
        return Ok(());
    }
    Err(fault("RootNotFoundException", "We can't find a root with the RootId that you specified."))
}

/// The one type of policies there is.
pub(crate) fn check_type(kind: wire::PolicyType) -> Result<(), Refusal> {
    if kind == wire::PolicyType::ServiceControlPolicy {
        return Ok(());
    }
    Err(fault(
        "PolicyTypeNotAvailableForOrganizationException",
        format_args!("{kind} is not supported: only SERVICE_CONTROL_POLICY is"),
    ))
}

/// "When you enable it again every node has FullAWSAccess, and nothing else."
pub(crate) fn enable(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::EnablePolicyTypeInput,
) -> Result<wire::EnablePolicyTypeOutput, Refusal> {
    let managed = Managed::read(tx, ctx)?;
    check_root(&managed, &input.root_id)?;
    check_type(input.policy_type)?;
    if managed.organization.is_bounding {
        let message = "The specified policy type is already enabled.";
        return Err(fault("PolicyTypeAlreadyEnabledException", message));
    }
    let organization = switch(tx, &managed, true)?;
    Ok(wire::EnablePolicyTypeOutput { root: Some(root(&managed, &organization)) })
}

pub(crate) fn disable(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::DisablePolicyTypeInput,
) -> Result<wire::DisablePolicyTypeOutput, Refusal> {
    let managed = Managed::read(tx, ctx)?;
    check_root(&managed, &input.root_id)?;
    check_type(input.policy_type)?;
    if !managed.organization.is_bounding {
        let message = "The specified policy type isn't currently enabled in this root.";
        return Err(fault("PolicyTypeNotEnabledException", message));
    }
    let organization = switch(tx, &managed, false)?;
    Ok(wire::DisablePolicyTypeOutput { root: Some(root(&managed, &organization)) })
}

fn switch(tx: &mut Transaction<'_>, managed: &Managed, is_on: bool) -> Result<Organization, Refusal> {
    let accounts = account::every(tx)?;
    for (target, ..) in managed.targets(&accounts) {
        if managed.policies(&target) != first_policies() {
            managed.set_policies(tx, &target, first_policies())?;
        }
    }
    let organization =
        Organization { is_bounding: is_on, policies: first_policies(), ..managed.organization.clone() };
    organization::put(tx, &Record::Organization(organization.clone()))?;
    Ok(organization)
}

/// Services that may be trusted, at most.
const MOST_TRUSTED: usize = 100;

pub(crate) fn trust(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::EnableAWSServiceAccessInput,
) -> Result<wire::EnableAWSServiceAccessOutput, Refusal> {
    let mut organization = Managed::read(tx, ctx)?.organization;
    let service = &input.service_principal;
    if !service.ends_with(".amazonaws.com") || organization.trusted.len() >= MOST_TRUSTED {
        let message = "You specified an unrecognized service principal.";
        return Err(fault("InvalidInputException", message));
    }
    organization.trusted.entry(service.clone()).or_insert(ctx.now);
    organization::put(tx, &Record::Organization(organization))?;
    Ok(Default::default())
}

pub(crate) fn distrust(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::DisableAWSServiceAccessInput,
) -> Result<wire::DisableAWSServiceAccessOutput, Refusal> {
    let mut organization = Managed::read(tx, ctx)?.organization;
    organization.trusted.remove(&input.service_principal);
    organization::put(tx, &Record::Organization(organization))?;
    Ok(Default::default())
}

pub(crate) fn trusted(
    state: &mut Reader,
    ctx: &Context,
    _: &wire::ListAWSServiceAccessForOrganizationInput,
    page: &Page,
) -> Result<Paged<wire::ListAWSServiceAccessForOrganizationOutput>, Refusal> {
    let managed = Managed::read(state, ctx)?;
    let services = managed.organization.trusted.iter();
    let shown = services.map(|(service, since)| wire::EnabledServicePrincipal {
        service_principal: Some(service.clone()),
        date_enabled: Some(*since),
    });
    let listing = page.cut(shown.collect(), |found| found.service_principal.clone().unwrap_or_default());
    Ok(listing.into_output(|found| wire::ListAWSServiceAccessForOrganizationOutput {
        enabled_service_principals: Some(found),
        ..Default::default()
    }))
}
