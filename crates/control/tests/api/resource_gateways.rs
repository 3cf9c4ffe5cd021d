use serde_json::{Value, json};
use trellis_model::VpcId;

use crate::installation::{Installation, ids, pick};

fn input(trellis: &Installation, vpc: &VpcId) -> Value {
    json!({"name": "databases", "vpcIdentifier": vpc, "subnetIds": trellis.subnets(vpc)})
}

fn by(gateway: &Value) -> Value {
    json!({"resourceGatewayIdentifier": gateway["id"]})
}

#[tokio::test]
async fn a_gateway_has_defaults_and_its_vpc_two_names() {
    let trellis = Installation::new().await;
    let vpc = trellis.vpc(0).await;
    let mut create = input(&trellis, &vpc);
    create["tags"] = json!({"team": "data"});
    let created = trellis.ok("CreateResourceGateway", create.clone()).await;
    let arn = format!(
        "arn:aws:vpc-lattice:us-east-1:111122223333:resourcegateway/{}",
        created["id"].as_str().unwrap()
    );
    let groups = created["securityGroupIds"].as_array().unwrap();
    assert_eq!(groups.len(), 1, "the VPC's default group");
    assert_eq!(
        created,
        json!({
            "id": created["id"], "arn": arn, "name": "databases", "status": "CREATE_IN_PROGRESS",
            "vpcIdentifier": vpc, "subnetIds": trellis.subnets(&vpc), "securityGroupIds": groups,
            "ipAddressType": "IPV4", "ipv4AddressesPerEni": 16, "resourceConfigDnsResolution": "PUBLIC",
        })
    );
    let got = trellis.wait_status("GetResourceGateway", by(&created), "ACTIVE").await;
    assert_eq!(
        pick(&got, &["vpcId", "vpcIdentifier", "serviceManaged", "managedBy", "ipv4AddressesPerEni"]),
        json!({"vpcId": vpc, "vpcIdentifier": null, "serviceManaged": false, "managedBy": null, "ipv4AddressesPerEni": 16})
    );
    assert!(got["createdAt"].is_string() && got["lastUpdatedAt"].is_string());
    assert_eq!(trellis.ok("GetResourceGateway", json!({"resourceGatewayIdentifier": arn})).await, got);
    let listed = trellis.ok("ListResourceGateways", json!({})).await;
    assert_eq!(ids(&listed), [created["id"].as_str().unwrap()]);
    assert_eq!(
        pick(&listed["items"][0], &["vpcId", "vpcIdentifier", "serviceManaged", "status"]),
        json!({"vpcId": null, "vpcIdentifier": vpc, "serviceManaged": null, "status": "ACTIVE"})
    );
    let tags = trellis.ok("ListTagsForResource", json!({"resourceArn": arn})).await;
    assert_eq!(tags, json!({"tags": {"team": "data"}}));

    let again = trellis.refused("CreateResourceGateway", create).await;
    assert!(again.is(409, "ConflictException") && again.message().contains("already exist"), "{again:?}");
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_nothing_is_made() {
    let trellis = Installation::new().await;
    let (vpc, other) = (trellis.vpc(0).await, trellis.vpc(1).await);
    let foreign_group = trellis.security_group(&other).await;
    let with = |member: &str, value: Value| {
        let mut input = input(&trellis, &vpc);
        input[member] = value;
        input
    };
    for (input, status, code) in [
        (with("vpcIdentifier", json!("vpc-00000000000000fff")), 404, "ResourceNotFoundException"),
        (with("vpcIdentifier", Value::Null), 400, "ValidationException"),
        (with("subnetIds", json!([])), 400, "ValidationException"),
        (with("subnetIds", json!(trellis.subnets(&other))), 400, "ValidationException"),
        (with("subnetIds", json!(["subnet-00000000000000fff"])), 404, "ResourceNotFoundException"),
        (with("securityGroupIds", json!([foreign_group])), 400, "ValidationException"),
        (with("securityGroupIds", json!(["sg-00000000000000fff"])), 404, "ResourceNotFoundException"),
        (with("ipAddressType", json!("IPV6")), 400, "ValidationException"),
        (with("ipAddressType", json!("DUALSTACK")), 400, "ValidationException"),
        (with("ipv4AddressesPerEni", json!(0)), 400, "ValidationException"),
        (with("ipv4AddressesPerEni", json!(63)), 400, "ValidationException"),
        (with("name", json!("rgw-databases")), 400, "ValidationException"),
        (with("name", json!("ab")), 400, "ValidationException"),
    ] {
        let refused = trellis.refused("CreateResourceGateway", input.clone()).await;
        assert!(refused.is(status, code), "{input} {refused:?}");
    }
    assert!(ids(&trellis.ok("ListResourceGateways", json!({})).await).is_empty());
}

#[tokio::test]
async fn an_update_changes_groups_and_resolution_and_keeps_the_rest() {
    let trellis = Installation::new().await;
    let vpc = trellis.vpc(0).await;
    let gateway = trellis.gateway(&vpc).await;
    let group = trellis.security_group(&vpc).await;
    let mut update = by(&gateway);
    update["securityGroupIds"] = json!([group]);
    update["resourceConfigDnsResolution"] = json!("IN_VPC");
    let updated = trellis.ok("UpdateResourceGateway", update).await;
    assert_eq!(
        updated,
        json!({
            "id": gateway["id"], "arn": gateway["arn"], "name": gateway["name"], "vpcId": vpc,
            "status": "UPDATE_IN_PROGRESS", "subnetIds": gateway["subnetIds"], "securityGroupIds": [group],
            "ipAddressType": "IPV4", "resourceConfigDnsResolution": "IN_VPC",
        })
    );
    let got = trellis.wait_status("GetResourceGateway", by(&gateway), "ACTIVE").await;
    assert_eq!(got["securityGroupIds"], json!([group]));
    trellis.ok("UpdateResourceGateway", by(&gateway)).await;
    let got = trellis.wait_status("GetResourceGateway", by(&gateway), "ACTIVE").await;
    assert_eq!(got["securityGroupIds"], json!([group]));
    trellis.set_status("resource-gateway", &gateway, "UPDATE_IN_PROGRESS").await;
    for operation in ["UpdateResourceGateway", "DeleteResourceGateway"] {
        assert!(trellis.refused(operation, by(&gateway)).await.is(409, "ConflictException"), "{operation}");
    }
}

#[tokio::test]
async fn a_gateway_in_use_stays_and_one_that_is_free_leaves_nothing_behind() {
    let trellis = Installation::new().await;
    let vpc = trellis.vpc(0).await;
    let before = trellis.entries("").len();
    let gateway = trellis.gateway_with(&vpc, json!({"tags": {"a": "b"}})).await;
    let resource = trellis
        .resource(
            "SINGLE",
            json!({
                "resourceGatewayIdentifier": gateway["id"],
                "resourceConfigurationDefinition": {"ipResource": {"ipAddress": "10.0.1.10"}},
            }),
        )
        .await;
    assert!(trellis.refused("DeleteResourceGateway", by(&gateway)).await.is(409, "ConflictException"));
    let by_resource = json!({"resourceConfigurationIdentifier": resource["id"]});
    trellis.ok("DeleteResourceConfiguration", by_resource.clone()).await;
    trellis.wait_gone("GetResourceConfiguration", by_resource).await;
    let deleted = trellis.ok("DeleteResourceGateway", by(&gateway)).await;
    assert_eq!(
        deleted,
        json!({"id": gateway["id"], "arn": gateway["arn"], "name": gateway["name"], "status": "DELETE_IN_PROGRESS"})
    );
    trellis.wait_gone("GetResourceGateway", by(&gateway)).await;
    let left: Vec<_> = trellis.entries("").into_iter().filter(|key| !key.starts_with("token/")).collect();
    assert_eq!(left.len(), before, "{left:?}");
}
