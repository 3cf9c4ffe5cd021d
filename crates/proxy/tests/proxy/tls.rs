//! HTTPS listeners and HTTPS targets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls::{ClientConfig, HandshakeKind, ProtocolVersion};
use trellis_proxy::Limits;

use crate::secure::*;
use crate::support::*;

fn client_config(identity: &Identity) -> Arc<ClientConfig> {
    Arc::new(trusting(&[identity], &[]))
}

/// One HTTPS service, its client's configuration, and the certificate.
fn one_service(target: &TestTarget) -> (Fixture, Arc<ClientConfig>, Identity) {
    let identity = identity(&["a.test"]);
    let fixture =
        Fixture::new(world(vec![https("a.test", &identity, forward(&group(1, &[target.address])))]));
    (fixture, client_config(&identity), identity)
}

#[test]
fn an_https_listener_serves_requests_one_after_the_other() {
    let target = TestTarget::answering(|request| ok(&request.text()));
    let (mut fixture, config, _) = one_service(&target);
    let mut client = Wire::secure(fixture.secure_port(), "a.test", &config).unwrap();
    for size in [0, 1, 2000, 16 * 1024, 300 * 1024] {
        let body = "x".repeat(size);
        let request = format!("POST /p HTTP/1.1\r\nHost: a.test\r\nContent-Length: {size}\r\n\r\n{body}");
        assert_eq!(client.call(request).text(), body);
    }
    let seen = target.last_request();
    assert_eq!(seen.header("x-forwarded-proto").as_deref(), Some("https"));
    assert_eq!(seen.header("x-forwarded-port").as_deref(), Some("443"));
    assert_eq!(client.session().protocol_version(), Some(ProtocolVersion::TLSv1_3));
    drop(client);
    let lines = fixture.log_lines();
    assert_eq!(lines.len(), 5);
    for line in lines {
        assert_eq!(line["tlsVersion"], "TLSv1.3");
        assert_eq!(line["sslCipher"], "TLS_AES_128_GCM_SHA256");
        assert_eq!(line["serverNameIndication"], "a.test");
        assert_eq!(line["listenerType"], "HTTPS");
        assert_eq!(line["responseCode"], 200);
        assert_eq!(line["failureReason"], "-");
    }
}

#[test]
fn tls_1_2_is_spoken_with_the_first_suite_of_the_policy() {
    let target = TestTarget::saying("old but fine");
    let (mut fixture, config, identity) = one_service(&target);
    drop(config);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(identity.der()).unwrap();
    let config = ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS12])
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut client = Wire::secure(fixture.secure_port(), "a.test", &Arc::new(config)).unwrap();
    assert_eq!(client.get("a.test", "/").text(), "old but fine");
    client.finish_sending();
    assert!(client.is_closed());
    let lines = fixture.log_lines();
    assert_eq!(lines[0]["tlsVersion"], "TLSv1.2");
    assert_eq!(lines[0]["sslCipher"], "ECDHE-ECDSA-AES128-GCM-SHA256");
}

#[test]
fn a_session_goes_on_at_whichever_worker() {
    let target = TestTarget::saying("x");
    let (fixture, config, _) = one_service(&target);
    let connect = || {
        let mut client = Wire::secure(fixture.secure_port(), "a.test", &config).unwrap();
        assert_eq!(client.get("a.test", "/").status(), 200);
        client.session().handshake_kind()
    };
    connect();
    for _ in 0..16 {
        assert_eq!(connect(), Some(HandshakeKind::Resumed));
    }
    assert_eq!(fixture.metric("trellis_tls_handshakes_total{outcome=\"resumed\"}"), 16.0);
    assert_eq!(fixture.metric("trellis_tls_handshakes_total{outcome=\"full\"}"), 1.0);
}

