//! How often a client may make the codec work for nothing.
//!
//! Frames that carry nothing (PING, SETTINGS, PRIORITY, RST_STREAM, WINDOW_UPDATE, empty DATA,
//! CONTINUATION, unknown ones) cost the sender a few bytes and this proxy a pass through the codec,
//! often with an answer. So they are paid for out of a credit, which real traffic and time fill up
//! again.

use super::frame::{DATA, HEADERS, Head};
use crate::clock::Millis;

/// What one frame that carries nothing costs.
const PRICE: i64 = 1024;
/// The most credit there can be: so many such frames at once.
const MOST: i64 = 1024 * PRICE;
/// Credit gained in a millisecond: 100 such frames a second.
const PER_MILLISECOND: i64 = 100 * PRICE / 1000;

/// How much of what costs the sender little a connection may still send.
#[derive(Debug)]
pub(super) struct Credit {
    left: i64,
    at: Millis,
}

impl Default for Credit {
    fn default() -> Self {
        Self { left: MOST, at: 0 }
    }
}

impl Credit {
    /// Adds what the time since the last call is worth. Whether more was spent than there was.
    pub(super) fn is_overdrawn(&mut self, now: Millis) -> bool {
        let since = now.saturating_sub(std::mem::replace(&mut self.at, now));
        self.gain(since.min(MOST as Millis) as i64 * PER_MILLISECOND);
        self.left < 0
    }

    /// A frame has come.
    pub(super) fn came(&mut self, frame: &Head) {
        match (frame.kind, frame.length) {
            (HEADERS, _) | (DATA, 1..) => self.gain(PRICE / 4 + frame.length as i64),
            _ => self.spend(PRICE),
        }
    }

    /// So many bytes have been sent: they earn the acknowledgements and window updates they will be
    /// answered with.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.gain(bytes as i64 / 2);
    }

    /// A request was reset by its sender: setting it up was in vain.
    pub(super) fn set_up_in_vain(&mut self) {
        self.spend(4 * PRICE);
    }

    /// A head was refused.
    pub(super) fn read_in_vain(&mut self) {
        self.spend(PRICE);
    }

    fn gain(&mut self, more: i64) {
        self.left = self.left.saturating_add(more).min(MOST);
    }

    fn spend(&mut self, price: i64) {
        self.left = self.left.saturating_sub(price);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, length: usize) -> Head {
        Head { length, kind, flags: 0, stream: 1 }
    }

    #[test]
    fn a_flood_overdraws_the_credit_and_ordinary_traffic_does_not() {
        let (mut flooded, mut ordinary) = (Credit::default(), Credit::default());
        for _ in 0..2000 {
            flooded.came(&frame(6, 8));
            for (kind, length) in [(1, 40), (0, 1000), (8, 4)] {
                ordinary.came(&frame(kind, length));
            }
        }
        assert!(flooded.left < 0);
        assert!(ordinary.left > 0);
    }

    #[test]
    fn time_fills_the_credit_up_to_its_bound() {
        let mut credit = Credit::default();
        credit.spend(MOST + 10 * PRICE);
        assert!(credit.is_overdrawn(50));
        assert!(!credit.is_overdrawn(1_000));
        assert!(!credit.is_overdrawn(1_000_000));
        assert_eq!(credit.left, MOST);
    }
}
