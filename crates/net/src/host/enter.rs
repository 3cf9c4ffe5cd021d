//! Running a command inside a host or VPC from another process.
//!
//! What enters a host is confined as the host's first process is, and takes nothing along but its standard streams and
//! the variables it is given.
//!
//! The caller may have threads, and may be outside the user namespace the host lives in. So a
//! child made for it does the entering (the kernel asks for a process of one thread), and makes
//! the command's process, as a child of the caller, inside.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{ForkResult, Pid, fork, pipe2};

use super::sandbox::filter::Filter;
use super::sandbox::{self, rights};
use crate::cgroup;
use crate::process::{pidfd_open, reap};

/// Why a command was not run in a host or VPC.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    #[error("process {pid} has ended: the host or instance is gone")]
    Gone { pid: u32 },
    #[error("not permitted to enter ({source}): be root, or the user who started the instance")]
    NotPermitted { source: io::Error },
    #[error("no such command: {command}")]
    NoSuchCommand { command: String },
    #[error("cannot execute {command}: {source}")]
    NotExecutable { command: String, source: io::Error },
    #[error("{action}: {source}")]
    System { action: &'static str, source: io::Error },
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

/// Signals that are meant for the command when someone sends them to us.
const PASSED_ON: [Signal; 6] =
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2];

/// Where programs are looked for when the environment does not say.
pub(crate) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where a command begins that cannot begin where its caller is.
const HOME: &std::ffi::CStr = c"/root";

/// One setns(2).
struct Step {
    descriptor: OwnedFd,
    kinds: libc::c_int,
}

/// How the processes of a host are confined, as seen on its first one.
struct Confinement {
    capabilities: u64,
    gains_none: bool,
    filter: Option<Filter>,
    /// Resource, soft limit, hard limit.
    limits: Vec<(libc::__rlimit_resource_t, libc::rlimit)>,
    /// Where to write to be in its cgroups.
    cgroups: Vec<CString>,
}

impl Confinement {
    fn of(pid: u32) -> Result<Confinement, EnterError> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))
            .map_err(|source| unreachable_process(pid, source))?;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let limits = std::fs::read_to_string(format!("/proc/{pid}/limits"))
            .map_err(|source| unreachable_process(pid, source))?;
        let limits = LIMITS
            .into_iter()
            .filter_map(|(name, resource)| Some((resource, limit_of(&limits, name, resource)?)))
            .collect();
        Ok(Confinement {
            capabilities: field("CapBnd:").and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or(0),
            gains_none: field("NoNewPrivs:") == Some("1"),
            filter: (field("Seccomp:") == Some("2")).then(Filter::new),
            limits,
            cgroups: cgroup::entrances(pid)
                .iter()
                .filter_map(|path| CString::new(path.as_os_str().as_bytes()).ok())
                .collect(),
        })
    }

    /// Goes into the host's cgroups, where it may. Allocates nothing.
    fn join_cgroups(&self) {
        for path in &self.cgroups {
            // SAFETY: `path` and the text are alive; the rest takes numbers.
            unsafe {
                let file = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
                if file >= 0 {
                    libc::write(file, c"0".as_ptr().cast(), 1);
                    libc::close(file);
                }
            }
        }
    }

    /// Confines the calling process for good. Allocates nothing.
    fn apply(&self) -> io::Result<()> {
        for (resource, limit) in &self.limits {
            // SAFETY: `limit` is alive.
            Errno::result(unsafe { libc::setrlimit(*resource, limit) })?;
        }
        rights::keep_capabilities(self.capabilities)?;
        if self.gains_none {
            rights::gain_none()?;
        }
        self.filter.as_ref().map_or(Ok(()), Filter::install)
    }
}

/// What of /proc/PID/limits a host sets.
const LIMITS: [(&str, libc::__rlimit_resource_t); 4] = [
    ("Max open files", libc::RLIMIT_NOFILE),
    ("Max processes", libc::RLIMIT_NPROC),
    ("Max core file size", libc::RLIMIT_CORE),
    ("Max data size", libc::RLIMIT_DATA),
];

