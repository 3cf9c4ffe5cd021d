//! What an operator decides about the data plane, and the bounds it keeps.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Everything [`crate::Proxy::start`] is told.
#[derive(Debug, Clone, Default)]
pub struct ProxyConfig {
    /// Worker threads, each with its own sockets. Default 0: one per core this process may use.
    pub workers: usize,
    /// Keep each worker on one core. Default false; useful when nothing else runs on the machine.
    pub pin: bool,
    /// Where access-log lines go. Default `None`: nowhere, and none are formatted.
    pub access_log: Option<AccessLogConfig>,
    pub limits: Limits,
}

/// One file of JSON lines, rotated by size.
#[derive(Debug, Clone)]
pub struct AccessLogConfig {
    /// The file appended to; its directory is made when absent. Older files are `PATH.1` (youngest)
    /// to `PATH.N`.
    pub path: PathBuf,
    /// A file larger than this is rotated. Default 256 MiB.
    pub max_bytes: u64,
    /// Rotated files kept. Default 4.
    pub keep: usize,
    /// Formatted lines that may wait for the disk, in bytes, over all workers; when more would wait,
    /// the oldest are dropped and counted. Default 16 MiB.
    pub max_waiting: usize,
    /// Who else is given every line. Default `None`.
    pub reader: Option<LineReader>,
}

impl AccessLogConfig {
    /// The defaults, into `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), max_bytes: 256 << 20, keep: 4, max_waiting: 16 << 20, reader: None }
    }
}

/// Is given the lines of the access log, many whole ones at a time, on the thread that writes it.
/// While it takes its time lines wait, within the bound of [`AccessLogConfig::max_waiting`].
#[derive(Clone)]
pub struct LineReader(Arc<Read>);

type Read = dyn Fn(&[u8]) + Send + Sync;

impl LineReader {
    pub fn new(read: impl Fn(&[u8]) + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    pub(crate) fn read(&self, lines: &[u8]) {
        (self.0)(lines);
    }
}

impl fmt::Debug for LineReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LineReader")
    }
}

/// Bounds. Each says what happens at it.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Files this process may have open, of which connections of clients, with what they need towards
    /// targets, may be three quarters. Who gets how much of it is in [`crate::budget`]; a connection
    /// beyond it gets 503, or is reset where it speaks no HTTP yet. 0: not known. Default 262,144.
    pub open_files: u64,
    /// Bytes of memory that what clients have begun and not finished may hold: heads, bodies on their
    /// way, requests that wait. What would go beyond it gets 503, over HTTP/2 REFUSED_STREAM, or has the
    /// stream reset of which most data waits. Default 1 GiB.
    pub client_memory: u64,
    /// Client connections of one worker, whatever files there are. Default 32,768.
    pub connections_per_worker: usize,
    /// Requests one worker may have under way over HTTP/2, over all connections; more are refused with
    /// REFUSED_STREAM, which a client may repeat. Default 32,768.
    pub http2_streams_per_worker: usize,
    /// HTTP/2 connections one worker opens to one target, each for 100 requests at once; when all are
    /// full, requests get 503. Default 64.
    pub http2_connections_per_target: usize,
    /// Idle upstream connections one worker keeps per target; more are closed. Default 256.
    pub idle_per_target: usize,
    /// Connects one worker may have under way to one target group; requests beyond it get 503.
    /// Default 1,024.
    pub pending_connects_per_group: usize,
    /// How long a connect to a target may take. Default 5 s.
    pub connect_timeout: Duration,
    /// From accepting a connection on a port for TLS to the end of its handshake; then it is closed.
    /// Default 10 s.
    pub handshake_timeout: Duration,
    /// From the first byte of a request head to its last; then 408 and close. Default 60 s.
    pub head_timeout: Duration,
    /// Age at which a client connection is cut. Default 10 min, as in VPC Lattice. In the last
    /// fortieth of it answers carry `Connection: close`, so that ordinary clients never see the cut.
    pub connection_lifetime: Duration,
    /// How long a connection to a resource may be silent. Default 350 s, as in VPC Lattice.
    pub resource_idle: Duration,
    /// Wait for `100 Continue` of a target before saying it in its place. Default 1 s.
    pub continue_timeout: Duration,
    /// How long a target may be silent once its client has said that it will send no more, and nothing
    /// can be sent to find out whether the client is still there: an answer has begun, or it speaks
    /// HTTP/1.0. Then both connections end. Default 5 s.
    pub half_closed_patience: Duration,
    /// How long a connection to a target rests after an answer that ended with its head: to HEAD, a 204,
    /// a 304. A target that sends a body all the same, as some do for HEAD, would have it taken for the
    /// next answer, which may be somebody else's; what comes while the connection rests ends it.
    /// Default 100 ms.
    pub rest_after_head: Duration,
    /// Probes under way at once, over all targets. Default 256.
    pub concurrent_probes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            open_files: 262_144,
            client_memory: 1 << 30,
            connections_per_worker: 32_768,
            http2_streams_per_worker: 32_768,
            http2_connections_per_target: 64,
            idle_per_target: 256,
            pending_connects_per_group: 1_024,
            connect_timeout: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(60),
            connection_lifetime: Duration::from_secs(600),
            resource_idle: Duration::from_secs(350),
            continue_timeout: Duration::from_secs(1),
            half_closed_patience: Duration::from_secs(5),
            rest_after_head: Duration::from_millis(100),
            concurrent_probes: 256,
        }
    }
}
