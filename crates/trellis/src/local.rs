//! How `run`, `exec`, `ps`, `rm`, `status`, `account` and `key` talk to the running instance: one JSON line each way over a Unix
//! socket only the owner of the data directory can open.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use trellis_model::VpcId;
use trellis_model::resource::vpc::{HostedDatabase, Sandbox};

use crate::data_dir::Layout;
use crate::health::Part;

pub(crate) mod account;
pub(crate) mod client;
pub(crate) mod server;
pub(crate) mod status;

/// The longest line either side accepts: a command line may be long, not endless.
const MAX_LINE: u64 = 1 << 20;

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub(crate) enum Ask {
    /// Makes a host and waits until it can be entered. One that is not detached is removed when
    /// the connection closes.
    Run {
        subnet: String,
        name: String,
        ip: Option<std::net::Ipv4Addr>,
        ipv6: Option<std::net::Ipv6Addr>,
        security_groups: Vec<String>,
        command: Vec<String>,
        detached: bool,
        database: Option<HostedDatabase>,
        #[serde(default)]
        instance_profile: Option<String>,
        sandbox: Sandbox,
    },
    /// Waits until a host can be entered.
    Enter {
        host: String,
    },
    /// Where the router of a VPC can be entered.
    EnterVpc {
        vpc: VpcId,
    },
    List,
    /// Waits until the host and everything in it is gone.
    Remove {
        host: String,
    },
    /// What every part of the instance is up to.
    Status,
    Account(account::AccountAsk),
    /// Has a part panic from now on, or no longer.
    #[cfg(debug_assertions)]
    Break {
        part: String,
        broken: bool,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub(crate) enum Answer {
    Host(Host),
    Router { namespace: PathBuf, server_pid: u32 },
    Hosts { hosts: Vec<Host> },
    Removed,
    Status { parts: Vec<Part> },
    Account(account::AccountAnswer),
    Refused { reason: String },
}

/// A host as `trellis ps --json` shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) instance: String,
    /// `pending`, `running`, `exited (CODE)` or `failed: REASON`.
    pub(crate) state: String,
    pub(crate) ip: String,
    /// Absent where it has none.
    pub(crate) ipv6: Option<String>,
    pub(crate) vpc: String,
    pub(crate) subnet: String,
    pub(crate) detached: bool,
    /// Process to enter the host through; absent until it is there.
    pub(crate) pid: Option<u32>,
    pub(crate) command: Vec<String>,
    /// What commands find in their environment there; for whoever enters it, and not shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) environment: Vec<(String, String)>,
}

/// A path to the socket that fits `sockaddr_un`, whatever the length of the data directory's own:
/// through an open descriptor of the directory, which must be kept while the path is used.
fn short_socket_path(layout: &Layout) -> std::io::Result<(std::fs::File, PathBuf)> {
    let dir = std::fs::File::open(layout.root())?;
    let name = layout.socket();
    let name = name.file_name().map(Path::new).unwrap_or(Path::new("trellis.sock"));
    let path = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name);
    Ok((dir, path))
}

/// A connection to the instance of a data directory.
pub(crate) struct Connection {
    stream: BufReader<UnixStream>,
}

impl Connection {
    pub(crate) fn open(layout: &Layout) -> anyhow::Result<Self> {
        let not_running = || {
            format!(
                "no Trellis is running on {}: start one with `trellis up`, or name its --data-dir",
                layout.root().display()
            )
        };
        let (_dir, path) = short_socket_path(layout).with_context(not_running)?;
        let stream = UnixStream::connect(path).with_context(not_running)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends `ask` and waits for its answer. A refusal is an error that says the reason.
    pub(crate) fn ask(&mut self, ask: &Ask) -> anyhow::Result<Answer> {
        let mut line = serde_json::to_string(ask)?;
        line.push('\n');
        self.stream.get_mut().write_all(line.as_bytes()).context("the instance went away")?;
        let mut answer = String::new();
        (&mut self.stream).take(MAX_LINE).read_line(&mut answer).context("the instance went away")?;
        if answer.is_empty() {
            bail!("the instance went away before it answered");
        }
        match serde_json::from_str(&answer).context("the instance speaks another version of Trellis")? {
            Answer::Refused { reason } => bail!("{reason}"),
            answer => Ok(answer),
        }
    }
}
