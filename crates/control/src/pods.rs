//! Pods of clusters: what EKS, IAM and STS know of them, put together for EKS Auth; and the issuers of their tokens, whose
//! documents nobody has to fetch.

use trellis_ec2::HostError;
use trellis_eks::access::User;
use trellis_eks_auth::{Association, Cluster, Desk, Fault, Issued, PRINCIPAL, Wanted};
use trellis_frame::{Refusal, Surroundings};
use trellis_model::resource::lattice::Home;
use trellis_store::{Reader, Store};
use trellis_sts::{ForService, HttpsGet, assume_for_service};

use crate::Control;

/// The other services, as EKS Auth sees them.
#[derive(Debug)]
pub(crate) struct Pods;

impl Desk for Pods {
    fn cluster(&self, state: &mut Reader, home: &Home, name: &str) -> Result<Option<Cluster>, Refusal> {
        let found = trellis_eks::find_cluster(state, home, name)?;
        Ok(found.and_then(|cluster| {
            let keys = cluster.running.as_ref()?.keys.clone();
            Some(Cluster { arn: cluster.arn(), issuer: cluster.issuer(), keys })
        }))
    }

    fn association(
        &self,
        state: &mut Reader,
        home: &Home,
        cluster: &str,
        service_account: (&str, &str),
    ) -> Result<Option<Association>, Refusal> {
        let found = trellis_eks::find_association(state, home, cluster, service_account)?;
        Ok(found.map(|found| Association {
            arn: found.arn(),
            id: found.id,
            role: found.role,
            without_session_tags: found.without_session_tags,
        }))
    }

    fn session(
        &self,
        state: &mut Reader,
        surroundings: &Surroundings,
        wanted: Wanted,
    ) -> Result<Option<Issued>, Refusal> {
        let Some(role) = trellis_sts::role(state, &wanted.role)? else { return Ok(None) };
        let asked = ForService {
            role: &role,
            service: PRINCIPAL,
            session_name: wanted.session_name,
            source_arn: &wanted.source,
            source_account: &wanted.account,
            transitive_tag_keys: wanted.tags.iter().map(|(key, _)| key.clone()).collect(),
            tags: wanted.tags,
            duration: wanted.duration,
        };
        let issued = assume_for_service(state, surroundings, asked)?;
        Ok(issued.map(|issued| Issued {
            access_key_id: issued.access_key_id,
            secret_access_key: issued.secret_access_key,
            session_token: issued.session_token,
            expires_at: issued.expires_at,
            role_arn: issued.assumed_role_arn,
            role_id: issued.assumed_role_id,
        }))
    }
}

impl Control {
    /// Credentials for the pod of a cluster that has `token`: AssumeRoleForPodIdentity, for who serves the agent's contract.
    ///
    /// # Errors
    /// EKS Auth's exceptions.
    pub fn assume_role_for_pod_identity(
        &self,
        home: &Home,
        cluster: &str,
        token: &str,
    ) -> Result<Issued, Fault> {
        trellis_eks_auth::credentials(self.inner.frame.surroundings(), home, cluster, token)
    }

    /// Who the caller with this ARN is in a cluster; `None`: nobody, or there is no such cluster any more.
    ///
    /// # Errors
    /// A state that cannot be read.
    pub fn eks_user(
        &self,
        home: &Home,
        cluster: &str,
        id: &str,
        arn: &str,
    ) -> Result<Option<User>, HostError> {
        let state = &mut self.inner.frame.surroundings().store.read()?;
        let cluster = trellis_eks::find_cluster(state, home, cluster)?.filter(|cluster| cluster.id == id);
        Ok(cluster.map(|cluster| trellis_eks::access::user(state, &cluster, arn)).transpose()?.flatten())
    }

    /// Whether pods of a service account, by namespace and name, are to ask for credentials.
    ///
    /// # Errors
    /// A state that cannot be read.
    pub fn has_pod_identity(
        &self,
        home: &Home,
        cluster: &str,
        service_account: (&str, &str),
    ) -> Result<bool, HostError> {
        let state = &mut self.inner.frame.surroundings().store.read()?;
        Ok(Pods.association(state, home, cluster, service_account)?.is_some())
    }
}

/// `https_get`, which for the issuers of clusters that are here asks nobody.
pub(crate) fn with_own_issuers(https_get: HttpsGet, store: Store) -> HttpsGet {
    HttpsGet::new(move |url| match trellis_eks::issuer_document(&store, &url) {
        Ok(Some(document)) => Box::pin(std::future::ready(Ok(document))),
        Ok(None) => https_get.get(url),
        Err(refusal) => Box::pin(std::future::ready(Err(refusal.to_string()))),
    })
}
