use serde_json::{Value, json};
use trellis_model::VpcId;

use crate::installation::{Installation, forward, ids, pick};

fn expanded(protocol: &str, version: &str, enabled: bool) -> Value {
    json!({
        "enabled": enabled, "protocol": protocol, "protocolVersion": version, "path": "/",
        "healthCheckIntervalSeconds": 30, "healthCheckTimeoutSeconds": 5, "healthyThresholdCount": 5,
        "unhealthyThresholdCount": 2, "matcher": {"httpCode": "200"},
    })
}

#[tokio::test]
async fn every_kind_comes_back_with_its_own_defaults() {
    let trellis = Installation::new().await;
    let vpc = trellis.vpc(0).await;
    for (kind, config, expected) in [
        (
            "IP",
            json!({"protocol": "HTTP", "vpcIdentifier": vpc}),
            json!({
                "port": 80, "protocol": "HTTP", "protocolVersion": "HTTP1", "ipAddressType": "IPV4",
                "vpcIdentifier": vpc, "healthCheck": expanded("HTTP", "HTTP1", true),
            }),
        ),
        (
            "INSTANCE",
            json!({"protocol": "HTTPS", "vpcIdentifier": vpc, "protocolVersion": "HTTP2"}),
            json!({
                "port": 443, "protocol": "HTTPS", "protocolVersion": "HTTP2", "vpcIdentifier": vpc,
                "healthCheck": expanded("HTTPS", "HTTP2", false),
            }),
        ),
        (
            "IP",
            json!({"protocol": "HTTP", "port": 50051, "vpcIdentifier": vpc, "protocolVersion": "GRPC"}),
            json!({
                "port": 50051, "protocol": "HTTP", "protocolVersion": "GRPC", "ipAddressType": "IPV4",
                "vpcIdentifier": vpc, "healthCheck": expanded("HTTP", "HTTP1", false),
            }),
        ),
        (
            "IP",
            json!({"protocol": "TCP", "port": 5432, "vpcIdentifier": vpc}),
            json!({
                "port": 5432, "protocol": "TCP", "ipAddressType": "IPV4", "vpcIdentifier": vpc,
                "healthCheck": {"enabled": false},
            }),
        ),
        (
            "ALB",
            json!({"protocol": "HTTP", "port": 80, "vpcIdentifier": vpc}),
            json!({"port": 80, "protocol": "HTTP", "protocolVersion": "HTTP1", "vpcIdentifier": vpc}),
        ),
        ("LAMBDA", Value::Null, Value::Null),
        ("LAMBDA", json!({}), json!({"lambdaEventStructureVersion": "V1"})),
        (
            "LAMBDA",
            json!({"lambdaEventStructureVersion": "V2"}),
            json!({"lambdaEventStructureVersion": "V2"}),
        ),
    ] {
        let got = trellis.group_with(kind, config.clone()).await;
        assert_eq!(got.get("config").cloned().unwrap_or_default(), expected, "{kind} {config}");
        assert_eq!(got["serviceArns"], json!([]));
    }
}

