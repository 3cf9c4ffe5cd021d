use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256};

use super::*;

const ISSUER: &str = "https://oidc.example.com/id/1";
const CLAIMS: &str = r#"{"iss":"https://oidc.example.com/id/1","sub":"system:serviceaccount:apps:default",
    "aud":["sts.amazonaws.com"],"exp":5000,"iat":1000,"nbf":1000,"amr":["a","b"],"admin":true,
    "https://aws.amazon.com/tags":{"principal_tags":{"team":["red"],"env":"dev"},"transitive_tag_keys":["team"]}}"#;

fn now() -> Timestamp {
    Timestamp::from_second(2_000).unwrap()
}

fn expected() -> Expected<'static> {
    Expected { issuer: ISSUER, audiences: &["sts.amazonaws.com"] }
}

/// A provider with one key of each kind.
struct Provider {
    ec: EcdsaKeyPair,
    rsa: RsaKeyPair,
}

impl Provider {
    fn new() -> Self {
        Self {
            ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
        }
    }

    fn jwks(&self) -> String {
        let point = self.ec.public_key().as_ref();
        let rsa = self.rsa.public_key();
        format!(
            r#"{{"keys":[{{"kty":"EC","crv":"P-256","use":"sig","kid":"ec","x":"{}","y":"{}"}},
            {{"kty":"RSA","alg":"RS256","kid":"rsa","n":"{}","e":"{}"}},
            {{"kty":"oct","kid":"hmac","k":"c2VjcmV0"}},
            {{"kty":"RSA","use":"enc","kid":"enc","n":"AQAB","e":"AQAB"}}]}}"#,
            BASE64.encode(&point[1..33]),
            BASE64.encode(&point[33..]),
            BASE64.encode(rsa.modulus().big_endian_without_leading_zero()),
            BASE64.encode(rsa.exponent().big_endian_without_leading_zero()),
        )
    }

    fn keys(&self) -> Jwks {
        Jwks::parse(self.jwks().as_bytes()).unwrap()
    }

    fn token(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
        let signature = if header.contains("RS256") {
            let mut signature = vec![0; self.rsa.public_modulus_len()];
            self.rsa
                .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
                .unwrap();
            signature
        } else {
            self.ec.sign(&SystemRandom::new(), signed.as_bytes()).unwrap().as_ref().to_vec()
        };
        format!("{signed}.{}", BASE64.encode(signature))
    }
}

const EC: &str = r#"{"alg":"ES256","kid":"ec","typ":"JWT"}"#;

#[test]
fn both_algorithms_are_verified_and_their_claims_read() {
    let provider = Provider::new();
    let keys = provider.keys();
    for header in [EC, r#"{"alg":"RS256","kid":"rsa"}"#, r#"{"alg":"RS256"}"#] {
        let token = provider.token(header, CLAIMS);
        assert_eq!(issuer_of(&token).as_deref(), Some(ISSUER));
        let claims = verify(&token, &keys, expected(), now()).unwrap();
        assert_eq!(claims.subject, "system:serviceaccount:apps:default");
        assert_eq!(claims.audience, ["sts.amazonaws.com"]);
        assert_eq!(claims.others["amr"], ["a", "b"]);
        assert_eq!(claims.others["admin"], ["true"]);
        assert_eq!(claims.principal_tags["team"], "red");
        assert_eq!(claims.principal_tags["env"], "dev");
        assert_eq!(claims.transitive_tag_keys, ["team"]);
    }
}

