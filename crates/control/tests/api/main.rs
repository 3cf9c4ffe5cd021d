//! The control plane from outside: signed requests in, answers and Snapshots out.

#[path = "../shared/client.rs"]
mod client;
#[path = "../shared/process.rs"]
mod process;

mod access_log_subscriptions;
mod accounts;
mod acm;
mod acm_requests;
mod acm_services;
mod auth_policies;
mod calls;
mod certificates;
mod concurrency;
mod decisions;
mod domain_verifications;
mod endpoint_associations;
mod idempotency;
mod installation;
mod ipv6;
mod listeners;
mod paging;
mod party;
mod quotas;
mod reachable_resources;
mod references;
mod resource_associations;
mod resource_configurations;
mod resource_gateways;
mod resource_policies;
mod resource_shares;
mod rules;
mod scale;
mod service_associations;
mod service_networks;
mod services;
mod sharing;
mod snapshots;
mod tags;
mod target_groups;
mod targets;
mod vpc_associations;
mod workflows;
