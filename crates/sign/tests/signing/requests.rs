//! What is sent on, and how.

use std::sync::atomic::Ordering;

use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use trellis_sign::{SigningAlgorithm, SigningProxy};

use crate::world::{BoxedBody, Client, Credentials, Service, empty, in_parts, origin_form};

fn text(text: &'static str) -> BoxedBody {
    Full::from(text).map_err(|never| match never {}).boxed()
}

#[tokio::test]
async fn an_application_that_cannot_sign_is_let_in_over_http1_in_both_forms() {
    let service = Service::start().await;
    let (options, _place) = service.options(Credentials::steady());
    let proxy = SigningProxy::start(options).unwrap();
    let mut client = Client::http1(&proxy).await;
    let url = service.url("/a%20b/c?x=1&y=a%2Fb");
    for request in [
        Request::get(&url).header("host", "ignored.example.com").body(empty()).unwrap(),
        origin_form(Method::GET, &url, empty()),
        origin_form(Method::DELETE, &url, empty()),
    ] {
        let method = request.method().clone();
        let (head, body) = client.ask(request).await;
        assert_eq!(head.status, StatusCode::OK, "{body}");
        assert_eq!(body, format!("{method} /a%20b/c"));
        assert_eq!(head.headers["x-caller"], "AKIDEXAMPLE");
        assert_eq!(head.headers["x-host"], format!("localhost:{}", service.address.port()).as_str());
        assert_eq!(head.headers["x-http2"], "false");
        assert!(!head.headers.contains_key("keep-alive"), "hop-by-hop");
    }
    proxy.stop().await;
}

