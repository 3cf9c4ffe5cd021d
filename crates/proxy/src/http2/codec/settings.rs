//! SETTINGS: what the peer says, and what is said to it (RFC 9113, 6.5).

use super::error::{Reason, Refusal};
use super::frame::{self, MAX_PAYLOAD};
use super::{Codec, Role, fields, window};

const HEADER_TABLE_SIZE: u16 = 1;
const ENABLE_PUSH: u16 = 2;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;
const MAX_HEADER_LIST_SIZE: u16 = 6;

/// What the peer has announced.
#[derive(Debug)]
pub(super) struct Peer {
    /// Its first SETTINGS have come.
    pub(super) settled: bool,
    pub(super) streams: u32,
    /// Of every stream.
    pub(super) window: u32,
}

impl Default for Peer {
    fn default() -> Self {
        Self { settled: false, streams: u32::MAX, window: window::DEFAULT }
    }
}

impl Codec {
    /// Writes our own, and opens the connection's window.
    pub(super) fn announce(&mut self) {
        let first = match self.role {
            Role::Client => (ENABLE_PUSH, 0),
            Role::Server => (MAX_CONCURRENT_STREAMS, self.bounds.streams),
        };
        let mut payload = Vec::with_capacity(18);
        for (id, value) in [
            first,
            (INITIAL_WINDOW_SIZE, self.bounds.stream_window),
            (MAX_HEADER_LIST_SIZE, fields::MAX_LIST as u32),
        ] {
            payload.extend_from_slice(&id.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        frame::write(&mut self.out, frame::SETTINGS, 0, 0, &payload);
        if self.bounds.connection_window > window::DEFAULT {
            let more = self.bounds.connection_window - window::DEFAULT;
            frame::write_window_update(&mut self.out, 0, more);
        }
    }

    /// Obeys the peer's, and acknowledges them.
    pub(super) fn settings(&mut self, head: &frame::Head, payload: &[u8]) -> Result<(), Refusal> {
        if head.stream != 0 {
            return Err(Refusal::protocol("SETTINGS on a stream"));
        }
        if head.has(frame::ACK) {
            return if payload.is_empty() {
                Ok(())
            } else {
                Err(Refusal::size("SETTINGS with ACK and more"))
            };
        }
        if !payload.len().is_multiple_of(6) {
            return Err(Refusal::size("SETTINGS of a fraction"));
        }
        self.peer.settled = true;
        for setting in payload.chunks_exact(6) {
            let [i0, i1, v0, v1, v2, v3] = *setting else { continue };
            self.setting(u16::from_be_bytes([i0, i1]), u32::from_be_bytes([v0, v1, v2, v3]))?;
        }
        frame::write(&mut self.out, frame::SETTINGS, frame::ACK, 0, &[]);
        Ok(())
    }

    fn setting(&mut self, id: u16, value: u32) -> Result<(), Refusal> {
        match id {
            HEADER_TABLE_SIZE => self.encoder.set_max_table(value as usize),
            // "A client MUST treat receipt of a SETTINGS frame with SETTINGS_ENABLE_PUSH set to 1 as a
            // connection error" (RFC 9113, 6.5.2).
            ENABLE_PUSH if value > 1 || (value == 1 && self.role == Role::Client) => {
                return Err(Refusal::protocol("SETTINGS_ENABLE_PUSH"));
            }
            MAX_CONCURRENT_STREAMS => self.peer.streams = value,
            INITIAL_WINDOW_SIZE if value > window::LARGEST => {
                let what = "SETTINGS_INITIAL_WINDOW_SIZE above 2^31-1";
                return Err(Refusal::connection(Reason::FLOW_CONTROL_ERROR, what));
            }
            INITIAL_WINDOW_SIZE => return self.resize_windows(value),
            // No more than the least it may be is ever sent.
            MAX_FRAME_SIZE if !(MAX_PAYLOAD..1 << 24).contains(&(value as usize)) => {
                return Err(Refusal::protocol("SETTINGS_MAX_FRAME_SIZE"));
            }
            // MAX_HEADER_LIST_SIZE is advice, and the others are not known.
            _ => {}
        }
        Ok(())
    }

    /// "When the value of SETTINGS_INITIAL_WINDOW_SIZE changes, a receiver MUST adjust the size of all
    /// stream flow-control windows that it maintains by the difference" (RFC 9113, 6.9.2).
    fn resize_windows(&mut self, size: u32) -> Result<(), Refusal> {
        let by = i64::from(size) - i64::from(self.peer.window);
        self.peer.window = size;
        for slot in self.streams.open_slots() {
            if self.streams.at_mut(slot).send_window.shift(by).is_err() {
                let what = "SETTINGS_INITIAL_WINDOW_SIZE makes a window too large";
                return Err(Refusal::connection(Reason::FLOW_CONTROL_ERROR, what));
            }
            if by > 0 {
                self.has_room(slot);
            }
        }
        Ok(())
    }
}
