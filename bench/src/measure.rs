//! The measurement: short slices, every candidate in every cycle, in random order.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::candidates::Candidate;
use crate::cases::Case;
use crate::client::LoadClient;
use crate::clocks::{Reading, Spent};
use crate::interrupt::Interrupt;
use crate::load::{Outcome, Pace, Slice};
use crate::random::Random;
use crate::topology::{Cores, Topology};

/// Connections come up and pools fill before a window.
const WARM_UP_MS: u64 = 300;
/// Load goes on after a window while the clocks are read.
const TAIL_MS: u64 = 50;
/// At a fixed rate no candidate may be asked for more than this share of what the slowest can do.
const MAX_LOAD: f64 = 0.5;
/// Share of the requests of an open loop that may be left at the end of a window before it is said.
const MAX_BACKLOG: f64 = 0.01;
/// Bytes a line of an access log has at least.
const MIN_LOG_BYTES: f64 = 100.0;
/// Share by which a window may be longer or shorter than planned, and how often one is tried.
const MAX_STRETCH: f64 = 0.2;
const MAX_ATTEMPTS: u32 = 5;

/// What is measured and for how long.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) cases: Vec<Case>,
    pub(crate) cycles: usize,
    pub(crate) connections: usize,
    pub(crate) window: Duration,
    /// Wanted rate of the open loop, requests a second.
    pub(crate) rate: u32,
    /// Hosts that requests rotate through.
    pub(crate) hosts: Vec<String>,
    /// Rules of each that requests rotate through.
    pub(crate) rules: usize,
    pub(crate) cores: Cores,
    /// Of the orders of slices.
    pub(crate) seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Saturated,
    FixedRate,
}

/// One slice.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) case: Case,
    pub(crate) kind: Kind,
    /// Index of the candidate.
    pub(crate) candidate: usize,
    /// Microseconds of CPU time for each request.
    pub(crate) cpu_us: f64,
    /// Share of that time in user space.
    pub(crate) user: f64,
    /// Requests answered per second.
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Share of the proxy's core the candidate used.
    pub(crate) used: f64,
    /// Share of that core anything else used.
    pub(crate) others: f64,
    /// Share of the time the candidate was kept waiting for a core.
    pub(crate) waited: f64,
    /// Share of the load generator's core in use.
    pub(crate) load_core: f64,
}

/// All that a run found. Samples are in the order of cycles, so the n-th of one candidate and the
/// n-th of another, for the same case and kind, belong together.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) samples: Vec<Sample>,
    /// Rate of the open loop, by case.
    pub(crate) rates: Vec<(Case, u32)>,
    /// What went wrong. A run with one of these is a failed run.
    pub(crate) errors: Vec<String>,
    /// Open-loop slices that fell behind: what was left unsent is not in their latencies.
    pub(crate) behind: Vec<String>,
    pub(crate) requests: u64,
    /// Bytes of access log for each request of a candidate that writes one.
    pub(crate) log_bytes_per_request: Option<f64>,
}

impl Findings {
    /// One figure of one candidate, cycle by cycle.
    pub(crate) fn series(
        &self,
        case: Case,
        kind: Kind,
        candidate: usize,
        of: impl Fn(&Sample) -> f64,
    ) -> Vec<f64> {
        self.samples
            .iter()
            .filter(|sample| (sample.case, sample.kind, sample.candidate) == (case, kind, candidate))
            .map(of)
            .collect()
    }
}

/// Measures `candidates` as `plan` says.
pub(crate) fn run(
    plan: &Plan,
    candidates: &mut [Candidate],
    topology: &mut Topology,
    client: &mut LoadClient,
    interrupt: &Interrupt,
) -> anyhow::Result<Findings> {
    let mut run = Run { plan, candidates, topology, client, findings: Findings::default(), logged: (0, 0) };
    run.find_rates()?;
    let mut random = Random::new(plan.seed);
    let began = Instant::now();
    for cycle in 0..plan.cycles {
        for case in &plan.cases {
            for kind in [Kind::Saturated, Kind::FixedRate] {
                interrupt.check()?;
                run.round(*case, kind, &mut random)?;
            }
        }
        let left = began.elapsed() / (cycle as u32 + 1) * (plan.cycles - cycle - 1) as u32;
        eprintln!("Cycle {}/{} done, about {} s left", cycle + 1, plan.cycles, left.as_secs());
    }
    let Run { mut findings, logged: (requests, bytes), .. } = run;
    if requests > 0 {
        let each = bytes as f64 / requests as f64;
        if each < MIN_LOG_BYTES {
            findings
                .errors
                .push(format!("an access log of {each:.0} bytes a request is not one of every request"));
        }
        findings.log_bytes_per_request = Some(each);
    }
    Ok(findings)
}

struct Run<'a> {
    plan: &'a Plan,
    candidates: &'a mut [Candidate],
    topology: &'a mut Topology,
    client: &'a mut LoadClient,
    findings: Findings,
    /// Requests to candidates that log, and the bytes they logged.
    logged: (u64, u64),
}

