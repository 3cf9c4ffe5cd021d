//! Counters of the resolver, and their Prometheus text.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// One number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) udp_queries: Counter,
    pub(crate) tcp_queries: Counter,
    pub(crate) answered: Counter,
    pub(crate) forwarded: Counter,
    /// Of the forwarded, those whose reply had an alias that led to a name of ours.
    pub(crate) aliased: Counter,
    pub(crate) dropped: Counter,
    /// Forwarded, and no resolver gave an answer: SERVFAIL.
    pub(crate) upstream_failures: Counter,
    /// Not forwarded because as many queries as allowed were waiting already: SERVFAIL.
    pub(crate) overloaded: Counter,
    /// A query of our own that came back to us: SERVFAIL.
    pub(crate) loops: Counter,
    pub(crate) truncated: Counter,
    /// Faults of our own that a query met, each survived.
    pub(crate) panics: Counter,
    pub(crate) tcp_connections: Counter,
}

impl Metrics {
    pub(crate) fn render(&self) -> String {
        let mut text = String::with_capacity(1024);
        let mut family = |name: &str, help: &str, samples: &[(&str, &Counter)]| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
            for (labels, counter) in samples {
                let _ = writeln!(text, "{name}{labels} {}", counter.value());
            }
        };
        family(
            "trellis_dns_queries_total",
            "Queries received from hosts of VPCs.",
            &[("{transport=\"udp\"}", &self.udp_queries), ("{transport=\"tcp\"}", &self.tcp_queries)],
        );
        family(
            "trellis_dns_outcomes_total",
            "What became of them.",
            &[
                ("{outcome=\"answered\"}", &self.answered),
                ("{outcome=\"forwarded\"}", &self.forwarded),
                ("{outcome=\"dropped\"}", &self.dropped),
                ("{outcome=\"overloaded\"}", &self.overloaded),
                ("{outcome=\"loop\"}", &self.loops),
            ],
        );
        let plain = |counter| [("", counter)];
        family(
            "trellis_dns_upstream_failures_total",
            "Forwarded queries that no resolver of the machine answered.",
            &plain(&self.upstream_failures),
        );
        family(
            "trellis_dns_aliased_total",
            "Forwarded queries whose reply had a CNAME that led to a name of Trellis's own.",
            &plain(&self.aliased),
        );
        family(
            "trellis_dns_truncated_total",
            "UDP replies cut to the client's limit.",
            &plain(&self.truncated),
        );
        family(
            "trellis_dns_panics_total",
            "Queries that met a fault of the resolver itself, which went on.",
            &plain(&self.panics),
        );
        family(
            "trellis_dns_tcp_connections_total",
            "TCP connections accepted.",
            &plain(&self.tcp_connections),
        );
        text
    }
}
