//! Answers DNS inside VPCs: a pure [`answer`] and the UDP/TCP [`Server`] around it.
//!
//! Each VPC has a resolver on 169.254.169.253 and on the base of its range plus two. A generated
//! service name resolves only in VPCs associated with a service network that has the service, to
//! the link-local address services share; a generated resource name, and the resource's private DNS
//! name where the VPC has it, to an address of the resource's own. Generated names are never asked
//! of anybody else. The private DNS names of a VPC's hosts resolve in that VPC, both ways. Names of the
//! hosted zones associated with the VPC are answered from those alone. Every other name goes to the machine's own resolvers; where an alias in their reply leads to a name of ours, the
//! rest of the answer is ours. There is no cache: the resolvers behind us have one.
//!
//! [`Server::serve_public`] is another thing: the authority for public hosted zones, which looks nothing up.
//!
//! [`Server::resolve`] tells the data plane where a name leads that hosts of a VPC could ask for;
//! [`Client`] looks up TXT records for the control plane.

mod alias;
mod answer;
mod client;
#[cfg(debug_assertions)]
pub mod fault;
mod metrics;
mod resolv_conf;
mod server;
mod upstream;
pub mod wire;

pub use alias::Chain;
pub use answer::{Answer, NEGATIVE_TTL, SERVICE_TTL, View, answer, answer_public};
pub use client::{Client, Resolved};
pub use server::{Bind, PORT, Server, ServerError, ServerOptions, resolver_addresses};
pub use upstream::Upstreams;
