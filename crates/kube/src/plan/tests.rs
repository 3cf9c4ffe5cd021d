//! One table of cases: objects in, the model of Lattice out.

mod matching;
mod multicluster;
mod parents;

use serde_json::{Value, json};

use super::*;
use crate::objects::Name;
use crate::world::{RouteId, Watched};

/// A cluster with a class, a Gateway `shop` in namespace `infra` that everybody may use, and two Services.
struct Cases {
    world: World,
    cluster: Cluster,
    /// How many objects were added: each is a version of its own, as a world takes no notice of one that it knows.
    version: u64,
}

impl Cases {
    fn new() -> Self {
        let cluster = Cluster {
            account: "111122223333".to_owned(),
            name: "c1".to_owned(),
            vpc: "vpc-1".to_owned(),
            network_for_all: None,
        };
        let mut cases = Self { world: World::default(), cluster, version: 0 };
        cases.add::<crate::objects::GatewayClass>(&json!({
            "metadata": {"name": "amazon-vpc-lattice"}, "spec": {"controllerName": CONTROLLER},
        }));
        cases.gateway(&json!([
            {"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}},
        ]));
        cases.service("v1", &["10.0.0.1", "10.0.0.2"]);
        cases.service("v2", &["10.0.0.3"]);
        cases
    }

    fn add<T: Watched>(&mut self, object: &Value) -> &mut Self {
        self.version += 1;
        let mut object = object.clone();
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let object =
            serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{error}: {object}"));
        self.world.apply::<T>(object);
        self
    }

    fn gateway(&mut self, listeners: &Value) -> &mut Self {
        self.add::<crate::objects::Gateway>(&json!({
            "metadata": {"name": "shop", "namespace": "infra"},
            "spec": {"gatewayClassName": "amazon-vpc-lattice", "listeners": listeners},
        }))
    }

    /// With a port `http`, 80 to 8090, and a port `admin`, 81 to 9000.
    fn service(&mut self, name: &str, addresses: &[&str]) -> &mut Self {
        self.add::<crate::objects::Service>(&json!({
            "metadata": {"name": name, "namespace": "apps"},
            "spec": {"ports": [{"name": "http", "port": 80}, {"name": "admin", "port": 81}], "ipFamilies": ["IPv4"]},
        }));
        let mut endpoints: Vec<Value> = addresses
            .iter()
            .map(|address| json!({"addresses": [address], "conditions": {"ready": true}}))
            .collect();
        endpoints.push(json!({"addresses": ["10.0.0.99"], "conditions": {"ready": false}}));
        self.add::<crate::objects::EndpointSlice>(&json!({
            "metadata": {"name": format!("{name}-1"), "namespace": "apps", "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": [{"name": "http", "port": 8090}, {"name": "admin", "port": 9000}],
        }))
    }

    fn http(&mut self, route: &Value) -> RoutePlan {
        self.plan::<crate::objects::HttpRoute>(RouteKind::Http, route)
    }

    /// `route` is its spec, or all of it.
    fn plan<T: Watched>(&mut self, kind: RouteKind, route: &Value) -> RoutePlan {
        let mut object = match route.get("spec") {
            Some(_) => route.clone(),
            None => json!({"spec": route}),
        };
        object["metadata"]["name"] = json!("cart");
        object["metadata"]["namespace"] = json!("apps");
        if object["spec"].get("parentRefs").is_none() {
            object["spec"]["parentRefs"] = json!([{"name": "shop", "namespace": "infra"}]);
        }
        self.add::<T>(&object);
        let id = RouteId { kind, name: Name::new("apps", "cart") };
        let found = self.world.route(&id).expect("it was added");
        super::route(&self.world, &self.cluster, &found)
    }
}

fn deployed(plan: RoutePlan) -> DesiredService {
    match plan.intent {
        Intent::Deploy(service) => *service,
        other => panic!("{other:?}, {:?}", plan.parents),
    }
}

/// Target groups in an action, by the name of their Service.
fn forward(service: &DesiredService, action: &Action) -> Vec<(String, i32)> {
    let Action::Forward(groups) = action else { panic!("{action:?}") };
    let name = |group: &String| service.target_groups[group].tags[&format!("{PREFIX}ServiceName")].clone();
    groups.iter().map(|(group, weight)| (name(group), *weight)).collect()
}

fn finding<'p>(plan: &'p RoutePlan, kind: &str) -> &'p Finding {
    let (_, findings) = plan.parents.first().expect("the route has a parent of ours");
    findings.iter().find(|finding| finding.kind == kind).expect("it has that condition")
}

