use std::net::Ipv4Addr;
use std::time::Duration;

use trellis_control::{HostError, RunInstance};
use trellis_model::resource::vpc::{HostedDatabase, InstanceState};

use crate::installation::{Installation, host};
use crate::xml::Node;

/// The one instance that is described.
async fn described(installation: &Installation, id: &str) -> Node {
    let answer = installation.ok("DescribeInstances", &[("InstanceId.1", id)]).await;
    answer.items("reservationSet").remove(0).items("instancesSet").remove(0)
}

#[tokio::test]
async fn a_host_is_an_instance_from_pending_to_terminated() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let subnet = installation.subnet(&vpc, "10.0.1.0/24").await;
    let host = installation.run(&subnet, "web").await.unwrap();
    let id = host.id.as_str();
    assert_eq!(host.address, Ipv4Addr::new(10, 0, 1, 4));

    let instance = described(&installation, id).await;
    assert_eq!(instance.text("instanceState/name"), "pending");
    assert_eq!(instance.text("instanceState/code"), "0");
    assert_eq!(instance.text("vpcId"), vpc);
    assert_eq!(instance.text("subnetId"), subnet);
    assert_eq!(instance.text("privateIpAddress"), "10.0.1.4");
    assert_eq!(instance.text("privateDnsName"), "ip-10-0-1-4.ec2.internal");
    assert!(instance.texts("groupSet", "groupName").is_empty(), "it named none");
    assert_eq!(instance.tags(), [("Name".to_owned(), "web".to_owned())]);
    assert_eq!(instance.text("placement/availabilityZone"), "us-east-1a");
    assert_eq!(instance.texts("networkInterfaceSet", "privateIpAddress"), ["10.0.1.4"]);

    installation.control.hosts().ready(&host.id).await;
    assert_eq!(described(&installation, id).await.text("instanceState/name"), "running");
    let ended = installation.ok("TerminateInstances", &[("InstanceId.1", id)]).await;
    let change = ended.items("instancesSet").remove(0);
    assert_eq!(change.text("previousState/name"), "running");
    assert_eq!(change.text("currentState/name"), "shutting-down");
    installation.control.hosts().gone(&host.id).await;
    let instance = described(&installation, id).await;
    assert_eq!(instance.text("instanceState/name"), "terminated");
    assert!(!instance.has("privateIpAddress"), "it has no network any more");
    assert!(installation.control.hosts().list().unwrap().is_empty());

    let again = installation.ok("TerminateInstances", &[("InstanceId.1", id)]).await;
    assert_eq!(again.items("instancesSet").remove(0).text("currentState/name"), "terminated");
    installation.advance_clock(Duration::from_secs(3601));
    installation.run(&subnet, "web").await.unwrap();
    let gone = installation.refusal("DescribeInstances", &[("InstanceId.1", id)]).await;
    assert_eq!(gone, "InvalidInstanceID.NotFound", "after an hour it is forgotten");
}

