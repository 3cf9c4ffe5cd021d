//! Signing one request: what is taken away, what is covered, what is added.

use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use http::{Method, Uri};
use jiff::Timestamp;
use trellis_auth::{
    Algorithm, Credentials, Header, KeptKey, PathEncoding, Payload, Scope, SecretKey, SignError, SignOptions,
    SignedRequest, sign_with,
};

/// The signing name of services of VPC Lattice.
const SERVICE: &str = "vpc-lattice-svcs";

/// Which signature requests get, and where it is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SigningAlgorithm {
    SigV4 {
        region: String,
    },
    /// Good in a set of regions: `us-east-1,eu-west-1` or `*`.
    SigV4A {
        region_set: String,
    },
}

/// The region, or set of regions, is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{found:?} is no region to sign for: expected one such as us-east-1, or for SigV4A a list of them or *"
)]
pub struct UnsignableScope {
    found: String,
}

/// Headers of a signature; the application's own would be taken for ours.
const OF_SIGNATURES: [&str; 4] =
    ["x-amz-date", "x-amz-security-token", "x-amz-content-sha256", "x-amz-region-set"];

#[derive(Debug)]
pub(crate) struct Signer {
    region: String,
    options: SignOptions,
    kept: KeptKey,
}

impl Signer {
    /// Refuses here what would have failed at every request.
    pub(crate) fn new(algorithm: SigningAlgorithm) -> Result<Self, UnsignableScope> {
        let (algorithm, region) = match algorithm {
            SigningAlgorithm::SigV4 { region } => (Algorithm::Hmac, region),
            SigningAlgorithm::SigV4A { region_set } => (Algorithm::Ecdsa, region_set),
        };
        let options = SignOptions {
            algorithm,
            path: PathEncoding::Double,
            unsigned_payload: true,
            send_payload_hash: true,
        };
        let signer = Self { region, options, kept: KeptKey::default() };
        let probe = Credentials {
            access_key_id: "AKIDEXAMPLE".parse().expect("a word"),
            secret_key: SecretKey::new("example").expect("seven characters"),
            session_token: None,
        };
        let signed = signer.sign(
            &Method::GET,
            &Uri::from_static("/"),
            "a",
            &mut HeaderMap::new(),
            &probe,
            Timestamp::UNIX_EPOCH,
        );
        match signed {
            Ok(()) => Ok(signer),
            Err(_) => Err(UnsignableScope { found: signer.region }),
        }
    }

    /// Adds the signature's headers. It covers Host and every `x-amz-*` header, which is what has to be covered; the
    /// others are safe in TLS and may be changed on the way to the target.
    pub(crate) fn sign(
        &self,
        method: &Method,
        uri: &Uri,
        host: &str,
        headers: &mut HeaderMap,
        credentials: &Credentials,
        now: Timestamp,
    ) -> Result<(), SignError> {
        for name in OF_SIGNATURES {
            headers.remove(name);
        }
        let mut covered: Vec<Header<'_>> = Vec::with_capacity(4);
        covered.push(("host", host.as_bytes()));
        let amazons = headers.iter().filter(|(name, _)| name.as_str().starts_with("x-amz-"));
        covered.extend(amazons.map(|(name, value)| (name.as_str(), value.as_bytes())));
        let request = SignedRequest {
            method: method.as_str(),
            path: uri.path(),
            query: uri.query().unwrap_or_default(),
            headers: &covered,
            payload: Payload::Streamed,
        };
        let scope = Scope { region: &self.region, service: SERVICE };
        for (name, value) in sign_with(&request, credentials, scope, now, &self.options, &self.kept)? {
            let mut value = HeaderValue::try_from(value).map_err(|_| SignError::Scope)?;
            // A value that is never the same again has no place in a peer's table of headers.
            value.set_sensitive(name == "authorization");
            headers.insert(name, value);
        }
        Ok(())
    }
}

/// Who signs what the application sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signed {
    /// Nobody has: we do.
    NotYet,
    /// The application did, in the header or in the query.
    Already,
    /// It proves itself in another way, in the header that a signature needs.
    Otherwise,
}

impl Signed {
    pub(crate) fn of(uri: &Uri, headers: &HeaderMap) -> Self {
        match headers.get(AUTHORIZATION) {
            Some(value) if value.as_bytes().starts_with(b"AWS4-") => Self::Already,
            Some(_) => Self::Otherwise,
            None if uri.query().is_some_and(|query| query.contains("X-Amz-Signature=")) => Self::Already,
            None => Self::NotYet,
        }
    }
}

#[cfg(test)]
mod tests {
    use trellis_auth::{AuthError, Rules, Verified, headers_of, verify_with};

