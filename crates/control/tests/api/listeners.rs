use serde_json::{Value, json};

use crate::installation::{Installation, forward, ids, pick};

fn fixed(status: u16) -> Value {
    json!({"fixedResponse": {"statusCode": status}})
}

#[tokio::test]
async fn a_listener_has_its_protocols_port_and_a_default_rule() {
    let trellis = Installation::new().await;
    let service = trellis.service().await;
    let created = trellis
        .ok(
            "CreateListener",
            json!({"serviceIdentifier": service["arn"], "name": "http", "protocol": "HTTP", "defaultAction": fixed(404)}),
        )
        .await;
    assert_eq!(
        pick(&created, &["name", "protocol", "port", "serviceId", "serviceArn", "defaultAction"]),
        json!({
            "name": "http", "protocol": "HTTP", "port": 80, "serviceId": service["id"],
            "serviceArn": service["arn"], "defaultAction": fixed(404),
        })
    );
    assert!(created.get("createdAt").is_none());
    let https = trellis
        .ok(
            "CreateListener",
            json!({"serviceIdentifier": service["id"], "name": "https", "protocol": "HTTPS", "defaultAction": fixed(500)}),
        )
        .await;
    assert_eq!(https["port"], 443);

    let by_arn = json!({"serviceIdentifier": service["arn"], "listenerIdentifier": created["arn"]});
    let got = trellis.ok("GetListener", by_arn.clone()).await;
    assert_eq!(got["id"], created["id"]);
    assert!(got["createdAt"].is_string());
    let listed = trellis.ok("ListListeners", json!({"serviceIdentifier": service["id"]})).await;
    assert_eq!(ids(&listed).len(), 2);
    assert!(listed["items"][0].get("defaultAction").is_none());

    let rules = trellis.ok("ListRules", by_arn.clone()).await;
    let default = &rules["items"][0];
    assert_eq!(pick(default, &["isDefault", "name"]), json!({"isDefault": true, "name": "default"}));
    let mut by_rule = by_arn.clone();
    by_rule["ruleIdentifier"] = default["arn"].clone();
    let rule = trellis.ok("GetRule", by_rule.clone()).await;
    assert_eq!(rule["action"], fixed(404));
    for operation in ["DeleteRule", "UpdateRule"] {
        let refused = trellis.refused(operation, by_rule.clone()).await;
        assert!(refused.is(400, "ValidationException"), "{operation} {refused:?}");
    }

    let mut update = by_arn.clone();
    update["defaultAction"] = fixed(500);
    assert_eq!(trellis.ok("UpdateListener", update).await["defaultAction"], fixed(500));
    assert_eq!(trellis.ok("GetRule", by_rule).await["action"], fixed(500));

    assert!(trellis.ok("DeleteListener", by_arn.clone()).await.is_null());
    let gone = trellis.refused("GetListener", by_arn).await;
    assert!(gone.is(404, "ResourceNotFoundException"));
    assert_eq!(gone.body["resourceType"], "LISTENER");
}

#[tokio::test]
async fn names_and_ports_are_unique_within_a_service() {
    let trellis = Installation::new().await;
    let (one, other) = (trellis.service().await, trellis.service().await);
    let input = |service: &Value, name: &str, port: u16| {
        json!({
            "serviceIdentifier": service["id"], "name": name, "protocol": "HTTP", "port": port,
            "defaultAction": fixed(404),
        })
    };
    trellis.ok("CreateListener", input(&one, "http", 80)).await;
    let same_name = trellis.refused("CreateListener", input(&one, "http", 81)).await;
    assert!(same_name.is(409, "ConflictException") && same_name.message().contains("already exists"));
    let same_port = trellis.refused("CreateListener", input(&one, "web", 80)).await;
    assert!(same_port.is(409, "ConflictException"), "{same_port:?}");
    trellis.ok("CreateListener", input(&other, "http", 80)).await;
}

