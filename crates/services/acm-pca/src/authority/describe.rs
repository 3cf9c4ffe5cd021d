//! What is told of an authority.

use trellis_api::typed::{FromValue, IntoValue};
use trellis_frame::{Context, Page, Paged, Refusal};
use trellis_model::moment::Moment;
use trellis_store::Reader;

use super::{AUTHORITIES, Authority, Installed, Status};
use crate::policy::{self, Want};
use crate::{refuse, wire};

fn wire_of(authority: &Authority, now: Moment) -> Result<wire::CertificateAuthority, Refusal> {
    let facts = authority.installed.as_ref().map(|installed| &installed.facts);
    let storage =
        wire::KeyStorageSecurityStandard::from_value(authority.key_storage.clone().into_value()).ok();
    Ok(wire::CertificateAuthority {
        arn: Some(authority.arn()),
        owner_account: Some(authority.home.account.to_string()),
        created_at: Some(authority.created_at),
        last_state_change_at: Some(authority.changed_at),
        r#type: Some(match authority.is_root {
            true => wire::CertificateAuthorityType::Root,
            false => wire::CertificateAuthorityType::Subordinate,
        }),
        serial: facts.map(|facts| facts.serial.clone()),
        status: Some(authority.wire_status(now)),
        not_before: facts.map(|facts| facts.not_before),
        not_after: facts.map(|facts| facts.not_after),
        failure_reason: (authority.status == Status::Failed).then_some(wire::FailureReason::Other),
        certificate_authority_configuration: Some(authority.configuration()?),
        revocation_configuration: Some(crate::revocation::described(authority)?),
        restorable_until: authority.deleted.as_ref().map(|deleted| deleted.restorable_until),
        key_storage_security_standard: storage,
        usage_mode: Some(match authority.is_short_lived {
            true => wire::CertificateAuthorityUsageMode::ShortLivedCertificate,
            false => wire::CertificateAuthorityUsageMode::GeneralPurpose,
        }),
    })
}

pub(crate) fn describe(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::DescribeCertificateAuthorityInput,
) -> Result<wire::DescribeCertificateAuthorityOutput, Refusal> {
    let want = Want::of(&ctx.caller, "DescribeCertificateAuthority");
    let authority = policy::reach(state, &ctx.home(), &input.certificate_authority_arn, want)?;
    Ok(wire::DescribeCertificateAuthorityOutput {
        certificate_authority: Some(wire_of(&authority, ctx.now)?),
    })
}

pub(crate) fn list(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListCertificateAuthoritiesInput,
    page: &Page,
) -> Result<Paged<wire::ListCertificateAuthoritiesOutput>, Refusal> {
    // Nobody shares an authority yet, so those of other accounts are none.
    let is_own = input.resource_owner != Some(wire::ResourceOwner::OtherAccounts);
    let listing = AUTHORITIES.list(state, &ctx.home(), page, |_, authority| {
        Ok(if is_own { Some(wire_of(&authority, ctx.now)?) } else { None })
    })?;
    Ok(listing.into_output(|authorities| wire::ListCertificateAuthoritiesOutput {
        next_token: None,
        certificate_authorities: Some(authorities),
    }))
}

pub(crate) fn csr(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::GetCertificateAuthorityCsrInput,
) -> Result<wire::GetCertificateAuthorityCsrOutput, Refusal> {
    let authority = Authority::find_live(state, &ctx.home(), &input.certificate_authority_arn)?;
    match (authority.status, authority.csr) {
        (Status::Creating, _) | (_, None) => {
            Err(refuse("RequestInProgressException", "the key of the certificate authority is being made"))
        }
        (_, csr) => Ok(wire::GetCertificateAuthorityCsrOutput { csr }),
    }
}

pub(crate) fn certificate(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::GetCertificateAuthorityCertificateInput,
) -> Result<wire::GetCertificateAuthorityCertificateOutput, Refusal> {
    let want = Want::of(&ctx.caller, "GetCertificateAuthorityCertificate");
    let authority = policy::reach_live(state, &ctx.home(), &input.certificate_authority_arn, want)?;
    match &authority.installed {
        Some(Installed { certificate, chain, .. }) => Ok(wire::GetCertificateAuthorityCertificateOutput {
            certificate: Some(without_last_line_end(certificate)),
            certificate_chain: chain.as_deref().map(without_last_line_end),
        }),
        None => Err(authority.wrong_state("has no certificate: import one first")),
    }
}

/// As AWS answers PEM.
pub(crate) fn without_last_line_end(pem: &str) -> String {
    pem.trim_end().to_owned()
}