#[tokio::test]
async fn a_target_group_begins_in_progress_becomes_active_and_goes() {
    let trellis = Installation::new().await;
    let vpc = trellis.vpc(0).await;
    let input = json!({
        "name": "web", "type": "IP", "config": {"port": 8080, "protocol": "HTTP", "vpcIdentifier": vpc},
        "tags": {"a": "b"},
    });
    let created = trellis.ok("CreateTargetGroup", input.clone()).await;
    assert_eq!(
        pick(&created, &["name", "type", "status"]),
        json!({"name": "web", "type": "IP", "status": "CREATE_IN_PROGRESS"})
    );
    assert!(created.get("createdAt").is_none());
    let by_id = json!({"targetGroupIdentifier": created["arn"]});
    trellis.wait_status("GetTargetGroup", by_id.clone(), "ACTIVE").await;
    let again = trellis.refused("CreateTargetGroup", input).await;
    assert!(again.is(409, "ConflictException"));
    assert_eq!(again.message(), "Resource of type TargetGroup with name web already exists in 111122223333");

    let listed = trellis.ok("ListTargetGroups", json!({})).await;
    assert_eq!(
        pick(
            &listed["items"][0],
            &["id", "port", "protocol", "ipAddressType", "vpcIdentifier", "serviceArns", "type"]
        ),
        json!({
            "id": created["id"], "port": 8080, "protocol": "HTTP", "ipAddressType": "IPV4",
            "vpcIdentifier": vpc, "serviceArns": [], "type": "IP",
        })
    );
    assert!(listed["items"][0].get("config").is_none());
    let other = VpcId::from_random(999);
    for (filter, expected) in [
        (json!({"vpcIdentifier": vpc}), 1),
        (json!({"vpcIdentifier": other}), 0),
        (json!({"targetGroupType": "IP"}), 1),
        (json!({"targetGroupType": "LAMBDA"}), 0),
    ] {
        assert_eq!(ids(&trellis.ok("ListTargetGroups", filter.clone()).await).len(), expected, "{filter}");
    }
    let deleted = trellis.ok("DeleteTargetGroup", by_id.clone()).await;
    assert_eq!(
        pick(&deleted, &["id", "status"]),
        json!({"id": created["id"], "status": "DELETE_IN_PROGRESS"})
    );
    assert!(deleted.get("name").is_none());
    trellis.wait_gone("GetTargetGroup", by_id).await;
    for prefix in ["index/", "tags/", "pending/", "lattice/"] {
        assert_eq!(trellis.entries(prefix), Vec::<String>::new());
    }
}

#[tokio::test]
async fn settings_that_do_not_fit_are_refused() {
    let trellis = Installation::new().await;
    let vpc = trellis.vpc(0).await;
    let http = |more: Value| {
        let mut config = json!({"port": 80, "protocol": "HTTP", "vpcIdentifier": vpc});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config
    };
    for (kind, config, status) in [
        ("IP", Value::Null, 400),
        ("IP", json!({"port": 80, "vpcIdentifier": vpc}), 400),
        ("IP", json!({"port": 80, "protocol": "HTTP"}), 400),
        ("IP", json!({"protocol": "TCP", "vpcIdentifier": vpc}), 400),
        ("IP", http(json!({"vpcIdentifier": "vpc-00000000000000fff"})), 404),
        ("IP", http(json!({"vpcIdentifier": "vpc-01234567"})), 404),
        ("IP", http(json!({"ipAddressType": "IPV6"})), 400),
        ("IP", http(json!({"lambdaEventStructureVersion": "V1"})), 400),
        ("IP", http(json!({"healthCheck": {"healthCheckIntervalSeconds": 4}})), 400),
        ("IP", http(json!({"healthCheck": {"matcher": {"httpCode": "600"}}})), 400),
        ("INSTANCE", http(json!({"ipAddressType": "IPV4"})), 400),
        ("ALB", http(json!({"protocolVersion": "HTTP2"})), 400),
        ("ALB", http(json!({"healthCheck": {"enabled": true}})), 400),
        ("LAMBDA", json!({"port": 80}), 400),
        ("LAMBDA", json!({"vpcIdentifier": vpc}), 400),
    ] {
        let mut input = json!({"name": "web", "type": kind});
        if !config.is_null() {
            input["config"] = config.clone();
        }
        let refused = trellis.refused("CreateTargetGroup", input).await;
        assert_eq!(refused.status, status, "{kind} {config} {refused:?}");
    }
    assert_eq!(ids(&trellis.ok("ListTargetGroups", json!({})).await).len(), 0);
}