#[tokio::test]
async fn actions_are_checked_and_come_back_with_ids_and_weights() {
    let trellis = Installation::new().await;
    let vpc = trellis.vpc(0).await;
    let (one, other) = (trellis.group(&vpc).await, trellis.group(&vpc).await);
    let tcp = trellis.group_with("IP", json!({"port": 5432, "protocol": "TCP", "vpcIdentifier": vpc})).await;
    let (service, another) = (trellis.service().await, trellis.service().await);
    let listener = |service: &Value, action: Value| {
        json!({
            "serviceIdentifier": service["id"], "name": format!("http-{}", trellis.next()), "protocol": "HTTP",
            "port": 8000 + trellis.next(), "defaultAction": action,
        })
    };
    let groups = |groups: Value| json!({"forward": {"targetGroups": groups}});
    let action = groups(json!([
        {"targetGroupIdentifier": other["arn"], "weight": 0},
        {"targetGroupIdentifier": one["id"]},
    ]));
    let created = trellis.ok("CreateListener", listener(&service, action)).await;
    assert_eq!(
        created["defaultAction"],
        groups(json!([
            {"targetGroupIdentifier": other["id"], "weight": 0},
            {"targetGroupIdentifier": one["id"], "weight": 100},
        ]))
    );
    let got = trellis.ok("GetTargetGroup", json!({"targetGroupIdentifier": one["id"]})).await;
    assert_eq!(got["serviceArns"], json!([service["arn"]]));

    let twice = json!([{"targetGroupIdentifier": one["id"]}, {"targetGroupIdentifier": one["arn"]}]);
    for (service, action, status, code) in [
        (&service, fixed(200), 400, "ValidationException"),
        (&service, groups(twice), 400, "ValidationException"),
        (&service, forward(&tcp), 400, "ValidationException"),
        (&service, json!({}), 400, "ValidationException"),
        (&another, forward(&one), 400, "ValidationException"),
        (
            &service,
            groups(json!([{"targetGroupIdentifier": "tg-00000000000000fff"}])),
            404,
            "ResourceNotFoundException",
        ),
    ] {
        let refused = trellis.refused("CreateListener", listener(service, action.clone())).await;
        assert!(refused.is(status, code), "{action} {refused:?}");
    }
    let free = json!({
        "serviceIdentifier": service["id"], "listenerIdentifier": created["id"], "defaultAction": forward(&one),
    });
    trellis.ok("UpdateListener", free).await;
    let refused = trellis.refused("DeleteTargetGroup", json!({"targetGroupIdentifier": one["id"]})).await;
    assert!(refused.is(409, "ConflictException"));
    trellis.ok("DeleteTargetGroup", json!({"targetGroupIdentifier": other["id"]})).await;
}

#[tokio::test]
async fn passthrough_needs_a_custom_domain_and_forwards_to_tcp_groups_only() {
    let trellis = Installation::new().await;
    let vpc = trellis.vpc(0).await;
    let http = trellis.group(&vpc).await;
    let tcp = trellis.group_with("IP", json!({"port": 443, "protocol": "TCP", "vpcIdentifier": vpc})).await;
    let plain = trellis.service().await;
    let named = trellis.service_with(json!({"customDomainName": "db.example.com"})).await;
    let input = |service: &Value, action: Value| {
        json!({
            "serviceIdentifier": service["id"], "name": "tls", "protocol": "TLS_PASSTHROUGH", "port": 443,
            "defaultAction": action,
        })
    };
    for input in [input(&plain, forward(&tcp)), input(&named, forward(&http)), input(&named, fixed(404))] {
        let refused = trellis.refused("CreateListener", input.clone()).await;
        assert!(refused.is(400, "ValidationException"), "{input} {refused:?}");
    }
    let listener = trellis.ok("CreateListener", input(&named, forward(&tcp))).await;
    let rule = json!({
        "serviceIdentifier": named["id"], "listenerIdentifier": listener["id"], "name": "all",
        "match": {"httpMatch": {}}, "priority": 1, "action": forward(&tcp),
    });
    assert!(trellis.refused("CreateRule", rule).await.is(400, "ValidationException"));
}

#[tokio::test]
async fn groups_of_http2_and_grpc_need_an_https_listener() {
    let trellis = Installation::new().await;
    let vpc = trellis.vpc(0).await;
    for version in ["HTTP2", "GRPC"] {
        let config =
            json!({"port": 443, "protocol": "HTTPS", "protocolVersion": version, "vpcIdentifier": vpc});
        let (group, service) = (trellis.group_with("IP", config).await, trellis.service().await);
        let input = |protocol: &str, action: Value| {
            json!({
                "serviceIdentifier": service["id"], "name": protocol.to_lowercase(), "protocol": protocol,
                "defaultAction": action,
            })
        };
        let refused = trellis.refused("CreateListener", input("HTTP", forward(&group))).await;
        assert!(
            refused.is(400, "ValidationException") && refused.message().contains("HTTPS listener"),
            "{refused:?}"
        );
        let listener = trellis.ok("CreateListener", input("HTTP", fixed(404))).await;
        let rule = json!({
            "serviceIdentifier": service["id"], "listenerIdentifier": listener["id"], "name": "all",
            "match": {"httpMatch": {"method": "POST"}}, "priority": 1, "action": forward(&group),
        });
        assert!(trellis.refused("CreateRule", rule).await.is(400, "ValidationException"));
        trellis.ok("CreateListener", input("HTTPS", forward(&group))).await;
    }
}
