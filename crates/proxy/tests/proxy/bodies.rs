//! Bodies of every framing, size and speed, both ways.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use trellis_proxy::Limits;

use crate::support::*;

fn one_service(target: &TestTarget) -> Fixture {
    Fixture::new(world(vec![service("a", forward(&group(1, &[target.address])))]))
}

#[test]
fn chunks_and_trailers_pass_both_ways() {
    let target = TestTarget::answering(|request| {
        assert_eq!(request.text(), "Wikipedia");
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
         3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\nContent-Length: 9\r\n\r\n"
            .into()
    });
    let fixture = one_service(&target);
    let mut client = fixture.client();
    for _ in 0..2 {
        let answer = client.call(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
             4\r\nWiki\r\n5;name=\"value\"\r\npedia\r\n0\r\nX-Check: 1\r\nHost: evil\r\n\r\n",
        );
        assert_eq!((answer.text().as_str(), answer.trailers.as_str()), ("abcde", "X-Sum: 5\r\n"));
        assert_eq!(target.last_request().trailers, "X-Check: 1\r\n");
    }
    assert_eq!(target.connections(), 1, "both connections stay in step");
}

#[test]
fn a_body_of_sixteen_kilobytes_passes_both_ways_however_it_is_cut() {
    let body = "0123456789abcdef".repeat(1024);
    let target = TestTarget::answering(move |request| ok(&request.text()));
    let fixture = one_service(&target);
    let mut client = fixture.client();
    let whole = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    for cut in [whole.len(), 20, 47, 48, 49, 5000, whole.len() - 1] {
        client.send(&whole[..cut]);
        std::thread::sleep(Duration::from_millis(5));
        client.send(&whole[cut..]);
        assert_eq!(client.read_message().unwrap().text(), body, "cut at {cut}");
    }
}

