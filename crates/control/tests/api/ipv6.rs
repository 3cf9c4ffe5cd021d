//! IPv6 in VPC Lattice: target groups, gateways and resources in VPCs that have it.

use serde_json::{Value, json};
use trellis_model::snapshot::{AddressFamily, Destination};

use crate::installation::{Installation, forward, has_target};

#[tokio::test]
async fn targets_of_an_ipv6_group_are_ipv6_addresses_in_subnets_of_its_vpc() {
    let trellis = Installation::new().await;
    let vpc = trellis.dualstack_vpc(0).await;
    let config = json!({
        "port": 80, "protocol": "HTTP", "vpcIdentifier": vpc, "ipAddressType": "IPV6",
    });
    let group = trellis.group_with("IP", config).await;
    assert_eq!(group["config"]["ipAddressType"], "IPV6");
    let ipv4 = trellis.group(&vpc).await;
    let register = async |group: &Value, id: &str| {
        let input = json!({"targetGroupIdentifier": group["id"], "targets": [{"id": id}]});
        trellis.ok("RegisterTargets", input).await
    };
    // One spelling for each address.
    let done = register(&group, "FD12:0:0:001::0010").await;
    assert_eq!(done["successful"], json!([{"id": "fd12:0:0:1::10", "port": 80}]));
    for (group, id, reason) in [
        (&group, "10.0.1.10", "expected an IPv6 address"),
        (&ipv4, "fd12:0:0:1::10", "expected an IPv4 address"),
        (&group, "fd12:0:0:2::10", "is in no subnet of"),
        (&group, "2001:db8::1", "is in no subnet of"),
        (&group, "fe80::1", "cannot be a target"),
        (&group, "::1", "cannot be a target"),
        (&group, "ff02::1", "cannot be a target"),
        (&group, "::ffff:10.0.1.10", "cannot be a target"),
        (&group, "fd12::z", "is not an IP address"),
    ] {
        let outcome = register(group, id).await;
        let refused = &outcome["unsuccessful"][0];
        assert_eq!(refused["failureCode"], "UnsupportedTarget", "{id} {outcome}");
        assert!(refused["failureMessage"].as_str().unwrap().contains(reason), "{id} {outcome}");
    }
    let listed = trellis.ok("ListTargets", json!({"targetGroupIdentifier": group["id"]})).await;
    assert_eq!(listed["items"][0]["id"], "fd12:0:0:1::10");

    // And so it comes to the data plane.
    let service = trellis.service().await;
    let listener = json!({
        "serviceIdentifier": service["id"], "name": "http", "protocol": "HTTP", "defaultAction": forward(&group),
    });
    trellis.ok("CreateListener", listener).await;
    let id = group["id"].as_str().unwrap();
    let snapshots = &mut trellis.control.snapshots();
    let found = snapshots.wait_for(has_target).await.unwrap();
    let compiled = found.target_groups.values().find(|group| group.id.as_str() == id).unwrap();
    assert_eq!(compiled.targets[0].address, "[fd12:0:0:1::10]:80".parse().unwrap());
}

