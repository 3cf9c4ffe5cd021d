use super::*;

/// Paths, methods and headers of the rules of a route, in the order in which Lattice looks at them.
fn order(route: &Value) -> Vec<String> {
    let service = deployed(Cases::new().http(route));
    let rules = &service.listeners[&80].rules;
    assert!(rules.windows(2).all(|pair| pair[0].priority < pair[1].priority), "{rules:?}");
    rules
        .iter()
        .map(|rule| {
            let RuleMatch { method, path, headers } = &rule.matching;
            let path = match path {
                Some(PathMatch::Exact(path)) => format!("={path}"),
                Some(PathMatch::Prefix(path)) => path.clone(),
                None => String::new(),
            };
            let headers: String = headers.iter().map(|(name, value)| format!(" {name}:{value}")).collect();
            format!(
                "{}{}{path}{headers}",
                method.as_deref().unwrap_or_default(),
                if method.is_some() { " " } else { "" }
            )
        })
        .collect()
}

fn of_matches(matches: Value) -> Value {
    json!({"rules": [{"matches": matches, "backendRefs": [{"name": "v1", "port": 80}]}]})
}

#[test]
fn the_more_particular_match_comes_first_whatever_the_order_in_the_route() {
    let route = json!({"rules": [
        {"backendRefs": [{"name": "v1", "port": 80}]},
        {"matches": [
            {"path": {"type": "PathPrefix", "value": "/v2"}},
            {"path": {"type": "Exact", "value": "/v2"}},
            {"path": {"type": "PathPrefix", "value": "/v2/long"}},
         ], "backendRefs": [{"name": "v2", "port": 80}]},
        {"matches": [{"path": {"type": "PathPrefix", "value": "/v2"}, "headers": [{"name": "Color", "value": "red"}]}]},
        {"matches": [{"path": {"type": "PathPrefix", "value": "/v2"}, "method": "POST"}]},
    ]});
    assert_eq!(order(&route), ["=/v2", "/v2/long", "POST /v2", "/v2 color:red", "/v2", "/"]);
}

#[test]
fn of_two_rules_that_ask_the_same_the_first_in_the_route_counts() {
    let route = json!({"rules": [
        {"backendRefs": [{"name": "v1", "port": 80}]},
        {"backendRefs": [{"name": "v2", "port": 80}]},
    ]});
    let service = deployed(Cases::new().http(&route));
    let [rule] = &*service.listeners[&80].rules else { panic!("one rule") };
    assert_eq!(forward(&service, &rule.action), [("v1".to_owned(), 1)]);
}

#[test]
fn annotations_give_rules_their_priorities_and_the_others_follow_the_rule_before() {
    let mut cases = Cases::new();
    let service = deployed(cases.http(&json!({
        "metadata": {"annotations": {
            "application-networking.k8s.aws/rule-1-priority": "50",
            "application-networking.k8s.aws/rule-2-priority": "3",
        }},
        "spec": {"rules": [
            {"matches": [{"path": {"value": "/a"}}]},
            {"matches": [{"path": {"value": "/b"}}]},
            {"matches": [{"path": {"value": "/c"}}]},
            {"matches": [{"path": {"value": "/d"}}]},
        ]},
    })));
    let rules = &service.listeners[&80].rules;
    let found: Vec<_> =
        rules.iter().map(|rule| (rule.priority, rule.matching.path.clone().unwrap())).collect();
    let prefix = |path: &str| PathMatch::Prefix(path.to_owned());
    assert_eq!(found, [(1, prefix("/a")), (3, prefix("/c")), (4, prefix("/d")), (50, prefix("/b"))]);
}

