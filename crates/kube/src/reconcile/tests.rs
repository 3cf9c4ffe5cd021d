use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::deploy::Inventory;
use crate::in_process::{ApiServer, Mirror, Temper};
use crate::objects::{Gateway, GatewayClass, HttpRoute, ServiceImport};
use crate::plan::{CONTROLLER, Cluster, PREFIX};
use crate::world::RouteKind;

/// A controller of a cluster with a Gateway `shop`, whose service network is there.
struct Bench {
    server: Arc<ApiServer>,
    lattice: Mirror,
    controller: Arc<Controller>,
}

const POLICIES: &str = "/apis/application-networking.k8s.aws/v1alpha1/namespaces/apps/iamauthpolicies";
const ROUTES: &str = "/apis/gateway.networking.k8s.io/v1/namespaces/apps/httproutes";

impl Bench {
    async fn new() -> Self {
        let (server, lattice) = (ApiServer::new(), Mirror::default());
        lattice.says(
            "GET /servicenetworks",
            json!({"items": [{"id": "sn-1", "arn": "arn:sn-1", "name": "shop"}]}),
        );
        let cluster = Cluster {
            account: "111122223333".to_owned(),
            name: "c1".to_owned(),
            vpc: "vpc-1".to_owned(),
            network_for_all: None,
        };
        let deployer = Deployer { lattice: lattice.client(), inventory: Inventory::default(), cluster };
        deployer.inventory.read(&deployer.lattice).await.unwrap();
        let controller = Arc::new(Controller::new(server.client(), deployer));
        let bench = Self { server, lattice, controller };
        bench.add::<GatewayClass>(
            "",
            json!({"metadata": {"name": "lattice"}, "spec": {"controllerName": CONTROLLER}}),
        );
        bench.add::<Gateway>(
            "",
            json!({
                "metadata": {"name": "shop", "namespace": "apps"},
                "spec": {"gatewayClassName": "lattice",
                         "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]},
            }),
        );
        bench
    }

    /// Puts an object into the world, and where `path` says so into the API server.
    fn add<T: Watched>(&self, path: &str, object: Value) {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        if !path.is_empty() {
            self.server.put(&format!("{path}/{name}"), object.clone());
        }
        self.controller.world.write().unwrap().apply::<T>(serde_json::from_value(object).unwrap());
    }

    fn policy(&self, name: &str, metadata: &Value) {
        let mut object = json!({
            "metadata": {"name": name, "namespace": "apps"},
            "spec": {"targetRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "shop"},
                     "policy": "{}"},
        });
        object["metadata"].as_object_mut().unwrap().extend(metadata.as_object().unwrap().clone());
        self.add::<IamAuthPolicy>(POLICIES, object);
    }

    fn route(&self) -> RouteId {
        let object = json!({
            "metadata": {"name": "cart", "namespace": "apps"},
            "spec": {"parentRefs": [{"name": "shop"}], "rules": [{"backendRefs": [{"name": "cart", "port": 80}]}]},
        });
        self.add::<HttpRoute>(ROUTES, object);
        RouteId { kind: RouteKind::Http, name: Name::new("apps", "cart") }
    }

    fn calls(&self, method: &str) -> Vec<String> {
        self.lattice.asked().into_iter().filter(|call| call.starts_with(method)).collect()
    }
}

#[tokio::test]
async fn a_policy_that_goes_leaves_what_the_next_in_line_has_set_of_the_same_network() {
    let bench = Bench::new().await;
    bench.policy(
        "old",
        &json!({"deletionTimestamp": "2026-11-30T10:00:00Z", "finalizers": [IAM_FINALIZER],
                "annotations": {format!("{PREFIX}iam-auth-policy-resource-id"): "sn-1"}}),
    );
    bench.policy("new", &json!({}));
    let (old, new) = (Name::new("apps", "old"), Name::new("apps", "new"));
    bench.controller.attached::<IamAuthPolicy>(&new).await.unwrap();
    assert_eq!(bench.calls("PUT"), ["PUT /authpolicy/sn-1"]);
    bench.controller.attached::<IamAuthPolicy>(&old).await.unwrap();
    assert_eq!(bench.calls("DELETE"), [""; 0]);
    assert_eq!(bench.server.get(&format!("{POLICIES}/old")).unwrap()["metadata"]["finalizers"], json!([]));
    // Whichever came first: what it says is said again when the other is gone.
    let next = tokio::time::timeout(std::time::Duration::from_secs(1), bench.controller.queue.next()).await;
    assert_eq!(next, Ok(Key::Policy(PolicyKind::IamAuth, new)));
}

#[tokio::test]
async fn the_last_policy_of_a_network_takes_back_what_it_set() {
    let bench = Bench::new().await;
    bench.policy(
        "old",
        &json!({"deletionTimestamp": "2026-11-30T10:00:00Z", "finalizers": [IAM_FINALIZER],
                "annotations": {format!("{PREFIX}iam-auth-policy-resource-id"): "sn-1"}}),
    );
    bench.controller.attached::<IamAuthPolicy>(&Name::new("apps", "old")).await.unwrap();
    assert_eq!(bench.calls("DELETE"), ["DELETE /authpolicy/sn-1"]);
}

#[tokio::test]
async fn a_target_group_of_a_route_in_a_workers_hands_is_not_collected() {
    let bench = Bench::new().await;
    bench.add::<crate::objects::Service>(
        "",
        json!({"metadata": {"name": "cart", "namespace": "apps"}, "spec": {"ports": [{"port": 80}]}}),
    );
    let id = bench.route();
    let name = {
        let world = bench.controller.world();
        let route = world.route(&id).unwrap();
        crate::plan::target_groups(&world, &bench.controller.deployer.cluster, &route).remove(0)
    };
    let known = |name: &str| Known {
        id: format!("tg-{name}"),
        arn: format!("arn:{name}"),
        name: name.to_owned(),
        domain: None,
    };
    bench.controller.leave_over(known(&name));
    bench.controller.leave_over(known("stale"));
    bench.lattice.says("GET /targetgroups/tg-stale", json!({}));
    bench.lattice.says("POST /targetgroups/tg-stale/listtargets", json!({"items": []}));
    bench.controller.collect().await.unwrap();
    assert_eq!(bench.calls("DELETE"), ["DELETE /targetgroups/tg-stale"]);
}

#[tokio::test]
async fn what_a_worker_read_before_a_resync_is_forgotten_when_it_is_done() {
    let bench = Bench::new().await;
    let id = bench.route();
    bench.server.behave(Temper::IsSilent);
    let look = {
        let (controller, id) = (bench.controller.clone(), id.clone());
        tokio::spawn(async move { controller.route(&id).await })
    };
    // It has taken what is known of the route, and waits for the API server.
    while bench.server.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    bench.controller.resync().await.unwrap();
    bench.server.behave(Temper::Answers);
    look.await.unwrap().unwrap();
    assert!(bench.controller.routes.lock().unwrap().is_empty(), "the next look reads what Lattice holds");
    bench.controller.route(&id).await.unwrap();
    assert!(bench.controller.routes.lock().unwrap().contains_key(&id));
}

#[tokio::test]
async fn however_many_imports_stand_for_nothing_target_groups_are_listed_once_a_look() {
    let bench = Bench::new().await;
    let backends: Vec<Value> = (0..5)
        .map(|number| {
            let name = format!("far-{number}");
            bench.add::<ServiceImport>("", json!({"metadata": {"name": name, "namespace": "apps"}}));
            json!({"group": "application-networking.k8s.aws", "kind": "ServiceImport", "name": name})
        })
        .collect();
    bench.add::<HttpRoute>(
        ROUTES,
        json!({"metadata": {"name": "cart", "namespace": "apps"},
               "spec": {"parentRefs": [{"name": "shop"}], "rules": [{"backendRefs": backends}]}}),
    );
    let id = RouteId { kind: RouteKind::Http, name: Name::new("apps", "cart") };
    let before = bench.calls("GET /targetgroups").len();
    bench.controller.route(&id).await.unwrap();
    assert_eq!(bench.calls("GET /targetgroups").len(), before + 1);
}

#[tokio::test]
async fn what_is_new_to_an_object_is_an_event_once_and_one_that_counts_when_it_is_told_again() {
    let bench = Bench::new().await;
    let id = bench.route();
    let events = || -> Vec<(String, String, Value)> {
        let of = |event: Value| {
            let text = |member: &str| event[member].as_str().unwrap_or_default().to_owned();
            (text("reason"), text("note"), event["series"]["count"].clone())
        };
        let mut found: Vec<_> = bench.server.below(EVENTS).into_iter().map(of).collect();
        found.sort_by(|one, other| one.0.cmp(&other.0));
        found
    };
    let missing =
        "ResolvedRefs: BackendNotFound: spec.rules[0].backendRefs[0]: there is no Service apps/cart"
            .to_owned();
    let expected = |count: Value| {
        let done = ("DeploySucceed".to_owned(), "Programmed: Programmed".to_owned(), count.clone());
        [("BackendNotFound".to_owned(), missing.clone(), count), done]
    };
    bench.controller.route(&id).await.unwrap();
    assert_eq!(events(), expected(Value::Null));
    // The watch has not told what was written.
    bench.controller.route(&id).await.unwrap();
    assert_eq!(events(), expected(json!(2)));
    let told = bench.server.get(&format!("{ROUTES}/cart")).unwrap();
    bench.add::<HttpRoute>("", told);
    bench.controller.route(&id).await.unwrap();
    assert_eq!(events(), expected(json!(2)));
}

#[tokio::test]
async fn an_event_that_is_refused_holds_nothing_up() {
    let bench = Bench::new().await;
    let id = bench.route();
    bench.server.refuse(&format!("POST {EVENTS}"), 403);
    bench.controller.route(&id).await.unwrap();
    assert_eq!(bench.server.below(EVENTS), [Value::Null; 0]);
    let told = bench.server.get(&format!("{ROUTES}/cart")).unwrap();
    assert_eq!(told["status"]["parents"][0]["conditions"].as_array().map(Vec::len), Some(3));
}

const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/apps/events";
const IAM_FINALIZER: &str = "application-networking.k8s.aws/iam-auth-policy";
