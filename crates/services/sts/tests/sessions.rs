//! Sessions over time: how long they are good, and what ends them. A control plane of IAM and STS alone, whose clock
//! the tests set.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use http::Request;
use jiff::Timestamp;
use tempfile::TempDir;
use trellis_auth::{Credentials, Payload, Scope, SecretKey, SignOptions, SignedRequest, sign};
use trellis_frame::{Clock, Config, Frame, token_key};
use trellis_store::Store;

const SERVICES: &[&trellis_frame::Service] = &[&trellis_iam::SERVICE, &trellis_sts::SERVICE];

/// Trusts the account itself.
const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"sts:AssumeRole"}]}"#;

const ROLE: &str = "arn:aws:iam::111122223333:role/deploy";

struct Installation {
    frame: Frame,
    /// Seconds since 1970.
    now: Arc<AtomicI64>,
    _dir: TempDir,
}

#[derive(Clone)]
struct Keys {
    id: String,
    secret: String,
    token: Option<String>,
}

struct Answer {
    status: u16,
    body: String,
}

impl Answer {
    fn text(&self, element: &str) -> &str {
        let (start, end) = (format!("<{element}>"), format!("</{element}>"));
        let rest = self.body.split(&start).nth(1).unwrap_or_else(|| panic!("no {element} in {}", self.body));
        rest.split(&end).next().unwrap_or_default()
    }

    fn keys(&self) -> Keys {
        assert_eq!(self.status, 200, "{}", self.body);
        Keys {
            id: self.text("AccessKeyId").into(),
            secret: self.text("SecretAccessKey").into(),
            token: Some(self.text("SessionToken").into()),
        }
    }
}

impl Installation {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let now = Arc::new(AtomicI64::new(1_700_000_000));
        let told = now.clone();
        let clock = move || Timestamp::from_second(told.load(Ordering::Relaxed)).unwrap();
        let Keys { id, secret, .. } = operator();
        let config = Config {
            access_key_id: id,
            secret_access_key: secret.into(),
            clock: Clock::new(clock),
            ..Config::default()
        };
        let frame = Frame::start(Store::open(dir.path()).unwrap(), SERVICES, config).await.unwrap();
        Self { frame, now, _dir: dir }
    }

    fn pass(&self, seconds: i64) {
        self.now.fetch_add(seconds, Ordering::Relaxed);
    }

    async fn call(&self, keys: &Keys, service: &str, version: &str, form: &[(&str, &str)]) -> Answer {
        let escaped = |text: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            let escape =
                |byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
            text.bytes().map(escape).collect::<String>()
        };
        let pairs = form.iter().map(|(name, value)| format!("&{name}={}", escaped(value)));
        let body = Bytes::from(format!("Version={version}{}", pairs.collect::<String>()));
        let mut headers = vec![
            ("host", "127.0.0.1:4560".to_owned()),
            ("content-type", "application/x-www-form-urlencoded; charset=utf-8".to_owned()),
        ];
        let credentials = Credentials {
            access_key_id: keys.id.parse().unwrap(),
            secret_key: SecretKey::new(keys.secret.clone()).unwrap(),
            session_token: keys.token.as_deref().map(|token| token.parse().unwrap()),
        };
        let lines: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let payload = Payload::Body(&body);
        let unsigned = SignedRequest { method: "POST", path: "/", query: "", headers: &lines, payload };
        let now = Timestamp::from_second(self.now.load(Ordering::Relaxed)).unwrap();
        let scope = Scope { region: "us-east-1", service };
        headers.extend(sign(&unsigned, &credentials, scope, now, &SignOptions::default()).unwrap());
        let mut request = Request::builder().method("POST").uri("/");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response = self.frame.serve(request.body(body).unwrap()).await;
        let status = response.status().as_u16();
        Answer { status, body: String::from_utf8(response.into_body()).unwrap() }
    }

    async fn make_role(&self) {
        let form = [("Action", "CreateRole"), ("RoleName", "deploy"), ("AssumeRolePolicyDocument", TRUST)];
        let made = self.call(&operator(), "iam", "2010-05-08", &form).await;
        assert_eq!(made.status, 200, "{}", made.body);
    }

    async fn assume(&self) -> Keys {
        let form = [("Action", "AssumeRole"), ("RoleArn", ROLE), ("RoleSessionName", "one")];
        self.call(&operator(), "sts", "2011-06-15", &form).await.keys()
    }

    /// The caller's ARN, or why it is nobody.
    async fn who_is(&self, keys: &Keys) -> Result<String, String> {
        let answer = self.call(keys, "sts", "2011-06-15", &[("Action", "GetCallerIdentity")]).await;
        match answer.status {
            200 => Ok(answer.text("Arn").to_owned()),
            _ => Err(answer.text("Code").to_owned()),
        }
    }
}

