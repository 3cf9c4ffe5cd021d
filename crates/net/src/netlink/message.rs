//! The bytes of a netlink message: header, fixed part, nested attributes.

use super::HEADER;

/// Marks an attribute that holds attributes.
const NLA_F_NESTED: u16 = 0x8000;
/// The two top bits of an attribute's type are flags.
const TYPE_MASK: u16 = 0x3fff;

/// A message being written.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    bytes: Vec<u8>,
    flags: u16,
}

impl Message {
    /// A message of type `kind` that begins with `fixed`, the family's own header.
    pub(crate) fn new(kind: u16, flags: u16, fixed: &[u8]) -> Message {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(fixed);
        let mut message = Message { bytes, flags };
        message.pad();
        message
    }

    pub(crate) fn attribute(mut self, kind: u16, value: &[u8]) -> Message {
        // Values here are addresses, names and numbers: far below the 64 KiB an attribute may hold.
        self.bytes.extend_from_slice(&((4 + value.len()) as u16).to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.pad();
        self
    }

    pub(crate) fn number(self, kind: u16, value: u32) -> Message {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// A text with the zero the kernel wants at its end.
    pub(crate) fn text(self, kind: u16, value: &str) -> Message {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(kind, &bytes)
    }

    pub(crate) fn nested(mut self, kind: u16, inside: impl FnOnce(Message) -> Message) -> Message {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        let mut message = inside(self);
        let length = (message.bytes.len() - start) as u16;
        message.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        message.bytes[start + 2..start + 4].copy_from_slice(&(kind | NLA_F_NESTED).to_ne_bytes());
        message
    }

    /// Bytes in the middle of attributes that are not one (the `ifinfomsg` of a veth's peer).
    pub(crate) fn raw(mut self, value: &[u8]) -> Message {
        self.bytes.extend_from_slice(value);
        self.pad();
        self
    }

    pub(super) fn finish(mut self, flags: u16, sequence: u32) -> Vec<u8> {
        let length = self.bytes.len() as u32;
        self.bytes[0..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[6..8].copy_from_slice(&(self.flags | flags).to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.bytes
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// The attributes in `bytes`, in order. Ends early where a length makes no sense.
#[derive(Debug, Clone)]
pub(crate) struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    pub(crate) fn new(rest: &'a [u8]) -> Attributes<'a> {
        Attributes { rest }
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let header = self.rest.first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & TYPE_MASK;
        let value = self.rest.get(4..length)?;
        self.rest = &self.rest[length.next_multiple_of(4).min(self.rest.len())..];
        Some((kind, value))
    }
}

/// A native-endian number out of an attribute's value.
pub(crate) fn number(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_as_they_were_written() {
        let bytes = Message::new(16, 0, &[7; 16])
            .text(3, "br0")
            .nested(18, |message| message.text(1, "bridge").number(2, 9))
            .finish(5, 77);
        assert_eq!(u32::from_ne_bytes(bytes[0..4].try_into().unwrap()) as usize, bytes.len());
        assert_eq!(bytes[8], 77);
        let read: Vec<_> = Attributes::new(&bytes[HEADER + 16..]).collect();
        assert_eq!(read[0], (3, &b"br0\0"[..]));
        assert_eq!(read[1].0, 18);
        let inner: Vec<_> = Attributes::new(read[1].1).collect();
        assert_eq!(inner[0], (1, &b"bridge\0"[..]));
        assert_eq!(inner[1].0, 2);
        assert_eq!(number(inner[1].1), Some(9));
    }

    #[test]
    fn attributes_with_senseless_lengths_end_the_list() {
        for bytes in [&[][..], &[1, 0], &[3, 0, 1, 0], &[0, 0, 0, 0], &[255, 255, 1, 0, 9], &[8, 0, 1, 0, 9]]
        {
            assert_eq!(Attributes::new(bytes).count(), 0, "{bytes:?}");
        }
        assert_eq!(number(&[1, 2, 3]), None);
    }
}
