use rustls_pki_types::{ServerName, UnixTime};
use webpki::{EndEntityCert, anchor_from_trusted_cert};

use super::*;
use crate::facts::{ExtendedKeyUsageName, KeyUsage};
use crate::signature::{ACCEPTED, SignatureAlgorithm};

const GENERATED: &str = "cart-071ee12b9279df069.7d67968.vpc-lattice-svcs.us-east-1.on.aws";

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn authority() -> Authority {
    Authority::create("Trellis CA", now()).unwrap()
}

/// What a TLS client does: path, dates and usage first, then the name.
fn client_accepts(
    leaf: &Leaf,
    authority: &Authority,
    host: &str,
    at: Timestamp,
) -> Result<(), webpki::Error> {
    let anchor = anchor_from_trusted_cert(authority.certificate()).unwrap();
    let certificate = EndEntityCert::try_from(leaf.certificate()).unwrap();
    let time = UnixTime::since_unix_epoch(Duration::from_secs(at.as_second() as u64));
    let usage = webpki::KeyUsage::server_auth();
    certificate.verify_for_usage(ACCEPTED, &[anchor], &leaf.chain()[1..], time, usage, None, None)?;
    certificate.verify_is_valid_for_subject_name(&ServerName::try_from(host).unwrap())
}

fn days(count: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * count)
}

#[test]
fn a_client_that_trusts_the_root_accepts_what_it_issued_for_that_name_only() {
    let authority = authority();
    for key in [KeyAlgorithm::EcP256, KeyAlgorithm::EcP384, KeyAlgorithm::EcP521, KeyAlgorithm::Rsa2048] {
        let leaf =
            authority.issue(&LeafRequest { key, ..LeafRequest::for_hosts([GENERATED]) }, now()).unwrap();
        assert_eq!(leaf.facts().key_algorithm, key);
        client_accepts(&leaf, &authority, GENERATED, now()).unwrap();
        let other = GENERATED.replace("cart", "user");
        assert!(client_accepts(&leaf, &authority, &other, now()).is_err());
        let stranger = Authority::create("Trellis CA", now()).unwrap();
        assert!(client_accepts(&leaf, &stranger, GENERATED, now()).is_err(), "same name, other key");
    }
}

#[test]
fn a_certificate_is_valid_from_an_hour_before_its_making_for_the_time_asked() {
    let authority = authority();
    let leaf = authority.issue(&LeafRequest::for_hosts([GENERATED]), now()).unwrap();
    let early = now() - SignedDuration::from_mins(59);
    for (at, accepted) in [
        (early - SignedDuration::from_mins(2), false),
        (early, true),
        (now() + days(90), true),
        (now() + days(90) + SignedDuration::from_secs(1), false),
    ] {
        assert_eq!(client_accepts(&leaf, &authority, GENERATED, at).is_ok(), accepted, "{at}");
        assert_eq!(leaf.facts().is_valid_at(at), accepted, "{at}");
    }
    assert_eq!(leaf.not_after(), now() + days(90));
}

#[test]
fn renewal_is_due_after_two_thirds_of_the_life() {
    let leaf = authority().issue(&LeafRequest::for_hosts([GENERATED]), now()).unwrap();
    let life = leaf.not_after().as_second() - Timestamp::from(leaf.facts().not_before).as_second();
    let due = leaf.renew_at().as_second() - Timestamp::from(leaf.facts().not_before).as_second();
    assert_eq!(due, life / 3 * 2);
    assert!(leaf.renew_at() > now() + days(59) && leaf.renew_at() < now() + days(61));
}

