//! Certificates of ACM on the custom domains of services.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use trellis_ca::{Facts, KeyAlgorithm};
use trellis_model::snapshot::Certificate;

use crate::acm::{import, leaf, material, rsa};
use crate::certificates::shown;
use crate::installation::{ACCOUNT, Installation};

const DOMAIN: &str = "cart.example.com";

/// A service with the custom domain that a VPC can reach; its description and its generated name.
async fn reachable(trellis: &Installation, arn: &str) -> (Value, String) {
    let service = trellis.service_with(json!({"customDomainName": DOMAIN, "certificateArn": arn})).await;
    let (network, vpc) = (trellis.network().await, trellis.vpc(0).await);
    let input = json!({"serviceNetworkIdentifier": network["id"], "vpcIdentifier": vpc});
    trellis.ok("CreateServiceNetworkVpcAssociation", input).await;
    let input = json!({"serviceNetworkIdentifier": network["id"], "serviceIdentifier": service["id"]});
    trellis.ok("CreateServiceNetworkServiceAssociation", input).await;
    let name = service["dnsEntry"]["domainName"].as_str().unwrap().to_owned();
    (service, name)
}

fn serial(certificate: &Certificate) -> String {
    Facts::of(&certificate.chain[0].to_vec().into()).unwrap().serial
}

async fn in_use_by(trellis: &Installation, arn: &str) -> Value {
    let answer = trellis.acm("DescribeCertificate", json!({"CertificateArn": arn})).await.unwrap();
    answer["Certificate"]["InUseBy"].clone()
}

#[tokio::test]
async fn a_service_shows_its_certificate_as_its_custom_domain_and_holds_on_to_it() {
    let trellis = Installation::new().await;
    let leaf = rsa(&["*.example.com"]);
    let arn = import(&trellis, &leaf).await;
    let (service, name) = reachable(&trellis, &arn).await;
    assert_eq!((&service["certificateArn"], &service["customDomainName"]), (&json!(arn), &json!(DOMAIN)));
    let certificate = shown(&trellis, &name, DOMAIN, None).await;
    assert_eq!(serial(&certificate), leaf.facts().serial);
    assert_eq!(&certificate.key[..], leaf.key_der().secret_der());
    // The generated name keeps its own.
    let generated = shown(&trellis, &name, &name, None).await;
    assert_ne!(serial(&generated), serial(&certificate));

    assert_eq!(in_use_by(&trellis, &arn).await, json!([service["arn"]]));
    let fault = trellis.acm("DeleteCertificate", json!({"CertificateArn": arn})).await.unwrap_err();
    assert!(fault.is(400, "ResourceInUseException") && fault.message().contains(&arn), "{fault:?}");
}

#[tokio::test]
async fn another_certificate_and_a_successor_of_the_same_are_shown_at_once() {
    let trellis = Installation::new().await;
    let arn = import(&trellis, &rsa(&[DOMAIN])).await;
    let (service, name) = reachable(&trellis, &arn).await;
    let first = shown(&trellis, &name, DOMAIN, None).await;
    let generated = shown(&trellis, &name, &name, None).await;

    // The same ARN, imported again.
    let again = rsa(&[DOMAIN, "other.example.com"]);
    let mut input = material(&again);
    input["CertificateArn"] = json!(arn);
    trellis.acm("ImportCertificate", input).await.unwrap();
    let second = shown(&trellis, &name, DOMAIN, Some(&first)).await;
    assert_eq!(serial(&second), again.facts().serial);

    // Not one that would leave the service without its name: nothing changes.
    let mut input = material(&rsa(&["other.example.com"]));
    input["CertificateArn"] = json!(arn);
    let fault = trellis.acm("ImportCertificate", input).await.unwrap_err();
    assert!(fault.is(400, "ValidationException") && fault.message().contains(DOMAIN), "{fault:?}");

    // Another ARN.
    let other = rsa(&[DOMAIN]);
    let other_arn = import(&trellis, &other).await;
    let input = json!({"serviceIdentifier": service["id"], "certificateArn": other_arn});
    assert_eq!(trellis.ok("UpdateService", input).await["certificateArn"], other_arn);
    let third = shown(&trellis, &name, DOMAIN, Some(&second)).await;
    assert_eq!(serial(&third), other.facts().serial);
    assert_eq!(in_use_by(&trellis, &arn).await, json!([]));
    assert_eq!(in_use_by(&trellis, &other_arn).await, json!([service["arn"]]));
    trellis.acm("DeleteCertificate", json!({"CertificateArn": arn})).await.unwrap();

    // A change that says nothing of certificates leaves it.
    let input = json!({"serviceIdentifier": service["id"], "idleTimeoutSeconds": 90});
    assert_eq!(trellis.ok("UpdateService", input).await["certificateArn"], other_arn);
    assert!(Arc::ptr_eq(&shown(&trellis, &name, DOMAIN, None).await, &third));
    assert!(Arc::ptr_eq(&shown(&trellis, &name, &name, None).await, &generated));

    // None.
    let input = json!({"serviceIdentifier": service["id"], "certificateArn": ""});
    assert!(trellis.ok("UpdateService", input).await.get("certificateArn").is_none());
    let mut snapshots = trellis.control.snapshots();
    let is_gone = |snapshot: &Arc<trellis_model::snapshot::Snapshot>| {
        let hosts = &snapshot.ingresses.values().next().unwrap().network.hosts;
        hosts[&*name].certificates.iter().all(|(host, _)| **host != *DOMAIN)
    };
    snapshots.wait_for(is_gone).await.unwrap();
    trellis.acm("DeleteCertificate", json!({"CertificateArn": other_arn})).await.unwrap();
}

