//! HTTP/2 clients before HTTP/1.1 targets.

use std::sync::mpsc;
use std::time::Duration;

use h2::Reason;

use super::*;

#[test]
fn a_request_reaches_an_http1_target_with_the_fields_of_the_reference() {
    let target = TestTarget::saying("hello");
    let fixture = before(&target);
    run(async {
        let mut client = Http2::connect(&fixture).await;
        let asked = Request::builder()
            .uri("https://A:443/p?q")
            .header("x-forwarded-for", "9.9.9.9")
            .header("x-amzn-lattice-identity", "forged")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("x-a", "kept");
        let answer = client.call(asked.body(()).unwrap()).await.unwrap();
        assert_eq!((answer.status, answer.text()), (200, "hello".into()));
        let seen = target.last_request();
        assert!(seen.head.starts_with("GET /p?q HTTP/1.1\r\n"), "{}", seen.head);
        let id = seen.header("x-amzn-requestid");
        assert_eq!(answer.field("x-amzn-requestid"), id);
        assert_eq!(answer.field("content-length").as_deref(), Some("5"));
        assert!(answer.field("date").is_some());
        for (name, expected) in [
            ("host", Some("A:443")),
            ("x-a", Some("kept")),
            ("cookie", Some("a=1; b=2")),
            ("x-forwarded-for", Some("9.9.9.9, 127.0.0.1")),
            ("x-forwarded-proto", Some("https")),
            ("x-forwarded-port", Some("443")),
            ("x-amzn-source-vpc", Some("vpc-00000000000000001")),
            ("x-amzn-lattice-identity", None),
            ("transfer-encoding", None),
        ] {
            assert_eq!(seen.header(name).as_deref(), expected, "{name}");
        }
    });
    assert_eq!(fixture.network.dialled.lock().unwrap()[0].0, vpc(901), "opened from inside the target's VPC");
}

#[test]
fn many_requests_share_a_connection_and_each_gets_its_own_answer() {
    let target = TestTarget::answering(|request| ok(&request.text()));
    let mut fixture = before(&target);
    run(async {
        let mut client = Http2::connect(&fixture).await;
        // After one answer the client knows how many streams it may have.
        client.get("/").await;
        let calls = (0..300).map(|n| {
            let mut client = Http2 { sender: client.sender.clone(), ended: tokio::spawn(async { Ok(()) }) };
            tokio::spawn(async move {
                let body = format!("{n} ").repeat(n * 7 + 1);
                assert_eq!(client.post("/", body.clone()).await.text(), body);
            })
        });
        for call in calls.collect::<Vec<_>>() {
            call.await.unwrap();
        }
    });
    assert!(target.connections() <= 128, "no more than may be under way at once");
    assert_eq!(fixture.log_lines().len(), 301);
}

#[test]
fn large_bodies_cross_both_ways_to_http1() {
    let target = TestTarget::answering(|request| {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", request.body.len(), request.text())
    });
    let fixture = before(&target);
    run(async {
        let mut client = Http2::connect(&fixture).await;
        let body: String = (0..400_000).map(|n: u32| char::from(b'a' + (n % 26) as u8)).collect();
        for length in [None, Some(body.len())] {
            let mut asked = request("POST", "a", "/");
            if let Some(length) = length {
                asked.headers_mut().insert("content-length", length.into());
            }
            let (answer, mut upload) = client.begin(asked).await;
            send(&mut upload, body.clone().into()).await.unwrap();
            upload.send_data(Bytes::new(), true).unwrap();
            assert!(read(answer.await.unwrap()).await.unwrap().text() == body);
            let encoding = target.last_request().header("transfer-encoding");
            assert_eq!(encoding.is_some(), length.is_none());
        }
    });
}

#[test]
fn pieces_cross_before_the_body_ends() {
    // Answers each chunk with a chunk.
    let target = TestTarget::new(|mut wire, _| {
        wire.read_until("\r\n\r\n").unwrap();
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        loop {
            let size = usize::from_str_radix(wire.read_until("\r\n").unwrap().trim_end(), 16).unwrap();
            let data = wire.read_exactly(size + 2);
            if size == 0 {
                return wire.send("0\r\n\r\n");
            }
            wire.send(format!("{size:x}\r\n"));
            wire.send(data);
        }
    });
    let fixture = before(&target);
    run(async {
        let mut client = Http2::connect(&fixture).await;
        let (answer, mut upload) = client.begin(request("POST", "a", "/")).await;
        upload.send_data("one".into(), false).unwrap();
        let mut body = answer.await.unwrap().into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), "one");
        upload.send_data("two".into(), false).unwrap();
        assert_eq!(body.data().await.unwrap().unwrap(), "two");
        upload.send_data(Bytes::new(), true).unwrap();
        while let Some(rest) = body.data().await {
            assert_eq!(rest.unwrap(), "");
        }
    });
}

