//! Who has a token: an API server asks here, over a socket of its own.
//!
//! A token of `aws eks get-token` is a call of STS's GetCallerIdentity, signed beforehand and in a URL. It is not sent
//! anywhere: it is served here, as if its bearer had made it, with the cluster's name in the header that the signature
//! covers. What that answers is a principal, and an access entry says who that is in the cluster.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::json;
use trellis_cluster::relay::Listener;
use trellis_control::eks::access::{User, policy};

use super::{Cluster, Inner, serving};

/// Questions at a time; one more waits.
const AT_ONCE: usize = 64;
/// A token has 8 KiB at most; with what is around it a question has no more than this.
const LARGEST: usize = 64 << 10;
const PREFIX: &str = "k8s-aws-v1.";
/// "The token must be no older than 15 minutes."
const LONGEST_SECONDS: u32 = 900;
/// What a token's URL may say, in lower case. Anything else is no token.
const PARAMETERS: [&str; 9] = [
    "action",
    "version",
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-signedheaders",
];
/// The header that binds a token to a cluster.
const CLUSTER: &str = "x-k8s-aws-id";

/// Answers until dropped.
pub(super) async fn serve(listener: Listener, cluster: Cluster) {
    serving::serve(listener, None, AT_ONCE, move |request| {
        let cluster = cluster.clone();
        async move { answer(&cluster, request).await }
    })
    .await;
}

async fn answer(cluster: &Cluster, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let review = match serving::review(request, "/authenticate", LARGEST).await {
        Ok(review) => review,
        Err(answer) => return answer,
    };
    let token = review["spec"]["token"].as_str().unwrap_or_default();
    let status = match user(cluster, token).await {
        Ok(Some((user, arn))) => json!({
            "authenticated": true,
            "user": {
                "username": user.name,
                "uid": format!("aws-iam-authenticator:{}:{arn}", cluster.home.account),
                "groups": user.groups,
                "extra": {"arn": [arn]},
            },
        }),
        Ok(None) => json!({"authenticated": false}),
        Err(reason) => {
            tracing::debug!(cluster = cluster.name, reason, "a token was refused");
            json!({"authenticated": false, "error": reason})
        }
    };
    let answer = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status});
    serving::json(&answer)
}

/// Who has the token; `None` for one that is no token of ours, or of somebody without an entry.
async fn user(cluster: &Cluster, token: &str) -> Result<Option<(User, String)>, String> {
    let Some(url) = token.strip_prefix(PREFIX) else { return Ok(None) };
    let Some(inner) = cluster.inner.upgrade() else { return Ok(None) };
    let request = call(url, &cluster.name)?;
    let response = inner.control.serve(request).await;
    if response.status() != StatusCode::OK {
        return Err(format!("the call in the token is answered with {}", response.status()));
    }
    let text = String::from_utf8_lossy(response.body());
    let arn = element(&text, "Arn").ok_or("the call in the token has no ARN in its answer")?.to_owned();
    let found = inner.control.eks_user(&cluster.home, &cluster.name, &cluster.id, &arn);
    let Some(mut user) = found.map_err(|error| error.to_string())? else { return Ok(None) };
    let scoped = std::mem::take(&mut user.scoped);
    if !scoped.is_empty() {
        user.groups.extend(namespace_groups(&inner, &cluster.id, &scoped).await?);
    }
    Ok(Some((user, arn)))
}

