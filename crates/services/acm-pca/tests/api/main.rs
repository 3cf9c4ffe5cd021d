//! AWS Private CA by itself: from a key to a chain that verifies, and everything that is refused.

mod installation;
mod report;
mod revocation;
mod sharing;

/// Signs as an SDK does.
#[allow(dead_code)]
#[path = "../../../../control/tests/shared/client.rs"]
mod client;

use serde_json::{Value, json};
use trellis_ca::facts::{ExtendedKeyUsageName, KeyUsage};
use trellis_ca::{Extension, Facts, certificates_of_pem};

use installation::{Installation, configured, of, order, quick, request, template, with};

fn facts(pem: &Value) -> Facts {
    let certificates = certificates_of_pem(pem.as_str().unwrap().as_bytes()).unwrap();
    Facts::of(&certificates[0]).unwrap()
}

#[tokio::test]
async fn the_root_of_the_labs_signs_itself_and_a_certificate_for_its_hosts() {
    let pca = Installation::new().await;
    let subject = json!({"CommonName": "example.com", "Organization": "example"});
    let root = pca.root(configured("ROOT", "RSA_4096", "SHA512WITHRSA", subject)).await;
    let described = pca.describe(&root).await;
    assert_eq!(described["Type"], "ROOT");
    assert_eq!(described["UsageMode"], "GENERAL_PURPOSE");
    assert_eq!(described["KeyStorageSecurityStandard"], "FIPS_140_2_LEVEL_3_OR_HIGHER");
    let own = pca.call("GetCertificateAuthorityCertificate", of(&root)).await.unwrap();
    assert_eq!(own.as_object().unwrap().len(), 1, "what --output text prints is the certificate alone");
    let root_facts = facts(&own["Certificate"]);
    assert_eq!(root_facts.subject, "CN=example.com,O=example");
    assert!(root_facts.is_authority && root_facts.is_self_issued);
    assert_eq!(root_facts.serial, described["Serial"].as_str().unwrap());

    let csr = request(&["example.com", "*.example.com"], &[]);
    let order = with(order(&csr, "EndEntityCertificate", 395), json!({"SigningAlgorithm": "SHA512WITHRSA"}));
    let issued = pca.issue(&root, order).await.unwrap();
    assert_eq!(issued["CertificateChain"], own["Certificate"]);
    let leaf = facts(&issued["Certificate"]);
    assert_eq!(leaf.dns_names, ["example.com", "*.example.com"]);
    assert!(!leaf.is_authority);
    assert_eq!(leaf.key_usages, [KeyUsage::DigitalSignature, KeyUsage::KeyEncipherment]);
    let usages: Vec<_> = leaf.extended_key_usages.iter().map(|usage| usage.name).collect();
    assert_eq!(
        usages,
        [ExtendedKeyUsageName::TlsWebServerAuthentication, ExtendedKeyUsageName::TlsWebClientAuthentication]
    );
    assert_eq!(leaf.issuer, root_facts.subject);
}

#[tokio::test]
async fn a_call_with_the_same_token_makes_nothing_new() {
    let pca = Installation::new().await;
    let input = with(quick("ROOT", "a"), json!({"IdempotencyToken": "1"}));
    let first = pca.call("CreateCertificateAuthority", input.clone()).await.unwrap();
    assert_eq!(pca.call("CreateCertificateAuthority", input).await.unwrap(), first);
    let other = with(quick("ROOT", "b"), json!({"IdempotencyToken": "1"}));
    assert_eq!(pca.refused("CreateCertificateAuthority", other).await.code, "InvalidArgsException");
    let root = pca.root(quick("ROOT", "c")).await;
    let order = with(
        order(&request(&["a.example.com"], &[]), "EndEntityCertificate", 1),
        json!({"IdempotencyToken": "x"}),
    );
    let one = pca.call("IssueCertificate", with(of(&root), order.clone())).await.unwrap();
    let two = pca.call("IssueCertificate", with(of(&root), order)).await.unwrap();
    assert_eq!(one, two);
}

