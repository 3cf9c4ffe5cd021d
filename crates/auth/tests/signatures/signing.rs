//! What is signed here is what botocore signs, and verifies.

use jiff::SignedDuration;
use trellis_auth::{
    Algorithm, Credentials, Header, PathEncoding, Payload, Scope, SignError, SignOptions, SignedRequest,
    presign, sign,
};

use crate::vectors::VECTORS;
use crate::{ACCESS_KEY_ID, Request, known_key, now, secret};

fn credentials(token: Option<&str>) -> Credentials {
    Credentials {
        access_key_id: ACCESS_KEY_ID.parse().unwrap(),
        secret_key: secret(),
        session_token: token.map(|token| token.parse().unwrap()),
    }
}

const SET_BY_SIGNER: [&str; 4] =
    ["authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"];

#[test]
fn a_header_signature_is_the_one_botocore_makes() {
    for vector in VECTORS {
        let sent =
            |name: &str| vector.headers.iter().find(|(other, _)| *other == name).map(|(_, value)| *value);
        let Some(authorization) = sent("authorization") else { continue };
        if sent("date").is_some() {
            continue; // Ours always sends x-amz-date.
        }
        let headers: Vec<Header<'_>> = vector
            .headers
            .iter()
            .filter(|(name, _)| !SET_BY_SIGNER.contains(name))
            .map(|(name, value)| (*name, value.as_bytes()))
            .collect();
        let request = SignedRequest {
            method: vector.method,
            path: vector.path,
            query: vector.query,
            headers: &headers,
            payload: Payload::Body(vector.body.as_bytes()),
        };
        let options = SignOptions {
            algorithm: Algorithm::Hmac,
            path: if vector.s3 { PathEncoding::Once } else { PathEncoding::Double },
            unsigned_payload: sent("x-amz-content-sha256") == Some("UNSIGNED-PAYLOAD"),
            send_payload_hash: vector.s3,
        };
        let scope = Scope { region: vector.region, service: vector.service };
        let added =
            sign(&request, &credentials(sent("x-amz-security-token")), scope, now(), &options).unwrap();
        for (name, value) in &added {
            assert_eq!(sent(name), Some(value.as_str()), "{}: {name}", vector.name);
        }
        assert_eq!(added.last().unwrap(), &("authorization", authorization.to_owned()));
    }
}

#[test]
fn a_presigned_query_is_the_one_botocore_makes() {
    for (name, expires, token) in [
        ("a presigned GET", 60, None),
        ("a presigned GET with an extra signed header", 60, None),
        ("a presigned GET with a session token", 604_800, Some("tok/en+with=specials==")),
        ("S3: presigned", 3600, None),
    ] {
        let expected = Request::named(name);
        let vector = VECTORS.iter().find(|vector| vector.name == name).unwrap();
        let bare = expected.query.split("X-Amz-Algorithm").next().unwrap().trim_end_matches('&');
        let made = expected.lend(|parts| {
            let request = SignedRequest { query: bare, ..*parts };
            let options = SignOptions {
                algorithm: Algorithm::Hmac,
                path: if vector.s3 { PathEncoding::Once } else { PathEncoding::Double },
                ..SignOptions::default()
            };
            let scope = Scope { region: vector.region, service: vector.service };
            presign(&request, &credentials(token), scope, now(), SignedDuration::from_secs(expires), &options)
        });
        assert_eq!(made.unwrap(), expected.query, "{name}");
    }
}

#[test]
fn what_is_presigned_without_its_payload_verifies_with_any_body() {
    let scope = Scope { region: "us-east-1", service: "vpc-lattice-svcs" };
    let mut request = Request::named("an unsigned payload with a body");
    request.headers.retain(|(name, _)| name == "host");
    let options = SignOptions { unsigned_payload: true, ..SignOptions::default() };
    let minute = SignedDuration::from_mins(1);
    request.query =
        request.lend(|parts| presign(parts, &credentials(None), scope, now(), minute, &options)).unwrap();
    request.body = b"another".to_vec();
    for payload in [trellis_auth::PayloadRule::Any, trellis_auth::PayloadRule::UnsignedOnly] {
        let rules = trellis_auth::Rules { payload, ..request.rules() };
        assert!(!request.verify_by(&rules, now()).unwrap().payload_signed());
    }
}

#[test]
fn headers_that_change_on_the_way_are_not_signed() {
    let mut request = Request::named("a bare GET");
    request.headers.retain(|(name, _)| name == "host");
    request.add("User-Agent", "test/1");
    request.add("Connection", "keep-alive");
    request.add("My-Header", "  kept ");
    let scope = Scope { region: "us-east-1", service: "service" };
    let added =
        request.lend(|parts| sign(parts, &credentials(None), scope, now(), &SignOptions::default())).unwrap();
    for (name, value) in added {
        request.add(name, &value);
    }
    request.header("User-Agent").clear();
    request.remove("Connection");
    let verified =
        request.lend(|parts| trellis_auth::verify_with(parts, known_key, now(), &request.rules(), None));
    assert_eq!(verified.unwrap().signed_headers(), ["host", "my-header", "x-amz-date"]);
}

#[test]
fn what_cannot_be_signed_is_refused() {
    let attempt = |change: fn(&mut Request), scope: Scope<'_>| {
        let mut request = Request::named("a bare GET");
        request.headers.retain(|(name, _)| name == "host");
        change(&mut request);
        request.lend(|parts| sign(parts, &credentials(None), scope, now(), &SignOptions::default()))
    };
    let scope = Scope { region: "us-east-1", service: "sts" };
    assert_eq!(attempt(|r| r.remove("host"), scope), Err(SignError::Host));
    assert_eq!(attempt(|r| r.add("X-Amz-Date", "x"), scope), Err(SignError::Reserved { name: "x-amz-date" }));
    for change in [
        (|r| r.add("a;b", "")) as fn(&mut Request),
        |r| r.add("", ""),
        |r| r.add("a", "1\nhost:other"),
        |r| r.path = "/a b".into(),
        |r| r.method = "GET\n/".into(),
    ] {
        assert!(matches!(attempt(change, scope), Err(SignError::Malformed { .. })));
    }
    assert_eq!(attempt(|r| r.query = "%".into(), scope), Err(SignError::Percent));
    assert_eq!(attempt(|_| {}, Scope { region: "", ..scope }), Err(SignError::Scope));
    for seconds in [0, 604_801] {
        let request = Request::named("a bare GET");
        let made = request.lend(|parts| {
            let expires = SignedDuration::from_secs(seconds);
            presign(parts, &credentials(None), scope, now(), expires, &SignOptions::default())
        });
        assert_eq!(made, Err(SignError::Expires));
    }
}
