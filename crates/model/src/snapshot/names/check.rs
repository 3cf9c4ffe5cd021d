//! Endpoints that record sets depend on: how they are looked at, and what is known of them.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::health::{TargetHealth, TargetStatus};
use crate::id::VpcId;
use crate::snapshot::may_be_dialled;

/// An endpoint that record sets of a VPC's zones depend on, as it is seen from that VPC.
#[derive(Debug)]
pub struct Check {
    pub id: Box<str>,
    pub vpc: VpcId,
    pub endpoint: Endpoint,
    pub health: EndpointHealth,
}

/// How an endpoint is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Without one, the addresses of [`name`](Self::name).
    pub address: Option<IpAddr>,
    /// What it is called, in the handshake and in `Host`.
    pub name: Option<Box<str>>,
    pub port: u16,
    /// Path with query for HTTP; a connection is enough where there is none.
    pub path: Option<Box<str>>,
    pub tls: bool,
    /// Whether the handshake says the name.
    pub has_sni: bool,
    /// 10 s or 30 s between the starts of two looks.
    pub interval: Duration,
    /// 1 to 10 outcomes in a row that are needed to change what is thought of it.
    pub threshold: u32,
    /// What fails is good.
    pub is_inverted: bool,
    /// Nobody looks: it passes for good, or for bad where it is inverted.
    pub is_disabled: bool,
}

impl Endpoint {
    /// Whether anybody's endpoint can be at `address`, which may be an IPv4 one in an IPv6 one.
    pub fn may_be_at(address: IpAddr) -> bool {
        may_be_dialled(address.to_canonical())
    }
}

/// What is known of an endpoint, written by who looks at it.
#[derive(Debug)]
pub struct EndpointHealth {
    status: TargetHealth,
    /// The last outcome and the last that was bad, each with its Unix time.
    last: Mutex<(Option<Seen>, Option<Seen>)>,
}

/// One look at an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Seconds since 1970.
    pub at: i64,
    /// `Success: HTTP Status Code 200` or `Failure: ...`.
    pub said: String,
}

impl EndpointHealth {
    /// Of an endpoint that nobody has looked at: it passes for good.
    pub fn new(endpoint: &Endpoint) -> Self {
        let is_bad = endpoint.is_disabled && endpoint.is_inverted;
        let status = if is_bad { TargetStatus::Unhealthy } else { TargetStatus::Initial };
        Self { status: TargetHealth::new(status), last: Mutex::default() }
    }

    pub fn status(&self) -> TargetStatus {
        self.status.status()
    }

    /// What the outcomes so far amount to. Returns the status before.
    pub fn set(&self, status: TargetStatus) -> TargetStatus {
        self.status.set(status)
    }

    pub fn note(&self, seen: Seen, is_good: bool) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_good {
            last.1 = Some(seen.clone());
        }
        last.0 = Some(seen);
    }

    /// The last outcome, and the last bad one.
    pub fn last(&self) -> (Option<Seen>, Option<Seen>) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
