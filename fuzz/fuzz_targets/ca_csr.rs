//! Any certificate signing request and any OCSP question: never a panic, and what is accepted says of itself what it was
//! read as.
//!
//! The first byte picks the kind of input: PEM, DER, a good request with a few bytes changed, or an OCSP question.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use trellis_ca::distinguished_name::Text;
use trellis_ca::{Csr, DistinguishedName, Extension, GeneralName, KeyAlgorithm, PrivateKey, SignatureAlgorithm, ocsp};

static GOOD: LazyLock<String> = LazyLock::new(|| {
    let key = PrivateKey::generate(KeyAlgorithm::EcP256).expect("a key");
    let name = DistinguishedName::of([("2.5.4.3", Text::Utf8, "example.com")]).expect("a name");
    let hosts = ["example.com", "*.example.com"].map(|host| GeneralName::Dns(host.into()));
    let names = Extension::subject_alternative_name(&hosts, false).expect("names");
    Csr::create(&key, SignatureAlgorithm::Sha256Ecdsa, &name, &[names]).expect("a request")
});

fuzz_target!(|input: &[u8]| {
    let Some((&kind, rest)) = input.split_first() else { return };
    let csr = match kind % 4 {
        0 => Csr::parse(rest),
        1 => Csr::from_der(rest),
        2 => {
            let mut text = GOOD.clone().into_bytes();
            for edit in rest.chunks_exact(3).take(8) {
                let at = usize::from(u16::from_be_bytes([edit[0], edit[1]])) % text.len();
                text[at] ^= edit[2];
            }
            Csr::parse(&text)
        }
        _ => {
            if let Ok(request) = ocsp::Request::parse(rest) {
                assert!(!request.certificates.is_empty() && request.certificates.iter().all(|id| id.serial.len() <= 32));
            }
            return;
        }
    };
    match csr {
        Ok(csr) => {
            assert!(csr.extensions.iter().all(Extension::is_writable));
            assert!(!csr.subject.to_string().contains(|character: char| character.is_control()));
        }
        Err(fault) => assert!(!fault.to_string().is_empty()),
    }
});
