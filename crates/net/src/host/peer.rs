//! Who is at the other end of a Unix socket, as far as hosts are concerned.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

use crate::process::pidfd_open;

/// Linux 6.5; not every libc crate knows it.
const SO_PEERPIDFD: libc::c_int = 77;

/// See [`super::is_peer_inside`].
pub(super) fn is_inside(socket: BorrowedFd<'_>) -> io::Result<bool> {
    let process = peer(socket)?;
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", process.as_raw_fd()))?;
    Ok(!is_of_our_own(&text))
}

/// Whether a process, by what is said of its descriptor, is in our own namespace of processes and in none below: each
/// host has one of its own. One that has ended is in none.
fn is_of_our_own(fdinfo: &str) -> bool {
    let numbers = fdinfo.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    let mut numbers = numbers.split_ascii_whitespace().map(|number| number.parse::<i32>().unwrap_or(0));
    numbers.next().is_some_and(|number| number > 0) && numbers.next().is_none()
}

/// The process that connected.
fn peer(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut descriptor: libc::c_int = -1;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel writes one number of the size it is told.
    let outcome = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PEERPIDFD,
            std::ptr::from_mut(&mut descriptor).cast(),
            &mut length,
        )
    };
    match Errno::result(outcome) {
        // SAFETY: the kernel has just made this descriptor for us; nobody else has it.
        Ok(_) => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        // An older kernel has the number alone, which may be another's by now.
        Err(Errno::ENOPROTOOPT) => {
            let peer = nix::sys::socket::getsockopt(&socket, nix::sys::socket::sockopt::PeerCredentials)?;
            pidfd_open(peer.pid() as u32)
        }
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_process_of_a_namespace_below_ours_is_told_from_our_own() {
        for (text, is_ours) in [
            ("Pid:\t7\nNSpid:\t7\n", true),
            ("Pid:\t7\nNSpid:\t7\t1\n", false),
            ("Pid:\t0\nNSpid:\t0\n", false),
            ("Pid:\t-1\nNSpid:\t-1\n", false),
            ("Pid:\t7\n", false),
        ] {
            assert_eq!(is_of_our_own(text), is_ours, "{text}");
        }
        let (one, _other) = UnixStream::pair().unwrap();
        assert!(!is_inside(one.as_fd()).unwrap());
    }
}
