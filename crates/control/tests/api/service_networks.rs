use serde_json::json;

use crate::installation::{Installation, ids, pick};

#[tokio::test]
async fn a_service_network_is_there_at_once_and_gone_at_once() {
    let trellis = Installation::new().await;
    let created = trellis.ok("CreateServiceNetwork", json!({"name": "shop", "tags": {"team": "web"}})).await;
    let id = created["id"].as_str().unwrap();
    assert!(id.starts_with("sn-0") && id.len() == 20);
    assert_eq!(created["arn"], format!("arn:aws:vpc-lattice:us-east-1:111122223333:servicenetwork/{id}"));
    assert_eq!(pick(&created, &["name", "authType"]), json!({"name": "shop", "authType": "NONE"}));

    for identifier in [&created["id"], &created["arn"]] {
        let got = trellis.ok("GetServiceNetwork", json!({"serviceNetworkIdentifier": identifier})).await;
        assert_eq!(got["id"], created["id"]);
        assert_eq!(got["numberOfAssociatedVPCs"], 0);
        assert_eq!(got["numberOfAssociatedServices"], 0);
        assert_eq!(got["createdAt"], got["lastUpdatedAt"]);
        assert!(got.get("numberOfAssociatedResourceConfigurations").is_none());
    }
    let listed = trellis.ok("ListServiceNetworks", json!({})).await;
    assert_eq!(ids(&listed), [id]);
    assert_eq!(listed["items"][0]["numberOfAssociatedResourceConfigurations"], 0);
    assert!(listed["items"][0].get("authType").is_none() && listed.get("nextToken").is_none());

    let updated = trellis
        .ok("UpdateServiceNetwork", json!({"serviceNetworkIdentifier": id, "authType": "AWS_IAM"}))
        .await;
    assert_eq!(updated["authType"], "AWS_IAM");
    let deleted = trellis.ok("DeleteServiceNetwork", json!({"serviceNetworkIdentifier": id})).await;
    assert!(deleted.is_null());
    let gone = trellis.refused("GetServiceNetwork", json!({"serviceNetworkIdentifier": id})).await;
    assert!(gone.is(404, "ResourceNotFoundException"));
    assert_eq!(
        pick(&gone.body, &["resourceId", "resourceType"]),
        json!({"resourceId": id, "resourceType": "SERVICE_NETWORK"})
    );
    assert_eq!(trellis.entries("index/"), Vec::<String>::new());
    assert_eq!(trellis.entries("tags/"), Vec::<String>::new());
}

#[tokio::test]
async fn a_name_is_given_once() {
    let trellis = Installation::new().await;
    let first = trellis.ok("CreateServiceNetwork", json!({"name": "shop"})).await;
    let second = trellis.refused("CreateServiceNetwork", json!({"name": "shop"})).await;
    assert!(second.is(409, "ConflictException"));
    assert_eq!(
        second.message(),
        "Resource of type ServiceNetwork with name shop already exists in 111122223333"
    );
    assert_eq!(second.body["resourceId"], first["id"]);
    trellis.ok("DeleteServiceNetwork", json!({"serviceNetworkIdentifier": first["id"]})).await;
    trellis.ok("CreateServiceNetwork", json!({"name": "shop"})).await;
}

#[tokio::test]
async fn sharing_settings_come_back_as_they_were_given() {
    let trellis = Installation::new().await;
    let input = json!({"name": "shop", "sharingConfig": {"enabled": false}, "authType": "AWS_IAM"});
    let created = trellis.ok("CreateServiceNetwork", input).await;
    assert_eq!(created["sharingConfig"], json!({"enabled": false}));
    let got = trellis.ok("GetServiceNetwork", json!({"serviceNetworkIdentifier": created["id"]})).await;
    assert_eq!(got["sharingConfig"], json!({"enabled": false}));
    assert_eq!(got["authType"], "AWS_IAM");
    let plain = trellis.ok("CreateServiceNetwork", json!({"name": "plain"})).await;
    assert!(plain.get("sharingConfig").is_none());
}

#[tokio::test]
async fn a_network_with_associations_is_not_deleted() {
    let trellis = Installation::new().await;
    let network = trellis.network().await;
    let by_id = json!({"serviceNetworkIdentifier": network["id"]});
    let vpc = trellis.vpc(0).await;
    let association = trellis
        .ok(
            "CreateServiceNetworkVpcAssociation",
            json!({"serviceNetworkIdentifier": network["id"], "vpcIdentifier": vpc}),
        )
        .await;
    let refused = trellis.refused("DeleteServiceNetwork", by_id.clone()).await;
    assert!(refused.is(409, "ConflictException"));
    assert!(refused.message().contains("has VPC(s) associated"), "{refused:?}");
    let got = trellis.ok("GetServiceNetwork", by_id.clone()).await;
    assert_eq!(got["numberOfAssociatedVPCs"], 1);

    let by_association = json!({"serviceNetworkVpcAssociationIdentifier": association["id"]});
    trellis.wait_status("GetServiceNetworkVpcAssociation", by_association.clone(), "ACTIVE").await;
    trellis.ok("DeleteServiceNetworkVpcAssociation", by_association.clone()).await;
    trellis.wait_gone("GetServiceNetworkVpcAssociation", by_association).await;

    let service = trellis.service().await;
    trellis
        .ok(
            "CreateServiceNetworkServiceAssociation",
            json!({"serviceNetworkIdentifier": network["id"], "serviceIdentifier": service["id"]}),
        )
        .await;
    let refused = trellis.refused("DeleteServiceNetwork", by_id).await;
    assert!(refused.message().contains("has service(s) associated"), "{refused:?}");
}

#[tokio::test]
async fn other_regions_names_and_ids_name_nothing_and_other_accounts_are_denied() {
    let trellis = Installation::new().await;
    let network = trellis.network().await;
    let arn = network["arn"].as_str().unwrap();
    for identifier in [arn.replace("us-east-1", "eu-west-1"), "sn-00000000000000fff".into()] {
        let refused =
            trellis.refused("GetServiceNetwork", json!({"serviceNetworkIdentifier": identifier})).await;
        assert!(refused.is(404, "ResourceNotFoundException"), "{identifier} {refused:?}");
    }
    // Whether it exists or not is not told.
    let foreign = arn.replace("111122223333", "444455556666");
    let refused = trellis.refused("GetServiceNetwork", json!({"serviceNetworkIdentifier": foreign})).await;
    assert!(refused.is(403, "AccessDeniedException"), "{refused:?}");
}
