//! Client tokens: the same request twice is one request.
//!
//! "Same token + same parameters: the original success is returned with no new work; same token +
//! different parameters: failure." The answer is kept in the store beside what the call wrote, in the
//! same transaction, so a client that lost the first answer to a crash still gets it. Once what it told of
//! is gone there is nothing left to tell of, and the call is made anew.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use trellis_api::Exception;
use trellis_model::moment::Moment;
use trellis_store::{Read, Transaction};

use crate::context::Context;
use crate::keys;
use crate::record::{decode, get, put};
use crate::refusal::Refusal;

/// How long an answer is kept, at least.
const LIFETIME: SignedDuration = SignedDuration::from_hours(24);

/// Tokens looked at in one step of [`prune`].
const PRUNE_STEP: usize = 500;

/// The token of one call, and what the call asked for.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    key: String,
    fingerprint: String,
    now: Moment,
}

#[derive(Debug, Serialize, Deserialize)]
struct Given {
    fingerprint: String,
    at: Moment,
    answer: Value,
}

impl Token {
    /// Takes `clientToken` out of `input`; `None` when there is none.
    pub(crate) fn take(ctx: &Context, service: &str, operation: &str, input: &mut Value) -> Option<Self> {
        let token = input.as_object_mut()?.shift_remove("clientToken")?;
        let token = token.as_str()?;
        let mut parameters = Sha256::new();
        digest(input, &mut parameters);
        let caller = &ctx.caller;
        Some(Self {
            key: format!(
                "{}{}/{}/{service}/{operation}/{}",
                keys::TOKEN,
                caller.account,
                caller.region,
                hex(&Sha256::digest(token.as_bytes()))
            ),
            fingerprint: hex(&parameters.finalize()),
            now: ctx.now,
        })
    }

    /// The answer given to this request before; else that of `run`, kept for the next time. Without a
    /// `token` it is asked for the first time, always. `is_there` tells whether what an answer made still is.
    ///
    /// # Errors
    /// `mismatch` when the token came with other parameters; what `run` refuses.
    pub(crate) fn once<'tx>(
        token: Option<&Self>,
        tx: &mut Transaction<'tx>,
        mismatch: impl FnOnce() -> Exception,
        is_there: impl FnOnce(&mut Transaction<'tx>, &Value) -> Result<bool, Refusal>,
        run: impl FnOnce(&mut Transaction<'tx>) -> Result<Value, Refusal>,
    ) -> Result<Value, Refusal> {
        let Some(token) = token else { return run(tx) };
        if let Some(before) = token.replay(tx, mismatch)?
            && is_there(tx, &before)?
        {
            return Ok(before);
        }
        let answer = run(tx)?;
        token.remember(tx, &answer);
        Ok(answer)
    }

    fn replay(
        &self,
        state: &mut impl Read,
        mismatch: impl FnOnce() -> Exception,
    ) -> Result<Option<Value>, Refusal> {
        let Some(given) = get::<Given>(state, &self.key)? else { return Ok(None) };
        if is_expired(given.at, self.now) {
            return Ok(None);
        }
        if given.fingerprint == self.fingerprint {
            return Ok(Some(given.answer));
        }
        Err(mismatch().into())
    }

    fn remember(&self, tx: &mut Transaction<'_>, answer: &Value) {
        let Self { key, fingerprint, now } = self;
        put(tx, key, &Given { fingerprint: fingerprint.clone(), at: *now, answer: answer.clone() });
    }
}

fn is_expired(at: Moment, now: Moment) -> bool {
    Timestamp::from(now).duration_since(Timestamp::from(at)) > LIFETIME
}

/// Deletes expired tokens among the [`PRUNE_STEP`] after `after`; answers where to go on.
pub(crate) fn prune(
    tx: &mut Transaction<'_>,
    after: Option<&str>,
    now: Moment,
) -> Result<Option<String>, Refusal> {
    let entries = tx.scan(keys::TOKEN, after, PRUNE_STEP)?;
    for entry in &entries {
        // What does not read is of no use to anyone.
        if !decode::<Given>(entry).is_ok_and(|given| !is_expired(given.at, now)) {
            tx.delete(&entry.key);
        }
    }
    Ok(entries.last().filter(|_| entries.len() == PRUNE_STEP).map(|entry| entry.key.clone()))
}

/// Feeds `value` into `hash` so that equal values give equal hashes whatever the order of members.
fn digest(value: &Value, hash: &mut Sha256) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().filter(|(_, value)| !value.is_null()).collect();
            members.sort_unstable_by_key(|(name, _)| name.as_str());
            hash.update(format!("{{{}", members.len()));
            for (name, value) in members {
                digest(&Value::String(name.clone()), hash);
                digest(value, hash);
            }
        }
        Value::Array(items) => {
            hash.update(format!("[{}", items.len()));
            items.iter().for_each(|item| digest(item, hash));
        }
        Value::String(text) => {
            hash.update(format!("\"{}:", text.len()));
            hash.update(text.as_bytes());
        }
        scalar => hash.update(format!("={scalar};")),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fingerprint(value: &Value) -> String {
        let mut hash = Sha256::new();
        digest(value, &mut hash);
        hex(&hash.finalize())
    }

    #[test]
    fn the_order_of_members_does_not_matter_but_everything_else_does() {
        let base = json!({"name": "a", "tags": {"x": "1", "y": "2"}, "list": [1, 2]});
        assert_eq!(
            fingerprint(&base),
            fingerprint(&json!({"list": [1, 2], "tags": {"y": "2", "x": "1"}, "name": "a", "absent": null}))
        );
        for other in [
            json!({"name": "b", "tags": {"x": "1", "y": "2"}, "list": [1, 2]}),
            json!({"name": "a", "tags": {"x": "1", "y": "2"}, "list": [2, 1]}),
            json!({"name": "a", "tags": {"x": "1y", "": "2"}, "list": [1, 2]}),
            json!({"name": "a", "tags": {"x": "1", "y": "2"}, "list": ["1", 2]}),
        ] {
            assert_ne!(fingerprint(&base), fingerprint(&other), "{other}");
        }
    }
}