/// The call that a token stands for.
fn call(encoded: &str, cluster: &str) -> Result<Request<Bytes>, String> {
    let url = BASE64_URL_SAFE_NO_PAD.decode(encoded.trim_end_matches('=')).map_err(|_| "not base64")?;
    let url = String::from_utf8(url).map_err(|_| "not text")?;
    let uri: Uri = url.parse().map_err(|_| "not a URL")?;
    let (Some(authority), query) = (uri.authority(), uri.query().unwrap_or_default()) else {
        return Err("a URL without a host".into());
    };
    if uri.path() != "/" {
        return Err("the URL has a path".into());
    }
    let mut seen = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let name = name.to_ascii_lowercase();
        if !PARAMETERS.contains(&name.as_str()) || seen.contains(&name) {
            return Err(format!("the URL has a parameter {:?}", name.chars().take(40).collect::<String>()));
        }
        let is_right = match name.as_str() {
            "action" => value == "GetCallerIdentity",
            "x-amz-expires" => value.parse::<u32>().is_ok_and(|seconds| seconds <= LONGEST_SECONDS),
            "x-amz-signedheaders" => value.split(';').any(|header| header == CLUSTER),
            _ => true,
        };
        if !is_right {
            return Err(format!("the parameter {name} is not that of a token"));
        }
        seen.push(name);
    }
    let needed = ["action", "x-amz-expires", "x-amz-signedheaders", "x-amz-signature"];
    if let Some(missing) = needed.iter().find(|name| !seen.iter().any(|seen| seen == *name)) {
        return Err(format!("the URL has no parameter {missing}"));
    }
    Request::get(format!("/?{query}"))
        .header(header::HOST, authority.as_str())
        .header(CLUSTER, cluster)
        .body(Bytes::new())
        .map_err(|error| error.to_string())
}

/// The text of an element of our own answer.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    Some(rest.split_once("</")?.0)
}

/// Groups for policies that count in some namespaces, each bound there before it is said.
async fn namespace_groups(
    inner: &Inner,
    cluster: &str,
    scoped: &[(String, Vec<String>)],
) -> Result<Vec<String>, String> {
    let client = inner.client(cluster).await.map_err(|fault| fault.reason)?;
    let namespaces = client.get("/api/v1/namespaces").await.map_err(|error| error.to_string())?;
    let names = namespaces["items"].as_array().into_iter().flatten();
    let names: Vec<&str> = names.filter_map(|item| item["metadata"]["name"].as_str()).collect();
    let mut groups = Vec::new();
    for (policy, patterns) in scoped {
        let covered =
            names.iter().filter(|name| patterns.iter().any(|pattern| policy::covers(pattern, name)));
        for namespace in covered {
            let Some((path, binding)) = policy::namespace_binding(policy, namespace) else { continue };
            if let Err(error) = client.apply(&path, &binding).await {
                tracing::warn!(%error, namespace, policy, "an access policy does not count in a namespace");
                continue;
            }
            groups.push(policy::namespace_group(policy, namespace));
        }
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(url: &str) -> Result<Request<Bytes>, String> {
        call(&BASE64_URL_SAFE_NO_PAD.encode(url), "one")
    }

    const GOOD: &str = "http://127.0.0.1:4560/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256\
        &X-Amz-Credential=a&X-Amz-Date=20261130T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host%3Bx-k8s-aws-id\
        &X-Amz-Signature=00";

    #[test]
    fn a_token_is_the_call_it_stands_for_with_the_name_of_the_cluster() {
        let request = token(GOOD).unwrap();
        assert_eq!(request.headers()["host"], "127.0.0.1:4560");
        assert_eq!(request.headers()["x-k8s-aws-id"], "one");
        assert_eq!(request.uri().path(), "/");
        assert!(request.uri().query().unwrap().ends_with("X-Amz-Signature=00"));
    }

    #[test]
    fn what_is_another_call_or_is_bound_to_no_cluster_is_no_token() {
        for (from, to) in [
            ("GetCallerIdentity", "AssumeRole"),
            ("/?", "/x?"),
            ("Expires=60", "Expires=901"),
            ("%3Bx-k8s-aws-id", ""),
            ("&Version", "&RoleArn=x&Version"),
            ("&Version", "&action=GetCallerIdentity&Version"),
            ("&X-Amz-Signature=00", ""),
            ("http://127.0.0.1:4560", ""),
        ] {
            assert!(token(&GOOD.replace(from, to)).is_err(), "{from} -> {to}");
        }
        assert!(call("%%%", "one").is_err());
    }
}
