//! What `trellis-bench protocols` prints and writes.

use std::fmt::Write;

use serde_json::{Value, json};

use super::load::Work;
use super::{Case, Plan, Sample};
use crate::machine::Machine;
use crate::random::Random;
use crate::stats::{Estimate, estimate, median, ratios};

/// All that a run found.
#[derive(Debug)]
pub(crate) struct Report {
    pub(super) plan: Plan,
    /// Name and version; the data plane first.
    pub(super) candidates: Vec<(String, String)>,
    pub(super) amounts: Vec<Work>,
    pub(super) samples: Vec<Sample>,
}

impl Report {
    fn series(&self, case: Case, candidate: usize, of: impl Fn(&Sample) -> f64) -> Vec<f64> {
        let samples =
            self.samples.iter().filter(|sample| (sample.case, sample.candidate) == (case, candidate));
        samples.map(of).collect()
    }

    /// The data plane's CPU time over a candidate's.
    fn ratio(&self, case: Case, candidate: usize) -> Option<Estimate> {
        let ours = self.series(case, 0, |sample| sample.cpu_us);
        let theirs = self.series(case, candidate, |sample| sample.cpu_us);
        estimate(&ratios(&ours, &theirs), &mut Random::new(self.plan.seed))
    }

    /// The tables alone.
    pub(crate) fn tables(&self) -> String {
        let mut text = String::new();
        for work in &self.amounts {
            let unit = work.case.unit();
            let _ = write!(
                text,
                "## {}\n\n| candidate | CPU per {unit} | data-plane / it | {unit}s/s |\n|---|---|---|---|\n",
                work.case.title()
            );
            for (index, (name, _)) in self.candidates.iter().enumerate() {
                if self.series(work.case, index, |sample| sample.cpu_us).is_empty() {
                    continue;
                }
                let figure =
                    |of: fn(&Sample) -> f64| median(&self.series(work.case, index, of)).unwrap_or(f64::NAN);
                let ratio = (index > 0).then(|| self.ratio(work.case, index)).flatten();
                let ratio = ratio.map_or("–".to_owned(), |found| {
                    format!("{:.2} [{:.2}, {:.2}]", found.median, found.low, found.high)
                });
                let _ = writeln!(
                    text,
                    "| {name} | {:.2} us | {ratio} | {:.0} |",
                    figure(|sample| sample.cpu_us),
                    figure(|sample| sample.per_second),
                );
            }
            text.push('\n');
        }
        text
    }

    /// A page for docs/benchmarks.
    pub(crate) fn markdown(&self, command: &str) -> String {
        let machine = Machine::look();
        let versions: Vec<&str> = self.candidates.iter().map(|(_, version)| version.as_str()).collect();
        let amounts: Vec<String> = self
            .amounts
            .iter()
            .map(|work| format!("{} {}s of {}", work.amount, work.case.unit(), work.case.title()))
            .collect();
        format!(
            "# TLS, HTTP/2, gRPC and passthrough, side by side\n\n\
             This page is written by `make bench`; edit the program, not the page.\n\n\
             {date}. {cores} cores ({cpu}), Linux {kernel}, {system}. {versions}.\n\n\
             ## How to repeat it\n\n```\n{command}\n```\n\n\
             ## What was measured\n\n\
             - Each candidate has one worker on core {proxy}; load generator and upstreams share core {load}; everything is on\n  \
               the loopback interface of one network namespace.\n\
             - TLS 1.3 with one self-signed P-256 certificate. h2load makes the requests, grpc-go the gRPC calls with all\n  \
               that it sends around them, which takes it longer than any candidate: their rates are the client's. Kept\n  \
               connections are 64, HTTP/2 and gRPC use 10 connections of 10 streams, handshakes have a connection for each request. HTTP requests end at\n  \
               an HTTP/1.1 upstream, gRPC at a cleartext HTTP/2 one. Passthrough moves bytes by SNI, 4 connections at a time.\n\
             - A proved caller signs with SigV4, and policies of network, service and caller decide; beside it stands the same\n  \
               request without. Envoy's has a token, which its JWT filter proves (RS256) with its cache on and without policies.\n\
             - The data plane's metrics and access log are on, its peers' logs and statistics are off.\n\
             - In each of {cycles} cycles every candidate does the same fixed work in random order: {amounts}. Every answer is a\n  \
               success. Ratios are taken within a cycle; quoted is their median and, in brackets, the 95 % bootstrap interval.\n\
             - CPU time is the candidate's own, all threads, from the scheduler's clock, over the whole of that work.\n\n{tables}",
            date = machine.date,
            cores = machine.cores,
            cpu = machine.cpu,
            kernel = machine.kernel,
            system = machine.system,
            versions = versions.join(", "),
            proxy = self.plan.cores.proxy,
            load = self.plan.cores.load,
            cycles = self.plan.cycles,
            amounts = amounts.join(", "),
            tables = self.tables(),
        )
    }

    /// Every number.
    pub(crate) fn json(&self) -> Value {
        let samples: Vec<Value> = self
            .samples
            .iter()
            .map(|sample| {
                json!({
                    "case": sample.case.title(),
                    "candidate": self.candidates[sample.candidate].0,
                    "cpu_us": sample.cpu_us,
                    "per_second": sample.per_second,
                })
            })
            .collect();
        json!({ "seed": self.plan.seed, "candidates": self.candidates, "samples": samples })
    }
}
