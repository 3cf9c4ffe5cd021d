//! What clients are told when something goes wrong, and what the log says about it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use trellis_model::health::ProtocolVersion;
use trellis_model::snapshot::{TargetGroup, TargetProtocol};
use trellis_proxy::Limits;

use crate::support::*;

pub(crate) fn one_service(target: &TestTarget) -> Fixture {
    Fixture::new(world(vec![service("a", forward(&group(1, &[target.address])))]))
}

#[test]
fn malformed_requests_get_400_and_the_connection_ends() {
    let target = TestTarget::saying("x");
    let mut fixture = one_service(&target);
    for request in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET /\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
    ] {
        let mut client = fixture.client();
        client.send(request);
        let answer = client.read_message().unwrap();
        assert_eq!((answer.status(), answer.text().as_str()), (400, "Bad Request"), "{request:?}");
        client.finish_sending();
        assert!(client.is_closed());
    }
    assert_eq!(target.connections(), 0);
    assert_eq!(reasons(&mut fixture), vec![(400, "ClientProtocolError".to_owned()); 6]);
}

#[test]
fn a_request_smuggled_behind_a_refused_one_is_not_served() {
    let target = TestTarget::saying("x");
    let fixture = one_service(&target);
    let mut client = fixture.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\
         GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert_eq!(client.read_message().unwrap().status(), 400);
    client.finish_sending();
    assert!(client.is_closed());
    assert_eq!(target.connections(), 0);
}

#[test]
fn malformed_chunks_of_a_client_end_the_request_with_400() {
    let target = TestTarget::answering(|_| ok("never"));
    let mut fixture = one_service(&target);
    let mut client = fixture.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX");
    assert_eq!(client.read_message().unwrap().status(), 400);
    assert!(target.requests.lock().unwrap().is_empty());
    assert_eq!(reasons(&mut fixture), [(400, "ClientProtocolError".to_owned())]);
}

#[test]
fn garbage_from_a_target_is_a_502() {
    for garbage in [
        "SSH-2.0-OpenSSH_9.2p1 Debian\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a size\r\n",
    ] {
        let target = TestTarget::new(move |mut wire, _| {
            wire.read_message();
            wire.send(garbage);
            wire.read_message();
        });
        let mut fixture = one_service(&target);
        let mut client = fixture.client();
        let answer = client.get("a", "/");
        assert_eq!((answer.status(), answer.text().as_str()), (502, "Bad Gateway"), "{garbage:?}");
        assert_eq!(client.get("a", "/").status(), 502, "the client's connection stays");
        assert_eq!(reasons(&mut fixture), vec![(502, "TargetProtocolError".to_owned()); 2]);
    }
}

#[test]
fn endless_heads_and_interim_responses_of_a_target_are_cut_off() {
    for endless in ["X: y\r\n", "HTTP/1.1 102 Processing\r\n\r\n"] {
        let target = TestTarget::new(move |mut wire, _| {
            wire.read_message();
            if endless.starts_with("X") {
                wire.send("HTTP/1.1 200 OK\r\n");
            }
            let block = endless.repeat(1000);
            while std::io::Write::write_all(&mut wire.stream, block.as_bytes()).is_ok() {}
        });
        let fixture = one_service(&target);
        assert_eq!(fixture.client().get("a", "/").status(), 502);
    }
}

#[test]
fn a_target_that_closes_early_is_a_502_before_the_head_and_a_cut_after_it() {
    let target = TestTarget::new(|mut wire, number| {
        wire.read_message();
        match number {
            0 => {}
            1 => wire.send("HTTP/1.1 200 OK\r\nContent-"),
            2 => wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
            _ => wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
        }
    });
    let mut fixture = one_service(&target);
    let mut client = fixture.client();
    assert_eq!(client.get("a", "/").status(), 502);
    assert_eq!(client.get("a", "/").status(), 502);
    for ending in ["\r\n\r\nhalf", "\r\n\r\n4\r\nhalf\r\n"] {
        let mut client = fixture.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let text = String::from_utf8(client.read_to_end()).unwrap();
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with(ending), "{text:?}");
    }
    let closed = "TargetConnectionClosed".to_owned();
    assert_eq!(
        reasons(&mut fixture),
        [(200, closed.clone()), (200, closed.clone()), (502, closed.clone()), (502, closed)]
    );
}

