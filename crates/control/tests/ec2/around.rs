//! What clients ask around VPCs, subnets and hosts: the DHCP options, the instance type, attributes, and things that
//! there are none of.

use crate::installation::{ACCOUNT, Installation};

#[tokio::test]
async fn of_what_is_not_here_there_is_an_empty_list_and_no_id_of_it_exists() {
    let installation = Installation::new().await;
    let id = "0123456789abcdef0";
    for (action, list, member, prefix, code) in [
        ("DescribeAddresses", "addressesSet", "AllocationId", "eipalloc-", "InvalidAllocationID.NotFound"),
        (
            "DescribeCustomerGateways",
            "customerGatewaySet",
            "CustomerGatewayId",
            "cgw-",
            "InvalidCustomerGatewayID.NotFound",
        ),
        (
            "DescribeEgressOnlyInternetGateways",
            "egressOnlyInternetGatewaySet",
            "EgressOnlyInternetGatewayId",
            "eigw-",
            "InvalidGatewayID.NotFound",
        ),
        ("DescribeFlowLogs", "flowLogSet", "FlowLogId", "fl-", "InvalidFlowLogId.NotFound"),
        ("DescribeImages", "imagesSet", "ImageId", "ami-", "InvalidAMIID.NotFound"),
        (
            "DescribeInternetGateways",
            "internetGatewaySet",
            "InternetGatewayId",
            "igw-",
            "InvalidInternetGatewayID.NotFound",
        ),
        ("DescribeKeyPairs", "keySet", "KeyPairId", "key-", "InvalidKeyPair.NotFound"),
        (
            "DescribeLaunchTemplates",
            "launchTemplates",
            "LaunchTemplateId",
            "lt-",
            "InvalidLaunchTemplateId.NotFound",
        ),
        ("DescribeNatGateways", "natGatewaySet", "NatGatewayId", "nat-", "NatGatewayNotFound"),
        ("DescribePlacementGroups", "placementGroupSet", "GroupId", "pg-", "InvalidPlacementGroup.Unknown"),
        ("DescribeSnapshots", "snapshotSet", "SnapshotId", "snap-", "InvalidSnapshot.NotFound"),
        (
            "DescribeTransitGateways",
            "transitGatewaySet",
            "TransitGatewayIds",
            "tgw-",
            "InvalidTransitGatewayID.NotFound",
        ),
        ("DescribeVolumes", "volumeSet", "VolumeId", "vol-", "InvalidVolume.NotFound"),
        ("DescribeVpcEndpoints", "vpcEndpointSet", "VpcEndpointId", "vpce-", "InvalidVpcEndpointId.NotFound"),
        (
            "DescribeVpcPeeringConnections",
            "vpcPeeringConnectionSet",
            "VpcPeeringConnectionId",
            "pcx-",
            "InvalidVpcPeeringConnectionID.NotFound",
        ),
        (
            "DescribeVpnConnections",
            "vpnConnectionSet",
            "VpnConnectionId",
            "vpn-",
            "InvalidVpnConnectionID.NotFound",
        ),
        ("DescribeVpnGateways", "vpnGatewaySet", "VpnGatewayId", "vgw-", "InvalidVpnGatewayID.NotFound"),
    ] {
        let filter = if matches!(action, "DescribeNatGateways" | "DescribeFlowLogs") {
            [("Filter.1.Name", "tag:Name"), ("Filter.1.Value.1", "x")]
        } else {
            [("Filter.1.Name", "tag-key"), ("Filter.1.Value.1", "*")]
        };
        let answer = installation.ok(action, &filter).await;
        assert!(answer.items(list).is_empty(), "{action}");
        let member = format!("{member}.1");
        let one = [(member.as_str(), &*format!("{prefix}{id}"))];
        let (found, message) = installation.refused(action, &one).await;
        assert_eq!(found, code, "{action}");
        assert!(message.contains(id), "{message}");
        let (_, message) = installation.refused(action, &[(member.as_str(), "a b")]).await;
        assert!(message.starts_with("Invalid id"), "{action}: {message}");
        let unknown = [("Filter.1.Name", "no-such-filter"), ("Filter.1.Value.1", "x")];
        assert_eq!(installation.refusal(action, &unknown).await, "InvalidParameterValue", "{action}");
        let dry = installation.ec2(action, &[("DryRun", "true")]).await.unwrap_err();
        assert_eq!((dry.status, dry.code.as_str()), (412, "DryRunOperation"), "{action}");
    }
    let token = [("NextToken", "x")];
    assert_eq!(installation.refusal("DescribeVolumes", &token).await, "InvalidNextToken");
    assert_eq!(
        installation.refusal("DescribeVolumes", &[("VolumeId.1", "vol-x")]).await,
        "InvalidParameterValue"
    );
    assert_eq!(
        installation.refusal("DescribeKeyPairs", &[("KeyName.1", "k")]).await,
        "InvalidKeyPair.NotFound"
    );
    let services = installation.ok("DescribeVpcEndpointServices", &[]).await;
    assert!(services.items("serviceNameSet").is_empty() && services.items("serviceDetailSet").is_empty());
}

