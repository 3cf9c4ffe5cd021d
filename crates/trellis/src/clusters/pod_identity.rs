//! The contract of the EKS Pod Identity agent, on every node at 169.254.170.23: an SDK in a pod shows its service account's
//! token and gets a role's credentials.
//!
//! The node passes connections on through a socket in a directory of its own, so a node gets credentials for pods of its
//! cluster alone; which pod asks, the token proves and nothing else.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::json;

use super::Cluster;
use super::serving::{self, text};

/// What a client must have called us: a browser's page, say, calls us otherwise.
const NAMES: [&str; 4] = ["169.254.170.23", "169.254.170.23:80", "[fd00:ec2::23]", "[fd00:ec2::23]:80"];
/// Connections of one node at a time.
const AT_ONCE: usize = 64;
/// Longest token looked at.
const LONGEST_TOKEN: usize = 16 << 10;

/// Answers until dropped.
pub(super) async fn serve(listener: trellis_cluster::relay::Listener, cluster: Cluster) {
    serving::serve(listener, None, AT_ONCE, move |request| {
        let cluster = cluster.clone();
        async move { answer(&cluster, &request) }
    })
    .await;
}

fn answer(cluster: &Cluster, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let value =
        |name| request.headers().get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
    if !value(header::HOST).is_some_and(|host| NAMES.contains(&host)) {
        return text(StatusCode::FORBIDDEN, "Access denied because of the Host\n");
    }
    if request.method() != Method::GET || request.uri().path() != "/v1/credentials" {
        return text(StatusCode::NOT_FOUND, "Not found\n");
    }
    let token = value(header::AUTHORIZATION).unwrap_or_default();
    if token.is_empty() || token.len() > LONGEST_TOKEN {
        return text(StatusCode::BAD_REQUEST, "Service account token cannot be empty\n");
    }
    let Some(inner) = cluster.inner.upgrade() else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "shutting down\n");
    };
    match inner.control.assume_role_for_pod_identity(&cluster.home, &cluster.name, token) {
        Ok(issued) => serving::json(&json!({
            "AccessKeyId": issued.access_key_id,
            "SecretAccessKey": issued.secret_access_key,
            "Token": issued.session_token,
            "AccountId": cluster.home.account,
            "Expiration": format!("{:.9}", issued.expires_at),
        })),
        Err(fault) => {
            let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            text(status, &format!("({}): {}, fault: client\n", fault.code, fault.message))
        }
    }
}
