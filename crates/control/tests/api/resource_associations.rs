use serde_json::{Value, json};

use crate::installation::{Installation, ids, pick};

fn input(network: &Value, resource: &Value) -> Value {
    json!({"serviceNetworkIdentifier": network["id"], "resourceConfigurationIdentifier": resource["id"]})
}

fn by(association: &Value) -> Value {
    json!({"serviceNetworkResourceAssociationIdentifier": association["id"]})
}

async fn single(trellis: &Installation, gateway: &Value) -> Value {
    let definition = json!({"ipResource": {"ipAddress": "10.0.1.10"}});
    let more = json!({
        "resourceGatewayIdentifier": gateway["id"], "resourceConfigurationDefinition": definition,
        "customDomainName": "db.example.com",
    });
    trellis.resource("SINGLE", more).await
}

async fn child(trellis: &Installation, group: &Value) -> Value {
    let definition = json!({"ipResource": {"ipAddress": "10.0.1.11"}});
    let more = json!({
        "resourceConfigurationGroupIdentifier": group["id"], "resourceConfigurationDefinition": definition,
    });
    trellis.resource("CHILD", more).await
}

#[tokio::test]
async fn an_association_waits_for_the_data_plane_and_holds_both_ends() {
    let mut trellis = Installation::new().await;
    let gateway = trellis.gateway(&trellis.vpc(0).await).await;
    let (network, resource) = (trellis.network().await, single(&trellis, &gateway).await);
    trellis.stop_data_plane().await;
    let mut create = input(&network, &resource);
    create["privateDnsEnabled"] = true.into();
    create["tags"] = json!({"a": "b"});
    let created = trellis.ok("CreateServiceNetworkResourceAssociation", create).await;
    let (id, resource_id) = (created["id"].as_str().unwrap(), resource["id"].as_str().unwrap());
    let arn = format!("arn:aws:vpc-lattice:us-east-1:111122223333:servicenetworkresourceassociation/{id}");
    assert_eq!(
        created,
        json!({
            "id": id, "arn": arn, "status": "CREATE_IN_PROGRESS", "createdBy": "111122223333",
            "privateDnsEnabled": true,
        })
    );
    let refused = trellis.refused("DeleteServiceNetworkResourceAssociation", by(&created)).await;
    assert!(refused.is(409, "ConflictException") && refused.message().contains("CREATE_IN_PROGRESS"));
    trellis.start_data_plane();
    let got = trellis.wait_status("GetServiceNetworkResourceAssociation", by(&created), "ACTIVE").await;
    assert_eq!(
        got,
        json!({
            "id": id, "arn": arn, "status": "ACTIVE", "createdBy": "111122223333",
            "createdAt": got["createdAt"], "lastUpdatedAt": got["lastUpdatedAt"],
            "resourceConfigurationId": resource_id, "resourceConfigurationArn": resource["arn"],
            "resourceConfigurationName": resource["name"], "serviceNetworkId": network["id"],
            "serviceNetworkArn": network["arn"], "serviceNetworkName": network["name"],
            "privateDnsEnabled": true, "isManagedAssociation": false,
            "privateDnsEntry": {"domainName": "db.example.com"},
            "dnsEntry": {
                "domainName": format!("{id}.{resource_id}.4232ccc.vpc-lattice-rsc.us-east-1.on.aws"),
                "hostedZoneId": "Z08285483B41F6ASEM5U1",
            },
        })
    );
    let again = trellis.refused("CreateServiceNetworkResourceAssociation", input(&network, &resource)).await;
    assert!(again.is(409, "ConflictException"), "{again:?}");

    let delete_resource = json!({"resourceConfigurationIdentifier": resource_id});
    let refused = trellis.refused("DeleteResourceConfiguration", delete_resource.clone()).await;
    assert!(refused.is(400, "ValidationException"), "{refused:?}");
    assert!(refused.message().contains("has existing association with service networks"), "{refused:?}");
    let by_network = json!({"serviceNetworkIdentifier": network["id"]});
    let refused = trellis.refused("DeleteServiceNetwork", by_network.clone()).await;
    assert!(refused.is(409, "ConflictException"), "{refused:?}");
    assert!(refused.message().contains("has resource(s) associated"), "{refused:?}");
    let listed = trellis.ok("ListServiceNetworks", json!({})).await;
    assert_eq!(listed["items"][0]["numberOfAssociatedResourceConfigurations"], 1);

    let deleted = trellis.ok("DeleteServiceNetworkResourceAssociation", by(&created)).await;
    assert_eq!(deleted, json!({"id": id, "arn": arn, "status": "DELETE_IN_PROGRESS"}));
    trellis.wait_gone("GetServiceNetworkResourceAssociation", by(&created)).await;
    trellis.ok("DeleteResourceConfiguration", delete_resource).await;
    trellis.ok("DeleteServiceNetwork", by_network).await;
    assert!(trellis.entries("tags/").is_empty());
}

