//! The load generator: a process in the client's network that does one order after another.
//!
//! Orders come as JSON lines on standard input, reports leave as JSON lines on standard output; when
//! standard input ends, so does the process. One process serves a whole run, so a slice starts with
//! a line and not with a new program.

use std::io::{BufRead, Write};
use std::net::SocketAddr;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::cases::Case;

mod engine;
mod probe;
mod response;

/// What the harness asks for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub(crate) enum Order {
    Slice(Slice),
    Probe(Probe),
}

/// One slice of load on one candidate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Slice {
    pub(crate) target: SocketAddr,
    pub(crate) case: Case,
    pub(crate) pace: Pace,
    /// Requests rotate through these hosts ...
    pub(crate) hosts: Vec<String>,
    /// ... and through this many path rules of each.
    pub(crate) rules: usize,
    pub(crate) connections: usize,
    /// Load before the measured window: connections come up, pools fill.
    pub(crate) warm_up_ms: u64,
    /// The measured window.
    pub(crate) window_ms: u64,
    /// Load after it, so that whoever reads the candidate's clocks at its end still sees full load.
    pub(crate) tail_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Pace {
    /// Closed loop: every connection sends its next request when it has its answer.
    Saturate,
    /// Open loop: so many requests a second, whatever the answers do. A latency counts from the
    /// moment the request was due, so a stall is counted for every request it delays.
    PerSecond(u32),
}

/// One request on a connection of its own.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Probe {
    pub(crate) target: SocketAddr,
    pub(crate) host: String,
    pub(crate) path: String,
}

/// What the load generator says, one line each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "kebab-case")]
pub(crate) enum Report {
    /// The measured window begins now.
    Begin,
    /// The measured window ends now.
    End,
    /// The slice is over and its connections are closed.
    Done(Outcome),
    Probed {
        status: u16,
        body: String,
    },
    /// The order could not be carried out.
    Failed {
        reason: String,
    },
}

/// What a slice found.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Answers that arrived in the window, all of them checked: status, length and every byte.
    pub(crate) requests: u64,
    /// All answers, those of warm-up and tail included.
    pub(crate) answered: u64,
    /// Length of the window as it really was.
    pub(crate) seconds: f64,
    /// Wrong answers and broken connections from the first connection to the last, warm-up and tail included.
    pub(crate) errors: u64,
    pub(crate) first_error: Option<String>,
    /// Requests that were due in the window and could not be sent before its end: the backlog of an open loop.
    pub(crate) unsent: u64,
    pub(crate) p50_ns: u64,
    pub(crate) p99_ns: u64,
    pub(crate) max_ns: u64,
}

/// Carries out orders until standard input ends.
pub(crate) fn serve() -> anyhow::Result<()> {
    let mut input = std::io::stdin().lock();
    let mut line = String::new();
    loop {
        line.clear();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let report = match serde_json::from_str(&line).context("an order")? {
            Order::Slice(slice) => match engine::run(&slice, &mut say) {
                Ok(outcome) => Report::Done(outcome),
                Err(error) => Report::Failed { reason: format!("{error:#}") },
            },
            Order::Probe(request) => match probe::ask(&request) {
                Ok(answer) => Report::Probed { status: answer.status, body: answer.body },
                Err(error) => Report::Failed { reason: format!("{error:#}") },
            },
        };
        say(&report)?;
    }
}

fn say(report: &Report) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line)?;
    out.flush()?;
    Ok(())
}
