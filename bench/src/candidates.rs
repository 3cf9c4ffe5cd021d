//! What is measured: Trellis and its peers, all up at once, and checked to do the same work.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::cases::{ECHO_PATH, host_name, rule_prefix};
use crate::client::LoadClient;
use crate::clocks::Counted;
use crate::interrupt::Interrupt;
use crate::load::Probe;
use crate::peers::{EnvoySource, Peer, Site};
use crate::process::{self, Process, family, this_program};
use crate::topology::{Subject, Topology, Trellis};

/// The first port a peer listens on; the others follow.
const FIRST_PORT: u16 = 8081;
/// Name of the candidate that does no work.
pub(crate) const RELAY: &str = "relay";
/// How long a candidate may take until it serves.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// One proxy, up and serving.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) name: String,
    /// Name and version.
    pub(crate) version: String,
    pub(crate) address: SocketAddr,
    pub(crate) counted: Counted,
    /// Directory of its access log, if it writes one.
    pub(crate) access_logs: Option<std::path::PathBuf>,
    /// Absent for Trellis, which belongs to the topology.
    process: Option<Process>,
}

/// A proxy named on the command line: a name and a command to run where the peers run, with
/// `{listen}`, `{upstream}`, `{hosts}` and `{rules}` filled in.
#[derive(Debug, Clone)]
pub(crate) struct Extra {
    name: String,
    words: Vec<String>,
}

impl std::str::FromStr for Extra {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, command) = text.split_once('=').ok_or("expected NAME=COMMAND")?;
        let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        if name.is_empty() || words.is_empty() {
            return Err("expected NAME=COMMAND".to_owned());
        }
        Ok(Self { name: name.to_owned(), words })
    }
}

/// How much every candidate is configured with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) hosts: usize,
    pub(crate) rules: usize,
}

/// Starts all candidates, Trellis first.
pub(crate) fn start(
    topology: &Topology,
    peers: &[Peer],
    envoy: &EnvoySource,
    extras: &[Extra],
    extent: Extent,
    dir: &Path,
) -> anyhow::Result<Vec<Candidate>> {
    let mut ports = FIRST_PORT..;
    let front = topology.front;
    let mut listen = || SocketAddr::new(front, ports.next().unwrap_or(FIRST_PORT));
    let mut candidates = vec![match &topology.subject {
        Subject::Trellis(trellis) => Candidate::trellis(trellis.clone()),
        Subject::DataPlane => Candidate::data_plane(topology, listen(), extent, dir)?,
    }];
    candidates.push(Candidate::relay(topology, listen(), dir)?);
    for extra in extras {
        let address = listen();
        let fill = |word: &String| {
            word.replace("{listen}", &address.to_string())
                .replace("{upstream}", &topology.upstream.to_string())
                .replace("{hosts}", &extent.hosts.to_string())
                .replace("{rules}", &extent.rules.to_string())
        };
        let command = process::command(&topology.at_proxy, extra.words.iter().map(fill));
        let process = Process::start(&extra.name, command, dir, false)?;
        candidates.push(Candidate::new(extra.name.clone(), extra.name.clone(), address, process));
    }
    for peer in peers {
        let name = peer.name();
        let program = peer.program(envoy)?;
        let version = peer.version(&program)?;
        eprintln!("Starting {version}");
        let dir = dir.join(name);
        std::fs::create_dir(&dir).with_context(|| format!("making {}", dir.display()))?;
        let address = listen();
        let site = Site {
            listen: address,
            upstream: topology.upstream,
            source: topology.source,
            hosts: extent.hosts,
            rules: extent.rules,
            dir: &dir,
        };
        let command = process::command(&topology.at_proxy, peer.prepare(&program, &site)?);
        let process = Process::start(name, command, &dir, false)?;
        candidates.push(Candidate::new(name.to_owned(), version, address, process));
    }
    Ok(candidates)
}

impl Candidate {
    fn new(name: String, version: String, address: SocketAddr, process: Process) -> Self {
        let counted = Counted(vec![process.pid()]);
        Self { name, version, address, counted, access_logs: None, process: Some(process) }
    }

    fn trellis(Trellis { version, address, counted, access_logs }: Trellis) -> Self {
        let name = "trellis".to_owned();
        Self { name, version, address, counted, access_logs: Some(access_logs), process: None }
    }

    fn data_plane(
        topology: &Topology,
        address: SocketAddr,
        extent: Extent,
        dir: &Path,
    ) -> anyhow::Result<Self> {
        let access_logs = dir.join("access-logs");
        std::fs::create_dir(&access_logs).with_context(|| format!("making {}", access_logs.display()))?;
        let mut command = process::command(&topology.at_proxy, [this_program()?]);
        command.args(["data-plane", &address.to_string(), &topology.upstream.to_string()]);
        command.args(["--hosts", &extent.hosts.to_string(), "--rules", &extent.rules.to_string()]);
        command.arg("--access-log").arg(access_logs.join("access.log"));
        let process = Process::start("data-plane", command, dir, false)?;
        let version = concat!("data plane of trellis ", env!("CARGO_PKG_VERSION")).to_owned();
        let candidate = Self::new("data-plane".to_owned(), version, address, process);
        Ok(Self { access_logs: Some(access_logs), ..candidate })
    }

