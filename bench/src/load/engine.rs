//! One slice: many keep-alive connections in one thread, as few instructions a request as it takes.
//!
//! Requests are made up front and sent with one `writev`; answers are read into one shared buffer
//! and checked where they lie. A short read means the socket is drained, so there is no second
//! `read` that would only say "nothing more".

use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use mio::net::TcpStream;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use nix::sys::time::{TimeSpec, TimeValLike};
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use super::response::ResponseReader;
use super::{Outcome, Pace, Report, Slice};
use crate::cases;
use crate::histogram::Histogram;

/// Socket buffers that hold any request or answer whole.
const SOCKET_BUFFER: usize = 256 * 1024;
const READ_BUFFER: usize = 64 * 1024;
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// How long requests in flight may take to be answered after the tail.
const DRAIN_PATIENCE: Duration = Duration::from_secs(3);
/// A candidate that fails this often is not worth waiting for.
const MAX_ERRORS: u64 = 1000;
const TIMER: Token = Token(usize::MAX);

/// Runs a slice; `say` hears when its window begins and ends.
pub(super) fn run(
    slice: &Slice,
    say: &mut dyn FnMut(&Report) -> anyhow::Result<()>,
) -> anyhow::Result<Outcome> {
    Engine::new(slice)?.run(say)
}

/// Where a slice is. Each phase ends where the next begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    WarmUp,
    Window,
    Tail,
    /// Nothing is sent any more; answers still come.
    Drain,
}

struct Engine<'a> {
    slice: &'a Slice,
    poll: Poll,
    connections: Vec<Connection>,
    /// Connections without a request in flight.
    idle: VecDeque<usize>,
    /// Heads of all requests, in the order they are sent.
    heads: Vec<Vec<u8>>,
    next_head: usize,
    request_body: Vec<u8>,
    response_body: Vec<u8>,
    buffer: Box<[u8]>,
    timer: Option<TimerFd>,
    /// Begin of the load; every time below is in nanoseconds since then.
    origin: Instant,
    /// Requests sent by an open loop: the next is due at `sent * interval`.
    sent: u64,
    phase: Phase,
    window_began: u64,
    latencies: Histogram,
    outcome: Outcome,
}

