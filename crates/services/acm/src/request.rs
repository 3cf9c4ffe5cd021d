//! RequestCertificate, from a private CA of the account or, once its domains are proved, from this installation's own:
//! kept as PENDING_VALIDATION, ISSUED by the workflow, renewed by it well before the end.
//!
//! The key is made here and stays; the authority sees a request and answers with a certificate. Services that show the
//! certificate show its successor from the same transaction on.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use trellis_api::Exception;
use trellis_ca::distinguished_name::Text;
use trellis_ca::import::{self, Material, Purpose};
use trellis_ca::{
    Csr, DistinguishedName, Extension, GeneralName, KeyAlgorithm, Leaf, PrivateKey, SignatureAlgorithm, name,
};
use trellis_frame::certificate::{Authorities, Order};
use trellis_frame::operation::BoxFuture;
use trellis_frame::token::Token;
use trellis_frame::{Context, Progress, Refusal, Surroundings, Work, reference};
use trellis_model::Arn;
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::Home;
use trellis_store::Transaction;

use super::import::MAX_CERTIFICATES;
use super::record::{Certificate, TIMED_OUT};
use super::tags::{self, Tag};
use super::{invalid, read, validation};

/// "ACM private certificates are valid for 13 months."
const VALIDITY_DAYS: u16 = 395;

/// "Number of domain names per ACM certificate: 10."
const MAX_PUBLIC_NAMES: usize = 10;

/// "If ACM is not able to validate the domain name within 72 hours, the request times out."
const PATIENCE: SignedDuration = SignedDuration::from_hours(72);

/// How often proofs are looked for, of a request that is young and of one that waits long.
const LOOKS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Of a renewal: the domains are not proved any more.
pub(super) const PENDING_VALIDATION: &str = "PENDING_VALIDATION";

/// The longest wait until a certificate is looked at again: a clock may be set.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// RFC 5280, ub-common-name.
const MAX_COMMON_NAME: usize = 64;

/// What was asked for, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Requested {
    /// None: this installation's own.
    pub(crate) authority_arn: Option<String>,
    /// Lower case, `DomainName` first, each once.
    pub(crate) names: Vec<String>,
    pub(crate) key_algorithm: KeyAlgorithm,
    pub(crate) transparency_logging: String,
    pub(crate) export: String,
    pub(crate) issued_at: Option<Moment>,
    /// One of ACM's `FailureReason`s: nothing has been issued, and nothing will be.
    pub(crate) failure: Option<String>,
    /// Why the last renewal did not happen, and when.
    pub(crate) renewal_failure: Option<(String, Moment)>,
    /// Somebody has its key.
    #[serde(default)]
    pub(crate) is_exported: bool,
    /// RenewCertificate asked for it; the workflow has not done it yet.
    #[serde(default)]
    pub(crate) is_renewal_wanted: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Request {
    domain_name: String,
    validation_method: Option<String>,
    #[serde(default)]
    subject_alternative_names: Vec<String>,
    domain_validation_options: Option<Value>,
    #[serde(default)]
    options: Options,
    certificate_authority_arn: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
    key_algorithm: Option<KeyAlgorithm>,
    managed_by: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Options {
    pub(super) certificate_transparency_logging_preference: Option<String>,
    pub(super) export: Option<String>,
    pub(super) validation_method: Option<String>,
}

pub(super) async fn request(ctx: &Context, mut input: Value) -> Result<Value, Refusal> {
    let token = Token::take_member(ctx, ("acm", "RequestCertificate"), "IdempotencyToken", &mut input);
    let asked = input.clone();
    let request: Request = read(input)?;
    let tags = tags::check(&request.tags)?;
    let requested = check(request)?;
    // ACM asks the authority in the caller's name.
    if let Some(authority) = &requested.authority_arn {
        ctx.authorise("acm-pca:IssueCertificate", authority, &asked)?;
    }
    let certificate = Certificate {
        id: ctx.surroundings.random.uuid(),
        home: ctx.home(),
        facts: None,
        created_at: ctx.now,
        imported_at: None,
        requested: Some(requested),
    };
    let context = ctx.clone();
    let arn = ctx.transact(move |tx| {
        let run = |tx: &mut Transaction<'_>| {
            if Certificate::count(tx, &certificate.home)? >= MAX_CERTIFICATES {
                let message =
                    format!("there are {MAX_CERTIFICATES} certificates, which is the limit of a region");
                return Err(Exception::plain("LimitExceededException", 400, message).into());
            }
            tags::merge(tx, &context, &certificate.arn(), &tags)?;
            certificate.put_pending(tx)?;
            Ok(Value::from(certificate.arn()))
        };
        let home = certificate.home.clone();
        let is_there = |tx: &mut Transaction<'_>, arn: &Value| {
            let arn = arn.as_str().and_then(|arn| arn.parse::<Arn>().ok());
            Ok(arn.map_or(Ok(None), |arn| Certificate::get(tx, &home, &arn))?.is_some())
        };
        Token::once(token.as_ref(), tx, is_there, run)
    });
    Ok(json!({"CertificateArn": arn.await?}))
}

