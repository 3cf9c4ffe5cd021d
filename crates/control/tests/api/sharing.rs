//! Who may see, associate and delete what of another account.

use serde_json::{Value, json};
use trellis_model::resource::vpc::InstanceState;

use crate::installation::{Installation, ids};
use crate::party::Party;

async fn associate_service(party: &Party<'_>, network: &Value, service: &Value) -> Value {
    let input = json!({"serviceNetworkIdentifier": network["arn"], "serviceIdentifier": service["arn"]});
    let made = party.ok("CreateServiceNetworkServiceAssociation", input).await;
    let by = json!({"serviceNetworkServiceAssociationIdentifier": made["id"]});
    party.wait_status("GetServiceNetworkServiceAssociation", by, "ACTIVE").await
}

#[tokio::test]
async fn a_shared_network_is_seen_by_arn_by_id_and_in_lists_with_its_owners_account() {
    let trellis = Installation::new().await;
    let (owner, consumer) = (Party::owner(&trellis), Party::new(&trellis).await);
    let network = owner.network().await;
    let own = consumer.network().await;
    for identifier in [&network["id"], &network["arn"]] {
        assert!(
            consumer
                .call("GetServiceNetwork", json!({"serviceNetworkIdentifier": identifier}))
                .await
                .is_err()
        );
    }
    owner.share(&[&network], &consumer).await;
    for identifier in [&network["id"], &network["arn"]] {
        let seen = consumer.ok("GetServiceNetwork", json!({"serviceNetworkIdentifier": identifier})).await;
        assert_eq!(seen["arn"], network["arn"]);
    }
    let listed = consumer.ok("ListServiceNetworks", json!({})).await;
    assert_eq!(ids(&listed), [own["id"].as_str().unwrap(), network["id"].as_str().unwrap()]);
    assert_eq!(listed["items"][1]["arn"], network["arn"]);
    // A page at a time finds the same.
    let first = consumer.ok("ListServiceNetworks", json!({"maxResults": 1})).await;
    let rest = json!({"maxResults": 1, "nextToken": first["nextToken"]});
    let second = consumer.ok("ListServiceNetworks", rest).await;
    assert_eq!([ids(&first), ids(&second)].concat(), ids(&listed));
    assert_eq!(second["nextToken"], Value::Null);
    // "Its tags cannot be read there."
    let tags = json!({"resourceArn": network["arn"]});
    assert_eq!(consumer.refused("ListTagsForResource", tags).await, "AccessDeniedException");
    for operation in ["DeleteServiceNetwork", "UpdateServiceNetwork"] {
        let mut input = json!({"serviceNetworkIdentifier": network["arn"]});
        if operation == "UpdateServiceNetwork" {
            input["authType"] = "AWS_IAM".into();
        }
        assert_eq!(consumer.refused(operation, input).await, "AccessDeniedException");
    }
}

