//! Who is calling and what they may do: signatures, sessions and the three layers, over HTTP/1.1.
//! Requests are signed by [`trellis_auth::sign`] here; signers that are not ours are in e2e.

mod signatures;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use trellis_auth::{
    Algorithm, Credentials, Header, PathEncoding, Payload, Scope, SecretKey, Session, SessionKind,
    SignOptions, SignedRequest, TokenKeys, sign,
};
use trellis_model::snapshot::{AccessKey, Auth, Identities, Principal, PrincipalKind, TokenKey};
use trellis_policy::{Organization, Policy, PolicyKind};

use crate::support::*;

const ACCOUNT: &str = "111122223333";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const SERVICE: &str = "arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-00000000000000001";
const ALLOW: &str = r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}"#;
const MAY_INVOKE: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"vpc-lattice-svcs:Invoke","Resource":"*"}}"#;

fn auth(policy: &str) -> Auth {
    Auth::Policy(Arc::new(Policy::parse(policy, PolicyKind::Resource).unwrap()))
}

fn principal(kind: PrincipalKind, name: &str, id: &str, policies: &[&str]) -> Arc<Principal> {
    let parse = |text: &&str| Arc::new(Policy::parse(text, PolicyKind::Identity).unwrap());
    Arc::new(Principal {
        kind,
        account: ACCOUNT.parse().unwrap(),
        path: "/app/".into(),
        name: name.into(),
        id: id.into(),
        tags: [("team".to_owned(), "red".to_owned())].into(),
        organization: Some(Organization {
            id: "o-abc1234567".into(),
            paths: vec!["o-abc1234567/r-1/".into()],
        }),
        guards: [policies.iter().map(parse).collect()].into(),
    })
}

const TOKEN_KEY: [u8; 32] = [9; 32];

/// The user alice, with a key and these policies, and the role cart with a policy to invoke.
fn identities(alices: &[&str]) -> Identities {
    let alice = principal(PrincipalKind::User, "alice", "AIDAALICE00000000000", alices);
    let cart = principal(PrincipalKind::Role, "cart", "AROACART000000000000", &[MAY_INVOKE]);
    let mut identities = Identities::default();
    for principal in [&alice, &cart] {
        identities.principals.insert(principal.arn().into(), principal.clone());
    }
    let key = AccessKey { id: "AKIDALICE".into(), secret: SECRET.to_owned().into(), principal: alice };
    identities.access_keys.insert("AKIDALICE".into(), Arc::new(key));
    identities.token_keys = [TokenKey { id: *b"key1", key: TOKEN_KEY.into() }].into();
    identities
}

fn alice() -> Credentials {
    Credentials {
        access_key_id: "AKIDALICE".parse().unwrap(),
        secret_key: SecretKey::new(SECRET).unwrap(),
        session_token: None,
    }
}

/// A session of the role cart, changed by `change`.
fn session(change: impl FnOnce(&mut Session)) -> Credentials {
    let now = Timestamp::now().as_second();
    let mut session = Session {
        access_key_id: "ASIACART".into(),
        secret_key: SecretKey::new("temporary").unwrap(),
        kind: SessionKind::Role,
        account: ACCOUNT.into(),
        principal: format!("arn:aws:iam::{ACCOUNT}:role/app/cart"),
        principal_id: "AROACART000000000000".into(),
        name: "eks-demo-cart".into(),
        policies: Vec::new(),
        policy_arns: Vec::new(),
        tags: vec![("kubernetes-namespace".into(), "a;b".into())],
        transitive_tag_keys: Vec::new(),
        source_identity: None,
        federated_provider: None,
        issued_at: now,
        expires_at: now + 900,
    };
    change(&mut session);
    let keys = TokenKeys::new([(*b"key1", &TOKEN_KEY)]);
    Credentials {
        access_key_id: session.access_key_id.parse().unwrap(),
        secret_key: session.secret_key.clone(),
        session_token: Some(keys.seal(&session, [5; 12]).unwrap()),
    }
}

/// How a request is made and signed.
#[derive(Clone)]
struct Signing {
    credentials: Credentials,
    algorithm: Algorithm,
    path: PathEncoding,
    region: &'static str,
    service: &'static str,
    at: Timestamp,
    unsigned_payload: bool,
}

