//! The control plane from outside: signed requests in, answers and Snapshots out.

mod access_log_subscriptions;
mod auth_policies;
mod calls;
mod concurrency;
mod domain_verifications;
mod endpoint_associations;
mod idempotency;
mod installation;
mod listeners;
mod paging;
mod quotas;
mod resource_associations;
mod resource_configurations;
mod resource_gateways;
mod resource_policies;
mod rules;
mod scale;
mod service_associations;
mod service_networks;
mod services;
mod snapshots;
mod tags;
mod target_groups;
mod targets;
mod vpc_associations;
mod workflows;
