//! Processes this program starts and always ends: by their own id, never by a name.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a process may take to end after SIGTERM before it is killed.
const PATIENCE: Duration = Duration::from_secs(5);
/// The highest priority of an ordinary process.
const NICE: i32 = -20;
/// Lines of a log shown when its process fails.
const LOG_LINES: usize = 12;

/// A command that is put together from the words that enter a place and the words that do something there.
pub(crate) fn command(enter: &[OsString], words: impl IntoIterator<Item = impl Into<OsString>>) -> Command {
    let mut all = enter.iter().cloned().chain(words.into_iter().map(Into::into));
    // The callers name at least a program.
    let mut command = Command::new(all.next().unwrap_or_default());
    command.args(all);
    command
}

/// This program again.
pub(crate) fn this_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("finding this program's own file")
}

/// A started process and whatever it starts. Ends with this value.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    stop_family: bool,
}

impl Process {
    /// Starts `command`, its standard error (and output, unless the caller has piped it) in `DIR/NAME.log`.
    /// Whatever `command` is, it begins with this program, which calls [`set_apart`].
    pub(crate) fn start(name: &str, mut command: Command, dir: &Path, piped: bool) -> anyhow::Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("making {}", log.display()))?;
        command.stderr(file.try_clone()?);
        if piped {
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
        } else {
            command.stdin(Stdio::null()).stdout(file);
        }
        let child = command.spawn().with_context(|| format!("starting {name}: {command:?}"))?;
        Ok(Self { name: name.to_owned(), child, log, stop_family: true })
    }

    /// SIGTERM goes to this process alone, which ends what it has started in its own way.
    pub(crate) fn ends_its_own(mut self) -> Self {
        self.stop_family = false;
        self
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Puts it and all it has started in front of the machine's other work.
    ///
    /// The scheduler shares cores between sessions first: what else runs on the machine would take
    /// half of the proxy's core or more, and how much depends on how a candidate sleeps and wakes.
    /// Candidates, load generator and upstream all get the same priority.
    pub(crate) fn prefer(&self) {
        for pid in family(self.pid()) {
            // A kernel that does not group by session has no such file; priorities then do alone.
            let _ = std::fs::write(format!("/proc/{pid}/autogroup"), NICE.to_string());
        }
    }

    /// # Errors
    /// With the end of its log when the process has ended.
    pub(crate) fn check_alive(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended ({status}){}", self.name, self.log_end()),
        }
    }

    /// The last lines of the log, ready to follow a sentence.
    pub(crate) fn log_end(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        match &lines[lines.len().saturating_sub(LOG_LINES)..] {
            [] => "; its log is empty".to_owned(),
            last => format!("; its log ends:\n  {}", last.join("\n  ")),
        }
    }

    fn stop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) && !self.stop_family {
            return;
        }
        let all = family(self.pid());
        let first: Vec<Pid> = if self.stop_family { all.clone() } else { vec![self.pid()] };
        for pid in first {
            // It may have ended already.
            let _ = kill(pid, Signal::SIGTERM);
        }
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && all.iter().any(|pid| self.is_running(*pid)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        for pid in all.into_iter().filter(|pid| self.is_running(*pid)).collect::<Vec<_>>() {
            let _ = kill(pid, Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }

    fn is_running(&mut self, pid: Pid) -> bool {
        if pid == self.pid() {
            return matches!(self.child.try_wait(), Ok(None));
        }
        parent(pid).is_some()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A process and all its descendants that run now.
pub(crate) fn family(root: Pid) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return vec![root] };
    let parents: Vec<(Pid, Pid)> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid::from_raw))
        .filter_map(|pid| Some((pid, parent(pid)?)))
        .collect();
    let mut found = BTreeSet::from([root]);
    loop {
        let before = found.len();
        found.extend(
            parents
                .iter()
                .filter(|(_, parent)| found.contains(parent))
                .map(|(pid, _)| *pid)
                .collect::<Vec<_>>(),
        );
        if found.len() == before {
            return found.into_iter().collect();
        }
    }
}

/// The parent of a process; `None` when it is gone or only waits to be collected.
fn parent(pid: Pid) -> Option<Pid> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; the fields after it are plain: state, parent, ...
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    (state != "Z").then_some(Pid::from_raw(parent))
}

/// How nice this process is: the 19th field of its `stat`, the 17th after the name.
fn niceness() -> Option<i32> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(16)?.parse().ok()
}

/// Runs a program to its end and returns what it printed, on both outputs.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let result = command.stdin(Stdio::null()).output().with_context(|| format!("running {command:?}"))?;
    let text = [result.stdout, result.stderr].concat();
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    if !result.status.success() {
        bail!("{command:?} failed ({}):\n{text}", result.status);
    }
    Ok(text)
}

/// Puts this process into a session of its own: Ctrl-C then reaches the harness alone, which ends
/// things in order.
pub(crate) fn set_apart() {
    // It leads one already where that fails.
    let _ = nix::unistd::setsid();
}

/// Lets this thread, and all it starts, run on one core only.
pub(crate) fn pin(cpu: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu).with_context(|| format!("core {cpu}"))?;
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("moving to core {cpu}"))
}

/// Allows this process, and all it starts, as many open files as may be allowed.
pub(crate) fn raise_file_limit() -> anyhow::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    // Some programs size tables by the limit; a quarter of a million is plenty here.
    let wanted = hard.min(262_144);
    setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).context("raising the limit of open files")
}

/// The child side of a launch: moves to a core and, where asked, into another process's network, then
/// becomes the program, at the highest priority.
pub(crate) fn launch(cpu: usize, network_of: Option<i32>, words: &[OsString]) -> anyhow::Result<()> {
    if let Some(pid) = network_of {
        let path = format!("/proc/{pid}/ns/net");
        let namespace = File::open(&path).with_context(|| format!("opening {path}"))?;
        nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET)
            .with_context(|| format!("entering {path}"))?;
    }
    pin(cpu)?;
    let (program, arguments) = words.split_first().context("no program was named")?;
    let mut command = Command::new(program);
    command.args(arguments);
    // Inherited into hosts, which may not set it themselves.
    if niceness() != Some(NICE) {
        command = Command::new("nice");
        command.args(["-n", &NICE.to_string(), "--"]).args(words);
    }
    let error = command.exec();
    Err(error).with_context(|| format!("running {program:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_and_what_it_started_end_with_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 600 & sleep 600; true"]);
        let process = Process::start("shell", shell, dir.path(), false).unwrap();
        let mut all = family(process.pid());
        while all.len() < 3 {
            std::thread::sleep(Duration::from_millis(5));
            all = family(process.pid());
        }
        drop(process);
        // Killed grandchildren are collected by whoever adopts them; until then they are zombies.
        assert!(all.iter().all(|pid| parent(*pid).is_none()), "{all:?}");
    }

    #[test]
    fn an_ended_process_is_reported_with_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo cannot bind >&2; exit 3"]);
        let mut process = Process::start("peer", shell, dir.path(), false).unwrap();
        process.child().wait().unwrap();
        let text = format!("{:#}", process.check_alive().unwrap_err());
        assert!(text.contains("peer ended") && text.contains("cannot bind"), "{text}");
    }
}
