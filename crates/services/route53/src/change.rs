//! Changes: what was accepted, and whether resolvers answer it yet.

use serde::{Deserialize, Serialize};
use trellis_frame::random::BASE_32;
use trellis_frame::{Context, Kind, Records, Refusal, key, record as entry};
use trellis_model::moment::Moment;
use trellis_store::{Entry, Read, Reader, Transaction};

use crate::wire;

pub(crate) static CHANGE: Kind = Kind::new("Change", "CHANGE");

pub(crate) const CHANGES: Records<Change> = Records::new("route53", KIND);

/// The kind of record, as it is in keys.
pub(crate) const KIND: &str = "change";

const ID_LENGTH: usize = 20;

/// Changes that are remembered of an account; the oldest go as new ones come.
const REMEMBERED: usize = 1000;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Change {
    submitted_at: Moment,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

impl Change {
    fn describe(self, id: &str, status: wire::ChangeStatus) -> wire::ChangeInfo {
        let Self { submitted_at, comment } = self;
        wire::ChangeInfo { id: format!("/change/{id}"), status, submitted_at, comment }
    }
}

/// Notes that something changes with this transaction.
pub(crate) fn record(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    comment: Option<String>,
) -> Result<wire::ChangeInfo, Refusal> {
    let home = key::global(&ctx.caller.account);
    // Ids begin with the time, so that the first in the order of keys is the oldest.
    let milliseconds = milliseconds(ctx.now);
    let id = format!("C{milliseconds:011X}{}", ctx.surroundings.random.text(ID_LENGTH - 11, BASE_32));
    let change = Change { submitted_at: ctx.now, comment };
    if CHANGES.count(tx, &home)? >= REMEMBERED {
        let oldest = tx.scan(&key::Scope::new("route53", &home).records(KIND), None, 1)?;
        for entry in oldest {
            CHANGES.delete(tx, &home, key::last_part(&entry.key))?;
        }
    }
    CHANGES.put(tx, &home, &id, &change)?;
    Ok(change.describe(&id, wire::ChangeStatus::Pending))
}

fn milliseconds(moment: Moment) -> u64 {
    u64::try_from(jiff::Timestamp::from(moment).as_millisecond()).unwrap_or_default()
}

pub(crate) fn get(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::GetChangeInput,
) -> Result<wire::GetChangeOutput, Refusal> {
    let missing = || Refusal::missing(&CHANGE, &input.id);
    if !input.id.bytes().all(|byte| byte.is_ascii_alphanumeric()) || input.id.len() > 32 {
        return Err(missing());
    }
    let key = CHANGES.key(&key::global(&ctx.caller.account), &input.id);
    let found = state.get(&key)?.ok_or_else(missing)?;
    let is_answered = ctx.surroundings.in_force.borrow().data_plane >= found.modified;
    let status = if is_answered { wire::ChangeStatus::Insync } else { wire::ChangeStatus::Pending };
    let change: Change = entry::decode(&found)?;
    Ok(wire::GetChangeOutput { change_info: change.describe(&input.id, status) })
}

/// Changes outlive what they changed, and keep no account.
pub(crate) fn is_remnant(_: &mut Transaction<'_>, entry: &Entry) -> Result<bool, Refusal> {
    Ok(entry.key.split('/').nth(3) == Some(KIND))
}
