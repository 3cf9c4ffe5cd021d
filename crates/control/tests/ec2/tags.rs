use trellis_model::resource::lattice::Home;

use crate::installation::{ACCOUNT, Installation, REGION};

fn home() -> Home {
    Home { account: ACCOUNT.parse().unwrap(), region: REGION.parse().unwrap() }
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

async fn of_vpc(installation: &Installation, vpc: &str) -> Vec<(String, String)> {
    let answer = installation.ok("DescribeVpcs", &[("VpcId.1", vpc)]).await;
    answer.items("vpcSet").remove(0).tags()
}

#[tokio::test]
async fn tags_are_set_replaced_and_deleted_on_every_kind_of_resource() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let subnet = installation.subnet(&vpc, "10.0.1.0/24").await;
    let group = installation.group(&vpc, "web").await;
    let instance = installation.run(&subnet, "web").await.unwrap().id.to_string();
    let rules = installation.ok("DescribeSecurityGroupRules", &[]).await;
    let rule = rules.texts("securityGroupRuleSet", "securityGroupRuleId").remove(0);
    let all = [
        ("ResourceId.1", vpc.as_str()),
        ("ResourceId.2", &subnet),
        ("ResourceId.3", &group),
        ("ResourceId.4", &instance),
        ("ResourceId.5", &rule),
        ("Tag.1.Key", "stage"),
        ("Tag.1.Value", "dev"),
        ("Tag.2.Key", "empty"),
        ("Tag.2.Value", ""),
    ];
    installation.ok("CreateTags", &all).await;
    assert_eq!(of_vpc(&installation, &vpc).await, pairs(&[("empty", ""), ("stage", "dev")]));
    let listed = installation.ok("DescribeTags", &[]).await;
    let mut kinds = listed.texts("tagSet", "resourceType");
    kinds.sort();
    kinds.dedup();
    assert_eq!(kinds, ["instance", "security-group", "security-group-rule", "subnet", "vpc"]);
    assert_eq!(listed.items("tagSet").len(), 11, "the instance has its name too");

    let replace = [("ResourceId.1", vpc.as_str()), ("Tag.1.Key", "stage"), ("Tag.1.Value", "prod")];
    installation.ok("CreateTags", &replace).await;
    assert_eq!(of_vpc(&installation, &vpc).await, pairs(&[("empty", ""), ("stage", "prod")]));

    let delete = |key: &'static str, value: Option<&'static str>| {
        let mut parameters = vec![("ResourceId.1", vpc.clone()), ("Tag.1.Key", key.to_owned())];
        parameters.extend(value.map(|value| ("Tag.1.Value", value.to_owned())));
        parameters
    };
    for (parameters, left) in [
        (delete("stage", Some("dev")), pairs(&[("empty", ""), ("stage", "prod")])),
        (delete("stage", Some("prod")), pairs(&[("empty", "")])),
        (delete("absent", None), pairs(&[("empty", "")])),
        (delete("empty", None), pairs(&[])),
    ] {
        let borrowed: Vec<(&str, &str)> =
            parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        installation.ok("DeleteTags", &borrowed).await;
        assert_eq!(of_vpc(&installation, &vpc).await, left, "{borrowed:?}");
    }
    installation.ok("DeleteTags", &[("ResourceId.1", &subnet)]).await;
    let of_subnet = [("Filter.1.Name", "resource-id"), ("Filter.1.Value.1", subnet.as_str())];
    assert!(installation.ok("DescribeTags", &of_subnet).await.items("tagSet").is_empty());
}

