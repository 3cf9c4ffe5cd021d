//! What whoever holds a stream does with it, but for what it sends.

use std::task::{Context, Poll};

use super::error::{Lost, Reason};
use super::fields::Fields;
use super::streams::{Receiving, Slot};
use super::window::{ReceiveWindow, SendWindow};
use super::{Codec, Role, frame};

impl Codec {
    /// A stream the peer has begun, which is the caller's from now on.
    pub fn next_opened(&mut self) -> Option<Slot> {
        self.opened.pop_front()
    }

    /// Memory that the head of a stream takes which has just been opened.
    pub(crate) fn head_size(&self, slot: Slot) -> usize {
        self.streams.at(slot).heads.front().map_or(0, |head| head.bytes().len())
    }

    /// Data of all streams that has come and has not been dealt with.
    pub(crate) fn undealt(&self) -> u32 {
        self.receive_window.undealt()
    }

    /// Whether some of a message has come and more of it is to come.
    pub(crate) fn is_amid(&self) -> bool {
        self.block.is_some() || self.streams.any_open(|stream| stream.receiving == Receiving::Body)
    }

    /// Ends the stream of which most data waits, because too much of it does.
    pub(crate) fn shed(&mut self) {
        let waits = |slot: &Slot| self.streams.at(*slot).unreleased;
        let Some(slot) = self.streams.open_slots().into_iter().max_by_key(waits) else { return };
        let stream = self.streams.at(slot);
        if stream.unreleased > 0 && stream.lost.is_none() {
            frame::write_reset(&mut self.out, stream.id, Reason::ENHANCE_YOUR_CALM);
            self.lose(slot, Lost::TooMuch);
        }
    }

    /// How many requests were refused as malformed since this was asked last.
    pub fn take_malformed(&mut self) -> u32 {
        std::mem::take(&mut self.malformed)
    }

    /// Streams that are under way or that somebody holds.
    pub fn taken(&self) -> usize {
        self.streams.taken()
    }

    /// Begins a stream, which is the caller's from now on. `to_head`: it will be a HEAD request. `None`
    /// when none can be begun. A head is to be written at once.
    pub fn begin(&mut self, to_head: bool) -> Option<Slot> {
        if !self.may_begin() {
            return None;
        }
        let receive = ReceiveWindow::new(self.bounds.stream_window);
        let slot = self.streams.insert(self.next, SendWindow::new(self.peer.window), receive);
        self.next += 2;
        let stream = self.streams.at_mut(slot);
        stream.receiving = Receiving::Head;
        stream.to_head = to_head;
        self.credit.exchange();
        Some(slot)
    }

    /// Takes the head that came next, if one has come.
    pub fn take_head(&mut self, slot: Slot) -> Option<Fields> {
        self.streams.at_mut(slot).heads.pop_front()
    }

    /// As [`Codec::take_head`]; ready with the reason when none will come.
    pub(crate) fn poll_head(&mut self, slot: Slot, cx: &Context<'_>) -> Poll<Result<Fields, Lost>> {
        let stream = self.streams.at_mut(slot);
        if let Some(head) = stream.heads.pop_front() {
            return Poll::Ready(Ok(head));
        }
        if let Some(lost) = stream.lost {
            return Poll::Ready(Err(lost));
        }
        stream.register(cx);
        Poll::Pending
    }

    /// Ready with the reason when the stream will not come to its end.
    pub(crate) fn poll_lost(&mut self, slot: Slot, cx: &Context<'_>) -> Poll<Lost> {
        let stream = self.streams.at_mut(slot);
        match stream.lost {
            Some(lost) => Poll::Ready(lost),
            None => {
                stream.register(cx);
                Poll::Pending
            }
        }
    }

    /// Why the stream will not come to its end, if that is so.
    pub fn lost(&self, slot: Slot) -> Option<Lost> {
        self.streams.at(slot).lost
    }

    /// Data that has come and has not been taken.
    pub fn data(&self, slot: Slot) -> &[u8] {
        &self.streams.at(slot).data
    }

