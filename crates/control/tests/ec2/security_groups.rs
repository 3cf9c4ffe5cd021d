use serde_json::json;

use crate::installation::Installation;
use crate::xml::Node;

async fn one(installation: &Installation, group: &str) -> Node {
    let answer = installation.ok("DescribeSecurityGroups", &[("GroupId.1", group)]).await;
    answer.items("securityGroupInfo").remove(0)
}

#[tokio::test]
async fn a_vpc_comes_with_a_default_group_that_cannot_be_deleted_alone() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let of_vpc = [("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", vpc.as_str())];
    let groups = installation.ok("DescribeSecurityGroups", &of_vpc).await.items("securityGroupInfo");
    assert_eq!(groups.len(), 1);
    let group = &groups[0];
    assert_eq!(group.text("groupName"), "default");
    assert_eq!(group.text("groupDescription"), "default VPC security group");
    let id = group.text("groupId");
    let ingress = group.items("ipPermissions").remove(0);
    assert_eq!(ingress.text("ipProtocol"), "-1");
    assert_eq!(ingress.texts("groups", "groupId"), std::slice::from_ref(&id));
    assert!(!ingress.has("fromPort"), "all protocols have no ports");
    let egress = group.items("ipPermissionsEgress").remove(0);
    assert_eq!(egress.texts("ipRanges", "cidrIp"), ["0.0.0.0/0"]);
    assert_eq!(installation.refusal("DeleteSecurityGroup", &[("GroupId", &id)]).await, "CannotDelete");

    installation.ok("DeleteVpc", &[("VpcId", &vpc)]).await;
    let gone = installation.refusal("DescribeSecurityGroups", &[("GroupId.1", &id)]).await;
    assert_eq!(gone, "InvalidGroup.NotFound");
}