#[tokio::test]
async fn tags_that_aws_refuses_are_refused_and_nothing_is_set() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let long = "k".repeat(129);
    for (resource, key, code) in [
        (vpc.as_str(), "aws:mine", "InvalidParameterValue"),
        (&vpc, "", "InvalidParameterValue"),
        (&vpc, &long, "InvalidParameterValue"),
        ("vpc-1", "a", "InvalidVpcID.Malformed"),
        ("vpc-0123456789abcdef0", "a", "InvalidVpcID.NotFound"),
        ("sg-0123456789abcdef0", "a", "InvalidGroup.NotFound"),
        ("igw-0123456789abcdef0", "a", "InvalidID"),
        ("nonsense", "a", "InvalidID"),
    ] {
        let parameters = [
            ("ResourceId.1", vpc.as_str()),
            ("ResourceId.2", resource),
            ("Tag.1.Key", key),
            ("Tag.1.Value", "x"),
        ];
        assert_eq!(installation.refusal("CreateTags", &parameters).await, code, "{resource} {key}");
    }
    let twice = [
        ("ResourceId.1", vpc.as_str()),
        ("Tag.1.Key", "a"),
        ("Tag.1.Value", "x"),
        ("Tag.2.Key", "a"),
        ("Tag.2.Value", "y"),
    ];
    assert_eq!(installation.refusal("CreateTags", &twice).await, "InvalidParameterValue");
    let names: Vec<String> = (0..51).map(|number| format!("Tag.{}.Key", number + 1)).collect();
    let keys: Vec<String> = (0..51).map(|number| format!("key-{number}")).collect();
    let mut many = vec![("ResourceId.1", vpc.as_str())];
    many.extend(names.iter().map(String::as_str).zip(keys.iter().map(String::as_str)));
    assert_eq!(installation.refusal("CreateTags", &many).await, "TagLimitExceeded");
    assert!(of_vpc(&installation, &vpc).await.is_empty());
    let wrong_kind = [
        ("CidrBlock", "10.0.0.0/16"),
        ("TagSpecification.1.ResourceType", "subnet"),
        ("TagSpecification.1.Tag.1.Key", "a"),
    ];
    assert_eq!(installation.refusal("CreateVpc", &wrong_kind).await, "InvalidParameterValue");
}

#[tokio::test]
async fn tags_are_listed_by_filter_and_in_pages_and_go_with_their_resource() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    for number in 0..7 {
        let key = format!("key-{number}");
        let value = if number < 3 { "low" } else { "high" };
        let tag = [("ResourceId.1", vpc.as_str()), ("Tag.1.Key", key.as_str()), ("Tag.1.Value", value)];
        installation.ok("CreateTags", &tag).await;
    }
    for (name, value, expected) in [
        ("key", "key-1", 1),
        ("value", "low", 3),
        ("value", "h*", 4),
        ("tag:key-1", "low", 1),
        ("tag:key-1", "high", 0),
        ("resource-type", "vpc", 7),
        ("resource-type", "subnet", 0),
        ("resource-id", vpc.as_str(), 7),
    ] {
        let filter = [("Filter.1.Name", name), ("Filter.1.Value.1", value)];
        let found = installation.ok("DescribeTags", &filter).await.items("tagSet");
        assert_eq!(found.len(), expected, "{name} {value}");
    }
    let first = installation.ok("DescribeTags", &[("MaxResults", "5")]).await;
    assert_eq!(first.items("tagSet").len(), 5);
    let token = first.text("nextToken");
    let rest = [("MaxResults", "5"), ("NextToken", token.as_str())];
    assert_eq!(installation.ok("DescribeTags", &rest).await.texts("tagSet", "key"), ["key-5", "key-6"]);
    installation.ok("DeleteVpc", &[("VpcId", &vpc)]).await;
    assert!(installation.ok("DescribeTags", &[]).await.items("tagSet").is_empty());
}

