//! Nodes come and go until there are as many as there should be, and each is Ready.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use trellis_frame::{BoxFuture, Progress, Refusal, Surroundings, Work, tags};
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::Home;
use trellis_store::Transaction;

use super::{NODEGROUPS, Node, Nodegroup, Status};
use crate::cluster::{self, CLUSTERS};
use crate::machine::{Fault, Machine, NodePlan, Running, RunningNode};
use crate::{input, update};

/// Between two looks at nodes that are not Ready yet.
const LOOK: Duration = Duration::from_millis(250);
/// Between attempts to end what cannot be ended.
const AGAIN: Duration = Duration::from_secs(5);
/// How long a node may take to be Ready, from when it was asked for or its group was changed last.
const PATIENCE: Duration = Duration::from_secs(300);

/// Does what the record of a node group says is to be done.
pub(crate) fn advance(
    surroundings: Arc<Surroundings>,
    work: Work,
) -> BoxFuture<'static, Result<Progress, Refusal>> {
    Box::pin(async move {
        let state = &mut surroundings.store.read()?;
        let Some(group) = NODEGROUPS.get(state, &work.home, &work.id)? else {
            return work.settle(&surroundings, |_| Ok(())).await;
        };
        let cluster = CLUSTERS.get(state, &work.home, &group.cluster)?;
        let ran = cluster.and_then(|found| Some((found.service_address(), found.id, found.running?)));
        let Some((api_service, cluster_id, running)) = ran else {
            return work.settle(&surroundings, move |tx| forget(tx, &group)).await;
        };
        let Ok(machine) = cluster::lifecycle::machine(&surroundings).await else {
            return Ok(Progress::Later(AGAIN));
        };
        let place =
            Place { surroundings: &surroundings, machine: &*machine, cluster_id, api_service, running };
        match group.status {
            Status::Creating | Status::Updating => match place.converge(&group).await? {
                Ok(true) => settle(&work, &surroundings, &group, None).await,
                Ok(false) => Ok(Progress::Later(LOOK)),
                Err(fault) => {
                    tracing::warn!(nodegroup = group.name, %fault, "a node could not be made");
                    settle(&work, &surroundings, &group, Some(fault)).await
                }
            },
            Status::Deleting => match place.end_all(&group).await {
                Ok(()) => work.settle(&surroundings, move |tx| forget(tx, &group)).await,
                Err(fault) => {
                    tracing::error!(nodegroup = group.name, %fault, "a node could not be ended; it is tried again");
                    Ok(Progress::Later(AGAIN))
                }
            },
            Status::Active | Status::CreateFailed | Status::Degraded => {
                work.settle(&surroundings, |_| Ok(())).await
            }
        }
    })
}

async fn settle(
    work: &Work,
    surroundings: &Surroundings,
    group: &Nodegroup,
    fault: Option<Fault>,
) -> Result<Progress, Refusal> {
    let (home, key) = (group.home.clone(), group.key());
    let settle = move |tx: &mut Transaction<'_>| {
        let Some(mut group) = NODEGROUPS.get(tx, &home, &key)? else { return Ok(()) };
        group.reason = fault.as_ref().map(|fault| fault.reason.clone());
        group.status = match (&fault, group.status) {
            (None, _) => Status::Active,
            (Some(_), Status::Creating) => Status::CreateFailed,
            (Some(_), _) => Status::Degraded,
        };
        update::finish(tx, &home, &group.cluster, &group.name, group.reason.as_deref())?;
        NODEGROUPS.put(tx, &home, &key, &group)
    };
    work.settle(surroundings, settle).await
}

fn forget(tx: &mut Transaction<'_>, group: &Nodegroup) -> Result<(), Refusal> {
    tags::forget(tx, &group.home, &group.arn());
    NODEGROUPS.delete(tx, &group.home, group.key())
}

