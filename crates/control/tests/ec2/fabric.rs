use std::sync::Arc;

use trellis_model::VpcId;
use trellis_model::fabric::FabricPlan;

use crate::installation::Installation;

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
    installation.control.host_ready(&host.id).await;
    installation.control.vpc_ready(&one).await;
    let fourth = installation.plan(|plan| plan.revision >= third.revision + 2).await;
    assert!(Arc::ptr_eq(&third.vpcs[&one], &fourth.vpcs[&one]));

    installation.control.terminate_instance("web").await.unwrap();
    installation.plan(|plan| plan.vpcs[&one].hosts.is_empty()).await;
    installation.control.host_gone(&host.id).await;
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
