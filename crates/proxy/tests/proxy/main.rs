//! The proxy over loopback, with hand-written clients and targets that speak raw TCP.

mod bodies;
mod changes;
mod failures;
mod forwarding;
mod health;
mod records;
mod support;