#[tokio::test]
async fn children_come_and_go_with_the_association_of_their_group() {
    let trellis = Installation::new().await;
    let gateway = trellis.gateway(&trellis.vpc(0).await).await;
    let network = trellis.network().await;
    let group = trellis.resource("GROUP", json!({"resourceGatewayIdentifier": gateway["id"]})).await;
    let first = child(&trellis, &group).await;
    let created = trellis.ok("CreateServiceNetworkResourceAssociation", input(&network, &group)).await;
    let got = trellis.wait_status("GetServiceNetworkResourceAssociation", by(&created), "ACTIVE").await;
    assert_eq!(got["dnsEntry"], Value::Null, "children have names, groups do not");
    let second = child(&trellis, &group).await;

    let of_network = json!({"serviceNetworkIdentifier": network["id"]});
    let listed = trellis.ok("ListServiceNetworkResourceAssociations", of_network.clone()).await;
    assert_eq!(ids(&listed), [created["id"].as_str().unwrap()]);
    let mut with_children = of_network;
    with_children["includeChildren"] = true.into();
    let listed = trellis.ok("ListServiceNetworkResourceAssociations", with_children.clone()).await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 3, "{listed}");
    let of_group = json!({"resourceConfigurationIdentifier": group["id"], "includeChildren": true});
    let listed = trellis.ok("ListServiceNetworkResourceAssociations", of_group).await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 3, "{listed}");
    let everything = trellis.ok("ListServiceNetworkResourceAssociations", json!({})).await;
    assert_eq!(ids(&everything), [created["id"].as_str().unwrap()]);
    for child in [&first, &second] {
        let of_child = json!({"resourceConfigurationIdentifier": child["id"]});
        let listed = trellis.ok("ListServiceNetworkResourceAssociations", of_child).await;
        let managed = &listed["items"][0];
        assert_eq!(
            pick(managed, &["isManagedAssociation", "resourceConfigurationId"]),
            json!({"isManagedAssociation": true, "resourceConfigurationId": child["id"]})
        );
        assert!(managed["dnsEntry"]["domainName"].as_str().unwrap().contains(child["id"].as_str().unwrap()));
        trellis.wait_status("GetServiceNetworkResourceAssociation", by(managed), "ACTIVE").await;
        let refused = trellis.refused("DeleteServiceNetworkResourceAssociation", by(managed)).await;
        assert!(refused.is(400, "ValidationException"), "{refused:?}");
    }
    let listed = trellis.ok("ListServiceNetworks", json!({})).await;
    assert_eq!(listed["items"][0]["numberOfAssociatedResourceConfigurations"], 1);

    trellis.ok("DeleteResourceConfiguration", json!({"resourceConfigurationIdentifier": second["id"]})).await;
    let is_gone = |answer: &Result<Value, _>| answer.as_ref().is_ok_and(|listed| ids(listed).len() == 2);
    trellis.wait("ListServiceNetworkResourceAssociations", with_children.clone(), is_gone).await.unwrap();
    trellis.ok("DeleteServiceNetworkResourceAssociation", by(&created)).await;
    let are_gone = |answer: &Result<Value, _>| answer.as_ref().is_ok_and(|listed| ids(listed).is_empty());
    trellis.wait("ListServiceNetworkResourceAssociations", with_children, are_gone).await.unwrap();
    assert!(trellis.entries("index/lattice/111122223333/us-east-1/network-").is_empty());
    assert!(trellis.entries("index/lattice/111122223333/us-east-1/resource-network/").is_empty());
}

#[tokio::test]
async fn what_cannot_be_associated_is_refused() {
    let trellis = Installation::new().await;
    let vpc = trellis.vpc(0).await;
    let gateway = trellis.gateway(&vpc).await;
    let network = trellis.network().await;
    let group = trellis.resource("GROUP", json!({"resourceGatewayIdentifier": gateway["id"]})).await;
    let child = child(&trellis, &group).await;
    let inside = trellis.gateway_with(&vpc, json!({"resourceConfigDnsResolution": "IN_VPC"})).await;
    let ranges = json!({
        "resourceGatewayIdentifier": inside["id"],
        "resourceConfigurationDefinition": {"cidrResource": {"cidrRanges": ["10.0.0.0/8"]}},
    });
    let ranges = trellis.resource("CIDR", ranges).await;
    for resource in [&child, &ranges] {
        let refused =
            trellis.refused("CreateServiceNetworkResourceAssociation", input(&network, resource)).await;
        assert!(refused.is(400, "ValidationException"), "{refused:?}");
    }
    let resource = single(&trellis, &gateway).await;
    let shared = json!({"name": "shared", "sharingConfig": {"enabled": true}});
    let shared = trellis.ok("CreateServiceNetwork", shared).await;
    let refused = trellis.refused("CreateServiceNetworkResourceAssociation", input(&shared, &resource)).await;
    assert!(refused.is(400, "ValidationException"), "{refused:?}");
    trellis.set_status("resource-configuration", &resource, "CREATE_IN_PROGRESS").await;
    let refused =
        trellis.refused("CreateServiceNetworkResourceAssociation", input(&network, &resource)).await;
    assert!(refused.is(409, "ConflictException") && refused.message().contains("CREATE_IN_PROGRESS"));
    trellis.set_status("resource-configuration", &resource, "ACTIVE").await;
    let unknown = json!({"id": "sn-00000000000000fff"});
    let refused =
        trellis.refused("CreateServiceNetworkResourceAssociation", input(&unknown, &resource)).await;
    assert!(refused.is(404, "ResourceNotFoundException"), "{refused:?}");
}
