//! Pod identity associations: which role the pods of a service account have.

use serde::{Deserialize, Serialize};
use trellis_frame::{Context, Kind, Page, Paged, Records, Refusal, tags};
use trellis_model::Arn;
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::Home;
use trellis_store::{Read, Reader, Transaction};

use crate::cluster;
use crate::input::{is_kubernetes_name, refuse_when, role};
use crate::{invalid, tag, wire};

pub(crate) const ASSOCIATIONS: Records<Association> = Records::new("eks", "pod-identity");
pub(crate) static ASSOCIATION: Kind = Kind::new("association", "POD_IDENTITY_ASSOCIATION");

/// An association as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Association {
    pub home: Home,
    pub cluster: String,
    /// `a-` and 17 digits.
    pub id: String,
    pub namespace: String,
    pub service_account: String,
    pub role: String,
    pub without_session_tags: bool,
    /// The add-on it was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    pub created_at: Moment,
    pub modified_at: Moment,
}

impl Association {
    pub fn arn(&self) -> String {
        arn(&self.home, &self.cluster, &self.id)
    }

    fn key(&self) -> String {
        format!("{}/{}", self.cluster, self.id)
    }

    fn describe(&self, state: &mut impl Read) -> Result<wire::PodIdentityAssociation, Refusal> {
        Ok(wire::PodIdentityAssociation {
            cluster_name: Some(self.cluster.clone()),
            namespace: Some(self.namespace.clone()),
            service_account: Some(self.service_account.clone()),
            role_arn: Some(self.role.clone()),
            association_arn: Some(self.arn()),
            association_id: Some(self.id.clone()),
            tags: tag::of(state, &self.home, &self.arn())?,
            created_at: Some(self.created_at),
            modified_at: Some(self.modified_at),
            owner_arn: self.owner.clone(),
            disable_session_tags: Some(self.without_session_tags),
            ..Default::default()
        })
    }
}

pub(crate) fn arn(home: &Home, cluster: &str, id: &str) -> String {
    Arn::new("eks", &home.region, &home.account, format_args!("podidentityassociation/{cluster}/{id}"))
        .to_string()
}

/// The association of a service account, if it has one.
///
/// # Errors
/// A state that cannot be read.
pub fn find(
    state: &mut impl Read,
    home: &Home,
    cluster: &str,
    (namespace, service_account): (&str, &str),
) -> Result<Option<Association>, Refusal> {
    let all = ASSOCIATIONS.all_of(state, home, cluster)?;
    Ok(all.into_iter().find(|known| known.namespace == namespace && known.service_account == service_account))
}

fn named(state: &mut impl Read, home: &Home, cluster: &str, id: &str) -> Result<Association, Refusal> {
    cluster::find(state, home, cluster)?;
    ASSOCIATIONS.get(state, home, format_args!("{cluster}/{id}"))?.ok_or_else(|| {
        let id = trellis_frame::refusal::shown(id);
        crate::missing(format_args!("Association not found for associationId: {id}"))
    })
}

/// A service account of a cluster.
pub(crate) struct Place<'a> {
    pub(crate) cluster: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) service_account: &'a str,
}

/// Makes an association.
///
/// # Errors
/// `InvalidParameterException`, `ResourceInUseException`.
pub(crate) fn make(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    place: &Place<'_>,
    role_arn: &str,
    owner: Option<String>,
) -> Result<Association, Refusal> {
    let home = ctx.home();
    let Place { cluster, namespace, service_account } = *place;
    let cluster = cluster::find_active(tx, &home, cluster)?;
    if !is_kubernetes_name(namespace) || !is_kubernetes_name(service_account) {
        return Err(invalid("The namespace or serviceAccount is not the name of one in Kubernetes"));
    }
    role(tx, &home, role_arn)?;
    if let Some(known) = find(tx, &home, &cluster.name, (namespace, service_account))? {
        let message = format!("Association already exists: {}", known.id);
        return Err(Refusal::conflict(&ASSOCIATION, &known.id, message));
    }
    let association = Association {
        id: format!("a-{:016x}{:x}", ctx.random(), ctx.random() & 0xf),
        cluster: cluster.name,
        namespace: namespace.to_owned(),
        service_account: service_account.to_owned(),
        role: role_arn.to_owned(),
        without_session_tags: false,
        owner,
        created_at: ctx.now,
        modified_at: ctx.now,
        home,
    };
    ASSOCIATIONS.put(tx, &association.home, association.key(), &association)?;
    Ok(association)
}

