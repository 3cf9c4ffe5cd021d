//! The Prometheus text of everything counted.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashMap;
use trellis_model::health::TargetStatus;

use super::{BOUNDS, Cell, Failure, GroupCells, Histogram, Metrics, Outcome, ServiceCells, WorkerCells};

const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

pub(super) fn render(metrics: &Metrics) -> String {
    let mut out = String::with_capacity(64 * 1024);
    let workers = &*metrics.workers;
    let sum =
        |cell: fn(&WorkerCells) -> &Cell| workers.iter().map(|worker| cell(worker).value()).sum::<u64>();
    let plain = |out: &mut String, name: &str, kind: &str, help: &str, value: u64| {
        header(out, name, kind, help);
        let _ = writeln!(out, "{name} {value}");
    };

    plain(&mut out, "trellis_proxy_workers", "gauge", "Worker threads.", workers.len() as u64);
    plain(
        &mut out,
        "trellis_proxy_snapshot_revision",
        "gauge",
        "Highest configuration revision every worker acts on.",
        *metrics.applied.borrow(),
    );
    plain(
        &mut out,
        "trellis_proxy_connections_total",
        "counter",
        "Client connections accepted.",
        sum(|worker| &worker.connections),
    );
    plain(
        &mut out,
        "trellis_proxy_connections_open",
        "gauge",
        "Client connections open now.",
        sum(|worker| &worker.connections_open),
    );
    plain(
        &mut out,
        "trellis_proxy_accept_errors_total",
        "counter",
        "Failed accepts.",
        sum(|worker| &worker.accept_errors),
    );
    plain(
        &mut out,
        "trellis_proxy_connections_refused_total",
        "counter",
        "Connections refused because their client or VPC holds too many.",
        sum(|worker| &worker.connections_refused),
    );
    plain(
        &mut out,
        "trellis_proxy_listen_errors_total",
        "counter",
        "Listening sockets that could not be opened.",
        sum(|worker| &worker.listen_errors),
    );
    plain(
        &mut out,
        "trellis_proxy_restarts_total",
        "counter",
        "Threads of the data plane that panicked and were started again.",
        metrics.restarts.load(std::sync::atomic::Ordering::Relaxed),
    );
    let name = "trellis_tls_handshakes_total";
    header(&mut out, name, "counter", "TLS handshakes of clients, by outcome.");
    for outcome in Outcome::ALL {
        let count = workers.iter().map(|worker| worker.handshakes[outcome as usize].value()).sum();
        nonzero(&mut out, name, &[("outcome", outcome.as_str())], count);
    }
    let (lines, dropped, errors) = metrics.log.as_ref().map_or((0, 0, 0), |log| log.counts());
    plain(&mut out, "trellis_access_log_lines_total", "counter", "Access-log lines written.", lines);
    plain(
        &mut out,
        "trellis_access_log_dropped_total",
        "counter",
        "Access-log lines dropped because the disk did not keep up.",
        dropped,
    );
    plain(&mut out, "trellis_access_log_errors_total", "counter", "Failed writes of the access log.", errors);

    header(&mut out, "trellis_unrouted_requests_total", "counter", "Requests no service was found for.");
    for (class, name) in CLASSES.iter().enumerate() {
        let count = workers.iter().map(|worker| worker.unrouted.values()[class]).sum();
        nonzero(&mut out, "trellis_unrouted_requests_total", &[("code", name)], count);
    }
    header(&mut out, "trellis_unrouted_failures_total", "counter", "Failures before a service was found.");
    for reason in Failure::ALL {
        let count = workers.iter().map(|worker| worker.unrouted_failures[reason as usize].value()).sum();
        nonzero(&mut out, "trellis_unrouted_failures_total", &[("reason", reason.as_str())], count);
    }
    services(&mut out, workers);
    groups(&mut out, workers);
    targets(&mut out, metrics);
    super::resource::render(&mut out, workers);
    out
}

