//! The managed associations: those of the children of an associated group.

use trellis_frame::Context;
use trellis_model::ResourceConfigurationId;
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::{ResourceAssociation, ResourceConfiguration, Status};
use trellis_store::{Read, Transaction};

use super::{new_id, of_resource};
use crate::association::{self, Association as _};
use crate::place::Place;
use crate::refusal::Refusal;
use crate::resource_configuration;

/// Begins one for each child of the group that `association` has just been begun for.
pub(super) fn begin_all(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    association: &ResourceAssociation,
) -> Result<(), Refusal> {
    for child in children(tx, association)? {
        if child.status.is_in_force() {
            begin(tx, ctx, association, &child)?;
        }
    }
    Ok(())
}

/// Ends those that came with the association of a group.
pub(super) fn end_all(
    tx: &mut Transaction<'_>,
    place: &Place,
    association: &ResourceAssociation,
    now: Moment,
) -> Result<(), Refusal> {
    for child in children(tx, association)? {
        for mut managed in of_resource(tx, place, &child.id)? {
            if managed.managed_by.as_ref() == Some(&association.id) {
                managed.set_status(Status::DeleteInProgress, now);
                association::save_pending(tx, &managed);
            }
        }
    }
    Ok(())
}

/// Associates a new child with every network its group is associated with.
pub(crate) fn adopt(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    place: &Place,
    child: &ResourceConfiguration,
) -> Result<(), Refusal> {
    let Some(group) = &child.group else { return Ok(()) };
    for association in of_resource(tx, place, group)? {
        if association.status.is_in_force() {
            begin(tx, ctx, &association, child)?;
        }
    }
    Ok(())
}

/// Ends the associations of a child that goes.
pub(crate) fn release(
    tx: &mut Transaction<'_>,
    place: &Place,
    child: &ResourceConfigurationId,
) -> Result<(), Refusal> {
    for mut association in of_resource(tx, place, child)? {
        association.status = Status::DeleteInProgress;
        association::save_pending(tx, &association);
    }
    Ok(())
}

/// Begins the association of a child that comes with its group's.
fn begin(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    group: &ResourceAssociation,
    child: &ResourceConfiguration,
) -> Result<(), Refusal> {
    let association = ResourceAssociation {
        id: new_id(tx, ctx, &group.home, &group.network)?,
        resource: child.id.clone(),
        resource_name: child.name.clone(),
        resource_arn: child.arn(),
        kind: child.kind,
        managed_by: Some(group.id.clone()),
        custom_domain_name: child.custom_domain_name.clone(),
        status: Status::CreateInProgress,
        failure: None,
        created_at: ctx.now,
        last_updated_at: ctx.now,
        ..group.clone()
    };
    association::begin(tx, &association)?;
    Ok(())
}

/// The children of an associated group.
fn children(
    state: &mut impl Read,
    group: &ResourceAssociation,
) -> Result<Vec<ResourceConfiguration>, Refusal> {
    resource_configuration::children(state, &Place::new(group.far_home()), &group.resource)
}