struct Place<'a> {
    surroundings: &'a Surroundings,
    machine: &'a dyn Machine,
    cluster_id: String,
    api_service: Ipv4Addr,
    running: Running,
}

impl Place<'_> {
    /// One step nearer to what should be; whether it is reached. The inner error is the group's.
    async fn converge(&self, group: &Nodegroup) -> Result<Result<bool, Fault>, Refusal> {
        let desired = usize::try_from(group.scaling.desired).unwrap_or_default();
        if group.nodes.len() < desired {
            self.add(group, desired - group.nodes.len()).await?;
            return Ok(Ok(false));
        }
        if let Some(surplus) = group.nodes.get(desired) {
            // The youngest go first.
            let node = group.nodes.last().unwrap_or(surplus).clone();
            let ended = self.machine.stop_node(self.cluster_id.clone(), node.id.clone(), node.running).await;
            if let Err(fault) = ended {
                return Ok(Err(fault));
            }
            let id = node.id;
            self.change(group, move |group| group.nodes.retain(|node| node.id != id)).await?;
            return Ok(Ok(false));
        }
        if let Some(node) = group.nodes.iter().find(|node| node.running.is_none()) {
            let Some(plan) = self.plan(group, node)? else {
                return Ok(Err(Fault::new(format_args!("subnet {} is gone", node.subnet))));
            };
            return match self.machine.start_node(plan).await {
                Ok(running) => {
                    let id = node.id.clone();
                    let note = move |group: &mut Nodegroup| {
                        let node = group.nodes.iter_mut().find(|node| node.id == id);
                        if let Some(node) = node {
                            node.running = Some(running.clone());
                        }
                    };
                    self.change(group, note).await?;
                    Ok(Ok(false))
                }
                Err(fault) => Ok(Err(fault)),
            };
        }
        for node in &group.nodes {
            let Some(running) = &node.running else { continue };
            match self.is_ready(group, running).await {
                Ok(true) => {}
                Ok(false) => return Ok(self.give_up_on(group, node)),
                Err(fault) => {
                    return Ok(self
                        .give_up_on(group, node)
                        .map_err(|late| Fault::new(format_args!("{late}: {fault}"))));
                }
            }
        }
        Ok(Ok(true))
    }

    /// Not ready yet, or too late to be.
    fn give_up_on(&self, group: &Nodegroup, node: &Node) -> Result<bool, Fault> {
        let now = self.surroundings.clock.now();
        // A node that has been there for long may be away for a moment when its group is changed.
        let waited = now.duration_since(node.asked_at.max(group.modified_at).into());
        if waited.unsigned_abs() > PATIENCE {
            return Err(Fault::new(format_args!(
                "{} is not Ready after {} seconds",
                node.id,
                PATIENCE.as_secs()
            )));
        }
        Ok(false)
    }

    /// Whether Kubernetes says so. Labels that were changed since are put right as well.
    async fn is_ready(&self, group: &Nodegroup, node: &RunningNode) -> Result<bool, Fault> {
        let path = format!("/api/v1/nodes/{}", node.name);
        let Some(object) = self.machine.get(self.cluster_id.clone(), path.clone()).await? else {
            return Ok(false);
        };
        let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
        let mut ready = conditions.filter(|condition| condition["type"] == "Ready");
        if !ready.any(|condition| condition["status"] == "True") {
            return Ok(false);
        }
        if let Some(patch) = patch(group, &object) {
            self.machine.merge(self.cluster_id.clone(), path, patch).await?;
        }
        Ok(true)
    }

    async fn add(&self, group: &Nodegroup, count: usize) -> Result<(), Refusal> {
        let now = Moment::from(self.surroundings.clock.now());
        let ids: Vec<String> =
            (0..count).map(|_| format!("{:016x}", self.surroundings.random.draw())).collect();
        let add = move |group: &mut Nodegroup| {
            for id in &ids {
                // One subnet after the other.
                let subnet = group.subnets[group.nodes.len() % group.subnets.len()].clone();
                group.nodes.push(Node { id: id.clone(), subnet, asked_at: now, running: None });
            }
        };
        self.change(group, add).await
    }

    async fn end_all(&self, group: &Nodegroup) -> Result<(), Fault> {
        for node in group.nodes.iter().rev() {
            self.machine.stop_node(self.cluster_id.clone(), node.id.clone(), node.running.clone()).await?;
        }
        Ok(())
    }

    async fn change(
        &self,
        group: &Nodegroup,
        mut change: impl FnMut(&mut Nodegroup) + Send + 'static,
    ) -> Result<(), Refusal> {
        let (home, key): (Home, String) = (group.home.clone(), group.key());
        let change = move |tx: &mut Transaction<'_>| {
            let Some(mut group) = NODEGROUPS.get(tx, &home, &key)? else { return Ok(()) };
            change(&mut group);
            NODEGROUPS.put(tx, &home, &key, &group)
        };
        Ok(self.surroundings.store.transact(change).await?)
    }

    fn plan(&self, group: &Nodegroup, node: &Node) -> Result<Option<NodePlan>, Refusal> {
        let state = &mut self.surroundings.store.read()?;
        let Some((vpc, subnet)) = input::subnet(state, &group.home, &node.subnet)? else { return Ok(None) };
        let instance_type = group.instance_types.first().cloned().unwrap_or_default();
        let own = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let mut labels = vec![
            own("eks.amazonaws.com/nodegroup", &group.name),
            own("eks.amazonaws.com/capacityType", &group.capacity_type),
            own("node.kubernetes.io/instance-type", &instance_type),
        ];
        labels.extend(group.labels.clone());
        Ok(Some(NodePlan {
            subnet_cidr: subnet.cidr.to_string(),
            zone: format!("{}{}", group.home.region, subnet.zone.letter()),
            vpc_cidr: vpc.cidr.to_string(),
            api_service: self.api_service,
            id: node.id.clone(),
            cluster: self.cluster_id.clone(),
            home: group.home.clone(),
            subnet: node.subnet.clone(),
            nodegroup: group.name.clone(),
            labels,
            taints: group.taints.clone(),
            instance_type,
            control_plane: self.running.clone(),
        }))
    }
}