pub(super) fn header(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// One series, unless it has never counted anything. Labels are ids and constants: none needs escaping.
fn nonzero(out: &mut String, name: &str, labels: &[(&str, &str)], value: u64) {
    if value > 0 {
        series(out, name, labels, format_args!("{value}"));
    }
}

pub(super) fn series(out: &mut String, name: &str, labels: &[(&str, &str)], value: std::fmt::Arguments<'_>) {
    out.push_str(name);
    for (index, (label, text)) in labels.iter().enumerate() {
        let open = if index == 0 { '{' } else { ',' };
        let _ = write!(out, "{open}{label}=\"{text}\"");
    }
    let _ = writeln!(out, "}} {value}");
}

/// What the workers know of each thing, by the id of the thing.
pub(super) type ById<T> = BTreeMap<String, Vec<Arc<T>>>;

pub(super) fn by_id<I: Display, T>(
    workers: &[Arc<WorkerCells>],
    of: impl Fn(&WorkerCells) -> &Mutex<FxHashMap<I, Arc<T>>>,
) -> ById<T> {
    let mut all = ById::new();
    for worker in workers {
        for (id, cells) in &*of(worker).lock().unwrap_or_else(PoisonError::into_inner) {
            all.entry(id.to_string()).or_default().push(cells.clone());
        }
    }
    all
}

/// Name, kind and help of a number, and where it is counted.
pub(super) type Number<T> = (&'static str, &'static str, &'static str, fn(&T) -> &Cell);

/// Each of `numbers` for each thing, summed over the workers.
pub(super) fn sums<T>(out: &mut String, label: &str, all: &ById<T>, numbers: &[Number<T>]) {
    for (name, kind, help, cell) in numbers {
        header(out, name, kind, help);
        for (id, parts) in all {
            let value = parts.iter().map(|part| cell(part).value()).sum::<u64>();
            series(out, name, &[(label, id)], format_args!("{value}"));
        }
    }
}

fn histogram<'a>(
    out: &mut String,
    name: &str,
    label: (&str, &str),
    parts: impl Iterator<Item = &'a Histogram> + Clone,
) {
    let mut count = 0u64;
    for index in 0..=BOUNDS.len() {
        count += parts.clone().map(|part| part.buckets[index].value()).sum::<u64>();
        let bound = BOUNDS.get(index).map_or("+Inf".to_owned(), |micros| (*micros as f64 / 1e6).to_string());
        series(out, &format!("{name}_bucket"), &[label, ("le", &bound)], format_args!("{count}"));
    }
    let micros = parts.map(|part| part.micros.value()).sum::<u64>();
    series(out, &format!("{name}_sum"), &[label], format_args!("{}", micros as f64 / 1e6));
    series(out, &format!("{name}_count"), &[label], format_args!("{count}"));
}

fn services(out: &mut String, workers: &[Arc<WorkerCells>]) {
    let all = by_id(workers, |worker| &worker.services);
    header(out, "trellis_service_requests_total", "counter", "Requests by class of the answer.");
    for (id, parts) in &all {
        for (class, name) in CLASSES.iter().enumerate() {
            let count = parts.iter().map(|part| part.responses.values()[class]).sum();
            nonzero(out, "trellis_service_requests_total", &[("service", id), ("code", name)], count);
        }
    }
    header(out, "trellis_service_failures_total", "counter", "Requests that failed, by reason.");
    for (id, parts) in &all {
        for reason in Failure::ALL {
            let count = parts.iter().map(|part| part.failures[reason as usize].value()).sum();
            let labels = [("service", id.as_str()), ("reason", reason.as_str())];
            nonzero(out, "trellis_service_failures_total", &labels, count);
        }
    }
    let numbers: [Number<ServiceCells>; 3] = [
        ("trellis_service_received_bytes_total", "counter", "Bytes of requests, heads included.", |cells| {
            &cells.received
        }),
        ("trellis_service_sent_bytes_total", "counter", "Bytes of responses, heads included.", |cells| {
            &cells.sent
        }),
        ("trellis_service_active_requests", "gauge", "Requests being served.", |cells| &cells.active),
    ];
    sums(out, "service", &all, &numbers);
    let name = "trellis_service_request_duration_seconds";
    header(out, name, "histogram", "First byte of the request to last byte of the response.");
    for (id, parts) in &all {
        histogram(out, name, ("service", id), parts.iter().map(|part| &part.duration));
    }
}

fn groups(out: &mut String, workers: &[Arc<WorkerCells>]) {
    let all = by_id(workers, |worker| &worker.groups);
    header(out, "trellis_target_group_requests_total", "counter", "Requests by class of the answer.");
    for (id, parts) in &all {
        for (class, name) in CLASSES.iter().enumerate() {
            let count = parts.iter().map(|part| part.responses.values()[class]).sum();
            nonzero(
                out,
                "trellis_target_group_requests_total",
                &[("target_group", id), ("code", name)],
                count,
            );
        }
    }
    let numbers: [Number<GroupCells>; 8] = [
        ("trellis_target_group_active_requests", "gauge", "Requests being served.", |cells| &cells.active),
        ("trellis_target_group_connections_total", "counter", "Connections opened to targets.", |cells| {
            &cells.connections
        }),
        ("trellis_target_group_connections_open", "gauge", "Connections to targets open now.", |cells| {
            &cells.connections_open
        }),
        ("trellis_target_group_connection_errors_total", "counter", "Failed connects to targets.", |cells| {
            &cells.connection_errors
        }),
        (
            "trellis_target_group_connection_timeouts_total",
            "counter",
            "Connects that took too long.",
            |cells| &cells.connection_timeouts,
        ),
        (
            "trellis_target_group_tls_handshakes_total",
            "counter",
            "TLS handshakes with targets that succeeded.",
            |cells| &cells.handshakes,
        ),
        (
            "trellis_target_group_tls_errors_total",
            "counter",
            "TLS handshakes with targets that failed.",
            |cells| &cells.handshake_errors,
        ),
        ("trellis_target_group_retries_total", "counter", "Requests sent again to a target.", |cells| {
            &cells.retries
        }),
    ];
    sums(out, "target_group", &all, &numbers);
    let name = "trellis_target_group_request_duration_seconds";
    header(out, name, "histogram", "First byte of the request to last byte of the response.");
    for (id, parts) in &all {
        histogram(out, name, ("target_group", id), parts.iter().map(|part| &part.duration));
    }
}

fn targets(out: &mut String, metrics: &Metrics) {
    header(out, "trellis_health_probes_total", "counter", "Health probes by outcome.");
    for (outcome, cell) in [("passed", &metrics.probes.passed), ("failed", &metrics.probes.failed)] {
        series(out, "trellis_health_probes_total", &[("outcome", outcome)], format_args!("{}", cell.value()));
    }
    let name = "trellis_target_group_targets";
    header(out, name, "gauge", "Targets by health status.");
    let snapshot = metrics.snapshots.borrow().clone();
    let mut groups: Vec<_> = snapshot.target_groups.values().collect();
    groups.sort_by(|a, b| a.id.cmp(&b.id));
    for group in groups {
        let statuses = [
            TargetStatus::Initial,
            TargetStatus::Healthy,
            TargetStatus::Unhealthy,
            TargetStatus::Unused,
            TargetStatus::Unavailable,
            TargetStatus::Draining,
        ];
        for status in statuses {
            let count = group.targets.iter().filter(|target| target.health.status() == status).count();
            let labels = [("target_group", group.id.as_str()), ("status", status.as_str())];
            nonzero(out, name, &labels, count as u64);
        }
    }
}
