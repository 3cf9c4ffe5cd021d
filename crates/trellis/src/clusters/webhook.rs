//! What a pod is given before it is made: the mutating webhook of EKS, for service accounts with a pod identity association
//! or with the annotation of IRSA.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use trellis_cluster::control_plane::WEBHOOK;
use trellis_cluster::relay::Listener;
use trellis_control::eks::Fault;

use super::{Cluster, serving};

const AT_ONCE: usize = 64;
/// A pod has at most 1.5 MiB in etcd; a review holds it twice.
const LARGEST: usize = 4 << 20;
/// In VPCs the AWS API is here: SDKs in pods are led to it.
const API_IN_VPC: &str = "http://169.254.169.252";

const POD_IDENTITY: Identity = Identity {
    volume: "eks-pod-identity-token",
    directory: "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount",
    file: "eks-pod-identity-token",
    audience: "pods.eks.amazonaws.com",
};
const IRSA: Identity = Identity {
    volume: "aws-iam-token",
    directory: "/var/run/secrets/eks.amazonaws.com/serviceaccount",
    file: "token",
    audience: "sts.amazonaws.com",
};
/// "The default is 86400 seconds (24 hours)."
const TOKEN_SECONDS: u32 = 86_400;
/// On a service account, for IRSA.
const ROLE: &str = "eks.amazonaws.com/role-arn";

/// How a pod proves who it is.
struct Identity {
    volume: &'static str,
    directory: &'static str,
    file: &'static str,
    audience: &'static str,
}

/// TLS with the certificate that the cluster's authority has issued.
///
/// # Errors
/// Keys that are not there or do not read.
pub(super) fn tls(directory: &Path) -> Result<TlsAcceptor, Fault> {
    let pki = directory.join("pki");
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(pki.join("webhook.crt"))
        .and_then(Iterator::collect)
        .map_err(Fault::new)?;
    let key = PrivateKeyDer::from_pem_file(pki.join("webhook.key")).map_err(Fault::new)?;
    let config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).map_err(Fault::new)?;
    Ok(Arc::new(config).into())
}

/// What tells the API server of us: path and object. One that is not answered lets the pod through as it is.
pub(super) fn configuration(authority: &[u8]) -> (String, Value) {
    const NAME: &str = "pod-identity-webhook";
    let object = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": NAME},
        "webhooks": [{
            "name": "iam-for-pods.amazonaws.com",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Ignore",
            "reinvocationPolicy": "IfNeeded",
            "timeoutSeconds": 5,
            "clientConfig": {
                "url": format!("https://127.0.0.1:{WEBHOOK}/mutate"),
                "caBundle": BASE64_STANDARD.encode(authority),
            },
            "rules": [{
                "operations": ["CREATE"],
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "resources": ["pods"],
                "scope": "Namespaced",
            }],
        }],
    });
    (format!("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{NAME}"), object)
}

/// Answers until dropped.
pub(super) async fn serve(listener: Listener, tls: TlsAcceptor, cluster: Cluster) {
    serving::serve(listener, Some(tls), AT_ONCE, move |request| {
        let cluster = cluster.clone();
        async move { answer(&cluster, request).await }
    })
    .await;
}

async fn answer(cluster: &Cluster, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let review = match serving::review(request, "/mutate", LARGEST).await {
        Ok(review) => review,
        Err(answer) => return answer,
    };
    let asked = &review["request"];
    let mut verdict = json!({"uid": asked["uid"], "allowed": true});
    if let Some(pod) = mutated(cluster, asked).await {
        let patch = json!([{"op": "replace", "path": "/spec", "value": pod["spec"]}]);
        verdict["patchType"] = "JSONPatch".into();
        verdict["patch"] = BASE64_STANDARD.encode(patch.to_string()).into();
    }
    let answer = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": verdict});
    serving::json(&answer)
}

