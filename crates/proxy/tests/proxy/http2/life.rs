//! How long connections live, and how they end.

use std::time::Duration;

use h2::Reason;

use super::*;

async fn end_of(client: Http2) -> Option<h2::Error> {
    let Http2 { sender, ended } = client;
    let error = ended.await.unwrap().err();
    drop(sender);
    error
}

#[test]
fn an_idle_connection_is_told_to_go_after_the_services_idle_timeout() {
    let target = TestTarget::saying("x");
    let mut spec = spec("a", forward(&group(1, &[target.address])));
    spec.idle_timeout = Duration::from_millis(200);
    let fixture = Fixture::new(world(vec![spec]));
    run(async {
        let mut client = Http2::connect(&fixture).await;
        assert_eq!(client.get("/").await.status, 200);
        assert!(end_of(client).await.is_none_or(|error| error.reason() == Some(Reason::NO_ERROR)));
    });
    eventually("both sides are closed", || fixture.metric("trellis_proxy_connections_open") == 0.0);
}

#[test]
fn a_connection_with_a_request_under_way_is_not_idle() {
    let target = TestTarget::new(|mut wire, _| {
        wire.read_until("\r\n\r\n");
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n");
        for _ in 0..8 {
            std::thread::sleep(Duration::from_millis(100));
            wire.send("x");
        }
    });
    let mut spec = spec("a", forward(&group(1, &[target.address])));
    spec.idle_timeout = Duration::from_millis(400);
    let fixture = Fixture::new(world(vec![spec]));
    run(async {
        let mut client = Http2::connect(&fixture).await;
        assert_eq!(client.get("/").await.text(), "xxxxxxxx");
    });
}

#[test]
fn a_connection_past_its_lifetime_cuts_what_is_under_way() {
    let target = TestTarget::new(|mut wire, _| {
        wire.read_until("\r\n\r\n");
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
        for _ in 0..100 {
            std::thread::sleep(Duration::from_millis(50));
            if std::io::Write::write_all(&mut wire.stream, b"x").is_err() {
                return;
            }
        }
    });
    let limits = Limits { connection_lifetime: Duration::from_millis(500), ..Limits::default() };
    let spec = spec("a", forward(&group(1, &[target.address])));
    let mut fixture = Fixture::with(world(vec![spec]), limits);
    run(async {
        let mut client = Http2::connect(&fixture).await;
        assert!(client.call(get("a", "/")).await.is_err());
        end_of(client).await;
    });
    assert_eq!(reasons(&mut fixture), [(200, "ConnectionDurationExceeded".to_owned())]);
}

#[test]
fn a_drain_says_goaway_and_lets_requests_finish() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let target = TestTarget::new(move |mut wire, _| {
        wire.read_until("\r\n\r\n");
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha");
        wait.lock().unwrap().recv().unwrap();
        wire.send("lf");
    });
    let mut fixture = before(&target);
    let door = door(&fixture);
    let (began, begun) = std::sync::mpsc::channel();
    let client = std::thread::spawn(move || {
        run(async {
            let builder = h2::client::Builder::new();
            let (sender, connection) = builder.handshake(dial_at(door).await).await.unwrap();
            let client = Http2 { sender, ended: tokio::spawn(connection) };
            let mut ready = client.sender.clone().ready().await.unwrap();
            let (answer, _) = ready.send_request(get("a", "/"), true).unwrap();
            let answer = answer.await.unwrap();
            began.send(()).unwrap();
            // The draining proxy takes no more requests, and finishes this one.
            while client.sender.clone().ready().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            go.send(()).unwrap();
            read(answer).await.unwrap().text()
        })
    });
    begun.recv_timeout(PATIENCE).unwrap();
    fixture.drain(PATIENCE);
    assert_eq!(client.join().unwrap(), "half");
}
