//! Nodes: privileged hosts whose secondary addresses are for pods.

use std::sync::Arc;

use trellis_cluster::node::{IMAGES_IN_HOST, IN_HOST, Taint};
use trellis_cluster::{Node, dns};
use trellis_control::HostError;
use trellis_control::eks::{Fault, NodePlan, Running, RunningNode};

use super::{HostSpec, Inner, blocking, drain, host_name, remove_directory, suffix};

/// Addresses for pods of one node, where the subnet has them; fewer where it has not.
const PODS: [usize; 4] = [29, 14, 7, 3];

pub(super) async fn start(inner: &Arc<Inner>, plan: NodePlan) -> Result<RunningNode, Fault> {
    let programs = inner.programs()?;
    let directory = inner.directory(&plan.cluster).join("nodes").join(&plan.id);
    let memory_mib = memory_of(&plan.instance_type);
    let instance = match inner.host(&suffix(&plan.id))? {
        Some(known) => known,
        None => {
            let spec = HostSpec {
                name: host_name("node", &plan.nodegroup, &plan.id),
                subnet: plan.subnet.to_string(),
                groups: vec![plan.control_plane.security_group.clone()],
                given: vec![
                    (directory.clone(), IN_HOST, false),
                    (inner.layout.images(), IMAGES_IN_HOST, true),
                ],
                memory_mib,
                is_privileged: true,
            };
            inner.make_host(&programs, &directory, IN_HOST, spec).await?
        }
    };
    let pod_addresses = if instance.secondary_addresses.is_empty() {
        addresses(inner, &instance.id).await?
    } else {
        instance.secondary_addresses.iter().copied().collect()
    };
    let Running { address: api_address, .. } = plan.control_plane;
    let name = instance.private_dns_name();
    let zone = plan.zone.clone();
    let mut labels = plan.labels;
    labels.push(("topology.kubernetes.io/region".to_owned(), plan.home.region.to_string()));
    labels.push(("topology.kubernetes.io/zone".to_owned(), zone.clone()));
    let kept = directory.clone();
    let node = Node {
        directory,
        control_plane: inner.control_directory(&plan.cluster),
        api_address,
        name: name.clone(),
        address: instance.address,
        provider_id: format!("aws:///{zone}/{}", instance.id),
        subnet_cidr: plan.subnet_cidr,
        vpc_cidr: plan.vpc_cidr,
        pod_addresses,
        dns: dns::address(plan.api_service),
        labels,
        taints: plan
            .taints
            .into_iter()
            .map(|taint| Taint { key: taint.key, value: taint.value, effect: taint.effect })
            .collect(),
        cni: programs.cni,
    };
    blocking(move || node.prepare(jiff::Timestamp::now())).await?;
    if let Some(door) = inner.doors.lock().await.get_mut(&plan.cluster) {
        door.serve_pods(&kept).await?;
    }
    inner.hosts.ready(&instance.id).await.map_err(Fault::new)?;
    Ok(RunningNode { instance: instance.id, address: instance.address, name })
}

/// As many as the subnet can spare, from a full node's down.
async fn addresses(
    inner: &Inner,
    instance: &trellis_model::InstanceId,
) -> Result<Vec<std::net::Ipv4Addr>, Fault> {
    let mut last = Fault::new("no address is free");
    for count in PODS {
        match inner.control.hosts().assign_addresses(instance, count).await {
            Ok(addresses) => return Ok(addresses),
            Err(error @ HostError::SubnetHasNotSoMany { .. }) => last = Fault::new(error),
            Err(error) => return Err(Fault::new(error)),
        }
    }
    Err(last)
}

pub(super) async fn stop(
    inner: &Arc<Inner>,
    cluster: &str,
    node: &str,
    running: Option<RunningNode>,
) -> Result<(), Fault> {
    if let (Some(running), Ok(client)) = (&running, inner.client(cluster).await) {
        drain::drain(&client, &running.name).await;
    }
    if let Some(instance) = inner.host(&suffix(node))? {
        inner.end_host(&instance).await?;
    }
    if let (Some(running), Ok(client)) = (&running, inner.client(cluster).await) {
        // What is not there any more is not to be waited for.
        let _ = client.delete(&format!("/api/v1/nodes/{}", running.name)).await;
    }
    if let Some(door) = inner.doors.lock().await.get_mut(cluster) {
        door.pods.remove(node);
    }
    remove_directory(inner.directory(cluster).join("nodes").join(node)).await
}

/// What a host of this type may take, in MiB: by the size in its name, as AWS's families of two processors and more
/// have it.
fn memory_of(instance_type: &str) -> u64 {
    let size = instance_type.rsplit('.').next().unwrap_or_default();
    match size {
        "nano" => 512,
        "micro" => 1024,
        "small" => 2048,
        "medium" => 4096,
        "large" => 8192,
        _ => 16_384,
    }
}
