//! What the peer says, frame by frame: RFC 9113, 5 and 6.

use super::error::{Lost, Reason, Refusal};
use super::frame::{self, Head};
use super::streams::{Receiving, Slot};
use super::{Codec, GOING, Going, Role, window};

impl Codec {
    /// Takes what it can of `bytes`, which is whole frames. How much that is; what is left is to be
    /// given again, with more behind it.
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while self.failed.is_none() && !self.disconnected && !self.is_choked() {
            let Some(head) = Head::read(&bytes[at..]) else { break };
            let start = at + frame::HEADER;
            let refusal = if head.length > frame::MAX_PAYLOAD {
                at = bytes.len();
                Err(Refusal::size("a frame larger than SETTINGS_MAX_FRAME_SIZE"))
            } else {
                let Some(payload) = bytes.get(start..start + head.length) else { break };
                at = start + head.length;
                self.frame(&head, payload)
            };
            match refusal {
                Ok(()) => {}
                Err(Refusal::Connection(violation)) => self.fail(violation),
                Err(Refusal::Stream(id, reason)) => self.refuse(id, reason),
            }
            if let Some(bound) = self.credit.hit() {
                self.fail(bound.violation());
            }
        }
        at
    }

    /// Bytes of the largest frame that is accepted.
    pub const LARGEST_FRAME: usize = frame::HEADER + frame::MAX_PAYLOAD;

    fn frame(&mut self, head: &Head, payload: &[u8]) -> Result<(), Refusal> {
        if !self.peer.settled && (head.kind != frame::SETTINGS || head.has(frame::ACK)) {
            return Err(Refusal::protocol("something before SETTINGS"));
        }
        if let Some(block) = &self.block
            && (head.kind != frame::CONTINUATION || head.stream != block.stream)
        {
            return Err(Refusal::protocol("something within a header block"));
        }
        if !matches!(head.kind, frame::DATA | frame::HEADERS | frame::RST_STREAM) {
            self.credit.came(head);
        }
        match head.kind {
            frame::DATA => self.data_frame(head, payload),
            frame::HEADERS => self.headers(head, payload),
            frame::PRIORITY => self.priority(head, payload),
            frame::RST_STREAM => self.rst_stream(head, payload),
            frame::SETTINGS => self.settings(head, payload),
            frame::PUSH_PROMISE => Err(Refusal::protocol("PUSH_PROMISE")),
            frame::PING => self.ping(head, payload),
            frame::GOAWAY => self.goaway(head, payload),
            frame::WINDOW_UPDATE => self.window_update(head, payload),
            frame::CONTINUATION => self.continuation(head, payload),
            // "Implementations MUST ignore and discard frames of unknown types" (RFC 9113, 5.5).
            _ => Ok(()),
        }
    }

    /// A stream error of the peer.
    fn refuse(&mut self, id: u32, reason: Reason) {
        self.credit.error();
        frame::write_reset(&mut self.out, id, reason);
        match self.streams.find(id) {
            Some(slot) => self.lose(slot, Lost::Violated { connection: false }),
            None => self.streams.remember(id),
        }
    }

    /// Whether nobody has begun this stream yet.
    pub(super) fn is_idle(&self, id: u32) -> bool {
        match (self.role, id & 1) {
            (Role::Server, 1) => id > self.last,
            (Role::Client, 1) => id >= self.next,
            // Nobody pushes.
            _ => true,
        }
    }

    fn data_frame(&mut self, head: &Head, payload: &[u8]) -> Result<(), Refusal> {
        let id = head.stream;
        if id == 0 || self.is_idle(id) {
            return Err(Refusal::protocol("DATA on an idle stream"));
        }
        let Some(data) = frame::unpadded(head, payload) else {
            return Err(Refusal::protocol("more padding than payload"));
        };
        if !self.receive_window.take(payload.len()) {
            let what = "more data than the connection's window";
            return Err(Refusal::connection(Reason::FLOW_CONTROL_ERROR, what));
        }
        let end = head.has(frame::END_STREAM);
        let accepted = match self.streams.find(id) {
            Some(slot) => self.accept_data(slot, payload.len(), data, end),
            // "An endpoint MUST ignore frames that it receives on closed streams after it has sent a
            // RST_STREAM frame" (RFC 9113, 5.1).
            None if self.streams.was_reset(id) => Ok(None),
            None => Err(Refusal::connection(Reason::STREAM_CLOSED, "DATA on a closed stream")),
        };
        // What nobody will take is dealt with.
        let dealt_with = match accepted {
            Ok(Some(_)) => payload.len() - data.len(),
            Ok(None) | Err(_) => payload.len(),
        };
        match accepted {
            Ok(Some(_)) if !data.is_empty() => self.credit.took(data.len()),
            // The end of a stream comes once.
            Ok(Some(_)) if end => {}
            Ok(None) | Err(_) if !data.is_empty() => self.credit.late_data(),
            _ => self.credit.took_nothing(),
        }
        match accepted {
            Ok(Some(slot)) if dealt_with > 0 => self.release(slot, dealt_with),
            _ => self.release_on_connection(dealt_with),
        }
        accepted.map(drop)
    }

    /// The stream, if somebody will take the data.
    fn accept_data(
        &mut self,
        slot: Slot,
        length: usize,
        data: &[u8],
        end: bool,
    ) -> Result<Option<Slot>, Refusal> {
        let stream = self.streams.at_mut(slot);
        let id = stream.id;
        match stream.receiving {
            Receiving::Nothing => return Err(Refusal::Stream(id, Reason::STREAM_CLOSED)),
            Receiving::Head => return Err(Refusal::Stream(id, Reason::PROTOCOL_ERROR)),
            Receiving::Body => {}
        }
        if !stream.receive_window.take(length) {
            return Err(Refusal::Stream(id, Reason::FLOW_CONTROL_ERROR));
        }
        if let Some(left) = &mut stream.length_left {
            // "the value of a Content-Length header field does not equal the sum of the DATA frame
            // payload lengths" (RFC 9113, 8.1.1)
            match left.checked_sub(data.len() as u64) {
                Some(rest) if !end || rest == 0 => *left = rest,
                _ => return Err(Refusal::Stream(id, Reason::PROTOCOL_ERROR)),
            }
        }
        if end {
            stream.receiving = Receiving::Nothing;
        }
        let held = stream.held;
        if held {
            stream.unreleased += length;
            if !data.is_empty() && stream.data.capacity() == 0 {
                self.streams.at_mut(slot).data = self.streams.take_data();
            }
            let stream = self.streams.at_mut(slot);
            stream.data.extend_from_slice(data);
            if stream.wants_data && (end || !data.is_empty()) {
                stream.wants_data = false;
                stream.wake();
            }
        }
        if end {
            self.close_if_done(slot);
        }
        Ok(held.then_some(slot))
    }

    fn priority(&mut self, head: &Head, payload: &[u8]) -> Result<(), Refusal> {
        if head.stream == 0 {
            return Err(Refusal::protocol("PRIORITY on the connection"));
        }
        let reason = match dependency(payload) {
            _ if payload.len() != 5 => Reason::FRAME_SIZE_ERROR,
            Some(id) if id == head.stream => Reason::PROTOCOL_ERROR,
            _ => return Ok(()),
        };
        match self.streams.find(head.stream) {
            Some(_) => Err(Refusal::Stream(head.stream, reason)),
            None => Err(Refusal::connection(reason, "PRIORITY of another size, or on itself")),
        }
    }

    fn rst_stream(&mut self, head: &Head, payload: &[u8]) -> Result<(), Refusal> {
        if head.stream == 0 || self.is_idle(head.stream) {
            return Err(Refusal::protocol("RST_STREAM on an idle stream"));
        }
        let (Some(code), 4) = (frame::number(payload), payload.len()) else {
            return Err(Refusal::size("RST_STREAM of another size"));
        };
        if let Some(slot) = self.streams.find(head.stream) {
            self.lose(slot, Lost::Reset(Reason(code)));
        } else {
            self.credit.late();
        }
        Ok(())
    }

    fn ping(&mut self, head: &Head, payload: &[u8]) -> Result<(), Refusal> {
        if head.stream != 0 {
            return Err(Refusal::protocol("PING on a stream"));
        }
        if payload.len() != 8 {
            return Err(Refusal::size("PING of another size"));
        }
        if !head.has(frame::ACK) {
            frame::write(&mut self.out, frame::PING, frame::ACK, 0, payload);
        } else if payload == GOING && self.going == Going::Announced {
            self.going = Going::Said(self.last);
            frame::write_goaway(&mut self.out, self.last, Reason::NO_ERROR, "");
        }
        Ok(())
    }

    fn goaway(&mut self, head: &Head, payload: &[u8]) -> Result<(), Refusal> {
        if head.stream != 0 {
            return Err(Refusal::protocol("GOAWAY on a stream"));
        }
        let (Some(last), 8..) = (frame::number(payload), payload.len()) else {
            return Err(Refusal::size("GOAWAY too short"));
        };
        if self.role == Role::Client {
            // "Endpoints MUST NOT increase the value they send in the last stream identifier" (6.8).
            let last = self.peer_going.map_or(last & window::LARGEST, |known| known.min(last));
            self.peer_going = Some(last);
            for slot in self.streams.open_slots() {
                if self.streams.at(slot).id > last {
                    self.lose(slot, Lost::Unseen);
                }
            }
        }
        Ok(())
    }

    fn window_update(&mut self, head: &Head, payload: &[u8]) -> Result<(), Refusal> {
        let (Some(by), 4) = (frame::number(payload), payload.len()) else {
            return Err(Refusal::size("WINDOW_UPDATE of another size"));
        };
        let by = i64::from(by & window::LARGEST);
        if head.stream == 0 {
            if by == 0 {
                return Err(Refusal::protocol("WINDOW_UPDATE by nothing"));
            }
            if self.send_window.shift(by).is_err() {
                return Err(Refusal::connection(Reason::FLOW_CONTROL_ERROR, "a window above 2^31-1"));
            }
            self.wake_waiting();
            return Ok(());
        }
        if self.is_idle(head.stream) {
            return Err(Refusal::protocol("WINDOW_UPDATE on an idle stream"));
        }
        let Some(slot) = self.streams.find(head.stream) else { return Ok(()) };
        if by == 0 {
            return Err(Refusal::Stream(head.stream, Reason::PROTOCOL_ERROR));
        }
        let stream = self.streams.at_mut(slot);
        stream.unacknowledged = stream.unacknowledged.saturating_sub(by as usize);
        if stream.send_window.shift(by).is_err() {
            return Err(Refusal::Stream(head.stream, Reason::FLOW_CONTROL_ERROR));
        }
        self.has_room(slot);
        Ok(())
    }
}

/// Which stream another one is said to depend on.
pub(super) fn dependency(priority: &[u8]) -> Option<u32> {
    frame::number(priority).map(|id| id & window::LARGEST)
}
