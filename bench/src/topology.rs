//! Where everything runs: the same places for every candidate.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::clocks::Counted;
use crate::process::{self, Process};

pub(crate) mod loopback;
pub(crate) mod vpc;

/// Which core does what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cores {
    /// Of the candidates, and of nothing else this program starts.
    pub(crate) proxy: usize,
    /// Of load generator, upstream and this program.
    pub(crate) load: usize,
}

/// A client, an upstream and a place for proxies between them. Ends with this value.
#[derive(Debug)]
pub(crate) struct Topology {
    /// One sentence for the report.
    pub(crate) description: &'static str,
    /// Words in front of a command that is to run at the client.
    pub(crate) at_client: Vec<OsString>,
    /// Words in front of a command that is to run where the candidates listen.
    pub(crate) at_proxy: Vec<OsString>,
    /// The address candidates listen on.
    pub(crate) front: IpAddr,
    pub(crate) upstream: SocketAddr,
    /// The address candidates dial the upstream from, where it matters.
    pub(crate) source: Option<IpAddr>,
    /// Trellis, already serving where the topology is made by it.
    pub(crate) subject: Subject,
    /// In the order they end.
    pub(crate) processes: Vec<Process>,
}

/// What the peers are compared with.
#[derive(Debug)]
pub(crate) enum Subject {
    /// All of Trellis, already configured and serving.
    Trellis(Trellis),
    /// Its data plane alone, to be started like a peer.
    DataPlane,
}

#[derive(Debug, Clone)]
pub(crate) struct Trellis {
    pub(crate) version: String,
    pub(crate) address: SocketAddr,
    pub(crate) counted: Counted,
    /// Directory of its access log.
    pub(crate) access_logs: PathBuf,
}

impl Topology {
    /// Puts everything in it in front of the machine's other work.
    pub(crate) fn prefer(&self) {
        self.processes.iter().for_each(Process::prefer);
    }

    pub(crate) fn check_alive(&mut self) -> anyhow::Result<()> {
        self.processes.iter_mut().try_for_each(Process::check_alive)
    }
}

/// The words that move to a core, and to another process's network where one is named.
fn launcher(program: &Path, cpu: usize, network_of: Option<u32>) -> Vec<OsString> {
    let mut words: Vec<OsString> =
        vec![program.into(), "launch".into(), "--cpu".into(), cpu.to_string().into()];
    if let Some(pid) = network_of {
        words.extend(["--network-of".into(), pid.to_string().into()]);
    }
    words.push("--".into());
    words
}

/// The upstream as a command.
fn upstream_command(enter: &[OsString], program: &Path, listen: SocketAddr) -> Command {
    process::command(enter, [program.into(), OsString::from("upstream"), listen.to_string().into()])
}