#[test]
fn trailers_cross_both_ways() {
    let target = TestTarget::answering(|request| {
        let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n";
        format!("{answer}X-Echo: {}Content-Type: text/evil\r\n\r\n", request.trailers.replace("x-sum: ", ""))
    });
    let fixture = before(&target);
    run(async {
        let mut client = Http2::connect(&fixture).await;
        let (answer, mut upload) = client.begin(request("POST", "a", "/")).await;
        upload.send_data("data".into(), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "7".parse().unwrap());
        trailers.insert("authorization", "evil".parse().unwrap());
        upload.send_trailers(trailers).unwrap();
        let answer = read(answer.await.unwrap()).await.unwrap();
        assert_eq!(answer.text(), "body");
        let trailers = answer.trailers.unwrap();
        assert_eq!(trailers.get("x-echo").unwrap(), "7");
        assert_eq!(trailers.len(), 1);
    });
    assert_eq!(target.last_request().trailers, "x-sum: 7\r\n");
}

#[test]
fn answers_without_a_body_have_none() {
    let target = TestTarget::answering(|request| match request.head.split(' ').nth(1).unwrap() {
        "/204" => "HTTP/1.1 204 No Content\r\n\r\n".into(),
        "/304" => "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n".into(),
        _ => ok(""),
    });
    let fixture = before(&target);
    run(async {
        let mut client = Http2::connect(&fixture).await;
        for (path, status) in [("/204", 204), ("/304", 304), ("/", 200)] {
            let answer = client.get(path).await;
            assert_eq!((answer.status, answer.body.len()), (status, 0), "{path}");
        }
    });
}

#[test]
fn head_keeps_the_length_and_sends_no_body() {
    let target = TestTarget::new(|mut wire, _| {
        while wire.read_until("\r\n\r\n").is_some() {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
        }
    });
    let fixture = before(&target);
    run(async {
        let mut client = Http2::connect(&fixture).await;
        for _ in 0..2 {
            let answer = client.call(request("HEAD", "a", "/")).await.unwrap();
            assert_eq!((answer.status, answer.body.len()), (200, 0));
            assert_eq!(answer.field("content-length").as_deref(), Some("1000"));
        }
    });
}

#[test]
fn an_answer_that_ends_with_its_connection_is_whole() {
    let target = TestTarget::new(|mut wire, _| {
        wire.read_until("\r\n\r\n");
        wire.send("HTTP/1.1 200 OK\r\n\r\nuntil the end");
    });
    let fixture = before(&target);
    run(async {
        let mut client = Http2::connect(&fixture).await;
        for _ in 0..2 {
            assert_eq!(client.get("/").await.text(), "until the end");
        }
    });
}

#[test]
fn interim_answers_come_before_the_final_one() {
    let target = TestTarget::new(|mut wire, _| {
        wire.read_until("\r\n\r\n");
        wire.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
        wire.read_until("go\r\n");
        wire.send(ok("done"));
    });
    let fixture = before(&target);
    run(async {
        let mut client = Http2::connect(&fixture).await;
        let mut asked = request("POST", "a", "/");
        asked.headers_mut().insert("expect", "100-continue".parse().unwrap());
        let (mut answer, mut upload) = client.begin(asked).await;
        for expected in [103, 100] {
            let interim = std::future::poll_fn(|cx| answer.poll_informational(cx)).await;
            assert_eq!(interim.unwrap().unwrap().status().as_u16(), expected);
        }
        upload.send_data("go".into(), true).unwrap();
        assert_eq!(read(answer.await.unwrap()).await.unwrap().text(), "done");
    });
}

#[test]
fn a_client_that_waits_for_continue_is_told_in_the_place_of_a_silent_target() {
    let target = TestTarget::saying("x");
    let limits = Limits { continue_timeout: Duration::from_millis(50), ..Limits::default() };
    let fixture = Fixture::with(world(vec![spec("a", forward(&group(1, &[target.address])))]), limits);
    run(async {
        let mut client = Http2::connect(&fixture).await;
        let mut asked = request("POST", "a", "/");
        asked.headers_mut().insert("expect", "100-continue".parse().unwrap());
        let (mut answer, mut upload) = client.begin(asked).await;
        let interim = std::future::poll_fn(|cx| answer.poll_informational(cx)).await;
        assert_eq!(interim.unwrap().unwrap().status().as_u16(), 100);
        upload.send_data("body".into(), true).unwrap();
        assert_eq!(answer.await.unwrap().status(), 200);
    });
}

