//! `trellis-bench`: the data plane side by side with nginx, HAProxy and Envoy.
//!
//! `trellis-bench run` starts everything, measures and reports. The other commands are the parts it
//! starts as processes of their own: the load generator, the upstream, and a launcher that puts a
//! program on a core and into a network. How a run is made comparable is told in `measure`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;

mod aws;
mod candidates;
mod cases;
mod client;
mod clocks;
mod command_line;
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

use candidates::Extent;
use cases::host_name;
use client::LoadClient;
use command_line::{Cli, Command, Place, Protocols, Run, make, repeat};
use interrupt::Interrupt;
use machine::Machine;
use measure::Plan;
use peers::EnvoySource;
use protocols::Front;
use report::Report;
use scratch::Scratch;
use topology::{Cores, Topology};

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
        Command::TlsDataPlane { tls, grpc, passed, known, certificate, key, access_log } => {
            let fronts =
                [(Front::Tls, tls), (Front::Grpc, grpc), (Front::Passed, passed), (Front::Known, known)];
            let fronts = fronts.map(|(front, (port, upstream))| (front, port, upstream));
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