/// Drops one that may be gone already.
pub(crate) fn forget(tx: &mut Transaction<'_>, home: &Home, cluster: &str, id: &str) -> Result<(), Refusal> {
    tags::forget(tx, home, &arn(home, cluster, id));
    ASSOCIATIONS.delete(tx, home, format_args!("{cluster}/{id}"))
}

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::CreatePodIdentityAssociationInput,
) -> Result<wire::CreatePodIdentityAssociationOutput, Refusal> {
    refuse_when(input.target_role_arn.is_some(), "targetRoleArn")?;
    refuse_when(input.policy.is_some(), "policy")?;
    let place = Place {
        cluster: &input.cluster_name,
        namespace: &input.namespace,
        service_account: &input.service_account,
    };
    let mut association = make(tx, ctx, &place, &input.role_arn, None)?;
    association.without_session_tags = input.disable_session_tags.unwrap_or(false);
    ASSOCIATIONS.put(tx, &association.home, association.key(), &association)?;
    tags::merge(tx, &association.home, &association.arn(), &input.tags.clone().unwrap_or_default())?;
    Ok(wire::CreatePodIdentityAssociationOutput { association: Some(association.describe(tx)?) })
}

pub(crate) fn describe(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::DescribePodIdentityAssociationInput,
) -> Result<wire::DescribePodIdentityAssociationOutput, Refusal> {
    let association = named(state, &ctx.home(), &input.cluster_name, &input.association_id)?;
    Ok(wire::DescribePodIdentityAssociationOutput { association: Some(association.describe(state)?) })
}

pub(crate) fn list(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListPodIdentityAssociationsInput,
    page: &Page,
) -> Result<Paged<wire::ListPodIdentityAssociationsOutput>, Refusal> {
    let home = ctx.home();
    cluster::find(state, &home, &input.cluster_name)?;
    let is_asked = |asked: &Option<String>, word: &str| asked.as_deref().is_none_or(|asked| asked == word);
    let found = ASSOCIATIONS.list_of(state, &home, &input.cluster_name, page, |_, known| {
        let fits = is_asked(&input.namespace, &known.namespace)
            && is_asked(&input.service_account, &known.service_account);
        Ok(fits.then(|| wire::PodIdentityAssociationSummary {
            association_arn: Some(known.arn()),
            association_id: Some(known.id),
            cluster_name: Some(known.cluster),
            namespace: Some(known.namespace),
            service_account: Some(known.service_account),
            owner_arn: known.owner,
        }))
    })?;
    Ok(found.into_output(|associations| wire::ListPodIdentityAssociationsOutput {
        associations: Some(associations),
        next_token: None,
    }))
}

pub(crate) fn update(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::UpdatePodIdentityAssociationInput,
) -> Result<wire::UpdatePodIdentityAssociationOutput, Refusal> {
    let home = ctx.home();
    refuse_when(input.target_role_arn.is_some(), "targetRoleArn")?;
    refuse_when(input.policy.is_some(), "policy")?;
    let mut association = named(tx, &home, &input.cluster_name, &input.association_id)?;
    if let Some(arn) = &input.role_arn {
        role(tx, &home, arn)?;
        association.role.clone_from(arn);
    }
    if let Some(without) = input.disable_session_tags {
        association.without_session_tags = without;
    }
    association.modified_at = ctx.now;
    ASSOCIATIONS.put(tx, &home, association.key(), &association)?;
    Ok(wire::UpdatePodIdentityAssociationOutput { association: Some(association.describe(tx)?) })
}

pub(crate) fn delete(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::DeletePodIdentityAssociationInput,
) -> Result<wire::DeletePodIdentityAssociationOutput, Refusal> {
    let home = ctx.home();
    let association = named(tx, &home, &input.cluster_name, &input.association_id)?;
    if association.owner.is_some() {
        return Err(crate::invalid_request("The association belongs to an add-on: change it there"));
    }
    let described = association.describe(tx)?;
    forget(tx, &home, &association.cluster, &association.id)?;
    Ok(wire::DeletePodIdentityAssociationOutput { association: Some(described) })
}
