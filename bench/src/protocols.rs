//! TLS, HTTP/2, gRPC and raw bytes, side by side: what `trellis-bench protocols` measures.
//!
//! Everything is on the loopback interface of one network namespace, each candidate on core 0, load and upstreams on
//! core 1. The load of a slice is a fixed amount of work, so that its CPU time is the whole of what it cost: connections
//! and handshakes included, which the amount makes small, except where they are what is measured.

mod bytes;
mod caller;
mod candidates;
mod data_plane;
mod grpc;
mod identity;
mod load;
mod report;

use std::path::Path;
use std::time::Instant;

use anyhow::ensure;

pub(crate) use bytes::{fetch, serve as serve_bytes};
pub(crate) use data_plane::{Front, serve as serve_data_plane};
pub(crate) use grpc::serve as serve_grpc;

use crate::clocks::{Counted, Reading};
use crate::interrupt::Interrupt;
use crate::peers::{EnvoySource, Peer};
use crate::random::Random;
use crate::topology::{self, Cores};
use candidates::Candidate;
use load::Work;
pub(crate) use report::Report;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Case {
    /// HTTP/1.1 over TLS 1.3, connections kept, GET of 128 B
    TlsGet,
    /// The same by a caller who proves who it is, and decided on by policies
    KnownCaller,
    /// A full TLS 1.3 handshake and one GET of 128 B
    TlsHandshake,
    /// HTTP/2 over TLS, 10 connections of 10 streams, GET of 128 B from an HTTP/1.1 upstream
    Http2Get,
    /// Unary gRPC over TLS, 10 connections of 10 streams, to a cleartext HTTP/2 upstream
    Grpc,
    /// Bytes of TLS connections passed through by SNI, 4 connections at a time
    Passthrough,
}

impl Case {
    pub(crate) const ALL: [Self; 6] =
        [Self::TlsGet, Self::KnownCaller, Self::TlsHandshake, Self::Http2Get, Self::Grpc, Self::Passthrough];

    fn title(self) -> &'static str {
        match self {
            Self::TlsGet => "TLS, HTTP/1.1 GET 128 B",
            Self::KnownCaller => "TLS, HTTP/1.1 GET 128 B, caller proved",
            Self::TlsHandshake => "TLS handshake and one GET",
            Self::Http2Get => "TLS, HTTP/2 GET 128 B",
            Self::Grpc => "gRPC unary",
            Self::Passthrough => "TLS passthrough",
        }
    }

    /// What one of is counted.
    fn unit(self) -> &'static str {
        if self == Self::Passthrough { "MiB" } else { "request" }
    }
}

/// What is measured and for how long.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) cases: Vec<Case>,
    pub(crate) cycles: usize,
    /// About how long a slice of the slowest candidate takes.
    pub(crate) slice_seconds: f64,
    pub(crate) cores: Cores,
    pub(crate) seed: u64,
}

/// One slice of one candidate.
#[derive(Debug, Clone, Copy)]
struct Sample {
    case: Case,
    candidate: usize,
    /// Microseconds of CPU time for each unit.
    cpu_us: f64,
    per_second: f64,
}

/// Starts everything, measures, and returns what was found. Whatever it starts ends when it returns.
pub(crate) fn run(
    plan: Plan,
    peers: &[Peer],
    envoy: &EnvoySource,
    dir: &Path,
    interrupt: &Interrupt,
) -> anyhow::Result<Report> {
    let mut topology = topology::loopback::start(dir, plan.cores)?;
    let (mut candidates, _upstreams) = candidates::start(&topology, peers, envoy, dir)?;
    let mut amounts = Vec::new();
    for case in &plan.cases {
        // The slowest candidate says how much work fits a slice; the first pass also shows that all serve.
        let mut slowest = f64::INFINITY;
        for candidate in candidates.iter_mut().filter(|candidate| candidate.serves(*case)) {
            interrupt.check()?;
            candidate.check_alive()?;
            let work = load::first(*case);
            let began = Instant::now();
            load::run(&topology, candidate, work)?;
            slowest = slowest.min(work.amount as f64 / began.elapsed().as_secs_f64());
        }
        let amount = load::round_up(*case, slowest * plan.slice_seconds);
        eprintln!("{}: {amount} x {} a slice", case.title(), case.unit());
        amounts.push(Work { case: *case, amount });
    }
    topology.prefer();
    let mut random = Random::new(plan.seed);
    let mut samples = Vec::new();
    for cycle in 0..plan.cycles {
        for work in &amounts {
            let mut order: Vec<usize> =
                (0..candidates.len()).filter(|index| candidates[*index].serves(work.case)).collect();
            random.shuffle(&mut order);
            for index in order {
                interrupt.check()?;
                topology.check_alive()?;
                let candidate = &mut candidates[index];
                candidate.check_alive()?;
                samples.push(slice(&plan, &topology, candidate, index, *work)?);
            }
            let line: Vec<String> = candidates
                .iter()
                .enumerate()
                .filter_map(|(index, candidate)| {
                    let last = samples
                        .iter()
                        .rev()
                        .find(|sample| (sample.candidate, sample.case) == (index, work.case))?;
                    Some(format!("{} {:.1} us", candidate.name, last.cpu_us))
                })
                .collect();
            eprintln!("  {:<40}{}", work.case.title(), line.join(", "));
        }
        eprintln!("Cycle {}/{} done", cycle + 1, plan.cycles);
    }
    ensure!(!samples.is_empty(), "nothing was measured: no cases or no cycles");
    let names =
        candidates.iter().map(|candidate| (candidate.name.clone(), candidate.version.clone())).collect();
    Ok(Report { plan, candidates: names, amounts, samples })
}

fn slice(
    plan: &Plan,
    topology: &topology::Topology,
    candidate: &Candidate,
    index: usize,
    work: Work,
) -> anyhow::Result<Sample> {
    let counted: &Counted = &candidate.counted;
    let before = Reading::take(counted, plan.cores.proxy, plan.cores.load)?;
    let began = Instant::now();
    let seconds = load::run(topology, candidate, work)?;
    let elapsed = began.elapsed().as_secs_f64();
    let spent = Reading::take(counted, plan.cores.proxy, plan.cores.load)?.since(&before);
    Ok(Sample {
        case: work.case,
        candidate: index,
        cpu_us: spent.candidate * elapsed * 1e6 / work.amount as f64,
        per_second: work.amount as f64 / seconds,
    })
}