#[test]
fn the_root_may_sign_servers_only() {
    let authority = authority();
    let facts = authority.facts();
    assert_eq!(facts.subject, "CN=Trellis CA,O=Trellis");
    assert!(facts.is_authority && facts.is_self_issued);
    assert_eq!(facts.key_algorithm, KeyAlgorithm::EcP256);
    assert_eq!(facts.signature_algorithm, SignatureAlgorithm::Sha256Ecdsa);
    assert_eq!(facts.key_usages, [KeyUsage::CertificateSigning, KeyUsage::CrlSigning]);
    assert_eq!(authority.not_after(), now() + days(3650));
    let parsed = crate::facts::parse(authority.certificate()).unwrap();
    let basic = parsed.basic_constraints().unwrap().unwrap();
    assert!(basic.critical && basic.value.path_len_constraint == Some(0));
}

#[test]
fn a_leaf_may_authenticate_a_server_and_nothing_else() {
    let authority = authority();
    let leaf = authority.issue(&LeafRequest::for_hosts(["cart.example.com"]), now()).unwrap();
    let facts = leaf.facts();
    assert_eq!(facts.subject, "CN=cart.example.com,O=Trellis");
    assert_eq!(facts.issuer, authority.facts().subject);
    assert_eq!(facts.issuer_name.as_deref(), Some("Trellis"));
    assert_eq!(facts.domain_name(), Some("cart.example.com"));
    assert!(!facts.is_authority && !facts.is_self_issued);
    assert_eq!(facts.key_usages, [KeyUsage::DigitalSignature]);
    let usages: Vec<_> = facts.extended_key_usages.iter().map(|usage| (usage.name, &*usage.oid)).collect();
    assert_eq!(usages, [(ExtendedKeyUsageName::TlsWebServerAuthentication, "1.3.6.1.5.5.7.3.1")]);

    let parsed = crate::facts::parse(leaf.certificate()).unwrap();
    let oids: Vec<_> = parsed.extensions().iter().map(|extension| extension.oid.to_id_string()).collect();
    for oid in ["2.5.29.14", "2.5.29.35", "2.5.29.19"] {
        assert!(oids.iter().any(|found| found == oid), "{oid} in {oids:?}");
    }
}

#[test]
fn a_leaf_cannot_certify_another() {
    let authority = authority();
    let leaf = authority.issue(&LeafRequest::for_hosts(["cart.example.com"]), now()).unwrap();
    let usurper = Authority {
        certificate: leaf.certificate().clone(),
        key: leaf.private_key().clone(),
        facts: leaf.facts().clone(),
    };
    let forged = usurper.issue(&LeafRequest::for_hosts([GENERATED]), now()).unwrap();
    let chain = vec![forged.certificate().clone(), leaf.certificate().clone()];
    let forged = Leaf::new(chain, forged.private_key().clone(), forged.facts().clone());
    assert!(client_accepts(&forged, &authority, GENERATED, now()).is_err());
}

#[test]
fn serial_numbers_are_random_positive_and_sixteen_octets() {
    let authority = authority();
    let serials: Vec<_> = (0..20)
        .map(|_| authority.issue(&LeafRequest::for_hosts([GENERATED]), now()).unwrap().facts().serial.clone())
        .collect();
    for (at, serial) in serials.iter().enumerate() {
        assert_eq!(serial.split(':').count(), 16, "{serial}");
        assert!((0x40..0x80).contains(&u8::from_str_radix(&serial[..2], 16).unwrap()));
        assert!(!serials[..at].contains(serial));
    }
}

#[test]
fn a_generated_name_longer_than_a_common_name_stands_in_the_alternative_names() {
    let long = format!("{}-{GENERATED}", "a".repeat(40));
    let leaf = authority().issue(&LeafRequest::for_hosts([&*long, "Short.Example.com"]), now()).unwrap();
    assert_eq!(leaf.facts().dns_names, [long.as_str(), "short.example.com"]);
    assert_eq!(leaf.facts().subject, "CN=Short.Example.com,O=Trellis");
    let leaf = authority().issue(&LeafRequest::for_hosts([&*long]), now()).unwrap();
    assert_eq!(leaf.facts().subject, "O=Trellis");
    assert!(leaf.covers(&long) && leaf.facts().common_name.is_none());
}

