//! Shares with the organisation and with its units: whoever is in them receives, without an invitation.
//!
//! A share has the accounts of its groups written down, as all that follows from a share is found by account; [`follow`]
//! writes them anew when accounts come, go or move.

use std::sync::Arc;

use trellis_frame::account::{self, Account};
use trellis_frame::record::{decode, scan_all};
use trellis_frame::{Context, Refusal, Surroundings, organization, task};
use trellis_model::resource::organization::{PREFIX, Record, Tree};
use trellis_model::{AccountId, Arn};
use trellis_store::{Event, Read, StoreError, Transaction};

use super::share::{self, Share};
use super::{invalid, invitation, not_permitted, resource, shown};

/// The service principal of RAM.
const SERVICE: &str = "ram.amazonaws.com";

/// Whether sharing within the organisation is enabled.
pub(super) fn is_sharing(state: &mut impl Read) -> Result<bool, Refusal> {
    Ok(organization::find(state)?.is_some_and(|found| found.trusted.contains_key(SERVICE)))
}

/// Whether an account is in the organisation, which every account there is, is, and sharing within that is enabled.
pub(super) fn is_shared_with(state: &mut impl Read, account: &AccountId) -> Result<bool, Refusal> {
    Ok(is_sharing(state)? && account::exists(state, account)?)
}

/// The organisation, where sharing within it is enabled.
struct Sharing(Tree);

impl Sharing {
    fn read(state: &mut impl Read) -> Result<Option<Self>, Refusal> {
        Ok(if is_sharing(state)? { Some(Self(organization::read(state)?)) } else { None })
    }

    /// Whether an ARN is that of the organisation or of a unit of it.
    fn has_group(&self, arn: &str) -> bool {
        self.node(arn).is_some()
    }

    /// The root or the unit that an ARN means.
    fn node(&self, arn: &str) -> Option<&str> {
        let organization = self.0.organization.as_ref()?;
        let prefix = format!("arn:aws:organizations::{}:", organization.management);
        let rest = arn.strip_prefix(&prefix)?;
        if rest == format!("organization/{}", organization.id) {
            return Some(&organization.root);
        }
        let unit = rest.strip_prefix(&format!("ou/{}/", organization.id))?;
        self.0.units.get(unit).map(|unit| unit.id.as_str())
    }

    /// Whether an account is in what an ARN means, at any depth.
    fn is_in(&self, account: &AccountId, arn: &str) -> bool {
        let (Some(node), Some(organization)) = (self.node(arn), &self.0.organization) else { return false };
        let Some(member) = self.0.member(account) else { return false };
        node == organization.root || self.0.units_to(&member.parent).iter().any(|unit| unit.id == node)
    }
}

/// "You must use the management account."
///
/// # Errors
/// `OperationNotPermittedException` for any other account.
pub(super) fn enable(tx: &mut Transaction<'_>, ctx: &Context) -> Result<(), Refusal> {
    let found = organization::find(tx)?;
    let Some(mut organization) = found.filter(|found| found.management == ctx.caller.account) else {
        return Err(not_permitted(format_args!(
            "Account {} is not the management account of an organization.",
            ctx.caller.account
        )));
    };
    organization.trusted.entry(SERVICE.to_owned()).or_insert(ctx.now);
    organization::put(tx, &Record::Organization(organization))
}

/// Offers a share to what a caller names: an account, which it gives back, or the organisation or a unit of it.
///
/// # Errors
/// What cannot be shared with.
pub(super) fn offer(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    share: &mut Share,
    text: &str,
) -> Result<Option<AccountId>, Refusal> {
    let is_group = text.parse::<Arn>().is_ok_and(|arn| arn.service == "organizations");
    if !is_group {
        let account = resource::principal(ctx, text)?;
        invitation::invite(tx, ctx, share, &account)?;
        return Ok(Some(account));
    }
    let Some(sharing) = Sharing::read(tx)? else {
        return Err(not_permitted(format_args!(
            "{}: sharing with the organization is not enabled: its management account enables it with EnableSharingWithAwsOrganization.",
            shown(text)
        )));
    };
    if !sharing.has_group(text) {
        return Err(invalid(format_args!("{} is not the organization or a unit of it.", shown(text))));
    }
    share.add_group(text, ctx.now)?;
    Inside { sharing: Some(sharing), accounts: account::every(tx)? }.expand(share);
    Ok(None)
}

