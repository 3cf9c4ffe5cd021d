//! What is refused, and by which name.

use super::*;

#[test]
fn texts_that_are_not_what_their_field_holds_are_refused() {
    let key = ec();
    let der = server("cart.example.com").self_signed(&key).unwrap().der().clone();
    let (certificate, key) = (certificate_text(&der), key_text(&key));
    let encrypted = text(pem::PKCS8_ENCRYPTED, &[0x30, 0]);
    let old_encrypted = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: DES-EDE3-CBC,00\n\n\
                         AAAA\n-----END RSA PRIVATE KEY-----\n";
    let pem = |field, fault| ImportError::Pem { field, fault };
    let section = |field, found: &str| ImportError::Section { field, found: found.into() };
    let large = |field, limit| ImportError::TooLarge { field, got: limit + 1, limit };
    let spaces = |count: usize| " ".repeat(count);
    let der_text = "0\u{2}";
    for (certificate, key, chain, expected) in [
        ("", &*key, None, pem(Field::Certificate, PemFault::NoSection)),
        (der_text, &key, None, pem(Field::Certificate, PemFault::Der)),
        (&key, &key, None, section(Field::Certificate, "PRIVATE KEY")),
        (&*text("TRUSTED CERTIFICATE", &der), &key, None, section(Field::Certificate, "TRUSTED CERTIFICATE")),
        (&certificate.repeat(2), &key, None, ImportError::SeveralCertificates { got: 2 }),
        (&spaces(MAX_CERTIFICATE + 1), &key, None, large(Field::Certificate, MAX_CERTIFICATE)),
        (&certificate, "secret", None, pem(Field::PrivateKey, PemFault::NoSection)),
        (&certificate, &certificate, None, section(Field::PrivateKey, "CERTIFICATE")),
        (&certificate, &text(pem::EC_PARAMETERS, &[6, 0]), None, section(Field::PrivateKey, "EC PARAMETERS")),
        (&certificate, &key.repeat(2), None, ImportError::SeveralKeys { got: 2 }),
        (&certificate, &spaces(MAX_PRIVATE_KEY + 1), None, large(Field::PrivateKey, MAX_PRIVATE_KEY)),
        (&certificate, &encrypted, None, ImportError::EncryptedKey),
        (&certificate, old_encrypted, None, ImportError::EncryptedKey),
        (&certificate, &text(pem::PKCS8, &[0x30, 0]), None, ImportError::Key { fault: KeyFault::Malformed }),
        (&certificate, &key, Some(""), pem(Field::CertificateChain, PemFault::NoSection)),
        (&certificate, &key, Some(&*key), section(Field::CertificateChain, "PRIVATE KEY")),
        (&certificate, &key, Some(&spaces(MAX_CHAIN + 1)), large(Field::CertificateChain, MAX_CHAIN)),
        (&certificate, &key, Some(&certificate.repeat(11)), ImportError::ChainLength { got: 11 }),
        (
            &certificate,
            &key,
            Some(&certificate.repeat(33)),
            pem(Field::CertificateChain, PemFault::TooMany { limit: 32 }),
        ),
        (
            &certificate,
            &key,
            Some(&text(pem::CERTIFICATE, &[0; MAX_CHAIN_DER])),
            ImportError::ChainBytes { got: MAX_CHAIN_DER + der.len() },
        ),
    ] {
        let error = import(certificate, key, chain).unwrap_err();
        assert_eq!(error, expected);
        assert!(error.to_string().len() < 200, "{error}");
    }
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let (key, other) = (ec(), ec());
    let der = server("cart.example.com").self_signed(&key).unwrap().der().clone();
    for (wrong, algorithm) in [(&other, KeyAlgorithm::EcP256), (&*RSA, KeyAlgorithm::Rsa2048)] {
        let error = import(&certificate_text(&der), &key_text(wrong), None).unwrap_err();
        assert_eq!(error, ImportError::KeyMismatch { certificate: KeyAlgorithm::EcP256, key: algorithm });
        assert_eq!(error.field(), Field::PrivateKey);
    }
}

/// An RSA public key of `bits` ones.
struct Ones {
    der: Vec<u8>,
}

