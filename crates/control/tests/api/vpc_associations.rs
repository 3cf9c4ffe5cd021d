use serde_json::{Value, json};
use trellis_model::VpcId;

use crate::installation::{Installation, ids, pick};

fn input(network: &Value, vpc: &VpcId) -> Value {
    json!({"serviceNetworkIdentifier": network["id"], "vpcIdentifier": vpc})
}

fn by(association: &Value) -> Value {
    json!({"serviceNetworkVpcAssociationIdentifier": association["id"]})
}

#[tokio::test]
async fn an_association_waits_for_the_data_plane_both_ways() {
    let mut trellis = Installation::new().await;
    let (network, vpc) = (trellis.network().await, trellis.vpc(0).await);
    trellis.stop_data_plane().await;
    let mut create = input(&network, &vpc);
    create["tags"] = json!({"a": "b"});
    let created = trellis.ok("CreateServiceNetworkVpcAssociation", create).await;
    assert_eq!(
        pick(&created, &["status", "createdBy", "securityGroupIds", "privateDnsEnabled"]),
        json!({"status": "CREATE_IN_PROGRESS", "createdBy": "111122223333", "securityGroupIds": [], "privateDnsEnabled": false})
    );
    let got = trellis.ok("GetServiceNetworkVpcAssociation", by(&created)).await;
    assert_eq!(
        pick(&got, &["status", "serviceNetworkId", "serviceNetworkName", "serviceNetworkArn", "vpcId"]),
        json!({
            "status": "CREATE_IN_PROGRESS", "serviceNetworkId": network["id"],
            "serviceNetworkName": network["name"], "serviceNetworkArn": network["arn"], "vpcId": vpc,
        })
    );
    // In the Snapshot before it is ACTIVE, else it could never become so.
    let mut snapshots = trellis.control.snapshots();
    snapshots.wait_for(|snapshot| snapshot.ingresses.contains_key(&vpc)).await.unwrap();
    for operation in ["DeleteServiceNetworkVpcAssociation", "UpdateServiceNetworkVpcAssociation"] {
        let refused = trellis.refused(operation, by(&created)).await;
        assert!(refused.is(409, "ConflictException"), "{operation} {refused:?}");
    }
    trellis.start_data_plane();
    trellis.wait_status("GetServiceNetworkVpcAssociation", by(&created), "ACTIVE").await;
    trellis.stop_data_plane().await;

    let deleted = trellis.ok("DeleteServiceNetworkVpcAssociation", by(&created)).await;
    assert_eq!(
        pick(&deleted, &["id", "status"]),
        json!({"id": created["id"], "status": "DELETE_IN_PROGRESS"})
    );
    snapshots.wait_for(|snapshot| snapshot.ingresses.is_empty()).await.unwrap();
    let again = trellis.refused("CreateServiceNetworkVpcAssociation", input(&network, &vpc)).await;
    assert!(
        again.is(409, "ConflictException") && again.message().contains("DELETE_IN_PROGRESS"),
        "{again:?}"
    );
    assert!(
        trellis
            .refused("DeleteServiceNetworkVpcAssociation", by(&created))
            .await
            .is(409, "ConflictException")
    );
    trellis.start_data_plane();
    trellis.wait_gone("GetServiceNetworkVpcAssociation", by(&created)).await;
    assert!(trellis.entries("index/").iter().all(|key| !key.contains("vpc")));
    assert_eq!(trellis.entries("tags/"), Vec::<String>::new());
    trellis.ok("CreateServiceNetworkVpcAssociation", input(&network, &vpc)).await;
}

#[tokio::test]
async fn a_vpc_is_in_one_network_at_a_time() {
    let trellis = Installation::new().await;
    let (one, other, vpc) = (trellis.network().await, trellis.network().await, trellis.vpc(0).await);
    trellis.ok("CreateServiceNetworkVpcAssociation", input(&one, &vpc)).await;
    for network in [&one, &other] {
        let refused = trellis.refused("CreateServiceNetworkVpcAssociation", input(network, &vpc)).await;
        assert!(refused.is(409, "ConflictException"));
        assert_eq!(refused.message(), "VPC has already been associated to a service network");
        assert_eq!(refused.body["resourceType"], "SERVICE_NETWORK_VPC_ASSOCIATION");
    }
    let unknown = json!({"serviceNetworkIdentifier": one["id"], "vpcIdentifier": "vpc-00000000000000fff"});
    let refused = trellis.refused("CreateServiceNetworkVpcAssociation", unknown).await;
    assert!(refused.is(404, "ResourceNotFoundException"));
    let unknown = json!({"serviceNetworkIdentifier": "shop", "vpcIdentifier": vpc});
    let refused = trellis.refused("CreateServiceNetworkVpcAssociation", unknown).await;
    assert_eq!(refused.body["resourceType"], "SERVICE_NETWORK");
}

