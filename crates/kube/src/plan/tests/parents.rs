use super::*;
use crate::objects::{Gateway, GatewayClass, HttpRoute, Namespace};

fn listener(member: &str, value: Value) -> Value {
    let mut listener = json!({"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}});
    listener[member] = value;
    json!([listener])
}

#[test]
fn a_route_is_told_why_no_listener_takes_it() {
    let to = |parent: Value| json!({"parentRefs": [parent]});
    let shop = || to(json!({"name": "shop", "namespace": "infra"}));
    let hostname =
        |name: &str| json!({"parentRefs": [{"name": "shop", "namespace": "infra"}], "hostnames": [name]});
    let cases = [
        (listener("name", json!("http")), shop(), "Accepted"),
        (
            listener("name", json!("http")),
            to(json!({"name": "shop", "namespace": "infra", "sectionName": "x"})),
            "NoMatchingParent",
        ),
        (
            listener("name", json!("http")),
            to(json!({"name": "shop", "namespace": "infra", "port": 81})),
            "NoMatchingParent",
        ),
        (
            listener("name", json!("http")),
            to(json!({"name": "shop", "namespace": "infra", "port": 80})),
            "Accepted",
        ),
        (listener("allowedRoutes", json!({})), shop(), "NotAllowedByListeners"),
        (listener("allowedRoutes", json!({"namespaces": {"from": "None"}})), shop(), "NotAllowedByListeners"),
        (
            listener(
                "allowedRoutes",
                json!({"namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "apps"}}}}),
            ),
            shop(),
            "Accepted",
        ),
        (
            listener(
                "allowedRoutes",
                json!({"namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "x"}}}}),
            ),
            shop(),
            "NotAllowedByListeners",
        ),
        (
            listener(
                "allowedRoutes",
                json!({"namespaces": {"from": "All"}, "kinds": [{"kind": "GRPCRoute"}]}),
            ),
            shop(),
            "NotAllowedByListeners",
        ),
        (listener("protocol", json!("TLS")), shop(), "NotAllowedByListeners"),
        (listener("hostname", json!("*.example.com")), hostname("a.b.example.com"), "Accepted"),
        (listener("hostname", json!("*.example.com")), hostname("example.com"), "NoMatchingListenerHostname"),
        (listener("hostname", json!("a.example.com")), hostname("*.example.com"), "Accepted"),
        (
            listener("hostname", json!("a.example.com")),
            hostname("b.example.com"),
            "NoMatchingListenerHostname",
        ),
    ];
    for (listeners, route, reason) in cases {
        let mut cases = Cases::new();
        cases.add::<Namespace>(&json!({"metadata": {"name": "apps", "labels": {"team": "apps"}}}));
        cases.gateway(&listeners);
        let plan = cases.http(&route);
        assert_eq!(finding(&plan, "Accepted").reason, reason, "{listeners} {route}");
        assert_eq!(matches!(plan.intent, Intent::Deploy(_)), reason == "Accepted", "{listeners} {route}");
    }
}

#[test]
fn a_route_without_a_gateway_of_ours_is_none_of_our_business() {
    let mut cases = Cases::new();
    cases.add::<GatewayClass>(
        &json!({"metadata": {"name": "other"}, "spec": {"controllerName": "example.com/other"}}),
    );
    cases.add::<Gateway>(&json!({
        "metadata": {"name": "theirs", "namespace": "apps"},
        "spec": {"gatewayClassName": "other", "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]},
    }));
    for (parent, intent) in [
        (json!({"name": "theirs"}), Intent::Remove),
        (json!({"kind": "Service", "group": "", "name": "shop", "namespace": "infra"}), Intent::Remove),
        // It may have been ours, and come again.
        (json!({"name": "gone"}), Intent::Detach),
    ] {
        let plan = cases.http(&json!({"parentRefs": [parent]}));
        assert!(plan.parents.is_empty(), "{parent}");
        assert_eq!(plan.intent, intent, "{parent}");
    }
}

#[test]
fn every_listener_that_takes_the_route_becomes_one_and_every_gateway_a_network() {
    let mut cases = Cases::new();
    cases.gateway(&json!([
        {"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}},
        {"name": "https", "port": 443, "protocol": "HTTPS", "allowedRoutes": {"namespaces": {"from": "All"}},
         "tls": {"mode": "Terminate", "options": {"application-networking.k8s.aws/certificate-arn": "arn:aws:acm:x"}}},
        {"name": "inside", "port": 81, "protocol": "HTTP"},
    ]));
    cases.add::<Gateway>(&json!({
        "metadata": {"name": "second", "namespace": "apps"},
        "spec": {"gatewayClassName": "amazon-vpc-lattice", "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]},
    }));
    let service = deployed(cases.http(&json!({
        "parentRefs": [{"name": "shop", "namespace": "infra"}, {"name": "second"}], "rules": [],
    })));
    assert_eq!(service.listeners.keys().copied().collect::<Vec<_>>(), [80, 443]);
    assert_eq!(service.certificate.as_deref(), Some("arn:aws:acm:x"));
    assert_eq!(service.networks, BTreeSet::from(["second".to_owned(), "shop".to_owned()]));
}

#[test]
fn a_standalone_route_joins_no_network_and_its_own_word_counts_before_the_gateways() {
    for (on_gateway, on_route, is_joined) in [
        (None, None, true),
        (Some("true"), None, false),
        (Some("true"), Some("false"), true),
        (None, Some("true"), false),
        (None, Some("yes"), true),
    ] {
        let annotations = |value: Option<&str>| {
            value.map_or_else(
                || json!({}),
                |value| json!({"application-networking.k8s.aws/standalone": value}),
            )
        };
        let mut cases = Cases::new();
        cases.add::<Gateway>(&json!({
            "metadata": {"name": "shop", "namespace": "infra", "annotations": annotations(on_gateway)},
            "spec": {"gatewayClassName": "amazon-vpc-lattice", "listeners": listener("name", json!("http"))},
        }));
        let route = json!({"metadata": {"annotations": annotations(on_route)}, "spec": {"rules": []}});
        let service = deployed(cases.http(&route));
        assert_eq!(!service.networks.is_empty(), is_joined, "{on_gateway:?} {on_route:?}");
    }
}

#[test]
fn tags_of_the_annotation_are_on_everything_but_none_of_ours_nor_of_awss() {
    let text = "team=web,application-networking.k8s.aws/ManagedBy=me,aws:x=y,bad!=1,empty=";
    let service = deployed(Cases::new().http(&json!({
        "metadata": {"annotations": {"application-networking.k8s.aws/tags": text}},
        "spec": {"rules": [{"backendRefs": [{"name": "v1", "port": 80}]}]},
    })));
    let group = service.target_groups.values().next().unwrap();
    for tags in [&service.tags, &service.plain_tags, &group.tags] {
        assert_eq!(tags.get("team").map(String::as_str), Some("web"));
        assert_eq!(tags.get("empty").map(String::as_str), Some(""));
        assert_eq!(tags[&format!("{PREFIX}ManagedBy")], "111122223333/c1/vpc-1");
        assert!(!tags.contains_key("aws:x") && !tags.contains_key("bad!"));
    }
}

#[test]
fn a_gateway_is_told_of_each_listener_and_counts_its_routes() {
    let mut cases = Cases::new();
    cases.gateway(&json!([
        {"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}},
        {"name": "same", "port": 81, "protocol": "HTTP"},
        {"name": "kinds", "port": 82, "protocol": "HTTP", "allowedRoutes": {"kinds": [{"kind": "GRPCRoute"}]}},
        {"name": "tcp", "port": 83, "protocol": "TCP"},
    ]));
    cases.http(&json!({"rules": []}));
    cases.add::<HttpRoute>(&json!({
        "metadata": {"name": "other", "namespace": "infra"},
        "spec": {"parentRefs": [{"name": "shop", "sectionName": "same"}], "rules": []},
    }));
    let object = cases.world.gateways.get(&Name::new("infra", "shop")).unwrap().clone();
    let plan = gateway(&cases.world, &cases.cluster, &object).expect("it is ours");
    assert_eq!(
        (plan.accepted.holds, plan.accepted.reason, &*plan.network),
        (true, "ListenersNotValid", "shop")
    );
    let attached: Vec<usize> = plan.listeners.iter().map(|listener| listener.attached_routes).collect();
    assert_eq!(attached, [1, 1, 0, 0]);
    let bad = |index: usize| {
        let listener: &gateway::ListenerPlan = &plan.listeners[index];
        listener
            .findings
            .iter()
            .filter(|finding| !finding.holds)
            .map(|finding| finding.reason)
            .collect::<Vec<_>>()
    };
    assert_eq!((bad(0), bad(1)), (vec![], vec![]));
    assert_eq!(
        (bad(2), bad(3)),
        (vec!["InvalidRouteKinds", "Invalid"], vec!["UnsupportedProtocol", "Invalid"])
    );
}
