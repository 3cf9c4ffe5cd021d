//! What is counted of connections to resources.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use super::render::{header, series};
use super::{Cell, WorkerCells};

/// What one worker knows of one resource.
#[derive(Debug, Default)]
pub(crate) struct ResourceCells {
    pub(crate) connections: Cell,
    pub(crate) open: Cell,
    pub(crate) errors: Cell,
    pub(crate) timeouts: Cell,
    /// Bytes from clients.
    pub(crate) received: Cell,
    /// Bytes to clients.
    pub(crate) sent: Cell,
}

pub(super) fn render(out: &mut String, workers: &[Arc<WorkerCells>]) {
    let name = "trellis_resource_refusals_total";
    header(out, name, "counter", "Connections to what was no resource any more.");
    let refusals: u64 = workers.iter().map(|worker| worker.resource_refusals.value()).sum();
    out.push_str(&format!("{name} {refusals}\n"));
    let mut all: BTreeMap<String, Vec<Arc<ResourceCells>>> = BTreeMap::new();
    for worker in workers {
        for (id, cells) in &*worker.resources.lock().unwrap_or_else(PoisonError::into_inner) {
            all.entry(id.to_string()).or_default().push(cells.clone());
        }
    }
    type Part = (&'static str, &'static str, &'static str, fn(&ResourceCells) -> &Cell);
    let numbers: [Part; 6] = [
        ("trellis_resource_connections_total", "counter", "Connections to resources accepted.", |cells| {
            &cells.connections
        }),
        ("trellis_resource_connections_open", "gauge", "Connections to resources open now.", |cells| {
            &cells.open
        }),
        (
            "trellis_resource_connection_errors_total",
            "counter",
            "Resources that could not be reached.",
            |cells| &cells.errors,
        ),
        ("trellis_resource_connection_timeouts_total", "counter", "Connects that took too long.", |cells| {
            &cells.timeouts
        }),
        ("trellis_resource_received_bytes_total", "counter", "Bytes from clients to resources.", |cells| {
            &cells.received
        }),
        ("trellis_resource_sent_bytes_total", "counter", "Bytes from resources to clients.", |cells| {
            &cells.sent
        }),
    ];
    for (name, kind, help, cell) in numbers {
        header(out, name, kind, help);
        for (id, parts) in &all {
            let value = parts.iter().map(|part| cell(part).value()).sum::<u64>();
            series(out, name, &[("resource_configuration", id)], format_args!("{value}"));
        }
    }
}
