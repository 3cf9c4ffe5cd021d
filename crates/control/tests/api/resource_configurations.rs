use serde_json::{Value, json};

use crate::installation::{Installation, ids, pick};

fn by(resource: &Value) -> Value {
    json!({"resourceConfigurationIdentifier": resource["id"]})
}

fn and(mut input: Value, more: Value) -> Value {
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    input
}

fn ip(address: &str) -> Value {
    json!({"ipResource": {"ipAddress": address}})
}

fn dns(domain: &str) -> Value {
    json!({"dnsResource": {"domainName": domain, "ipAddressType": "IPV4"}})
}

#[tokio::test]
async fn a_single_resource_comes_back_as_it_was_given_with_defaults() {
    let trellis = Installation::new().await;
    let gateway = trellis.gateway(&trellis.vpc(0).await).await;
    let create = json!({
        "name": "orders", "type": "SINGLE", "resourceGatewayIdentifier": gateway["arn"],
        "resourceConfigurationDefinition": ip("10.0.1.10"), "customDomainName": "db.example.com",
        "tags": {"team": "data"},
    });
    let created = trellis.ok("CreateResourceConfiguration", create.clone()).await;
    let arn = format!(
        "arn:aws:vpc-lattice:us-east-1:111122223333:resourceconfiguration/{}",
        created["id"].as_str().unwrap()
    );
    assert!(created["createdAt"].is_string());
    let known = json!({
        "id": created["id"], "arn": arn, "name": "orders", "type": "SINGLE",
        "resourceGatewayId": gateway["id"], "portRanges": ["1-65535"], "protocol": "TCP",
        "resourceConfigurationDefinition": ip("10.0.1.10"), "customDomainName": "db.example.com",
        "allowAssociationToShareableServiceNetwork": false, "createdAt": created["createdAt"],
    });
    assert_eq!(created, and(known.clone(), json!({"status": "CREATE_IN_PROGRESS"})));
    let got = trellis.wait_status("GetResourceConfiguration", by(&created), "ACTIVE").await;
    let settled = json!({"status": "ACTIVE", "amazonManaged": false, "lastUpdatedAt": got["lastUpdatedAt"]});
    assert_eq!(got, and(known, settled));
    let listed = trellis.ok("ListResourceConfigurations", json!({})).await;
    assert_eq!(
        listed["items"],
        json!([{
            "id": created["id"], "arn": arn, "name": "orders", "type": "SINGLE", "status": "ACTIVE",
            "resourceGatewayId": gateway["id"], "customDomainName": "db.example.com", "amazonManaged": false,
            "createdAt": got["createdAt"], "lastUpdatedAt": got["lastUpdatedAt"],
        }])
    );
    let again = trellis.refused("CreateResourceConfiguration", create).await;
    assert!(again.is(409, "ConflictException") && again.message().contains("already exist"), "{again:?}");
}