#[test]
fn resetting_a_stream_closes_the_connection_to_its_target_and_no_other() {
    let (tell, told) = mpsc::channel();
    let target = TestTarget::new(move |mut wire, _| {
        let head = wire.read_until("\r\n\r\n").unwrap();
        if head.starts_with("GET /stay") {
            return wire.send(ok("stayed"));
        }
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
        tell.send("began").unwrap();
        wire.read_to_end();
        tell.send("closed").unwrap();
    });
    let mut fixture = before(&target);
    run(async {
        let mut client = Http2::connect(&fixture).await;
        let (answer, mut upload) = client.begin(request("POST", "a", "/")).await;
        let body = answer.await.unwrap().into_body();
        assert_eq!(told.recv_timeout(PATIENCE), Ok("began"));
        upload.send_reset(Reason::CANCEL);
        drop(body);
        assert_eq!(client.get("/stay").await.text(), "stayed");
    });
    assert_eq!(told.recv_timeout(PATIENCE), Ok("closed"));
    let expected = [(200, "-"), (200, "ClientConnectionClosed")];
    assert_eq!(reasons(&mut fixture), expected.map(|(status, reason)| (status, reason.to_owned())));
}

#[test]
fn a_target_that_fails_costs_one_stream() {
    let target = TestTarget::new(|mut wire, _| {
        let head = wire.read_until("\r\n\r\n").unwrap();
        wire.send(match head.split(' ').nth(1).unwrap() {
            "/half" => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".into(),
            "/chunk" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense".into(),
            "/nonsense" => "nonsense\r\n\r\n".into(),
            "/nothing" => String::new(),
            _ => ok("fine"),
        });
    });
    let mut fixture = before(&target);
    run(async {
        let mut client = Http2::connect(&fixture).await;
        for path in ["/half", "/chunk"] {
            let error = client.call(get("a", path)).await.unwrap_err();
            assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR), "{path}");
        }
        for path in ["/nonsense", "/nothing"] {
            assert_eq!(client.get(path).await.status, 502, "{path}");
        }
        assert_eq!(client.get("/").await.text(), "fine");
    });
    let expected = [
        (200, "-"),
        (200, "TargetConnectionClosed"),
        (200, "TargetProtocolError"),
        (502, "TargetConnectionClosed"),
        (502, "TargetProtocolError"),
    ];
    assert_eq!(reasons(&mut fixture), expected.map(|(status, reason)| (status, reason.to_owned())));
}

#[test]
fn a_refused_connect_is_tried_once_more_for_a_stream_too() {
    let target = TestTarget::answering(|request| ok(&request.text()));
    let fixture = fixture(forward(&group(1, &[nobody(), target.address])));
    run(async {
        let mut client = Http2::connect(&fixture).await;
        for _ in 0..6 {
            assert_eq!(client.post("/", "again").await.text(), "again");
        }
    });
}

#[test]
fn a_kept_connection_the_target_has_closed_costs_no_stream() {
    let target = TestTarget::new(|mut wire, _| {
        if let Some(request) = wire.read_message() {
            wire.send(ok(&request.text()));
        }
    });
    let fixture = before(&target);
    run(async {
        let mut client = Http2::connect(&fixture).await;
        for n in 0..30 {
            assert_eq!(client.post("/", n.to_string()).await.text(), n.to_string());
            assert_eq!(client.get("/").await.status, 200);
        }
    });
}

#[test]
fn a_client_that_does_not_read_slows_its_target_and_nobody_else() {
    let (tell, told) = mpsc::channel();
    let target = TestTarget::new(move |mut wire, _| {
        let head = wire.read_until("\r\n\r\n").unwrap();
        if !head.starts_with("GET /flood") {
            return wire.send(ok("served"));
        }
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
        wire.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let mut sent = 0;
        while let Ok(count) = std::io::Write::write(&mut wire.stream, &[b'x'; 65536]) {
            sent += count;
        }
        tell.send(sent).unwrap();
    });
    let fixture = before(&target);
    run(async {
        // A client with room on its connection, but none for this answer.
        let mut builder = h2::client::Builder::new();
        builder.initial_connection_window_size(1 << 20);
        let mut client = Http2::with(&fixture, &builder).await;
        let mut ready = client.sender.clone().ready().await.unwrap();
        let (answer, _) = ready.send_request(get("a", "/flood"), true).unwrap();
        let _unread = answer.await.unwrap();
        assert_eq!(client.get("/").await.text(), "served");
        let sent = tokio::task::spawn_blocking(move || told.recv_timeout(PATIENCE).unwrap()).await.unwrap();
        // What the sockets hold, and less than a megabyte of ours.
        assert!(sent < 32 << 20, "{sent} bytes left the target");
    });
}

#[test]
fn a_target_that_does_not_read_slows_its_client() {
    let target = TestTarget::new(|mut wire, _| {
        wire.read_until("\r\n\r\n");
        std::thread::sleep(Duration::from_millis(700));
    });
    let fixture = before(&target);
    run(async {
        let mut client = Http2::connect(&fixture).await;
        let (_answer, mut upload) = client.begin(request("POST", "a", "/")).await;
        let flood = async {
            let mut sent = 0;
            let piece = Bytes::from(vec![b'x'; 65536]);
            while send(&mut upload, piece.clone()).await.is_ok() {
                sent += piece.len();
                assert!(sent < 64 << 20, "nothing stops the client");
            }
        };
        let _ = tokio::time::timeout(Duration::from_millis(500), flood).await;
    });
}