#[tokio::test]
async fn a_gateway_has_the_addresses_of_its_type_and_its_subnets_must_have_them() {
    let trellis = Installation::new().await;
    let (dual, plain) = (trellis.dualstack_vpc(0).await, trellis.vpc(1).await);
    let made = trellis.gateway_with(&dual, json!({"ipAddressType": "IPV6"})).await;
    assert_eq!((&made["ipAddressType"], &made["ipv4AddressesPerEni"]), (&json!("IPV6"), &Value::Null));
    let both =
        trellis.gateway_with(&dual, json!({"ipAddressType": "DUALSTACK", "ipv4AddressesPerEni": 2})).await;
    assert_eq!((&both["ipAddressType"], &both["ipv4AddressesPerEni"]), (&json!("DUALSTACK"), &json!(2)));
    let plan = trellis
        .control
        .fabric_plans()
        .wait_for(|plan| plan.vpcs.get(&dual).is_some_and(|vpc| vpc.gateways.len() == 2))
        .await
        .unwrap()
        .clone();
    let counts: Vec<(usize, usize)> = plan.vpcs[&dual]
        .gateways
        .values()
        .map(|gateway| {
            let ipv4 = gateway.addresses.iter().filter(|address| address.is_ipv4()).count();
            (ipv4, gateway.addresses.len() - ipv4)
        })
        .collect();
    assert!(counts.contains(&(0, 16)) && counts.contains(&(2, 16)), "{counts:?}");

    let input = |vpc: &trellis_model::VpcId, more: Value| {
        let mut input = json!({"name": "other", "vpcIdentifier": vpc, "subnetIds": trellis.subnets(vpc)});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        input
    };
    for (vpc, more, field) in [
        (&plain, json!({"ipAddressType": "IPV6"}), "ipAddressType"),
        (&dual, json!({"ipAddressType": "IPV6", "ipv4AddressesPerEni": 4}), "ipv4AddressesPerEni"),
    ] {
        let refused = trellis.refused("CreateResourceGateway", input(vpc, more)).await;
        assert!(refused.is(400, "ValidationException"), "{refused:?}");
        assert_eq!(refused.body["fieldList"][0]["name"], field, "{refused:?}");
    }
}

#[tokio::test]
async fn resources_are_of_a_family_of_their_gateway_and_reached_from_its_addresses() {
    let trellis = Installation::new().await;
    let (network, client, provider) =
        (trellis.network().await, trellis.vpc(0).await, trellis.dualstack_vpc(0).await);
    let association = json!({"serviceNetworkIdentifier": network["id"], "vpcIdentifier": client});
    trellis.ok("CreateServiceNetworkVpcAssociation", association).await;
    let gateway = trellis.gateway_with(&provider, json!({"ipAddressType": "IPV6"})).await;
    let by_ip = |address: &str| json!({"ipResource": {"ipAddress": address}});
    let by_name =
        |kind: &str| json!({"dnsResource": {"domainName": "db.example.com", "ipAddressType": kind}});
    let input = |definition: Value| {
        json!({
            "name": "refused", "type": "SINGLE", "resourceGatewayIdentifier": gateway["id"], "portRanges": ["80"],
            "resourceConfigurationDefinition": definition,
        })
    };
    for definition in
        [by_ip("10.0.1.10"), by_ip("fd13::1"), by_ip("2001:db8::1"), by_name("IPV4"), by_name("DUALSTACK")]
    {
        let refused = trellis.refused("CreateResourceConfiguration", input(definition.clone())).await;
        assert!(refused.is(400, "ValidationException"), "{definition} {refused:?}");
    }
    for definition in [by_ip("fd12:0:0:1::10"), by_name("IPV6")] {
        let more = json!({
            "resourceGatewayIdentifier": gateway["id"], "portRanges": ["80"],
            "resourceConfigurationDefinition": definition,
        });
        let resource = trellis.resource("SINGLE", more).await;
        assert_eq!(resource["resourceConfigurationDefinition"], definition);
        let associated = json!({"serviceNetworkIdentifier": network["id"], "resourceConfigurationIdentifier": resource["id"]});
        trellis.ok("CreateServiceNetworkResourceAssociation", associated).await;
    }
    let snapshots = &mut trellis.control.snapshots();
    let reached = |snapshot: &trellis_model::snapshot::Snapshot| {
        snapshot.ingresses.get(&client).map_or(0, |ingress| ingress.resources.iter().count())
    };
    let snapshot = snapshots.wait_for(|snapshot| reached(snapshot) == 2).await.unwrap().clone();
    let resources: Vec<_> = snapshot.ingresses[&client].resources.iter().collect();
    let wanted = [
        Destination::Ip("fd12:0:0:1::10".parse().unwrap()),
        Destination::Name("db.example.com".into(), AddressFamily::Ipv6),
    ];
    for destination in wanted {
        let resource = resources.iter().find(|resource| resource.destination == destination).unwrap();
        assert!(resource.sources.iter().all(|source| source.is_ipv6()), "{:?}", resource.sources);
        assert_eq!(resource.sources.len(), 16);
    }
}
