//! Answers of our own over HTTP/2, and what is written down.

use trellis_model::snapshot::{Action, Auth};

use super::*;

#[test]
fn answers_are_those_of_http1() {
    let mut closed = spec("closed", Action::FixedResponse(404));
    closed.auth = Auth::DenyAll;
    let empty = spec("empty", forward(&group(1, &[])));
    let dead = spec("dead", forward(&group(2, &[nobody()])));
    let fixed = spec("a", Action::FixedResponse(404));
    let mut fixture = Fixture::new(world(vec![fixed, closed, empty, dead]));
    run(async {
        let mut client = Http2::connect(&fixture).await;
        for (method, host, status, text) in [
            ("GET", "a", 404, "Not Found"),
            ("GET", "A:8443", 404, "Not Found"),
            ("GET", "unknown", 404, "Not Found"),
            ("GET", "empty", 503, "Service Unavailable"),
            ("GET", "dead", 500, "Internal Server Error"),
            ("TRACE", "a", 405, "Method Not Allowed"),
            ("HEAD", "a", 404, ""),
        ] {
            let answer = client.call(request(method, host, "/x")).await.unwrap();
            assert_eq!((answer.status, answer.text().as_str()), (status, text), "{method} {host}");
            assert_eq!(answer.field("content-type").as_deref(), Some("text/plain"));
            assert!(answer.field("x-amzn-requestid").is_some() && answer.field("date").is_some());
        }
        let denied = client.call(get("closed", "/x?q")).await.unwrap();
        assert_eq!(denied.status, 403);
        assert!(denied.text().starts_with("AccessDeniedException: User: anonymous is not authorized"));
        assert!(denied.text().contains("service/svc-00000000000000002/x because no service-based policy"));
    });
    let lines = fixture.log_lines();
    assert_eq!(lines.len(), 8);
    for line in &lines {
        assert_eq!(line["protocol"], "HTTP/2");
    }
    assert_eq!(lines[7]["authDeniedReason"], "Service");
}

#[test]
fn tunnels_are_refused_over_http2_too() {
    let target = TestTarget::saying("x");
    let fixture = before(&target);
    run(async {
        let mut client = Http2::connect(&fixture).await;
        let tunnel = Request::builder().method("CONNECT").uri("a:80").body(()).unwrap();
        assert_eq!(client.call(tunnel).await.unwrap().status, 405);
        assert_eq!(client.get("/").await.text(), "x");
    });
    assert_eq!(target.requests.lock().unwrap().len(), 1);
}

#[test]
fn malformed_heads_get_400_and_the_connection_stays() {
    let target = TestTarget::saying("fine");
    let mut fixture = before(&target);
    let large = "y".repeat(70_000);
    run(async {
        let mut client = Http2::connect(&fixture).await;
        let with = |name: &'static str, value: &str| {
            let mut request = get("a", "/");
            request.headers_mut().append(name, value.parse().unwrap());
            request
        };
        let mut many = get("a", "/");
        for _ in 0..101 {
            many.headers_mut().append("x-many", "y".parse().unwrap());
        }
        let mut spaced = get("a", "/");
        spaced.headers_mut().append("x", http::HeaderValue::from_bytes(b"y ").unwrap());
        for (what, asked) in [
            ("another host", with("host", "b")),
            ("user information", get("user@a", "/")),
            ("more than 60K", with("x-large", &large)),
            ("more than 100 fields", many),
            ("white space", spaced),
            ("two lengths", {
                let mut asked = with("content-length", "0");
                asked.headers_mut().append("content-length", "0".parse().unwrap());
                asked
            }),
        ] {
            let answer = client.call(asked).await.unwrap();
            assert_eq!((answer.status, answer.text().as_str()), (400, "Bad Request"), "{what}");
        }
        assert_eq!(client.get("/").await.text(), "fine");
    });
    assert_eq!(target.connections(), 1);
    let reasons = reasons(&mut fixture);
    assert_eq!(reasons.iter().filter(|line| **line == (400, "ClientProtocolError".to_owned())).count(), 6);
}

#[test]
fn the_log_and_the_metrics_count_each_stream() {
    let target = TestTarget::answering(|request| ok(&request.text()));
    let mut fixture = before(&target);
    let id = run(async {
        let mut client = Http2::connect(&fixture).await;
        let mut asked = request("POST", "a", "/p/q?secret");
        asked.headers_mut().insert("user-agent", "me".parse().unwrap());
        let (answer, mut upload) = client.begin(asked).await;
        upload.send_data("body".into(), true).unwrap();
        let answer = read(answer.await.unwrap()).await.unwrap();
        client.get("/").await;
        answer.field("x-amzn-requestid").unwrap()
    });
    eventually("both are counted", || {
        fixture.metric("trellis_service_requests_total{service=\"svc-00000000000000001\",code=\"2xx\"}")
            == 2.0
    });
    assert_eq!(fixture.metric("trellis_service_active_requests{service=\"svc-00000000000000001\"}"), 0.0);
    assert_eq!(
        fixture.metric("trellis_target_group_active_requests{target_group=\"tg-00000000000000001\"}"),
        0.0
    );
    assert_eq!(fixture.metric("trellis_proxy_connections_total"), 1.0);
    let lines = fixture.log_lines();
    assert_eq!(lines.len(), 2);
    let line = lines.iter().find(|line| line["requestId"] == id.as_str()).unwrap();
    for (name, expected) in [
        ("requestMethod", "POST"),
        ("requestPath", "/p/q"),
        ("hostHeader", "a"),
        ("userAgent", "me"),
        ("protocol", "HTTP/2"),
        ("targetIpPort", &target.address.to_string()),
        ("failureReason", "-"),
    ] {
        assert_eq!(line[name], expected, "{name}");
    }
    assert_eq!(line["responseCode"], 200);
    assert!(line["bytesReceived"].as_u64().unwrap() > 4 && line["bytesSent"].as_u64().unwrap() > 4);
    assert!(line.get("grpcResponseCode").is_none());
}

#[test]
fn a_stream_of_a_silent_target_is_a_504_and_one_of_a_silent_client_a_408() {
    let target = TestTarget::new(|mut wire, _| {
        wire.read_until("\r\n\r\n");
        wire.read_to_end();
    });
    let mut spec = spec("a", forward(&group(1, &[target.address])));
    spec.idle_timeout = std::time::Duration::from_millis(300);
    let mut fixture = Fixture::new(world(vec![spec]));
    run(async {
        let mut client = Http2::connect(&fixture).await;
        assert_eq!(client.get("/").await.status, 504);
        let (answer, mut upload) = client.begin(request("POST", "a", "/")).await;
        upload.send_data("half".into(), false).unwrap();
        assert_eq!(answer.await.unwrap().status(), 408);
    });
    let expected = [(408, "ClientConnectionClosed"), (504, "TargetDataTimeout")];
    assert_eq!(reasons(&mut fixture), expected.map(|(status, reason)| (status, reason.to_owned())));
}
