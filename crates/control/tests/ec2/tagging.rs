use serde_json::{Value, json};

use crate::installation::Installation;

fn arns(answer: &Value) -> Vec<String> {
    let list = answer["ResourceTagMappingList"].as_array().unwrap();
    list.iter().map(|mapping| mapping["ResourceARN"].as_str().unwrap().to_owned()).collect()
}

async fn find(installation: &Installation, input: Value) -> Vec<String> {
    arns(&installation.tagging("GetResources", input).await.unwrap())
}

fn vpc_arn(vpc: &str) -> String {
    format!("arn:aws:ec2:us-east-1:111122223333:vpc/{vpc}")
}

#[tokio::test]
async fn what_has_just_been_made_is_found_by_its_tags_across_services() {
    let installation = Installation::new().await;
    let service = json!({"name": "cart", "tags": {"stage": "prod", "team": "shop"}});
    let service = installation.lattice("/services", service).await["arn"].as_str().unwrap().to_owned();
    let network = json!({"name": "shop", "tags": {"stage": "dev"}});
    let network = installation.lattice("/servicenetworks", network).await["arn"].as_str().unwrap().to_owned();
    let vpc = installation.vpc("10.0.0.0/16").await;
    let tag = [("ResourceId.1", vpc.as_str()), ("Tag.1.Key", "stage"), ("Tag.1.Value", "prod")];
    installation.ok("CreateTags", &tag).await;
    installation.vpc("10.1.0.0/16").await;
    let vpc = vpc_arn(&vpc);

    let filters = |filters: Value| json!({"TagFilters": filters});
    for (input, expected) in [
        (json!({}), vec![&vpc, &service, &network]),
        (filters(json!([{"Key": "stage"}])), vec![&vpc, &service, &network]),
        (filters(json!([{"Key": "stage", "Values": ["prod"]}])), vec![&vpc, &service]),
        (filters(json!([{"Key": "stage", "Values": ["prod", "dev"]}])), vec![&vpc, &service, &network]),
        (filters(json!([{"Key": "stage", "Values": ["prod"]}, {"Key": "team"}])), vec![&service]),
        (filters(json!([{"Key": "absent"}])), vec![]),
        (json!({"ResourceTypeFilters": ["vpc-lattice"]}), vec![&service, &network]),
        (json!({"ResourceTypeFilters": ["vpc-lattice:service"]}), vec![&service]),
        (json!({"ResourceTypeFilters": ["vpc-lattice:targetgroup"]}), vec![]),
        (json!({"ResourceTypeFilters": ["ec2:vpc", "vpc-lattice:servicenetwork"]}), vec![&vpc, &network]),
        (json!({"ResourceARNList": [vpc, "arn:aws:ec2:us-east-1:111122223333:vpc/none"]}), vec![&vpc]),
    ] {
        let mut found = find(&installation, input.clone()).await;
        found.sort();
        let mut expected: Vec<String> = expected.into_iter().cloned().collect();
        expected.sort();
        assert_eq!(found, expected, "{input}");
    }
    let answer = installation.tagging("GetResources", json!({"ResourceARNList": [service]})).await.unwrap();
    let tags = &answer["ResourceTagMappingList"][0]["Tags"];
    assert_eq!(*tags, json!([{"Key": "stage", "Value": "prod"}, {"Key": "team", "Value": "shop"}]));
    assert_eq!(answer["PaginationToken"], "");
}

#[tokio::test]
async fn pages_end_with_an_empty_token() {
    let installation = Installation::new().await;
    let mut made = Vec::new();
    for number in 0..5 {
        let vpc = installation.vpc(&format!("10.{number}.0.0/16")).await;
        let tag = [("ResourceId.1", vpc.as_str()), ("Tag.1.Key", "stage"), ("Tag.1.Value", "prod")];
        installation.ok("CreateTags", &tag).await;
        made.push(vpc_arn(&vpc));
    }
    made.sort();
    let mut seen = Vec::new();
    let mut token = String::new();
    let mut pages = 0;
    loop {
        let input = json!({"ResourcesPerPage": 2, "PaginationToken": token});
        let page = installation.tagging("GetResources", input).await.unwrap();
        seen.extend(arns(&page));
        pages += 1;
        token = page["PaginationToken"].as_str().unwrap().to_owned();
        if token.is_empty() {
            break;
        }
    }
    assert_eq!((seen, pages), (made, 3));
    for input in [
        json!({"ResourcesPerPage": 101}),
        json!({"TagsPerPage": 150}),
        json!({"PaginationToken": "%"}),
        json!({"TagFilters": [{"Values": ["x"]}]}),
        json!({"ResourceARNList": [vpc_arn("x")], "ResourcesPerPage": 1}),
    ] {
        let fault = installation.tagging("GetResources", input.clone()).await.unwrap_err();
        assert_eq!((fault.status, fault.code.as_str()), (400, "InvalidParameterException"), "{input}");
    }
}

