//! The commands that talk to a running instance: `env`, `run`, `exec`, `ps`, `rm`; those about accounts are
//! in [`super::account`].

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, bail};
use trellis_model::resource::vpc::HostedDatabase;
use trellis_net::host;

use super::{Answer, Ask, Connection, Host, account};
use crate::cli;
use crate::cli::sandbox::Variable;
use crate::data_dir::{Credentials, Layout};

/// Prints what an AWS client needs in its environment.
pub(crate) fn env(args: &cli::Env) -> anyhow::Result<ExitCode> {
    let layout = Layout::at(&args.data_dir.data_dir)?;
    // The socket tells whether the instance lives; a file left by kill -9 does not.
    let mut connection = Connection::open(&layout)?;
    let endpoint = std::fs::read_to_string(layout.endpoint())
        .context("the instance has not finished starting: wait for `trellis is ready`")?;
    let mut credentials = Credentials::load(&layout.credentials())?
        .with_context(|| format!("{} is gone: restart trellis", layout.credentials().display()))?;
    if let Some(account) = &args.account {
        let question = account::AccountAsk::FindKey { account: account.clone() };
        let account::AccountAnswer::Key { access_key_id, secret_access_key, account } =
            account::ask(&mut connection, question)?
        else {
            bail!("the instance speaks another version of Trellis")
        };
        credentials = Credentials {
            access_key_id,
            secret_access_key: secret_access_key.expose().to_owned(),
            account: account.to_string(),
            ..credentials
        };
    }
    let mut text = String::new();
    for (name, value) in [
        ("AWS_ENDPOINT_URL", endpoint.trim()),
        ("AWS_ACCESS_KEY_ID", &credentials.access_key_id),
        ("AWS_SECRET_ACCESS_KEY", &credentials.secret_access_key),
        ("AWS_REGION", &credentials.region),
        ("AWS_DEFAULT_REGION", &credentials.region),
        ("AWS_ACCOUNT_ID", &credentials.account),
        // Clients must not wait for a metadata service that is not there.
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("TRELLIS_DATA_DIR", &layout.root().to_string_lossy()),
        // Not AWS_CA_BUNDLE: that one replaces every authority an AWS client trusts.
        ("TRELLIS_CA_BUNDLE", &layout.ca_pem().to_string_lossy()),
    ] {
        text.push_str(&format!("export {name}={}\n", shell_quoted(value)));
    }
    // A token of a real AWS session would be sent along with our key and be refused.
    text.push_str("unset AWS_SESSION_TOKEN AWS_PROFILE\n");
    print(&text)
}

/// Quotes `value` for a POSIX shell unless it is plainly safe.
fn shell_quoted(value: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_./:=+@%,".contains(c);
    if !value.is_empty() && value.chars().all(safe) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', r"'\''"))
    }
}

pub(crate) fn run(args: cli::Run) -> anyhow::Result<ExitCode> {
    let mut connection = Connection::open(&Layout::at(&args.data_dir.data_dir)?)?;
    let sandbox = args.sandbox.into_sandbox(&args.environment);
    let database = args.resource_arn.zip(args.resource_port).map(|(arn, port)| HostedDatabase { arn, port });
    let host = expect_host(connection.ask(&Ask::Run {
        subnet: args.subnet.to_string(),
        name: args.name,
        ip: args.ip,
        ipv6: args.ipv6,
        security_groups: args.security_groups,
        command: args.command.clone(),
        detached: args.detach,
        database,
        instance_profile: args.iam_instance_profile,
        sandbox,
    })?)?;
    if args.detach {
        return print(&format!("{}\n", host.instance));
    }
    let code = enter(&host, &args.command, &args.environment)?;
    // Closing the connection is what removes the host; wait until it is gone.
    connection.ask(&Ask::Remove { host: host.instance })?;
    Ok(code)
}

pub(crate) fn exec(args: cli::Exec) -> anyhow::Result<ExitCode> {
    let mut connection = Connection::open(&Layout::at(&args.data_dir.data_dir)?)?;
    if let Some(vpc) = args.vpc {
        let Answer::Router { namespace, server_pid } = connection.ask(&Ask::EnterVpc { vpc })? else {
            bail!("the instance speaks another version of Trellis")
        };
        return Ok(ended(host::enter_network(server_pid, &namespace, &args.command)));
    }
    let name = args.host.context("name a host, or a VPC with --vpc")?;
    let host = expect_host(connection.ask(&Ask::Enter { host: name })?)?;
    enter(&host, &args.command, &args.environment)
}

