//! Whether the parts of the process do their work: what `/healthz` answers and `trellis status` shows.
//!
//! Each is tried rather than asked: the listeners are connected to, the store's writer is given a transaction, the data
//! plane's workers are watched for a moment. What was found holds for a second, so that probes cost what one costs.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};
use trellis_control::Control;

/// How long a part may take to show that it works.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long what was found holds.
const FRESH: Duration = Duration::from_secs(1);
/// Between two looks at the workers.
const LOOK: Duration = Duration::from_millis(60);

/// One part of the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) healthy: bool,
    /// What was found, for a person.
    pub(crate) detail: String,
}

/// What is looked at.
pub(crate) struct Health {
    pub(crate) control: Control,
    pub(crate) resolver: trellis_dns::Server,
    pub(crate) workers: trellis_proxy::Metrics,
    /// The HTTP listeners, by name.
    pub(crate) listeners: Vec<(&'static str, SocketAddr)>,
    pub(crate) last: Mutex<Option<(Instant, Arc<[Part]>)>>,
}

impl Health {
    /// Every part, as it is now or was a moment ago.
    pub(crate) async fn check(&self) -> Arc<[Part]> {
        let mut last = self.last.lock().await;
        if let Some((when, parts)) = &*last
            && when.elapsed() < FRESH
        {
            return parts.clone();
        }
        let listeners = async {
            let mut parts = Vec::new();
            for (name, address) in &self.listeners {
                let found = within(answers(*address)).await;
                parts.push(part(name, found.map(|()| format!("answers on {address}"))));
            }
            parts
        };
        let (mut parts, store, workers) = tokio::join!(listeners, self.store(), self.workers());
        parts.extend([store, workers, self.resolvers()]);
        let parts: Arc<[Part]> = parts.into();
        *last = Some((Instant::now(), parts.clone()));
        parts
    }

    async fn store(&self) -> Part {
        let checked = within(async { self.control.check_writer().await.map_err(|error| error.to_string()) });
        part("store", checked.await.map(|()| "takes transactions".to_owned()))
    }

    /// All workers have to be seen moving.
    async fn workers(&self) -> Part {
        let before = self.workers.beats();
        let standing = |now: Vec<u64>| {
            let pairs = before.iter().zip(now).enumerate();
            pairs.filter(|(_, (before, now))| **before == *now).map(|(index, _)| index).collect::<Vec<_>>()
        };
        let start = Instant::now();
        loop {
            sleep(LOOK).await;
            let standing = standing(self.workers.beats());
            if standing.is_empty() {
                return part("workers", Ok(format!("all {} move", before.len())));
            }
            if start.elapsed() > PATIENCE {
                return part("workers", Err(format!("of {}, these stand still: {standing:?}", before.len())));
            }
        }
    }

    fn resolvers(&self) -> Part {
        let ended = self.resolver.ended();
        let found = match ended.as_slice() {
            [] => Ok(format!("serve {} VPCs", self.resolver.vpcs().len())),
            [(vpc, address), ..] => {
                Err(format!("{} sockets are served no more, {address} in {vpc} among them", ended.len()))
            }
        };
        part("resolvers", found)
    }
}

fn part(name: &str, found: Result<String, String>) -> Part {
    let healthy = found.is_ok();
    Part { name: name.to_owned(), healthy, detail: found.unwrap_or_else(|fault| fault) }
}

async fn within<T>(look: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let silent = || Err(format!("says nothing for {} s", PATIENCE.as_secs()));
    timeout(PATIENCE, look).await.unwrap_or_else(|_| silent())
}

/// Whether HTTP is spoken there, whatever is said.
async fn answers(address: SocketAddr) -> Result<(), String> {
    let fault = |error: io::Error| format!("{address}: {error}");
    let mut stream = TcpStream::connect(reachable(address)).await.map_err(fault)?;
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await
        .map_err(fault)?;
    let mut start = [0; 5];
    stream.read_exact(&mut start).await.map_err(fault)?;
    if &start == b"HTTP/" { Ok(()) } else { Err(format!("{address} does not speak HTTP")) }
}

/// Every address of the machine includes this one.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip: IpAddr = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