#[tokio::test]
async fn a_consumers_vpc_in_a_shared_network_is_known_to_both_under_an_arn_of_their_own() {
    let trellis = Installation::new().await;
    let (owner, consumer) = (Party::owner(&trellis), Party::new(&trellis).await);
    let other = Party::new(&trellis).await;
    let network = owner.network().await;
    let vpc = trellis.vpc_of(&consumer.home(), 7).await;
    let input =
        json!({"serviceNetworkIdentifier": network["arn"], "vpcIdentifier": vpc, "tags": {"by": "consumer"}});
    assert_eq!(
        consumer.refused("CreateServiceNetworkVpcAssociation", input.clone()).await,
        "AccessDeniedException"
    );
    owner.share(&[&network], &consumer).await;
    owner.share(&[&network], &other).await;
    // "Must be owned by the caller."
    assert_eq!(
        owner.refused("CreateServiceNetworkVpcAssociation", input.clone()).await,
        "ResourceNotFoundException"
    );
    let made = consumer.ok("CreateServiceNetworkVpcAssociation", input).await;
    assert_eq!(made["createdBy"], consumer.account());
    let by = json!({"serviceNetworkVpcAssociationIdentifier": made["id"]});
    for party in [&owner, &consumer] {
        let seen = party.wait_status("GetServiceNetworkVpcAssociation", by.clone(), "ACTIVE").await;
        let arn = seen["arn"].as_str().unwrap().to_owned();
        assert!(arn.contains(&format!(":{}:", party.account())), "{arn}");
        assert_eq!(seen["createdBy"], consumer.account());
        assert_eq!(seen["serviceNetworkArn"], network["arn"]);
        for filter in [json!({"serviceNetworkIdentifier": network["arn"]}), json!({"vpcIdentifier": vpc})] {
            let listed = party.ok("ListServiceNetworkVpcAssociations", filter).await;
            assert_eq!(listed["items"][0]["arn"], arn.as_str());
        }
        // Each has tags of its own.
        let tags = party.ok("ListTagsForResource", json!({"resourceArn": arn})).await["tags"].clone();
        let expected =
            if party.account() == consumer.account() { json!({"by": "consumer"}) } else { json!({}) };
        assert_eq!(tags, expected);
    }
    assert_eq!(
        owner.ok("GetServiceNetwork", json!({"serviceNetworkIdentifier": network["id"]})).await["numberOfAssociatedVPCs"],
        1
    );
    // "List all SNSA/SNRA/SNVA of it; not delete others' associations."
    let listed = other
        .ok("ListServiceNetworkVpcAssociations", json!({"serviceNetworkIdentifier": network["arn"]}))
        .await;
    assert_eq!(ids(&listed), [made["id"].as_str().unwrap()]);
    let foreign = json!({"serviceNetworkVpcAssociationIdentifier": listed["items"][0]["arn"]});
    assert_eq!(other.refused("DeleteServiceNetworkVpcAssociation", foreign).await, "AccessDeniedException");
    assert_eq!(
        other.refused("DeleteServiceNetworkVpcAssociation", by.clone()).await,
        "ResourceNotFoundException"
    );
    // "Only account that can update it."
    let update = json!({"serviceNetworkVpcAssociationIdentifier": made["id"], "privateDnsEnabled": true});
    assert_eq!(
        owner.refused("UpdateServiceNetworkVpcAssociation", update.clone()).await,
        "AccessDeniedException"
    );
    consumer.ok("UpdateServiceNetworkVpcAssociation", update).await;
    consumer.wait_status("GetServiceNetworkVpcAssociation", by.clone(), "ACTIVE").await;
    // The network's owner may end it.
    owner.ok("DeleteServiceNetworkVpcAssociation", by.clone()).await;
    for party in [&owner, &consumer] {
        party.wait_gone("GetServiceNetworkVpcAssociation", by.clone()).await;
    }
    for left in ["far-association", "network-vpc", "vpc-network"] {
        for party in [&owner, &consumer] {
            let prefix = format!("index/lattice/{}/us-east-1/{left}/", party.account());
            assert!(trellis.entries(&prefix).is_empty(), "{prefix}");
        }
    }
    assert!(trellis.entries(&format!("tags/{}/", consumer.account())).is_empty());
}