#[test]
fn a_response_that_ends_with_its_connection_keeps_the_clients() {
    let target = TestTarget::new(|mut wire, _| {
        wire.read_message();
        wire.send("HTTP/1.1 200 OK\r\n\r\nuntil ");
        wire.send("the end");
    });
    let fixture = one_service(&target);
    let mut client = fixture.client();
    for _ in 0..3 {
        let answer = client.get("a", "/");
        assert_eq!(answer.text(), "until the end");
        assert_eq!(answer.header("transfer-encoding").as_deref(), Some("chunked"));
    }
    let answer = client.call("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(answer.text(), "until the end");
    assert_eq!(answer.header("connection").as_deref(), Some("close"), "an HTTP/1.0 client knows no chunks");
}

#[test]
fn an_http_1_0_client_gets_a_chunked_response_unchunked() {
    let target = TestTarget::answering(|_| {
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n".into()
    });
    let fixture = one_service(&target);
    let answer = fixture.client().call("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!((answer.text().as_str(), answer.header("transfer-encoding")), ("abcde", None));
}

#[test]
fn responses_without_a_body_end_at_their_head() {
    let target = TestTarget::answering(|request| {
        let status = match request.head.split(' ').nth(1).unwrap() {
            "/204" => "204 No Content",
            "/304" => "304 Not Modified",
            _ => "200 OK",
        };
        format!("HTTP/1.1 {status}\r\nContent-Length: 10\r\n\r\n")
    });
    let fixture = one_service(&target);
    let mut client = fixture.client();
    for (method, path, length) in
        [("HEAD", "/", Some("10")), ("GET", "/204", None), ("GET", "/304", Some("10"))]
    {
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let answer = client.read_answer_to(method).unwrap();
        assert_eq!(answer.header("content-length").as_deref(), length, "{method} {path}");
    }
}

#[test]
fn late_bytes_of_a_target_after_an_answer_without_a_body_are_nobodys_answer() {
    for (method, head) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n"),
        ("DELETE", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\n\r\n"),
    ] {
        let closed = Arc::new(AtomicUsize::new(0));
        let counter = closed.clone();
        let target = TestTarget::new(move |mut wire, number| {
            wire.read_until("\r\n\r\n");
            if number > 0 {
                return wire.send(ok("mine"));
            }
            wire.send(head);
            eventually("another connection has been served, or this one", || {
                wire.stream.set_nonblocking(true).unwrap();
                let asked = wire.stream.peek(&mut [0]).is_ok();
                wire.stream.set_nonblocking(false).unwrap();
                asked || counter.load(Ordering::SeqCst) == 1
            });
            // A body that looks like an answer.
            wire.send(ok("forged"));
            wire.read_to_end();
            counter.fetch_add(1, Ordering::SeqCst);
        });
        let limits = Limits { rest_after_head: Duration::from_secs(60), ..Limits::default() };
        let fixture = Fixture::with(world(vec![service("a", forward(&group(1, &[target.address])))]), limits);
        let mut client = fixture.client();
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        client.read_answer_to("HEAD").unwrap();
        assert_eq!(client.get("a", "/").text(), "mine", "{method}");
        closed.store(1, Ordering::SeqCst);
        eventually("the late bytes close the connection", || closed.load(Ordering::SeqCst) == 2);
    }
}

#[test]
fn a_target_may_say_continue_or_refuse_before_the_body_comes() {
    let target = TestTarget::new(|mut wire, number| {
        let head = wire.read_until("\r\n\r\n").unwrap();
        assert!(head.contains("Expect: 100-continue\r\n"), "{head}");
        if number == 0 {
            wire.send("HTTP/1.1 100 Continue\r\n\r\n");
            assert_eq!(wire.read_exactly(5), b"hello");
            wire.send(ok("thanks"));
            wire.read_message();
        } else {
            wire.send("HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\n\r\nno");
        }
    });
    let fixture = one_service(&target);
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    let mut client = fixture.client();
    client.send(request);
    assert_eq!(client.read_until("\r\n\r\n").unwrap(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello");
    assert_eq!(client.read_message().unwrap().text(), "thanks");

    let mut busy = fixture.client();
    busy.send("GET / HTTP/1.1\r\nHost: a\r\n");
    let mut client = fixture.client();
    // The kept connection is not there for two: closing it makes the target answer on a new one.
    drop(busy);
    let fresh = group(2, &[target.address]);
    fixture.change(world(vec![service("a", forward(&fresh))]));
    client.send(request);
    let answer = client.read_message().unwrap();
    assert_eq!((answer.status(), answer.text().as_str()), (413, "no"));
    assert_eq!(answer.header("connection").as_deref(), Some("close"));
    assert!(client.is_closed());
}

#[test]
fn a_client_that_waits_for_continue_is_told_to_go_on_when_the_target_says_nothing() {
    let target = TestTarget::new(|mut wire, _| {
        let request = wire.read_message().unwrap();
        wire.send(ok(&request.text()));
    });
    let limits = Limits { continue_timeout: Duration::from_millis(50), ..Limits::default() };
    let fixture = Fixture::with(world(vec![service("a", forward(&group(1, &[target.address])))]), limits);
    let mut client = fixture.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.read_until("\r\n\r\n").unwrap(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello");
    assert_eq!(client.read_message().unwrap().text(), "hello");
}

#[test]
fn early_hints_pass_and_http_1_0_clients_are_spared_them() {
    let target = TestTarget::answering(|_| {
        format!("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: x\r\n\r\n{}", ok("x"))
    });
    let fixture = one_service(&target);
    let mut client = fixture.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.read_until("\r\n\r\n").unwrap(), "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
    assert_eq!(client.read_message().unwrap().status(), 200);
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert!(client.read_until("\r\n\r\n").unwrap().starts_with("HTTP/1.1 200 OK"));
}

#[test]
fn a_slow_reader_holds_the_target_back_and_gets_every_byte() {
    const SIZE: usize = 64 << 20;
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = sent.clone();
    let target = TestTarget::new(move |mut wire, _| {
        wire.read_message();
        wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n"));
        let block = [7u8; 64 * 1024];
        while counter.load(Ordering::SeqCst) < SIZE {
            wire.stream.write_all(&block).unwrap();
            counter.fetch_add(block.len(), Ordering::SeqCst);
        }
    });
    let fixture = one_service(&target);
    let mut client = fixture.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.read_until("\r\n\r\n").unwrap();
    assert!(head.contains(&SIZE.to_string()));
    // What has left the target when it stands still is in kernel buffers, and in one of the proxy's.
    let mut before = usize::MAX;
    while before != sent.load(Ordering::SeqCst) {
        before = sent.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(before < SIZE / 2, "{before} bytes were taken from the target before anybody read them");
    assert_eq!(client.read_to_end_counting(SIZE), SIZE);
}

#[test]
fn a_slow_target_holds_the_client_back_and_gets_every_byte() {
    const SIZE: usize = 64 << 20;
    let go = Arc::new(AtomicUsize::new(0));
    let gate = go.clone();
    let target = TestTarget::new(move |mut wire, _| {
        wire.read_until("\r\n\r\n");
        eventually("the gate opens", || gate.load(Ordering::SeqCst) > 0);
        let count = wire.read_to_end_counting(SIZE);
        wire.send(ok(&count.to_string()));
    });
    let fixture = one_service(&target);
    let mut client = fixture.client();
    let mut half = client.stream.try_clone().unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = sent.clone();
    let sender = std::thread::spawn(move || {
        half.write_all(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes())
            .unwrap();
        let block = [7u8; 64 * 1024];
        while counter.load(Ordering::SeqCst) < SIZE {
            half.write_all(&block).unwrap();
            counter.fetch_add(block.len(), Ordering::SeqCst);
        }
    });
    let mut before = usize::MAX;
    while before != sent.load(Ordering::SeqCst) {
        before = sent.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(before < SIZE / 2, "{before} bytes were taken from the client before anybody read them");
    go.store(1, Ordering::SeqCst);
    assert_eq!(client.read_message().unwrap().text(), SIZE.to_string());
    sender.join().unwrap();
}

#[test]
fn both_directions_stream_at_once() {
    let target = TestTarget::new(|mut wire, _| {
        wire.read_until("\r\n\r\n");
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for _ in 0..3 {
            let line = wire.read_until("\r\n").unwrap();
            let data = wire.read_exactly(usize::from_str_radix(line.trim_end(), 16).unwrap() + 2);
            wire.send(line);
            wire.send(data);
        }
        wire.read_until("0\r\n\r\n").unwrap();
        wire.send("0\r\n\r\n");
    });
    let fixture = one_service(&target);
    let mut client = fixture.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.read_until("\r\n\r\n").unwrap();
    for word in ["one", "two", "six"] {
        client.send(format!("3\r\n{word}\r\n"));
        assert_eq!(client.read_until("\r\n").unwrap(), "3\r\n");
        assert_eq!(client.read_exactly(5), format!("{word}\r\n").as_bytes());
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.read_until("0\r\n\r\n").unwrap(), "0\r\n\r\n");
}

#[test]
fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let target = TestTarget::new(|mut wire, _| {
        wire.read_until("\r\n\r\n");
        wire.send("HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\n\r\nno");
        // Closing with unread bytes resets the connection, as careless servers do.
    });
    let fixture = one_service(&target);
    let mut client = fixture.client();
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 4 << 20));
    let answer = client.read_message().unwrap();
    assert_eq!((answer.status(), answer.text().as_str()), (413, "no"));
    assert_eq!(answer.header("connection").as_deref(), Some("close"));
    // It may go on sending for a while without being reset.
    client.send(vec![b'x'; 1 << 20]);
    client.finish_sending();
    assert!(client.is_closed());
}

impl Wire {
    /// Reads and forgets bytes until there were `most` or the stream ends; how many there were.
    fn read_to_end_counting(&mut self, most: usize) -> usize {
        let mut count = self.take_unread();
        let mut buffer = vec![0; 1 << 20];
        while count < most {
            match self.stream.read(&mut buffer).unwrap() {
                0 => break,
                more => count += more,
            }
        }
        count
    }
}
