use serde_json::json;

use crate::installation::{ACCOUNT, Installation};

#[tokio::test]
async fn a_vpc_is_pending_until_the_kernel_has_it_and_then_available() {
    let installation = Installation::new().await;
    let answer = installation.ok("CreateVpc", &[("CidrBlock", "10.0.0.9/16")]).await;
    let vpc = answer.at("vpc");
    assert_eq!(vpc.text("cidrBlock"), "10.0.0.0/16", "host bits are cleared");
    assert_eq!(vpc.text("state"), "pending");
    assert_eq!(vpc.text("ownerId"), ACCOUNT);
    assert_eq!(vpc.text("instanceTenancy"), "default");
    assert_eq!(vpc.text("isDefault"), "false");
    assert!(vpc.text("dhcpOptionsId").starts_with("dopt-"));
    let association = vpc.items("cidrBlockAssociationSet").remove(0);
    assert_eq!(association.text("cidrBlock"), "10.0.0.0/16");
    assert_eq!(association.text("cidrBlockState/state"), "associated");

    let id = vpc.text("vpcId");
    installation.control.hosts().vpc_ready(&id.parse().unwrap()).await;
    let described = installation.ok("DescribeVpcs", &[("VpcId.1", &id)]).await;
    assert_eq!(described.texts("vpcSet", "state"), ["available"]);

    installation.ok("DeleteVpc", &[("VpcId", &id)]).await;
    assert_eq!(installation.refusal("DescribeVpcs", &[("VpcId.1", &id)]).await, "InvalidVpcID.NotFound");
    assert_eq!(installation.refusal("DeleteVpc", &[("VpcId", &id)]).await, "InvalidVpcID.NotFound");
    // A late report about it changes nothing.
    installation.control.hosts().vpc_ready(&id.parse().unwrap()).await;
    assert!(installation.ok("DescribeVpcs", &[]).await.items("vpcSet").is_empty());
}

#[tokio::test]
async fn blocks_that_aws_refuses_are_refused_and_nothing_is_made() {
    let installation = Installation::new().await;
    for (cidr, code) in [
        ("10.0.0.0/15", "InvalidVpc.Range"),
        ("10.0.0.0/29", "InvalidVpc.Range"),
        ("127.0.0.0/16", "InvalidVpc.Range"),
        ("169.254.171.0/24", "InvalidVpc.Range"),
        ("224.0.0.0/16", "InvalidVpc.Range"),
        ("129.224.0.0/16", "InvalidVpc.Range"),
        ("129.224.8.0/24", "InvalidVpc.Range"),
        ("0.0.0.0/16", "InvalidVpc.Range"),
        ("10.0.0.0", "InvalidParameterValue"),
        ("ten", "InvalidParameterValue"),
        ("10.0.0.0/33", "InvalidParameterValue"),
    ] {
        let (got, message) = installation.refused("CreateVpc", &[("CidrBlock", cidr)]).await;
        assert_eq!(got, code, "{cidr}: {message}");
        assert!(message.contains(cidr), "{message}");
    }
    assert_eq!(installation.refusal("CreateVpc", &[]).await, "MissingParameter");
    let dry = [("CidrBlock", "10.0.0.0/16"), ("DryRun", "true")];
    let fault = installation.ec2("CreateVpc", &dry).await.unwrap_err();
    assert_eq!((fault.status, fault.code.as_str()), (412, "DryRunOperation"));
    assert!(installation.ok("DescribeVpcs", &[]).await.items("vpcSet").is_empty());
    assert!(installation.ok("DescribeSecurityGroups", &[]).await.items("securityGroupInfo").is_empty());
}

