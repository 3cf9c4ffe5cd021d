use serde_json::json;

use crate::installation::{Installation, forward, ids, pick, under};

#[tokio::test]
async fn a_service_begins_in_progress_becomes_active_and_goes() {
    let trellis = Installation::new().await;
    let created = trellis.ok("CreateService", json!({"name": "cart", "tags": {"team": "web"}})).await;
    let id = created["id"].as_str().unwrap().to_owned();
    let suffix = id.strip_prefix("svc-").unwrap();
    assert_eq!(
        pick(&created, &["name", "status", "authType", "idleTimeoutSeconds"]),
        json!({"name": "cart", "status": "CREATE_IN_PROGRESS", "authType": "NONE", "idleTimeoutSeconds": 60})
    );
    assert_eq!(
        created["dnsEntry"]["domainName"],
        format!("cart-{suffix}.7d67968.vpc-lattice-svcs.us-east-1.on.aws")
    );
    assert!(created["dnsEntry"]["hostedZoneId"].is_string());
    assert!(created.get("createdAt").is_none());

    let by_id = json!({"serviceIdentifier": id});
    let active = trellis.wait_status("GetService", by_id.clone(), "ACTIVE").await;
    assert_eq!(active["dnsEntry"], created["dnsEntry"]);
    for absent in ["customDomainName", "certificateArn", "failureCode", "failureMessage"] {
        assert!(active.get(absent).is_none(), "{absent}");
    }
    let listed = trellis.ok("ListServices", json!({})).await;
    assert_eq!(ids(&listed), [id.as_str()]);
    assert!(listed["items"][0].get("authType").is_none());
    assert_eq!(listed["items"][0]["status"], "ACTIVE");

    let deleted = trellis.ok("DeleteService", by_id.clone()).await;
    assert_eq!(
        pick(&deleted, &["id", "name", "status"]),
        json!({"id": id, "name": "cart", "status": "DELETE_IN_PROGRESS"})
    );
    trellis.wait_gone("GetService", by_id).await;
    for prefix in ["index/", "tags/", "pending/", "lattice/"] {
        assert_eq!(trellis.entries(prefix), Vec::<String>::new());
    }
}

#[tokio::test]
async fn an_update_changes_what_it_names_and_answers_without_status() {
    let trellis = Installation::new().await;
    let service = trellis.service_with(json!({"customDomainName": "cart.example.com"})).await;
    assert_eq!(service["customDomainName"], "cart.example.com");
    let by_id = json!({"serviceIdentifier": service["id"]});
    let updated = trellis
        .ok("UpdateService", json!({"serviceIdentifier": service["arn"], "idleTimeoutSeconds": 600}))
        .await;
    assert_eq!(
        pick(&updated, &["authType", "idleTimeoutSeconds"]),
        json!({"authType": "NONE", "idleTimeoutSeconds": 600})
    );
    assert!(updated.get("status").is_none() && updated.get("dnsEntry").is_none());
    trellis.ok("UpdateService", json!({"serviceIdentifier": service["id"], "authType": "AWS_IAM"})).await;
    let got = trellis.ok("GetService", by_id).await;
    assert_eq!(
        pick(&got, &["authType", "idleTimeoutSeconds", "customDomainName"]),
        json!({"authType": "AWS_IAM", "idleTimeoutSeconds": 600, "customDomainName": "cart.example.com"})
    );
}

#[tokio::test]
async fn what_the_description_cannot_say_is_checked() {
    let trellis = Installation::new().await;
    trellis.ok("CreateService", json!({"name": "cart"})).await;
    for (input, status, code) in [
        (json!({"name": "cart"}), 409, "ConflictException"),
        (json!({"name": "svc-cart"}), 400, "ValidationException"),
        (json!({"name": "other", "customDomainName": "no/domain"}), 400, "ValidationException"),
        (json!({"name": "other", "idleTimeoutSeconds": 59}), 400, "ValidationException"),
        (
            json!({"name": "other", "certificateArn": "arn:aws:acm:us-east-1:111122223333:certificate/0a1b"}),
            400,
            "ValidationException",
        ),
    ] {
        let refused = trellis.refused("CreateService", input.clone()).await;
        assert!(refused.is(status, code), "{input} {refused:?}");
    }
    assert_eq!(ids(&trellis.ok("ListServices", json!({})).await).len(), 1);
}

#[tokio::test]
async fn deleting_a_service_takes_its_listeners_and_frees_its_target_groups_at_once() {
    let mut trellis = Installation::new().await;
    let vpc = trellis.vpc(0).await;
    let group = trellis.group(&vpc).await;
    let service = trellis.service().await;
    let listener = trellis.listener(&service).await;
    trellis
        .ok(
            "CreateRule",
            json!({
                "serviceIdentifier": service["id"], "listenerIdentifier": listener["id"], "name": "all",
                "match": under("/"), "priority": 1, "action": forward(&group), "tags": {"a": "b"},
            }),
        )
        .await;
    trellis
        .ok(
            "PutAuthPolicy",
            json!({"resourceIdentifier": service["id"], "policy": crate::auth_policies::POLICY}),
        )
        .await;
    trellis.stop_data_plane().await;
    trellis.ok("DeleteService", json!({"serviceIdentifier": service["id"]})).await;
    trellis.ok("DeleteTargetGroup", json!({"targetGroupIdentifier": group["id"]})).await;
    trellis.wait_gone("GetService", json!({"serviceIdentifier": service["id"]})).await;
    trellis.wait_gone("GetTargetGroup", json!({"targetGroupIdentifier": group["id"]})).await;
    for prefix in ["index/", "tags/", "pending/", "lattice/"] {
        assert_eq!(trellis.entries(prefix), Vec::<String>::new());
    }
}

#[tokio::test]
async fn an_associated_service_is_not_deleted() {
    let trellis = Installation::new().await;
    let (service, network) = (trellis.service().await, trellis.network().await);
    trellis
        .ok(
            "CreateServiceNetworkServiceAssociation",
            json!({"serviceNetworkIdentifier": network["id"], "serviceIdentifier": service["id"]}),
        )
        .await;
    let refused = trellis.refused("DeleteService", json!({"serviceIdentifier": service["id"]})).await;
    assert!(refused.is(409, "ConflictException"), "{refused:?}");
    assert_eq!(refused.body["resourceType"], "SERVICE");
}

#[tokio::test]
async fn a_service_in_progress_is_left_to_its_workflow() {
    let trellis = Installation::new().await;
    let service = trellis.service().await;
    let by_id = json!({"serviceIdentifier": service["id"]});
    trellis.set_status("service", &service, "CREATE_IN_PROGRESS").await;
    let refused = trellis.refused("DeleteService", by_id.clone()).await;
    assert!(refused.is(409, "ConflictException") && refused.message().contains("CREATE_IN_PROGRESS"));
    trellis.listener(&service).await;

    trellis.set_status("service", &service, "DELETE_IN_PROGRESS").await;
    let listener = json!({
        "serviceIdentifier": service["id"], "name": "late", "protocol": "HTTP", "port": 81,
        "defaultAction": {"fixedResponse": {"statusCode": 404}},
    });
    for (operation, input) in [("CreateListener", listener), ("UpdateService", by_id.clone())] {
        let refused = trellis.refused(operation, input).await;
        assert!(refused.is(409, "ConflictException"), "{operation} {refused:?}");
    }
    let again = trellis.ok("DeleteService", by_id).await;
    assert_eq!(again["status"], "DELETE_IN_PROGRESS");
}
