//! A user namespace of our own, for those who are not root.
//!
//! In it we are root over every namespace we make, and nobody over the rest of the machine: the
//! process keeps the machine's network namespace, so its API listens on the real loopback. Where the user has subordinate
//! ids (/etc/subuid, /etc/subgid) and newuidmap is installed, the users of hosts are those; else there is one.

use std::fs;
use std::io;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

use crate::NetError;

pub(crate) mod subordinate;

use subordinate::{Helper, Subordinates};

const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_ADMIN: u32 = 21;

/// Whose privileges this process works with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privileges {
    /// Those it was started with: it is root.
    Own,
    /// Those of root in a user namespace of its own.
    UserNamespace,
}

/// Enters a user and mount namespace where this process may make network namespaces, unless it may already.
/// To be called first thing in `main`: the kernel asks for a process of one thread.
///
/// # Errors
/// [`NetError::NotPermitted`] or [`NetError::LimitReached`] with what to change on this machine.
pub fn enter_if_needed() -> Result<Privileges, NetError> {
    if is_privileged().map_err(NetError::system("read /proc/self/status"))? {
        return Ok(Privileges::Own);
    }
    let (user, group) = (geteuid(), getegid());
    // They are mapped from outside, by who knows when there is something to map.
    let helper =
        Subordinates::find(user.as_raw(), group.as_raw()).and_then(|found| Helper::start(&found).ok());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS).map_err(|errno| refused(errno.into()))?;
    if !helper.is_some_and(Helper::has_mapped) {
        // Only one user can be mapped without help from the system: ourselves, who become root. The kernel wants
        // setgroups given up first, or a group could be shed that denies access.
        fs::write("/proc/self/setgroups", "deny").map_err(refused)?;
        fs::write("/proc/self/uid_map", format!("0 {user} 1")).map_err(refused)?;
        fs::write("/proc/self/gid_map", format!("0 {group} 1")).map_err(refused)?;
    }
    // Some systems grant the namespace and withhold what it is for.
    if !is_privileged().map_err(NetError::system("read /proc/self/status"))? {
        return Err(refused(io::ErrorKind::PermissionDenied.into()));
    }
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .map_err(|errno| refused(errno.into()))?;
    Ok(Privileges::UserNamespace)
}

/// Whether this process may make and configure network namespaces as it is.
fn is_privileged() -> io::Result<bool> {
    let status = fs::read_to_string("/proc/self/status")?;
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    let needed = (1 << CAP_NET_ADMIN) | (1 << CAP_SYS_ADMIN);
    Ok(effective & needed == needed)
}

/// The switch that is off, as far as it can be found.
fn refused(source: io::Error) -> NetError {
    let value = |name: &str| {
        fs::read_to_string(format!("/proc/sys/{}", name.replace('.', "/"))).map(|text| text.trim().to_owned())
    };
    if source.raw_os_error() == Some(libc::ENOSPC) {
        let sysctl = "user.max_user_namespaces";
        return NetError::LimitReached { sysctl, value: value(sysctl).unwrap_or_default() };
    }
    let switches = [
        ("kernel.unprivileged_userns_clone", "0", "1"),
        ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
    ];
    let advice =
        switches.into_iter().find(|(name, off, _)| value(name).is_ok_and(|value| value == *off)).map_or_else(
            || format!("run as root, or where unprivileged user namespaces are allowed ({source})"),
            |(name, _, on)| format!("run as root, or allow it to everyone with: sysctl -w {name}={on}"),
        );
    NetError::NotPermitted { advice }
}
