//! Health checks as targets and clients see them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use trellis_model::health::{HealthCheck, ProtocolVersion, StatusMatcher, TargetHealth, TargetStatus};
use trellis_model::snapshot::{Action, Target};

use crate::support::*;

fn check() -> HealthCheck {
    HealthCheck {
        tls: false,
        version: ProtocolVersion::Http1,
        port: None,
        path: "/health?deep=1".into(),
        interval: Duration::from_millis(20),
        timeout: Duration::from_millis(500),
        healthy_threshold: 3,
        unhealthy_threshold: 2,
        matcher: StatusMatcher::parse("200-204").unwrap(),
    }
}

fn unknown(target: &TestTarget) -> Target {
    Target { address: target.address, health: Arc::new(TargetHealth::new(TargetStatus::Initial)) }
}

/// A target whose probes are answered with a status that can be changed.
fn with_status() -> (TestTarget, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let answered = status.clone();
    let target = TestTarget::answering(move |request| {
        let status =
            if request.head.starts_with("GET /health") { answered.load(Ordering::SeqCst) } else { 200 };
        format!("HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\n\r\n")
    });
    (target, status)
}

fn waits_for(target: &Target, status: TargetStatus) {
    eventually(status.as_str(), || target.health.status() == status);
}

#[test]
fn a_target_turns_healthy_unhealthy_and_healthy_again() {
    let (target, status) = with_status();
    let known = unknown(&target);
    let fixture =
        Fixture::new(world(vec![service("a", forward(&group_of(1, Some(check()), vec![known.clone()])))]));
    let changes = fixture.proxy.as_ref().unwrap().health_changes();
    waits_for(&known, TargetStatus::Healthy);
    status.store(500, Ordering::SeqCst);
    waits_for(&known, TargetStatus::Unhealthy);
    status.store(204, Ordering::SeqCst);
    waits_for(&known, TargetStatus::Healthy);
    eventually("every change was told", || *changes.borrow() >= 3);

    let probe = target.requests.lock().unwrap()[0].clone();
    assert!(probe.head.starts_with("GET /health?deep=1 HTTP/1.1\r\n"), "{}", probe.head);
    assert_eq!(probe.header("host").unwrap(), target.address.to_string());
    assert_eq!(probe.header("user-agent").unwrap(), "Trellis-HealthChecker/1.0");
    assert_eq!(probe.header("connection").unwrap(), "close");
    let probes = target.requests.lock().unwrap().len();
    assert!(target.connections() >= probes, "each probe has a connection of its own");
    assert_eq!(fixture.network.dialled.lock().unwrap()[0].0, vpc(901));
    let text = fixture.metrics();
    let counted =
        |outcome: &str| metric(&text, &format!("trellis_health_probes_total{{outcome=\"{outcome}\"}}"));
    assert!(counted("passed") >= 4.0 && counted("failed") >= 2.0);
    let healthy = "trellis_target_group_targets{target_group=\"tg-00000000000000001\",status=\"HEALTHY\"}";
    assert_eq!(metric(&text, healthy), 1.0);
}

#[test]
fn requests_leave_an_unhealthy_target_and_use_all_when_all_are_unhealthy() {
    let (good, good_status) = with_status();
    let (bad, bad_status) = with_status();
    bad_status.store(500, Ordering::SeqCst);
    let targets = vec![unknown(&good), unknown(&bad)];
    let fixture =
        Fixture::new(world(vec![service("a", forward(&group_of(1, Some(check()), targets.clone())))]));
    waits_for(&targets[0], TargetStatus::Healthy);
    waits_for(&targets[1], TargetStatus::Unhealthy);
    let served = |target: &TestTarget| {
        target.requests.lock().unwrap().iter().filter(|request| request.head.starts_with("GET / ")).count()
    };
    let mut client = fixture.client();
    for _ in 0..10 {
        assert_eq!(client.get("a", "/").status(), 200);
    }
    assert_eq!((served(&good), served(&bad)), (10, 0));
    good_status.store(500, Ordering::SeqCst);
    waits_for(&targets[0], TargetStatus::Unhealthy);
    for _ in 0..10 {
        assert_eq!(client.get("a", "/").status(), 200);
    }
    assert_eq!((served(&good), served(&bad)), (15, 5));
}

#[test]
fn a_target_that_is_silent_closed_or_not_http_is_unhealthy() {
    let silent = TestTarget::new(|mut wire, _| drop(wire.read_to_end()));
    let rude = TestTarget::new(|mut wire, _| wire.send("220 smtp.example ESMTP\r\n"));
    let short = TestTarget::new(|mut wire, _| drop(wire.read_message()));
    let mut targets: Vec<_> = [&silent, &rude, &short].map(unknown).into();
    targets.push(Target { address: nobody(), ..unknown(&silent) });
    let quick = HealthCheck { timeout: Duration::from_millis(50), ..check() };
    let _fixture =
        Fixture::new(world(vec![service("a", forward(&group_of(1, Some(quick), targets.clone())))]));
    for target in &targets {
        waits_for(target, TargetStatus::Unhealthy);
    }
}

