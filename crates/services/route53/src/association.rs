//! Which VPCs a private zone answers in: associations, and who may make them across accounts.

use trellis_frame::{Context, Page, Paged, Quota, Refusal, key, record};
use trellis_model::resource::lattice::Home;
use trellis_model::resource::vpc::Vpc;
use trellis_model::{AccountId, VpcId};
use trellis_store::{Read, Reader, Transaction};

use crate::hosted_zone::{self, HOSTED_ZONE, HostedZone, ZONES, ZoneVpc};
use crate::{change, refuse, wire};

pub(crate) static VPCS_PER_ZONE: Quota =
    Quota::new("route53", "L-84B40094", 300, "VPCs per private hosted zone");

/// VPCs of other accounts that may be let into a zone at a time.
const MAX_AUTHORISED: usize = 1000;

/// The zone of that name that answers in the VPC: one at most. Holds account and id.
pub(crate) fn vpc_key(vpc: &VpcId, zone_name: &str) -> String {
    format!("{}{}", vpc_keys(vpc), trellis_frame::page::to_token(zone_name))
}

/// What the entries of every zone of a VPC begin with.
pub(crate) fn vpc_keys(vpc: &VpcId) -> String {
    format!("index/route53/vpc/{vpc}/")
}

/// The VPC a caller names.
///
/// # Errors
/// `InvalidVPCId` for what is no VPC's id or region.
pub(crate) fn named(vpc: &wire::VPC) -> Result<ZoneVpc, Refusal> {
    let invalid = |message: String| refuse(wire::InvalidVPCId { message });
    let id = vpc.vpc_id.as_deref().unwrap_or_default();
    let parsed =
        id.parse().map_err(|_| invalid(format!("The VPC: {id} that you provided is not a valid VPC ID.")))?;
    let region =
        vpc.vpc_region.ok_or_else(|| Refusal::invalid("VPC", "VPCRegion and VPCId are both needed"))?;
    let region = region.as_str().parse().map_err(|_| invalid(format!("{region} is not a region.")))?;
    Ok(ZoneVpc { id: parsed, region })
}

/// A VPC of the caller's.
///
/// # Errors
/// `InvalidVPCId`, also for one of somebody else.
pub(crate) fn own_vpc(state: &mut impl Read, ctx: &Context, vpc: &wire::VPC) -> Result<ZoneVpc, Refusal> {
    let vpc = named(vpc)?;
    if !is_owned(state, &ctx.caller.account, &vpc)? {
        let message = format!("The VPC: {} you provided is not authorized to make the association.", vpc.id);
        return Err(refuse(wire::InvalidVPCId { message }));
    }
    Ok(vpc)
}

fn is_owned(state: &mut impl Read, account: &AccountId, vpc: &ZoneVpc) -> Result<bool, Refusal> {
    let home = Home { account: account.clone(), region: vpc.region.clone() };
    let key = key::Scope::new("ec2", &home).record("vpc", &vpc.id);
    Ok(record::get::<Vpc>(state, &key)?.is_some())
}

/// Puts a VPC to the zone's, which the caller still has to write.
///
/// # Errors
/// `ConflictingDomainExists` where a zone of the same name answers in the VPC.
pub(crate) fn add(tx: &mut Transaction<'_>, zone: &mut HostedZone, vpc: ZoneVpc) -> Result<(), Refusal> {
    let key = vpc_key(&vpc.id, &zone.name);
    if let Some(known) = record::get_id(tx, &key)? {
        let known = known.rsplit('/').next().unwrap_or_default();
        let message = format!(
            "The VPC {} in region {} has already been associated with the hosted zone {known} with the same domain name.",
            vpc.id, vpc.region
        );
        return Err(refuse(wire::ConflictingDomainExists { message }));
    }
    tx.put(&key, format!("{}/{}", zone.account, zone.id).into_bytes());
    zone.vpcs.push(vpc);
    Ok(())
}

/// A zone of whoever it is, for the owner of a VPC: it is told of no zone that has not been authorised for it.
fn of_anybody(state: &mut impl Read, id: &str) -> Result<Option<HostedZone>, Refusal> {
    if !hosted_zone::is_id(id) {
        return Ok(None);
    }
    let Some(owner) = record::get_id(state, &hosted_zone::owner_key(id))? else { return Ok(None) };
    let Ok(account) = owner.parse() else { return Ok(None) };
    ZONES.get(state, &key::global(&account), id)
}

