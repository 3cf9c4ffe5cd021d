//! How long to wait before the next attempt.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

/// Doubles from attempt to attempt, up to a bound, and leaves half of it to chance: the subscriptions of a
/// destination that comes back do not all knock at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// The wait after one more failure, for 64 random bits.
    pub(crate) fn after_failure(&mut self, random: u64) -> Duration {
        let wait = self.next / 2 + (self.next / 2).mul_f64(random as f64 / u64::MAX as f64);
        self.next = (self.next * 2).min(LONGEST);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_a_bound_and_differ_by_chance() {
        let (mut low, mut high) = (Backoff::default(), Backoff::default());
        let waits: Vec<_> = (0..8)
            .map(|_| (low.after_failure(0).as_millis(), high.after_failure(u64::MAX).as_millis()))
            .collect();
        let expected = [(250, 500), (500, 1000), (1000, 2000), (2000, 4000), (4000, 8000), (8000, 16000)];
        assert_eq!(waits[..6], expected);
        assert_eq!(waits[6..], [(15000, 30000), (15000, 30000)]);
    }
}
