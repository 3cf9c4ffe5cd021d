//! What the HTTPS listeners of a service show: for each of its host names one record, sealed.
//!
//! The generated name has a certificate of the private CA from the moment the service is ACTIVE; the custom domain
//! has a copy of the one in ACM that `certificateArn` names. Records are whole and the service's own: whatever
//! writes one, in whatever transaction, the Snapshot follows.

use jiff::Timestamp;
use trellis_ca::import::{Purpose, check_purpose};
use trellis_ca::{Facts, KeyAlgorithm, Leaf};
use trellis_frame::certificate::Kept;
use trellis_frame::record::{get, scan_all};
use trellis_frame::vault::{Vault, VaultFault};
use trellis_frame::{Context, Surroundings, reference};
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::{Home, Service};
use trellis_model::{Arn, ServiceId};
use trellis_store::{Read, Transaction};

use super::place::Place;
use crate::refusal::{Refusal, invalid};

/// A certificate that is made and sealed, and where it belongs.
#[derive(Debug, Clone)]
pub(crate) struct Sealed {
    key: String,
    value: Vec<u8>,
}

impl Sealed {
    /// `leaf`, to be shown by `service` as `host`.
    pub(crate) fn new(vault: &Vault, service: &Service, host: &str, leaf: &Leaf) -> Result<Self, VaultFault> {
        let place = Place::new(service.home.clone());
        let key = place.certificate(&service.id, &host.to_ascii_lowercase());
        let value = vault.seal(&key, leaf)?;
        Ok(Self { key, value })
    }

    /// A new certificate of the private CA for the generated name.
    pub(crate) fn issue(vault: &Vault, service: &Service, now: Timestamp) -> Result<Self, VaultFault> {
        let host = service.domain_name();
        Self::new(vault, service, &host, &vault.issue(&host, now)?)
    }

    pub(crate) fn put(&self, tx: &mut Transaction<'_>) {
        tx.put(&self.key, self.value.clone());
    }
}

/// What `service` shows as its generated name; `None` before it has been issued and when it does not open.
pub(crate) fn issued(
    state: &mut impl Read,
    vault: &Vault,
    service: &Service,
) -> Result<Option<Leaf>, Refusal> {
    let key = Place::new(service.home.clone()).certificate(&service.id, &service.domain_name());
    let Some(entry) = state.get(&key)? else { return Ok(None) };
    match vault.open_leaf(&key, &entry.value) {
        Ok(leaf) => Ok(Some(leaf)),
        Err(fault) => {
            tracing::error!(service = %service.id, error = &fault as &dyn std::error::Error, "a certificate is lost");
            Ok(None)
        }
    }
}

/// Takes everything away that `service` shows.
pub(crate) fn forget_all(
    tx: &mut Transaction<'_>,
    place: &Place,
    service: &ServiceId,
) -> Result<(), Refusal> {
    for entry in scan_all(tx, &place.certificates(service))? {
        tx.delete(&entry.key);
    }
    Ok(())
}

// === the custom domain ===

/// Gives `service` the certificate `arn` names, in place of the one it has; the empty ARN takes it away.
///
/// # Errors
/// `ValidationException` unless the certificate is one of the service's account and region, in force, and fit for
/// the service's custom domain. Nothing is changed then.
pub(crate) fn assign(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    service: &mut Service,
    arn: &str,
) -> Result<(), Refusal> {
    let leaf = match arn {
        "" => None,
        arn => {
            let leaf = find(tx, &ctx.surroundings, service, arn)?;
            check(leaf.facts(), service.custom_domain_name.as_deref(), ctx.now)?;
            Some(leaf)
        }
    };
    unassign(tx, service);
    if leaf.is_some() {
        reference::hold(tx, arn, &service.arn());
        service.certificate_arn = Some(arn.to_owned());
    }
    Ok(show_custom(tx, ctx.vault(), service, leaf.as_ref())?)
}

/// Lets go of the certificate of `service`, which is shown until its record goes.
pub(crate) fn unassign(tx: &mut Transaction<'_>, service: &mut Service) {
    if let Some(arn) = service.certificate_arn.take() {
        reference::release(tx, &arn, &service.arn());
    }
}

