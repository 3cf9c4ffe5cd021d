//! A control plane of IAM alone, and callers that sign as an SDK does.

use bytes::Bytes;
use http::Request;
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tempfile::TempDir;
use trellis_auth::{Credentials, Payload, Scope, SecretKey, SignOptions, SignedRequest, sign};
use trellis_frame::{Config, Frame};
use trellis_store::Store;

pub(crate) const ACCOUNT: &str = "111122223333";
const KEY_ID: &str = "AKIATESTTESTTESTTEST";
const SECRET: &str = "a-secret-that-is-only-used-in-tests";

const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const SERVICES: &[&trellis_frame::Service] = &[&trellis_iam::SERVICE];

/// Trusts the account itself.
pub(crate) const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"sts:AssumeRole"}]}"#;

pub(crate) fn allowing(action: &str, resource: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"{action}","Resource":"{resource}"}}]}}"#
    )
}

pub(crate) struct Installation {
    pub(crate) frame: Frame,
    _dir: TempDir,
}

/// Whose keys a call is signed with.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) secret: String,
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    /// The text of the first element of this name.
    pub(crate) fn text(&self, element: &str) -> &str {
        self.texts(element).first().copied().unwrap_or_else(|| panic!("no {element} in {}", self.body))
    }

    /// The texts of all elements of this name.
    pub(crate) fn texts(&self, element: &str) -> Vec<&str> {
        let (start, end) = (format!("<{element}>"), format!("</{element}>"));
        let rest = self.body.split(&start).skip(1);
        rest.map(|part| part.split(&end).next().unwrap_or_default()).collect()
    }
}

impl Installation {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config =
            Config { access_key_id: KEY_ID.into(), secret_access_key: SECRET.into(), ..Config::default() };
        let store = Store::open(dir.path()).unwrap();
        let frame = Frame::start(store, SERVICES, config).await.unwrap();
        Self { frame, _dir: dir }
    }

    pub(crate) async fn call_as(&self, key: &Key, operation: &str, members: &[(&str, &str)]) -> Answer {
        let mut form = format!("Action={operation}&Version=2010-05-08");
        for (name, value) in members {
            form.push_str(&format!("&{name}={}", utf8_percent_encode(value, ESCAPED)));
        }
        let body = Bytes::from(form);
        let mut headers = vec![
            ("host", "127.0.0.1:4560".to_owned()),
            ("content-type", "application/x-www-form-urlencoded; charset=utf-8".to_owned()),
        ];
        let credentials = Credentials {
            access_key_id: key.id.parse().unwrap(),
            secret_key: SecretKey::new(key.secret.clone()).unwrap(),
            session_token: None,
        };
        let lines: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let unsigned = SignedRequest {
            method: "POST",
            path: "/",
            query: "",
            headers: &lines,
            payload: Payload::Body(&body),
        };
        let scope = Scope { region: "us-east-1", service: "iam" };
        headers
            .extend(sign(&unsigned, &credentials, scope, Timestamp::now(), &SignOptions::default()).unwrap());
        let mut request = Request::builder().method("POST").uri("/");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response = self.frame.serve(request.body(body).unwrap()).await;
        let status = response.status().as_u16();
        Answer { status, body: String::from_utf8(response.into_body()).unwrap() }
    }

    /// By the operator.
    pub(crate) async fn call(&self, operation: &str, members: &[(&str, &str)]) -> Answer {
        self.call_as(&Key { id: KEY_ID.into(), secret: SECRET.into() }, operation, members).await
    }

    pub(crate) async fn ok(&self, operation: &str, members: &[(&str, &str)]) -> Answer {
        let answer = self.call(operation, members).await;
        assert_eq!(answer.status, 200, "{operation}: {}", answer.body);
        answer
    }

    /// Status, code and message of a refusal.
    pub(crate) async fn refused(&self, operation: &str, members: &[(&str, &str)]) -> (u16, String, String) {
        fault(&self.call(operation, members).await)
    }

    /// A user of this name with a key.
    pub(crate) async fn user(&self, name: &str) -> Key {
        self.ok("CreateUser", &[("UserName", name)]).await;
        let made = self.ok("CreateAccessKey", &[("UserName", name)]).await;
        Key { id: made.text("AccessKeyId").into(), secret: made.text("SecretAccessKey").into() }
    }
}

pub(crate) fn fault(answer: &Answer) -> (u16, String, String) {
    assert_ne!(answer.status, 200, "{}", answer.body);
    let message = answer.text("Message").replace("&apos;", "'").replace("&quot;", "\"").replace("&#39;", "'");
    (answer.status, answer.text("Code").to_owned(), message)
}
