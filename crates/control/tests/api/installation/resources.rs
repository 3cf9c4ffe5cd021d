//! Resources of VPC Lattice that tests need, made by calls.

use serde_json::{Value, json};
use trellis_model::VpcId;

use super::{Fault, Installation, forward};

impl Installation {
    pub(crate) async fn network(&self) -> Value {
        let name = format!("network-{}", self.next());
        self.ok("CreateServiceNetwork", json!({"name": name})).await
    }

    /// An ACTIVE service.
    pub(crate) async fn service(&self) -> Value {
        self.service_with(json!({})).await
    }

    pub(crate) async fn service_with(&self, more: Value) -> Value {
        let mut input = json!({"name": format!("service-{}", self.next())});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let service = self.ok("CreateService", input).await;
        self.wait_status("GetService", json!({"serviceIdentifier": service["id"]}), "ACTIVE").await
    }

    /// An ACTIVE HTTP group of type IP on port 8080.
    pub(crate) async fn group(&self, vpc: &VpcId) -> Value {
        self.group_with("IP", json!({"port": 8080, "protocol": "HTTP", "vpcIdentifier": vpc})).await
    }

    pub(crate) async fn group_with(&self, kind: &str, config: Value) -> Value {
        let name = format!("group-{}", self.next());
        let mut input = json!({"name": name, "type": kind});
        if !config.is_null() {
            input["config"] = config;
        }
        let group = self.ok("CreateTargetGroup", input).await;
        self.wait_status("GetTargetGroup", json!({"targetGroupIdentifier": group["id"]}), "ACTIVE").await
    }

    /// An HTTP listener that answers 404.
    pub(crate) async fn listener(&self, service: &Value) -> Value {
        let input = json!({
            "serviceIdentifier": service["id"],
            "name": format!("port-{}", self.next()),
            "protocol": "HTTP",
            "defaultAction": {"fixedResponse": {"statusCode": 404}},
        });
        self.ok("CreateListener", input).await
    }

    /// From now on the listener forwards everything to `group`.
    pub(crate) async fn forward_all(&self, service: &Value, listener: &Value, group: &Value) {
        let update = json!({
            "serviceIdentifier": service["id"], "listenerIdentifier": listener["id"],
            "defaultAction": forward(group),
        });
        self.ok("UpdateListener", update).await;
    }

    /// An ACTIVE HTTP group of type IP on port 8080 that a service of its own forwards everything to.
    pub(crate) async fn used_group(&self) -> Value {
        let group = self.group(&self.vpc(0).await).await;
        let service = self.service().await;
        let listener = self.listener(&service).await;
        self.forward_all(&service, &listener, &group).await;
        group
    }

    /// Waits until no target of `group` is left, not even a draining one.
    pub(crate) async fn wait_no_targets(&self, group: &Value) {
        let is_empty =
            |answer: &Result<Value, Fault>| answer.as_ref().is_ok_and(|answer| answer["items"] == json!([]));
        let all = json!({"targetGroupIdentifier": group["id"]});
        self.wait("ListTargets", all, is_empty).await.unwrap();
    }

    /// An ACTIVE resource gateway in every subnet of `vpc`.
    pub(crate) async fn gateway(&self, vpc: &VpcId) -> Value {
        self.gateway_with(vpc, json!({})).await
    }

    pub(crate) async fn gateway_with(&self, vpc: &VpcId, more: Value) -> Value {
        let name = format!("gateway-{}", self.next());
        let mut input = json!({"name": name, "vpcIdentifier": vpc, "subnetIds": self.subnets(vpc)});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let gateway = self.ok("CreateResourceGateway", input).await;
        let by = json!({"resourceGatewayIdentifier": gateway["id"]});
        self.wait_status("GetResourceGateway", by, "ACTIVE").await
    }

    /// An ACTIVE resource configuration of the type `kind`.
    pub(crate) async fn resource(&self, kind: &str, more: Value) -> Value {
        let mut input = json!({"name": format!("resource-{}", self.next()), "type": kind});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let resource = self.ok("CreateResourceConfiguration", input).await;
        let by = json!({"resourceConfigurationIdentifier": resource["id"]});
        self.wait_status("GetResourceConfiguration", by, "ACTIVE").await
    }
}
