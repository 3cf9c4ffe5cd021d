use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::installation::{Installation, forward, under};

#[tokio::test]
async fn every_kind_of_resource_has_tags_of_its_own() {
    let trellis = Installation::new().await;
    let vpc = trellis.vpc(0).await;
    let (network, service, group) =
        (trellis.network().await, trellis.service().await, trellis.group(&vpc).await);
    let listener = trellis.listener(&service).await;
    let place = json!({"serviceIdentifier": service["id"], "listenerIdentifier": listener["id"]});
    let mut rule = place.clone();
    rule.as_object_mut().unwrap().extend(
        json!({"name": "all", "priority": 1, "match": under("/"), "action": forward(&group)})
            .as_object()
            .unwrap()
            .clone(),
    );
    let rule = trellis.ok("CreateRule", rule).await;
    let default = trellis.ok("ListRules", place).await["items"][1].clone();
    let by_service = json!({"serviceNetworkIdentifier": network["id"], "serviceIdentifier": service["id"]});
    let of_service = trellis.ok("CreateServiceNetworkServiceAssociation", by_service).await;
    let by_vpc = json!({"serviceNetworkIdentifier": network["id"], "vpcIdentifier": vpc});
    let of_vpc = trellis.ok("CreateServiceNetworkVpcAssociation", by_vpc).await;
    let log = json!({"resourceIdentifier": service["id"], "destinationArn": "arn:aws:s3:::access-logs"});
    let log = trellis.ok("CreateAccessLogSubscription", log).await;

    let gateway = trellis.gateway(&vpc).await;
    let resource = json!({
        "resourceGatewayIdentifier": gateway["id"],
        "resourceConfigurationDefinition": {"ipResource": {"ipAddress": "10.0.1.10"}},
    });
    let resource = trellis.resource("SINGLE", resource).await;
    let by_resource =
        json!({"serviceNetworkIdentifier": network["id"], "resourceConfigurationIdentifier": resource["id"]});
    let of_resource = trellis.ok("CreateServiceNetworkResourceAssociation", by_resource).await;
    let domain = trellis.ok("StartDomainVerification", json!({"domainName": "example.com"})).await;

    let resources = [
        &network,
        &service,
        &group,
        &listener,
        &rule,
        &default,
        &of_service,
        &of_vpc,
        &log,
        &gateway,
        &resource,
        &of_resource,
        &domain,
    ];
    for (number, resource) in resources.into_iter().enumerate() {
        let by_arn = json!({"resourceArn": resource["arn"]});
        let tags =
            json!({"number": number.to_string(), "application-networking.k8s.aws/ManagedBy": "a/b/c:d"});
        let tag = json!({"resourceArn": resource["arn"], "tags": tags});
        assert_eq!(trellis.ok("TagResource", tag).await, json!({}));
        assert_eq!(trellis.ok("ListTagsForResource", by_arn.clone()).await, json!({"tags": tags}));
        let more = json!({"resourceArn": resource["arn"], "tags": {"number": "0", "empty": ""}});
        trellis.ok("TagResource", more).await;
        let untag = json!({
            "resourceArn": resource["arn"], "tagKeys": ["application-networking.k8s.aws/ManagedBy", "absent"],
        });
        assert_eq!(trellis.ok("UntagResource", untag).await, json!({}));
        let left = trellis.ok("ListTagsForResource", by_arn).await;
        assert_eq!(left, json!({"tags": {"empty": "", "number": "0"}}), "{resource}");
    }
}

#[tokio::test]
async fn tags_given_at_creation_are_there_with_the_resource() {
    let trellis = Installation::new().await;
    let service = trellis.service_with(json!({"tags": {"team": "web", "stage": "test"}})).await;
    let tags = trellis.ok("ListTagsForResource", json!({"resourceArn": service["arn"]})).await;
    assert_eq!(tags, json!({"tags": {"stage": "test", "team": "web"}}));
}

#[tokio::test]
async fn tags_that_cannot_be_are_refused_and_nothing_is_made() {
    let trellis = Installation::new().await;
    let many: BTreeMap<String, String> = (0..51).map(|n| (format!("key-{n}"), String::new())).collect();
    for tags in [json!({"aws:own": "x"}), json!({"AWS:own": "x"}), json!(many)] {
        let refused = trellis.refused("CreateService", json!({"name": "cart", "tags": tags})).await;
        assert!(refused.is(400, "ValidationException"), "{refused:?}");
    }
    let service = trellis.service_with(json!({"name": "cart"})).await;
    let tag = |tags: Value| json!({"resourceArn": service["arn"], "tags": tags});
    let fifty: BTreeMap<String, String> = (0..50).map(|n| (format!("key-{n}"), String::new())).collect();
    trellis.ok("TagResource", tag(json!(fifty))).await;
    trellis.ok("TagResource", tag(json!({"key-7": "again"}))).await;
    assert!(trellis.refused("TagResource", tag(json!({"one": "more"}))).await.is(400, "ValidationException"));
}

#[tokio::test]
async fn foreign_arns_are_denied_and_unknown_ones_not_found() {
    let trellis = Installation::new().await;
    let service = trellis.service().await;
    let arn = service["arn"].as_str().unwrap();
    for (arn, status, code) in [
        (arn.replace("111122223333", "444455556666"), 403, "AccessDeniedException"),
        (arn.replace("us-east-1", "eu-west-1"), 403, "AccessDeniedException"),
        (format!("{}0", &arn[..arn.len() - 1]).replace("/svc-", "/svc-f"), 400, "ValidationException"),
        (
            arn.replace(service["id"].as_str().unwrap(), "svc-00000000000000fff"),
            404,
            "ResourceNotFoundException",
        ),
    ] {
        let refused = trellis.refused("ListTagsForResource", json!({"resourceArn": arn})).await;
        let is_expected = refused.is(status, code) || (status == 400 && refused.status == 404);
        assert!(is_expected, "{arn} {refused:?}");
    }
}
