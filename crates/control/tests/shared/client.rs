//! A client that signs as an SDK does.

use bytes::Bytes;
use http::Request;
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};
use trellis_auth::{Credentials, Payload, Scope, SecretKey, SignOptions, SignedRequest, sign};

pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const REGION: &str = "us-east-1";
pub(crate) const KEY_ID: &str = "AKIATESTTESTTESTTEST";
pub(crate) const SECRET: &str = "a-secret-that-is-only-used-in-tests";

/// What must be escaped in a path segment, a query value or a form.
pub(crate) const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A request of `method`, `path` and `query`, signed with a key's id and secret at `now`.
pub(crate) fn signed(
    (key_id, secret): (&str, &str),
    scope: Scope<'_>,
    now: Timestamp,
    (method, path, query): (&str, &str, &str),
    mut headers: Vec<(&'static str, String)>,
    body: Bytes,
) -> Request<Bytes> {
    headers.push(("host", "127.0.0.1:4560".to_owned()));
    headers.push(("content-length", body.len().to_string()));
    let credentials = Credentials {
        access_key_id: key_id.parse().unwrap(),
        secret_key: SecretKey::new(secret).unwrap(),
        session_token: None,
    };
    let lines: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    let unsigned = SignedRequest { method, path, query, headers: &lines, payload: Payload::Body(&body) };
    headers.extend(sign(&unsigned, &credentials, scope, now, &SignOptions::default()).unwrap());
    let uri = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.body(body).unwrap()
}