impl<'a> Engine<'a> {
    fn new(slice: &'a Slice) -> anyhow::Result<Self> {
        let poll = Poll::new()?;
        let heads: Vec<Vec<u8>> = (0..slice.rules)
            .flat_map(|rule| slice.hosts.iter().map(move |host| slice.case.head(host, rule).into_bytes()))
            .collect();
        if heads.is_empty() || slice.connections == 0 {
            bail!("a slice without hosts, rules or connections");
        }
        let connections = (0..slice.connections)
            .map(|index| Connection::open(slice.target, index, &poll))
            .collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Self {
            slice,
            poll,
            idle: (0..connections.len()).collect(),
            connections,
            heads,
            next_head: 0,
            request_body: cases::body(slice.case.request_len()).into_owned(),
            response_body: cases::body(slice.case.response_len()).into_owned(),
            buffer: vec![0; READ_BUFFER].into(),
            timer: None,
            origin: Instant::now(),
            sent: 0,
            phase: Phase::WarmUp,
            window_began: 0,
            latencies: Histogram::new(),
            outcome: Outcome::default(),
        })
    }

    fn run(mut self, say: &mut dyn FnMut(&Report) -> anyhow::Result<()>) -> anyhow::Result<Outcome> {
        if let Pace::PerSecond(rate) = self.slice.pace {
            self.timer = Some(ticking(&self.poll, rate)?);
        }
        let mut events = Events::with_capacity(self.connections.len() + 1);
        self.origin = Instant::now();
        loop {
            let now = self.now();
            let phase_ends = self.enter_phase(now, say)?;
            if self.phase == Phase::Drain && (self.idle.len() == self.connections.len() || now >= phase_ends)
            {
                break;
            }
            self.send_due(now);
            let until = Duration::from_nanos(phase_ends.saturating_sub(self.now()));
            // mio rounds a wait up to the next millisecond; what a phase is late by is measured, not assumed.
            match self.poll.poll(&mut events, Some(until)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                result => result.context("waiting for events")?,
            }
            for event in &events {
                if event.token() == TIMER {
                    // Never blocks. Reading is what makes the kernel start the next interval.
                    let _ = self.timer.as_ref().map(TimerFd::wait);
                } else {
                    self.serve(event.token().0, event.is_readable(), event.is_writable())?;
                }
            }
        }
        let unanswered = self.connections.len() - self.idle.len();
        if unanswered > 0 {
            self.fail(format!("{unanswered} requests were not answered within {DRAIN_PATIENCE:?}"));
            self.outcome.errors += unanswered as u64 - 1;
        }
        self.outcome.p50_ns = self.latencies.quantile(0.50);
        self.outcome.p99_ns = self.latencies.quantile(0.99);
        self.outcome.max_ns = self.latencies.max();
        Ok(self.outcome)
    }

    fn now(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }

    /// Moves to the phase `now` lies in and says so; returns when that phase ends.
    fn enter_phase(
        &mut self,
        now: u64,
        say: &mut dyn FnMut(&Report) -> anyhow::Result<()>,
    ) -> anyhow::Result<u64> {
        const MS: u64 = 1_000_000;
        let window = self.slice.warm_up_ms * MS;
        let tail = window + self.slice.window_ms * MS;
        let drain = tail + self.slice.tail_ms * MS;
        match self.phase {
            Phase::WarmUp if now >= window => {
                self.phase = Phase::Window;
                self.window_began = now;
                say(&Report::Begin)?;
            }
            Phase::Window if now >= tail => {
                self.phase = Phase::Tail;
                self.outcome.seconds = (now - self.window_began) as f64 / 1e9;
                self.outcome.unsent = self.backlog(now);
                say(&Report::End)?;
            }
            Phase::Tail if now >= drain => self.phase = Phase::Drain,
            _ => {}
        }
        Ok(match self.phase {
            Phase::WarmUp => window,
            Phase::Window => tail,
            Phase::Tail => drain,
            Phase::Drain => drain + DRAIN_PATIENCE.as_nanos() as u64,
        })
    }

    /// When the `n`-th request of an open loop is due.
    fn due(rate: u32, n: u64) -> u64 {
        (u128::from(n) * 1_000_000_000 / u128::from(rate.max(1))) as u64
    }

    fn backlog(&self, now: u64) -> u64 {
        match self.slice.pace {
            Pace::Saturate => 0,
            Pace::PerSecond(rate) => {
                ((u128::from(now) * u128::from(rate) / 1_000_000_000) as u64).saturating_sub(self.sent)
            }
        }
    }

    /// Sends what may be sent now on idle connections.
    fn send_due(&mut self, now: u64) {
        if self.phase == Phase::Drain {
            return;
        }
        while !self.idle.is_empty() {
            let due = match self.slice.pace {
                Pace::Saturate => self.now(),
                Pace::PerSecond(rate) => Self::due(rate, self.sent),
            };
            if due > now && self.slice.pace != Pace::Saturate {
                return;
            }
            let Some(index) = self.idle.pop_front() else { return };
            self.send(index, due);
        }
    }

    fn send(&mut self, index: usize, due: u64) {
        self.sent += 1;
        let head = self.next_head;
        self.next_head = (head + 1) % self.heads.len();
        let connection = &mut self.connections[index];
        connection.begin(head, due);
        if let Err(reason) = connection.flush(&self.heads[head], &self.request_body) {
            // The event that follows a broken connection reconnects it.
            self.fail(format!("sending: {reason}"));
        }
    }

    /// Handles one event of one connection.
    fn serve(&mut self, index: usize, readable: bool, writable: bool) -> anyhow::Result<()> {
        let connection = &mut self.connections[index];
        if writable && connection.sending() {
            let head = &self.heads[connection.head];
            if let Err(reason) = connection.flush(head, &self.request_body) {
                return self.replace(index, format!("sending: {reason}"));
            }
        }
        if !readable {
            return Ok(());
        }
        match connection.receive(&mut self.buffer, &self.response_body) {
            Ok(false) => Ok(()),
            Ok(true) => {
                self.answered(index);
                Ok(())
            }
            Err(reason) => self.replace(index, reason),
        }
    }

    fn answered(&mut self, index: usize) {
        let now = self.now();
        self.outcome.answered += 1;
        if self.phase == Phase::Window {
            self.outcome.requests += 1;
            self.latencies.record(now.saturating_sub(self.connections[index].due));
        }
        match self.slice.pace {
            // Straight on, without the detour over the queue.
            Pace::Saturate if self.phase != Phase::Drain => self.send(index, now),
            _ => self.idle.push_back(index),
        }
    }

    /// Notes what went wrong on a connection and puts a new one in its place.
    fn replace(&mut self, index: usize, reason: String) -> anyhow::Result<()> {
        self.fail(reason);
        if self.outcome.errors >= MAX_ERRORS {
            bail!(
                "{MAX_ERRORS} errors; the first: {}",
                self.outcome.first_error.as_deref().unwrap_or_default()
            );
        }
        self.connections[index] = Connection::open(self.slice.target, index, &self.poll)?;
        if !self.idle.contains(&index) {
            self.idle.push_back(index);
        }
        Ok(())
    }

    fn fail(&mut self, reason: String) {
        self.outcome.errors += 1;
        self.outcome.first_error.get_or_insert(reason);
    }
}

