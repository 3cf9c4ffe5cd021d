//! Asking the machine's resolvers on behalf of a host in a VPC.
//!
//! The sockets live in the machine's own network namespace. Each query goes out from a fresh port
//! with a random id, and a reply counts only if it comes from the server asked and repeats both the
//! id and the question. What waits at one time is bounded; what is over the bound fails at once.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::metrics::Metrics;
use crate::resolv_conf::ResolvConf;
use crate::wire;

/// Where names that are not ours are asked.
#[derive(Debug, Clone)]
pub enum Upstreams {
    /// The `nameserver` lines of a file, read again when it changes; port 53 unless said otherwise.
    File { path: PathBuf, port: u16 },
    /// These, in this order.
    Fixed(Vec<SocketAddr>),
}

impl Default for Upstreams {
    fn default() -> Self {
        Self::File { path: "/etc/resolv.conf".into(), port: 53 }
    }
}

/// How the host asked: over TCP it can be given any reply, over UDP one with TC set will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

pub(crate) const SERVFAIL: u8 = 2;
const NOTIMP: u8 = 4;
const REFUSED: u8 = 5;

pub(crate) struct Upstream {
    servers: Servers,
    timeout: Duration,
    in_flight: Semaphore,
    /// Source and id of what is in flight, to recognise a query that came back to us.
    ours: Mutex<HashSet<(SocketAddr, u16)>>,
    metrics: Arc<Metrics>,
}

enum Servers {
    File(ResolvConf),
    Fixed(Arc<[SocketAddr]>),
}

impl Upstream {
    pub(crate) fn new(
        upstreams: Upstreams,
        timeout: Duration,
        max_in_flight: usize,
        metrics: Arc<Metrics>,
    ) -> Self {
        let servers = match upstreams {
            Upstreams::File { path, port } => Servers::File(ResolvConf::new(path, port)),
            Upstreams::Fixed(servers) => Servers::Fixed(servers.into()),
        };
        let in_flight = Semaphore::new(max_in_flight.min(Semaphore::MAX_PERMITS));
        Self { servers, timeout, in_flight, ours: Mutex::default(), metrics }
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// A resolver's reply for `query`, with its id and spelling; `None`: nobody answered.
    /// `client` is who asked us.
    pub(crate) async fn ask_all(
        &self,
        query: &[u8],
        client: SocketAddr,
        transport: Transport,
    ) -> Option<Vec<u8>> {
        self.metrics.forwarded.add();
        if self.is_ours(client, query) {
            self.metrics.loops.add();
            tracing::warn!(%client, "a resolver of this machine sends our own queries back to us");
            return None;
        }
        let Ok(_permit) = self.in_flight.try_acquire() else {
            self.metrics.overloaded.add();
            return None;
        };
        let servers = match &self.servers {
            Servers::File(conf) => conf.servers(),
            Servers::Fixed(servers) => servers.clone(),
        };
        let mut fallback = None;
        for server in servers.iter() {
            match self.ask(*server, query, transport).await {
                Ok(mut reply) => {
                    wire::adopt(&mut reply, query);
                    let code = wire::Header::read(&reply).map_or(SERVFAIL, wire::Header::rcode);
                    if !matches!(code, SERVFAIL | NOTIMP | REFUSED) {
                        return Some(reply);
                    }
                    // This server will not; the next one may.
                    fallback.get_or_insert(reply);
                }
                Err(error) => tracing::debug!(%server, %error, "resolver did not answer"),
            }
        }
        if fallback.is_none() {
            self.metrics.upstream_failures.add();
        }
        fallback
    }

    async fn ask(&self, server: SocketAddr, query: &[u8], transport: Transport) -> io::Result<Vec<u8>> {
        let deadline = Instant::now() + self.timeout;
        let reply = timeout_at(deadline, self.ask_udp(server, query)).await??;
        match (reply, transport) {
            (Some(reply), Transport::Udp) => return Ok(reply),
            (Some(reply), Transport::Tcp)
                if !wire::Header::read(&reply).is_some_and(wire::Header::is_truncated) =>
            {
                return Ok(reply);
            }
            // Longer than our own limit: the host is told to come back over TCP.
            (None, Transport::Udp) => {
                return wire::error_reply(query, 0)
                    .map(|mut reply| {
                        reply[2] |= 0x02;
                        reply
                    })
                    .ok_or_else(|| io::ErrorKind::InvalidData.into());
            }
            (_, Transport::Tcp) => {}
        }
        timeout_at(deadline, self.ask_tcp(server, query)).await?
    }

    /// `None`: the reply did not fit the buffer.
    async fn ask_udp(&self, server: SocketAddr, query: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let socket = UdpSocket::bind((unspecified(server), 0)).await?;
        socket.connect(server).await?;
        let (query, id) = with_random_id(query)?;
        let _own = self.mark(socket.local_addr()?, id);
        socket.send(&query).await?;
        let mut buffer = vec![0; wire::MAX_UDP_REPLY + 1];
        loop {
            // Whatever else arrives at this port is not looked at further; the deadline ends the wait.
            let length = socket.recv(&mut buffer).await?;
            if wire::is_reply_to(&buffer[..length], &query, id) {
                if length > wire::MAX_UDP_REPLY {
                    return Ok(None);
                }
                buffer.truncate(length);
                return Ok(Some(buffer));
            }
        }
    }

    async fn ask_tcp(&self, server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(server).await?;
        let (query, id) = with_random_id(query)?;
        let _own = self.mark(stream.local_addr()?, id);
        let length = u16::try_from(query.len()).map_err(|_| io::ErrorKind::InvalidData)?;
        let mut framed = Vec::with_capacity(query.len() + 2);
        framed.extend_from_slice(&length.to_be_bytes());
        framed.extend_from_slice(&query);
        stream.write_all(&framed).await?;
        let mut reply = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut reply).await?;
        if wire::is_reply_to(&reply, &query, id) { Ok(reply) } else { Err(io::ErrorKind::InvalidData.into()) }
    }

    fn is_ours(&self, client: SocketAddr, query: &[u8]) -> bool {
        let Some(header) = wire::Header::read(query) else { return false };
        self.ours.lock().unwrap_or_else(PoisonError::into_inner).contains(&(client, header.id()))
    }

    fn mark(&self, source: SocketAddr, id: u16) -> Marked<'_> {
        self.ours.lock().unwrap_or_else(PoisonError::into_inner).insert((source, id));
        Marked { upstream: self, key: (source, id) }
    }
}

/// Takes the mark away when the query is over, however it ends.
struct Marked<'a> {
    upstream: &'a Upstream,
    key: (SocketAddr, u16),
}

impl Drop for Marked<'_> {
    fn drop(&mut self) {
        self.upstream.ours.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

fn unspecified(server: SocketAddr) -> IpAddr {
    if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

fn with_random_id(query: &[u8]) -> io::Result<(Vec<u8>, u16)> {
    let id = getrandom::u32().map_err(io::Error::other)? as u16;
    let mut query = query.to_vec();
    wire::set_id(&mut query, id);
    Ok((query, id))
}
