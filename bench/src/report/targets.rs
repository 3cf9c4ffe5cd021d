//! What the project promises about its cost, against what was found.

use serde_json::{Value, json};

use crate::cases::Case;
use crate::stats::Estimate;

/// CPU per request at saturation, at most so much of a peer's.
const SMALL_GET: [(&str, f64); 4] =
    [("nginx", 0.65), ("haproxy", 0.65), ("envoy", 0.15), ("envoy-stats", 0.15)];
/// In the other cases, at most so much of the best peer's.
const OTHERS: f64 = 0.80;

/// One promise.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) case: Case,
    pub(crate) peer: String,
    pub(crate) limit: f64,
    pub(crate) found: Estimate,
}

impl Target {
    pub(crate) fn met(&self) -> bool {
        self.found.median <= self.limit
    }

    pub(super) fn json(&self) -> Value {
        let Self { case, peer, limit, found } = self;
        json!({ "case": case, "peer": peer, "limit": limit, "found": found, "met": self.met() })
    }
}

/// The promises for one case, given Trellis's CPU time per request over that of each peer.
pub(super) fn check(case: Case, compared: &[(&str, Estimate)]) -> Vec<Target> {
    let target =
        |peer: &str, limit: f64, found: Estimate| Target { case, peer: peer.to_owned(), limit, found };
    if case == Case::SmallGet {
        return SMALL_GET
            .iter()
            .filter_map(|(name, limit)| {
                let (peer, found) = compared.iter().find(|(peer, _)| peer == name)?;
                Some(target(peer, *limit, *found))
            })
            .collect();
    }
    // The best peer is the one Trellis comes out worst against.
    let best = compared.iter().max_by(|(_, a), (_, b)| a.median.total_cmp(&b.median));
    best.map(|(peer, found)| target(&format!("best peer: {peer}"), OTHERS, *found)).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exactly(median: f64) -> Estimate {
        Estimate { median, low: median, high: median }
    }

    #[test]
    fn the_small_get_has_a_target_for_each_peer() {
        let compared = [("nginx", exactly(0.60)), ("haproxy", exactly(0.70)), ("envoy", exactly(0.15))];
        let met: Vec<bool> = check(Case::SmallGet, &compared).iter().map(Target::met).collect();
        assert_eq!(met, [true, false, true]);
    }

    #[test]
    fn the_other_cases_are_held_against_the_best_peer() {
        let compared = [("nginx", exactly(0.60)), ("haproxy", exactly(0.85)), ("envoy", exactly(0.15))];
        let targets = check(Case::LargePost, &compared);
        assert_eq!(targets.len(), 1);
        assert!(targets[0].peer.ends_with("haproxy") && !targets[0].met());
    }
}
