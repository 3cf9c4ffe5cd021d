//! Audit reports: all that was issued, and where it is written.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::facts;
use crate::installation::{Installation, of, order, quick, request, template, with};

async fn reported(pca: &Installation, root: &str, format: &str) -> String {
    let asked = with(of(root), json!({"S3BucketName": "my-reports", "AuditReportResponseFormat": format}));
    let made = pca.call("CreateCertificateAuthorityAuditReport", asked).await.unwrap();
    let which = with(of(root), json!({"AuditReportId": made["AuditReportId"]}));
    let described = loop {
        let described = pca.call("DescribeCertificateAuthorityAuditReport", which.clone()).await.unwrap();
        if described["AuditReportStatus"] != "CREATING" {
            break described;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(described["AuditReportStatus"], "SUCCESS");
    assert_eq!((&described["S3BucketName"], &described["S3Key"]), (&json!("my-reports"), &made["S3Key"]));
    let path = pca.reports().join("111122223333/my-reports").join(made["S3Key"].as_str().unwrap());
    fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn a_report_has_every_certificate_and_what_became_of_it() {
    let pca = Installation::new().await;
    let root = pca.root(quick("ROOT", "root")).await;
    let csr = request(&["a.example.com"], &[]);
    let kept = pca.issue(&root, order(&csr, "EndEntityCertificate", 7)).await.unwrap();
    let gone = pca.issue(&root, order(&csr, "CodeSigningCertificate", 7)).await.unwrap();
    let serial = facts(&gone["Certificate"]).serial;
    let revoke = with(of(&root), json!({"CertificateSerial": serial, "RevocationReason": "SUPERSEDED"}));
    pca.call("RevokeCertificate", revoke).await.unwrap();

    let lines: Value = serde_json::from_str(&reported(&pca, &root, "JSON").await).unwrap();
    let lines = lines.as_array().unwrap();
    assert_eq!(lines.len(), 3, "the root's own, and two");
    let of_serial = |serial: &str| lines.iter().find(|line| line["serial"] == serial).unwrap();
    let line = of_serial(&facts(&kept["Certificate"]).serial);
    assert_eq!(
        (&line["awsAccountId"], &line["subject"]),
        (&json!("111122223333"), &json!("CN=a.example.com"))
    );
    assert_eq!(line["templateArn"], template("EndEntityCertificate"));
    assert!(line["revokedAt"].is_null() && line["issuedAt"].is_string() && line["notAfter"].is_string());
    assert!(line["certificateArn"].as_str().unwrap().starts_with(&format!("{root}/certificate/")));
    let line = of_serial(&serial);
    assert_eq!((&line["revocationReason"], line["revokedAt"].is_string()), (&json!("SUPERSEDED"), true));

    let text = reported(&pca, &root, "CSV").await;
    let mut rows = text.lines();
    assert!(
        rows.next().unwrap().starts_with("awsAccountId,requestedByServicePrincipal,certificateArn,serial,")
    );
    assert_eq!(rows.count(), 3);
    assert!(text.contains("\"SUPERSEDED\""));
}

#[tokio::test]
async fn a_report_goes_into_no_other_folder_than_that_of_its_bucket() {
    let pca = Installation::new().await;
    let root = pca.root(quick("ROOT", "root")).await;
    for bucket in ["../../up", "a/b", "...", "UPPER", "a..b"] {
        let asked = with(of(&root), json!({"S3BucketName": bucket, "AuditReportResponseFormat": "JSON"}));
        let fault = pca.refused("CreateCertificateAuthorityAuditReport", asked).await;
        assert_eq!(fault.code, "InvalidArgsException", "{bucket}");
    }
    assert!(!pca.reports().exists());
    let unknown = json!({"AuditReportId": "00000000-0000-4000-8000-000000000000"});
    let fault = pca.refused("DescribeCertificateAuthorityAuditReport", with(of(&root), unknown)).await;
    assert_eq!(fault.code, "ResourceNotFoundException");
}
