//! Everything on the loopback interface of one fresh network namespace: for work on this program
//! and on the data plane alone. All of Trellis does not run here.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use nix::sched::{CloneFlags, unshare};

use super::{Cores, Subject, Topology, launcher, upstream_command};
use crate::process::{self, Process, this_program};

const UPSTREAM_PORT: u16 = 9000;

pub(crate) fn start(dir: &Path, cores: Cores) -> anyhow::Result<Topology> {
    let program = this_program()?;
    let mut holder = Command::new(&program);
    holder.arg("hold-network");
    let mut holder = Process::start("namespace", holder, dir, true)?;
    let pid = holder.child().id();
    let mut line = String::new();
    let output = holder.child().stdout.take().context("the output of the namespace's holder")?;
    BufReader::new(output).read_line(&mut line)?;
    ensure!(line.trim() == "ready", "no network namespace{}", holder.log_end());

    let at_client = launcher(&program, cores.load, Some(pid));
    let upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, UPSTREAM_PORT));
    let server = Process::start("upstream", upstream_command(&at_client, &program, upstream), dir, false)?;
    Ok(Topology {
        description: "client, candidates and upstream on the loopback interface of one network namespace",
        at_client,
        at_proxy: launcher(&program, cores.proxy, Some(pid)),
        front: Ipv4Addr::LOCALHOST.into(),
        upstream,
        source: None,
        subject: Subject::DataPlane,
        processes: vec![server, holder],
    })
}

/// Holds a new network namespace, its loopback interface up, until standard input ends.
pub(crate) fn hold() -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET).context("making a network namespace (root is needed)")?;
    process::output(Command::new("ip").args(["link", "set", "lo", "up"]))?;
    let mut out = std::io::stdout().lock();
    std::io::Write::write_all(&mut out, b"ready\n")?;
    std::io::Write::flush(&mut out)?;
    std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink())?;
    Ok(())
}
