//! One probe: connect, ask, look at the status.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use trellis_model::VpcId;
use trellis_model::health::{HealthCheck, ProtocolVersion};
use trellis_model::snapshot::names::Endpoint;

use crate::http1;
use crate::http1::response;
use crate::http2::codec::{Bounds, Codec, Lost, Violation};
use crate::stream::{Scratch, Stream, TlsStream};
use crate::tls::{self, TargetTls};
use crate::worker::Dial;

/// What probes over TLS share.
#[derive(Debug)]
pub(super) struct ProbeTls {
    targets: TargetTls,
    scratch: Rc<Scratch>,
}

impl ProbeTls {
    /// # Errors
    /// The library refuses the policy.
    pub(super) fn new() -> io::Result<Self> {
        let targets = TargetTls::new(tls::provider()).map_err(io::Error::other)?;
        Ok(Self { targets, scratch: Rc::default() })
    }

    fn begin(
        &self,
        socket: TcpStream,
        address: SocketAddr,
        name: Option<&str>,
        version: ProtocolVersion,
    ) -> io::Result<Box<TlsStream>> {
        self.targets.begin(socket, name, address.ip(), version, self.scratch.clone())
    }
}

/// Why a probe failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProbeError {
    #[error("its name has no address: {0}")]
    NoAddress(io::Error),
    #[error("no endpoint is at {0}")]
    NotAnEndpoint(IpAddr),
    #[error("no answer within the timeout")]
    TimedOut,
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    #[error("does not speak TLS as it should: {0}")]
    NoTls(io::Error),
    #[error("connection broke: {0}")]
    Broken(io::Error),
    #[error("closed before it answered")]
    Closed,
    #[error("answer is not HTTP/1: {0}")]
    Malformed(http1::HeadError),
    #[error("answer is not HTTP/2: {0}")]
    NotHttp2(#[from] Violation),
    #[error("gave no answer: {0:?}")]
    NoAnswer(Lost),
    #[error("answered {0}")]
    Status(u16),
}

/// Asks `address` once. `Ok` when its status is one the check's matcher takes. A target that speaks TLS
/// is called `name`, as requests call it, in the handshake and in `Host`; others by their address.
pub(super) async fn probe(
    dial: &Dial,
    tls: &ProbeTls,
    vpc: &VpcId,
    address: SocketAddr,
    name: Option<&str>,
    check: &HealthCheck,
) -> Result<(), ProbeError> {
    let asked = tokio::time::timeout(check.timeout, ask(dial, tls, vpc, address, name, check)).await;
    let status = asked.unwrap_or(Err(ProbeError::TimedOut))?;
    if check.matcher.matches(status) { Ok(()) } else { Err(ProbeError::Status(status)) }
}

async fn ask(
    dial: &Dial,
    tls: &ProbeTls,
    vpc: &VpcId,
    address: SocketAddr,
    name: Option<&str>,
    check: &HealthCheck,
) -> Result<u16, ProbeError> {
    let stream = connect(dial, vpc, address).await?;
    let stream = match check.tls {
        true => shake_hands(tls, stream, address, name, check.version).await?,
        false => Stream::Tcp(stream),
    };
    // The path was checked when the target group was made; a line break must not get this far.
    let path: String = check.path.chars().filter(|char| char.is_ascii_graphic()).collect();
    let host = name.filter(|_| check.tls).map_or_else(|| address.to_string(), str::to_owned);
    match check.version {
        ProtocolVersion::Http1 => over_http1(stream, &host, &path).await,
        ProtocolVersion::Http2 | ProtocolVersion::Grpc => over_http2(stream, &host, &path, check.tls).await,
    }
}

/// A connection to `address` from inside the VPC.
pub(super) async fn connect(dial: &Dial, vpc: &VpcId, address: SocketAddr) -> Result<TcpStream, ProbeError> {
    let stream = dial(vpc, address).and_then(TcpStream::from_std).map_err(ProbeError::Connect)?;
    stream.writable().await.map_err(ProbeError::Connect)?;
    match stream.take_error().map_err(ProbeError::Connect)? {
        Some(error) => Err(ProbeError::Connect(error)),
        None => Ok(stream),
    }
}

