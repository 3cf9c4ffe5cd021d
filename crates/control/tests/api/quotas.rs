use serde_json::{Value, json};
use trellis_store::Read;

use crate::acm::{import, rsa};
use crate::installation::{Fault, Installation, forward, pick, under};
use crate::party::Party;

fn is_quota(refused: &Fault, kind: &str, code: &str) {
    assert!(refused.is(402, "ServiceQuotaExceededException"), "{refused:?}");
    assert_eq!(
        pick(&refused.body, &["serviceCode", "quotaCode", "resourceType"]),
        json!({"serviceCode": "vpc-lattice", "quotaCode": code, "resourceType": kind})
    );
}

#[tokio::test]
async fn each_quota_is_what_the_operator_says_and_answers_402() {
    let trellis = Installation::with_quotas(&[
        ("L-9CAD07FB", 2),
        ("L-620C821E", 3),
        ("L-BB11C6B9", 4),
        ("L-D71303F3", 2),
        ("L-3DEC3B9F", 2),
        ("L-CF78395E", 1),
        ("L-75D4A19E", 1),
        ("L-EF6E2D62", 1),
    ])
    .await;
    let networks = [trellis.network().await, trellis.network().await];
    is_quota(
        &trellis.refused("CreateServiceNetwork", json!({"name": "third"})).await,
        "SERVICE_NETWORK",
        "L-9CAD07FB",
    );
    let services = [trellis.service().await, trellis.service().await, trellis.service().await];
    is_quota(&trellis.refused("CreateService", json!({"name": "fourth"})).await, "SERVICE", "L-620C821E");

    let vpcs = [trellis.vpc(0).await, trellis.vpc(1).await];
    let mut groups = Vec::new();
    for _ in 0..4 {
        groups.push(trellis.group(&vpcs[0]).await);
    }
    let fifth = json!({"name": "fifth", "type": "LAMBDA"});
    is_quota(&trellis.refused("CreateTargetGroup", fifth).await, "TARGET_GROUP", "L-BB11C6B9");

    let targets = |ids: Value| json!({"targetGroupIdentifier": groups[0]["id"], "targets": ids});
    trellis.ok("RegisterTargets", targets(json!([{"id": "10.0.1.10"}]))).await;
    let two_more = targets(json!([{"id": "10.0.1.11"}, {"id": "10.0.1.12"}]));
    is_quota(&trellis.refused("RegisterTargets", two_more).await, "TARGET_GROUP", "L-D71303F3");
    let listed = trellis.ok("ListTargets", targets(json!([]))).await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "nothing of a refused call is done");

    let service = &services[0];
    let listener = trellis.listener(service).await;
    let more = |port: u16| {
        json!({
            "serviceIdentifier": service["id"], "name": format!("port-{port}"), "protocol": "HTTP", "port": port,
            "defaultAction": forward(&groups[0]),
        })
    };
    trellis.ok("CreateListener", more(81)).await;
    is_quota(&trellis.refused("CreateListener", more(82)).await, "LISTENER", "L-D64E952E");

    let rule = |name: &str, priority: u16, action: Value| {
        json!({
            "serviceIdentifier": service["id"], "listenerIdentifier": listener["id"], "name": name,
            "priority": priority, "match": under("/"), "action": action,
        })
    };
    let three = json!({"forward": {"targetGroups": [
        {"targetGroupIdentifier": groups[1]["id"]}, {"targetGroupIdentifier": groups[2]["id"]},
    ]}});
    is_quota(&trellis.refused("CreateRule", rule("wide", 1, three)).await, "TARGET_GROUP", "L-3DEC3B9F");
    trellis.ok("CreateRule", rule("one", 1, forward(&groups[1]))).await;
    is_quota(&trellis.refused("CreateRule", rule("two", 2, forward(&groups[1]))).await, "RULE", "L-CF78395E");

    let of_service = |service: &Value| json!({"serviceNetworkIdentifier": networks[0]["id"], "serviceIdentifier": service["id"]});
    trellis.ok("CreateServiceNetworkServiceAssociation", of_service(service)).await;
    is_quota(
        &trellis.refused("CreateServiceNetworkServiceAssociation", of_service(&services[1])).await,
        "SERVICE_NETWORK_SERVICE_ASSOCIATION",
        "L-75D4A19E",
    );
    let of_vpc =
        |number: usize| json!({"serviceNetworkIdentifier": networks[0]["id"], "vpcIdentifier": vpcs[number]});
    trellis.ok("CreateServiceNetworkVpcAssociation", of_vpc(0)).await;
    is_quota(
        &trellis.refused("CreateServiceNetworkVpcAssociation", of_vpc(1)).await,
        "SERVICE_NETWORK_VPC_ASSOCIATION",
        "L-EF6E2D62",
    );
}