pub(crate) fn associate(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::AssociateVPCWithHostedZoneInput,
) -> Result<wire::AssociateVPCWithHostedZoneOutput, Refusal> {
    let missing = || Refusal::missing(&HOSTED_ZONE, &input.hosted_zone_id);
    let mut zone = of_anybody(tx, &input.hosted_zone_id)?.ok_or_else(missing)?;
    let vpc = named(&input.vpc)?;
    let is_of_caller = zone.account == ctx.caller.account;
    let is_authorised = zone.authorised.contains(&vpc);
    if !is_of_caller && !is_authorised {
        let message = format!("The VPC: {} has not authorized to associate with your hosted zone.", vpc.id);
        return Err(refuse(wire::NotAuthorizedException { message }));
    }
    let vpc = own_vpc(tx, ctx, &input.vpc)?;
    if !zone.is_private {
        let message = "The hosted zone is public: VPCs are associated with private hosted zones.".to_owned();
        return Err(refuse(wire::PublicZoneVPCAssociation { message }));
    }
    let limit = ctx.quotas().limit(&VPCS_PER_ZONE);
    if zone.vpcs.len() as u64 >= limit {
        let message =
            format!("This request would exceed the limit of {limit} VPCs associated with a hosted zone.");
        return Err(refuse(wire::LimitsExceeded { message }));
    }
    add(tx, &mut zone, vpc)?;
    ZONES.put(tx, &zone.home(), &zone.id, &zone)?;
    let change_info = change::record(tx, ctx, input.comment.clone())?;
    Ok(wire::AssociateVPCWithHostedZoneOutput { change_info })
}

pub(crate) fn disassociate(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::DisassociateVPCFromHostedZoneInput,
) -> Result<wire::DisassociateVPCFromHostedZoneOutput, Refusal> {
    let missing = || Refusal::missing(&HOSTED_ZONE, &input.hosted_zone_id);
    let mut zone = of_anybody(tx, &input.hosted_zone_id)?.ok_or_else(missing)?;
    let vpc = named(&input.vpc)?;
    // The owner of either may.
    if zone.account != ctx.caller.account && !is_owned(tx, &ctx.caller.account, &vpc)? {
        return Err(missing());
    }
    let Some(at) = zone.vpcs.iter().position(|known| *known == vpc) else {
        let message =
            format!("The VPC: {} and hosted zone {} that you provided are not associated.", vpc.id, zone.id);
        return Err(refuse(wire::VPCAssociationNotFound { message }));
    };
    if zone.vpcs.len() == 1 {
        let message = "Cannot remove last VPC association for the private zone".to_owned();
        return Err(refuse(wire::LastVPCAssociation { message }));
    }
    zone.vpcs.remove(at);
    tx.delete(&vpc_key(&vpc.id, &zone.name));
    ZONES.put(tx, &zone.home(), &zone.id, &zone)?;
    let change_info = change::record(tx, ctx, input.comment.clone())?;
    Ok(wire::DisassociateVPCFromHostedZoneOutput { change_info })
}

pub(crate) fn authorise(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::CreateVPCAssociationAuthorizationInput,
) -> Result<wire::CreateVPCAssociationAuthorizationOutput, Refusal> {
    let mut zone = hosted_zone::find(tx, ctx, &input.hosted_zone_id)?;
    let vpc = named(&input.vpc)?;
    if !zone.is_private {
        return Err(Refusal::unacceptable(
            "VPCs are associated with private hosted zones, and this one is public",
        ));
    }
    if !zone.authorised.contains(&vpc) {
        if zone.authorised.len() >= MAX_AUTHORISED {
            let message = format!(
                "The hosted zone has the limit of {MAX_AUTHORISED} authorizations; delete some first."
            );
            return Err(refuse(wire::TooManyVPCAssociationAuthorizations { message }));
        }
        zone.authorised.push(vpc.clone());
        ZONES.put(tx, &zone.home(), &zone.id, &zone)?;
    }
    Ok(wire::CreateVPCAssociationAuthorizationOutput { hosted_zone_id: zone.id, vpc: vpc.describe() })
}

pub(crate) fn withdraw(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::DeleteVPCAssociationAuthorizationInput,
) -> Result<wire::DeleteVPCAssociationAuthorizationOutput, Refusal> {
    let mut zone = hosted_zone::find(tx, ctx, &input.hosted_zone_id)?;
    let vpc = named(&input.vpc)?;
    let Some(at) = zone.authorised.iter().position(|known| *known == vpc) else {
        let message = format!("The VPC: {} is not authorized for the hosted zone {}.", vpc.id, zone.id);
        return Err(refuse(wire::VPCAssociationAuthorizationNotFound { message }));
    };
    // An association that was made stays: AWS takes it away by DisassociateVPCFromHostedZone alone.
    zone.authorised.remove(at);
    ZONES.put(tx, &zone.home(), &zone.id, &zone)?;
    Ok(wire::DeleteVPCAssociationAuthorizationOutput::default())
}

pub(crate) fn authorisations(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListVPCAssociationAuthorizationsInput,
    page: &Page,
) -> Result<Paged<wire::ListVPCAssociationAuthorizationsOutput>, Refusal> {
    let zone = hosted_zone::find(state, ctx, &input.hosted_zone_id)?;
    let id = zone.id.clone();
    let listing = page.cut(zone.authorised, |vpc| vpc.id.to_string());
    Ok(listing.into_output(|vpcs| wire::ListVPCAssociationAuthorizationsOutput {
        hosted_zone_id: id,
        vp_cs: vpcs.iter().map(ZoneVpc::describe).collect(),
        next_token: None,
    }))
}
