//! What needs what, in one table for all services.

use std::convert::Infallible;

use serde_json::json;

use crate::acm::{import, rsa};
use crate::installation::{ACCOUNT, Installation, REGION};

const DOMAIN: &str = "cart.example.com";

#[tokio::test]
async fn a_state_of_an_older_release_gets_its_references_once() {
    let trellis = Installation::new().await;
    let vpc = trellis.vpc(0).await;
    let config = json!({"port": 80, "protocol": "HTTP", "vpcIdentifier": vpc});
    let group = trellis.group_with("INSTANCE", config).await;
    let host = trellis.host(&vpc, None).await;
    trellis.control.hosts().ready(&host.id).await;
    let targets = json!({"targetGroupIdentifier": group["id"], "targets": [{"id": host.id}]});
    trellis.ok("RegisterTargets", targets).await;
    trellis.gateway(&vpc).await;
    let network = trellis.network().await;
    let security_group = trellis.security_group(&vpc).await;
    let association = json!({
        "serviceNetworkIdentifier": network["id"],
        "vpcIdentifier": vpc,
        "securityGroupIds": [security_group],
    });
    trellis.ok("CreateServiceNetworkVpcAssociation", association).await;
    let certificate = import(&trellis, &rsa(&[DOMAIN])).await;
    let service = json!({"customDomainName": DOMAIN, "certificateArn": certificate});
    let service = trellis.service_with(service).await;

    let references = trellis.entries("reference/");
    for (of, by) in [
        (format!(":vpc/{vpc} "), ":targetgroup/"),
        (format!(":vpc/{vpc} "), ":resourcegateway/"),
        (format!(":vpc/{vpc} "), ":servicenetworkvpcassociation/"),
        (format!(":security-group/{security_group} "), ":servicenetworkvpcassociation/"),
        (format!(":instance/{} ", host.id), ":targetgroup/"),
        (format!("{certificate} "), ":service/"),
    ] {
        assert!(references.iter().any(|key| key.contains(&of) && key.contains(by)), "{of}{by}");
    }

    // As an older release would have left it.
    let mut gone = references.clone();
    gone.extend(trellis.entries("held/"));
    gone.extend(trellis.entries("migration/"));
    let id = certificate.rsplit('/').next().unwrap();
    let used = format!("index/acm/{ACCOUNT}/{REGION}/use/{id}/{}", service["id"].as_str().unwrap());
    trellis
        .store
        .transact(move |tx| {
            gone.iter().for_each(|key| tx.delete(key));
            tx.put(&used, Vec::new());
            Ok::<_, Infallible>(())
        })
        .await
        .unwrap();
    let trellis = trellis.restart().await;
    assert_eq!(trellis.entries("reference/"), references);
    assert_eq!(trellis.entries("index/acm/"), Vec::<String>::new());
}
