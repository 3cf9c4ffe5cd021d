use std::time::Duration;

use serde_json::{Value, json};

use crate::installation::{Installation, ids, under};

#[tokio::test]
async fn the_same_token_and_parameters_give_the_first_answer_again() {
    let trellis = Installation::new().await;
    let input = json!({"name": "cart", "clientToken": "token-1", "tags": {"a": "1", "b": "2"}});
    let first = trellis.ok("CreateService", input).await;
    trellis.wait_status("GetService", json!({"serviceIdentifier": first["id"]}), "ACTIVE").await;
    let again = json!({"tags": {"b": "2", "a": "1"}, "clientToken": "token-1", "name": "cart"});
    assert_eq!(trellis.ok("CreateService", again).await, first);
    assert_eq!(ids(&trellis.ok("ListServices", json!({})).await).len(), 1);
}

#[tokio::test]
async fn the_same_token_with_other_parameters_is_a_conflict() {
    let trellis = Installation::new().await;
    trellis.ok("CreateService", json!({"name": "cart", "clientToken": "token-1"})).await;
    let other = trellis.refused("CreateService", json!({"name": "shop", "clientToken": "token-1"})).await;
    assert!(other.is(409, "ConflictException"), "{other:?}");
    // Another operation, another region and another token have nothing to do with it.
    trellis.ok("CreateServiceNetwork", json!({"name": "shop", "clientToken": "token-1"})).await;
    trellis.ok("CreateService", json!({"name": "shop", "clientToken": "token-2"})).await;
    let elsewhere =
        trellis.request_in("eu-west-1", "CreateService", &json!({"name": "shop", "clientToken": "token-1"}));
    assert_eq!(trellis.send(elsewhere).await.0, 201);
}

#[tokio::test]
async fn a_refused_call_does_not_use_up_its_token() {
    let trellis = Installation::new().await;
    let first = trellis.ok("CreateService", json!({"name": "cart"})).await;
    trellis.wait_status("GetService", json!({"serviceIdentifier": first["id"]}), "ACTIVE").await;
    let input = json!({"name": "cart", "clientToken": "token-1"});
    assert!(trellis.refused("CreateService", input.clone()).await.is(409, "ConflictException"));
    trellis.ok("DeleteService", json!({"serviceIdentifier": first["id"]})).await;
    trellis.wait_gone("GetService", json!({"serviceIdentifier": first["id"]})).await;
    trellis.ok("CreateService", input).await;
}

#[tokio::test]
async fn a_token_is_kept_for_a_day_and_over_a_restart() {
    let trellis = Installation::new().await;
    let input = json!({"name": "cart", "clientToken": "token-1"});
    let first = trellis.ok("CreateService", input.clone()).await;
    let trellis = trellis.restart().await;
    trellis.advance_clock(Duration::from_secs(23 * 3600));
    assert_eq!(trellis.ok("CreateService", input.clone()).await, first);
    trellis.advance_clock(Duration::from_secs(2 * 3600));
    let late = trellis.refused("CreateService", input).await;
    assert!(late.message().contains("already exists"), "{late:?}");
}

#[tokio::test]
async fn every_create_takes_a_token() {
    let trellis = Installation::new().await;
    let vpc = trellis.vpc(0).await;
    let again = async |operation: &str, mut input: Value| {
        input["clientToken"] = "token".into();
        let first = trellis.ok(operation, input.clone()).await;
        assert_eq!(trellis.ok(operation, input).await, first, "{operation}");
        first
    };
    let network = again("CreateServiceNetwork", json!({"name": "shop"})).await;
    let service = trellis.service().await;
    again(
        "CreateTargetGroup",
        json!({"name": "web", "type": "IP", "config": {"protocol": "HTTP", "vpcIdentifier": vpc}}),
    )
    .await;
    let action = json!({"fixedResponse": {"statusCode": 404}});
    let listener = again(
        "CreateListener",
        json!({"serviceIdentifier": service["id"], "name": "http", "protocol": "HTTP", "defaultAction": action}),
    )
    .await;
    again(
        "CreateRule",
        json!({
            "serviceIdentifier": service["id"], "listenerIdentifier": listener["id"], "name": "all",
            "priority": 1, "match": under("/"), "action": action,
        }),
    )
    .await;
    again(
        "CreateServiceNetworkVpcAssociation",
        json!({"serviceNetworkIdentifier": network["id"], "vpcIdentifier": vpc}),
    )
    .await;
    again(
        "CreateServiceNetworkServiceAssociation",
        json!({"serviceNetworkIdentifier": network["id"], "serviceIdentifier": service["id"]}),
    )
    .await;
    again(
        "CreateAccessLogSubscription",
        json!({"resourceIdentifier": service["id"], "destinationArn": "arn:aws:s3:::access-logs"}),
    )
    .await;
}

#[tokio::test]
async fn a_token_whose_resource_is_gone_makes_a_new_one() {
    let trellis = Installation::new().await;
    let input = json!({"name": "cart", "clientToken": "token-1"});
    let first = trellis.ok("CreateService", input.clone()).await;
    let by_id = json!({"serviceIdentifier": first["id"]});
    trellis.wait_status("GetService", by_id.clone(), "ACTIVE").await;
    trellis.ok("DeleteService", by_id.clone()).await;
    trellis.wait_gone("GetService", by_id).await;
    let second = trellis.ok("CreateService", input.clone()).await;
    assert_ne!(second["id"], first["id"]);
    trellis.wait_status("GetService", json!({"serviceIdentifier": second["id"]}), "ACTIVE").await;
    assert_eq!(trellis.ok("CreateService", input).await, second);
    // What the token was used with stays what it was used with.
    let other = trellis.refused("CreateService", json!({"name": "shop", "clientToken": "token-1"})).await;
    assert!(other.is(409, "ConflictException"), "{other:?}");

    // An association, which is found by way of the network's owner.
    let (network, vpc) = (trellis.network().await, trellis.vpc(0).await);
    let input =
        json!({"serviceNetworkIdentifier": network["id"], "vpcIdentifier": vpc, "clientToken": "token-2"});
    let first = trellis.ok("CreateServiceNetworkVpcAssociation", input.clone()).await;
    let by_id = json!({"serviceNetworkVpcAssociationIdentifier": first["id"]});
    trellis.wait_status("GetServiceNetworkVpcAssociation", by_id.clone(), "ACTIVE").await;
    trellis.ok("DeleteServiceNetworkVpcAssociation", by_id.clone()).await;
    trellis.wait_gone("GetServiceNetworkVpcAssociation", by_id).await;
    let second = trellis.ok("CreateServiceNetworkVpcAssociation", input).await;
    assert_ne!(second["id"], first["id"]);
}