fn signing(credentials: Credentials) -> Signing {
    Signing {
        credentials,
        algorithm: Algorithm::Hmac,
        path: PathEncoding::Double,
        region: "us-east-1",
        service: "vpc-lattice-svcs",
        at: Timestamp::now(),
        unsigned_payload: true,
    }
}

/// What signing a request of host `a` adds to its fields.
fn added(how: &Signing, method: &str, target: &str, fields: &[(&str, &str)]) -> Vec<(&'static str, String)> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers: Vec<Header<'_>> = vec![("host", b"a")];
    headers.extend(fields.iter().map(|(name, value)| (*name, value.as_bytes())));
    let request = SignedRequest { method, path, query, headers: &headers, payload: Payload::Body(b"") };
    let options = SignOptions {
        algorithm: how.algorithm,
        path: how.path,
        unsigned_payload: how.unsigned_payload,
        send_payload_hash: true,
    };
    let scope = Scope { region: how.region, service: how.service };
    sign(&request, &how.credentials, scope, how.at, &options).unwrap()
}

/// The head of a signed GET of `target` from host `a`, with these fields besides.
fn signed(how: &Signing, target: &str, fields: &[(&str, &str)]) -> String {
    let added = added(how, "GET", target, fields);
    let mut head = format!("GET {target} HTTP/1.1\r\nhost: a\r\n");
    let added = added.iter().map(|(name, value)| (*name, value.as_str()));
    for (name, value) in fields.iter().copied().chain(added) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head + "\r\n"
}

/// What alice adds to a request, and who she is and what she may do: for tests of other protocols.
pub(crate) fn as_alice(method: &str, target: &str) -> Vec<(&'static str, String)> {
    added(&signing(alice()), method, target, &[])
}

pub(crate) fn with_alice(world: World, policy: &str) -> World {
    World { auth: auth(policy), identities: Arc::new(identities(&[MAY_INVOKE])), ..world }
}

/// A proxy before one service, `a`.
struct Scene {
    fixture: Fixture,
    target: TestTarget,
}

impl Scene {
    fn new(network: Auth, of_service: Auth, identities: Identities) -> Self {
        let target = TestTarget::saying("x");
        let world = Self::world(&target, network, of_service, identities);
        Self { fixture: Fixture::new(world), target }
    }

    fn world(target: &TestTarget, network: Auth, of_service: Auth, identities: Identities) -> World {
        let mut spec = service("a", forward(&group(1, &[target.address])));
        spec.auth = of_service;
        World { auth: network, identities: Arc::new(identities), ..world(vec![spec]) }
    }

    fn change(&self, network: Auth, of_service: Auth, identities: Identities) {
        self.fixture.change(Self::world(&self.target, network, of_service, identities));
    }

    /// Status and text of the answer to what `head` asks.
    fn ask(&self, head: &str) -> (u16, String) {
        let mut client = self.fixture.client();
        client.send(head);
        let answer = client.read_message().unwrap();
        (answer.status(), answer.text())
    }

    fn ask_as(&self, credentials: &Credentials, target: &str) -> (u16, String) {
        self.ask(&signed(&signing(credentials.clone()), target, &[]))
    }
}

fn denied(user: &str, path: &str, reason: &str) -> (u16, String) {
    let text = format!(
        "AccessDeniedException: User: {user} is not authorized to perform: vpc-lattice-svcs:Invoke on resource: \
         {SERVICE}{path} {reason}"
    );
    (403, text)
}

fn missing(layer: &str) -> String {
    format!("because no {layer} policy allows the vpc-lattice-svcs:Invoke action")
}

const ALICE: &str = "arn:aws:iam::111122223333:user/app/alice";
const CART: &str = "arn:aws:sts::111122223333:assumed-role/cart/eks-demo-cart";