    use super::*;

    fn credentials(token: Option<&str>) -> Credentials {
        Credentials {
            access_key_id: "AKIDEXAMPLE".parse().unwrap(),
            secret_key: SecretKey::new("secret").unwrap(),
            session_token: token.map(|token| token.parse().unwrap()),
        }
    }

    /// As a service of VPC Lattice does.
    fn verified(
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Verified, AuthError> {
        let request = SignedRequest {
            method: method.as_str(),
            path: uri.path(),
            query: uri.query().unwrap_or_default(),
            headers: &headers_of(headers),
            payload: Payload::Streamed,
        };
        let lookup = |_: trellis_auth::Claim<'_>| Ok(Some(SecretKey::new("secret").unwrap()));
        verify_with(&request, lookup, now, &Rules::for_lattice_service(&["us-east-1"]), None)
    }

    fn now() -> Timestamp {
        "2026-01-02T03:04:05Z".parse().unwrap()
    }

    fn signers() -> [Signer; 3] {
        [
            SigningAlgorithm::SigV4 { region: "us-east-1".into() },
            SigningAlgorithm::SigV4A { region_set: "*".into() },
            SigningAlgorithm::SigV4A { region_set: "eu-west-1,us-east-1".into() },
        ]
        .map(|algorithm| Signer::new(algorithm).unwrap())
    }

    #[test]
    fn what_is_signed_is_verified_by_the_services_rules() {
        let uris =
            ["/", "/a%20b//c/./d?x=1&y=a%2Fb&z", "/a:b@c?b=2&a=1&a=0", "/shop.Cart/Add", "/caf%C3%A9?q=a+b"];
        for signer in signers() {
            for token in [None, Some("session-token")] {
                for uri in uris.map(Uri::from_static) {
                    let mut headers = HeaderMap::new();
                    headers.insert("host", HeaderValue::from_static("cart.example.com:8443"));
                    headers.insert("x-amz-meta-colour", HeaderValue::from_static(" red  wine "));
                    headers.insert("user-agent", HeaderValue::from_static("app"));
                    signer
                        .sign(
                            &Method::PUT,
                            &uri,
                            "cart.example.com:8443",
                            &mut headers,
                            &credentials(token),
                            now(),
                        )
                        .unwrap();
                    let caller = verified(&Method::PUT, &uri, &headers, now()).unwrap();
                    assert!(!caller.payload_signed());
                    assert_eq!(caller.security_token().map(|token| token.as_str()), token);
                    assert!(caller.signed_headers().iter().any(|name| name == "x-amz-meta-colour"));
                    assert!(!caller.signed_headers().iter().any(|name| name == "user-agent"));
                    let tampered = verified(&Method::POST, &uri, &headers, now());
                    assert!(matches!(tampered, Err(AuthError::BadSignature)), "{tampered:?}");
                }
            }
        }
    }

    #[test]
    fn signature_headers_of_the_application_give_way() {
        for signer in signers() {
            let mut headers = HeaderMap::new();
            headers.insert("host", HeaderValue::from_static("a"));
            for name in OF_SIGNATURES {
                headers.append(name, HeaderValue::from_static("forged"));
                headers.append(name, HeaderValue::from_static("twice"));
            }
            let uri = Uri::from_static("/");
            signer.sign(&Method::GET, &uri, "a", &mut headers, &credentials(None), now()).unwrap();
            verified(&Method::GET, &uri, &headers, now()).unwrap();
        }
    }

    #[test]
    fn a_scope_that_is_none_is_refused_at_the_start() {
        for region in ["", "US EAST", "us-east-1,eu-west-1", "*"] {
            assert!(Signer::new(SigningAlgorithm::SigV4 { region: region.into() }).is_err(), "{region}");
        }
        for region_set in ["", "us east"] {
            assert!(
                Signer::new(SigningAlgorithm::SigV4A { region_set: region_set.into() }).is_err(),
                "{region_set}"
            );
        }
    }

    #[test]
    fn a_signature_of_the_applications_own_is_told_from_other_proofs() {
        let with =
            |value: &'static str| HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
        let plain = Uri::from_static("/");
        assert_eq!(Signed::of(&plain, &HeaderMap::new()), Signed::NotYet);
        assert_eq!(Signed::of(&plain, &with("AWS4-HMAC-SHA256 Credential=...")), Signed::Already);
        assert_eq!(Signed::of(&plain, &with("Bearer abc")), Signed::Otherwise);
        let presigned = Uri::from_static("/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00");
        assert_eq!(Signed::of(&presigned, &HeaderMap::new()), Signed::Already);
    }
}
