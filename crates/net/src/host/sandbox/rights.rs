//! What a host's processes may do at most: capabilities, privileges to be gained, resources.

use std::io;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use trellis_model::resource::vpc::Limits;

/// Capabilities over the host's own files, processes and ports, by number: those that a service needs to open its
/// port and to become another user, and raw sockets for ping and tcpdump. None of them reaches past the host's user
/// namespace, and none lets it mount, make network links or trace.
pub(crate) const KEPT: u64 = bit(0) // CAP_CHOWN
    | bit(1) // CAP_DAC_OVERRIDE
    | bit(3) // CAP_FOWNER
    | bit(4) // CAP_FSETID
    | bit(5) // CAP_KILL
    | bit(6) // CAP_SETGID
    | bit(7) // CAP_SETUID
    | bit(8) // CAP_SETPCAP
    | bit(10) // CAP_NET_BIND_SERVICE
    | bit(13) // CAP_NET_RAW
    | bit(18); // CAP_SYS_CHROOT

const fn bit(capability: u32) -> u64 {
    1 << capability
}

/// The highest capability there may ever be.
const LAST: u32 = 63;

/// `_LINUX_CAPABILITY_VERSION_3`.
const VERSION: u32 = 0x2008_0522;

/// Gives up every capability that is not in `kept`, for this process and all it starts. Allocates nothing.
pub(crate) fn keep_capabilities(kept: u64) -> io::Result<()> {
    for capability in 0..=LAST {
        if kept & bit(capability) == 0 {
            // SAFETY: numbers only.
            let outcome = unsafe {
                libc::prctl(libc::PR_CAPBSET_DROP, capability as libc::c_ulong, 0_usize, 0_usize, 0_usize)
            };
            match Errno::result(outcome) {
                // The kernel knows no more than those before.
                Err(Errno::EINVAL) => break,
                outcome => outcome.map(drop)?,
            }
        }
    }
    // SAFETY: numbers only.
    let outcome = unsafe {
        libc::prctl(
            libc::PR_CAP_AMBIENT,
            libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong,
            0_usize,
            0_usize,
            0_usize,
        )
    };
    Errno::result(outcome)?;
    let header = [VERSION, 0];
    let mut sets = [0_u32; 6];
    // SAFETY: a header of two numbers and two sets of three, both alive.
    Errno::result(unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr()) })?;
    for (half, kept) in [(0, kept as u32), (1, (kept >> 32) as u32)] {
        // Effective, permitted; nothing is inheritable.
        sets[3 * half] &= kept;
        sets[3 * half + 1] &= kept;
        sets[3 * half + 2] = 0;
    }
    // SAFETY: as above.
    Errno::result(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) })?;
    Ok(())
}

/// From here on no program that is started gains rights by its set-user-id bit or its file capabilities.
pub(crate) fn gain_none() -> io::Result<()> {
    // SAFETY: numbers only.
    let outcome = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1_usize, 0_usize, 0_usize, 0_usize) };
    Ok(Errno::result(outcome).map(drop)?)
}

/// This process is nobody's to trace or to look into but the kernel's, until it executes another program.
pub(crate) fn be_opaque() -> io::Result<()> {
    // SAFETY: numbers only.
    let outcome = unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0_usize, 0_usize, 0_usize, 0_usize) };
    Ok(Errno::result(outcome).map(drop)?)
}

/// Limits of each process, which hold with and without a cgroup. Where there is no cgroup for memory
/// (`memory_by_process`) each process has the host's memory as its limit.
pub(crate) fn limit(limits: &Limits, memory_by_process: bool) -> io::Result<()> {
    let lower = |resource, value: u64| -> io::Result<()> {
        let (_, hard) = getrlimit(resource)?;
        let value = value.min(hard);
        Ok(setrlimit(resource, value, value)?)
    };
    lower(Resource::RLIMIT_NOFILE, limits.open_files.into())?;
    lower(Resource::RLIMIT_NPROC, limits.processes.into())?;
    // A machine may hand cores to a program of its own.
    lower(Resource::RLIMIT_CORE, 0)?;
    if memory_by_process {
        lower(Resource::RLIMIT_DATA, limits.memory_mib << 20)?;
    }
    Ok(())
}
