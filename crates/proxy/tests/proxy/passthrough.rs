//! TLS passthrough listeners: bytes go to TCP targets as they came.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls::ClientConfig;
use trellis_model::snapshot::{Action, Auth, Forward, TargetGroup, TargetProtocol};
use trellis_proxy::Limits;

use crate::secure::*;
use crate::support::*;

fn tcp_group(n: u64, targets: &[&TestTarget]) -> Arc<TargetGroup> {
    let addresses: Vec<_> = targets.iter().map(|target| target.address).collect();
    let group = Arc::into_inner(group(n, &addresses)).unwrap();
    Arc::new(TargetGroup { protocol: TargetProtocol::Tcp, ..group })
}

/// A target with a certificate for `name` that answers every request with `body`.
fn own_tls(name: &str, body: &'static str) -> (TestTarget, Identity) {
    let identity = identity(&[name]);
    (secure_target(identity.server(&[b"anything"]), body), identity)
}

fn speaking_anything(identity: &Identity) -> Arc<ClientConfig> {
    Arc::new(trusting(&[identity], &[b"anything"]))
}

#[test]
fn the_target_itself_shakes_hands_with_the_client() {
    let (target, identity) = own_tls("tls.test", "from inside");
    let spec = passthrough("a.lattice", "tls.test", forward(&tcp_group(1, &[&target])));
    let mut fixture = Fixture::new(world(vec![spec]));
    let mut client = Wire::secure(fixture.secure_port(), "tls.test", &speaking_anything(&identity)).unwrap();
    assert_eq!(client.session().alpn_protocol(), Some(&b"anything"[..]));
    assert_eq!(client.session().peer_certificates().unwrap()[0], identity.der());
    assert_eq!(client.get("whatever", "/").text(), "from inside");
    assert_eq!(target.last_request().header("x-forwarded-for"), None, "nothing is added");
    assert_eq!(fixture.network.dialled.lock().unwrap()[0].0, vpc(901), "from inside the target's VPC");
    client.finish_sending();
    assert!(client.is_closed());
    let lines = fixture.log_lines();
    assert_eq!(lines.len(), 1, "one line for a connection");
    let line = &lines[0];
    for (member, value) in [
        ("serverNameIndication", "tls.test"),
        ("listenerType", "TLS_PASSTHROUGH"),
        ("tlsVersion", "-"),
        ("sslCipher", "-"),
        ("protocol", "-"),
        ("requestMethod", "-"),
        ("requestPath", "-"),
        ("hostHeader", "-"),
        ("failureReason", "-"),
        ("destinationVpcId", vpc(901).as_str()),
        ("targetIpPort", &target.address.to_string()),
    ] {
        assert_eq!(line[member], value, "{member}");
    }
    assert_eq!(line["responseCode"], 0);
    assert!(line["bytesReceived"].as_u64().unwrap() > 200 && line["bytesSent"].as_u64().unwrap() > 500);
}

/// Bytes that are the same nowhere for long.
fn pattern(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn sixty_four_mebibytes_pass_unchanged_both_ways_with_half_close() {
    const SIZE: usize = 64 << 20;
    let greeting = hello("tls.test");
    let (length, sent_back) = (greeting.len(), pattern(SIZE, 2));
    let (received, receive) = std::sync::mpsc::channel();
    let target = TestTarget::new(move |wire, _| {
        let mut writing = wire.stream.try_clone().unwrap();
        let sent_back = sent_back.clone();
        let writer = std::thread::spawn(move || {
            writing.write_all(&sent_back).unwrap();
            writing.shutdown(Shutdown::Write).unwrap();
        });
        let mut all = Vec::with_capacity(SIZE + 4096);
        let mut stream = &wire.stream;
        stream.read_to_end(&mut all).unwrap();
        received.send(all).unwrap();
        writer.join().unwrap();
    });
    let spec = passthrough("a.lattice", "tls.test", forward(&tcp_group(1, &[&target])));
    let mut fixture = Fixture::new(world(vec![spec]));
    let mut client = Client::connect(fixture.secure_port());
    client.send_raw(&greeting);
    let mut writing = client.stream.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        writing.write_all(&pattern(SIZE, 1)).unwrap();
        writing.shutdown(Shutdown::Write).unwrap();
    });
    let mut came_back = Vec::with_capacity(SIZE);
    client.stream.read_to_end(&mut came_back).unwrap();
    writer.join().unwrap();
    let arrived = receive.recv_timeout(PATIENCE).unwrap();
    assert!(arrived[..length] == greeting && arrived[length..] == pattern(SIZE, 1));
    assert!(came_back == pattern(SIZE, 2));
    let lines = fixture.log_lines();
    assert_eq!(lines[0]["bytesReceived"].as_u64(), Some((SIZE + length) as u64));
    assert_eq!(lines[0]["bytesSent"].as_u64(), Some(SIZE as u64));
    assert_eq!(lines[0]["failureReason"], "-");
}

