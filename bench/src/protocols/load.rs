//! The load of one slice: h2load for requests, grpc-go for gRPC, this program for bytes.
//!
//! A real gRPC client sends WINDOW_UPDATEs and PINGs around every call, which h2load does not.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};

use super::Case;
use super::caller::PATH;
use super::candidates::Candidate;
use super::identity::{HOST, PASSED};
use crate::process::{self, this_program};
use crate::topology::Topology;

/// Kept connections of the HTTP/1.1 case.
const KEPT: u64 = 64;
/// Connections and streams of each in the HTTP/2 and gRPC cases.
const MULTIPLEXED: (u64, u64) = (10, 10);
/// Connections that come at once in the handshake case, at most: every peer takes so many.
const MOST_AT_ONCE: u64 = 2000;
/// Connections that fetch bytes at once.
pub(super) const FETCHERS: u64 = 4;

/// A case, and how many units of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    pub(crate) case: Case,
    pub(crate) amount: u64,
}

/// A little of a case, to find out how much fits a slice.
pub(super) fn first(case: Case) -> Work {
    let amount = match case {
        Case::TlsGet | Case::KnownCaller | Case::Http2Get | Case::Grpc => 3200,
        Case::TlsHandshake => 200,
        Case::Passthrough => 128,
    };
    Work { case, amount }
}

/// An amount near `wanted` that divides among the connections.
pub(super) fn round_up(case: Case, wanted: f64) -> u64 {
    let step = match case {
        Case::TlsGet | Case::KnownCaller => KEPT,
        Case::TlsHandshake => 1,
        Case::Http2Get | Case::Grpc => MULTIPLEXED.0 * MULTIPLEXED.1,
        Case::Passthrough => FETCHERS,
    };
    let most = if case == Case::TlsHandshake { MOST_AT_ONCE } else { u64::MAX };
    (wanted as u64).clamp(1, most).div_ceil(step) * step
}

/// Does the work through `candidate`; the seconds it took.
///
/// # Errors
/// Any answer that is not a success.
pub(super) fn run(topology: &Topology, candidate: &Candidate, work: Work) -> anyhow::Result<f64> {
    let outcome = match work.case {
        Case::Passthrough => fetch(topology, candidate, work.amount),
        Case::Grpc => call(topology, candidate, work.amount),
        _ => h2load(topology, candidate, work),
    };
    outcome.with_context(|| format!("{}, {}", candidate.name, work.case.title()))
}

fn h2load(topology: &Topology, candidate: &Candidate, work: Work) -> anyhow::Result<f64> {
    let Work { case, amount } = work;
    let target = match case {
        Case::KnownCaller => candidate.fronts.known.context("it does not know callers")?,
        _ => candidate.fronts.tls,
    };
    let authority = format!("{HOST}:{}", target.port());
    let mut words: Vec<String> = vec!["h2load".into(), "-t1".into(), format!("-n{amount}")];
    match case {
        Case::TlsGet | Case::KnownCaller => words.extend(["--h1".into(), format!("-c{KEPT}")]),
        // All at once; each leaves after its request.
        Case::TlsHandshake => words.extend(["--h1".into(), format!("-c{amount}")]),
        _ => words.extend([format!("-c{}", MULTIPLEXED.0), format!("-m{}", MULTIPLEXED.1)]),
    }
    if case == Case::KnownCaller {
        for (name, value) in candidate.proof.headers(&authority)? {
            words.push(format!("-H{name}: {value}"));
        }
    }
    words.push(format!("--connect-to={target}"));
    words.push(format!("https://{authority}{PATH}"));
    let text = process::output(&mut process::command(&topology.at_client, words))?;
    let succeeded = text
        .lines()
        .find(|line| line.starts_with("requests:"))
        .and_then(|line| line.split(", ").find_map(|part| part.strip_suffix(" succeeded")))
        .and_then(|number| number.parse().ok());
    ensure!(succeeded == Some(amount), "not every request succeeded:\n{text}");
    let seconds = text
        .lines()
        .find_map(|line| line.strip_prefix("finished in "))
        .and_then(|rest| seconds(rest.split(',').next()?));
    seconds.with_context(|| format!("no time in:\n{text}"))
}

/// `1.23s`, `456.78ms` or `900us` in seconds.
fn seconds(text: &str) -> Option<f64> {
    for (unit, scale) in [("us", 1e-6), ("ms", 1e-3), ("s", 1.0)] {
        if let Some(number) = text.strip_suffix(unit) {
            return Some(number.parse::<f64>().ok()? * scale);
        }
    }
    None
}

/// Where `scripts/setup bench` builds e2e/load: target/tools beside the folder of this program.
fn grpc_client() -> anyhow::Result<PathBuf> {
    let program = this_program()?;
    let tool = program.parent().and_then(Path::parent).map(|target| target.join("tools/load"));
    let tool = tool.filter(|tool| tool.exists());
    tool.context("target/tools/load is not there: run scripts/setup bench")
}

fn call(topology: &Topology, candidate: &Candidate, calls: u64) -> anyhow::Result<f64> {
    let (connections, streams) = MULTIPLEXED;
    let mut command = process::command(&topology.at_client, [grpc_client()?]);
    command.args(["calls", &candidate.fronts.grpc.to_string(), HOST]).arg(&candidate.certificate);
    command.args(["/bench.Echo/Unary", &calls.to_string(), &connections.to_string(), &streams.to_string()]);
    let text = process::output(&mut command)?;
    text.trim().parse().with_context(|| format!("not a time: {text:?}"))
}

fn fetch(topology: &Topology, candidate: &Candidate, mebibytes: u64) -> anyhow::Result<f64> {
    let mut command: Command = process::command(&topology.at_client, [this_program()?]);
    command.args(["fetch", &candidate.fronts.passed.to_string(), PASSED, &mebibytes.to_string()]);
    let text = process::output(&mut command)?;
    match text.trim().parse() {
        Ok(seconds) => Ok(seconds),
        Err(_) => bail!("not a time: {text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_unit_h2load_prints() {
        for (text, expected) in [("1.5s", 1.5), ("250.00ms", 0.25), ("800us", 0.0008)] {
            assert!((seconds(text).unwrap() - expected).abs() < 1e-9, "{text}");
        }
        assert_eq!(seconds("soon"), None);
    }

    #[test]
    fn work_divides_among_connections() {
        assert_eq!(round_up(Case::TlsGet, 1.0), KEPT);
        assert_eq!(round_up(Case::Http2Get, 101.0), 200);
    }
}