#[test]
fn a_refused_connect_is_tried_once_more_at_another_target() {
    let target = TestTarget::saying("alive");
    let both = group(1, &[nobody(), target.address]);
    let fixture = Fixture::new(world(vec![service("a", forward(&both))]));
    let mut client = fixture.client();
    for _ in 0..10 {
        assert_eq!(client.call("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").text(), "alive");
    }
}

#[test]
fn a_connect_that_fails_everywhere_is_a_500() {
    let mut fixture = Fixture::new(world(vec![service("a", forward(&group(1, &[nobody(), nobody()])))]));
    let mut client = fixture.client();
    let answer = client.get("a", "/");
    assert_eq!((answer.status(), answer.text().as_str()), (500, "Internal Server Error"));
    assert_eq!(client.get("a", "/").status(), 500, "the client's connection stays");
    assert_eq!(fixture.network.dialled.lock().unwrap().len(), 4, "two tries each");
    assert_eq!(reasons(&mut fixture), vec![(500, "TargetConnectionError".to_owned()); 2]);
}

#[test]
fn a_group_without_targets_is_a_503() {
    let mut fixture = Fixture::new(world(vec![service("a", forward(&group(1, &[])))]));
    assert_eq!(fixture.client().get("a", "/").status(), 503);
    assert_eq!(reasons(&mut fixture), [(503, "TargetConnectionError".to_owned())]);
}

#[test]
fn groups_that_speak_what_is_not_spoken_here_are_a_502() {
    let target = TestTarget::saying("x");
    let variant = |protocol: TargetProtocol, version: ProtocolVersion| {
        let plain = group(1, &[target.address]);
        let made = TargetGroup {
            id: plain.id.clone(),
            arn: plain.arn.clone(),
            vpc: plain.vpc.clone(),
            protocol,
            version,
            health_check: None,
            targets: plain.targets.clone(),
        };
        world(vec![service("a", forward(&Arc::new(made)))])
    };
    let fixture = Fixture::new(variant(TargetProtocol::Tcp, ProtocolVersion::Http1));
    let mut client = fixture.client();
    assert_eq!(client.get("a", "/").status(), 502);
    for version in [ProtocolVersion::Http2, ProtocolVersion::Grpc] {
        fixture.change(variant(TargetProtocol::Http, version));
        assert_eq!(client.get("a", "/").status(), 502);
    }
    assert_eq!(target.connections(), 0);
}

#[test]
fn a_kept_connection_the_target_has_closed_costs_no_request() {
    // Each connection serves one request and closes without saying so.
    let served = Arc::new(AtomicUsize::new(0));
    let closed = Arc::new(AtomicUsize::new(0));
    let (counter, closes) = (served.clone(), closed.clone());
    let target = TestTarget::new(move |mut wire, _| {
        if let Some(request) = wire.read_message() {
            counter.fetch_add(1, Ordering::SeqCst);
            wire.send(ok(&request.text()));
            drop(wire);
            closes.fetch_add(1, Ordering::SeqCst);
        }
    });
    let fixture = one_service(&target);
    let mut client = fixture.client();
    for n in 0..50 {
        // What is not idempotent may only be sent once, so it comes after the end of the connection.
        eventually("the target has closed", || closed.load(Ordering::SeqCst) == 2 * n);
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n{n:03}");
        assert_eq!(client.call(request).text(), format!("{n:03}"));
        assert_eq!(client.get("a", "/").status(), 200);
    }
    assert_eq!(served.load(Ordering::SeqCst), 100, "nothing was served twice");
}