#[test]
fn every_version_of_tls_is_passed_on_as_it_came() {
    let target = TestTarget::new(|mut wire, _| {
        let all = wire.read_to_end();
        wire.send(all);
    });
    let group = tcp_group(1, &[&target]);
    let spec = |name, domain| passthrough(name, domain, forward(&group));
    let fixture = Fixture::new(world(vec![
        spec("a.lattice", "old.example.com"),
        spec("b.lattice", "a-b.example.com"),
        spec("c.lattice", "new.example.com"),
        spec("d.lattice", "python.example.com"),
        spec("e.lattice", "curl.example.com"),
    ]));
    let mut passed = 0;
    // The hellos of TLS 1.0 and 1.1 among them, without signature algorithms.
    for (client, name, hello) in hellos_of_real_clients() {
        if name != "-" {
            let mut wire = Client::connect(fixture.secure_port());
            wire.send_raw(&hello);
            wire.finish_sending();
            assert!(wire.read_to_end() == hello, "{client}");
            passed += 1;
        }
    }
    assert_eq!(passed, 9);
}

#[test]
fn a_side_that_has_ended_still_hears_the_other() {
    let target = TestTarget::new(|mut wire, _| {
        let mut stream = &wire.stream;
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        wire.send(format!("{} bytes", all.len()));
    });
    let spec = passthrough("a.lattice", "tls.test", forward(&tcp_group(1, &[&target])));
    let fixture = Fixture::new(world(vec![spec]));
    let greeting = hello("tls.test");
    let mut client = Client::connect(fixture.secure_port());
    client.send_raw(&greeting);
    client.send_raw(b"and more");
    client.finish_sending();
    let answer = String::from_utf8(client.read_to_end()).unwrap();
    assert_eq!(answer, format!("{} bytes", greeting.len() + 8));
}

#[test]
fn passthrough_and_https_services_share_a_port_and_names_tell_them_apart() {
    let (target, inner) = own_tls("tls.test", "passed");
    let (plain, outer) = (TestTarget::saying("terminated"), identity(&["a.test"]));
    let fixture = Fixture::new(world(vec![
        https("a.test", &outer, forward(&group(1, &[plain.address]))),
        passthrough("b.lattice", "tls.test", forward(&tcp_group(2, &[&target]))),
    ]));
    let mut client =
        Wire::secure(fixture.secure_port(), "a.test", &Arc::new(trusting(&[&outer], &[]))).unwrap();
    assert_eq!(client.get("a.test", "/").text(), "terminated");
    assert_eq!(client.get("tls.test", "/").status(), 404, "it is not reached by way of another");
    let mut client = Wire::secure(fixture.secure_port(), "tls.test", &speaking_anything(&inner)).unwrap();
    assert_eq!(client.get("tls.test", "/").text(), "passed");
    // "The generated FQDN is not served."
    let refused = Wire::secure(fixture.secure_port(), "b.lattice", &speaking_anything(&inner));
    assert!(refused.err().unwrap().to_string().contains("UnrecognisedName"));
}