#[tokio::test]
async fn addresses_are_inside_the_subnet_not_reserved_and_free() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let subnet = installation.subnet(&vpc, "10.0.1.0/28").await;
    let at =
        |last: u8, name: &str| RunInstance { ip: Some(Ipv4Addr::new(10, 0, 1, last)), ..host(&subnet, name) };
    let control = &installation.control;
    assert_eq!(control.hosts().run(at(5, "five")).await.unwrap().address.octets()[3], 5);
    for last in [0, 1, 2, 3, 15, 16] {
        let error = control.hosts().run(at(last, "out")).await.unwrap_err();
        assert!(matches!(error, HostError::AddressOutside { .. }), "{last} {error}");
    }
    let error = control.hosts().run(at(5, "again")).await.unwrap_err();
    assert!(matches!(&error, HostError::AddressTaken { owner, .. } if owner == "five"), "{error}");
    let mut picked = Vec::new();
    for number in 0..10 {
        let host = installation.run(&subnet, &format!("h{number}")).await.unwrap();
        picked.push(host.address.octets()[3]);
    }
    assert_eq!(picked, [4, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
    let error = installation.run(&subnet, "full").await.unwrap_err();
    assert!(matches!(error, HostError::SubnetFull { .. }), "{error}");
    control.hosts().terminate("h3").await.unwrap();
    assert_eq!(installation.run(&subnet, "full").await.unwrap().address.octets()[3], 8);
}

#[tokio::test]
async fn names_are_unique_in_the_installation_while_the_host_lives() {
    let installation = Installation::new().await;
    let control = &installation.control;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let subnet = installation.subnet(&vpc, "10.0.1.0/24").await;
    let web = installation.run(&subnet, "web").await.unwrap();
    let far = installation.ec2_in("eu-west-1", "CreateVpc", &[("CidrBlock", "10.0.0.0/16")]).await.unwrap();
    let far = far.text("vpc/vpcId");
    let parameters = [("VpcId", far.as_str()), ("CidrBlock", "10.0.1.0/24")];
    let far = installation.ec2_in("eu-west-1", "CreateSubnet", &parameters).await.unwrap();
    let far = far.text("subnet/subnetId");
    let error = installation.run(&far, "web").await.unwrap_err();
    assert!(
        matches!(&error, HostError::NameTaken { instance, .. } if instance == web.id.as_str()),
        "{error}"
    );
    let other = installation.run(&far, "other").await.unwrap();
    assert_eq!(other.home.region.as_str(), "eu-west-1");

    control.hosts().ready(&web.id).await;
    assert_eq!(control.hosts().terminate("web").await.unwrap().state, InstanceState::ShuttingDown);
    assert!(matches!(control.hosts().terminate("web").await, Err(HostError::NoHost { .. })));
    let by_id = control.hosts().terminate(web.id.as_str()).await.unwrap();
    assert_eq!(by_id.state, InstanceState::ShuttingDown);
    let again = installation.run(&subnet, "web").await.unwrap();
    assert_ne!(again.address, web.address, "the first still holds its address");

    for name in ["", "-x", "a_b", "i-00000000000000001"] {
        let error = installation.run(&subnet, name).await.unwrap_err();
        assert!(matches!(error, HostError::NameMalformed { .. }), "{name} {error}");
    }
    let nowhere = installation.run("subnet-0123456789abcdef0", "x").await.unwrap_err();
    assert!(matches!(nowhere, HostError::NoSubnet { .. }), "{nowhere}");
    assert!(installation.run("nonsense", "x").await.is_err());
    assert!(matches!(control.hosts().terminate("nobody").await, Err(HostError::NoHost { .. })));
    let names: Vec<String> =
        control.hosts().list().unwrap().into_iter().map(|instance| instance.name).collect();
    assert_eq!(names, ["web", "other", "web"]);
}

#[tokio::test]
async fn a_host_that_names_no_security_group_has_none() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let subnet = installation.subnet(&vpc, "10.0.1.0/24").await;
    assert!(installation.run(&subnet, "web").await.unwrap().security_groups.is_empty());
    let plan = installation.plan(|plan| plan.vpcs.values().any(|vpc| !vpc.hosts.is_empty())).await;
    assert!(plan.vpcs.values().all(|vpc| vpc.firewalls.is_empty()));
}

#[tokio::test]
async fn security_groups_of_a_host_are_of_its_vpc() {
    let installation = Installation::new().await;
    let (vpc, other) = (installation.vpc("10.0.0.0/16").await, installation.vpc("10.0.0.0/16").await);
    let subnet = installation.subnet(&vpc, "10.0.1.0/24").await;
    let (own, foreign) = (installation.group(&vpc, "own").await, installation.group(&other, "foreign").await);
    let with = |group: &str, name: &str| RunInstance {
        security_groups: vec![group.into(), group.into()],
        ..host(&subnet, name)
    };
    for group in [foreign.as_str(), "sg-0123456789abcdef0", "web"] {
        let error = installation.control.hosts().run(with(group, "web")).await.unwrap_err();
        assert!(matches!(error, HostError::NoSecurityGroup { .. }), "{group} {error}");
    }
    let web = installation.control.hosts().run(with(&own, "web")).await.unwrap();
    assert_eq!(web.security_groups.len(), 1);
    let delete = [("GroupId", own.as_str())];
    assert_eq!(installation.refusal("DeleteSecurityGroup", &delete).await, "DependencyViolation");
}