#[tokio::test]
async fn groups_are_named_within_their_vpc_and_described_with_their_tags() {
    let installation = Installation::new().await;
    let (vpc, other) = (installation.vpc("10.0.0.0/16").await, installation.vpc("10.0.0.0/16").await);
    let create = |vpc: &str, name: &str, description: &str| {
        [
            ("VpcId", vpc.to_owned()),
            ("GroupName", name.to_owned()),
            ("GroupDescription", description.to_owned()),
            ("TagSpecification.1.ResourceType", "security-group".to_owned()),
            ("TagSpecification.1.Tag.1.Key", "tier".to_owned()),
            ("TagSpecification.1.Tag.1.Value", "web".to_owned()),
        ]
    };
    fn borrowed<'a>(parameters: &'a [(&'static str, String); 6]) -> Vec<(&'static str, &'a str)> {
        parameters.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }
    let web = create(&vpc, "web", "Web servers");
    let answer = installation.ok("CreateSecurityGroup", &borrowed(&web)).await;
    let id = answer.text("groupId");
    assert_eq!(
        answer.text("securityGroupArn"),
        format!("arn:aws:ec2:us-east-1:111122223333:security-group/{id}")
    );
    assert_eq!(answer.tags(), [("tier".to_owned(), "web".to_owned())]);
    assert_eq!(one(&installation, &id).await.tags(), [("tier".to_owned(), "web".to_owned())]);

    let duplicate = installation.refusal("CreateSecurityGroup", &borrowed(&web)).await;
    assert_eq!(duplicate, "InvalidGroup.Duplicate");
    installation.ok("CreateSecurityGroup", &borrowed(&create(&other, "web", "x"))).await;
    let long = "x".repeat(256);
    for (name, description) in
        [("default", "x"), ("sg-web", "x"), ("é", "x"), (long.as_str(), "x"), ("a", "é"), ("a", &long)]
    {
        let code =
            installation.refusal("CreateSecurityGroup", &borrowed(&create(&vpc, name, description))).await;
        assert_eq!(code, "InvalidParameterValue", "{name} {description}");
    }
    let nowhere = [("GroupName", "web"), ("GroupDescription", "x")];
    assert_eq!(installation.refusal("CreateSecurityGroup", &nowhere).await, "VPCIdNotSpecified");
    let by_name = [("GroupName.1", "web")];
    assert_eq!(installation.refusal("DescribeSecurityGroups", &by_name).await, "InvalidGroup.NotFound");
    let by_filter = [("Filter.1.Name", "group-name"), ("Filter.1.Value.1", "we?")];
    let found = installation.ok("DescribeSecurityGroups", &by_filter).await.items("securityGroupInfo");
    assert_eq!(found.len(), 2);
}

#[tokio::test]
async fn permissions_are_authorized_described_and_revoked() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let (web, client) = (installation.group(&vpc, "web").await, installation.group(&vpc, "client").await);
    let lists = installation.ok("DescribeManagedPrefixLists", &[]).await;
    let list = lists.texts("prefixListSet", "prefixListId").remove(0);
    let authorize = [
        ("GroupId", web.as_str()),
        ("IpPermissions.1.IpProtocol", "tcp"),
        ("IpPermissions.1.FromPort", "80"),
        ("IpPermissions.1.ToPort", "80"),
        ("IpPermissions.1.IpRanges.1.CidrIp", "10.1.2.3/8"),
        ("IpPermissions.1.IpRanges.1.Description", "everything of ours"),
        ("IpPermissions.1.Ipv6Ranges.1.CidrIpv6", "fd00::/8"),
        ("IpPermissions.1.PrefixListIds.1.PrefixListId", list.as_str()),
        ("IpPermissions.1.Groups.1.GroupId", client.as_str()),
        ("IpPermissions.2.IpProtocol", "icmp"),
        ("IpPermissions.2.FromPort", "-1"),
        ("IpPermissions.2.ToPort", "-1"),
        ("IpPermissions.2.IpRanges.1.CidrIp", "0.0.0.0/0"),
        ("TagSpecification.1.ResourceType", "security-group-rule"),
        ("TagSpecification.1.Tag.1.Key", "why"),
        ("TagSpecification.1.Tag.1.Value", "test"),
    ];
    let answer = installation.ok("AuthorizeSecurityGroupIngress", &authorize).await;
    assert_eq!(answer.text("return"), "true");
    let rules = answer.items("securityGroupRuleSet");
    assert_eq!(rules.len(), 5);
    assert_eq!(rules[0].text("cidrIpv4"), "10.0.0.0/8");
    assert_eq!(rules[0].text("description"), "everything of ours");
    assert_eq!(rules[0].text("isEgress"), "false");
    assert_eq!(rules[0].tags(), [("why".to_owned(), "test".to_owned())]);

    let group = one(&installation, &web).await;
    let permissions = group.items("ipPermissions");
    assert_eq!(permissions.len(), 2);
    assert_eq!(permissions[0].text("fromPort"), "80");
    assert_eq!(permissions[0].texts("ipRanges", "cidrIp"), ["10.0.0.0/8"]);
    assert_eq!(permissions[0].texts("ipv6Ranges", "cidrIpv6"), ["fd00::/8"]);
    assert_eq!(permissions[0].texts("prefixListIds", "prefixListId"), std::slice::from_ref(&list));
    assert_eq!(permissions[0].texts("groups", "groupId"), std::slice::from_ref(&client));
    let used = installation.refusal("DeleteSecurityGroup", &[("GroupId", &client)]).await;
    assert_eq!(used, "DependencyViolation", "a rule of another group names it");

    let by_rule = [("Filter.1.Name", "ip-permission.cidr"), ("Filter.1.Value.1", "10.*")];
    let found = installation.ok("DescribeSecurityGroups", &by_rule).await;
    assert_eq!(found.texts("securityGroupInfo", "groupId"), std::slice::from_ref(&web));

    let again = [
        ("GroupId", web.as_str()),
        ("IpProtocol", "6"),
        ("FromPort", "80"),
        ("ToPort", "80"),
        ("CidrIp", "10.0.0.0/8"),
    ];
    let (code, message) = installation.refused("AuthorizeSecurityGroupIngress", &again).await;
    assert_eq!(code, "InvalidPermission.Duplicate");
    let words =
        "the specified rule \"peer: 10.0.0.0/8, TCP, from port: 80, to port: 80, ALLOW\" already exists";
    assert_eq!(message, words);
    let revoked = installation.ok("RevokeSecurityGroupIngress", &again).await;
    assert_eq!(revoked.texts("revokedSecurityGroupRuleSet", "cidrIpv4"), ["10.0.0.0/8"]);
    assert_eq!(
        installation.refusal("RevokeSecurityGroupIngress", &again).await,
        "InvalidPermission.NotFound"
    );

    let rule = rules[3].text("securityGroupRuleId");
    let by_id = [("GroupId", web.as_str()), ("SecurityGroupRuleId.1", rule.as_str())];
    let revoked = installation.ok("RevokeSecurityGroupIngress", &by_id).await;
    assert_eq!(revoked.items("revokedSecurityGroupRuleSet").len(), 1);
    let code = installation.refusal("RevokeSecurityGroupIngress", &by_id).await;
    assert_eq!(code, "InvalidSecurityGroupRuleId.NotFound");
    let left = [("Filter.1.Name", "group-id"), ("Filter.1.Value.1", web.as_str())];
    let left = installation.ok("DescribeSecurityGroupRules", &left).await.items("securityGroupRuleSet");
    assert_eq!(left.len(), 4, "three of ingress and the first of egress");
}