#[test]
fn connections_are_split_by_weight_and_go_round_the_healthy_targets() {
    let counters = [(); 3].map(|()| Arc::new(AtomicUsize::new(0)));
    let [a, b, never] = counters.clone().map(|counter| {
        TestTarget::new(move |mut wire, _| {
            counter.fetch_add(1, Ordering::SeqCst);
            // To the end, because closing on what is unread resets the connection.
            wire.read_to_end();
            wire.send("hi");
        })
    });
    let groups = [(100, tcp_group(1, &[&a, &b])), (0, tcp_group(2, &[&never]))];
    let spec = passthrough("a.lattice", "tls.test", Action::Forward(Forward::new(groups)));
    let fixture = Fixture::new(world(vec![spec]));
    for _ in 0..8 {
        let mut client = Client::connect(fixture.secure_port());
        client.send_raw(&hello("tls.test"));
        client.finish_sending();
        assert_eq!(client.read_to_end(), b"hi");
    }
    let counts = counters.map(|counter| counter.load(Ordering::SeqCst));
    assert_eq!(counts[0] + counts[1], 8);
    assert!(counts[0] > 0 && counts[1] > 0 && counts[2] == 0, "{counts:?}");
}

/// The reason in the only line of the log.
fn reason(fixture: &mut Fixture) -> String {
    let lines = fixture.log_lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines[0]["failureReason"].as_str().unwrap().to_owned()
}

#[test]
fn a_target_that_cannot_be_reached_costs_one_connection_and_another_one_is_tried() {
    let (target, identity) = own_tls("tls.test", "second try");
    let dead = nobody();
    let both = Arc::into_inner(group(1, &[dead, target.address])).unwrap();
    let both = Arc::new(TargetGroup { protocol: TargetProtocol::Tcp, ..both });
    let only = Arc::into_inner(group(2, &[dead])).unwrap();
    let only = Arc::new(TargetGroup { protocol: TargetProtocol::Tcp, ..only });
    let fixture = Fixture::new(world(vec![passthrough("a.lattice", "tls.test", forward(&both))]));
    for _ in 0..4 {
        let config = speaking_anything(&identity);
        let mut client = Wire::secure(fixture.secure_port(), "tls.test", &config).unwrap();
        assert_eq!(client.get("x", "/").text(), "second try");
    }
    let mut fixture = Fixture::new(world(vec![passthrough("a.lattice", "tls.test", forward(&only))]));
    let refused = Wire::secure(fixture.secure_port(), "tls.test", &speaking_anything(&identity));
    assert!(refused.err().unwrap().to_string().contains("InternalError"));
    assert_eq!(reason(&mut fixture), "TargetConnectionError");
}

#[test]
fn a_policy_that_denies_everybody_denies_passthrough_too() {
    let (target, identity) = own_tls("tls.test", "x");
    let mut spec = passthrough("a.lattice", "tls.test", forward(&tcp_group(1, &[&target])));
    spec.auth = Auth::DenyAll;
    let mut fixture = Fixture::new(world(vec![spec]));
    let refused = Wire::secure(fixture.secure_port(), "tls.test", &speaking_anything(&identity));
    assert!(refused.err().unwrap().to_string().contains("AccessDenied"));
    assert_eq!(target.connections(), 0);
    let lines = fixture.log_lines();
    assert_eq!(lines[0]["failureReason"], "ClientAccessDenied");
    assert_eq!(lines[0]["authDeniedReason"], "Service");
    assert_eq!(lines[0]["targetIpPort"], "-");
}

