//! SigV4 from outside: what other signers made is accepted, what differs from it in a byte is not.

mod altered;
mod rules;
mod rust_sdk;
mod signing;
mod vectors;

use jiff::Timestamp;
use trellis_auth::{
    AuthError, Claim, Header, PathEncoding, Payload, Rules, SecretKey, SignedRequest, Verified, verify_with,
};

pub(crate) const ACCESS_KEY_ID: &str = "AKIDEXAMPLE";
pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
pub(crate) const SIGNED_AT: &str = "2015-08-30T12:36:00Z";

/// A signed request as it arrives.
pub(crate) struct Vector {
    pub(crate) name: &'static str,
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) query: &'static str,
    pub(crate) headers: &'static [(&'static str, &'static str)],
    pub(crate) body: &'static str,
    pub(crate) region: &'static str,
    pub(crate) service: &'static str,
    pub(crate) s3: bool,
}

/// A request that tests change before they have it verified.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    service: &'static str,
    encoding: PathEncoding,
}

impl From<&Vector> for Request {
    fn from(vector: &Vector) -> Self {
        Self {
            method: vector.method.into(),
            path: vector.path.into(),
            query: vector.query.into(),
            headers: vector.headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            body: vector.body.into(),
            service: vector.service,
            encoding: if vector.s3 { PathEncoding::Once } else { PathEncoding::Double },
        }
    }
}

impl Request {
    /// The vector of that name.
    pub(crate) fn named(name: &str) -> Self {
        vectors::VECTORS.iter().find(|vector| vector.name == name).expect("a vector of that name").into()
    }

    pub(crate) fn header(&mut self, name: &str) -> &mut Vec<u8> {
        &mut self.headers.iter_mut().find(|(other, _)| other == name).expect("a header of that name").1
    }

    pub(crate) fn add(&mut self, name: &str, value: &str) {
        self.headers.push((name.into(), value.into()));
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.headers.retain(|(other, _)| other != name);
    }

    /// Replaces the only occurrence of `from` in the `Authorization` header or else in the query.
    pub(crate) fn replace(&mut self, from: &str, to: &str) {
        let header = self.headers.iter_mut().find(|(name, _)| name == "authorization");
        match header {
            Some((_, value)) => {
                let text = String::from_utf8(value.clone()).unwrap();
                assert_eq!(text.matches(from).count(), 1, "{from} in {text}");
                *value = text.replace(from, to).into();
            }
            None => {
                assert_eq!(self.query.matches(from).count(), 1, "{from} in {}", self.query);
                self.query = self.query.replace(from, to);
            }
        }
    }

    pub(crate) fn rules(&self) -> Rules<'_> {
        Rules { path: self.encoding, ..Rules::for_service(std::slice::from_ref(&self.service)) }
    }

    pub(crate) fn verify(&self) -> Result<Verified, AuthError> {
        self.verify_by(&self.rules(), now())
    }

    pub(crate) fn verify_by(&self, rules: &Rules<'_>, now: Timestamp) -> Result<Verified, AuthError> {
        self.lend(|request| verify_with(request, known_key, now, rules, None))
    }

    pub(crate) fn lend<T>(&self, use_it: impl FnOnce(&SignedRequest<'_>) -> T) -> T {
        let headers: Vec<Header<'_>> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        use_it(&SignedRequest {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &headers,
            payload: Payload::Body(&self.body),
        })
    }
}

pub(crate) fn now() -> Timestamp {
    SIGNED_AT.parse().unwrap()
}

pub(crate) fn secret() -> SecretKey {
    SecretKey::new(SECRET).unwrap()
}

/// Knows one key, and takes any token with it.
pub(crate) fn known_key(claim: Claim<'_>) -> Result<Option<SecretKey>, AuthError> {
    Ok((claim.access_key_id == ACCESS_KEY_ID).then(secret))
}

#[test]
fn what_botocore_signs_is_accepted() {
    for vector in vectors::VECTORS {
        let verified = Request::from(vector).verify();
        let verified = verified.unwrap_or_else(|error| panic!("{}: {error}", vector.name));
        assert_eq!(verified.access_key_id().as_str(), ACCESS_KEY_ID, "{}", vector.name);
        assert_eq!((verified.region(), verified.service()), (vector.region, vector.service));
        assert_eq!(verified.signed_at(), now());
        assert!(verified.signed_headers().iter().any(|name| name == "host"));
    }
}

#[test]
fn the_scope_can_be_read_before_it_is_verified() {
    for vector in vectors::VECTORS {
        let scope =
            Request::from(vector).lend(|request| trellis_auth::scope_of(request.headers, request.query));
        let scope = scope.unwrap_or_else(|| panic!("{}", vector.name));
        assert_eq!((scope.region.as_str(), scope.service.as_str()), (vector.region, vector.service));
        assert_eq!(scope.access_key_id, ACCESS_KEY_ID);
    }
}
