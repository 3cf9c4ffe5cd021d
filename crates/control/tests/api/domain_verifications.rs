use std::time::Duration;

use serde_json::{Value, json};

use crate::installation::{Installation, ids, pick};

fn by(verification: &Value) -> Value {
    json!({"domainVerificationIdentifier": verification["id"]})
}

/// The name and text of the record the answer asks for.
fn record(verification: &Value) -> (String, String) {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let config = &verification["txtMethodConfig"];
    let name = format!("{}.{}", text(&config["name"]), text(&verification["domainName"]));
    (name, text(&config["value"]))
}

#[tokio::test]
async fn a_domain_is_verified_once_its_record_says_the_token() {
    let trellis = Installation::new().await;
    let start = json!({"domainName": "example.com", "tags": {"team": "data"}});
    let started = trellis.ok("StartDomainVerification", start).await;
    let arn = format!(
        "arn:aws:vpc-lattice:us-east-1:111122223333:domainverification/{}",
        started["id"].as_str().unwrap()
    );
    assert_eq!(
        pick(&started, &["arn", "domainName", "status", "createdAt", "tags"]),
        json!({"arn": arn, "domainName": "example.com", "status": "PENDING", "createdAt": null, "tags": null})
    );
    let (name, value) = record(&started);
    let token = name.strip_prefix('_').unwrap().strip_suffix(".example.com").unwrap();
    assert_eq!(value, format!("vpc-lattice:{token}"));

    let got = trellis.ok("GetDomainVerification", by(&started)).await;
    assert_eq!(
        pick(&got, &["status", "tags", "txtMethodConfig", "lastVerifiedTime"]),
        json!({
            "status": "PENDING", "tags": {"team": "data"}, "txtMethodConfig": started["txtMethodConfig"],
            "lastVerifiedTime": null,
        })
    );
    trellis.txt.lock().unwrap().insert(name.clone(), vec!["v=spf1".into(), format!("{value}0")]);
    let again = trellis.refused("StartDomainVerification", json!({"domainName": "EXAMPLE.com"})).await;
    assert!(again.is(409, "ConflictException"), "{again:?}");
    assert_eq!(trellis.ok("GetDomainVerification", by(&started)).await["status"], "PENDING");

    trellis.txt.lock().unwrap().insert(name, vec!["v=spf1".into(), value]);
    let got = trellis.wait_status("GetDomainVerification", by(&started), "VERIFIED").await;
    assert!(got["lastVerifiedTime"].is_string(), "{got}");
    let listed = trellis.ok("ListDomainVerifications", json!({})).await;
    assert_eq!(listed["items"], json!([got]));
    assert_eq!(trellis.ok("DeleteDomainVerification", by(&started)).await, json!({}));
    assert!(
        trellis.refused("GetDomainVerification", by(&started)).await.is(404, "ResourceNotFoundException")
    );
    let left: Vec<_> = trellis.entries("").into_iter().filter(|key| key.contains("domain")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_record_that_does_not_come_is_given_up_even_after_a_restart() {
    let trellis = Installation::new().await;
    let started = trellis.ok("StartDomainVerification", json!({"domainName": "example.com"})).await;
    let trellis = trellis.restart().await;
    assert_eq!(trellis.ok("GetDomainVerification", by(&started)).await["status"], "PENDING");
    trellis.advance_clock(Duration::from_secs(73 * 3600));
    trellis.wait_status("GetDomainVerification", by(&started), "VERIFICATION_TIMED_OUT").await;
    assert!(trellis.entries("pending/domain/").is_empty());
}

#[tokio::test]
async fn what_is_no_domain_is_refused() {
    let trellis = Installation::new().await;
    for domain in ["localhost", "*.example.com", "example..com", "a b.com", "-a.com"] {
        let refused = trellis.refused("StartDomainVerification", json!({"domainName": domain})).await;
        assert!(refused.is(400, "ValidationException"), "{domain} {refused:?}");
    }
    assert!(ids(&trellis.ok("ListDomainVerifications", json!({})).await).is_empty());
}

#[tokio::test]
async fn configurations_and_associations_say_how_their_domain_stands() {
    let trellis = Installation::new().await;
    let gateway = trellis.gateway(&trellis.vpc(0).await).await;
    let started = trellis.ok("StartDomainVerification", json!({"domainName": "example.com"})).await;
    let single = |domain: Value| {
        let mut input = json!({
            "resourceGatewayIdentifier": gateway["id"], "domainVerificationIdentifier": started["arn"],
            "resourceConfigurationDefinition": {"ipResource": {"ipAddress": "10.0.1.10"}},
        });
        if !domain.is_null() {
            input["customDomainName"] = domain;
        }
        input
    };
    for domain in [Value::Null, json!("db.example.org"), json!("myexample.com")] {
        let mut input = single(domain);
        input["name"] = "refused".into();
        input["type"] = "SINGLE".into();
        let refused = trellis.refused("CreateResourceConfiguration", input).await;
        assert!(refused.is(400, "ValidationException"), "{refused:?}");
    }
    let resource = trellis.resource("SINGLE", single(json!("db.example.com"))).await;
    assert_eq!(
        pick(&resource, &["domainVerificationId", "domainVerificationArn", "domainVerificationStatus"]),
        json!({
            "domainVerificationId": started["id"], "domainVerificationArn": started["arn"],
            "domainVerificationStatus": "PENDING",
        })
    );
    let network = trellis.network().await;
    let associate =
        json!({"serviceNetworkIdentifier": network["id"], "resourceConfigurationIdentifier": resource["id"]});
    let association = trellis.ok("CreateServiceNetworkResourceAssociation", associate).await;
    let (name, value) = record(&started);
    trellis.txt.lock().unwrap().insert(name, vec![value]);
    trellis.wait_status("GetDomainVerification", by(&started), "VERIFIED").await;
    let by_association = json!({"serviceNetworkResourceAssociationIdentifier": association["id"]});
    let got = trellis.ok("GetServiceNetworkResourceAssociation", by_association).await;
    assert_eq!(got["domainVerificationStatus"], "VERIFIED");
    let rests_on_it = json!({"domainVerificationIdentifier": started["id"]});
    let listed = trellis.ok("ListResourceConfigurations", rests_on_it).await;
    assert_eq!(ids(&listed), [resource["id"].as_str().unwrap()]);

    trellis.ok("DeleteDomainVerification", by(&started)).await;
    let by_resource = json!({"resourceConfigurationIdentifier": resource["id"]});
    let got = trellis.ok("GetResourceConfiguration", by_resource).await;
    assert_eq!(
        pick(&got, &["customDomainName", "domainVerificationId", "domainVerificationStatus"]),
        json!({"customDomainName": "db.example.com", "domainVerificationId": null, "domainVerificationStatus": null})
    );
}
