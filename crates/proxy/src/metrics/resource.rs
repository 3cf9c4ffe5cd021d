//! What is counted of connections to resources.

use std::sync::Arc;

use super::render::{Number, by_id, header, sums};
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
    let all = by_id(workers, |worker| &worker.resources);
    let numbers: [Number<ResourceCells>; 6] = [
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
    sums(out, "resource_configuration", &all, &numbers);
}
