//! gRPC end to end: trailers, status, deadlines.

use std::time::Duration;

use h2::Reason;

use super::*;

fn call(method: &str) -> Request<()> {
    let mut asked = request("POST", "a", &format!("/shop.Cart/{method}"));
    asked.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    asked.headers_mut().insert("te", "trailers".parse().unwrap());
    asked
}

/// Echoes messages and ends with the status asked for by the method's name.
fn cart() -> Http2Target {
    Http2Target::new(|request, mut respond| {
        Box::pin(async move {
            let method = request.uri().path().rsplit('/').next().unwrap().to_owned();
            let mut body = request.into_body();
            let mut head = Response::new(());
            head.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
            if method == "Refuse" {
                head.headers_mut().insert("grpc-status", "7".parse().unwrap());
                respond.send_response(head, true).unwrap();
                return;
            }
            if method == "Hang" {
                let _ = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
                return;
            }
            let mut stream = respond.send_response(head, false).unwrap();
            if method == "HangLater" {
                let _ = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
                return;
            }
            while let Some(Ok(message)) = body.data().await {
                body.flow_control().release_capacity(message.len()).unwrap();
                send(&mut stream, message).await.unwrap();
            }
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", if method == "Fail" { 5 } else { 0 }.into());
            trailers.insert("grpc-message", "said".parse().unwrap());
            stream.send_trailers(trailers).unwrap();
        })
    })
}

fn before_grpc(target: &Http2Target) -> Fixture {
    fixture(forward(&group_speaking(1, ProtocolVersion::Grpc, &[target.address])))
}

const MESSAGE: &[u8] = b"\0\0\0\0\x02hi";

#[test]
fn status_and_message_cross_in_trailers() {
    let target = cart();
    let mut fixture = before_grpc(&target);
    run(async {
        let mut client = Http2::connect(&fixture).await;
        for (method, status) in [("Add", "0"), ("Fail", "5")] {
            let (answer, mut upload) = client.begin(call(method)).await;
            upload.send_data(Bytes::from_static(MESSAGE), true).unwrap();
            let answer = read(answer.await.unwrap()).await.unwrap();
            assert_eq!((answer.status, answer.body.as_slice()), (200, MESSAGE));
            let trailers = answer.trailers.unwrap();
            assert_eq!(trailers.get("grpc-status").unwrap(), status);
            assert_eq!(trailers.get("grpc-message").unwrap(), "said");
        }
        let refused = client.call(call("Refuse")).await.unwrap();
        assert_eq!(refused.field("grpc-status").as_deref(), Some("7"), "trailers only");
    });
    let codes: Vec<_> = fixture.log_lines().iter().map(|line| line["grpcResponseCode"].as_u64()).collect();
    assert_eq!(codes, [Some(0), Some(5), Some(7)]);
    assert_eq!(target.requests.lock().unwrap()[0].headers.get("te").unwrap(), "trailers");
}

#[test]
fn messages_stream_both_ways() {
    let target = cart();
    let fixture = before_grpc(&target);
    run(async {
        let mut client = Http2::connect(&fixture).await;
        let (answer, mut upload) = client.begin(call("Talk")).await;
        let mut body = answer.await.unwrap().into_body();
        for _ in 0..10 {
            upload.send_data(Bytes::from_static(MESSAGE), false).unwrap();
            assert_eq!(body.data().await.unwrap().unwrap(), MESSAGE);
        }
        upload.send_data(Bytes::new(), true).unwrap();
        assert!(body.data().await.is_none());
        assert_eq!(body.trailers().await.unwrap().unwrap().get("grpc-status").unwrap(), "0");
    });
}

#[test]
fn the_deadline_of_a_call_ends_it_with_deadline_exceeded() {
    let target = cart();
    let mut fixture = before_grpc(&target);
    run(async {
        let mut client = Http2::connect(&fixture).await;
        let timed = |method: &str| {
            let mut asked = call(method);
            asked.headers_mut().insert("grpc-timeout", "100m".parse().unwrap());
            asked
        };
        let answer = client.call(timed("Hang")).await.unwrap();
        assert_eq!((answer.status, answer.field("grpc-status").as_deref()), (200, Some("4")));
        let answer = client.call(timed("HangLater")).await.unwrap();
        assert_eq!(answer.trailers.unwrap().get("grpc-status").unwrap(), "4");
        assert_eq!(target.requests.lock().unwrap()[0].headers.get("grpc-timeout").unwrap(), "100m");
    });
    let lines = fixture.log_lines();
    assert_eq!(lines.len(), 2);
    for (line, status) in lines.iter().zip([504, 200]) {
        assert_eq!(
            (line["grpcResponseCode"].as_u64(), line["responseCode"].as_u64()),
            (Some(4), Some(status))
        );
        assert_eq!(line["failureReason"], "TargetDataTimeout");
    }
}