/// The pod with what its identity needs; `None` where it needs nothing, or nobody can say.
async fn mutated(cluster: &Cluster, asked: &Value) -> Option<Value> {
    let inner = cluster.inner.upgrade()?;
    let mut pod = asked["object"].clone();
    let namespace = asked["namespace"].as_str()?;
    let account = pod["spec"]["serviceAccountName"].as_str().unwrap_or("default").to_owned();
    let region = cluster.home.region.to_string();
    match inner.control.has_pod_identity(&cluster.home, &cluster.name, (namespace, &account)) {
        Ok(true) => {
            give(&mut pod, &POD_IDENTITY, &pod_identity_variables(&region));
            return Some(pod);
        }
        Ok(false) => {}
        Err(error) => {
            tracing::warn!(%error, cluster = cluster.name, "a pod is made without an identity");
            return None;
        }
    }
    let client = inner.client(&cluster.id).await.ok()?;
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}");
    let found = client.get(&path).await.ok()?;
    let role = found["metadata"]["annotations"][ROLE].as_str()?;
    give(&mut pod, &IRSA, &irsa_variables(&region, role));
    Some(pod)
}

fn pod_identity_variables(region: &str) -> Vec<(&'static str, String)> {
    let file = format!("{}/{}", POD_IDENTITY.directory, POD_IDENTITY.file);
    let mut variables = common_variables(region);
    variables.push(("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials".to_owned()));
    variables.push(("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file));
    variables
}

fn irsa_variables(region: &str, role: &str) -> Vec<(&'static str, String)> {
    let mut variables = common_variables(region);
    variables.push(("AWS_ROLE_ARN", role.to_owned()));
    variables.push(("AWS_WEB_IDENTITY_TOKEN_FILE", format!("{}/{}", IRSA.directory, IRSA.file)));
    variables
}

fn common_variables(region: &str) -> Vec<(&'static str, String)> {
    vec![
        ("AWS_STS_REGIONAL_ENDPOINTS", "regional".to_owned()),
        ("AWS_DEFAULT_REGION", region.to_owned()),
        ("AWS_REGION", region.to_owned()),
        ("AWS_ENDPOINT_URL", API_IN_VPC.to_owned()),
    ]
}

/// Adds variables and the token's volume to every container. What a pod says itself stays.
fn give(pod: &mut Value, identity: &Identity, variables: &[(&str, String)]) {
    for kind in ["containers", "initContainers"] {
        let Some(containers) = pod["spec"][kind].as_array_mut() else { continue };
        for container in containers {
            for (name, value) in variables {
                add(container, "env", "name", json!({"name": name, "value": value}));
            }
            let mount = json!({"name": identity.volume, "mountPath": identity.directory, "readOnly": true});
            add(container, "volumeMounts", "mountPath", mount);
        }
    }
    let token = json!({"serviceAccountToken": {
        "audience": identity.audience,
        "expirationSeconds": TOKEN_SECONDS,
        "path": identity.file,
    }});
    let volume = json!({"name": identity.volume, "projected": {"sources": [token]}});
    if let Some(spec) = pod.get_mut("spec") {
        add(spec, "volumes", "name", volume);
    }
}

/// Puts `item` into a list, unless one with the same `key` is there.
fn add(owner: &mut Value, list: &str, key: &str, item: Value) {
    if owner[list].is_null() {
        owner[list] = json!([]);
    }
    let Some(items) = owner[list].as_array_mut() else { return };
    if !items.iter().any(|known| known[key] == item[key]) {
        items.push(item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_given_what_eks_gives_and_what_it_says_itself_stays() {
        let mut pod = json!({"spec": {"containers": [
            {"name": "a", "env": [{"name": "AWS_REGION", "value": "eu-west-1"}]},
            {"name": "b"},
        ]}});
        let variables = pod_identity_variables("us-east-1");
        give(&mut pod, &POD_IDENTITY, &variables);
        let once = pod.clone();
        give(&mut pod, &POD_IDENTITY, &variables);
        assert_eq!(pod, once, "asked again, it changes nothing");
        let variable = |container: usize, name: &str| {
            let all = pod["spec"]["containers"][container]["env"].as_array().unwrap().clone();
            all.iter().find(|each| each["name"] == name).map(|each| each["value"].clone())
        };
        assert_eq!(variable(0, "AWS_REGION"), Some("eu-west-1".into()));
        assert_eq!(variable(1, "AWS_REGION"), Some("us-east-1".into()));
        assert_eq!(
            variable(1, "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
            Some("http://169.254.170.23/v1/credentials".into())
        );
        let source = &pod["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"];
        assert_eq!(source["audience"], "pods.eks.amazonaws.com");
    }
}
