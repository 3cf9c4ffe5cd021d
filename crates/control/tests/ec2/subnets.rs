use serde_json::json;

use crate::installation::{Installation, host};

#[tokio::test]
async fn a_subnet_is_a_part_of_its_vpc_apart_from_the_others() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let create = [("VpcId", vpc.as_str()), ("CidrBlock", "10.0.1.7/24")];
    let subnet = installation.ok("CreateSubnet", &create).await.at("subnet");
    assert_eq!(subnet.text("cidrBlock"), "10.0.1.0/24");
    assert_eq!(subnet.text("state"), "available");
    assert_eq!(subnet.text("availableIpAddressCount"), "251");
    assert_eq!(subnet.text("availabilityZone"), "us-east-1a");
    assert_eq!(subnet.text("availabilityZoneId"), "use1-az1");
    assert_eq!(subnet.text("mapPublicIpOnLaunch"), "false");
    let id = subnet.text("subnetId");
    assert_eq!(subnet.text("subnetArn"), format!("arn:aws:ec2:us-east-1:111122223333:subnet/{id}"));

    for (cidr, code) in [
        ("10.0.1.0/24", "InvalidSubnet.Conflict"),
        ("10.0.0.0/20", "InvalidSubnet.Conflict"),
        ("10.0.1.128/25", "InvalidSubnet.Conflict"),
        ("10.1.0.0/24", "InvalidSubnet.Range"),
        ("10.0.0.0/15", "InvalidSubnet.Range"),
        ("10.0.2.0/29", "InvalidSubnet.Range"),
        ("10.0.2", "InvalidParameterValue"),
    ] {
        let parameters = [("VpcId", vpc.as_str()), ("CidrBlock", cidr)];
        assert_eq!(installation.refusal("CreateSubnet", &parameters).await, code, "{cidr}");
    }
    let missing = [("VpcId", vpc.as_str())];
    assert_eq!(installation.refusal("CreateSubnet", &missing).await, "MissingParameter");

    let other = installation.vpc("10.0.0.0/16").await;
    installation.subnet(&other, "10.0.1.0/24").await;

    installation.ok("DeleteSubnet", &[("SubnetId", &id)]).await;
    assert_eq!(installation.refusal("DeleteSubnet", &[("SubnetId", &id)]).await, "InvalidSubnetID.NotFound");
    assert_eq!(
        installation.refusal("DeleteSubnet", &[("SubnetId", "subnet-1")]).await,
        "InvalidSubnetID.Malformed"
    );
}

#[tokio::test]
async fn a_whole_vpc_may_be_one_subnet_and_a_quota_ends_their_number() {
    let installation = Installation::with_quotas(&[("L-407747CB", 2)]).await;
    let whole = installation.vpc("10.0.0.0/24").await;
    installation.subnet(&whole, "10.0.0.0/24").await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    installation.subnet(&vpc, "10.0.0.0/28").await;
    installation.subnet(&vpc, "10.0.0.16/28").await;
    let one_more = [("VpcId", vpc.as_str()), ("CidrBlock", "10.0.0.32/28")];
    assert_eq!(installation.refusal("CreateSubnet", &one_more).await, "SubnetLimitExceeded");
}

#[tokio::test]
async fn zones_are_chosen_by_name_or_id() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    for (cidr, parameter, value, zone) in [
        ("10.0.1.0/24", "AvailabilityZone", "us-east-1b", "us-east-1b"),
        ("10.0.2.0/24", "AvailabilityZoneId", "use1-az3", "us-east-1c"),
    ] {
        let parameters = [("VpcId", vpc.as_str()), ("CidrBlock", cidr), (parameter, value)];
        let subnet = installation.ok("CreateSubnet", &parameters).await;
        assert_eq!(subnet.text("subnet/availabilityZone"), zone);
    }
    let wrong = [("VpcId", vpc.as_str()), ("CidrBlock", "10.0.3.0/24"), ("AvailabilityZone", "us-east-1z")];
    assert_eq!(installation.refusal("CreateSubnet", &wrong).await, "InvalidParameterValue");
}

