//! One of several replicas works: the holder of a Lease.
//!
//! Clocks are not compared: a holder is gone when its Lease did not change for as long as it lasts, by the clock of the
//! one who waits. A holder that cannot renew in time stops, well before another may begin.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use tokio::time::Instant;

/// The name of AWS's controller's, so that the two exclude each other.
const NAME: &str = "amazon-vpc-lattice.io";
const LASTS: Duration = Duration::from_secs(15);
const RENEWED_WITHIN: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_secs(2);

/// Who wants to lead.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    identity: String,
}

impl Candidate {
    pub(crate) fn new() -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let now = jiff::Timestamp::now().as_nanosecond();
        Self { identity: format!("{}_{}_{now}", host.trim(), std::process::id()) }
    }

    /// Waits until this one leads.
    pub(crate) async fn win(&self, leases: &Api<Lease>) {
        let mut seen: Option<(Option<String>, Instant)> = None;
        loop {
            match self.look(leases, &mut seen).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "the lease cannot be looked at"),
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn look(
        &self,
        leases: &Api<Lease>,
        seen: &mut Option<(Option<String>, Instant)>,
    ) -> Result<bool, kube::Error> {
        let Some(lease) = leases.get_opt(NAME).await? else {
            return unless_beaten(leases.create(&PostParams::default(), &self.lease(None)).await);
        };
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default();
        let version = lease.metadata.resource_version.clone();
        let is_known = seen.as_ref().is_some_and(|(known, _)| *known == version);
        if !is_known {
            *seen = Some((version, Instant::now()));
        }
        let is_stale = seen.as_ref().is_some_and(|(_, since)| since.elapsed() > LASTS);
        if holder.is_empty() || holder == self.identity || is_stale {
            return unless_beaten(
                leases.replace(NAME, &PostParams::default(), &self.lease(Some(&lease))).await,
            );
        }
        Ok(false)
    }

    /// Renews for as long as it can; returns when the lease is lost.
    pub(crate) async fn hold(&self, leases: &Api<Lease>) {
        let mut renewed = Instant::now();
        while renewed.elapsed() < RENEWED_WITHIN {
            tokio::time::sleep(LOOK).await;
            let renew = async {
                let lease = leases.get(NAME).await?;
                let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
                if holder != Some(&self.identity) {
                    return Ok(false);
                }
                unless_beaten(leases.replace(NAME, &PostParams::default(), &self.lease(Some(&lease))).await)
            };
            match tokio::time::timeout(RENEWED_WITHIN, renew).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => return,
                Ok(Err::<_, kube::Error>(error)) => tracing::warn!(%error, "the lease is not renewed"),
                Err(_) => tracing::warn!("the lease is not renewed in time"),
            }
        }
    }

    /// Gives the lease up, so that another begins at once.
    pub(crate) async fn release(&self, leases: &Api<Lease>) -> Result<(), kube::Error> {
        let mut lease = leases.get(NAME).await?;
        if let Some(spec) = &mut lease.spec
            && spec.holder_identity.as_ref() == Some(&self.identity)
        {
            spec.holder_identity = Some(String::new());
            leases.replace(NAME, &PostParams::default(), &lease).await?;
        }
        Ok(())
    }

    fn lease(&self, old: Option<&Lease>) -> Lease {
        let now = MicroTime(jiff::Timestamp::now());
        let before = old.and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let is_ours = before.holder_identity.as_ref() == Some(&self.identity);
        let metadata = old.map_or_else(
            || ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() },
            |lease| lease.metadata.clone(),
        );
        let spec = LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(LASTS.as_secs() as i32),
            acquire_time: if is_ours { before.acquire_time } else { Some(now.clone()) },
            renew_time: Some(now),
            lease_transitions: Some(before.lease_transitions.unwrap_or(0) + i32::from(!is_ours)),
            ..LeaseSpec::default()
        };
        Lease { metadata, spec: Some(spec) }
    }
}

/// Another may have been quicker.
fn unless_beaten(outcome: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
    match outcome {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}
