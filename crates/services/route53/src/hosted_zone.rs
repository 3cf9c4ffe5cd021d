//! Hosted zones: create, get, comment, delete.

use serde::{Deserialize, Serialize};
use trellis_frame::random::BASE_32;
use trellis_frame::{Context, Kind, Quota, Records, Refusal, key, page, reference, tags};
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::Home;
use trellis_model::{AccountId, Region, VpcId};
use trellis_store::{Read, Reader, Transaction};

use crate::name::DomainName;
use crate::{association, change, delegation_set, ownership, record_set, refuse, wire};

pub(crate) static HOSTED_ZONE: Kind = Kind::new("HostedZone", "HOSTED_ZONE");

pub(crate) static ZONES_PER_ACCOUNT: Quota =
    Quota::new("route53", "L-4EA4796A", 500, "hosted zones per account");

pub(crate) const ZONES: Records<HostedZone> = Records::new("route53", "hosted-zone");

/// Characters of an id after its first, `Z`.
const ID_LENGTH: usize = 20;

/// The name servers of every zone. Those of a private zone are in its NS records and asked by nobody.
pub(crate) const NAME_SERVERS: [&str; 4] =
    ["ns-0.awsdns-00.com", "ns-512.awsdns-00.net", "ns-1024.awsdns-00.org", "ns-1536.awsdns-00.co.uk"];

/// A zone, without its records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HostedZone {
    /// `Z...`, unique over all accounts.
    pub(crate) id: String,
    pub(crate) account: AccountId,
    /// Canonical, without the last dot.
    pub(crate) name: String,
    pub(crate) caller_reference: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) comment: Option<String>,
    /// A VPC at creation makes it so, for ever.
    pub(crate) is_private: bool,
    /// In the order they were associated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) vpcs: Vec<ZoneVpc>,
    /// VPCs of other accounts that may be associated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) authorised: Vec<ZoneVpc>,
    /// The id of a reusable one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delegation_set: Option<String>,
    pub(crate) created_at: Moment,
}

/// A VPC beside a zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ZoneVpc {
    pub(crate) id: VpcId,
    pub(crate) region: Region,
}

impl ZoneVpc {
    pub(crate) fn describe(&self) -> wire::VPC {
        wire::VPC { vpc_region: self.region.as_str().parse().ok(), vpc_id: Some(self.id.to_string()) }
    }
}

impl HostedZone {
    pub(crate) fn home(&self) -> Home {
        key::global(&self.account)
    }

    pub(crate) fn arn(&self) -> String {
        arn(&self.id)
    }

    pub(crate) fn domain(&self) -> DomainName {
        DomainName::kept(&self.name)
    }

    pub(crate) fn describe(&self, state: &mut impl Read) -> Result<wire::HostedZone, Refusal> {
        let records = record_set::RECORD_SETS.count_of(state, &self.home(), &self.id)?;
        Ok(wire::HostedZone {
            id: format!("/hostedzone/{}", self.id),
            name: self.domain().to_string(),
            caller_reference: self.caller_reference.clone(),
            config: Some(wire::HostedZoneConfig {
                comment: self.comment.clone(),
                private_zone: Some(self.is_private),
            }),
            resource_record_set_count: Some(records as i64),
            linked_service: None,
            features: None,
        })
    }
}

/// The ARN of a zone has no account.
pub(crate) fn arn(id: &str) -> String {
    format!("arn:aws:route53:::hostedzone/{id}")
}

/// The caller's zone of that id.
///
/// # Errors
/// `NoSuchHostedZone`; also for a zone of somebody else.
pub(crate) fn find(state: &mut impl Read, ctx: &Context, id: &str) -> Result<HostedZone, Refusal> {
    let missing = || Refusal::missing(&HOSTED_ZONE, id);
    if !is_id(id) {
        return Err(missing());
    }
    ZONES.get(state, &key::global(&ctx.caller.account), id)?.ok_or_else(missing)
}

