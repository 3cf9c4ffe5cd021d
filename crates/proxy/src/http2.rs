//! HTTP/2 with clients: one connection, many requests at once, all of them polled by its task.
//!
//! The protocol is [`codec`]'s. Here are the bounds: how many streams, how much of each is held, how
//! long a connection may be idle, stand still or live, and how much work it may cause for nothing.
//! A connection ends with GOAWAY; requests under way finish first, as far as their time reaches.

mod call;
pub mod codec;
mod fields;
mod handlers;
mod head;
mod over_http1;
mod over_http2;
pub(crate) mod reading;
mod stream;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::AsyncWrite;

use crate::budget::Held;
use crate::buffer::Inbox;
use crate::client::Client;
use crate::clock::Millis;
use crate::failure::Failure;
use crate::record::Seen;
use crate::stream::Stream;
use crate::tls::Agreed;
use crate::watchdog::{Alarm, Watched};
use crate::worker::{Entrance, Worker};
use codec::{Bounds, Codec, PREFACE, Reason, Slot};
use handlers::Handlers;

const BOUNDS: Bounds = Bounds { streams: 128, stream_window: 128 * 1024, connection_window: 1024 * 1024 };
/// Reads of what a client still sends when everything has been said.
const LAST_READS: u32 = 64;
/// How long a connection whose requests are done, or have been cut, may take to go.
const GRACE: Millis = 1000;
/// How long a connection is idle before it gives back memory that the next request could use.
const REST: Millis = 1000;
/// What a request under way takes beside its head, which is there twice: as it came and as it goes.
const REQUEST_MEMORY: u64 = 8 * 1024;
/// Memory is asked for in pieces of this size, so that most requests need not ask.
const MEMORY_STEP: u64 = 32 * 1024;

/// What the requests of a connection share.
#[derive(Debug)]
struct Connection {
    codec: RefCell<Codec>,
    watched: Rc<Watched>,
    /// `ip:port`.
    peer: Box<str>,
    tls: Option<Box<Agreed>>,
    /// The address alone, for `x-forwarded-for`.
    address: Box<str>,
    /// For the sake of the service asked for last.
    idle_timeout: Cell<Duration>,
    /// Requests under way.
    active: Cell<usize>,
    /// When a request began or ended last.
    used: Cell<Millis>,
    /// Its part of the files a worker may have open.
    files: Held,
    /// Memory for its TLS.
    _session: Option<Held>,
    /// Bytes that requests under way keep: heads and bodies.
    kept: Cell<u64>,
    /// The client's memory for them, and for data that waits.
    memory: RefCell<Option<Held>>,
}

impl Connection {
    fn entrance(&self) -> &Rc<Entrance> {
        &self.watched.entrance
    }

    /// Itself, as the record of a request with these texts shows it.
    fn seen<'a>(&'a self, text: &'a [u8]) -> Seen<'a> {
        Seen { text, peer: &self.peer, entrance: self.entrance(), tls: self.tls.as_deref() }
    }

    fn rest_of_life(&self, now: Millis) -> Duration {
        Duration::from_millis(self.watched.end_of_life().saturating_sub(now))
    }

    /// Has the client hold what its requests keep, the data that waits, and `more`. False: it is at its budget.
    fn hold(&self, worker: &Worker, undealt: u32, more: u64) -> bool {
        let needed = self.kept.get() + u64::from(undealt) + more;
        let mut memory = self.memory.borrow_mut();
        match &mut *memory {
            Some(held) if needed <= held.amount() => true,
            Some(held) => held.grow_to(needed.next_multiple_of(MEMORY_STEP)),
            None if needed == 0 => true,
            None => {
                let amount = needed.next_multiple_of(MEMORY_STEP);
                *memory = worker.budget.memory.take(&self.entrance().vpc, self.files.address(), amount);
                memory.is_some()
            }
        }
    }

    /// Gives back what was held for requests that are over, when it has become much.
    fn let_go(&self, undealt: u32) {
        let needed = self.kept.get() + u64::from(undealt);
        if let Some(held) = &mut *self.memory.borrow_mut()
            && held.amount() > 4 * (needed + MEMORY_STEP)
        {
            held.shrink_to((2 * needed).next_multiple_of(MEMORY_STEP));
        }
    }

    /// A request keeps `more` bytes, until it is over.
    fn keep(&self, more: u64) {
        self.kept.set(self.kept.get() + more);
    }

    fn began(&self, worker: &Worker) {
        self.active.set(self.active.get() + 1);
        worker.streams.set(worker.streams.get() + 1);
        self.used.set(worker.clock.coarse());
    }