#[tokio::test]
async fn security_groups_are_of_the_vpc_and_never_become_none() {
    let trellis = Installation::new().await;
    let (network, vpc, other) = (trellis.network().await, trellis.vpc(0).await, trellis.vpc(1).await);
    let (group, foreign) = (trellis.security_group(&vpc).await, trellis.security_group(&other).await);
    let mut create = input(&network, &vpc);
    for (id, status) in [(json!(foreign), 400), (json!("sg-00000000000000fff"), 404)] {
        create["securityGroupIds"] = json!([id]);
        assert_eq!(
            trellis.refused("CreateServiceNetworkVpcAssociation", create.clone()).await.status,
            status
        );
    }
    create["securityGroupIds"] = json!([group]);
    let created = trellis.ok("CreateServiceNetworkVpcAssociation", create).await;
    assert_eq!(created["securityGroupIds"], json!([group]));
    trellis.wait_status("GetServiceNetworkVpcAssociation", by(&created), "ACTIVE").await;

    let more = trellis.security_group(&vpc).await;
    let mut update = by(&created);
    update["securityGroupIds"] = json!([]);
    assert!(
        trellis
            .refused("UpdateServiceNetworkVpcAssociation", update.clone())
            .await
            .is(400, "ValidationException")
    );
    update["securityGroupIds"] = json!([more, group]);
    let updated = trellis.ok("UpdateServiceNetworkVpcAssociation", update).await;
    assert_eq!(
        pick(&updated, &["status", "securityGroupIds", "createdBy"]),
        json!({"status": "UPDATE_IN_PROGRESS", "securityGroupIds": [more, group], "createdBy": "111122223333"})
    );
    let active = trellis.wait_status("GetServiceNetworkVpcAssociation", by(&created), "ACTIVE").await;
    assert_eq!(active["securityGroupIds"], json!([more, group]));
}

#[tokio::test]
async fn dns_options_go_with_their_preference() {
    let trellis = Installation::new().await;
    let (network, vpc) = (trellis.network().await, trellis.vpc(0).await);
    let mut create = input(&network, &vpc);
    for options in [
        json!({"privateDnsPreference": "ALL_DOMAINS", "privateDnsSpecifiedDomains": ["*.example.com"]}),
        json!({"privateDnsPreference": "SPECIFIED_DOMAINS_ONLY"}),
        json!({"privateDnsSpecifiedDomains": ["a.example.com"]}),
    ] {
        create["dnsOptions"] = options.clone();
        let refused = trellis.refused("CreateServiceNetworkVpcAssociation", create.clone()).await;
        assert!(refused.is(400, "ValidationException"), "{options} {refused:?}");
    }
    let options = json!({"privateDnsPreference": "SPECIFIED_DOMAINS_ONLY", "privateDnsSpecifiedDomains": ["*.example.com"]});
    create["dnsOptions"] = options.clone();
    create["privateDnsEnabled"] = true.into();
    let created = trellis.ok("CreateServiceNetworkVpcAssociation", create).await;
    assert_eq!(
        pick(&created, &["privateDnsEnabled", "dnsOptions"]),
        json!({"privateDnsEnabled": true, "dnsOptions": options})
    );
}

#[tokio::test]
async fn associations_are_listed_by_network_by_vpc_or_by_both() {
    let trellis = Installation::new().await;
    let (one, other) = (trellis.network().await, trellis.network().await);
    let (a, b, c) = (trellis.vpc(0).await, trellis.vpc(1).await, trellis.vpc(2).await);
    let of_a = trellis.ok("CreateServiceNetworkVpcAssociation", input(&one, &a)).await;
    let of_b = trellis.ok("CreateServiceNetworkVpcAssociation", input(&one, &b)).await;
    let mut both = vec![of_a["id"].as_str().unwrap(), of_b["id"].as_str().unwrap()];
    both.sort_unstable();
    for (filter, expected) in [
        (json!({"serviceNetworkIdentifier": one["arn"]}), both.clone()),
        (json!({"serviceNetworkIdentifier": other["id"]}), vec![]),
        (json!({"vpcIdentifier": a}), vec![of_a["id"].as_str().unwrap()]),
        (json!({"vpcIdentifier": c}), vec![]),
        (
            json!({"serviceNetworkIdentifier": one["id"], "vpcIdentifier": b}),
            vec![of_b["id"].as_str().unwrap()],
        ),
        (json!({"serviceNetworkIdentifier": other["id"], "vpcIdentifier": b}), vec![]),
    ] {
        let listed = trellis.ok("ListServiceNetworkVpcAssociations", filter.clone()).await;
        assert_eq!(ids(&listed), expected, "{filter}");
    }
    assert!(
        trellis.refused("ListServiceNetworkVpcAssociations", json!({})).await.is(400, "ValidationException")
    );
}
