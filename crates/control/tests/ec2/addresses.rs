use std::net::{IpAddr, Ipv4Addr};

use trellis_control::{HostError, RunInstance};

use crate::installation::{Installation, host};

fn last_octets(addresses: impl IntoIterator<Item = String>) -> Vec<u8> {
    addresses.into_iter().map(|text| text.parse::<Ipv4Addr>().unwrap().octets()[3]).collect()
}

/// What an interface has, the primary address first.
async fn addresses(installation: &Installation, interface: &str) -> Vec<u8> {
    let named = [("NetworkInterfaceId.1", interface)];
    let interface = installation.ok("DescribeNetworkInterfaces", &named).await;
    let interface = interface.items("networkInterfaceSet").remove(0);
    last_octets(interface.texts("privateIpAddressesSet", "privateIpAddress"))
}

async fn assign(installation: &Installation, interface: &str, count: &str) -> Vec<u8> {
    let input = [("NetworkInterfaceId", interface), ("SecondaryPrivateIpAddressCount", count)];
    let answer = installation.ok("AssignPrivateIpAddresses", &input).await;
    assert_eq!(answer.text("networkInterfaceId"), interface);
    last_octets(answer.texts("assignedPrivateIpAddressesSet", "privateIpAddress"))
}

#[tokio::test]
async fn secondary_addresses_are_taken_from_the_subnet_shown_and_free_again_when_they_are_unassigned() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let subnet = installation.subnet(&vpc, "10.0.1.0/28").await;
    let node = installation.run(&subnet, "node").await.unwrap();
    let other = RunInstance { ip: Some(Ipv4Addr::new(10, 0, 1, 6)), ..host(&subnet, "other") };
    let other = installation.control.hosts().run(other).await.unwrap();
    let interface = node.interface_id();

    assert_eq!(assign(&installation, &interface, "2").await, [5, 7], "the lowest that are free");
    let this = [("NetworkInterfaceId", interface.as_str()), ("PrivateIpAddress.1", "10.0.1.14")];
    installation.ok("AssignPrivateIpAddresses", &this).await;
    installation.ok("AssignPrivateIpAddresses", &this).await;
    assert_eq!(addresses(&installation, &interface).await, [4, 5, 7, 14]);
    let described = installation.ok("DescribeInstances", &[("InstanceId.1", node.id.as_str())]).await;
    let described = described.items("reservationSet").remove(0).items("instancesSet").remove(0);
    assert_eq!(described.text("privateIpAddress"), "10.0.1.4", "its own stays its own");
    let described = described.items("networkInterfaceSet").remove(0);
    let primary = described.texts("privateIpAddressesSet", "primary");
    assert_eq!(primary, ["true", "false", "false", "false"]);
    let names = described.texts("privateIpAddressesSet", "privateDnsName");
    assert_eq!(names[3], "ip-10-0-1-14.ec2.internal");
    let by_address = [("Filter.1.Name", "addresses.private-ip-address"), ("Filter.1.Value.1", "10.0.1.14")];
    let found = installation.ok("DescribeNetworkInterfaces", &by_address).await;
    assert_eq!(found.texts("networkInterfaceSet", "networkInterfaceId"), [interface.as_str()]);
    let by_address = [("Filter.1.Name", "private-ip-address"), ("Filter.1.Value.1", "10.0.1.14")];
    let found = installation.ok("DescribeInstances", &by_address).await;
    assert!(found.items("reservationSet").is_empty(), "of instances the primary address alone counts");

    let taken = RunInstance { ip: Some(Ipv4Addr::new(10, 0, 1, 14)), ..host(&subnet, "late") };
    let error = installation.control.hosts().run(taken.clone()).await.unwrap_err();
    assert!(matches!(&error, HostError::AddressTaken { owner, .. } if owner == "node"), "{error}");
    let subnets = installation.ok("DescribeSubnets", &[("SubnetId.1", subnet.as_str())]).await;
    assert_eq!(subnets.texts("subnetSet", "availableIpAddressCount"), ["6"]);

    installation.ok("UnassignPrivateIpAddresses", &this).await;
    assert_eq!(addresses(&installation, &interface).await, [4, 5, 7]);
    installation.control.hosts().run(taken).await.unwrap();
    installation.control.hosts().terminate("node").await.unwrap();
    let interface = other.interface_id();
    assert_eq!(assign(&installation, &interface, "3").await, [4, 5, 7], "what it had is free with it");
}

