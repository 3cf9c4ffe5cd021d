//! The life of a host's first process, top to bottom.
//!
//! The fabric runs this program with the control socket as its stdin and a log file as its output.
//! It makes the host's namespaces with a child in them that is the fabric's own, and ends; the
//! child is process 1 of the host: it prepares the file system, runs the command and stays.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, dup2_stdin, sethostname, setsid};

use super::control::{Control, HostConfig, Report};
use super::sandbox::filter::Filter;
use super::sandbox::{self, rights};
use crate::mount_tree::Tree;
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
            say(format_args!("{error}"));
            1
        }
    };
    std::process::exit(code)
}

fn begin() -> io::Result<()> {
    // The socket moves where no child inherits it; stdin becomes empty.
    let control = Control::from_socket(io::stdin().as_fd().try_clone_to_owned()?);
    dup2_stdin(File::open("/dev/null")?)?;
    // This program's file is the machine's, and so is what else is in our memory; our child is the same.
    rights::be_opaque()?;
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
    let Some((config, trees)) = control.receive_config()? else { return Ok(()) };
    prepare(&config, trees.into_iter().map(Tree::from_descriptor).collect())?;
    confine(&config).map_err(because("confine the host"))?;
    let mut watched = SigSet::empty();
    watched.add(Signal::SIGCHLD);
    PASSED_ON.into_iter().for_each(|signal| watched.add(signal));
    watched.thread_block()?;
    let signals = SignalFd::with_flags(&watched, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    control.send_report(&Report::Ready)?;
    let mut command = start(&config, control)?;
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

fn because(what: &str) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{what}: {error}"))
}

/// Makes the file system and the name what a host's should be.
fn prepare(config: &HostConfig, trees: Vec<Tree>) -> io::Result<()> {
    let nothing = None::<&str>;
    sethostname(&config.name).map_err(io::Error::from).map_err(because("set the host name"))?;
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)
        .map_err(io::Error::from)
        .map_err(because("make mounts private"))?;
    if config.sandbox.is_privileged {
        unshare(CloneFlags::CLONE_NEWCGROUP)
            .map_err(io::Error::from)
            .map_err(because("make a cgroup namespace"))?;
    }
    if config.sandbox.shares_filesystem {
        return share(config, trees);
    }
    sandbox::become_root().map_err(because("become the host's root"))?;
    // Another user's death is another matter to the kernel; the fabric's is still ours.
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    sandbox::build(config, trees)
}

/// The machine's file system as it is, but for the resolver and what was given.
fn share(config: &HostConfig, trees: Vec<Tree>) -> io::Result<()> {
    let nothing = None::<&str>;
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
    for (tree, given) in trees.into_iter().zip(&config.trees) {
        let is_resolver = given.target == Path::new(RESOLV_CONF);
        let target = if is_resolver { &resolv_conf } else { &given.target };
        // A place for the others has to be there: it would have to be made on the machine.
        match tree.attach(target) {
            Err(error)
                if is_resolver || config.sandbox.mounts.iter().any(|mount| mount.target == given.target) =>
            {
                return Err(because(&format!("mount on {}", target.display()))(error));
            }
            _ => {}
        }
    }
    // Refused in containers that hide parts of theirs; the machine's processes are then seen by number, no more.
    let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let _ = mount(Some("proc"), "/proc", Some("proc"), safe, nothing);
    Ok(())
}

/// What this process and all it starts may do at most.
fn confine(config: &HostConfig) -> io::Result<()> {
    rights::limit(&config.sandbox.limits, config.memory_by_process).map_err(because("set limits"))?;
    if !config.sandbox.is_privileged {
        rights::keep_capabilities(rights::KEPT).map_err(because("give up capabilities"))?;
        rights::gain_none()?;
        Filter::new().install().map_err(because("install the filter of system calls"))?;
    }
    Ok(())
}

/// Covers a directory with an empty one.
fn hide(directory: &Path) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    Ok(mount(Some("tmpfs"), directory, Some("tmpfs"), flags, Some("mode=0755,size=64k"))?)
}

/// Starts the command; what keeps it from starting is its exit.
fn start(config: &HostConfig, control: &Control) -> io::Result<Option<Pid>> {
    let Some((program, arguments)) = config.command.split_first() else { return Ok(None) };
    let mut process = Command::new(program);
    process.envs(&config.sandbox.environment);
    // Its output is ours, the log. It gets a process group of its own and, unlike us, no signal blocked.
    process.args(arguments).stdin(Stdio::null()).process_group(0);
    // SAFETY: the closure makes one system call and allocates nothing.
    unsafe { process.pre_exec(|| Ok(SigSet::empty().thread_set_mask()?)) };
    match process.spawn() {
        Ok(child) => Ok(Some(Pid::from_raw(child.id() as i32))),
        Err(error) => {
            say(format_args!("{program}: {error}"));
            let code = if exists(program, &config.sandbox.environment) { 126 } else { 127 };
            control.send_report(&Report::Exited { code })?;
            Ok(None)
        }
    }
}

/// Writes a line to the host's log, which is this process's standard error. The host's end does not depend on
/// whether it could be written.
pub(super) fn say(words: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "trellis host: {words}");
}

/// Whether there is such a program at all, executable or not.
fn exists(program: &str, environment: &BTreeMap<String, String>) -> bool {
    if program.contains('/') {
        return Path::new(program).exists();
    }
    let path =
        environment.get("PATH").map(OsString::from).or_else(|| std::env::var_os("PATH")).unwrap_or_default();
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
