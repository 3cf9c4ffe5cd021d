//! Service-linked roles: made for one service, named by it, changed by nobody else.

use serde::{Deserialize, Serialize};
use trellis_frame::{Context, Records, Refusal};
use trellis_model::resource::iam::{self, Permissions, Role};
use trellis_store::{Entry, Reader, Transaction};

use crate::entity::{delete as delete_entity, get, home, unique_id};
use crate::wire::{self, DeletionTaskStatusType};
use crate::{fault, role};

/// Services that have such a role, and its name.
const LINKED: &[(&str, &str)] = &[
    ("autoscaling.amazonaws.com", "AWSServiceRoleForAutoScaling"),
    ("delivery.logs.amazonaws.com", "AWSServiceRoleForLogDelivery"),
    ("eks.amazonaws.com", "AWSServiceRoleForAmazonEKS"),
    ("eks-nodegroup.amazonaws.com", "AWSServiceRoleForAmazonEKSNodegroup"),
    ("elasticloadbalancing.amazonaws.com", "AWSServiceRoleForElasticLoadBalancing"),
    ("organizations.amazonaws.com", "AWSServiceRoleForOrganizations"),
    ("ram.amazonaws.com", "AWSServiceRoleForResourceAccessManager"),
    ("spot.amazonaws.com", "AWSServiceRoleForEC2Spot"),
    ("vpc-lattice.amazonaws.com", "AWSServiceRoleForVpcLattice"),
];

/// The last deletion of a role of a name. It is over when it is answered; clients ask nevertheless.
#[derive(Debug, Serialize, Deserialize)]
struct Deletion {
    task: String,
}

const DELETION: &str = "deletion";
const DELETIONS: Records<Deletion> = Records::new(iam::SERVICE, DELETION);

/// What is remembered of a role that is gone keeps no account.
pub(crate) fn is_remnant(_: &mut Transaction<'_>, entry: &Entry) -> Result<bool, Refusal> {
    Ok(entry.key.split('/').nth(3) == Some(DELETION))
}

/// The name of the role of `service`, with the suffix some services let callers choose.
pub(crate) fn name(service: &str, suffix: Option<&str>) -> Option<String> {
    let (_, name) = LINKED.iter().find(|(linked, _)| *linked == service)?;
    Some(match suffix {
        Some(suffix) => format!("{name}_{suffix}"),
        None => (*name).to_owned(),
    })
}

pub(crate) fn path(service: &str) -> String {
    format!("{}{service}/", role::LINKED_PATH)
}

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::CreateServiceLinkedRoleInput,
) -> Result<wire::CreateServiceLinkedRoleOutput, Refusal> {
    let home = home(ctx);
    let service = &input.aws_service_name;
    let Some(name) = name(service, input.custom_suffix.as_deref()) else {
        let known: Vec<&str> = LINKED.iter().map(|(service, _)| *service).collect();
        return Err(fault::invalid(format_args!(
            "AWSServiceName: {service} has no service-linked role here, expected one of {}",
            known.join(", ")
        )));
    };
    if crate::entity::find::<Role>(tx, &home, &name)?.is_some() {
        return Err(fault::invalid(format_args!(
            "Service role name {name} has been taken in this account, please try a different suffix."
        )));
    }
    let made = Role {
        account: ctx.caller.account.clone(),
        path: path(service),
        name,
        id: unique_id("AROA", &ctx.surroundings.random),
        created_at: ctx.now,
        description: input.description.clone(),
        trust_policy: format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"Service":["{service}"]}},"Action":["sts:AssumeRole"]}}]}}"#
        ),
        max_session_duration: role::SESSION,
        permissions: Permissions::default(),
        linked_to: Some(service.clone()),
    };
    role::insert(tx, ctx, &home, &made, None)?;
    Ok(wire::CreateServiceLinkedRoleOutput { role: Some(role::shown(&made, None)) })
}

pub(crate) fn delete(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::DeleteServiceLinkedRoleInput,
) -> Result<wire::DeleteServiceLinkedRoleOutput, Refusal> {
    let home = home(ctx);
    let found: Role = get(tx, &home, &input.role_name)?;
    if found.linked_to.is_none() {
        return Err(fault::invalid(format_args!("{} is not a service-linked role", found.name)));
    }
    role::check_unused(tx, &found)?;
    delete_entity(tx, &home, &found)?;
    let task = format!("task{}{}/{}", found.path, found.name, ctx.surroundings.random.uuid());
    DELETIONS.put(tx, &home, iam::id(&found.name), &Deletion { task: task.clone() })?;
    Ok(wire::DeleteServiceLinkedRoleOutput { deletion_task_id: task })
}

pub(crate) fn deletion_status(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::GetServiceLinkedRoleDeletionStatusInput,
) -> Result<wire::GetServiceLinkedRoleDeletionStatusOutput, Refusal> {
    let id = &input.deletion_task_id;
    let name = id.rsplit('/').nth(1).unwrap_or_default();
    let last = DELETIONS.get(state, &home(ctx), iam::id(name))?;
    match last.filter(|deletion| deletion.task == *id) {
        Some(_) => Ok(wire::GetServiceLinkedRoleDeletionStatusOutput {
            status: DeletionTaskStatusType::Succeeded,
            reason: None,
        }),
        None => Err(fault::missing(format_args!("There is no deletion task {id}."))),
    }
}