#[test]
fn what_lattice_cannot_express_is_refused_by_the_name_of_the_field_and_nothing_is_changed() {
    let six: Vec<Value> = (0..6).map(|n| json!({"name": format!("h{n}"), "value": "x"})).collect();
    let rule = |member: &str, value: Value| json!({"rules": [{}, {member: value}]});
    let cases = [
        (rule("filters", json!([{"type": "RequestRedirect"}])), "spec.rules[1].filters[0]"),
        (rule("timeouts", json!({"request": "1s"})), "spec.rules[1].timeouts"),
        (rule("retry", json!({"attempts": 1})), "spec.rules[1].retry"),
        (rule("sessionPersistence", json!({})), "spec.rules[1].sessionPersistence"),
        (
            rule("backendRefs", json!([{"name": "v1", "filters": [{"type": "URLRewrite"}]}])),
            "spec.rules[1].backendRefs[0].filters[0]",
        ),
        (
            of_matches(json!([{"path": {"type": "RegularExpression", "value": ".*"}}])),
            "spec.rules[0].matches[0].path.type",
        ),
        (
            of_matches(json!([{}, {"queryParams": [{"name": "q", "value": "1"}]}])),
            "spec.rules[0].matches[1].queryParams[0]",
        ),
        (
            of_matches(json!([{"headers": [{"type": "RegularExpression", "name": "a", "value": "b"}]}])),
            "spec.rules[0].matches[0].headers[0].type",
        ),
        (of_matches(json!([{"headers": six}])), "spec.rules[0].matches[0].headers"),
        (
            of_matches(json!([{"path": {"value": format!("/{}", "x".repeat(200))}}])),
            "spec.rules[0].matches[0].path.value",
        ),
        (
            json!({"metadata": {"annotations": {"application-networking.k8s.aws/rule-0-priority": "101"}}, "spec": {"rules": [{}]}}),
            "metadata.annotations[application-networking.k8s.aws/rule-0-priority]",
        ),
        (
            json!({"metadata": {"annotations": {"application-networking.k8s.aws/service-name-override": "svc-x"}}, "spec": {}}),
            "metadata.annotations[application-networking.k8s.aws/service-name-override]",
        ),
    ];
    for (route, field) in cases {
        let plan = Cases::new().http(&route);
        let accepted = finding(&plan, "Accepted");
        assert_eq!((accepted.holds, accepted.reason), (false, "UnsupportedValue"), "{route}");
        assert!(
            accepted.message.starts_with(&format!("{field}: ")),
            "{} is not about {field}",
            accepted.message
        );
        assert_eq!(plan.intent, Intent::Keep, "{route}");
    }
}

#[test]
fn headers_are_compared_by_small_names_and_the_first_of_one_name_counts() {
    let route = of_matches(json!([{"headers": [
        {"name": "X-B", "value": "2"}, {"name": "x-a", "value": "1"}, {"name": "x-b", "value": "3"},
    ]}]));
    assert_eq!(order(&route), ["/ x-a:1 x-b:2"]);
}

#[test]
fn grpc_methods_are_posts_to_paths_and_their_target_groups_speak_grpc() {
    let https = json!([{"name": "https", "port": 443, "protocol": "HTTPS", "allowedRoutes": {"namespaces": {"from": "All"}}}]);
    let rules = json!({"rules": [{
        "matches": [
            {"method": {"service": "shop.Cart"}},
            {"method": {"service": "shop.Cart", "method": "Add"}},
            {},
        ],
        "backendRefs": [{"name": "v1", "port": 80}],
    }]});
    let mut cases = Cases::new();
    cases.gateway(&https);
    let service = deployed(cases.plan::<crate::objects::GrpcRoute>(RouteKind::Grpc, &rules));
    let rules = &service.listeners[&443].rules;
    let paths: Vec<_> = rules.iter().map(|rule| rule.matching.path.clone().unwrap()).collect();
    let expected = [
        PathMatch::Exact("/shop.Cart/Add".to_owned()),
        PathMatch::Prefix("/shop.Cart/".to_owned()),
        PathMatch::Prefix("/".to_owned()),
    ];
    assert_eq!(paths, expected);
    assert!(rules.iter().all(|rule| rule.matching.method.as_deref() == Some("POST")));
    let group = service.target_groups.values().next().unwrap();
    assert_eq!((group.version.as_deref(), group.health_check.enabled), (Some("GRPC"), Some(false)));

    let without_service = json!({"rules": [{"matches": [{"method": {"method": "Add"}}]}]});
    let plan = cases.plan::<crate::objects::GrpcRoute>(RouteKind::Grpc, &without_service);
    assert!(finding(&plan, "Accepted").message.starts_with("spec.rules[0].matches[0].method.service: "));
}

#[test]
fn a_tls_route_passes_connections_on_to_groups_of_tcp() {
    let tls = json!([{"name": "tls", "port": 444, "protocol": "TLS", "tls": {"mode": "Passthrough"},
                      "allowedRoutes": {"namespaces": {"from": "All"}}}]);
    let mut cases = Cases::new();
    cases.gateway(&tls);
    let route =
        json!({"hostnames": ["a.example.com"], "rules": [{"backendRefs": [{"name": "v1", "port": 80}]}]});
    let service = deployed(cases.plan::<crate::objects::TlsRoute>(RouteKind::Tls, &route));
    let listener = &service.listeners[&444];
    assert_eq!((listener.protocol, listener.rules.len()), (ListenerProtocol::TlsPassthrough, 0));
    assert_eq!(forward(&service, &listener.default), [("v1".to_owned(), 1)]);
    let group = service.target_groups.values().next().unwrap();
    assert_eq!((&*group.protocol, group.version.as_deref()), ("TCP", None));
    assert_eq!(group.tags[&format!("{PREFIX}ProtocolVersion")], "");

    let nameless = json!({"rules": [{"backendRefs": [{"name": "v1", "port": 80}]}]});
    let plan = cases.plan::<crate::objects::TlsRoute>(RouteKind::Tls, &nameless);
    assert!(finding(&plan, "Accepted").message.starts_with("spec.hostnames: "));
}
