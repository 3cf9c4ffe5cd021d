//! HTTP/2 clients before HTTP/2 targets, and what the protocol matrix refuses.

use std::time::Duration;

use h2::Reason;

use super::*;

fn before_http2(target: &Http2Target) -> Fixture {
    fixture(forward(&group_speaking(1, ProtocolVersion::Http2, &[target.address])))
}

#[test]
fn a_request_reaches_an_http2_target_with_the_fields_of_the_reference() {
    let target = Http2Target::saying("hello");
    let fixture = before_http2(&target);
    run(async {
        let mut client = Http2::connect(&fixture).await;
        let asked = Request::builder()
            .uri("https://A:443/p?q")
            .header("te", "trailers")
            .header("x-amzn-lattice-identity", "forged")
            .header("x-forwarded-for", "9.9.9.9");
        let answer = client.call(asked.body(()).unwrap()).await.unwrap();
        assert_eq!((answer.status, answer.text()), (200, "hello".into()));
        let seen = target.requests.lock().unwrap()[0].clone();
        assert_eq!(seen.uri, "http://A:443/p?q");
        let field = |name: &str| seen.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(field("x-amzn-requestid"), answer.field("x-amzn-requestid"));
        for (name, expected) in [
            ("te", Some("trailers")),
            ("x-forwarded-for", Some("9.9.9.9, 127.0.0.1")),
            ("x-amzn-source-vpc", Some("vpc-00000000000000001")),
            ("x-amzn-lattice-identity", None),
            ("host", None),
        ] {
            assert_eq!(field(name).as_deref(), expected, "{name}");
        }
        assert!(field("x-amzn-lattice-target").unwrap().contains("TargetGroupArn=arn:aws:vpc-lattice:"));
        assert!(answer.field("date").is_some());
    });
}

#[test]
fn requests_share_connections_to_a_target() {
    let target = Http2Target::echoing();
    let mut fixture = before_http2(&target);
    run(async {
        let client = Http2::connect(&fixture).await;
        let calls = (0..100).map(|n| {
            let mut client = Http2 { sender: client.sender.clone(), ended: tokio::spawn(async { Ok(()) }) };
            tokio::spawn(async move {
                let body = format!("{n} ").repeat(n * 100 + 1);
                assert_eq!(client.post("/", body.clone()).await.text(), body);
            })
        });
        for call in calls.collect::<Vec<_>>() {
            call.await.unwrap();
        }
    });
    // A body that has turned out to be large has others begin elsewhere.
    assert!(target.connections() <= 20, "{}", target.connections());
    assert_eq!(fixture.log_lines().len(), 100);
}

#[test]
fn a_target_that_takes_few_streams_gets_more_connections() {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(1);
    let target = Http2Target::with(builder, None, |_, mut respond| {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            respond.send_response(Response::new(()), true).unwrap();
        })
    });
    let fixture = before_http2(&target);
    run(async {
        let client = Http2::connect(&fixture).await;
        let calls = (0..20).map(|_| {
            let mut client = Http2 { sender: client.sender.clone(), ended: tokio::spawn(async { Ok(()) }) };
            tokio::spawn(async move { client.get("/").await.status })
        });
        for call in calls.collect::<Vec<_>>() {
            assert_eq!(call.await.unwrap(), 200);
        }
    });
    assert!(target.connections() > 1);
}

#[test]
fn pieces_and_trailers_cross_both_ways() {
    let target = Http2Target::echoing();
    let fixture = before_http2(&target);
    run(async {
        let mut client = Http2::connect(&fixture).await;
        let (answer, mut upload) = client.begin(request("POST", "a", "/")).await;
        upload.send_data("one".into(), false).unwrap();
        let mut body = answer.await.unwrap().into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), "one");
        upload.send_data("two".into(), false).unwrap();
        assert_eq!(body.data().await.unwrap().unwrap(), "two");
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "7".parse().unwrap());
        upload.send_trailers(trailers).unwrap();
        assert!(body.data().await.is_none());
        assert_eq!(body.trailers().await.unwrap().unwrap().get("x-sum").unwrap(), "7");
    });
}

