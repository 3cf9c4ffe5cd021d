//! Random text: ids, keys, UUIDs. The source is an argument, so that tests own it.

use std::fmt;
use std::sync::Arc;

/// Draws random bits.
#[derive(Clone)]
pub struct Random(Arc<dyn Fn() -> u64 + Send + Sync>);

/// Capital letters and the digits that look like none of them: 32 characters, as ids of keys have.
pub const BASE_32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// 64 characters that stand in a URL as they are.
pub const BASE_64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl Random {
    /// The operating system's random source.
    pub fn system() -> Self {
        Self::new(|| getrandom::u64().expect("the kernel gives random bytes once it has booted"))
    }

    /// A source of one's own, for tests.
    pub fn new(draw: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(draw))
    }

    pub fn draw(&self) -> u64 {
        (self.0)()
    }

    /// `length` characters of `alphabet`, which has a power of two of them, so that every one is equally likely.
    pub fn text<const N: usize>(&self, length: usize, alphabet: &[u8; N]) -> String {
        const { assert!(N.is_power_of_two()) };
        (0..length).map(|_| char::from(alphabet[(self.draw() % N as u64) as usize])).collect()
    }

    /// A version 4 UUID.
    pub fn uuid(&self) -> String {
        let (high, low) = (self.draw(), self.draw());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            (low >> 48) & 0x3fff | 0x8000,
            low & 0xffff_ffff_ffff
        )
    }
}

/// Whether `text` could be a UUID of [`Random::uuid`]: what goes into a key has been looked at.
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'))
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random")
    }
}