#[tokio::test]
async fn subordinates_issue_within_the_path_length_of_those_above() {
    let pca = Installation::new().await;
    let root = pca.root(quick("ROOT", "root")).await;
    let subordinate = async |above: &str, name: &str, length: u8| {
        let arn = pca.authority(quick("SUBORDINATE", name)).await;
        let csr = pca.call("GetCertificateAuthorityCsr", of(&arn)).await.unwrap()["Csr"].clone();
        let order = order(csr.as_str().unwrap(), &format!("SubordinateCACertificate_PathLen{length}"), 365);
        let issued = pca.issue(above, order).await?;
        pca.import(&arn, &issued).await.unwrap();
        Ok::<_, installation::Fault>(arn)
    };
    let middle = subordinate(&root, "middle", 1).await.unwrap();
    let last = subordinate(&middle, "last", 0).await.unwrap();
    assert_eq!(subordinate(&middle, "as deep", 1).await.unwrap_err().code, "InvalidArgsException");
    assert_eq!(subordinate(&last, "too deep", 0).await.unwrap_err().code, "InvalidArgsException");
    let issued =
        pca.issue(&last, order(&request(&["a.example.com"], &[]), "EndEntityCertificate", 30)).await.unwrap();
    let chain = certificates_of_pem(issued["CertificateChain"].as_str().unwrap().as_bytes()).unwrap();
    let names: Vec<_> =
        chain.iter().map(|certificate| Facts::of(certificate).unwrap().common_name.unwrap()).collect();
    assert_eq!(names, ["last", "middle", "root"]);
    let longer =
        pca.issue(&last, order(&request(&["a.example.com"], &[]), "EndEntityCertificate", 366)).await;
    assert_eq!(longer.unwrap_err().code, "InvalidArgsException", "it would outlive its issuer");
}

#[tokio::test]
async fn requests_and_calls_are_heard_as_far_as_the_template_says() {
    let pca = Installation::new().await;
    let root = pca.root(quick("ROOT", "root")).await;
    let forged = [
        Extension::basic_constraints(Some(None), true),
        Extension::key_usage(&[KeyUsage::CertificateSigning], true),
        Extension::extended_key_usage(["1.3.6.1.5.5.7.3.4"], false).unwrap(),
    ];
    let csr = request(&["a.example.com"], &forged);
    for (template, usages, extended) in [
        ("EndEntityCertificate", vec![KeyUsage::DigitalSignature, KeyUsage::KeyEncipherment], 2),
        (
            "EndEntityCertificate_CSRPassthrough",
            vec![KeyUsage::DigitalSignature, KeyUsage::KeyEncipherment],
            2,
        ),
        ("EndEntityServerAuthCertificate", vec![KeyUsage::DigitalSignature, KeyUsage::KeyEncipherment], 1),
        ("CodeSigningCertificate", vec![KeyUsage::DigitalSignature], 1),
        ("BlankEndEntityCertificate_CSRPassthrough", vec![KeyUsage::CertificateSigning], 1),
        ("BlankEndEntityCertificate_APIPassthrough", vec![], 0),
    ] {
        let issued = pca.issue(&root, order(&csr, template, 1)).await.unwrap();
        let facts = facts(&issued["Certificate"]);
        assert!(!facts.is_authority, "{template}: a request cannot make an authority of itself");
        assert_eq!(facts.key_usages, usages, "{template}");
        assert_eq!(facts.extended_key_usages.len(), extended, "{template}");
        assert_eq!(facts.dns_names, ["a.example.com"], "{template}");
    }
    let api = json!({"ApiPassthrough": {
        "Subject": {"CommonName": "by the call", "Country": "KR"},
        "Extensions": {
            "SubjectAlternativeNames": [{"DnsName": "b.example.com"}, {"IpAddress": "10.0.0.1"}],
            "KeyUsage": {"KeyAgreement": true},
            "ExtendedKeyUsage": [{"ExtendedKeyUsageType": "CLIENT_AUTH"}],
            "CertificatePolicies": [{"CertPolicyId": "1.2.3", "PolicyQualifiers":
                [{"PolicyQualifierId": "CPS", "Qualifier": {"CpsUri": "http://example.com/cps"}}]}],
            "CustomExtensions": [{"ObjectIdentifier": "1.2.3.4", "Value": "BQA="}],
        },
    }});
    let blank = with(order(&csr, "BlankEndEntityCertificate_APICSRPassthrough", 1), api.clone());
    let facts = facts(&pca.issue(&root, blank).await.unwrap()["Certificate"]);
    assert_eq!(facts.subject, "C=KR,CN=by the call".split(',').rev().collect::<Vec<_>>().join(","));
    assert_eq!(facts.dns_names, ["b.example.com"]);
    assert_eq!(facts.ip_addresses.len(), 1);
    assert_eq!(facts.key_usages, [KeyUsage::KeyAgreement]);
    let deaf = with(order(&csr, "EndEntityCertificate", 1), api);
    assert_eq!(pca.issue(&root, deaf).await.unwrap_err().code, "InvalidArgsException");
}

