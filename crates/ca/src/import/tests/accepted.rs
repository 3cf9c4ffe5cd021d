//! What is taken.

use super::*;

#[test]
fn a_certificate_with_its_chain_is_taken_whether_or_not_the_root_is_there() {
    let root = root(authority("Root"));
    let between = root.intermediate(authority("Intermediate"));
    let key = ec();
    let der = between.sign(&server("cart.example.com"), &key);
    let (certificate, key) = (certificate_text(&der), key_text(&key));
    for issuers in [vec![], vec![&between.der], vec![&between.der, &root.der]] {
        let chain: String = issuers.iter().map(|issuer| certificate_text(issuer)).collect();
        let leaf = import(&certificate, &key, (!issuers.is_empty()).then_some(&chain)).unwrap();
        assert_eq!(leaf.chain().len(), 1 + issuers.len());
        assert_eq!(leaf.certificate_pem(), certificate);
        assert_eq!(leaf.chain_pem().unwrap_or_default(), chain);
        assert_eq!(Leaf::from_stored(&leaf.to_stored()).unwrap().chain(), leaf.chain());
    }
}

#[test]
fn every_supported_key_is_taken_and_named_as_acm_names_it() {
    let algorithms = [
        (&rcgen::PKCS_ECDSA_P256_SHA256, KeyAlgorithm::EcP256, SignatureAlgorithm::Sha256Ecdsa),
        (&rcgen::PKCS_ECDSA_P384_SHA384, KeyAlgorithm::EcP384, SignatureAlgorithm::Sha384Ecdsa),
        (&rcgen::PKCS_ECDSA_P521_SHA512, KeyAlgorithm::EcP521, SignatureAlgorithm::Sha512Ecdsa),
        (&rcgen::PKCS_RSA_SHA256, KeyAlgorithm::Rsa2048, SignatureAlgorithm::Sha256Rsa),
        (&rcgen::PKCS_RSA_SHA512, KeyAlgorithm::Rsa2048, SignatureAlgorithm::Sha512Rsa),
    ];
    for (algorithm, expected_key, expected_signature) in algorithms {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let der = server("cart.example.com").self_signed(&key).unwrap().der().clone();
        let leaf = import(&certificate_text(&der), &key_text(&key), None).unwrap();
        assert_eq!(leaf.facts().key_algorithm, expected_key);
        assert_eq!(leaf.facts().signature_algorithm, expected_signature);
        assert!(leaf.facts().is_self_issued);
        assert_eq!(leaf.private_key().public_key(), key.public_key_raw());
    }
}

#[test]
fn the_facts_are_those_of_the_certificate() {
    let mut params = server("Cart.Example.com");
    params.subject_alt_names.extend([
        SanType::DnsName("*.shop.example.com".try_into().unwrap()),
        SanType::DnsName("not a name".try_into().unwrap()),
        SanType::IpAddress("10.0.0.1".parse().unwrap()),
        SanType::Rfc822Name("mail@example.com".try_into().unwrap()),
    ]);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyAgreement];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
        ExtendedKeyUsagePurpose::Other(vec![1, 3, 6, 1, 5, 5, 7, 3, 7]),
        ExtendedKeyUsagePurpose::Other(vec![1, 2, 3, 4]),
    ];
    params.serial_number = Some(vec![0x9a, 0, 0xff].into());
    let leaf = import_params(&params).unwrap();
    let facts = leaf.facts();
    assert_eq!(facts.subject, "CN=Cart.Example.com,O=Example\\, Inc.,C=SE");
    assert_eq!(facts.issuer, "CN=Root,O=Example\\, Inc.,C=SE");
    assert_eq!(facts.issuer_name.as_deref(), Some("Example, Inc."));
    assert_eq!(facts.domain_name(), Some("Cart.Example.com"));
    assert_eq!(facts.dns_names, ["cart.example.com", "*.shop.example.com"]);
    assert_eq!(facts.ip_addresses, ["10.0.0.1".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(facts.serial, "9a:00:ff");
    assert_eq!(facts.not_before.to_string(), "2026-01-01T00:00:00.000Z");
    assert_eq!(facts.not_after.to_string(), "2027-01-01T00:00:00.000Z");
    assert_eq!(facts.key_usages, [KeyUsage::DigitalSignature, KeyUsage::KeyAgreement]);
    let usages = serde_json::to_string(&facts.extended_key_usages).unwrap();
    assert_eq!(
        usages,
        r#"[{"name":"TLS_WEB_SERVER_AUTHENTICATION","oid":"1.3.6.1.5.5.7.3.1"},{"name":"TLS_WEB_CLIENT_AUTHENTICATION","oid":"1.3.6.1.5.5.7.3.2"},{"name":"IPSEC_USER","oid":"1.3.6.1.5.5.7.3.7"},{"name":"CUSTOM","oid":"1.2.3.4"}]"#
    );
    assert!(leaf.covers("cart.example.com") && leaf.covers("a.shop.example.com"));
    assert!(!leaf.covers("shop.example.com") && !leaf.covers("not a name"));
}

#[test]
fn the_common_name_counts_only_without_alternative_names() {
    let leaf = import_params(&params("cart.example.com")).unwrap();
    assert!(leaf.covers("cart.example.com") && leaf.facts().dns_names.is_empty());
    assert_eq!(leaf.facts().host_names().collect::<Vec<_>>(), ["cart.example.com"]);

    let mut both = params("cart.example.com");
    both.subject_alt_names = vec![SanType::DnsName("user.example.com".try_into().unwrap())];
    let leaf = import_params(&both).unwrap();
    assert!(!leaf.covers("cart.example.com") && leaf.covers("user.example.com"));
}

#[test]
fn a_self_signed_certificate_is_taken_even_if_marked_as_an_authority() {
    // What `openssl req -x509` makes by default.
    let mut params = server("cart.example.com");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = ec();
    let der = params.self_signed(&key).unwrap().der().clone();
    let leaf = import(&certificate_text(&der), &key_text(&key), None).unwrap();
    assert!(leaf.facts().is_authority && leaf.facts().is_self_issued);
}

#[test]
fn ec_parameters_before_a_key_and_text_around_certificates_are_skipped() {
    let key = ec();
    let der = server("cart.example.com").self_signed(&key).unwrap().der().clone();
    let certificate = format!("Certificate:\n    Data:\n{}trailer", certificate_text(&der));
    let parameters = text(pem::EC_PARAMETERS, &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]);
    import(&certificate, &(parameters + &key_text(&key)), None).unwrap();
}

#[test]
fn both_dates_belong_to_the_validity() {
    let key = ec();
    let der = server("cart.example.com").self_signed(&key).unwrap().der().clone();
    let (certificate, key) = (certificate_text(&der), key_text(&key));
    let material = Material { certificate: certificate.as_bytes(), private_key: key.as_bytes(), chain: None };
    let (from, to): (Timestamp, Timestamp) =
        ("2026-01-01T00:00:00Z".parse().unwrap(), "2027-01-01T00:00:00Z".parse().unwrap());
    let second = SignedDuration::from_secs(1);
    for (at, expected) in [
        (
            from - second,
            Some("the certificate is valid from 2026-01-01T00:00:00Z only, and it is 2025-12-31T23:59:59Z"),
        ),
        (from, None),
        (to, None),
        (
            to + second,
            Some("the certificate expired at 2027-01-01T00:00:00Z, and it is 2027-01-01T00:00:01Z"),
        ),
    ] {
        let found = check(&material, at, Purpose::Any).err().map(|error| error.to_string());
        assert_eq!(found.as_deref(), expected);
    }
}
