//! Domain verifications: a domain, and the TXT record that proves whose it is.
//!
//! What looks for the record is [`crate::domain_proof`]; until it has, a verification is PENDING.

use serde::{Deserialize, Serialize};
use trellis_frame::Context;
use trellis_frame::counted;
use trellis_frame::page::{ListAll, Listing};
use trellis_frame::record::{decode, get, get_id, put, scan_all};
use trellis_frame::tags::{self as tag_set, Tags};
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::{DomainVerification, ResourceConfiguration, VerificationStatus};
use trellis_model::{DomainVerificationId, name};
use trellis_store::{Read, Reader, Transaction};

use super::place::{Place, kind};
use super::{Nothing, identifier};
use crate::keys::{self, last_part};
use crate::quota;
use crate::refusal::{Kind, Refusal, check_quota, conflict, invalid, not_found};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Start {
    domain_name: String,
    #[serde(default)]
    tags: Tags,
}

/// The TXT record to be made; `name` is relative to the domain.
#[derive(Debug, Serialize)]
struct TxtMethodConfig {
    name: String,
    value: String,
}

/// What answers say of a verification, each with its own selection.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Description {
    id: DomainVerificationId,
    arn: String,
    domain_name: String,
    status: VerificationStatus,
    txt_method_config: TxtMethodConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_verified_time: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Tags>,
}

impl From<DomainVerification> for Description {
    /// What StartDomainVerification answers.
    fn from(verification: DomainVerification) -> Self {
        Self {
            arn: verification.arn(),
            txt_method_config: TxtMethodConfig {
                name: verification.record_name(),
                value: verification.record_value(),
            },
            id: verification.id,
            domain_name: verification.domain_name,
            status: verification.status,
            created_at: None,
            last_verified_time: None,
            tags: None,
        }
    }
}

/// Everything GetDomainVerification answers: tags come with it, unlike elsewhere.
fn describe(
    state: &mut impl Read,
    place: &Place,
    verification: DomainVerification,
) -> Result<Description, Refusal> {
    Ok(Description {
        created_at: Some(verification.created_at),
        last_verified_time: verification.last_verified_at,
        tags: Some(tag_set::read(state, &place.home, &verification.arn())?),
        ..verification.into()
    })
}

pub(crate) fn start(tx: &mut Transaction<'_>, ctx: &Context, input: &Start) -> Result<Description, Refusal> {
    let place = Place::new(ctx.home());
    let domain = &input.domain_name;
    if !name::is_domain_name(domain) {
        return Err(invalid("domainName", "is not a domain name"));
    }
    let domain_key = place.domain(domain);
    if let Some(id) = get_id(tx, &domain_key)? {
        let message = format_args!("a verification of {domain} already exists: {id}");
        return Err(conflict(Kind::DomainVerification, &id, message));
    }
    let have = counted::count(tx, &place.scope.records(kind::DOMAIN_VERIFICATION))?;
    let quota = &quota::DOMAIN_VERIFICATIONS_PER_REGION;
    check_quota(ctx.quotas(), quota, have, 1, Kind::DomainVerification, None)?;
    let verification = DomainVerification {
        id: DomainVerificationId::from_random(ctx.random()),
        home: place.home.clone(),
        domain_name: domain.clone(),
        token: format!("{:016x}{:016x}", ctx.random(), ctx.random()),
        status: VerificationStatus::Pending,
        created_at: ctx.now,
        last_verified_at: None,
    };
    tag_set::merge(tx, &place.home, &verification.arn(), &input.tags)?;
    tx.put(&domain_key, verification.id.as_str().into());
    tx.put(&keys::unproven(&place.home, verification.id.as_str()), Vec::new());
    counted::put_record(tx, &place.domain_verification(&verification.id), &verification)?;
    Ok(verification.into())
}

fn find(state: &mut impl Read, place: &Place, text: &str) -> Result<DomainVerification, Refusal> {
    let id = identifier::domain_verification(text, &place.home)?;
    get(state, &place.domain_verification(&id))?.ok_or_else(|| not_found(Kind::DomainVerification, id))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Identify {
    domain_verification_identifier: String,
}

pub(crate) fn get_one(state: &mut Reader, ctx: &Context, input: &Identify) -> Result<Description, Refusal> {
    let place = Place::new(ctx.home());
    let verification = find(state, &place, &input.domain_verification_identifier)?;
    describe(state, &place, verification)
}

pub(crate) fn list(
    state: &mut Reader,
    ctx: &Context,
    input: &ListAll,
) -> Result<Listing<Description>, Refusal> {
    let place = Place::new(ctx.home());
    let page = input.page()?;
    page.list(state, &place.scope.records(kind::DOMAIN_VERIFICATION), |state, entry| {
        describe(state, &place, decode(entry)?).map(Some)
    })
}

/// "Removing a verification does not break what rests on it": configurations keep their domain, and one that was
/// verified stays so. Of one that was not, nothing is left in them that could be taken for proof.
pub(crate) fn delete(tx: &mut Transaction<'_>, ctx: &Context, input: &Identify) -> Result<Nothing, Refusal> {
    let place = Place::new(ctx.home());
    let verification = find(tx, &place, &input.domain_verification_identifier)?;
    if verification.status != VerificationStatus::Verified {
        for entry in scan_all(tx, &place.verified_resources(&verification.id))? {
            let key = place.scope.record(kind::RESOURCE_CONFIGURATION, last_part(&entry.key));
            if let Some(mut resource) = get::<ResourceConfiguration>(tx, &key)? {
                resource.domain_verification = None;
                put(tx, &key, &resource);
            }
            tx.delete(&entry.key);
        }
    }
    tag_set::forget(tx, &place.home, &verification.arn());
    tx.delete(&place.domain(&verification.domain_name));
    tx.delete(&keys::unproven(&place.home, verification.id.as_str()));
    counted::delete(tx, &place.domain_verification(&verification.id))?;
    Ok(Nothing {})
}

/// Records what became of the search for the TXT record, unless the verification has gone.
pub(crate) fn settle(
    tx: &mut Transaction<'_>,
    place: &Place,
    id: &DomainVerificationId,
    status: VerificationStatus,
    now: Moment,
) -> Result<(), Refusal> {
    tx.delete(&keys::unproven(&place.home, id.as_str()));
    let Some(mut verification) = get::<DomainVerification>(tx, &place.domain_verification(id))? else {
        return Ok(());
    };
    verification.status = status;
    if status == VerificationStatus::Verified {
        verification.last_verified_at = Some(now);
    }
    put(tx, &place.domain_verification(id), &verification);
    Ok(())
}
