//! Associations of service networks with VPCs: whose hosts may call the network's services.

use serde::{Deserialize, Serialize};
use trellis_frame::Context;
use trellis_frame::counted;
use trellis_frame::page::{Listing, Page};
use trellis_frame::tags::Tags;
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::{DnsOptions, Home, PrivateDnsPreference, Status, VpcAssociation};
use trellis_model::{AccountId, SecurityGroupId, ServiceNetworkId, VpcAssociationId, VpcId};
use trellis_store::{Read, Reader, Transaction};

use super::association::{self, Association as _, Deleted};
use super::place::Place;
use super::vpc;
use super::{identifier, service_network};
use crate::keys::last_part;
use crate::quota;
use crate::refusal::{
    Kind, Refusal, access_denied, check_quota, check_settled, conflict, invalid, not_found, unacceptable,
};
use crate::sharing::Want;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Create {
    service_network_identifier: String,
    vpc_identifier: String,
    private_dns_enabled: Option<bool>,
    #[serde(default)]
    security_group_ids: Vec<String>,
    #[serde(default)]
    tags: Tags,
    dns_options: Option<DnsOptions>,
}

/// What creating and updating answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Changed {
    id: VpcAssociationId,
    arn: String,
    status: Status,
    created_by: AccountId,
    security_group_ids: Vec<SecurityGroupId>,
    private_dns_enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    dns_options: Option<DnsOptions>,
}

impl Changed {
    fn seen_by(viewer: &Home, association: VpcAssociation) -> Self {
        Self {
            arn: association.arn_for(&viewer.account),
            id: association.id,
            status: association.status,
            created_by: association.created_by,
            security_group_ids: association.security_groups,
            private_dns_enabled: association.private_dns_enabled,
            dns_options: association.dns_options,
        }
    }
}

pub(crate) fn create(tx: &mut Transaction<'_>, ctx: &Context, input: &Create) -> Result<Changed, Refusal> {
    let place = Place::new(ctx.home());
    // "Must be owned by the caller."
    let vpc = vpc::find(tx, &place.home, &input.vpc_identifier)?;
    let facts = [("vpc-lattice:vpcid", vpc.id().as_str())];
    let want = Want { action: "CreateServiceNetworkVpcAssociation", facts: &facts };
    let network = service_network::reach(tx, ctx, &input.service_network_identifier, want)?;
    if let Some(taken) = of_vpc(tx, &place, vpc.id())? {
        let id = &taken.id;
        return Err(match taken.status {
            Status::DeleteInProgress => conflict(
                Kind::VpcAssociation,
                id,
                format_args!("association {id} of the VPC is DELETE_IN_PROGRESS"),
            ),
            _ => conflict(Kind::VpcAssociation, id, "VPC has already been associated to a service network"),
        });
    }
    let security_groups = vpc::security_groups(tx, &place.home, &vpc, &input.security_group_ids)?;
    let private_dns_enabled = input.private_dns_enabled.unwrap_or(false);
    let dns_options = dns_options(input.dns_options.as_ref(), private_dns_enabled)?;
    let have = counted::count(tx, &Place::new(network.home.clone()).network_vpcs(&network.id))?;
    let parent = Some(network.id.as_str());
    let quota = &quota::VPC_ASSOCIATIONS_PER_SERVICE_NETWORK;
    check_quota(ctx.quotas(), quota, have, 1, Kind::VpcAssociation, parent)?;
    let association = VpcAssociation {
        id: VpcAssociationId::from_random(ctx.random()),
        created_by: place.home.account.clone(),
        network_name: network.name.clone(),
        network_arn: network.arn(),
        network: network.id,
        home: network.home,
        vpc: vpc.id().clone(),
        security_groups,
        private_dns_enabled,
        dns_options,
        status: Status::CreateInProgress,
        failure: None,
        created_at: ctx.now,
        last_updated_at: ctx.now,
    };
    association::tag(tx, &association, &place.home, &input.tags)?;
    association::begin(tx, &association)?;
    Ok(Changed::seen_by(&place.home, association))
}

/// The association of `vpc`: there is at most one.
fn of_vpc(state: &mut impl Read, place: &Place, vpc: &VpcId) -> Result<Option<VpcAssociation>, Refusal> {
    let Some(entry) = state.scan(&place.vpc_networks(vpc), None, 1)?.into_iter().next() else {
        return Ok(None);
    };
    association::find(state, place, last_part(&entry.key))
}

/// DNS options with the preference filled in; none where there is no private DNS and none was asked for.
fn dns_options(asked: Option<&DnsOptions>, private_dns: bool) -> Result<Option<DnsOptions>, Refusal> {
    let asked = match asked {
        Some(asked) => asked.clone(),
        None if private_dns => {
            DnsOptions { private_dns_preference: None, private_dns_specified_domains: None }
        }
        None => return Ok(None),
    };
    let preference = asked.private_dns_preference.unwrap_or_default();
    let has_domains = asked.private_dns_specified_domains.as_ref().is_some_and(|domains| !domains.is_empty());
    if has_domains != preference.takes_domains() {
        let message = match preference {
            PrivateDnsPreference::VerifiedDomainsOnly | PrivateDnsPreference::AllDomains => {
                "only go with a preference for specified domains"
            }
            _ => "are required with a preference for specified domains",
        };
        return Err(invalid("dnsOptions.privateDnsSpecifiedDomains", message));
    }
    Ok(Some(DnsOptions { private_dns_preference: Some(preference), ..asked }))
}

fn find(state: &mut impl Read, place: &Place, text: &str) -> Result<VpcAssociation, Refusal> {
    let id = identifier::vpc_association(text, &place.home)?;
    association::find(state, place, id.as_str())?.ok_or_else(|| not_found(Kind::VpcAssociation, id))
}