#[tokio::test]
async fn connections_are_kept_both_ways() {
    let service = Service::start().await;
    let (options, _place) = service.options(Credentials::steady());
    let proxy = SigningProxy::start(options).unwrap();
    let mut http1 = Client::http1(&proxy).await;
    for _ in 0..20 {
        assert_eq!(http1.get(&service.url("/")).await.0.status, StatusCode::OK);
    }
    let opened = service.connections.load(Ordering::SeqCst);
    assert!(opened <= 2, "{opened} connections for 20 requests, one after the other");
    let mut http2 = Client::http2(&proxy).await;
    for _ in 0..20 {
        assert_eq!(http2.get(&service.url("/")).await.0.status, StatusCode::OK);
    }
    assert_eq!(service.connections.load(Ordering::SeqCst), opened + 1);
    let metrics = proxy.metrics();
    for line in ["trellis_sign_answers_total{code=\"2xx\"} 40", "trellis_sign_connections_total 2"] {
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
    proxy.stop().await;
}

#[tokio::test]
async fn many_calls_at_once_share_one_http2_connection() {
    let service = Service::start().await;
    let (options, _place) = service.options(Credentials::steady());
    let proxy = SigningProxy::start(options).unwrap();
    let Client::Http2(sender) = Client::http2(&proxy).await else { unreachable!() };
    let calls = (0..50).map(|_| {
        let mut client = Client::Http2(sender.clone());
        let url = service.url("/");
        tokio::spawn(async move { client.get(&url).await.0.status })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap(), StatusCode::OK);
    }
    assert_eq!(service.connections.load(Ordering::SeqCst), 1);
    proxy.stop().await;
}

#[tokio::test]
async fn http2_stays_http2_and_trailers_cross() {
    let service = Service::start().await;
    let (options, _place) = service.options(Credentials::steady());
    let proxy = SigningProxy::start(options).unwrap();
    let mut client = Client::http2(&proxy).await;
    let request = Request::post(service.url("/shop.Cart/Add"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(text("tea"))
        .unwrap();
    let (head, body) = client.send(request).await.into_parts();
    assert_eq!(head.status, StatusCode::OK);
    assert_eq!(head.headers["x-http2"], "true");
    let body = body.collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["x-checksum"], "1");
    assert_eq!(body.to_bytes(), "tea");
    proxy.stop().await;
}

#[tokio::test]
async fn bodies_stream_while_they_are_being_sent() {
    let service = Service::start().await;
    let (options, _place) = service.options(Credentials::steady());
    let proxy = SigningProxy::start(options).unwrap();
    for mut client in [Client::http1(&proxy).await, Client::http2(&proxy).await] {
        let (parts, body) = in_parts();
        parts.send("first").await.unwrap();
        // The answer begins, and echoes the first part, before the second is there.
        let response = client.send(Request::post(service.url("/")).body(body).unwrap()).await;
        assert_eq!(response.status(), StatusCode::OK);
        let mut echo = response.into_body();
        assert_eq!(echo.frame().await.unwrap().unwrap().into_data().unwrap(), "first");
        parts.send("second").await.unwrap();
        assert_eq!(echo.frame().await.unwrap().unwrap().into_data().unwrap(), "second");
        drop(parts);
        while let Some(frame) = echo.frame().await {
            assert!(frame.unwrap().is_trailers());
        }
    }
    proxy.stop().await;
}

#[tokio::test]
async fn sigv4a_is_good_where_sigv4_is() {
    let service = Service::start().await;
    let (mut options, _place) = service.options(Credentials::steady());
    options.algorithm = SigningAlgorithm::SigV4A { region_set: "*".into() };
    let proxy = SigningProxy::start(options).unwrap();
    let (head, body) = Client::http1(&proxy).await.get(&service.url("/x?y=1")).await;
    assert_eq!(head.status, StatusCode::OK, "{body}");
    assert_eq!(head.headers["x-scope"], "*");
    proxy.stop().await;
}

#[tokio::test]
async fn the_services_refusal_reaches_the_application_as_it_is() {
    let service = Service::start().await;
    let (mut options, _place) = service.options(Credentials::steady());
    options.algorithm = SigningAlgorithm::SigV4 { region: "eu-west-1".into() };
    let proxy = SigningProxy::start(options).unwrap();
    let (head, body) = Client::http1(&proxy).await.get(&service.url("/")).await;
    assert_eq!(head.status, StatusCode::FORBIDDEN);
    assert!(body.starts_with("AccessDeniedException: "), "{body}");
    proxy.stop().await;
}

#[tokio::test]
async fn what_the_application_signed_itself_passes_unchanged() {
    let service = Service::start().await;
    let (options, _place) = service.options(Credentials::steady());
    let proxy = SigningProxy::start(options).unwrap();
    let signed = Request::get(service.url("/"))
        .header("authorization", "AWS4-HMAC-SHA256 Credential=AKIDOTHER/20260101/us-east-1/vpc-lattice-svcs/aws4_request, SignedHeaders=host;x-amz-date, Signature=00")
        .header("x-amz-date", "20260101T000000Z")
        .body(empty())
        .unwrap();
    let (head, body) = Client::http1(&proxy).await.ask(signed).await;
    // The service, not we, finds fault with it.
    assert_eq!(head.status, StatusCode::FORBIDDEN, "{body}");
    assert!(proxy.metrics().contains("trellis_sign_passed_total 1"));
    proxy.stop().await;
}

#[tokio::test]
async fn http2_is_taken_to_a_service_that_speaks_http1_alone() {
    let service = Service::speaking(&[b"http/1.1"]).await;
    let (options, _place) = service.options(Credentials::steady());
    let proxy = SigningProxy::start(options).unwrap();
    let mut client = Client::http2(&proxy).await;
    for _ in 0..2 {
        let (head, _) = client.get(&service.url("/")).await;
        assert_eq!((head.status, &head.headers["x-http2"]), (StatusCode::OK, &"false".parse().unwrap()));
    }
    let grpc = Request::post(service.url("/shop.Cart/Add"))
        .header("content-type", "application/grpc")
        .body(text("tea"))
        .unwrap();
    let (head, _) = client.ask(grpc).await;
    assert_eq!((head.status, &head.headers["grpc-status"]), (StatusCode::OK, &"14".parse().unwrap()));
    assert!(head.headers["grpc-message"].to_str().unwrap().contains("does not speak HTTP/2"));
    proxy.stop().await;
}

#[tokio::test]
async fn requests_in_flight_finish_while_the_proxy_stops() {
    let service = Service::start().await;
    let (options, _place) = service.options(Credentials::steady());
    let proxy = SigningProxy::start(options).unwrap();
    let address = proxy.addresses()[0];
    let mut client = Client::http1(&proxy).await;
    let mut idle = Client::http1(&proxy).await;
    assert_eq!(idle.get(&service.url("/")).await.0.status, StatusCode::OK);
    let (parts, body) = in_parts();
    let response = client.send(Request::post(service.url("/")).body(body).unwrap()).await;
    let stopping = tokio::spawn(async move { proxy.stop().await });
    // No more connections are taken...
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    // ...and what had begun goes on to its end.
    parts.send("late").await.unwrap();
    drop(parts);
    let echoed = response.into_body().collect().await.unwrap();
    assert_eq!(echoed.to_bytes(), "late");
    stopping.await.unwrap();
}