#[tokio::test]
async fn what_cannot_be_issued_is_refused_and_changes_nothing() {
    let pca = Installation::new().await;
    let root = pca.root(quick("ROOT", "root")).await;
    let good = request(&["a.example.com"], &[]);
    let mut forged = good.clone().into_bytes();
    let middle = forged.len() / 2;
    forged[middle] = if forged[middle] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    let end_entity = |csr: &str, more: Value| with(order(csr, "EndEntityCertificate", 1), more);
    for (code, input) in [
        ("MalformedCSRException", end_entity(&forged, json!({}))),
        ("MalformedCSRException", end_entity("no request", json!({}))),
        ("MalformedCSRException", end_entity(&request(&["a b"], &[]), json!({}))),
        ("MalformedCSRException", end_entity(&good, json!({"TemplateArn": template("RootCACertificate")}))),
        ("InvalidArgsException", end_entity(&good, json!({"TemplateArn": template("NoSuchCertificate")}))),
        ("InvalidArgsException", end_entity(&good, json!({"SigningAlgorithm": "SHA256WITHRSA"}))),
        ("InvalidArgsException", end_entity(&good, json!({"SigningAlgorithm": "ML_DSA_44"}))),
        ("InvalidArgsException", end_entity(&good, json!({"Validity": {"Type": "YEARS", "Value": 11}}))),
        ("InvalidArgsException", end_entity(&good, json!({"Validity": {"Type": "ABSOLUTE", "Value": 1}}))),
        ("InvalidArgsException", end_entity(&good, json!({"Validity": {"Type": "END_DATE", "Value": 1}}))),
        (
            "InvalidArgsException",
            end_entity(&good, json!({"ValidityNotBefore": {"Type": "DAYS", "Value": 1}})),
        ),
    ] {
        let shown = input.to_string();
        let fault = pca.issue(&root, input).await.unwrap_err();
        assert_eq!(fault.code, code, "{} for {shown}", fault.message);
    }
    for (code, arn) in [
        ("AccessDeniedException", root.replace("111122223333", "444455556666")),
        ("ResourceNotFoundException", root.replace("us-east-1", "eu-west-1")),
        (
            "ResourceNotFoundException",
            format!("{}00000000-0000-4000-8000-000000000000", &root[..root.len() - 36]),
        ),
        ("InvalidArnException", format!("{}nothing", &root[..root.len() - 36])),
    ] {
        assert_eq!(pca.refused("DescribeCertificateAuthority", of(&arn)).await.code, code, "{arn}");
    }
}

#[tokio::test]
async fn an_authority_that_cannot_be_is_refused() {
    let pca = Installation::new().await;
    let subject = json!({"CommonName": "a"});
    let revocation =
        |configuration: Value| with(quick("ROOT", "a"), json!({"RevocationConfiguration": configuration}));
    for input in [
        configured("ROOT", "RSA_2048", "SHA256WITHECDSA", subject.clone()),
        configured("ROOT", "EC_prime256v1", "SHA256WITHRSA", subject.clone()),
        configured("ROOT", "SM2", "SM3WITHSM2", subject.clone()),
        configured("ROOT", "EC_prime256v1", "SHA256WITHECDSA", json!({})),
        configured("ROOT", "EC_prime256v1", "SHA256WITHECDSA", json!({"CommonName": "a\u{7}b"})),
        configured(
            "ROOT",
            "EC_prime256v1",
            "SHA256WITHECDSA",
            json!({"CommonName": "a", "CustomAttributes": [{"ObjectIdentifier": "1.2.3", "Value": "x"}]}),
        ),
        revocation(json!({"CrlConfiguration": {"Enabled": true}})),
        revocation(json!({"OcspConfiguration": {"Enabled": true, "OcspCustomCname": "http://a"}})),
    ] {
        let shown = input.to_string();
        let fault = pca.refused("CreateCertificateAuthority", input).await;
        assert_eq!(fault.code, "InvalidArgsException", "{} for {shown}", fault.message);
    }
    let tags = json!({"Tags": [{"Key": "aws:x", "Value": "y"}]});
    assert_eq!(
        pca.refused("CreateCertificateAuthority", with(quick("ROOT", "a"), tags)).await.code,
        "InvalidTagException"
    );
    let all = pca.call("ListCertificateAuthorities", json!({})).await.unwrap();
    assert_eq!(all["CertificateAuthorities"], json!([]));
}