#[tokio::test]
async fn what_a_vpc_and_an_instance_have_by_themselves_is_tagged_and_forgotten_with_them() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let subnet = installation.subnet(&vpc, "10.0.1.0/24").await;
    let host = installation.run(&subnet, "web").await.unwrap();
    let suffix = vpc.strip_prefix("vpc-").unwrap();
    let (table, acl, eni) = (format!("rtb-{suffix}"), format!("acl-{suffix}"), host.interface_id());
    let all = [
        ("ResourceId.1", table.as_str()),
        ("ResourceId.2", &acl),
        ("ResourceId.3", &eni),
        ("Tag.1.Key", "stage"),
        ("Tag.1.Value", "dev"),
    ];
    installation.ok("CreateTags", &all).await;
    let by_tag = [("Filter.1.Name", "tag:stage"), ("Filter.1.Value.1", "dev")];
    for (action, list, tags) in [
        ("DescribeRouteTables", "routeTableSet", "tagSet"),
        ("DescribeNetworkAcls", "networkAclSet", "tagSet"),
        ("DescribeNetworkInterfaces", "networkInterfaceSet", "tagSet"),
    ] {
        let found = installation.ok(action, &by_tag).await.items(list);
        assert_eq!(found.len(), 1, "{action}");
        assert_eq!(found[0].texts(tags, "value"), ["dev"], "{action}");
    }
    let listed = installation.ok("DescribeTags", &by_tag).await;
    let mut kinds = listed.texts("tagSet", "resourceType");
    kinds.sort();
    assert_eq!(kinds, ["network-acl", "network-interface", "route-table"]);
    let arn = format!("arn:aws:ec2:us-east-1:111122223333:route-table/{table}");
    let input = serde_json::json!({"ResourceARNList": [arn], "Tags": {"more": "1"}});
    let answer = installation.tagging("TagResources", input).await.unwrap();
    assert_eq!(answer["FailedResourcesMap"], serde_json::json!({}));
    for (id, code) in [
        ("rtb-0123456789abcdef0", "InvalidRouteTableID.NotFound"),
        ("acl-0123456789abcdef0", "InvalidNetworkAclID.NotFound"),
        ("eni-0123456789abcdef0", "InvalidNetworkInterfaceID.NotFound"),
        ("rtb-x", "InvalidRouteTableID.NotFound"),
    ] {
        let tag = [("ResourceId.1", id), ("Tag.1.Key", "stage")];
        assert_eq!(installation.refusal("CreateTags", &tag).await, code);
    }

    // What they belong to goes, and so do they.
    installation.control.hosts().terminate("web").await.unwrap();
    installation.ok("DeleteSubnet", &[("SubnetId", &subnet)]).await;
    installation.ok("DeleteVpc", &[("VpcId", &vpc)]).await;
    let left = installation.ok("DescribeTags", &[]).await;
    assert_eq!(left.texts("tagSet", "resourceType"), ["instance"], "it can be described for an hour");
}

#[tokio::test]
async fn tags_of_rules_go_with_their_group_however_it_goes() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let by_hand = installation.group(&vpc, "by-hand").await;
    let (home, id, no_tags) = (home(), vpc.parse().unwrap(), Default::default());
    let of_cluster = installation.control.hosts().cluster_group(&home, &id, "cluster", &no_tags);
    of_cluster.await.unwrap();
    let rules = installation.ok("DescribeSecurityGroupRules", &[]).await;
    let rules = rules.texts("securityGroupRuleSet", "securityGroupRuleId");
    assert_eq!(rules.len(), 5, "of the group by hand one, of the cluster's and of the default one two");
    for rule in &rules {
        let tag = [("ResourceId.1", rule.as_str()), ("Tag.1.Key", "stage"), ("Tag.1.Value", "dev")];
        installation.ok("CreateTags", &tag).await;
    }
    let left = async || installation.ok("DescribeTags", &[]).await.items("tagSet").len();
    installation.ok("DeleteSecurityGroup", &[("GroupId", &by_hand)]).await;
    assert_eq!(left().await, 4);
    installation.control.hosts().forget_cluster_group(&home, &id, "cluster").await.unwrap();
    assert_eq!(left().await, 2);
    installation.ok("DeleteVpc", &[("VpcId", &vpc)]).await;
    assert_eq!(left().await, 0);
}