#[tokio::test]
async fn quotas_of_resources_are_kept_too() {
    let trellis = Installation::with_quotas(&[
        ("L-0DCA4434", 1),
        ("L-5FF8F9B9", 3),
        ("L-9BC96FEF", 1),
        ("L-6095700C", 1),
    ])
    .await;
    let vpc = trellis.vpc(0).await;
    let gateway = trellis.gateway(&vpc).await;
    let more = json!({"name": "more", "vpcIdentifier": vpc, "subnetIds": trellis.subnets(&vpc)});
    let refused = trellis.refused("CreateResourceGateway", more).await;
    is_quota(&refused, "RESOURCE_GATEWAY", "L-0DCA4434");

    let group = trellis.resource("GROUP", json!({"resourceGatewayIdentifier": gateway["id"]})).await;
    let definition = json!({"ipResource": {"ipAddress": "10.0.1.10"}});
    let child = json!({
        "resourceConfigurationGroupIdentifier": group["id"], "resourceConfigurationDefinition": definition,
    });
    trellis.resource("CHILD", child.clone()).await;
    let mut second = json!({"name": "second", "type": "CHILD"});
    second.as_object_mut().unwrap().extend(child.as_object().unwrap().clone());
    let refused = trellis.refused("CreateResourceConfiguration", second).await;
    is_quota(&refused, "RESOURCE_CONFIGURATION", "L-9BC96FEF");
    let single = json!({
        "name": "single", "type": "SINGLE", "resourceGatewayIdentifier": gateway["id"],
        "resourceConfigurationDefinition": definition,
    });
    let mut fourth = single.clone();
    fourth["name"] = "fourth".into();
    let single = trellis.resource("SINGLE", single).await;
    let refused = trellis.refused("CreateResourceConfiguration", fourth).await;
    is_quota(&refused, "RESOURCE_CONFIGURATION", "L-5FF8F9B9");

    let network = trellis.network().await;
    let with = |resource: &Value| json!({"serviceNetworkIdentifier": network["id"], "resourceConfigurationIdentifier": resource["id"]});
    trellis.ok("CreateServiceNetworkResourceAssociation", with(&group)).await;
    let refused = trellis.refused("CreateServiceNetworkResourceAssociation", with(&single)).await;
    is_quota(&refused, "SERVICE_NETWORK_RESOURCE_ASSOCIATION", "L-6095700C");

    for number in 0..5 {
        let domain = format!("number-{number}.example.com");
        trellis.ok("StartDomainVerification", json!({"domainName": domain})).await;
    }
    let refused = trellis.refused("StartDomainVerification", json!({"domainName": "six.example.com"})).await;
    is_quota(&refused, "DOMAIN_VERIFICATION", "L-73D0F278");
}

#[tokio::test]
async fn a_region_counts_for_itself() {
    let trellis = Installation::with_quotas(&[("L-9CAD07FB", 1)]).await;
    trellis.network().await;
    let there = trellis.request_in("eu-west-1", "CreateServiceNetwork", &json!({"name": "shop"}));
    let (status, _, created) = trellis.send(there).await;
    assert_eq!(status, 201);
    assert!(created["arn"].as_str().unwrap().starts_with("arn:aws:vpc-lattice:eu-west-1:111122223333:"));
    let listed = trellis.ok("ListServiceNetworks", json!({})).await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_quotas_count_is_kept_beside_it_and_goes_with_it() {
    let trellis = Installation::new().await;
    let owner = Party::owner(&trellis);
    let service = trellis.service().await;
    let listener = trellis.listener(&service).await;
    let rule = json!({
        "serviceIdentifier": service["id"], "listenerIdentifier": listener["id"], "name": "one", "priority": 1,
        "match": under("/"), "action": {"fixedResponse": {"statusCode": 404}},
    });
    let rule = trellis.ok("CreateRule", rule).await;
    let moved = json!({
        "serviceIdentifier": service["id"], "listenerIdentifier": listener["id"], "ruleIdentifier": rule["id"],
        "priority": 2,
    });
    trellis.ok("UpdateRule", moved).await;
    let group = trellis.group(&trellis.vpc(0).await).await;
    let targets = json!({"targetGroupIdentifier": group["id"], "targets": [{"id": "10.0.1.10"}]});
    trellis.ok("RegisterTargets", targets.clone()).await;
    trellis.ok("RegisterTargets", targets.clone()).await;
    let certificate = import(&trellis, &rsa(&["a.example.com"])).await;
    let share = owner.ram_ok("CreateResourceShare", json!({"name": "x"})).await["resourceShare"].clone();
    let count = |of: &str| {
        let key = trellis.entries("count/").into_iter().find(|key| key.contains(of))?;
        let entry = trellis.store.read().unwrap().get(&key).unwrap()?;
        Some(String::from_utf8(entry.value).unwrap())
    };
    let all = ["/port/svc-", "/priority/listener-", "/target/tg-", "/certificate", "/share"];
    assert_eq!(all.map(count), all.map(|_| Some("1".to_owned())));

    trellis.ok("DeleteService", json!({"serviceIdentifier": service["id"]})).await;
    trellis.wait_gone("GetService", json!({"serviceIdentifier": service["id"]})).await;
    trellis.ok("DeregisterTargets", targets).await;
    trellis.wait_no_targets(&group).await;
    trellis.acm("DeleteCertificate", json!({"CertificateArn": certificate})).await.unwrap();
    let by = json!({"resourceShareArn": share["resourceShareArn"]});
    owner.ram_ok("DeleteResourceShare", by).await;
    assert_eq!(all.map(count), all.map(|_| None));
}
