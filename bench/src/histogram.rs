//! Latencies in a fixed amount of memory: a histogram whose buckets grow with the value.
//!
//! Every power of two is split into [`SUB_BUCKETS`] equal parts, so a quantile is at most 1/64
//! (1.6 %) above the true one, from a nanosecond to the longest time a `u64` holds.

/// Parts of each power of two.
const SUB_BUCKETS: u64 = 64;
const SUB_BITS: u32 = SUB_BUCKETS.trailing_zeros();

#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        // Values below SUB_BUCKETS have a bucket each; each further power of two has SUB_BUCKETS.
        let buckets = (64 - SUB_BITS as usize + 1) * SUB_BUCKETS as usize;
        Self { counts: vec![0; buckets], total: 0, max: 0 }
    }

    pub(crate) fn record(&mut self, nanoseconds: u64) {
        self.counts[bucket(nanoseconds)] += 1;
        self.total += 1;
        self.max = self.max.max(nanoseconds);
    }

    /// The largest value recorded; 0 when there is none.
    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    /// A value that at least `share` (0 to 1) of all recorded values do not exceed; 0 when empty.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        let wanted = (share * self.total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper_edge(index).min(self.max);
            }
        }
        self.max
    }
}

fn bucket(value: u64) -> usize {
    if value < SUB_BUCKETS {
        return value as usize;
    }
    let shift = value.ilog2() - SUB_BITS;
    // The top bits, leading one included, are SUB_BUCKETS..2*SUB_BUCKETS.
    (u64::from(shift) * SUB_BUCKETS + (value >> shift)) as usize
}

/// The largest value that falls into a bucket.
fn upper_edge(index: usize) -> u64 {
    let index = index as u64;
    if index < 2 * SUB_BUCKETS {
        return index;
    }
    let shift = index / SUB_BUCKETS - 1;
    let top = index - shift * SUB_BUCKETS;
    (u128::from(top + 1) << shift).saturating_sub(1).min(u128::from(u64::MAX)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_buckets_are_narrow() {
        let mut values: Vec<u64> = (0..300).collect();
        values
            .extend((6..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit, (1 << bit) + (1 << (bit - 1)) + 5]));
        values.push(u64::MAX);
        for value in values {
            let index = bucket(value);
            let (low, high) = (if index == 0 { 0 } else { upper_edge(index - 1) + 1 }, upper_edge(index));
            assert!(low <= value && value <= high, "{value} in {low}..={high}");
            assert!(high - low <= low / SUB_BUCKETS, "{low}..={high} is wide");
        }
        assert!(bucket(u64::MAX) < Histogram::new().counts.len());
    }

    #[test]
    fn quantiles_of_a_known_distribution_are_close() {
        let mut histogram = Histogram::new();
        for microseconds in 1..=10_000u64 {
            histogram.record(microseconds * 1000);
        }
        for (share, expected) in [(0.5, 5_000_000.0), (0.99, 9_900_000.0), (1.0, 10_000_000.0)] {
            let found = histogram.quantile(share) as f64;
            assert!((found / expected - 1.0).abs() < 0.016, "{share}: {found}");
        }
        assert_eq!(histogram.max(), 10_000_000);
        assert_eq!(Histogram::new().quantile(0.5), 0);
    }
}
