//! EKS Auth: a role's credentials for a pod, by the token of its service account.
//!
//! The token proves which pod of which cluster asks; an association of EKS's says which role its service account has;
//! the role's trust policy has the last word. The agents of nodes call this, and what serves their contract here asks
//! [`assume`] itself.

mod token;

/// Types of the description.
#[allow(clippy::all, dead_code, unreachable_pub, unused_qualifications)]
pub(crate) mod wire {
    include!(concat!(env!("OUT_DIR"), "/eks-auth.rs"));
}

use std::sync::Arc;

use jiff::Timestamp;
use trellis_api::Exception;
use trellis_frame::{Context, Refusal, Service, Surroundings, words};
use trellis_model::resource::lattice::Home;
use trellis_store::Reader;

use token::Pod;

/// The service: what the frame has to know of it.
pub static SERVICE: Service = Service { words, operations: OPERATIONS, ..Service::new(wire::description) };

trellis_frame::operations! { wire;
    AssumeRoleForPodIdentity => read assume_role,
}

/// Of tokens that this service takes.
pub const AUDIENCE: &str = "pods.eks.amazonaws.com";
/// Whom a role's trust policy has to let in.
pub const PRINCIPAL: &str = "pods.eks.amazonaws.com";
/// How long credentials are good, in seconds: six hours, as on EKS.
const DURATION: i32 = 6 * 3600;
/// Characters of a cluster's and of a pod's name in the name of a session.
const SHOWN: usize = 10;

/// A cluster, as far as its tokens go.
#[derive(Debug, Clone)]
pub struct Cluster {
    pub arn: String,
    pub issuer: String,
    /// What its tokens are signed with: a JSON Web Key Set.
    pub keys: String,
}

/// The role of a service account.
#[derive(Debug, Clone)]
pub struct Association {
    pub arn: String,
    pub id: String,
    pub role: String,
    pub without_session_tags: bool,
}

/// A session that is to be.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// ARN.
    pub role: String,
    pub session_name: String,
    /// ARN of the cluster.
    pub source: String,
    pub account: String,
    /// Each of them transitive.
    pub tags: Vec<(String, String)>,
    pub duration: i32,
}