impl Ones {
    fn of(bits: usize) -> Self {
        let modulus = [&[0][..], &vec![0xff; bits / 8]].concat();
        let integer =
            |content: &[u8]| [&[2, 0x82, (content.len() >> 8) as u8, content.len() as u8], content].concat();
        let content = [integer(&modulus), integer(&[1, 0, 1])].concat();
        let length = content.len();
        Self { der: [&[0x30, 0x82, (length >> 8) as u8, length as u8], &content[..]].concat() }
    }
}

impl PublicKeyData for Ones {
    fn der_bytes(&self) -> &[u8] {
        &self.der
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_RSA_SHA256
    }
}

#[test]
fn weak_and_unsupported_keys_are_refused_by_name() {
    let weak = |found: &str| KeyFault::Weak { found: found.into() };
    let unsupported = |found: &str| KeyFault::Unsupported { found: found.into() };
    let root = root(authority("Root"));
    let rsa = |bits| root.sign(&server("cart.example.com"), &Ones::of(bits)).to_vec();
    let of = |algorithm| {
        let key = KeyPair::generate_for(algorithm).unwrap();
        server("cart.example.com").self_signed(&key).unwrap().der().to_vec()
    };
    let (p256, p384) = (of(&rcgen::PKCS_ECDSA_P256_SHA256), of(&rcgen::PKCS_ECDSA_P384_SHA384));
    let p256_oid = [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    let p192_oid = [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 1];
    let p384_oid = [6, 5, 0x2b, 0x81, 4, 0, 0x22];
    let key = key_text(&ec());
    for (der, expected) in [
        (rsa(512), weak("RSA of 512 bits")),
        (rsa(1024), weak("RSA of 1024 bits")),
        (rsa(2040), weak("RSA of 2040 bits")),
        (rsa(8192), unsupported("RSA of 8192 bits")),
        (patched(&p256, &p256_oid, &p192_oid), weak("EC_prime192v1")),
        (patched(&p384, &p384_oid, &[6, 5, 0x2b, 0x81, 4, 0, 0x21]), weak("EC_secp224r1")),
        (patched(&p384, &p384_oid, &[6, 5, 0x2b, 0x81, 4, 0, 0x0a]), unsupported("EC_secp256k1")),
        // A curve that is spelt out.
        (
            patched(&p256, &p256_oid, &[0x30, 8, 2, 1, 1, 0x30, 3, 2, 1, 1]),
            unsupported("EC without a named curve"),
        ),
        (of(&rcgen::PKCS_ED25519), unsupported("Ed25519")),
        // A point begins with 4 if both coordinates follow: `BIT STRING`, no unused bits, 4.
        (
            patched(&p256, &[3, 0x42, 0, 4], &[3, 0x42, 0, 2]),
            unsupported("EC_prime256v1 with a compressed point"),
        ),
    ] {
        let error = import(&certificate_text(&der), &key, None).unwrap_err();
        assert_eq!(error, fault(Place::Certificate, expected));
    }
    let error = import(&certificate_text(&rsa(1024)), &key, None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the certificate cannot be used: the key is too weak: found RSA of 1024 bits, expected RSA of 2048 \
         bits or more, or a curve of 256 or more"
    );
}

#[test]
fn weak_and_unsupported_signatures_are_refused_by_name() {
    let weak = |found: &str| SignatureFault::Weak { found: found.into() };
    let unsupported = |found: &str| SignatureFault::Unsupported { found: found.into() };
    let rsa = server("cart.example.com").self_signed(&*RSA).unwrap().der().to_vec();
    let ec_key = ec();
    let ec = server("cart.example.com").self_signed(&ec_key).unwrap().der().to_vec();
    let pkcs1 = |last| [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, last];
    let ecdsa = |last| [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, last];
    let edwards = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let by_edwards = server("cart.example.com")
        .signed_by(&ec_key, &Issuer::from_params(&authority("Root"), &edwards))
        .unwrap()
        .der()
        .to_vec();
    for (der, expected) in [
        (patched(&rsa, &pkcs1(11), &pkcs1(2)), weak("MD2 with RSA")),
        (patched(&rsa, &pkcs1(11), &pkcs1(4)), weak("MD5 with RSA")),
        (patched(&rsa, &pkcs1(11), &pkcs1(5)), weak("SHA-1 with RSA")),
        (patched(&rsa, &pkcs1(11), &pkcs1(14)), weak("SHA-224 with RSA")),
        (patched(&rsa, &pkcs1(11), &pkcs1(10)), unsupported("RSASSA-PSS without parameters")),
        (patched(&rsa, &pkcs1(11), &pkcs1(15)), unsupported("PKCS #1 algorithm 15")),
        (patched(&ec, &ecdsa(2), &ecdsa(1)), weak("SHA-224 with ECDSA")),
        (patched(&ec, &ecdsa(2), &ecdsa(9)), unsupported("ECDSA algorithm 9")),
        (by_edwards, unsupported("Ed25519")),
    ] {
        let error = import(&certificate_text(&der), &key_text(&RSA), None).unwrap_err();
        assert_eq!(error, fault(Place::Certificate, expected));
        assert_eq!(error.field(), Field::Certificate);
    }
}

#[test]
fn bytes_that_are_not_a_proper_certificate_are_refused() {
    let key = ec();
    let plain = server("cart.example.com").self_signed(&key).unwrap().der().to_vec();
    let not_x509 = |reason: &str| CertificateFault::NotX509 { reason: reason.into() };
    let twice = |oid: &[u64], content: &[u8]| {
        let mut params = server("cart.example.com");
        for _ in 0..2 {
            params.custom_extensions.push(CustomExtension::from_oid_content(oid, content.to_vec()));
        }
        params.self_signed(&key).unwrap().der().to_vec()
    };
    let malformed = {
        let mut params = params("cart.example.com");
        params.custom_extensions = vec![CustomExtension::from_oid_content(&[2, 5, 29, 17], vec![4, 1])];
        params.self_signed(&key).unwrap().der().to_vec()
    };
    let nobody = {
        let mut nobody = authority("");
        nobody.distinguished_name = DistinguishedName::new();
        root(nobody).sign(&server("cart.example.com"), &key).to_vec()
    };
    let ocsp = |length: usize| {
        let url = format!("http://{}", "o".repeat(length - 7));
        let url = [&[0x86, 0x82, (length >> 8) as u8, length as u8], url.as_bytes()].concat();
        let method = [6, 8, 0x2b, 6, 1, 5, 5, 7, 0x30, 1];
        let wrap = |content: &[u8]| {
            [&[0x30, 0x82, (content.len() >> 8) as u8, content.len() as u8], content].concat()
        };
        let content = wrap(&wrap(&[&method, &url[..]].concat()));
        let mut params = server("cart.example.com");
        let oid = [1, 3, 6, 1, 5, 5, 7, 1, 1];
        params.custom_extensions = vec![CustomExtension::from_oid_content(&oid, content)];
        params.self_signed(&key).unwrap().der().to_vec()
    };
    let extension = |name: &str| CertificateFault::Extension { extension: name.into() };
    for (der, expected) in [
        (vec![0x30, 0], not_x509("its structure cannot be read")),
        (b"hello".to_vec(), not_x509("its structure cannot be read")),
        (plain[..plain.len() - 1].to_vec(), not_x509("its structure cannot be read")),
        ([&plain[..], &[0]].concat(), not_x509("bytes follow it")),
        (patched(&plain, &[0xa0, 3, 2, 1, 2], &[0xa0, 3, 2, 1, 0]), CertificateFault::Version { found: 1 }),
        (twice(&[1, 2, 3], &[5, 0]), extension("1.2.3")),
        (twice(&[2, 5, 29, 37], &[0x30, 0]), extension("extended key usage")),
        (malformed, extension("subject alternative name")),
        (nobody, CertificateFault::EmptyIssuer),
        (ocsp(1001), CertificateFault::OcspUrl { got: 1001 }),
    ] {
        let error = import(&certificate_text(&der), &key_text(&key), None).unwrap_err();
        assert_eq!(error, fault(Place::Certificate, expected));
    }
    import(&certificate_text(&ocsp(1000)), &key_text(&key), None).unwrap();

    let mut params = server("cart.example.com");
    let mut unknown = CustomExtension::from_oid_content(&[1, 2, 3], vec![5, 0]);
    unknown.set_criticality(true);
    params.custom_extensions = vec![unknown];
    assert!(matches!(import_params(&params), Err(ImportError::Unusable { .. })));
}

#[test]
fn an_authoritys_certificate_is_refused_unless_it_signed_itself() {
    let error = import_params(&authority("Intermediate")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the certificate of \"CN=Intermediate,O=Example\\\\, Inc.,C=SE\" is an authority's, expected a server's"
    );
}

#[test]
fn a_self_signed_certificate_that_was_altered_is_refused() {
    let key = ec();
    let der = server("cart.example.com").self_signed(&key).unwrap().der().to_vec();
    let der = patched(&der, b"cart.example.com", b"user.example.com");
    let error = import(&certificate_text(&der), &key_text(&key), None).unwrap_err();
    assert_eq!(error, ImportError::Signature { place: Place::Certificate });
}

#[test]
fn a_certificate_that_cannot_serve_is_refused_for_a_server_only() {
    let mut client = server("cart.example.com");
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let mut agreement = server("cart.example.com");
    agreement.key_usages = vec![KeyUsagePurpose::KeyAgreement];
    let nameless = params("Cart Service");
    let mut mail = params("cart.example.com");
    mail.subject_alt_names = vec![SanType::Rfc822Name("mail@example.com".try_into().unwrap())];
    for (params, expected) in [
        (
            client,
            "the certificate is for [TlsWebClientAuthentication] only, expected TlsWebServerAuthentication",
        ),
        (agreement, "the certificate's key is for [KeyAgreement] only, expected DigitalSignature"),
        (
            nameless,
            "the certificate of \"CN=Cart Service,O=Example\\\\, Inc.,C=SE\" has no host name: expected a \
             subject alternative name",
        ),
        (
            mail,
            "the certificate of \"CN=cart.example.com,O=Example\\\\, Inc.,C=SE\" has no host name: expected a \
             subject alternative name",
        ),
    ] {
        assert_eq!(import_params(&params).unwrap_err().to_string(), expected);

        let key = ec();
        let root = root(authority("Root"));
        let (certificate, key) = (certificate_text(&root.sign(&params, &key)), key_text(&key));
        let chain = certificate_text(&root.der);
        let material = Material {
            certificate: certificate.as_bytes(),
            private_key: key.as_bytes(),
            chain: Some(chain.as_bytes()),
        };
        let leaf = check(&material, now(), Purpose::Any).unwrap();
        assert_eq!(check_purpose(leaf.facts(), Purpose::TlsServer).unwrap_err().to_string(), expected);
    }
    let mut any = server("cart.example.com");
    any.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any, ExtendedKeyUsagePurpose::ServerAuth];
    import_params(&any).unwrap();
}

