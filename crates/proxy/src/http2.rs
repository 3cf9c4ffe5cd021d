//! HTTP/2 with clients: one connection, many requests at once, each in a task of its own.
//!
//! The codec is the `h2` crate. Here are the bounds: how many streams, how much of each is held, how
//! long a connection may be idle, stand still or live, and how much work it may cause for nothing.
//! A connection ends with GOAWAY; requests under way finish first, as far as their time reaches.

mod call;
mod fields;
mod head;
mod over_http1;
mod over_http2;
mod stream;
mod wire;

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::server::Builder;

use crate::client::Client;
use crate::clock::Millis;
use crate::failure::Failure;
use crate::record::Seen;
use crate::stream::Stream;
use crate::tls::Agreed;
use crate::watchdog::{Alarm, Watched};
use crate::worker::{Entrance, Worker};
use wire::{Credit, Wire};

/// What a client says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Requests a client may have under way at once on one connection (SETTINGS_MAX_CONCURRENT_STREAMS).
const MOST_STREAMS: u32 = 128;
/// Data of one request a client may send before the target has taken some of it.
const STREAM_WINDOW: u32 = 128 * 1024;
/// The same for all requests of a connection together.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Data of one answer that may wait for the client.
const SEND_BUFFER: usize = 128 * 1024;
/// Largest head, decoded, in the counting of RFC 9113, 6.5.2, that is answered by us, with 400 if it
/// is over our own bound; a larger one the codec answers with 431, and far larger ones end the
/// connection. How many CONTINUATION frames a head may have follows from it.
const HEADER_LIST: u32 = 128 * 1024;
/// Streams reset by the codec for errors of the client before the connection is ended.
const MOST_ERRORS: usize = 256;
/// How long a connection whose requests are done, or have been cut, may take to go.
const GRACE: Millis = 1000;

/// What the requests of a connection share.
#[derive(Debug)]
struct Connection {
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
    credit: Rc<Credit>,
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

    fn began(&self, worker: &Worker) {
        self.active.set(self.active.get() + 1);
        worker.streams.set(worker.streams.get() + 1);
        self.used.set(worker.clock.coarse());
    }

    fn ended(&self, worker: &Worker, failure: Option<Failure>) {
        self.active.set(self.active.get() - 1);
        worker.streams.set(worker.streams.get() - 1);
        self.used.set(worker.clock.coarse());
        if failure == Some(Failure::ClientConnectionClosed) {
            self.credit.spend_on_reset();
        }
        if self.active.get() == 0 {
            self.watched.wake();
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

/// What there is to do after a look at the clock.
enum Step {
    Wait,
    /// The codec has something to say.
    Say,
    End,
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
    let early = client.inbox.unread().to_vec();
    client.inbox.release(&worker.buffers);
    let Client { stream, tls, watched, peer, address, idle_timeout, .. } = client;
    let now = worker.clock.coarse();
    let credit = Credit::new(now);
    let connection = Rc::new(Connection {
        watched: watched.clone(),
        peer,
        tls,
        address,
        idle_timeout: Cell::new(idle_timeout),
        active: Cell::new(0),
        used: Cell::new(now),
        credit: credit.clone(),
    });
    let mut handshake = Builder::new()
        .max_concurrent_streams(MOST_STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEADER_LIST)
        .max_send_buffer_size(SEND_BUFFER)
        .max_local_error_reset_streams(Some(MOST_ERRORS))
        .handshake::<_, Bytes>(Wire::new(stream, early, credit));
    let shaken = poll_fn(|cx| match std::pin::Pin::new(&mut handshake).poll(cx) {
        Poll::Ready(shaken) => Poll::Ready(shaken.ok()),
        Poll::Pending => {
            watched.register(cx);
            watched.alarm().map_or(Poll::Pending, |_| Poll::Ready(None))
        }
    });
    let Some(codec) = shaken.await else { return };
    let mut served = Served { worker, connection, codec, leaving: Leaving::No };
    served.arm();
    poll_fn(|cx| served.poll(cx)).await;
}

/// A connection being served.
struct Served<'a> {
    worker: &'a Rc<Worker>,
    connection: Rc<Connection>,
    codec: h2::server::Connection<Wire<Stream>, Bytes>,
    leaving: Leaving,
}

impl Served<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            loop {
                match self.codec.poll_accept(cx) {
                    Poll::Ready(Some(Ok((request, mut respond)))) => {
                        if self.worker.streams.get() >= self.worker.limits.http2_streams_per_worker {
                            respond.send_reset(Reason::REFUSED_STREAM);
                            self.worker.cells.unrouted_failures[Failure::ClientRateLimited as usize].add(1);
                            continue;
                        }
                        self.connection.began(self.worker);
                        let (worker, connection) = (self.worker.clone(), self.connection.clone());
                        tokio::task::spawn_local(stream::serve(worker, connection, request, respond));
                    }
                    Poll::Ready(Some(Err(error))) => {
                        tracing::debug!(%error, peer = %self.connection.peer, "an HTTP/2 connection failed");
                        return Poll::Ready(());
                    }
                    Poll::Ready(None) => return Poll::Ready(()),
                    Poll::Pending => break,
                }
            }
            self.connection.watched.register(cx);
            match self.step() {
                Step::Wait => return Poll::Pending,
                Step::Say => {}
                Step::End => return Poll::Ready(()),
            }
        }
    }

    /// Looks at what is due.
    fn step(&mut self) -> Step {
        let now = self.worker.clock.coarse();
        let Connection { watched, active, credit, .. } = &*self.connection;
        let alarm = watched.alarm();
        let idle = active.get() == 0;
        if alarm == Some(Alarm::Cut) {
            return Step::End;
        }
        let step = match self.leaving {
            Leaving::By(end) if now >= end => Step::End,
            Leaving::By(_) => Step::Wait,
            Leaving::No | Leaving::Gracefully if credit.is_overdrawn(now) => {
                tracing::debug!(peer = %self.connection.peer, "a client causes work for nothing");
                self.codec.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                self.worker.cells.unrouted_failures[Failure::ClientRateLimited as usize].add(1);
                self.leaving = Leaving::By(now.saturating_add(GRACE));
                Step::Say
            }
            Leaving::No
                if !self.worker.may_stay(watched) || (idle && now >= self.connection.idle_until()) =>
            {
                self.codec.graceful_shutdown();
                self.leaving = Leaving::Gracefully;
                Step::Say
            }
            Leaving::No => Step::Wait,
            // The requests have been told the same, or there are none and a client that knows of
            // GOAWAY goes.
            Leaving::Gracefully if idle || alarm == Some(Alarm::Lifetime) => {
                self.leaving = Leaving::By(now.saturating_add(GRACE));
                Step::Wait
            }
            Leaving::Gracefully => Step::Wait,
        };
        self.arm();
        step
    }

    /// Asks to be woken when the next thing is due.
    fn arm(&self) {
        let watched = &self.connection.watched;
        watched.arm(match self.leaving {
            Leaving::No if self.connection.active.get() == 0 => {
                self.connection.idle_until().min(self.worker.should_leave_at(watched))
            }
            Leaving::No => self.worker.should_leave_at(watched),
            Leaving::Gracefully => Millis::MAX,
            Leaving::By(end) => end,
        });
    }
}