/// What a process with these `limits` is limited to, and we no less.
fn limit_of(limits: &str, name: &str, resource: libc::__rlimit_resource_t) -> Option<libc::rlimit> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    let mut values = line.split_ascii_whitespace().map(|value| value.parse().unwrap_or(libc::RLIM_INFINITY));
    let mut ours = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `ours` is alive and written.
    Errno::result(unsafe { libc::getrlimit(resource, &mut ours) }).ok()?;
    let (soft, hard) = (values.next()?, values.next()?);
    let rlim_max = ours.rlim_max.min(hard);
    Some(libc::rlimit { rlim_cur: rlim_max.min(soft), rlim_max })
}

/// See [`super::enter`].
pub(super) fn host(
    pid: u32,
    command: &[&OsStr],
    environment: &[(OsString, OsString)],
) -> Result<i32, EnterError> {
    let process = pidfd_open(pid).map_err(|source| match source.raw_os_error() {
        Some(libc::ESRCH | libc::EINVAL) => EnterError::Gone { pid },
        _ => EnterError::System { action: "open the host's process", source },
    })?;
    let mut kinds =
        libc::CLONE_NEWNS | libc::CLONE_NEWNET | libc::CLONE_NEWPID | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC;
    for (kind, name) in [(libc::CLONE_NEWUSER, "user"), (libc::CLONE_NEWCGROUP, "cgroup")] {
        if foreign_namespace(pid, name)?.is_some() {
            kinds |= kind;
        }
    }
    let confinement = Confinement::of(pid)?;
    let prepared = Prepared::new(command, environment, Some(confinement))?;
    run(&[Step { descriptor: process, kinds }], pid, command, prepared)
}

/// See [`super::enter_network`].
pub(super) fn network(pid: u32, namespace: &Path, command: &[&OsStr]) -> Result<i32, EnterError> {
    let mut steps = Vec::new();
    if let Some(descriptor) = foreign_namespace(pid, "user")? {
        steps.push(Step { descriptor: descriptor.into(), kinds: libc::CLONE_NEWUSER });
    }
    let descriptor = File::open(namespace).map_err(|source| unreachable_process(pid, source))?.into();
    steps.push(Step { descriptor, kinds: libc::CLONE_NEWNET });
    // The command is one of the machine's, run by whoever it is that looks.
    let environment: Vec<_> = std::env::vars_os().collect();
    run(&steps, pid, command, Prepared::new(command, &environment, None)?)
}

/// The namespace of a kind that `pid` is in, unless we are in it: entering one's own user namespace is an error.
fn foreign_namespace(pid: u32, kind: &str) -> Result<Option<File>, EnterError> {
    let identity = |file: &File| file.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
    let compare = || {
        let theirs = File::open(format!("/proc/{pid}/ns/{kind}"))?;
        let ours = File::open(format!("/proc/self/ns/{kind}"))?;
        Ok((identity(&theirs)? != identity(&ours)?).then_some(theirs))
    };
    compare().map_err(|source| unreachable_process(pid, source))
}

fn unreachable_process(pid: u32, source: io::Error) -> EnterError {
    match source.kind() {
        io::ErrorKind::NotFound => EnterError::Gone { pid },
        io::ErrorKind::PermissionDenied => EnterError::NotPermitted { source },
        _ => EnterError::System { action: "look at the namespaces", source },
    }
}

/// What the new process needs, made beforehand: between fork and exec nothing may be allocated.
struct Prepared {
    candidates: Vec<CString>,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    directory: Option<CString>,
    /// In a host.
    confinement: Option<Confinement>,
    /// Blocked in the caller before, and so in the command.
    mask: SigSet,
}

