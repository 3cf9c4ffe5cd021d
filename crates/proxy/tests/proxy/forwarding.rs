//! Where requests go and what they look like when they arrive.

use std::sync::Arc;

use trellis_model::matching::{HeaderMatch, HttpMatch, Text, TextMatch};
use trellis_model::snapshot::{Action, Auth, Forward};

use crate::support::*;

#[test]
fn a_request_reaches_its_target_with_the_fields_of_the_reference() {
    let target = TestTarget::saying("hello");
    let fixture = Fixture::new(world(vec![service("cart.example", forward(&group(1, &[target.address])))]));
    let mut client = fixture.client();
    let local = client.stream.local_addr().unwrap().ip();
    let answer = client.call(
        "GET /a?b HTTP/1.1\r\nHost: Cart.Example:80\r\nX-Amzn-Lattice-Identity: forged\r\n\
         X-Forwarded-For: 9.9.9.9\r\nX-A: kept\r\n\r\n",
    );
    assert_eq!((answer.status(), answer.text()), (200, "hello".into()));

    let seen = target.last_request();
    assert!(seen.head.starts_with("GET /a?b HTTP/1.1\r\n"), "{}", seen.head);
    let id = seen.header("x-amzn-requestid").unwrap();
    assert_eq!(answer.header("x-amzn-requestid"), Some(id.clone()));
    assert_eq!(id.len(), 36);
    let sn = "arn:aws:vpc-lattice:us-east-1:111122223333:servicenetwork/sn-00000000000000001";
    let svc = "arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-00000000000000001";
    for (name, expected) in [
        ("host", "Cart.Example:80"),
        ("x-a", "kept"),
        ("x-forwarded-for", &format!("9.9.9.9, {local}")),
        ("x-forwarded-port", "80"),
        ("x-forwarded-proto", "http"),
        (
            "x-amzn-lattice-network",
            "SourceVpcArn=arn:aws:ec2:us-east-1:111122223333:vpc/vpc-00000000000000001",
        ),
        (
            "x-amzn-lattice-target",
            &format!(
                "ServiceArn={svc}; ServiceNetworkArn={sn}; \
                 TargetGroupArn=arn:aws:vpc-lattice:us-east-1:111122223333:targetgroup/tg-1"
            ),
        ),
        ("x-amzn-source-vpc", "vpc-00000000000000001"),
    ] {
        assert_eq!(seen.header(name).as_deref(), Some(expected), "{name}");
    }
    assert_eq!(seen.header("x-amzn-lattice-identity"), None);
    assert_eq!(fixture.network.dialled.lock().unwrap()[0].0, vpc(901), "opened from inside the target's VPC");
}

#[test]
fn a_clients_own_request_id_is_kept_up_to_512_bytes() {
    let target = TestTarget::saying("x");
    let fixture = Fixture::new(world(vec![service("a", forward(&group(1, &[target.address])))]));
    let mut client = fixture.client();
    for (sent, expected) in [("mine", "mine".to_owned()), (&"y".repeat(600), "y".repeat(512))] {
        let answer = client.call(format!("GET / HTTP/1.1\r\nHost: a\r\nx-amzn-requestid: {sent}\r\n\r\n"));
        assert_eq!(answer.header("x-amzn-requestid").unwrap(), expected);
        assert_eq!(target.last_request().header("x-amzn-requestid").unwrap(), expected);
    }
}

#[test]
fn connections_stay_on_both_sides() {
    let target = TestTarget::saying("x");
    let fixture = Fixture::new(world(vec![service("a", forward(&group(1, &[target.address])))]));
    let mut client = fixture.client();
    for _ in 0..20 {
        assert_eq!(client.get("a", "/").status(), 200);
    }
    assert_eq!(target.connections(), 1);
    assert_eq!(fixture.metric("trellis_proxy_connections_total"), 1.0);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let target = TestTarget::answering(|request| ok(request.head.split(' ').nth(1).unwrap()));
    let fixture = Fixture::new(world(vec![service("a", forward(&group(1, &[target.address])))]));
    let mut client = fixture.client();
    let mut sent = String::new();
    for n in 0..50 {
        sent += &format!("POST /{n} HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
    }
    client.send(&sent);
    for n in 0..50 {
        assert_eq!(client.read_message().unwrap().text(), format!("/{n}"));
    }
    assert_eq!(target.connections(), 1);
}

#[test]
fn a_head_may_come_byte_by_byte() {
    let target = TestTarget::saying("slow");
    let fixture = Fixture::new(world(vec![service("a", forward(&group(1, &[target.address])))]));
    let mut client = fixture.client();
    for byte in b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" {
        client.send([*byte]);
    }
    assert_eq!(client.read_message().unwrap().text(), "slow");
}