#[tokio::test]
async fn two_vpcs_may_have_the_same_block_and_a_quota_ends_their_number() {
    let installation = Installation::with_quotas(&[("L-F678F1CE", 2)]).await;
    let one = installation.vpc("10.0.0.0/16").await;
    let other = installation.vpc("10.0.0.0/16").await;
    assert_ne!(one, other);
    let cidr = [("CidrBlock", "10.0.0.0/16")];
    assert_eq!(installation.refusal("CreateVpc", &cidr).await, "VpcLimitExceeded");
    assert!(
        installation.ec2_in("eu-west-1", "CreateVpc", &cidr).await.is_ok(),
        "another region counts apart"
    );
    installation.ok("DeleteVpc", &[("VpcId", &one)]).await;
    installation.vpc("10.1.0.0/16").await;
}

#[tokio::test]
async fn filters_choose_by_every_property_and_know_wildcards() {
    let installation = Installation::new().await;
    let made = installation
        .ok(
            "CreateVpc",
            &[
                ("CidrBlock", "10.1.0.0/16"),
                ("TagSpecification.1.ResourceType", "vpc"),
                ("TagSpecification.1.Tag.1.Key", "Name"),
                ("TagSpecification.1.Tag.1.Value", "shop-1"),
            ],
        )
        .await;
    assert_eq!(made.at("vpc").tags(), [("Name".to_owned(), "shop-1".to_owned())]);
    let shop = made.text("vpc/vpcId");
    let other = installation.vpc("10.2.0.0/16").await;
    installation.control.hosts().vpc_ready(&other.parse().unwrap()).await;
    let dhcp = made.text("vpc/dhcpOptionsId");
    for (name, value, expected) in [
        ("vpc-id", shop.as_str(), vec![&shop]),
        ("cidr", "10.1.0.0/16", vec![&shop]),
        ("cidr", "10.?.0.0/16", vec![&shop, &other]),
        ("cidr-block-association.cidr-block", "10.2*", vec![&other]),
        ("cidr-block-association.state", "associated", vec![&shop, &other]),
        ("state", "available", vec![&other]),
        ("state", "pending", vec![&shop]),
        ("isDefault", "false", vec![&shop, &other]),
        ("is-default", "true", vec![]),
        ("owner-id", ACCOUNT, vec![&shop, &other]),
        ("dhcp-options-id", &dhcp, vec![&shop, &other]),
        ("tag:Name", "shop-*", vec![&shop]),
        ("tag:Name", "cart-*", vec![]),
        ("tag-key", "Name", vec![&shop]),
        ("ipv6-cidr-block-association.ipv6-cidr-block", "*", vec![]),
    ] {
        let filter = [("Filter.1.Name", name), ("Filter.1.Value.1", value)];
        let mut found = installation.ok("DescribeVpcs", &filter).await.texts("vpcSet", "vpcId");
        found.sort();
        let mut expected: Vec<String> = expected.into_iter().cloned().collect();
        expected.sort();
        assert_eq!(found, expected, "{name} {value}");
    }
    let both = [
        ("Filter.1.Name", "tag-key"),
        ("Filter.1.Value.1", "Name"),
        ("Filter.2.Name", "state"),
        ("Filter.2.Value.1", "available"),
    ];
    assert!(installation.ok("DescribeVpcs", &both).await.items("vpcSet").is_empty());
    let unknown = [("Filter.1.Name", "colour"), ("Filter.1.Value.1", "red")];
    let (code, message) = installation.refused("DescribeVpcs", &unknown).await;
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("InvalidParameterValue", "The filter 'colour' is invalid")
    );
}

#[tokio::test]
async fn pages_cover_every_vpc_once() {
    let installation = Installation::new().await;
    let mut made = Vec::new();
    for third in 0..12 {
        made.push(installation.vpc(&format!("10.{third}.0.0/16")).await);
    }
    made.sort();
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let mut parameters = vec![("MaxResults", "5")];
        if !token.is_empty() {
            parameters.push(("NextToken", &token));
        }
        let page = installation.ok("DescribeVpcs", &parameters).await;
        seen.extend(page.texts("vpcSet", "vpcId"));
        token = page.text("nextToken");
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, made);
    let page = installation.ok("DescribeVpcs", &[("MaxResults", "5")]).await;
    let token = page.text("nextToken");
    let elsewhere = [("NextToken", token.as_str())];
    assert_eq!(installation.refusal("DescribeSubnets", &elsewhere).await, "InvalidNextToken");
    assert_eq!(installation.refusal("DescribeVpcs", &[("NextToken", "x")]).await, "InvalidNextToken");
    installation.refused("DescribeVpcs", &[("MaxResults", "4")]).await;
}

