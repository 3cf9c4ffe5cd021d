//! Which of a name's record sets answer, by their routing policies.

use super::{RecordSet, Routing};

/// Records that a multivalue answer has at most.
pub const MAX_MULTI_VALUE: usize = 8;

/// Of `sets`, those of the type that answer for the number drawn: one, or all that take part in a multivalue answer.
///
/// "If all the records are unhealthy, Route 53 considers all of them healthy": somebody always answers.
pub fn choose<'s>(
    sets: &'s [RecordSet],
    kind: u16,
    draw: u32,
    is_healthy: &dyn Fn(&RecordSet) -> bool,
) -> Vec<&'s RecordSet> {
    let of_type = || sets.iter().filter(|set| set.kind == kind);
    let Some(first) = of_type().min_by_key(|set| rank(set.routing)) else { return Vec::new() };
    let healthy_or_all = || {
        let healthy: Vec<_> = of_type().filter(|set| is_healthy(set)).collect();
        if healthy.is_empty() { of_type().collect() } else { healthy }
    };
    match first.routing {
        Routing::Simple => vec![first],
        Routing::MultiValue => {
            let all = healthy_or_all();
            let start = draw as usize % all.len();
            all.iter().cycle().skip(start).take(all.len().min(MAX_MULTI_VALUE)).copied().collect()
        }
        Routing::Weighted(_) => vec![weighted(&healthy_or_all(), draw)],
        Routing::Primary | Routing::Secondary | Routing::Nearest | Routing::Default => {
            let mut ranked: Vec<_> = of_type().collect();
            ranked.sort_by_key(|set| rank(set.routing));
            vec![ranked.into_iter().find(|set| is_healthy(set)).unwrap_or(first)]
        }
    }
}

/// One of `all`, of which there is one at least.
fn weighted<'s>(all: &[&'s RecordSet], draw: u32) -> &'s RecordSet {
    let weight = |set: &RecordSet| match set.routing {
        Routing::Weighted(weight) => u64::from(weight),
        _ => 0,
    };
    let total: u64 = all.iter().map(|set| weight(set)).sum();
    if total == 0 {
        // "If you set Weight to 0 for all of the records, traffic is routed with equal probability."
        return all[draw as usize % all.len()];
    }
    // Maps 0..2^32 onto 0..total without a division.
    let mut point = (u64::from(draw) * total) >> 32;
    let chosen = all.iter().find(|set| match point.checked_sub(weight(set)) {
        Some(rest) => {
            point = rest;
            false
        }
        None => true,
    });
    chosen.unwrap_or(&all[0])
}

/// Which of the policies' choices comes first.
fn rank(routing: Routing) -> u8 {
    match routing {
        Routing::Simple | Routing::Weighted(_) | Routing::MultiValue | Routing::Primary => 0,
        Routing::Default => 1,
        Routing::Nearest | Routing::Secondary => 2,
    }
}