#[test]
fn cancelling_a_call_cancels_it_at_the_target() {
    let (tell, told) = std::sync::mpsc::channel();
    let target = Http2Target::new(move |_, mut respond| {
        let tell = tell.clone();
        Box::pin(async move {
            tell.send(None).unwrap();
            tell.send(std::future::poll_fn(|cx| respond.poll_reset(cx)).await.ok()).unwrap();
        })
    });
    let fixture = before_grpc(&target);
    run(async {
        let mut client = Http2::connect(&fixture).await;
        let (_answer, mut upload) = client.begin(call("Hang")).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        let told = tokio::task::spawn_blocking(move || {
            assert_eq!(told.recv_timeout(PATIENCE), Ok(None));
            told
        });
        let told = told.await.unwrap();
        upload.send_reset(Reason::CANCEL);
        let reason = tokio::task::spawn_blocking(move || told.recv_timeout(PATIENCE)).await.unwrap();
        assert_eq!(reason, Ok(Some(Reason::CANCEL)));
    });
}

#[test]
fn a_call_that_is_refused_here_or_reaches_no_target_is_told_so_in_the_words_of_grpc() {
    let silent = TestTarget::new(|mut wire, _| {
        wire.send([0, 0, 0, 4, 0, 0, 0, 0, 0]);
        wire.read_to_end();
    });
    let dead = group_speaking(1, ProtocolVersion::Grpc, &[nobody()]);
    let empty = group_speaking(2, ProtocolVersion::Grpc, &[]);
    let still = group_speaking(3, ProtocolVersion::Grpc, &[silent.address]);
    let mut services = vec![
        spec("a", Action::FixedResponse(404)),
        spec("closed", Action::FixedResponse(404)),
        spec("dead", forward(&dead)),
        spec("empty", forward(&empty)),
        spec("silent", forward(&still)),
    ];
    services[1].auth = trellis_model::snapshot::Auth::DenyAll;
    services[4].idle_timeout = Duration::from_millis(200);
    let mut fixture = Fixture::new(world(services));
    let to = |host: &str, path: &str| {
        let mut asked = request("POST", host, path);
        asked.headers_mut().insert("content-type", "application/grpc+proto".parse().unwrap());
        asked
    };
    let mut spaced = to("a", "/p.S/M");
    spaced.headers_mut().append("x", http::HeaderValue::from_bytes(b"y ").unwrap());
    let mut large = to("a", "/p.S/M");
    for _ in 0..4 {
        large.headers_mut().append("x-large", "y".repeat(40_000).parse().unwrap());
    }
    let expected = [
        (to("a", "/p.S/M"), 404, 12, "Not Found"),
        (to("nobody", "/p.S/M"), 404, 12, "Not Found"),
        (to("closed", "/p.S/M%"), 403, 7, "/p.S/M%25 because no service-based policy"),
        (to("dead", "/p.S/M"), 500, 14, "Internal Server Error"),
        (to("empty", "/p.S/M"), 503, 14, "Service Unavailable"),
        (to("silent", "/p.S/M"), 504, 4, "Gateway Timeout"),
        (spaced, 400, 13, "Bad Request"),
        (large, 431, 8, "Request Header Fields Too Large"),
    ];
    let statuses: Vec<_> = expected.iter().map(|(_, status, code, _)| (*status, *code)).collect();
    run(async {
        let mut client = Http2::connect(&fixture).await;
        for (asked, status, code, words) in expected {
            let answer = client.call(asked).await.unwrap();
            assert_eq!((answer.status, answer.body.len()), (200, 0), "{status}: trailers only");
            assert_eq!(answer.field("content-type").as_deref(), Some("application/grpc"));
            assert_eq!(answer.field("grpc-status"), Some(code.to_string()), "{status}");
            let message = answer.field("grpc-message").unwrap();
            assert!(message.contains(words), "{message}");
        }
    });
    let lines = fixture.log_lines();
    let logged: Vec<_> = lines
        .iter()
        .map(|line| (line["responseCode"].as_u64().unwrap(), line["grpcResponseCode"].as_u64().unwrap()))
        .collect();
    assert_eq!(logged, statuses, "the log keeps HTTP's status");
}

