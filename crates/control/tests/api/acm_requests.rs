//! Certificates that ACM has a private CA issue: from the request to the successor that a service shows.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use trellis_ca::Facts;

use crate::certificates::shown;
use crate::installation::{ACCOUNT, Installation};

const DAY: Duration = Duration::from_secs(86_400);

/// An authority whose own certificate is valid for so many years: 0 of one that has none yet.
async fn authority(trellis: &Installation, years: u32) -> String {
    let pca = async |operation: &str, input: Value| trellis.acm_pca(operation, input).await;
    let subject = json!({"CommonName": "root"});
    let key =
        json!({"KeyAlgorithm": "EC_prime256v1", "SigningAlgorithm": "SHA256WITHECDSA", "Subject": subject});
    let input = json!({"CertificateAuthorityType": "ROOT", "CertificateAuthorityConfiguration": key});
    let arn = pca("CreateCertificateAuthority", input).await.unwrap()["CertificateAuthorityArn"].clone();
    let of = json!({"CertificateAuthorityArn": arn});
    let csr = loop {
        match pca("GetCertificateAuthorityCsr", of.clone()).await {
            Ok(answer) => break answer["Csr"].as_str().unwrap().to_owned(),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    if years > 0 {
        let input = json!({
            "CertificateAuthorityArn": arn,
            "Csr": BASE64_STANDARD.encode(csr),
            "SigningAlgorithm": "SHA256WITHECDSA",
            "TemplateArn": "arn:aws:acm-pca:::template/RootCACertificate/V1",
            "Validity": {"Type": "YEARS", "Value": years},
        });
        let issued = pca("IssueCertificate", input).await.unwrap()["CertificateArn"].clone();
        let which = json!({"CertificateAuthorityArn": arn, "CertificateArn": issued});
        let own = pca("GetCertificate", which).await.unwrap()["Certificate"].as_str().unwrap().to_owned();
        let input = json!({"CertificateAuthorityArn": arn, "Certificate": BASE64_STANDARD.encode(own)});
        pca("ImportCertificateAuthorityCertificate", input).await.unwrap();
    }
    arn.as_str().unwrap().to_owned()
}

/// RequestCertificate, and it is no longer PENDING_VALIDATION; its description.
async fn requested(trellis: &Installation, authority: &str, more: Value) -> Value {
    let mut input = json!({"DomainName": "cart.example.com", "CertificateAuthorityArn": authority});
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let arn = trellis.acm("RequestCertificate", input).await.unwrap()["CertificateArn"].clone();
    loop {
        let described = describe(trellis, &arn).await;
        if described["Status"] != "PENDING_VALIDATION" {
            return described;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn describe(trellis: &Installation, arn: &Value) -> Value {
    let answer = trellis.acm("DescribeCertificate", json!({"CertificateArn": arn})).await;
    answer.unwrap()["Certificate"].clone()
}

#[tokio::test]
async fn a_request_becomes_a_certificate_that_chains_to_its_authority() {
    let trellis = Installation::new().await;
    let authority = authority(&trellis, 10).await;
    let more = json!({
        "SubjectAlternativeNames": ["*.example.com", "CART.example.com"],
        "IdempotencyToken": "1",
        "Tags": [{"Key": "team", "Value": "a"}],
        "Options": {"CertificateTransparencyLoggingPreference": "DISABLED"},
    });
    let described = requested(&trellis, &authority, more.clone()).await;
    assert_eq!((&described["Status"], &described["Type"]), (&json!("ISSUED"), &json!("PRIVATE")));
    assert_eq!(described["SubjectAlternativeNames"], json!(["cart.example.com", "*.example.com"]));
    assert_eq!(described["CertificateAuthorityArn"], json!(authority));
    assert_eq!(described["KeyAlgorithm"], "RSA_2048");
    assert_eq!(described["Options"]["CertificateTransparencyLoggingPreference"], "DISABLED");
    assert!(described["IssuedAt"].is_number() && described["ImportedAt"].is_null());
    let again = requested(&trellis, &authority, more).await;
    assert_eq!(again["CertificateArn"], described["CertificateArn"], "the same token is the same request");
    let which = json!({"CertificateArn": described["CertificateArn"]});
    let pem = trellis.acm("GetCertificate", which).await.unwrap();
    let own = json!({"CertificateAuthorityArn": authority});
    let own = trellis.acm_pca("GetCertificateAuthorityCertificate", own).await.unwrap();
    assert_eq!(pem["CertificateChain"].as_str().unwrap().trim(), own["Certificate"].as_str().unwrap().trim());
    let listed = trellis.acm("ListCertificates", json!({"CertificateStatuses": ["ISSUED"]})).await.unwrap();
    assert_eq!(listed["CertificateSummaryList"][0]["Type"], "PRIVATE");
}

#[tokio::test]
async fn what_an_authority_does_not_issue_fails_with_the_reason() {
    let trellis = Installation::new().await;
    let missing = format!(
        "arn:aws:acm-pca:us-east-1:{ACCOUNT}:certificate-authority/00000000-0000-4000-8000-000000000000"
    );
    for (authority, reason) in [
        (missing, "PCA_RESOURCE_NOT_FOUND"),
        (authority(&trellis, 0).await, "PCA_INVALID_STATE"),
        (authority(&trellis, 1).await, "PCA_INVALID_DURATION"),
    ] {
        let described = requested(&trellis, &authority, json!({})).await;
        assert_eq!((&described["Status"], &described["FailureReason"]), (&json!("FAILED"), &json!(reason)));
        let which = json!({"CertificateArn": described["CertificateArn"]});
        assert!(trellis.acm("GetCertificate", which.clone()).await.is_err());
        trellis.acm("DeleteCertificate", which).await.unwrap();
    }
}

#[tokio::test]
async fn what_cannot_be_requested_is_refused() {
    let trellis = Installation::new().await;
    let authority = authority(&trellis, 10).await;
    for (code, input) in [
        ("ValidationException", json!({"DomainName": "cart.example.com", "ValidationMethod": "EMAIL"})),
        (
            "InvalidDomainValidationOptionsException",
            json!({
                "DomainName": "cart.example.com",
                "DomainValidationOptions": [{"DomainName": "cart.example.com", "ValidationDomain": "example.com"}],
            }),
        ),
        (
            "LimitExceededException",
            json!({
                "DomainName": "cart.example.com",
                "SubjectAlternativeNames": (0..10).map(|number| format!("{number}.example.com")).collect::<Vec<_>>(),
            }),
        ),
        ("ValidationException", json!({"DomainName": "not a name", "CertificateAuthorityArn": authority})),
        (
            "InvalidParameterException",
            json!({"DomainName": "a.example.com", "CertificateAuthorityArn": authority, "ValidationMethod": "DNS"}),
        ),
    ] {
        let fault = trellis.acm("RequestCertificate", input).await.unwrap_err();
        assert!(fault.is(400, code), "{fault:?}");
    }
    let all = trellis.acm("ListCertificates", json!({})).await.unwrap();
    assert_eq!(all["CertificateSummaryList"], json!([]));
}

#[tokio::test]
async fn a_domain_that_nobody_proves_in_three_days_is_given_up() {
    let trellis = Installation::new().await;
    let input = json!({"DomainName": "cart.example.com", "ValidationMethod": "DNS"});
    let arn = trellis.acm("RequestCertificate", input).await.unwrap()["CertificateArn"].clone();
    trellis.advance_clock(3 * DAY - Duration::from_secs(3600));
    let trellis = trellis.restart().await;
    assert_eq!(describe(&trellis, &arn).await["Status"], "PENDING_VALIDATION");
    trellis.advance_clock(Duration::from_secs(7200));
    let trellis = trellis.restart().await;
    let described = loop {
        let described = describe(&trellis, &arn).await;
        if described["Status"] != "PENDING_VALIDATION" {
            break described;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(
        (&described["Status"], &described["FailureReason"]),
        (&json!("VALIDATION_TIMED_OUT"), &Value::Null)
    );
    assert_eq!(described["DomainValidationOptions"][0]["ValidationStatus"], "FAILED");
}

#[tokio::test]
async fn a_certificate_in_use_is_renewed_if_its_authority_lets_acm_and_shown_at_once() {
    let trellis = Installation::new().await;
    let authority = authority(&trellis, 10).await;
    let described = requested(&trellis, &authority, json!({})).await;
    let arn = described["CertificateArn"].clone();
    let service =
        trellis.service_with(json!({"customDomainName": "cart.example.com", "certificateArn": arn})).await;
    let (network, vpc) = (trellis.network().await, trellis.vpc(0).await);
    let input = json!({"serviceNetworkIdentifier": network["id"], "vpcIdentifier": vpc});
    trellis.ok("CreateServiceNetworkVpcAssociation", input).await;
    let input = json!({"serviceNetworkIdentifier": network["id"], "serviceIdentifier": service["id"]});
    trellis.ok("CreateServiceNetworkServiceAssociation", input).await;
    let name = service["dnsEntry"]["domainName"].as_str().unwrap().to_owned();
    let before = shown(&trellis, &name, "cart.example.com", None).await;
    assert_eq!(describe(&trellis, &arn).await["RenewalEligibility"], "ELIGIBLE");

    trellis.advance_clock(270 * DAY);
    let mut trellis = trellis.restart().await;
    while describe(&trellis, &arn).await["RenewalSummary"]["RenewalStatusReason"] != "PCA_ACCESS_DENIED" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let permission = json!({
        "CertificateAuthorityArn": authority,
        "Principal": "acm.amazonaws.com",
        "Actions": ["IssueCertificate", "GetCertificate", "ListPermissions"],
    });
    trellis.acm_pca("CreatePermission", permission).await.unwrap();
    trellis = trellis.restart().await;
    while describe(&trellis, &arn).await["Serial"] == described["Serial"] {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let renewed = describe(&trellis, &arn).await;
    assert_eq!(renewed["RenewalSummary"], Value::Null);
    // The service's copy was written with it, so the Snapshot that has one has the other.
    let mut seen = shown(&trellis, &name, "cart.example.com", Some(&before)).await;
    while renewed["Serial"] != Facts::of(&seen.chain[0].to_vec().into()).unwrap().serial {
        seen = shown(&trellis, &name, "cart.example.com", Some(&seen)).await;
    }
}
