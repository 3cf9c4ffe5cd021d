//! The proxies Trellis is measured against, each configured as its own documentation tunes it.
//!
//! All do the same work: match Host among all virtual hosts and the path among all rules, add
//! X-Forwarded-For, -Proto, -Port and a request id, forward on pooled keep-alive connections. Their
//! access logs and health checks are off and all hosts share one upstream pool: their best case.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::process;

mod envoy;
mod envoy_install;
mod haproxy;
mod nginx;

pub(crate) use envoy_install::{EnvoySource, PACKAGE as ENVOY_PACKAGE};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Peer {
    Nginx,
    Haproxy,
    /// Without statistics, as its guide to benchmarking has it.
    Envoy,
    /// With the statistics it keeps unless told otherwise, as Trellis keeps its metrics.
    EnvoyStats,
}

/// What one peer is configured for.
#[derive(Debug)]
pub(crate) struct Site<'a> {
    pub(crate) listen: SocketAddr,
    pub(crate) upstream: SocketAddr,
    /// The address to dial the upstream from, where it matters.
    pub(crate) source: Option<IpAddr>,
    /// Virtual hosts.
    pub(crate) hosts: usize,
    /// Path rules of each.
    pub(crate) rules: usize,
    /// Where the peer's files go; nobody else's.
    pub(crate) dir: &'a Path,
}

impl Peer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
            Self::EnvoyStats => "envoy-stats",
        }
    }

    /// The program; Envoy is installed when it is not there yet.
    pub(crate) fn program(self, envoy: &EnvoySource) -> anyhow::Result<PathBuf> {
        match self {
            Self::Nginx | Self::Haproxy => find_program(self.name()),
            Self::Envoy | Self::EnvoyStats => envoy.program(),
        }
    }

    /// Name and version for the report, such as `nginx 1.22.1`.
    pub(crate) fn version(self, program: &Path) -> anyhow::Result<String> {
        let flag = if matches!(self, Self::Nginx | Self::Haproxy) { "-v" } else { "--version" };
        let text = process::output(Command::new(program).arg(flag))?;
        let number = text
            .split([' ', '/', '\n', '-'])
            .find(|word| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit()))
            .with_context(|| format!("no version in {text:?}"))?;
        Ok(format!("{} {number}", self.name()))
    }

    /// Writes its configuration and returns the words that run it in the foreground.
    pub(crate) fn prepare(self, program: &Path, site: &Site<'_>) -> anyhow::Result<Vec<OsString>> {
        let write = |name: &str, text: &str| {
            let path = site.dir.join(name);
            std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
            anyhow::Ok(path)
        };
        let mut words = vec![program.as_os_str().to_owned()];
        match self {
            Self::Nginx => {
                let config = write("nginx.conf", &nginx::config(site))?;
                words.extend(["-p".into(), site.dir.into(), "-c".into(), config.into()]);
                words.extend(["-e".into(), "stderr".into()]);
            }
            Self::Haproxy => {
                let map = write("rules.map", &haproxy::map(site))?;
                let config = write("haproxy.cfg", &haproxy::config(site, &map))?;
                words.extend(["-db".into(), "-f".into(), config.into()]);
            }
            Self::Envoy | Self::EnvoyStats => {
                let config = envoy::config(site, self == Self::EnvoyStats);
                let config = write("envoy.json", &config.to_string())?;
                words.extend(
                    ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error", "-c"]
                        .map(Into::into),
                );
                words.push(config.into());
            }
        }
        Ok(words)
    }
}

/// Looks on PATH and where Debian keeps servers.
fn find_program(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    match places.map(|dir: PathBuf| dir.join(name)).find(|file| file.is_file()) {
        Some(file) => Ok(file),
        None => bail!("{name} is not installed: `apt-get install {name}`, or leave it out with --peers"),
    }
}

/// What the tests of every configuration begin with.
#[cfg(test)]
fn example_site(dir: &Path) -> Site<'_> {
    Site {
        listen: SocketAddr::from(([169, 254, 171, 1], 8081)),
        upstream: SocketAddr::from(([10, 0, 2, 10], 9000)),
        source: Some(IpAddr::from([169, 254, 171, 2])),
        hosts: 3,
        rules: 2,
        dir,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The peers' own parsers are the judges, where they are installed.
    #[test]
    fn installed_peers_accept_their_configuration() {
        for (peer, check) in [(Peer::Nginx, "-t"), (Peer::Haproxy, "-c")] {
            let Ok(program) = find_program(peer.name()) else { continue };
            let dir = tempfile::tempdir().unwrap();
            let mut site = example_site(dir.path());
            // nginx binds while it tests.
            site.listen = SocketAddr::from(([127, 0, 0, 1], 0));
            site.listen
                .set_port(std::net::TcpListener::bind(site.listen).unwrap().local_addr().unwrap().port());
            let words = peer.prepare(&program, &site).unwrap();
            let result = process::output(process::command(&words, [check]).current_dir(dir.path()));
            assert!(result.is_ok(), "{peer:?}: {:#}", result.unwrap_err());
        }
    }
}
