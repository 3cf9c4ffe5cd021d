use serde_json::json;

use crate::installation::{Installation, has_target};

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
