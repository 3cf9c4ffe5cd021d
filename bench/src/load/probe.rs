//! One request on a connection of its own, for checks before the measurement.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::Probe;

/// How long a candidate may take to accept, and to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest answer read.
const MAX_ANSWER: usize = 256 * 1024;

pub(super) struct Answer {
    pub(super) status: u16,
    /// The body as text; chunk framing, if any, is left in.
    pub(super) body: String,
}

/// Sends a GET that closes the connection and reads all of the answer: to its announced length, else to the end of
/// the connection.
pub(super) fn ask(probe: &Probe) -> anyhow::Result<Answer> {
    let Probe { target, host, path } = probe;
    let mut stream = TcpStream::connect_timeout(target, PATIENCE).context("connecting")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // One write: the pieces of a formatted one would wait for each other's acknowledgement.
    let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    while bytes.len() < MAX_ANSWER && announced_end(&bytes).is_none_or(|end| bytes.len() < end) {
        match stream.read(&mut chunk).context("reading the answer")? {
            0 => break,
            length => bytes.extend_from_slice(&chunk[..length]),
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").context("an answer without a head")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    ensure!(head.starts_with("HTTP/1.1 "), "not an HTTP/1.1 answer: {head:?}");
    Ok(Answer { status: status.context("an answer without a status")?, body: body.to_owned() })
}

/// Where an answer ends that says how long it is, once its head is there.
fn announced_end(bytes: &[u8]) -> Option<usize> {
    let body = memchr::memmem::find(bytes, b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..body]).ok()?;
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let (_, length) = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?;
    Some(body + length.trim().parse::<usize>().ok()?)
}