    /// `in_vain`: its client has given it up after so long, and had seen nothing of the answer.
    fn ended(&self, worker: &Worker, in_vain: Option<Millis>) {
        self.active.set(self.active.get() - 1);
        worker.streams.set(worker.streams.get() - 1);
        self.used.set(worker.clock.coarse());
        let mut codec = self.codec.borrow_mut();
        self.let_go(codec.undealt());
        if let Some(waited) = in_vain {
            codec.was_in_vain(waited);
        }
    }

    fn idle_until(&self) -> Millis {
        self.used.get().saturating_add(self.idle_timeout.get().as_millis() as Millis)
    }
}

/// How far a connection is on its way to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    No,
    /// GOAWAY has been said; requests under way finish.
    Gracefully,
    /// Whatever is under way, it is over then.
    By(Millis),
}

/// Serves HTTP/2 on `client`'s connection until it ends.
pub(crate) async fn serve(worker: &Rc<Worker>, mut client: Client) {
    if !client.wait_for_request(worker).await {
        return;
    }
    // The preface has the time of a request's head.
    let head_timeout = worker.limits.head_timeout.as_millis() as Millis;
    client.watched.arm(worker.clock.coarse().saturating_add(head_timeout));
    client.watched.set_idle(true);
    while !client.inbox.unread().starts_with(PREFACE) {
        if !PREFACE.starts_with(client.inbox.unread()) {
            // "A GOAWAY frame MAY be omitted in this case, since an invalid preface indicates that the
            // peer is not using HTTP/2" (RFC 9113, 3.4).
            return client.linger(worker).await;
        }
        if !matches!(client.read(worker).await, Ok(1..)) {
            return;
        }
    }
    client.inbox.consume(PREFACE.len());
    let Client { stream, tls, watched, peer, address, idle_timeout, inbox, files, session, .. } = client;
    let connection = Rc::new(Connection {
        codec: RefCell::new(Codec::server(BOUNDS)),
        watched,
        peer,
        tls,
        address,
        idle_timeout: Cell::new(idle_timeout),
        active: Cell::new(0),
        used: Cell::new(worker.clock.coarse()),
        files,
        _session: session,
        kept: Cell::new(0),
        memory: RefCell::new(None),
    });
    let start = |slot, keeps| stream::serve(worker.clone(), connection.clone(), slot, keeps);
    let mut served = Served {
        worker,
        connection: &connection,
        stream,
        inbox,
        handlers: Handlers::new(),
        start,
        leaving: Leaving::No,
        said_all: false,
        last_reads: 0,
        over: false,
        rested: false,
    };
    served.arm();
    tokio::task::unconstrained(poll_fn(|cx| served.poll(cx))).await;
    served.inbox.release(&worker.buffers);
}

/// A connection being served.
struct Served<'a, F, S> {
    worker: &'a Rc<Worker>,
    connection: &'a Rc<Connection>,
    stream: Stream,
    inbox: Inbox,
    handlers: Handlers<F>,
    /// What serves a stream.
    start: S,
    leaving: Leaving,
    /// Nothing more will be written.
    said_all: bool,
    last_reads: u32,
    /// Only the requests under way have still to hear of it.
    over: bool,
    /// Memory has been given back since the last request.
    rested: bool,
}

