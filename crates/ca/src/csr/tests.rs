use super::*;
use crate::certificate::{ToBeSigned, new_serial};
use crate::crl::{Crl, Revoked};
use crate::distinguished_name::Text;
use crate::extension::GeneralName as GeneralNameToWrite;
use crate::facts::{Facts, KeyUsage};
use crate::ocsp;
use crate::signature::is_signed_by;

fn subject() -> DistinguishedName {
    DistinguishedName::of([("2.5.4.10", Text::Utf8, "example"), ("2.5.4.3", Text::Utf8, "example.com")])
        .unwrap()
}

fn key() -> PrivateKey {
    PrivateKey::generate(KeyAlgorithm::EcP256).unwrap()
}

fn der_of(pem: &str) -> Vec<u8> {
    pem::sections(pem.as_bytes(), 1).unwrap()[0].der.to_vec()
}

#[test]
fn every_curve_signs_with_every_hash_so_that_it_verifies() {
    use SignatureAlgorithm::*;
    for (key, algorithms) in [
        (KeyAlgorithm::EcP256, &[Sha256Ecdsa, Sha384Ecdsa, Sha512Ecdsa][..]),
        (KeyAlgorithm::EcP384, &[Sha256Ecdsa, Sha384Ecdsa, Sha512Ecdsa]),
        (KeyAlgorithm::EcP521, &[Sha256Ecdsa, Sha384Ecdsa, Sha512Ecdsa]),
        (KeyAlgorithm::Rsa2048, &[Sha256Rsa, Sha384Rsa, Sha512Rsa, Sha256RsaPss, Sha384RsaPss, Sha512RsaPss]),
    ] {
        let key = PrivateKey::generate(key).unwrap();
        for &algorithm in algorithms {
            let text = Csr::create(&key, algorithm, &subject(), &[]).unwrap();
            let csr =
                Csr::parse(text.as_bytes()).unwrap_or_else(|fault| panic!("{key:?} {algorithm}: {fault}"));
            assert_eq!(csr.public_key, key.public_key());
            assert_eq!(csr.public_key_info, key.public_key_info());
            let now = "2026-01-01T00:00:00Z".parse().unwrap();
            let certificate = ToBeSigned {
                serial: new_serial().unwrap(),
                signature_algorithm: algorithm,
                issuer: &csr.subject,
                not_before: now,
                not_after: "2076-01-01T00:00:00Z".parse().unwrap(),
                subject: &csr.subject,
                public_key_info: &csr.public_key_info,
                extensions: &[
                    Extension::basic_constraints(Some(None), true),
                    Extension::key_usage(&[KeyUsage::CertificateSigning, KeyUsage::CrlSigning], true),
                    Extension::subject_key_identifier(&csr.public_key),
                ],
            };
            let certificate = certificate.sign(&key).unwrap();
            let parsed = facts::parse(&certificate).unwrap();
            assert!(is_signed_by(&parsed, algorithm, &certificate), "{key:?} {algorithm}");
            let facts = Facts::of(&certificate).unwrap();
            assert!(facts.is_authority && facts.is_self_issued);
            assert_eq!(facts.signature_algorithm, algorithm);
            assert_eq!(facts.key_usages, [KeyUsage::CertificateSigning, KeyUsage::CrlSigning]);
        }
    }
}

#[test]
fn a_key_signs_only_with_algorithms_of_its_kind() {
    assert_eq!(
        Csr::create(&key(), SignatureAlgorithm::Sha256Rsa, &subject(), &[]),
        Err(SignFault::Kind { algorithm: SignatureAlgorithm::Sha256Rsa, key: KeyAlgorithm::EcP256 })
    );
}

#[test]
fn every_changed_bit_of_a_request_is_noticed() {
    let names = [GeneralNameToWrite::Dns("a.example.com".into())];
    let wanted = [Extension::subject_alternative_name(&names, false).unwrap()];
    let der = der_of(&Csr::create(&key(), SignatureAlgorithm::Sha256Ecdsa, &subject(), &wanted).unwrap());
    assert_eq!(Csr::from_der(&der).unwrap().extensions, wanted);
    for at in 0..der.len() {
        let mut changed = der.clone();
        changed[at] ^= 1;
        assert!(Csr::from_der(&changed).is_err(), "byte {at}");
        assert!(Csr::from_der(&der[..at]).is_err(), "cut at {at}");
    }
    assert_eq!(Csr::from_der(&[&der[..], &[0]].concat()).unwrap_err(), CsrFault::Structure);
}

