//! Associations of service networks with resource configurations.
//!
//! The association of a group brings one for each child, which clients can see but not delete: it
//! comes with the child or the group's association, whichever is later, and goes with the first.

mod managed;

use serde::{Deserialize, Serialize};
use trellis_model::moment::Moment;
use trellis_model::name::RESOURCE_HOSTED_ZONE_ID;
use trellis_model::resource::lattice::{
    Home, ResourceAssociation, ResourceConfiguration, ResourceConfigurationType, SharingConfig, Status,
    VerificationStatus,
};
use trellis_model::snapshot::resource_address;
use trellis_model::{AccountId, ResourceAssociationId, ResourceConfigurationId, ServiceNetworkId};
use trellis_store::{Read, Reader, Transaction};

pub(super) use self::managed::{adopt, release};
use super::association::{self, Association as _, Deleted};
use super::place::{Place, kind};
use super::{identifier, resource_configuration, service_network};
use crate::keys::last_part;
use crate::quota;
use crate::refusal::{Kind, Refusal, check_quota, check_ready, conflict, invalid, not_found, unacceptable};
use crate::sharing::Want;
use trellis_frame::Context;
use trellis_frame::counted;
use trellis_frame::page::{Listing, Page};
use trellis_frame::record::{get, get_id, scan_all};
use trellis_frame::tags::Tags;
use trellis_model::resource::lattice::Shared;

