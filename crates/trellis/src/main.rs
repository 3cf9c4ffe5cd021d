//! The `trellis` binary: flags -> configuration -> wiring. Sees all the other crates.

mod cli;
mod clusters;
mod data_dir;
#[cfg(debug_assertions)]
mod fault;
mod health;
mod hosts;
mod http_server;
mod image;
mod kube;
mod local;
mod log;
mod memory;
mod policy;
mod sign;
mod supervise;
mod up;
mod vpc_sockets;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // A host's first process is this same program; it is not for users and has no flags.
    if let Some(code) = trellis_net::host::init_if_asked().or_else(clusters::host_if_asked) {
        return code;
    }
    let outcome = match cli::Cli::parse().command {
        cli::Command::Up(args) => start(args),
        cli::Command::Env(args) => local::client::env(&args),
        cli::Command::Run(args) => local::client::run(args),
        cli::Command::Exec(args) => local::client::exec(args),
        cli::Command::Ps(args) => local::client::ps(&args),
        cli::Command::Rm(args) => local::client::rm(&args),
        cli::Command::Status(args) => local::status::status(&args),
        cli::Command::Account(args) => local::account::account(args),
        cli::Command::Key(args) => local::account::key(args),
        cli::Command::Image(args) => image::image(args),
        cli::Command::Sign(args) => sign::sign(args),
        cli::Command::Kube(args) => kube::kube(args),
        cli::Command::Policy(args) => policy::policy(args),
    };
    outcome.unwrap_or_else(|error| {
        log::complain(&format!("{error:#}"));
        ExitCode::FAILURE
    })
}

fn start(args: cli::Up) -> anyhow::Result<ExitCode> {
    // Namespaces are entered while there is one thread: the kernel asks for that.
    trellis_net::user_namespace::enter_if_needed()?;
    trellis_net::memory::keep_large_blocks_apart();
    log::start();
    let open_files = trellis_net::open_files::raise_limit();
    tracing::debug!(open_files, "limits");
    let outcome = up::up(args, usize::try_from(open_files).unwrap_or(0));
    log::finish();
    outcome
}
