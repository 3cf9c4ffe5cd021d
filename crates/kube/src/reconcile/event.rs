//! Events: what an object is told in its conditions is told to who looks at the cluster's events as well.
//!
//! One for each finding that is new to its object, so that there are no more than changes of conditions; the same told
//! twice is one event that counts. An event that cannot be written is let go: the conditions say it too.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::Controller;
use crate::objects::Condition;
use crate::plan::{CONTROLLER, Finding};

/// A work that waits for nobody's sake is not held up longer.
const PATIENCE: Duration = Duration::from_secs(2);
/// The API server takes 1,024 bytes.
const NOTE: usize = 1024;
/// Of the 253 characters of a name what is left beside the sum.
const NAME: usize = 230;

/// What an object was not told before.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct News {
    is_good: bool,
    reason: &'static str,
    note: String,
}

/// The condition that says that what an object asks for is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InForce {
    /// Of Gateways, routes and service networks.
    Programmed,
    /// Of policies.
    Accepted,
}

/// The findings that the conditions of an object do not have yet. That all is well is news when it is in force.
pub(super) fn news(old: &[Condition], findings: &[Finding], in_force: InForce) -> BTreeSet<News> {
    let is_new = |finding: &&Finding| {
        let status = if finding.holds { "True" } else { "False" };
        !old.iter().any(|condition| {
            condition.kind == finding.kind
                && condition.status == status
                && condition.reason == finding.reason
                && condition.message == crate::status::shortened(&finding.message)
        })
    };
    let of = |finding: &Finding| {
        let Finding { kind, holds, reason, message } = finding;
        // The words of AWS's controller where it has one.
        let reason = match (*kind, holds) {
            ("Programmed", true) if in_force == InForce::Programmed => "DeploySucceed",
            ("Accepted", true) if in_force == InForce::Accepted => "Reconciled",
            (_, true) => return None,
            ("Programmed", false) => "FailedDeployModel",
            ("Accepted", false) if *reason == "UnsupportedValue" => "FailedBuildModel",
            _ => reason,
        };
        let mut note = match message.as_str() {
            "" => format!("{kind}: {}", finding.reason),
            message => format!("{kind}: {}: {message}", finding.reason),
        };
        note.truncate(note.floor_char_boundary(NOTE));
        Some(News { is_good: *holds, reason, note })
    };
    findings.iter().filter(is_new).filter_map(of).collect()
}

impl Controller {
    pub(super) async fn publish(&self, object: &ObjectReference, news: BTreeSet<News>) {
        for one in news {
            let written = tokio::time::timeout(PATIENCE, self.write(object, &one)).await;
            match written {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, reason = one.reason, "an event is not written"),
                Err(_) => tracing::debug!(reason = one.reason, "an event is not written in time"),
            }
        }
    }

    async fn write(&self, object: &ObjectReference, news: &News) -> Result<(), kube::Error> {
        let namespace = object.namespace.as_deref().unwrap_or("default");
        let events = Api::<Event>::namespaced(self.client.0.clone(), namespace);
        let name = name(object, news);
        let now = MicroTime(jiff::Timestamp::now());
        let event = Event {
            metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() },
            action: Some("Reconcile".to_owned()),
            event_time: Some(now.clone()),
            note: Some(news.note.clone()),
            reason: Some(news.reason.to_owned()),
            regarding: Some(object.clone()),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some("trellis-kube".to_owned()),
            type_: Some(if news.is_good { "Normal" } else { "Warning" }.to_owned()),
            ..Event::default()
        };
        match events.create(&PostParams::default(), &event).await {
            Err(kube::Error::Api(status)) if status.code == 409 => {
                let series = events.get(&name).await?.series;
                let count = series.map_or(2, |series| series.count + 1);
                let patch = json!({"series": {"count": count, "lastObservedTime": now}});
                events.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
            }
            outcome => outcome.map(drop),
        }
    }
}

/// The same for the same told of the same object, whoever tells it.
fn name(object: &ObjectReference, news: &News) -> String {
    let mut hash = Sha256::new();
    let uid = object.uid.as_deref().unwrap_or_default();
    for word in [uid, object.kind.as_deref().unwrap_or_default(), news.reason, &news.note] {
        hash.update(word.as_bytes());
        hash.update([0]);
    }
    // Names of objects are of ASCII.
    let object = object.name.as_deref().unwrap_or_default();
    let mut name = object.get(..NAME).unwrap_or(object).trim_end_matches(['.', '-']).to_owned();
    name.push('.');
    for byte in &hash.finalize()[..8] {
        let _ = write!(name, "{byte:02x}");
    }
    name
}
