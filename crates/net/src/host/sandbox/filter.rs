//! The system calls that a host's processes are refused, as a seccomp filter written out by hand.
//!
//! It is a list of what is denied, in the manner of container runtimes: whatever reaches past a process's own
//! namespaces, or into parts of the kernel that few programs need and many attacks begin with. What is not on it the
//! kernel judges as ever. A refused call fails with EPERM, so that programs that can do without go on.

use std::io;

use libc::{c_long, sock_filter};
use nix::errno::Errno;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// Refused whatever the arguments.
const REFUSED: &[c_long] = &[
    // File systems and what they are seen through.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    // Files by number instead of by name, which asks no directory.
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    // Namespaces: more of the kernel is open to who is root in one.
    libc::SYS_unshare,
    libc::SYS_setns,
    // Keys belong to users, not to namespaces.
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    // Code and instruments in the kernel.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_kexec_file_load,
    // The machine's clock, log, accounts and power.
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_settimeofday,
    libc::SYS_adjtimex,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_reboot,
    libc::SYS_vhangup,
    // Memory of other processes. ptrace(2) is there for a debugger: it asks for the same user, in the host.
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_sysfs,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ustat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
];

/// Answered as by a kernel that has no such call: their arguments are in memory, where a filter cannot look, and
/// libraries then use the older call.
const ABSENT: &[c_long] = &[libc::SYS_clone3, libc::SYS_openat2];

/// Refused where an argument has one of these bits: the number of the argument, and the bits.
const REFUSED_BITS: &[(c_long, u32, u32)] = &[
    (libc::SYS_clone, 0, NAMESPACES),
    // A program on a writable --mount that gives whoever runs it, on the machine, the rights of its owner.
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_chmod, 1, SET_ID),
    (libc::SYS_fchmod, 1, SET_ID),
    (libc::SYS_fchmodat, 2, SET_ID),
    (FCHMODAT2, 2, SET_ID),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_creat, 1, SET_ID),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_mknod, 1, SET_ID),
    (libc::SYS_mknodat, 2, SET_ID),
];

/// The same of calls whose mode means something only when their flags, the argument before it, say that they make a
/// file: the number of the flags.
const MAKING: &[(c_long, u32)] = &[
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_open, 1),
    (libc::SYS_openat, 2),
];

/// O_CREAT, and what tells O_TMPFILE.
const MAKES: u32 = (libc::O_CREAT | (libc::O_TMPFILE & !libc::O_DIRECTORY)) as u32;

/// fchmodat2(2) has one number everywhere; not every libc crate knows it.
const FCHMODAT2: c_long = 452;

const NAMESPACES: u32 = (libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWCGROUP) as u32;

const SET_ID: u32 = libc::S_ISUID | libc::S_ISGID;

/// Kinds of sockets there are. Others lead past the network namespace (AF_VSOCK, to whoever runs this machine) or into
/// seldom used parts of the kernel.
const FAMILIES: &[u32] = &[
    libc::AF_UNIX as u32,
    libc::AF_INET as u32,
    libc::AF_INET6 as u32,
    libc::AF_NETLINK as u32,
    libc::AF_PACKET as u32,
];

/// What puts words into a terminal as if they had been typed: the one on which `trellis exec` was.
const TYPING: &[u32] = &[libc::TIOCSTI as u32, 0x541c /* TIOCLINUX */];

/// Ways to run as in other systems that leave protections on.
const PERSONALITIES: &[u32] = &[0, 0x0008, 0x0002_0000, 0x0002_0008, u32::MAX];

// Offsets in `seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const fn argument(number: u32) -> u32 {
    // The low half; every machine this is built for keeps it first.
    16 + 8 * number
}

const REFUSE: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
const NO_SUCH_CALL: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
const NO_SUCH_FAMILY: u32 = libc::SECCOMP_RET_ERRNO | libc::EAFNOSUPPORT as u32;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const IF_NOT_LESS: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const IF_SET: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// The filter, ready to be installed by a process that may not allocate.
#[derive(Debug)]
pub(crate) struct Filter(Vec<sock_filter>);