#[test]
fn a_chain_that_does_not_certify_the_certificate_is_refused_where_it_breaks() {
    let root_ca = root(authority("Root"));
    let upper = root_ca.intermediate(authority("Upper"));
    let lower = upper.intermediate(authority("Lower"));
    let key = ec();
    let der = lower.sign(&server("cart.example.com"), &key);

    let stranger = root(authority("Stranger"));
    let impostor = root(authority("Lower"));
    let mut expired = authority("Lower");
    expired.not_after = rcgen::date_time_ymd(2026, 6, 1);
    let expired = Signer { der: upper.sign(&expired, &lower.key), params: expired, key: ec() };
    let mut early = authority("Lower");
    early.not_before = rcgen::date_time_ymd(2026, 12, 1);
    let early = upper.sign(&early, &lower.key);
    let server_ca = upper.sign(&params("Lower"), &lower.key);
    let mut no_signing = authority("Lower");
    no_signing.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let no_signing = upper.sign(&no_signing, &lower.key);
    let weak = upper.sign(&authority("Lower"), &Ones::of(1024));
    let name = |common: &str| format!("CN={common},O=Example\\, Inc.,C=SE");
    let not_authority = ImportError::ChainNotAuthority { position: 1, subject: name("Lower") };
    let date = |text: &str| text.parse().unwrap();

    for (issuers, expected) in [
        (vec![&der], ImportError::ChainRepeats { position: 1 }),
        (vec![&lower.der, &upper.der, &der], ImportError::ChainRepeats { position: 3 }),
        (vec![&upper.der, &lower.der], ImportError::ChainOrder { position: 1, belongs: 2 }),
        (vec![&lower.der, &root_ca.der, &upper.der], ImportError::ChainOrder { position: 2, belongs: 3 }),
        (
            vec![&stranger.der],
            ImportError::ChainIssuer { position: 1, found: name("Stranger"), expected: name("Lower") },
        ),
        (
            vec![&lower.der, &root_ca.der],
            ImportError::ChainIssuer { position: 2, found: name("Root"), expected: name("Upper") },
        ),
        (vec![&impostor.der], ImportError::Signature { place: Place::Certificate }),
        (vec![&server_ca], not_authority.clone()),
        (vec![&no_signing], not_authority),
        (
            vec![&expired.der, &upper.der],
            ImportError::Expired {
                place: Place::Chain(1),
                not_after: date("2026-06-01T00:00:00Z"),
                now: now(),
            },
        ),
        (
            vec![&early, &upper.der],
            ImportError::NotYetValid {
                place: Place::Chain(1),
                not_before: date("2026-12-01T00:00:00Z"),
                now: now(),
            },
        ),
        (vec![&weak], fault(Place::Chain(1), KeyFault::Weak { found: "RSA of 1024 bits".into() })),
        (
            vec![&lower.der, &CertificateDer::from(vec![1, 2, 3])],
            fault(
                Place::Chain(2),
                CertificateFault::NotX509 { reason: "its structure cannot be read".into() },
            ),
        ),
    ] {
        let chain: String = issuers.iter().map(|issuer| certificate_text(issuer)).collect();
        let error = import(&certificate_text(&der), &key_text(&key), Some(&chain)).unwrap_err();
        assert_eq!(error, expected);
    }
}

