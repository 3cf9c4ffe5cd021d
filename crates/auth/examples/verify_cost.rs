//! What a signed request costs a data plane: verification with a key that is kept, and a decision of
//! three layers. Prints nanoseconds of CPU for each; build it optimised.

use std::sync::Arc;

use jiff::Timestamp;
use trellis_auth::{
    Algorithm, Claimed, Credentials, Header, Payload, Rules, Scope, SecretKey, SignOptions, SignedRequest,
    sign,
};
use trellis_policy::{
    Access, Caller, ConditionKey, Context, Guard, Layer, Outcome, Policy, PolicyKind, decide,
};

const ROUNDS: u32 = 200_000;

struct Facts;

impl Context for Facts {
    fn values(&self, key: &ConditionKey, visit: &mut dyn FnMut(&str)) {
        match key.name() {
            "vpc-lattice-svcs:requestmethod" => visit("GET"),
            "vpc-lattice-svcs:sourcevpc" => visit("vpc-0123456789abcdef0"),
            _ => {}
        }
    }
}

/// Nanoseconds of this thread's CPU that one of `rounds` calls takes.
fn measure(rounds: u32, mut call: impl FnMut()) -> u64 {
    let cpu = || {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
        text.split(' ').next().and_then(|number| number.parse::<u64>().ok()).expect("a number")
    };
    (0..rounds / 10).for_each(|_| call());
    let before = cpu();
    (0..rounds).for_each(|_| call());
    (cpu() - before) / u64::from(rounds)
}

#[expect(clippy::print_stdout, reason = "what it is for")]
fn main() {
    let credentials = Credentials {
        access_key_id: "ASIAIOSFODNN7EXAMPLE".parse().expect("a word"),
        secret_key: SecretKey::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY").expect("short"),
        session_token: Some("t".repeat(800).parse().expect("printable")),
    };
    let host = "cart-0123456789abcdef0.7d67968.vpc-lattice-svcs.us-east-1.on.aws";
    let plain: [Header<'_>; 3] =
        [("host", host.as_bytes()), ("accept", b"*/*"), ("user-agent", b"curl/8.0.0")];
    let bare = SignedRequest {
        method: "GET",
        path: "/cart/items/1",
        query: "",
        headers: &plain,
        payload: Payload::Streamed,
    };
    let now = Timestamp::now();
    for (algorithm, rounds) in [(Algorithm::Hmac, ROUNDS), (Algorithm::Ecdsa, ROUNDS / 50)] {
        let scope = Scope { region: "us-east-1", service: "vpc-lattice-svcs" };
        let options = SignOptions { algorithm, ..SignOptions::default() };
        let added = sign(&bare, &credentials, scope, now, &options).expect("it can be signed");
        let mut headers = plain.to_vec();
        headers.extend(added.iter().map(|(name, value)| (*name, value.as_bytes())));
        let request = SignedRequest { headers: &headers, ..bare };
        let rules = Rules::for_lattice_service(&["us-east-1"]);
        let claimed = Claimed::of(&request, now, &rules).expect("it is signed");
        let key = claimed.derive(&credentials.secret_key).expect("a key");
        let verified = measure(rounds, || {
            Claimed::of(&request, now, &rules).and_then(|claimed| claimed.check(&key)).expect("it holds");
        });
        println!("verify {}: {verified} ns", algorithm.as_str());
    }

    let guard = |kind, text: &str| [Arc::new(Policy::parse(text, kind).expect("a policy"))];
    let network = guard(
        PolicyKind::Resource,
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"vpc-lattice-svcs:Invoke",
        "Resource":"*","Condition":{"StringNotEqualsIgnoreCase":{"aws:PrincipalType":"anonymous"}}}}"#,
    );
    let service = guard(
        PolicyKind::Resource,
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},
        "Action":"vpc-lattice-svcs:Invoke","Resource":"arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-0123456789abcdef0/*",
        "Condition":{"StringEquals":{"aws:PrincipalTag/eks-cluster-name":"one","aws:PrincipalTag/kubernetes-namespace":"apps",
        "vpc-lattice-svcs:RequestMethod":["GET","HEAD"]}}}}"#,
    );
    let identity = guard(
        PolicyKind::Identity,
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"vpc-lattice-svcs:Invoke","Resource":"*"}}"#,
    );
    let tags = ["kubernetes-pod-name", "kubernetes-namespace", "eks-cluster-name"].map(str::to_owned);
    let caller = Caller::session("111122223333", "/", "client", "AROACLIENT0000000000", "eks-one-cart")
        .with_tags(tags.into_iter().zip(["cart-1", "apps", "one"].map(str::to_owned)));
    let access = Access {
        caller: &caller,
        action: "vpc-lattice-svcs:Invoke",
        resource: "arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-0123456789abcdef0/cart/items/1",
        context: &Facts,
    };
    let decided = measure(ROUNDS, || {
        let layers = [(Layer::Network, &network), (Layer::Service, &service), (Layer::Identity, &identity)];
        let guards = layers.map(|(layer, policies)| (layer, Guard::Policies(policies)));
        assert_eq!(decide(guards, &access), Outcome::Allowed);
    });
    println!("decide three layers: {decided} ns");
}
