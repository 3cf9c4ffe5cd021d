//! A small PKI, and what of it may be imported.

mod accepted;
mod refused;

use std::sync::LazyLock;

use jiff::SignedDuration;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints,
    PublicKeyData, RsaKeySize, SanType,
};

use super::*;
use crate::facts::CertificateFault;
use crate::key::{KeyAlgorithm, KeyFault};
use crate::pem::PemFault;
use crate::signature::{SignatureAlgorithm, SignatureFault};

static RSA: LazyLock<KeyPair> =
    LazyLock::new(|| KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap());

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

/// One that can sign others, and its own certificate.
struct Signer {
    params: CertificateParams,
    key: KeyPair,
    der: CertificateDer<'static>,
}

fn params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CountryName, "SE");
    params.distinguished_name.push(DnType::OrganizationName, "Example, Inc.");
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2027, 1, 1);
    params
}

fn server(host: &str) -> CertificateParams {
    let mut params = params(host);
    params.subject_alt_names = vec![SanType::DnsName(host.try_into().unwrap())];
    params
}

fn authority(common_name: &str) -> CertificateParams {
    let mut params = params(common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn ec() -> KeyPair {
    KeyPair::generate().unwrap()
}

fn root(params: CertificateParams) -> Signer {
    let key = ec();
    let der = params.self_signed(&key).unwrap().der().clone();
    Signer { params, key, der }
}

impl Signer {
    fn sign(&self, params: &CertificateParams, key: &impl PublicKeyData) -> CertificateDer<'static> {
        params.signed_by(key, &Issuer::from_params(&self.params, &self.key)).unwrap().der().clone()
    }

    fn intermediate(&self, params: CertificateParams) -> Signer {
        let key = ec();
        let der = self.sign(&params, &key);
        Signer { params, key, der }
    }
}

fn text(label: &str, der: &[u8]) -> String {
    let mut out = String::new();
    pem::write(&mut out, label, der);
    out
}

fn certificate_text(der: &[u8]) -> String {
    text(pem::CERTIFICATE, der)
}

fn key_text(key: &KeyPair) -> String {
    text(pem::PKCS8, key.serialized_der())
}

fn import(certificate: &str, key: &str, chain: Option<&str>) -> Result<Leaf, ImportError> {
    let material = Material {
        certificate: certificate.as_bytes(),
        private_key: key.as_bytes(),
        chain: chain.map(str::as_bytes),
    };
    check(&material, now(), Purpose::TlsServer)
}

/// A certificate made from `params` by a root of its own, imported with its key and without a chain.
fn import_params(params: &CertificateParams) -> Result<Leaf, ImportError> {
    let key = ec();
    let der = root(authority("Root")).sign(params, &key);
    import(&certificate_text(&der), &key_text(&key), None)
}

/// The certificate with every occurrence of `from` replaced; its signature no longer verifies.
fn patched(der: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut der = der.to_vec();
    let at: Vec<_> = (0..=der.len() - from.len()).filter(|&at| der[at..].starts_with(from)).collect();
    assert!(!at.is_empty(), "nothing to replace");
    for at in at {
        der[at..at + to.len()].copy_from_slice(to);
    }
    der
}

fn fault(place: Place, fault: impl Into<CertificateFault>) -> ImportError {
    ImportError::Certificate { place, fault: fault.into() }
}
