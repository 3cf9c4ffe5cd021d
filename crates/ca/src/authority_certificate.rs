//! Certificates of authorities, brought for a key of ours: signed by itself, or by somebody else with their chain.

use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;

use crate::csr::Csr;
use crate::facts::{self, CertificateFault, Facts, KeyUsage};
use crate::import::{MAX_CERTIFICATE, MAX_CHAIN, MAX_CHAIN_CERTIFICATES};
use crate::pem::{self, PemFault, certificates_to_pem};
use crate::signature::{SignatureAlgorithm, is_signed_by};

/// What a certificate is wanted for.
#[derive(Clone, Copy, Debug)]
pub struct CertificateFor<'a> {
    /// The authority's own request, as PEM.
    pub csr: &'a [u8],
    /// Signed by itself, without a chain.
    pub is_root: bool,
    pub now: Timestamp,
}

/// A certificate that fits, as it is kept.
#[derive(Clone, Debug)]
pub struct AuthorityCertificate {
    /// PEM, nothing around it.
    pub certificate: String,
    pub chain: Option<String>,
    pub facts: Facts,
    /// The most authorities there may be between this one and a certificate of none.
    pub path_length: Option<u8>,
}

/// Why a certificate was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityCertificateFault {
    #[error("the {place} has {got} bytes, expected at most {limit}")]
    TooLarge { place: &'static str, got: usize, limit: usize },
    #[error("the {place} is not PEM: {fault}")]
    Pem { place: &'static str, fault: PemFault },
    #[error("expected one section CERTIFICATE in the certificate, found others")]
    Section,
    #[error("the {place} cannot be used: {fault}")]
    Certificate { place: &'static str, fault: CertificateFault },
    #[error("the {place} is valid from {not_before} to {not_after}, and it is {now}")]
    Dates { place: &'static str, not_before: Timestamp, not_after: Timestamp, now: Timestamp },
    #[error(
        "the {place} is not an authority's: its basic constraints and key usage do not let it sign certificates"
    )]
    NotAuthority { place: &'static str },
    #[error(
        "the certificate is for another key than the authority's: it was not made from its signing request"
    )]
    Key,
    #[error("a root certificate is signed by itself; this one is not, or its signature is wrong")]
    NotSelfSigned,
    #[error("a root certificate has no chain")]
    ChainOfRoot,
    #[error("a subordinate authority's certificate comes with the chain of its issuers")]
    NoChain,
    #[error("certificate {at} of the chain did not sign what stands before it")]
    Chain { at: usize },
}

impl AuthorityCertificateFault {
    /// Whether the certificate is right, and another's.
    pub fn is_mismatch(&self) -> bool {
        matches!(self, Self::Key)
    }
}

/// Judges `certificate` and `chain`, both PEM.
///
/// # Errors
/// Every [`AuthorityCertificateFault`]: always the caller's fault.
pub fn check(
    certificate: &[u8],
    chain: Option<&[u8]>,
    wanted: &CertificateFor<'_>,
) -> Result<AuthorityCertificate, AuthorityCertificateFault> {
    use AuthorityCertificateFault as Fault;
    let place = "certificate";
    let mut certificates = read(place, certificate, MAX_CERTIFICATE)?;
    let certificate = certificates.pop().filter(|_| certificates.is_empty()).ok_or(Fault::Section)?;
    let (parsed, facts) = authority(place, &certificate, wanted.now)?;
    let own_key = Csr::parse(wanted.csr).map_err(|_| Fault::Key)?.public_key;
    if *parsed.public_key().subject_public_key.data != *own_key {
        return Err(Fault::Key);
    }
    let chain = chain.map(|chain| read("certificate chain", chain, MAX_CHAIN)).transpose()?;
    match (wanted.is_root, &chain) {
        (true, Some(_)) => return Err(Fault::ChainOfRoot),
        (true, None) => {
            let is_own =
                facts.is_self_issued && is_signed_by(&parsed, facts.signature_algorithm, &certificate);
            is_own.then_some(()).ok_or(Fault::NotSelfSigned)?;
        }
        (false, None) => return Err(Fault::NoChain),
        (false, Some(chain)) => check_chain((&parsed, facts.signature_algorithm), chain, wanted.now)?,
    }
    let path_length =
        parsed.basic_constraints().ok().flatten().and_then(|basic| basic.value.path_len_constraint);
    let path_length = path_length.map(|length| u8::try_from(length).unwrap_or(u8::MAX));
    drop(parsed);
    Ok(AuthorityCertificate {
        certificate: certificates_to_pem(&[certificate]),
        chain: chain.map(|chain| certificates_to_pem(&chain)),
        facts,
        path_length,
    })
}

fn read(
    place: &'static str,
    text: &[u8],
    limit: usize,
) -> Result<Vec<CertificateDer<'static>>, AuthorityCertificateFault> {
    use AuthorityCertificateFault as Fault;
    if text.len() > limit {
        return Err(Fault::TooLarge { place, got: text.len(), limit });
    }
    let sections =
        pem::sections(text, MAX_CHAIN_CERTIFICATES).map_err(|fault| Fault::Pem { place, fault })?;
    let der = |section: pem::Section| match section.label.as_str() {
        pem::CERTIFICATE => Ok(CertificateDer::from(section.der.to_vec())),
        _ => Err(Fault::Section),
    };
    sections.into_iter().map(der).collect()
}

/// One certificate of an authority, valid now.
fn authority<'c>(
    place: &'static str,
    certificate: &'c CertificateDer<'_>,
    now: Timestamp,
) -> Result<(X509Certificate<'c>, Facts), AuthorityCertificateFault> {
    use AuthorityCertificateFault as Fault;
    let parsed = facts::parse(certificate).map_err(|fault| Fault::Certificate { place, fault })?;
    let facts = Facts::of_parsed(&parsed).map_err(|fault| Fault::Certificate { place, fault })?;
    let may_sign = facts.key_usages.is_empty() || facts.key_usages.contains(&KeyUsage::CertificateSigning);
    if !facts.is_authority || !may_sign {
        return Err(Fault::NotAuthority { place });
    }
    if !facts.is_valid_at(now) {
        let (not_before, not_after) = (facts.not_before.into(), facts.not_after.into());
        return Err(Fault::Dates { place, not_before, not_after, now });
    }
    Ok((parsed, facts))
}

/// Each certificate of `chain` signed the one before it.
fn check_chain(
    (first, algorithm): (&X509Certificate<'_>, SignatureAlgorithm),
    chain: &[CertificateDer<'_>],
    now: Timestamp,
) -> Result<(), AuthorityCertificateFault> {
    let mut issuer_name = first.issuer().as_raw().to_vec();
    let mut signed = (first.clone(), algorithm);
    for (at, certificate) in chain.iter().enumerate() {
        let (parsed, facts) = authority("certificate chain", certificate, now)?;
        if parsed.subject().as_raw() != issuer_name || !is_signed_by(&signed.0, signed.1, certificate) {
            return Err(AuthorityCertificateFault::Chain { at: at + 1 });
        }
        issuer_name = parsed.issuer().as_raw().to_vec();
        signed = (parsed, facts.signature_algorithm);
    }
    Ok(())
}
