//! Target groups: what the targets are, how they are spoken to, how their health is checked.

mod config;

use serde::{Deserialize, Serialize};
use trellis_frame::counted;
use trellis_frame::page::{Listing, Page};
use trellis_frame::record::{all, any, decode, get, get_id, put, put_pending};
use trellis_frame::tags::{self as tag_set, Tags};
use trellis_frame::{Context, reference};
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::{
    HealthCheckConfig, IpAddressType, LambdaEventStructureVersion, Status, Target, TargetGroup,
    TargetGroupConfig, TargetGroupProtocol, TargetGroupType,
};
use trellis_model::{TargetGroupId, VpcId};
use trellis_store::{Read, Reader, Transaction};

use self::config::Config;
use super::place::{Place, kind};
use super::{action, health_check, identifier, vpc};
use crate::quota;
use crate::refusal::{
    Kind, Refusal, check_name_is_free, check_quota, check_settled, conflict, invalid, not_found,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Create {
    name: String,
    #[serde(rename = "type")]
    kind: TargetGroupType,
    config: Option<Config>,
    #[serde(default)]
    tags: Tags,
}

/// What answers say of a target group, each with its own selection.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Description {
    id: TargetGroupId,
    arn: String,
    name: String,
    #[serde(rename = "type")]
    kind: TargetGroupType,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<TargetGroupConfig>,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_arns: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_updated_at: Option<Moment>,
}

impl From<TargetGroup> for Description {
    /// What CreateTargetGroup and UpdateTargetGroup answer.
    fn from(group: TargetGroup) -> Self {
        Self {
            arn: group.arn(),
            id: group.id,
            name: group.name,
            kind: group.kind,
            config: group.config,
            status: group.status,
            service_arns: None,
            failure_code: None,
            failure_message: None,
            created_at: None,
            last_updated_at: None,
        }
    }
}

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &Create,
) -> Result<Description, Refusal> {
    let place = Place::new(ctx.home());
    let config = config::normalise(tx, &place, input.kind, input.config.as_ref())?;
    let name_key = place.name(kind::TARGET_GROUP, &input.name);
    check_name_is_free(get_id(tx, &name_key)?, Kind::TargetGroup, &input.name, &place.home.account)?;
    let have = counted::count(tx, &place.names(kind::TARGET_GROUP))?;
    check_quota(ctx.quotas(), &quota::TARGET_GROUPS_PER_REGION, have, 1, Kind::TargetGroup, None)?;
    let group = TargetGroup {
        id: TargetGroupId::from_random(ctx.random()),
        home: place.home.clone(),
        name: input.name.clone(),
        kind: input.kind,
        config,
        status: Status::CreateInProgress,
        failure: None,
        created_at: ctx.now,
        last_updated_at: ctx.now,
    };
    tag_set::merge(tx, &place.home, &group.arn(), &input.tags)?;
    counted::put(tx, &name_key, group.id.as_str().into())?;
    if let Some(vpc) = vpc_of(&group) {
        reference::hold(tx, &vpc::arn(&place.home, vpc), &group.arn());
    }
    put_pending(tx, &place.scope, kind::TARGET_GROUP, &group.id, &group);
    Ok(group.into())
}

fn vpc_of(group: &TargetGroup) -> Option<&VpcId> {
    group.config.as_ref()?.vpc_identifier.as_ref()
}

/// The target group `text` means.
pub(crate) fn find(state: &mut impl Read, place: &Place, text: &str) -> Result<TargetGroup, Refusal> {
    let id = identifier::target_group(text, &place.home)?;
    get(state, &place.target_group(&id))?.ok_or_else(|| not_found(Kind::TargetGroup, id))
}

