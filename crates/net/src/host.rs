//! Hosts: the process that is one, and how to run something in it.
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// The first argument of a process that is to become a host: call [`init_main`] with the rest.
pub const INIT_ARGUMENT: &str = "host-init";

/// The life of a host's first process. `arguments` are those after [`INIT_ARGUMENT`].
/// To be called before any thread is made; never returns.
pub fn init_main(arguments: impl IntoIterator<Item = OsString>) -> ! {
    let _ = arguments;
    std::process::exit(1)
}

/// Why a command was not run in a host or VPC.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    #[error("no process {pid}: the host has ended")]
    Gone { pid: u32 },
    #[error("not permitted to enter: {advice}")]
    NotPermitted { advice: String },
    #[error("no such command: {command}")]
    NoSuchCommand { command: String },
    #[error("cannot execute {command}: {source}")]
    NotExecutable { command: String, source: std::io::Error },
    #[error("{action}: {source}")]
    System { action: &'static str, source: std::io::Error },
}

impl EnterError {
    /// What a shell would exit with: 127 no such command, 126 not executable, 125 anything else.
    pub fn exit_code(&self) -> i32 {
        match self {
            EnterError::NoSuchCommand { .. } => 127,
            EnterError::NotExecutable { .. } => 126,
            _ => 125,
        }
    }
}

/// Runs `command` inside the host whose init is `pid`, with this process's stdin, stdout, stderr, environment
/// and working directory; returns its exit code (128 + signal when a signal ended it).
pub fn enter<S: AsRef<OsStr>>(pid: u32, command: &[S]) -> Result<i32, EnterError> {
    let _ = (pid, command);
    Err(EnterError::Gone { pid })
}

/// Runs `command` in a VPC's router namespace (see [`crate::Fabric::vpc_netns_path`]); otherwise as [`enter`].
pub fn enter_vpc<S: AsRef<OsStr>>(netns: &Path, command: &[S]) -> Result<i32, EnterError> {
    let _ = (netns, command);
    Err(EnterError::Gone { pid: 0 })
}