fn operator() -> Keys {
    let secret = "a-secret-that-is-only-used-in-tests".into();
    Keys { id: "AKIATESTTESTTESTTEST".into(), secret, token: None }
}

const SESSION: &str = "arn:aws:sts::111122223333:assumed-role/deploy/one";

#[tokio::test]
async fn a_session_is_over_when_its_time_is() {
    let installation = Installation::new().await;
    installation.make_role().await;
    let session = installation.assume().await;
    installation.pass(3599);
    assert_eq!(installation.who_is(&session).await.as_deref(), Ok(SESSION));
    installation.pass(1);
    assert_eq!(installation.who_is(&session).await, Err("ExpiredToken".to_owned()));
}

#[tokio::test]
async fn a_session_is_nobodys_when_its_role_is_made_anew() {
    let installation = Installation::new().await;
    installation.make_role().await;
    let session = installation.assume().await;
    let delete = [("Action", "DeleteRole"), ("RoleName", "deploy")];
    assert_eq!(installation.call(&operator(), "iam", "2010-05-08", &delete).await.status, 200);
    assert_eq!(installation.who_is(&session).await, Err("InvalidClientTokenId".to_owned()));
    installation.make_role().await;
    assert_eq!(installation.who_is(&session).await, Err("InvalidClientTokenId".to_owned()));
    assert_eq!(installation.who_is(&installation.assume().await).await.as_deref(), Ok(SESSION));
}

#[tokio::test]
async fn a_token_lives_on_while_the_keys_that_seal_tokens_are_replaced() {
    let installation = Installation::new().await;
    let form = [("Action", "GetSessionToken"), ("DurationSeconds", "129600")];
    let session = installation.call(&operator(), "sts", "2011-06-15", &form).await.keys();
    let surroundings = installation.frame.surroundings();
    let count = || {
        let state = &mut surroundings.store.read().unwrap();
        token_key::all(state, &surroundings.vault.sealing_key()).unwrap().len()
    };
    installation.pass(24 * 3600);
    token_key::rotate(surroundings).await.unwrap();
    assert_eq!(count(), 2);
    assert!(installation.who_is(&session).await.is_ok());
    // A proxy may not have heard of the new key: the one before seals for a minute more.
    let before = installation.call(&operator(), "sts", "2011-06-15", &form).await.keys();
    installation.pass(60);
    let after = installation.call(&operator(), "sts", "2011-06-15", &form).await.keys();
    let key_of = |keys: &Keys| keys.token.as_deref().unwrap_or_default()[..6].to_owned();
    assert_eq!(key_of(&before), key_of(&session));
    assert_ne!(key_of(&after), key_of(&session));
    installation.pass(12 * 3600);
    assert_eq!(installation.who_is(&session).await, Err("ExpiredToken".to_owned()));
    assert!(installation.who_is(&after).await.is_ok());
    // What sealed it is forgotten once nothing of it can be good.
    installation.pass(24 * 3600);
    token_key::rotate(surroundings).await.unwrap();
    assert_eq!(installation.who_is(&session).await, Err("InvalidClientTokenId".to_owned()));
}
