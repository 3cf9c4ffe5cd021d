//! Credentials that come, go and expire; certificates of a private CA.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::net::TcpListener;
use trellis_auth::{Payload, Rules, SecretKey, SignedRequest, headers_of, verify};
use trellis_sign::SigningProxy;

use crate::world::{Client, Credentials, Service, key};

#[tokio::test]
async fn credentials_are_replaced_before_they_expire() {
    let service = Service::start().await;
    let lives = [
        Ok(key("ASIAFIRST", Some(Duration::from_secs(5)))),
        Ok(key("ASIASECOND", Some(Duration::from_secs(3600)))),
    ];
    let (options, _place) = service.options(Credentials::each(lives));
    let proxy = SigningProxy::start(options).unwrap();
    let mut client = Client::http1(&proxy).await;
    let mut callers = Vec::new();
    // Every request on the way is signed with credentials that are good.
    while callers.last().is_none_or(|last| last != "ASIASECOND") {
        let (head, body) = client.get(&service.url("/")).await;
        assert_eq!(head.status, StatusCode::OK, "{body}");
        let caller = head.headers["x-caller"].to_str().unwrap().to_owned();
        assert_eq!(head.headers["x-token"], format!("token-of-{caller}").as_str());
        callers.push(caller);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(callers[0], "ASIAFIRST");
    proxy.stop().await;
}

#[tokio::test]
async fn credentials_that_cannot_be_renewed_serve_while_they_last() {
    let service = Service::start().await;
    let answers = [Ok(key("ASIAFIRST", Some(Duration::from_secs(10)))), Err("the endpoint is gone".into())];
    let (options, _place) = service.options(Credentials::each(answers));
    let proxy = SigningProxy::start(options).unwrap();
    let mut client = Client::http1(&proxy).await;
    let mut served = false;
    loop {
        let (head, body) = client.get(&service.url("/")).await;
        if head.status == StatusCode::SERVICE_UNAVAILABLE {
            assert!(body.contains("the endpoint is gone"), "{body}");
            break;
        }
        assert_eq!(head.status, StatusCode::OK, "{body}");
        served |= proxy.metrics().contains("trellis_sign_credential_looks_total{outcome=\"failed\"} 1");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(served, "a request between the failed look and the expiry");
    proxy.stop().await;
}

#[tokio::test]
async fn credentials_that_come_late_are_found() {
    let service = Service::start().await;
    let answers = [Err("not yet".into()), Ok(key("AKIDEXAMPLE", None))];
    let (options, _place) = service.options(Credentials::each(answers));
    let proxy = SigningProxy::start(options).unwrap();
    let mut client = Client::http1(&proxy).await;
    while client.get(&service.url("/")).await.0.status != StatusCode::OK {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    proxy.stop().await;
}

const ARN: &str = "arn:aws:acm-pca:us-east-1:111122223333:certificate-authority/0123";

/// ACM PCA, as far as it is called: verifies the call and answers with `certificate`, or refuses.
async fn acm_pca(certificate: Result<String, &'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let certificate = certificate.clone();
            let serve = move |request: Request<Incoming>| {
                let certificate = certificate.clone();
                async move { Ok::<_, Infallible>(get_certificate(request, certificate).await) }
            };
            let io = TokioIo::new(stream);
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service_fn(serve)));
        }
    });
    endpoint
}

async fn get_certificate(
    request: Request<Incoming>,
    certificate: Result<String, &'static str>,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    assert_eq!(head.headers["x-amz-target"], "ACMPrivateCA.GetCertificateAuthorityCertificate");
    assert_eq!(head.headers["content-type"], "application/x-amz-json-1.1");
    let signed = SignedRequest {
        method: head.method.as_str(),
        path: head.uri.path(),
        query: "",
        headers: &headers_of(&head.headers),
        payload: Payload::Body(&body),
    };
    let secret = |_: &str| Some(SecretKey::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY").unwrap());
    verify(&signed, secret, Timestamp::now(), &Rules::for_service(&["acm-pca"])).unwrap();
    let asked: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(asked, serde_json::json!({ "CertificateAuthorityArn": ARN }));
    match certificate {
        Ok(certificate) => {
            Response::new(serde_json::json!({ "Certificate": certificate }).to_string().into())
        }
        Err(kind) => {
            let refusal = serde_json::json!({ "__type": kind, "message": "no such authority" }).to_string();
            Response::builder().status(400).body(refusal.into()).unwrap()
        }
    }
}

#[tokio::test]
async fn the_authority_may_be_named_by_its_arn() {
    let service = Service::start().await;
    let (mut options, _place) = service.options(Credentials::steady());
    options.trust = ARN.parse().unwrap();
    options.ca_endpoint = Some(acm_pca(Ok(service.authority.clone())).await);
    let proxy = SigningProxy::start(options).unwrap();
    let (head, body) = Client::http1(&proxy).await.get(&service.url("/")).await;
    assert_eq!(head.status, StatusCode::OK, "{body}");
    proxy.stop().await;
}

#[tokio::test]
async fn an_authority_that_cannot_be_asked_is_named_with_the_reason() {
    let service = Service::start().await;
    for (endpoint, words) in [
        (acm_pca(Err("ResourceNotFoundException")).await, "ResourceNotFoundException no such authority"),
        (acm_pca(Ok("no certificate".into())).await, "without a certificate"),
        ("http://127.0.0.1:1".to_owned(), "cannot be reached"),
        ("gopher://x".to_owned(), "is no endpoint"),
    ] {
        let (mut options, _place) = service.options(Credentials::steady());
        options.trust = ARN.parse().unwrap();
        options.ca_endpoint = Some(endpoint);
        let proxy = SigningProxy::start(options).unwrap();
        let (head, body) = Client::http1(&proxy).await.get(&service.url("/")).await;
        assert_eq!(head.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains(words) && body.contains(ARN), "{words}: {body}");
        proxy.stop().await;
    }
}
