//! HTTP/2's frames and streams (RFC 9113), for either side of a connection. No I/O.
//!
//! Whoever has a connection gives a [`Codec`] what was read, hands on what it wants [written], and
//! holds its streams by their [`Slot`]s. Header blocks are read and written by [`crate::hpack`].
//!
//! What a peer may make it keep is bounded: a header list by [`fields::MAX_LIST`], data by the windows
//! that were announced, streams by their number, output by not reading on while too much of it waits.
//! A peer that breaks the protocol loses the stream or the connection, as the RFC says for each case.
//!
//! [written]: Codec::output

mod credit;
mod error;
mod fields;
mod frame;
mod heads;
mod hold;
mod receive;
mod send;
mod settings;
mod streams;
#[cfg(test)]
mod tests;
mod window;

use std::collections::VecDeque;

use crate::clock::Millis;
use crate::hpack::{DEFAULT_TABLE, Decoder, Encoder};
use credit::Credit;
pub use error::{Lost, Reason, Violation};
pub(crate) use fields::{Fields, Pseudo};
use heads::Block;
pub(crate) use send::HeadWriter;
use settings::Peer;
pub use streams::Slot;
use streams::{Receiving, Streams};
use window::{ReceiveWindow, SendWindow};

/// What a client says first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Output that may wait before streams have to wait with theirs.
const MUCH_OUTPUT: usize = 64 * 1024;
/// Output that may wait before nothing more is read, which could need an answer.
const TOO_MUCH_OUTPUT: usize = 2 * MUCH_OUTPUT;
/// Interim answers of one request that may wait to be looked at.
const MOST_HEADS: usize = 64;
/// An output buffer that has grown beyond this is not kept while nothing is to be written.
const KEPT_OUTPUT: usize = 8 * 1024;

/// Which side of a connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Client,
    Server,
}

/// The bounds one side announces. Windows are in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Requests the peer may have under way at once (SETTINGS_MAX_CONCURRENT_STREAMS). Means nothing
    /// to a client's codec.
    pub streams: u32,
    /// Data of one stream the peer may send before some of it is dealt with; at least 65,535.
    pub stream_window: u32,
    /// The same for all streams together; at least 65,535.
    pub connection_window: u32,
}

/// How far this side is on its way to end the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Going {
    No,
    /// The peer has been told to begin nothing more; what is on its way is still served.
    Announced,
    /// Streams above this one are not served.
    Said(u32),
}

/// One side of an HTTP/2 connection.
#[derive(Debug)]
pub struct Codec {
    role: Role,
    bounds: Bounds,
    decoder: Decoder,
    encoder: Encoder,
    /// `..written` of it has gone.
    out: Vec<u8>,
    written: usize,
    streams: Streams,
    /// Streams the peer has begun and nobody has taken yet.
    opened: VecDeque<Slot>,
    /// Requests refused as malformed that nobody has asked about yet.
    malformed: u32,
    /// The last stream the peer has begun.
    last: u32,
    /// The next stream that is begun here.
    next: u32,
    peer: Peer,
    receive_window: ReceiveWindow,
    send_window: SendWindow,
    /// A header block whose end has not come.
    block: Option<Block>,
    /// Streams that wait until something can be sent.
    waiting: VecDeque<Slot>,
    credit: Credit,
    going: Going,
    /// From the peer's GOAWAY: the last stream it serves.
    peer_going: Option<u32>,
    failed: Option<Violation>,
    disconnected: bool,
}

impl Codec {
    /// A server's, for what comes behind the client's [`PREFACE`].
    pub fn server(bounds: Bounds) -> Self {
        let mut codec = Self::new(Role::Server, bounds);
        codec.announce();
        codec
    }

    /// A client's.
    pub fn client(bounds: Bounds) -> Self {
        let mut codec = Self::new(Role::Client, bounds);
        codec.out.extend_from_slice(PREFACE);
        codec.announce();
        codec
    }

    fn new(role: Role, bounds: Bounds) -> Self {
        Self {
            role,
            bounds,
            decoder: Decoder::new(DEFAULT_TABLE),
            encoder: Encoder::new(),
            out: Vec::new(),
            written: 0,
            streams: Streams::default(),
            opened: VecDeque::new(),
            malformed: 0,
            last: 0,
            next: 1,
            peer: Peer::default(),
            receive_window: ReceiveWindow::new(bounds.connection_window),
            send_window: SendWindow::new(window::DEFAULT),
            block: None,
            waiting: VecDeque::new(),
            credit: Credit::default(),
            going: Going::No,
            peer_going: None,
            failed: None,
            disconnected: false,
        }
    }

    // === the connection ===

    /// What is to be written to the peer.
    pub fn output(&self) -> &[u8] {
        &self.out[self.written..]
    }