#[tokio::test]
async fn a_certificate_is_free_again_when_its_service_is_deleted() {
    let trellis = Installation::new().await;
    let arn = import(&trellis, &rsa(&[DOMAIN])).await;
    let service = trellis.service_with(json!({"customDomainName": DOMAIN, "certificateArn": arn})).await;
    trellis.ok("DeleteService", json!({"serviceIdentifier": service["id"]})).await;
    assert_eq!(in_use_by(&trellis, &arn).await, json!([]));
    trellis.acm("DeleteCertificate", json!({"CertificateArn": arn})).await.unwrap();
    trellis.wait_gone("GetService", json!({"serviceIdentifier": service["id"]})).await;
}

#[tokio::test]
async fn a_certificate_that_cannot_stand_for_the_service_is_refused_and_nothing_is_made() {
    let trellis = Installation::new().await;
    let arn = import(&trellis, &rsa(&["other.example.com"])).await;
    let id = arn.rsplit('/').next().unwrap();
    let ec = import(&trellis, &leaf(&[DOMAIN], KeyAlgorithm::EcP256)).await;
    let good = import(&trellis, &rsa(&[DOMAIN])).await;
    let existing = trellis.service_with(json!({"customDomainName": DOMAIN, "certificateArn": good})).await;
    for (arn, reason) in [
        (arn.clone(), "is for other.example.com, expected cart.example.com"),
        (ec, "EC_prime256v1, expected RSA_2048"),
        (format!("arn:aws:acm:us-west-2:{ACCOUNT}:certificate/{id}"), "is not in us-east-1"),
        (format!("arn:aws:acm:us-east-1:999999999999:certificate/{id}"), "is not in us-east-1 of account"),
        (format!("arn:aws:acm:us-east-1:{ACCOUNT}:certificate/0{id}"), "does not exist"),
        (
            format!("arn:aws:iam:us-east-1:{ACCOUNT}:certificate/{id}"),
            "is not the ARN of a certificate in ACM",
        ),
    ] {
        let input = json!({"name": "refused", "customDomainName": DOMAIN, "certificateArn": arn});
        let create = trellis.refused("CreateService", input).await;
        let input = json!({"serviceIdentifier": existing["id"], "certificateArn": arn});
        let update = trellis.refused("UpdateService", input).await;
        for fault in [create, update] {
            assert!(fault.is(400, "ValidationException"), "{fault:?}");
            assert_eq!(fault.body["fieldList"][0]["name"], "certificateArn");
            assert!(fault.message().contains(reason), "{reason}: {fault:?}");
        }
    }
    let listed = trellis.ok("ListServices", json!({})).await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    let now = trellis.ok("GetService", json!({"serviceIdentifier": existing["id"]})).await;
    assert_eq!(now["certificateArn"], good);
    trellis.advance_clock(Duration::from_secs(100 * 24 * 3600));
    let input = json!({"serviceIdentifier": existing["id"], "certificateArn": good});
    assert!(trellis.refused("UpdateService", input).await.message().contains("valid from"));
}

#[tokio::test]
async fn certificates_are_found_by_their_tags_among_everything_else() {
    let trellis = Installation::new().await;
    let arn = import(&trellis, &leaf(&[DOMAIN], KeyAlgorithm::EcP256)).await;
    let input = json!({"CertificateArn": arn, "Tags": [{"Key": "team", "Value": "a"}]});
    trellis.acm("AddTagsToCertificate", input).await.unwrap();
    let tags =
        trellis.tagging("GetResources", json!({"ResourceTypeFilters": ["acm:certificate"]})).await.unwrap();
    assert_eq!(tags["ResourceTagMappingList"][0]["ResourceARN"], arn);
    let input = json!({"ResourceARNList": [arn], "Tags": {"stage": "prod"}});
    let answer = trellis.tagging("TagResources", input).await.unwrap();
    assert_eq!(answer["FailedResourcesMap"], json!({}));
    let listed = trellis.acm("ListTagsForCertificate", json!({"CertificateArn": arn})).await.unwrap();
    assert_eq!(listed["Tags"].as_array().unwrap().len(), 2);
}
