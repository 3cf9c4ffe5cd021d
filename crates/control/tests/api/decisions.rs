//! What AWS's documents leave open and docs/fidelity.md decides.

use serde_json::json;

use crate::auth_policies::POLICY;
use crate::installation::{Installation, ids, pick, under};

#[tokio::test]
async fn a_rule_has_a_condition() {
    let trellis = Installation::new().await;
    let service = trellis.service().await;
    let listener = trellis.listener(&service).await;
    let with = |matches: serde_json::Value| {
        json!({
            "serviceIdentifier": service["id"], "listenerIdentifier": listener["id"], "name": "all", "priority": 1,
            "match": matches, "action": {"fixedResponse": {"statusCode": 404}},
        })
    };
    for nothing in [json!({"httpMatch": {}}), json!({"httpMatch": {"method": ""}})] {
        let refused = trellis.refused("CreateRule", with(nothing)).await;
        assert!(refused.is(400, "ValidationException"), "{refused:?}");
        assert!(refused.message().contains("pathMatch"), "{refused:?}");
    }
    let rule = trellis.ok("CreateRule", with(under("/"))).await;
    let update = json!({
        "serviceIdentifier": service["id"], "listenerIdentifier": listener["id"], "ruleIdentifier": rule["id"],
        "match": {"httpMatch": {}},
    });
    assert!(trellis.refused("UpdateRule", update).await.is(400, "ValidationException"));
}

#[tokio::test]
async fn a_custom_domain_is_a_name_that_clients_can_ask_for() {
    let trellis = Installation::new().await;
    for domain in ["10.0.1.10", "*.example.com", "cart.example.42"] {
        let refused =
            trellis.refused("CreateService", json!({"name": "cart", "customDomainName": domain})).await;
        assert!(refused.is(400, "ValidationException"), "{domain}: {refused:?}");
    }
    trellis.ok("CreateService", json!({"name": "cart", "customDomainName": "cart.example.com"})).await;
}

#[tokio::test]
async fn a_health_check_may_take_longer_than_its_interval() {
    let trellis = Installation::new().await;
    let vpc = trellis.vpc(0).await;
    let check = json!({"healthCheckIntervalSeconds": 5, "healthCheckTimeoutSeconds": 60});
    let config = json!({"protocol": "HTTP", "port": 80, "vpcIdentifier": vpc, "healthCheck": check});
    let group = trellis.group_with("IP", config).await;
    let kept =
        pick(&group["config"]["healthCheck"], &["healthCheckIntervalSeconds", "healthCheckTimeoutSeconds"]);
    assert_eq!(kept, check);
}

#[tokio::test]
async fn an_auth_policy_keeps_its_line_breaks() {
    let trellis = Installation::new().await;
    let network = trellis.network().await;
    assert!(POLICY.contains('\n'));
    let policy = json!({"resourceIdentifier": network["id"], "policy": POLICY});
    trellis.ok("PutAuthPolicy", policy).await;
    let kept = trellis.ok("GetAuthPolicy", json!({"resourceIdentifier": network["id"]})).await;
    assert_eq!(kept["policy"], POLICY);
}

#[tokio::test]
async fn a_token_is_good_for_the_list_it_came_from_and_no_other() {
    let trellis = Installation::new().await;
    for _ in 0..3 {
        trellis.network().await;
        trellis.service().await;
    }
    let first = trellis.ok("ListServices", json!({"maxResults": 1})).await;
    let token = &first["nextToken"];
    let rest = trellis.ok("ListServices", json!({"nextToken": token})).await;
    assert_eq!(ids(&rest).len(), 2, "pages of another size go on where it ended");
    for (operation, input) in [
        ("ListServiceNetworks", json!({"nextToken": token})),
        ("ListTargetGroups", json!({"nextToken": token})),
        ("ListServices", json!({"nextToken": "c3Zj"})),
    ] {
        let refused = trellis.refused(operation, input).await;
        assert!(refused.is(400, "ValidationException"), "{operation}: {refused:?}");
    }
    let elsewhere = trellis.request_in("eu-west-1", "ListServices", &json!({"nextToken": token}));
    assert_eq!(trellis.send(elsewhere).await.0, 400);
    let groups = json!({"targetGroupType": "IP", "maxResults": 1});
    for _ in 0..2 {
        trellis.group(&trellis.vpc(0).await).await;
    }
    let token = trellis.ok("ListTargetGroups", groups).await["nextToken"].clone();
    let other = json!({"targetGroupType": "INSTANCE", "nextToken": token});
    assert!(trellis.refused("ListTargetGroups", other).await.is(400, "ValidationException"));
}