#[test]
fn a_head_of_the_largest_size_passes_and_a_larger_one_does_not() {
    let target = TestTarget::saying("x");
    let fixture = Fixture::new(world(vec![service("a", forward(&group(1, &[target.address])))]));
    let head = |size: usize| {
        let start = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\nX: ";
        format!("{start}{}\r\n\r\n", "y".repeat(size - start.len() - 4))
    };
    let mut client = fixture.client();
    let body = "z".repeat(100_000);
    assert_eq!(client.call(head(60 * 1024) + &body).status(), 200);
    assert_eq!(target.last_request().body.len(), 100_000);
    client.send(head(60 * 1024 + 1));
    assert_eq!(client.read_message().unwrap().status(), 400);
}

#[test]
fn rules_decide_by_priority_path_method_and_headers() {
    let targets = ["default", "api", "post", "canary"].map(TestTarget::saying);
    let groups: Vec<_> = targets.iter().zip(1..).map(|(target, n)| group(n, &[target.address])).collect();
    let mut spec = service("a", forward(&groups[0]));
    let canary = HeaderMatch {
        name: "x-stage".into(),
        value: Text { how: TextMatch::Exact("canary".into()), case_sensitive: true },
    };
    spec.rules = vec![
        (HttpMatch { headers: [canary].into(), ..HttpMatch::default() }, forward(&groups[3])),
        (HttpMatch { method: Some("POST".into()), ..prefix("/api") }, forward(&groups[2])),
        (prefix("/api"), forward(&groups[1])),
        (prefix("/gone"), Action::FixedResponse(404)),
        (prefix("/broken"), Action::FixedResponse(500)),
    ];
    let fixture = Fixture::new(world(vec![spec]));
    let mut client = fixture.client();
    for (request, status, expected) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200, "default"),
        ("GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n", 200, "api"),
        ("GET /x?/api HTTP/1.1\r\nHost: a\r\n\r\n", 200, "default"),
        ("POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 200, "post"),
        ("GET /api HTTP/1.1\r\nHost: a\r\nX-Stage: blue\r\nx-stage: canary\r\n\r\n", 200, "canary"),
        ("GET /gone HTTP/1.1\r\nHost: a\r\n\r\n", 404, "Not Found"),
        ("POST /gone HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 404, "Not Found"),
        ("GET /broken HTTP/1.1\r\nHost: a\r\n\r\n", 500, "Internal Server Error"),
    ] {
        let answer = client.call(request);
        assert_eq!((answer.status(), answer.text().as_str()), (status, expected), "{request:?}");
    }
}

