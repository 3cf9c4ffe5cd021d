//! What is to run in a host: written by who makes the host, read by [`crate::runner`] inside it.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::files;

/// Programs, and what has to be there for them. Paths are those of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Made before anything starts.
    pub directories: Vec<PathBuf>,
    /// Addresses of the host's own beside the one it has.
    pub addresses: Vec<IpAddr>,
    /// Settings of the host's own network, below `/proc/sys`.
    pub settings: Vec<(String, String)>,
    pub relays: Vec<Relay>,
    pub registry: Option<Registry>,
    pub programs: Vec<Program>,
}

/// A program that is to run as long as the host does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// What its lines in the log begin with.
    pub name: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// It is started once all of these take connections.
    pub after: Vec<Endpoint>,
}

impl Program {
    /// A program of that name, without arguments that are shared by all of them.
    pub fn new(name: &str, arguments: impl IntoIterator<Item = String>) -> Self {
        Self {
            name: name.to_owned(),
            command: std::iter::once(name.to_owned()).chain(arguments).collect(),
            after: Vec::new(),
        }
    }

    #[must_use]
    pub fn after(mut self, endpoint: Endpoint) -> Self {
        self.after.push(endpoint);
        self
    }
}

/// Connections to `listen` go on to `connect`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relay {
    pub listen: Endpoint,
    pub connect: Endpoint,
}

/// A read-only registry of the images in a directory: see [`crate::image`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registry {
    pub listen: Endpoint,
    pub images: PathBuf,
}

/// `tcp:ADDRESS:PORT` or `unix:PATH`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Endpoint {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Endpoint {
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::Unix(path.into())
    }

    /// A port of the host's loopback.
    pub fn local(port: u16) -> Self {
        Self::Tcp(SocketAddr::from(([127, 0, 0, 1], port)))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.to_string()
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::unix(path));
        }
        let address = text.strip_prefix("tcp:").and_then(|address| address.parse().ok());
        address.map(Self::Tcp).ok_or_else(|| format!("{text:?} is neither tcp:ADDRESS:PORT nor unix:PATH"))
    }
}

impl TryFrom<String> for Endpoint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl Plan {
    /// Puts the plan where the host will find it.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        files::write(path, &serde_json::to_vec_pretty(self)?)
    }

    /// # Errors
    /// A file that is not there, or holds something else.
    pub fn read(path: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&std::fs::read(path)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_reads_back_as_it_was_written() {
        let plan = Plan {
            relays: vec![Relay { listen: Endpoint::local(443), connect: Endpoint::unix("/run/x.sock") }],
            programs: vec![Program::new("etcd", ["--data-dir".to_owned()]).after(Endpoint::local(1))],
            ..Plan::default()
        };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("plan.json");
        plan.write(&path).unwrap();
        assert_eq!(Plan::read(&path).unwrap(), plan);
        for wrong in ["tcp:1.2.3.4", "/run/x", "udp:127.0.0.1:1"] {
            assert!(wrong.parse::<Endpoint>().is_err(), "{wrong}");
        }
    }
}