/// What a command in a host finds of our environment: how the terminal is, and what was named.
const PASSED: [&str; 2] = ["TERM", "LANG"];

fn enter(host: &Host, command: &[String], named: &[Variable]) -> anyhow::Result<ExitCode> {
    let base = host::base_environment().map(|(name, value)| (name.into(), value.into()));
    let passed = PASSED.into_iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?)));
    let named = named.iter().map(|variable| (variable.name.clone().into(), variable.value.clone().into()));
    let given = host.environment.iter().map(|(name, value)| (name.into(), value.into()));
    let environment: BTreeMap<OsString, OsString> =
        base.into_iter().chain(given).chain(passed).chain(named).collect();
    let environment: Vec<_> = environment.into_iter().collect();
    let pid = host.pid.with_context(|| format!("host {} is {}", host.name, host.state))?;
    Ok(ended(host::enter(pid, command, &environment)))
}

/// The exit status of a command that ran inside, or of one that could not, as a shell has it.
fn ended(outcome: Result<i32, host::EnterError>) -> ExitCode {
    let code = outcome.unwrap_or_else(|error| {
        // Whoever waits for the status gets it, though standard error be closed.
        let _ = writeln!(std::io::stderr(), "trellis: {error}");
        error.exit_code()
    });
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

fn expect_host(answer: Answer) -> anyhow::Result<Host> {
    match answer {
        Answer::Host(host) => Ok(host),
        _ => bail!("the instance speaks another version of Trellis"),
    }
}

pub(crate) fn ps(args: &cli::Ps) -> anyhow::Result<ExitCode> {
    let mut connection = Connection::open(&Layout::at(&args.data_dir.data_dir)?)?;
    let Answer::Hosts { hosts } = connection.ask(&Ask::List)? else {
        bail!("the instance speaks another version of Trellis")
    };
    if args.json {
        return print(&format!("{}\n", serde_json::to_string_pretty(&hosts)?));
    }
    print(&host_table(&hosts))
}

fn host_table(hosts: &[Host]) -> String {
    let rows = hosts.iter().map(|host| {
        [
            host.name.clone(),
            host.instance.clone(),
            host.state.clone(),
            host.ip.clone(),
            host.ipv6.clone().unwrap_or_else(|| "-".into()),
            host.vpc.clone(),
            host.subnet.clone(),
            host.command.join(" "),
        ]
    });
    table(["NAME", "INSTANCE", "STATE", "IP", "IPV6", "VPC", "SUBNET", "COMMAND"], rows)
}

/// Columns as wide as their widest cell, two spaces apart.
pub(super) fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let widths: Vec<usize> =
        (0..N).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        let line: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

pub(crate) fn rm(args: &cli::Rm) -> anyhow::Result<ExitCode> {
    let mut connection = Connection::open(&Layout::at(&args.data_dir.data_dir)?)?;
    for host in &args.hosts {
        connection.ask(&Ask::Remove { host: host.clone() })?;
        print(&format!("{host}\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn print(text: &str) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // `trellis ps | head` closes early; that is not a failure.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_a_shell() {
        for (value, expected) in [
            ("http://127.0.0.1:4560", "http://127.0.0.1:4560"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
            ("$(id)", "'$(id)'"),
        ] {
            assert_eq!(shell_quoted(value), expected);
        }
    }

    #[test]
    fn the_table_lines_its_columns_up() {
        let host = Host {
            name: "web".into(),
            instance: "i-0123456789abcdef0".into(),
            state: "running".into(),
            ip: "10.0.0.9".into(),
            ipv6: Some("fd12::9".into()),
            vpc: "vpc-1".into(),
            subnet: "subnet-1".into(),
            detached: true,
            pid: Some(1),
            command: vec!["sleep".into(), "9".into()],
            environment: Vec::new(),
        };
        let text = host_table(&[host]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].find("COMMAND"), lines[1].find("sleep 9"));
    }
}