#[test]
fn a_fixed_response_keeps_the_connection_when_a_small_body_comes_late() {
    let mut spec = service("a", Action::FixedResponse(404));
    spec.rules = vec![(prefix("/500"), Action::FixedResponse(500))];
    let fixture = Fixture::new(world(vec![spec]));
    let mut client = fixture.client();
    let answer = client.call("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n");
    assert_eq!((answer.status(), answer.header("connection")), (404, None));
    client.send("b".repeat(50_000));
    assert_eq!(client.get("a", "/500").status(), 500);
    client.send("HEAD /500 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(client.read_answer_to("HEAD").unwrap().header("content-length").unwrap(), "21");
    assert!(client.is_closed(), "no body follows an answer to HEAD");
}

#[test]
fn hosts_are_found_without_case_and_port_within_the_callers_network_only() {
    let target = TestTarget::saying("found");
    let fixture = Fixture::new(world(vec![service("cart.example", forward(&group(1, &[target.address])))]));
    let mut client = fixture.client();
    for (host, status) in [
        ("cart.example", 200),
        ("CART.example:1234", 200),
        ("cart.example.", 200),
        ("other.example", 404),
        ("cart.example.com", 404),
        ("", 404),
        (&"x".repeat(300), 404),
    ] {
        let answer = client.get(host, "/");
        assert_eq!(answer.status(), status, "{host}");
        assert_eq!(answer.text(), if status == 200 { "found" } else { "Not Found" });
    }
    assert_eq!(client.call("GET http://cart.example/ HTTP/1.1\r\nHost: x\r\n\r\n").status(), 200);
    assert_eq!(target.last_request().header("host").unwrap(), "cart.example");
}

#[test]
fn a_service_answers_only_on_its_own_ports() {
    let target = TestTarget::saying("x");
    let group = group(1, &[target.address]);
    let mut other = service("b", forward(&group));
    other.port = 8080;
    let fixture = Fixture::new(world(vec![service("a", forward(&group)), other]));
    let mut at_80 = fixture.client();
    let mut at_8080 = Client::connect(fixture.network.entrance(&vpc(1), 8080));
    assert_eq!((at_80.get("a", "/").status(), at_80.get("b", "/").status()), (200, 404));
    assert_eq!((at_8080.get("a", "/").status(), at_8080.get("b", "/").status()), (404, 200));
    assert_eq!(target.last_request().header("x-forwarded-port").unwrap(), "8080");
}

#[test]
fn a_network_or_service_without_a_policy_denies_everybody_in_the_words_of_aws() {
    let target = TestTarget::saying("x");
    let make = |network: Auth, of_service: Auth| {
        let mut spec = service("a", forward(&group(1, &[target.address])));
        spec.auth = of_service;
        World { auth: network, ..world(vec![spec]) }
    };
    let fixture = Fixture::new(make(Auth::DenyAll, Auth::DenyAll));
    let mut client = fixture.client();
    let expected = |path: &str, layer: &str| {
        format!(
            "AccessDeniedException: User: anonymous is not authorized to perform: vpc-lattice-svcs:Invoke on \
             resource: arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-00000000000000001{path} because \
             no {layer} policy allows the vpc-lattice-svcs:Invoke action"
        )
    };
    let answer = client.get("a", "/x/y?z=1");
    assert_eq!((answer.status(), answer.text()), (403, expected("/x/y", "network-based")));
    fixture.change(make(Auth::None, Auth::DenyAll));
    let answer = client.get("a", "/");
    assert_eq!((answer.status(), answer.text()), (403, expected("/", "service-based")));
    assert_eq!(target.connections(), 0, "a denied request never reaches a target");
    fixture.change(make(Auth::None, Auth::None));
    assert_eq!(client.get("a", "/").status(), 200);
}

#[test]
fn clients_and_targets_may_have_ipv6_addresses() {
    use std::net::Ipv6Addr;
    let target = TestTarget::on(Ipv6Addr::LOCALHOST, |mut wire, _| {
        while let Some(request) = wire.read_message() {
            wire.send(ok(&request.header("x-forwarded-for").unwrap()));
        }
    });
    let world = world(vec![service("a", forward(&group(1, &[target.address])))]);
    let network = LoopbackNetwork::over(Ipv6Addr::LOCALHOST);
    let mut fixture = Fixture::on(network, world, trellis_proxy::Limits::default());
    let mut client = fixture.client();
    assert_eq!(client.get("a", "/").text(), "::1");
    let peer = client.stream.local_addr().unwrap().to_string();
    drop(client);
    let lines = fixture.log_lines();
    assert_eq!(lines[0]["sourceIpPort"], peer);
    assert_eq!(lines[0]["targetIpPort"], target.address.to_string());
}

#[test]
fn weights_split_requests_and_round_robin_shares_them_out() {
    let targets = [1, 2, 3].map(|_| TestTarget::saying("x"));
    let heavy = group(1, &[targets[0].address, targets[1].address]);
    let light = group(2, &[targets[2].address]);
    let split = |a: u16, b: u16| {
        let forward = Forward::new([(a, Arc::clone(&heavy)), (b, light.clone())]);
        world(vec![service("a", Action::Forward(forward))])
    };
    let fixture = Fixture::new(split(90, 10));
    let mut client = fixture.client();
    for _ in 0..1000 {
        assert_eq!(client.get("a", "/").status(), 200);
    }
    let counts = [0, 1, 2].map(|n| targets[n].requests.lock().unwrap().len());
    assert!(counts[0].abs_diff(counts[1]) <= 1, "{counts:?}");
    // Nine standard deviations around 100.
    assert!((15..=185).contains(&counts[2]), "{counts:?}");

    fixture.change(split(0, 1));
    for _ in 0..20 {
        assert_eq!(client.get("a", "/").status(), 200);
    }
    assert_eq!(targets[2].requests.lock().unwrap().len(), counts[2] + 20);
    fixture.change(split(0, 0));
    assert_eq!(client.get("a", "/").status(), 500, "no weight, no target");
}

#[test]
fn upgrades_are_dropped_and_tunnels_and_echoes_refused() {
    let target = TestTarget::saying("plain");
    let fixture = Fixture::new(world(vec![service("a", forward(&group(1, &[target.address])))]));
    let mut client = fixture.client();
    let answer = client.call(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
    );
    assert_eq!(answer.text(), "plain");
    let seen = target.last_request();
    assert_eq!((seen.header("upgrade"), seen.header("connection")), (None, None));
    assert_eq!(client.call("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n").status(), 405);
    assert_eq!(client.call("CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n").status(), 405);
    assert_eq!(client.call("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n").status(), 400);
    assert_eq!(target.requests.lock().unwrap().len(), 1);
}

#[test]
fn in_absolute_form_rule_service_and_target_see_one_host() {
    let (by_rule, by_default) = (TestTarget::saying("rule"), TestTarget::saying("default"));
    let of_a = HttpMatch {
        headers: [HeaderMatch {
            name: "host".into(),
            value: Text { how: TextMatch::Exact("a".into()), case_sensitive: false },
        }]
        .into(),
        ..HttpMatch::default()
    };
    let mut spec = service("a", forward(&group(1, &[by_default.address])));
    spec.rules = vec![(of_a, forward(&group(2, &[by_rule.address])))];
    spec.custom_domain = Some("b");
    let fixture = Fixture::new(world(vec![spec]));
    let mut client = fixture.client();
    assert_eq!(client.call("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n").text(), "rule");
    assert_eq!(by_rule.last_request().header("host").as_deref(), Some("a"));
    assert_eq!(client.call("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n").text(), "default");
    assert_eq!(by_default.last_request().header("host").as_deref(), Some("b"));
}

#[test]
fn http_1_0_is_answered_and_stays_only_when_asked() {
    let target = TestTarget::saying("x");
    let fixture = Fixture::new(world(vec![service("a", forward(&group(1, &[target.address])))]));
    let mut client = fixture.client();
    let answer = client.call("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!((answer.status(), answer.header("connection").as_deref()), (200, Some("keep-alive")));
    let answer = client.call("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!((answer.status(), answer.header("connection").as_deref()), (200, Some("close")));
    assert!(client.is_closed());
    assert!(target.last_request().head.starts_with("GET / HTTP/1.1\r\n"));
    assert_eq!(fixture.client().call("GET / HTTP/1.0\r\n\r\n").status(), 404, "no host, no service");
}

#[test]
fn every_vpc_associated_with_the_network_has_its_own_way_in() {
    let target = TestTarget::saying("x");
    let mut world = world(vec![service("a", forward(&group(1, &[target.address])))]);
    world.vpcs.push(vpc(2));
    let fixture = Fixture::new(world);
    for n in [1, 2] {
        let mut client = Client::connect(fixture.network.entrance(&vpc(n), 80));
        assert_eq!(client.get("a", "/").status(), 200);
        assert_eq!(target.last_request().header("x-amzn-source-vpc").unwrap(), vpc(n).as_str());
    }
}