#[test]
fn an_end_that_comes_by_itself_is_no_trailers_for_the_target() {
    let (tell, told) = std::sync::mpsc::channel();
    let target = Http2Target::new(move |request, mut respond| {
        let tell = tell.clone();
        Box::pin(async move {
            let mut body = request.into_body();
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            while let Some(Ok(piece)) = body.data().await {
                send(&mut stream, piece).await.unwrap();
            }
            tell.send(body.trailers().await.unwrap()).unwrap();
            stream.send_data(Bytes::new(), true).unwrap();
        })
    });
    let fixture = before_http2(&target);
    run(async {
        let mut client = Http2::connect(&fixture).await;
        let (answer, mut upload) = client.begin(request("POST", "a", "/")).await;
        upload.send_data("one".into(), false).unwrap();
        let mut body = answer.await.unwrap().into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), "one");
        upload.send_data(Bytes::new(), true).unwrap();
        while let Some(piece) = body.data().await {
            assert_eq!(piece.unwrap(), "");
        }
    });
    assert_eq!(told.recv_timeout(PATIENCE), Ok(None));
}

#[test]
fn large_bodies_cross_both_ways_to_http2() {
    let target = Http2Target::echoing();
    let fixture = before_http2(&target);
    run(async {
        let mut client = Http2::connect(&fixture).await;
        let (answer, mut upload) = client.begin(request("POST", "a", "/")).await;
        let body: Bytes = (0..3_000_000u32).map(|n| n as u8).collect::<Vec<_>>().into();
        let sending = async {
            send(&mut upload, body.clone()).await.unwrap();
            upload.send_data(Bytes::new(), true).unwrap();
        };
        let reading = async { read(answer.await.unwrap()).await.unwrap() };
        let ((), answer) = tokio::join!(sending, reading);
        assert!(answer.body == body);
    });
}

#[test]
fn a_refused_stream_is_tried_again() {
    let refusals = Arc::new(AtomicUsize::new(2));
    let target = Http2Target::new(move |request, mut respond| {
        let refuse = refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        Box::pin(async move {
            if refuse {
                return respond.send_reset(Reason::REFUSED_STREAM);
            }
            let mut body = request.into_body();
            let data = body.data().await.unwrap().unwrap();
            respond.send_response(Response::new(()), false).unwrap().send_data(data, true).unwrap();
        })
    });
    let fixture = before_http2(&target);
    run(async {
        let mut client = Http2::connect(&fixture).await;
        assert_eq!(client.post("/", "again").await.text(), "again");
    });
    assert_eq!(
        fixture.metric("trellis_target_group_retries_total{target_group=\"tg-00000000000000001\"}"),
        2.0
    );
}

