//! What is refused before or besides a wrong signature, each fault by its name.

use jiff::{SignedDuration, Timestamp};
use trellis_auth::{
    AuthError, PathEncoding, Payload, PayloadFault, PayloadRule, RegionRule, Rules, ScopePart, SecretKey,
    SignedRequest, SigningKeyCache, UnsignedHeaders, scope_of, verify, verify_with,
};

use crate::vectors::VECTORS;
use crate::{ACCESS_KEY_ID, Request, known_key, now, secret};

/// How the request named `name`, changed by `change`, is refused.
fn refusal(name: &str, change: impl FnOnce(&mut Request)) -> AuthError {
    let mut request = Request::named(name);
    change(&mut request);
    request.verify().expect_err(name)
}

#[test]
fn each_fault_of_form_has_its_own_error() {
    type Case = (&'static str, fn(&mut Request), fn(&AuthError) -> bool);
    let cases: &[Case] = &[
        ("no signature", |r| r.remove("authorization"), |e| *e == AuthError::Missing),
        (
            "an authorization of another kind",
            |r| *r.header("authorization") = b"Bearer abc".to_vec(),
            |e| *e == AuthError::Missing,
        ),
        (
            "the algorithm alone",
            |r| *r.header("authorization") = b"AWS4-HMAC-SHA256".to_vec(),
            |e| matches!(e, AuthError::Incomplete { missing: "Credential" }),
        ),
        (
            "SigV4A",
            |r| r.replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
            |e| matches!(e, AuthError::UnsupportedAlgorithm { found } if found == "AWS4-ECDSA-P256-SHA256"),
        ),
        (
            "SigV2",
            |r| *r.header("authorization") = b"AWS AKIDEXAMPLE:abc=".to_vec(),
            |e| matches!(e, AuthError::UnsupportedAlgorithm { found } if found == "AWS"),
        ),
        (
            "no signed headers",
            |r| r.replace("SignedHeaders=host;x-amz-date, ", ""),
            |e| matches!(e, AuthError::Incomplete { missing: "SignedHeaders" }),
        ),
        ("an unknown item", |r| r.replace("Signature=", "Sig="), is_malformed),
        ("an item twice", |r| r.replace("SignedHeaders=", "Signature=a, SignedHeaders="), is_malformed),
        ("a short scope", |r| r.replace("/us-east-1", ""), is_malformed),
        ("a scope of another request", |r| r.replace("aws4_request", "aws5_request"), is_malformed),
        ("an empty region", |r| r.replace("/us-east-1/", "//"), is_malformed),
        ("an access key id with a blank", |r| r.replace("AKID", "AK ID"), is_malformed),
        ("signed headers out of order", |r| r.replace("host;x-amz-date", "x-amz-date;host"), is_malformed),
        ("signed headers twice", |r| r.replace("host;x", "host;host;x"), is_malformed),
        ("signed headers in capitals", |r| r.replace("host;", "Host;"), is_malformed),
        ("a signature too short", |r| r.replace("Signature=5", "Signature="), is_malformed),
        ("a signature in capitals", |r| r.replace("fbf31", "FBF31"), is_malformed),
        ("two authorizations", |r| r.headers.extend_from_within(2..), is_malformed),
        ("a date that is none", |r| *r.header("x-amz-date") = b"yesterday".to_vec(), is_malformed),
        ("no date", |r| r.remove("x-amz-date"), |e| matches!(e, AuthError::Incomplete { .. })),
        ("two hosts", |r| r.add("Host", "example.amazonaws.com"), is_malformed),
        ("both kinds of signature", |r| r.query = "X-Amz-Algorithm=AWS4-HMAC-SHA256".into(), is_malformed),
        (
            "host not signed",
            |r| r.replace("host;", ""),
            |e| matches!(e, AuthError::HeaderNotSigned { name } if name == "host"),
        ),
        (
            "date not signed",
            |r| r.replace("host;x-amz-date", "host"),
            |e| matches!(e, AuthError::HeaderNotSigned { name } if name == "x-amz-date"),
        ),
        (
            "an x-amz header put in on the way",
            |r| r.add("X-Amz-Target", "Other.Operation"),
            |e| matches!(e, AuthError::HeaderNotSigned { name } if name == "x-amz-target"),
        ),
        (
            "a signed header that is not there",
            |r| r.replace("host;", "host;my-header;"),
            |e| matches!(e, AuthError::SignedHeaderAbsent { name } if name == "my-header"),
        ),
        ("a stray percent sign", |r| r.query = "a=%4".into(), is_malformed),
        ("too many headers", |r| (0..300).for_each(|_| r.add("a", "b")), is_malformed),
        ("too many parameters", |r| r.query = "a&".repeat(5000), is_malformed),
        ("a header name that is none", |r| r.add("a;b", ""), is_malformed),
        ("a line end in a header", |r| r.add("a", "1\nb:2"), is_malformed),
        ("a blank in the path", |r| r.path = "/ /".into(), is_malformed),
        (
            "an unknown key",
            |r| r.replace("AKIDEXAMPLE", "AKIDOTHER"),
            |e| matches!(e, AuthError::UnknownKey { access_key_id } if access_key_id == "AKIDOTHER"),
        ),
        ("another signature", |r| r.replace("Signature=5", "Signature=6"), |e| *e == AuthError::BadSignature),
    ];
    for (name, change, expected) in cases {
        let error = refusal("a bare GET", change);
        assert!(expected(&error), "{name}: {error:?}");
    }
}

fn is_malformed(error: &AuthError) -> bool {
    matches!(error, AuthError::Malformed { .. })
}

#[test]
fn each_fault_of_a_presigned_query_has_its_own_error() {
    type Case = (&'static str, &'static str, fn(&AuthError) -> bool);
    let cases: &[Case] = &[
        ("X-Amz-Expires=60", "X-Amz-Expires=0", is_malformed),
        ("X-Amz-Expires=60", "X-Amz-Expires=604801", is_malformed),
        ("X-Amz-Expires=60", "X-Amz-Expires=-1", is_malformed),
        ("X-Amz-Expires=60", "X-Amz-Expires=61", |e| *e == AuthError::BadSignature),
        ("&X-Amz-Expires=60", "", |e| matches!(e, AuthError::Incomplete { missing: "X-Amz-Expires" })),
        ("X-Amz-Algorithm=AWS4-HMAC-SHA256&", "", |e| matches!(e, AuthError::Incomplete { .. })),
        ("X-Amz-Date=2015", "X-Amz-Date=x015", is_malformed),
        (
            "X-Amz-SignedHeaders=host",
            "X-Amz-SignedHeaders=date",
            |e| matches!(e, AuthError::HeaderNotSigned { name } if name == "host"),
        ),
        ("X-Amz-Signature=", "X-Amz-Signature=&X-Amz-Signature=", is_malformed),
        ("X-Amz-Credential=", "X-Amz-Credential=%ff", is_malformed),
        ("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256", |e| {
            matches!(e, AuthError::UnsupportedAlgorithm { .. })
        }),
    ];
    for (from, to, expected) in cases {
        let error = refusal("a presigned GET", |request| request.replace(from, to));
        assert!(expected(&error), "{from} -> {to}: {error:?}");
    }
}

#[test]
fn a_header_signature_holds_for_fifteen_minutes_either_way() {
    let request = Request::named("a bare GET");
    for (seconds, accepted) in [(-901, false), (-900, true), (0, true), (900, true), (901, false)] {
        let at = now() + SignedDuration::from_secs(seconds);
        match request.verify_by(&request.rules(), at) {
            Ok(_) => assert!(accepted, "accepted {seconds} s later"),
            Err(AuthError::Skewed { .. }) => assert!(!accepted, "refused {seconds} s later"),
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_presigned_request_lives_as_long_as_it_says() {
    let request = Request::named("a presigned GET");
    let rules = Rules { shortest_life: SignedDuration::ZERO, ..request.rules() };
    let at = |seconds| request.verify_by(&rules, now() + SignedDuration::from_secs(seconds));
    assert!(at(60).is_ok());
    assert!(at(-900).is_ok());
    assert!(matches!(at(-901), Err(AuthError::Skewed { .. })));
    let AuthError::Expired { expired_at, .. } = at(61).unwrap_err() else { panic!("not expired") };
    assert_eq!(expired_at, now() + SignedDuration::from_secs(60));
    assert!(request.verify().unwrap().presigned());
}

#[test]
fn a_presigned_call_of_sts_that_says_a_minute_lives_a_quarter_of_an_hour() {
    // What a token of a cluster is.
    let request = Request::named("a presigned GET with an extra signed header");
    let at = |seconds| request.verify_by(&request.rules(), now() + SignedDuration::from_secs(seconds));
    assert!(at(61).is_ok());
    assert!(at(900).is_ok());
    let AuthError::Expired { expired_at, .. } = at(901).unwrap_err() else { panic!("not expired") };
    assert_eq!(expired_at, now() + SignedDuration::from_secs(900));
}

#[test]
fn times_at_the_ends_of_the_calendar_are_no_surprise() {
    for (date, day) in [(&b"99991231T235959Z"[..], "99991231"), (b"00000101T000000Z", "00000101")] {
        for here in [Timestamp::MIN, now(), Timestamp::MAX] {
            let mut request = Request::named("a bare GET");
            *request.header("x-amz-date") = date.to_vec();
            request.replace("/20150830/", &format!("/{day}/"));
            assert!(request.verify_by(&request.rules(), here).is_err());
        }
    }
}

#[test]
fn the_scope_must_be_for_this_service_region_and_day() {
    let request = Request::named("a bare GET");
    let part = |rules: Rules<'_>| match request.verify_by(&rules, now()) {
        Err(AuthError::ScopeMismatch { part, .. }) => part,
        other => panic!("{other:?}"),
    };
    assert_eq!(part(Rules::for_service(&["ec2", "sts"])), ScopePart::Service);
    assert_eq!(part(Rules::for_service(&[])), ScopePart::Service);
    let elsewhere = Rules { region: RegionRule::OneOf(&["eu-west-1"]), ..Rules::for_service(&["service"]) };
    assert_eq!(part(elsewhere), ScopePart::Region);
    let here = Rules { region: RegionRule::OneOf(&["eu-west-1", "us-east-1"]), ..elsewhere };
    assert!(request.verify_by(&here, now()).is_ok());
    let error = refusal("a bare GET", |request| request.replace("/20150830/", "/20150829/"));
    assert!(matches!(error, AuthError::ScopeMismatch { part: ScopePart::Date, .. }), "{error:?}");
}

#[test]
fn the_payload_rules_hold() {
    let unsigned = Request::named("an unsigned payload with a body");
    let signed = Request::named("a PUT with a body");
    let with = |request: &Request, payload| request.verify_by(&Rules { payload, ..request.rules() }, now());
    let fault = |result: Result<_, AuthError>| match result {
        Err(AuthError::Payload(fault)) => fault,
        other => panic!("{:?}", other.map(|_: trellis_auth::Verified| ())),
    };
    assert!(with(&unsigned, PayloadRule::Any).is_ok());
    assert!(with(&unsigned, PayloadRule::UnsignedOnly).is_ok());
    assert_eq!(fault(with(&unsigned, PayloadRule::HashRequired)), PayloadFault::UnsignedNotAccepted);
    assert!(with(&signed, PayloadRule::HashRequired).unwrap().payload_signed());
    // Nothing in the header stands for a signed hash of the body.
    assert!(matches!(with(&signed, PayloadRule::UnsignedOnly), Err(AuthError::Incomplete { .. })));

    let hashed = Request::named("S3: a key with spaces, plus and slashes");
    assert!(with(&hashed, PayloadRule::HashRequired).is_ok());
    assert_eq!(fault(with(&hashed, PayloadRule::UnsignedOnly)), PayloadFault::SignedNotSupported);
    let mut altered = hashed.clone();
    altered.body = b"other".to_vec();
    assert_eq!(fault(with(&altered, PayloadRule::Any)), PayloadFault::Mismatch);
    for form in ["STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "", "00"] {
        let mut streaming = hashed.clone();
        *streaming.header("x-amz-content-sha256") = form.as_bytes().to_vec();
        assert_eq!(fault(with(&streaming, PayloadRule::Any)), PayloadFault::UnknownForm, "{form}");
    }
    // A presigned request for a service without payload hashes needs none.
    let presigned = Request::named("a presigned GET");
    assert!(matches!(with(&presigned, PayloadRule::UnsignedOnly), Err(AuthError::BadSignature)));
}

#[test]
fn a_streamed_body_is_accepted_only_unsigned() {
    for (name, accepted) in [("an unsigned payload with a body", true), ("a PUT with a body", false)] {
        let request = Request::named(name);
        let verified = request.lend(|parts| {
            let streamed = SignedRequest { payload: Payload::Streamed, ..*parts };
            verify_with(&streamed, known_key, now(), &request.rules(), None)
        });
        assert_eq!(verified.is_ok(), accepted, "{name}: {verified:?}");
    }
}

#[test]
fn a_session_token_is_surfaced_to_the_lookup_and_refused_without_one() {
    let request = Request::named("a session token");
    let mut seen = None;
    let verified = request.lend(|parts| {
        let lookup = |claim: trellis_auth::Claim<'_>| {
            seen = claim.security_token.map(str::to_owned);
            assert_eq!((claim.region, claim.service), ("us-east-1", "sts"));
            known_key(claim)
        };
        verify_with(parts, lookup, now(), &request.rules(), None)
    });
    let verified = verified.unwrap();
    assert!(seen.as_deref().unwrap().starts_with("AQoD"));
    assert_eq!(verified.security_token().unwrap().as_str(), seen.unwrap());
    assert!(!format!("{verified:?}").contains("AQoD"));

    let plain = request.lend(|parts| verify(parts, |_| Some(secret()), now(), &request.rules()));
    assert_eq!(plain.unwrap_err(), AuthError::TokenUnsupported);
    let expired = request
        .lend(|parts| verify_with(parts, |_| Err(AuthError::TokenExpired), now(), &request.rules(), None));
    assert_eq!(expired.unwrap_err(), AuthError::TokenExpired);
}

#[test]
fn the_data_plane_takes_the_path_as_received_where_the_encoded_one_does_not_match() {
    // Signed with an S3-like signer: the path once encoded, as it is on the wire.
    let mut request = Request::named("S3: a key with spaces, plus and slashes");
    let lenient = |request: &Request| {
        let rules = Rules { path: PathEncoding::AsSigned, ..request.rules() };
        request.verify_by(&rules, now())
    };
    let double = Rules { path: PathEncoding::Double, ..request.rules() };
    assert_eq!(request.verify_by(&double, now()).unwrap_err(), AuthError::BadSignature);
    assert!(lenient(&request).is_ok());
    assert!(lenient(&Request::named("an escaped ARN in the path")).is_ok());
    request.path = request.path.replace("//", "/");
    assert_eq!(lenient(&request).unwrap_err(), AuthError::BadSignature);
}

#[test]
fn an_allowed_header_may_be_unsigned_and_is_not_listed_as_signed() {
    let mut request = Request::named("a bare GET");
    request.add("X-Amz-User-Agent", "aws-sdk-js/3");
    let verified = request.verify().unwrap();
    assert_eq!(verified.signed_headers(), ["host", "x-amz-date"]);
    let strict = Rules { unsigned_headers: UnsignedHeaders::Only(&[]), ..request.rules() };
    assert!(matches!(request.verify_by(&strict, now()), Err(AuthError::HeaderNotSigned { .. })));
}

#[test]
fn the_cache_changes_no_outcome() {
    let cache = SigningKeyCache::new(16);
    for vector in VECTORS.iter().chain(VECTORS) {
        let mut request = Request::from(vector);
        let check = |request: &Request| {
            request.lend(|parts| verify_with(parts, known_key, now(), &request.rules(), Some(&cache)))
        };
        assert!(check(&request).is_ok(), "{}", vector.name);
        request.method = "PATCH".into();
        assert_eq!(check(&request).unwrap_err(), AuthError::BadSignature, "{}", vector.name);
    }
    // A secret that was replaced is not accepted from memory.
    let request = Request::named("a bare GET");
    let other = |_: trellis_auth::Claim<'_>| Ok(Some(SecretKey::new("another").unwrap()));
    let stale = request.lend(|parts| verify_with(parts, other, now(), &request.rules(), Some(&cache)));
    assert_eq!(stale.unwrap_err(), AuthError::BadSignature);
}

#[test]
fn no_error_shows_a_signature_or_a_secret() {
    for vector in VECTORS {
        let mut request = Request::from(vector);
        request.method = "PATCH".into();
        let error = request.verify().unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(!text.contains("wJalr"));
        assert!(
            !text.bytes().collect::<Vec<_>>().windows(64).any(|w| w.iter().all(u8::is_ascii_hexdigit)),
            "{text}"
        );
    }
}

#[test]
fn a_scope_is_read_only_where_it_is_readable() {
    let of =
        |authorization: &str, query: &str| scope_of(&[("Authorization", authorization.as_bytes())], query);
    let sigv4a = of("AWS4-ECDSA-P256-SHA256 Credential=AKID/20150830/sts/aws4_request, SignedHeaders=a", "");
    let sigv4a = sigv4a.unwrap();
    assert_eq!((sigv4a.service.as_str(), sigv4a.region.as_str()), ("sts", ""));
    for unreadable in [
        "",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 ",
        "AWS4-HMAC-SHA256 Credential=",
        "AWS4-HMAC-SHA256 Credential=AKID/20150830/us-east-1/s ts/aws4_request",
        "AWS4-HMAC-SHA256 Credential=AKID/20150830/us-east-1/sts/aws4_request/more",
        "Bearer Credential=AKID/20150830/us-east-1/sts/aws4_request",
    ] {
        assert_eq!(of(unreadable, ""), None, "{unreadable}");
    }
    assert_eq!(scope_of(&[], "X-Amz-Credential=%zz"), None);
    assert_eq!(scope_of(&[], ""), None);
}

#[test]
fn lookup_is_asked_for_the_key_that_is_named() {
    let request = Request::named("a bare GET");
    let verified = request.lend(|parts| {
        let lookup = |id: &str| {
            assert_eq!(id, ACCESS_KEY_ID);
            Some(secret())
        };
        verify(parts, lookup, now(), &request.rules())
    });
    assert!(verified.is_ok());
}