fn check(request: Request) -> Result<Requested, Exception> {
    let parameter = |message: String| Exception::plain("InvalidParameterException", 400, message);
    let authority_arn = request.certificate_authority_arn;
    let method = request.validation_method.as_ref().or(request.options.validation_method.as_ref());
    if authority_arn.is_some() {
        if method.is_some() || request.domain_validation_options.is_some() {
            let message = "a certificate of a private CA is not validated: leave the validation out";
            return Err(parameter(message.into()));
        }
    } else {
        if method.is_some_and(|method| method != "DNS") {
            return Err(invalid("domains are validated by DNS alone: give ValidationMethod DNS"));
        }
        if request.domain_validation_options.is_some() {
            let message = "DomainValidationOptions are for validation by email";
            return Err(Exception::plain("InvalidDomainValidationOptionsException", 400, message));
        }
    }
    if request.managed_by.is_some() {
        return Err(parameter("ManagedBy is not served here".into()));
    }
    let mut names: Vec<String> = Vec::new();
    for host in std::iter::once(&request.domain_name).chain(&request.subject_alternative_names) {
        if !name::is_identifier(host) {
            let shown: String = host.chars().take(253).collect();
            return Err(invalid(format!("{shown:?} is not a host name that a certificate can carry")));
        }
        let host = host.to_ascii_lowercase();
        if !names.contains(&host) {
            names.push(host);
        }
    }
    if authority_arn.is_none() && names.len() > MAX_PUBLIC_NAMES {
        let message = format!("a certificate that is validated has at most {MAX_PUBLIC_NAMES} names");
        return Err(Exception::plain("LimitExceededException", 400, message));
    }
    let choice = |given: Option<String>, default: &str| given.unwrap_or_else(|| default.to_owned());
    Ok(Requested {
        authority_arn,
        names,
        key_algorithm: request.key_algorithm.unwrap_or(KeyAlgorithm::Rsa2048),
        transparency_logging: choice(request.options.certificate_transparency_logging_preference, "ENABLED"),
        export: choice(request.options.export, "DISABLED"),
        issued_at: None,
        failure: None,
        renewal_failure: None,
        is_exported: false,
        is_renewal_wanted: false,
    })
}

// === issuing and renewing ===

