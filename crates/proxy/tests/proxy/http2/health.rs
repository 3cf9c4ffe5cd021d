//! Health checks over HTTP/2.

use std::time::Duration;

use trellis_model::health::{HealthCheck, StatusMatcher, TargetHealth, TargetStatus};
use trellis_model::snapshot::Target;

use super::*;

fn check(tls: bool) -> HealthCheck {
    HealthCheck {
        tls,
        version: ProtocolVersion::Http2,
        port: None,
        path: "/health?deep".into(),
        interval: Duration::from_millis(20),
        timeout: PATIENCE,
        healthy_threshold: 2,
        unhealthy_threshold: 2,
        matcher: StatusMatcher::parse("200-299").unwrap(),
    }
}

/// A proxy that probes `address`, and what it thinks of it.
fn probing(address: SocketAddr, check: HealthCheck) -> (Fixture, Arc<TargetHealth>) {
    let health = Arc::new(TargetHealth::new(TargetStatus::Initial));
    let target = Target { address, health: health.clone() };
    (fixture(forward(&group_of(1, Some(check), vec![target]))), health)
}

fn becomes(health: &TargetHealth, status: TargetStatus) {
    eventually(status.as_str(), || health.status() == status);
}

#[test]
fn a_target_is_asked_on_a_connection_of_its_own_each_time() {
    let target = Http2Target::saying("fine");
    let (_fixture, health) = probing(target.address, check(false));
    becomes(&health, TargetStatus::Healthy);
    eventually("three probes", || target.requests.lock().unwrap().len() >= 3);
    let seen = target.requests.lock().unwrap()[0].clone();
    assert_eq!((seen.method.as_str(), seen.uri.path()), ("GET", "/health"));
    assert_eq!(seen.uri.query(), Some("deep"));
    assert_eq!(seen.uri.authority().unwrap().as_str(), target.address.to_string());
    assert!(seen.headers.get("user-agent").unwrap().to_str().unwrap().starts_with("Trellis-HealthChecker"));
    assert!(target.connections() >= 3);
}

#[test]
fn the_status_decides() {
    let target = Http2Target::new(|_, mut respond| {
        Box::pin(async move {
            let mut answer = Response::new(());
            *answer.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
            respond.send_response(answer, true).unwrap();
        })
    });
    let (_fixture, health) = probing(target.address, check(false));
    becomes(&health, TargetStatus::Unhealthy);
}

#[test]
fn a_target_that_resets_or_speaks_http1_is_unhealthy() {
    let resets = Http2Target::new(|_, mut respond| {
        Box::pin(async move { respond.send_reset(h2::Reason::INTERNAL_ERROR) })
    });
    let other = TestTarget::new(|mut wire, _| {
        wire.read_until("\r\n\r\n");
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    for address in [resets.address, other.address, nobody()] {
        let (_fixture, health) = probing(address, check(false));
        becomes(&health, TargetStatus::Unhealthy);
    }
}

#[test]
fn over_tls_h2_is_agreed_on() {
    let target = Http2Target::secure(&[b"h2", b"http/1.1"], "fine");
    let (_fixture, health) = probing(target.address, check(true));
    becomes(&health, TargetStatus::Healthy);
    assert_eq!(target.requests.lock().unwrap()[0].uri.scheme_str(), Some("https"));
}
