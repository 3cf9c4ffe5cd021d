//! Add-ons: records of what a node does already. One is ACTIVE as soon as it is asked for.

use serde::{Deserialize, Serialize};
use trellis_frame::{Context, Kind, Page, Paged, Records, Refusal, tags};
use trellis_model::Arn;
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::Home;
use trellis_store::{Read, Reader, Transaction};

use crate::input::role;
use crate::update::Update;
use crate::version::{self, Offer};
use crate::{cluster, invalid, pod_identity, tag, wire};

pub(crate) const ADDONS: Records<Addon> = Records::new("eks", "addon");
pub(crate) static ADDON: Kind = Kind::new("addon", "ADDON");

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Addon {
    pub(crate) home: Home,
    pub(crate) cluster: String,
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) version: String,
    pub(crate) created_at: Moment,
    pub(crate) modified_at: Moment,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) configuration: Option<String>,
    /// Ids of associations that were made for it.
    #[serde(default)]
    pub(crate) associations: Vec<String>,
}

impl Addon {
    pub(crate) fn arn(&self) -> String {
        let Home { account, region } = &self.home;
        Arn::new("eks", region, account, format_args!("addon/{}/{}/{}", self.cluster, self.name, self.id))
            .to_string()
    }

    fn key(&self) -> String {
        format!("{}/{}", self.cluster, self.name)
    }

    fn describe(&self, state: &mut impl Read, status: wire::AddonStatus) -> Result<wire::Addon, Refusal> {
        let associations = self.associations.iter();
        let associations = associations.map(|id| pod_identity::arn(&self.home, &self.cluster, id)).collect();
        Ok(wire::Addon {
            addon_name: Some(self.name.clone()),
            cluster_name: Some(self.cluster.clone()),
            status: Some(status),
            addon_version: Some(self.version.clone()),
            health: Some(wire::AddonHealth { issues: Some(Vec::new()) }),
            addon_arn: Some(self.arn()),
            created_at: Some(self.created_at),
            modified_at: Some(self.modified_at),
            service_account_role_arn: self.role.clone(),
            tags: tag::of(state, &self.home, &self.arn())?,
            configuration_values: self.configuration.clone(),
            pod_identity_associations: Some(associations),
            ..Default::default()
        })
    }
}

fn check_version(offer: &Offer, asked: Option<&str>) -> Result<(), Refusal> {
    match asked {
        Some(asked) if asked != offer.version => Err(invalid(format_args!(
            "Addon version specified is not supported: {asked}; there is {}",
            offer.version
        ))),
        _ => Ok(()),
    }
}

/// There is nothing to configure: an empty structure is all that can be kept.
fn check_configuration(text: Option<&str>) -> Result<(), Refusal> {
    let is_structure =
        |text: &str| serde_json::from_str::<serde_json::Value>(text).is_ok_and(|value| value.is_object());
    match text {
        Some(text) if !text.trim().is_empty() && !is_structure(text) => {
            Err(invalid("ConfigurationValue provided in request is not supported: give JSON"))
        }
        _ => Ok(()),
    }
}

fn find(state: &mut impl Read, home: &Home, cluster: &str, name: &str) -> Result<Addon, Refusal> {
    cluster::find(state, home, cluster)?;
    ADDONS.get(state, home, format_args!("{cluster}/{name}"))?.ok_or_else(|| {
        let name = trellis_frame::refusal::shown(name);
        crate::missing(format_args!("No addon: {name} found in cluster: {cluster}"))
    })
}

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::CreateAddonInput,
) -> Result<wire::CreateAddonOutput, Refusal> {
    let home = ctx.home();
    let cluster = cluster::find_active(tx, &home, &input.cluster_name)?;
    let offer = version::offer(&input.addon_name)?;
    if ADDONS.get(tx, &home, format_args!("{}/{}", cluster.name, offer.name))?.is_some() {
        return Err(Refusal::conflict(&ADDON, offer.name, "Addon already exists."));
    }
    check_version(offer, input.addon_version.as_deref())?;
    check_configuration(input.configuration_values.as_deref())?;
    if let Some(arn) = &input.service_account_role_arn {
        role(tx, &home, arn)?;
    }
    let mut addon = Addon {
        home,
        cluster: cluster.name,
        name: offer.name.to_owned(),
        id: ctx.surroundings.random.uuid(),
        version: offer.version.to_owned(),
        created_at: ctx.now,
        modified_at: ctx.now,
        role: input.service_account_role_arn.clone(),
        configuration: input.configuration_values.clone(),
        associations: Vec::new(),
    };
    addon.associations = associate(tx, ctx, &addon, input.pod_identity_associations.as_deref())?;
    ADDONS.put(tx, &addon.home, addon.key(), &addon)?;
    tags::merge(tx, &addon.home, &addon.arn(), &input.tags.clone().unwrap_or_default())?;
    Ok(wire::CreateAddonOutput { addon: Some(addon.describe(tx, wire::AddonStatus::Active)?) })
}

