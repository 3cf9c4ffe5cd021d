//! What `trellis-eks` asks of the machine.

use serde_json::Value;
use trellis_control::eks::{ControlPlanePlan, Fault, Machine, NodePlan, Running, RunningNode};

use super::{Clusters, node};

/// A future of the service's.
type Future<T> = std::pin::Pin<Box<dyn std::future::Future<Output = T> + Send>>;

impl Machine for Clusters {
    fn start(&self, plan: ControlPlanePlan) -> Future<Result<Running, Fault>> {
        let inner = self.0.clone();
        Box::pin(async move { inner.start(plan).await })
    }

    fn resume(&self, plan: ControlPlanePlan) -> Future<Result<Running, Fault>> {
        let inner = self.0.clone();
        Box::pin(async move {
            let before = plan.before.clone().ok_or_else(|| Fault::new("it never ran"))?;
            let endpoint = inner.open(&plan).await?;
            Ok(Running { endpoint, ..before })
        })
    }

    fn stop(&self, plan: ControlPlanePlan) -> Future<Result<(), Fault>> {
        let inner = self.0.clone();
        Box::pin(async move { inner.stop(&plan).await })
    }

    fn start_node(&self, plan: NodePlan) -> Future<Result<RunningNode, Fault>> {
        let inner = self.0.clone();
        Box::pin(async move { node::start(&inner, plan).await })
    }

    fn stop_node(
        &self,
        cluster: String,
        node: String,
        running: Option<RunningNode>,
    ) -> Future<Result<(), Fault>> {
        let inner = self.0.clone();
        Box::pin(async move { node::stop(&inner, &cluster, &node, running).await })
    }

    fn get(&self, cluster: String, path: String) -> Future<Result<Option<Value>, Fault>> {
        let inner = self.0.clone();
        Box::pin(async move {
            match inner.client(&cluster).await?.get(&path).await {
                Ok(object) => Ok(Some(object)),
                Err(error) if error.is_missing() => Ok(None),
                Err(error) => Err(Fault::new(error)),
            }
        })
    }

    fn apply(&self, cluster: String, path: String, object: Value) -> Future<Result<(), Fault>> {
        let inner = self.0.clone();
        Box::pin(async move {
            inner.client(&cluster).await?.apply(&path, &object).await.map(drop).map_err(Fault::new)
        })
    }

    fn merge(&self, cluster: String, path: String, patch: Value) -> Future<Result<(), Fault>> {
        let inner = self.0.clone();
        Box::pin(async move {
            inner.client(&cluster).await?.merge(&path, &patch).await.map(drop).map_err(Fault::new)
        })
    }
}