impl Filter {
    pub(crate) fn new() -> Filter {
        let mut filter = Filter(Vec::new());
        // Another architecture's calls have other numbers: a 32-bit program would be judged by the wrong list.
        filter.push(LOAD, ARCH);
        filter.push_jump(IF_EQUAL, ARCHITECTURE, 1, 0);
        filter.push(RETURN, NO_SUCH_CALL);
        filter.push(LOAD, NUMBER);
        #[cfg(target_arch = "x86_64")]
        {
            // The x32 kind of calls, by a bit in their number.
            filter.push_jump(IF_NOT_LESS, 0x4000_0000, 0, 1);
            filter.push(RETURN, NO_SUCH_CALL);
        }
        for (calls, answer) in [(REFUSED, REFUSE), (ABSENT, NO_SUCH_CALL)] {
            for call in calls {
                filter.push_jump(IF_EQUAL, *call as u32, 0, 1);
                filter.push(RETURN, answer);
            }
        }
        for (call, number, bits) in REFUSED_BITS {
            filter.push_jump(IF_EQUAL, *call as u32, 0, 4);
            filter.push(LOAD, argument(*number));
            filter.push_jump(IF_SET, *bits, 0, 1);
            filter.push(RETURN, REFUSE);
            filter.push(RETURN, libc::SECCOMP_RET_ALLOW);
        }
        for (call, flags) in MAKING {
            filter.push_jump(IF_EQUAL, *call as u32, 0, 6);
            filter.push(LOAD, argument(*flags));
            filter.push_jump(IF_SET, MAKES, 0, 3);
            filter.push(LOAD, argument(*flags + 1));
            filter.push_jump(IF_SET, SET_ID, 0, 1);
            filter.push(RETURN, REFUSE);
            filter.push(RETURN, libc::SECCOMP_RET_ALLOW);
        }
        filter.push_choice(libc::SYS_socket, 0, FAMILIES, libc::SECCOMP_RET_ALLOW, NO_SUCH_FAMILY);
        filter.push_choice(libc::SYS_ioctl, 1, TYPING, REFUSE, libc::SECCOMP_RET_ALLOW);
        filter.push_choice(libc::SYS_personality, 0, PERSONALITIES, libc::SECCOMP_RET_ALLOW, REFUSE);
        filter.push(RETURN, libc::SECCOMP_RET_ALLOW);
        filter
    }

    fn push(&mut self, code: u16, k: u32) {
        self.push_jump(code, k, 0, 0);
    }

    fn push_jump(&mut self, code: u16, k: u32, jt: u8, jf: u8) {
        self.0.push(sock_filter { code, jt, jf, k });
    }

    /// Of `call`: `listed` where an argument is one of `values`, `other` where it is not.
    fn push_choice(&mut self, call: c_long, number: u32, values: &[u32], listed: u32, other: u32) {
        let count = values.len() as u8;
        self.push_jump(IF_EQUAL, call as u32, 0, count + 3);
        self.push(LOAD, argument(number));
        for (index, value) in values.iter().enumerate() {
            self.push_jump(IF_EQUAL, *value, count - index as u8, 0);
        }
        self.push(RETURN, other);
        self.push(RETURN, listed);
    }