#[test]
fn a_weak_signature_in_the_chain_is_refused_but_on_the_root() {
    let pkcs1 = |last| [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, last];
    let params = authority("Root");
    let weak_root = patched(params.self_signed(&*RSA).unwrap().der(), &pkcs1(11), &pkcs1(5));
    let key = ec();
    let der = server("cart.example.com")
        .signed_by(&key, &Issuer::from_params(&params, &*RSA))
        .unwrap()
        .der()
        .clone();
    import(&certificate_text(&der), &key_text(&key), Some(&certificate_text(&weak_root))).unwrap();

    // Cross-signed: not self-issued, so its signature counts.
    let lower = authority("Lower");
    let lower_key = ec();
    let crossed = lower.signed_by(&lower_key, &Issuer::from_params(&params, &*RSA)).unwrap().der().clone();
    let crossed = patched(&crossed, &pkcs1(11), &pkcs1(5));
    let der = server("cart.example.com")
        .signed_by(&key, &Issuer::from_params(&lower, &lower_key))
        .unwrap()
        .der()
        .clone();
    for chain in [certificate_text(&crossed), certificate_text(&crossed) + &certificate_text(&weak_root)] {
        let error = import(&certificate_text(&der), &key_text(&key), Some(&chain)).unwrap_err();
        assert_eq!(error, fault(Place::Chain(1), SignatureFault::Weak { found: "SHA-1 with RSA".into() }));
    }
}

