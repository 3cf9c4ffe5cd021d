//! Files that tell a client of an API server where it is, whom to trust and who one is. JSON, which is YAML.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use crate::pki::Issued;

/// For a client with a certificate.
pub(crate) fn with_certificate(server: &str, authority: &str, client: &Issued) -> Vec<u8> {
    let user = json!({
        "client-certificate-data": BASE64_STANDARD.encode(&client.certificate),
        "client-key-data": BASE64_STANDARD.encode(client.key.as_bytes()),
    });
    of(json!({"server": server, "certificate-authority-data": BASE64_STANDARD.encode(authority)}), user)
}

/// For a client that says nothing of itself, of a server on the host's own loopback.
pub(crate) fn anonymous(server: &str) -> Vec<u8> {
    of(json!({"server": server}), json!({}))
}

fn of(cluster: serde_json::Value, user: serde_json::Value) -> Vec<u8> {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": cluster}],
        "users": [{"name": "user", "user": user}],
        "contexts": [{"name": "context", "context": {"cluster": "cluster", "user": "user"}}],
        "current-context": "context",
    })
    .to_string()
    .into_bytes()
}
