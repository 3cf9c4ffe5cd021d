//! IPv6 blocks of VPCs and subnets, and the addresses of hosts in them.

use std::net::Ipv6Addr;

use trellis_control::RunInstance;
use trellis_model::fabric::FirewallTraffic;
use trellis_model::snapshot::AddressFamily;
use trellis_model::{SubnetId, VpcId};

use crate::installation::{Installation, host};
use crate::xml::Node;

/// A VPC 10.0.0.0/16 and `block`; its id.
async fn vpc(installation: &Installation, block: &str) -> String {
    let parameters = [("CidrBlock", "10.0.0.0/16"), ("Ipv6CidrBlock", block)];
    installation.ok("CreateVpc", &parameters).await.text("vpc/vpcId")
}

async fn subnet(installation: &Installation, vpc: &str, ipv4: &str, ipv6: &str) -> String {
    let parameters = [("VpcId", vpc), ("CidrBlock", ipv4), ("Ipv6CidrBlock", ipv6)];
    installation.ok("CreateSubnet", &parameters).await.text("subnet/subnetId")
}

async fn assign(installation: &Installation, subnet: &str) {
    let parameters = [("SubnetId", subnet), ("AssignIpv6AddressOnCreation.Value", "true")];
    installation.ok("ModifySubnetAttribute", &parameters).await;
}

