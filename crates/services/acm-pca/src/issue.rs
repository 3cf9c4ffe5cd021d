//! IssueCertificate: judged, signed off the threads that serve calls, then written if the authority is still the same.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use trellis_api::Exception;
use trellis_ca::certificate::new_serial;
use trellis_ca::extension::key_identifier;
use trellis_ca::{Csr, DistinguishedName, Extension, SignatureAlgorithm, ToBeSigned, certificates_to_pem};
use trellis_frame::certificate::{self, Order};
use trellis_frame::token::Token;
use trellis_frame::{Context, Refusal, Surroundings};
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::Home;
use trellis_store::Transaction;

use crate::authority::{Authority, Status, signature_algorithm};
use crate::certificate::{CERTIFICATES, Issued, serial_text};
use crate::permission::ACM;
use crate::policy::{self, Want};
use crate::template::Template;
use crate::{extensions, refuse, revocation, subject, validity, wire};

/// "Short-lived certificates have a validity period of at most seven days."
const SHORT_LIFE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Issues what `order` says with the template for end entities, signed as the authority signs.
///
/// # Errors
/// As IssueCertificate, in AWS Private CA's codes.
pub(crate) async fn fulfil(
    surroundings: &Arc<Surroundings>,
    home: &Home,
    order: &Order,
) -> Result<certificate::Issued, Refusal> {
    let now = surroundings.clock.now();
    let root = trellis_policy::Caller::root(home.account.as_str());
    let principal_arn = format!("arn:aws:iam::{}:root", home.account);
    let want = Want {
        principal: &root,
        principal_arn: &principal_arn,
        action: "IssueCertificate",
        template_arn: Some(Template::END_ENTITY_ARN),
    };
    let mut state = surroundings.store.read()?;
    let authority = policy::reach_live(&mut state, home, &order.authority_arn, want)?;
    drop(state);
    let days = wire::Validity { value: i64::from(order.days), r#type: wire::ValidityPeriodType::Days };
    let wanted = Wanted {
        csr: order.csr.clone().into_bytes(),
        signing: authority.signature_algorithm()?,
        template: Template::END_ENTITY,
        subject: None,
        calls: Vec::new(),
        not_before: validity::not_before(None, now)?,
        not_after: validity::not_after(&days, now)?,
    };
    let (authority, mut issued, _) = sign(surroundings, authority, now, wanted).await?;
    issued.template = Some(Template::END_ENTITY_ARN.to_owned());
    issued.requested_by = Some(ACM.to_owned());
    let answer = issued.clone().with_chain(&authority);
    let written = issued;
    let transaction = surroundings.store.transact(move |tx| write(tx, &authority, &written));
    transaction.await.map_err(Refusal::from)?;
    Ok(answer)
}

pub(crate) async fn issue(
    ctx: &Context,
    input: wire::IssueCertificateInput,
) -> Result<wire::IssueCertificateOutput, Refusal> {
    let wire::IssueCertificateInput {
        api_passthrough,
        certificate_authority_arn,
        csr,
        signing_algorithm,
        template_arn,
        validity: wanted_validity,
        validity_not_before,
        idempotency_token,
    } = input;
    let mut asked = json!({
        "IdempotencyToken": idempotency_token,
        "CertificateAuthorityArn": certificate_authority_arn,
        "Csr": String::from_utf8_lossy(&csr.0),
        "SigningAlgorithm": signing_algorithm.to_string(),
        "TemplateArn": template_arn,
        "Validity": [wanted_validity.value.to_string(), wanted_validity.r#type.to_string()],
        "ApiPassthrough": format!("{api_passthrough:?}"),
    });
    let token = Token::take_member(ctx, ("acm-pca", "IssueCertificate"), "IdempotencyToken", &mut asked);

    let now = Timestamp::from(ctx.now);
    let template = template_arn.as_deref().map_or(Ok(Template::END_ENTITY), Template::of_arn)?;
    let api = api_passthrough.unwrap_or_default();
    if !template.hears_api && (api.subject.is_some() || api.extensions.is_some()) {
        let message = "is for templates whose names end in APIPassthrough or APICSRPassthrough";
        return Err(Refusal::invalid("ApiPassthrough", message));
    }
    let template_arn = template_arn.unwrap_or_else(|| Template::END_ENTITY_ARN.to_owned());
    let want = Want { template_arn: Some(&template_arn), ..Want::of(&ctx.caller, "IssueCertificate") };
    let authority = policy::reach_live(&mut ctx.read()?, &ctx.home(), &certificate_authority_arn, want)?;
    let wanted = Wanted {
        csr: csr.0,
        signing: signature_algorithm(signing_algorithm)?,
        template,
        subject: api.subject.as_ref().map(subject::distinguished_name).transpose()?,
        calls: api.extensions.as_ref().map_or(Ok(Vec::new()), extensions::of_api)?,
        not_before: validity::not_before(validity_not_before.as_ref(), now)?,
        not_after: validity::not_after(&wanted_validity, now)?,
    };
    let (authority, mut issued, arn) = sign(&ctx.surroundings, authority, now, wanted).await?;
    issued.template = Some(template_arn);
    let arn = ctx
        .transact(move |tx| {
            let run = |tx: &mut Transaction<'_>| {
                write(tx, &authority, &issued)?;
                Ok(Value::from(arn.clone()))
            };
            Token::once(token.as_ref(), tx, |_, _| Ok(true), run)
        })
        .await?;
    Ok(wire::IssueCertificateOutput { certificate_arn: arn.as_str().map(str::to_owned) })
}

/// What is asked for, read.
struct Wanted {
    csr: Vec<u8>,
    signing: SignatureAlgorithm,
    template: Template,
    /// In place of the request's.
    subject: Option<DistinguishedName>,
    /// Extensions that the call asks for.
    calls: Vec<Extension>,
    not_before: Timestamp,
    not_after: Timestamp,
}

/// Judges and signs; what is to be written, for which authority, and its ARN.
async fn sign(
    surroundings: &Arc<Surroundings>,
    authority: Authority,
    now: Timestamp,
    wanted: Wanted,
) -> Result<(Authority, Issued, String), Refusal> {
    let sealed = authority.sealed_key(&mut surroundings.store.read()?)?;
    let sealing_key = surroundings.vault.sealing_key();
    let signing = tokio::task::spawn_blocking(move || {
        let certificate = Draft::of(&authority, wanted, now)?;
        let key = authority.open_key(&sealed, &sealing_key)?;
        let ours = |fault: trellis_ca::SignFault| Refusal::from(Exception::internal(fault.to_string()));
        let serial = new_serial().map_err(ours)?;
        let der = ToBeSigned {
            serial,
            signature_algorithm: certificate.signing,
            issuer: &certificate.issuer,
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            subject: &certificate.subject,
            public_key_info: &certificate.public_key_info,
            extensions: &certificate.extensions,
        }
        .sign(&key)
        .map_err(ours)?;
        let issued = Issued {
            certificate: certificates_to_pem(&[der]),
            issued_at: Moment::from(now),
            not_after: Moment::from(certificate.not_after),
            is_root: certificate.is_root,
            serial: serial_text(&serial),
            subject: certificate.subject.to_string(),
            not_before: Some(Moment::from(certificate.not_before)),
            template: None,
            requested_by: None,
        };
        let arn = format!("{}/certificate/{}", authority.arn(), issued.serial);
        Ok::<_, Refusal>((authority, issued, arn))
    });
    signing.await.map_err(|error| Exception::internal(error.to_string()))?
}

/// Writes the certificate, unless the authority has become another meanwhile.
fn write(tx: &mut Transaction<'_>, signer: &Authority, issued: &Issued) -> Result<(), Refusal> {
    let authority = Authority::find_live(tx, &signer.home, &signer.arn())?;
    let is_same = authority.status == signer.status && authority.installed == signer.installed;
    if !is_same {
        return Err(authority.wrong_state("has changed while it signed: ask again"));
    }
    CERTIFICATES.put(tx, &authority.home, format_args!("{}/{}", authority.id, issued.serial), issued)
}

/// The fields of the certificate, all judged.
struct Draft {
    signing: SignatureAlgorithm,
    issuer: DistinguishedName,
    subject: DistinguishedName,
    not_before: Timestamp,
    not_after: Timestamp,
    public_key_info: Vec<u8>,
    extensions: Vec<Extension>,
    is_root: bool,
}

impl Draft {
    fn of(authority: &Authority, wanted: Wanted, now: Timestamp) -> Result<Self, Refusal> {
        let Wanted { csr, signing, template, subject, calls, not_before, not_after, .. } = wanted;
        let csr = Csr::parse(&csr).map_err(|fault| refuse("MalformedCSRException", fault))?;
        let configuration = authority.configuration()?;
        let key = crate::authority::create::key_algorithm(configuration.key_algorithm)?;
        if !signing.is_for(key) {
            let message =
                format_args!("the authority has a key of {key}, which does not sign with {signing}");
            return Err(Refusal::invalid("SigningAlgorithm", message));
        }
        if not_after <= not_before || not_after <= now {
            let message =
                format_args!("ends at {not_after}, which is over or before it begins at {not_before}");
            return Err(Refusal::invalid("Validity", message));
        }
        let subject = subject.unwrap_or(csr.subject.clone());
        let mut draft = Self {
            signing,
            issuer: subject.clone(),
            subject,
            not_before,
            not_after,
            public_key_info: csr.public_key_info.clone(),
            extensions: Vec::new(),
            is_root: template.is_root(),
        };
        let own_key = Extension::subject_key_identifier(&csr.public_key);
        let authoritys = if template.is_root() {
            draft.check_root(authority, &csr)?;
            vec![own_key]
        } else {
            draft.check_issuer(authority, template, now)?;
            let public_key = authority.csr.as_deref().and_then(|csr| Csr::parse(csr.as_bytes()).ok());
            let public_key =
                public_key.ok_or_else(|| Exception::internal("the authority has no key"))?.public_key;
            let mut extensions =
                vec![Extension::authority_key_identifier(&key_identifier(&public_key)), own_key];
            extensions.extend(revocation::extensions(authority)?);
            extensions
        };
        draft.extensions = template.extensions(&csr, authoritys, calls);
        Ok(draft)
    }

    /// An authority signs itself: with its own key, and nobody else's.
    fn check_root(&self, authority: &Authority, csr: &Csr) -> Result<(), Refusal> {
        if !authority.is_root {
            let message = "RootCACertificate is for authorities of type ROOT to sign themselves with";
            return Err(Refusal::invalid("TemplateArn", message));
        }
        if !matches!(authority.status, Status::PendingCertificate | Status::Active) {
            return Err(authority.wrong_state("is neither PENDING_CERTIFICATE nor ACTIVE"));
        }
        let own = authority.csr.as_deref().and_then(|csr| Csr::parse(csr.as_bytes()).ok());
        if own.is_none_or(|own| own.public_key_info != csr.public_key_info) {
            let message =
                "a root certificate is for the authority's own request: see GetCertificateAuthorityCsr";
            return Err(refuse("MalformedCSRException", message));
        }
        if self.subject.is_empty() {
            return Err(refuse("MalformedCSRException", "a root certificate has a subject"));
        }
        Ok(())
    }

    /// Somebody else gets a certificate: within the bounds of the authority's own.
    fn check_issuer(
        &mut self,
        authority: &Authority,
        template: Template,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let installed = match &authority.installed {
            Some(installed) if authority.status == Status::Active => installed,
            _ => return Err(authority.wrong_state("is not ACTIVE and issues nothing")),
        };
        if authority.is_expired(now.into()) {
            return Err(authority.wrong_state("is EXPIRED and issues nothing"));
        }
        let end = Timestamp::from(installed.facts.not_after);
        if self.not_after > end {
            let (ends, authority_ends) = (self.not_after, installed.facts.not_after);
            let message =
                format_args!("ends at {ends}, after the authority's own certificate at {authority_ends}");
            return Err(Refusal::invalid("Validity", message));
        }
        if authority.is_short_lived && self.not_after.duration_since(now) > SHORT_LIFE {
            let message = "a SHORT_LIVED_CERTIFICATE authority issues for seven days at most";
            return Err(Refusal::invalid("Validity", message));
        }
        if let Some(length) = template.authority() {
            let deeper =
                length.is_none_or(|length| installed.path_length.is_some_and(|limit| length >= limit));
            if deeper && installed.path_length.is_some() {
                let limit = installed.path_length.unwrap_or_default();
                let message = format_args!(
                    "the authority's path length is {limit}: expected a template of a lesser one"
                );
                return Err(Refusal::invalid("TemplateArn", message));
            }
            if self.subject.is_empty() {
                return Err(refuse("MalformedCSRException", "an authority's certificate has a subject"));
            }
        }
        self.issuer = authority.name().ok_or_else(|| Exception::internal("the authority has no name"))?;
        Ok(())
    }
}
