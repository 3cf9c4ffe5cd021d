use serde_json::json;
use trellis_model::resource::lattice::AccessLogSubscriptions;

use crate::installation::{Installation, ids, pick};

const BUCKET: &str = "arn:aws:s3:::logs/prefix";
const GROUP: &str = "arn:aws:logs:us-east-1:111122223333:log-group:lattice:*";
const STREAM: &str = "arn:aws:firehose:us-east-1:111122223333:deliverystream/lattice";

#[tokio::test]
async fn a_resource_has_one_subscription_for_each_kind_of_destination() {
    let trellis = Installation::new().await;
    let service = trellis.service().await;
    let input =
        |destination: &str| json!({"resourceIdentifier": service["id"], "destinationArn": destination});
    let created = trellis.ok("CreateAccessLogSubscription", input(BUCKET)).await;
    assert_eq!(
        pick(&created, &["resourceId", "resourceArn", "destinationArn"]),
        json!({"resourceId": service["id"], "resourceArn": service["arn"], "destinationArn": BUCKET})
    );
    let second = trellis.refused("CreateAccessLogSubscription", input("arn:aws:s3:::other-logs")).await;
    assert!(second.is(409, "ConflictException"));
    assert_eq!(second.body["resourceType"], "ACCESS_LOG_SUBSCRIPTION");
    trellis.ok("CreateAccessLogSubscription", input(GROUP)).await;
    trellis.ok("CreateAccessLogSubscription", input(STREAM)).await;
    let listed =
        trellis.ok("ListAccessLogSubscriptions", json!({"resourceIdentifier": service["arn"]})).await;
    assert_eq!(ids(&listed).len(), 3);

    let by_id = json!({"accessLogSubscriptionIdentifier": created["arn"]});
    let mut update = by_id.clone();
    update["destinationArn"] = GROUP.into();
    assert!(
        trellis.refused("UpdateAccessLogSubscription", update.clone()).await.is(409, "ConflictException")
    );
    update["destinationArn"] = "arn:aws:s3:::other-logs".into();
    let updated = trellis.ok("UpdateAccessLogSubscription", update).await;
    assert_eq!(updated["destinationArn"], "arn:aws:s3:::other-logs");
    let got = trellis.ok("GetAccessLogSubscription", by_id.clone()).await;
    assert_eq!(got["destinationArn"], "arn:aws:s3:::other-logs");
    assert!(got["createdAt"].is_string() && got.get("serviceNetworkLogType").is_none());
    assert!(trellis.ok("DeleteAccessLogSubscription", by_id.clone()).await.is_null());
    assert!(trellis.refused("GetAccessLogSubscription", by_id).await.is(404, "ResourceNotFoundException"));
    trellis.ok("CreateAccessLogSubscription", input(BUCKET)).await;
    trellis.ok("DeleteService", json!({"serviceIdentifier": service["id"]})).await;
    assert_eq!(trellis.entries("lattice/111122223333/us-east-1/access-log/"), Vec::<String>::new());
}

#[tokio::test]
async fn a_network_has_a_stream_of_requests_and_one_of_connections() {
    let trellis = Installation::new().await;
    let (network, service) = (trellis.network().await, trellis.service().await);
    let mut input = json!({"resourceIdentifier": network["arn"], "destinationArn": BUCKET});
    let created = trellis.ok("CreateAccessLogSubscription", input.clone()).await;
    assert_eq!(created["serviceNetworkLogType"], "SERVICE");
    input["serviceNetworkLogType"] = "RESOURCE".into();
    trellis.ok("CreateAccessLogSubscription", input.clone()).await;
    input["resourceIdentifier"] = service["id"].clone();
    assert!(trellis.refused("CreateAccessLogSubscription", input).await.is(400, "ValidationException"));
    let elsewhere = json!({"resourceIdentifier": network["id"], "destinationArn": "arn:aws:sqs:us-east-1:111122223333:queue"});
    assert!(trellis.refused("CreateAccessLogSubscription", elsewhere).await.is(400, "ValidationException"));
}

#[tokio::test]
async fn a_resource_configuration_has_subscriptions_of_its_own_until_it_goes() {
    let trellis = Installation::new().await;
    let gateway = trellis.gateway(&trellis.vpc(0).await).await;
    let resource = json!({
        "name": "orders", "type": "SINGLE", "resourceGatewayIdentifier": gateway["id"],
        "resourceConfigurationDefinition": {"ipResource": {"ipAddress": "10.0.1.10"}},
    });
    let resource = trellis.ok("CreateResourceConfiguration", resource).await;
    let by = json!({"resourceConfigurationIdentifier": resource["id"]});
    trellis.wait_status("GetResourceConfiguration", by.clone(), "ACTIVE").await;
    let mut input = json!({"resourceIdentifier": resource["arn"], "destinationArn": BUCKET});
    let created = trellis.ok("CreateAccessLogSubscription", input.clone()).await;
    assert_eq!(
        pick(&created, &["resourceId", "resourceArn", "destinationArn"]),
        json!({"resourceId": resource["id"], "resourceArn": resource["arn"], "destinationArn": BUCKET})
    );
    assert!(trellis.refused("CreateAccessLogSubscription", input.clone()).await.is(409, "ConflictException"));
    input["serviceNetworkLogType"] = "RESOURCE".into();
    assert!(trellis.refused("CreateAccessLogSubscription", input).await.is(400, "ValidationException"));
    let listed =
        trellis.ok("ListAccessLogSubscriptions", json!({"resourceIdentifier": resource["id"]})).await;
    assert_eq!(ids(&listed).len(), 1);
    trellis.ok("DeleteResourceConfiguration", by.clone()).await;
    trellis.wait_gone("GetResourceConfiguration", by).await;
    assert_eq!(trellis.entries("lattice/111122223333/us-east-1/access-log/"), Vec::<String>::new());
}

#[tokio::test]
async fn whoever_delivers_logs_is_told_of_every_change_and_after_a_restart() {
    let trellis = Installation::new().await;
    let mut told = trellis.control.log_subscriptions();
    assert!(told.borrow_and_update().by_id.is_empty());
    let service = trellis.service().await;
    let input = json!({"resourceIdentifier": service["id"], "destinationArn": BUCKET});
    let created = trellis.ok("CreateAccessLogSubscription", input).await;
    let id = created["id"].as_str().unwrap();
    let destination = |all: &AccessLogSubscriptions| {
        all.by_id.get(id).map(|subscription| subscription.destination_arn.clone())
    };
    told.wait_for(|all| destination(all).as_deref() == Some(BUCKET)).await.unwrap();
    let update = json!({"accessLogSubscriptionIdentifier": id, "destinationArn": "arn:aws:s3:::other-logs"});
    trellis.ok("UpdateAccessLogSubscription", update).await;
    told.wait_for(|all| destination(all).as_deref() == Some("arn:aws:s3:::other-logs")).await.unwrap();
    drop(told);
    let trellis = trellis.restart().await;
    let mut told = trellis.control.log_subscriptions();
    assert_eq!(destination(&told.borrow_and_update()).as_deref(), Some("arn:aws:s3:::other-logs"));
    trellis.ok("DeleteAccessLogSubscription", json!({"accessLogSubscriptionIdentifier": id})).await;
    told.wait_for(|all| all.by_id.is_empty()).await.unwrap();
}