#[test]
fn a_route_becomes_a_service_with_listeners_rules_target_groups_and_targets() {
    let mut cases = Cases::new();
    let plan = cases.http(&json!({
        "hostnames": ["cart.example.com"],
        "rules": [{
            "matches": [{"path": {"type": "PathPrefix", "value": "/v1"}}],
            "backendRefs": [{"name": "v1", "port": 80, "weight": 9}, {"name": "v2", "port": 80, "weight": 1}],
        }],
    }));
    assert!(finding(&plan, "Accepted").holds && finding(&plan, "ResolvedRefs").holds);
    let service = deployed(plan);
    assert_eq!(service.name, "cart-apps");
    assert_eq!(service.custom_domain.as_deref(), Some("cart.example.com"));
    assert_eq!(service.networks, BTreeSet::from(["shop".to_owned()]));
    assert_eq!(service.tags[&format!("{PREFIX}ManagedBy")], "111122223333/c1/vpc-1");
    assert_eq!(service.tags[&format!("{PREFIX}RouteType")], "http");
    let listener = &service.listeners[&80];
    assert_eq!((&*listener.name, listener.protocol), ("cart-apps-80-http", ListenerProtocol::Http));
    assert_eq!(listener.default, Action::Respond(404));
    let [rule] = &*listener.rules else { panic!("{:?}", listener.rules) };
    assert_eq!((rule.priority, &rule.matching.path), (1, &Some(PathMatch::Prefix("/v1".to_owned()))));
    assert_eq!(forward(&service, &rule.action), [("v1".to_owned(), 9), ("v2".to_owned(), 1)]);
    let targets: Vec<String> = service
        .target_groups
        .values()
        .flat_map(|group| group.targets.iter().map(|(address, port)| format!("{address}:{port}")))
        .collect();
    assert_eq!(targets.len(), 3, "those that are not ready are left out: {targets:?}");
    assert!(
        targets.iter().all(|target| target.ends_with(":8090")),
        "the port of that name alone: {targets:?}"
    );
    for (name, group) in &service.target_groups {
        assert!(name.starts_with("k8s-apps-v") && name.len() <= 128, "{name}");
        assert_eq!((&*group.protocol, group.version.as_deref()), ("HTTP", Some("HTTP1")));
        assert_eq!(group.health_check.enabled, Some(true));
    }
}

#[test]
fn what_cannot_be_changed_of_a_target_group_is_in_its_name() {
    let mut cases = Cases::new();
    let route = json!({"rules": [{"backendRefs": [{"name": "v1", "port": 80}]}]});
    let name = |service: &DesiredService| service.target_groups.keys().next().unwrap().clone();
    let first = name(&deployed(cases.http(&route)));
    cases.service("v1", &["10.0.0.7"]);
    let service = deployed(cases.http(&route));
    assert_eq!(name(&service), first, "targets may change");
    assert_eq!(service.target_groups[&first].targets.len(), 1);
    cases.add::<crate::objects::TargetGroupPolicy>(&json!({
        "metadata": {"name": "p", "namespace": "apps"},
        "spec": {"targetRef": {"group": "", "kind": "Service", "name": "v1"}, "protocol": "HTTPS",
                 "healthCheck": {"intervalSeconds": 10}},
    }));
    let service = deployed(cases.http(&route));
    assert_ne!(name(&service), first, "a protocol may not");
    let check = &service.target_groups.values().next().unwrap().health_check;
    assert_eq!(
        (check.interval_seconds, check.timeout_seconds, check.path.as_deref()),
        (Some(10), Some(5), Some("/"))
    );
    cases.cluster.name = "c2".to_owned();
    assert_ne!(name(&deployed(cases.http(&route))), name(&service), "another cluster's is another");
}