#[tokio::test]
async fn permissions_that_aws_refuses_are_refused() {
    let installation = Installation::new().await;
    let (vpc, other) = (installation.vpc("10.0.0.0/16").await, installation.vpc("10.0.0.0/16").await);
    let (web, foreign) = (installation.group(&vpc, "web").await, installation.group(&other, "foreign").await);
    for (parameters, code) in [
        (vec![("IpProtocol", "tcp"), ("FromPort", "80"), ("CidrIp", "10.0.0.0/8")], "InvalidParameterValue"),
        (
            vec![("IpProtocol", "tcp"), ("FromPort", "90"), ("ToPort", "80"), ("CidrIp", "10.0.0.0/8")],
            "InvalidParameterValue",
        ),
        (
            vec![("IpProtocol", "tcp"), ("FromPort", "0"), ("ToPort", "70000"), ("CidrIp", "10.0.0.0/8")],
            "InvalidParameterValue",
        ),
        (
            vec![("IpProtocol", "tcp"), ("FromPort", "80"), ("ToPort", "80"), ("CidrIp", "10.0.0.0/40")],
            "InvalidParameterValue",
        ),
        (vec![("IpProtocol", "nonsense"), ("CidrIp", "10.0.0.0/8")], "InvalidParameterValue"),
        (vec![("IpProtocol", "-1")], "MissingParameter"),
        (vec![("CidrIp", "10.0.0.0/8")], "MissingParameter"),
        (vec![], "MissingParameter"),
        (
            vec![("IpPermissions.1.IpProtocol", "-1"), ("IpPermissions.1.Groups.1.GroupId", &foreign)],
            "InvalidGroup.NotFound",
        ),
        (
            vec![
                ("IpPermissions.1.IpProtocol", "-1"),
                ("IpPermissions.1.Groups.1.GroupId", "sg-0123456789abcdef0"),
            ],
            "InvalidGroup.NotFound",
        ),
        (
            vec![
                ("IpPermissions.1.IpProtocol", "-1"),
                ("IpPermissions.1.PrefixListIds.1.PrefixListId", "pl-0123456789abcdef0"),
            ],
            "InvalidPrefixListID.NotFound",
        ),
        (
            vec![
                ("IpPermissions.1.IpProtocol", "-1"),
                ("IpPermissions.1.IpRanges.1.CidrIp", "10.0.0.0/8"),
                ("IpPermissions.1.IpRanges.2.CidrIp", "10.9.9.9/8"),
            ],
            "InvalidParameterValue",
        ),
        (
            vec![
                ("IpPermissions.1.IpProtocol", "-1"),
                ("IpPermissions.1.IpRanges.1.CidrIp", "10.0.0.0/8"),
                ("IpProtocol", "-1"),
            ],
            "InvalidParameterCombination",
        ),
    ] {
        let mut all = vec![("GroupId", web.as_str())];
        all.extend(parameters);
        assert_eq!(installation.refusal("AuthorizeSecurityGroupIngress", &all).await, code, "{all:?}");
    }
    let unknown = [("GroupId", "sg-0123456789abcdef0"), ("IpProtocol", "-1"), ("CidrIp", "10.0.0.0/8")];
    assert_eq!(installation.refusal("AuthorizeSecurityGroupEgress", &unknown).await, "InvalidGroup.NotFound");
    let malformed = [("GroupId", "sg-1")];
    assert_eq!(installation.refusal("DeleteSecurityGroup", &malformed).await, "InvalidGroupId.Malformed");
    assert!(one(&installation, &web).await.items("ipPermissions").is_empty());
}

#[tokio::test]
async fn quotas_end_the_number_of_groups_and_of_rules() {
    let installation = Installation::with_quotas(&[("L-E79EC296", 2), ("L-0EA8095F", 2)]).await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let web = installation.group(&vpc, "web").await;
    let one_more = [("VpcId", vpc.as_str()), ("GroupName", "api"), ("GroupDescription", "x")];
    assert_eq!(installation.refusal("CreateSecurityGroup", &one_more).await, "SecurityGroupLimitExceeded");
    let allow = |cidr: &'static str| {
        [("GroupId", web.clone()), ("IpProtocol", "-1".to_owned()), ("CidrIp", cidr.to_owned())]
    };
    fn borrowed<'a>(parameters: &'a [(&'static str, String); 3]) -> Vec<(&'static str, &'a str)> {
        parameters.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }
    installation.ok("AuthorizeSecurityGroupIngress", &borrowed(&allow("10.0.0.0/8"))).await;
    installation.ok("AuthorizeSecurityGroupIngress", &borrowed(&allow("11.0.0.0/8"))).await;
    let code = installation.refusal("AuthorizeSecurityGroupIngress", &borrowed(&allow("12.0.0.0/8"))).await;
    assert_eq!(code, "RulesPerSecurityGroupLimitExceeded");
    installation.ok("AuthorizeSecurityGroupEgress", &borrowed(&allow("12.0.0.0/8"))).await;
}

