//! What a run found, in words, tables and raw numbers.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::candidates::{Candidate, Extent, RELAY};
use crate::cases::Case;
use crate::machine::Machine;
use crate::measure::{Findings, Kind, Plan, Sample};
use crate::random::Random;
use crate::stats::{Estimate, estimate, median, ratios};

mod targets;

pub(crate) use targets::Target;

/// Everything a report is made from.
pub(crate) struct Report<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) extent: Extent,
    pub(crate) topology: &'static str,
    /// The first is the subject: the others are what it is compared with.
    pub(crate) candidates: &'a [Candidate],
    pub(crate) findings: &'a Findings,
    pub(crate) machine: Machine,
    /// The command that repeats the run.
    pub(crate) command: String,
}

/// One candidate in one case.
#[derive(Debug)]
struct Row {
    cpu_us: f64,
    user: f64,
    /// Subject's CPU time per request over this candidate's; absent for the subject.
    cpu_ratio: Option<Estimate>,
    per_second: f64,
    per_second_ratio: Option<Estimate>,
    p50_us: f64,
    p99_us: f64,
    used: f64,
    others: f64,
    load_core: f64,
}

impl Report<'_> {
    /// Tables for a page of documentation.
    pub(crate) fn markdown(&self) -> String {
        let Self { plan, extent, machine, findings, .. } = self;
        let mut text = String::new();
        let versions: Vec<&str> =
            self.candidates.iter().map(|candidate| candidate.version.as_str()).collect();
        let commit =
            if machine.commit.is_empty() { String::new() } else { format!(", commit {}", machine.commit) };
        // Writing to a String cannot fail, here and below.
        let _ = write!(
            text,
            "# HTTP/1.1 side by side\n\n\
             This page is written by `make bench`; edit the program, not the page.\n\n\
             {date}{commit}. {cores} cores ({cpu}), Linux {kernel}, {system}.\n{versions}.\n\n\
             ## How to repeat it\n\n\
             As root, on a machine with two cores or more and little else to do:\n\n\
             ```\n{command}\n```\n\n\
             ## What was measured\n\n",
            date = machine.date,
            cores = machine.cores,
            cpu = machine.cpu,
            kernel = machine.kernel,
            system = machine.system,
            versions = versions.join(", "),
            command = self.command,
        );
        let _ = write!(
            text,
            "- Topology: {topology}.\n\
             - Each candidate has one worker on core {proxy}; load generator and upstream share core {load}.\n\
             - Every candidate has {hosts} virtual hosts with {rules} path-prefix rules each, adds X-Forwarded-For,\n  \
               X-Forwarded-Proto, X-Forwarded-Port and a request id, and forwards on pooled keep-alive connections.\n  \
               Requests rotate through {rotated} of the hosts and {rotated_rules} rules of each.\n",
            topology = self.topology,
            proxy = plan.cores.proxy,
            load = plan.cores.load,
            hosts = extent.hosts,
            rules = extent.rules,
            rotated = plan.hosts.len(),
            rotated_rules = plan.rules,
        );
        if let Some(bytes) = findings.log_bytes_per_request {
            let _ = writeln!(
                text,
                "- Trellis runs as it does in use: control plane, DNS, metrics, health checks of {} target groups and the\n  \
                 access log ({bytes:.0} bytes a request) are on, and the time of all its threads counts. The peers have\n  \
                 neither log nor health checks, and one upstream pool for all hosts.",
                extent.hosts
            );
        }
        text.push_str(
            "- `relay` is no proxy but the floor: it copies bytes between a client and a connection of its own to the\n  \
               upstream, with the four system calls a proxy makes for a request, and reads none of them. `envoy` runs without\n  \
               statistics, as its guide to benchmarking has it; `envoy-stats` with those it keeps by default.\n",
        );
        let _ = write!(
            text,
            "- {connections} keep-alive connections. All candidates are up at once; in each of {cycles} cycles each gets a slice\n  \
               of {window:.1} s per case and load, in random order. Ratios are taken within a cycle; quoted is their\n  \
               median and, in brackets, the 95 % bootstrap interval.\n\
             - CPU time is the candidate's own, all threads, from the scheduler's clock. \"Other load\" is the share of\n  \
               core {proxy} that anything else took, \"load core\" how busy core {load} was.\n\
             - Every answer's status, length and bytes are checked. {requests} requests, {errors} failures.\n\n",
            connections = plan.connections,
            cycles = plan.cycles,
            window = plan.window.as_secs_f64(),
            proxy = plan.cores.proxy,
            load = plan.cores.load,
            requests = thousands(findings.requests as f64),
            errors = findings.errors.len(),
        );
        if !findings.errors.is_empty() {
            text.push_str("**This run failed:**\n\n");
            for error in findings.errors.iter().take(20) {
                let _ = writeln!(text, "- {error}");
            }
            text.push('\n');
        }
        if !findings.behind.is_empty() {
            text.push_str("Slices of the open loop that fell behind; what was never sent is not in their latencies:\n\n");
            for slice in findings.behind.iter().take(20) {
                let _ = writeln!(text, "- {slice}");
            }
            text.push('\n');
        }
        text.push_str(&self.targets_table());
        text.push_str(&self.tables());
        text
    }

    /// The tables alone.
    pub(crate) fn tables(&self) -> String {
        let mut text = String::new();
        let subject = &self.candidates[0].name;
        for case in &self.plan.cases {
            let _ = write!(
                text,
                "## {title}\n\nSaturated, closed loop:\n\n\
                 | candidate | CPU per request | in user space | {subject} / it | requests/s | {subject} / it | core used | other load | load core |\n\
                 |---|---|---|---|---|---|---|---|---|\n",
                title = case.title()
            );
            for (name, row) in self.rows(*case, Kind::Saturated) {
                let _ = writeln!(
                    text,
                    "| {name} | {:.2} us | {} | {} | {} | {} | {} | {} | {} |",
                    row.cpu_us,
                    percent(row.user),
                    interval(row.cpu_ratio),
                    thousands(row.per_second),
                    interval(row.per_second_ratio),
                    percent(row.used),
                    percent(row.others),
                    percent(row.load_core),
                );
            }
            let rate =
                self.findings.rates.iter().find(|(other, _)| other == case).map_or(0, |(_, rate)| *rate);
            let _ = write!(
                text,
                "\nOpen loop, {}/s:\n\n\
                 | candidate | CPU per request | {subject} / it | p50 | p99 | core used | other load |\n\
                 |---|---|---|---|---|---|---|\n",
                thousands(f64::from(rate))
            );
            for (name, row) in self.rows(*case, Kind::FixedRate) {
                let _ = writeln!(
                    text,
                    "| {name} | {:.2} us | {} | {} us | {} us | {} | {} |",
                    row.cpu_us,
                    interval(row.cpu_ratio),
                    thousands(row.p50_us),
                    thousands(row.p99_us),
                    percent(row.used),
                    percent(row.others),
                );
            }
            text.push('\n');
        }
        text
    }

    /// The targets as a table; nothing when the subject is not Trellis.
    pub(crate) fn targets_table(&self) -> String {
        let targets = self.targets();
        if targets.is_empty() {
            return String::new();
        }
        let mut text = "## Targets\n\nCPU time per request at saturation, as a ratio:\n\n\
                        | case | compared with | target | found | |\n|---|---|---|---|---|\n"
            .to_owned();
        for target in targets {
            let _ = writeln!(
                text,
                "| {} | {} | at most {:.2} | {} | {} |",
                target.case.title(),
                target.peer,
                target.limit,
                interval(Some(target.found)),
                if target.met() { "met" } else { "**not met**" },
            );
        }
        text.push('\n');
        text
    }

    /// What the project promises for the cases measured, and what was found.
    pub(crate) fn targets(&self) -> Vec<Target> {
        if !["trellis", "data-plane"].contains(&self.candidates[0].name.as_str()) {
            return Vec::new();
        }
        let mut found = Vec::new();
        for case in &self.plan.cases {
            let compared: Vec<(&str, Estimate)> = self
                .rows(*case, Kind::Saturated)
                .into_iter()
                // The floor is no peer: it does none of the work.
                .filter(|(name, _)| *name != RELAY)
                .filter_map(|(name, row)| Some((name, row.cpu_ratio?)))
                .collect();
            found.extend(targets::check(*case, &compared));
        }
        found
    }

    fn rows(&self, case: Case, kind: Kind) -> Vec<(&str, Row)> {
        // Of its own, so that a report of the same samples is the same report.
        let mut random = Random::new(self.plan.seed);
        let series =
            |candidate: usize, of: fn(&Sample) -> f64| self.findings.series(case, kind, candidate, of);
        let middle =
            |candidate: usize, of: fn(&Sample) -> f64| median(&series(candidate, of)).unwrap_or_default();
        let mut against = |candidate: usize, of: fn(&Sample) -> f64| {
            if candidate == 0 {
                None
            } else {
                estimate(&ratios(&series(0, of), &series(candidate, of)), &mut random)
            }
        };
        (0..self.candidates.len())
            .map(|index| {
                let row = Row {
                    cpu_us: middle(index, |sample| sample.cpu_us),
                    user: middle(index, |sample| sample.user),
                    cpu_ratio: against(index, |sample| sample.cpu_us),
                    per_second: middle(index, |sample| sample.per_second),
                    per_second_ratio: against(index, |sample| sample.per_second),
                    p50_us: middle(index, |sample| sample.p50_us),
                    p99_us: middle(index, |sample| sample.p99_us),
                    used: middle(index, |sample| sample.used),
                    others: middle(index, |sample| sample.others),
                    load_core: middle(index, |sample| sample.load_core),
                };
                (self.candidates[index].name.as_str(), row)
            })
            .collect()
    }

    /// Every number of every slice.
    pub(crate) fn json(&self) -> Value {
        let Self { plan, extent, machine, findings, .. } = self;
        let mut results = Vec::new();
        for case in &plan.cases {
            for kind in [Kind::Saturated, Kind::FixedRate] {
                for (index, candidate) in self.candidates.iter().enumerate() {
                    let series = |of: fn(&Sample) -> f64| -> Vec<f64> {
                        findings.series(*case, kind, index, of).into_iter().map(rounded).collect()
                    };
                    results.push(json!({
                        "case": case,
                        "load": if kind == Kind::Saturated { "saturated" } else { "fixed-rate" },
                        "candidate": candidate.name,
                        "cpu_us": series(|sample| sample.cpu_us),
                        "user": series(|sample| sample.user),
                        "per_second": series(|sample| sample.per_second),
                        "p50_us": series(|sample| sample.p50_us),
                        "p99_us": series(|sample| sample.p99_us),
                        "used": series(|sample| sample.used),
                        "others": series(|sample| sample.others),
                        "waited": series(|sample| sample.waited),
                        "load_core": series(|sample| sample.load_core),
                    }));
                }
            }
        }
        let rates: Vec<Value> =
            findings.rates.iter().map(|(case, rate)| json!({ "case": case, "per_second": rate })).collect();
        json!({
            "machine": machine,
            "versions": self.candidates.iter().map(|candidate| &candidate.version).collect::<Vec<_>>(),
            "hosts": extent.hosts,
            "rules": extent.rules,
            "connections": plan.connections,
            "cycles": plan.cycles,
            "window_seconds": plan.window.as_secs_f64(),
            "seed": plan.seed,
            "rates": rates,
            "requests": findings.requests,
            "log_bytes_per_request": findings.log_bytes_per_request.map(rounded),
            "errors": findings.errors,
            "behind": findings.behind,
            "targets": self.targets().iter().map(Target::json).collect::<Vec<_>>(),
            "results": results,
        })
    }

    /// [`Self::json`] as a file: one series a line.
    pub(crate) fn json_text(&self) -> String {
        let Value::Object(mut all) = self.json() else { return String::new() };
        let results = all.remove("results").unwrap_or_default();
        let mut text = serde_json::to_string_pretty(&all).unwrap_or_default();
        // The object's closing brace and the line break before it.
        text.truncate(text.len().saturating_sub(2));
        text.push_str(",\n  \"results\": [\n");
        let lines: Vec<String> =
            results.as_array().into_iter().flatten().map(|line| format!("    {line}")).collect();
        text.push_str(&lines.join(",\n"));
        text.push_str("\n  ]\n}\n");
        text
    }
}

/// Four significant digits.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    let scale = 10f64.powi(3 - value.abs().log10().floor() as i32);
    (value * scale).round() / scale
}

fn interval(found: Option<Estimate>) -> String {
    found.map_or("–".to_owned(), |Estimate { median, low, high }| {
        format!("{median:.2} [{low:.2}, {high:.2}]")
    })
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        for (value, expected) in [(0.0, "0"), (999.4, "999"), (6000.0, "6,000"), (1_234_567.0, "1,234,567")] {
            assert_eq!(thousands(value), expected);
        }
        for (value, expected) in
            [(0.0, 0.0), (12.345_67, 12.35), (0.001_234_56, 0.001_235), (43_219.0, 43_220.0)]
        {
            assert!((rounded(value) - expected).abs() < 1e-9, "{value}");
        }
    }
}