#[tokio::test]
async fn the_dhcp_options_of_a_vpc_are_found_by_its_id_for_them_and_take_tags() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let described = installation.ok("DescribeVpcs", &[("VpcId.1", &vpc)]).await;
    let id = described.texts("vpcSet", "dhcpOptionsId").remove(0);
    installation
        .ok("CreateTags", &[("ResourceId.1", &id), ("Tag.1.Key", "Name"), ("Tag.1.Value", "default")])
        .await;
    let options = installation.ok("DescribeDhcpOptions", &[("DhcpOptionsId.1", &id)]).await;
    let options = options.items("dhcpOptionsSet").remove(0);
    assert_eq!((options.text("dhcpOptionsId"), options.text("ownerId")), (id.clone(), ACCOUNT.to_owned()));
    assert_eq!(options.tags(), [("Name".to_owned(), "default".to_owned())]);
    let option = options.items("dhcpConfigurationSet").remove(0);
    assert_eq!(option.text("key"), "domain-name-servers");
    assert_eq!(option.texts("valueSet", "value"), ["AmazonProvidedDNS"]);
    for (name, value, count) in [
        ("dhcp-options-id", id.as_str(), 1),
        ("key", "domain-name-servers", 1),
        ("key", "domain-name", 0),
        ("value", "Amazon*", 1),
        ("owner-id", ACCOUNT, 1),
        ("tag:Name", "default", 1),
        ("tag:Name", "other", 0),
    ] {
        let filter = [("Filter.1.Name", name), ("Filter.1.Value.1", value)];
        let found = installation.ok("DescribeDhcpOptions", &filter).await;
        assert_eq!(found.items("dhcpOptionsSet").len(), count, "{name} {value}");
    }
    let other = [("DhcpOptionsId.1", "dopt-0123456789abcdef0")];
    assert_eq!(installation.refusal("DescribeDhcpOptions", &other).await, "InvalidDhcpOptionID.NotFound");
}

#[tokio::test]
async fn hosts_are_of_the_one_instance_type_which_every_zone_has() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let subnet = installation.subnet(&vpc, "10.0.1.0/24").await;
    let host = installation.run(&subnet, "web").await.unwrap();
    let filter = [("Filter.1.Name", "instance-type"), ("Filter.1.Value.1", "trellis.host")];
    let found = installation.ok("DescribeInstances", &filter).await;
    let instance = found.items("reservationSet").remove(0).items("instancesSet").remove(0);
    assert_eq!(instance.text("instanceId"), host.id.to_string());
    let kind = instance.text("instanceType");

    let types = installation.ok("DescribeInstanceTypes", &[("InstanceType.1", &kind)]).await;
    let described = types.items("instanceTypeSet").remove(0);
    assert_eq!(described.text("instanceType"), kind);
    assert_eq!(described.text("memoryInfo/sizeInMiB"), "2048");
    assert_eq!(described.text("burstablePerformanceSupported"), "false");
    assert!(described.text("vCpuInfo/defaultVCpus").parse::<u32>().unwrap() >= 1);
    assert_eq!(
        installation.refusal("DescribeInstanceTypes", &[("InstanceType.1", "t3.micro")]).await,
        "InvalidInstanceType"
    );
    let none = [("Filter.1.Name", "burstable-performance-supported"), ("Filter.1.Value.1", "true")];
    assert!(installation.ok("DescribeInstanceTypes", &none).await.items("instanceTypeSet").is_empty());

    for (location_type, locations) in [
        ("region", vec!["us-east-1"]),
        ("availability-zone", vec!["us-east-1a", "us-east-1b", "us-east-1c"]),
        ("availability-zone-id", vec!["use1-az1", "use1-az2", "use1-az3"]),
        ("outpost", vec![]),
    ] {
        let offered =
            installation.ok("DescribeInstanceTypeOfferings", &[("LocationType", location_type)]).await;
        assert_eq!(offered.texts("instanceTypeOfferingSet", "location"), locations, "{location_type}");
    }
}

