//! What the delivery has counted, in the Prometheus text format.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::watch;

use crate::routes::Routes;
use crate::tally::{Count, Tally};

/// Counts of every subscription; cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    pub(crate) routes: watch::Receiver<Arc<Routes>>,
}

impl Metrics {
    /// Everything in the Prometheus text format. The label is a subscription's id.
    pub fn render(&self) -> String {
        let routes = self.routes.borrow().clone();
        let mut all: Vec<_> = routes.all().map(|route| (route.id.as_str(), &*route.tally)).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        let mut text = String::new();
        let name = "trellis_log_records_total";
        family(&mut text, name, "counter", "Access-log records of subscriptions by what became of them.");
        type Outcome = (&'static str, fn(&Tally) -> &Count);
        let outcomes: [Outcome; 4] = [
            ("accepted", |tally| &tally.accepted),
            ("delivered", |tally| &tally.delivered),
            ("dropped", |tally| &tally.dropped),
            ("refused", |tally| &tally.refused),
        ];
        for (id, tally) in &all {
            for (outcome, count) in outcomes {
                let value = count(tally).value();
                let _ = writeln!(text, "{name}{{subscription=\"{id}\",outcome=\"{outcome}\"}} {value}");
            }
        }
        let name = "trellis_log_spool_bytes";
        family(&mut text, name, "gauge", "Bytes of access-log records that are not delivered yet.");
        for (id, tally) in &all {
            let _ = writeln!(text, "{name}{{subscription=\"{id}\"}} {}", tally.waiting.value());
        }
        let name = "trellis_log_delivery_failures_total";
        family(&mut text, name, "counter", "Attempts to deliver access-log records that failed.");
        for (id, tally) in &all {
            let _ = writeln!(text, "{name}{{subscription=\"{id}\"}} {}", tally.failures.value());
        }
        let name = "trellis_log_delivery_failing";
        family(&mut text, name, "gauge", "1 when the last attempt to deliver failed.");
        for (id, tally) in &all {
            let failing = u8::from(tally.is_failing.load(Ordering::Relaxed));
            let _ = writeln!(text, "{name}{{subscription=\"{id}\"}} {failing}");
        }
        text
    }
}

fn family(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}
