//! What an application is told when something is missing or wrong.

use http::{Request, StatusCode};
use trellis_sign::{SigningProxy, TrustSource};

use crate::world::{Client, Credentials, Service, authority, empty, pem};

#[tokio::test]
async fn missing_credentials_are_a_503_that_says_where_they_are_looked_for() {
    let service = Service::start().await;
    let (options, _place) = service.options(Credentials::each([Err("no provider in chain".into())]));
    let proxy = SigningProxy::start(options).unwrap();
    let (head, body) = Client::http1(&proxy).await.get(&service.url("/")).await;
    assert_eq!(head.status, StatusCode::SERVICE_UNAVAILABLE);
    for words in
        ["no AWS credentials", "no provider in chain", "AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE"]
    {
        assert!(body.contains(words), "{words}: {body}");
    }
    let grpc =
        Request::post(service.url("/")).header("content-type", "application/grpc").body(empty()).unwrap();
    let (head, _) = Client::http2(&proxy).await.ask(grpc).await;
    assert_eq!((head.status, &head.headers["grpc-status"]), (StatusCode::OK, &"14".parse().unwrap()));
    assert!(proxy.readiness().unwrap_err().contains("no provider in chain"));
    assert!(proxy.metrics().contains("trellis_sign_failures_total{reason=\"credentials\"} 2"));
    proxy.stop().await;
}

#[tokio::test]
async fn a_missing_authority_is_a_503_and_one_that_appears_is_found() {
    let service = Service::start().await;
    let (mut options, place) = service.options(Credentials::steady());
    let file = place.path().join("later.pem");
    options.trust = TrustSource::Path(file.clone());
    let proxy = SigningProxy::start(options).unwrap();
    let mut client = Client::http1(&proxy).await;
    let (head, body) = client.get(&service.url("/")).await;
    assert_eq!(head.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains("later.pem") && body.contains("--ca"), "{body}");
    // Written at once, as whoever replaces it does.
    std::fs::write(place.path().join("new"), &service.authority).unwrap();
    std::fs::rename(place.path().join("new"), &file).unwrap();
    while client.get(&service.url("/")).await.0.status != StatusCode::OK {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(proxy.readiness(), Ok(()));
    proxy.stop().await;
}

#[tokio::test]
async fn a_service_that_another_authority_vouches_for_gets_nothing() {
    let service = Service::start().await;
    let (options, place) = service.options(Credentials::steady());
    std::fs::write(place.path().join("ca.pem"), pem(authority().as_ref())).unwrap();
    let proxy = SigningProxy::start(options).unwrap();
    for mut client in [Client::http1(&proxy).await, Client::http2(&proxy).await] {
        let (head, body) = client.get(&service.url("/")).await;
        assert_eq!(head.status, StatusCode::BAD_GATEWAY);
        assert!(body.contains("no verified TLS with localhost") && body.contains("--ca"), "{body}");
    }
    proxy.stop().await;
}

#[tokio::test]
async fn nothing_is_signed_for_addresses_where_no_services_are() {
    let service = Service::start().await;
    let (mut options, _place) = service.options(Credentials::steady());
    options.destinations = Vec::new();
    let proxy = SigningProxy::start(options).unwrap();
    let (head, body) = Client::http1(&proxy).await.get(&service.url("/")).await;
    assert_eq!(head.status, StatusCode::FORBIDDEN);
    assert!(body.contains("no address of a service") && body.contains("--allow-destination"), "{body}");
    assert_eq!(service.connections.load(std::sync::atomic::Ordering::SeqCst), 0);
    proxy.stop().await;
}

#[tokio::test]
async fn requests_that_cannot_be_signed_are_told_what_to_do() {
    let service = Service::start().await;
    let (options, _place) = service.options(Credentials::steady());
    let proxy = SigningProxy::start(options).unwrap();
    let url = service.url("/");
    for (request, status, words) in [
        (
            Request::connect("cart.example.com:443").body(empty()).unwrap(),
            StatusCode::NOT_IMPLEMENTED,
            "call http://cart.example.com/ without TLS",
        ),
        (
            Request::get(&url).header("authorization", "Bearer abc").body(empty()).unwrap(),
            StatusCode::BAD_REQUEST,
            "has an Authorization header",
        ),
        (Request::get("/").body(empty()).unwrap(), StatusCode::BAD_REQUEST, "needs one Host"),
        (
            Request::get("/?a=%zz")
                .header("host", format!("localhost:{}", service.address.port()))
                .body(empty())
                .unwrap(),
            StatusCode::BAD_REQUEST,
            "cannot be signed",
        ),
        (
            Request::get("http://localhost:1/").body(empty()).unwrap(),
            StatusCode::BAD_GATEWAY,
            "cannot be reached at 127.0.0.1 port 1",
        ),
        (
            Request::get("http://no.such.name.invalid/").body(empty()).unwrap(),
            StatusCode::BAD_GATEWAY,
            "no.such.name.invalid cannot be found",
        ),
    ] {
        let (head, body) = Client::http1(&proxy).await.ask(request).await;
        assert_eq!(head.status, status, "{body}");
        assert!(body.starts_with("trellis sign: ") && body.contains(words), "{words}: {body}");
    }
    proxy.stop().await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_an_error_that_names_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let service = Service::start().await;
    let (mut options, _place) = service.options(Credentials::steady());
    options.listen = vec![taken.local_addr().unwrap()];
    let error = SigningProxy::start(options).unwrap_err().to_string();
    assert!(
        error.contains(&taken.local_addr().unwrap().to_string()) && error.contains("--listen"),
        "{error}"
    );
}
