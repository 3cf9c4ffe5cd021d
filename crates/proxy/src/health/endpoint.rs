//! Endpoints of Route 53's health checks: looked at from inside the VPCs whose zones depend on them.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior};
use trellis_model::VpcId;
use trellis_model::health::TargetStatus;
use trellis_model::snapshot::names::{Check, Endpoint, Seen};
use trellis_model::snapshot::{AddressFamily, Snapshot};

use super::probe::{self, ProbeError};
use super::{Checker, SHORTEST};
use crate::restart::whenever_it_panics;

/// "Route 53 must be able to establish a TCP connection within four seconds", ten where that is all.
const CONNECT_HTTP: Duration = Duration::from_secs(4);
const CONNECT_TCP: Duration = Duration::from_secs(10);
/// "Must respond with an HTTP status code within two seconds after connecting."
const ANSWER: Duration = Duration::from_secs(2);

/// The checks that are being made.
#[derive(Default)]
pub(super) struct Watched {
    /// What they were made from.
    checks: Arc<[Arc<Check>]>,
    /// By id and VPC.
    tasks: FxHashMap<(Box<str>, VpcId), Watching>,
}

pub(super) struct Watching {
    check: Arc<Check>,
    task: AbortHandle,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Makes the checks that are being made those of `snapshot`.
pub(super) fn apply(checker: &Rc<Checker>, watched: &mut Watched, snapshot: &Snapshot) {
    if Arc::ptr_eq(&watched.checks, &snapshot.names.checks) {
        return;
    }
    watched.checks = snapshot.names.checks.clone();
    let wanted = watched.checks.iter().filter(|check| !check.endpoint.is_disabled);
    let wanted: FxHashMap<_, _> =
        wanted.map(|check| ((check.id.clone(), check.vpc.clone()), check.clone())).collect();
    let tasks = &mut watched.tasks;
    tasks.retain(|place, known| wanted.get(place).is_some_and(|check| Arc::ptr_eq(check, &known.check)));
    for (place, check) in wanted {
        tasks.entry(place).or_insert_with(|| {
            let pause = check.endpoint.interval.max(SHORTEST);
            let (checker, watching) = (checker.clone(), check.clone());
            let watch = move || watch_over(checker.clone(), watching.clone());
            let task = whenever_it_panics(watch, move || tokio::time::sleep(pause));
            Watching { check, task: tokio::task::spawn_local(task).abort_handle() }
        });
    }
}

/// Looks at one endpoint for ever: at once, then every interval.
async fn watch_over(checker: Rc<Checker>, check: Arc<Check>) {
    let endpoint = &check.endpoint;
    let mut interval = tokio::time::interval_at(Instant::now() + endpoint.interval, endpoint.interval);
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut in_a_row = (false, 0);
    loop {
        let Ok(permit) = checker.room.acquire().await else { return };
        let outcome = look(&checker, &check.vpc, endpoint).await;
        drop(permit);
        let said = match &outcome {
            Ok(Some(status)) => format!("Success: HTTP Status Code {status}"),
            Ok(None) => "Success: connected".to_owned(),
            Err(error) => format!("Failure: {error}"),
        };
        let cell = if outcome.is_ok() { &checker.cells.passed } else { &checker.cells.failed };
        cell.add(1);
        let at = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let at = at.map_or(0, |since| since.as_secs() as i64);
        check.health.note(Seen { at, said }, outcome.is_ok());
        let is_good = outcome.is_ok() != endpoint.is_inverted;
        in_a_row = if in_a_row.0 == is_good { (is_good, in_a_row.1 + 1) } else { (is_good, 1) };
        let before = check.health.status();
        let after = verdict(before, in_a_row, endpoint.threshold);
        if after != before {
            check.health.set(after);
            let (id, vpc) = (&check.id, &check.vpc);
            tracing::info!(%id, %vpc, from = before.as_str(), to = after.as_str(), "health of an endpoint");
        }
        interval.tick().await;
    }
}

/// What is thought of it after so many outcomes of a kind in a row. Nothing is known at first, and passes for good.
fn verdict(before: TargetStatus, (is_good, in_a_row): (bool, u32), threshold: u32) -> TargetStatus {
    match (before, is_good) {
        (TargetStatus::Initial, true) => TargetStatus::Healthy,
        (before, _) if in_a_row < threshold => before,
        (_, true) => TargetStatus::Healthy,
        (_, false) => TargetStatus::Unhealthy,
    }
}

/// The status it answers with, or none where a connection is enough.
async fn look(checker: &Checker, vpc: &VpcId, endpoint: &Endpoint) -> Result<Option<u16>, ProbeError> {
    let patience = if endpoint.path.is_some() { CONNECT_HTTP } else { CONNECT_TCP };
    let connecting = async {
        let address = match (endpoint.address, &endpoint.name) {
            (Some(address), _) => address,
            (None, name) => resolved(checker, vpc, name.as_deref().unwrap_or_default()).await?,
        };
        // A name may lead anywhere.
        if !Endpoint::may_be_at(address) {
            return Err(ProbeError::NotAnEndpoint(address));
        }
        let address = SocketAddr::new(address, endpoint.port);
        Ok((address, probe::connect(&checker.dial, vpc, address).await?))
    };
    let connected = tokio::time::timeout(patience, connecting).await;
    let (address, stream) = connected.unwrap_or(Err(ProbeError::TimedOut))?;
    let Some(path) = &endpoint.path else { return Ok(None) };
    let asking = probe::status_of(&checker.tls, stream, address, endpoint, path);
    let status = tokio::time::timeout(ANSWER, asking).await.unwrap_or(Err(ProbeError::TimedOut))?;
    // "An HTTP status code of 2xx or 3xx."
    if (200..400).contains(&status) { Ok(Some(status)) } else { Err(ProbeError::Status(status)) }
}

/// "Route 53 uses IPv4 to check the endpoint" of a name.
async fn resolved(checker: &Checker, vpc: &VpcId, name: &str) -> Result<IpAddr, ProbeError> {
    let resolved = (checker.resolve)(vpc, name, AddressFamily::Ipv4).await.map_err(ProbeError::NoAddress)?;
    let none = || ProbeError::NoAddress(std::io::ErrorKind::NotFound.into());
    resolved.addresses.first().copied().ok_or_else(none)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_outcomes_in_a_row_as_the_threshold_change_the_verdict() {
        use TargetStatus::{Healthy, Initial, Unhealthy};
        for (before, outcome, after) in [
            (Initial, (true, 1), Healthy),
            (Initial, (false, 2), Initial),
            (Initial, (false, 3), Unhealthy),
            (Healthy, (false, 2), Healthy),
            (Healthy, (false, 3), Unhealthy),
            (Unhealthy, (true, 2), Unhealthy),
            (Unhealthy, (true, 3), Healthy),
        ] {
            assert_eq!(verdict(before, outcome, 3), after, "{before:?} {outcome:?}");
        }
    }

    #[test]
    fn nobodys_endpoint_is_where_a_vpcs_router_has_its_own() {
        for address in [
            "127.0.0.1",
            "169.254.169.253",
            "169.254.171.1",
            "129.224.3.4",
            "0.0.0.0",
            "224.0.0.1",
            "::1",
            "fe80::1",
            "fd00:ec2:80::a9fe:ab01",
            "::ffff:127.0.0.1",
            "::ffff:169.254.171.1",
        ] {
            assert!(!Endpoint::may_be_at(address.parse().unwrap()), "{address}");
        }
        for address in ["10.0.1.5", "192.0.2.1", "::ffff:10.0.1.5", "fd00::5"] {
            assert!(Endpoint::may_be_at(address.parse().unwrap()), "{address}");
        }
    }
}
