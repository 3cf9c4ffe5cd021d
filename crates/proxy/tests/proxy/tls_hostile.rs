//! What comes to a port for TLS and is not what it should be: it costs one connection and is named.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use crate::secure::*;
use crate::support::*;

/// One HTTPS service, `a.test`.
fn one_service(target: &TestTarget) -> (Fixture, Identity) {
    let identity = identity(&["a.test"]);
    let fixture =
        Fixture::new(world(vec![https("a.test", &identity, forward(&group(1, &[target.address])))]));
    (fixture, identity)
}

/// The same handshake messages in records of at most `size` bytes.
fn in_records_of(size: usize, hello: &[u8]) -> Vec<u8> {
    let records = hello[5..].chunks(size);
    records.flat_map(|part| [&[0x16, 3, 1, 0, part.len() as u8], part].concat()).collect()
}

#[test]
fn a_hello_in_any_number_of_segments_and_records_is_understood() {
    let target = TestTarget::saying("pieced together");
    let (fixture, identity) = one_service(&target);
    for (record, segment) in [(usize::MAX, 1), (100, usize::MAX), (7, 11)] {
        let config = Arc::new(trusting(&[&identity], &[]));
        let mut session = ClientConnection::new(config, ServerName::try_from("a.test").unwrap()).unwrap();
        let mut hello = Vec::new();
        session.write_tls(&mut hello).unwrap();
        let sent = if record == usize::MAX { hello } else { in_records_of(record, &hello) };
        let mut wire = Client::connect(fixture.secure_port());
        for part in sent.chunks(segment) {
            wire.send_raw(part);
        }
        while session.is_handshaking() {
            session.complete_io(&mut wire.stream).unwrap();
        }
        wire.tls = Some(session.into());
        assert_eq!(wire.get("a.test", "/").text(), "pieced together", "{record} {segment}");
    }
}

#[test]
fn a_passed_hello_reaches_its_target_in_the_records_it_came_in() {
    let target = TestTarget::new(|mut wire, _| {
        let all = wire.read_to_end();
        wire.send(all);
    });
    let group = Arc::into_inner(group(1, &[target.address])).unwrap();
    let group = trellis_model::snapshot::TargetGroup {
        protocol: trellis_model::snapshot::TargetProtocol::Tcp,
        ..group
    };
    let spec = passthrough("a.lattice", "tls.test", forward(&Arc::new(group)));
    let fixture = Fixture::new(world(vec![spec]));
    let sent = [&in_records_of(40, &hello("tls.test"))[..], b"\x17\x03\x03\x00\x02hi"].concat();
    let mut client = Client::connect(fixture.secure_port());
    client.send_raw(&sent);
    client.finish_sending();
    assert!(client.read_to_end() == sent);
}

#[test]
fn what_is_not_a_hello_is_refused_and_named_and_the_next_client_is_served() {
    let target = TestTarget::saying("fine");
    let (mut fixture, identity) = one_service(&target);
    let mut lying = hello("a.test");
    // The length of the name is more than there is.
    let at = lying.windows(6).position(|window| window == b"a.test").unwrap();
    lying[at - 1] = 200;
    let endless = [&[0x16, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff][..], &[0; 0x4000]].concat();
    let cases: [(&str, Vec<u8>); 9] = [
        ("noise", vec![0x8f; 400]),
        ("an SSL 2 hello", vec![0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10]),
        ("data first", b"\x17\x03\x03\x00\x05hello".to_vec()),
        ("an alert first", vec![21, 3, 3, 0, 2, 2, 40]),
        ("another message", vec![0x16, 3, 1, 0, 4, 11, 0, 0, 0]),
        ("a length that lies", lying),
        ("a hello without end", endless.repeat(4)),
        ("empty records without end", [0x16, 3, 1, 0, 0].repeat(8000)),
        ("SSL 3", [&[0x16, 3, 0, 0, 4][..], &[1, 0, 0, 0]].concat()),
    ];
    let count = cases.len();
    for (what, bytes) in cases {
        let mut client = Client::connect(fixture.secure_port());
        // It may be refused before all of it is there.
        let _ = client.write(&bytes);
        let answer = client.read_to_end();
        assert!(answer.is_empty() || answer[0] == 21, "{what}: an alert or nothing, not {answer:?}");
    }
    let config = Arc::new(trusting(&[&identity], &[]));
    let mut client = Wire::secure(fixture.secure_port(), "a.test", &config).unwrap();
    assert_eq!(client.get("a.test", "/").text(), "fine");
    drop(client);
    assert_eq!(fixture.metric("trellis_tls_handshakes_total{outcome=\"malformed\"}"), count as f64);
    let lines = fixture.log_lines();
    let refused = lines.iter().filter(|line| line["failureReason"] == "ClientProtocolError");
    assert_eq!((lines.len(), refused.count()), (count + 1, count));
}