#[test]
fn each_layer_that_is_on_must_allow_and_the_denial_names_the_first_that_does_not() {
    let other =
        r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"arn:aws:s3:::x"}}"#;
    let deny = r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"},
        {"Effect":"Deny","Principal":"*","Action":"*","Resource":"*/secret"}]}"#;
    let no_secret = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},
        {"Effect":"Deny","Action":"*","Resource":"*/secret"}]}"#;
    let scene = Scene::new(Auth::None, Auth::None, identities(&[]));
    let (none, allow, other, deny) = (|| Auth::None, || auth(ALLOW), || auth(other), || auth(deny));
    let explicit = |layer: &str| format!("with an explicit deny in a {layer} policy");
    let passes = (200, "x".to_owned());
    for (network, of_service, alices, signs, path, expected) in [
        (none(), none(), &[][..], true, "/", passes.clone()),
        (allow(), none(), &[MAY_INVOKE], true, "/", passes.clone()),
        (allow(), allow(), &[MAY_INVOKE], true, "/", passes.clone()),
        (allow(), allow(), &[], false, "/", passes),
        (other(), allow(), &[MAY_INVOKE], true, "/", denied(ALICE, "/", &missing("network-based"))),
        (other(), other(), &[], false, "/x", denied("anonymous", "/x", &missing("network-based"))),
        (allow(), other(), &[], true, "/x?y=z", denied(ALICE, "/x", &missing("service-based"))),
        (allow(), allow(), &[], true, "/", denied(ALICE, "/", &missing("identity-based"))),
        (none(), Auth::DenyAll, &[MAY_INVOKE], true, "/", denied(ALICE, "/", &missing("service-based"))),
        (
            allow(),
            deny(),
            &[MAY_INVOKE],
            true,
            "/secret",
            denied(ALICE, "/secret", &explicit("service-based")),
        ),
        (deny(), allow(), &[], false, "/secret", denied("anonymous", "/secret", &explicit("network-based"))),
        (
            other(),
            allow(),
            &[no_secret],
            true,
            "/secret",
            denied(ALICE, "/secret", &explicit("identity-based")),
        ),
    ] {
        scene.change(network, of_service, identities(alices));
        let head = match signs {
            true => signed(&signing(alice()), path, &[]),
            false => format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"),
        };
        assert_eq!(scene.ask(&head), expected);
    }
}

#[test]
fn a_path_that_a_target_may_read_otherwise_must_be_allowed_in_both_readings() {
    let public = r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*/public/*"}}"#;
    let scene = Scene::new(Auth::None, auth(public), identities(&[]));
    let status = |path: &str| scene.ask(&format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).0;
    for path in ["/public/a", "/public//a", "/public/x/../a", "/%70ublic/a/../b"] {
        let expected = if path.starts_with("/%70") { 403 } else { 200 };
        assert_eq!(status(path), expected, "{path}");
    }
    for path in ["/public/../secret", "/public/%2e%2e/secret", "/public/..%2fsecret", "//secret/public/../x"]
    {
        assert_eq!(status(path), 403, "{path}");
    }
}

#[test]
fn a_session_is_limited_by_its_policies_and_known_by_its_tags() {
    let apps = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},
        "Action":"vpc-lattice-svcs:Invoke","Resource":"*","Condition":{"StringEquals":{
        "aws:PrincipalTag/kubernetes-namespace":"a;b","aws:PrincipalTag/team":"red","aws:PrincipalOrgID":"o-abc1234567",
        "aws:PrincipalType":"AssumedRole"}}}}"#;
    let mut scene = Scene::new(Auth::None, auth(apps), identities(&[MAY_INVOKE]));
    assert_eq!(scene.ask_as(&session(|_| {}), "/").0, 200);
    let request = scene.target.last_request();
    assert_eq!(
        request.header("x-amzn-lattice-identity").unwrap(),
        format!(
            "Principal={CART}; PrincipalOrgID=o-abc1234567; PrincipalOrgPaths=o-abc1234567/r-1/; SessionName=eks-demo-cart; Type=AWS_IAM"
        )
    );
    assert_eq!(
        request.header("x-amzn-lattice-identity-tags").unwrap(),
        format!(
            "principal={CART};principalorgid=o-abc1234567;principalorgpath=o-abc1234567/r-1/;kubernetes-namespace=a\\;b;team=red"
        )
    );
    assert_eq!(scene.ask_as(&alice(), "/"), denied(ALICE, "/", &missing("service-based")));
    let other = session(|session| session.tags[0].1 = "other".into());
    assert_eq!(scene.ask_as(&other, "/"), denied(CART, "/", &missing("service-based")));
    let limited = session(|session| {
        session.policies = vec![MAY_INVOKE.replace(r#""Resource":"*""#, r#""Resource":"*/open""#)];
    });
    assert_eq!(scene.ask_as(&limited, "/open").0, 200);
    assert_eq!(scene.ask_as(&limited, "/"), denied(CART, "/", &missing("identity-based")));
    let named = session(|session| session.policy_arns = vec!["arn:aws:iam::aws:policy/Gone".into()]);
    assert_eq!(scene.ask_as(&named, "/"), denied(CART, "/", &missing("identity-based")));
    let lines = scene.fixture.log_lines();
    // Two workers write: the order of the lines is not that of the requests.
    let of = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
    let all = |name: &str, value: &str| lines.iter().filter(|line| line[name] == value).collect::<Vec<_>>();
    for line in lines.iter().filter(|line| line["responseCode"] == 200) {
        assert_eq!(of(line, "resolvedUser"), CART);
        assert_eq!(of(line, "callerPrincipal"), CART);
        assert_eq!(of(line, "callerPrincipalOrgID"), "o-abc1234567");
        assert_eq!(of(line, "callerPrincipalTags"), r#"{"kubernetes-namespace":"a;b","team":"red"}"#);
        assert_eq!(of(line, "authDeniedReason"), "-");
    }
    assert_eq!(of(all("resolvedUser", ALICE)[0], "authDeniedReason"), "Service");
    let limited = all("authDeniedReason", "Identity");
    assert_eq!(limited.len(), 2);
    assert_eq!(of(limited[0], "failureReason"), "ClientAccessDenied");
}

