//! The process that carries out a [`Plan`] inside a host: relays, and programs that are started again when they end.
//!
//! What the programs write goes to this process's output, which is the host's bounded log, each line with the program's
//! name before it. Nothing here ends by itself: the host is ended from outside, and everything with it.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::Command;
use tokio::time::Instant;

use crate::image;
use crate::plan::{Plan, Program, Registry, Relay};
use crate::programs::Programs;
use crate::relay::{self, Listener};

/// How long a plan may take to appear: a host is there a moment before what it is to do can be known.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The first and the longest wait before a program is started again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// A program that ran this long has earned a quick start.
const STEADY: Duration = Duration::from_secs(30);
/// Of a program's output; a longer line comes in parts.
const LONGEST_LINE: usize = 4096;

/// Runs for ever. To be called in a process of its own inside a host.
///
/// # Errors
/// A plan that cannot be read or prepared. The programs' ends are no errors.
pub fn run(plan: &Path) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let plan = wait_for(plan).await?;
        for directory in &plan.directories {
            fs::create_dir_all(directory)
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", directory.display())))?;
        }
        for address in &plan.addresses {
            trellis_net::host::add_loopback_address(*address).map_err(io::Error::other)?;
        }
        for (name, value) in &plan.settings {
            let path = Path::new("/proc/sys").join(name);
            fs::write(&path, value)
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        }
        if let Some(registry) = plan.registry {
            tokio::spawn(keep_registry(registry));
        }
        for relay in plan.relays {
            tokio::spawn(keep_relay(relay));
        }
        for program in plan.programs {
            tokio::spawn(keep(program));
        }
        std::future::pending().await
    })
}

async fn wait_for(path: &Path) -> io::Result<Plan> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match Plan::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && Instant::now() < deadline => {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            read => return read,
        }
    }
}

async fn keep_relay(relay: Relay) {
    let Relay { listen, connect } = relay;
    loop {
        match Listener::open(&listen).await {
            Ok(listener) => relay::serve(listener, connect.clone()).await,
            Err(error) => say("relay", &format!("{listen}: {error}")),
        }
        tokio::time::sleep(BACK_OFF.1).await;
    }
}

async fn keep_registry(registry: Registry) {
    loop {
        match Listener::open(&registry.listen).await {
            Ok(listener) => image::registry::serve(listener, registry.images.clone()).await,
            Err(error) => say("registry", &format!("{}: {error}", registry.listen)),
        }
        tokio::time::sleep(BACK_OFF.1).await;
    }
}

/// Has a program run, whatever becomes of it.
async fn keep(program: Program) {
    for endpoint in &program.after {
        while relay::connect(endpoint).await.is_err() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    let mut pause = BACK_OFF.0;
    loop {
        let began = Instant::now();
        match run_once(&program).await {
            Ok(status) => say(&program.name, &format!("ended ({status}); it is started again")),
            Err(error) => say(&program.name, &format!("cannot be run: {error}")),
        }
        if began.elapsed() >= STEADY {
            pause = BACK_OFF.0;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(BACK_OFF.1);
    }
}

async fn run_once(program: &Program) -> io::Result<std::process::ExitStatus> {
    let (first, arguments) = program.command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = std::process::Command::new(first);
    command.args(arguments).env("PATH", Programs::path()).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Command::from(command).kill_on_drop(true).spawn()?;
    let (output, errors) = (child.stdout.take(), child.stderr.take());
    // A program may leave processes that hold its output open: its end is what counts.
    let copies = [
        output.map(|output| tokio::spawn(copy(program.name.clone(), output))),
        errors.map(|errors| tokio::spawn(copy(program.name.clone(), errors))),
    ];
    let status = child.wait().await;
    for copy in copies.into_iter().flatten() {
        let _ = tokio::time::timeout(Duration::from_millis(100), copy).await;
    }
    status
}

async fn copy(name: String, output: impl AsyncRead + Unpin) {
    lines(output, |line| say(&name, line)).await;
}

/// Calls `each` with every line of what comes, until its end.
async fn lines(output: impl AsyncRead + Unpin, mut each: impl FnMut(&str)) {
    let mut reader = BufReader::new(output);
    let mut line = Vec::with_capacity(LONGEST_LINE);
    loop {
        line.clear();
        match (&mut reader).take(LONGEST_LINE as u64).read_until(b'\n', &mut line).await {
            Ok(1..) => each(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n'])),
            _ => return,
        }
    }
}

/// Whether it could be written changes nothing.
fn say(name: &str, line: &str) {
    let _ = writeln!(io::stdout(), "{name}: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Endpoint;

    #[tokio::test]
    async fn a_program_that_ends_is_started_again_and_waits_for_what_it_needs() {
        let directory = tempfile::tempdir().unwrap();
        let (marks, socket) = (directory.path().join("marks"), directory.path().join("first.sock"));
        let script = format!("echo x >> {}", marks.display());
        let mut program = Program::new("sh", ["-c".to_owned(), script]).after(Endpoint::unix(&socket));
        program.command[0] = "/bin/sh".to_owned();
        let keeping = tokio::spawn(keep(program));
        tokio::time::sleep(LOOK_EVERY * 4).await;
        assert!(!marks.exists(), "what it waits for is not there");
        let _listener = Listener::open(&Endpoint::unix(&socket)).await.unwrap();
        let runs = || fs::read_to_string(&marks).map_or(0, |text| text.lines().count());
        while runs() < 2 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        keeping.abort();
    }

    #[tokio::test]
    async fn a_line_written_in_parts_is_one_line_and_a_long_one_comes_in_parts() {
        use tokio::io::AsyncWriteExt as _;
        let (mut program, output) = tokio::io::duplex(3 * LONGEST_LINE);
        let reading = tokio::spawn(async move {
            let mut seen = Vec::new();
            lines(output, |line| seen.push(line.to_owned())).await;
            seen
        });
        for part in ["one\ntw", "o\n", "\r\n", &"x".repeat(LONGEST_LINE), "y\nlast"] {
            program.write_all(part.as_bytes()).await.unwrap();
            tokio::time::sleep(LOOK_EVERY).await;
        }
        drop(program);
        let long = "x".repeat(LONGEST_LINE);
        assert_eq!(reading.await.unwrap(), ["one", "two", "", long.as_str(), "y", "last"]);
    }

    #[tokio::test]
    async fn a_plan_that_comes_late_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("plan.json");
        let waiting = tokio::spawn({
            let path = path.clone();
            async move { wait_for(&path).await }
        });
        tokio::time::sleep(LOOK_EVERY * 2).await;
        Plan::default().write(&path).unwrap();
        assert_eq!(waiting.await.unwrap().unwrap(), Plan::default());
    }
}