#[tokio::test]
async fn the_snapshot_lets_a_consumers_vpc_reach_the_services_of_a_shared_network() {
    let trellis = Installation::new().await;
    let (owner, consumer) = (Party::owner(&trellis), Party::new(&trellis).await);
    let network = owner.network().await;
    let service = owner.service().await;
    owner
        .ok(
            "CreateListener",
            json!({
                "serviceIdentifier": service["id"], "name": "http", "protocol": "HTTP",
                "defaultAction": {"fixedResponse": {"statusCode": 404}},
            }),
        )
        .await;
    associate_service(&owner, &network, &service).await;
    owner.share(&[&network], &consumer).await;
    let vpc = trellis.vpc_of(&consumer.home(), 7).await;
    trellis.instance(&vpc, "10.7.1.10", InstanceState::Running).await;
    let input = json!({"serviceNetworkIdentifier": network["arn"], "vpcIdentifier": vpc});
    let made = consumer.ok("CreateServiceNetworkVpcAssociation", input).await;
    let by = json!({"serviceNetworkVpcAssociationIdentifier": made["id"]});
    consumer.wait_status("GetServiceNetworkVpcAssociation", by, "ACTIVE").await;
    let snapshot = trellis.control.snapshots().borrow().clone();
    let ingress = &snapshot.ingresses[&vpc];
    assert_eq!(ingress.vpc_owner.as_str(), consumer.account());
    assert_eq!(*ingress.vpc_arn, *format!("arn:aws:ec2:us-east-1:{}:vpc/{vpc}", consumer.account()));
    assert_eq!(&*ingress.network.arn, network["arn"].as_str().unwrap());
    let host = service["dnsEntry"]["domainName"].as_str().unwrap();
    assert_eq!(ingress.network.hosts[host].owner.as_str(), owner.account());
}

#[tokio::test]
async fn a_shared_service_is_described_and_associated_and_nothing_else() {
    let trellis = Installation::new().await;
    let (owner, consumer) = (Party::owner(&trellis), Party::new(&trellis).await);
    let service = owner.service().await;
    let network = consumer.network().await;
    owner.share(&[&service], &consumer).await;
    let by = json!({"serviceIdentifier": service["arn"]});
    assert_eq!(consumer.ok("GetService", by.clone()).await["arn"], service["arn"]);
    assert_eq!(ids(&consumer.ok("ListServices", json!({})).await), [service["id"].as_str().unwrap()]);
    // "Delete it; read its listeners/TGs" it may not.
    for operation in ["DeleteService", "ListListeners", "UpdateService"] {
        assert_eq!(consumer.refused(operation, by.clone()).await, "AccessDeniedException", "{operation}");
    }
    let policy = json!({"resourceIdentifier": service["arn"]});
    assert_eq!(consumer.refused("GetAuthPolicy", policy).await, "AccessDeniedException");

    let association = associate_service(&consumer, &network, &service).await;
    let by_id = json!({"serviceNetworkServiceAssociationIdentifier": association["id"]});
    assert_eq!(association["createdBy"], consumer.account());
    // The service's owner sees and may delete every association of it.
    let listed = owner.ok("ListServiceNetworkServiceAssociations", by.clone()).await;
    assert_eq!(ids(&listed), [association["id"].as_str().unwrap()]);
    assert!(listed["items"][0]["arn"].as_str().unwrap().contains(owner.account()));
    assert_eq!(listed["items"][0]["serviceNetworkArn"], network["arn"]);
    assert_eq!(ids(&consumer.ok("ListServiceNetworkServiceAssociations", by.clone()).await), ids(&listed));
    assert_eq!(owner.refused("DeleteService", by).await, "ConflictException");
    let network_by_id = json!({"serviceNetworkIdentifier": network["id"]});
    assert_eq!(consumer.refused("DeleteServiceNetwork", network_by_id).await, "ConflictException");
    owner.ok("DeleteServiceNetworkServiceAssociation", by_id.clone()).await;
    consumer.wait_gone("GetServiceNetworkServiceAssociation", by_id).await;
}

#[tokio::test]
async fn two_resources_that_are_both_shared_in_cannot_be_associated() {
    let trellis = Installation::new().await;
    let (owner, consumer) = (Party::owner(&trellis), Party::new(&trellis).await);
    let other = Party::new(&trellis).await;
    let (network, service, theirs) = (owner.network().await, owner.service().await, other.service().await);
    owner.share(&[&network, &service], &consumer).await;
    other.share(&[&theirs], &consumer).await;
    for service in [&service, &theirs] {
        let input = json!({"serviceNetworkIdentifier": network["arn"], "serviceIdentifier": service["arn"]});
        assert_eq!(
            consumer.refused("CreateServiceNetworkServiceAssociation", input).await,
            "AccessDeniedException"
        );
    }
    // Its own service may come in.
    let own = consumer.service().await;
    let association = associate_service(&consumer, &network, &own).await;
    assert!(association["arn"].as_str().unwrap().contains(consumer.account()));
}

