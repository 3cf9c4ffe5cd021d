//! Clients that go away while they ask or while their target is at work.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use trellis_proxy::Limits;

use crate::failures::one_service;
use crate::support::*;

#[test]
fn a_client_that_goes_away_inside_its_body_is_recorded_and_the_target_let_go() {
    let ended = Arc::new(AtomicUsize::new(0));
    let counter = ended.clone();
    let target = TestTarget::new(move |mut wire, _| {
        assert!(wire.read_message_quietly().is_none());
        counter.fetch_add(1, Ordering::SeqCst);
    });
    let mut fixture = one_service(&target);
    let mut client = fixture.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf");
    eventually("the target has the request", || target.connections() == 1);
    client.finish_sending();
    assert_eq!(client.read_message().unwrap().status(), 400);
    eventually("the target is let go", || ended.load(Ordering::SeqCst) == 1);
    assert_eq!(reasons(&mut fixture), [(400, "ClientConnectionClosed".to_owned())]);
}

#[test]
fn a_client_that_resets_while_its_target_is_at_work_lets_the_target_go() {
    let ended = Arc::new(AtomicUsize::new(0));
    let counter = ended.clone();
    let target = TestTarget::new(move |mut wire, _| {
        wire.read_message();
        // Never answered: returns when the proxy closes.
        wire.read_to_end();
        counter.fetch_add(1, Ordering::SeqCst);
    });
    let used = group(1, &[target.address]);
    let health = used.targets[0].health.clone();
    let mut fixture = Fixture::new(world(vec![service("a", forward(&used))]));
    let mut client = fixture.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the target is at work", || health.in_flight() == 1);
    socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    eventually("the target is let go", || ended.load(Ordering::SeqCst) == 1);
    assert_eq!(reasons(&mut fixture), [(0, "ClientConnectionClosed".to_owned())]);
}

/// Reads a request, says `begun`, and waits for the proxy to close; counts that.
fn never_finishing(begun: &'static str) -> (TestTarget, Arc<AtomicUsize>) {
    let ended = Arc::new(AtomicUsize::new(0));
    let counter = ended.clone();
    let target = TestTarget::new(move |mut wire, _| {
        wire.read_message();
        wire.send(begun);
        wire.read_to_end();
        counter.fetch_add(1, Ordering::SeqCst);
    });
    (target, ended)
}

#[test]
fn a_client_that_closes_while_its_target_is_at_work_lets_the_target_go() {
    let (target, ended) = never_finishing("");
    let mut fixture = one_service(&target);
    let mut client = fixture.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the target is at work", || target.connections() == 1);
    drop(client);
    eventually("the target is let go", || ended.load(Ordering::SeqCst) == 1);
    assert_eq!(reasons(&mut fixture), [(0, "ClientConnectionClosed".to_owned())]);
}

#[test]
fn a_client_that_closes_while_a_target_is_silent_in_its_answer_lets_the_target_go() {
    let (target, ended) = never_finishing("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n");
    let limits = Limits { half_closed_patience: Duration::from_millis(300), ..Limits::default() };
    let mut fixture = Fixture::with(world(vec![service("a", forward(&group(1, &[target.address])))]), limits);
    let mut client = fixture.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.read_until("hi\r\n").is_some());
    drop(client);
    eventually("the target is let go", || ended.load(Ordering::SeqCst) == 1);
    assert_eq!(reasons(&mut fixture), [(200, "ClientConnectionClosed".to_owned())]);
}

#[test]
fn an_http_1_0_client_that_closes_lets_its_target_go() {
    let (target, ended) = never_finishing("");
    let limits = Limits { half_closed_patience: Duration::from_millis(300), ..Limits::default() };
    let mut fixture = Fixture::with(world(vec![service("a", forward(&group(1, &[target.address])))]), limits);
    let mut client = fixture.client();
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    eventually("the target is at work", || target.connections() == 1);
    drop(client);
    eventually("the target is let go", || ended.load(Ordering::SeqCst) == 1);
    assert_eq!(reasons(&mut fixture), [(0, "ClientConnectionClosed".to_owned())]);
}

#[test]
fn a_client_that_has_closed_its_half_still_gets_its_answer() {
    let go = Arc::new(AtomicUsize::new(0));
    let gate = go.clone();
    let target = TestTarget::new(move |mut wire, number| {
        wire.read_message();
        if number > 0 {
            eventually("the client was asked", || gate.load(Ordering::SeqCst) > 0);
        }
        wire.send(ok("late"));
    });
    let fixture = one_service(&target);
    let mut client = fixture.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.finish_sending();
    assert_eq!(client.read_message().unwrap().text(), "late");
    assert!(client.is_closed());

    // One that waits longer is asked whether it is there: who is not answers with a reset.
    let mut client = fixture.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.finish_sending();
    assert_eq!(client.read_until("\r\n\r\n").unwrap(), "HTTP/1.1 100 Continue\r\n\r\n");
    go.store(1, Ordering::SeqCst);
    assert_eq!(client.read_message().unwrap().text(), "late");
    assert!(client.is_closed());
}

impl Wire {
    /// Like [`Wire::read_message`], for a peer that may go away inside the message.
    fn read_message_quietly(&mut self) -> Option<Message> {
        let head = self.read_until("\r\n\r\n")?;
        self.read_until("\0").map(|_| Message { head, body: Vec::new(), trailers: String::new() })
    }
}