#[test]
fn ip_addresses_of_both_families_can_be_named() {
    let authority = authority();
    let addresses = ["10.0.1.5".parse().unwrap(), "fd00::5".parse().unwrap()];
    let leaf = authority.issue(&LeafRequest::new(addresses.map(SubjectName::Ip)), now()).unwrap();
    assert_eq!(leaf.facts().ip_addresses, addresses);
    for (host, accepted) in [("10.0.1.5", true), ("fd00::5", true), ("10.0.1.6", false)] {
        assert_eq!(client_accepts(&leaf, &authority, host, now()).is_ok(), accepted, "{host}");
        assert!(!leaf.covers(host), "covers is about host names");
    }
}

#[test]
fn which_names_are_covered_is_what_a_client_thinks() {
    let authority = authority();
    let hosts = [
        "example.com",
        "cart.example.com",
        "CART.example.COM",
        "a.cart.example.com",
        "cart.example.org",
        "www.example.org",
        "example.org",
        "a.b.example.org",
        "xn--bcher-kva.example.org",
        "my_host.example.org",
    ];
    for name in
        ["cart.example.com", "Cart.Example.com", "*.example.com", "*.example.org", "*.cart.example.com"]
    {
        let leaf = authority.issue(&LeafRequest::for_hosts([name]), now()).unwrap();
        for host in hosts {
            let client = client_accepts(&leaf, &authority, host, now()).is_ok();
            assert_eq!(leaf.covers(host), client, "{name} for {host}");
        }
    }
}

#[test]
fn a_leaf_does_not_outlive_its_authority() {
    let authority = authority();
    let late = authority.not_after() - days(10);
    let leaf = authority.issue(&LeafRequest::for_hosts([GENERATED]), late).unwrap();
    assert_eq!(leaf.not_after(), authority.not_after());
    client_accepts(&leaf, &authority, GENERATED, authority.not_after()).unwrap();
    for at in [authority.not_after() + SignedDuration::from_secs(1), now() - days(1)] {
        let error = authority.issue(&LeafRequest::for_hosts([GENERATED]), at).unwrap_err();
        assert!(matches!(error, IssueError::AuthorityNotValid { .. }), "{error}");
    }
}

#[test]
fn requests_outside_the_limits_are_refused_with_the_limit() {
    let authority = authority();
    let hosts = |count| LeafRequest::for_hosts(std::iter::repeat_n("a.example.com", count));
    let lasting = |validity| LeafRequest { validity, ..hosts(1) };
    for (request, expected) in [
        (hosts(0), "expected 1 to 100 names, found 0"),
        (hosts(101), "expected 1 to 100 names, found 101"),
        (lasting(Duration::from_secs(59)), "a validity of 59s is outside 60s..=71280000s"),
        (
            lasting(LeafRequest::MAX_VALIDITY + Duration::from_secs(1)),
            "a validity of 71280001s is outside 60s..=71280000s",
        ),
        (LeafRequest::for_hosts(["a b"]), "\"a b\" is not a host name that a certificate can carry"),
        (LeafRequest::for_hosts(["*.com"]), "\"*.com\" is not a host name that a certificate can carry"),
        (LeafRequest::for_hosts([""]), "\"\" is not a host name that a certificate can carry"),
        (
            LeafRequest::for_hosts(["b\u{fc}cher.de"]),
            "\"b\u{fc}cher.de\" is not a host name that a certificate can carry",
        ),
    ] {
        assert_eq!(authority.issue(&request, now()).unwrap_err().to_string(), expected);
    }
    authority.issue(&hosts(100), now()).unwrap();
    for name in ["", "a\nb", &"a".repeat(65)] {
        assert!(matches!(Authority::create(name, now()), Err(IssueError::CommonName { .. })), "{name:?}");
    }
    for clock in [Timestamp::MIN, Timestamp::UNIX_EPOCH, Timestamp::MAX] {
        assert!(matches!(Authority::create("CA", clock), Err(IssueError::Clock { .. })), "{clock}");
    }
}