#[test]
fn what_a_request_asks_for_is_checked() {
    let parse = |wanted: &[Extension]| {
        let text = Csr::create(&key(), SignatureAlgorithm::Sha256Ecdsa, &subject(), wanted).unwrap();
        Csr::parse(text.as_bytes()).map(|csr| csr.extensions)
    };
    let names = |hosts: &[&str]| {
        let names: Vec<_> = hosts.iter().map(|host| GeneralNameToWrite::Dns((*host).into())).collect();
        Extension::subject_alternative_name(&names, false).unwrap()
    };
    let good = names(&["example.com", "*.example.com"]);
    assert_eq!(parse(std::slice::from_ref(&good)).unwrap(), std::slice::from_ref(&good));
    let twice = parse(&[good.clone(), good.clone()]).unwrap_err();
    assert_eq!(twice, CsrFault::Extension { oid: "2.5.29.17".into() });
    let malformed = Extension { value: vec![0x30, 0x05, 0x01], ..good };
    assert_eq!(parse(&[malformed]).unwrap_err(), CsrFault::Extension { oid: "2.5.29.17".into() });
    for name in ["not a name", "a..b", "", "*.*.example.com", "10.0.0.1"] {
        assert_eq!(parse(&[names(&[name])]).unwrap_err(), CsrFault::Name { name: name.into() });
    }
    let many: Vec<String> = (0..151).map(|at| format!("h{at}.example.com")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(parse(&[names(&many)]).unwrap_err(), CsrFault::TooMany);
}

#[test]
fn what_is_no_request_is_named() {
    assert_eq!(Csr::parse(b"hello").unwrap_err(), CsrFault::Pem(PemFault::NoSection));
    assert_eq!(
        Csr::parse(&[b'x'; MAX_REQUEST + 1]).unwrap_err(),
        CsrFault::TooLarge { got: MAX_REQUEST + 1 }
    );
    let text = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(Csr::parse(text.as_bytes()).unwrap_err(), CsrFault::Section { .. }));
    let text = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
    assert_eq!(Csr::parse(text.as_bytes()).unwrap_err(), CsrFault::Structure);
}

#[test]
fn a_list_reads_back_with_what_is_revoked() {
    let (key, now) = (key(), "2026-01-01T00:00:00Z".parse().unwrap());
    let revoked = [Revoked { serial: vec![0x80, 1], at: now, reason: 1 }];
    let list = Crl {
        issuer: &subject(),
        this_update: now,
        next_update: "2026-01-08T00:00:00Z".parse().unwrap(),
        number: 7,
        revoked: &revoked,
    };
    let der = list.sign(&key, SignatureAlgorithm::Sha256Ecdsa).unwrap();
    let (rest, list) = x509_parser::revocation_list::CertificateRevocationList::from_der(&der).unwrap();
    assert!(rest.is_empty());
    assert_eq!(list.crl_number().map(|number| number.to_string()).as_deref(), Some("7"));
    let entries: Vec<_> = list.iter_revoked_certificates().collect();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].raw_serial(), [0, 0x80, 1]);
    assert_eq!(entries[0].reason_code().map(|(_, reason)| reason.0), Some(1));
}

#[test]
fn a_question_is_read_to_its_last_byte() {
    let sha1 = write::sequence(&[&write::oid("1.3.14.3.2.26").unwrap(), &write::null()]);
    let hash = |bytes: &[u8]| write::octets(digest(bytes).as_ref());
    fn digest(bytes: &[u8]) -> aws_lc_rs::digest::Digest {
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, bytes)
    }
    let key = key();
    let id =
        write::sequence(&[&sha1, &hash(subject().der()), &hash(key.public_key()), &write::unsigned(&[0x80])]);
    let der = write::sequence(&[&write::sequence(&[&write::sequence(&[&write::sequence(&[&id])])])]);
    let request = ocsp::Request::parse(&der).unwrap();
    assert_eq!(request.certificates[0].serial, [0x80]);
    assert!(request.certificates[0].is_issued_by(&subject(), key.public_key()));
    assert!(!request.certificates[0].is_issued_by(&subject(), &key.public_key()[1..]));
    for length in 0..der.len() {
        assert_eq!(ocsp::Request::parse(&der[..length]), Err(ocsp::Failure::MalformedRequest), "{length}");
    }
}