#[tokio::test]
async fn what_is_unshared_is_gone_but_associations_stay_until_they_are_deleted() {
    let trellis = Installation::new().await;
    let (owner, consumer) = (Party::owner(&trellis), Party::new(&trellis).await);
    let (network, own) = (owner.network().await, consumer.service().await);
    let share = owner.share(&[&network], &consumer).await;
    let association = associate_service(&consumer, &network, &own).await;
    owner.ram_ok("DeleteResourceShare", json!({"resourceShareArn": share})).await;
    let by = json!({"serviceNetworkIdentifier": network["arn"]});
    assert_eq!(consumer.refused("GetServiceNetwork", by.clone()).await, "AccessDeniedException");
    assert_eq!(consumer.ok("ListServiceNetworks", json!({})).await, json!({"items": []}));
    let again = consumer.service().await;
    let input = json!({"serviceNetworkIdentifier": network["arn"], "serviceIdentifier": again["id"]});
    assert_eq!(
        consumer.refused("CreateServiceNetworkServiceAssociation", input).await,
        "AccessDeniedException"
    );
    // Its own association is still listed, by ARN and by id, and may be deleted.
    for identifier in [&network["arn"], &network["id"]] {
        let by = json!({"serviceNetworkIdentifier": identifier});
        let listed = consumer.ok("ListServiceNetworkServiceAssociations", by).await;
        assert_eq!(ids(&listed), [association["id"].as_str().unwrap()]);
    }
    let by = json!({"serviceNetworkServiceAssociationIdentifier": association["id"]});
    assert_eq!(consumer.ok("GetServiceNetworkServiceAssociation", by.clone()).await["status"], "ACTIVE");
    consumer.ok("DeleteServiceNetworkServiceAssociation", by.clone()).await;
    owner.wait_gone("GetServiceNetworkServiceAssociation", by).await;
    assert!(trellis.entries("grant/").is_empty());
}

