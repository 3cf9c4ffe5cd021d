//! `trellis policy`: what policies mean.

mod caller;
mod explain;
mod lint;
mod replay;
mod running;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use trellis_policy::MAX_POLICY_BYTES;

use crate::cli::DataDir;
use crate::data_dir::Layout;

const INVOKE: &str = "vpc-lattice-svcs:Invoke";
const CONNECT: &str = "vpc-lattice-svcs:Connect";

#[derive(Debug, Args)]
pub(crate) struct PolicyArgs {
    #[command(flatten)]
    data_dir: DataDir,
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// Find in auth policies what is accepted and nobody means; exits with 1 where something is found
    Lint(lint::Lint),
    /// Say which statement of which policy decides on a request, and why the others do not apply
    Explain(Box<explain::Explain>),
    /// List the requests of access logs that a changed policy would decide otherwise; exits with 1 where there are any
    Replay(Box<replay::Replay>),
}

pub(crate) fn policy(args: PolicyArgs) -> anyhow::Result<ExitCode> {
    let mut text = String::new();
    let code = run(args, &mut text)?;
    // Whoever closes the pipe has seen enough.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(code)
}

fn run(args: PolicyArgs, text: &mut String) -> anyhow::Result<ExitCode> {
    match args.command {
        PolicyCommand::Lint(args) => lint::run(&args, text),
        PolicyCommand::Explain(explain) => {
            explain::run(&explain, &Layout::at(&args.data_dir.data_dir)?, text)
        }
        PolicyCommand::Replay(args) => replay::run(&args, text),
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    let length = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    if length > MAX_POLICY_BYTES as u64 {
        bail!("{} has {length} bytes, and a policy at most {MAX_POLICY_BYTES}", path.display());
    }
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    /// What the command says, with `@` for the place.
    pub(super) fn run(place: &Path, line: &str) -> (String, ExitCode) {
        let line = line.replace('@', &format!("{}/", place.display()));
        let Command::Policy(args) = Cli::try_parse_from(line.split_whitespace()).unwrap().command else {
            panic!("not policy")
        };
        let mut text = String::new();
        let code = super::run(args, &mut text);
        (text, code.unwrap())
    }

    pub(super) fn place() -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        fs::write(
            place.path().join("service.json"),
            r#"{"Version": "2012-10-17", "Statement": [{"Sid": "Team", "Effect": "Allow", "Action": "*", "Resource": "*/items*",
                "Principal": {"AWS": "arn:aws:iam::111122223333:role/apps/app"},
                "Condition": {"StringEquals": {"aws:PrincipalTag/team": "red"}}}]}"#,
        )
        .unwrap();
        fs::write(
            place.path().join("role.json"),
            r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}"#,
        )
        .unwrap();
        place
    }
}