#[tokio::test]
async fn a_member_that_does_not_go_with_the_type_is_named_and_refused() {
    let trellis = Installation::new().await;
    let vpc = trellis.vpc(0).await;
    let gateway = trellis.gateway(&vpc).await;
    let other = trellis.gateway(&vpc).await;
    let inside = trellis.gateway_with(&vpc, json!({"resourceConfigDnsResolution": "IN_VPC"})).await;
    let behind = |gateway: &Value| json!({"resourceGatewayIdentifier": gateway["id"]});
    let group = trellis.resource("GROUP", behind(&gateway)).await;
    let child = json!({"resourceConfigurationGroupIdentifier": group["id"]});
    let rds = json!({"arnResource": {"arn": "arn:aws:rds:us-east-1:111122223333:db:orders"}});
    let cidr = json!({"cidrResource": {"cidrRanges": ["10.0.0.0/8"]}});
    let defined = |definition: Value| json!({"resourceConfigurationDefinition": definition});
    let entries = trellis.entries("lattice/").len();
    for (kind, place, more, attribute) in [
        ("GROUP", behind(&gateway), json!({"customDomainName": "db.example.com"}), "customDomainName"),
        ("GROUP", behind(&gateway), defined(ip("10.0.1.10")), "resourceConfigurationDefinition"),
        ("GROUP", behind(&gateway), child.clone(), "resourceConfigurationGroupIdentifier"),
        (
            "SINGLE",
            behind(&gateway),
            and(defined(ip("10.0.1.10")), json!({"groupDomain": "example.com"})),
            "groupDomain",
        ),
        ("SINGLE", behind(&gateway), defined(rds.clone()), "arnResource"),
        ("SINGLE", behind(&gateway), defined(cidr.clone()), "cidrResource"),
        ("CHILD", child.clone(), and(defined(ip("10.0.1.10")), behind(&other)), "resourceGatewayIdentifier"),
        (
            "CHILD",
            child.clone(),
            and(defined(ip("10.0.1.10")), json!({"allowAssociationToShareableServiceNetwork": true})),
            "allowAssociationToShareableServiceNetwork",
        ),
        ("ARN", behind(&gateway), and(defined(rds.clone()), json!({"portRanges": ["5432"]})), "portRanges"),
        ("ARN", behind(&gateway), defined(dns("db.example.com")), "dnsResource"),
        (
            "CIDR",
            behind(&inside),
            and(defined(cidr.clone()), json!({"customDomainName": "a.example.com"})),
            "customDomainName",
        ),
    ] {
        let input = and(and(json!({"name": "refused", "type": kind}), place), more);
        let refused = trellis.refused("CreateResourceConfiguration", input.clone()).await;
        assert!(refused.is(400, "ValidationException"), "{input} {refused:?}");
        assert_eq!(refused.message(), format!("Unexpected attribute {attribute} for type {kind}"), "{input}");
    }
    for (kind, place, more) in [
        ("SINGLE", json!({}), defined(ip("10.0.1.10"))),
        ("SINGLE", behind(&gateway), json!({})),
        ("SINGLE", behind(&gateway), defined(ip("8.8.8.8"))),
        ("SINGLE", behind(&gateway), defined(dns("*.example.com"))),
        ("SINGLE", behind(&gateway), and(defined(ip("10.0.1.10")), json!({"protocol": "TCP_UDP"}))),
        ("SINGLE", behind(&gateway), and(defined(ip("10.0.1.10")), json!({"portRanges": ["0"]}))),
        ("SINGLE", behind(&gateway), and(defined(ip("10.0.1.10")), json!({"portRanges": ["90-80"]}))),
        ("SINGLE", behind(&gateway), and(defined(ip("10.0.1.10")), json!({"portRanges": ["65536"]}))),
        (
            "SINGLE",
            behind(&gateway),
            and(defined(ip("10.0.1.10")), json!({"customDomainName": "*.example.com"})),
        ),
        (
            "SINGLE",
            behind(&gateway),
            defined(
                json!({"ipResource": {"ipAddress": "10.0.1.10"}, "dnsResource": {"domainName": "db.example.com"}}),
            ),
        ),
        ("CHILD", json!({}), defined(ip("10.0.1.10"))),
        ("ARN", behind(&inside), defined(rds)),
        ("CIDR", behind(&gateway), defined(cidr)),
        ("CIDR", behind(&inside), defined(json!({"cidrResource": {"cidrRanges": ["169.254.0.0/16"]}}))),
    ] {
        let input = and(and(json!({"name": "refused", "type": kind}), place), more);
        let refused = trellis.refused("CreateResourceConfiguration", input.clone()).await;
        assert!(refused.is(400, "ValidationException"), "{input} {refused:?}");
    }
    assert_eq!(trellis.entries("lattice/").len(), entries);
}

