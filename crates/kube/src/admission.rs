//! The mutating webhook: pods behind Lattice get a readiness gate, so that a rollout waits for their targets.
//!
//! What it does not understand it lets through as it is: a webhook that refuses holds up pods it has nothing to do with.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::objects::{Name, labels};
use crate::plan::POD_GATE;
use crate::world::{Reference, RouteKind, World};

#[derive(Debug, Deserialize)]
struct Review {
    request: Request,
}

#[derive(Debug, Deserialize)]
struct Request {
    uid: String,
    #[serde(default)]
    namespace: String,
    object: Pod,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Pod {
    metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
    spec: PodSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    readiness_gates: Vec<Gate>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Gate {
    condition_type: String,
}

/// The answer to an AdmissionReview; nothing where it is none.
pub(crate) fn review(world: &World, body: &[u8]) -> Option<Vec<u8>> {
    let Review { request } = serde_json::from_slice(body).ok()?;
    let mut response = json!({"uid": request.uid, "allowed": true});
    if let Some(patch) = patch(world, &request) {
        response["patchType"] = json!("JSONPatch");
        response["patch"] = json!(k8s_openapi::ByteString(serde_json::to_vec(&patch).ok()?));
    }
    let review =
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
    serde_json::to_vec(&review).ok()
}

fn patch(world: &World, request: &Request) -> Option<Value> {
    let Request { namespace, object: pod, .. } = request;
    let gates = &pod.spec.readiness_gates;
    if gates.iter().any(|gate| gate.condition_type == POD_GATE)
        || !is_behind_lattice(world, namespace, labels(&pod.metadata))
    {
        return None;
    }
    let gate = json!({"conditionType": POD_GATE});
    Some(if gates.is_empty() {
        json!([{"op": "add", "path": "/spec/readinessGates", "value": [gate]}])
    } else {
        json!([{"op": "add", "path": "/spec/readinessGates/-", "value": gate}])
    })
}

/// Whether a Service that selects the pod is behind a route of ours or exported.
fn is_behind_lattice(world: &World, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
    let in_namespace = world.services.iter().filter(|(name, _)| name.namespace == namespace);
    let mut selecting = in_namespace.filter(|(_, service)| {
        let selector = &service.spec.selector;
        !selector.is_empty() && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
    });
    selecting.any(|(name, _)| is_used(world, name))
}

fn is_used(world: &World, service: &Name) -> bool {
    let reference = Reference::Service(service.clone());
    let is_ours = |id: &crate::world::RouteId| {
        id.kind != RouteKind::Tls
            && world
                .route(id)
                .is_some_and(|route| !route.is_deleted() && crate::plan::has_parent(world, &route))
    };
    world.routes_of(&reference).iter().any(is_ours) || world.exports.referring(&reference).next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::{Gateway, GatewayClass, HttpRoute, Service};

    fn world() -> World {
        let mut world = World::default();
        let from = |value: Value| serde_json::from_value(value).unwrap();
        world.apply::<GatewayClass>(
            serde_json::from_value(json!({
                "metadata": {"name": "lattice"}, "spec": {"controllerName": crate::plan::CONTROLLER},
            }))
            .unwrap(),
        );
        world.apply::<Gateway>(serde_json::from_value(json!({
            "metadata": {"name": "shop", "namespace": "apps"},
            "spec": {"gatewayClassName": "lattice", "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]},
        })).unwrap());
        for name in ["cart", "other"] {
            world.apply::<Service>(
                serde_json::from_value(json!({
                    "metadata": {"name": name, "namespace": "apps"}, "spec": {"selector": {"app": name}},
                }))
                .unwrap(),
            );
        }
        world.apply::<HttpRoute>(from(json!({
            "metadata": {"name": "cart", "namespace": "apps"},
            "spec": {"parentRefs": [{"name": "shop"}], "rules": [{"backendRefs": [{"name": "cart", "port": 80}]}]},
        })));
        world
    }

    fn patch_of(namespace: &str, app: &str, gates: Value) -> Option<Value> {
        let body = json!({"request": {"uid": "u", "namespace": namespace, "object": {
            "metadata": {"labels": {"app": app}}, "spec": {"readinessGates": gates},
        }}});
        let answer: Value =
            serde_json::from_slice(&review(&world(), body.to_string().as_bytes()).unwrap()).unwrap();
        assert_eq!((&answer["response"]["uid"], &answer["response"]["allowed"]), (&json!("u"), &json!(true)));
        let bytes: k8s_openapi::ByteString =
            serde_json::from_value(answer["response"].get("patch")?.clone()).unwrap();
        Some(serde_json::from_slice(&bytes.0).unwrap())
    }

    #[test]
    fn a_pod_behind_a_route_gets_the_gate_once_and_no_other_pod_does() {
        let gate = json!({"conditionType": POD_GATE});
        let added = json!([{"op": "add", "path": "/spec/readinessGates", "value": [gate]}]);
        assert_eq!(patch_of("apps", "cart", json!([])), Some(added));
        let appended = json!([{"op": "add", "path": "/spec/readinessGates/-", "value": gate}]);
        assert_eq!(patch_of("apps", "cart", json!([{"conditionType": "x"}])), Some(appended));
        assert_eq!(patch_of("apps", "cart", json!([gate])), None);
        assert_eq!(patch_of("apps", "other", json!([])), None, "no route leads there");
        assert_eq!(patch_of("elsewhere", "cart", json!([])), None, "another namespace");
    }

    #[test]
    fn what_is_no_review_is_not_answered() {
        for body in ["", "{}", "[]", "\"x\"", "{\"request\": 1}"] {
            assert!(review(&world(), body.as_bytes()).is_none(), "{body}");
        }
    }
}