#[test]
fn a_policy_may_let_connections_through_and_their_callers_are_anonymous() {
    let (target, identity) = own_tls("tls.test", "x");
    let spec = |action: &str| {
        let mut spec = passthrough("a.lattice", "tls.test", forward(&tcp_group(1, &[&target])));
        let text = format!(
            r#"{{"Statement":{{"Effect":"Allow","Principal":"*","Action":"vpc-lattice-svcs:{action}",
            "Resource":"arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-00000000000000001","Condition":{{
            "StringEquals":{{"vpc-lattice-svcs:SourceVpc":"vpc-00000000000000001","aws:PrincipalType":"Anonymous"}},
            "NumericEquals":{{"vpc-lattice-svcs:Port":443}},
            "Null":{{"vpc-lattice-svcs:RequestMethod":"true"}}}}}}}}"#
        );
        let policy = trellis_policy::Policy::parse(&text, trellis_policy::PolicyKind::Resource).unwrap();
        spec.auth = Auth::Policy(Arc::new(policy));
        world(vec![spec])
    };
    let fixture = Fixture::new(spec("Connect"));
    let mut client = Wire::secure(fixture.secure_port(), "tls.test", &speaking_anything(&identity)).unwrap();
    assert_eq!(client.get("x", "/").text(), "x");
    fixture.change(spec("Invoke"));
    let refused = Wire::secure(fixture.secure_port(), "tls.test", &speaking_anything(&identity));
    assert!(refused.err().unwrap().to_string().contains("AccessDenied"));
}

/// A target that takes what comes and never says anything.
fn silent() -> TestTarget {
    TestTarget::new(|mut wire, _| drop(wire.read_to_end()))
}

#[test]
fn a_connection_where_nothing_moves_ends_after_the_idle_timeout() {
    let target = silent();
    let mut spec = passthrough("a.lattice", "tls.test", forward(&tcp_group(1, &[&target])));
    spec.idle_timeout = Duration::from_millis(100);
    let mut fixture = Fixture::new(world(vec![spec]));
    let mut client = Client::connect(fixture.secure_port());
    client.send_raw(&hello("tls.test"));
    assert!(client.is_closed());
    assert_eq!(reason(&mut fixture), "TargetDataTimeout");
}

#[test]
fn a_connection_ends_at_its_greatest_age() {
    let target = TestTarget::new(|mut wire, _| while wire.write(b"tick").is_ok() {});
    let spec = passthrough("a.lattice", "tls.test", forward(&tcp_group(1, &[&target])));
    let limits = Limits { connection_lifetime: Duration::from_millis(300), ..Limits::default() };
    let mut fixture = Fixture::with(world(vec![spec]), limits);
    let mut client = Client::connect(fixture.secure_port());
    client.send_raw(&hello("tls.test"));
    assert!(!client.read_to_end().is_empty());
    assert_eq!(reason(&mut fixture), "ConnectionDurationExceeded");
}

#[test]
fn a_reset_of_one_side_is_a_reset_for_the_other() {
    let gone = Arc::new(AtomicUsize::new(0));
    let count = gone.clone();
    let target = TestTarget::new(move |mut wire, _| {
        wire.send("hi");
        wire.read_to_end();
        count.fetch_add(1, Ordering::SeqCst);
    });
    let spec = passthrough("a.lattice", "tls.test", forward(&tcp_group(1, &[&target])));
    let mut fixture = Fixture::new(world(vec![spec]));
    let mut client = Client::connect(fixture.secure_port());
    client.send_raw(&hello("tls.test"));
    assert_eq!(client.read_exactly(2), b"hi");
    socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    eventually("the target hears of it", || gone.load(Ordering::SeqCst) == 1);
    assert_eq!(reason(&mut fixture), "ClientConnectionClosed");
}

#[test]
fn a_change_leaves_connections_alone_and_a_drain_cuts_them_at_its_deadline() {
    let target = TestTarget::new(|mut wire, _| {
        while let Ok(1..) = wire.read(&mut [0; 4096]) {
            wire.send("echo");
        }
    });
    let spec = || passthrough("a.lattice", "tls.test", forward(&tcp_group(1, &[&target])));
    let mut fixture = Fixture::new(world(vec![spec()]));
    let mut client = Client::connect(fixture.secure_port());
    client.send_raw(&hello("tls.test"));
    client.read_until("echo").unwrap();
    fixture.change(world(vec![]));
    client.send("again");
    assert!(client.read_until("echo").is_some(), "no listener is left, the connection goes on");
    fixture.drain(Duration::from_millis(100));
    assert!(client.read_until("never").is_none());
}