#[tokio::test]
async fn filters_choose_instances_and_their_interfaces() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let (left, right) =
        (installation.subnet(&vpc, "10.0.1.0/24").await, installation.subnet(&vpc, "10.0.2.0/24").await);
    let a = installation.run(&left, "a").await.unwrap().id;
    let group = installation.group(&vpc, "servers").await;
    let b = RunInstance { security_groups: vec![group], ..host(&right, "b") };
    let b = installation.control.hosts().run(b).await.unwrap().id;
    installation.control.hosts().ready(&b).await;
    let gone = installation.run(&right, "gone").await.unwrap().id;
    installation.control.hosts().terminate("gone").await.unwrap();
    for (name, value, expected) in [
        ("instance-id", a.as_str(), vec![&a]),
        ("vpc-id", &vpc, vec![&a, &b]),
        ("subnet-id", &right, vec![&b]),
        ("private-ip-address", "10.0.2.4", vec![&b]),
        ("network-interface.addresses.private-ip-address", "10.0.1.*", vec![&a]),
        ("instance-state-name", "running", vec![&b]),
        ("instance-state-code", "48", vec![&gone]),
        ("instance.group-name", "servers", vec![&b]),
        ("tag:Name", "?", vec![&a, &b]),
        ("availability-zone", "us-east-1a", vec![&a, &b, &gone]),
    ] {
        let filter = [("Filter.1.Name", name), ("Filter.1.Value.1", value)];
        let answer = installation.ok("DescribeInstances", &filter).await;
        let mut found: Vec<String> = answer
            .items("reservationSet")
            .iter()
            .flat_map(|reservation| reservation.texts("instancesSet", "instanceId"))
            .collect();
        found.sort();
        let mut expected: Vec<String> = expected.into_iter().map(ToString::to_string).collect();
        expected.sort();
        assert_eq!(found, expected, "{name} {value}");
    }
    let of_b = [("Filter.1.Name", "attachment.instance-id"), ("Filter.1.Value.1", b.as_str())];
    let interfaces = installation.ok("DescribeNetworkInterfaces", &of_b).await.items("networkInterfaceSet");
    assert_eq!(interfaces.len(), 1);
    assert_eq!(interfaces[0].text("privateIpAddress"), "10.0.2.4");
    assert_eq!(interfaces[0].text("attachment/instanceId"), b.as_str());
    let all = installation.ok("DescribeNetworkInterfaces", &[]).await.items("networkInterfaceSet");
    assert_eq!(all.len(), 2);

    let both = [("InstanceId.1", a.as_str()), ("MaxResults", "5")];
    assert_eq!(installation.refusal("DescribeInstances", &both).await, "InvalidParameterCombination");
    assert_eq!(
        installation.refusal("DescribeInstances", &[("InstanceId.1", "i-1")]).await,
        "InvalidInstanceID.Malformed"
    );
}

#[tokio::test]
async fn instances_come_in_pages() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let subnet = installation.subnet(&vpc, "10.0.1.0/24").await;
    for number in 0..7 {
        installation.run(&subnet, &format!("h{number}")).await.unwrap();
    }
    let first = installation.ok("DescribeInstances", &[("MaxResults", "5")]).await;
    assert_eq!(first.items("reservationSet").len(), 5);
    let token = first.text("nextToken");
    let rest = [("MaxResults", "5"), ("NextToken", token.as_str())];
    let second = installation.ok("DescribeInstances", &rest).await;
    assert_eq!(second.items("reservationSet").len(), 2);
    assert_eq!(second.text("nextToken"), "");
}