#[tokio::test]
async fn hosts_count_against_the_free_addresses_and_keep_the_subnet() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let subnet = installation.subnet(&vpc, "10.0.1.0/28").await;
    let by_id = [("SubnetId.1", subnet.as_str())];
    let free = || async {
        let answer = installation.ok("DescribeSubnets", &by_id).await;
        answer.texts("subnetSet", "availableIpAddressCount").remove(0)
    };
    assert_eq!(free().await, "11");
    let web = installation.run(&subnet, "web").await.unwrap();
    installation.run(&subnet, "api").await.unwrap();
    assert_eq!(free().await, "9");
    let delete = [("SubnetId", subnet.as_str())];
    assert_eq!(installation.refusal("DeleteSubnet", &delete).await, "DependencyViolation");

    installation.control.hosts().ready(&web.id).await;
    installation.control.hosts().terminate("web").await.unwrap();
    assert_eq!(free().await, "9", "the address is kept until the kernel has let go of it");
    installation.control.hosts().gone(&web.id).await;
    installation.control.hosts().terminate("api").await.unwrap();
    assert_eq!(free().await, "11");
    installation.ok("DeleteSubnet", &delete).await;
}

#[tokio::test]
async fn filters_choose_subnets_by_every_property() {
    let installation = Installation::new().await;
    let (one, two) = (installation.vpc("10.1.0.0/16").await, installation.vpc("10.2.0.0/16").await);
    let a = installation.subnet(&one, "10.1.1.0/24").await;
    let b = installation.subnet(&one, "10.1.2.0/28").await;
    let c = installation.subnet(&two, "10.2.1.0/24").await;
    installation.control.hosts().run(host(&c, "web")).await.unwrap();
    let public = [("SubnetId", b.as_str()), ("MapPublicIpOnLaunch.Value", "true")];
    installation.ok("ModifySubnetAttribute", &public).await;
    installation
        .ok("CreateTags", &[("ResourceId.1", a.as_str()), ("Tag.1.Key", "tier"), ("Tag.1.Value", "web")])
        .await;
    for (name, value, expected) in [
        ("vpc-id", one.as_str(), vec![&a, &b]),
        ("subnet-id", c.as_str(), vec![&c]),
        ("cidr-block", "10.?.1.0/24", vec![&a, &c]),
        ("availability-zone", "us-east-1a", vec![&a, &b, &c]),
        ("availability-zone-id", "use1-az2", vec![]),
        ("available-ip-address-count", "250", vec![&c]),
        ("map-public-ip-on-launch", "true", vec![&b]),
        ("default-for-az", "false", vec![&a, &b, &c]),
        ("state", "available", vec![&a, &b, &c]),
        ("tag:tier", "w*", vec![&a]),
        ("tag-key", "tier", vec![&a]),
    ] {
        let filter = [("Filter.1.Name", name), ("Filter.1.Value.1", value)];
        let mut found = installation.ok("DescribeSubnets", &filter).await.texts("subnetSet", "subnetId");
        found.sort();
        let mut expected: Vec<String> = expected.into_iter().cloned().collect();
        expected.sort();
        assert_eq!(found, expected, "{name} {value}");
    }
}

#[tokio::test]
async fn a_resource_gateway_has_addresses_that_no_host_is_given_and_keeps_its_subnet() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let subnet = installation.subnet(&vpc, "10.0.1.0/28").await;
    let input =
        json!({"name": "gateway", "vpcIdentifier": vpc, "subnetIds": [subnet], "ipv4AddressesPerEni": 9});
    let gateway = installation.lattice("/resourcegateways", input).await;
    let described = installation.ok("DescribeSubnets", &[("SubnetId.1", &subnet)]).await;
    assert_eq!(described.at("subnetSet/item").text("availableIpAddressCount"), "2");

    let wanted = trellis_control::RunInstance { ip: Some([10, 0, 1, 14].into()), ..host(&subnet, "web") };
    let refused = installation.control.hosts().run(wanted).await.unwrap_err().to_string();
    assert!(refused.contains(gateway["id"].as_str().unwrap()), "{refused}");
    for (name, last) in [("one", 4), ("two", 5)] {
        assert_eq!(installation.run(&subnet, name).await.unwrap().address.octets()[3], last);
    }
    let full = installation.run(&subnet, "three").await.unwrap_err().to_string();
    assert!(full.contains("every address"), "{full}");
    for name in ["one", "two"] {
        installation.control.hosts().terminate(name).await.unwrap();
    }
    assert_eq!(installation.refusal("DeleteSubnet", &[("SubnetId", &subnet)]).await, "DependencyViolation");
}