#[test]
fn a_client_that_is_too_old_is_told_so() {
    let target = TestTarget::saying("never");
    let identity = identity(&["old.example.com"]);
    let listener = https("old.example.com", &identity, forward(&group(1, &[target.address])));
    let mut fixture = Fixture::new(world(vec![listener]));
    let mut refused = 0;
    for (_, _, hello) in hellos_of_real_clients().filter(|(_, name, _)| *name == "old.example.com") {
        let mut client = Client::connect(fixture.secure_port());
        client.send_raw(&hello);
        let answer = client.read_to_end();
        assert_eq!((answer[0], answer.len()), (21, 7), "an alert: {answer:?}");
        refused += 1;
    }
    assert_eq!(fixture.metric("trellis_tls_handshakes_total{outcome=\"not_agreed\"}"), f64::from(refused));
    for line in fixture.log_lines() {
        assert_eq!(line["failureReason"], "ClientProtocolError");
        assert_eq!(line["serverNameIndication"], "old.example.com");
    }
}

#[test]
fn a_client_that_leaves_in_the_middle_of_its_handshake_is_named() {
    let target = TestTarget::saying("fine");
    let (mut fixture, _) = one_service(&target);
    let whole = hello("a.test");
    for (length, reset) in [(20, false), (20, true), (whole.len(), false), (whole.len(), true)] {
        let mut client = Client::connect(fixture.secure_port());
        client.send_raw(&whole[..length]);
        if reset {
            socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
        } else {
            client.finish_sending();
            client.read_to_end();
        }
    }
    // One that comes and goes without a word, as a probe does, has no line.
    drop(Client::connect(fixture.secure_port()));
    let closed = "trellis_tls_handshakes_total{outcome=\"closed\"}";
    eventually("all have been noticed", || fixture.metric(closed) == 5.0);
    let lines = fixture.log_lines();
    assert!(lines.iter().all(|line| line["failureReason"] == "ClientConnectionClosed"), "{lines:?}");
    assert!(lines.len() <= 4, "{lines:?}");
}

#[test]
fn a_record_that_was_tampered_with_ends_the_connection() {
    let target = TestTarget::saying("fine");
    let (mut fixture, identity) = one_service(&target);
    let config = Arc::new(trusting(&[&identity], &[]));
    let mut client = Wire::secure(fixture.secure_port(), "a.test", &config).unwrap();
    client.send("GET / HTTP/1.1\r\nHost: a.t");
    client.send_raw(&[&[0x17, 3, 3, 0, 40][..], &[7; 40]].concat());
    assert!(client.read_message().is_none());
    assert_eq!(target.connections(), 0);
    assert_eq!(fixture.log_lines()[0]["failureReason"], "ClientProtocolError");
}

#[test]
fn a_client_that_refuses_the_certificate_is_named() {
    let target = TestTarget::saying("fine");
    let (mut fixture, _) = one_service(&target);
    let stranger = identity(&["a.test"]);
    let config = Arc::new(trusting(&[&stranger], &[]));
    assert!(Wire::secure(fixture.secure_port(), "a.test", &config).is_err());
    // What the client agreed to and what it did not: nothing in common here.
    let config = Arc::new(trusting(&[&stranger], &[b"spdy/3"]));
    let refused = Wire::secure(fixture.secure_port(), "a.test", &config).err().unwrap().to_string();
    assert!(refused.contains("NoApplicationProtocol"), "{refused}");
    eventually("both are counted", || {
        fixture.metric("trellis_tls_handshakes_total{outcome=\"not_agreed\"}") == 2.0
    });
    for line in fixture.log_lines() {
        assert_eq!(line["failureReason"], "ClientProtocolError");
        assert_eq!(line["serverNameIndication"], "a.test");
    }
}
