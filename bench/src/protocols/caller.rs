//! Who calls in the case of a proved caller: an IAM user who signs, as policies of all three layers want it, and to Envoy
//! the bearer of a JSON Web Token.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Value, json};
use trellis_auth::{Credentials, Payload, Scope, SecretKey, SignOptions, SignedRequest, sign};
use trellis_model::AccountId;
use trellis_model::snapshot::{AccessKey, Identities, Principal, PrincipalKind};
use trellis_policy::{Policy, PolicyKind};

use super::identity::HOST;
use crate::process;

/// What is asked for.
pub(super) const PATH: &str = "/small";

const KEY_ID: &str = "AKIABENCH00000000001";
const SECRET: &str = "bench";
const ISSUER: &str = "https://issuer.bench.example";
/// A token lives longer than any run.
const TOKEN_SECONDS: i64 = 24 * 3600;

/// How a client proves who it is.
#[derive(Debug)]
pub(super) enum Proof {
    Signature,
    Token(String),
}

impl Proof {
    /// What a request to `authority` has on top. A signature is good for minutes, so each slice has one of its own.
    pub(super) fn headers(&self, authority: &str) -> anyhow::Result<Vec<(&'static str, String)>> {
        if let Self::Token(token) = self {
            return Ok(vec![("authorization", format!("Bearer {token}"))]);
        }
        let credentials = Credentials {
            access_key_id: KEY_ID.parse().context("a key's id")?,
            secret_key: SecretKey::new(SECRET).context("a secret")?,
            session_token: None,
        };
        let request = SignedRequest {
            method: "GET",
            path: PATH,
            query: "",
            headers: &[("host", authority.as_bytes())],
            payload: Payload::Streamed,
        };
        let scope = Scope { region: "us-east-1", service: "vpc-lattice-svcs" };
        Ok(sign(&request, &credentials, scope, Timestamp::now(), &SignOptions::default())?)
    }
}

/// The policies of network and service, and everybody there is: one user.
pub(super) struct Guarded {
    pub(super) network: Arc<Policy>,
    pub(super) service: Arc<Policy>,
    pub(super) identities: Identities,
}

impl Guarded {
    pub(super) fn make(account: &AccountId) -> anyhow::Result<Self> {
        let policy = |kind, statement: Value| {
            let document = json!({ "Version": "2012-10-17", "Statement": statement });
            Policy::parse(&document.to_string(), kind).map(Arc::new)
        };
        let invoke = "vpc-lattice-svcs:Invoke";
        let own = policy(
            PolicyKind::Identity,
            json!({ "Effect": "Allow", "Action": invoke, "Resource": "arn:aws:vpc-lattice:*:*:service/*/*" }),
        )?;
        let principal = Arc::new(Principal {
            kind: PrincipalKind::User,
            account: account.clone(),
            path: "/".into(),
            name: "bench".into(),
            id: "AIDABENCH00000000001".into(),
            tags: [("team".to_owned(), "bench".to_owned())].into(),
            organization: None,
            guards: [[own].into()].into(),
        });
        let key =
            AccessKey { id: KEY_ID.into(), secret: SECRET.to_owned().into(), principal: principal.clone() };
        let mut identities = Identities::default();
        identities.principals.insert(principal.arn().into(), principal);
        identities.access_keys.insert(KEY_ID.into(), Arc::new(key));
        let network = policy(
            PolicyKind::Resource,
            json!({ "Effect": "Allow", "Principal": "*", "Action": invoke, "Resource": "*",
                    "Condition": { "StringNotEquals": { "aws:PrincipalType": "Anonymous" } } }),
        )?;
        let service = policy(
            PolicyKind::Resource,
            json!({ "Effect": "Allow", "Principal": { "AWS": account.as_str() }, "Action": invoke,
                    "Resource": format!("*{PATH}"), "Condition": { "StringEquals": {
                        "aws:PrincipalTag/team": "bench", "vpc-lattice-svcs:RequestMethod": "GET" } } }),
        )?;
        Ok(Self { network, service, identities })
    }
}

/// A token signed with RS256, and what proves it.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) text: String,
    keys: Value,
}

