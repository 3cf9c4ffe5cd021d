//! What is said to the peer: heads, data as far as there is room, trailers.

use std::task::{Context, Poll};

use super::frame::{self, Head, MAX_PAYLOAD};
use super::streams::Slot;
use super::{Codec, Lost, MUCH_OUTPUT, Role};
use crate::hpack::Indexing;

/// Less of a shared window than this is not worth a frame, unless it is all there is to send.
const LEAST_SHARE: usize = 1024;

/// A header list being written. It has to be [finished](HeadWriter::finish).
#[derive(Debug)]
pub(crate) struct HeadWriter<'c> {
    codec: &'c mut Codec,
    slot: Slot,
    /// Where in the output its frame begins.
    start: usize,
    /// Bytes of all names and values, each field counted as it would be over HTTP/1.
    pub(crate) size: u64,
}

impl HeadWriter<'_> {
    pub(crate) fn status(&mut self, status: u16) {
        self.put(b":status", itoa::Buffer::new().format(status).as_bytes(), Indexing::Always);
    }

    /// A pseudo-header field.
    pub(crate) fn pseudo(&mut self, name: &[u8], value: &[u8]) {
        // What asks is not likely to be asked again.
        let asks = name == b":path" && memchr::memchr(b'?', value).is_some();
        self.put(name, value, if asks { Indexing::Without } else { Indexing::Always });
    }

    /// A field, whose name is in lower case.
    pub(crate) fn field(&mut self, name: &[u8], value: &[u8]) {
        self.pass(name, value, false);
    }

    /// A field that came over HTTP/2: "an intermediary MUST use the same representation" for what is never to be
    /// indexed (RFC 7541, 6.2.3).
    pub(crate) fn pass(&mut self, name: &[u8], value: &[u8], never_indexed: bool) {
        self.size += (name.len() + value.len() + 4) as u64;
        self.put(name, value, if never_indexed { Indexing::Never } else { indexing(name) });
    }

    /// A field as HTTP/1 has it.
    pub(crate) fn field_in_any_case(&mut self, name: &[u8], value: &[u8]) {
        if !name.iter().any(u8::is_ascii_uppercase) {
            return self.field(name, value);
        }
        let mut short = [0; 64];
        match short.get_mut(..name.len()) {
            Some(lower) => {
                lower.copy_from_slice(name);
                lower.make_ascii_lowercase();
                self.field(lower, value);
            }
            None => self.field(&name.to_ascii_lowercase(), value),
        }
    }

    fn put(&mut self, name: &[u8], value: &[u8], indexing: Indexing) {
        self.codec.encoder.encode(name, value, indexing, &mut self.codec.out);
    }

    /// Sends it; `end`: nothing follows.
    pub(crate) fn finish(self, end: bool) {
        let Self { codec, slot, start, .. } = self;
        let id = codec.streams.at(slot).id;
        let length = codec.out.len() - start - frame::HEADER;
        let end_stream = if end { frame::END_STREAM } else { 0 };
        if length <= MAX_PAYLOAD {
            let flags = frame::END_HEADERS | end_stream;
            let head = Head { length, kind: frame::HEADERS, flags, stream: id };
            codec.out[start..start + frame::HEADER].copy_from_slice(&head.to_bytes());
        } else {
            let block = codec.out.split_off(start).split_off(frame::HEADER);
            let mut pieces = block.chunks(MAX_PAYLOAD).peekable();
            let (mut kind, mut flags) = (frame::HEADERS, end_stream);
            while let Some(piece) = pieces.next() {
                if pieces.peek().is_none() {
                    flags |= frame::END_HEADERS;
                }
                frame::write(&mut codec.out, kind, flags, id, piece);
                (kind, flags) = (frame::CONTINUATION, 0);
            }
        }
        if end {
            codec.sent_all(slot);
        }
    }
}

/// Whether a field is likely to come again as it is. What would let somebody in is not for tables.
fn indexing(name: &[u8]) -> Indexing {
    match name {
        b"authorization" | b"proxy-authorization" | b"cookie" | b"set-cookie" => Indexing::Never,
        b"content-length" | b"x-amzn-requestid" | b"x-request-id" | b"etag" | b"location" | b"age"
        | b"grpc-timeout" | b"traceparent" | b"tracestate" | b"last-modified" | b"if-none-match" => {
            Indexing::Without
        }
        _ => Indexing::Always,
    }
}