    /// From here on the calling thread and all it starts are under the filter, for good. Allocates nothing.
    pub(crate) fn install(&self) -> io::Result<()> {
        let program = libc::sock_fprog { len: self.0.len() as u16, filter: self.0.as_ptr().cast_mut() };
        // SAFETY: `program` names instructions that live in `self`, of which the kernel takes a copy.
        let outcome = unsafe {
            libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER as libc::c_ulong,
                std::ptr::from_ref(&program),
                0_usize,
                0_usize,
            )
        };
        Ok(Errno::result(outcome).map(drop)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the filter says of a call.
    fn judge(filter: &Filter, architecture: u32, call: c_long, arguments: [u32; 4]) -> u32 {
        let mut data = [0_u8; 64];
        data[0..4].copy_from_slice(&(call as u32).to_ne_bytes());
        data[4..8].copy_from_slice(&architecture.to_ne_bytes());
        for (number, value) in arguments.iter().enumerate() {
            data[16 + 8 * number..20 + 8 * number].copy_from_slice(&value.to_ne_bytes());
        }
        let (mut at, mut value) = (0, 0);
        loop {
            let step = filter.0[at];
            let jump = |is: bool| usize::from(if is { step.jt } else { step.jf });
            at += 1;
            match step.code {
                LOAD => {
                    let bytes = &data[step.k as usize..step.k as usize + 4];
                    value = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                }
                IF_EQUAL => at += jump(value == step.k),
                IF_NOT_LESS => at += jump(value >= step.k),
                IF_SET => at += jump(value & step.k != 0),
                RETURN => return step.k,
                code => panic!("no instruction {code}"),
            }
        }
    }

    #[test]
    fn the_filter_says_what_its_lists_say() {
        let filter = Filter::new();
        let allow = libc::SECCOMP_RET_ALLOW;
        let is = |call, arguments| judge(&filter, ARCHITECTURE, call, arguments);
        for call in REFUSED {
            assert_eq!(is(*call, [0; 4]), REFUSE, "{call}");
        }
        for call in ABSENT {
            assert_eq!(is(*call, [0; 4]), NO_SUCH_CALL, "{call}");
        }
        for call in [libc::SYS_read, libc::SYS_execve, libc::SYS_ptrace, libc::SYS_bind, libc::SYS_prctl] {
            assert_eq!(is(call, [u32::MAX; 4]), allow, "{call}");
        }
        assert_eq!(is(libc::SYS_clone, [libc::SIGCHLD as u32, 0, 0, 0]), allow);
        assert_eq!(is(libc::SYS_clone, [libc::CLONE_NEWUSER as u32, 0, 0, 0]), REFUSE);
        assert_eq!(is(libc::SYS_fchmodat, [0, 0, 0o755, 0]), allow);
        assert_eq!(is(libc::SYS_fchmodat, [0, 0, 0o4755, 0]), REFUSE);
        for (flags, mode, answer) in [
            (libc::O_RDONLY, 0o4755, allow),
            (libc::O_CREAT | libc::O_WRONLY, 0o755, allow),
            (libc::O_CREAT | libc::O_WRONLY, 0o4755, REFUSE),
            (libc::O_TMPFILE | libc::O_WRONLY, 0o2755, REFUSE),
            (libc::O_DIRECTORY, 0o2755, allow),
        ] {
            assert_eq!(is(libc::SYS_openat, [0, 0, flags as u32, mode]), answer, "{flags:o} {mode:o}");
        }
        for family in FAMILIES {
            assert_eq!(is(libc::SYS_socket, [*family, 0, 0, 0]), allow, "{family}");
        }
        for family in [libc::AF_VSOCK, libc::AF_ALG, 0, 99] {
            assert_eq!(is(libc::SYS_socket, [family as u32, 0, 0, 0]), NO_SUCH_FAMILY, "{family}");
        }
        assert_eq!(is(libc::SYS_ioctl, [0, libc::TIOCSTI as u32, 0, 0]), REFUSE);
        assert_eq!(is(libc::SYS_ioctl, [0, libc::TIOCGWINSZ as u32, 0, 0]), allow);
        assert_eq!(is(libc::SYS_personality, [u32::MAX, 0, 0, 0]), allow);
        assert_eq!(is(libc::SYS_personality, [0x0040_0000, 0, 0, 0]), REFUSE);
    }

    #[test]
    fn calls_of_another_architecture_are_none() {
        let filter = Filter::new();
        assert_eq!(judge(&filter, 0x4000_0003, libc::SYS_read, [0; 4]), NO_SUCH_CALL);
        #[cfg(target_arch = "x86_64")]
        assert_eq!(judge(&filter, ARCHITECTURE, 0x4000_0000 | libc::SYS_read, [0; 4]), NO_SUCH_CALL);
    }
}
