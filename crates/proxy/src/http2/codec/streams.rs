//! The streams of a connection: where each is, and what is remembered of those that are over.

use std::collections::VecDeque;
use std::task::{Context, Waker};

use rustc_hash::FxHashMap;

use super::error::Lost;
use super::fields::Fields;
use super::window::{ReceiveWindow, SendWindow};

/// Streams that were reset here while the peer was sending, and that are remembered, so that what was
/// on its way does not count as an error.
const REMEMBERED: usize = 1024;
/// Unused buffers kept, of each kind: as many as a burst of requests needs.
const SPARE: usize = 64;
/// The same while no request is under way.
const SPARE_AT_REST: usize = 2;
/// A buffer that has grown beyond this is not used again.
const KEPT: usize = 4 * 1024;

/// One stream, for whoever holds it. It stays the same stream until it is let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot(pub(super) u32);

impl Slot {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// What the peer may still send on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Receiving {
    /// The head of an answer, interim ones before it.
    Head,
    /// Data and trailers.
    Body,
    Nothing,
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: u32,
    pub(super) receiving: Receiving,
    /// END_STREAM has not been sent.
    pub(super) sending: bool,
    pub(super) lost: Option<Lost>,
    /// Somebody holds it.
    pub(super) held: bool,
    /// The answer to HEAD has no body whatever it says.
    pub(super) to_head: bool,

    pub(super) heads: VecDeque<Fields>,
    pub(super) data: Vec<u8>,
    pub(super) trailers: Option<Fields>,
    pub(super) receive_window: ReceiveWindow,
    /// Bytes that came and that the peer has not been given room for again.
    pub(super) unreleased: usize,
    /// Bytes to come, if a length was given.
    pub(super) length_left: Option<u64>,

    pub(super) send_window: SendWindow,
    /// Bytes sent that the peer has not given room for again.
    pub(super) unacknowledged: usize,
    /// The end of a short body, which leaves as the windows open.
    pub(super) rest: Vec<u8>,

    waker: Option<Waker>,
    pub(super) wants_data: bool,
    pub(super) wants_room: bool,
}

impl Stream {
    pub(super) fn register(&mut self, cx: &Context<'_>) {
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// Both sides have said everything.
    pub(super) fn is_closed(&self) -> bool {
        self.receiving == Receiving::Nothing && !self.sending && self.rest.is_empty()
    }
}

#[derive(Debug, Default)]
pub(super) struct Streams {
    all: Vec<Stream>,
    free: Vec<u32>,
    /// Those the peer may still send on, or be sent to, by id.
    open: FxHashMap<u32, u32>,
    /// See [`REMEMBERED`].
    reset: VecDeque<u32>,
    /// The largest id that was in `reset` and is there no more.
    forgotten: u32,
    spare_fields: Vec<Fields>,
    spare_data: Vec<Vec<u8>>,
}

impl Streams {
    pub(super) fn insert(&mut self, id: u32, send: SendWindow, receive: ReceiveWindow) -> Slot {
        let index = self.free.pop().unwrap_or_else(|| {
            self.all.push(Stream {
                id: 0,
                receiving: Receiving::Nothing,
                sending: false,
                lost: None,
                held: false,
                to_head: false,
                heads: VecDeque::new(),
                data: Vec::new(),
                trailers: None,
                receive_window: receive,
                unreleased: 0,
                length_left: None,
                send_window: send,
                unacknowledged: 0,
                rest: Vec::new(),
                waker: None,
                wants_data: false,
                wants_room: false,
            });
            self.all.len() as u32 - 1
        });
        let stream = &mut self.all[index as usize];
        stream.id = id;
        stream.sending = true;
        stream.held = true;
        stream.receive_window = receive;
        stream.send_window = send;
        stream.unacknowledged = 0;
        self.open.insert(id, index);
        Slot(index)
    }

    pub(super) fn at(&self, slot: Slot) -> &Stream {
        &self.all[slot.index()]
    }

    pub(super) fn at_mut(&mut self, slot: Slot) -> &mut Stream {
        &mut self.all[slot.index()]
    }

    /// The stream with this id, if it is not closed.
    pub(super) fn find(&self, id: u32) -> Option<Slot> {
        self.open.get(&id).copied().map(Slot)
    }

    /// Streams that are not closed.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    pub(super) fn open_slots(&self) -> Vec<Slot> {
        self.open.values().copied().map(Slot).collect()
    }

    pub(super) fn any_open(&self, is_it: impl Fn(&Stream) -> bool) -> bool {
        self.open.values().any(|index| is_it(&self.all[*index as usize]))
    }

    /// Streams that are not closed or that somebody holds.
    pub(super) fn taken(&self) -> usize {
        self.all.len() - self.free.len()
    }

    /// The stream is closed: its id means nothing any more.
    pub(super) fn close(&mut self, slot: Slot) {
        self.open.remove(&self.all[slot.index()].id);
        if !self.at(slot).held {
            self.vacate(slot);
        }
    }

    /// Nobody holds it any more.
    pub(super) fn let_go(&mut self, slot: Slot) {
        self.at_mut(slot).held = false;
        if self.open.get(&self.at(slot).id) != Some(&slot.0) {
            self.vacate(slot);
        }
    }

    fn vacate(&mut self, slot: Slot) {
        while let Some(head) = self.at_mut(slot).heads.pop_front() {
            self.give_back_fields(head);
        }
        let stream = &mut self.all[slot.index()];
        let (data, trailers) = (std::mem::take(&mut stream.data), stream.trailers.take());
        stream.rest = Vec::new();
        (stream.lost, stream.to_head, stream.unreleased, stream.length_left) = (None, false, 0, None);
        (stream.wants_data, stream.wants_room) = (false, false);
        if let Some(trailers) = trailers {
            self.give_back_fields(trailers);
        }
        self.give_back_data(data);
        self.free.push(slot.0);
    }

    /// What still comes for this stream, which was reset here, is no error.
    pub(super) fn remember(&mut self, id: u32) {
        if self.reset.len() >= REMEMBERED
            && let Some(oldest) = self.reset.pop_front()
        {
            self.forgotten = self.forgotten.max(oldest);
        }
        self.reset.push_back(id);
    }

    /// Whether this stream was reset here, or may have been.
    pub(super) fn was_reset(&self, id: u32) -> bool {
        id <= self.forgotten || self.reset.contains(&id)
    }

    pub(super) fn take_fields(&mut self) -> Fields {
        self.spare_fields.pop().unwrap_or_default()
    }

    pub(super) fn give_back_fields(&mut self, mut fields: Fields) {
        if fields.is_worth_keeping() && self.spare_fields.len() < SPARE {
            fields.clear();
            self.spare_fields.push(fields);
        }
    }

    pub(super) fn take_data(&mut self) -> Vec<u8> {
        self.spare_data.pop().unwrap_or_default()
    }

    pub(super) fn give_back_data(&mut self, mut data: Vec<u8>) {
        if (1..=KEPT).contains(&data.capacity()) && self.spare_data.len() < SPARE {
            data.clear();
            self.spare_data.push(data);
        }
    }

    /// Memory that is only good for work to come.
    pub(super) fn release_spare(&mut self) {
        self.spare_fields.truncate(SPARE_AT_REST);
        self.spare_data.truncate(SPARE_AT_REST);
    }
}
