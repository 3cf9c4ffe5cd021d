//! What a host's processes see of the machine and may take of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How a host is kept apart from the machine. As it is by default, a host sees the machine's programs and nothing else
/// of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sandbox {
    /// The machine's files and users are the host's.
    pub shares_filesystem: bool,
    /// Its root has every capability over the host's own namespaces, may make more of them, and no system call is
    /// refused: what a container runtime or a Kubernetes node needs.
    pub is_privileged: bool,
    pub mounts: Vec<Mount>,
    /// Variables its command finds, over the usual ones.
    pub environment: BTreeMap<String, String>,
    pub limits: Limits,
}

/// A file or directory of the machine that a host is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// On the machine, absolute.
    pub source: PathBuf,
    /// In the host, absolute.
    pub target: PathBuf,
    pub is_read_only: bool,
}

/// The most that a host may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// MiB of memory, its files in memory among them.
    pub memory_mib: u64,
    /// Processes and threads.
    pub processes: u32,
    /// Thousandths of a processor; [`None`]: an equal share of what nobody else wants.
    pub millicpus: Option<u32>,
    /// Open files of each process.
    pub open_files: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_mib: 2048, processes: 2048, millicpus: None, open_files: 65_536 }
    }
}