/// Whether `text` could be the id of a zone: what goes into a key has been looked at.
pub(crate) fn is_id(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Which account's zone it is, for who may ask about those of others: the account.
pub(crate) fn owner_key(id: &str) -> String {
    format!("index/route53/owner/{id}")
}

fn reference_key(home: &Home, caller_reference: &str) -> String {
    key::Scope::new("route53", home).index("caller-reference", page::to_token(caller_reference))
}

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::CreateHostedZoneInput,
) -> Result<wire::CreateHostedZoneOutput, Refusal> {
    let name = DomainName::parse(&input.name).map_err(|fault| {
        refuse(wire::InvalidDomainName {
            message: format!("{} is not a valid domain name: {fault}", input.name),
        })
    })?;
    let home = key::global(&ctx.caller.account);
    let set = input.delegation_set_id.as_deref().map(|id| delegation_set::find(tx, ctx, id)).transpose()?;
    if set.is_some() && input.vpc.is_some() {
        let message = "A private hosted zone has no reusable delegation set.".to_owned();
        return Err(refuse(wire::InvalidInput { message }));
    }
    let config = input.hosted_zone_config.clone().unwrap_or_default();
    if config.private_zone == Some(true) && input.vpc.is_none() {
        return Err(Refusal::unacceptable(
            "When you're creating a private hosted zone (when you specify true for PrivateZone), you must also \
             specify values for VPCId and VPCRegion.",
        ));
    }
    let by_reference = reference_key(&home, &input.caller_reference);
    if tx.get(&by_reference)?.is_some() {
        let message = format!(
            "A hosted zone has already been created with the specified caller reference: {}",
            input.caller_reference
        );
        return Err(refuse(wire::HostedZoneAlreadyExists { message }));
    }
    let limit = ctx.quotas().limit(&ZONES_PER_ACCOUNT);
    if ZONES.count(tx, &home)? as u64 >= limit {
        let message = format!("This request would exceed the account's limit of {limit} hosted zones.");
        return Err(refuse(wire::TooManyHostedZones { message }));
    }
    let mut zone = HostedZone {
        id: format!("Z{}", ctx.surroundings.random.text(ID_LENGTH, BASE_32)),
        account: ctx.caller.account.clone(),
        name: name.as_str().to_owned(),
        caller_reference: input.caller_reference.clone(),
        comment: config.comment.filter(|comment| !comment.is_empty()),
        is_private: input.vpc.is_some(),
        vpcs: Vec::new(),
        authorised: Vec::new(),
        delegation_set: None,
        created_at: ctx.now,
    };
    if let Some(set) = &set {
        delegation_set::hold(tx, set, &zone.arn())?;
        zone.delegation_set = Some(set.id().to_owned());
    }
    if let Some(vpc) = &input.vpc {
        let vpc = association::own_vpc(tx, ctx, vpc)?;
        association::add(tx, &mut zone, vpc)?;
    }
    ZONES.put(tx, &home, &zone.id, &zone)?;
    tx.put(&by_reference, zone.id.clone().into_bytes());
    tx.put(&owner_key(&zone.id), zone.account.to_string().into_bytes());
    ownership::add(tx, &zone);
    for set in record_set::of_new_zone(&name) {
        record_set::put(tx, &zone, &set)?;
    }
    Ok(wire::CreateHostedZoneOutput {
        hosted_zone: zone.describe(tx)?,
        change_info: change::record(tx, ctx, None)?,
        delegation_set: set.map_or_else(delegation_set::unnamed, |set| set.describe()),
        vpc: zone.vpcs.first().map(ZoneVpc::describe),
        location: format!("https://route53.amazonaws.com/2013-04-01/hostedzone/{}", zone.id),
    })
}

pub(crate) fn get(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::GetHostedZoneInput,
) -> Result<wire::GetHostedZoneOutput, Refusal> {
    let zone = find(state, ctx, &input.id)?;
    let set = match &zone.delegation_set {
        Some(id) => delegation_set::find(state, ctx, id)?.describe(),
        None => delegation_set::unnamed(),
    };
    Ok(wire::GetHostedZoneOutput {
        hosted_zone: zone.describe(state)?,
        delegation_set: (!zone.is_private).then_some(set),
        vp_cs: zone.is_private.then(|| zone.vpcs.iter().map(ZoneVpc::describe).collect()),
    })
}

pub(crate) fn count(
    state: &mut Reader,
    ctx: &Context,
    _: &wire::GetHostedZoneCountInput,
) -> Result<wire::GetHostedZoneCountOutput, Refusal> {
    let count = ZONES.count(state, &key::global(&ctx.caller.account))?;
    Ok(wire::GetHostedZoneCountOutput { hosted_zone_count: count as i64 })
}

pub(crate) fn update_comment(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::UpdateHostedZoneCommentInput,
) -> Result<wire::UpdateHostedZoneCommentOutput, Refusal> {
    let mut zone = find(tx, ctx, &input.id)?;
    zone.comment = input.comment.clone().filter(|comment| !comment.is_empty());
    ZONES.put(tx, &zone.home(), &zone.id, &zone)?;
    Ok(wire::UpdateHostedZoneCommentOutput { hosted_zone: zone.describe(tx)? })
}

/// No zone is signed here.
pub(crate) fn dnssec(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::GetDNSSECInput,
) -> Result<wire::GetDNSSECOutput, Refusal> {
    let zone = find(state, ctx, &input.hosted_zone_id)?;
    if zone.is_private {
        let message = "Operation is unsupported for private hosted zones".to_owned();
        return Err(refuse(wire::InvalidArgument { message }));
    }
    Ok(wire::GetDNSSECOutput {
        status: wire::DNSSECStatus { serve_signature: Some("NOT_SIGNING".to_owned()), status_message: None },
        key_signing_keys: Vec::new(),
    })
}

pub(crate) fn delete(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::DeleteHostedZoneInput,
) -> Result<wire::DeleteHostedZoneOutput, Refusal> {
    let zone = find(tx, ctx, &input.id)?;
    let home = zone.home();
    let apex = zone.domain();
    let mut own = Vec::new();
    // The zone's own SOA and NS go with it, whatever they say; of others one is too many.
    for set in record_set::first_of(tx, &zone, 3)? {
        if !record_set::is_own(&set, &apex) {
            let message = "The specified hosted zone contains non-required resource record sets and so cannot be deleted.";
            return Err(refuse(wire::HostedZoneNotEmpty { message: message.to_owned() }));
        }
        own.push(set);
    }
    for set in own {
        record_set::delete(tx, &zone, &set)?;
    }
    for vpc in &zone.vpcs {
        tx.delete(&association::vpc_key(&vpc.id, &zone.name));
    }
    ZONES.delete(tx, &home, &zone.id)?;
    tx.delete(&reference_key(&home, &zone.caller_reference));
    tx.delete(&owner_key(&zone.id));
    ownership::remove(tx, &zone);
    tags::forget(tx, &home, &zone.arn());
    reference::release_all(tx, &zone.arn())?;
    Ok(wire::DeleteHostedZoneOutput { change_info: change::record(tx, ctx, None)? })
}