#[test]
fn a_stream_above_the_last_of_a_goaway_is_tried_again() {
    // Reads a request and says that it has not looked at it.
    let going = TestTarget::new(|mut wire, _| {
        wire.send([0, 0, 0, 4, 0, 0, 0, 0, 0]);
        wire.read_until("again").unwrap();
        wire.send([0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        wire.read_to_end();
    });
    let staying = Http2Target::echoing();
    let both = group_speaking(1, ProtocolVersion::Http2, &[going.address, staying.address]);
    let fixture = fixture(forward(&both));
    run(async {
        let mut client = Http2::connect(&fixture).await;
        for _ in 0..4 {
            assert_eq!(client.post("/", "again").await.text(), "again");
        }
    });
    assert!(going.connections() > 0);
}

#[test]
fn a_stream_a_target_gives_up_is_not_tried_again() {
    let target = Http2Target::new(|_, mut respond| {
        Box::pin(async move { respond.send_reset(Reason::INTERNAL_ERROR) })
    });
    let mut fixture = before_http2(&target);
    run(async {
        let mut client = Http2::connect(&fixture).await;
        assert_eq!(client.get("/").await.status, 502);
    });
    assert_eq!(target.requests.lock().unwrap().len(), 1);
    assert_eq!(reasons(&mut fixture), [(502, "TargetConnectionClosed".to_owned())]);
}

#[test]
fn a_switch_of_protocols_over_http2_is_a_502() {
    let target = TestTarget::new(|mut wire, _| {
        wire.send([0, 0, 0, 4, 0, 0, 0, 0, 0]);
        wire.read_until("again").unwrap();
        // `:status: 101`, and then an answer behind it.
        wire.send([0, 0, 5, 1, 4, 0, 0, 0, 1, 0x08, 3, b'1', b'0', b'1']);
        wire.send([0, 0, 1, 1, 5, 0, 0, 0, 1, 0x88]);
        wire.read_to_end();
    });
    let mut fixture = fixture(forward(&group_speaking(1, ProtocolVersion::Http2, &[target.address])));
    run(async {
        let mut client = Http2::connect(&fixture).await;
        assert_eq!(client.post("/", "again").await.status, 502);
    });
    assert_eq!(reasons(&mut fixture), [(502, "TargetProtocolError".to_owned())]);
}

#[test]
fn a_target_that_breaks_off_has_its_reason_passed_on() {
    let target = Http2Target::new(|_, mut respond| {
        Box::pin(async move {
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            stream.send_data("half".into(), false).unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
            stream.send_reset(Reason::ENHANCE_YOUR_CALM);
        })
    });
    let fixture = before_http2(&target);
    run(async {
        let mut client = Http2::connect(&fixture).await;
        let error = client.call(get("a", "/")).await.unwrap_err();
        assert_eq!(error.reason(), Some(Reason::ENHANCE_YOUR_CALM));
    });
}

#[test]
fn resetting_a_stream_resets_it_at_the_target() {
    let (tell, told) = std::sync::mpsc::channel();
    let target = Http2Target::new(move |_, mut respond| {
        let tell = tell.clone();
        Box::pin(async move {
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            let reason = std::future::poll_fn(|cx| stream.poll_reset(cx)).await.unwrap();
            tell.send(reason).unwrap();
        })
    });
    let fixture = before_http2(&target);
    run(async {
        let mut client = Http2::connect(&fixture).await;
        let (answer, mut upload) = client.begin(request("POST", "a", "/")).await;
        let body = answer.await.unwrap();
        upload.send_reset(Reason::CANCEL);
        drop(body);
        let told = tokio::task::spawn_blocking(move || told.recv_timeout(PATIENCE));
        assert_eq!(told.await.unwrap(), Ok(Reason::CANCEL));
    });
}

#[test]
fn a_target_that_speaks_http1_only_is_a_502() {
    let target = TestTarget::new(|mut wire, _| {
        wire.read_until("\r\n\r\n");
        wire.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        wire.read_to_end();
    });
    let mut fixture = fixture(forward(&group_speaking(1, ProtocolVersion::Http2, &[target.address])));
    run(async {
        let mut client = Http2::connect(&fixture).await;
        assert_eq!(client.post("/", "x").await.status, 502);
    });
    assert_eq!(reasons(&mut fixture), [(502, "TargetProtocolError".to_owned())]);
}

#[test]
fn a_client_that_stands_still_holds_up_nobody_else_at_the_target() {
    let target = Http2Target::new(|request, mut respond| {
        Box::pin(async move {
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            static FLOOD: [u8; 2 << 20] = [b'x'; 2 << 20];
            let size = if request.uri().path() == "/flood" { FLOOD.len() } else { 1 };
            if send(&mut stream, Bytes::from_static(&FLOOD[..size])).await.is_ok() {
                let _ = stream.send_data(Bytes::new(), true);
            }
        })
    });
    let fixture = before_http2(&target);
    run(async {
        let still = Http2::connect(&fixture).await;
        let mut held = Vec::new();
        for _ in 0..60 {
            let mut ready = still.sender.clone().ready().await.unwrap();
            let (answer, _) = ready.send_request(get("a", "/flood"), true).unwrap();
            held.push(answer.await.unwrap());
        }
        let mut client = Http2::connect(&fixture).await;
        for _ in 0..20 {
            assert_eq!(client.get("/").await.text(), "x");
        }
        assert!(still.sender.clone().ready().await.is_ok());
        still.ended.abort();
    });
}

#[test]
fn what_the_matrix_refuses_never_reaches_a_target() {
    let target = Http2Target::saying("x");
    let plain = TestTarget::saying("x");
    let grpc = |path: &str| {
        let mut asked = request("POST", "a", path);
        asked.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        asked
    };
    // gRPC before HTTP1 targets, in the words of gRPC.
    let mut first = before(&plain);
    run(async {
        let answer = Http2::connect(&first).await.call(grpc("/p.S/M")).await.unwrap();
        assert_eq!((answer.status, answer.field("grpc-status").as_deref()), (200, Some("14")));
        assert_eq!(answer.field("content-type").as_deref(), Some("application/grpc"));
    });
    // HTTP/2, but not POST, before gRPC targets.
    let mut second = fixture(forward(&group_speaking(1, ProtocolVersion::Grpc, &[target.address])));
    run(async {
        let mut client = Http2::connect(&second).await;
        assert_eq!(client.get("/").await.status, 502);
        assert_eq!(client.post("/", "x").await.text(), "x", "any POST will do");
    });
    assert_eq!((plain.connections(), target.connections()), (0, 1));
    let lines = first.log_lines();
    assert_eq!(
        (lines[0]["responseCode"].as_u64(), lines[0]["grpcResponseCode"].as_u64()),
        (Some(502), Some(14))
    );
    assert_eq!(lines[0]["failureReason"], "TargetProtocolError");
    assert_eq!(reasons(&mut second), [(200, "-".to_owned()), (502, "TargetProtocolError".to_owned())]);
}

#[test]
fn https_targets_are_spoken_to_over_tls_when_they_choose_h2() {
    let target = Http2Target::secure(&[b"h2"], "sealed");
    let fixture = |target: &Http2Target| {
        let group = group_over(TargetProtocol::Https, 1, ProtocolVersion::Http2, &[target.address]);
        fixture(forward(&group))
    };
    let first = fixture(&target);
    run(async {
        let mut client = Http2::connect(&first).await;
        for _ in 0..3 {
            assert_eq!(client.get("/").await.text(), "sealed");
        }
    });
    assert_eq!(target.connections(), 1);
    assert_eq!(target.requests.lock().unwrap()[0].uri, "https://a/");
    let other = Http2Target::secure(&[b"http/1.1"], "unreachable");
    let mut second = fixture(&other);
    run(async {
        let mut client = Http2::connect(&second).await;
        assert_eq!(client.get("/").await.status, 502);
    });
    assert_eq!(reasons(&mut second), [(502, "TargetProtocolError".to_owned())]);
}

#[test]
fn http1_clients_are_refused_before_http2_and_grpc_targets() {
    let target = Http2Target::saying("x");
    for version in [ProtocolVersion::Http2, ProtocolVersion::Grpc] {
        let mut fixture = fixture(forward(&group_speaking(1, version, &[target.address])));
        let config = Arc::new(trusting(&[ours()], &[b"http/1.1"]));
        let mut client = Wire::secure(fixture.secure_port(), "a", &config).unwrap();
        assert_eq!(client.get("a", "/").status(), 502);
        drop(client);
        assert_eq!(reasons(&mut fixture), [(502, "TargetProtocolError".to_owned())]);
    }
    assert_eq!(target.connections(), 0);
}

#[test]
fn a_target_that_floods_loses_its_connection_and_nobody_is_blamed_for_an_error() {
    let target = TestTarget::new(|mut wire, _| {
        wire.send([0, 0, 0, 4, 0, 0, 0, 0, 0]);
        let pings = [0, 0, 8, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0].repeat(100);
        while wire.write(&pings).is_ok() {}
    });
    let mut fixture = fixture(forward(&group_speaking(1, ProtocolVersion::Http2, &[target.address])));
    run(async {
        let mut client = Http2::connect(&fixture).await;
        assert_eq!(client.post("/", "x").await.status, 502);
    });
    assert_eq!(reasons(&mut fixture), [(502, "TargetConnectionClosed".to_owned())]);
}