#[test]
fn a_backend_that_is_not_there_is_named_and_left_out_and_a_rule_with_none_answers_500() {
    let rules = |backends: Value| json!({"rules": [{"backendRefs": backends}]});
    let cases: &[(&str, Value, &str, Option<&str>)] = &[
        ("missing", rules(json!([{"name": "none", "port": 80}])), "BackendNotFound", None),
        (
            "one of two",
            rules(json!([{"name": "none", "port": 80}, {"name": "v1", "port": 80}])),
            "BackendNotFound",
            Some("v1"),
        ),
        ("port", rules(json!([{"name": "v1", "port": 8}])), "BackendNotFound", None),
        (
            "kind",
            rules(json!([{"group": "example.com", "kind": "Thing", "name": "v1"}])),
            "InvalidKind",
            None,
        ),
        (
            "no grant",
            rules(json!([{"name": "v1", "namespace": "other", "port": 80}])),
            "RefNotPermitted",
            None,
        ),
        ("all weights zero", rules(json!([{"name": "v1", "port": 80, "weight": 0}])), "ResolvedRefs", None),
    ];
    for (case, route, reason, left) in cases {
        let plan = Cases::new().http(route);
        assert_eq!(finding(&plan, "ResolvedRefs").reason, *reason, "{case}");
        let service = deployed(plan);
        let action = &service.listeners[&80].rules[0].action;
        match left {
            None => assert_eq!(*action, Action::Respond(500), "{case}"),
            Some(name) => assert_eq!(forward(&service, action), [((*name).to_owned(), 1)], "{case}"),
        }
    }
}

#[test]
fn a_reference_grant_lets_a_route_into_another_namespace() {
    let mut cases = Cases::new();
    cases.add::<crate::objects::Service>(&json!({
        "metadata": {"name": "v1", "namespace": "other"}, "spec": {"ports": [{"port": 80}], "ipFamilies": ["IPv4"]},
    }));
    let route = json!({"rules": [{"backendRefs": [{"name": "v1", "namespace": "other", "port": 80}]}]});
    assert_eq!(finding(&cases.http(&route), "ResolvedRefs").reason, "RefNotPermitted");
    let grant = |kind: &str, name: &str| {
        json!({
            "metadata": {"name": "g", "namespace": "other"},
            "spec": {"from": [{"group": "gateway.networking.k8s.io", "kind": kind, "namespace": "apps"}],
                     "to": [{"group": "", "kind": "Service", "name": name}]},
        })
    };
    for (kind, name, is_let_in) in
        [("GRPCRoute", "v1", false), ("HTTPRoute", "v2", false), ("HTTPRoute", "v1", true)]
    {
        cases.add::<crate::objects::ReferenceGrant>(&grant(kind, name));
        assert_eq!(finding(&cases.http(&route), "ResolvedRefs").holds, is_let_in, "{kind} {name}");
    }
}

#[test]
fn a_service_of_two_families_is_reached_by_its_first() {
    let mut cases = Cases::new();
    cases.add::<crate::objects::Service>(&json!({
        "metadata": {"name": "v1", "namespace": "apps"},
        "spec": {"ports": [{"name": "http", "port": 80}], "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "RequireDualStack"},
    }));
    let plan = cases.http(&json!({"rules": [{"backendRefs": [{"name": "v1", "port": 80}]}]}));
    assert!(finding(&plan, "Accepted").holds);
    let service = deployed(plan);
    let group = service.target_groups.values().next().unwrap();
    assert_eq!((group.is_ipv6, group.targets.len()), (false, 2));
}

#[test]
fn names_are_cut_as_awss_controller_cuts_them_and_dots_become_hyphens() {
    for (name, expected) in [
        ("short", "short-apps"),
        ("a-name-of-exactly-20-and-more", "a-name-of-exactly-20-apps"),
        ("cut-before-a-hyphen--and", "cut-before-a-hyphen-apps"),
        ("with.dots", "with-dots-apps"),
    ] {
        let mut cases = Cases::new();
        let object = json!({
            "metadata": {"name": name, "namespace": "apps"},
            "spec": {"parentRefs": [{"name": "shop", "namespace": "infra"}], "rules": []},
        });
        cases.add::<crate::objects::HttpRoute>(&object);
        let id = RouteId { kind: RouteKind::Http, name: Name::new("apps", name) };
        let route = cases.world.route(&id).unwrap();
        assert_eq!(deployed(super::route(&cases.world, &cases.cluster, &route)).name, expected);
    }
}
