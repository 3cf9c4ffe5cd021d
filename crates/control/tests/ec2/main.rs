//! EC2, STS and the tagging API from outside: signed requests in, answers and plans out.

#[path = "../shared/client.rs"]
mod client;
#[path = "../shared/process.rs"]
mod process;

mod addresses;
mod around;
mod fabric;
mod hosts;
mod installation;
mod ipv6;
mod regions;
mod security_groups;
mod subnets;
mod tagging;
mod tags;
mod vpcs;
mod xml;