#[tokio::test]
async fn ids_that_are_malformed_and_ids_of_nothing_have_codes_of_their_own() {
    let installation = Installation::new().await;
    let known = installation.vpc("10.0.0.0/16").await;
    let nothing = "vpc-0123456789abcdef0";
    for (id, code) in [("vpc-1", "InvalidVpcID.Malformed"), (nothing, "InvalidVpcID.NotFound")] {
        for (action, parameters) in [
            ("DescribeVpcs", vec![("VpcId.1", known.as_str()), ("VpcId.2", id)]),
            ("DeleteVpc", vec![("VpcId", id)]),
            ("CreateSubnet", vec![("VpcId", id), ("CidrBlock", "10.0.0.0/24")]),
            ("DescribeVpcAttribute", vec![("VpcId", id), ("Attribute", "enableDnsSupport")]),
            ("ModifyVpcAttribute", vec![("VpcId", id), ("EnableDnsSupport.Value", "false")]),
        ] {
            assert_eq!(installation.refusal(action, &parameters).await, code, "{action} {id}");
        }
    }
    let (_, message) = installation.refused("DeleteVpc", &[("VpcId", nothing)]).await;
    assert_eq!(message, format!("The vpc ID '{nothing}' does not exist"));
    let elsewhere = installation.ec2_in("eu-west-1", "DescribeVpcs", &[("VpcId.1", &known)]).await;
    assert_eq!(elsewhere.unwrap_err().code, "InvalidVpcID.NotFound");
}

#[tokio::test]
async fn attributes_have_aws_defaults_and_are_changed_one_at_a_time() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    for (attribute, default) in [
        ("enableDnsSupport", "true"),
        ("enableDnsHostnames", "false"),
        ("enableNetworkAddressUsageMetrics", "false"),
    ] {
        let ask = [("VpcId", vpc.as_str()), ("Attribute", attribute)];
        let path = format!("{attribute}/value");
        assert_eq!(installation.ok("DescribeVpcAttribute", &ask).await.text(&path), default);
        let flipped = if default == "true" { "false" } else { "true" };
        let member = format!("{}{}.Value", attribute[..1].to_uppercase(), &attribute[1..]);
        installation.ok("ModifyVpcAttribute", &[("VpcId", vpc.as_str()), (&member, flipped)]).await;
        assert_eq!(installation.ok("DescribeVpcAttribute", &ask).await.text(&path), flipped);
    }
    let two =
        [("VpcId", vpc.as_str()), ("EnableDnsSupport.Value", "true"), ("EnableDnsHostnames.Value", "true")];
    assert_eq!(installation.refusal("ModifyVpcAttribute", &two).await, "InvalidParameterCombination");
    assert_eq!(installation.refusal("ModifyVpcAttribute", &[("VpcId", &vpc)]).await, "MissingParameter");
}