/// Issues what is requested; issues it anew when two thirds of its life are over and somebody uses it.
pub(super) fn advance(
    surroundings: Arc<Surroundings>,
    work: Work,
) -> BoxFuture<'static, Result<Progress, Refusal>> {
    Box::pin(async move {
        let mut state = surroundings.store.read()?;
        let certificate = Certificate::of_id(&mut state, &work.home, &work.id)?;
        let Some(certificate) = certificate else { return work.settle(&surroundings, |_| Ok(())).await };
        let Some(requested) = certificate.requested.as_ref().filter(|requested| requested.failure.is_none())
        else {
            return work.settle(&surroundings, |_| Ok(())).await;
        };
        let now = surroundings.clock.now();
        let is_renewal = match &certificate.facts {
            None => false,
            Some(_) if requested.is_renewal_wanted => true,
            Some(facts) if now < facts.renew_at() => {
                let left = Duration::try_from(facts.renew_at().duration_since(now)).unwrap_or_default();
                return Ok(Progress::Later(left.clamp(Duration::from_secs(1), LONGEST_WAIT)));
            }
            // "certificates that are not in use are not renewed".
            Some(_) if certificate.users(&mut state)?.is_empty() && !requested.is_exported => {
                return Ok(Progress::Later(LONGEST_WAIT));
            }
            Some(_) => true,
        };
        let Some(authority) = &requested.authority_arn else {
            let is_proved = validation::are_proved(&mut state, &surroundings, &work.home, requested)?;
            drop(state);
            return own(&surroundings, &work, &certificate, is_proved).await;
        };
        let Some(authorities) = surroundings.services.hooks().authorities else {
            return fail(&surroundings, &work, "PCA_RESOURCE_NOT_FOUND", is_renewal).await;
        };
        let outcome = if is_renewal && !authorities.lets_renew(&mut state, &work.home, authority)? {
            Err(Failure::Denied)
        } else {
            drop(state);
            issue(&surroundings, authorities, &work.home, requested, authority).await
        };
        match outcome {
            Ok(leaf) => keep(&surroundings, &work, leaf).await,
            Err(Failure::Ours(refusal)) => Err(refusal),
            Err(failure) => fail(&surroundings, &work, failure.reason(), is_renewal).await,
        }
    })
}

/// Issues by this installation's own authority what is proved, and waits for what is not.
async fn own(
    surroundings: &Arc<Surroundings>,
    work: &Work,
    certificate: &Certificate,
    is_proved: bool,
) -> Result<Progress, Refusal> {
    let Some(requested) = &certificate.requested else { return Ok(Progress::Done) };
    let now = surroundings.clock.now();
    let is_renewal = certificate.facts.is_some();
    if !is_proved && is_renewal {
        return fail(surroundings, work, PENDING_VALIDATION, true).await;
    }
    if !is_proved {
        let waited = now.duration_since(certificate.created_at.into());
        if waited > PATIENCE {
            return fail(surroundings, work, TIMED_OUT, false).await;
        }
        let often = Duration::try_from(waited / 10).unwrap_or_default();
        return Ok(Progress::Later(often.clamp(LOOKS.0, LOOKS.1)));
    }
    let (inside, names, key) = (surroundings.clone(), requested.names.clone(), requested.key_algorithm);
    let issuing = tokio::task::spawn_blocking(move || inside.vault.issue_to(&names, key, now));
    let leaf = issuing.await.map_err(|error| Exception::internal(error.to_string()))?;
    keep(surroundings, work, leaf.map_err(Refusal::from)?).await
}

/// Why nothing was issued.
enum Failure {
    /// The authority does not let ACM renew by itself.
    Denied,
    /// The authority refused.
    Refused(Refusal),
    /// Tried again.
    Ours(Refusal),
}

impl Failure {
    /// ACM's word for it.
    fn reason(&self) -> &'static str {
        let Self::Refused(refusal) = self else { return "PCA_ACCESS_DENIED" };
        match refusal {
            Refusal::Invalid { member: Some("Validity"), .. } => "PCA_INVALID_DURATION",
            Refusal::Invalid { .. } => "PCA_INVALID_ARGS",
            Refusal::Conflict { .. } => "PCA_INVALID_STATE",
            Refusal::Exception(exception) => match exception.code.as_ref() {
                "ResourceNotFoundException" => "PCA_RESOURCE_NOT_FOUND",
                "InvalidArnException" => "PCA_INVALID_ARN",
                _ => "PCA_REQUEST_FAILED",
            },
            _ => "PCA_REQUEST_FAILED",
        }
    }
}

