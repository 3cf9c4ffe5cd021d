use bytes::Bytes;
use http::Request;
use serde_json::json;

use crate::installation::{Installation, REGION};

#[tokio::test]
async fn every_answer_has_a_request_id_of_its_own() {
    let trellis = Installation::new().await;
    let mut seen = Vec::new();
    for request in [
        trellis.request("ListServices", &json!({})),
        trellis.request("GetService", &json!({"serviceIdentifier": "svc-00000000000000fff"})),
        Request::builder().uri("/services").body(Bytes::new()).unwrap(),
    ] {
        let (_, headers, _) = trellis.send(request).await;
        let id = headers["x-amzn-requestid"].to_str().unwrap().to_owned();
        assert_eq!(id.len(), 36);
        assert!(!seen.contains(&id));
        seen.push(id);
    }
}

#[tokio::test]
async fn unsigned_and_wrongly_signed_calls_are_refused_in_the_words_of_the_service() {
    let trellis = Installation::new().await;
    let (status, headers, _) =
        trellis.send(Request::builder().uri("/services").body(Bytes::new()).unwrap()).await;
    assert_eq!(
        (status, headers["x-amzn-errortype"].to_str().unwrap()),
        (403, "MissingAuthenticationTokenException")
    );

    let wrong = trellis.sign("GET", "/services", "", Bytes::new(), REGION, "vpc-lattice", "another secret");
    let (status, headers, body) = trellis.send(wrong).await;
    assert_eq!((status, headers["x-amzn-errortype"].to_str().unwrap()), (403, "InvalidSignatureException"));
    assert!(!body.to_string().contains("another secret"));

    let mut unknown = trellis.request("ListServices", &json!({}));
    let authorization =
        unknown.headers()["authorization"].to_str().unwrap().replace("AKIATESTTESTTESTTEST", "AKIANOBODY");
    unknown.headers_mut().insert("authorization", authorization.parse().unwrap());
    let (status, headers, _) = trellis.send(unknown).await;
    assert_eq!((status, headers["x-amzn-errortype"].to_str().unwrap()), (403, "UnrecognizedClientException"));

    let mut late = trellis.request("ListServices", &json!({}));
    trellis.advance_clock(std::time::Duration::from_secs(16 * 60));
    let (status, headers, _) = trellis.send(late).await;
    assert_eq!((status, headers["x-amzn-errortype"].to_str().unwrap()), (403, "InvalidSignatureException"));

    late = trellis.request("CreateServiceNetwork", &json!({"name": "shop"}));
    *late.body_mut() = Bytes::from_static(b"{\"name\":\"mine\"}");
    let (status, ..) = trellis.send(late).await;
    assert_eq!(status, 403, "the body is part of what is signed");
    assert_eq!(trellis.ok("ListServiceNetworks", json!({})).await["items"], json!([]));
}

#[tokio::test]
async fn a_service_that_is_not_served_and_a_path_that_is_not_there_are_told_apart() {
    let trellis = Installation::new().await;
    let other =
        trellis.sign("GET", "/", "", Bytes::new(), REGION, "dynamodb", "a-secret-that-is-only-used-in-tests");
    let (status, _, body) = trellis.send(other).await;
    assert_eq!(status, 403);
    assert!(body.to_string().contains("dynamodb"));
    let nowhere = trellis.sign(
        "GET",
        "/nowhere",
        "",
        Bytes::new(),
        REGION,
        "vpc-lattice",
        "a-secret-that-is-only-used-in-tests",
    );
    let (status, headers, _) = trellis.send(nowhere).await;
    assert!((400..=404).contains(&status), "{status} {headers:?}");
    assert!(headers.contains_key("x-amzn-errortype"));
}

#[test]
fn every_operation_of_vpc_lattice_is_implemented() {
    let implemented = &trellis_control::implemented_operations()["vpc-lattice"];
    let service = trellis_api::service_by_signing_name("vpc-lattice").unwrap();
    for name in implemented {
        assert!(service.operation(name).is_some(), "{name}");
    }
    assert!(implemented.is_sorted());
    assert_eq!(implemented.len(), 73);
}

#[tokio::test]
async fn a_new_admin_key_takes_the_place_of_the_old_one() {
    let trellis = Installation::new().await;
    let request = trellis.request("ListServices", &json!({}));
    let frame = trellis_frame::Config {
        access_key_id: "AKIAANOTHER".into(),
        secret_access_key: "another secret".into(),
        sealing_key: trellis.sealing_key(),
        ..trellis_frame::Config::default()
    };
    let config = trellis_control::Config { frame, ..trellis_control::Config::default() };
    let control = trellis_control::Control::start(trellis.store.clone(), config).await.unwrap();
    let (head, _) = control.serve(request).await.into_parts();
    assert_eq!(head.headers["x-amzn-errortype"], "UnrecognizedClientException");
}

#[tokio::test]
async fn a_start_with_a_key_or_a_quota_that_cannot_be_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = trellis_store::Store::open(dir.path()).unwrap();
    let config = |quotas: &[(&str, u64)], secret: &str| {
        let frame = trellis_frame::Config {
            access_key_id: "AKIA".into(),
            secret_access_key: secret.into(),
            quotas: quotas.iter().map(|(code, limit)| ((*code).to_owned(), *limit)).collect(),
            ..trellis_frame::Config::default()
        };
        trellis_control::Config { frame, ..trellis_control::Config::default() }
    };
    for config in [config(&[("L-NOPE", 1)], "secret"), config(&[], ""), trellis_control::Config::default()] {
        assert!(trellis_control::Control::start(store.clone(), config.clone()).await.is_err(), "{config:?}");
    }
    assert!(!format!("{:?}", config(&[], "hush")).contains("hush"));
}

#[test]
fn every_operation_is_implemented_once() {
    for (service, mut operations) in trellis_control::implemented_operations() {
        operations.sort_unstable();
        let twice = operations.windows(2).find(|pair| pair[0] == pair[1]);
        assert_eq!(twice, None, "{service}");
    }
}
