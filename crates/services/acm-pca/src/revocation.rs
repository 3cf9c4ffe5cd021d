//! Revoked certificates, and who is told of them: a CRL for each authority that has one, OCSP for each that answers.
//!
//! A CRL is signed when something is revoked and again after half its life, by the workflow, and served as it is kept;
//! an OCSP answer is signed when it is asked for, few at a time.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use trellis_api::Exception;
use trellis_ca::Crl;
use trellis_ca::Extension;
use trellis_ca::crl::Revoked;
use trellis_ca::ocsp::{self, Failure};
use trellis_frame::key::Scope;
use trellis_frame::operation::BoxFuture;
use trellis_frame::{Context, Progress, Records, Refusal, Surroundings, Work};
use trellis_model::moment::Moment;
use trellis_store::Transaction;

use crate::authority::{AUTHORITIES, Authority, Status};
use crate::certificate::{CERTIFICATES, serial_text};
use crate::{refuse, wire};

pub(crate) const KIND: &str = "list";
/// By authority.
pub(crate) const LISTS: Records<List> = Records::new("acm-pca", KIND);
/// By authority and serial number.
pub(crate) const REVOKED: Records<Revocation> = Records::new("acm-pca", "revoked");

/// Where nothing else is said.
const DEFAULT_DAYS: i32 = 7;
/// How long an OCSP answer may be kept.
const ANSWER_LIFE: SignedDuration = SignedDuration::from_hours(1);
/// How long a question waits for its turn before it is told to come again.
const PATIENCE: Duration = Duration::from_secs(5);
/// OCSP answers that are signed at a time; who comes later waits.
static SIGNING: Semaphore = Semaphore::const_new(2);
/// The longest wait for the next list: a clock may be set.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Revocation {
    serial: String,
    at: Moment,
    /// RFC 5280's number.
    reason: u8,
}

/// A CRL as it is served.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct List {
    /// DER in base64.
    der: String,
    number: u64,
    next_update: Moment,
}

/// # Errors
/// `InvalidArgsException` for a configuration that cannot be.
pub(crate) fn check_configuration(
    given: &wire::RevocationConfiguration,
    is_short_lived: bool,
) -> Result<(), Refusal> {
    let crl = given.crl_configuration.as_ref().filter(|crl| crl.enabled);
    let ocsp = given.ocsp_configuration.as_ref().filter(|ocsp| ocsp.enabled);
    if is_short_lived && (crl.is_some() || ocsp.is_some()) {
        let message = "a SHORT_LIVED_CERTIFICATE authority has neither a CRL nor OCSP";
        return Err(Refusal::invalid("RevocationConfiguration", message));
    }
    if let Some(crl) = crl {
        if crl.s3_bucket_name.is_none() {
            return Err(Refusal::invalid("CrlConfiguration", "an enabled CRL has an S3BucketName"));
        }
        if crl.crl_type == Some(wire::CrlType::Partitioned) {
            return Err(Refusal::invalid(
                "CrlConfiguration",
                "CRLs are of type COMPLETE here, not PARTITIONED",
            ));
        }
    }
    let names = [
        crl.and_then(|crl| crl.custom_cname.as_deref()),
        ocsp.and_then(|ocsp| ocsp.ocsp_custom_cname.as_deref()),
    ];
    for name in names.into_iter().flatten() {
        // "The value of the CNAME must not include a protocol prefix such as http:// or https://."
        if name.contains("://") || name.is_empty() {
            let message = format_args!("{name:?} is not a host name without a protocol in front of it");
            return Err(Refusal::invalid("RevocationConfiguration", message));
        }
    }
    Ok(())
}

/// With the members that AWS always answers.
pub(crate) fn described(authority: &Authority) -> Result<wire::RevocationConfiguration, Refusal> {
    let mut configuration = authority.revocation()?;
    configuration.crl_configuration.get_or_insert(wire::CrlConfiguration {
        enabled: false,
        expiration_in_days: None,
        custom_cname: None,
        s3_bucket_name: None,
        s3_object_acl: None,
        crl_distribution_point_extension_configuration: None,
        crl_type: None,
        custom_path: None,
    });
    configuration
        .ocsp_configuration
        .get_or_insert(wire::OcspConfiguration { enabled: false, ocsp_custom_cname: None });
    Ok(configuration)
}

/// What its certificates say of CRL and OCSP.
pub(crate) fn extensions(authority: &Authority) -> Result<Vec<Extension>, Refusal> {
    let region = &authority.home.region;
    let configuration = authority.revocation()?;
    let crl = configuration.crl_configuration.filter(|crl| {
        let point = crl.crl_distribution_point_extension_configuration.as_ref();
        crl.enabled && !point.is_some_and(|point| point.omit_extension)
    });
    let crl = crl.map(|crl| {
        let bucket = crl.s3_bucket_name.unwrap_or_default();
        let host = crl.custom_cname.unwrap_or_else(|| format!("{bucket}.s3.{region}.amazonaws.com"));
        let path = crl.custom_path.map_or_else(|| "crl".to_owned(), |path| path.trim_matches('/').to_owned());
        let path = if path.is_empty() { path } else { format!("{path}/") };
        Extension::crl_distribution_point(&format!("http://{host}/{path}{}.crl", authority.id))
    });
    let ocsp = configuration.ocsp_configuration.filter(|ocsp| ocsp.enabled).map(|ocsp| {
        let host = ocsp.ocsp_custom_cname.unwrap_or_else(|| format!("ocsp.acm-pca.{region}.amazonaws.com"));
        Extension::ocsp_responder(&format!("http://{host}"))
    });
    Ok(crl.into_iter().chain(ocsp).collect())
}

