//! What the service needs of the machine: somebody who makes control planes and nodes.

use std::net::Ipv4Addr;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use trellis_frame::{BoxFuture, Surroundings};
use trellis_model::resource::lattice::Home;
use trellis_model::{InstanceId, SubnetId, VpcId};

/// A control plane that is to be.
#[derive(Debug, Clone)]
pub struct ControlPlanePlan {
    /// The cluster's id: what it is kept under.
    pub id: String,
    pub home: Home,
    pub name: String,
    pub vpc: VpcId,
    pub subnets: Vec<SubnetId>,
    /// Those the caller named.
    pub security_groups: Vec<String>,
    /// `172.20.0.0/16`.
    pub service_cidr: String,
    /// The first address of it.
    pub service_address: Ipv4Addr,
    pub issuer: String,
    /// What there was when it ran before.
    pub before: Option<Running>,
}

impl ControlPlanePlan {
    /// What EKS calls the security group that it makes for the cluster: no other has this name.
    pub fn group_name(&self) -> String {
        format!("eks-cluster-sg-{}-{}", self.name, &self.id[..12])
    }
}

/// A control plane that is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// For who is on the machine.
    pub endpoint: String,
    /// For who is in the VPC.
    pub private_endpoint: String,
    /// Base64 of PEM.
    pub certificate_authority: String,
    pub security_group: String,
    pub instance: InstanceId,
    pub address: Ipv4Addr,
    /// What service account tokens are verified with: a JSON Web Key Set.
    pub keys: String,
}

/// What keeps pods away from a node, in Kubernetes' words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taint {
    pub key: String,
    pub value: String,
    pub effect: String,
}

/// A node that is to be.
#[derive(Debug, Clone)]
pub struct NodePlan {
    /// Unique in the installation.
    pub id: String,
    pub cluster: String,
    pub home: Home,
    pub subnet: SubnetId,
    /// `10.0.1.0/24`.
    pub subnet_cidr: String,
    /// `us-east-1a`.
    pub zone: String,
    pub vpc_cidr: String,
    /// The API server as a Service: the first address of them.
    pub api_service: Ipv4Addr,
    pub nodegroup: String,
    pub labels: Vec<(String, String)>,
    pub taints: Vec<Taint>,
    pub instance_type: String,
    pub control_plane: Running,
}

/// A node that was started. It may not be ready yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningNode {
    pub instance: InstanceId,
    pub address: Ipv4Addr,
    /// What Kubernetes calls it.
    pub name: String,
}

/// Why something is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Fault {
    pub reason: String,
}

impl Fault {
    pub fn new(reason: impl std::fmt::Display) -> Self {
        Self { reason: reason.to_string() }
    }
}

/// Makes clusters. Everything may be asked again for what is there already, or half there.
pub trait Machine: Send + Sync {
    /// Returns when the API server says that it is ready.
    fn start(&self, plan: ControlPlanePlan) -> BoxFuture<'static, Result<Running, Fault>>;
    /// After a restart of the process: whoever waits at the cluster's sockets.
    fn resume(&self, plan: ControlPlanePlan) -> BoxFuture<'static, Result<Running, Fault>>;
    /// Returns when nothing is left of it, whether it ever ran or not.
    fn stop(&self, plan: ControlPlanePlan) -> BoxFuture<'static, Result<(), Fault>>;
    /// Returns when its programs are being started.
    fn start_node(&self, plan: NodePlan) -> BoxFuture<'static, Result<RunningNode, Fault>>;
    /// Drains it first, where there is an API server to ask. Returns when nothing is left of it.
    fn stop_node(
        &self,
        cluster: String,
        node: String,
        running: Option<RunningNode>,
    ) -> BoxFuture<'static, Result<(), Fault>>;
    /// An object of the cluster's API, `None` where there is none.
    fn get(&self, cluster: String, path: String) -> BoxFuture<'static, Result<Option<Value>, Fault>>;
    /// Server-side apply of an object.
    fn apply(&self, cluster: String, path: String, object: Value) -> BoxFuture<'static, Result<(), Fault>>;
    /// A JSON merge patch.
    fn merge(&self, cluster: String, path: String, patch: Value) -> BoxFuture<'static, Result<(), Fault>>;
}

/// The machine, once there is one: it needs the control plane, and the control plane asks for it. An extension of the
/// frame's surroundings.
#[derive(Clone, Default)]
pub struct Machines(Arc<OnceLock<Arc<dyn Machine>>>);

impl Machines {
    /// From now on there is one. Only the first counts.
    pub fn set(&self, machine: Arc<dyn Machine>) {
        let _ = self.0.set(machine);
    }

    pub(crate) fn of(surroundings: &Surroundings) -> Option<Arc<dyn Machine>> {
        surroundings.extension::<Self>()?.0.get().cloned()
    }
}

impl std::fmt::Debug for Machines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Machines").field(&self.0.get().is_some()).finish()
    }
}