impl Prepared {
    fn new(
        command: &[&OsStr],
        environment: &[(OsString, OsString)],
        confinement: Option<Confinement>,
    ) -> Result<Prepared, EnterError> {
        let text = |bytes: &[u8]| {
            CString::new(bytes)
                .map_err(|error| EnterError::System { action: "read the command", source: error.into() })
        };
        let program = command.first().copied().unwrap_or_default();
        let candidates = if program.is_empty() {
            Vec::new()
        } else if program.as_bytes().contains(&b'/') {
            vec![text(program.as_bytes())?]
        } else {
            let path = environment.iter().rev().find(|(name, _)| name == "PATH");
            let path = path.map_or(OsStr::new(DEFAULT_PATH), |(_, value)| value);
            std::env::split_paths(path)
                .map(|directory| text(directory.join(program).as_os_str().as_bytes()))
                .collect::<Result<_, _>>()?
        };
        let environment = environment
            .iter()
            .map(|(name, value)| text(&[name.as_bytes(), b"=", value.as_bytes()].concat()))
            .collect::<Result<_, _>>()?;
        let arguments = command.iter().map(|argument| text(argument.as_bytes())).collect::<Result<_, _>>()?;
        let directory = std::env::current_dir().ok().and_then(|path| text(path.as_os_str().as_bytes()).ok());
        let mask = SigSet::empty();
        Ok(Prepared { candidates, arguments, environment, directory, confinement, mask })
    }
}

/// The pointers exec wants, with the null at the end. They live as long as `texts`.
fn pointers(texts: &[CString]) -> Vec<*const libc::c_char> {
    texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
}

/// What is written to the caller: a tag and a number.
const ENTERED: u8 = b'P';
const NOT_ENTERED: u8 = b'S';
const NOT_EXECUTED: u8 = b'E';
const NOT_CONFINED: u8 = b'C';
const NOTE: usize = 5;

fn note(pipe: RawFd, tag: u8, number: i32) {
    let mut bytes = [tag, 0, 0, 0, 0];
    bytes[1..].copy_from_slice(&number.to_ne_bytes());
    // SAFETY: `bytes` is alive and NOTE bytes long; a pipe takes so few all at once.
    unsafe { libc::write(pipe, bytes.as_ptr().cast(), NOTE) };
}

fn run(steps: &[Step], pid: u32, command: &[&OsStr], mut prepared: Prepared) -> Result<i32, EnterError> {
    let system =
        |action: &'static str| move |errno: Errno| EnterError::System { action, source: errno.into() };
    let mut passed_on = SigSet::empty();
    PASSED_ON.into_iter().for_each(|signal| passed_on.add(signal));
    prepared.mask = passed_on.thread_swap_mask(SigmaskHow::SIG_BLOCK).map_err(system("block signals"))?;
    let outcome = run_blocked(steps, pid, &prepared, &passed_on, command);
    prepared.mask.thread_set_mask().map_err(system("unblock signals"))?;
    outcome
}

fn run_blocked(
    steps: &[Step],
    pid: u32,
    prepared: &Prepared,
    passed_on: &SigSet,
    command: &[&OsStr],
) -> Result<i32, EnterError> {
    let system =
        |action: &'static str| move |errno: Errno| EnterError::System { action, source: errno.into() };
    let signals = SignalFd::with_flags(passed_on, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .map_err(system("watch signals"))?;
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).map_err(system("make a pipe"))?;
    let arguments = pointers(&prepared.arguments);
    let environment = pointers(&prepared.environment);
    // SAFETY: the child calls only what may be called between fork and exec in a process that had threads.
    let middle = match unsafe { fork() }.map_err(system("fork"))? {
        ForkResult::Child => enter_and_execute(steps, prepared, &arguments, &environment, writer.as_raw_fd()),
        ForkResult::Parent { child } => child,
    };
    drop(writer);
    // Ends when the command has been executed or everyone has given up.
    let mut notes = Vec::new();
    let read = File::from(reader).take(4 * NOTE as u64).read_to_end(&mut notes);
    let _ = nix::sys::wait::waitpid(middle, None);
    read.map_err(|source| EnterError::System { action: "hear from the new process", source })?;
    let mut child = None;
    let mut failure = None;
    for note in notes.chunks_exact(NOTE) {
        let number = i32::from_ne_bytes([note[1], note[2], note[3], note[4]]);
        match note[0] {
            ENTERED => child = Some(number),
            tag => failure = Some((tag, io::Error::from_raw_os_error(number))),
        }
    }
    let code = child.map(|child| wait_for(child, &signals)).transpose();
    let name = || command.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match failure {
        None => code.map_err(|source| EnterError::System { action: "wait for the command", source })?.ok_or(
            EnterError::System { action: "start the command", source: io::ErrorKind::UnexpectedEof.into() },
        ),
        Some((NOT_EXECUTED, source)) => match source.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => Err(EnterError::NoSuchCommand { command: name() }),
            _ => Err(EnterError::NotExecutable { command: name(), source }),
        },
        Some((NOT_CONFINED, source)) => Err(EnterError::System { action: "confine the command", source }),
        Some((_, source)) => match source.raw_os_error() {
            Some(libc::ESRCH) => Err(EnterError::Gone { pid }),
            Some(libc::EPERM | libc::EACCES) => Err(EnterError::NotPermitted { source }),
            _ => Err(EnterError::System { action: "enter the namespaces", source }),
        },
    }
}

