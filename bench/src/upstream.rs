//! The upstream every candidate forwards to: one thread, answers made up front.
//!
//! It keeps every connection open and reads every body to its end before it answers. What it sends
//! depends on the last path segment alone, see [`crate::cases`].

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

use anyhow::Context;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

mod request;

use crate::cases;
use request::{Ask, RequestReader};

/// A bound on connections: the pools of four candidates and their health checks fit many times.
const MAX_CONNECTIONS: usize = 16 * 1024;
const READ_BUFFER: usize = 64 * 1024;
/// Holds any answer whole, so that a `write` is rarely partial.
const SEND_BUFFER: usize = 256 * 1024;
/// Answers that wait for a slow reader; beyond it the connection is closed.
const MAX_PENDING: usize = 1 << 20;
const LISTENER: Token = Token(usize::MAX);

/// Serves on `listen` until the process is ended.
pub(crate) fn serve(listen: SocketAddr) -> anyhow::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(listen).with_context(|| format!("listening on {listen}"))?;
    socket2::SockRef::from(&listener).set_send_buffer_size(SEND_BUFFER)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let answers = Answers { small: answer(cases::SMALL), large: answer(cases::LARGE) };
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut buffer = vec![0; READ_BUFFER];
    let mut events = Events::with_capacity(1024);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result.context("waiting for events")?,
        }
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &poll, &mut connections, &mut free)?;
                continue;
            }
            let index = event.token().0;
            let Some(connection) = connections.get_mut(index).and_then(Option::as_mut) else { continue };
            if !connection.serve(event.is_writable(), &mut buffer, &answers) {
                connections[index] = None;
                free.push(index);
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    poll: &Poll,
    connections: &mut Vec<Option<Connection>>,
    free: &mut Vec<usize>,
) -> anyhow::Result<()> {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            // A peer that went away between SYN and accept is no reason to stop.
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
            Err(error) => return Err(error).context("accepting a connection"),
        };
        let index = free.pop().unwrap_or(connections.len());
        if index >= MAX_CONNECTIONS {
            continue;
        }
        stream.set_nodelay(true)?;
        poll.registry().register(&mut stream, Token(index), Interest::READABLE | Interest::WRITABLE)?;
        let connection = Connection { stream, reader: RequestReader::default(), pending: Vec::new() };
        match connections.get_mut(index) {
            Some(slot) => *slot = Some(connection),
            None => connections.push(Some(connection)),
        }
    }
}

/// Whole answers, heads included.
struct Answers {
    small: Vec<u8>,
    large: Vec<u8>,
}

fn answer(length: usize) -> Vec<u8> {
    with_head(&cases::body(length))
}

fn with_head(body: &[u8]) -> Vec<u8> {
    let mut bytes =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n", body.len())
            .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

struct Connection {
    stream: TcpStream,
    reader: RequestReader,
    /// What the socket did not take yet.
    pending: Vec<u8>,
}

impl Connection {
    /// Handles one event. `false` when the connection is to be closed.
    fn serve(&mut self, writable: bool, buffer: &mut [u8], answers: &Answers) -> bool {
        if writable && !self.pending.is_empty() {
            let pending = std::mem::take(&mut self.pending);
            if !self.send(&pending) {
                return false;
            }
        }
        loop {
            let length = match self.stream.read(buffer) {
                Ok(0) => return false,
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return false,
            };
            let mut rest = &buffer[..length];
            while !rest.is_empty() {
                let Ok((used, ask)) = self.reader.feed(rest) else {
                    // Told apart from a broken connection by whoever reads the load generator's report.
                    self.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
                    return false;
                };
                rest = &rest[used..];
                let sent = match ask {
                    None => true,
                    Some(Ask::Small) => self.send(&answers.small),
                    Some(Ask::Large) => self.send(&answers.large),
                    Some(Ask::Echo(head)) => self.send(&with_head(&head)),
                };
                if !sent {
                    return false;
                }
            }
            // A short read drained the socket; the next bytes are another event.
            if length < buffer.len() {
                return true;
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) -> bool {
        send(&mut self.stream, &mut self.pending, bytes)
    }
}

/// Sends now what can be sent now and keeps the rest in `pending`. `false` when the connection is broken, or when
/// more than [`MAX_PENDING`] would wait.
pub(crate) fn send(stream: &mut TcpStream, pending: &mut Vec<u8>, bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while pending.is_empty() && !rest.is_empty() {
        match stream.write(rest) {
            Ok(0) => return false,
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
    if pending.len() + rest.len() > MAX_PENDING {
        return false;
    }
    pending.extend_from_slice(rest);
    true
}
