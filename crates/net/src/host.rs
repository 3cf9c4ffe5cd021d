//! Hosts: the process that is one, and running something in it.
//!
//! A host is a process tree in namespaces of its own (user, network, mount, process, IPC, host
//! name) that sees the machine's programs, what it was given and its own files ([`sandbox`]); its users
//! are subordinate ones, its capabilities few and over its own namespaces, its system calls filtered, its
//! memory, processes, processors and open files limited. `docs/hosts.md` says it to users.

pub(crate) mod control;
mod enter;
mod init;
pub(crate) mod output;
mod peer;
pub(crate) mod sandbox;

use std::ffi::{OsStr, OsString};
use std::io;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::process::ExitCode;

use crate::NetError;
use crate::netlink::Netlink;
use crate::netlink::address::Address;

pub(crate) use enter::DEFAULT_PATH;
pub use enter::EnterError;

/// Whether something may be mounted there in a host: an absolute path that does not go up, and is none of the kernel's
/// own.
pub fn is_mount_target(path: &Path) -> bool {
    sandbox::is_target(path)
}

/// Whether the process that connected a Unix socket is one of a host's, or cannot be said to be none.
///
/// # Errors
/// The kernel does not say who it is.
pub fn is_peer_inside(socket: BorrowedFd<'_>) -> io::Result<bool> {
    peer::is_inside(socket)
}

/// What every command in a host finds in its environment, if nothing else is said.
pub fn base_environment() -> [(&'static str, &'static str); 3] {
    [("PATH", DEFAULT_PATH), ("HOME", sandbox::HOME), ("USER", "root")]
}

/// Gives the calling process's network one more address of its own, on its loopback. For privileged processes in a host,
/// whose network is theirs.
///
/// # Errors
/// What the kernel says; there may be the address already.
pub fn add_loopback_address(address: IpAddr) -> Result<(), NetError> {
    let action = "add an address to the loopback";
    let mut netlink = Netlink::open().map_err(NetError::system(action))?;
    let added = netlink
        .link_index("lo")
        .and_then(|link| netlink.add_address(&Address { link, network: address.into() }));
    added.map_err(|error| NetError::system(action)(error.source))
}

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

/// Runs `command` inside the host whose first process is `pid`, confined as that is, with this process's standard
/// streams and, where it exists there, working directory, and with `environment` alone. Signals sent to the calling
/// thread meanwhile go to the command, so it should be the process's only one. Returns the command's exit code,
/// 128 + signal when a signal ended it. Works from outside the user namespace the host lives in, for root and for the
/// user who started the instance.
///
/// # Errors
/// See [`EnterError`]; [`EnterError::exit_code`] is what to exit with.
pub fn enter<S: AsRef<OsStr>>(
    pid: u32,
    command: &[S],
    environment: &[(OsString, OsString)],
) -> Result<i32, EnterError> {
    enter::host(pid, &command.iter().map(AsRef::as_ref).collect::<Vec<_>>(), environment)
}

/// Runs `command` in the network namespace of a VPC's router, for a look at it: `namespace` is
/// [`crate::Fabric::vpc_netns_path`] as told by the instance, whose process is `pid`. The command is one of the
/// machine's and keeps this process's environment and files. Otherwise as [`enter`].
///
/// # Errors
/// As [`enter`].
pub fn enter_network<S: AsRef<OsStr>>(pid: u32, namespace: &Path, command: &[S]) -> Result<i32, EnterError> {
    enter::network(pid, namespace, &command.iter().map(AsRef::as_ref).collect::<Vec<_>>())
}
