//! Frames: their nine bytes of header, read and written (RFC 9113, 4.1 and 6).

use super::error::Reason;

pub(super) const HEADER: usize = 9;
/// Largest payload either side may send, here (SETTINGS_MAX_FRAME_SIZE).
pub(super) const MAX_PAYLOAD: usize = 16_384;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

/// Of SETTINGS and PING.
pub(super) const ACK: u8 = 0x1;
pub(super) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const PRIORITISED: u8 = 0x20;

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// Without the reserved bit.
    pub(super) stream: u32,
}

impl Head {
    /// `None` when more bytes are needed.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, kind, flags, s0, s1, s2, s3] = *bytes.first_chunk::<HEADER>()?;
        Some(Self {
            length: u32::from_be_bytes([0, a, b, c]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]),
        })
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub(super) fn to_bytes(self) -> [u8; HEADER] {
        let [_, a, b, c] = (self.length as u32).to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        [a, b, c, self.kind, self.flags, s0, s1, s2, s3]
    }
}

/// Appends a frame.
pub(super) fn write(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend_from_slice(&Head { length: payload.len(), kind, flags, stream }.to_bytes());
    out.extend_from_slice(payload);
}

pub(super) fn write_reset(out: &mut Vec<u8>, stream: u32, reason: Reason) {
    write(out, RST_STREAM, 0, stream, &reason.0.to_be_bytes());
}

pub(super) fn write_window_update(out: &mut Vec<u8>, stream: u32, by: u32) {
    write(out, WINDOW_UPDATE, 0, stream, &by.to_be_bytes());
}

/// `why` is for whoever looks at the connection at the other end ("Additional Debug Data").
pub(super) fn write_goaway(out: &mut Vec<u8>, last: u32, reason: Reason, why: &str) {
    let mut payload = Vec::with_capacity(8 + why.len());
    payload.extend_from_slice(&last.to_be_bytes());
    payload.extend_from_slice(&reason.0.to_be_bytes());
    payload.extend_from_slice(why.as_bytes());
    write(out, GOAWAY, 0, 0, &payload);
}

/// The payload of a frame that may be padded, without its padding. `None`: "the length of the padding
/// is the length of the frame payload or greater" (RFC 9113, 6.1).
pub(super) fn unpadded<'a>(head: &Head, payload: &'a [u8]) -> Option<&'a [u8]> {
    if !head.has(PADDED) {
        return Some(payload);
    }
    let (padding, rest) = payload.split_first()?;
    rest.get(..rest.len().checked_sub(usize::from(*padding))?)
}

/// Four bytes at the front, as a number.
pub(super) fn number(payload: &[u8]) -> Option<u32> {
    payload.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_as_it_was_written_but_for_the_reserved_bit() {
        let head = Head { length: 0x01_02_03, kind: HEADERS, flags: 0x25, stream: 0x7fff_fffe };
        let mut bytes = head.to_bytes();
        assert_eq!(Head::read(&bytes), Some(head));
        bytes[5] |= 0x80;
        assert_eq!(Head::read(&bytes), Some(head));
        assert_eq!(Head::read(&bytes[..8]), None);
    }

    #[test]
    fn padding_as_long_as_the_payload_is_refused() {
        let padded = Head { length: 0, kind: DATA, flags: PADDED, stream: 1 };
        for (payload, expected) in [
            (&[0, b'a'][..], Some(&b"a"[..])),
            (&[1, b'a', 0], Some(b"a")),
            (&[2, b'a', 0], Some(b"")),
            (&[3, b'a', 0], None),
            (&[], None),
        ] {
            assert_eq!(unpadded(&padded, payload), expected, "{payload:?}");
        }
    }
}
