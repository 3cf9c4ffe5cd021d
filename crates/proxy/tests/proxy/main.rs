//! The proxy over loopback, with hand-written clients and targets that speak raw TCP.

mod acknowledging;
mod bodies;
mod budget;
mod callers;
mod changes;
mod conformance;
mod departures;
mod failures;
mod forwarding;
mod health;
mod http2;
mod passthrough;
mod records;
mod resources;
mod restart;
mod secure;
mod support;
mod tls;
mod tls_hostile;
mod tls_targets;