#[test]
fn every_name_has_its_certificate_and_the_host_decides_where_a_request_goes() {
    let [a, b] = ["a", "b"].map(TestTarget::saying);
    let [first, second] = [identity(&["a.test"]), identity(&["b.test"])];
    let fixture = Fixture::new(world(vec![
        https("a.test", &first, forward(&group(1, &[a.address]))),
        https("b.test", &second, forward(&group(2, &[b.address]))),
        service("plain.test", forward(&group(1, &[a.address]))),
    ]));
    for (name, identity) in [("a.test", &first), ("B.test", &second)] {
        let mut client = Wire::secure(fixture.secure_port(), name, &client_config(identity)).unwrap();
        assert_eq!(client.session().peer_certificates().unwrap()[0], identity.der());
        assert_eq!(client.get("a.test", "/").text(), "a");
        assert_eq!(client.get("b.test", "/").text(), "b");
        assert_eq!(client.get("plain.test", "/").status(), 404, "it has no HTTPS listener");
    }
    assert_eq!(fixture.client().get("a.test", "/").status(), 404, "nor has this one an HTTP listener");
}

/// What a client is told when it asks for `name`.
fn refusal(fixture: &Fixture, name: &str, config: &Arc<ClientConfig>) -> String {
    match Wire::secure(fixture.secure_port(), name, config) {
        Ok(_) => "let in".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_name_without_service_listener_or_certificate_is_refused_with_an_alert() {
    let target = TestTarget::saying("x");
    let known = identity(&["a.test"]);
    let mut own = https("a.test", &known, forward(&group(1, &[target.address])));
    own.custom_domain = Some("custom.test");
    let mut fixture =
        Fixture::new(world(vec![own, service("plain.test", forward(&group(1, &[target.address])))]));
    let config = client_config(&known);
    for name in ["nobody.test", "plain.test", "custom.test"] {
        assert!(refusal(&fixture, name, &config).contains("UnrecognisedName"), "{name}");
    }
    // An address is not a name, so none is sent.
    assert!(refusal(&fixture, "127.0.0.1", &config).contains("MissingExtension"));
    for (outcome, count) in [("unknown_name", 2.0), ("no_certificate", 1.0), ("no_server_name", 1.0)] {
        let series = format!("trellis_tls_handshakes_total{{outcome=\"{outcome}\"}}");
        assert_eq!(fixture.metric(&series), count, "{outcome}");
    }
    let mut lines: Vec<_> = fixture
        .log_lines()
        .iter()
        .map(|line| {
            assert_eq!(line["failureReason"], "ClientProtocolError");
            assert_eq!((&line["responseCode"], &line["protocol"]), (&0.into(), &"-".into()));
            let service = line["serviceArn"] != "-";
            (line["serverNameIndication"].as_str().unwrap().to_owned(), service)
        })
        .collect();
    lines.sort();
    let expected = [("-", false), ("custom.test", true), ("nobody.test", false), ("plain.test", false)];
    assert_eq!(lines, expected.map(|(name, service)| (name.to_owned(), service)));
}

#[test]
fn plain_http_on_the_https_port_gets_400() {
    let target = TestTarget::saying("x");
    let (mut fixture, _, _) = one_service(&target);
    let mut client = Client::connect(fixture.secure_port());
    let answer = client.get("a.test", "/");
    assert_eq!(answer.status(), 400);
    client.finish_sending();
    assert!(client.is_closed());
    assert_eq!(fixture.metric("trellis_tls_handshakes_total{outcome=\"plain_http\"}"), 1.0);
    let lines = fixture.log_lines();
    assert_eq!(lines[0]["responseCode"], 400);
    assert_eq!(lines[0]["failureReason"], "ClientProtocolError");
}

#[test]
fn http_and_https_services_may_share_a_port() {
    let [a, b] = ["secure", "plain"].map(TestTarget::saying);
    let identity = identity(&["a.test"]);
    let mut plain = service("b.test", forward(&group(2, &[b.address])));
    plain.port = 443;
    let fixture =
        Fixture::new(world(vec![https("a.test", &identity, forward(&group(1, &[a.address]))), plain]));
    let mut client = Wire::secure(fixture.secure_port(), "a.test", &client_config(&identity)).unwrap();
    assert_eq!(client.get("a.test", "/").text(), "secure");
    assert_eq!(client.get("b.test", "/").status(), 404);
    let mut client = Client::connect(fixture.secure_port());
    assert_eq!(client.get("b.test", "/").text(), "plain");
    assert_eq!(client.get("a.test", "/").status(), 404);
}

#[test]
fn a_new_certificate_is_shown_to_new_connections_and_nothing_is_dropped() {
    let target = TestTarget::answering(|_| ok("here"));
    let group = group(1, &[target.address]);
    let [old, new] = [identity(&["a.test"]), identity(&["a.test"])];
    let fixture = Fixture::new(world(vec![https("a.test", &old, forward(&group))]));
    let both = Arc::new(trusting(&[&old, &new], &[]));
    let mut open = Wire::secure(fixture.secure_port(), "a.test", &both).unwrap();
    assert_eq!(open.get("a.test", "/").text(), "here");

    let stop = Arc::new(AtomicBool::new(false));
    let port = fixture.secure_port();
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (stop, identities) = (stop.clone(), [old.clone(), new.clone()]);
            std::thread::spawn(move || {
                let mut served = 0;
                while !stop.load(Ordering::SeqCst) {
                    // A configuration of its own, so that every handshake is a full one.
                    let config = Arc::new(trusting(&[&identities[0], &identities[1]], &[]));
                    let mut client = Wire::secure(port, "a.test", &config).unwrap();
                    for _ in 0..3 {
                        assert_eq!(client.get("a.test", "/").text(), "here");
                        served += 1;
                    }
                }
                served
            })
        })
        .collect();
    for turn in 0..10 {
        let identity = if turn % 2 == 0 { &new } else { &old };
        fixture.change(world(vec![https("a.test", identity, forward(&group))]));
        let config = Arc::new(trusting(&[identity], &[]));
        let mut client = Wire::secure(fixture.secure_port(), "a.test", &config).unwrap();
        assert_eq!(client.get("a.test", "/").text(), "here");
    }
    stop.store(true, Ordering::SeqCst);
    for thread in load {
        assert!(thread.join().unwrap() > 0);
    }
    assert_eq!(open.get("a.test", "/").text(), "here", "the old connection goes on");
}

