use std::sync::LazyLock;

use rustls_pki_types::{PrivatePkcs1KeyDer, PrivateSec1KeyDer};

use super::*;

static RSA_KEY: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::generate(KeyAlgorithm::Rsa2048).unwrap());

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let header = match length {
        0..0x80 => vec![tag, length as u8],
        0x80..0x100 => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    [header, content.to_vec()].concat()
}

fn pkcs8(algorithm: &[u8], parameters: &[u8], key: &[u8]) -> Vec<u8> {
    let identifier = tlv(der::SEQUENCE, &[tlv(der::OID, algorithm), parameters.to_vec()].concat());
    tlv(der::SEQUENCE, &[tlv(der::INTEGER, &[0]), identifier, tlv(der::OCTET_STRING, key)].concat())
}

/// What PKCS #8 wraps.
fn inside(key: &PrivateKey) -> Vec<u8> {
    let mut info = Reader::new(key.pkcs8()).enter(der::SEQUENCE).unwrap();
    info.take(der::INTEGER).unwrap();
    info.take(der::SEQUENCE).unwrap();
    info.take(der::OCTET_STRING).unwrap().to_vec()
}

/// SEC 1 with the curve and public key of `key`, and its private number.
fn sec1(key: &PrivateKey, curve: &[u8], public: &[u8]) -> Vec<u8> {
    let inside = inside(key);
    let mut parts = Reader::new(&inside).enter(der::SEQUENCE).unwrap();
    parts.take(der::INTEGER).unwrap();
    let number = parts.take(der::OCTET_STRING).unwrap();
    let public = tlv(0x03, &[&[0], public].concat());
    let parts = [
        tlv(der::INTEGER, &[1]),
        tlv(der::OCTET_STRING, number),
        tlv(der::CONTEXT_0, &tlv(der::OID, curve)),
        tlv(0xa1, &public),
    ];
    tlv(der::SEQUENCE, &parts.concat())
}

fn read(der: Vec<u8>) -> Result<PrivateKey, KeyFault> {
    PrivateKey::from_der(&PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der)))
}

#[test]
fn every_form_of_a_key_gives_the_same_key() {
    for (algorithm, curve) in
        [(KeyAlgorithm::EcP256, P256), (KeyAlgorithm::EcP384, P384), (KeyAlgorithm::EcP521, P521)]
    {
        let key = PrivateKey::generate(algorithm).unwrap();
        let sec1 = sec1(&key, curve, key.public_key());
        let again = PrivateKey::from_der(&PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(sec1))).unwrap();
        assert_eq!((again.algorithm(), again.der()), (algorithm, key.der()));
        assert_eq!(PrivateKey::from_der(&key.der()).unwrap().der(), key.der());
    }
    let pkcs1 = PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(inside(&RSA_KEY)));
    let again = PrivateKey::from_der(&pkcs1).unwrap();
    assert_eq!((again.algorithm(), again.der()), (KeyAlgorithm::Rsa2048, RSA_KEY.der()));
    assert_eq!(again.public_key(), RSA_KEY.public_key());
}

#[test]
fn a_key_is_written_as_one_pem_section() {
    let key = PrivateKey::generate(KeyAlgorithm::EcP256).unwrap();
    let text = key.to_pem();
    assert!(text.starts_with("-----BEGIN PRIVATE KEY-----\n"));
    let sections = pem::sections(text.as_bytes(), 1).unwrap();
    assert_eq!(PrivateKey::from_section(&sections[0]).unwrap().der(), key.der());
}

#[test]
fn weak_and_unsupported_keys_are_named() {
    let oid = |bytes: &[u8]| tlv(der::OID, bytes);
    let rsa = |bits: usize| {
        let modulus = [&[0][..], &vec![0xff; bits / 8]].concat();
        tlv(der::SEQUENCE, &[tlv(der::INTEGER, &[0]), tlv(der::INTEGER, &modulus)].concat())
    };
    let weak = |found: &str| KeyFault::Weak { found: found.into() };
    let unsupported = |found: &str| KeyFault::Unsupported { found: found.into() };
    for (der, expected) in [
        (pkcs8(RSA, &[5, 0], &rsa(1024)), weak("RSA of 1024 bits")),
        (pkcs8(RSA, &[5, 0], &rsa(8192)), unsupported("RSA of 8192 bits")),
        (pkcs8(RSA, &[5, 0], &rsa(2048)), KeyFault::Malformed),
        (pkcs8(RSA, &[5, 0], &[]), KeyFault::Malformed),
        (pkcs8(EC, &oid(P192), &[]), weak("EC_prime192v1")),
        (pkcs8(EC, &oid(P224), &[]), weak("EC_secp224r1")),
        (pkcs8(EC, &oid(SECP256K1), &[]), unsupported("EC_secp256k1")),
        (
            pkcs8(EC, &oid(&[0x2b, 0x24, 3, 3, 2, 8, 1, 1, 7]), &[]),
            unsupported("EC on curve 1.3.36.3.3.2.8.1.1.7"),
        ),
        (pkcs8(EC, &[], &[]), unsupported("EC without a named curve")),
        (pkcs8(EC, &oid(P256), &[]), KeyFault::Malformed),
        (pkcs8(&[0x2b, 0x65, 0x70], &[], &[]), unsupported("Ed25519")),
        (pkcs8(&[0x2a, 3, 4], &[], &[]), unsupported("algorithm 1.2.3.4")),
        (Vec::new(), KeyFault::Malformed),
        (vec![0x30, 0], KeyFault::Malformed),
        ([pkcs8(EC, &oid(P256), &[]), vec![0]].concat(), KeyFault::Malformed),
    ] {
        assert_eq!(read(der).unwrap_err(), expected);
    }
}

#[test]
fn a_key_whose_parts_do_not_belong_together_is_malformed() {
    let key = PrivateKey::generate(KeyAlgorithm::EcP256).unwrap();
    let other = PrivateKey::generate(KeyAlgorithm::EcP256).unwrap();
    let lie = sec1(&key, P256, other.public_key());
    let read = PrivateKey::from_der(&PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(lie)));
    assert_eq!(read.unwrap_err(), KeyFault::Malformed);

    let mut lie = inside(&RSA_KEY);
    let last = lie.len() - 1;
    lie[last] ^= 1;
    let read = PrivateKey::from_der(&PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(lie)));
    assert_eq!(read.unwrap_err(), KeyFault::Malformed);
}

#[test]
fn debug_output_names_the_algorithm_only() {
    let key = PrivateKey::generate(KeyAlgorithm::EcP256).unwrap();
    assert_eq!(format!("{key:?}"), "PrivateKey { algorithm: EcP256, .. }");
}

#[test]
fn names_are_those_of_the_serialized_form() {
    use KeyAlgorithm::*;
    for algorithm in [Rsa2048, Rsa3072, Rsa4096, EcP256, EcP384, EcP521] {
        assert_eq!(serde_json::to_value(algorithm).unwrap(), algorithm.as_str());
        assert_eq!(algorithm.is_rsa(), algorithm.as_str().starts_with("RSA"));
    }
}