#[tokio::test]
async fn every_attribute_of_a_host_and_its_interface_is_told_one_at_a_time() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let subnet = installation.subnet(&vpc, "10.0.1.0/24").await;
    let host = installation.run(&subnet, "web").await.unwrap();
    let id = host.id.to_string();
    for (attribute, path, expected) in [
        ("disableApiTermination", "disableApiTermination/value", "false"),
        ("disableApiStop", "disableApiStop/value", "false"),
        ("ebsOptimized", "ebsOptimized/value", "false"),
        ("enaSupport", "enaSupport/value", "false"),
        ("enclaveOptions", "enclaveOptions/enabled", "false"),
        ("instanceInitiatedShutdownBehavior", "instanceInitiatedShutdownBehavior/value", "terminate"),
        ("instanceType", "instanceType/value", "trellis.host"),
        ("sourceDestCheck", "sourceDestCheck/value", "true"),
    ] {
        let asked = [("InstanceId", id.as_str()), ("Attribute", attribute)];
        let answer = installation.ok("DescribeInstanceAttribute", &asked).await;
        assert_eq!(
            (answer.text("instanceId"), answer.text(path)),
            (id.clone(), expected.to_owned()),
            "{attribute}"
        );
    }
    for attribute in [
        "userData",
        "kernel",
        "ramdisk",
        "rootDeviceName",
        "sriovNetSupport",
        "blockDeviceMapping",
        "productCodes",
        "groupSet",
    ] {
        let asked = [("InstanceId", id.as_str()), ("Attribute", attribute)];
        let answer = installation.ok("DescribeInstanceAttribute", &asked).await;
        assert!(answer.has(attribute) && !answer.has(&format!("{attribute}/value")), "{attribute}");
    }
    let nobody = [("InstanceId", "i-0123456789abcdef0"), ("Attribute", "userData")];
    assert_eq!(
        installation.refusal("DescribeInstanceAttribute", &nobody).await,
        "InvalidInstanceID.NotFound"
    );
    assert_eq!(installation.refusal("GetPasswordData", &nobody[..1]).await, "InvalidInstanceID.NotFound");
    let password = installation.ok("GetPasswordData", &[("InstanceId", &id)]).await;
    assert_eq!(password.text("passwordData"), "");

    let interface = host.interface_id();
    for (attribute, path, expected) in [
        ("attachment", "attachment/instanceId", id.as_str()),
        ("description", "description/value", ""),
        ("sourceDestCheck", "sourceDestCheck/value", "true"),
    ] {
        let asked = [("NetworkInterfaceId", interface.as_str()), ("Attribute", attribute)];
        let answer = installation.ok("DescribeNetworkInterfaceAttribute", &asked).await;
        assert_eq!(answer.text(path), expected, "{attribute}");
    }
    let other = [("NetworkInterfaceId", "eni-0123456789abcdef0"), ("Attribute", "description")];
    let code = installation.refusal("DescribeNetworkInterfaceAttribute", &other).await;
    assert_eq!(code, "InvalidNetworkInterfaceID.NotFound");
}