/// The child's whole life: enter, make the command's process, end. Only system calls on things made before.
fn enter_and_execute(
    steps: &[Step],
    prepared: &Prepared,
    arguments: &[*const libc::c_char],
    environment: &[*const libc::c_char],
    pipe: RawFd,
) -> ! {
    // SAFETY: every pointer comes from a text or list that `prepared`, `arguments` and `environment` keep alive, with
    // a null at its end; the rest takes numbers. _exit runs nothing of the parent's.
    unsafe {
        if let Some(confinement) = &prepared.confinement {
            // Our memory has the caller's variables, our file is the machine's: neither is for processes of the host,
            // which see us from the moment we are in.
            let _ = rights::be_opaque();
            confinement.join_cgroups();
        }
        for step in steps {
            if libc::setns(step.descriptor.as_raw_fd(), step.kinds) != 0 {
                note(pipe, NOT_ENTERED, Errno::last_raw());
                libc::_exit(125);
            }
        }
        if prepared.confinement.is_some() && sandbox::become_root().is_err() {
            note(pipe, NOT_ENTERED, Errno::last_raw());
            libc::_exit(125);
        }
        // A process namespace is entered by children only; this one is the caller's child, so it can be waited for.
        let flags = libc::c_long::from(libc::CLONE_PARENT | libc::SIGCHLD);
        let pid = libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0);
        if pid < 0 {
            note(pipe, NOT_ENTERED, Errno::last_raw());
            libc::_exit(125);
        }
        if pid > 0 {
            note(pipe, ENTERED, pid as i32);
            libc::_exit(0);
        }
        // Whoever kills us -9 has ended the command, too.
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        libc::sigprocmask(libc::SIG_SETMASK, prepared.mask.as_ref(), std::ptr::null_mut());
        if prepared.directory.as_ref().is_none_or(|directory| libc::chdir(directory.as_ptr()) != 0)
            && libc::chdir(HOME.as_ptr()) != 0
        {
            libc::chdir(c"/".as_ptr());
        }
        if let Some(confinement) = &prepared.confinement {
            // A descriptor that the caller happens to have open is a way out.
            libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
            if confinement.apply().is_err() {
                note(pipe, NOT_CONFINED, Errno::last_raw());
                libc::_exit(125);
            }
        }
        let mut reason = libc::ENOENT;
        for candidate in &prepared.candidates {
            libc::execve(candidate.as_ptr(), arguments.as_ptr(), environment.as_ptr());
            // Found but not to be executed says more than not found in another directory; a directory that may not be
            // searched says nothing.
            let errno = Errno::last_raw();
            if libc::access(candidate.as_ptr(), libc::F_OK) == 0 {
                reason = errno;
            }
        }
        note(pipe, NOT_EXECUTED, reason);
        libc::_exit(127)
    }
}

/// Waits for our child to end, passing on what is sent to us meanwhile.
fn wait_for(child: i32, signals: &SignalFd) -> io::Result<i32> {
    let process = pidfd_open(child as u32)?;
    loop {
        let mut ready = [
            PollFd::new(process.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut ready, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            outcome => outcome?,
        };
        while let Some(signal) = signals.read_signal()? {
            // A terminal's Ctrl-C is from the kernel and reaches the command by itself: it is in our process group.
            if let (true, Ok(signal)) = (signal.ssi_code <= 0, Signal::try_from(signal.ssi_signo as i32)) {
                kill(Pid::from_raw(child), signal)?;
            }
        }
        if let Some(code) = reap(process.as_fd())? {
            return Ok(code);
        }
    }
}