#[test]
fn a_token_does_not_choose_how_it_is_verified() {
    let provider = Provider::new();
    let keys = provider.keys();
    let refused =
        |header: &str| verify(&provider.token(header, CLAIMS), &keys, expected(), now()).unwrap_err();
    for header in [r#"{"alg":"none"}"#, r#"{"alg":"None","kid":"ec"}"#, r#"{"alg":"HS256","kid":"hmac"}"#] {
        assert!(matches!(refused(header), JwtError::Algorithm { .. }), "{header}");
    }
    for header in [
        r#"{"alg":"ES256","kid":"rsa"}"#,
        r#"{"alg":"RS256","kid":"ec"}"#,
        r#"{"alg":"ES256","kid":"other"}"#,
        r#"{"alg":"RS256","kid":"enc"}"#,
    ] {
        assert!(matches!(refused(header), JwtError::UnknownKey { .. }), "{header}");
    }
    for header in [
        r#"{"alg":"ES256","kid":"ec","crit":["exp"]}"#,
        r#"{"alg":"none","alg":"ES256","kid":"ec"}"#,
        r#"{"kid":"ec"}"#,
        "[]",
    ] {
        assert!(matches!(refused(header), JwtError::Malformed { .. }), "{header}");
    }
    // Unsigned, in the form of RFC 7519, 6.
    let bare = format!("{}.{}.", BASE64.encode(r#"{"alg":"none"}"#), BASE64.encode(CLAIMS));
    assert!(matches!(verify(&bare, &keys, expected(), now()), Err(JwtError::Algorithm { .. })));
}

#[test]
fn a_foreign_or_changed_signature_is_refused() {
    let (provider, stranger) = (Provider::new(), Provider::new());
    let keys = provider.keys();
    let token = provider.token(EC, CLAIMS);
    assert!(verify(&token, &keys, expected(), now()).is_ok());
    let foreign = stranger.token(EC, CLAIMS);
    assert_eq!(verify(&foreign, &keys, expected(), now()), Err(JwtError::Signature));
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, _) = signed.split_once('.').unwrap();
    let other = CLAIMS.replace("default", "admin");
    let swapped = format!("{header}.{}.{signature}", BASE64.encode(other));
    assert_eq!(verify(&swapped, &keys, expected(), now()), Err(JwtError::Signature));
    assert_eq!(verify(&format!("{signed}."), &keys, expected(), now()), Err(JwtError::Signature));
    for text in ["", "a.b", "a.b.c.d", "!.!.!", &"a".repeat(MAX_JWT + 1)] {
        assert!(matches!(verify(text, &keys, expected(), now()), Err(JwtError::Malformed { .. })), "{text}");
    }
}

#[test]
fn what_a_token_says_must_be_expected() {
    let provider = Provider::new();
    let keys = provider.keys();
    let with = |from: &str, to: &str| {
        assert_eq!(CLAIMS.matches(from).count(), 1, "{from}");
        verify(&provider.token(EC, &CLAIMS.replace(from, to)), &keys, expected(), now())
    };
    assert!(matches!(with("/id/1", "/id/2"), Err(JwtError::Issuer { .. })));
    assert_eq!(with("sts.amazonaws.com", "other"), Err(JwtError::Audience));
    assert!(with(r#"["sts.amazonaws.com"]"#, r#"["x","sts.amazonaws.com"]"#).is_ok());
    assert!(with(r#"["sts.amazonaws.com"]"#, r#""sts.amazonaws.com""#).is_ok());
    assert!(with(r#""exp":5000"#, r#""exp":1999"#).is_ok(), "the provider's clock may be a little behind");
    assert_eq!(with(r#""exp":5000"#, r#""exp":1940"#), Err(JwtError::Expired { expired_at: 1940 }));
    assert_eq!(with(r#""nbf":1000"#, r#""nbf":2061"#), Err(JwtError::NotYet { not_before: 2061 }));
    assert_eq!(with(r#""iat":1000"#, r#""iat":2061"#), Err(JwtError::NotYet { not_before: 2061 }));
    for (from, to) in [
        (r#""exp":5000,"#, ""),
        (r#""exp":5000"#, r#""exp":"5000""#),
        (r#""exp":5000"#, r#""exp":1e300"#),
        (r#""exp":5000"#, r#""exp":5000,"exp":9000"#),
        (r#""nbf":1000"#, r#""nbf":"x""#),
        (r#""sub":"system:serviceaccount:apps:default""#, r#""sub":1"#),
        (r#"["sts.amazonaws.com"]"#, "[1]"),
        (r#""env":"dev""#, r#""env":["a","b"]"#),
    ] {
        assert!(matches!(with(from, to), Err(JwtError::Malformed { .. })), "{from} -> {to}");
    }
    let deep = format!(r#""amr":{}1{}"#, "[".repeat(9), "]".repeat(9));
    assert!(matches!(with(r#""amr":["a","b"]"#, &deep), Err(JwtError::Malformed { .. })));
    let trailing = provider.token(EC, &format!("{CLAIMS} {{}}"));
    assert!(matches!(verify(&trailing, &keys, expected(), now()), Err(JwtError::Malformed { .. })));
}

#[test]
fn a_key_set_without_a_usable_key_or_without_bounds_is_refused() {
    assert_eq!(Jwks::parse(b"[]").unwrap_err(), JwksError::Malformed);
    assert_eq!(Jwks::parse(br#"{"keys":[]}"#).unwrap_err(), JwksError::NoKey);
    let weak = format!(r#"{{"keys":[{{"kty":"RSA","n":"{}","e":"AQAB"}}]}}"#, BASE64.encode([0x81; 128]));
    assert_eq!(Jwks::parse(weak.as_bytes()).unwrap_err(), JwksError::NoKey);
    let off_curve =
        format!(r#"{{"keys":[{{"kty":"EC","crv":"P-256","x":"{0}","y":"{0}"}}]}}"#, BASE64.encode([1; 32]));
    assert_eq!(Jwks::parse(off_curve.as_bytes()).unwrap_err(), JwksError::NoKey);
    let many = format!(r#"{{"keys":[{}{{}}]}}"#, "{},".repeat(MAX_KEYS_AND_MORE));
    assert!(matches!(Jwks::parse(many.as_bytes()), Err(JwksError::TooMany { .. })));
    let large = " ".repeat(jwks::MAX_JWKS + 1);
    assert!(matches!(Jwks::parse(large.as_bytes()), Err(JwksError::TooLarge { .. })));
}

const MAX_KEYS_AND_MORE: usize = 64;