impl Codec {
    /// Begins a head, an interim one, or trailers. `None`: nothing can be said on the stream any more.
    pub(crate) fn write_head(&mut self, slot: Slot) -> Option<HeadWriter<'_>> {
        let stream = self.streams.at(slot);
        if stream.lost.is_some() || !stream.sending {
            return None;
        }
        let start = self.out.len();
        self.out.extend_from_slice(&[0; frame::HEADER]);
        Some(HeadWriter { codec: self, slot, start, size: 0 })
    }

    /// How much of `length` bytes of data may be sent now.
    fn room(&self, slot: Slot, length: usize) -> usize {
        let waiting = self.out.len() - self.written;
        let stream = self.streams.at(slot).send_window.available();
        let room = stream.min(self.send_window.available()).min(MUCH_OUTPUT.saturating_sub(waiting));
        room.min(length).min(self.share(slot, length))
    }

    /// How much of `length` bytes the stream may still take of the connection's window. Its peer may
    /// never read them, and what it has not read nobody else can send: so a server's window, which
    /// strangers share, is never taken whole by one of them. What a stream holds stays below three
    /// times what is free. A smaller share would keep servers waiting that speak of room only when half
    /// of the window has been used.
    fn share(&self, slot: Slot, length: usize) -> usize {
        if self.role == Role::Server {
            return length;
        }
        let (free, whole) = (self.send_window.available(), self.send_window.largest());
        // A server may speak of the connection's window more often than of the stream's.
        let held = self.streams.at(slot).unacknowledged.min(whole - free);
        let share = (3 * free).saturating_sub(held) / 4;
        // No windows silly enough to be filled byte by byte.
        if share < length.min(LEAST_SHARE) { 0 } else { share }
    }

    /// Whether so much of the connection's window is free that a request with a body, and not a large
    /// one, would not have to wait for others.
    pub(crate) fn is_open(&self) -> bool {
        3 * self.send_window.available() > self.send_window.largest()
    }

    /// How much of the connection's window is free.
    pub(crate) fn free_window(&self) -> usize {
        self.send_window.available()
    }

    /// Sends what there is room for of `data`; `end`: it is the last. Ready with how much of it went,
    /// which is none only if there is none; pending until there is room.
    pub(crate) fn poll_send(
        &mut self,
        slot: Slot,
        cx: &Context<'_>,
        data: &[u8],
        end: bool,
    ) -> Poll<Result<usize, Lost>> {
        match self.send(slot, data, end) {
            Ok(0) if !data.is_empty() => {
                self.streams.at_mut(slot).register(cx);
                self.wait_for_room(slot);
                Poll::Pending
            }
            sent => Poll::Ready(sent),
        }
    }

    /// As [`Codec::poll_send`], without waiting.
    ///
    /// # Errors
    /// Nothing can be said on the stream any more.
    pub fn send(&mut self, slot: Slot, data: &[u8], end: bool) -> Result<usize, Lost> {
        let stream = self.streams.at(slot);
        if let Some(lost) = stream.lost {
            return Err(lost);
        }
        if !stream.sending {
            return Err(Lost::GivenUp);
        }
        let taken = self.room(slot, data.len());
        let last = end && taken == data.len();
        self.put_data(slot, &data[..taken], last);
        Ok(taken)
    }

    /// Sends `data`, and keeps what there is no room for, to be sent when there is. It is the last of
    /// its stream.
    ///
    /// # Errors
    /// As [`Codec::send`].
    pub fn send_last(&mut self, slot: Slot, data: &[u8]) -> Result<(), Lost> {
        let sent = self.send(slot, data, true)?;
        if sent < data.len() {
            let stream = self.streams.at_mut(slot);
            stream.rest.extend_from_slice(&data[sent..]);
            stream.sending = false;
            self.wait_for_room(slot);
        }
        Ok(())
    }

    /// Frames `data`, for which there is room.
    fn put_data(&mut self, slot: Slot, data: &[u8], end: bool) {
        let stream = self.streams.at_mut(slot);
        let mut pieces = data.chunks(MAX_PAYLOAD).peekable();
        if data.is_empty() && end {
            frame::write(&mut self.out, frame::DATA, frame::END_STREAM, stream.id, &[]);
        }
        while let Some(piece) = pieces.next() {
            let flags = if end && pieces.peek().is_none() { frame::END_STREAM } else { 0 };
            frame::write(&mut self.out, frame::DATA, flags, stream.id, piece);
        }
        stream.send_window.take(data.len());
        stream.unacknowledged += data.len();
        self.send_window.take(data.len());
        if !data.is_empty() {
            // Who opens a window byte by byte makes many frames out of little.
            let whole = stream.send_window.available() > 0 && self.send_window.available() > 0;
            self.credit.sent(data.len(), whole);
        }
        if end {
            self.sent_all(slot);
        }
    }

    /// END_STREAM has been sent.
    fn sent_all(&mut self, slot: Slot) {
        self.streams.at_mut(slot).sending = false;
        if self.role == Role::Server {
            self.credit.exchange();
        }
        self.close_if_done(slot);
    }

    fn wait_for_room(&mut self, slot: Slot) {
        let stream = self.streams.at_mut(slot);
        if !stream.wants_room {
            stream.wants_room = true;
            self.waiting.push_back(slot);
        }
    }

    /// Something can be sent again: whoever waits for it is woken, in the order they came.
    pub(super) fn wake_waiting(&mut self) {
        for _ in 0..self.waiting.len() {
            if self.send_window.available() == 0 {
                return;
            }
            let Some(slot) = self.waiting.pop_front() else { return };
            if self.room(slot, 1) > 0 {
                self.streams.at_mut(slot).wants_room = false;
                self.wake_for_room(slot);
            } else {
                self.waiting.push_back(slot);
            }
        }
    }

    /// The stream's own window has grown.
    pub(super) fn has_room(&mut self, slot: Slot) {
        if self.streams.at(slot).wants_room && self.room(slot, 1) > 0 {
            self.stop_waiting(slot);
            self.wake_for_room(slot);
        }
    }

    pub(super) fn stop_waiting(&mut self, slot: Slot) {
        if std::mem::take(&mut self.streams.at_mut(slot).wants_room) {
            self.waiting.retain(|waiting| *waiting != slot);
        }
    }

    fn wake_for_room(&mut self, slot: Slot) {
        let stream = self.streams.at_mut(slot);
        if stream.rest.is_empty() {
            return stream.wake();
        }
        let mut rest = std::mem::take(&mut stream.rest);
        let sent = self.room(slot, rest.len());
        let last = sent == rest.len();
        self.put_data(slot, &rest[..sent], last);
        if last {
            let stream = self.streams.at(slot);
            if !stream.held && stream.lost.is_none() && !stream.is_closed() {
                self.give_up_receiving(slot);
            }
        } else {
            rest.drain(..sent);
            self.streams.at_mut(slot).rest = rest;
            self.wait_for_room(slot);
        }
    }
}