/// A timer that makes an event for every request of an open loop: a wait in whole milliseconds
/// would send in bursts.
fn ticking(poll: &Poll, rate: u32) -> anyhow::Result<TimerFd> {
    let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).context("making a timer")?;
    let interval = TimeSpec::nanoseconds(1_000_000_000 / i64::from(rate.max(1)));
    timer.set(Expiration::Interval(interval), TimerSetTimeFlags::empty()).context("starting a timer")?;
    poll.registry().register(&mut SourceFd(&timer.as_fd().as_raw_fd()), TIMER, Interest::READABLE)?;
    Ok(timer)
}

/// One keep-alive connection and the request on it.
struct Connection {
    stream: TcpStream,
    reader: ResponseReader,
    /// Index of the head of the request in flight.
    head: usize,
    /// Bytes of it still to be sent; `None` when there is none.
    unsent_from: Option<usize>,
    /// When the request in flight was due.
    due: u64,
}

impl Connection {
    fn open(target: SocketAddr, index: usize, poll: &Poll) -> anyhow::Result<Self> {
        let stream = std::net::TcpStream::connect_timeout(&target, CONNECT_PATIENCE)
            .with_context(|| format!("connecting to {target}"))?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let socket = socket2::SockRef::from(&stream);
        socket.set_send_buffer_size(SOCKET_BUFFER)?;
        let mut stream = TcpStream::from_std(stream);
        poll.registry().register(&mut stream, Token(index), Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self { stream, reader: ResponseReader::default(), head: 0, unsent_from: None, due: 0 })
    }

    fn begin(&mut self, head: usize, due: u64) {
        self.head = head;
        self.due = due;
        self.unsent_from = Some(0);
    }

    fn sending(&self) -> bool {
        self.unsent_from.is_some()
    }

    /// Writes as much of the request as the socket takes.
    fn flush(&mut self, head: &[u8], body: &[u8]) -> Result<(), std::io::Error> {
        while let Some(from) = self.unsent_from {
            let result = if body.is_empty() {
                self.stream.write(&head[from..])
            } else if from < head.len() {
                self.stream.write_vectored(&[IoSlice::new(&head[from..]), IoSlice::new(body)])
            } else {
                self.stream.write(&body[from - head.len()..])
            };
            match result {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    let end = from + written;
                    self.unsent_from = (end < head.len() + body.len()).then_some(end);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what is there. `true` when an answer is complete.
    fn receive(&mut self, buffer: &mut [u8], expected: &[u8]) -> Result<bool, String> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Err("the connection was closed".to_owned()),
                Ok(length) => {
                    if self.reader.feed(&buffer[..length], expected)? {
                        if self.sending() {
                            return Err("answered before the request was sent".to_owned());
                        }
                        return Ok(true);
                    }
                    if length < buffer.len() {
                        return Ok(false);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("reading: {error}")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_an_open_loop_are_due_at_equal_distances_without_drift() {
        assert_eq!(Engine::due(6000, 0), 0);
        assert_eq!(Engine::due(6000, 1), 166_666);
        assert_eq!(Engine::due(6000, 6000 * 3600), 3600 * 1_000_000_000);
    }
}