#[test]
fn an_authority_and_its_leaves_survive_being_stored() {
    let authority = authority();
    let again = Authority::from_stored(&authority.to_stored()).unwrap();
    assert_eq!(again.ca_pem(), authority.ca_pem());
    assert_eq!(again.facts(), authority.facts());
    let leaf = again.issue(&LeafRequest::for_hosts([GENERATED]), now()).unwrap();
    client_accepts(&leaf, &authority, GENERATED, now()).unwrap();

    let again = Leaf::from_stored(&leaf.to_stored()).unwrap();
    assert_eq!(again.chain(), leaf.chain());
    assert_eq!(again.facts(), leaf.facts());
    assert_eq!(again.key_der(), leaf.key_der());
    let facts = serde_json::to_string(leaf.facts()).unwrap();
    assert_eq!(serde_json::from_str::<Facts>(&facts).unwrap(), *leaf.facts());
    assert!(facts.contains(r#""key_algorithm":"EC_prime256v1","signature_algorithm":"SHA256WITHECDSA""#));
    assert!(facts.contains(r#""key_usages":["DIGITAL_SIGNATURE"]"#));
}

#[test]
fn damaged_or_foreign_stored_text_is_refused() {
    let authority = authority();
    let leaf = authority.issue(&LeafRequest::for_hosts([GENERATED]), now()).unwrap();
    let (certificate, key) = (leaf.certificate_pem(), leaf.private_key().to_pem());
    type Expected = fn(&StoredFault) -> bool;
    let cases: [(String, Expected); 8] = [
        (String::new(), |fault| matches!(fault, StoredFault::Pem(_))),
        (certificate.clone(), |fault| matches!(fault, StoredFault::Count { certificates: 1, keys: 0 })),
        (key.to_string(), |fault| matches!(fault, StoredFault::Count { certificates: 0, keys: 1 })),
        (format!("{certificate}{}{}", *key, *key), |fault| {
            matches!(fault, StoredFault::Count { keys: 2, .. })
        }),
        (format!("{}{}", authority.ca_pem(), *key), |fault| matches!(fault, StoredFault::KeyMismatch)),
        (certificate.replace("CERTIFICATE", "X509 CRL"), |fault| matches!(fault, StoredFault::Label { .. })),
        (certificate.replace("CERTIFICATE", "PRIVATE KEY"), |fault| matches!(fault, StoredFault::Key(_))),
        (key.replace("PRIVATE KEY", "CERTIFICATE") + &key, |fault| {
            matches!(fault, StoredFault::Certificate(_))
        }),
    ];
    for (stored, expected) in cases {
        let fault = Leaf::from_stored(stored.as_bytes()).unwrap_err();
        assert!(expected(&fault), "{fault:?}");
    }
    assert!(matches!(Leaf::from_stored(&[0xff]), Err(StoredFault::NotText)));
    assert!(matches!(Authority::from_stored(&leaf.to_stored()), Err(StoredFault::NotAuthority)));
    let chain = format!("{}{}", authority.ca_pem(), String::from_utf8_lossy(&authority.to_stored()));
    assert!(matches!(
        Authority::from_stored(chain.as_bytes()),
        Err(StoredFault::Count { certificates: 2, .. })
    ));
}

#[test]
fn debug_output_holds_no_key() {
    let authority = authority();
    let leaf = authority.issue(&LeafRequest::for_hosts([GENERATED]), now()).unwrap();
    assert!(format!("{leaf:?}").ends_with("key: PrivateKey { algorithm: EcP256, .. }, .. }"));
    assert!(format!("{authority:?}").ends_with("key: PrivateKey { algorithm: EcP256, .. }, .. }"));
    assert!(!leaf.certificate_pem().contains("PRIVATE") && leaf.chain_pem().is_none());
    assert!(!authority.ca_pem().contains("PRIVATE"));
}