#[test]
fn a_check_may_have_a_port_of_its_own() {
    let (checked, _) = with_status();
    let known = Target { address: nobody(), ..unknown(&checked) };
    let elsewhere = HealthCheck { port: Some(checked.address.port()), ..check() };
    let _fixture =
        Fixture::new(world(vec![service("a", forward(&group_of(1, Some(elsewhere), vec![known.clone()])))]));
    waits_for(&known, TargetStatus::Healthy);
}

#[test]
fn an_interim_answer_to_a_probe_is_not_the_answer() {
    let target = TestTarget::answering(|_| format!("HTTP/1.1 103 Early Hints\r\n\r\n{}", ok("x")));
    let known = unknown(&target);
    let _fixture =
        Fixture::new(world(vec![service("a", forward(&group_of(1, Some(check()), vec![known.clone()])))]));
    waits_for(&known, TargetStatus::Healthy);
}

#[test]
fn without_a_check_targets_are_unavailable_and_used() {
    let (target, _) = with_status();
    let known = unknown(&target);
    let with = |check: Option<HealthCheck>| {
        world(vec![service("a", forward(&group_of(1, check, vec![known.clone()])))])
    };
    let fixture = Fixture::new(with(None));
    waits_for(&known, TargetStatus::Unavailable);
    fixture.change(with(Some(check())));
    waits_for(&known, TargetStatus::Healthy);
    fixture.change(with(None));
    waits_for(&known, TargetStatus::Unavailable);
    assert_eq!(fixture.client().get("a", "/").status(), 200);
}

/// A target that speaks HTTP/2 from the first byte, and its answers' status.
fn over_http2(status: u16) -> TestTarget {
    TestTarget::new(move |wire, _| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            wire.stream.set_nonblocking(true).unwrap();
            let stream = tokio::net::TcpStream::from_std(wire.stream).unwrap();
            let Ok(mut connection) = h2::server::handshake(stream).await else { return };
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                assert_eq!(request.uri().path(), "/health");
                let answer = http::Response::builder().status(status).body(()).unwrap();
                respond.send_response(answer, true).unwrap();
            }
        });
    })
}

#[test]
fn a_target_is_probed_over_http2() {
    let targets = [over_http2(200), over_http2(404), TestTarget::saying("not HTTP/2")];
    let check = HealthCheck { version: ProtocolVersion::Http2, path: "/health".into(), ..check() };
    let known: Vec<_> = targets.iter().map(unknown).collect();
    let _fixture = Fixture::new(world(vec![service("a", forward(&group_of(1, Some(check), known.clone())))]));
    for (target, status) in
        known.iter().zip([TargetStatus::Healthy, TargetStatus::Unhealthy, TargetStatus::Unhealthy])
    {
        waits_for(target, status);
    }
}

#[test]
fn a_target_that_is_no_longer_registered_is_no_longer_probed() {
    let (target, _) = with_status();
    let known = unknown(&target);
    let fixture =
        Fixture::new(world(vec![service("a", forward(&group_of(1, Some(check()), vec![known.clone()])))]));
    waits_for(&known, TargetStatus::Healthy);
    fixture.change(world(vec![service("a", forward(&group_of(1, Some(check()), vec![])))]));
    let count = || target.connections();
    // The checker follows a moment after the workers; then it is quiet for many intervals.
    eventually("it is quiet", || {
        let before = count();
        std::thread::sleep(Duration::from_millis(200));
        before == count()
    });
}

#[test]
fn in_a_large_group_too_only_healthy_targets_are_used() {
    let (good, _) = with_status();
    let mut targets: Vec<_> = (0..99)
        .map(|n| Target {
            address: (std::net::Ipv4Addr::new(127, 1, 1, n), 9).into(),
            health: Arc::new(TargetHealth::new(TargetStatus::Unhealthy)),
        })
        .collect();
    targets.push(healthy(good.address));
    // Checked too rarely to matter here, so that the statuses stay as they are.
    let rare = HealthCheck { interval: Duration::from_secs(300), unhealthy_threshold: 10, ..check() };
    let fixture = Fixture::new(world(vec![service("a", forward(&group_of(1, Some(rare), targets)))]));
    let mut client = fixture.client();
    for _ in 0..150 {
        assert_eq!(client.get("a", "/").status(), 200);
    }
    let served =
        good.requests.lock().unwrap().iter().filter(|request| request.head.starts_with("GET / ")).count();
    assert_eq!(served, 150);
}

#[test]
fn probes_of_a_target_go_on_after_one_has_panicked() {
    let target = TestTarget::saying("x");
    let known = unknown(&target);
    let network = LoopbackNetwork::default();
    let group = group_of(1, Some(check()), vec![known.clone()]);
    let world = || world(vec![service("a", Action::FixedResponse(404))]);
    let fixture = Fixture::on(network, world(), trellis_proxy::Limits::default());
    fixture.network.panics.store(2, Ordering::SeqCst);
    let spec = service("a", forward(&group));
    fixture.publish(World { services: vec![spec], ..world() });
    waits_for(&known, TargetStatus::Healthy);
    assert_eq!(fixture.network.panics.load(Ordering::SeqCst), 0);
}