    /// What the system calls of a proxy cost by themselves, to compare with and not to beat.
    fn relay(topology: &Topology, address: SocketAddr, dir: &Path) -> anyhow::Result<Self> {
        let mut command = process::command(&topology.at_proxy, [this_program()?]);
        command.args(["relay", &address.to_string(), &topology.upstream.to_string()]);
        if let Some(source) = topology.source {
            command.args(["--source", &source.to_string()]);
        }
        let process = Process::start(RELAY, command, dir, false)?;
        let version = "relay: four system calls and nothing between them".to_owned();
        Ok(Self::new(RELAY.to_owned(), version, address, process))
    }

    pub(crate) fn check_alive(&mut self) -> anyhow::Result<()> {
        self.process.as_mut().map_or(Ok(()), Process::check_alive)
    }

    /// Waits until it serves, checks that it does the work the others do, and notes whose time counts.
    pub(crate) fn check(
        &mut self,
        client: &mut LoadClient,
        interrupt: &Interrupt,
        extent: Extent,
        hosts: &[String],
    ) -> anyhow::Result<()> {
        let ask = |client: &mut LoadClient, host: &str, path: String| {
            client.probe(Probe { target: self.address, host: host.to_owned(), path })
        };
        let deadline = Instant::now() + START_PATIENCE;
        let last = host_name(extent.hosts - 1);
        let echo = format!("{}{ECHO_PATH}", rule_prefix(extent.rules - 1));
        let head = loop {
            interrupt.check()?;
            if let Some(process) = &mut self.process {
                process.check_alive()?;
            }
            match ask(client, &last, echo.clone()) {
                Ok((200, body)) => break body,
                answer if Instant::now() >= deadline => {
                    let found = match answer {
                        Ok((status, _)) => format!("status {status}"),
                        Err(error) => format!("{error:#}"),
                    };
                    let log = self.process.as_ref().map(Process::log_end).unwrap_or_default();
                    bail!("does not serve after {START_PATIENCE:?}: {found}{log}");
                }
                _ => std::thread::sleep(Duration::from_millis(100)),
            }
        };
        if self.name == RELAY {
            self.note_processes();
            return Ok(());
        }
        check_added_headers(&head, self.address.port())
            .with_context(|| format!("the upstream saw:\n{head}"))?;
        for host in hosts {
            for rule in 0..extent.rules {
                let path = format!("{}{ECHO_PATH}", rule_prefix(rule));
                let (status, body) = ask(client, host, path.clone())?;
                ensure!(status == 200 && body.contains(&path), "{host}{path} was answered with {status}");
            }
        }
        let unknown = [(host_name(extent.hosts), echo), (host_name(0), format!("/none/{ECHO_PATH}"))];
        for (host, path) in unknown {
            let (status, _) = ask(client, &host, path.clone())?;
            ensure!(status != 200, "{host}{path} matches nothing and was answered with 200");
        }
        self.note_processes();
        Ok(())
    }

    fn note_processes(&mut self) {
        if let Some(process) = &self.process {
            self.counted = Counted(family(process.pid()));
            process.prefer();
        }
    }
}

/// The headers every candidate adds, in a request head as the upstream saw it.
fn check_added_headers(head: &str, port: u16) -> anyhow::Result<()> {
    let values = |name: &str| -> Vec<&str> {
        head.lines()
            .filter_map(|line| line.split_once(':'))
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    };
    ensure!(values("x-forwarded-for").len() == 1, "no single X-Forwarded-For");
    ensure!(values("x-forwarded-proto") == ["http"], "no X-Forwarded-Proto: http");
    ensure!(values("x-forwarded-port") == [port.to_string()], "no X-Forwarded-Port: {port}");
    let ids = ["x-request-id", "x-amzn-requestid"].map(|name| values(name).len());
    ensure!(ids.iter().sum::<usize>() == 1, "no single request id");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_that_adds_too_little_is_found_out() {
        let full = "GET / HTTP/1.1\r\nx-forwarded-for: 10.0.0.1\r\nX-Forwarded-Proto: http\r\n\
                    X-Forwarded-Port: 80\r\nx-amzn-requestid: 1\r\n\r\n";
        check_added_headers(full, 80).unwrap();
        for missing in ["x-forwarded-for", "X-Forwarded-Proto", "X-Forwarded-Port", "x-amzn-requestid"] {
            assert!(check_added_headers(&full.replace(missing, "x-other"), 80).is_err(), "{missing}");
        }
        assert!(check_added_headers(full, 8081).is_err());
    }

    #[test]
    fn an_extra_candidate_is_a_name_and_a_command() {
        let extra: Extra = "mine=./proxy --listen {listen}".parse().unwrap();
        assert_eq!((extra.name.as_str(), extra.words.len()), ("mine", 3));
        assert!("mine".parse::<Extra>().is_err() && "=x".parse::<Extra>().is_err());
    }
}