fn associate(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    addon: &Addon,
    asked: Option<&[wire::AddonPodIdentityAssociations]>,
) -> Result<Vec<String>, Refusal> {
    let mut ids = Vec::new();
    for wire::AddonPodIdentityAssociations { service_account, role_arn } in asked.unwrap_or_default() {
        let owner = Some(addon.arn());
        let place =
            pod_identity::Place { cluster: &addon.cluster, namespace: "kube-system", service_account };
        ids.push(pod_identity::make(tx, ctx, &place, role_arn, owner)?.id);
    }
    Ok(ids)
}

pub(crate) fn describe(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::DescribeAddonInput,
) -> Result<wire::DescribeAddonOutput, Refusal> {
    let addon = find(state, &ctx.home(), &input.cluster_name, &input.addon_name)?;
    Ok(wire::DescribeAddonOutput { addon: Some(addon.describe(state, wire::AddonStatus::Active)?) })
}

pub(crate) fn list(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListAddonsInput,
    page: &Page,
) -> Result<Paged<wire::ListAddonsOutput>, Refusal> {
    let home = ctx.home();
    cluster::find(state, &home, &input.cluster_name)?;
    let addons = ADDONS.list_of(state, &home, &input.cluster_name, page, |_, addon| Ok(Some(addon.name)))?;
    Ok(addons.into_output(|addons| wire::ListAddonsOutput { addons: Some(addons), next_token: None }))
}

pub(crate) fn update(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::UpdateAddonInput,
) -> Result<wire::UpdateAddonOutput, Refusal> {
    use wire::UpdateParamType as Parameter;
    let home = ctx.home();
    let mut addon = find(tx, &home, &input.cluster_name, &input.addon_name)?;
    check_version(version::offer(&addon.name)?, input.addon_version.as_deref())?;
    check_configuration(input.configuration_values.as_deref())?;
    let mut parameters = vec![(Parameter::AddonVersion, addon.version.clone())];
    if let Some(arn) = &input.service_account_role_arn {
        role(tx, &home, arn)?;
        parameters.push((Parameter::ServiceAccountRoleArn, arn.clone()));
    }
    // "If you omit it, the existing role is removed."
    addon.role.clone_from(&input.service_account_role_arn);
    if let Some(values) = &input.configuration_values {
        addon.configuration = Some(values.clone());
        parameters.push((Parameter::ConfigurationValues, values.clone()));
    }
    if let Some(asked) = &input.pod_identity_associations {
        for id in std::mem::take(&mut addon.associations) {
            pod_identity::forget(tx, &home, &addon.cluster, &id)?;
        }
        addon.associations = associate(tx, ctx, &addon, Some(asked))?;
    }
    if let Some(how) = input.resolve_conflicts {
        parameters.push((Parameter::ResolveConflicts, how.as_str().to_owned()));
    }
    addon.modified_at = ctx.now;
    ADDONS.put(tx, &home, addon.key(), &addon)?;
    let update = Update {
        addon: Some(addon.name),
        ..Update::new(ctx, &addon.cluster, wire::UpdateType::AddonUpdate, parameters)
    };
    Ok(wire::UpdateAddonOutput { update: Some(update.record(tx, &home)?) })
}

pub(crate) fn delete(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::DeleteAddonInput,
) -> Result<wire::DeleteAddonOutput, Refusal> {
    let home = ctx.home();
    let addon = find(tx, &home, &input.cluster_name, &input.addon_name)?;
    let described = addon.describe(tx, wire::AddonStatus::Deleting)?;
    forget(tx, &addon)?;
    Ok(wire::DeleteAddonOutput { addon: Some(described) })
}

/// Drops an add-on with the associations that were made for it, and its tags.
pub(crate) fn forget(tx: &mut Transaction<'_>, addon: &Addon) -> Result<(), Refusal> {
    for id in &addon.associations {
        pod_identity::forget(tx, &addon.home, &addon.cluster, id)?;
    }
    tags::forget(tx, &addon.home, &addon.arn());
    ADDONS.delete(tx, &addon.home, addon.key())
}
