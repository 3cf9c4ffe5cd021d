//! The tokens of IMDSv2: good for one instance until they are over.
//!
//! A token is when it ends, a nonce, and a code of both and of the instance's id under a key that is made when the process
//! starts. Nothing is kept of it, so there is nothing to fill up; after a restart clients fetch another.

use std::fmt;
use std::ops::RangeInclusive;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE as BASE64;
use jiff::Timestamp;
use trellis_model::InstanceId;

use crate::Refused;

/// "The TTL is a minimum of one second and a maximum of six hours."
pub(crate) const SECONDS: RangeInclusive<u32> = 1..=21_600;

const NONCE: usize = 8;
/// When it ends, and the nonce.
const CLEAR: usize = 8 + NONCE;
const CODE: usize = 32;
/// Of no token are there more characters.
const LONGEST: usize = (CLEAR + CODE).div_ceil(3) * 4;

/// Makes and checks tokens.
pub struct Tokens {
    key: hmac::Key,
    random: SystemRandom,
}

impl Tokens {
    /// With a key of their own.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn new() -> Result<Self, Refused> {
        let random = SystemRandom::new();
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &random).map_err(|_| Refused::Unavailable)?;
        Ok(Self { key, random })
    }

    /// A token of `instance`, good for `seconds`.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn make(&self, instance: &InstanceId, seconds: u32, now: Timestamp) -> Result<String, Refused> {
        let mut token = [0; CLEAR + CODE];
        let (clear, code) = token.split_at_mut(CLEAR);
        clear[..8].copy_from_slice(&(now.as_second() + i64::from(seconds)).to_be_bytes());
        self.random.fill(&mut clear[8..]).map_err(|_| Refused::Unavailable)?;
        code.copy_from_slice(hmac::sign(&self.key, &message(clear, instance)).as_ref());
        Ok(BASE64.encode(token))
    }

    /// # Errors
    /// [`Refused::Unauthorized`] for one that is not good, for whatever reason.
    pub fn check(&self, instance: &InstanceId, token: &str, now: Timestamp) -> Result<(), Refused> {
        if token.len() > LONGEST {
            return Err(Refused::Unauthorized);
        }
        let token = BASE64.decode(token).map_err(|_| Refused::Unauthorized)?;
        let (clear, code) = token.split_at_checked(CLEAR).ok_or(Refused::Unauthorized)?;
        // In constant time.
        hmac::verify(&self.key, &message(clear, instance), code).map_err(|_| Refused::Unauthorized)?;
        let ends = clear.first_chunk().map(|bytes| i64::from_be_bytes(*bytes));
        if ends.is_some_and(|ends| now.as_second() < ends) { Ok(()) } else { Err(Refused::Unauthorized) }
    }
}

/// What the code is of. The first part is as long as it is: nothing can move from one to the other.
fn message(clear: &[u8], instance: &InstanceId) -> Vec<u8> {
    [clear, instance.as_str().as_bytes()].concat()
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}
