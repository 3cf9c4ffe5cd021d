//! From CREATING to the end: the key is made, statuses change, what is deleted may be restored until it is gone.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use trellis_api::Exception;
use trellis_ca::{Csr, PrivateKey};
use trellis_frame::operation::BoxFuture;
use trellis_frame::random::is_uuid;
use trellis_frame::vault::VaultFault;
use trellis_frame::{Context, Progress, Refusal, Surroundings, Work, record};
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::Home;
use trellis_store::{Read, Transaction};

use super::create::key_algorithm;
use super::{AUTHORITIES, Authority, Deleted, KEYS, Status};
use crate::{certificate, extensions, permission, policy, report, revocation, subject, tag, wire};

const DEFAULT_DAYS: i32 = 30;

/// The longest wait for the end of a restoration period: a clock may be set.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Records removed in one transaction.
const STEP: usize = 100;

/// Where an authority is, for who has only its id.
pub(crate) fn place_of(id: &str) -> String {
    format!("acm-pca-authority/{id}")
}

/// Whose key has this hash, in hexadecimal: OCSP asks so.
fn place_of_key(hash: &str) -> String {
    format!("acm-pca-key/{hash}")
}

impl Authority {
    /// The authority whose key has this hash, wherever it is.
    pub(crate) fn of_key(state: &mut impl Read, hash: &str) -> Result<Option<Self>, Refusal> {
        match record::get_id(state, &place_of_key(hash))? {
            Some(id) => Self::of_id(state, &id),
            None => Ok(None),
        }
    }

    /// What [`place_of`] holds.
    pub(crate) fn place(&self) -> String {
        format!("{}/{}", self.home.account, self.home.region)
    }

    /// The authority of `id`, wherever it is.
    pub(crate) fn of_id(state: &mut impl Read, id: &str) -> Result<Option<Self>, Refusal> {
        if !is_uuid(id) {
            return Ok(None);
        }
        let place = record::get_id(state, &place_of(id))?.unwrap_or_default();
        let home = place.split_once('/').and_then(|(account, region)| {
            Some(Home { account: account.parse().ok()?, region: region.parse().ok()? })
        });
        home.map_or(Ok(None), |home| AUTHORITIES.get(state, &home, id))
    }
}

// === work ===

/// Makes the key of an authority that is CREATING; removes one for good whose restoration period is over.
pub(crate) fn advance(
    surroundings: Arc<Surroundings>,
    work: Work,
) -> BoxFuture<'static, Result<Progress, Refusal>> {
    Box::pin(async move {
        let authority = AUTHORITIES.get(&mut surroundings.store.read()?, &work.home, &work.id)?;
        match authority {
            Some(authority) if authority.status == Status::Creating => {
                make_key(surroundings, work, authority).await
            }
            Some(Authority { status: Status::Deleted, deleted: Some(deleted), .. }) => {
                let until = Timestamp::from(deleted.restorable_until);
                let left = until.duration_since(surroundings.clock.now());
                match Duration::try_from(left) {
                    Ok(left) if !left.is_zero() => Ok(Progress::Later(left.min(LONGEST_WAIT))),
                    _ => purge(surroundings, work).await,
                }
            }
            _ => work.settle(&surroundings, |_| Ok(())).await,
        }
    })
}

async fn make_key(
    surroundings: Arc<Surroundings>,
    work: Work,
    authority: Authority,
) -> Result<Progress, Refusal> {
    let configuration = authority.configuration()?;
    let algorithm = key_algorithm(configuration.key_algorithm)?;
    let signing = authority.signature_algorithm()?;
    let name = subject::distinguished_name(&configuration.subject)?;
    let wanted = extensions::of_csr(configuration.csr_extensions.as_ref())?;
    let sealing_key = surroundings.vault.sealing_key();
    let key_record = authority.key_record();
    let made = tokio::task::spawn_blocking(move || {
        let key = PrivateKey::generate(algorithm).map_err(|fault| Exception::internal(fault.to_string()))?;
        let csr = Csr::create(&key, signing, &name, &wanted)
            .map_err(|fault| Exception::internal(fault.to_string()))?;
        let sealed = sealing_key
            .seal(&key_record, key.to_pem().as_bytes())
            .map_err(|source| VaultFault::Seal { record: key_record.clone(), source })?;
        Ok::<_, Refusal>((key_record, sealed, csr, trellis_ca::ocsp::key_hashes(key.public_key())))
    });
    let (key_record, sealed, csr, hashes) =
        made.await.map_err(|error| Exception::internal(error.to_string()))??;
    let now = surroundings.clock.now().into();
    let Work { home, id, .. } = work.clone();
    work.settle(&surroundings, move |tx| {
        let Some(mut authority) = AUTHORITIES.get(tx, &home, &id)? else { return Ok(()) };
        if authority.status == Status::Creating {
            authority.status = Status::PendingCertificate;
            authority.changed_at = now;
            authority.csr = Some(csr.clone());
            tx.put(&key_record, sealed.clone());
            for hash in &hashes {
                tx.put(&place_of_key(hash), id.clone().into_bytes());
            }
            authority.put(tx)?;
        }
        Ok(())
    })
    .await
}

