use std::sync::Arc;

use serde_json::json;
use trellis_control::RunInstance;
use trellis_model::VpcId;
use trellis_model::fabric::{FabricPlan, FirewallRule, FirewallTraffic};
use trellis_model::snapshot::AddressFamily;

use crate::installation::{Installation, host};

#[tokio::test]
async fn the_plan_follows_every_change_and_rebuilds_only_what_it_touches() {
    let installation = Installation::new().await;
    assert!(installation.control.fabric_plans().borrow().vpcs.is_empty());
    let one = installation.vpc("10.0.0.0/16").await;
    let two = installation.vpc("10.0.0.0/16").await;
    let first = installation.plan(|plan| plan.vpcs.len() == 2).await;
    let [one, two] = [one, two].map(|id| id.parse::<VpcId>().unwrap());
    assert_eq!(first.vpcs[&one].cidrs, ["10.0.0.0/16".parse().unwrap()]);

    let subnet = installation.subnet(one.as_str(), "10.0.1.0/24").await;
    let second = installation.plan(|plan| !plan.vpcs[&one].subnets.is_empty()).await;
    assert!(second.revision > first.revision);
    assert!(Arc::ptr_eq(&first.vpcs[&two], &second.vpcs[&two]), "the other VPC is the same");

    let host = installation.run(&subnet, "web").await.unwrap();
    let third = installation.plan(|plan| !plan.vpcs[&one].hosts.is_empty()).await;
    let planned = &third.vpcs[&one].hosts[&host.id];
    assert_eq!((planned.name.as_str(), planned.address), ("web", host.address));
    assert_eq!(planned.subnet.as_str(), subnet);

    // States that the kernel itself brought about are no change of what should be.
    installation.control.hosts().ready(&host.id).await;
    installation.control.hosts().vpc_ready(&one).await;
    let fourth = installation.plan(|plan| plan.revision >= third.revision + 2).await;
    assert!(Arc::ptr_eq(&third.vpcs[&one], &fourth.vpcs[&one]));

    installation.control.hosts().terminate("web").await.unwrap();
    installation.plan(|plan| plan.vpcs[&one].hosts.is_empty()).await;
    installation.control.hosts().gone(&host.id).await;
    installation.ok("DeleteSubnet", &[("SubnetId", &subnet)]).await;
    installation.plan(|plan| plan.vpcs[&one].subnets.is_empty()).await;
    installation.ok("DeleteVpc", &[("VpcId", one.as_str())]).await;
    let last = installation.plan(|plan| plan.vpcs.len() == 1).await;
    assert!(Arc::ptr_eq(&last.vpcs[&two], &first.vpcs[&two]));
}

#[tokio::test]
async fn the_first_plan_after_a_restart_is_there_at_once_and_whole() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let subnet = installation.subnet(&vpc, "10.0.1.0/24").await;
    installation.run(&subnet, "web").await.unwrap();
    let is_whole = |plan: &FabricPlan| plan.vpcs.values().any(|vpc| vpc.hosts.len() == 1);
    let before = installation.plan(is_whole).await;
    let installation = installation.restart().await;
    let after = installation.control.fabric_plans().borrow().clone();
    assert_eq!(after.vpcs, before.vpcs);
    assert!(after.revision >= before.revision);
}

#[tokio::test]
async fn the_command_of_an_attached_host_is_run_by_whoever_is_attached() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let subnet = installation.subnet(&vpc, "10.0.1.0/24").await;
    for (name, detached) in [("attached", false), ("detached", true)] {
        let command = vec!["sleep".to_owned(), "9".to_owned()];
        let spec = RunInstance { command, detached, ..host(&subnet, name) };
        installation.control.hosts().run(spec).await.unwrap();
    }
    let plan = installation.plan(|plan| plan.vpcs.values().any(|vpc| vpc.hosts.len() == 2)).await;
    for host in plan.vpcs.values().flat_map(|vpc| vpc.hosts.values()) {
        assert_eq!(host.command.is_empty(), host.name == "attached", "{host:?}");
    }
    // It is shown all the same.
    assert!(installation.control.hosts().list().unwrap().iter().all(|host| host.command == ["sleep", "9"]));
}

fn block(text: &str) -> ipnet::IpNet {
    text.parse().unwrap()
}

