//! Client tokens: the same request twice is one request.
//!
//! "Same token + same parameters: the original success is returned with no new work; same token +
//! different parameters: failure." The answer is kept in the store beside what the call wrote, in the
//! same transaction, so a client that lost the first answer to a crash still gets it. Once what it told of
//! is gone there is nothing left to tell of, and the call is made anew.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use trellis_model::moment::Moment;
use trellis_store::{Read, Transaction};

use crate::context::Context;
use crate::key;
use crate::record::{decode, get, put};
use crate::refusal::Refusal;
use crate::surroundings::Surroundings;

/// How long an answer is kept, at least.
const LIFETIME: SignedDuration = SignedDuration::from_hours(24);

/// Tokens looked at in one step of [`prune`]: as many deletions as one transaction may have.
const PRUNE_STEP: usize = 100;

/// The token of one call, and what the call asked for.
#[derive(Debug, Clone)]
pub struct Token {
    key: String,
    fingerprint: String,
    /// The member the token came in.
    member: String,
    now: Moment,
}

#[derive(Debug, Serialize, Deserialize)]
struct Given {
    fingerprint: String,
    at: Moment,
    answer: Value,
}

impl Token {
    /// Takes the idempotency token out of `input`; `None` when the operation has none or the caller sent none.
    pub(crate) fn take(
        ctx: &Context,
        service: &trellis_api::Service,
        operation: &trellis_api::Operation,
        input: &mut Value,
    ) -> Option<Self> {
        let member = operation.token.as_ref()?;
        Self::take_member(ctx, (&service.signing_name, &operation.name), member, input)
    }

    /// Takes the member that is the token out of `input`.
    pub fn take_member(
        ctx: &Context,
        (service, operation): (&str, &str),
        member: &str,
        input: &mut Value,
    ) -> Option<Self> {
        let token = input.as_object_mut()?.shift_remove(member)?;
        let token = token.as_str()?;
        let caller = &ctx.caller;
        Some(Self {
            key: format!(
                "{}{}/{}/{service}/{operation}/{}",
                key::TOKEN,
                caller.account,
                caller.region,
                hex(&Sha256::digest(token.as_bytes()))
            ),
            fingerprint: fingerprint("", input, |_| true),
            member: member.to_owned(),
            now: ctx.now,
        })
    }

    /// The answer given to this request before; else that of `run`, kept for the next time. Without a
    /// `token` it is asked for the first time, always. `is_there` tells whether what an answer made still is: once it
    /// is gone there is nothing left to tell of, and the call is made anew.
    ///
    /// # Errors
    /// [`Refusal::TokenReused`] when the token came with other parameters; what `run` refuses.
    pub fn once<'tx>(
        token: Option<&Self>,
        tx: &mut Transaction<'tx>,
        is_there: impl FnOnce(&mut Transaction<'tx>, &Value) -> Result<bool, Refusal>,
        run: impl FnOnce(&mut Transaction<'tx>) -> Result<Value, Refusal>,
    ) -> Result<Value, Refusal> {
        let Some(token) = token else { return run(tx) };
        if let Some(before) = token.replay(tx)?
            && is_there(tx, &before)?
        {
            return Ok(before);
        }
        let answer = run(tx)?;
        token.remember(tx, &answer);
        Ok(answer)
    }

    fn replay(&self, state: &mut impl Read) -> Result<Option<Value>, Refusal> {
        let Some(given) = get::<Given>(state, &self.key)? else { return Ok(None) };
        if is_expired(given.at, self.now) {
            return Ok(None);
        }
        if given.fingerprint == self.fingerprint {
            return Ok(Some(given.answer));
        }
        Err(Refusal::TokenReused { member: self.member.clone() })
    }

    fn remember(&self, tx: &mut Transaction<'_>, answer: &Value) {
        let Self { key, fingerprint, now, .. } = self;
        put(tx, key, &Given { fingerprint: fingerprint.clone(), at: *now, answer: answer.clone() });
    }
}

fn is_expired(at: Moment, now: Moment) -> bool {
    Timestamp::from(now).duration_since(Timestamp::from(at)) > LIFETIME
}

/// Deletes every expired token.
pub(crate) async fn prune(surroundings: &Surroundings) -> Result<(), Refusal> {
    let now = Moment::from(surroundings.clock.now());
    let mut after = None;
    loop {
        let from: Option<String> = after.take();
        after = surroundings.store.transact(move |tx| prune_some(tx, from.as_deref(), now)).await?;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// Deletes expired tokens among the [`PRUNE_STEP`] after `after`; answers where to go on.
fn prune_some(tx: &mut Transaction<'_>, after: Option<&str>, now: Moment) -> Result<Option<String>, Refusal> {
    let entries = tx.scan(key::TOKEN, after, PRUNE_STEP)?;
    for entry in &entries {
        // What does not read is of no use to anyone.
        if !decode::<Given>(entry).is_ok_and(|given| !is_expired(given.at, now)) {
            tx.delete(&entry.key);
        }
    }
    Ok(entries.last().filter(|_| entries.len() == PRUNE_STEP).map(|entry| entry.key.clone()))
}

/// Equal for equal inputs of an operation, whatever the order of their members; of the input's own members those that
/// `counts` says.
pub(crate) fn fingerprint(operation: &str, input: &Value, counts: impl Fn(&str) -> bool) -> String {
    let mut hash = Sha256::new();
    hash.update(operation.as_bytes());
    match input {
        Value::Object(members) => digest_members(members, counts, &mut hash),
        other => digest(other, &mut hash),
    }
    hex(&hash.finalize())
}

/// Feeds `value` into `hash` so that equal values give equal hashes whatever the order of members.
fn digest(value: &Value, hash: &mut Sha256) {
    match value {
        Value::Object(members) => digest_members(members, |_| true, hash),
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

fn digest_members(members: &Map<String, Value>, counts: impl Fn(&str) -> bool, hash: &mut Sha256) {
    let mut members: Vec<_> =
        members.iter().filter(|(name, value)| !value.is_null() && counts(name)).collect();
    members.sort_unstable_by_key(|(name, _)| name.as_str());
    hash.update(format!("{{{}", members.len()));
    for (name, value) in members {
        digest(&Value::String(name.clone()), hash);
        digest(value, hash);
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
        super::fingerprint("", value, |_| true)
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