impl Run<'_> {
    /// One short saturated slice each: fills pools and caches, and finds a rate all can keep.
    fn find_rates(&mut self) -> anyhow::Result<()> {
        for case in self.plan.cases.clone() {
            let mut slowest = f64::INFINITY;
            for candidate in 0..self.candidates.len() {
                let sample =
                    self.slice(case, Kind::Saturated, Pace::Saturate, candidate, self.plan.window / 2)?;
                slowest = slowest.min(sample.per_second);
            }
            let affordable = (slowest * MAX_LOAD / 100.0).floor() * 100.0;
            let rate = f64::from(self.plan.rate).min(affordable) as u32;
            ensure!(
                rate > 0,
                "{}: the slowest candidate answers {slowest:.0} requests a second",
                case.title()
            );
            eprintln!("{}: fixed rate {rate}/s (the slowest candidate answers {slowest:.0}/s)", case.title());
            self.findings.rates.push((case, rate));
        }
        Ok(())
    }

    /// A slice for every candidate, in random order.
    fn round(&mut self, case: Case, kind: Kind, random: &mut Random) -> anyhow::Result<()> {
        let pace = match kind {
            Kind::Saturated => Pace::Saturate,
            Kind::FixedRate => {
                let rate = self.findings.rates.iter().find(|(other, _)| *other == case);
                Pace::PerSecond(rate.context("no rate for this case")?.1)
            }
        };
        let mut order: Vec<usize> = (0..self.candidates.len()).collect();
        random.shuffle(&mut order);
        for candidate in order {
            let sample = self.slice(case, kind, pace, candidate, self.plan.window)?;
            self.findings.samples.push(sample);
        }
        let figures: Vec<String> = self
            .candidates
            .iter()
            .enumerate()
            .map(|(index, candidate)| {
                let last = self.findings.samples.iter().rev().find(|sample| sample.candidate == index);
                last.map_or(String::new(), |sample| match kind {
                    Kind::Saturated => {
                        format!("{} {:.1} us {:.0}/s", candidate.name, sample.cpu_us, sample.per_second)
                    }
                    Kind::FixedRate => {
                        format!("{} {:.1} us p99 {:.0} us", candidate.name, sample.cpu_us, sample.p99_us)
                    }
                })
            })
            .collect();
        let label = if kind == Kind::Saturated { "saturated " } else { "fixed rate" };
        eprintln!("  {:<12}{label}  {}", case.title(), figures.join(", "));
        Ok(())
    }

    /// One slice, and what it says.
    fn slice(
        &mut self,
        case: Case,
        kind: Kind,
        pace: Pace,
        index: usize,
        window: Duration,
    ) -> anyhow::Result<Sample> {
        let mut attempts = 0;
        let (outcome, spent) = loop {
            attempts += 1;
            let (outcome, spent) = self.load(case, pace, index, window)?;
            let stretched = outcome.seconds / window.as_secs_f64();
            if (1.0 - MAX_STRETCH..=1.0 + MAX_STRETCH).contains(&stretched) {
                break (outcome, spent);
            }
            // Says nothing about the candidate: the load generator itself did not get to run.
            eprintln!("  The machine stood still; the slice is repeated");
            ensure!(attempts < MAX_ATTEMPTS, "the machine is too busy to measure anything");
        };
        let name = &self.candidates[index].name;
        let label = format!("{name}, {}", case.title());
        if outcome.errors > 0 {
            let first = outcome.first_error.as_deref().unwrap_or_default();
            let text = format!("{label}: {} errors; the first: {first}", outcome.errors);
            eprintln!("  ERROR {text}");
            self.findings.errors.push(text);
        }
        let due = outcome.requests + outcome.unsent;
        if outcome.unsent as f64 > due as f64 * MAX_BACKLOG {
            let text = format!("{label}: {} of {due} requests could not be sent in time", outcome.unsent);
            eprintln!("  {text}");
            self.findings.behind.push(text);
        }
        ensure!(outcome.requests > 0, "{label}: nothing answered in {window:?}");
        self.findings.requests += outcome.requests;
        let per_second = outcome.requests as f64 / outcome.seconds;
        Ok(Sample {
            case,
            kind,
            candidate: index,
            // Two rates, each over its own window: what reading the clocks a moment late adds cancels out.
            cpu_us: spent.candidate * 1e6 / per_second,
            user: spent.user,
            per_second,
            p50_us: outcome.p50_ns as f64 / 1e3,
            p99_us: outcome.p99_ns as f64 / 1e3,
            used: spent.candidate,
            others: spent.others,
            waited: spent.waited,
            load_core: spent.load_core,
        })
    }

    /// Puts load on a candidate and looks at the clocks where the window begins and ends.
    fn load(
        &mut self,
        case: Case,
        pace: Pace,
        index: usize,
        window: Duration,
    ) -> anyhow::Result<(Outcome, Spent)> {
        let Plan { connections, hosts, rules, cores, .. } = self.plan;
        self.topology.check_alive()?;
        let candidate = &mut self.candidates[index];
        candidate.check_alive()?;
        let slice = Slice {
            target: candidate.address,
            case,
            pace,
            hosts: hosts.clone(),
            rules: *rules,
            connections: *connections,
            warm_up_ms: WARM_UP_MS,
            window_ms: window.as_millis() as u64,
            tail_ms: TAIL_MS,
        };
        let mut readings = Vec::with_capacity(2);
        let look = || {
            readings.push(Reading::take(&candidate.counted, cores.proxy, cores.load)?);
            Ok(())
        };
        let outcome = self
            .client
            .slice(slice, look)
            .with_context(|| format!("{} with {}", candidate.name, case.title()))?;
        let [before, after] = &readings[..] else { bail!("a slice without a window") };
        if let Some(logs) = &candidate.access_logs {
            // Emptied, so that the kernel does not write it back to disk in another candidate's slice.
            self.logged.0 += outcome.answered;
            self.logged.1 += empty_files(logs)?;
        }
        Ok((outcome, after.since(before)))
    }
}

/// Empties every file of a directory; the bytes they held.
fn empty_files(dir: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let entry = entry?;
        // A file that rotation has just taken away counts for nothing.
        let Ok(file) = std::fs::OpenOptions::new().write(true).open(entry.path()) else { continue };
        bytes += file.metadata()?.len();
        file.set_len(0).with_context(|| format!("emptying {}", entry.path().display()))?;
    }
    Ok(bytes)
}