#[tokio::test]
async fn security_groups_are_resolved_to_addresses_and_follow_their_members() {
    let installation = Installation::new().await;
    let (vpc, other) = (installation.vpc("10.0.0.0/16").await, installation.vpc("10.0.0.0/16").await);
    let subnet = installation.subnet(&vpc, "10.0.1.0/24").await;
    let servers = installation.group(&vpc, "servers").await;
    let clients = installation.group(&vpc, "clients").await;
    let lists = installation.ok("DescribeManagedPrefixLists", &[]).await.items("prefixListSet");
    let is_ours = |list: &&crate::xml::Node| list.text("prefixListName").ends_with("us-east-1.vpc-lattice");
    let list = lists.iter().find(is_ours).unwrap().text("prefixListId");
    let rules = [
        ("GroupId", servers.as_str()),
        ("IpPermissions.1.IpProtocol", "tcp"),
        ("IpPermissions.1.FromPort", "80"),
        ("IpPermissions.1.ToPort", "90"),
        ("IpPermissions.1.IpRanges.1.CidrIp", "192.0.2.0/24"),
        ("IpPermissions.1.Groups.1.GroupId", clients.as_str()),
        ("IpPermissions.1.PrefixListIds.1.PrefixListId", list.as_str()),
    ];
    installation.ok("AuthorizeSecurityGroupIngress", &rules).await;
    let with = |name: &str, groups: &[&String]| RunInstance {
        security_groups: groups.iter().map(ToString::to_string).collect(),
        ..host(&subnet, name)
    };
    let server = installation.control.hosts().run(with("server", &[&servers])).await.unwrap();
    let [vpc, other] = [vpc, other].map(|id| id.parse::<VpcId>().unwrap());
    let plan = installation.plan(|plan| !plan.vpcs[&vpc].hosts.is_empty()).await;
    let firewall = &plan.vpcs[&vpc].firewalls[&server.address.into()];
    let peers = |plan: &FabricPlan| -> Vec<ipnet::IpNet> {
        let ingress = &plan.vpcs[&vpc].firewalls[&server.address.into()].ingress;
        let mut peers: Vec<_> = ingress.iter().flat_map(|rule| rule.peers.iter().copied()).collect();
        peers.sort_unstable();
        peers
    };
    assert_eq!(peers(&plan), ["129.224.0.0/17", "169.254.171.0/24", "192.0.2.0/24"].map(block));
    let traffic = FirewallTraffic::Tcp { first: 80, last: 90 };
    assert!(firewall.ingress.iter().all(|rule| rule.traffic == traffic));
    assert!(firewall.egress.iter().any(|rule| rule.allows_everything(AddressFamily::Ipv4)));

    let client = installation.control.hosts().run(with("client", &[&clients, &servers])).await.unwrap();
    let second = installation.plan(|plan| plan.vpcs[&vpc].firewalls.len() == 2).await;
    assert!(peers(&second).contains(&ipnet::IpNet::from(std::net::IpAddr::from(client.address))));
    assert!(Arc::ptr_eq(&plan.vpcs[&other], &second.vpcs[&other]));
    assert_eq!(plan.vpcs[&vpc].hosts[&server.id], second.vpcs[&vpc].hosts[&server.id]);

    // One that is on its way out keeps its rules until the kernel has let go of it.
    installation.control.hosts().ready(&client.id).await;
    installation.control.hosts().terminate("client").await.unwrap();
    let third = installation.plan(|plan| plan.vpcs[&vpc].hosts.len() == 1).await;
    assert!(third.vpcs[&vpc].firewalls.contains_key(&client.address.into()));
    installation.control.hosts().gone(&client.id).await;
    installation.plan(|plan| plan.vpcs[&vpc].firewalls.len() == 1).await;

    installation.ok("RevokeSecurityGroupIngress", &rules).await;
    installation.plan(|plan| plan.vpcs[&vpc].firewalls[&server.address.into()].ingress.is_empty()).await;
}

#[tokio::test]
async fn the_groups_of_an_association_are_in_the_plan_of_its_vpc() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let group = installation.group(&vpc, "clients").await;
    let id = vpc.parse::<VpcId>().unwrap();
    let network = installation.lattice("/servicenetworks", json!({"name": "network"})).await;
    let association = json!({
        "serviceNetworkIdentifier": network["id"],
        "vpcIdentifier": vpc,
        "securityGroupIds": [group],
    });
    installation.lattice("/servicenetworkvpcassociations", association).await;
    let plan = installation.plan(|plan| plan.vpcs[&id].service_clients.is_some()).await;
    assert!(plan.vpcs[&id].service_clients.as_ref().unwrap().is_empty(), "no rule, no client");
    let rule = [
        ("GroupId", group.as_str()),
        ("IpPermissions.1.IpProtocol", "-1"),
        ("IpPermissions.1.IpRanges.1.CidrIp", "10.0.1.0/24"),
    ];
    installation.ok("AuthorizeSecurityGroupIngress", &rule).await;
    let is_there = |rules: &Option<Arc<[FirewallRule]>>| rules.as_ref().is_some_and(|rules| rules.len() == 1);
    let plan = installation.plan(|plan| is_there(&plan.vpcs[&id].service_clients)).await;
    let installation = installation.restart().await;
    let after = installation.control.fabric_plans().borrow().clone();
    assert_eq!(after.vpcs, plan.vpcs);
}