#[tokio::test]
async fn an_update_keeps_what_it_does_not_name_and_zero_means_the_default() {
    let trellis = Installation::new().await;
    let vpc = trellis.vpc(0).await;
    let group = trellis.group(&vpc).await;
    let update = |check: Value| json!({"targetGroupIdentifier": group["id"], "healthCheck": check});
    let first = json!({"path": "/ready?deep=1", "port": 9000, "healthyThresholdCount": 3, "enabled": false});
    let updated = trellis.ok("UpdateTargetGroup", update(first)).await;
    let mut expected = expanded("HTTP", "HTTP1", false);
    expected["path"] = "/ready?deep=1".into();
    expected["port"] = 9000.into();
    expected["healthyThresholdCount"] = 3.into();
    assert_eq!(updated["config"]["healthCheck"], expected);
    assert_eq!(updated["status"], "ACTIVE");
    let reset = json!({"path": "", "port": 0, "healthyThresholdCount": 0, "enabled": true});
    let updated = trellis.ok("UpdateTargetGroup", update(reset)).await;
    assert_eq!(updated["config"]["healthCheck"], expanded("HTTP", "HTTP1", true));
    let got = trellis.ok("GetTargetGroup", json!({"targetGroupIdentifier": group["id"]})).await;
    assert_eq!(got["config"], updated["config"]);
    assert_eq!(got["config"]["port"], 8080);

    let refused = trellis.refused("UpdateTargetGroup", update(json!({"unhealthyThresholdCount": 1}))).await;
    assert!(refused.is(400, "ValidationException"));
    let lambda = trellis.group_with("LAMBDA", Value::Null).await;
    let update = json!({"targetGroupIdentifier": lambda["id"], "healthCheck": {"enabled": true}});
    assert!(trellis.refused("UpdateTargetGroup", update).await.is(400, "ValidationException"));
}

#[tokio::test]
async fn a_group_in_use_or_with_targets_is_not_deleted() {
    let trellis = Installation::new().await;
    let vpc = trellis.vpc(0).await;
    let group = trellis.group(&vpc).await;
    let by_id = json!({"targetGroupIdentifier": group["id"]});
    let service = trellis.service().await;
    let listener = trellis.listener(&service).await;
    let at = json!({"serviceIdentifier": service["id"], "listenerIdentifier": listener["id"]});
    let mut update = at.clone();
    update["defaultAction"] = forward(&group);
    trellis.ok("UpdateListener", update).await;
    assert!(trellis.refused("DeleteTargetGroup", by_id.clone()).await.is(409, "ConflictException"));
    trellis.ok("DeleteListener", at).await;

    let targets = json!({"targetGroupIdentifier": group["id"], "targets": [{"id": "10.0.1.10"}]});
    trellis.ok("RegisterTargets", targets.clone()).await;
    let refused = trellis.refused("DeleteTargetGroup", by_id.clone()).await;
    assert!(refused.message().contains("TargetGroup has targets registered with it"), "{refused:?}");
    trellis.ok("DeregisterTargets", targets).await;
    let is_deleted = |answer: &Result<Value, _>| answer.is_ok();
    trellis.wait("DeleteTargetGroup", by_id, is_deleted).await.unwrap();
}

#[tokio::test]
async fn a_group_in_progress_is_left_to_its_workflow() {
    let trellis = Installation::new().await;
    let group = trellis.group(&trellis.vpc(0).await).await;
    let targets = json!({"targetGroupIdentifier": group["id"], "targets": [{"id": "10.0.1.10"}]});
    let update = json!({"targetGroupIdentifier": group["id"], "healthCheck": {"path": "/ready"}});
    let by_id = json!({"targetGroupIdentifier": group["id"]});
    trellis.set_status("target-group", &group, "CREATE_IN_PROGRESS").await;
    for (operation, input) in [
        ("RegisterTargets", &targets),
        ("DeregisterTargets", &targets),
        ("UpdateTargetGroup", &update),
        ("DeleteTargetGroup", &by_id),
    ] {
        let refused = trellis.refused(operation, input.clone()).await;
        assert!(refused.is(409, "ConflictException"), "{operation} {refused:?}");
        assert!(refused.message().contains("CREATE_IN_PROGRESS"), "{operation} {refused:?}");
    }
    trellis.set_status("target-group", &group, "DELETE_IN_PROGRESS").await;
    let service = trellis.service().await;
    let listener = json!({
        "serviceIdentifier": service["id"], "name": "http", "protocol": "HTTP", "defaultAction": forward(&group),
    });
    assert!(trellis.refused("CreateListener", listener).await.is(409, "ConflictException"));
}