/// The list of `authority` has to be signed anew, if it has one.
pub(crate) fn renew_list(tx: &mut Transaction<'_>, authority: &Authority) -> Result<(), Refusal> {
    tx.put(&Scope::new("acm-pca", &authority.home).pending(KIND, &authority.id), Vec::new());
    Ok(())
}

pub(crate) fn revoke(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::RevokeCertificateInput,
) -> Result<wire::RevokeCertificateOutput, Refusal> {
    use wire::RevocationReason as Reason;
    let authority = Authority::find_live(tx, &ctx.home(), &input.certificate_authority_arn)?;
    if authority.status != Status::Active {
        return Err(authority.wrong_state("is not ACTIVE and revokes nothing"));
    }
    if authority.is_short_lived {
        let message = "certificates of a SHORT_LIVED_CERTIFICATE authority are not revoked";
        return Err(refuse("InvalidRequestException", message));
    }
    let serial = input.certificate_serial.replace(':', "").to_ascii_lowercase();
    let is_serial = serial.len() == 32 && serial.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = format!("{}/{serial}", authority.id);
    let issued = if is_serial { CERTIFICATES.get(tx, &authority.home, &id)? } else { None };
    let Some(issued) = issued else {
        let message =
            format_args!("{} has issued no certificate {}", authority.arn(), input.certificate_serial);
        return Err(refuse("ResourceNotFoundException", message));
    };
    if issued.is_root {
        // In these words: Terraform goes by them when it destroys.
        return Err(refuse("InvalidRequestException", "Self-signed certificate can not be revoked"));
    }
    if REVOKED.get(tx, &authority.home, &id)?.is_some() {
        let message = format_args!("certificate {} is revoked already", input.certificate_serial);
        return Err(refuse("RequestAlreadyProcessedException", message));
    }
    let reason = match input.revocation_reason {
        Reason::Unspecified => 0,
        Reason::KeyCompromise => 1,
        Reason::CertificateAuthorityCompromise => 2,
        Reason::AffiliationChanged => 3,
        Reason::Superseded => 4,
        Reason::CessationOfOperation => 5,
        Reason::PrivilegeWithdrawn => 9,
        Reason::AACompromise => 10,
    };
    REVOKED.put(tx, &authority.home, &id, &Revocation { serial, at: ctx.now, reason })?;
    renew_list(tx, &authority)?;
    Ok(Default::default())
}

impl Revocation {
    pub(crate) fn at(&self) -> Moment {
        self.at
    }

    /// The API's word for the reason.
    pub(crate) fn reason_name(&self) -> &'static str {
        match self.reason {
            1 => "KEY_COMPROMISE",
            2 => "CERTIFICATE_AUTHORITY_COMPROMISE",
            3 => "AFFILIATION_CHANGED",
            4 => "SUPERSEDED",
            5 => "CESSATION_OF_OPERATION",
            9 => "PRIVILEGE_WITHDRAWN",
            10 => "A_A_COMPROMISE",
            _ => "UNSPECIFIED",
        }
    }

    fn entry(&self) -> Revoked {
        let octets = self.serial.as_bytes().chunks(2).map(|digits| {
            u8::from_str_radix(std::str::from_utf8(digits).unwrap_or_default(), 16).unwrap_or_default()
        });
        Revoked { serial: octets.collect(), at: self.at.into(), reason: self.reason }
    }
}

// === the list ===