#[test]
fn conditions_see_the_request() {
    let scene = Scene::new(Auth::None, Auth::None, identities(&[]));
    let holds = |condition: &str, head: &str| {
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{{{condition}}}}}}}"#
        );
        scene.change(Auth::None, auth(&text), identities(&[]));
        scene.ask(head).0 == 200
    };
    let head = "PUT /a/b?k=1&k=2&q=a%20b HTTP/1.1\r\nhost: a\r\nx-team: red\r\nx-team: blue\r\nuser-agent: u/1\r\n\
        x-amzn-lattice-identity: forged\r\ncontent-length: 0\r\n\r\n";
    for (condition, expected) in [
        (r#""NumericEquals":{"vpc-lattice-svcs:Port":80}"#, true),
        (r#""NumericEquals":{"vpc-lattice-svcs:Port":443}"#, false),
        (r#""StringEquals":{"vpc-lattice-svcs:RequestMethod":"PUT"}"#, true),
        (r#""StringEquals":{"vpc-lattice-svcs:RequestPath":"/a/b"}"#, true),
        (r#""StringLike":{"vpc-lattice-svcs:RequestPath":"/b*"}"#, false),
        (r#""StringEquals":{"vpc-lattice-svcs:RequestHeader/X-Team":"red, blue"}"#, true),
        (r#""StringEquals":{"vpc-lattice-svcs:RequestHeader/x-team":"red"}"#, false),
        (r#""Null":{"vpc-lattice-svcs:RequestHeader/x-amzn-lattice-identity":"true"}"#, true),
        (r#""ForAnyValue:StringEquals":{"vpc-lattice-svcs:RequestQueryString/k":"2"}"#, true),
        (r#""ForAllValues:StringEquals":{"vpc-lattice-svcs:RequestQueryString/k":["1","2"]}"#, true),
        (r#""ForAllValues:StringEquals":{"vpc-lattice-svcs:RequestQueryString/k":["1"]}"#, false),
        (r#""StringEquals":{"vpc-lattice-svcs:RequestQueryString/q":"a b"}"#, true),
        (r#""Null":{"vpc-lattice-svcs:RequestQueryString/K":"true"}"#, true),
        (
            r#""ArnLike":{"vpc-lattice-svcs:ServiceArn":"arn:aws:vpc-lattice:*:111122223333:service/svc-00000000000000001"}"#,
            true,
        ),
        (
            r#""ArnLike":{"vpc-lattice-svcs:ServiceNetworkArn":"arn:aws:vpc-lattice:*:*:servicenetwork/sn-00000000000000001"}"#,
            true,
        ),
        (r#""StringEquals":{"vpc-lattice-svcs:SourceVpc":"vpc-00000000000000001"}"#, true),
        (r#""StringEquals":{"vpc-lattice-svcs:SourceVpcOwnerAccount":"111122223333"}"#, true),
        (r#""StringEquals":{"aws:ResourceTag/Tier":"gold"}"#, true),
        (r#""StringEquals":{"aws:ResourceTag/tier":"tin"}"#, false),
        (r#""IpAddress":{"aws:SourceIp":"127.0.0.0/8"}"#, true),
        (r#""IpAddress":{"aws:SourceIp":"10.0.0.0/8"}"#, false),
        (r#""StringEqualsIgnoreCase":{"aws:PrincipalType":"anonymous"}"#, true),
        (r#""StringNotEquals":{"aws:PrincipalType":"Anonymous"}"#, false),
        (r#""Bool":{"aws:SecureTransport":"false"}"#, true),
        (r#""DateGreaterThan":{"aws:CurrentTime":"2024-01-01T00:00:00Z"}"#, true),
        (r#""NumericGreaterThan":{"aws:EpochTime":"1700000000"}"#, true),
        (r#""StringEquals":{"aws:UserAgent":"u/1"}"#, true),
        (r#""StringEquals":{"aws:ResourceAccount":"111122223333"}"#, true),
        (r#""Null":{"aws:PrincipalArn":"true"}"#, true),
    ] {
        assert_eq!(holds(condition, head), expected, "{condition}");
    }
}

#[test]
fn a_change_of_key_role_or_policy_is_felt_by_the_next_request_of_a_kept_connection() {
    let scene = Scene::new(auth(ALLOW), auth(ALLOW), identities(&[MAY_INVOKE]));
    let mut client = scene.fixture.client();
    let mut ask = |credentials: &Credentials| {
        client.send(signed(&signing(credentials.clone()), "/", &[]));
        client.read_message().unwrap().status()
    };
    let cart = session(|_| {});
    assert_eq!([ask(&alice()), ask(&cart), ask(&alice()), ask(&cart)], [200; 4]);
    // The user's policies are taken away.
    scene.change(auth(ALLOW), auth(ALLOW), identities(&[]));
    assert_eq!([ask(&alice()), ask(&cart)], [403, 200]);
    // The user's key is made inactive, and the role goes.
    let mut less = identities(&[MAY_INVOKE]);
    less.access_keys.clear();
    less.principals.clear();
    scene.change(auth(ALLOW), auth(ALLOW), less);
    assert_eq!([ask(&alice()), ask(&cart)], [403, 403]);
    scene.change(auth(ALLOW), auth(ALLOW), identities(&[MAY_INVOKE]));
    assert_eq!([ask(&alice()), ask(&cart)], [200, 200]);
    // Another secret under the same id, and another sealing key.
    let mut rotated = identities(&[MAY_INVOKE]);
    let principal = rotated.access_keys["AKIDALICE"].principal.clone();
    let key = AccessKey { id: "AKIDALICE".into(), secret: "new".to_owned().into(), principal };
    rotated.access_keys.insert("AKIDALICE".into(), Arc::new(key));
    rotated.token_keys = [TokenKey { id: *b"key2", key: [8; 32].into() }].into();
    scene.change(auth(ALLOW), auth(ALLOW), rotated);
    assert_eq!([ask(&alice()), ask(&cart)], [403, 403]);
    scene.change(Auth::None, Auth::DenyAll, identities(&[MAY_INVOKE]));
    assert_eq!([ask(&alice()), ask(&cart)], [403, 403]);
}

#[test]
fn what_anonymous_callers_lack_is_told_to_targets_as_nothing() {
    let scene = Scene::new(auth(ALLOW), Auth::None, identities(&[]));
    let head = "GET / HTTP/1.1\r\nhost: a\r\nx-amzn-lattice-identity: Principal=me\r\n\r\n";
    assert_eq!(scene.ask(head).0, 200);
    assert_eq!(scene.target.last_request().header("x-amzn-lattice-identity"), None);
}