    /// Ready when there is data to take, or none will come any more.
    pub(crate) fn poll_data(&mut self, slot: Slot, cx: &Context<'_>) -> Poll<Result<(), Lost>> {
        let stream = self.streams.at_mut(slot);
        if !stream.data.is_empty() || stream.receiving == Receiving::Nothing {
            return Poll::Ready(Ok(()));
        }
        if let Some(lost) = stream.lost {
            return Poll::Ready(Err(lost));
        }
        stream.wants_data = true;
        stream.register(cx);
        Poll::Pending
    }

    /// Moves all data there is to the end of `to`. It counts as held until it is released.
    pub fn take_data(&mut self, slot: Slot, to: &mut Vec<u8>) {
        let data = &mut self.streams.at_mut(slot).data;
        if to.is_empty() {
            std::mem::swap(to, data);
        } else {
            to.extend_from_slice(data);
            data.clear();
        }
    }

    /// Nothing comes behind the data there is; there may be trailers.
    pub fn is_received(&self, slot: Slot) -> bool {
        self.streams.at(slot).receiving == Receiving::Nothing
    }

    pub(crate) fn has_trailers(&self, slot: Slot) -> bool {
        self.streams.at(slot).trailers.is_some()
    }

    pub fn take_trailers(&mut self, slot: Slot) -> Option<Fields> {
        self.streams.at_mut(slot).trailers.take()
    }

    /// `count` bytes of the stream have been dealt with: the peer may send as many again.
    pub fn release(&mut self, slot: Slot, count: usize) {
        let stream = self.streams.at_mut(slot);
        let count = count.min(stream.unreleased);
        stream.unreleased -= count;
        if stream.receiving != Receiving::Nothing
            && stream.lost.is_none()
            && let Some(by) = stream.receive_window.release(count)
        {
            frame::write_window_update(&mut self.out, stream.id, by);
        }
        self.release_on_connection(count);
    }

    pub(super) fn release_on_connection(&mut self, count: usize) {
        if let Some(by) = self.receive_window.release(count)
            && self.failed.is_none()
        {
            frame::write_window_update(&mut self.out, 0, by);
        }
    }

    /// Drops the first `count` bytes of the data that has come, which have been dealt with.
    pub(crate) fn consume(&mut self, slot: Slot, count: usize) {
        let stream = self.streams.at_mut(slot);
        let count = count.min(stream.data.len());
        if count == stream.data.len() {
            stream.data.clear();
        } else {
            stream.data.drain(..count);
        }
        self.release(slot, count);
    }

    /// Ends the stream where it is.
    pub fn reset(&mut self, slot: Slot, reason: Reason) {
        let stream = self.streams.at(slot);
        if stream.lost.is_none() && !stream.is_closed() {
            frame::write_reset(&mut self.out, stream.id, reason);
            self.lose(slot, Lost::GivenUp);
        }
    }

    /// The caller has done with the stream. If it is not over, it ends here; what was said for it with
    /// [`Codec::send_last`] still goes.
    pub fn let_go(&mut self, slot: Slot) {
        let stream = self.streams.at(slot);
        if stream.lost.is_none() && !stream.is_closed() {
            if stream.sending {
                self.reset(slot, Reason::CANCEL);
            } else if stream.rest.is_empty() {
                self.give_up_receiving(slot);
            }
        }
        let stream = self.streams.at_mut(slot);
        let unreleased = std::mem::take(&mut stream.unreleased);
        stream.data.clear();
        if stream.rest.is_empty() {
            self.stop_waiting(slot);
        }
        self.release_on_connection(unreleased);
        self.streams.let_go(slot);
    }

    /// Everything has been said here and the peer still sends. "A server MAY request that the client
    /// abort transmission of a request without error by sending a RST_STREAM with an error code of
    /// NO_ERROR" (RFC 9113, 8.1).
    pub(super) fn give_up_receiving(&mut self, slot: Slot) {
        self.reset(slot, if self.role == Role::Server { Reason::NO_ERROR } else { Reason::CANCEL });
    }

    /// Buffers of heads and data go round.
    pub fn give_back(&mut self, fields: Fields) {
        self.streams.give_back_fields(fields);
    }

    pub(crate) fn give_back_data(&mut self, data: Vec<u8>) {
        self.streams.give_back_data(data);
    }
}