/// What has to be changed of a node for it to have the group's labels and taints; those of others stay.
fn patch(group: &Nodegroup, node: &Value) -> Option<Value> {
    const KEPT: &str = "eks.trellis/of-group";
    let labels = &node["metadata"]["labels"];
    let given: Value =
        serde_json::from_str(node["metadata"]["annotations"][KEPT].as_str().unwrap_or("{}")).ok()?;
    let wanted = json!({"labels": group.labels, "taints": group.taints});
    if given == wanted {
        return None;
    }
    let mut changed = serde_json::Map::new();
    for key in given["labels"].as_object().into_iter().flat_map(|labels| labels.keys()) {
        changed.insert(key.clone(), Value::Null);
    }
    for (key, value) in &group.labels {
        changed.insert(key.clone(), value.clone().into());
    }
    changed.retain(|key, value| labels.get(key).unwrap_or(&Value::Null) != value);
    let is_given = |taint: &Value| {
        let before = given["taints"].as_array().into_iter().flatten();
        let now = group.taints.iter().map(|taint| json!(taint));
        before
            .cloned()
            .chain(now)
            .any(|known| known["key"] == taint["key"] && known["effect"] == taint["effect"])
    };
    let others = node["spec"]["taints"].as_array().into_iter().flatten().filter(|taint| !is_given(taint));
    let taints: Vec<Value> = others.cloned().chain(group.taints.iter().map(|taint| json!(taint))).collect();
    Some(json!({
        "metadata": {"labels": changed, "annotations": {KEPT: wanted.to_string()}},
        "spec": {"taints": taints},
    }))
}
