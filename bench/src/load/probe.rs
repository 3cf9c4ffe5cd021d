//! One request on a connection of its own, for checks before the measurement.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::Probe;

/// How long a candidate may take to accept, and to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest answer read.
const MAX_ANSWER: u64 = 256 * 1024;

pub(super) struct Answer {
    pub(super) status: u16,
    /// The body as text; chunk framing, if any, is left in.
    pub(super) body: String,
}

/// Sends a GET that closes the connection and reads all of the answer.
pub(super) fn ask(probe: &Probe) -> anyhow::Result<Answer> {
    let Probe { target, host, path } = probe;
    let mut stream = TcpStream::connect_timeout(target, PATIENCE).context("connecting")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // One write: the pieces of a formatted one would wait for each other's acknowledgement.
    let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut bytes = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut bytes).context("reading the answer")?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").context("an answer without a head")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    ensure!(head.starts_with("HTTP/1.1 "), "not an HTTP/1.1 answer: {head:?}");
    Ok(Answer { status: status.context("an answer without a status")?, body: body.to_owned() })
}
