//! HTTPS target groups and health checks over TLS.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use trellis_model::health::{HealthCheck, ProtocolVersion, StatusMatcher, TargetStatus};
use trellis_model::snapshot::{TargetGroup, TargetProtocol};

use crate::secure::*;
use crate::support::*;

fn https_group(n: u64, check: Option<HealthCheck>, targets: &[&TestTarget]) -> Arc<TargetGroup> {
    let targets = targets.iter().map(|target| healthy(target.address)).collect();
    let group = Arc::into_inner(group_of(n, check, targets)).unwrap();
    Arc::new(TargetGroup { protocol: TargetProtocol::Https, ..group })
}

#[test]
fn a_target_is_spoken_to_over_tls_whatever_its_certificate_says() {
    let other = identity(&["somebody.else"]);
    let target = secure_target(other.server(&[b"http/1.1"]), "sealed");
    let mut spec = service("a", forward(&https_group(1, None, &[&target])));
    spec.custom_domain = Some("b.test");
    let fixture = Fixture::new(world(vec![spec]));
    let mut client = fixture.client();
    for _ in 0..3 {
        assert_eq!(client.get("a", "/").text(), "sealed");
    }
    assert_eq!(target.connections(), 1, "the connection is kept");
    assert_eq!(target.last_request().header("x-forwarded-proto").as_deref(), Some("http"));
    // Another name, another handshake; both connections stay.
    for host in ["B.test:80", "a", "b.test"] {
        assert_eq!(client.get(host, "/").text(), "sealed");
    }
    assert_eq!(target.connections(), 2);
}

#[test]
fn large_bodies_go_both_ways_between_two_tls_connections() {
    let (outer, inner) = (identity(&["a.test"]), identity(&["inner"]));
    let config = inner.server(&[]);
    let target = TestTarget::answering_over(
        move |wire| accepted(wire.stream, &config).ok(),
        |request| ok(&request.text().chars().rev().collect::<String>()),
    );
    let fixture =
        Fixture::new(world(vec![https("a.test", &outer, forward(&https_group(1, None, &[&target])))]));
    let config = Arc::new(trusting(&[&outer], &[]));
    let mut client = Wire::secure(fixture.secure_port(), "a.test", &config).unwrap();
    for size in [1, 16_384, 100_000, 3_000_000] {
        let body: String = (0..size).map(|n| char::from(b'a' + (n % 26) as u8)).collect();
        let answer =
            client.call(format!("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {size}\r\n\r\n{body}"));
        assert!(answer.text() == body.chars().rev().collect::<String>(), "{size}");
    }
}

#[test]
fn a_target_that_does_not_speak_tls_is_a_target_protocol_error() {
    let plain = TestTarget::new(|mut wire, _| {
        let _ = wire.read(&mut [0; 4096]);
        wire.send("HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    let mut fixture = Fixture::new(world(vec![service("a", forward(&https_group(1, None, &[&plain])))]));
    assert_eq!(fixture.client().get("a", "/").status(), 502);
    let errors = "trellis_target_group_tls_errors_total{target_group=\"tg-00000000000000001\"}";
    assert_eq!(fixture.metric(errors), 1.0);
    let lines = fixture.log_lines();
    assert_eq!(lines[0]["failureReason"], "TargetProtocolError");
}

#[test]
fn an_end_without_close_notify_is_not_the_end_of_a_body() {
    let own = identity(&["inner"]);
    let config = own.server(&[]);
    let target = TestTarget::new(move |wire, number| {
        let Ok(mut wire) = accepted(wire.stream, &config) else { return };
        wire.read_message();
        wire.send("HTTP/1.1 200 OK\r\n\r\nall of it, or not");
        if number > 0 {
            wire.finish_sending();
        }
    });
    let mut fixture = Fixture::new(world(vec![service("a", forward(&https_group(1, None, &[&target])))]));
    let mut cut = fixture.client();
    cut.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let got = String::from_utf8(cut.read_to_end()).unwrap();
    assert!(!got.ends_with("0\r\n\r\n"), "the last chunk would say that this was all: {got}");
    assert_eq!(fixture.client().get("a", "/").text(), "all of it, or not");
    let mut reasons: Vec<_> =
        fixture.log_lines().iter().map(|line| line["failureReason"].as_str().unwrap().to_owned()).collect();
    reasons.sort();
    assert_eq!(reasons, ["-", "TargetConnectionClosed"]);
}

fn check() -> HealthCheck {
    HealthCheck {
        tls: true,
        version: ProtocolVersion::Http1,
        port: None,
        path: "/".into(),
        interval: Duration::from_millis(20),
        timeout: Duration::from_secs(5),
        healthy_threshold: 2,
        unhealthy_threshold: 2,
        matcher: StatusMatcher([(200, 200)].into()),
    }
}

#[test]
fn probes_call_a_target_by_the_name_that_requests_call_it_by() {
    let config = identity(&["inner"]).server(&[]);
    // The name in the hello, and Host.
    type Called = (Option<String>, String);
    let called: Arc<Mutex<Vec<Called>>> = Arc::default();
    let names = called.clone();
    let target = TestTarget::new(move |wire, _| {
        let Ok(mut wire) = accepted(wire.stream, &config) else { return };
        let name = match wire.session() {
            rustls::Connection::Server(session) => session.server_name().map(str::to_owned),
            rustls::Connection::Client(_) => None,
        };
        while let Some(request) = wire.read_message() {
            names.lock().unwrap().push((name.clone(), request.header("host").unwrap()));
            wire.send(ok("sealed"));
        }
    });
    let used = https_group(1, Some(check()), &[&target]);
    let with_domain = |domain| {
        let mut spec = service("generated.test", forward(&used));
        spec.custom_domain = domain;
        world(vec![spec])
    };
    let fixture = Fixture::new(with_domain(Some("shop.test")));
    let seen = |name: &str| called.lock().unwrap().contains(&(Some(name.to_owned()), name.to_owned()));
    eventually("a probe says the custom domain", || seen("shop.test"));
    assert!(called.lock().unwrap().iter().all(|(name, _)| name.as_deref() == Some("shop.test")));
    assert_eq!(fixture.client().get("shop.test", "/").text(), "sealed");
    fixture.change(with_domain(None));
    eventually("a probe says the generated name", || seen("generated.test"));
}

#[test]
fn a_target_is_probed_over_tls() {
    let own = identity(&["inner"]);
    let (sealed, plain) = (secure_target(own.server(&[]), "well"), TestTarget::saying("not sealed"));
    let used = https_group(1, Some(check()), &[&sealed, &plain]);
    used.targets[0].health.set(TargetStatus::Initial);
    let _fixture = Fixture::new(world(vec![service("a", forward(&used))]));
    eventually("one is healthy", || used.targets[0].health.status() == TargetStatus::Healthy);
    eventually("the other is not", || used.targets[1].health.status() == TargetStatus::Unhealthy);
}