#[tokio::test]
async fn every_type_is_made_with_what_goes_with_it() {
    let trellis = Installation::new().await;
    let vpc = trellis.vpc(0).await;
    let gateway = trellis.gateway(&vpc).await;
    let inside = trellis.gateway_with(&vpc, json!({"resourceConfigDnsResolution": "IN_VPC"})).await;
    let group = json!({
        "resourceGatewayIdentifier": gateway["id"], "groupDomain": "example.com", "portRanges": ["5432"],
        "allowAssociationToShareableServiceNetwork": true,
    });
    let group = trellis.resource("GROUP", group).await;
    assert_eq!(
        pick(&group, &["groupDomain", "portRanges", "resourceConfigurationDefinition"]),
        json!({"groupDomain": "example.com", "portRanges": ["5432"], "resourceConfigurationDefinition": null})
    );
    let child = json!({
        "resourceConfigurationGroupIdentifier": group["arn"],
        "resourceConfigurationDefinition": dns("db.example.com"), "portRanges": ["00080", "443-443", "80", "8000-8080"],
    });
    let child = trellis.resource("CHILD", child).await;
    assert_eq!(
        pick(
            &child,
            &[
                "resourceGatewayId",
                "resourceConfigurationGroupId",
                "portRanges",
                "resourceConfigurationDefinition",
                "allowAssociationToShareableServiceNetwork"
            ]
        ),
        json!({
            "resourceGatewayId": gateway["id"], "resourceConfigurationGroupId": group["id"],
            "portRanges": ["80", "443-443", "8000-8080"],
            "resourceConfigurationDefinition": dns("db.example.com"),
            "allowAssociationToShareableServiceNetwork": true,
        })
    );
    let rds = json!({"arnResource": {"arn": "arn:aws:rds:us-east-1:111122223333:cluster:orders"}});
    let database =
        json!({"resourceGatewayIdentifier": gateway["id"], "resourceConfigurationDefinition": rds});
    let database = trellis.resource("ARN", database).await;
    assert_eq!(
        pick(&database, &["portRanges", "protocol", "resourceConfigurationDefinition"]),
        json!({"portRanges": null, "protocol": null, "resourceConfigurationDefinition": rds})
    );
    let cidr = json!({"cidrResource": {"cidrRanges": ["10.0.0.0/8", "192.168.0.0/16"]}});
    let ranges = json!({
        "resourceGatewayIdentifier": inside["id"], "resourceConfigurationDefinition": cidr, "protocol": "TCP_UDP",
    });
    let ranges = trellis.resource("CIDR", ranges).await;
    assert_eq!(
        pick(&ranges, &["portRanges", "protocol", "resourceConfigurationDefinition"]),
        json!({"portRanges": ["1-65535"], "protocol": "TCP_UDP", "resourceConfigurationDefinition": cidr})
    );

    let of_group = json!({"resourceConfigurationGroupIdentifier": group["id"]});
    assert_eq!(
        ids(&trellis.ok("ListResourceConfigurations", of_group).await),
        [child["id"].as_str().unwrap()]
    );
    let behind = json!({"resourceGatewayIdentifier": inside["id"]});
    assert_eq!(
        ids(&trellis.ok("ListResourceConfigurations", behind).await),
        [ranges["id"].as_str().unwrap()]
    );
    let nowhere = json!({"resourceGatewayIdentifier": "rgw-00000000000000fff"});
    assert!(ids(&trellis.ok("ListResourceConfigurations", nowhere).await).is_empty());
    let mut resolve = json!({"resourceGatewayIdentifier": gateway["id"]});
    resolve["resourceConfigDnsResolution"] = json!("IN_VPC");
    assert!(trellis.refused("UpdateResourceGateway", resolve).await.is(400, "ValidationException"));

    let refused = trellis.refused("DeleteResourceConfiguration", by(&group)).await;
    assert!(refused.is(409, "ConflictException"), "{refused:?}");
    trellis.ok("DeleteResourceConfiguration", by(&child)).await;
    trellis.wait_gone("GetResourceConfiguration", by(&child)).await;
    trellis.ok("DeleteResourceConfiguration", by(&group)).await;
    trellis.wait_gone("GetResourceConfiguration", by(&group)).await;
}

#[tokio::test]
async fn an_address_can_be_replaced_and_a_name_cannot() {
    let trellis = Installation::new().await;
    let gateway = trellis.gateway(&trellis.vpc(0).await).await;
    let single = |definition: Value| json!({"resourceGatewayIdentifier": gateway["id"], "resourceConfigurationDefinition": definition});
    let address = trellis.resource("SINGLE", single(ip("10.0.1.10"))).await;
    let update = and(
        by(&address),
        json!({
            "resourceConfigurationDefinition": ip("10.0.1.11"), "portRanges": ["5432", "6432"],
            "allowAssociationToShareableServiceNetwork": true,
        }),
    );
    let updated = trellis.ok("UpdateResourceConfiguration", update).await;
    assert_eq!(
        updated,
        json!({
            "id": address["id"], "arn": address["arn"], "name": address["name"], "type": "SINGLE",
            "resourceGatewayId": gateway["id"], "status": "UPDATE_IN_PROGRESS", "protocol": "TCP",
            "portRanges": ["5432", "6432"], "resourceConfigurationDefinition": ip("10.0.1.11"),
            "allowAssociationToShareableServiceNetwork": true,
        })
    );
    let got = trellis.wait_status("GetResourceConfiguration", by(&address), "ACTIVE").await;
    assert_eq!(got["resourceConfigurationDefinition"], ip("10.0.1.11"));

    let name = trellis.resource("SINGLE", single(dns("db.example.com"))).await;
    let same = and(
        by(&name),
        json!({"resourceConfigurationDefinition": dns("db.example.com"), "portRanges": ["5432"]}),
    );
    trellis.ok("UpdateResourceConfiguration", same).await;
    trellis.wait_status("GetResourceConfiguration", by(&name), "ACTIVE").await;
    for (resource, definition) in
        [(&name, dns("other.example.com")), (&name, ip("10.0.1.12")), (&address, dns("db.example.com"))]
    {
        let update = and(by(resource), json!({"resourceConfigurationDefinition": definition}));
        let refused = trellis.refused("UpdateResourceConfiguration", update).await;
        assert!(refused.is(400, "ValidationException"), "{refused:?}");
        assert!(refused.message().contains("cannot modify resource configuration DNS or ARN"), "{refused:?}");
    }
    trellis.set_status("resource-configuration", &name, "UPDATE_IN_PROGRESS").await;
    let refused = trellis.refused("UpdateResourceConfiguration", by(&name)).await;
    assert!(refused.is(400, "ValidationException"), "the operation has no Conflict: {refused:?}");
    assert!(trellis.refused("DeleteResourceConfiguration", by(&name)).await.is(409, "ConflictException"));
}
