//! Medians, and how sure one may be of them.
//!
//! The speed of a machine drifts by tens of percent within a minute, so two candidates are compared
//! within a cycle, by the ratio of what they did seconds apart, and over cycles by the median of
//! those ratios. The interval is a percentile bootstrap: it assumes nothing about the distribution.

use serde::Serialize;

use crate::random::Random;

/// How often the bootstrap draws.
const DRAWS: usize = 10_000;

/// A median with its 95 % bootstrap interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Estimate {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// The median; the mean of the middle two of an even number. `None` of nothing.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    median_of_sorted(&sorted)
}

fn median_of_sorted(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    Some(if sorted.len() % 2 == 1 { upper } else { (sorted[sorted.len() / 2 - 1] + upper) / 2.0 })
}

/// The median of `values` and the interval that holds the median of 95 % of the resamples.
pub(crate) fn estimate(values: &[f64], random: &mut Random) -> Option<Estimate> {
    let median = median(values)?;
    let mut resample = vec![0.0; values.len()];
    let mut medians: Vec<f64> = (0..DRAWS)
        .filter_map(|_| {
            resample.iter_mut().for_each(|slot| *slot = values[random.below(values.len())]);
            resample.sort_unstable_by(f64::total_cmp);
            median_of_sorted(&resample)
        })
        .collect();
    medians.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| medians[((DRAWS - 1) as f64 * share).round() as usize];
    Some(Estimate { median, low: at(0.025), high: at(0.975) })
}

/// `ours / theirs`, pair by pair.
pub(crate) fn ratios(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    ours.iter().zip(theirs).filter(|(_, their)| **their > 0.0).map(|(our, their)| our / their).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_two() {
        for (values, expected) in [
            (&[][..], None),
            (&[3.0], Some(3.0)),
            (&[9.0, 1.0, 2.0], Some(2.0)),
            (&[4.0, 1.0, 2.0, 9.0], Some(3.0)),
        ] {
            assert_eq!(median(values), expected, "{values:?}");
        }
    }

    #[test]
    fn drift_shared_by_a_pair_cancels_in_the_ratio() {
        let speed = [1.0, 1.4, 0.8, 2.0, 1.1];
        let ours: Vec<f64> = speed.iter().map(|s| 5.0 * s).collect();
        let theirs: Vec<f64> = speed.iter().map(|s| 10.0 * s).collect();
        let found = estimate(&ratios(&ours, &theirs), &mut Random::new(1)).unwrap();
        assert!((found.median - 0.5).abs() < 1e-12 && (found.high - found.low).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn the_interval_holds_the_median_and_ignores_one_outlier() {
        let mut values: Vec<f64> = (0..15).map(|n| 0.50 + 0.01 * f64::from(n % 5)).collect();
        values.push(40.0);
        let found = estimate(&values, &mut Random::new(2)).unwrap();
        assert!(found.low <= found.median && found.median <= found.high && found.high < 0.6, "{found:?}");
        assert!(found.low < found.high, "{found:?}");
    }

    #[test]
    fn most_intervals_hold_the_true_median() {
        // Sums of uniform draws around 10, as cycles scatter around their true value.
        let mut random = Random::new(3);
        let covered = (0..40)
            .filter(|_| {
                let values: Vec<f64> = (0..12)
                    .map(|_| 9.0 + (0..4).map(|_| random.below(1000) as f64 / 2000.0).sum::<f64>())
                    .collect();
                let found = estimate(&values, &mut Random::new(4)).unwrap();
                found.low <= 10.0 && 10.0 <= found.high
            })
            .count();
        assert!(covered >= 34, "{covered} of 40");
    }
}
