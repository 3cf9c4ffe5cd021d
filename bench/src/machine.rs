//! Facts about the machine a report needs, and none that names it.

use std::process::Command;

use crate::process;

#[derive(Debug, serde::Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    pub(crate) system: String,
    /// Commit of the checkout, `+` when it had changes; empty outside one.
    pub(crate) commit: String,
    /// UTC, such as `2026-11-21`.
    pub(crate) date: String,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cpus = read("/proc/cpuinfo");
        let cpu = value_of(&cpus, "model name", ':');
        Self {
            cores: cpus.lines().filter(|line| line.starts_with("processor")).count(),
            cpu: if cpu.is_empty() { std::env::consts::ARCH.to_owned() } else { cpu },
            kernel: plain_version(read("/proc/sys/kernel/osrelease").trim()).to_owned(),
            system: value_of(&read("/etc/os-release"), "PRETTY_NAME", '=').trim_matches('"').to_owned(),
            commit: commit(),
            date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
        }
    }
}

/// A kernel's version without what its builder appended, which may name a place.
fn plain_version(release: &str) -> &str {
    let end = release.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(release.len());
    &release[..end]
}

fn value_of(text: &str, name: &str, separator: char) -> String {
    text.lines()
        .filter_map(|line| line.split_once(separator))
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim().to_owned())
        .unwrap_or_default()
}

fn commit() -> String {
    let git = |words: &[&str]| process::output(Command::new("git").args(words)).ok();
    let Some(commit) = git(&["rev-parse", "--short=10", "HEAD"]) else { return String::new() };
    let changed =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|text| !text.is_empty());
    if changed { commit + "+" } else { commit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_release_loses_its_suffix() {
        for (release, expected) in [("6.18.44-builder7", "6.18.44"), ("6.1.0", "6.1.0"), ("", "")] {
            assert_eq!(plain_version(release), expected);
        }
    }
}
