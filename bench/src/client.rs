//! The harness's side of the load generator: starts it at the client, gives it orders, hears its reports.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::ChildStdin;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::interrupt::Interrupt;
use crate::load::{Order, Outcome, Probe, Report, Slice};
use crate::process::{self, Process, this_program};
use crate::topology::Topology;

/// How much longer than planned an order may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running load generator.
pub(crate) struct LoadClient {
    process: Process,
    orders: ChildStdin,
    reports: Receiver<String>,
    interrupt: Interrupt,
}

impl LoadClient {
    pub(crate) fn start(topology: &Topology, dir: &Path, interrupt: Interrupt) -> anyhow::Result<Self> {
        let command =
            process::command(&topology.at_client, [this_program()?.into_os_string(), "load".into()]);
        let mut process = Process::start("load", command, dir, true)?;
        let orders = process.child().stdin.take().context("the load generator's input")?;
        let output = process.child().stdout.take().context("the load generator's output")?;
        // At most a few lines are ever on their way: it speaks only when it is asked.
        let (sender, reports) = sync_channel(64);
        std::thread::Builder::new().name("load reports".to_owned()).spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { process, orders, reports, interrupt })
    }

    /// Puts it in front of the machine's other work.
    pub(crate) fn prefer(&self) {
        self.process.prefer();
    }

    /// Runs a slice. `look` is called when its window begins and when it ends.
    pub(crate) fn slice(
        &mut self,
        slice: Slice,
        mut look: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Outcome> {
        let length = Duration::from_millis(slice.warm_up_ms + slice.window_ms + slice.tail_ms);
        self.order(&Order::Slice(slice))?;
        let deadline = Instant::now() + length + PATIENCE;
        loop {
            match self.report(deadline)? {
                Report::Begin | Report::End => look()?,
                Report::Done(outcome) => return Ok(outcome),
                Report::Failed { reason } => bail!("{reason}"),
                Report::Probed { .. } => bail!("the load generator answered what was not asked"),
            }
        }
    }

    /// Sends one request; status and body of its answer.
    pub(crate) fn probe(&mut self, probe: Probe) -> anyhow::Result<(u16, String)> {
        self.order(&Order::Probe(probe))?;
        match self.report(Instant::now() + PATIENCE)? {
            Report::Probed { status, body } => Ok((status, body)),
            Report::Failed { reason } => bail!("{reason}"),
            _ => bail!("the load generator answered what was not asked"),
        }
    }

    fn order(&mut self, order: &Order) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        let sent = self.orders.write_all(&line).and_then(|()| self.orders.flush());
        sent.with_context(|| format!("the load generator is gone{}", self.process.log_end()))
    }

    fn report(&self, deadline: Instant) -> anyhow::Result<Report> {
        loop {
            self.interrupt.check()?;
            match self.reports.recv_timeout(Duration::from_millis(100)) {
                Ok(line) => {
                    return serde_json::from_str(&line).with_context(|| format!("a report: {line:?}"));
                }
                Err(RecvTimeoutError::Timeout) => {
                    ensure!(Instant::now() < deadline, "the load generator does not answer");
                }
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("the load generator ended{}", self.process.log_end());
                }
            }
        }
    }
}