#[tokio::test]
async fn only_a_certificate_of_its_own_key_is_imported() {
    let pca = Installation::new().await;
    let root = pca.root(quick("ROOT", "root")).await;
    let own = pca.call("GetCertificateAuthorityCertificate", of(&root)).await.unwrap();
    let other = pca.authority(quick("ROOT", "other")).await;
    assert_eq!(pca.import(&other, &own).await.unwrap_err().code, "CertificateMismatchException");
    let below = pca.authority(quick("SUBORDINATE", "below")).await;
    let csr = pca.call("GetCertificateAuthorityCsr", of(&below)).await.unwrap()["Csr"].clone();
    let order_of = |template| order(csr.as_str().unwrap(), template, 30);
    let leaf = pca.issue(&root, order_of("EndEntityCertificate")).await.unwrap();
    assert_eq!(pca.import(&below, &leaf).await.unwrap_err().code, "MalformedCertificateException");
    let right = pca.issue(&root, order_of("SubordinateCACertificate_PathLen0")).await.unwrap();
    let mut broken = right.clone();
    broken.as_object_mut().unwrap().remove("CertificateChain");
    assert_eq!(pca.import(&below, &broken).await.unwrap_err().code, "MalformedCertificateException");
    let stranger = pca.root(quick("ROOT", "root")).await;
    let strangers = pca.call("GetCertificateAuthorityCertificate", of(&stranger)).await.unwrap();
    broken["CertificateChain"] = strangers["Certificate"].clone();
    assert_eq!(pca.import(&below, &broken).await.unwrap_err().code, "MalformedCertificateException");
    let garbage = json!({"Certificate": "garbage"});
    assert_eq!(pca.import(&below, &garbage).await.unwrap_err().code, "MalformedCertificateException");
    assert_eq!(pca.describe(&below).await["Status"], "PENDING_CERTIFICATE");
    pca.import(&below, &right).await.unwrap();
    assert_eq!(pca.describe(&below).await["Status"], "ACTIVE");
}

#[tokio::test]
async fn a_deleted_authority_may_be_restored_until_its_time_is_over() {
    let pca = Installation::new().await;
    let root = pca.root(quick("ROOT", "root")).await;
    assert_eq!(pca.refused("DeleteCertificateAuthority", of(&root)).await.code, "InvalidStateException");
    let update = |status: &str| with(of(&root), json!({"Status": status}));
    pca.call("UpdateCertificateAuthority", update("DISABLED")).await.unwrap();
    let request = request(&["a.example.com"], &[]);
    let order = order(&request, "EndEntityCertificate", 1);
    assert_eq!(pca.issue(&root, order.clone()).await.unwrap_err().code, "InvalidStateException");
    let delete = with(of(&root), json!({"PermanentDeletionTimeInDays": 7}));
    pca.call("DeleteCertificateAuthority", delete.clone()).await.unwrap();
    let described = pca.describe(&root).await;
    assert_eq!(described["Status"], "DELETED");
    assert!(described["RestorableUntil"].is_number());
    assert_eq!(pca.refused("ListTags", of(&root)).await.code, "InvalidStateException");
    pca.call("RestoreCertificateAuthority", of(&root)).await.unwrap();
    assert_eq!(pca.describe(&root).await["Status"], "DISABLED");
    pca.call("UpdateCertificateAuthority", update("ACTIVE")).await.unwrap();
    pca.issue(&root, order).await.unwrap();
    pca.call("UpdateCertificateAuthority", update("DISABLED")).await.unwrap();
    pca.call("DeleteCertificateAuthority", delete).await.unwrap();
    pca.put_forward(8);
    let pca = pca.restarted().await;
    while pca.call("DescribeCertificateAuthority", of(&root)).await.is_ok() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(pca.refused("RestoreCertificateAuthority", of(&root)).await.code, "ResourceNotFoundException");
    let mut state = pca.frame.surroundings().store.read().unwrap();
    for prefix in ["acm-pca", "pending/acm-pca", "count/acm-pca"] {
        let left = trellis_frame::record::scan_all(&mut state, prefix).unwrap();
        assert!(left.is_empty(), "{}", left[0].key);
    }
}

#[tokio::test]
async fn an_expired_authority_says_so_and_issues_nothing() {
    let pca = Installation::new().await;
    let root = pca.root(quick("ROOT", "root")).await;
    pca.put_forward(3660);
    assert_eq!(pca.describe(&root).await["Status"], "EXPIRED");
    let order = order(&request(&["a.example.com"], &[]), "EndEntityCertificate", 1);
    assert_eq!(pca.issue(&root, order).await.unwrap_err().code, "InvalidStateException");
    pca.call("DeleteCertificateAuthority", of(&root)).await.unwrap();
}

