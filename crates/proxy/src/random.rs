//! A worker's own source of chance: for weights and request ids, not for secrets.

use std::cell::Cell;

/// xoshiro256++ (Blackman and Vigna, public domain), seeded by the operating system.
#[derive(Debug)]
pub(crate) struct Random(Cell<[u64; 4]>);

impl Random {
    /// # Errors
    /// The operating system gives no random bytes.
    pub(crate) fn from_os() -> std::io::Result<Self> {
        let mut seed = [0; 4];
        for word in &mut seed {
            *word = getrandom::u64().map_err(|error| std::io::Error::other(error.to_string()))?;
        }
        // All zero is the one state the generator never leaves.
        seed[0] |= 1;
        Ok(Self(Cell::new(seed)))
    }

    pub(crate) fn next(&self) -> u64 {
        let [a, b, c, d] = self.0.get();
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.0.set([a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)]);
        result
    }

    /// A version 4 UUID (RFC 9562) as text.
    pub(crate) fn uuid(&self) -> [u8; 36] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let high = self.next() & !0xf000 | 0x4000;
        let low = self.next() & !(0b11 << 62) | (0b10 << 62);
        let mut text = [b'-'; 36];
        let mut put = |from: usize, word: u64, shift: u32, count: usize| {
            for (index, place) in text[from..from + count].iter_mut().enumerate() {
                *place = DIGITS[(word >> (shift as usize + 4 * (count - 1 - index)) & 15) as usize];
            }
        };
        put(0, high, 32, 8);
        put(9, high, 16, 4);
        put(14, high, 0, 4);
        put(19, low, 48, 4);
        put(24, low, 0, 12);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_are_version_four_uuids_and_differ() {
        let random = Random::from_os().unwrap();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1000 {
            let text = String::from_utf8(random.uuid().to_vec()).unwrap();
            assert_eq!(text.len(), 36);
            for (index, char) in text.chars().enumerate() {
                match index {
                    8 | 13 | 18 | 23 => assert_eq!(char, '-', "{text}"),
                    14 => assert_eq!(char, '4', "{text}"),
                    19 => assert!("89ab".contains(char), "{text}"),
                    _ => assert!(char.is_ascii_hexdigit() && !char.is_uppercase(), "{text}"),
                }
            }
            assert!(seen.insert(text));
        }
    }
}
