//! Any certificate, key and chain that a user may import: never a panic, and what is accepted is valid
//! now, has a name, survives being stored, and is never a key shown by mistake.
//!
//! The first byte picks the kind of input: three PEM texts, DER wrapped in PEM so that the fuzzer gets
//! past the base64, or a good certificate with a few bytes changed.

#![no_main]

use std::sync::LazyLock;

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use trellis_ca::import::{Material, Purpose, check};
use trellis_ca::{Authority, KeyAlgorithm, Leaf, LeafRequest, SubjectName};

static NOW: LazyLock<Timestamp> = LazyLock::new(|| "2026-11-21T12:00:00Z".parse().expect("a date"));

/// Leaf, key and root, as DER.
struct Good {
    certificate: Vec<u8>,
    key: Vec<u8>,
    root: Vec<u8>,
}

static GOOD: LazyLock<[Good; 2]> = LazyLock::new(|| {
    let authority = Authority::create("Fuzz", *NOW).expect("a root");
    [KeyAlgorithm::EcP256, KeyAlgorithm::Rsa2048].map(|key| {
        let address = SubjectName::Ip([10, 0, 0, 1].into());
        let hosts = ["cart.example.com", "*.example.org"].map(|host| SubjectName::Dns(host.into()));
        let request = LeafRequest { key, ..LeafRequest::new(hosts.into_iter().chain([address])) };
        let leaf = authority.issue(&request, *NOW).expect("a leaf");
        Good {
            certificate: leaf.certificate().to_vec(),
            key: leaf.key_der().secret_der().to_vec(),
            root: authority.certificate().to_vec(),
        }
    })
});

fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {label}-----\n").into_bytes();
    for group in der.chunks(3) {
        let bits =
            group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= group.len() { digit } else { b'=' });
        }
    }
    text.extend_from_slice(format!("\n-----END {label}-----\n").as_bytes());
    text
}

/// Four bytes an edit: where to (two), what to exclusive-or, and in which of the three.
fn edited(edits: &[u8]) -> [Vec<u8>; 3] {
    let good = &GOOD[edits.len() % 2];
    let mut all = [good.certificate.clone(), good.key.clone(), good.root.clone()];
    for edit in edits.chunks_exact(4).take(8) {
        let part = &mut all[usize::from(edit[3]) % 3];
        let at = usize::from(u16::from_be_bytes([edit[0], edit[1]])) % part.len();
        part[at] ^= edit[2];
    }
    all
}

fuzz_target!(|input: &[u8]| {
    let Some((&kind, rest)) = input.split_first() else { return };
    let mut parts = rest.splitn(3, |&byte| byte == 0xff);
    let mut part = || parts.next().unwrap_or_default();
    let label = ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"][usize::from(kind / 4) % 3];
    let [certificate, key, chain] = match kind % 4 {
        0 => [part().to_vec(), part().to_vec(), part().to_vec()],
        1 => [pem("CERTIFICATE", part()), pem(label, part()), pem("CERTIFICATE", part())],
        2 => [pem("CERTIFICATE", &GOOD[0].certificate), pem(label, rest), Vec::new()],
        _ => {
            let [certificate, key, root] = edited(rest);
            [pem("CERTIFICATE", &certificate), pem("PRIVATE KEY", &key), pem("CERTIFICATE", &root)]
        }
    };
    let material = Material {
        certificate: &certificate,
        private_key: &key,
        chain: (!chain.is_empty()).then_some(&chain),
    };
    for purpose in [Purpose::Any, Purpose::TlsServer] {
        match check(&material, *NOW, purpose) {
            Ok(leaf) => {
                assert!(leaf.facts().is_valid_at(*NOW) && leaf.renew_at() <= leaf.not_after());
                let stored = Leaf::from_stored(&leaf.to_stored()).expect("what is written can be read");
                assert_eq!((stored.chain(), stored.facts()), (leaf.chain(), leaf.facts()));
                assert_eq!(stored.key_der(), leaf.key_der());
                let named =
                    leaf.facts().host_names().next().is_some() || !leaf.facts().ip_addresses.is_empty();
                assert!(purpose == Purpose::Any || named);
                assert!(leaf.facts().host_names().all(|name| leaf.covers(name)));
            }
            Err(error) => {
                let _ = error.field();
                assert!(!error.to_string().contains(|character: char| character.is_control()));
            }
        }
    }
});