#[tokio::test]
async fn a_short_lived_authority_issues_for_a_week_at_most() {
    let pca = Installation::new().await;
    let root = pca.root(with(quick("ROOT", "root"), json!({"UsageMode": "SHORT_LIVED_CERTIFICATE"}))).await;
    let csr = request(&["a.example.com"], &[]);
    pca.issue(&root, order(&csr, "EndEntityCertificate", 7)).await.unwrap();
    let longer = pca.issue(&root, order(&csr, "EndEntityCertificate", 8)).await;
    assert_eq!(longer.unwrap_err().code, "InvalidArgsException");
    // Neither is there anything to look up whether they still hold, nor is one taken back.
    for told in [
        json!({"CrlConfiguration": {"Enabled": true, "S3BucketName": "abc"}}),
        json!({"OcspConfiguration": {"Enabled": true}}),
    ] {
        let update = with(of(&root), json!({"RevocationConfiguration": told}));
        assert_eq!(pca.refused("UpdateCertificateAuthority", update).await.code, "InvalidArgsException");
    }
    let issued = pca.issue(&root, order(&csr, "EndEntityCertificate", 7)).await.unwrap();
    let serial = facts(&issued["Certificate"]).serial;
    let revoke = with(of(&root), json!({"CertificateSerial": serial, "RevocationReason": "SUPERSEDED"}));
    assert_eq!(pca.refused("RevokeCertificate", revoke).await.code, "InvalidRequestException");
}

#[tokio::test]
async fn tags_and_permissions_are_kept_and_listed() {
    let pca = Installation::new().await;
    let tags = json!({"Tags": [{"Key": "team", "Value": "a"}, {"Key": "bare"}]});
    let arn = pca.authority(with(quick("ROOT", "root"), tags)).await;
    let more = with(of(&arn), json!({"Tags": [{"Key": "team", "Value": "b"}]}));
    pca.call("TagCertificateAuthority", more.clone()).await.unwrap();
    let wrong = with(of(&arn), json!({"Tags": [{"Key": "team", "Value": "other"}]}));
    pca.call("UntagCertificateAuthority", wrong).await.unwrap();
    let listed = pca.call("ListTags", of(&arn)).await.unwrap();
    assert_eq!(listed["Tags"], json!([{"Key": "bare", "Value": ""}, {"Key": "team", "Value": "b"}]));
    pca.call("UntagCertificateAuthority", more).await.unwrap();
    assert_eq!(pca.call("ListTags", of(&arn)).await.unwrap()["Tags"].as_array().unwrap().len(), 1);

    let acm = json!({"Principal": "acm.amazonaws.com"});
    let all = json!({"Actions": ["IssueCertificate", "GetCertificate", "ListPermissions"]});
    let permission = with(with(of(&arn), acm.clone()), all.clone());
    pca.call("CreatePermission", permission.clone()).await.unwrap();
    assert_eq!(pca.refused("CreatePermission", permission).await.code, "PermissionAlreadyExistsException");
    let listed = pca.call("ListPermissions", of(&arn)).await.unwrap();
    assert_eq!(listed["Permissions"][0]["Actions"], all["Actions"]);
    assert_eq!(listed["Permissions"][0]["Principal"], "acm.amazonaws.com");
    pca.call("DeletePermission", with(of(&arn), acm.clone())).await.unwrap();
    assert_eq!(pca.refused("DeletePermission", with(of(&arn), acm)).await.code, "ResourceNotFoundException");
}

#[tokio::test]
async fn a_private_key_is_in_no_answer_and_not_readable_in_the_store() {
    let pca = Installation::new().await;
    let root = pca.root(quick("ROOT", "root")).await;
    let answers = [
        pca.describe(&root).await,
        pca.call("GetCertificateAuthorityCsr", of(&root)).await.unwrap(),
        pca.call("GetCertificateAuthorityCertificate", of(&root)).await.unwrap(),
    ];
    assert!(answers.iter().all(|answer| !answer.to_string().contains("PRIVATE KEY")));
    let mut state = pca.frame.surroundings().store.read().unwrap();
    let entries = trellis_frame::record::scan_all(&mut state, "").unwrap();
    let sealed = entries.iter().filter(|entry| entry.key.contains("/key/"));
    assert_eq!(sealed.count(), 1);
    for entry in &entries {
        let text = String::from_utf8_lossy(&entry.value);
        assert!(!text.contains("PRIVATE KEY"), "{}", entry.key);
    }
}
