//! Draining a node: no new pods, and those there are go in their own time, as far as disruption budgets let them.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use trellis_cluster::Client;

/// How long pods may take to go. What is there after that ends with the node.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(250);

/// Does what can be done. A node that Kubernetes does not know, or no API server, are no reason to keep a host.
pub(super) async fn drain(client: &Client, node: &str) {
    let path = format!("/api/v1/nodes/{node}");
    if client.merge(&path, &json!({"spec": {"unschedulable": true}})).await.is_err() {
        return;
    }
    let deadline = Instant::now() + PATIENCE;
    let pods = format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{node}");
    loop {
        let Ok(found) = client.get(&pods).await else { return };
        let all = found["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        let going: Vec<&Value> = all.iter().filter(|pod| has_to_go(pod)).collect();
        if going.is_empty() || Instant::now() > deadline {
            return;
        }
        for pod in going.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()) {
            let text = |member: &str| pod["metadata"][member].as_str().unwrap_or_default().to_owned();
            let (namespace, name) = (text("namespace"), text("name"));
            let eviction = json!({
                "apiVersion": "policy/v1",
                "kind": "Eviction",
                "metadata": {"namespace": namespace, "name": name},
            });
            // Refused where a budget says so: it is asked again.
            let _ = client
                .create(&format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction"), &eviction)
                .await;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Pods of a DaemonSet would come back at once, and those that have ended are in nobody's way.
fn has_to_go(pod: &Value) -> bool {
    let owners = pod["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    let is_of_daemon_set = owners.into_iter().any(|owner| owner["kind"] == "DaemonSet");
    let is_over = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    let is_static = !pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_null();
    !is_of_daemon_set && !is_over && !is_static
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_that_would_come_back_or_have_ended_are_not_waited_for() {
        let pod = |owner: &str, phase: &str| json!({"metadata": {"ownerReferences": [{"kind": owner}]}, "status": {"phase": phase}});
        assert!(has_to_go(&pod("ReplicaSet", "Running")));
        assert!(!has_to_go(&pod("DaemonSet", "Running")));
        assert!(!has_to_go(&pod("Job", "Succeeded")));
        assert!(has_to_go(&json!({"metadata": {}, "status": {"phase": "Pending"}})));
    }
}