#[test]
fn what_only_a_whole_path_shows_is_refused() {
    let root = root(authority("Root"));
    let mut constrained = authority("Upper");
    constrained.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let short = root.intermediate(constrained);
    let below = short.intermediate(authority("Lower"));
    let mut named = authority("Named");
    named.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName("example.org".into())],
        excluded_subtrees: vec![],
    });
    let named = root.intermediate(named);
    let mut mail = authority("Mail");
    mail.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
    let mail = root.intermediate(mail);
    for issuers in [vec![&below, &short, &root], vec![&named, &root], vec![&mail, &root]] {
        let key = ec();
        let der = issuers[0].sign(&server("cart.example.com"), &key);
        let chain: String = issuers.iter().map(|issuer| certificate_text(&issuer.der)).collect();
        let error = import(&certificate_text(&der), &key_text(&key), Some(&chain)).unwrap_err();
        assert!(matches!(error, ImportError::ChainRefused { .. }), "{error}");
    }
}

#[test]
fn hostile_names_are_shown_escaped() {
    let mut params = server("cart.example.com");
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "x\r\ninjected: yes");
    params.distinguished_name.push(DnType::OrganizationName, DnValue::Utf8String("\u{1b}[31m".into()));
    let leaf = import_params(&params).unwrap();
    assert_eq!(leaf.facts().subject, "O=\\1b[31m,CN=x\\0d\\0ainjected: yes");
    assert_eq!(leaf.facts().domain_name(), Some("cart.example.com"));
}
