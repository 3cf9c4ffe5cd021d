//! Kubernetes clusters: the keys and certificates of one, the command lines of its programs, the process that runs them
//! inside a host, and ways in and out of that host.
//!
//! This room knows neither AWS nor where hosts come from. A cluster is two kinds of hosts: one with the control plane
//! ([`control_plane`]), any number with pods ([`node`]). What runs in a host is a [`plan::Plan`] in a file, carried out
//! by [`runner::run`], a process of this same program; files and sockets in directories that the host is given are all
//! that is shared with it.

pub mod client;
pub mod control_plane;
pub mod dns;
mod files;
pub mod image;
mod kubeconfig;
pub mod node;
pub mod pki;
pub mod plan;
pub mod programs;
pub mod relay;
pub mod runner;

pub use client::{Client, ClientError};
pub use control_plane::ControlPlane;
pub use files::directory as private_directory;
pub use image::Images;
pub use node::Node;
pub use pki::{Authorities, PkiError};
pub use programs::{Missing, Programs};