#[tokio::test]
async fn tags_set_here_are_those_of_the_services_and_the_other_way_round() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let service = installation.lattice("/services", json!({"name": "cart"})).await;
    let service = service["arn"].as_str().unwrap().to_owned();
    let tags = json!({"stage": "prod", "team": "shop"});
    let both = json!({"ResourceARNList": [vpc_arn(&vpc), service], "Tags": tags});
    let answer = installation.tagging("TagResources", both).await.unwrap();
    assert_eq!(answer["FailedResourcesMap"], json!({}));
    let described = installation.ok("DescribeVpcs", &[("VpcId.1", &vpc)]).await.items("vpcSet").remove(0);
    assert_eq!(described.tags().len(), 2);

    let untag = json!({"ResourceARNList": [vpc_arn(&vpc)], "TagKeys": ["stage", "absent"]});
    let answer = installation.tagging("UntagResources", untag).await.unwrap();
    assert_eq!(answer["FailedResourcesMap"], json!({}));
    let found = find(&installation, json!({"TagFilters": [{"Key": "stage"}]})).await;
    assert_eq!(found, [service]);
    installation.ok("DeleteVpc", &[("VpcId", &vpc)]).await;
    let found = find(&installation, json!({"ResourceTypeFilters": ["ec2"]})).await;
    assert!(found.is_empty(), "{found:?}");
}

#[tokio::test]
async fn a_resource_that_cannot_be_tagged_fails_alone() {
    let installation = Installation::new().await;
    let vpc = vpc_arn(&installation.vpc("10.0.0.0/16").await);
    let bad = [
        "arn:aws:ec2:us-east-1:111122223333:vpc/vpc-0123456789abcdef0".to_owned(),
        "arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-0123456789abcdef0".to_owned(),
        vpc.replace("us-east-1", "eu-west-1"),
        vpc.replace("111122223333", "444455556666"),
        vpc.replace("arn:aws:", "arn:aws-cn:"),
        "arn:aws:s3:us-east-1:111122223333:bucket".to_owned(),
        "nonsense".to_owned(),
    ];
    let mut all = bad.to_vec();
    all.push(vpc.clone());
    let input = json!({"ResourceARNList": all, "Tags": {"stage": "prod"}});
    let answer = installation.tagging("TagResources", input).await.unwrap();
    let failed = answer["FailedResourcesMap"].as_object().unwrap();
    assert_eq!(failed.len(), bad.len(), "{failed:?}");
    for arn in &bad {
        let failure = &failed[arn];
        assert_eq!(
            (&failure["StatusCode"], &failure["ErrorCode"]),
            (&json!(400), &json!("InvalidParameterException"))
        );
        assert!(failure["ErrorMessage"].as_str().is_some_and(|message| !message.is_empty()));
    }
    assert_eq!(find(&installation, json!({})).await, std::slice::from_ref(&vpc));
    let reserved = json!({"ResourceARNList": [vpc], "Tags": {"aws:x": "y"}});
    let fault = installation.tagging("TagResources", reserved).await.unwrap_err();
    assert_eq!(fault.code, "InvalidParameterException");
}

#[tokio::test]
async fn keys_and_values_in_use_are_listed_once_each() {
    let installation = Installation::new().await;
    for (number, value) in ["prod", "dev", "prod"].iter().enumerate() {
        let vpc = installation.vpc(&format!("10.{number}.0.0/16")).await;
        let tags = [
            ("ResourceId.1", vpc.as_str()),
            ("Tag.1.Key", "stage"),
            ("Tag.1.Value", value),
            ("Tag.2.Key", "team"),
            ("Tag.2.Value", "shop"),
        ];
        installation.ok("CreateTags", &tags).await;
    }
    let keys = installation.tagging("GetTagKeys", json!({})).await.unwrap();
    assert_eq!(keys, json!({"TagKeys": ["stage", "team"], "PaginationToken": ""}));
    let values = installation.tagging("GetTagValues", json!({"Key": "stage"})).await.unwrap();
    assert_eq!(values, json!({"TagValues": ["dev", "prod"], "PaginationToken": ""}));
}
