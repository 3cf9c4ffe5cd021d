//! Any text as a JWT and as a provider's keys: reading them must not panic, and no token is accepted
//! that the provider's key did not sign.
//!
//! The input is two parts with a line end between them: a token, and a key set.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use trellis_auth::jwt::{Expected, Jwks, issuer_of, verify};

/// The key of RFC 7515, appendix A.3, whose private half the input does not have.
const KEYS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"1",
    "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;

fuzz_target!(|input: &str| {
    let (token, keys) = input.split_once('\n').unwrap_or((input, ""));
    let issuer = issuer_of(token).unwrap_or_default();
    let expected = Expected { issuer: &issuer, audiences: &["sts.amazonaws.com"] };
    if let Ok(keys) = Jwks::parse(keys.as_bytes()) {
        let _ = verify(token, &keys, expected, Timestamp::UNIX_EPOCH);
    }
    let keys = Jwks::parse(KEYS.as_bytes()).expect("a key set");
    assert!(verify(token, &keys, expected, Timestamp::UNIX_EPOCH).is_err());
});
