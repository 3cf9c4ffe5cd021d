//! The signer of the AWS SDK for Rust, whose signatures are held to the rules of services.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SigningParams, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use trellis_auth::{AuthError, Header, Payload, Rules, SignedRequest, Verified, verify_with};

use crate::{ACCESS_KEY_ID, SECRET, known_key, now};

const HOST: &str = "cart.example.com";

/// The headers of a request that the SDK signed.
fn signed(method: &str, target: &str, token: Option<&str>) -> Vec<(String, String)> {
    let credentials = Credentials::new(ACCESS_KEY_ID, SECRET, token.map(str::to_owned), None, "test");
    let identity = credentials.into();
    let mut settings = SigningSettings::default();
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    let seconds = u64::try_from(now().as_second()).unwrap();
    let params: SigningParams<'_> = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("vpc-lattice-svcs")
        .time(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
        .settings(settings)
        .build()
        .unwrap()
        .into();
    let headers = [("host", HOST), ("x-amz-meta-colour", "red  wine")];
    let uri = format!("https://{HOST}{target}");
    let request =
        SignableRequest::new(method, uri, headers.into_iter(), SignableBody::UnsignedPayload).unwrap();
    let (added, _) = sign(request, &params).unwrap().into_parts();
    let added = added.headers().map(|(name, value)| (name.to_owned(), value.to_owned()));
    headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).chain(added).collect()
}

fn verified(method: &str, target: &str, headers: &[(String, String)]) -> Result<Verified, AuthError> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: Vec<Header<'_>> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let request = SignedRequest { method, path, query, headers: &headers, payload: Payload::Streamed };
    verify_with(&request, known_key, now(), &Rules::for_lattice_service(&["us-east-1"]), None)
}

#[test]
fn what_the_rust_sdk_signs_is_verified_by_the_rules_of_services() {
    for target in ["/", "/a%20b?x=1&y=a%2Fb", "/shop.Cart/Add", "/caf%C3%A9?b=2&a=1&a=0"] {
        for token in [None, Some("session-token")] {
            let headers = signed("POST", target, token);
            let caller = verified("POST", target, &headers).unwrap();
            assert_eq!(caller.security_token().map(|token| token.as_str()), token, "{target}");
            assert!(caller.signed_headers().iter().any(|name| name == "x-amz-meta-colour"), "{target}");
            assert!(matches!(verified("PUT", target, &headers), Err(AuthError::BadSignature)), "{target}");
        }
    }
}