/// Ids drawn for one whose address is free; more are not needed unless most of the block is taken.
const DRAWS: usize = 64;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Create {
    resource_configuration_identifier: String,
    service_network_identifier: String,
    private_dns_enabled: Option<bool>,
    #[serde(default)]
    tags: Tags,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Created {
    id: ResourceAssociationId,
    arn: String,
    status: Status,
    created_by: AccountId,
    private_dns_enabled: bool,
}

pub(crate) fn create(tx: &mut Transaction<'_>, ctx: &Context, input: &Create) -> Result<Created, Refusal> {
    let viewer = ctx.home();
    let want = Want::to("CreateServiceNetworkResourceAssociation");
    let resource = resource_configuration::reach(tx, ctx, &input.resource_configuration_identifier, want)?;
    let network = service_network::reach(tx, ctx, &input.service_network_identifier, want)?;
    association::check_owner(ctx, &network, &resource.home)?;
    let place = Place::new(network.home.clone());
    if matches!(resource.kind, ResourceConfigurationType::Child | ResourceConfigurationType::Cidr) {
        let message = format_args!(
            "a resource configuration of type {} cannot be associated with a service network",
            resource.kind.as_str()
        );
        return Err(invalid("resourceConfigurationIdentifier", message));
    }
    check_ready(Kind::ResourceConfiguration, &resource.id, resource.status)?;
    let is_shareable = network.sharing_config == Some(SharingConfig { enabled: Some(true) });
    if is_shareable && !resource.allow_association_to_shareable_service_network {
        return Err(unacceptable(format_args!(
            "ResourceConfiguration {} does not allow association to shareable service networks",
            resource.id
        )));
    }
    let pair_key = place.network_resource(&network.id, &resource.id);
    let far = (Kind::ResourceConfiguration, resource.id.as_str());
    association::check_pair::<ResourceAssociation>(tx, &place, &pair_key, far, &network.id)?;
    let have = counted::count(tx, &place.network_own_resources(&network.id))?;
    let quota = &quota::RESOURCE_CONFIGURATIONS_PER_SERVICE_NETWORK;
    check_quota(ctx.quotas(), quota, have, 1, Kind::ResourceAssociation, Some(network.id.as_str()))?;
    let is_arn = resource.kind == ResourceConfigurationType::Arn;
    let custom_domain_name =
        resource.custom_domain_name.clone().or_else(|| Some(resource.database()?.domain_name()));
    let association = ResourceAssociation {
        id: new_id(tx, ctx, &network.home, &network.id)?,
        home: network.home.clone(),
        created_by: viewer.account.clone(),
        network_name: network.name.clone(),
        network_arn: network.arn(),
        network: network.id,
        resource_name: resource.name.clone(),
        resource_arn: resource.arn(),
        kind: resource.kind,
        managed_by: None,
        private_dns_enabled: is_arn || input.private_dns_enabled.unwrap_or(false),
        custom_domain_name,
        resource: resource.id,
        status: Status::CreateInProgress,
        failure: None,
        created_at: ctx.now,
        last_updated_at: ctx.now,
    };
    association::tag(tx, &association, &viewer, &input.tags)?;
    association::begin(tx, &association)?;
    managed::begin_all(tx, ctx, &association)?;
    Ok(Created {
        arn: association.arn_for(&viewer.account),
        id: association.id,
        status: association.status,
        created_by: association.created_by,
        private_dns_enabled: association.private_dns_enabled,
    })
}

/// An id whose address no other resource of the network has.
fn new_id(
    state: &mut impl Read,
    ctx: &Context,
    home: &Home,
    network: &ServiceNetworkId,
) -> Result<ResourceAssociationId, Refusal> {
    let place = Place::new(home.clone());
    for _ in 0..DRAWS {
        let id = ResourceAssociationId::from_random(ctx.random());
        if get_id(state, &place.network_address(network, resource_address(&id)))?.is_none() {
            return Ok(id);
        }
    }
    let message = format_args!("ServiceNetwork {network} has no address left for another resource");
    Err(conflict(Kind::ServiceNetwork, network, message))
}

/// Every association of a resource, one for each network.
fn of_resource(
    state: &mut impl Read,
    place: &Place,
    resource: &ResourceConfigurationId,
) -> Result<Vec<ResourceAssociation>, Refusal> {
    let mut found = Vec::new();
    for entry in scan_all(state, &place.resource_networks(resource))? {
        found.extend(association::find(state, place, &String::from_utf8_lossy(&entry.value))?);
    }
    Ok(found)
}

fn find(state: &mut impl Read, place: &Place, text: &str) -> Result<ResourceAssociation, Refusal> {
    let id = identifier::resource_association(text, &place.home)?;
    association::find(state, place, id.as_str())?.ok_or_else(|| not_found(Kind::ResourceAssociation, id))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Identify {
    service_network_resource_association_identifier: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DnsEntry {
    domain_name: String,
    /// Private names are in no zone that could be named.
    #[serde(skip_serializing_if = "Option::is_none")]
    hosted_zone_id: Option<&'static str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Description {
    id: ResourceAssociationId,
    arn: String,
    status: Status,
    created_by: AccountId,
    created_at: Moment,
    resource_configuration_id: ResourceConfigurationId,
    resource_configuration_arn: String,
    resource_configuration_name: String,
    service_network_id: ServiceNetworkId,
    service_network_arn: String,
    service_network_name: String,
    private_dns_enabled: bool,
    is_managed_association: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    dns_entry: Option<DnsEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_dns_entry: Option<DnsEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_updated_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain_verification_status: Option<VerificationStatus>,
}

impl Description {
    /// Everything but the verification's status, which is another record's.
    fn seen_by(viewer: &Home, association: ResourceAssociation) -> Self {
        let (failure_code, failure_reason) =
            association.failure.clone().map(|failure| (failure.code, failure.message)).unzip();
        let private_name = association.custom_domain_name.clone().filter(|_| association.private_dns_enabled);
        Self {
            arn: association.arn_for(&viewer.account),
            dns_entry: association
                .domain_name()
                .map(|domain_name| DnsEntry { domain_name, hosted_zone_id: Some(RESOURCE_HOSTED_ZONE_ID) }),
            private_dns_entry: private_name.map(|domain_name| DnsEntry { domain_name, hosted_zone_id: None }),
            id: association.id,
            status: association.status,
            created_by: association.created_by,
            created_at: association.created_at,
            resource_configuration_id: association.resource,
            resource_configuration_arn: association.resource_arn,
            resource_configuration_name: association.resource_name,
            service_network_id: association.network,
            service_network_arn: association.network_arn,
            service_network_name: association.network_name,
            private_dns_enabled: association.private_dns_enabled,
            is_managed_association: association.managed_by.is_some(),
            failure_code,
            failure_reason,
            last_updated_at: Some(association.last_updated_at),
            domain_verification_status: None,
        }
    }
}

pub(crate) fn get_one(state: &mut Reader, ctx: &Context, input: &Identify) -> Result<Description, Refusal> {
    let place = Place::new(ctx.home());
    let association = find(state, &place, &input.service_network_resource_association_identifier)?;
    let owner = Place::new(association.far_home());
    let resource: Option<ResourceConfiguration> =
        get(state, &owner.resource_configuration(&association.resource))?;
    let verification = match resource {
        Some(resource) => resource_configuration::verification(state, &owner, &resource)?,
        None => None,
    };
    Ok(Description {
        domain_verification_status: verification.map(|verification| verification.status),
        ..Description::seen_by(&place.home, association)
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct List {
    service_network_identifier: Option<String>,
    resource_configuration_identifier: Option<String>,
    include_children: Option<bool>,
    max_results: Option<u16>,
    next_token: Option<String>,
}

/// Associations of children are listed with `includeChildren`, and when a child itself is asked for. What
/// is asked for does not have to exist: the operation has no `ResourceNotFoundException`.
pub(crate) fn list(state: &mut Reader, ctx: &Context, input: &List) -> Result<Listing<Description>, Refusal> {
    let own = Place::new(ctx.home());
    let page = Page::new(input.max_results, input.next_token.as_deref())?;
    let with_children = input.include_children.unwrap_or(false);
    let nothing = || Ok(Listing { items: Vec::new(), next_token: None });
    let network = input.service_network_identifier.as_deref().map(|text| {
        let action = "ListServiceNetworkResourceAssociations";
        association::listing_place(state, ctx, text, action, |own, network| own.network_resources(network))
    });
    let network = match network.transpose() {
        Ok(network) => network,
        Err(Refusal::Missing { .. }) => return nothing(),
        Err(refusal) => return Err(refusal),
    };
    let resource = input.resource_configuration_identifier.as_deref();
    let parent = Shared::ResourceConfiguration.arn_prefix();
    let resource = resource
        .map(|text| identifier::whose(text, &own.home, parent, Kind::ResourceConfiguration))
        .transpose();
    let Ok(resource) = resource else { return nothing() };
    let resource: Option<(Home, ResourceConfigurationId)> = resource;
    let children = match &resource {
        Some((owner, group)) if with_children => {
            resource_configuration::children(state, &Place::new(owner.clone()), group)?
        }
        _ => Vec::new(),
    };
    let is_wanted = |association: &ResourceAssociation| match &resource {
        Some((_, resource)) => {
            *resource == association.resource || children.iter().any(|child| child.id == association.resource)
        }
        None => with_children || association.managed_by.is_none(),
    };
    // In the caller's own account are those that it is party to.
    let (place, prefixes) = match (network, &resource) {
        (Some((place, network)), _) => {
            let prefix = place.network_resources(&network);
            (place, vec![prefix])
        }
        (None, Some((_, resource))) if children.is_empty() => {
            (own.clone(), vec![own.resource_networks(resource)])
        }
        (None, _) => {
            let far = own.far_associations(ResourceAssociationId::PREFIX);
            (own.clone(), vec![own.scope.records(kind::RESOURCE_ASSOCIATION), far])
        }
    };
    page.list_all(state, &prefixes, |state, _, entry| {
        // The key of a record, or of a link to one in another account, ends in the id; what an index holds is the id.
        let last = last_part(&entry.key);
        let id = if last.starts_with(ResourceAssociationId::PREFIX) {
            last.into()
        } else {
            String::from_utf8_lossy(&entry.value)
        };
        let association: Option<ResourceAssociation> = association::find(state, &place, &id)?;
        Ok(association.filter(is_wanted).map(|association| Description {
            failure_reason: None,
            last_updated_at: None,
            ..Description::seen_by(&own.home, association)
        }))
    })
}

pub(crate) fn delete(tx: &mut Transaction<'_>, ctx: &Context, input: &Identify) -> Result<Deleted, Refusal> {
    let place = Place::new(ctx.home());
    let association = find(tx, &place, &input.service_network_resource_association_identifier)?;
    if let Some(group) = &association.managed_by {
        let id = &association.id;
        let message = format_args!("ServiceNetworkResourceAssociation {id} is managed: it goes with {group}");
        return Err(unacceptable(message));
    }
    managed::end_all(tx, &place, &association, ctx.now)?;
    association::end(tx, ctx, association)
}
