//! The health of targets: what a probe's outcome makes of a target, and the cell everybody reads.
//!
//! A [`TargetHealth`] is shared between Snapshots: a new Snapshot that still holds the target holds
//! the same cell, so what is known of a target survives every change around it.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::Duration;

/// What is known of one registered target. The words are those of the VPC Lattice API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum TargetStatus {
    /// Registered and in use; the first probe has not ended.
    Initial = 0,
    Healthy = 1,
    Unhealthy = 2,
    /// No listener or rule of a service refers to the target group.
    Unused = 3,
    /// Health checks are off or not possible for this kind of group.
    Unavailable = 4,
    /// Deregistered; requests in flight are finishing.
    Draining = 5,
}

impl TargetStatus {
    /// The API's word, e.g. `HEALTHY`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initial => "INITIAL",
            Self::Healthy => "HEALTHY",
            Self::Unhealthy => "UNHEALTHY",
            Self::Unused => "UNUSED",
            Self::Unavailable => "UNAVAILABLE",
            Self::Draining => "DRAINING",
        }
    }

    fn from_u8(value: u8) -> Self {
        match value {
            1 => Self::Healthy,
            2 => Self::Unhealthy,
            3 => Self::Unused,
            4 => Self::Unavailable,
            5 => Self::Draining,
            _ => Self::Initial,
        }
    }
}

/// One target's status, written by the health checker, read by workers and by ListTargets, and how
/// many requests it is serving, counted by workers, read to tell when a draining target is idle.
#[derive(Debug)]
pub struct TargetHealth {
    status: AtomicU8,
    in_flight: AtomicU32,
}

impl TargetHealth {
    pub fn new(status: TargetStatus) -> Self {
        Self { status: AtomicU8::new(status as u8), in_flight: AtomicU32::new(0) }
    }

    pub fn status(&self) -> TargetStatus {
        TargetStatus::from_u8(self.status.load(Ordering::Relaxed))
    }

    /// Returns the status it had before.
    pub fn set(&self, status: TargetStatus) -> TargetStatus {
        TargetStatus::from_u8(self.status.swap(status as u8, Ordering::Relaxed))
    }

    /// Requests the target is serving now, over all workers.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// A request was given to the target. Each call is matched by one of [`Self::request_ended`].
    pub fn request_began(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub fn request_ended(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// HTTP version spoken with targets (`protocolVersion`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProtocolVersion {
    Http1,
    Http2,
    Grpc,
}

/// How a target group is probed, every default filled in. Ranges are the API description's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// TLS to the target when true (`protocol` HTTPS); the target's certificate is not validated.
    pub tls: bool,
    /// `Http1` or `Http2`.
    pub version: ProtocolVersion,
    /// `None`: the port of each target.
    pub port: Option<u16>,
    /// Path with optional query, begins with `/`. Default `/`.
    pub path: String,
    /// 5–300 s between the starts of two probes, default 30.
    pub interval: Duration,
    /// 1–120 s for one probe, default 5.
    pub timeout: Duration,
    /// 2–10 successes in a row bring an unhealthy target back, default 5.
    pub healthy_threshold: u32,
    /// 2–10 failures in a row make a target unhealthy, default 2.
    pub unhealthy_threshold: u32,
    pub matcher: StatusMatcher,
}

/// Which status codes mean healthy: inclusive ranges, `200` being `200..=200`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusMatcher(pub Box<[(u16, u16)]>);

/// Why a matcher text was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected codes such as 200 or 200-299,301 within 200-499, found {found:?}")]
pub struct MatcherError {
    pub found: String,
}

impl StatusMatcher {
    /// Parses `200,202` and `200-299` and mixtures of both.
    ///
    /// # Errors
    /// Empty parts, codes outside 200–499, a range that runs backwards.
    pub fn parse(text: &str) -> Result<Self, MatcherError> {
        let refused = || MatcherError { found: text.chars().take(64).collect() };
        let code = |t: &str| t.parse::<u16>().ok().filter(|c| (200..=499).contains(c)).ok_or_else(refused);
        text.split(',')
            .map(|part| {
                let (low, high) = part.split_once('-').unwrap_or((part, part));
                let (low, high) = (code(low)?, code(high)?);
                if low <= high { Ok((low, high)) } else { Err(refused()) }
            })
            .collect::<Result<Box<[_]>, _>>()
            .map(Self)
    }

    pub fn matches(&self, status: u16) -> bool {
        self.0.iter().any(|&(low, high)| (low..=high).contains(&status))
    }
}

/// Counts probes in a row and says when the status moves.
///
/// "One success makes a new target healthy; an unhealthy one needs `healthyThresholdCount`
/// successes in a row, a healthy one `unhealthyThresholdCount` failures in a row."
#[derive(Debug, Default, Clone)]
pub struct ProbeHistory {
    successes: u32,
    failures: u32,
}

impl ProbeHistory {
    /// The status after one more probe that ended in `success`.
    pub fn record(&mut self, check: &HealthCheck, now: TargetStatus, success: bool) -> TargetStatus {
        if success {
            self.failures = 0;
            self.successes = self.successes.saturating_add(1);
        } else {
            self.successes = 0;
            self.failures = self.failures.saturating_add(1);
        }
        match (now, success) {
            (TargetStatus::Healthy, false) | (TargetStatus::Initial, false)
                if self.failures >= check.unhealthy_threshold =>
            {
                TargetStatus::Unhealthy
            }
            (TargetStatus::Unhealthy, true) if self.successes >= check.healthy_threshold => {
                TargetStatus::Healthy
            }
            (TargetStatus::Unhealthy, true) => TargetStatus::Unhealthy,
            (_, true) => TargetStatus::Healthy,
            (status, false) => status,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check() -> HealthCheck {
        HealthCheck {
            tls: false,
            version: ProtocolVersion::Http1,
            port: None,
            path: "/".into(),
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
            healthy_threshold: 3,
            unhealthy_threshold: 2,
            matcher: StatusMatcher::parse("200").unwrap(),
        }
    }

    #[test]
    fn matchers_take_lists_ranges_and_mixtures() {
        let matcher = StatusMatcher::parse("200,202,300-302").unwrap();
        for (code, expected) in [(200, true), (201, false), (202, true), (301, true), (303, false)] {
            assert_eq!(matcher.matches(code), expected, "{code}");
        }
        for text in ["", "200,", "199", "500", "299-200", "2oo", "200-"] {
            assert!(StatusMatcher::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn thresholds_move_a_target_between_healthy_and_unhealthy() {
        let check = check();
        let mut history = ProbeHistory::default();
        let mut status = TargetStatus::Initial;
        let outcomes = [
            (true, TargetStatus::Healthy),
            (false, TargetStatus::Healthy),
            (true, TargetStatus::Healthy),
            (false, TargetStatus::Healthy),
            (false, TargetStatus::Unhealthy),
            (true, TargetStatus::Unhealthy),
            (true, TargetStatus::Unhealthy),
            (true, TargetStatus::Healthy),
        ];
        for (step, (success, expected)) in outcomes.into_iter().enumerate() {
            status = history.record(&check, status, success);
            assert_eq!(status, expected, "step {step}");
        }
    }

    #[test]
    fn a_new_target_that_fails_stays_initial_until_the_threshold() {
        let check = check();
        let mut history = ProbeHistory::default();
        assert_eq!(history.record(&check, TargetStatus::Initial, false), TargetStatus::Initial);
        assert_eq!(history.record(&check, TargetStatus::Initial, false), TargetStatus::Unhealthy);
    }
}