#[test]
fn a_request_that_may_have_been_applied_is_not_sent_again() {
    // The second request on a connection is read in full and then the connection closes, or is reset.
    for reset in [false, true] {
        let reads = Arc::new(AtomicUsize::new(0));
        let counter = reads.clone();
        let target = TestTarget::new(move |mut wire, _| {
            wire.read_message();
            wire.send(ok("first"));
            if wire.read_message().is_some() {
                if reset {
                    socket2::SockRef::from(&wire.stream).set_linger(Some(Duration::ZERO)).unwrap();
                }
                counter.fetch_add(1, Ordering::SeqCst);
            }
        });
        let fixture = one_service(&target);
        for (n, method) in ["POST", "PATCH", "REPORT"].into_iter().enumerate() {
            let mut client = fixture.client();
            assert_eq!(client.get("a", "/").text(), "first");
            let request = format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
            assert_eq!(client.call(request).status(), 502, "{method}");
            assert_eq!((reads.load(Ordering::SeqCst), target.connections()), (n + 1, n + 1), "{method}");
        }
        // An idempotent one is.
        let mut client = fixture.client();
        assert_eq!(client.get("a", "/").text(), "first");
        assert_eq!(client.get("a", "/").text(), "first");
        assert_eq!((reads.load(Ordering::SeqCst), target.connections()), (4, 5));
    }
}

#[test]
fn what_is_idempotent_is_tried_at_another_target_when_one_breaks_off() {
    let dying = TestTarget::new(|mut wire, _| {
        wire.read_message();
        socket2::SockRef::from(&wire.stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
    let alive = TestTarget::saying("alive");
    let fixture =
        Fixture::new(world(vec![service("a", forward(&group(1, &[dying.address, alive.address])))]));
    for _ in 0..4 {
        assert_eq!(fixture.client().get("a", "/").text(), "alive");
    }
    assert!(dying.connections() > 0);
    // What is not idempotent has one try; each worker goes round the targets.
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    let statuses: Vec<u16> = (0..6).map(|_| fixture.client().call(post).status()).collect();
    assert!(
        statuses.contains(&502) && statuses.iter().all(|status| matches!(status, 200 | 502)),
        "{statuses:?}"
    );
}

#[test]
fn a_silent_target_is_a_504_and_a_silent_client_a_408() {
    let target = TestTarget::new(|mut wire, number| {
        wire.read_until("\r\n\r\n");
        if number == 1 {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
        }
        wire.read_to_end();
    });
    let mut spec = service("a", forward(&group(1, &[target.address])));
    spec.idle_timeout = Duration::from_millis(300);
    let mut fixture = Fixture::new(world(vec![spec]));
    assert_eq!(fixture.client().get("a", "/").status(), 504);
    let mut client = fixture.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.read_to_end().ends_with(b"half"));
    let mut client = fixture.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf");
    assert_eq!(client.read_message().unwrap().status(), 408);
    let expected = [(200, "TargetDataTimeout"), (408, "ClientConnectionClosed"), (504, "TargetDataTimeout")];
    assert_eq!(reasons(&mut fixture), expected.map(|(status, reason)| (status, reason.to_owned())));
}

#[test]
fn a_head_that_never_ends_gets_408() {
    let target = TestTarget::saying("x");
    let limits = Limits { head_timeout: Duration::from_millis(100), ..Limits::default() };
    let fixture = Fixture::with(world(vec![service("a", forward(&group(1, &[target.address])))]), limits);
    let mut client = fixture.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ");
    assert_eq!(client.read_message().unwrap().status(), 408);
}

#[test]
fn an_idle_connection_is_closed_after_the_services_idle_timeout() {
    let target = TestTarget::saying("x");
    let mut spec = service("a", forward(&group(1, &[target.address])));
    spec.idle_timeout = Duration::from_millis(100);
    let fixture = Fixture::new(world(vec![spec]));
    let mut client = fixture.client();
    assert_eq!(client.get("a", "/").status(), 200);
    assert!(client.is_closed());
    eventually("the connection to the target is closed too", || {
        fixture.metrics().contains("connections_open{target_group=\"tg-00000000000000001\"} 0")
    });
}

#[test]
fn a_connection_past_its_lifetime_ends_after_a_request_or_in_the_middle_of_one() {
    let target = TestTarget::new(|mut wire, _| {
        while let Some(request) = wire.read_message() {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n1");
            if !request.head.starts_with("GET /hang") {
                wire.send("2");
            }
        }
    });
    let limits = Limits { connection_lifetime: Duration::from_millis(400), ..Limits::default() };
    let mut fixture = Fixture::with(world(vec![service("a", forward(&group(1, &[target.address])))]), limits);
    let mut client = fixture.client();
    client.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.read_to_end().ends_with(b"\r\n\r\n1"));
    assert_eq!(reasons(&mut fixture), [(200, "ConnectionDurationExceeded".to_owned())]);
}
