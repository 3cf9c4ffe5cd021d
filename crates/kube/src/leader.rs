//! One of several replicas works: the holder of a Lease.
//!
//! Clocks are not compared: a holder is gone when its Lease did not change for as long as it lasts, by the clock of the
//! one who waits. A holder that cannot renew in time, counted from before the call that last did, stops well before another
//! may begin.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use tokio::time::Instant;

/// The name of AWS's controller's, so that the two exclude each other.
const NAME: &str = "amazon-vpc-lattice.io";
/// A process that ends does not wait longer for an API server.
const RELEASED_WITHIN: Duration = Duration::from_secs(2);

/// How long a lease lasts, and what its holder does meanwhile.
#[derive(Debug, Clone, Copy)]
struct Terms {
    lasts: Duration,
    /// Counted from before the call that renewed it last; shorter than `lasts` by what work may take to stop.
    renewed_within: Duration,
    /// Between two looks.
    look: Duration,
}

const TERMS: Terms = Terms {
    lasts: Duration::from_secs(15),
    renewed_within: Duration::from_secs(10),
    look: Duration::from_secs(2),
};

/// Who wants to lead.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    identity: String,
    terms: Terms,
}

impl Candidate {
    pub(crate) fn new() -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let now = jiff::Timestamp::now().as_nanosecond();
        Self { identity: format!("{}_{}_{now}", host.trim(), std::process::id()), terms: TERMS }
    }

    /// Waits until this one leads; since when it does.
    pub(crate) async fn win(&self, leases: &Api<Lease>) -> Instant {
        let mut seen: Option<(Option<String>, Instant)> = None;
        loop {
            // Before the call: others may count from when it arrives.
            let asked = Instant::now();
            match tokio::time::timeout(self.terms.renewed_within, self.look(leases, &mut seen)).await {
                Ok(Ok(true)) => return asked,
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the lease cannot be looked at"),
                Err(_) => tracing::warn!("the lease cannot be looked at: no answer"),
            }
            tokio::time::sleep(self.terms.look).await;
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
        let is_stale = seen.as_ref().is_some_and(|(_, since)| since.elapsed() > self.terms.lasts);
        if holder.is_empty() || holder == self.identity || is_stale {
            return unless_beaten(
                leases.replace(NAME, &PostParams::default(), &self.lease(Some(&lease))).await,
            );
        }
        Ok(false)
    }

    /// Renews a lease that was won or renewed at `renewed` for as long as it can; returns when the lease is lost.
    pub(crate) async fn hold(&self, leases: &Api<Lease>, mut renewed: Instant) {
        loop {
            let deadline = renewed + self.terms.renewed_within;
            tokio::time::sleep_until(deadline.min(Instant::now() + self.terms.look)).await;
            let renew = async {
                let lease = leases.get(NAME).await?;
                let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
                if holder != Some(&self.identity) {
                    return Ok(false);
                }
                unless_beaten(leases.replace(NAME, &PostParams::default(), &self.lease(Some(&lease))).await)
            };
            let asked = Instant::now();
            match tokio::time::timeout_at(deadline, renew).await {
                Ok(Ok(true)) => renewed = asked,
                Ok(Ok(false)) => return,
                Ok(Err::<_, kube::Error>(error)) => tracing::warn!(%error, "the lease is not renewed"),
                Err(_) => {
                    tracing::warn!("the lease is not renewed in time");
                    return;
                }
            }
        }
    }

    /// Gives the lease up, so that another begins at once. For who does not work any more.
    pub(crate) async fn release(&self, leases: &Api<Lease>) {
        let release = async {
            let mut lease = leases.get(NAME).await?;
            if let Some(spec) = &mut lease.spec
                && spec.holder_identity.as_ref() == Some(&self.identity)
            {
                spec.holder_identity = Some(String::new());
                leases.replace(NAME, &PostParams::default(), &lease).await?;
            }
            Ok::<_, kube::Error>(())
        };
        match tokio::time::timeout(RELEASED_WITHIN, release).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "the lease is not given up; another replica waits until it ends");
            }
            Err(_) => {
                tracing::warn!("the lease is not given up in time; another replica waits until it ends");
            }
        }
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
            lease_duration_seconds: Some(self.terms.lasts.as_secs() as i32),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::in_process::{ApiServer, Temper};

    const TERMS: Terms = Terms {
        lasts: Duration::from_secs(3),
        renewed_within: Duration::from_secs(2),
        look: Duration::from_millis(400),
    };

    fn candidate() -> Candidate {
        Candidate { terms: TERMS, ..Candidate::new() }
    }

    #[tokio::test]
    async fn a_holder_that_cannot_renew_stops_before_another_may_begin() {
        let server = ApiServer::new();
        let leases = Api::namespaced(server.client(), "default");
        let candidate = candidate();
        let won = candidate.win(&leases).await;
        server.behave(Temper::Refuses(Duration::from_millis(300)));
        let silence = async {
            tokio::time::sleep(Duration::from_millis(1500)).await;
            server.behave(Temper::IsSilent);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = candidate.hold(&leases, won) => {}
            () = silence => {}
        }
        assert!(won.elapsed() >= Duration::from_millis(1500), "it tries for as long as it may");
        assert!(won.elapsed() < TERMS.lasts, "{:?}", won.elapsed());
    }

    #[tokio::test]
    async fn a_candidate_whose_look_is_not_answered_looks_again() {
        let server = ApiServer::new();
        server.behave(Temper::IsSilent);
        let leases = Api::namespaced(server.client(), "default");
        let candidate = candidate();
        let looks = async {
            while server.asked().len() < 2 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            server.behave(Temper::Answers);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            won = candidate.win(&leases) => assert!(won.elapsed() < TERMS.lasts),
            () = looks => {}
            () = tokio::time::sleep(Duration::from_secs(20)) => panic!("nobody leads"),
        }
    }

    #[tokio::test]
    async fn what_is_given_up_is_another_replicas_at_once() {
        let server = ApiServer::new();
        let leases = Api::namespaced(server.client(), "default");
        let (first, second) = (candidate(), candidate());
        first.win(&leases).await;
        let waits = tokio::time::timeout(TERMS.look * 2, second.win(&leases)).await;
        assert!(waits.is_err(), "one at a time");
        first.release(&leases).await;
        let won = tokio::time::timeout(TERMS.lasts, second.win(&leases)).await;
        assert!(won.is_ok());
    }
}
