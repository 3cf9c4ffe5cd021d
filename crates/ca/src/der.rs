//! Just enough DER to see what kind of key a private key is, before a crypto library is asked, and to
//! read what OCSP clients ask; [`write`] is the other direction.

pub(crate) mod write;

/// `INTEGER`.
pub(crate) const INTEGER: u8 = 0x02;
/// `OCTET STRING`.
pub(crate) const OCTET_STRING: u8 = 0x04;
/// `OBJECT IDENTIFIER`.
pub(crate) const OID: u8 = 0x06;
/// `SEQUENCE`.
pub(crate) const SEQUENCE: u8 = 0x30;
/// `[0]`, constructed.
pub(crate) const CONTEXT_0: u8 = 0xa0;

/// A reader of consecutive values. Lengths over 65,535 and high tag numbers are not read: no key has
/// them.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The content of the next value if it has this tag; the reader moves on only then.
    pub(crate) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (&found, rest) = self.0.split_first()?;
        if found != tag {
            return None;
        }
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81 => {
                let (&length, rest) = rest.split_first()?;
                (usize::from(length), rest)
            }
            0x82 => {
                let (length, rest) = rest.split_first_chunk::<2>()?;
                (usize::from(u16::from_be_bytes(*length)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(content)
    }

    /// The next value whole, tag and length included, if it has this tag.
    pub(crate) fn take_whole(&mut self, tag: u8) -> Option<&'a [u8]> {
        let before = self.0;
        self.take(tag)?;
        Some(&before[..before.len() - self.0.len()])
    }

    /// [`take`](Self::take), as a reader of what is inside.
    pub(crate) fn enter(&mut self, tag: u8) -> Option<Self> {
        self.take(tag).map(Self)
    }
}

/// The bits of a positive `INTEGER`'s value: 2048 for the modulus of RSA-2048.
pub(crate) fn integer_bits(content: &[u8]) -> usize {
    let significant = content.iter().position(|&byte| byte != 0).map_or(&[][..], |at| &content[at..]);
    match significant.first() {
        Some(first) => significant.len() * 8 - first.leading_zeros() as usize,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_in_turn_and_lies_about_length_are_refused() {
        let mut reader = Reader::new(&[0x30, 0x03, 0x02, 0x01, 0x05, 0x04, 0x81, 0x01, 0xff]);
        let mut inside = reader.enter(SEQUENCE).unwrap();
        assert_eq!(inside.take(OID), None);
        assert_eq!(inside.take(INTEGER), Some(&[5][..]));
        assert!(inside.is_empty());
        assert_eq!(reader.take(OCTET_STRING), Some(&[0xff][..]));
        for lie in [
            &[0x02][..],
            &[0x02, 0x02, 0x00],
            &[0x02, 0x82, 0x01],
            &[0x02, 0x80],
            &[0x02, 0x84, 0, 0, 0, 1, 0],
        ] {
            assert_eq!(Reader::new(lie).take(INTEGER), None, "{lie:?}");
        }
    }

    #[test]
    fn bits_are_counted_from_the_first_that_is_set() {
        for (content, bits) in [(&[][..], 0), (&[0], 0), (&[1], 1), (&[0, 0x80], 8), (&[0x7f, 0], 15)] {
            assert_eq!(integer_bits(content), bits);
        }
    }
}
