//! Hosts: the process that is one, and running something in it.
//!
//! A host is a process tree in namespaces of its own (user, network, mount, process, IPC, host
//! name). Its user namespace keeps the machine's user ids, so files belong to whom they belong to
//! outside, but none of its powers: whoever is root in a host rules the host's own network, not
//! the router's nor the machine's. A host isolates the network; it is no sandbox for programs.

pub(crate) mod control;
mod enter;
mod init;
pub(crate) mod output;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

pub use enter::EnterError;

/// The first argument of a process that is to become a host.
pub const INIT_ARGUMENT: &str = "host-init";

/// The life of a host's first process; `arguments` are those after [`INIT_ARGUMENT`] and only tell a reader of
/// `ps` which host it is. To be called before the process has a second thread. Never returns.
pub fn init_main(arguments: impl IntoIterator<Item = OsString>) -> ! {
    init::main(arguments)
}

/// [`init_main`] when this process was started to become a host, nothing otherwise. First thing in `main`.
pub fn init_if_asked() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == INIT_ARGUMENT) {
        init_main(arguments)
    }
    None
}

/// Runs `command` inside the host whose first process is `pid`, with this process's standard streams, environment
/// and, where it exists there, working directory. Signals sent to the calling thread meanwhile go to the command, so
/// it should be the process's only one. Returns the command's exit code, 128 + signal when a signal ended it. Works from outside the user namespace the host lives in, for
/// root and for the user who started the instance.
///
/// # Errors
/// See [`EnterError`]; [`EnterError::exit_code`] is what to exit with.
pub fn enter<S: AsRef<OsStr>>(pid: u32, command: &[S]) -> Result<i32, EnterError> {
    enter::host(pid, &command.iter().map(AsRef::as_ref).collect::<Vec<_>>())
}

/// Runs `command` in the network namespace of a VPC's router, for a look at it: `namespace` is
/// [`crate::Fabric::vpc_netns_path`] as told by the instance, whose process is `pid`. Otherwise as [`enter`].
///
/// # Errors
/// As [`enter`].
pub fn enter_network<S: AsRef<OsStr>>(pid: u32, namespace: &Path, command: &[S]) -> Result<i32, EnterError> {
    enter::network(pid, namespace, &command.iter().map(AsRef::as_ref).collect::<Vec<_>>())
}