/// From now on `service` shows `leaf` as its custom domain, if it has one.
pub(crate) fn show_custom(
    tx: &mut Transaction<'_>,
    vault: &Vault,
    service: &Service,
    leaf: Option<&Leaf>,
) -> Result<(), VaultFault> {
    let Some(domain) = &service.custom_domain_name else { return Ok(()) };
    match leaf {
        Some(leaf) => Sealed::new(vault, service, domain, leaf)?.put(tx),
        None => {
            let place = Place::new(service.home.clone());
            tx.delete(&place.certificate(&service.id, &domain.to_ascii_lowercase()));
        }
    }
    Ok(())
}

fn refuse(message: impl std::fmt::Display) -> Refusal {
    invalid("certificateArn", message)
}

/// The certificate that `text` names, which another service keeps.
fn find(
    state: &mut impl Read,
    surroundings: &Surroundings,
    service: &Service,
    text: &str,
) -> Result<Leaf, Refusal> {
    let arn: Arn = text.parse().map_err(refuse)?;
    let home = &service.home;
    let keeper = surroundings.services.hooks().certificates;
    let Some(keeper) = keeper.filter(|keeper| keeper.arn_service() == arn.service) else {
        return Err(refuse(format_args!("is not the ARN of a certificate in ACM: {text}")));
    };
    if arn.account != home.account.as_str() || arn.region != home.region.as_str() {
        let (account, region) = (&home.account, &home.region);
        return Err(refuse(format_args!(
            "{text} is not in {region} of account {account}, as the service is"
        )));
    }
    match keeper.find(state, surroundings, home, &arn)? {
        Some(Kept::Issued(leaf)) => Ok(*leaf),
        Some(Kept::Unissued(status)) => {
            Err(refuse(format_args!("the certificate is {status}, expected ISSUED")))
        }
        None => Err(refuse(format_args!("certificate {text} does not exist"))),
    }
}

/// Another certificate is in the place of the one that `by` shows, which shows it from now on.
///
/// # Errors
/// One that would not do for the service's custom domain.
pub(super) fn follow(
    tx: &mut Transaction<'_>,
    surroundings: &Surroundings,
    of: &Arn,
    by: &Arn,
) -> Result<(), Refusal> {
    let Some(home) = Home::of(by) else { return Ok(()) };
    let Ok(id) = by.resource_id().parse::<ServiceId>() else { return Ok(()) };
    let Some(service) = get::<Service>(tx, &Place::new(home).service(&id))? else { return Ok(()) };
    let leaf = find(tx, surroundings, &service, &of.to_string())?;
    check_purpose(leaf.facts(), Purpose::TlsServer).map_err(Refusal::unacceptable)?;
    if let Some(domain) = service.custom_domain_name.as_deref()
        && !leaf.covers(domain)
    {
        return Err(Refusal::unacceptable(format_args!(
            "service {id} shows the certificate as {domain}, which it would not cover"
        )));
    }
    Ok(show_custom(tx, &surroundings.vault, &service, Some(&leaf))?)
}

/// "ACM ARN, same region, RSA-2048 only, SAN (or CN if no SAN) must cover customDomainName."
fn check(facts: &Facts, domain: Option<&str>, now: Moment) -> Result<(), Refusal> {
    let Facts { key_algorithm, not_before, not_after, .. } = facts;
    if *key_algorithm != KeyAlgorithm::Rsa2048 {
        let found = key_algorithm.as_str();
        return Err(refuse(format_args!("the certificate has a key of {found}, expected RSA_2048")));
    }
    if !facts.is_valid_at(now.into()) {
        let message =
            format_args!("the certificate is valid from {not_before} to {not_after}, and it is {now}");
        return Err(refuse(message));
    }
    check_purpose(facts, Purpose::TlsServer).map_err(refuse)?;
    if let Some(domain) = domain
        && !facts.covers(domain)
    {
        let names: Vec<_> = facts.host_names().take(10).collect();
        return Err(refuse(format_args!("the certificate is for {}, expected {domain}", names.join(", "))));
    }
    Ok(())
}
