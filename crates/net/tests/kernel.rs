//! The fabric against a real kernel: real namespaces, links, rules and packets.
//!
//! Runs as root, and as an ordinary user in a user namespace (which is what one of the tests
//! checks). A machine where it cannot run fails it.

// The programs run inside hosts speak to the test through their output.
#![allow(unsafe_code, clippy::print_stdout)]

#[path = "kernel/entry.rs"]
mod entry;
#[path = "kernel/exec.rs"]
mod exec;
#[path = "kernel/hosts.rs"]
mod hosts;
#[path = "kernel/ipv6.rs"]
mod ipv6;
#[path = "kernel/isolation.rs"]
mod isolation;
#[path = "kernel/lifetime.rs"]
mod lifetime;
#[path = "kernel/machine.rs"]
mod machine;
#[path = "kernel/plan.rs"]
mod plan;
#[path = "kernel/proxying.rs"]
mod proxying;
#[path = "kernel/resources.rs"]
mod resources;
#[path = "kernel/security_groups.rs"]
mod security_groups;
#[path = "kernel/unprivileged.rs"]
mod unprivileged;
