//! Organisational units.

use trellis_frame::{Context, Page, Paged, Refusal, organization, tags as all_tags};
use trellis_model::resource::organization::{DEEPEST, PREFIX, Record, Unit, first_policies};
use trellis_store::{Reader, Transaction};

use crate::node::{LETTERS, Managed};
use crate::{fault, tag, wire};

/// Units of an organisation: AWS's default quota.
const MOST: usize = 2000;

fn shown(managed: &Managed, unit: &Unit) -> wire::OrganizationalUnit {
    wire::OrganizationalUnit {
        id: Some(unit.id.clone()),
        arn: Some(managed.arn("ou", &unit.id)),
        name: Some(unit.name.clone()),
        path: managed.tree.path(&unit.id),
    }
}

fn find<'m>(managed: &'m Managed, id: &str) -> Result<&'m Unit, Refusal> {
    managed.tree.units.get(id).ok_or_else(|| {
        let message = "We can't find an OU with the OrganizationalUnitId that you specified.";
        fault("OrganizationalUnitNotFoundException", message)
    })
}

pub(crate) fn check_parent(managed: &Managed, id: &str) -> Result<(), Refusal> {
    match managed.parent(id) {
        Some(_) => Ok(()),
        None => Err(fault(
            "ParentNotFoundException",
            "We can't find a root or OU with the ParentId that you specified.",
        )),
    }
}

fn check_name(managed: &Managed, parent: &str, name: &str) -> Result<(), Refusal> {
    if managed.tree.units.values().any(|unit| unit.parent == parent && unit.name == name) {
        let message = "An OU with the same name already exists.";
        return Err(fault("DuplicateOrganizationalUnitException", message));
    }
    Ok(())
}

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::CreateOrganizationalUnitInput,
) -> Result<wire::CreateOrganizationalUnitOutput, Refusal> {
    let mut managed = Managed::read(tx, ctx)?;
    check_parent(&managed, &input.parent_id)?;
    check_name(&managed, &input.parent_id, &input.name)?;
    if managed.tree.units.len() >= MOST {
        let message = format_args!("An organization has at most {MOST} OUs.");
        return Err(fault("ConstraintViolationException", message));
    }
    if managed.tree.units_to(&input.parent_id).len() >= DEEPEST {
        let message = format_args!("OUs are at most {DEEPEST} levels deep.");
        return Err(fault("ConstraintViolationException", message));
    }
    let root = managed.organization.root.trim_start_matches("r-");
    let unit = Unit {
        id: format!("ou-{root}-{}", ctx.surroundings.random.text(8, LETTERS)),
        name: input.name.clone(),
        parent: input.parent_id.clone(),
        policies: first_policies(),
    };
    organization::put(tx, &Record::Unit(unit.clone()))?;
    tag::merge(tx, ctx, &managed.arn("ou", &unit.id), input.tags.as_ref())?;
    managed.tree.add(Record::Unit(unit.clone()));
    Ok(wire::CreateOrganizationalUnitOutput { organizational_unit: Some(shown(&managed, &unit)) })
}

pub(crate) fn describe(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::DescribeOrganizationalUnitInput,
) -> Result<wire::DescribeOrganizationalUnitOutput, Refusal> {
    let managed = Managed::read(state, ctx)?;
    let unit = find(&managed, &input.organizational_unit_id)?;
    Ok(wire::DescribeOrganizationalUnitOutput { organizational_unit: Some(shown(&managed, unit)) })
}

pub(crate) fn update(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::UpdateOrganizationalUnitInput,
) -> Result<wire::UpdateOrganizationalUnitOutput, Refusal> {
    let managed = Managed::read(tx, ctx)?;
    let mut unit = find(&managed, &input.organizational_unit_id)?.clone();
    if let Some(name) = input.name.as_ref().filter(|name| **name != unit.name) {
        check_name(&managed, &unit.parent, name)?;
        unit.name = name.clone();
        organization::put(tx, &Record::Unit(unit.clone()))?;
    }
    Ok(wire::UpdateOrganizationalUnitOutput { organizational_unit: Some(shown(&managed, &unit)) })
}

pub(crate) fn delete(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::DeleteOrganizationalUnitInput,
) -> Result<wire::DeleteOrganizationalUnitOutput, Refusal> {
    let managed = Managed::read(tx, ctx)?;
    let unit = find(&managed, &input.organizational_unit_id)?;
    let has_units = managed.tree.units.values().any(|other| other.parent == unit.id);
    if has_units || managed.tree.members.values().any(|member| member.parent == unit.id) {
        let message = "The OU isn't empty. Move all accounts and delete all child OUs first.";
        return Err(fault("OrganizationalUnitNotEmptyException", message));
    }
    all_tags::forget(tx, &tag::home(ctx), &managed.arn("ou", &unit.id));
    tx.delete(&format!("{PREFIX}unit/{}", unit.id));
    Ok(Default::default())
}

pub(crate) fn list_for_parent(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListOrganizationalUnitsForParentInput,
    page: &Page,
) -> Result<Paged<wire::ListOrganizationalUnitsForParentOutput>, Refusal> {
    let managed = Managed::read(state, ctx)?;
    check_parent(&managed, &input.parent_id)?;
    let units = managed.tree.units.values().filter(|unit| unit.parent == input.parent_id);
    let shown = units.map(|unit| shown(&managed, unit)).collect();
    let listing = page.cut(shown, |unit: &wire::OrganizationalUnit| unit.id.clone().unwrap_or_default());
    Ok(listing.into_output(|units| wire::ListOrganizationalUnitsForParentOutput {
        organizational_units: Some(units),
        ..Default::default()
    }))
}
