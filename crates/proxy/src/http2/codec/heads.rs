//! Header blocks: requests, answers and trailers as the peer sends them (RFC 9113, 6.2, 6.10 and 8).

use super::error::{Reason, Refusal};
use super::fields::{Fields, Part};
use super::frame::{self, Head};
use super::receive::dependency;
use super::streams::{Receiving, Slot};
use super::window::{ReceiveWindow, SendWindow};
use super::{Codec, Going, MOST_HEADS, Role, fields};
use crate::hpack::DecodeError;
use crate::http1::content_length;

/// CONTINUATION frames one header block may have.
const MOST_CONTINUATIONS: u32 = 32;
/// Bytes of a header block: a list that is too large can still be told so.
const MAX_BLOCK: usize = 2 * fields::MAX_LIST;

/// A header block whose end has not come.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) stream: u32,
    end_stream: bool,
    depends_on_itself: bool,
    bytes: Vec<u8>,
    continuations: u32,
}

impl Codec {
    pub(super) fn headers(&mut self, head: &Head, payload: &[u8]) -> Result<(), Refusal> {
        if head.stream == 0 {
            return Err(Refusal::protocol("HEADERS on the connection"));
        }
        let Some(mut fragment) = frame::unpadded(head, payload) else {
            return Err(Refusal::protocol("more padding than payload"));
        };
        let mut depends_on_itself = false;
        if head.has(frame::PRIORITISED) {
            let Some((priority, rest)) = fragment.split_at_checked(5) else {
                return Err(Refusal::size("HEADERS too short for a priority"));
            };
            depends_on_itself = dependency(priority) == Some(head.stream);
            fragment = rest;
        }
        let end_stream = head.has(frame::END_STREAM);
        if head.has(frame::END_HEADERS) {
            return self.header_block(head.stream, end_stream, depends_on_itself, fragment);
        }
        self.block = Some(Block {
            stream: head.stream,
            end_stream,
            depends_on_itself,
            bytes: fragment.to_vec(),
            continuations: 0,
        });
        Ok(())
    }

    pub(super) fn continuation(&mut self, head: &Head, payload: &[u8]) -> Result<(), Refusal> {
        let Some(block) = &mut self.block else {
            return Err(Refusal::protocol("CONTINUATION of nothing"));
        };
        block.continuations += 1;
        if block.continuations > MOST_CONTINUATIONS || block.bytes.len() + payload.len() > MAX_BLOCK {
            return Err(Refusal::connection(Reason::ENHANCE_YOUR_CALM, "a header block without end"));
        }
        block.bytes.extend_from_slice(payload);
        if !head.has(frame::END_HEADERS) {
            return Ok(());
        }
        let Some(block) = self.block.take() else { return Ok(()) };
        self.header_block(block.stream, block.end_stream, block.depends_on_itself, &block.bytes)
    }

    fn header_block(
        &mut self,
        id: u32,
        end: bool,
        depends_on_itself: bool,
        block: &[u8],
    ) -> Result<(), Refusal> {
        let known = self.streams.find(id);
        let part = match (known, self.role) {
            (Some(slot), _) if self.streams.at(slot).receiving == Receiving::Head => Part::Answer,
            (Some(_), _) | (None, Role::Client) => Part::Trailers,
            (None, Role::Server) => Part::Request,
        };
        let fields = self.decode(block, part)?;
        let done = match known {
            _ if depends_on_itself && id & 1 == 1 => {
                self.malformed += u32::from(part == Part::Request && self.is_idle(id));
                self.last = self.last.max(id);
                Err(Refusal::Stream(id, Reason::PROTOCOL_ERROR))
            }
            Some(slot) if part == Part::Answer => return self.answer(slot, fields, end),
            Some(slot) => return self.trailers(slot, fields, end),
            None if self.role == Role::Server && self.is_idle(id) => {
                return self.request(id, fields, end, block.len());
            }
            None if self.is_idle(id) => Err(Refusal::protocol("HEADERS on an idle stream")),
            None if self.streams.was_reset(id) => {
                self.credit.read_in_vain(block.len());
                Ok(())
            }
            None => Err(Refusal::connection(Reason::STREAM_CLOSED, "HEADERS on a closed stream")),
        };
        self.streams.give_back_fields(fields);
        done
    }

    fn decode(&mut self, block: &[u8], part: Part) -> Result<Fields, Refusal> {
        let mut fields = self.streams.take_fields();
        let decoded = self.decoder.decode(block, |name, value, never_indexed| {
            fields.add(name, value, part, never_indexed);
            Ok::<_, std::convert::Infallible>(())
        });
        match decoded {
            Err(DecodeError::Malformed(_)) => {
                Err(Refusal::connection(Reason::COMPRESSION_ERROR, "a header block is not HPACK"))
            }
            _ if fields.is_bomb() => {
                Err(Refusal::connection(Reason::ENHANCE_YOUR_CALM, "a header list far too large"))
            }
            _ => Ok(fields),
        }
    }