/// The credentials of a pod.
#[derive(Clone)]
pub struct Issued {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: String,
    pub expires_at: Timestamp,
    pub role_arn: String,
    pub role_id: String,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// What EKS, IAM and STS know of it. Services do not ask each other.
pub trait Desk: Send + Sync {
    /// # Errors
    /// A state that cannot be read.
    fn cluster(&self, state: &mut Reader, home: &Home, name: &str) -> Result<Option<Cluster>, Refusal>;
    /// # Errors
    /// A state that cannot be read.
    fn association(
        &self,
        state: &mut Reader,
        home: &Home,
        cluster: &str,
        service_account: (&str, &str),
    ) -> Result<Option<Association>, Refusal>;
    /// `None` where the role is not there, or its trust policy lets nobody in.
    ///
    /// # Errors
    /// A state that cannot be read.
    fn session(
        &self,
        state: &mut Reader,
        surroundings: &Surroundings,
        wanted: Wanted,
    ) -> Result<Option<Issued>, Refusal>;
}

/// The desk, as an extension of the frame's surroundings.
#[derive(Clone)]
pub struct Desks(Arc<dyn Desk>);

impl Desks {
    pub fn new(desk: impl Desk + 'static) -> Self {
        Self(Arc::new(desk))
    }
}

/// Who a pod is, and what it gets.
#[derive(Debug, Clone)]
pub struct Assumed {
    pub namespace: String,
    pub service_account: String,
    pub association: Association,
    pub issued: Issued,
}

/// The credentials of the pod that has `token`.
///
/// # Errors
/// AWS's codes: `InvalidTokenException`, `ExpiredTokenException`, `ResourceNotFoundException`, `AccessDeniedException`.
pub fn assume(
    state: &mut Reader,
    surroundings: &Surroundings,
    home: &Home,
    cluster_name: &str,
    token: &str,
) -> Result<Assumed, Refusal> {
    let desk = surroundings
        .extension::<Desks>()
        .ok_or_else(|| refuse("ServiceUnavailableException", 503, "no desk"))?;
    let missing = |what: String| refuse("ResourceNotFoundException", 404, what);
    let cluster = desk.0.cluster(state, home, cluster_name)?;
    let cluster = cluster.ok_or_else(|| missing(format!("No cluster found for name: {cluster_name}.")))?;
    let pod = token::verify(token, &cluster, surroundings.clock.now())?;
    let account = (pod.namespace.as_str(), pod.service_account.as_str());
    let association = desk.0.association(state, home, cluster_name, account)?.ok_or_else(|| {
        missing(format!("No association found for service account {} in namespace {}", account.1, account.0))
    })?;
    let tags = if association.without_session_tags { Vec::new() } else { tags(&cluster, cluster_name, &pod) };
    let wanted = Wanted {
        role: association.role.clone(),
        session_name: session_name(cluster_name, &pod.name, &surroundings.random.uuid()),
        source: cluster.arn,
        account: home.account.to_string(),
        tags,
        duration: DURATION,
    };
    let issued = desk.0.session(state, surroundings, wanted)?.ok_or_else(|| {
        let message = format!(
            "Unauthorized Exception! EKS does not have permissions to assume the associated role {}.",
            association.role
        );
        refuse("AccessDeniedException", 400, message)
    })?;
    let Pod { namespace, service_account, .. } = pod;
    Ok(Assumed { namespace, service_account, association, issued })
}

/// Why a pod gets nothing, for who serves the agent's contract.
#[derive(Debug, Clone)]
pub struct Fault {
    pub status: u16,
    pub code: String,
    pub message: String,
}

/// As [`assume`], on the newest state.
///
/// # Errors
/// The same, in the words of the wire.
pub fn credentials(
    surroundings: &Surroundings,
    home: &Home,
    cluster_name: &str,
    token: &str,
) -> Result<Issued, Fault> {
    let assume = || assume(&mut surroundings.store.read()?, surroundings, home, cluster_name, token);
    match assume() {
        Ok(assumed) => Ok(assumed.issued),
        Err(refusal) => {
            let Exception { status, code, message, .. } = words(refusal);
            Err(Fault { status, code: code.into_owned(), message })
        }
    }
}

/// `eks-<clustername>-<podname>-<random UUID>`, at most 64 characters.
fn session_name(cluster: &str, pod: &str, uuid: &str) -> String {
    let head = |text: &str| text.chars().take(SHOWN).collect::<String>();
    format!("eks-{}-{}-{uuid}", head(cluster), head(pod))
}

fn tags(cluster: &Cluster, name: &str, pod: &Pod) -> Vec<(String, String)> {
    [
        ("eks-cluster-arn", cluster.arn.as_str()),
        ("eks-cluster-name", name),
        ("kubernetes-namespace", &pod.namespace),
        ("kubernetes-service-account", &pod.service_account),
        ("kubernetes-pod-name", &pod.name),
        ("kubernetes-pod-uid", &pod.uid),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .to_vec()
}

fn assume_role(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::AssumeRoleForPodIdentityInput,
) -> Result<wire::AssumeRoleForPodIdentityOutput, Refusal> {
    let Assumed { namespace, service_account, association, issued } =
        assume(state, &ctx.surroundings, &ctx.home(), &input.cluster_name, &input.token.0)?;
    Ok(wire::AssumeRoleForPodIdentityOutput {
        subject: wire::Subject { namespace, service_account },
        audience: AUDIENCE.to_owned(),
        pod_identity_association: wire::PodIdentityAssociation {
            association_arn: association.arn,
            association_id: association.id,
        },
        assumed_role_user: wire::AssumedRoleUser { arn: issued.role_arn, assume_role_id: issued.role_id },
        credentials: wire::Credentials {
            session_token: trellis_api::typed::Secret(issued.session_token),
            secret_access_key: trellis_api::typed::Secret(issued.secret_access_key),
            access_key_id: issued.access_key_id,
            expiration: issued.expires_at.into(),
        },
        workload_identity_provider_arn: None,
    })
}

fn words(refusal: Refusal) -> Exception {
    let code = match &refusal {
        Refusal::Missing { .. } => {
            return Exception::plain("ResourceNotFoundException", 404, refusal.to_string());
        }
        Refusal::Invalid { .. } | Refusal::Unreadable { .. } | Refusal::NotAPage { .. } => {
            "InvalidParameterException"
        }
        Refusal::Denied { .. } => "AccessDeniedException",
        Refusal::NotServed { .. } | Refusal::TokenReused { .. } => "InvalidRequestException",
        _ => return words::rest_json(refusal),
    };
    Exception::plain(code, 400, refusal.to_string())
}

pub(crate) fn refuse(code: &'static str, status: u16, message: impl Into<String>) -> Refusal {
    Exception::plain(code, status, message).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_named_as_eks_names_it() {
        let uuid = "583f641c-89e6-4242-8833-14b2f7ce4044";
        let name = session_name("eks-cluster1", "demo-cluster1-v1-abc", uuid);
        assert_eq!(name, "eks-eks-cluste-demo-clust-583f641c-89e6-4242-8833-14b2f7ce4044");
        assert!(name.len() <= 64);
    }
}
