//! Which signatures hold, and what is said of those that do not.

use jiff::SignedDuration;
use trellis_auth::{Algorithm, Credentials, PathEncoding, SecretKey};
use trellis_model::snapshot::Auth;

use super::{ALLOW, MAY_INVOKE, Scene, Signing, alice, auth, identities, session, signed, signing};

#[test]
fn every_way_of_signing_is_accepted() {
    let scene = Scene::new(auth(ALLOW), auth(ALLOW), identities(&[MAY_INVOKE]));
    for target in ["/", "/a%20b/%7Ec", "/a//b/../c?x=1&y=a%2Fb", "/a:b?x=a+b", "/caf%C3%A9"] {
        for path in [PathEncoding::Double, PathEncoding::Once] {
            for (algorithm, region) in [
                (Algorithm::Hmac, "us-east-1"),
                (Algorithm::Ecdsa, "*"),
                (Algorithm::Ecdsa, "eu-west-1,us-*"),
            ] {
                for credentials in [alice(), session(|_| {})] {
                    let how = Signing { path, algorithm, region, ..signing(credentials) };
                    let fields = [("x-amz-foo", "1"), ("accept", "*/*"), ("x-forwarded-for", "1.2.3.4")];
                    assert_eq!(
                        scene.ask(&signed(&how, target, &fields)),
                        (200, "x".into()),
                        "{target} {path:?} {algorithm:?}"
                    );
                }
            }
        }
    }
    // In capitals and with blanks, as no signer of ours would.
    let head = signed(&signing(alice()), "/", &[]).replace("x-amz-date: ", "X-Amz-Date:   ");
    assert_eq!(scene.ask(&head).0, 200);
}

#[test]
fn a_signature_that_does_not_hold_is_refused_even_where_the_anonymous_pass() {
    let scene = Scene::new(auth(ALLOW), Auth::None, identities(&[MAY_INVOKE]));
    let good = signing(alice());
    let ask = |how: &Signing| scene.ask(&signed(how, "/", &[]));
    assert_eq!(ask(&good).0, 200);
    let refused = |(status, text): (u16, String), start: &str| {
        assert_eq!(status, 403, "{text}");
        assert!(text.starts_with(start), "{text}");
    };
    let wrong = Credentials { secret_key: SecretKey::new("wrong").unwrap(), ..alice() };
    let unknown = Credentials { access_key_id: "AKIDNOBODY".parse().unwrap(), ..alice() };
    let no_token = Credentials { session_token: None, ..session(|_| {}) };
    let with_token = Credentials { session_token: session(|_| {}).session_token, ..alice() };
    let old = SignedDuration::from_mins(6);
    for (how, start) in [
        (
            signing(wrong.clone()),
            "InvalidSignatureException: The request signature we calculated does not match",
        ),
        (
            signing(unknown),
            "UnrecognizedClientException: The security token included in the request is invalid",
        ),
        (signing(no_token), "UnrecognizedClientException: "),
        (signing(with_token), "UnrecognizedClientException: "),
        (
            signing(session(|session| session.expires_at = session.issued_at)),
            "ExpiredTokenException: The security token included in the request is expired",
        ),
        (
            signing(session(|session| session.principal_id = "AROAANOTHER000000000".into())),
            "UnrecognizedClientException: ",
        ),
        (
            signing(session(|session| session.principal = "arn:aws:iam::111122223333:role/gone".into())),
            "UnrecognizedClientException: ",
        ),
        (Signing { at: good.at - old, ..good.clone() }, "InvalidSignatureException: Signature expired: "),
        (
            Signing { at: good.at + old, ..good.clone() },
            "InvalidSignatureException: Signature not yet current: ",
        ),
        (
            Signing { region: "eu-west-1", ..good.clone() },
            "InvalidSignatureException: Credential should be scoped to a valid region.",
        ),
        (
            Signing { service: "vpc-lattice", ..good.clone() },
            "InvalidSignatureException: Credential should be scoped to correct service: 'vpc-lattice-svcs'.",
        ),
        (
            Signing { unsigned_payload: false, ..good.clone() },
            "InvalidSignatureException: Signed payloads are not supported",
        ),
        (
            Signing { algorithm: Algorithm::Ecdsa, region: "eu-*", ..good.clone() },
            "InvalidSignatureException: Credential should be scoped to a valid region.",
        ),
        (
            Signing { algorithm: Algorithm::Ecdsa, region: "*", ..signing(wrong) },
            "InvalidSignatureException: The request signature",
        ),
    ] {
        refused(ask(&how), start);
    }
    let head = signed(&good, "/", &[]);
    for (from, to, start) in [
        ("GET / ", "GET /x ", "InvalidSignatureException: The request signature"),
        ("GET / ", "POST / ", "InvalidSignatureException: The request signature"),
        ("GET / ", "GET /?a=b ", "InvalidSignatureException: The request signature"),
        ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1", "IncompleteSignatureException: "),
        ("SignedHeaders=host;", "SignedHeaders=host;x-amz-date-2;", "IncompleteSignatureException: "),
        (
            "SignedHeaders=host;",
            "SignedHeaders=",
            "InvalidSignatureException: 'host' must be a 'SignedHeader'",
        ),
        ("host: a\r\n", "host: a\r\nauthorization: AWS4-HMAC-SHA256 x\r\n", "IncompleteSignatureException: "),
        (
            "x-amz-content-sha256: UNSIGNED-PAYLOAD\r\n",
            "",
            "IncompleteSignatureException: 'x-amz-content-sha256' is named as a SignedHeader, but it does not exist in the HTTP request.",
        ),
        ("Signature=", "Signature=0", "IncompleteSignatureException: "),
    ] {
        assert!(head.contains(from), "{from}");
        refused(scene.ask(&head.replacen(from, to, 1)), start);
    }
    // With both layers off, a signature for Lattice is checked and another service's is the target's.
    scene.change(Auth::None, Auth::None, identities(&[]));
    refused(scene.ask(&head.replacen("GET / ", "GET /x ", 1)), "InvalidSignatureException: ");
    assert_eq!(ask(&Signing { service: "s3", ..good }).0, 200);
}