async fn shake_hands(
    tls: &ProbeTls,
    stream: TcpStream,
    address: SocketAddr,
    name: Option<&str>,
    version: ProtocolVersion,
) -> Result<Stream, ProbeError> {
    let mut begun = tls.begin(stream, address, name, version).map_err(ProbeError::NoTls)?;
    poll_fn(|cx| begun.poll_handshake(cx)).await.map_err(ProbeError::NoTls)?;
    Ok(Stream::Tls(begun))
}

/// What an endpoint of a health check of Route 53 answers, over a connection to it.
pub(super) async fn status_of(
    tls: &ProbeTls,
    stream: TcpStream,
    address: SocketAddr,
    endpoint: &Endpoint,
    path: &str,
) -> Result<u16, ProbeError> {
    let name = endpoint.name.as_deref();
    let stream = match endpoint.tls {
        true => {
            let shown = name.filter(|_| endpoint.has_sni);
            shake_hands(tls, stream, address, shown, ProtocolVersion::Http1).await?
        }
        false => Stream::Tcp(stream),
    };
    let host = name.map_or_else(|| address.to_string(), str::to_owned);
    over_http1(stream, &host, path).await
}

/// What probes call themselves.
const USER_AGENT: &str = "Trellis-HealthChecker/1.0";

async fn over_http1(mut stream: Stream, host: &str, path: &str) -> Result<u16, ProbeError> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {USER_AGENT}\r\n\
         Accept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.map_err(ProbeError::Broken)?;
    stream.flush().await.map_err(ProbeError::Broken)?;
    let mut buffer = Vec::with_capacity(1024);
    let mut answered = 0;
    loop {
        let unread = &buffer[answered..];
        if !unread.is_empty() {
            let mut storage = http1::storage();
            match response::parse(unread, &mut storage, false).map_err(ProbeError::Malformed)? {
                Some(head) if head.status >= 200 => return Ok(head.status),
                // An interim response; the real one follows.
                Some(head) => {
                    answered += head.length();
                    continue;
                }
                None => {}
            }
        }
        if buffer.len() > 2 * http1::MAX_HEAD {
            return Err(ProbeError::Malformed(http1::HeadError::TooLarge));
        }
        if stream.read_buf(&mut buffer).await.map_err(ProbeError::Broken)? == 0 {
            return Err(ProbeError::Closed);
        }
    }
}

/// What a probe leaves room for. The body of an answer is not looked at.
const BOUNDS: Bounds = Bounds { streams: 0, stream_window: 65_535, connection_window: 65_535 };

/// Without TLS it is HTTP/2 from the first byte, as the target's protocol version says.
async fn over_http2(mut stream: Stream, host: &str, path: &str, secure: bool) -> Result<u16, ProbeError> {
    let mut codec = Codec::client(BOUNDS);
    let slot = codec.begin(false).ok_or(ProbeError::Closed)?;
    let mut head = codec.write_head(slot).ok_or(ProbeError::Closed)?;
    head.pseudo(b":method", b"GET");
    head.pseudo(b":scheme", if secure { b"https" } else { b"http" });
    head.pseudo(b":authority", host.as_bytes());
    head.pseudo(b":path", path.as_bytes());
    head.field(b"user-agent", USER_AGENT.as_bytes());
    head.field(b"accept", b"*/*");
    head.finish(true);
    let mut buffer = Vec::with_capacity(1024);
    loop {
        while !codec.output().is_empty() {
            let written = stream.write(codec.output()).await.map_err(ProbeError::Broken)?;
            codec.wrote(written);
        }
        stream.flush().await.map_err(ProbeError::Broken)?;
        if let Some(violation) = codec.violation() {
            return Err(violation.into());
        }
        // What it has said before it closed counts.
        while let Some(answer) = codec.take_head(slot) {
            if answer.status() >= 200 {
                return Ok(answer.status());
            }
        }
        if let Some(lost) = codec.lost(slot) {
            return Err(ProbeError::NoAnswer(lost));
        }
        if stream.read_buf(&mut buffer).await.map_err(ProbeError::Broken)? == 0 {
            return Err(ProbeError::Closed);
        }
        let taken = codec.receive(&buffer);
        buffer.drain(..taken);
    }
}