/// Signs the list of an authority that has one; again when half of its life is over.
pub(crate) fn advance(
    surroundings: Arc<Surroundings>,
    work: Work,
) -> BoxFuture<'static, Result<Progress, Refusal>> {
    Box::pin(async move {
        let mut state = surroundings.store.read()?;
        let authority = AUTHORITIES.get(&mut state, &work.home, &work.id)?;
        let crl = match &authority {
            Some(authority) if authority.status == Status::Active && authority.installed.is_some() => {
                authority.revocation()?.crl_configuration.filter(|crl| crl.enabled)
            }
            _ => None,
        };
        let (Some(authority), Some(crl)) = (authority, crl) else {
            let Work { home, id, .. } = work.clone();
            return work.settle(&surroundings, move |tx| LISTS.delete(tx, &home, &id)).await;
        };
        let days = i64::from(crl.expiration_in_days.unwrap_or(DEFAULT_DAYS));
        let life = SignedDuration::from_hours(24 * days);
        let number = LISTS.get(&mut state, &work.home, &work.id)?.map_or(1, |list| list.number + 1);
        let revoked = REVOKED.all_of(&mut state, &work.home, &work.id)?;
        let sealed = authority.sealed_key(&mut state)?;
        drop(state);
        let (sealing_key, now) = (surroundings.vault.sealing_key(), surroundings.clock.now());
        let next_update =
            now.checked_add(life).map_err(|_| Exception::internal("the clock is at its end"))?;
        let signing = tokio::task::spawn_blocking(move || {
            let key = authority.open_key(&sealed, &sealing_key)?;
            let issuer = authority.name().ok_or_else(|| Exception::internal("the authority has no name"))?;
            let revoked: Vec<Revoked> = revoked.iter().map(Revocation::entry).collect();
            let list = Crl { issuer: &issuer, this_update: now, next_update, number, revoked: &revoked };
            let der = list.sign(&key, authority.signature_algorithm()?);
            der.map_err(|fault| Refusal::from(Exception::internal(fault.to_string())))
        });
        let der = signing.await.map_err(|error| Exception::internal(error.to_string()))??;
        let list = List { der: BASE64_STANDARD.encode(der), number, next_update: next_update.into() };
        let Work { home, id, .. } = work;
        let put = surroundings.store.transact(move |tx| LISTS.put(tx, &home, &id, &list));
        put.await.map_err(Refusal::from)?;
        let half = Duration::try_from(life / 2).unwrap_or(LONGEST_WAIT);
        Ok(Progress::Later(half.min(LONGEST_WAIT)))
    })
}

/// The CRL of the authority of this id, in DER; `None` where there is none.
///
/// # Errors
/// A state that cannot be read.
pub fn list(surroundings: &Surroundings, authority: &str) -> Result<Option<Vec<u8>>, Refusal> {
    let mut state = surroundings.store.read()?;
    let Some(authority) = Authority::of_id(&mut state, authority)? else { return Ok(None) };
    let list = LISTS.get(&mut state, &authority.home, &authority.id)?;
    Ok(list.and_then(|list| BASE64_STANDARD.decode(list.der).ok()))
}

// === OCSP ===

/// The answer to an OCSP question, whatever it is: `OCSPResponse` in DER.
pub async fn answer(surroundings: &Arc<Surroundings>, question: &[u8]) -> Vec<u8> {
    match signed_answer(surroundings, question).await {
        Ok(answer) => answer,
        Err(failure) => failure.der(),
    }
}

async fn signed_answer(surroundings: &Arc<Surroundings>, question: &[u8]) -> Result<Vec<u8>, Failure> {
    let ours = |refusal: Refusal| {
        tracing::error!(?refusal, "an OCSP question could not be answered");
        Failure::InternalError
    };
    let question = ocsp::Request::parse(question)?;
    let mut state = surroundings.store.read().map_err(|error| ours(error.into()))?;
    let first = question.certificates.first().ok_or(Failure::MalformedRequest)?;
    let authority = Authority::of_key(&mut state, &first.issuer_key_hash_text()).map_err(ours)?;
    let authority =
        authority.filter(|authority| authority.status == Status::Active).ok_or(Failure::Unauthorized)?;
    let configuration = authority.revocation().map_err(ours)?;
    if !configuration.ocsp_configuration.is_some_and(|ocsp| ocsp.enabled) {
        return Err(Failure::Unauthorized);
    }
    let mut statuses = Vec::with_capacity(question.certificates.len());
    for certificate in &question.certificates {
        let is_ours = certificate.issuer_key_hash_text() == first.issuer_key_hash_text();
        let id = format!("{}/{}", authority.id, serial_text(&certificate.serial));
        let is_known = is_ours && CERTIFICATES.get(&mut state, &authority.home, &id).map_err(ours)?.is_some();
        let revoked = REVOKED.get(&mut state, &authority.home, &id).map_err(ours)?;
        statuses.push(match revoked.filter(|_| is_known) {
            Some(revocation) => ocsp::Status::Revoked(revocation.entry()),
            None if is_known => ocsp::Status::Good,
            None => ocsp::Status::Unknown,
        });
    }
    let sealed = authority.sealed_key(&mut state).map_err(ours)?;
    drop(state);
    let permit = tokio::time::timeout(PATIENCE, SIGNING.acquire()).await;
    let _permit = permit.ok().and_then(Result::ok).ok_or(Failure::TryLater)?;
    let (sealing_key, now) = (surroundings.vault.sealing_key(), surroundings.clock.now());
    let signing = tokio::task::spawn_blocking(move || {
        let name = authority.name().ok_or(Failure::Unauthorized)?;
        let key = authority.open_key(&sealed, &sealing_key).map_err(ours)?;
        for (certificate, status) in question.certificates.iter().zip(&mut statuses) {
            if !certificate.is_issued_by(&name, key.public_key()) {
                *status = ocsp::Status::Unknown;
            }
        }
        let until: Timestamp = now.checked_add(ANSWER_LIFE).map_err(|_| Failure::InternalError)?;
        let algorithm = authority.signature_algorithm().map_err(ours)?;
        ocsp::answer(&question, &statuses, (now, until), &key, algorithm).map_err(|_| Failure::InternalError)
    });
    signing.await.map_err(|_| Failure::InternalError)?
}