/// The target group `text` means, settled.
///
/// # Errors
/// Also `ConflictException` while it is being made or removed.
pub(crate) fn find_for_change(
    state: &mut impl Read,
    place: &Place,
    text: &str,
) -> Result<TargetGroup, Refusal> {
    let group = find(state, place, text)?;
    check_settled(Kind::TargetGroup, &group.id, group.status)?;
    Ok(group)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Identify {
    target_group_identifier: String,
}

/// ARNs of the services that forward to the group: none or one.
fn service_arns(state: &mut impl Read, place: &Place, id: &TargetGroupId) -> Result<Vec<String>, Refusal> {
    let services = action::users(state, place, id)?;
    Ok(services.iter().map(|id| place.home.lattice_arn(format_args!("service/{id}"))).collect())
}

pub(crate) fn get_one(state: &mut Reader, ctx: &Context, input: &Identify) -> Result<Description, Refusal> {
    let place = Place::new(ctx.home());
    let group = find(state, &place, &input.target_group_identifier)?;
    let (failure_code, failure_message) =
        group.failure.clone().map(|failure| (failure.code, failure.message)).unzip();
    Ok(Description {
        service_arns: Some(service_arns(state, &place, &group.id)?),
        failure_code,
        failure_message,
        created_at: Some(group.created_at),
        last_updated_at: Some(group.last_updated_at),
        ..group.into()
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct List {
    max_results: Option<u16>,
    next_token: Option<String>,
    vpc_identifier: Option<String>,
    target_group_type: Option<TargetGroupType>,
}

/// A group in a list: parts of its config stand beside everything else.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Summary {
    #[serde(flatten)]
    description: Description,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<TargetGroupProtocol>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip_address_type: Option<IpAddressType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vpc_identifier: Option<VpcId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lambda_event_structure_version: Option<LambdaEventStructureVersion>,
}

pub(crate) fn list(state: &mut Reader, ctx: &Context, input: &List) -> Result<Listing<Summary>, Refusal> {
    let place = Place::new(ctx.home());
    let page = Page::new(input.max_results, input.next_token.as_deref())?;
    page.list(state, &place.scope.records(kind::TARGET_GROUP), |state, entry| {
        let group: TargetGroup = decode(entry)?;
        let is_of_vpc = input
            .vpc_identifier
            .as_deref()
            .is_none_or(|wanted| vpc_of(&group).is_some_and(|vpc| vpc.as_str() == wanted));
        if !is_of_vpc || input.target_group_type.is_some_and(|wanted| wanted != group.kind) {
            return Ok(None);
        }
        let config = group.config.clone().unwrap_or_default();
        Ok(Some(Summary {
            port: config.port,
            protocol: config.protocol,
            ip_address_type: config.ip_address_type,
            vpc_identifier: config.vpc_identifier,
            lambda_event_structure_version: config.lambda_event_structure_version,
            description: Description {
                service_arns: Some(service_arns(state, &place, &group.id)?),
                created_at: Some(group.created_at),
                last_updated_at: Some(group.last_updated_at),
                config: None,
                ..group.into()
            },
        }))
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Update {
    target_group_identifier: String,
    health_check: HealthCheckConfig,
}

pub(crate) fn update(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &Update,
) -> Result<Description, Refusal> {
    let place = Place::new(ctx.home());
    let mut group = find_for_change(tx, &place, &input.target_group_identifier)?;
    let config = group.config.as_mut().filter(|_| group.kind.has_health_check());
    let Some((config, protocol)) =
        config.and_then(|config| config.protocol.map(|protocol| (config, protocol)))
    else {
        return Err(invalid("healthCheck", "does not apply to target groups of this type"));
    };
    let kept = config.health_check.take().unwrap_or_default();
    let asked = health_check::update(&kept, &input.health_check);
    config.health_check = Some(health_check::normalise(Some(&asked), protocol, config.protocol_version)?);
    group.last_updated_at = ctx.now;
    put(tx, &place.target_group(&group.id), &group);
    Ok(group.into())
}

#[derive(Debug, Serialize)]
pub(crate) struct Deleted {
    id: TargetGroupId,
    arn: String,
    status: Status,
}

pub(crate) fn delete(tx: &mut Transaction<'_>, ctx: &Context, input: &Identify) -> Result<Deleted, Refusal> {
    let place = Place::new(ctx.home());
    let text = &input.target_group_identifier;
    let mut group = match find(tx, &place, text) {
        // The operation has no `AccessDeniedException`.
        Err(Refusal::Denied { .. }) => {
            return Err(not_found(Kind::TargetGroup, text));
        }
        found => found?,
    };
    let id = &group.id;
    if group.status == Status::CreateInProgress {
        return Err(conflict(Kind::TargetGroup, id, format_args!("TargetGroup {id} is CREATE_IN_PROGRESS")));
    }
    if any(tx, &place.uses_of_group(id))? {
        let message = format_args!("TargetGroup {id} is in use by a listener or rule of a service");
        return Err(conflict(Kind::TargetGroup, id, message));
    }
    if any(tx, &place.targets(id))? {
        return Err(conflict(Kind::TargetGroup, id, "TargetGroup has targets registered with it"));
    }
    if group.status != Status::DeleteInProgress {
        group.status = Status::DeleteInProgress;
        group.last_updated_at = ctx.now;
        put_pending(tx, &place.scope, kind::TARGET_GROUP, &group.id, &group);
    }
    Ok(Deleted { arn: group.arn(), id: group.id, status: group.status })
}

/// One step of the workflow: a group that was being made is there, one that was going is gone.
pub(crate) fn settle(
    tx: &mut Transaction<'_>,
    place: &Place,
    id: &TargetGroupId,
    now: Moment,
) -> Result<(), Refusal> {
    let Some(mut group) = get::<TargetGroup>(tx, &place.target_group(id))? else { return Ok(()) };
    match group.status {
        Status::CreateInProgress => {
            group.status = Status::Active;
            group.last_updated_at = now;
            put(tx, &place.target_group(id), &group);
        }
        Status::DeleteInProgress => {
            for target in all::<Target>(tx, &place.targets(id))? {
                counted::delete(tx, &place.target(id, &target.id, target.port.unwrap_or(0)))?;
            }
            reference::release_all(tx, &group.arn())?;
            tag_set::forget(tx, &place.home, &group.arn());
            counted::delete(tx, &place.name(kind::TARGET_GROUP, &group.name))?;
            tx.delete(&place.target_group(id));
        }
        _ => {}
    }
    Ok(())
}
