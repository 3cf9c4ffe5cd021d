//! Whether a chain certifies a certificate: link by link, so that what is wrong can be named, and then
//! once more by the verifier that TLS clients use, which knows the rules that are about whole paths.

use std::time::Duration;

use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, anchor_from_trusted_cert};
use x509_parser::certificate::X509Certificate;

use super::{ImportError, Place, Purpose, check_dates};
use crate::facts::{self, CertificateFault};
use crate::signature::{self, SignatureAlgorithm};
use crate::subject;

/// `issuers` certify `certificate`, the direct issuer first. Does nothing if there are none.
pub(super) fn check(
    certificate: &CertificateDer<'_>,
    parsed: &X509Certificate<'_>,
    issuers: &[CertificateDer<'_>],
    now: Timestamp,
    purpose: Purpose,
) -> Result<(), ImportError> {
    let Some((root, between)) = issuers.split_last() else { return Ok(()) };
    if let Some(at) = issuers.iter().position(|issuer| issuer == certificate) {
        return Err(ImportError::ChainRepeats { position: at + 1 });
    }
    let links = issuers
        .iter()
        .enumerate()
        .map(|(at, issuer)| {
            let place = Place::Chain(at + 1);
            let fault = |fault| ImportError::Certificate { place, fault };
            let link = facts::parse(issuer).map_err(fault)?;
            facts::key_algorithm(link.public_key()).map_err(|key| fault(key.into()))?;
            check_dates(place, &link, now)?;
            Ok(link)
        })
        .collect::<Result<Vec<_>, _>>()?;

    let mut signed = (Place::Certificate, parsed);
    for (at, link) in links.iter().enumerate() {
        check_link(signed, at, &links, &issuers[at])?;
        signed = (Place::Chain(at + 1), link);
    }
    let (place, last) = signed;
    // A root's signature on itself proves nothing and is often old; anybody else's counts.
    if last.subject().as_raw() != last.issuer().as_raw() {
        algorithm(place, last)?;
    }

    let refused = |error: webpki::Error| ImportError::ChainRefused { reason: error.to_string() };
    let anchor = anchor_from_trusted_cert(root).map_err(refused)?;
    let server = webpki::KeyUsage::server_auth();
    let time = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.as_second()).unwrap_or(0)));
    let leaf = EndEntityCert::try_from(certificate).map_err(refused)?;
    let anchors = [anchor];
    match purpose {
        Purpose::Any => {
            leaf.verify_for_usage(signature::ACCEPTED, &anchors, between, time, AnyUsage, None, None)
        }
        Purpose::TlsServer => {
            leaf.verify_for_usage(signature::ACCEPTED, &anchors, between, time, server, None, None)
        }
    }
    .map(|_| ())
    .map_err(refused)
}

/// The certificate at `at` has certified `signed`.
fn check_link(
    (place, signed): (Place, &X509Certificate<'_>),
    at: usize,
    links: &[X509Certificate<'_>],
    issuer_der: &CertificateDer<'_>,
) -> Result<(), ImportError> {
    let (issuer, position) = (&links[at], at + 1);
    let issued = |link: &X509Certificate<'_>| link.subject().as_raw() == signed.issuer().as_raw();
    if !issued(issuer) {
        return Err(match links.iter().position(issued) {
            Some(belongs) => ImportError::ChainOrder { position, belongs: belongs + 1 },
            None => ImportError::ChainIssuer {
                position,
                found: subject::to_text(issuer.subject()),
                expected: subject::to_text(signed.issuer()),
            },
        });
    }
    // `parse` has refused malformed and repeated extensions, so an error is an absent one.
    let may_sign = issuer.key_usage().ok().flatten().is_none_or(|usage| usage.value.key_cert_sign());
    if !issuer.is_ca() || !may_sign {
        let subject = subject::to_text(issuer.subject());
        return Err(ImportError::ChainNotAuthority { position, subject });
    }
    let algorithm = algorithm(place, signed)?;
    if !signature::is_signed_by(signed, algorithm, issuer_der) {
        return Err(ImportError::Signature { place });
    }
    Ok(())
}

fn algorithm(place: Place, certificate: &X509Certificate<'_>) -> Result<SignatureAlgorithm, ImportError> {
    SignatureAlgorithm::identify(&certificate.signature_algorithm)
        .map_err(|fault| ImportError::Certificate { place, fault: CertificateFault::Signature(fault) })
}

/// Takes every extended key usage.
struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}