    /// A client begins a stream, with a header block of so many bytes.
    fn request(&mut self, id: u32, fields: Fields, end: bool, bytes: usize) -> Result<(), Refusal> {
        if id & 1 == 0 {
            return Err(Refusal::protocol("a client's stream with an even number"));
        }
        self.last = id;
        let refusal = if matches!(self.going, Going::Said(_)) {
            // It has been told that nobody looks at it.
            self.streams.remember(id);
            Some(Ok(()))
        } else if self.streams.open() >= self.bounds.streams as usize
            || self.streams.taken() >= 2 * self.bounds.streams as usize
        {
            frame::write_reset(&mut self.out, id, Reason::REFUSED_STREAM);
            self.streams.remember(id);
            Some(Ok(()))
        } else if fields.is_malformed(Part::Request) {
            self.malformed += 1;
            Some(Err(Refusal::Stream(id, Reason::PROTOCOL_ERROR)))
        } else {
            None
        };
        let length = only_length(&fields).unwrap_or(None);
        if let Some(refusal) = refusal {
            self.credit.read_in_vain(bytes);
            self.streams.give_back_fields(fields);
            return refusal;
        }
        if end && length.is_some_and(|length| length > 0) {
            self.malformed += 1;
            self.streams.give_back_fields(fields);
            return Err(Refusal::Stream(id, Reason::PROTOCOL_ERROR));
        }
        if fields.is_too_large() {
            self.credit.read_in_vain(bytes);
        }
        let receive = ReceiveWindow::new(self.bounds.stream_window);
        let slot = self.streams.insert(id, SendWindow::new(self.peer.window), receive);
        let stream = self.streams.at_mut(slot);
        stream.receiving = if end { Receiving::Nothing } else { Receiving::Body };
        stream.length_left = length;
        stream.heads.push_back(fields);
        self.opened.push_back(slot);
        Ok(())
    }

    /// A server answers.
    fn answer(&mut self, slot: Slot, fields: Fields, end: bool) -> Result<(), Refusal> {
        let stream = self.streams.at_mut(slot);
        let id = stream.id;
        let status = fields.status();
        let interim = !fields.is_too_large() && (100..200).contains(&status);
        let length = match only_length(&fields) {
            Ok(_) if stream.to_head || matches!(status, 204 | 304) => Some(0),
            Ok(length) => length,
            Err(()) => return Err(Refusal::Stream(id, Reason::PROTOCOL_ERROR)),
        };
        let malformed = fields.is_malformed(Part::Answer)
            || fields.is_too_large()
            || (interim && end)
            || (end && length.is_some_and(|length| length > 0))
            || stream.heads.len() >= MOST_HEADS;
        if malformed {
            return Err(Refusal::Stream(id, Reason::PROTOCOL_ERROR));
        }
        stream.heads.push_back(fields);
        if !interim {
            stream.receiving = if end { Receiving::Nothing } else { Receiving::Body };
            stream.length_left = length;
        }
        stream.wake();
        if end {
            self.close_if_done(slot);
        }
        Ok(())
    }

    fn trailers(&mut self, slot: Slot, fields: Fields, end: bool) -> Result<(), Refusal> {
        let stream = self.streams.at_mut(slot);
        let id = stream.id;
        if stream.receiving == Receiving::Nothing {
            return Err(Refusal::Stream(id, Reason::STREAM_CLOSED));
        }
        // "An endpoint that receives a HEADERS frame without the END_STREAM flag set after receiving the
        // HEADERS frame that opens a request or after receiving a final (non-informational) status code
        // MUST treat the corresponding request or response as malformed" (RFC 9113, 8.1)
        let short = stream.length_left.is_some_and(|left| left > 0);
        if !end || short || fields.is_malformed(Part::Trailers) || fields.is_too_large() {
            return Err(Refusal::Stream(id, Reason::PROTOCOL_ERROR));
        }
        stream.receiving = Receiving::Nothing;
        if stream.held {
            stream.trailers = Some(fields);
            stream.wake();
        } else {
            self.streams.give_back_fields(fields);
        }
        self.close_if_done(slot);
        Ok(())
    }
}

/// The one `content-length` of a head; an error when it is not one number, or there are two.
fn only_length(fields: &Fields) -> Result<Option<u64>, ()> {
    let mut lengths = fields.values(b"content-length");
    let first = lengths.next().map(|value| content_length(value).map_err(drop)).transpose()?;
    if lengths.next().is_some() { Err(()) } else { Ok(first) }
}