/// The association, settled.
fn find_for_change(state: &mut impl Read, place: &Place, text: &str) -> Result<VpcAssociation, Refusal> {
    let association = find(state, place, text)?;
    check_settled(Kind::VpcAssociation, &association.id, association.status)?;
    Ok(association)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Identify {
    service_network_vpc_association_identifier: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Description {
    id: VpcAssociationId,
    arn: String,
    status: Status,
    created_by: AccountId,
    created_at: Moment,
    last_updated_at: Moment,
    service_network_id: ServiceNetworkId,
    service_network_name: String,
    service_network_arn: String,
    vpc_id: VpcId,
    #[serde(skip_serializing_if = "Option::is_none")]
    security_group_ids: Option<Vec<SecurityGroupId>>,
    private_dns_enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    dns_options: Option<DnsOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_message: Option<String>,
}

impl Description {
    fn seen_by(viewer: &Home, association: VpcAssociation) -> Self {
        let arn = association.arn_for(&viewer.account);
        let (failure_code, failure_message) =
            association.failure.map(|failure| (failure.code, failure.message)).unzip();
        Self {
            id: association.id,
            arn,
            status: association.status,
            created_by: association.created_by,
            created_at: association.created_at,
            last_updated_at: association.last_updated_at,
            service_network_id: association.network,
            service_network_name: association.network_name,
            service_network_arn: association.network_arn,
            vpc_id: association.vpc,
            security_group_ids: Some(association.security_groups),
            private_dns_enabled: association.private_dns_enabled,
            dns_options: association.dns_options,
            failure_code,
            failure_message,
        }
    }
}

pub(crate) fn get_one(state: &mut Reader, ctx: &Context, input: &Identify) -> Result<Description, Refusal> {
    let place = Place::new(ctx.home());
    let association = find(state, &place, &input.service_network_vpc_association_identifier)?;
    Ok(Description::seen_by(&place.home, association))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct List {
    service_network_identifier: Option<String>,
    vpc_identifier: Option<String>,
    max_results: Option<u16>,
    next_token: Option<String>,
}

pub(crate) fn list(state: &mut Reader, ctx: &Context, input: &List) -> Result<Listing<Description>, Refusal> {
    let viewer = ctx.home();
    let page = Page::new(input.max_results, input.next_token.as_deref())?;
    let network = input.service_network_identifier.as_deref().map(|text| {
        let action = "ListServiceNetworkVpcAssociations";
        association::listing_place(state, ctx, text, action, |own, network| own.network_vpcs(network))
    });
    let vpc = input.vpc_identifier.as_deref().map(str::parse::<VpcId>);
    let (place, prefix) = match (network.transpose()?, &vpc) {
        (_, Some(Err(_))) => return Ok(Listing { items: Vec::new(), next_token: None }),
        (Some((place, network)), _) => {
            let prefix = place.network_vpcs(&network);
            (place, prefix)
        }
        (None, Some(Ok(vpc))) => {
            let place = Place::new(viewer.clone());
            let prefix = place.vpc_networks(vpc);
            (place, prefix)
        }
        (None, None) => {
            return Err(unacceptable("one of serviceNetworkIdentifier and vpcIdentifier is required"));
        }
    };
    let vpc = vpc.and_then(Result::ok);
    page.list(state, &prefix, |state, entry| {
        let association: Option<VpcAssociation> = association::find(state, &place, last_part(&entry.key))?;
        let is_wanted = |association: &VpcAssociation| vpc.as_ref().is_none_or(|vpc| *vpc == association.vpc);
        Ok(association.filter(is_wanted).map(|association| Description {
            security_group_ids: None,
            failure_code: None,
            failure_message: None,
            ..Description::seen_by(&viewer, association)
        }))
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Update {
    service_network_vpc_association_identifier: String,
    security_group_ids: Option<Vec<String>>,
    private_dns_enabled: Option<bool>,
    dns_options: Option<DnsOptions>,
}

/// "Only the creator may update."
pub(crate) fn update(tx: &mut Transaction<'_>, ctx: &Context, input: &Update) -> Result<Changed, Refusal> {
    let place = Place::new(ctx.home());
    let text = &input.service_network_vpc_association_identifier;
    if find(tx, &place, text)?.created_by != place.home.account {
        return Err(access_denied(format_args!("only the account that made {text} may update it")));
    }
    let mut association = find_for_change(tx, &place, text)?;
    if let Some(ids) = &input.security_group_ids {
        if ids.is_empty() {
            return Err(invalid("securityGroupIds", "at least one is required"));
        }
        let vpc = vpc::find(tx, &place.home, association.vpc.as_str())?;
        association::release(tx, &association);
        association.security_groups = vpc::security_groups(tx, &place.home, &vpc, ids)?;
        association::hold(tx, &association);
    }
    association.private_dns_enabled = input.private_dns_enabled.unwrap_or(association.private_dns_enabled);
    let options = input.dns_options.as_ref().or(association.dns_options.as_ref());
    association.dns_options = dns_options(options, association.private_dns_enabled)?;
    association.status = Status::UpdateInProgress;
    association.last_updated_at = ctx.now;
    association::save_pending(tx, &association);
    Ok(Changed::seen_by(&place.home, association))
}

pub(crate) fn delete(tx: &mut Transaction<'_>, ctx: &Context, input: &Identify) -> Result<Deleted, Refusal> {
    let association = find(tx, &Place::new(ctx.home()), &input.service_network_vpc_association_identifier)?;
    association::end(tx, ctx, association)
}