#[tokio::test]
async fn a_rule_is_modified_in_place() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let web = installation.group(&vpc, "web").await;
    let allow = [
        ("GroupId", web.as_str()),
        ("IpProtocol", "tcp"),
        ("FromPort", "80"),
        ("ToPort", "80"),
        ("CidrIp", "10.0.0.0/8"),
    ];
    let made = installation.ok("AuthorizeSecurityGroupIngress", &allow).await;
    let rule = made.texts("securityGroupRuleSet", "securityGroupRuleId").remove(0);
    let modify = [
        ("GroupId", web.as_str()),
        ("SecurityGroupRule.1.SecurityGroupRuleId", rule.as_str()),
        ("SecurityGroupRule.1.SecurityGroupRule.IpProtocol", "tcp"),
        ("SecurityGroupRule.1.SecurityGroupRule.FromPort", "443"),
        ("SecurityGroupRule.1.SecurityGroupRule.ToPort", "443"),
        ("SecurityGroupRule.1.SecurityGroupRule.CidrIpv4", "10.0.0.0/8"),
        ("SecurityGroupRule.1.SecurityGroupRule.Description", "tls"),
    ];
    installation.ok("ModifySecurityGroupRules", &modify).await;
    let by_id = [("SecurityGroupRuleId.1", rule.as_str())];
    let found = installation.ok("DescribeSecurityGroupRules", &by_id).await.items("securityGroupRuleSet");
    assert_eq!((found[0].text("fromPort"), found[0].text("description")), ("443".into(), "tls".into()));
    let unknown = [("SecurityGroupRuleId.1", "sgr-0123456789abcdef0")];
    let code = installation.refusal("DescribeSecurityGroupRules", &unknown).await;
    assert_eq!(code, "InvalidSecurityGroupRuleId.NotFound");
}

#[tokio::test]
async fn a_group_that_an_association_has_is_not_deleted() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let web = installation.group(&vpc, "web").await;
    let network = installation.lattice("/servicenetworks", json!({"name": "shop"})).await;
    let association = json!({
        "serviceNetworkIdentifier": network["id"],
        "vpcIdentifier": vpc,
        "securityGroupIds": [web],
    });
    installation.lattice("/servicenetworkvpcassociations", association).await;
    let code = installation.refusal("DeleteSecurityGroup", &[("GroupId", &web)]).await;
    assert_eq!(code, "DependencyViolation");
}

#[tokio::test]
async fn descriptions_of_rules_are_replaced_and_taken_away() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let web = installation.group(&vpc, "web").await;
    let rule = [
        ("GroupId", web.as_str()),
        ("IpPermissions.1.IpProtocol", "tcp"),
        ("IpPermissions.1.FromPort", "80"),
        ("IpPermissions.1.ToPort", "80"),
        ("IpPermissions.1.IpRanges.1.CidrIp", "10.0.0.0/8"),
    ];
    let made = installation.ok("AuthorizeSecurityGroupIngress", &rule).await;
    let id = made.texts("securityGroupRuleSet", "securityGroupRuleId").remove(0);
    let description = async || {
        let rules = installation.ok("DescribeSecurityGroupRules", &[("SecurityGroupRuleId.1", &id)]).await;
        rules.items("securityGroupRuleSet")[0].text("description")
    };
    let mut described = rule.to_vec();
    described.push(("IpPermissions.1.IpRanges.1.Description", "ours"));
    let update = "UpdateSecurityGroupRuleDescriptionsIngress";
    assert_eq!(installation.ok(update, &described).await.text("return"), "true");
    assert_eq!(description().await, "ours");
    let by_id = [
        ("GroupId", web.as_str()),
        ("SecurityGroupRuleDescription.1.SecurityGroupRuleId", &id),
        ("SecurityGroupRuleDescription.1.Description", "theirs"),
    ];
    installation.ok(update, &by_id).await;
    assert_eq!(description().await, "theirs");
    installation.ok(update, &by_id[..2]).await;
    assert_eq!(description().await, "");

    let both = [&rule[..], &by_id[1..]].concat();
    assert_eq!(installation.refusal(update, &both).await, "InvalidParameterCombination");
    assert_eq!(installation.refusal(update, &rule[..1]).await, "MissingParameter");
    let egress = "UpdateSecurityGroupRuleDescriptionsEgress";
    assert_eq!(installation.refusal(egress, &described).await, "InvalidPermission.NotFound");
    assert_eq!(installation.refusal(egress, &by_id).await, "InvalidSecurityGroupRuleId.NotFound");
    let long = "x".repeat(256);
    let too_long = [by_id[0], by_id[1], (by_id[2].0, long.as_str())];
    assert_eq!(installation.refusal(update, &too_long).await, "InvalidParameterValue");
    assert_eq!(description().await, "");
}
