//! Any bytes as a signed request: verification must not panic, must not accept what nobody signed,
//! and must accept what was just signed.
//!
//! The input is lines: method, path, query, body, then `name:value` headers. As they are, they go
//! through verification; with their own signature removed they are signed here and verified again.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use trellis_auth::{
    AuthError, Credentials, Header, PathEncoding, Payload, PayloadRule, Rules, Scope, SecretKey, SignOptions,
    SignedRequest, scope_of, sign, verify_with,
};

const NOW: Timestamp = Timestamp::constant(1_440_938_160, 0);

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut lines = text.split('\n');
    let mut next = || lines.next().unwrap_or_default();
    let (method, path, query, body) = (next(), next(), next(), next().as_bytes());
    let headers: Vec<Header<'_>> =
        lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.as_bytes())).collect();
    let request = SignedRequest { method, path, query, headers: &headers, payload: Payload::Body(body) };
    let _ = scope_of(&headers, query);

    for encoding in [PathEncoding::Double, PathEncoding::Once, PathEncoding::AsSigned] {
        for payload in [PayloadRule::Any, PayloadRule::UnsignedOnly, PayloadRule::HashRequired] {
            let rules = Rules { path: encoding, payload, ..Rules::for_service(&["service"]) };
            // A secret that the input cannot have signed with.
            let unguessable = |_: trellis_auth::Claim<'_>| Ok(SecretKey::new("d1a7c7a0f6b94f0e").ok());
            assert!(verify_with(&request, unguessable, NOW, &rules, None).is_err());
        }
        signed_here_is_accepted(&request, encoding);
    }
});

fn signed_here_is_accepted(request: &SignedRequest<'_>, encoding: PathEncoding) {
    let credentials = Credentials {
        access_key_id: "AKIDEXAMPLE".parse().expect("a word"),
        secret_key: SecretKey::new("secret").expect("short"),
        session_token: None,
    };
    let kept = |(name, _): &&Header<'_>| !name.eq_ignore_ascii_case("authorization");
    let mut headers: Vec<Header<'_>> = request.headers.iter().filter(kept).copied().collect();
    let bare = SignedRequest { headers: &headers, ..*request };
    let scope = Scope { region: "us-east-1", service: "service" };
    let options = SignOptions { path: encoding, ..SignOptions::default() };
    let Ok(added) = sign(&bare, &credentials, scope, NOW, &options) else { return };
    headers.extend(added.iter().map(|(name, value)| (*name, value.as_bytes())));
    let signed = SignedRequest { headers: &headers, ..*request };
    let rules = Rules { path: encoding, ..Rules::for_service(&["service"]) };
    let lookup = |_: trellis_auth::Claim<'_>| Ok(Some(credentials.secret_key.clone()));
    match verify_with(&signed, lookup, NOW, &rules, None) {
        // Too long, or its own query or header names make it something else than it was signed as.
        Ok(_) | Err(AuthError::Malformed { .. }) => {}
        Err(error) => panic!("signed here and refused: {error}"),
    }
}
