use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use crate::installation::Installation;

const SERVICES: u64 = 1000;
const RULES: u64 = 10;
const CALLERS: u64 = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes half a minute in a debug build; `cargo test --release -- --ignored` shows how long"]
async fn sixteen_callers_make_a_thousand_services_of_ten_rules() {
    let trellis = Arc::new(Installation::with_quotas(&[("L-75D4A19E", SERVICES)]).await);
    let (network, vpc) = (trellis.network().await, trellis.vpc(0).await);
    let input = json!({"serviceNetworkIdentifier": network["id"], "vpcIdentifier": vpc});
    trellis.ok("CreateServiceNetworkVpcAssociation", input).await;
    let next = Arc::new(AtomicU64::new(0));
    let begun = std::time::Instant::now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (trellis, next, network) = (trellis.clone(), next.clone(), network["id"].clone());
            tokio::spawn(async move {
                while next.fetch_add(1, Ordering::SeqCst) < SERVICES {
                    let service = trellis.service().await;
                    let listener = trellis.listener(&service).await;
                    for priority in 1..=RULES {
                        let rule = json!({
                            "serviceIdentifier": service["id"], "listenerIdentifier": listener["id"],
                            "name": format!("path-{priority}"), "priority": priority,
                            "match": {"httpMatch": {"pathMatch": {"match": {"prefix": format!("/{priority}")}}}},
                            "action": {"fixedResponse": {"statusCode": 404}},
                            "clientToken": format!("{}-{priority}", service["id"]),
                        });
                        trellis.ok("CreateRule", rule).await;
                    }
                    let input = json!({"serviceNetworkIdentifier": network, "serviceIdentifier": service["id"]});
                    trellis.ok("CreateServiceNetworkServiceAssociation", input).await;
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let made = begun.elapsed();
    let mut snapshots = trellis.control.snapshots();
    let is_complete = |snapshot: &Arc<trellis_model::snapshot::Snapshot>| {
        let hosts = snapshot.ingresses.values().next().map(|ingress| &ingress.network.hosts);
        hosts.is_some_and(|hosts| {
            hosts.len() as u64 == SERVICES
                && hosts.values().all(|service| service.listeners[0].rules.len() as u64 == RULES)
        })
    };
    snapshots.wait_for(is_complete).await.unwrap();
    eprintln!("made in {made:?}");
}
