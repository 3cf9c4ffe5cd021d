use std::time::Duration;

use serde_json::{Value, json};

use crate::installation::{ACCOUNT, Fault, Installation, REGION, has_target, ids};

#[tokio::test]
async fn a_restart_goes_on_with_whatever_was_in_progress() {
    let mut trellis = Installation::new().await;
    let (network, vpc, other) = (trellis.network().await, trellis.vpc(0).await, trellis.vpc(1).await);
    let (kept, service) = (trellis.service().await, trellis.service().await);
    let group = trellis.group(&vpc).await;
    let of =
        |vpc: &trellis_model::VpcId| json!({"serviceNetworkIdentifier": network["id"], "vpcIdentifier": vpc});
    let going = trellis.ok("CreateServiceNetworkVpcAssociation", of(&other)).await;
    let going = json!({"serviceNetworkVpcAssociationIdentifier": going["id"]});
    trellis.wait_status("GetServiceNetworkVpcAssociation", going.clone(), "ACTIVE").await;
    trellis.stop_data_plane().await;

    // Everything below is begun and then the process ends.
    let coming = trellis.ok("CreateServiceNetworkVpcAssociation", of(&vpc)).await;
    let coming = json!({"serviceNetworkVpcAssociationIdentifier": coming["id"]});
    let pair = json!({"serviceNetworkIdentifier": network["id"], "serviceIdentifier": kept["id"]});
    let pair = trellis.ok("CreateServiceNetworkServiceAssociation", pair).await;
    let pair = json!({"serviceNetworkServiceAssociationIdentifier": pair["id"]});
    trellis.ok("DeleteServiceNetworkVpcAssociation", going.clone()).await;
    trellis.ok("DeleteService", json!({"serviceIdentifier": service["id"]})).await;
    trellis.ok("DeleteTargetGroup", json!({"targetGroupIdentifier": group["id"]})).await;
    let fresh = trellis.ok("CreateService", json!({"name": "fresh"})).await;

    let mut trellis = trellis.restart().await;
    trellis.wait_gone("GetService", json!({"serviceIdentifier": service["id"]})).await;
    trellis.wait_gone("GetTargetGroup", json!({"targetGroupIdentifier": group["id"]})).await;
    trellis.wait_status("GetService", json!({"serviceIdentifier": fresh["id"]}), "ACTIVE").await;
    // Associations wait for a data plane that acts on them, in the new process too.
    let still = trellis.ok("GetServiceNetworkVpcAssociation", coming.clone()).await;
    assert_eq!(still["status"], "CREATE_IN_PROGRESS");
    trellis.start_data_plane();
    trellis.wait_status("GetServiceNetworkVpcAssociation", coming, "ACTIVE").await;
    trellis.wait_status("GetServiceNetworkServiceAssociation", pair, "ACTIVE").await;
    trellis.wait_gone("GetServiceNetworkVpcAssociation", going).await;
    assert_eq!(trellis.entries("pending/"), Vec::<String>::new());
}

#[tokio::test]
async fn a_target_that_was_draining_is_gone_after_a_restart() {
    let trellis = Installation::new().await;
    let group = trellis.used_group().await;
    let targets = json!({"targetGroupIdentifier": group["id"], "targets": [{"id": "10.0.1.10"}]});
    trellis.ok("RegisterTargets", targets.clone()).await;
    let mut snapshots = trellis.control.snapshots();
    let in_flight = snapshots.wait_for(has_target).await.unwrap().clone();
    trellis.ok("DeregisterTargets", targets).await;
    let trellis = trellis.restart().await;
    trellis.wait_no_targets(&group).await;
    drop(in_flight);
}

#[tokio::test]
async fn an_older_snapshot_in_force_does_not_finish_a_newer_association() {
    let mut trellis = Installation::new().await;
    let (network, vpc) = (trellis.network().await, trellis.vpc(0).await);
    trellis.stop_data_plane().await;
    let old = trellis.control.snapshots().borrow().revision;
    let input = json!({"serviceNetworkIdentifier": network["id"], "vpcIdentifier": vpc});
    let created = trellis.ok("CreateServiceNetworkVpcAssociation", input).await;
    let by_id = json!({"serviceNetworkVpcAssociationIdentifier": created["id"]});
    let mut snapshots = trellis.control.snapshots();
    let new = snapshots.wait_for(|snapshot| !snapshot.ingresses.is_empty()).await.unwrap().revision;
    trellis.control.data_plane_applied(old);
    trellis.control.data_plane_applied(new - 1);
    // Something that needs no data plane passes the workflow after those reports.
    trellis.service().await;
    let still = trellis.ok("GetServiceNetworkVpcAssociation", by_id.clone()).await;
    assert_eq!(still["status"], "CREATE_IN_PROGRESS");
    trellis.control.data_plane_applied(new);
    trellis.control.data_plane_applied(old);
    // The kernel does not let its clients in yet.
    trellis.service().await;
    let still = trellis.ok("GetServiceNetworkVpcAssociation", by_id.clone()).await;
    assert_eq!(still["status"], "CREATE_IN_PROGRESS");
    trellis.control.kernel_applied(new);
    trellis.wait_status("GetServiceNetworkVpcAssociation", by_id, "ACTIVE").await;
}