#[tokio::test]
async fn a_vpc_that_something_is_in_or_refers_to_is_not_deleted() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let delete = [("VpcId", vpc.as_str())];

    let subnet = installation.subnet(&vpc, "10.0.1.0/24").await;
    assert_eq!(installation.refusal("DeleteVpc", &delete).await, "DependencyViolation");
    installation.ok("DeleteSubnet", &[("SubnetId", &subnet)]).await;

    let group = installation.group(&vpc, "web").await;
    assert_eq!(installation.refusal("DeleteVpc", &delete).await, "DependencyViolation");
    installation.ok("DeleteSecurityGroup", &[("GroupId", &group)]).await;

    let config = json!({"port": 80, "protocol": "HTTP", "vpcIdentifier": vpc});
    let target_group = json!({"name": "targets", "type": "IP", "config": config});
    installation.lattice("/targetgroups", target_group).await;
    let (code, message) = installation.refused("DeleteVpc", &delete).await;
    assert_eq!(code, "DependencyViolation");
    assert!(message.contains("a target group (tg-"), "{message}");

    let other = installation.vpc("10.0.0.0/16").await;
    let network = installation.lattice("/servicenetworks", json!({"name": "shop"})).await;
    let association = json!({"serviceNetworkIdentifier": network["id"], "vpcIdentifier": other});
    installation.lattice("/servicenetworkvpcassociations", association).await;
    let (code, message) = installation.refused("DeleteVpc", &[("VpcId", &other)]).await;
    assert_eq!(code, "DependencyViolation");
    assert!(message.contains("a service network association (snva-"), "{message}");
}

#[tokio::test]
async fn every_vpc_has_a_main_route_table_and_a_default_acl() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let subnet = installation.subnet(&vpc, "10.0.1.0/24").await;
    installation.vpc("10.1.0.0/16").await;
    let main = [
        ("Filter.1.Name", "vpc-id"),
        ("Filter.1.Value.1", vpc.as_str()),
        ("Filter.2.Name", "association.main"),
        ("Filter.2.Value.1", "true"),
    ];
    let table = installation.ok("DescribeRouteTables", &main).await.items("routeTableSet").remove(0);
    assert_eq!(table.text("vpcId"), vpc);
    let route = table.items("routeSet").remove(0);
    assert_eq!(
        (route.text("destinationCidrBlock"), route.text("gatewayId")),
        ("10.0.0.0/16".into(), "local".into())
    );

    // "The tables show routes with target VpcLattice after association."
    let network = installation.lattice("/servicenetworks", json!({"name": "network"})).await;
    let association = json!({"serviceNetworkIdentifier": network["id"], "vpcIdentifier": vpc});
    installation.lattice("/servicenetworkvpcassociations", association).await;
    let reaching = [("Filter.1.Name", "route.gateway-id"), ("Filter.1.Value.1", "VpcLattice")];
    let tables = installation.ok("DescribeRouteTables", &reaching).await.items("routeTableSet");
    assert_eq!(tables.len(), 1);
    let mut destinations = tables[0].texts("routeSet", "destinationCidrBlock");
    destinations.sort();
    assert_eq!(destinations, ["10.0.0.0/16", "129.224.0.0/17", "169.254.171.0/24"]);
    let ipv6 = [("VpcId", vpc.as_str()), ("Ipv6CidrBlock", "fd12::/56")];
    installation.ok("AssociateVpcCidrBlock", &ipv6).await;
    let tables = installation.ok("DescribeRouteTables", &reaching).await.items("routeTableSet");
    let mut destinations = tables[0].texts("routeSet", "destinationIpv6CidrBlock");
    destinations.retain(|block| !block.is_empty());
    destinations.sort();
    assert_eq!(destinations, ["fd00:ec2:80::/64", "fd12::/56"]);

    let default = [("Filter.1.Name", "association.subnet-id"), ("Filter.1.Value.1", subnet.as_str())];
    let acls = installation.ok("DescribeNetworkAcls", &default).await.items("networkAclSet");
    assert_eq!(acls.len(), 1);
    assert_eq!((acls[0].text("vpcId"), acls[0].text("default")), (vpc, "true".into()));
    assert_eq!(acls[0].texts("associationSet", "subnetId"), [subnet]);
    let unknown = [("RouteTableId.1", "rtb-0123456789abcdef0")];
    assert_eq!(installation.refusal("DescribeRouteTables", &unknown).await, "InvalidRouteTableID.NotFound");
}
