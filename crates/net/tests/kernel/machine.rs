//! A fabric of one test's own, with its events read as they come.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use trellis_model::fabric::FabricPlan;
use trellis_model::id::InstanceId;
use trellis_net::{Fabric, FabricEvent, FabricOptions};

use crate::entry::SELF;
use crate::plan::vpc_id;

/// How long anything may take before a test gives up. The machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Machine {
    pub(crate) fabric: Fabric,
    pub(crate) directory: TempDir,
    events: Receiver<FabricEvent>,
    /// Everything reported so far.
    pub(crate) seen: Vec<FabricEvent>,
    pids: BTreeMap<InstanceId, u32>,
}

/// What a command inside a host did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) text: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        Ran { code: output.status.code(), text: String::from_utf8_lossy(&output.stdout).trim().to_owned() }
    }
}

impl Machine {
    pub(crate) fn start() -> Machine {
        let directory = tempfile::tempdir().unwrap();
        let options = FabricOptions::new(directory.path().join("run"), directory.path().join("logs"));
        let (fabric, mut receiver) = Fabric::start(options).unwrap();
        let (sender, events) = channel();
        thread::spawn(move || {
            while let Some(event) = receiver.blocking_recv() {
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        Machine { fabric, directory, events, seen: Vec::new(), pids: BTreeMap::new() }
    }

    /// Applies a plan and waits until it has been acted on.
    pub(crate) fn apply(&mut self, plan: Arc<FabricPlan>) {
        let revision = plan.revision;
        self.fabric.apply(plan);
        self.wait_for(|event| *event == FabricEvent::Converged { revision });
    }

    /// Waits for an event that was not waited for before.
    pub(crate) fn wait_for(&mut self, wanted: impl Fn(&FabricEvent) -> bool) -> FabricEvent {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(event) => {
                    if let FabricEvent::HostReady { instance, pid } = &event {
                        self.pids.insert(instance.clone(), *pid);
                    }
                    self.seen.push(event.clone());
                    if wanted(&event) {
                        return event;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("it did not come; seen so far: {:#?}", self.seen)
                }
            }
        }
    }

    pub(crate) fn pid(&self, host: &InstanceId) -> u32 {
        *self.pids.get(host).unwrap_or_else(|| panic!("{host} is not ready: {:#?}", self.seen))
    }

    /// A process that enters `host` and runs `command` there.
    pub(crate) fn entering(&self, host: &InstanceId, command: &[&str]) -> Command {
        let mut process = Command::new(SELF);
        process.args(["tool", "enter", &self.pid(host).to_string()]).args(command).stdin(Stdio::null());
        process
    }

    /// Runs `command` inside `host`.
    pub(crate) fn run(&self, host: &InstanceId, command: &[&str]) -> Ran {
        self.entering(host, command).output().unwrap().into()
    }

    /// Runs one of this program's own tools inside `host`.
    pub(crate) fn tool(&self, host: &InstanceId, arguments: &[&str]) -> Ran {
        self.run(host, &[&[SELF, "tool"], arguments].concat())
    }

    /// What the server at `to` says to `host`; it may still be starting.
    pub(crate) fn answer(&self, host: &InstanceId, to: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ran = self.tool(host, &["connect", to]);
            if ran.code == Some(0) || Instant::now() > deadline {
                return ran.text;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What a server says to a connection that the proxy makes in the VPC of this number, from `source`.
    pub(crate) fn dial(&self, vpc: u64, source: &str, to: &str) -> io::Result<String> {
        let sockets = self.fabric.sockets();
        let (source, to): (IpAddr, SocketAddr) = (source.parse().unwrap(), to.parse().unwrap());
        thread::spawn(move || {
            let stream = sockets.dial(&vpc_id(vpc), source, to)?;
            stream.set_nonblocking(false)?;
            stream.set_read_timeout(Some(Duration::from_millis(1500)))?;
            let mut text = String::new();
            (&stream).read_to_string(&mut text).map(|_| text)
        })
        .join()
        .unwrap()
    }

    pub(crate) fn log(&self, name: &str) -> String {
        let path: PathBuf = self.directory.path().join("logs").join(format!("{name}.log"));
        std::fs::read_to_string(path).unwrap_or_default()
    }
}