#[tokio::test]
async fn a_plan_of_a_revision_has_everything_up_to_it() {
    let mut trellis = Installation::new().await;
    let network = trellis.network().await;
    trellis.stop_data_plane().await;
    // Changes of EC2 and of VPC Lattice, one right after the other.
    for second in 1..40 {
        let vpc = trellis.vpc(second).await;
        let group = trellis.security_group(&vpc).await;
        let mut plans = trellis.control.fabric_plans();
        let input = json!({
            "serviceNetworkIdentifier": network["id"], "vpcIdentifier": vpc, "securityGroupIds": [group],
        });
        let (created, _) = tokio::join!(trellis.ok("CreateServiceNetworkVpcAssociation", input), async {
            for _ in 0..4 {
                trellis.security_group(&vpc).await;
            }
        },);
        let id = created["id"].as_str().unwrap();
        let since = trellis.revision(&format!("lattice/{ACCOUNT}/{REGION}/vpc-association/{id}"));
        let plan = plans.wait_for(|plan| plan.revision >= since).await.unwrap().clone();
        assert!(plan.vpcs[&vpc].service_clients.is_some(), "{} does not know of {since}", plan.revision);
    }
}

#[tokio::test]
async fn an_answer_tells_of_what_settles_at_once_as_settled() {
    let trellis = Installation::settling(Duration::from_secs(60)).await;
    let (network, vpc) = (trellis.network().await, trellis.vpc(0).await);
    let service = trellis.ok("CreateService", json!({"name": "cart"})).await;
    assert_eq!(service["status"], "ACTIVE");
    let pair = json!({"serviceNetworkIdentifier": network["id"], "serviceIdentifier": service["id"]});
    let pair = trellis.ok("CreateServiceNetworkServiceAssociation", pair).await;
    assert_eq!(pair["status"], "ACTIVE");
    let input = json!({"serviceNetworkIdentifier": network["id"], "vpcIdentifier": vpc});
    let client = trellis.ok("CreateServiceNetworkVpcAssociation", input).await;
    assert_eq!(client["status"], "ACTIVE");
    let by_id = json!({"serviceNetworkVpcAssociationIdentifier": client["id"]});
    let mut update = by_id.clone();
    update["securityGroupIds"] = json!([trellis.security_group(&vpc).await]);
    assert_eq!(trellis.ok("UpdateServiceNetworkVpcAssociation", update).await["status"], "ACTIVE");
    let group = json!({"name": "web", "type": "IP", "config": {"protocol": "HTTP", "vpcIdentifier": vpc}});
    assert_eq!(trellis.ok("CreateTargetGroup", group).await["status"], "ACTIVE");

    // What goes is gone when the answer comes, which has no other word for it.
    let deleted = trellis.ok("DeleteServiceNetworkVpcAssociation", by_id.clone()).await;
    assert_eq!(deleted["status"], "DELETE_IN_PROGRESS");
    let gone = trellis.refused("GetServiceNetworkVpcAssociation", by_id).await;
    assert!(gone.is(404, "ResourceNotFoundException"), "{gone:?}");
}

#[tokio::test]
async fn an_answer_waits_for_no_longer_than_it_was_told_to_and_a_refusal_not_at_all() {
    let mut trellis = Installation::settling(Duration::from_millis(20)).await;
    let (network, vpc) = (trellis.network().await, trellis.vpc(0).await);
    trellis.stop_data_plane().await;
    let input = json!({"serviceNetworkIdentifier": network["id"], "vpcIdentifier": vpc});
    let client = trellis.ok("CreateServiceNetworkVpcAssociation", input.clone()).await;
    assert_eq!(client["status"], "CREATE_IN_PROGRESS");

    // A minute would be noticed.
    let trellis = trellis.restart_settling(Duration::from_secs(3600)).await;
    let by_id = json!({"serviceNetworkVpcAssociationIdentifier": client["id"]});
    let refused = trellis.refused("DeleteServiceNetworkVpcAssociation", by_id).await;
    assert!(refused.is(409, "ConflictException"), "{refused:?}");
    // Other calls go on while one waits.
    let input = json!({"serviceNetworkIdentifier": network["id"], "vpcIdentifier": trellis.vpc(1).await});
    let both = |answer: &Result<Value, Fault>| ids(answer.as_ref().unwrap()).len() == 2;
    let listed = json!({"serviceNetworkIdentifier": network["id"]});
    tokio::select! {
        answer = trellis.ok("CreateServiceNetworkVpcAssociation", input) => panic!("nobody waited: {answer}"),
        _ = trellis.wait("ListServiceNetworkVpcAssociations", listed, both) => {}
    }
}