#[tokio::test]
async fn an_address_is_refused_that_is_not_to_be_had() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let subnet = installation.subnet(&vpc, "10.0.1.0/28").await;
    let far = installation.subnet(&vpc, "10.0.2.0/24").await;
    let [one, two, gone] = ["one", "two", "gone"];
    let one = installation.run(&subnet, one).await.unwrap().interface_id();
    let two = installation.run(&subnet, two).await.unwrap().interface_id();
    let gone = installation.run(&subnet, gone).await.unwrap().interface_id();
    installation.control.hosts().terminate("gone").await.unwrap();
    let roomy = installation.run(&far, "roomy").await.unwrap().interface_id();
    assert_eq!(assign(&installation, &one, "1").await, [6]);

    let count =
        |interface, count| vec![("NetworkInterfaceId", interface), ("SecondaryPrivateIpAddressCount", count)];
    let this = |interface, address| vec![("NetworkInterfaceId", interface), ("PrivateIpAddress.1", address)];
    let both = [count(two.as_str(), "1"), this(two.as_str(), "10.0.1.9")].concat();
    let prefix = [("Ipv4PrefixCount", "1"), ("NetworkInterfaceId", two.as_str())].to_vec();
    for (input, code) in [
        (count(&two, "0"), "InvalidParameterValue"),
        (count(&two, "-1"), "InvalidParameterValue"),
        (count(&two, "9"), "InsufficientFreeAddressesInSubnet"),
        (count(&roomy, "257"), "PrivateIpAddressLimitExceeded"),
        (count(&gone, "1"), "InvalidNetworkInterfaceID.NotFound"),
        (count("eni-0123456789abcdef0", "1"), "InvalidNetworkInterfaceID.NotFound"),
        (count("web", "1"), "InvalidNetworkInterfaceID.NotFound"),
        (vec![("NetworkInterfaceId", two.as_str())], "MissingParameter"),
        (both, "InvalidParameterCombination"),
        (prefix, "UnsupportedOperation"),
        (this(&two, "10.0.1.2"), "InvalidParameterValue"),
        (this(&two, "10.0.2.9"), "InvalidParameterValue"),
        (this(&two, "ten"), "InvalidParameterValue"),
        (this(&two, "10.0.1.4"), "InvalidIPAddress.InUse"),
        (this(&two, "10.0.1.5"), "InvalidIPAddress.InUse"),
        (this(&two, "10.0.1.6"), "InvalidIPAddress.InUse"),
    ] {
        assert_eq!(installation.refusal("AssignPrivateIpAddresses", &input).await, code, "{input:?}");
    }
    assert_eq!(addresses(&installation, &two).await, [5], "nothing has changed");
    let not_its = this(two.as_str(), "10.0.1.6");
    assert_eq!(installation.refusal("UnassignPrivateIpAddresses", &not_its).await, "InvalidParameterValue");
    let own = this(two.as_str(), "10.0.1.5");
    assert_eq!(installation.refusal("UnassignPrivateIpAddresses", &own).await, "InvalidParameterValue");

    let moved = [not_its, vec![("AllowReassignment", "true")]].concat();
    installation.ok("AssignPrivateIpAddresses", &moved).await;
    assert_eq!(addresses(&installation, &one).await, [4]);
    assert_eq!(addresses(&installation, &two).await, [5, 6]);
    let own = [this(two.as_str(), "10.0.1.4"), vec![("AllowReassignment", "true")]].concat();
    assert_eq!(installation.refusal("AssignPrivateIpAddresses", &own).await, "InvalidIPAddress.InUse");
}

#[tokio::test]
async fn the_kernel_is_told_of_secondary_addresses_and_security_groups_hold_for_them() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let subnet = installation.subnet(&vpc, "10.0.1.0/24").await;
    let group = installation.group(&vpc, "nodes").await;
    let node = RunInstance { security_groups: vec![group.clone()], ..host(&subnet, "node") };
    let node = installation.control.hosts().run(node).await.unwrap();
    installation.control.hosts().ready(&node.id).await;
    let given = installation.control.hosts().assign_addresses(&node.id, 2).await.unwrap();
    assert_eq!(given, [Ipv4Addr::new(10, 0, 1, 5), Ipv4Addr::new(10, 0, 1, 6)]);
    let has = |count: usize| {
        let id = node.id.clone();
        move |plan: &trellis_model::fabric::FabricPlan| {
            plan.vpcs.values().any(|vpc| vpc.secondary_addresses(&id).count() == count)
        }
    };
    let plan = installation.plan(has(2)).await;
    let plan = plan.vpcs.values().next().unwrap();
    assert_eq!(plan.firewalls[&IpAddr::from(given[1])], plan.firewalls[&IpAddr::from(node.address)]);
    assert!(plan.has_host_at(given[0]));
    assert_eq!(plan.hosts[&node.id].address, node.address);

    installation.control.hosts().unassign_addresses(&node.id, &given[..1]).await.unwrap();
    let plan = installation.plan(has(1)).await;
    let plan = plan.vpcs.values().next().unwrap();
    assert!(!plan.firewalls.contains_key(&IpAddr::from(given[0])) && !plan.has_host_at(given[0]));
    let error = installation.control.hosts().assign_addresses(&node.id, 256).await.unwrap_err();
    assert!(matches!(error, HostError::TooManyAddresses { .. }), "{error}");
}
