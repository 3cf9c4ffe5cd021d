//! Tokens of service accounts that are bound to a pod.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::Value;
use trellis_auth::jwt::{self, Expected, Jwks, JwtError};
use trellis_frame::Refusal;

use crate::{AUDIENCE, Cluster, refuse};

/// Who has a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pod {
    pub(crate) namespace: String,
    pub(crate) service_account: String,
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// The pod that has `token`, which the cluster has signed.
///
/// # Errors
/// `InvalidTokenException`, `ExpiredTokenException`.
pub(crate) fn verify(token: &str, cluster: &Cluster, now: Timestamp) -> Result<Pod, Refusal> {
    let invalid = |message: String| refuse("InvalidTokenException", 400, message);
    let keys = Jwks::parse(cluster.keys.as_bytes())
        .map_err(|error| invalid(format!("the cluster's keys: {error}")))?;
    let expected = Expected { issuer: &cluster.issuer, audiences: &[AUDIENCE] };
    match jwt::verify(token, &keys, expected, now) {
        Ok(_) => {}
        Err(error @ JwtError::Expired { .. }) => {
            return Err(refuse(
                "ExpiredTokenException",
                400,
                format!("Provided service account token {error}"),
            ));
        }
        Err(error) => return Err(invalid(format!("The token included in the request is invalid: {error}"))),
    }
    pod(token).ok_or_else(|| invalid("The token included in the request is of no pod".to_owned()))
}

/// What a token that has been verified says of its pod.
fn pod(token: &str) -> Option<Pod> {
    let payload = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    let said = &claims["kubernetes.io"];
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    Some(Pod {
        namespace: text(&said["namespace"])?,
        service_account: text(&said["serviceaccount"]["name"])?,
        name: text(&said["pod"]["name"])?,
        uid: text(&said["pod"]["uid"])?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_tells_its_pod_and_one_without_a_pod_tells_nothing() {
        let token = |payload: &str| format!("e30.{}.x", BASE64_URL_SAFE_NO_PAD.encode(payload));
        let whole = r#"{"kubernetes.io":{"namespace":"n","pod":{"name":"p","uid":"u"},"serviceaccount":{"name":"s"}}}"#;
        let found = pod(&token(whole)).unwrap();
        assert_eq!((found.namespace.as_str(), found.service_account.as_str()), ("n", "s"));
        assert_eq!((found.name.as_str(), found.uid.as_str()), ("p", "u"));
        for broken in ["{}", r#"{"kubernetes.io":{"namespace":"n","serviceaccount":{"name":"s"}}}"#, "no"] {
            assert_eq!(pod(&token(broken)), None, "{broken}");
        }
    }

    #[test]
    fn what_another_has_signed_is_no_token() {
        let cluster =
            Cluster { arn: "a".into(), issuer: "https://a.example".into(), keys: r#"{"keys":[]}"#.into() };
        assert!(verify("e30.e30.e30", &cluster, Timestamp::UNIX_EPOCH).is_err());
    }
}
