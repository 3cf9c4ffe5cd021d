//! What is revoked: told by the list and by OCSP, in the words of RFC 5280 and RFC 6960.

use serde_json::json;
use trellis_acm_pca::revocation::{answer, list};

use crate::facts;
use crate::installation::{Installation, of, order, quick, request, with};

#[tokio::test]
async fn what_is_revoked_is_on_the_list_and_nothing_else() {
    let pca = Installation::new().await;
    let crl = json!({"RevocationConfiguration": {
        "CrlConfiguration": {"Enabled": true, "S3BucketName": "bucket", "CustomCname": "crl.example.com"},
        "OcspConfiguration": {"Enabled": true, "OcspCustomCname": "ocsp.example.com"},
    }});
    let root = pca.root(with(quick("ROOT", "root"), crl)).await;
    let id = root.rsplit('/').next().unwrap();
    let surroundings = pca.frame.surroundings();
    let until_longer = async |than: usize| loop {
        match list(surroundings, id).unwrap() {
            Some(der) if der.len() > than => return der,
            _ => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
        }
    };
    let empty = until_longer(0).await;
    let issued = async || {
        let csr = request(&["a.example.com"], &[]);
        facts(&pca.issue(&root, order(&csr, "EndEntityCertificate", 1)).await.unwrap()["Certificate"]).serial
    };
    let (serial, other) = (issued().await, issued().await);
    let revoke = |serial: &str| {
        with(of(&root), json!({"CertificateSerial": serial, "RevocationReason": "KEY_COMPROMISE"}))
    };
    pca.call("RevokeCertificate", revoke(&serial)).await.unwrap();
    let octets = |serial: &str| -> Vec<u8> {
        serial.split(':').map(|octet| u8::from_str_radix(octet, 16).unwrap()).collect()
    };
    let full = until_longer(empty.len()).await;
    let has = |der: &[u8], serial: &str| der.windows(16).any(|window| window == octets(serial));
    assert!(has(&full, &serial) && !has(&full, &other) && !has(&empty, &serial));

    let again = pca.refused("RevokeCertificate", revoke(&serial)).await;
    assert_eq!(again.code, "RequestAlreadyProcessedException");
    let unknown = pca.refused("RevokeCertificate", revoke("01:02")).await;
    assert_eq!(unknown.code, "ResourceNotFoundException");
    let own = pca.describe(&root).await["Serial"].as_str().unwrap().to_owned();
    assert_eq!(pca.refused("RevokeCertificate", revoke(&own)).await.code, "InvalidRequestException");

    // MalformedRequest, RFC 6960 section 4.2.1.
    assert_eq!(answer(surroundings, b"garbage").await, [0x30, 3, 0x0a, 1, 1]);
}