#[tokio::test]
async fn terminating_several_is_all_or_nothing() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let subnet = installation.subnet(&vpc, "10.0.1.0/24").await;
    let a = installation.run(&subnet, "a").await.unwrap().id;
    let with_unknown = [("InstanceId.1", a.as_str()), ("InstanceId.2", "i-0123456789abcdef0")];
    let code = installation.refusal("TerminateInstances", &with_unknown).await;
    assert_eq!(code, "InvalidInstanceID.NotFound");
    let dry = [("InstanceId.1", a.as_str()), ("DryRun", "true")];
    assert_eq!(installation.ec2("TerminateInstances", &dry).await.unwrap_err().code, "DryRunOperation");
    assert_eq!(installation.control.hosts().list().unwrap().len(), 1);
    let run = [("MinCount", "1"), ("MaxCount", "1"), ("SubnetId", subnet.as_str())];
    let (code, message) = installation.refused("RunInstances", &run).await;
    assert_eq!(code, "UnsupportedOperation");
    assert!(message.contains("trellis run"), "{message}");
}

#[tokio::test]
async fn a_database_is_one_host_of_the_account_and_region_that_its_arn_names() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let subnet = installation.subnet(&vpc, "10.0.1.0/24").await;
    let database = |name: &str, arn: &str| RunInstance {
        database: Some(HostedDatabase { arn: arn.parse().unwrap(), port: 5432 }),
        ..host(&subnet, name)
    };
    let orders = "arn:aws:rds:us-east-1:111122223333:db:orders";
    let run = |name: &'static str, arn: &'static str| installation.control.hosts().run(database(name, arn));
    for elsewhere in
        ["arn:aws:rds:us-east-1:444455556666:db:orders", "arn:aws:rds:eu-west-1:111122223333:db:orders"]
    {
        let refused = run("one", elsewhere).await.unwrap_err();
        assert!(matches!(refused, HostError::DatabaseElsewhere { .. }), "{refused}");
    }
    let one = run("one", orders).await.unwrap();
    let refused = run("two", orders).await.unwrap_err();
    assert!(
        matches!(&refused, HostError::DatabaseTaken { instance, .. } if *instance == one.id),
        "{refused}"
    );
    run("cluster", "arn:aws:rds:us-east-1:111122223333:cluster:orders").await.unwrap();
    installation.control.hosts().terminate("one").await.unwrap();
    run("two", orders).await.expect("the database may be another host now");
}

#[tokio::test]
async fn a_restart_ends_attached_hosts_and_makes_detached_ones_again() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    installation.control.hosts().vpc_ready(&vpc.parse().unwrap()).await;
    let subnet = installation.subnet(&vpc, "10.0.1.0/24").await;
    let detached = installation.run(&subnet, "detached").await.unwrap();
    let attached = RunInstance { detached: false, ..host(&subnet, "attached") };
    let attached = installation.control.hosts().run(attached).await.unwrap();
    let ending = installation.run(&subnet, "ending").await.unwrap();
    for host in [&detached, &attached, &ending] {
        installation.control.hosts().ready(&host.id).await;
    }
    installation.control.hosts().terminate("ending").await.unwrap();

    let installation = installation.restart().await;
    let state = |id: String| {
        let installation = &installation;
        async move { described(installation, &id).await.text("instanceState/name") }
    };
    assert_eq!(state(detached.id.to_string()).await, "pending");
    assert_eq!(state(attached.id.to_string()).await, "terminated");
    assert_eq!(state(ending.id.to_string()).await, "terminated");
    let why = described(&installation, attached.id.as_str()).await.text("stateReason/message");
    assert!(why.contains("ended"), "{why}");
    let plan = installation.control.fabric_plans().borrow().clone();
    let hosts: Vec<_> = plan.vpcs.values().flat_map(|vpc| vpc.hosts.keys().cloned()).collect();
    assert_eq!(hosts, [detached.id]);
    let vpcs = installation.ok("DescribeVpcs", &[]).await;
    assert_eq!(vpcs.texts("vpcSet", "state"), ["available"]);
    installation.run(&subnet, "attached").await.expect("the name is free again");
}

