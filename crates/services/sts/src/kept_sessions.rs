//! Sessions that a service hands to whom it serves as often as they ask, such as EC2 to instances.
//!
//! One is made when it is asked for the first time, and again well ahead of its end: clients ask anew when theirs is about
//! to end, and must then find a later one.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use trellis_frame::{Refusal, Surroundings};
use trellis_store::Read;

use crate::for_service::{ForService, Issued, assume_for_service};

/// "We make new credentials available at least five minutes before the expiration of the old ones." SDKs ask anew
/// up to fifteen minutes before.
const AHEAD: SignedDuration = SignedDuration::from_mins(60);

/// Sessions that are remembered; beyond it others are made again.
const REMEMBERED: usize = 4096;

/// Sessions by the ARN of what they are for.
#[derive(Debug, Default)]
pub struct KeptSessions(Mutex<HashMap<String, Made>>);

/// Of which role, with which trust policy, and when.
#[derive(Debug, Clone)]
struct Made {
    role: String,
    trust_policy: String,
    at: Timestamp,
    issued: Issued,
}

impl KeptSessions {
    fn find(&self, asked: &ForService<'_>, now: Timestamp) -> Option<Made> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.get(asked.source_arn)?;
        let is_good = found.role == asked.role.id
            && found.trust_policy == asked.role.trust_policy
            && found.issued.expires_at.duration_since(now) > AHEAD;
        is_good.then(|| found.clone())
    }

    fn remember(&self, source: String, made: Made) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.retain(|_, other| other.issued.expires_at > made.at);
        }
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(source, made);
    }

    /// The session that is asked for, and when it was made; `None` where the role does not trust the service.
    ///
    /// # Errors
    /// As [`assume_for_service`].
    pub fn session(
        &self,
        state: &mut impl Read,
        surroundings: &Surroundings,
        asked: ForService<'_>,
    ) -> Result<Option<(Timestamp, Issued)>, Refusal> {
        let now = surroundings.clock.now();
        if let Some(made) = self.find(&asked, now) {
            return Ok(Some((made.at, made.issued)));
        }
        let source = asked.source_arn.to_owned();
        let (role, trust_policy) = (asked.role.id.clone(), asked.role.trust_policy.clone());
        let Some(issued) = assume_for_service(state, surroundings, asked)? else { return Ok(None) };
        self.remember(source, Made { role, trust_policy, at: now, issued: issued.clone() });
        Ok(Some((now, issued)))
    }
}