impl Token {
    /// With a key made for the run in `dir`.
    pub(super) fn make(dir: &Path) -> anyhow::Result<Self> {
        let (key, signed, signature) = (dir.join("jwt.key"), dir.join("jwt.txt"), dir.join("jwt.sig"));
        let openssl = |words: &[&str]| {
            let mut command = Command::new("openssl");
            command.args(words);
            command
        };
        let mut made = openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out"]);
        process::output(made.arg(&key)).context("making a key for tokens")?;
        let modulus = process::output(openssl(&["rsa", "-noout", "-modulus", "-in"]).arg(&key))?;
        let modulus = modulus.trim().strip_prefix("Modulus=").context("a modulus")?;
        let bytes = (0..modulus.len()).step_by(2).map(|at| u8::from_str_radix(&modulus[at..at + 2], 16));
        let modulus = bytes.collect::<Result<Vec<u8>, _>>().context("a modulus in hexadecimal")?;
        let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let header = json!({ "alg": "RS256", "typ": "JWT", "kid": "bench" });
        let expires = Timestamp::now().as_second() + TOKEN_SECONDS;
        let claims = json!({ "iss": ISSUER, "sub": "bench", "aud": HOST, "exp": expires });
        let text =
            format!("{}.{}", encoded(header.to_string().as_bytes()), encoded(claims.to_string().as_bytes()));
        std::fs::write(&signed, &text).with_context(|| format!("writing {}", signed.display()))?;
        let mut signing = openssl(&["dgst", "-sha256", "-sign"]);
        process::output(signing.arg(&key).arg("-out").arg(&signature).arg(&signed))
            .context("signing a token")?;
        let signature =
            std::fs::read(&signature).with_context(|| format!("reading {}", signature.display()))?;
        let keys = json!({ "keys": [{ "kty": "RSA", "alg": "RS256", "use": "sig", "kid": "bench",
                                      "n": encoded(&modulus), "e": "AQAB" }] });
        Ok(Self { text: format!("{text}.{}", encoded(&signature)), keys })
    }

    /// Envoy's filter that wants it, with the cache of proved tokens that it has.
    pub(super) fn envoy_filter(&self) -> Value {
        json!({
            "name": "envoy.filters.http.jwt_authn",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
                "providers": { "bench": {
                    "issuer": ISSUER,
                    "audiences": [HOST],
                    "forward": true,
                    "local_jwks": { "inline_string": self.keys.to_string() },
                    "jwt_cache_config": { "jwt_cache_size": 100 },
                } },
                "rules": [{ "match": { "prefix": "/" }, "requires": { "provider_name": "bench" } }],
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use trellis_policy::{Access, Caller, ConditionKey, Context, Decision};

    use super::*;

    struct Get;

    impl Context for Get {
        fn values(&self, key: &ConditionKey, visit: &mut dyn FnMut(&str)) {
            if key.name() == "vpc-lattice-svcs:requestmethod" {
                visit("GET");
            }
        }
    }

    #[test]
    fn each_layer_lets_the_user_in_and_the_first_two_nobody_unsigned() {
        let account: AccountId = "111122223333".parse().unwrap();
        let Guarded { network, service, identities } = Guarded::make(&account).unwrap();
        let user = &identities.access_keys[KEY_ID].principal;
        let own = &user.guards[0][0];
        let known =
            Caller::user(account.as_str(), &user.path, &user.name, &user.id).with_tags(user.tags.to_vec());
        let resource = format!("arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-1{PATH}");
        let ask = |policy: &Policy, caller: &Caller| {
            let access =
                Access { caller, action: "vpc-lattice-svcs:Invoke", resource: &resource, context: &Get };
            policy.decide(&access)
        };
        for policy in [&network, &service, own] {
            assert_eq!(ask(policy, &known), Decision::Allow);
        }
        for policy in [&network, &service] {
            assert_eq!(ask(policy, &Caller::anonymous()), Decision::ImplicitDeny);
        }
    }

    #[test]
    fn a_signature_covers_the_host_and_no_payload() {
        let headers = Proof::Signature.headers("tls.bench.example:8401").unwrap();
        let value =
            |wanted| headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str());
        assert_eq!(value("x-amz-content-sha256"), Some("UNSIGNED-PAYLOAD"));
        assert!(value("authorization").is_some_and(|value| value.contains("SignedHeaders=host;")));
    }
}