    /// The first `count` bytes of the output have been written.
    pub fn wrote(&mut self, count: usize) {
        self.written += count;
        if self.written == self.out.len() {
            self.out.clear();
            self.written = 0;
            if self.out.capacity() > TOO_MUCH_OUTPUT {
                self.out = Vec::new();
            }
        } else if self.written >= MUCH_OUTPUT {
            self.out.drain(..self.written);
            self.written = 0;
        }
        if self.output().len() < MUCH_OUTPUT / 2 {
            self.wake_waiting();
        }
    }

    /// Nothing more is to be read before some of the output has been written.
    pub fn is_choked(&self) -> bool {
        self.output().len() >= TOO_MUCH_OUTPUT
    }

    /// How the peer broke the protocol. Its connection ends once the output is written.
    pub fn violation(&self) -> Option<Violation> {
        self.failed
    }

    /// Everything there was to do is done, or will not be done: the connection ends once the output is
    /// written.
    pub fn is_finished(&self) -> bool {
        self.failed.is_some()
            || self.disconnected
            || (matches!(self.going, Going::Said(_)) && self.streams.open() == 0)
    }

    /// Tells the peer to begin nothing more. What it has begun is served.
    pub fn go_away(&mut self) {
        if self.going == Going::No && self.failed.is_none() {
            match self.role {
                Role::Server => {
                    self.going = Going::Announced;
                    // "A server that is attempting to gracefully shut down a connection SHOULD send an
                    // initial GOAWAY frame with the last stream identifier set to 2^31-1 ... After
                    // allowing time for any in-flight stream creation (at least one round-trip time),
                    // the server MAY send another GOAWAY frame" (RFC 9113, 6.8).
                    frame::write_goaway(&mut self.out, window::LARGEST, Reason::NO_ERROR, "");
                    frame::write(&mut self.out, frame::PING, 0, 0, GOING);
                }
                Role::Client => {
                    self.going = Going::Said(0);
                    frame::write_goaway(&mut self.out, 0, Reason::NO_ERROR, "");
                }
            }
        }
    }

    /// There is nobody to speak to any more.
    pub fn disconnect(&mut self) {
        self.disconnected = true;
        for slot in self.streams.open_slots() {
            self.lose(slot, Lost::Disconnected);
        }
    }

    /// It is `now`: the peer may make a little more work again. To be called before [`Codec::receive`].
    pub fn pass_time(&mut self, now: Millis) {
        self.credit.pass_time(now);
    }

    /// A request of the peer was reset by it after so long, and it had seen nothing of the answer.
    pub(crate) fn was_in_vain(&mut self, waited: Millis) {
        self.credit.reset_after(waited);
        if let Some(bound) = self.credit.hit() {
            self.fail(bound.violation());
        }
    }

    /// Gives back memory that is not needed while nothing happens.
    pub(crate) fn rest(&mut self) {
        self.streams.release_spare();
        if self.out.is_empty() && self.out.capacity() > KEPT_OUTPUT {
            self.out = Vec::new();
        }
    }

    /// How many requests the peer takes at once; `None` until it has said so.
    pub(crate) fn peers_streams(&self) -> Option<u32> {
        self.peer.settled.then_some(self.peer.streams)
    }

    /// Whether another request can be begun.
    pub fn may_begin(&self) -> bool {
        self.failed.is_none()
            && !self.disconnected
            && self.going == Going::No
            && self.peer_going.is_none()
            && self.next <= window::LARGEST
    }

    // === endings ===

    fn fail(&mut self, violation: Violation) {
        if self.failed.is_none() && !self.disconnected {
            let last = if self.role == Role::Server { self.last } else { 0 };
            frame::write_goaway(&mut self.out, last, violation.reason, violation.what);
            self.failed = Some(violation);
            let why =
                if violation.is_too_much() { Lost::TooMuch } else { Lost::Violated { connection: true } };
            for slot in self.streams.open_slots() {
                self.lose(slot, why);
            }
        }
    }

    /// Closes the stream for a reason.
    fn lose(&mut self, slot: Slot, why: Lost) {
        self.stop_waiting(slot);
        let stream = self.streams.at_mut(slot);
        stream.lost = Some(why);
        stream.rest.clear();
        let (id, receiving) = (stream.id, stream.receiving);
        stream.wake();
        if receiving != Receiving::Nothing && !matches!(why, Lost::Reset(_)) {
            self.streams.remember(id);
        }
        if !self.streams.at(slot).held {
            let unreleased = std::mem::take(&mut self.streams.at_mut(slot).unreleased);
            self.release_on_connection(unreleased);
        }
        self.streams.close(slot);
    }

    /// Both sides may have said everything.
    fn close_if_done(&mut self, slot: Slot) {
        let stream = self.streams.at(slot);
        if stream.lost.is_none() && stream.is_closed() {
            self.streams.close(slot);
        }
    }
}

/// The payload of the PING behind the first GOAWAY.
const GOING: &[u8] = b"going on";
