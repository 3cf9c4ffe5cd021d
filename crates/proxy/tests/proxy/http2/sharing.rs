//! Bodies that share the window of a connection to a target.

use std::time::Duration;

use super::*;

/// Never reads what is sent to /hold; sends back what is sent anywhere else.
pub(super) fn half_deaf() -> Http2Target {
    Http2Target::new(|request, mut respond| {
        Box::pin(async move {
            if request.uri().path() == "/hold" {
                let _body = request.into_body();
                let _ = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
                return;
            }
            let mut body = request.into_body();
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            while let Some(Ok(piece)) = body.data().await {
                body.flow_control().release_capacity(piece.len()).unwrap();
                if send(&mut stream, piece).await.is_err() {
                    return;
                }
            }
            let _ = stream.send_data(Bytes::new(), true);
        })
    })
}

#[test]
fn a_body_a_target_does_not_read_holds_up_nobody_elses() {
    for (version, content_type) in
        [(ProtocolVersion::Http2, "text/plain"), (ProtocolVersion::Grpc, "application/grpc")]
    {
        for announced in [true, false] {
            let target = half_deaf();
            let fixture = fixture(forward(&group_speaking(1, version, &[target.address])));
            run(async {
                let post = |path: &str, length: Option<usize>| {
                    let mut asked = request("POST", "a", path);
                    asked.headers_mut().insert("content-type", content_type.parse().unwrap());
                    if let Some(length) = length {
                        asked.headers_mut().insert("content-length", length.into());
                    }
                    asked
                };
                // Under way before, on the connection that will be held.
                let mut early = Http2::connect(&fixture).await;
                let (answer, mut early_upload) = early.begin(post("/", None)).await;
                let mut early_body = answer.await.unwrap().into_body();

                let mut held = Vec::new();
                for _ in 0..3 {
                    let mut holder = Http2::connect(&fixture).await;
                    let length = announced.then_some(1_100_000);
                    let (answer, mut upload) = holder.begin(post("/hold", length)).await;
                    // As much as the windows let it.
                    let filling = async {
                        send(&mut upload, vec![0; 1_100_000].into()).await.unwrap();
                    };
                    let _ = tokio::time::timeout(Duration::from_millis(300), filling).await;
                    held.push((holder, answer, upload));
                }
                let mut client = Http2::connect(&fixture).await;
                for n in 0..10 {
                    let body = vec![b'x'; 150_000];
                    let (answer, mut upload) = client.begin(post("/", Some(body.len()))).await;
                    let sending = async {
                        send(&mut upload, body.clone().into()).await.unwrap();
                        upload.send_data(Bytes::new(), true).unwrap();
                    };
                    let reading = async { read(answer.await.unwrap()).await.unwrap() };
                    let ((), answer) = tokio::join!(sending, reading);
                    assert!(answer.body == body, "{version:?}, {n}");
                }
                for _ in 0..10 {
                    early_upload.send_data("early".into(), false).unwrap();
                    assert_eq!(early_body.data().await.unwrap().unwrap(), "early");
                }
                drop(held);
            });
            assert!(target.connections() <= 6, "{}", target.connections());
        }
    }
}

#[test]
fn at_the_bound_of_connections_large_bodies_share_them() {
    let target = half_deaf();
    let limits = Limits { http2_connections_per_target: 2, ..Limits::default() };
    let group = group_speaking(1, ProtocolVersion::Http2, &[target.address]);
    let fixture = Fixture::with(world(vec![spec("a", forward(&group))]), limits);
    run(async {
        let client = Http2::connect(&fixture).await;
        let calls = (0..10).map(|_| {
            let mut client = Http2 { sender: client.sender.clone(), ended: tokio::spawn(async { Ok(()) }) };
            tokio::spawn(async move {
                let body = vec![b'x'; 100_000];
                let mut asked = request("POST", "a", "/");
                asked.headers_mut().insert("content-length", body.len().into());
                let (answer, mut upload) = client.begin(asked).await;
                let sending = async {
                    send(&mut upload, body.clone().into()).await.unwrap();
                    upload.send_data(Bytes::new(), true).unwrap();
                };
                let reading = async { read(answer.await.unwrap()).await.unwrap() };
                let ((), answer) = tokio::join!(sending, reading);
                assert!(answer.body == body);
            })
        });
        for call in calls.collect::<Vec<_>>() {
            call.await.unwrap();
        }
    });
    assert_eq!(target.connections(), 1, "the other is kept for others");
}