#[tokio::test]
async fn a_shared_group_of_resources_brings_its_children_and_its_associations_end_on_both_sides() {
    let trellis = Installation::new().await;
    let (owner, consumer) = (Party::owner(&trellis), Party::new(&trellis).await);
    let gateway = trellis.gateway(&trellis.vpc(0).await).await;
    let group = trellis
        .resource("GROUP", json!({"resourceGatewayIdentifier": gateway["id"], "portRanges": ["5432"]}))
        .await;
    let child = trellis
        .resource(
            "CHILD",
            json!({
                "resourceConfigurationGroupIdentifier": group["id"],
                "resourceConfigurationDefinition": {"ipResource": {"ipAddress": "10.0.1.9"}},
                "portRanges": ["5432"],
            }),
        )
        .await;
    let network = consumer.network().await;
    owner.share(&[&group], &consumer).await;
    for resource in [&group, &child] {
        let by = json!({"resourceConfigurationIdentifier": resource["arn"]});
        assert_eq!(consumer.ok("GetResourceConfiguration", by.clone()).await["id"], resource["id"]);
        assert_eq!(consumer.refused("DeleteResourceConfiguration", by).await, "AccessDeniedException");
    }
    assert_eq!(
        ids(&consumer.ok("ListResourceConfigurations", json!({})).await),
        [group["id"].as_str().unwrap()]
    );
    let children = json!({"resourceConfigurationGroupIdentifier": group["arn"]});
    assert_eq!(
        ids(&consumer.ok("ListResourceConfigurations", children).await),
        [child["id"].as_str().unwrap()]
    );
    let gateway_by_arn = json!({"resourceGatewayIdentifier": gateway["arn"]});
    assert_eq!(consumer.refused("GetResourceGateway", gateway_by_arn).await, "AccessDeniedException");

    let input =
        json!({"serviceNetworkIdentifier": network["id"], "resourceConfigurationIdentifier": group["arn"]});
    let made = consumer.ok("CreateServiceNetworkResourceAssociation", input).await;
    let by = json!({"serviceNetworkResourceAssociationIdentifier": made["id"]});
    for party in [&owner, &consumer] {
        let seen = party.wait_status("GetServiceNetworkResourceAssociation", by.clone(), "ACTIVE").await;
        assert!(seen["arn"].as_str().unwrap().contains(party.account()));
        for filter in [json!({}), json!({"resourceConfigurationIdentifier": group["arn"]})] {
            let mut filter = filter;
            filter["includeChildren"] = true.into();
            let listed = party.ok("ListServiceNetworkResourceAssociations", filter.clone()).await;
            assert_eq!(listed["items"].as_array().unwrap().len(), 2, "{filter} {listed}");
        }
    }
    owner.ok("DeleteServiceNetworkResourceAssociation", by.clone()).await;
    for party in [&owner, &consumer] {
        party.wait_gone("GetServiceNetworkResourceAssociation", by.clone()).await;
        let prefix = format!("index/lattice/{}/us-east-1/network-resource/", party.account());
        for _ in 0..4000 {
            if trellis.entries(&prefix).is_empty() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert!(trellis.entries(&prefix).is_empty());
    }
}

#[tokio::test]
async fn a_consumers_hosts_reach_a_shared_resource_through_the_consumers_own_network() {
    let trellis = Installation::new().await;
    let (owner, consumer) = (Party::owner(&trellis), Party::new(&trellis).await);
    let gateway = trellis.gateway(&trellis.vpc(0).await).await;
    let resource = trellis
        .resource(
            "SINGLE",
            json!({
                "resourceGatewayIdentifier": gateway["id"],
                "resourceConfigurationDefinition": {"ipResource": {"ipAddress": "10.0.1.9"}},
                "portRanges": ["5432"],
            }),
        )
        .await;
    owner.share(&[&resource], &consumer).await;
    let network = consumer.network().await;
    let vpc = trellis.vpc_of(&consumer.home(), 7).await;
    let input = json!({"serviceNetworkIdentifier": network["id"], "vpcIdentifier": vpc});
    let joined = consumer.ok("CreateServiceNetworkVpcAssociation", input).await;
    let by = json!({"serviceNetworkVpcAssociationIdentifier": joined["id"]});
    consumer.wait_status("GetServiceNetworkVpcAssociation", by, "ACTIVE").await;
    let input = json!({
        "serviceNetworkIdentifier": network["id"], "resourceConfigurationIdentifier": resource["arn"],
    });
    let made = consumer.ok("CreateServiceNetworkResourceAssociation", input).await;
    let by = json!({"serviceNetworkResourceAssociationIdentifier": made["id"]});
    consumer.wait_status("GetServiceNetworkResourceAssociation", by.clone(), "ACTIVE").await;
    let reached = || {
        let snapshot = trellis.control.snapshots().borrow().clone();
        let resources = snapshot.ingresses[&vpc].resources.iter();
        resources.map(|found| (found.arn.to_string(), found.owner.to_string())).collect::<Vec<_>>()
    };
    assert_eq!(reached(), [(resource["arn"].as_str().unwrap().to_owned(), owner.account().to_owned())]);
    // Its owner may end that at any time.
    owner.ok("DeleteServiceNetworkResourceAssociation", by.clone()).await;
    consumer.wait_gone("GetServiceNetworkResourceAssociation", by).await;
    assert!(reached().is_empty());
}

#[tokio::test]
async fn a_resource_policy_shares_what_it_allows_and_a_denial_in_it_beats_a_share() {
    let trellis = Installation::new().await;
    let (owner, consumer) = (Party::owner(&trellis), Party::new(&trellis).await);
    let network = owner.network().await;
    let policy = |effect: &str, actions: Value, condition: Value| {
        json!({"Version": "2012-10-17", "Statement": [{
            "Effect": effect, "Principal": {"AWS": consumer.account()}, "Resource": network["arn"],
            "Action": actions, "Condition": condition,
        }]})
        .to_string()
    };
    let put = async |policy: String| {
        owner.ok("PutResourcePolicy", json!({"resourceArn": network["arn"], "policy": policy})).await;
    };
    let by = json!({"serviceNetworkIdentifier": network["arn"]});
    put(policy("Allow", json!("vpc-lattice:GetServiceNetwork"), json!({}))).await;
    assert_eq!(consumer.ok("GetServiceNetwork", by.clone()).await["id"], network["id"]);
    assert_eq!(ids(&consumer.ok("ListServiceNetworks", json!({})).await), [network["id"].as_str().unwrap()]);
    let vpcs = [trellis.vpc_of(&consumer.home(), 7).await, trellis.vpc_of(&consumer.home(), 8).await];
    let join = |vpc| json!({"serviceNetworkIdentifier": network["arn"], "vpcIdentifier": vpc});
    let operation = "CreateServiceNetworkVpcAssociation";
    assert_eq!(consumer.refused(operation, join(&vpcs[0])).await, "AccessDeniedException");
    let condition = json!({"StringEquals": {"vpc-lattice:VpcId": vpcs[1]}});
    put(policy("Allow", json!(["vpc-lattice:CreateServiceNetworkVpcAssociation"]), condition)).await;
    assert_eq!(consumer.refused(operation, join(&vpcs[0])).await, "AccessDeniedException");
    consumer.ok(operation, join(&vpcs[1])).await;

    owner.share(&[&network], &consumer).await;
    consumer.ok("GetServiceNetwork", by.clone()).await;
    put(policy("Deny", json!("vpc-lattice:*"), json!({}))).await;
    assert_eq!(consumer.refused("GetServiceNetwork", by.clone()).await, "AccessDeniedException");
    assert_eq!(consumer.ok("ListServiceNetworks", json!({})).await, json!({"items": []}));
    owner.ok("DeleteResourcePolicy", json!({"resourceArn": network["arn"]})).await;
    consumer.ok("GetServiceNetwork", by).await;
    // "RAM writes the resource policy."
    let shown = owner.ok("GetResourcePolicy", json!({"resourceArn": network["arn"]})).await;
    let shown: Value = serde_json::from_str(shown["policy"].as_str().unwrap()).unwrap();
    assert_eq!(
        shown["Statement"][0]["Principal"]["AWS"],
        json!([format!("arn:aws:iam::{}:root", consumer.account())])
    );
}

#[tokio::test]
async fn a_policy_for_everybody_is_found_by_everybody_once() {
    let trellis = Installation::new().await;
    let (owner, consumer) = (Party::owner(&trellis), Party::new(&trellis).await);
    let service = owner.service().await;
    let policy = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": "*", "Action": "vpc-lattice:GetService", "Resource": "*",
    }]});
    let put = json!({"resourceArn": service["arn"], "policy": policy.to_string()});
    owner.ok("PutResourcePolicy", put).await;
    let found = consumer.ok("ListServices", json!({})).await;
    assert_eq!(ids(&found), [service["id"].as_str().unwrap()]);
    owner.share(&[&service], &consumer).await;
    assert_eq!(consumer.ok("ListServices", json!({})).await, found);
    assert_eq!(owner.ok("ListServices", json!({})).await["items"].as_array().unwrap().len(), 1);
    owner.ok("DeleteService", json!({"serviceIdentifier": service["id"]})).await;
    owner.wait_gone("GetService", json!({"serviceIdentifier": service["id"]})).await;
    assert!(trellis.entries("grant/").is_empty() && trellis.entries("shared/").is_empty());
}