impl<F: Future<Output = ()>, S: Fn(Slot, u64) -> F> Served<'_, F, S> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.handlers.begin_turn();
        let polled = self.turn(cx);
        self.handlers.end_turn(cx);
        polled
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let connection = self.connection;
        connection.watched.register(cx);
        let mut more = false;
        if !self.over {
            let mut codec = connection.codec.borrow_mut();
            more = reading::poll_read(cx, self.worker, &mut codec, &mut self.inbox, &mut self.stream);
            drop(codec);
            self.take_opened();
            self.shed();
        }
        self.handlers.poll();
        if !self.over {
            self.step();
            let choked = connection.codec.borrow().is_choked();
            if self.poll_out(cx).is_ready() || self.is_left_unread() {
                self.end();
            }
            more |= choked && !connection.codec.borrow().is_choked();
        }
        if self.over && self.handlers.running() == 0 {
            return Poll::Ready(());
        }
        if more && !self.over {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn end(&mut self) {
        self.over = true;
        self.connection.codec.borrow_mut().disconnect();
    }

    /// Begins to serve the streams the client has begun.
    fn take_opened(&mut self) {
        let (worker, connection) = (self.worker, self.connection);
        loop {
            let mut codec = connection.codec.borrow_mut();
            let Some(slot) = codec.next_opened() else {
                let malformed = codec.take_malformed();
                drop(codec);
                return (0..malformed).for_each(|_| stream::record_malformed(worker, connection));
            };
            let keeps = REQUEST_MEMORY + 2 * codec.head_size(slot) as u64;
            let has_room = connection.hold(worker, codec.undealt(), keeps);
            if !has_room || worker.streams.get() >= worker.limits.http2_streams_per_worker {
                codec.reset(slot, Reason::REFUSED_STREAM);
                codec.let_go(slot);
                worker.cells.unrouted_failures[Failure::ClientRateLimited as usize].add(1);
                continue;
            }
            drop(codec);
            connection.keep(keeps);
            connection.began(worker);
            self.rested = false;
            self.handlers.start(slot.index(), (self.start)(slot, keeps));
        }
    }

    /// A client whose data waits for targets beyond its budget loses the stream with most of it.
    fn shed(&self) {
        let mut codec = self.connection.codec.borrow_mut();
        let undealt = codec.undealt();
        if !self.connection.hold(self.worker, undealt, 0) {
            codec.shed();
        }
    }

    /// Whether output waits that its client does not read, and for which it has no memory any more.
    fn is_left_unread(&self) -> bool {
        let (output, undealt) = {
            let codec = self.connection.codec.borrow();
            (codec.output().len() as u64 + self.stream.unsent(), codec.undealt())
        };
        let is_too_much = output > 0 && !self.connection.hold(self.worker, undealt, output);
        if is_too_much {
            self.worker.cells.unrouted_failures[Failure::ClientRateLimited as usize].add(1);
        }
        is_too_much
    }

    /// Writes what is to be written, and ends the connection when nothing follows. Ready when it has
    /// come to its end.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut codec = self.connection.codec.borrow_mut();
        let mut stream = Pin::new(&mut self.stream);
        while !codec.output().is_empty() {
            match ready!(stream.as_mut().poll_write(cx, codec.output())) {
                Ok(written @ 1..) => codec.wrote(written),
                Ok(_) | Err(_) => return Poll::Ready(()),
            }
        }
        if ready!(stream.as_mut().poll_flush(cx)).is_err() {
            return Poll::Ready(());
        }
        if !codec.is_finished() {
            return Poll::Pending;
        }
        if !self.said_all {
            if ready!(stream.poll_shutdown(cx)).is_err() {
                return Poll::Ready(());
            }
            self.said_all = true;
        }
        // Closing while the client still sends would reset the connection, and could take what was
        // said last with it.
        while self.last_reads < LAST_READS {
            let read = ready!(self.inbox.poll_fill(cx, &mut self.stream, &self.worker.buffers));
            self.inbox.release(&self.worker.buffers);
            if !matches!(read, Ok(1..)) {
                break;
            }
            self.last_reads += 1;
        }
        Poll::Ready(())
    }

    /// Looks at what is due.
    fn step(&mut self) {
        let (worker, connection) = (self.worker, self.connection);
        let now = worker.clock.coarse();
        let Connection { watched, active, codec, .. } = &**connection;
        let mut codec = codec.borrow_mut();
        let (alarm, idle) = (watched.alarm(), active.get() == 0);
        if idle && !self.rested && now >= connection.used.get().saturating_add(REST) {
            self.rested = true;
            self.handlers.rest();
            codec.rest();
            *connection.memory.borrow_mut() = None;
        }
        match self.leaving {
            _ if alarm == Some(Alarm::Cut) => {
                drop(codec);
                return self.end();
            }
            Leaving::By(end) if now >= end => {
                drop(codec);
                return self.end();
            }
            Leaving::By(_) => {}
            _ if codec.is_finished() => {
                match codec.violation() {
                    Some(bound) if bound.is_too_much() => {
                        tracing::warn!(%bound, peer = %connection.peer, "ended an HTTP/2 connection at a bound");
                        worker.cells.unrouted_failures[Failure::ClientRateLimited as usize].add(1);
                    }
                    Some(violation) => {
                        tracing::debug!(%violation, peer = %connection.peer, "an HTTP/2 connection failed");
                    }
                    None => {}
                }
                self.leaving = Leaving::By(now.saturating_add(GRACE));
            }
            Leaving::No if !worker.may_stay(watched) || (idle && now >= connection.idle_until()) => {
                codec.go_away();
                self.leaving = Leaving::Gracefully;
            }
            // The requests have been told the same, or there are none and a client that knows of
            // GOAWAY goes.
            Leaving::Gracefully if idle || alarm == Some(Alarm::Lifetime) => {
                self.leaving = Leaving::By(now.saturating_add(GRACE));
            }
            Leaving::No | Leaving::Gracefully => {}
        }
        drop(codec);
        self.arm();
    }

    /// Asks to be woken when the next thing is due.
    fn arm(&self) {
        let watched = &self.connection.watched;
        watched.arm(match self.leaving {
            Leaving::No if self.connection.active.get() == 0 => {
                let rest = if self.rested { Millis::MAX } else { self.connection.used.get() + REST };
                self.connection.idle_until().min(rest).min(self.worker.should_leave_at(watched))
            }
            Leaving::No => self.worker.should_leave_at(watched),
            Leaving::Gracefully => Millis::MAX,
            Leaving::By(end) => end,
        });
    }
}
