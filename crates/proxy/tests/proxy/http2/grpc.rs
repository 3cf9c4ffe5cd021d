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
    for line in fixture.log_lines() {
        assert_eq!((line["grpcResponseCode"].as_u64(), line["responseCode"].as_u64()), (Some(4), Some(200)));
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
fn a_path_that_no_rule_sends_on_is_a_plain_404() {
    let fixture = fixture(Action::FixedResponse(404));
    run(async {
        let answer = Http2::connect(&fixture).await.call(call("Add")).await.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (404, "Not Found"));
        assert_eq!(answer.field("grpc-status"), None);
    });
}
