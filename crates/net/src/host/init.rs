//! The life of a host's first process, top to bottom.
//!
//! The fabric runs this program with the control socket as its stdin and a log file as its output.
//! It makes the host's namespaces with a child in them that is the fabric's own, and ends; the
//! child is process 1 of the host: it prepares the file system, runs the command and stays.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, dup2_stdin, sethostname, setsid};

use super::control::{Control, HostConfig, Report};
use crate::process::exit_code;

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Where answers to name look-ups could be had past resolv.conf: the machine's own caches, which look outside.
const MACHINE_RESOLVERS: [&str; 3] = ["/run/systemd/resolve", "/run/nscd", "/var/run/nscd"];

/// Signals passed on to the command.
const PASSED_ON: [Signal; 6] =
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2];

/// See [`super::init_main`].
pub(super) fn main(_arguments: impl IntoIterator<Item = OsString>) -> ! {
    let code = match begin() {
        Ok(()) => 0,
        Err(error) => {
            // Stderr is the host's log.
            eprintln!("trellis host: {error}");
            1
        }
    };
    std::process::exit(code)
}

fn begin() -> io::Result<()> {
    // The socket moves where no child inherits it; stdin becomes empty.
    let control = Control::from_socket(io::stdin().as_fd().try_clone_to_owned()?);
    dup2_stdin(File::open("/dev/null")?)?;
    let flags = libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        // The child is the fabric's, not ours: it dies with the fabric and is reaped by it.
        | libc::CLONE_PARENT
        | libc::SIGCHLD;
    // SAFETY: as fork(2): no shared memory, no new stack. This process has one thread, so the child may do anything.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::c_long::from(flags), 0, 0, 0, 0) };
    match Errno::result(pid) {
        Ok(0) => {
            if let Err(error) = live(&control) {
                // When the fabric has gone there is nobody to tell.
                let _ = control.send_report(&Report::Failed { reason: error.to_string() });
                return Err(error);
            }
            Ok(())
        }
        Ok(pid) => control.send_report(&Report::Made { pid: pid as u32 }),
        Err(errno) => {
            let advice = match errno {
                Errno::ENOSPC => " (raise user.max_user_namespaces and user.max_pid_namespaces)",
                Errno::EPERM => " (user namespaces are not permitted here)",
                _ => "",
            };
            let reason = format!("make the host's namespaces: {errno}{advice}");
            let _ = control.send_report(&Report::Failed { reason: reason.clone() });
            Err(io::Error::other(reason))
        }
    }
}

/// Process 1. Returns when the fabric has gone, which ends the host.
fn live(control: &Control) -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let _ = prctl::set_name(c"trellis-host");
    setsid()?;
    // Until it comes, our user is not mapped and our network not there. A fabric that died before the line above
    // shows here, too.
    let Some(config) = control.receive_config()? else { return Ok(()) };
    prepare(&config)?;
    let mut watched = SigSet::empty();
    watched.add(Signal::SIGCHLD);
    PASSED_ON.into_iter().for_each(|signal| watched.add(signal));
    watched.thread_block()?;
    let signals = SignalFd::with_flags(&watched, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    control.send_report(&Report::Ready)?;
    let mut command = start(&config.command, control)?;
    loop {
        let mut ready = [
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(control.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut ready, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            outcome => outcome?,
        };
        // Nothing is sent after the configuration: this is the end of the fabric.
        if ready[1].any().unwrap_or(false) {
            return Ok(());
        }
        while let Some(signal) = signals.read_signal()? {
            match (Signal::try_from(signal.ssi_signo as i32), command) {
                (Ok(Signal::SIGCHLD), _) => reap(&mut command, control)?,
                // It may have ended just now.
                (Ok(signal), Some(pid)) => drop(kill(pid, signal)),
                _ => {}
            }
        }
    }
}

/// Makes the file system and the name what a host's should be.
fn prepare(config: &HostConfig) -> io::Result<()> {
    let because = |what: &str| {
        let what = what.to_owned();
        move |error: io::Error| io::Error::new(error.kind(), format!("{what}: {error}"))
    };
    let nothing = None::<&str>;
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)
        .map_err(io::Error::from)
        .map_err(because("make mounts private"))?;
    let resolv_conf = fs::canonicalize(RESOLV_CONF).map_err(because(RESOLV_CONF))?;
    for directory in MACHINE_RESOLVERS.map(Path::new) {
        if directory.is_dir() {
            hide(directory).map_err(because("hide the machine's resolver"))?;
        }
    }
    // It was in one of the directories just hidden.
    if !resolv_conf.exists() {
        File::create(&resolv_conf).map_err(because(RESOLV_CONF))?;
    }
    mount(Some(&config.resolv_conf), &resolv_conf, nothing, MsFlags::MS_BIND, nothing)
        .map_err(io::Error::from)
        .map_err(because("set /etc/resolv.conf"))?;
    // Refused in containers that hide parts of theirs; the machine's processes are then seen by number, no more.
    let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let _ = mount(Some("proc"), "/proc", Some("proc"), safe, nothing);
    sethostname(&config.name).map_err(io::Error::from).map_err(because("set the host name"))
}

/// Covers a directory with an empty one.
fn hide(directory: &Path) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    Ok(mount(Some("tmpfs"), directory, Some("tmpfs"), flags, Some("mode=0755,size=64k"))?)
}

/// Starts the command; what keeps it from starting is its exit.
fn start(command: &[String], control: &Control) -> io::Result<Option<Pid>> {
    let Some((program, arguments)) = command.split_first() else { return Ok(None) };
    let mut process = Command::new(program);
    // Its output is ours, the log. It gets a process group of its own and, unlike us, no signal blocked.
    process.args(arguments).stdin(Stdio::null()).process_group(0);
    // SAFETY: the closure makes one system call and allocates nothing.
    unsafe { process.pre_exec(|| Ok(SigSet::empty().thread_set_mask()?)) };
    match process.spawn() {
        Ok(child) => Ok(Some(Pid::from_raw(child.id() as i32))),
        Err(error) => {
            eprintln!("trellis host: {program}: {error}");
            let code = if exists(program) { 126 } else { 127 };
            control.send_report(&Report::Exited { code })?;
            Ok(None)
        }
    }
}

/// Whether there is such a program at all, executable or not.
fn exists(program: &str) -> bool {
    if program.contains('/') {
        return Path::new(program).exists();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| !program.is_empty() && directory.join(program).exists())
}

/// Takes every child that has ended, orphans included, and reports the command.
fn reap(command: &mut Option<Pid>, control: &Control) -> io::Result<()> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(()),
            Ok(status) if status.pid() == *command && command.is_some() => {
                if let Some(code) = exit_code(status) {
                    *command = None;
                    control.send_report(&Report::Exited { code })?;
                }
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
