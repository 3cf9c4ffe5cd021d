use serde_json::{Value, json};

use crate::installation::Installation;

fn policy(resource: &Value) -> String {
    json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"AWS": "444455556666"}, "Resource": resource["arn"],
        "Action": ["vpc-lattice:CreateServiceNetworkVpcAssociation", "vpc-lattice:GetServiceNetwork"],
    }]})
    .to_string()
}

#[tokio::test]
async fn a_policy_is_kept_to_the_letter_until_it_or_its_resource_goes() {
    let trellis = Installation::new().await;
    let gateway = trellis.gateway(&trellis.vpc(0).await).await;
    let network = trellis.network().await;
    let service = trellis.service().await;
    let resource = trellis.resource("GROUP", json!({"resourceGatewayIdentifier": gateway["id"]})).await;
    for resource in [&network, &service, &resource] {
        let by = json!({"resourceArn": resource["arn"]});
        assert!(trellis.refused("GetResourcePolicy", by.clone()).await.is(404, "ResourceNotFoundException"));
        let policy = policy(resource);
        let put = json!({"resourceArn": resource["arn"], "policy": policy});
        assert_eq!(trellis.ok("PutResourcePolicy", put.clone()).await, json!({}));
        trellis.ok("PutResourcePolicy", put.clone()).await;
        assert_eq!(trellis.ok("GetResourcePolicy", by.clone()).await, json!({"policy": policy}));
        assert_eq!(trellis.ok("DeleteResourcePolicy", by.clone()).await, Value::Null);
        assert!(trellis.refused("GetResourcePolicy", by.clone()).await.is(404, "ResourceNotFoundException"));
        trellis.ok("DeleteResourcePolicy", by).await;
        trellis.ok("PutResourcePolicy", put).await;
    }
    trellis.ok("DeleteServiceNetwork", json!({"serviceNetworkIdentifier": network["id"]})).await;
    trellis.ok("DeleteService", json!({"serviceIdentifier": service["id"]})).await;
    let by = json!({"resourceConfigurationIdentifier": resource["id"]});
    trellis.ok("DeleteResourceConfiguration", by.clone()).await;
    trellis.wait_gone("GetResourceConfiguration", by).await;
    assert!(trellis.entries("lattice/111122223333/us-east-1/resource-policy/").is_empty());
}

#[tokio::test]
async fn what_is_no_policy_or_no_resource_of_the_account_is_refused() {
    let trellis = Installation::new().await;
    let network = trellis.network().await;
    let arn = network["arn"].as_str().unwrap();
    let good = policy(&network);
    for (arn, policy, status) in [
        (arn.to_owned(), "{}".to_owned(), 400),
        (arn.to_owned(), "x".repeat(10_001), 400),
        (arn.to_owned(), String::new(), 400),
        (
            arn.to_owned(),
            good.replace("{\"Version", "{\n\"Version").replace("{\"Statement", "{\n\"Statement"),
            400,
        ),
        (arn.replace("111122223333", "444455556666"), good.clone(), 403),
        (arn.replace(network["id"].as_str().unwrap(), "sn-00000000000000fff"), good.clone(), 404),
        (network["id"].as_str().unwrap().to_owned(), good, 400),
    ] {
        let put = json!({"resourceArn": arn, "policy": policy});
        let refused = trellis.refused("PutResourcePolicy", put.clone()).await;
        assert_eq!(refused.status, status, "{put} {refused:?}");
    }
    assert!(trellis.entries("lattice/111122223333/us-east-1/resource-policy/").is_empty());
}