/// Removes whatever there is of an authority: first what may be many, then itself with its key.
async fn purge(surroundings: Arc<Surroundings>, work: Work) -> Result<Progress, Refusal> {
    for prefix in [
        certificate::CERTIFICATES.key(&work.home, format!("{}/", work.id)),
        revocation::REVOKED.key(&work.home, format!("{}/", work.id)),
        report::REPORTS.key(&work.home, format!("{}/", work.id)),
    ] {
        loop {
            let (home, prefix) = (work.home.clone(), prefix.clone());
            let removed = surroundings.store.transact(move |tx| remove_some(tx, &home, &prefix)).await;
            if !removed.map_err(Refusal::from)? {
                break;
            }
        }
    }
    let Work { home, id, .. } = work.clone();
    work.settle(&surroundings, move |tx| {
        let Some(authority) = AUTHORITIES.get(tx, &home, &id)? else { return Ok(()) };
        if authority.status != Status::Deleted {
            return Ok(());
        }
        tag::forget(tx, &home, &authority.arn());
        permission::forget_all(tx, &home, &id)?;
        policy::forget(tx, &home, &id)?;
        revocation::LISTS.delete(tx, &home, &id)?;
        tx.delete(&KEYS.key(&home, &id));
        tx.delete(&place_of(&id));
        if let Some(csr) = authority.csr.as_deref().and_then(|csr| Csr::parse(csr.as_bytes()).ok()) {
            trellis_ca::ocsp::key_hashes(&csr.public_key)
                .iter()
                .for_each(|hash| tx.delete(&place_of_key(hash)));
        }
        AUTHORITIES.delete(tx, &home, &id)
    })
    .await
}

/// Removes a step of what is under `prefix`; whether there was anything.
fn remove_some(tx: &mut Transaction<'_>, home: &Home, prefix: &str) -> Result<bool, Refusal> {
    let entries = tx.scan(prefix, None, STEP)?;
    let records = &certificate::CERTIFICATES.key(home, "");
    for entry in &entries {
        let key = entry.key.as_str();
        if let Some(id) = key.strip_prefix(records) {
            certificate::CERTIFICATES.delete(tx, home, id)?;
        } else if let Some(id) = key.strip_prefix(&revocation::REVOKED.key(home, "")) {
            revocation::REVOKED.delete(tx, home, id)?;
        } else if let Some(id) = key.strip_prefix(&report::REPORTS.key(home, "")) {
            report::REPORTS.delete(tx, home, id)?;
        }
    }
    Ok(!entries.is_empty())
}

// === operations ===

pub(crate) fn update(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::UpdateCertificateAuthorityInput,
) -> Result<wire::UpdateCertificateAuthorityOutput, Refusal> {
    use trellis_api::typed::IntoValue;
    use wire::CertificateAuthorityStatus as Wire;
    let mut authority = Authority::find(tx, &ctx.home(), &input.certificate_authority_arn)?;
    if input.status.is_none() && input.revocation_configuration.is_none() {
        return Err(Refusal::unacceptable(
            "nothing is to be updated: give Status or RevocationConfiguration",
        ));
    }
    if !matches!(authority.status, Status::Active | Status::Disabled) {
        return Err(authority.wrong_state("is neither ACTIVE nor DISABLED and cannot be updated"));
    }
    match input.status {
        None => {}
        Some(Wire::Active) => authority.status = Status::Active,
        Some(Wire::Disabled) => authority.status = Status::Disabled,
        Some(other) => {
            let message = format_args!("expected ACTIVE or DISABLED, found {other}");
            return Err(Refusal::invalid("Status", message));
        }
    }
    if let Some(revocation) = &input.revocation_configuration {
        revocation::check_configuration(revocation, authority.is_short_lived)?;
        authority.revocation = Some(revocation.clone().into_value());
        revocation::renew_list(tx, &authority)?;
    }
    authority.changed_at = ctx.now;
    authority.put(tx)?;
    Ok(Default::default())
}

pub(crate) fn delete(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::DeleteCertificateAuthorityInput,
) -> Result<wire::DeleteCertificateAuthorityOutput, Refusal> {
    let mut authority = Authority::find_live(tx, &ctx.home(), &input.certificate_authority_arn)?;
    if authority.status == Status::Active && !authority.is_expired(ctx.now) {
        return Err(authority.wrong_state("is ACTIVE: set its status to DISABLED before you delete it"));
    }
    let days = i64::from(input.permanent_deletion_time_in_days.unwrap_or(DEFAULT_DAYS));
    let until = Timestamp::from(ctx.now).saturating_add(SignedDuration::from_hours(24 * days));
    let until = until.map_err(|_| Exception::internal("the clock is at its end"))?;
    authority.deleted =
        Some(Deleted { status_before: authority.status, restorable_until: Moment::from(until) });
    authority.status = Status::Deleted;
    authority.changed_at = ctx.now;
    AUTHORITIES.put_pending(tx, &authority.home, &authority.id, &authority)?;
    Ok(Default::default())
}

pub(crate) fn restore(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::RestoreCertificateAuthorityInput,
) -> Result<wire::RestoreCertificateAuthorityOutput, Refusal> {
    let mut authority = Authority::find(tx, &ctx.home(), &input.certificate_authority_arn)?;
    let Some(deleted) = authority.deleted.take() else {
        return Err(authority.wrong_state("is not DELETED and cannot be restored"));
    };
    // One that was ACTIVE had expired; one that had no key yet still gets one.
    authority.status = match deleted.status_before {
        Status::Active => Status::Disabled,
        before => before,
    };
    authority.changed_at = ctx.now;
    AUTHORITIES.put_pending(tx, &authority.home, &authority.id, &authority)?;
    Ok(Default::default())
}