#[test]
fn a_client_that_ends_its_side_still_gets_its_answer() {
    let gate = Arc::new(AtomicBool::new(false));
    let open = gate.clone();
    let target = TestTarget::answering(move |_| {
        eventually("the gate opens", || open.load(Ordering::SeqCst));
        ok("late")
    });
    let (fixture, config, _) = one_service(&target);
    let mut client = Wire::secure(fixture.secure_port(), "a.test", &config).unwrap();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    client.finish_sending();
    gate.store(true, Ordering::SeqCst);
    assert_eq!(client.read_message().unwrap().text(), "late");
    assert!(client.is_closed());
}

#[test]
fn a_stalled_handshake_ends_at_its_deadline() {
    let target = TestTarget::saying("x");
    let identity = identity(&["a.test"]);
    let limits = Limits { handshake_timeout: Duration::from_millis(100), ..Limits::default() };
    let world = world(vec![https("a.test", &identity, forward(&group(1, &[target.address])))]);
    let mut fixture = Fixture::with(world, limits);
    let mut silent = Client::connect(fixture.secure_port());
    let mut halfway = Client::connect(fixture.secure_port());
    halfway.send_raw(&[0x16, 3, 1, 1]);
    assert!(silent.is_closed() && halfway.is_closed());
    assert_eq!(fixture.metric("trellis_tls_handshakes_total{outcome=\"timed_out\"}"), 2.0);
    let lines = fixture.log_lines();
    assert_eq!(lines.len(), 1, "who has said nothing has no line");
    assert_eq!(lines[0]["failureReason"], "ClientConnectionClosed");
}