/// The one association of a described VPC or subnet.
fn association(described: &Node) -> Node {
    let mut all = described.items("ipv6CidrBlockAssociationSet");
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

#[tokio::test]
async fn a_vpc_is_given_a_block_of_its_own_when_it_is_made_or_later() {
    let installation = Installation::new().await;
    let asked = [("CidrBlock", "10.0.0.0/16"), ("AmazonProvidedIpv6CidrBlock", "true")];
    let made = installation.ok("CreateVpc", &asked).await.at("vpc");
    let given = association(&made);
    let block: ipnet::Ipv6Net = given.text("ipv6CidrBlock").parse().unwrap();
    assert_eq!((block.prefix_len(), block.addr().octets()[0]), (56, 0xfd));
    assert!(given.text("associationId").starts_with("vpc-cidr-assoc-"));
    assert_ne!(
        given.text("associationId"),
        made.items("cidrBlockAssociationSet")[0].text("associationId"),
        "the IPv4 block has another"
    );
    assert_eq!(given.text("ipv6CidrBlockState/state"), "associated");
    assert_eq!(
        (given.text("ipv6Pool"), given.text("networkBorderGroup")),
        ("Amazon".into(), "us-east-1".into())
    );
    for (name, value, found) in [
        ("ipv6-cidr-block-association.ipv6-cidr-block", block.to_string(), 1),
        ("ipv6-cidr-block-association.association-id", given.text("associationId"), 1),
        ("ipv6-cidr-block-association.state", "associated".into(), 1),
        ("ipv6-cidr-block-association.ipv6-cidr-block", "2001:*".into(), 0),
    ] {
        let filter = [("Filter.1.Name", name), ("Filter.1.Value.1", value.as_str())];
        assert_eq!(
            installation.ok("DescribeVpcs", &filter).await.items("vpcSet").len(),
            found,
            "{name} {value}"
        );
    }

    let later = installation.vpc("10.0.0.0/16").await;
    let ask = [("VpcId", later.as_str()), ("AmazonProvidedIpv6CidrBlock", "true")];
    let answer = installation.ok("AssociateVpcCidrBlock", &ask).await;
    assert_eq!(answer.text("vpcId"), later);
    let other: ipnet::Ipv6Net = answer.text("ipv6CidrBlockAssociation/ipv6CidrBlock").parse().unwrap();
    assert_ne!(block, other);
    assert_eq!(installation.refusal("AssociateVpcCidrBlock", &ask).await, "CidrLimitExceeded");
    let id = later.parse::<VpcId>().unwrap();
    installation.plan(|plan| plan.vpcs.get(&id).is_some_and(|vpc| vpc.ipv6_cidr == Some(other))).await;

    let routes = installation.ok("DescribeRouteTables", &[]).await;
    let text = format!("{routes:?}");
    assert!(text.contains(&block.to_string()) && text.contains(&other.to_string()), "{text}");

    let id = answer.text("ipv6CidrBlockAssociation/associationId");
    let gone = installation.ok("DisassociateVpcCidrBlock", &[("AssociationId", &id)]).await;
    assert_eq!(gone.text("ipv6CidrBlockAssociation/ipv6CidrBlockState/state"), "disassociated");
    let described = installation.ok("DescribeVpcs", &[("VpcId.1", &later)]).await;
    assert!(described.items("vpcSet")[0].items("ipv6CidrBlockAssociationSet").is_empty());
    assert_eq!(
        installation.refusal("DisassociateVpcCidrBlock", &[("AssociationId", &id)]).await,
        "InvalidVpcCidrBlockAssociationID.NotFound"
    );
}

#[tokio::test]
async fn blocks_that_no_vpc_can_have_are_refused_and_two_vpcs_may_have_the_same() {
    let installation = Installation::new().await;
    for (block, code) in [
        ("fd12::/64", "InvalidVpc.Range"),
        ("fd12::/40", "InvalidVpc.Range"),
        ("fd00:ec2:80::/56", "InvalidVpc.Range"),
        ("fe80::/56", "InvalidVpc.Range"),
        ("10.0.0.0/16", "InvalidParameterValue"),
        ("fd12::", "InvalidParameterValue"),
    ] {
        let parameters = [("CidrBlock", "10.0.0.0/16"), ("Ipv6CidrBlock", block)];
        assert_eq!(installation.refusal("CreateVpc", &parameters).await, code, "{block}");
    }
    let both = [
        ("CidrBlock", "10.0.0.0/16"),
        ("Ipv6CidrBlock", "fd12::/56"),
        ("AmazonProvidedIpv6CidrBlock", "true"),
    ];
    assert_eq!(installation.refusal("CreateVpc", &both).await, "InvalidParameterCombination");
    let border = [("CidrBlock", "10.0.0.0/16"), ("Ipv6CidrBlockNetworkBorderGroup", "us-east-1-nyc-1")];
    assert_eq!(installation.refusal("CreateVpc", &border).await, "InvalidParameterValue");
    let pool = [("CidrBlock", "10.0.0.0/16"), ("Ipv6Pool", "ipv6pool-ec2-1")];
    assert_eq!(installation.refusal("CreateVpc", &pool).await, "MissingParameter");
    assert!(installation.ok("DescribeVpcs", &[]).await.items("vpcSet").is_empty());

    let one = vpc(&installation, "fd12::/56").await;
    let other = vpc(&installation, "fd12::/56").await;
    let secondary = [("VpcId", one.as_str()), ("CidrBlock", "10.1.0.0/16")];
    assert_eq!(installation.refusal("AssociateVpcCidrBlock", &secondary).await, "UnsupportedOperation");
    let nothing = [("VpcId", one.as_str())];
    assert_eq!(installation.refusal("AssociateVpcCidrBlock", &nothing).await, "MissingParameter");
    let described = installation.ok("DescribeVpcs", &[("VpcId.1", &other)]).await;
    let primary = described.items("vpcSet")[0].items("cidrBlockAssociationSet")[0].text("associationId");
    assert_eq!(
        installation.refusal("DisassociateVpcCidrBlock", &[("AssociationId", &primary)]).await,
        "OperationNotPermitted"
    );
}

#[tokio::test]
async fn a_subnets_block_is_within_its_vpcs_apart_from_others_and_stays_while_it_is_used() {
    let installation = Installation::new().await;
    let own = vpc(&installation, "fd12::/56").await;
    let first = subnet(&installation, &own, "10.0.1.0/24", "fd12:0:0:1::/64").await;
    for (block, code) in [
        ("fd12:0:0:1::/64", "InvalidSubnet.Conflict"),
        ("fd12:0:0:0::/60", "InvalidSubnet.Conflict"),
        ("fd12:0:0:100::/64", "InvalidSubnet.Range"),
        ("fd12:0:0:2::/72", "InvalidSubnet.Range"),
        ("fd12:0:0:2::", "InvalidParameterValue"),
    ] {
        let parameters = [("VpcId", own.as_str()), ("CidrBlock", "10.0.2.0/24"), ("Ipv6CidrBlock", block)];
        assert_eq!(installation.refusal("CreateSubnet", &parameters).await, code, "{block}");
    }
    let without = installation.vpc("10.0.0.0/16").await;
    let plain = installation.subnet(&without, "10.0.1.0/24").await;
    let ask = [("SubnetId", plain.as_str()), ("Ipv6CidrBlock", "fd12:0:0:1::/64")];
    assert_eq!(installation.refusal("AssociateSubnetCidrBlock", &ask).await, "InvalidSubnet.Range");
    let flag = [("SubnetId", plain.as_str()), ("AssignIpv6AddressOnCreation.Value", "true")];
    assert_eq!(installation.refusal("ModifySubnetAttribute", &flag).await, "InvalidParameterValue");
    let two = [
        ("SubnetId", first.as_str()),
        ("AssignIpv6AddressOnCreation.Value", "true"),
        ("MapPublicIpOnLaunch.Value", "true"),
    ];
    assert_eq!(installation.refusal("ModifySubnetAttribute", &two).await, "InvalidParameterCombination");

    let second = installation.subnet(&own, "10.0.2.0/24").await;
    let ask = [("SubnetId", second.as_str()), ("Ipv6CidrBlock", "fd12:0:0:2::/64")];
    let answer = installation.ok("AssociateSubnetCidrBlock", &ask).await;
    let id = answer.text("ipv6CidrBlockAssociation/associationId");
    assert!(id.starts_with("subnet-cidr-assoc-"), "{id}");
    assign(&installation, &second).await;
    let filter = [
        ("Filter.1.Name", "ipv6-cidr-block-association.ipv6-cidr-block"),
        ("Filter.1.Value.1", "fd12:0:0:2::/64"),
    ];
    let found = installation.ok("DescribeSubnets", &filter).await.items("subnetSet");
    assert_eq!(found.len(), 1);
    assert_eq!(association(&found[0]).text("associationId"), id);
    assert_eq!(found[0].text("assignIpv6AddressOnCreation"), "true");

    // Used by a host, then by nobody; the VPC's is used by its subnets.
    installation.run(&second, "web").await.unwrap();
    let by = [("AssociationId", id.as_str())];
    let (code, message) = installation.refused("DisassociateSubnetCidrBlock", &by).await;
    assert_eq!(code, "DependencyViolation");
    assert!(message.contains("web"), "{message}");
    installation.control.hosts().terminate("web").await.unwrap();
    installation.ok("DisassociateSubnetCidrBlock", &by).await;
    assert_eq!(
        installation.refusal("DisassociateSubnetCidrBlock", &by).await,
        "InvalidSubnetCidrBlockAssociationID.NotFound"
    );
    let described = installation.ok("DescribeSubnets", &[("SubnetId.1", &second)]).await.items("subnetSet");
    assert_eq!(described[0].text("assignIpv6AddressOnCreation"), "false");
    let described = installation.ok("DescribeVpcs", &[("VpcId.1", &own)]).await.items("vpcSet");
    let whole = association(&described[0]).text("associationId");
    let by = [("AssociationId", whole.as_str())];
    assert_eq!(installation.refusal("DisassociateVpcCidrBlock", &by).await, "InvalidCidrBlock.InUse");
    installation.ok("DeleteSubnet", &[("SubnetId", &first)]).await;
    installation.ok("DisassociateVpcCidrBlock", &by).await;
}

#[tokio::test]
async fn hosts_have_an_ipv6_address_where_the_subnet_assigns_them_or_they_ask() {
    let installation = Installation::new().await;
    let own = vpc(&installation, "fd12::/56").await;
    let subnet = subnet(&installation, &own, "10.0.1.0/24", "fd12:0:0:1::/64").await;
    let plain = installation.subnet(&own, "10.0.2.0/24").await;
    let address = |text: &str| text.parse::<Ipv6Addr>().unwrap();
    let asking =
        |name: &str, wanted: &str| RunInstance { ipv6: Some(address(wanted)), ..host(&subnet, name) };
    assert_eq!(installation.run(&subnet, "without").await.unwrap().ipv6_address, None);
    let asked = installation.control.hosts().run(asking("asked", "fd12:0:0:1::4")).await.unwrap();
    assert_eq!(asked.ipv6_address, Some(address("fd12:0:0:1::4")));
    for (wanted, reason) in [
        ("fd12:0:0:1::4", "belongs to asked"),
        ("fd12:0:0:1::3", "without its first four"),
        ("fd12:0:0:2::9", "without its first four"),
    ] {
        let refused =
            installation.control.hosts().run(asking("other", wanted)).await.unwrap_err().to_string();
        assert!(refused.contains(reason), "{wanted}: {refused}");
    }
    let nowhere = RunInstance { ipv6: Some(address("fd12::9")), ..host(&plain, "nowhere") };
    let refused = installation.control.hosts().run(nowhere).await.unwrap_err().to_string();
    assert!(refused.contains("has no IPv6 block"), "{refused}");
    assign(&installation, &subnet).await;
    let given = installation.run(&subnet, "given").await.unwrap();
    assert_eq!(given.ipv6_address, Some(address("fd12:0:0:1::5")));

    let plan = installation.plan(|plan| plan.vpcs.values().any(|vpc| vpc.hosts.len() == 3)).await;
    let planned = &plan.vpcs[&own.parse::<VpcId>().unwrap()];
    assert_eq!(planned.hosts[&given.id].ipv6_address, given.ipv6_address);
    assert_eq!(
        planned.subnets[&subnet.parse::<SubnetId>().unwrap()].ipv6_gateway(),
        Some(address("fd12:0:0:1::1"))
    );

    for (name, found) in [("ipv6-address", 1), ("network-interface.ipv6-addresses.ipv6-address", 1)] {
        let filter = [("Filter.1.Name", name), ("Filter.1.Value.1", "fd12:0:0:1::5")];
        let described = installation.ok("DescribeInstances", &filter).await.items("reservationSet");
        assert_eq!(described.len(), found, "{name}");
        let shown = described[0].items("instancesSet").remove(0);
        assert_eq!(shown.text("instanceId"), given.id.as_str());
        assert_eq!(shown.text("ipv6Address"), "fd12:0:0:1::5");
        let interface = shown.items("networkInterfaceSet").remove(0);
        assert_eq!(interface.texts("ipv6AddressesSet", "ipv6Address"), ["fd12:0:0:1::5"]);
    }
    let filter = [("Filter.1.Name", "ipv6-addresses.ipv6-address"), ("Filter.1.Value.1", "fd12:*")];
    let interfaces = installation.ok("DescribeNetworkInterfaces", &filter).await;
    assert_eq!(interfaces.items("networkInterfaceSet").len(), 2);
    // IPv6 addresses are none of those that are counted.
    let described = installation.ok("DescribeSubnets", &[("SubnetId.1", &subnet)]).await.items("subnetSet");
    assert_eq!(described[0].text("availableIpAddressCount"), "248");
}

#[tokio::test]
async fn groups_let_ipv6_out_where_there_is_some_and_their_rules_are_resolved_for_both() {
    let installation = Installation::new().await;
    let own = vpc(&installation, "fd12::/56").await;
    let own_id = own.parse::<VpcId>().unwrap();
    let subnet = subnet(&installation, &own, "10.0.1.0/24", "fd12:0:0:1::/64").await;
    assign(&installation, &subnet).await;
    let group = installation.group(&own, "servers").await;
    let lists = installation.ok("DescribeManagedPrefixLists", &[]).await.items("prefixListSet");
    let named = |name: &str| {
        let list = lists.iter().find(|list| list.text("prefixListName").ends_with(name)).unwrap();
        list.text("prefixListId")
    };
    let (ipv4, ipv6) = (named("us-east-1.vpc-lattice"), named("us-east-1.ipv6.vpc-lattice"));
    for (list, expected) in
        [(&ipv4, vec!["129.224.0.0/17", "169.254.171.0/24"]), (&ipv6, vec!["fd00:ec2:80::/64"])]
    {
        let entries = installation.ok("GetManagedPrefixListEntries", &[("PrefixListId", list)]).await;
        assert_eq!(entries.texts("entrySet", "cidr"), expected);
    }
    let rules = [
        ("GroupId", group.as_str()),
        ("IpPermissions.1.IpProtocol", "tcp"),
        ("IpPermissions.1.FromPort", "80"),
        ("IpPermissions.1.ToPort", "80"),
        ("IpPermissions.1.Ipv6Ranges.1.CidrIpv6", "2001:db8::/32"),
        ("IpPermissions.1.PrefixListIds.1.PrefixListId", ipv6.as_str()),
        ("IpPermissions.1.Groups.1.GroupId", group.as_str()),
        ("IpPermissions.2.IpProtocol", "icmpv6"),
        ("IpPermissions.2.FromPort", "128"),
        ("IpPermissions.2.ToPort", "0"),
        ("IpPermissions.2.Ipv6Ranges.1.CidrIpv6", "::/0"),
    ];
    installation.ok("AuthorizeSecurityGroupIngress", &rules).await;
    let web = RunInstance { security_groups: vec![group.clone()], ..host(&subnet, "web") };
    let web = installation.control.hosts().run(web).await.unwrap();
    let plan = installation.plan(|plan| plan.vpcs[&own_id].firewalls.len() == 2).await;
    let firewalls = &plan.vpcs[&own_id].firewalls;
    let firewall = &firewalls[&web.ipv6_address.unwrap().into()];
    assert_eq!(firewalls[&web.address.into()], *firewall);
    let peers: Vec<String> =
        firewall.ingress.iter().flat_map(|rule| rule.peers.iter().map(ToString::to_string)).collect();
    assert_eq!(
        peers,
        ["2001:db8::/32", "fd00:ec2:80::/64", "10.0.1.4/32", "fd12:0:0:1::4/128", "::/0"],
        "{:?}",
        firewall.ingress
    );
    let echo = FirewallTraffic::Icmpv6 { kind: Some(128), code: Some(0) };
    assert!(firewall.ingress.iter().any(|rule| rule.traffic == echo));
    for family in [AddressFamily::Ipv4, AddressFamily::Ipv6] {
        assert!(firewall.egress.iter().any(|rule| rule.allows_everything(family)), "{family:?}");
    }

    // A VPC that gets IPv6 later: its default group lets that out, unless somebody has changed what it lets out.
    let egress = async |vpc: &str| {
        let filter = [("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", vpc)];
        let groups = installation.ok("DescribeSecurityGroups", &filter).await.items("securityGroupInfo");
        (groups[0].text("groupId"), format!("{:?}", groups[0].items("ipPermissionsEgress")))
    };
    let (untouched, changed) = (installation.vpc("10.0.0.0/16").await, installation.vpc("10.0.0.0/16").await);
    let (default, before) = egress(&changed).await;
    assert!(!before.contains("::/0"), "{before}");
    let rule = [
        ("GroupId", default.as_str()),
        ("IpPermissions.1.IpProtocol", "-1"),
        ("IpPermissions.1.IpRanges.1.CidrIp", "0.0.0.0/0"),
    ];
    installation.ok("RevokeSecurityGroupEgress", &rule).await;
    for (vpc, expected) in [(&untouched, true), (&changed, false)] {
        let ask = [("VpcId", vpc.as_str()), ("AmazonProvidedIpv6CidrBlock", "true")];
        installation.ok("AssociateVpcCidrBlock", &ask).await;
        assert_eq!(egress(vpc).await.1.contains("::/0"), expected);
    }
}
