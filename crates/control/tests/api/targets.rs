use serde_json::{Value, json};
use trellis_model::health::TargetStatus;
use trellis_model::resource::vpc::InstanceState;

use crate::installation::{Installation, has_target, pick};

fn input(group: &Value, targets: Value) -> Value {
    json!({"targetGroupIdentifier": group["id"], "targets": targets})
}

/// (id, port, status, reason) of every target listed.
async fn listed(trellis: &Installation, group: &Value, filter: Value) -> Vec<Value> {
    let listed = trellis.ok("ListTargets", input(group, filter)).await;
    listed["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn ip_targets_are_looked_at_one_by_one() {
    let trellis = Installation::new().await;
    let group = trellis.group(&trellis.vpc(0).await).await;
    let targets = json!([
        {"id": "10.0.1.10"}, {"id": "10.0.1.10", "port": 9090}, {"id": "10.0.2.10"}, {"id": "8.8.8.8"},
        {"id": "169.254.171.1"}, {"id": "127.0.0.1"}, {"id": "fd00::1"}, {"id": "web"}, {"id": "224.0.0.1"},
    ]);
    let outcome = trellis.ok("RegisterTargets", input(&group, targets)).await;
    assert_eq!(
        outcome["successful"],
        json!([{"id": "10.0.1.10", "port": 8080}, {"id": "10.0.1.10", "port": 9090}])
    );
    let refused = outcome["unsuccessful"].as_array().unwrap();
    let refused_ids: Vec<_> = refused.iter().map(|target| target["id"].as_str().unwrap()).collect();
    assert_eq!(
        refused_ids,
        ["10.0.2.10", "8.8.8.8", "169.254.171.1", "127.0.0.1", "fd00::1", "web", "224.0.0.1"]
    );
    for target in refused {
        assert_eq!(target["failureCode"], "UnsupportedTarget");
        assert!(!target["failureMessage"].as_str().unwrap().is_empty());
    }
    let unused = |port: u16| json!({"id": "10.0.1.10", "port": port, "status": "UNUSED", "reasonCode": "TargetGroupNotInUse"});
    assert_eq!(listed(&trellis, &group, json!([])).await, [unused(8080), unused(9090)]);
    assert_eq!(listed(&trellis, &group, json!([{"id": "10.0.1.10", "port": 9090}])).await, [unused(9090)]);
    assert_eq!(listed(&trellis, &group, json!([{"id": "10.0.1.11"}])).await, Vec::<Value>::new());
    // Once more changes nothing.
    let again = trellis.ok("RegisterTargets", input(&group, json!([{"id": "10.0.1.10"}]))).await;
    assert_eq!(again["unsuccessful"], json!([]));
    assert_eq!(listed(&trellis, &group, json!([])).await.len(), 2);
}

#[tokio::test]
async fn instance_targets_run_in_the_vpc_of_the_group() {
    let trellis = Installation::new().await;
    let (vpc, other) = (trellis.vpc(0).await, trellis.vpc(1).await);
    let here = trellis.instance(&vpc, "10.0.1.10", InstanceState::Running).await;
    let pending = trellis.instance(&vpc, "10.0.1.11", InstanceState::Pending).await;
    let there = trellis.instance(&other, "10.1.1.10", InstanceState::Running).await;
    let group =
        trellis.group_with("INSTANCE", json!({"port": 80, "protocol": "HTTP", "vpcIdentifier": vpc})).await;
    let targets = json!([{"id": here}, {"id": pending}, {"id": there}, {"id": "i-00000000000000fff"}]);
    let outcome = trellis.ok("RegisterTargets", input(&group, targets)).await;
    assert_eq!(outcome["successful"], json!([{"id": here, "port": 80}]));
    assert_eq!(
        outcome["unsuccessful"][1],
        json!({
            "id": there, "port": 80, "failureCode": "UnsupportedTarget",
            "failureMessage": "Instance targets must be in the same VPC as their target group",
        })
    );
    assert_eq!(outcome["unsuccessful"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn functions_and_load_balancers_are_refused_as_targets() {
    let trellis = Installation::new().await;
    let vpc = trellis.vpc(0).await;
    let lambda = trellis.group_with("LAMBDA", Value::Null).await;
    let alb = trellis.group_with("ALB", json!({"port": 80, "protocol": "HTTP", "vpcIdentifier": vpc})).await;
    for (group, id) in [
        (lambda, "arn:aws:lambda:us-east-1:111122223333:function:f"),
        (alb, "arn:aws:elasticloadbalancing:us-east-1:111122223333:loadbalancer/app/a/0123456789abcdef"),
    ] {
        let outcome = trellis.ok("RegisterTargets", input(&group, json!([{"id": id}]))).await;
        assert_eq!(outcome["successful"], json!([]));
        assert_eq!(outcome["unsuccessful"][0]["failureCode"], "UnsupportedTarget");
    }
}

#[tokio::test]
async fn list_targets_tells_what_the_health_checker_knows() {
    let trellis = Installation::new().await;
    let group = trellis.used_group().await;
    trellis.ok("RegisterTargets", input(&group, json!([{"id": "10.0.1.10"}]))).await;
    let target = |status: &str, reason: Option<&str>| {
        let mut target = json!({"id": "10.0.1.10", "port": 8080, "status": status});
        if let Some(reason) = reason {
            target["reasonCode"] = reason.into();
        }
        vec![target]
    };
    assert_eq!(listed(&trellis, &group, json!([])).await, target("INITIAL", Some("InitialHealthChecking")));
    let mut snapshots = trellis.control.snapshots();
    let snapshot = snapshots.wait_for(has_target).await.unwrap().clone();
    let health = snapshot.target_groups.values().next().unwrap().targets[0].health.clone();
    health.set(TargetStatus::Healthy);
    assert_eq!(listed(&trellis, &group, json!([])).await, target("HEALTHY", None));
    health.set(TargetStatus::Unhealthy);
    assert_eq!(listed(&trellis, &group, json!([])).await, target("UNHEALTHY", Some("HealthCheckFailed")));

    let update =
        |enabled: bool| json!({"targetGroupIdentifier": group["id"], "healthCheck": {"enabled": enabled}});
    trellis.ok("UpdateTargetGroup", update(false)).await;
    assert_eq!(listed(&trellis, &group, json!([])).await, target("UNAVAILABLE", Some("HealthCheckDisabled")));
    let off = |snapshot: &std::sync::Arc<trellis_model::snapshot::Snapshot>| {
        snapshot.target_groups.values().all(|group| group.health_check.is_none())
    };
    let snapshot = snapshots.wait_for(off).await.unwrap().clone();
    let cell = &snapshot.target_groups.values().next().unwrap().targets[0].health;
    assert_eq!(cell.status(), TargetStatus::Unavailable);
    // Switched on again, nothing is known of the target.
    trellis.ok("UpdateTargetGroup", update(true)).await;
    snapshots.wait_for(|snapshot| !off(snapshot)).await.unwrap();
    assert_eq!(listed(&trellis, &group, json!([])).await, target("INITIAL", Some("InitialHealthChecking")));
}

#[tokio::test]
async fn a_deregistered_target_drains_while_a_request_may_use_it() {
    let trellis = Installation::new().await;
    let group = trellis.used_group().await;
    let targets = input(&group, json!([{"id": "10.0.1.10"}]));
    trellis.ok("RegisterTargets", targets.clone()).await;
    let mut snapshots = trellis.control.snapshots();
    // A request in flight holds what it started with.
    let in_flight = snapshots.wait_for(has_target).await.unwrap().clone();
    trellis.ok("DeregisterTargets", targets.clone()).await;
    snapshots.wait_for(|snapshot| !has_target(snapshot)).await.unwrap();
    let draining = json!({"id": "10.0.1.10", "port": 8080, "status": "DRAINING", "reasonCode": "DeregistrationInProgress"});
    assert_eq!(listed(&trellis, &group, json!([])).await, std::slice::from_ref(&draining));
    // It comes back with a fresh state.
    trellis.ok("RegisterTargets", targets.clone()).await;
    let back = snapshots.wait_for(has_target).await.unwrap().clone();
    let cell = |snapshot: &trellis_model::snapshot::Snapshot| {
        snapshot.target_groups.values().next().unwrap().targets[0].health.clone()
    };
    assert!(!std::sync::Arc::ptr_eq(&cell(&in_flight), &cell(&back)));
    assert_eq!(listed(&trellis, &group, json!([])).await[0]["status"], "INITIAL");

    trellis.ok("DeregisterTargets", targets.clone()).await;
    snapshots.wait_for(|snapshot| !has_target(snapshot)).await.unwrap();
    assert_eq!(listed(&trellis, &group, json!([])).await, [draining]);
    drop((in_flight, back));
    trellis.wait_no_targets(&group).await;
}

#[tokio::test]
async fn draining_ends_at_the_limit_even_if_a_request_never_does() {
    let trellis = Installation::new().await;
    let group = trellis.used_group().await;
    let targets = input(&group, json!([{"id": "10.0.1.10"}]));
    trellis.ok("RegisterTargets", targets.clone()).await;
    let mut snapshots = trellis.control.snapshots();
    let _in_flight = snapshots.wait_for(has_target).await.unwrap().clone();
    trellis.ok("DeregisterTargets", targets).await;
    trellis.advance_clock(std::time::Duration::from_secs(61));
    trellis.wait_no_targets(&group).await;
}

#[tokio::test]
async fn what_is_not_registered_cannot_be_deregistered() {
    let trellis = Installation::new().await;
    let group = trellis.group(&trellis.vpc(0).await).await;
    trellis.ok("RegisterTargets", input(&group, json!([{"id": "10.0.1.10", "port": 81}]))).await;
    let outcome = trellis.ok("DeregisterTargets", input(&group, json!([{"id": "10.0.1.10"}]))).await;
    assert_eq!(outcome["successful"], json!([]));
    assert_eq!(
        pick(&outcome["unsuccessful"][0], &["id", "port", "failureCode"]),
        json!({"id": "10.0.1.10", "port": 8080, "failureCode": "TargetNotFound"})
    );
    let missing = trellis
        .refused(
            "RegisterTargets",
            json!({"targetGroupIdentifier": "tg-00000000000000fff", "targets": [{"id": "10.0.1.10"}]}),
        )
        .await;
    assert!(missing.is(404, "ResourceNotFoundException"));
}

#[tokio::test]
async fn an_instance_that_is_gone_says_so_and_whoever_gets_its_address_gets_none_of_its_traffic() {
    let trellis = Installation::new().await;
    let vpc = trellis.vpc(0).await;
    let group =
        trellis.group_with("INSTANCE", json!({"port": 80, "protocol": "HTTP", "vpcIdentifier": vpc})).await;
    let service = trellis.service().await;
    let listener = trellis.listener(&service).await;
    trellis.forward_all(&service, &listener, &group).await;
    let first = trellis.host(&vpc, None).await;
    trellis.control.hosts().ready(&first.id).await;
    trellis
        .ok("RegisterTargets", input(&group, json!([{"id": first.id}, {"id": first.id, "port": 81}])))
        .await;
    let mut snapshots = trellis.control.snapshots();
    let snapshot = snapshots.wait_for(has_target).await.unwrap().clone();
    for target in &snapshot.target_groups.values().next().unwrap().targets {
        target.health.set(TargetStatus::Healthy);
    }
    drop(snapshot);

    trellis.control.hosts().terminate(&first.name).await.unwrap();
    snapshots.wait_for(|snapshot| !has_target(snapshot)).await.unwrap();
    trellis.control.hosts().gone(&first.id).await;
    let second = trellis.host(&vpc, None).await;
    assert_eq!(second.address, first.address);
    trellis.control.hosts().ready(&second.id).await;
    let gone = |port: u16| json!({"id": first.id, "port": port, "status": "UNHEALTHY", "reasonCode": "InstanceTerminated"});
    assert_eq!(listed(&trellis, &group, json!([])).await, [gone(80), gone(81)]);
    let again = trellis.ok("RegisterTargets", input(&group, json!([{"id": first.id}]))).await;
    assert_eq!(again["unsuccessful"][0]["failureCode"], "UnsupportedTarget");

    // The one that has the address is a target of its own, and the one that is gone can be deregistered.
    trellis.ok("RegisterTargets", input(&group, json!([{"id": second.id}]))).await;
    let snapshot = snapshots.wait_for(has_target).await.unwrap().clone();
    assert_eq!(snapshot.target_groups.values().next().unwrap().targets.len(), 1);
    drop(snapshot);
    trellis
        .ok("DeregisterTargets", input(&group, json!([{"id": first.id}, {"id": first.id, "port": 81}])))
        .await;
    let is_left = |answer: &Result<Value, crate::installation::Fault>| {
        answer.as_ref().unwrap()["items"].as_array().unwrap().len() == 1
    };
    let left = trellis.wait("ListTargets", input(&group, json!([])), is_left).await.unwrap();
    assert_eq!(left["items"][0]["id"], json!(second.id));
}

#[tokio::test]
async fn targets_of_instances_that_went_unseen_are_gone_after_a_restart() {
    let trellis = Installation::new().await;
    let vpc = trellis.vpc(0).await;
    let group =
        trellis.group_with("INSTANCE", json!({"port": 80, "protocol": "HTTP", "vpcIdentifier": vpc})).await;
    let [kept, ended] = [trellis.host(&vpc, None).await, trellis.host(&vpc, None).await];
    for host in [&kept, &ended] {
        trellis.control.hosts().ready(&host.id).await;
    }
    trellis.ok("RegisterTargets", input(&group, json!([{"id": kept.id}, {"id": ended.id}]))).await;
    trellis.remove("instance", ended.id.as_str()).await;
    let trellis = trellis.restart().await;
    let listed = listed(&trellis, &group, json!([])).await;
    let reason = |id: &str| listed.iter().find(|target| target["id"] == id).unwrap()["reasonCode"].clone();
    assert_eq!(reason(kept.id.as_str()), "TargetGroupNotInUse");
    assert_eq!(reason(ended.id.as_str()), "InstanceTerminated");
}
