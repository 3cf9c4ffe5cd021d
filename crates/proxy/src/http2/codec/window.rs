//! Flow control: how much may be sent, how much the peer may send (RFC 9113, 5.2 and 6.9).

/// "A flow-control window MUST NOT exceed 2^31-1 octets" (RFC 9113, 6.9.1).
pub(super) const LARGEST: u32 = 0x7fff_ffff;
/// Every window, until somebody says otherwise.
pub(super) const DEFAULT: u32 = 65_535;

/// How much may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SendWindow {
    left: i64,
    /// The most that was ever left: as far as one side can know, the size of the window.
    largest: i64,
}

/// The window would exceed what a window may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overflow;

impl SendWindow {
    pub(super) fn new(size: u32) -> Self {
        Self { left: i64::from(size), largest: i64::from(size) }
    }

    pub(super) fn available(self) -> usize {
        usize::try_from(self.left).unwrap_or(0)
    }

    pub(super) fn largest(self) -> usize {
        usize::try_from(self.largest).unwrap_or(0)
    }

    pub(super) fn take(&mut self, count: usize) {
        self.left -= count as i64;
    }

    /// Grows, or shrinks: "a change to SETTINGS_INITIAL_WINDOW_SIZE can cause the available space in
    /// a flow-control window to become negative" (RFC 9113, 6.9.2).
    pub(super) fn shift(&mut self, by: i64) -> Result<(), Overflow> {
        let shifted = self.left + by;
        if shifted > i64::from(LARGEST) {
            return Err(Overflow);
        }
        self.left = shifted;
        self.largest = self.largest.max(shifted);
        Ok(())
    }
}

/// How much the peer may send. What has been dealt with is told to it half a window at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReceiveWindow {
    size: u32,
    /// What the peer may still send.
    left: u32,
    /// Dealt with, and the peer does not know it yet.
    untold: u32,
}

impl ReceiveWindow {
    pub(super) fn new(size: u32) -> Self {
        Self { size, left: size, untold: 0 }
    }

    /// The peer has sent so much. False: more than it may.
    pub(super) fn take(&mut self, count: usize) -> bool {
        match u32::try_from(count).ok().and_then(|count| self.left.checked_sub(count)) {
            Some(left) => self.left = left,
            None => return false,
        }
        true
    }

    /// What has come and is not dealt with.
    pub(super) fn undealt(self) -> u32 {
        self.size - self.left - self.untold
    }

    /// So much is dealt with. What the peer is to be told now, if anything.
    pub(super) fn release(&mut self, count: usize) -> Option<u32> {
        self.untold += count as u32;
        if self.untold < self.size / 2 || self.untold == 0 {
            return None;
        }
        self.left += self.untold;
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_may_become_negative_and_must_not_overflow() {
        let mut window = SendWindow::new(DEFAULT);
        window.take(60_000);
        window.shift(-i64::from(DEFAULT)).unwrap();
        assert_eq!(window.available(), 0);
        window.shift(60_000).unwrap();
        assert_eq!(window.available(), 0, "it was negative");
        window.shift(1).unwrap();
        assert_eq!(window.available(), 1);
        assert_eq!(window.shift(i64::from(LARGEST)), Err(Overflow));
        assert_eq!(window.available(), 1, "what is refused changes nothing");
        window.shift(i64::from(LARGEST) - 1).unwrap();
        assert_eq!(window.available(), LARGEST as usize);
    }

    #[test]
    fn room_is_told_of_half_a_window_at_a_time() {
        let mut window = ReceiveWindow::new(100);
        assert!(window.take(100));
        assert!(!window.take(1));
        assert_eq!(window.release(49), None);
        assert!(!window.take(1), "it has not been told yet");
        assert_eq!(window.release(1), Some(50));
        assert!(window.take(50) && !window.take(1));
    }
}