/// A new key, and the authority's certificate for it.
async fn issue(
    surroundings: &Arc<Surroundings>,
    authorities: &dyn Authorities,
    home: &Home,
    requested: &Requested,
    authority: &str,
) -> Result<Leaf, Failure> {
    let broken = |message: String| Failure::Ours(Exception::internal(message).into());
    let (names, algorithm) = (requested.names.clone(), requested.key_algorithm);
    let making = tokio::task::spawn_blocking(move || {
        let key = PrivateKey::generate(algorithm).map_err(|fault| fault.to_string())?;
        let signing = match algorithm.is_rsa() {
            true => SignatureAlgorithm::Sha256Rsa,
            false => SignatureAlgorithm::Sha256Ecdsa,
        };
        // A name too long for the common name stands among the alternative names alone.
        let common_name = names.first().filter(|name| name.len() <= MAX_COMMON_NAME);
        let subject = common_name.map(|name| ("2.5.4.3", Text::Utf8, name.as_str()));
        let subject = DistinguishedName::of(subject).ok_or("a host name is text")?;
        let hosts: Vec<_> = names.iter().cloned().map(GeneralName::Dns).collect();
        let wanted = Extension::subject_alternative_name(&hosts, false).ok_or("host names are ASCII")?;
        let csr = Csr::create(&key, signing, &subject, &[wanted]).map_err(|fault| fault.to_string())?;
        Ok::<_, String>((key, csr))
    });
    let (key, csr) = making.await.map_err(|error| broken(error.to_string()))?.map_err(broken)?;
    let order = Order { authority_arn: authority.to_owned(), csr, days: VALIDITY_DAYS };
    let issued = authorities.issue(surroundings, home, &order).await;
    let issued = issued.map_err(|refusal| match refusal.is_ours() {
        true => Failure::Ours(refusal),
        false => Failure::Refused(refusal),
    })?;
    let pem = key.to_pem();
    let material = Material {
        certificate: issued.certificate.as_bytes(),
        private_key: pem.as_bytes(),
        chain: issued.chain.as_deref().map(str::as_bytes),
    };
    // What no handshake could use is as good as refused.
    import::check(&material, surroundings.clock.now(), Purpose::Any)
        .map_err(|fault| Failure::Refused(Refusal::unacceptable(fault)))
}

/// Writes what was issued, unless it has been deleted meanwhile; the mark stays, for the next renewal.
async fn keep(surroundings: &Arc<Surroundings>, work: &Work, leaf: Leaf) -> Result<Progress, Refusal> {
    let now = Moment::from(surroundings.clock.now());
    let renew_at = leaf.renew_at();
    let (inside, home, id) = (surroundings.clone(), work.home.clone(), work.id.clone());
    let transaction = surroundings.store.transact(move |tx| {
        let Some(mut certificate) = Certificate::of_id(tx, &home, &id)? else { return Ok(()) };
        let Some(requested) = &mut certificate.requested else { return Ok(()) };
        requested.issued_at = Some(now);
        requested.renewal_failure = None;
        requested.is_renewal_wanted = false;
        certificate.facts = Some(leaf.facts().clone());
        certificate.put(tx, &inside.vault, &leaf)?;
        reference::changed(tx, &inside, &certificate.arn())
    });
    transaction.await?;
    let left = Duration::try_from(renew_at.duration_since(Timestamp::from(now))).unwrap_or_default();
    Ok(Progress::Later(left.clamp(Duration::from_secs(1), LONGEST_WAIT)))
}

/// Remembers that nothing was issued. A first time is the last; a renewal is tried again.
async fn fail(
    surroundings: &Arc<Surroundings>,
    work: &Work,
    reason: &'static str,
    is_renewal: bool,
) -> Result<Progress, Refusal> {
    let now = Moment::from(surroundings.clock.now());
    let (home, id) = (work.home.clone(), work.id.clone());
    tracing::warn!(certificate = work.id, reason, is_renewal, "a certificate was not issued");
    let step = move |tx: &mut Transaction<'_>| {
        let Some(mut certificate) = Certificate::of_id(tx, &home, &id)? else { return Ok(()) };
        let Some(requested) = &mut certificate.requested else { return Ok(()) };
        match is_renewal {
            true => {
                requested.renewal_failure = Some((reason.to_owned(), now));
                requested.is_renewal_wanted = false;
            }
            false => requested.failure = Some(reason.to_owned()),
        }
        certificate.put_record(tx);
        Ok::<_, Refusal>(())
    };
    if !is_renewal {
        return work.settle(surroundings, step).await;
    }
    surroundings.store.transact(step).await?;
    Ok(Progress::Later(LONGEST_WAIT))
}