/// Writes down who is in the groups of a share now.
pub(super) fn expand(state: &mut impl Read, share: &mut Share) -> Result<(), Refusal> {
    match share.groups.is_empty() {
        true => share.members.clear(),
        false => Inside::read(state)?.expand(share),
    }
    Ok(())
}

/// Who may be in groups.
struct Inside {
    sharing: Option<Sharing>,
    accounts: Vec<Account>,
}

impl Inside {
    fn read(state: &mut impl Read) -> Result<Self, Refusal> {
        Ok(Self { sharing: Sharing::read(state)?, accounts: account::every(state)? })
    }

    /// Where sharing within the organisation is not enabled any more, nobody is in a group.
    fn expand(&self, share: &mut Share) {
        let is_in = |account: &AccountId| {
            let mut groups = share.groups.keys();
            let sharing = self.sharing.as_ref();
            *account != share.home.account
                && sharing.is_some_and(|sharing| groups.any(|arn| sharing.is_in(account, arn)))
        };
        let ids = self.accounts.iter().map(|account| &account.id);
        share.members = ids.filter(|account| is_in(account)).cloned().collect();
    }

    fn has(&self, account: &AccountId) -> bool {
        self.accounts.iter().any(|other| other.id == *account)
    }
}

/// Keeps the accounts of shares with groups as the organisation has them, as long as the control plane lives.
pub(super) async fn follow(surroundings: Arc<Surroundings>) {
    let mut moves = task::Changes::of(&surroundings.store, PREFIX);
    let mut accounts = task::Changes::of(&surroundings.store, account::PREFIX);
    loop {
        let event: Option<Event> = tokio::select! {
            event = moves.next() => event,
            event = accounts.next() => event,
        };
        if event.is_none() {
            return;
        }
        match surroundings.store.transact(expand_all).await.map_err(Refusal::from) {
            Ok(()) => {}
            Err(Refusal::Store(StoreError::Closed)) => return,
            Err(refusal) => tracing::error!(?refusal, "shares with the organization are not as it is"),
        }
    }
}

fn expand_all(tx: &mut Transaction<'_>) -> Result<(), Refusal> {
    let inside = Inside::read(tx)?;
    for entry in scan_all(tx, "ram/")? {
        // ram/{account}/{region}/share/{id}
        if entry.key.rsplit('/').nth(1) != Some("share") {
            continue;
        }
        let before: Share = decode(&entry)?;
        let mut after = before.clone();
        inside.expand(&mut after);
        // An account that was never invited has no invitation to be found by when it is gone.
        after.principals.retain(|account, principal| principal.is_external() || inside.has(account));
        if after != before {
            share::save(tx, Some(&before), Some(&after))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use trellis_model::resource::organization::Organization;
    use trellis_store::Entry;

    use super::*;

    /// A state of which nothing but the organization can be read.
    struct HalfRead(Entry);

    impl Read for HalfRead {
        fn get(&mut self, key: &str) -> Result<Option<Entry>, StoreError> {
            match key == self.0.key {
                true => Ok(Some(self.0.clone())),
                false => Err(StoreError::DamagedEntry { key: key.to_owned() }),
            }
        }

        fn scan(&mut self, prefix: &str, _: Option<&str>, _: usize) -> Result<Vec<Entry>, StoreError> {
            Err(StoreError::DamagedEntry { key: prefix.to_owned() })
        }
    }

    #[test]
    fn an_account_that_cannot_be_read_is_no_stranger() {
        let now = jiff::Timestamp::UNIX_EPOCH.into();
        let organization = Organization {
            id: "o-1".into(),
            root: "r-1".into(),
            management: "111122223333".parse().unwrap(),
            created_at: now,
            is_bounding: false,
            policies: Default::default(),
            trusted: [(SERVICE.to_owned(), now)].into(),
        };
        let value = serde_json::to_vec(&organization).unwrap();
        let key = Record::Organization(organization).key();
        let entry = Entry { key, value, created: 0, modified: 0 };
        let found = is_shared_with(&mut HalfRead(entry), &"222233334444".parse().unwrap());
        assert!(matches!(found, Err(Refusal::Store(_))), "{found:?}");
    }
}
