//! What the signing proxy counts, in Prometheus' text format.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use http::StatusCode;

use crate::failure::{Failure, REASONS};

/// Counters that all workers add to; a request adds to one or two of them.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// By the first digit of the status.
    answers: [AtomicU64; 5],
    failures: [AtomicU64; REASONS.len()],
    passed: AtomicU64,
    connections: AtomicU64,
    ended_connections: AtomicU64,
    service_connections: AtomicU64,
    looks_found: AtomicU64,
    looks_failed: AtomicU64,
    /// Unix seconds; 0 while there are none, or none that expire.
    expiry: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Metrics {
    pub(crate) fn answered(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        count(&self.answers[class]);
    }

    pub(crate) fn failed(&self, failure: &Failure) {
        count(&self.failures[failure.index()]);
    }

    /// A request that the application had signed.
    pub(crate) fn passed(&self) {
        count(&self.passed);
    }

    pub(crate) fn connection_opened(&self) {
        count(&self.connections);
    }

    pub(crate) fn connection_closed(&self) {
        count(&self.ended_connections);
    }

    /// To a service.
    pub(crate) fn connected(&self) {
        count(&self.service_connections);
    }

    pub(crate) fn credentials_found(&self, expiry: Option<SystemTime>) {
        count(&self.looks_found);
        let seconds =
            expiry.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).map_or(0, |since| since.as_secs());
        self.expiry.store(seconds, Ordering::Relaxed);
    }

    pub(crate) fn credentials_not_found(&self) {
        count(&self.looks_failed);
    }

    pub(crate) fn render(&self) -> String {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut text = String::with_capacity(2048);
        let mut family = |name: &str, kind: &str, help: &str, samples: &[(String, u64)]| {
            let _ = writeln!(text, "# HELP trellis_sign_{name} {help}\n# TYPE trellis_sign_{name} {kind}");
            for (labels, value) in samples {
                let _ = writeln!(text, "trellis_sign_{name}{labels} {value}");
            }
        };
        let classes: Vec<_> = (1..=5)
            .zip(&self.answers)
            .map(|(class, counter)| (format!("{{code=\"{class}xx\"}}"), value(counter)))
            .collect();
        family("answers_total", "counter", "Requests that a service answered, by its status.", &classes);
        let reasons: Vec<_> = REASONS
            .iter()
            .zip(&self.failures)
            .map(|(reason, counter)| (format!("{{reason=\"{reason}\"}}"), value(counter)))
            .collect();
        family(
            "failures_total",
            "counter",
            "Requests that no service answered, by what went wrong.",
            &reasons,
        );
        let single = |counter: &AtomicU64| [(String::new(), value(counter))];
        let help = "Requests that the application had signed itself.";
        family("passed_total", "counter", help, &single(&self.passed));
        let help = "Connections of applications accepted.";
        family("connections_total", "counter", help, &single(&self.connections));
        let open = value(&self.connections).saturating_sub(value(&self.ended_connections));
        family("connections", "gauge", "Connections of applications open.", &[(String::new(), open)]);
        let help = "Connections to services opened.";
        family("service_connections_total", "counter", help, &single(&self.service_connections));
        let looks = [
            ("{outcome=\"found\"}".to_owned(), value(&self.looks_found)),
            ("{outcome=\"failed\"}".to_owned(), value(&self.looks_failed)),
        ];
        family("credential_looks_total", "counter", "Looks through the chain of credentials.", &looks);
        let help = "When the credentials in use expire, in Unix seconds; 0 where they do not.";
        family("credentials_expiry_timestamp_seconds", "gauge", help, &single(&self.expiry));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_rendered() {
        let metrics = Metrics::default();
        metrics.answered(StatusCode::OK);
        metrics.answered(StatusCode::FORBIDDEN);
        metrics.failed(&Failure::Loop);
        metrics.connection_opened();
        let text = metrics.render();
        for line in [
            "trellis_sign_answers_total{code=\"2xx\"} 1",
            "trellis_sign_answers_total{code=\"4xx\"} 1",
            "trellis_sign_failures_total{reason=\"loop\"} 1",
            "trellis_sign_connections 1",
            "# TYPE trellis_sign_credentials_expiry_timestamp_seconds gauge",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
