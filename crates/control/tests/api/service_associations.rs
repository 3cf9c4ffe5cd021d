use serde_json::{Value, json};

use crate::installation::{Installation, ids, pick};

fn input(network: &Value, service: &Value) -> Value {
    json!({"serviceNetworkIdentifier": network["id"], "serviceIdentifier": service["id"]})
}

fn by(association: &Value) -> Value {
    json!({"serviceNetworkServiceAssociationIdentifier": association["id"]})
}

#[tokio::test]
async fn an_association_repeats_the_services_names_and_waits_for_the_data_plane() {
    let mut trellis = Installation::new().await;
    let network = trellis.network().await;
    let service = trellis.service_with(json!({"customDomainName": "cart.example.com"})).await;
    trellis.stop_data_plane().await;
    let created = trellis.ok("CreateServiceNetworkServiceAssociation", input(&network, &service)).await;
    assert_eq!(
        pick(&created, &["status", "createdBy", "dnsEntry", "customDomainName"]),
        json!({
            "status": "CREATE_IN_PROGRESS", "createdBy": "111122223333", "dnsEntry": service["dnsEntry"],
            "customDomainName": "cart.example.com",
        })
    );
    let pending = trellis.refused("CreateServiceNetworkServiceAssociation", input(&network, &service)).await;
    assert!(pending.is(409, "ConflictException") && pending.message().contains("CREATE_IN_PROGRESS"));
    assert!(
        trellis
            .refused("DeleteServiceNetworkServiceAssociation", by(&created))
            .await
            .is(409, "ConflictException")
    );
    trellis.start_data_plane();
    let active = trellis.wait_status("GetServiceNetworkServiceAssociation", by(&created), "ACTIVE").await;
    assert_eq!(
        pick(
            &active,
            &[
                "serviceId",
                "serviceName",
                "serviceArn",
                "serviceNetworkId",
                "serviceNetworkName",
                "serviceNetworkArn",
                "dnsEntry"
            ]
        ),
        json!({
            "serviceId": service["id"], "serviceName": service["name"], "serviceArn": service["arn"],
            "serviceNetworkId": network["id"], "serviceNetworkName": network["name"],
            "serviceNetworkArn": network["arn"], "dnsEntry": service["dnsEntry"],
        })
    );
    let again = trellis.refused("CreateServiceNetworkServiceAssociation", input(&network, &service)).await;
    assert!(again.message().contains("already been associated"), "{again:?}");
    let got = trellis.ok("GetServiceNetwork", json!({"serviceNetworkIdentifier": network["id"]})).await;
    assert_eq!(got["numberOfAssociatedServices"], 1);

    trellis.stop_data_plane().await;
    let deleted = trellis.ok("DeleteServiceNetworkServiceAssociation", by(&created)).await;
    assert_eq!(deleted["status"], "DELETE_IN_PROGRESS");
    let refused = trellis.refused("DeleteService", json!({"serviceIdentifier": service["id"]})).await;
    assert!(refused.is(409, "ConflictException"));
    trellis.start_data_plane();
    trellis.wait_gone("GetServiceNetworkServiceAssociation", by(&created)).await;
    trellis.ok("DeleteService", json!({"serviceIdentifier": service["id"]})).await;
}

#[tokio::test]
async fn a_custom_domain_is_once_in_a_network() {
    let trellis = Installation::new().await;
    let (network, other) = (trellis.network().await, trellis.network().await);
    let one = trellis.service_with(json!({"customDomainName": "cart.example.com"})).await;
    let two = trellis.service_with(json!({"customDomainName": "CART.example.com"})).await;
    trellis.ok("CreateServiceNetworkServiceAssociation", input(&network, &one)).await;
    let refused = trellis.refused("CreateServiceNetworkServiceAssociation", input(&network, &two)).await;
    assert!(refused.is(409, "ConflictException"), "{refused:?}");
    trellis.ok("CreateServiceNetworkServiceAssociation", input(&other, &two)).await;
    trellis.ok("CreateServiceNetworkServiceAssociation", input(&other, &trellis.service().await)).await;
}

#[tokio::test]
async fn a_service_that_is_still_being_made_is_told_apart() {
    let trellis = Installation::new().await;
    let (network, service) = (trellis.network().await, trellis.service().await);
    trellis.set_status("service", &service, "CREATE_IN_PROGRESS").await;
    let refused = trellis.refused("CreateServiceNetworkServiceAssociation", input(&network, &service)).await;
    assert!(refused.is(409, "ConflictException"), "{refused:?}");
    assert!(refused.message().contains("CREATE_IN_PROGRESS"), "{refused:?}");
    assert_eq!(refused.body["resourceType"], "SERVICE");
}

#[tokio::test]
async fn associations_are_listed_by_network_by_service_or_by_both() {
    let trellis = Installation::new().await;
    let (one, other) = (trellis.network().await, trellis.network().await);
    let (a, b) = (trellis.service().await, trellis.service().await);
    let first = trellis.ok("CreateServiceNetworkServiceAssociation", input(&one, &a)).await;
    let second = trellis.ok("CreateServiceNetworkServiceAssociation", input(&other, &a)).await;
    let id = |association: &Value| association["id"].as_str().unwrap().to_owned();
    for (filter, expected) in [
        (json!({"serviceNetworkIdentifier": one["id"]}), vec![id(&first)]),
        (json!({"serviceIdentifier": a["arn"]}), vec![id(&first), id(&second)]),
        (json!({"serviceIdentifier": b["id"]}), vec![]),
        (json!({"serviceIdentifier": a["id"], "serviceNetworkIdentifier": other["id"]}), vec![id(&second)]),
    ] {
        let listed = trellis.ok("ListServiceNetworkServiceAssociations", filter.clone()).await;
        let mut found: Vec<_> = ids(&listed).into_iter().map(str::to_owned).collect();
        let mut expected = expected;
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{filter}");
    }
    assert!(
        trellis
            .refused("ListServiceNetworkServiceAssociations", json!({}))
            .await
            .is(400, "ValidationException")
    );
}
