//! ImportCertificateAuthorityCertificate: a certificate for the authority's key, signed here or elsewhere.

use trellis_ca::authority_certificate::{self, AuthorityCertificate, CertificateFor};
use trellis_frame::{Context, Refusal};
use trellis_store::Transaction;

use super::{Authority, Installed, Status};
use crate::{refuse, revocation, wire};

pub(crate) fn import(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::ImportCertificateAuthorityCertificateInput,
) -> Result<wire::ImportCertificateAuthorityCertificateOutput, Refusal> {
    let mut authority = Authority::find_live(tx, &ctx.home(), &input.certificate_authority_arn)?;
    let csr = match (authority.status, &authority.csr) {
        (Status::PendingCertificate | Status::Active | Status::Disabled, Some(csr)) => csr,
        (Status::Creating, _) => {
            return Err(refuse(
                "RequestInProgressException",
                "the key of the certificate authority is being made",
            ));
        }
        _ => return Err(authority.wrong_state("does not wait for a certificate")),
    };
    let chain =
        input.certificate_chain.as_ref().map(|chain| chain.0.as_slice()).filter(|chain| !chain.is_empty());
    let wanted = CertificateFor { csr: csr.as_bytes(), is_root: authority.is_root, now: ctx.now.into() };
    let checked = authority_certificate::check(&input.certificate.0, chain, &wanted);
    let AuthorityCertificate { certificate, chain, facts, path_length } = checked.map_err(|fault| {
        let code = match fault.is_mismatch() {
            true => "CertificateMismatchException",
            false => "MalformedCertificateException",
        };
        refuse(code, fault)
    })?;
    authority.installed = Some(Installed { certificate, chain, facts, path_length });
    // One that is disabled gets a new certificate without being enabled by it.
    if authority.status == Status::PendingCertificate {
        authority.status = Status::Active;
    }
    authority.changed_at = ctx.now;
    authority.put(tx)?;
    revocation::renew_list(tx, &authority)?;
    Ok(Default::default())
}