#[test]
fn calls_are_never_cut_by_what_clients_send_around_them() {
    let target = cart();
    let mut fixture = before_grpc(&target);
    const CALLS: u32 = 1500;
    run(async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut from, mut to) = tokio::io::split(dial(&fixture).await);
        let frame = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
            let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
            frame.extend([kind, flags]);
            frame.extend(stream.to_be_bytes());
            frame.extend(payload);
            frame
        };
        let literal = |name: &str, value: &str| {
            [&[0, name.len() as u8], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
        };
        // :method POST, :scheme https of the static table.
        let mut head = vec![0x83, 0x87];
        for (name, value) in [
            (":path", "/shop.Cart/Add"),
            (":authority", "a"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ] {
            head.extend(literal(name, value));
        }
        to.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        to.write_all(&frame(4, 0, 0, &[])).await.unwrap();
        for n in 0..CALLS {
            let stream = 2 * n + 1;
            let mut call = frame(1, 0x4, stream, &head);
            call.extend(frame(0, 0, stream, MESSAGE));
            call.extend(frame(0, 0x1, stream, &[]));
            to.write_all(&call).await.unwrap();
            loop {
                let mut header = [0; 9];
                from.read_exact(&mut header).await.unwrap();
                let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
                let mut payload = vec![0; length];
                from.read_exact(&mut payload).await.unwrap();
                assert!(![3, 7].contains(&header[3]), "call {n}: {}", String::from_utf8_lossy(&payload));
                if header[3] == 1 && header[4] & 0x1 != 0 {
                    break;
                }
            }
            let mut around = frame(8, 0, 0, &[0, 0, 0, 7]);
            around.extend(frame(8, 0, stream, &[0, 0, 0, 7]));
            around.extend(frame(6, 0, 0, &[0; 8]));
            to.write_all(&around).await.unwrap();
        }
    });
    let lines = fixture.log_lines();
    assert_eq!(lines.len(), CALLS as usize);
    assert!(lines.iter().all(|line| line["grpcResponseCode"] == 0));
}

#[test]
fn callers_sign_their_calls_and_are_denied_in_the_words_of_grpc() {
    use crate::callers::{as_alice, with_alice};

    const POLICY: &str = r#"{"Statement":{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"*",
        "Resource":"*/shop.Cart/Add","Condition":{"StringEquals":{"vpc-lattice-svcs:RequestMethod":"POST"},
        "Null":{"vpc-lattice-svcs:RequestQueryString/x":"true"}}}}"#;
    let target = cart();
    let group = group_speaking(1, ProtocolVersion::Grpc, &[target.address]);
    let mut fixture = Fixture::new(with_alice(world(vec![spec("a", forward(&group))]), POLICY));
    run(async {
        let mut client = Http2::connect(&fixture).await;
        for (method, signs, status) in [("Add", true, "0"), ("Add", false, "7"), ("Fail", true, "7")] {
            let mut asked = call(method);
            if signs {
                for (name, value) in as_alice("POST", &format!("/shop.Cart/{method}")) {
                    asked.headers_mut().insert(name, value.parse().unwrap());
                }
            }
            let (answer, mut upload) = client.begin(asked).await;
            let _ = upload.send_data(Bytes::from_static(MESSAGE), true);
            let answer = read(answer.await.unwrap()).await.unwrap();
            let told = answer.field("grpc-status");
            let trailers = answer.trailers.as_ref().and_then(|trailers| trailers.get("grpc-status").cloned());
            let found = told.or_else(|| Some(trailers?.to_str().unwrap().to_owned()));
            assert_eq!((answer.status, found.as_deref()), (200, Some(status)), "{method} {signs}");
            if status == "7" {
                let message = answer.field("grpc-message").unwrap();
                let user = if signs { "arn:aws:iam::111122223333:user/app/alice" } else { "anonymous" };
                assert!(
                    message.starts_with(&format!("AccessDeniedException: User: {user} is not")),
                    "{message}"
                );
                assert!(
                    message.ends_with(&format!(
                        "svc-00000000000000001/shop.Cart/{method} because no \
                    network-based policy allows the vpc-lattice-svcs:Invoke action"
                    )),
                    "{message}"
                );
            }
        }
    });
    let lines = fixture.log_lines();
    assert_eq!(lines.iter().filter(|line| line["authDeniedReason"] == "Network").count(), 2);
    let alices = "arn:aws:iam::111122223333:user/app/alice";
    assert_eq!(lines.iter().filter(|line| line["callerPrincipal"] == alices).count(), 2);
}