#[tokio::test]
async fn a_host_the_kernel_refuses_says_why_until_it_works() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let subnet = installation.subnet(&vpc, "10.0.1.0/24").await;
    let web = installation.run(&subnet, "web").await.unwrap();
    installation.control.hosts().failed(&web.id, "no more processes").await;
    let instance = described(&installation, web.id.as_str()).await;
    assert_eq!(instance.text("instanceState/name"), "pending");
    assert_eq!(instance.text("stateReason/message"), "no more processes");
    installation.control.hosts().ready(&web.id).await;
    let instance = described(&installation, web.id.as_str()).await;
    assert_eq!(instance.text("instanceState/name"), "running");
    assert!(!instance.has("stateReason"));
    installation.control.hosts().gone(&web.id).await;
    let instance = described(&installation, web.id.as_str()).await;
    assert_eq!(instance.text("instanceState/name"), "pending", "it is wanted, so it is made again");
}

#[tokio::test]
async fn the_status_of_instances_tells_which_can_be_reached() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let subnet = installation.subnet(&vpc, "10.0.1.0/24").await;
    let running = installation.run(&subnet, "running").await.unwrap().id;
    let pending = installation.run(&subnet, "pending").await.unwrap().id;
    installation.control.hosts().ready(&running).await;
    let list = "instanceStatusSet";
    let shown = installation.ok("DescribeInstanceStatus", &[]).await;
    assert_eq!(shown.texts(list, "instanceId"), [running.as_str()]);
    let status = &shown.items(list)[0];
    assert_eq!(status.text("instanceState/name"), "running");
    assert_eq!(status.text("availabilityZone"), "us-east-1a");
    for check in ["instanceStatus", "systemStatus"] {
        assert_eq!(status.text(&format!("{check}/status")), "ok");
        assert_eq!(status.texts(&format!("{check}/details"), "status"), ["passed"]);
    }
    let all = installation.ok("DescribeInstanceStatus", &[("IncludeAllInstances", "true")]).await;
    assert_eq!(all.items(list).len(), 2);
    for (name, value, expected) in [
        ("instance-state-name", "pending", vec![&pending]),
        ("instance-status.status", "initializing", vec![&pending]),
        ("system-status.reachability", "passed", vec![&running]),
        ("event.code", "*", vec![]),
    ] {
        let filter = [("IncludeAllInstances", "true"), ("Filter.1.Name", name), ("Filter.1.Value.1", value)];
        let found = installation.ok("DescribeInstanceStatus", &filter).await.texts(list, "instanceId");
        assert_eq!(found, expected.into_iter().map(ToString::to_string).collect::<Vec<_>>(), "{name}");
    }
    let unknown = [("InstanceId.1", "i-0123456789abcdef0")];
    assert_eq!(installation.refusal("DescribeInstanceStatus", &unknown).await, "InvalidInstanceID.NotFound");
}

#[tokio::test]
async fn a_filter_that_nothing_has_a_value_for_matches_nothing_and_an_unknown_one_is_refused() {
    let installation = Installation::new().await;
    let vpc = installation.vpc("10.0.0.0/16").await;
    let subnet = installation.subnet(&vpc, "10.0.1.0/24").await;
    let host = installation.run(&subnet, "web").await.unwrap();
    let eni = host.interface_id();
    let tag = [("ResourceId.1", eni.as_str()), ("Tag.1.Key", "stage"), ("Tag.1.Value", "dev")];
    installation.ok("CreateTags", &tag).await;
    for (name, value, expected) in [
        ("architecture", "*", 1),
        ("hypervisor", "*", 0),
        ("block-device-mapping.status", "*", 0),
        ("launch-index", "0", 1),
        ("availability-zone-id", "use1-az1", 1),
        ("network-interface.attachment.status", "attached", 1),
        ("network-interface.addresses.primary", "true", 1),
        ("network-interface.tag-value", "dev", 1),
        ("source-dest-check", "true", 1),
        ("tenancy", "dedicated", 0),
    ] {
        let filter = [("Filter.1.Name", name), ("Filter.1.Value.1", value)];
        let found = installation.ok("DescribeInstances", &filter).await.items("reservationSet");
        assert_eq!(found.len(), expected, "{name} {value}");
    }
    let unknown = [("Filter.1.Name", "colour"), ("Filter.1.Value.1", "red")];
    assert_eq!(installation.refusal("DescribeInstances", &unknown).await, "InvalidParameterValue");
}
